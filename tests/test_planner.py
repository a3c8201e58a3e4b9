"""The greedy memory planner places every buffer where TFLM's does, fast."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from modelmaker import ModelMaker
from networks import calling_network
from pace import soon

from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.lifetime import Span
from pytest_tinybudget.footprint.lifetime import called_subgraphs
from pytest_tinybudget.footprint.lifetime import lifetimes
from pytest_tinybudget.footprint.planner import Request
from pytest_tinybudget.footprint.planner import _looked_up
from pytest_tinybudget.footprint.planner import _walked
from pytest_tinybudget.footprint.planner import live_bytes
from pytest_tinybudget.footprint.planner import placement_order
from pytest_tinybudget.footprint.planner import plan
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    first = draw(st.integers(-1, 12))
    last = draw(st.integers(first, 14))
    offline = draw(st.one_of(st.none(), st.none(), st.none(), st.integers(0, 20)))
    return Request(
        16 * draw(st.integers(0, 8)), first, last, None if offline is None else 16 * offline
    )


def walk_the_list(buffers: list[Request]) -> list[int]:
    """TFLM's own placement, which walks one list of all placed buffers sorted by offset."""
    placed: list[tuple[int, Request]] = []
    offsets = [0] * len(buffers)
    for index in placement_order(buffers):
        wanted = buffers[index]
        candidate = 0
        if wanted.offline_offset is not None:
            candidate = wanted.offline_offset
        else:
            for offset, other in placed:
                if other.first > wanted.last or wanted.first > other.last:
                    continue
                if offset - candidate >= wanted.size_bytes:
                    break
                candidate = max(candidate, offset + other.size_bytes)
        offsets[index] = candidate
        behind = [place for place, (offset, _) in enumerate(placed) if offset > candidate]
        placed.insert(behind[0] if behind else len(placed), (candidate, wanted))
    return offsets


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(requests(), max_size=30))
def test_every_buffer_lies_where_tflm_puts_it(buffers: list[Request]) -> None:
    assert _walked(buffers) == _looked_up(buffers) == walk_the_list(buffers)


def test_a_plan_of_few_buffers_and_one_of_many_are_made_alike() -> None:
    rng = random.Random(22)
    for count in (127, 128, 129, 180):
        firsts = [rng.randint(0, count) for _ in range(count)]
        buffers = [Request(16 * rng.randint(0, 40), at, at + rng.randint(0, 9)) for at in firsts]
        assert plan(buffers) == walk_the_list(buffers)
        assert _walked(buffers) == _looked_up(buffers)


@pytest.mark.campaign
def test_thousands_of_random_plans_and_those_of_shared_models_are_made_alike() -> None:
    rng = random.Random(220)
    for _ in range(5000):
        count = rng.randint(1, 160)
        firsts = [rng.randint(-1, count) for _ in range(count)]
        buffers = [
            Request(
                rng.choice((1, 16, 16)) * rng.randint(0, 64),
                at,
                at + rng.choice((0, 1, 1, 2, rng.randint(0, count))),
                None if rng.random() < 0.9 else 16 * rng.randint(0, 50),
            )
            for at in firsts
        ]
        assert _walked(buffers) == _looked_up(buffers) == walk_the_list(buffers)
        free = [each for each in buffers if each.offline_offset is None]
        require_apart(free, plan(free))
    for path in sorted(SHARED.glob("models/*.tflite")):
        arena = simulate(load_model(path), RUNTIMES["m4_cmsisnn"]).arena
        for order in (1, -1) if arena is not None else ():
            buffers = [Request(each.bytes, each.first, each.last) for each in arena.buffers][
                ::order
            ]
            assert _walked(buffers) == _looked_up(buffers) == walk_the_list(buffers)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(requests().filter(lambda item: item.offline_offset is None), max_size=30))
def test_buffers_alive_together_do_not_overlap(buffers: list[Request]) -> None:
    require_apart(buffers, plan(buffers))


def require_apart(buffers: list[Request], offsets: list[int]) -> None:
    for index, one in enumerate(buffers):
        for other_index in range(index):
            other = buffers[other_index]
            if one.first > other.last or other.first > one.last:
                continue
            low, high = sorted(
                [
                    (offsets[index], offsets[index] + one.size_bytes),
                    (offsets[other_index], offsets[other_index] + other.size_bytes),
                ]
            )
            assert low[1] <= high[0] or 0 in (one.size_bytes, other.size_bytes)


def test_equal_sizes_are_placed_last_first() -> None:
    assert plan([Request(16, 0, 1), Request(16, 0, 1), Request(32, 0, 1)]) == [48, 32, 0]


def test_an_offline_plan_is_kept_and_the_rest_fills_its_gaps() -> None:
    buffers = [Request(32, 0, 2), Request(64, 0, 2, offline_offset=32), Request(16, 1, 1)]
    assert plan(buffers) == [0, 32, 96]


def test_a_buffer_that_nothing_uses_still_gets_room() -> None:
    assert plan([Request(64, -1, -1), Request(32, -1, -1)]) == [0, 64]


@pytest.mark.parametrize("scope", range(40))
def test_a_buffer_that_nothing_uses_shares_its_room_with_any_other(scope: int) -> None:
    assert plan([Request(64, -1, -1), Request(32, scope, scope)]) == [0, 0]


@pytest.mark.parametrize("scope", range(40))
def test_a_buffer_gone_before_the_next_begins_shares_its_room(scope: int) -> None:
    assert plan([Request(64, scope + 1, 60), Request(32, scope, scope)]) == [0, 0]
    assert plan([Request(64, 0, scope), Request(32, scope + 1, scope + 1)]) == [0, 0]


def test_live_bytes_count_both_ends_of_a_lifetime() -> None:
    assert live_bytes([Request(16, 0, 2), Request(32, 2, 3), Request(64, -1, -1)]) == [
        64, 16, 16, 48, 32,
    ]  # fmt: skip


def test_live_bytes_add_up_where_lifetimes_begin_or_end_together() -> None:
    assert live_bytes([Request(16, 0, 1), Request(32, 0, 1), Request(64, 1, 1)]) == [0, 48, 112]


def test_no_buffers_need_no_plan() -> None:
    assert plan([]) == []
    assert live_bytes([]) == [0]


@pytest.mark.parametrize("span", [1, 50])
def test_a_chain_of_5000_operators_is_planned_within_two_seconds(span: int) -> None:
    chain = [Request(16 * (index % 7 + 1), index, index + span) for index in range(5000)]
    with soon(2):
        plan(chain)


def test_a_branch_that_is_not_there_is_not_walked() -> None:
    branches = {"then_subgraph_index": 2, "else_subgraph_index": -1}
    operator = Operator(0, "IF", 118, False, 1, (0,), (1,), options=branches)
    assert called_subgraphs(operator) == (2,)


def ends(spans: Sequence[Span]) -> list[tuple[int, int]]:
    return [(span.first, span.last) for span in spans]


def test_called_subgraphs_are_walked_inside_their_operator_one_after_another() -> None:
    model = read_model(calling_network().build(), "model")
    found = lifetimes(model, [(2, 0), (0, 0)])
    assert [ends(operators) for operators in found.operators] == [[(1, 5)], [(3, 3)], [(5, 5)]]
    assert [ends(tensors) for tensors in found.tensors] == [
        [(0, 5), (0, 5), (1, 5)],
        [(2, 3), (3, 3)],
        [(4, 5), (5, 5)],
    ]
    assert ends(found.scratch) == [(5, 5), (1, 5)]


def test_a_tensor_that_nothing_reads_is_alive_while_it_is_made() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    read, unread = graph.input((1, 8)), graph.input((1, 8))
    kept, dropped = graph.split(read, parts=2, axis=1)
    graph.output(graph.logistic(kept))
    tensors = lifetimes(read_model(maker.build(), "model"), []).tensors[0]
    found = ends([tensors[index] for index in (read, unread, kept, dropped)])
    assert found == [(0, 1), (0, 0), (1, 2), (1, 1)]


def test_an_output_that_nothing_writes_is_alive_at_the_end() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    unwritten = graph.tensor((1, 8))
    graph.output(graph.logistic(graph.input((1, 8))), unwritten)
    tensors = lifetimes(read_model(maker.build(), "model"), []).tensors[0]
    assert ends([tensors[unwritten]]) == [(1, 1)]
