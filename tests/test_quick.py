"""The quick way of a search finds what the slow way finds, to the byte.

What ``footprint/quick.py`` adds up is held to ``measure``, the size of a plan's file to the file.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from pytest_tinybudget import fit
from pytest_tinybudget.base import remembered
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.declaration.single import pair_of
from pytest_tinybudget.fitting import search
from pytest_tinybudget.footprint.history import is_open
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.quick import Sizes
from pytest_tinybudget.footprint.quick import Sums
from pytest_tinybudget.footprint.quick import sums
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.verdict import headline
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tables import size_of
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import LayerList
from pytest_tinybudget.planning import Network
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.file import tables_of
from pytest_tinybudget.planning.network import Activation
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.speed.work import total_macs
from pytest_tinybudget.speed.work import work_of


BOARDS = (
    "arduino-nano-33-ble", "raspberry-pi-pico", "esp32", "esp32-s3-devkitc-1", "nucleo-l4r5zi",
)  # fmt: skip
ACTIVATIONS: tuple[Activation, ...] = (
    "none",
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "leaky_relu",
    "hard_swish",
    "elu",
)


def random_layer(rng: random.Random) -> Layer:
    """A layer of any kind, of any size; whether it fits what comes before is not asked."""
    kind: Any = rng.choice(
        ("conv2d", "conv2d", "depthwise_conv2d", "depthwise_conv2d", "separable_conv2d",
         "conv2d_transpose", "max_pool2d", "average_pool2d", "batch_norm", "activation",
         "zero_padding2d", "upsampling2d", "conv1d", "lstm", "global_average_pool2d", "dense",
         "flatten", "softmax")
    )  # fmt: skip
    return Layer(
        kind,
        size=rng.choice((1, 2, 3, 4, 8, 12, 17)),
        kernel=rng.choice((1, 2, 3, 3, (1, 3), (3, 1), 5)) if kind not in ("conv1d",) else 3,
        stride=rng.choice((1, 1, 2)),
        padding=rng.choice(("valid", "same")),
        activation=rng.choice(ACTIVATIONS) if kind not in ("lstm",) else "none",
        bias=rng.random() < 0.8,
        multiplier=rng.choice((1, 1, 2)),
        name=rng.choice(("", "", "", "a", "fc", "out", "last")),
    )


def random_network(rng: random.Random) -> Network:
    """A chain, now and then with a branch that is added to what it left."""
    shape = rng.choice(((16, 16, 3), (49, 10, 1), (9, 12, 4), (24, 8), (40,), (1, 20, 5)))
    layers: list[Layer] = []
    for place in range(rng.randint(1, 9)):
        if rng.random() < 0.15:
            layers += [
                Layer("conv2d", 8, padding="same", name=f"start{place}"),
                Layer("depthwise_conv2d", padding="same", name=f"inner{place}"),
                Layer("add", inputs=(f"start{place}", f"inner{place}")),
            ]
        else:
            layers.append(random_layer(rng))
    numbers: Any = rng.choice(("int8", "int8", "int8", "int16", "float"))
    return Network(
        (("input", shape),),
        tuple(layers),
        numbers=numbers,
        per_channel_dense=rng.random() < 0.5,
        flattens=rng.random() < 0.7,
    )


def random_plans(seed: int, count: int) -> Iterator[Model]:
    """So many models; networks that are none are left out."""
    rng = random.Random(seed)
    made = 0
    while made < count:
        try:
            yield planned_model(random_network(rng), "random", named=rng.random() < 0.5)
        except ModelError:
            continue
        made += 1


def firmwares() -> list[Firmware]:
    return [pair_of("plan.tflite", board=board).firmware for board in BOARDS]


def peak_of(footprint: Footprint) -> int:
    """Of the layers that reports name at the peak, the one with the most bytes alive."""
    assert footprint.arena is not None
    layers = peak_layers(footprint.arena, footprint.layers)
    return max(layers, key=lambda each: each.live_bytes).index


def compare(model: Model, firmware: Firmware) -> bool:
    """Hold both ways to each other; whether the quick one was taken."""
    slow, found = measure(model, firmware), sums(model, firmware)
    if found is None:
        # The slow way has more to say: a refusal, a bound, versions that differ.
        assert slow.refusals or slow.unknown or slow.arena is None
        return False
    quick = found.footprint
    assert quick.arena is not None
    assert slow.arena is not None
    assert not slow.refusals
    for field in ("required", "used", "head", "tail"):
        assert getattr(quick.arena, field) == getattr(slow.arena, field), field
    assert (quick.flash, quick.ram, quick.stack) == (slow.flash, slow.ram, slow.stack)
    assert (found.flash, found.ram) == (slow.flash, slow.ram)
    assert found.arena.peak == peak_of(slow)
    return True


def test_random_plans_take_the_same_the_quick_and_the_slow_way() -> None:
    taken = [compare(each, fw) for each in random_plans(22, 50) for fw in firmwares()]
    assert sum(taken) > len(taken) / 2


def test_the_size_of_random_plans_is_that_of_their_file() -> None:
    for model in random_plans(23, 150):
        named = bool(model.derived["named"])
        assert model.bytes == size_of(tables_of(model.main, named=named))


@pytest.mark.parametrize("names", [("a", "b"), ("abc", "d"), ("abcd", "e"), ("input", "longer")])
def test_the_last_string_of_a_file_is_not_rounded_up(names: tuple[str, str]) -> None:
    first, second = names
    layers = (Layer("conv2d", 4, name=first), Layer("flatten"), Layer("dense", 3, name=second))
    model = planned_model(Network((("x", (8, 8, 1)),), layers, flattens=True), "m", named=True)
    assert model.bytes == len(model.content)


def test_macs_by_kind_are_those_of_the_operators() -> None:
    for model in random_plans(24, 40):
        assert total_macs(model) == sum(each.macs or 0 for each in work_of(model))


PLAN = {
    "input_shape": [{"from": 12, "to": 24, "step": 6}, 10, 1],
    "layers": [
        {"type": "conv2d", "filters": "width", "stride": 2, "padding": "same"},
        {"repeat": {"from": 1, "to": 2}, "block": [
            {"type": "depthwise_conv2d", "padding": "same", "activation": "relu"},
            {"type": "conv2d", "filters": "width", "kernel": 1},
        ]},
        {"type": "dense", "units": 4},
    ],
    "free": {"width": {"from": 5, "to": 45, "step": 10}},
    "boards": list(BOARDS),
    "budget": {"ram": "12 KB", "latency": "30 ms"},
}  # fmt: skip


def test_fit_says_the_same_the_quick_and_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = fit(PLAN)
    monkeypatch.setattr(search, "sums", lambda *_: None)
    assert fit(PLAN) == quick
    assert {each.fits for one in quick.candidates for each in one.boards} == {True, False}


def test_what_operators_asked_for_is_forgotten_where_it_gets_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: remembered.Remembered[int, int] = remembered.Remembered()
    monkeypatch.setattr(remembered, "MOST_KEPT", 3)
    for number in range(5):
        kept.keep(number, number)
    assert kept == {3: 3, 4: 4}
    assert fit(PLAN, most=3) == fit(PLAN, most=3)


def test_tensors_without_bytes_are_planned_where_the_version_plans_them() -> None:
    model = planned_model(Network((("x", (6, 4)),), (Layer("lstm", 5),)), "lstm")
    taken = [compare(model, Firmware(each)) for each in RUNTIMES.values()]
    taken += [compare(model, each) for each in firmwares()]
    assert any(taken)


def test_a_refusal_is_left_to_the_slow_way() -> None:
    # Arduino's TFLM computes such a dense layer with the first channel's scale.
    layers = (Layer("dense", 4),)
    model = planned_model(LayerList((8,), layers, per_channel_dense=True), "refused")
    nano, pico, *_ = firmwares()
    assert sums(model, nano) is None
    assert sums(model, pico) is not None


def test_an_operator_that_is_wrong_is_not_taken_for_unused_elsewhere() -> None:
    # Nothing reads the first dense layer: alone it is refused, beside another output it is not.
    wrong = (Layer("dense", 4, name="a"), Layer("dense", 4, name="b", inputs=("x",)))
    unused = planned_model(Network((("x", (8,)),), wrong, outputs=("b",)), "unused")
    nano = firmwares()[0]
    assert sums(unused, nano) is None


@pytest.mark.campaign
def test_random_plans_take_the_same_on_every_runtime_and_board() -> None:
    boards = [each for each in catalog().values() if each.runs_tflm and not each.accelerator]
    known = {pair_of("plan.tflite", board=each).firmware for each in boards}
    every = [*known, *(Firmware(each) for each in RUNTIMES.values())]
    closed = [each for each in every if not is_open(each.runtime)]
    taken = [
        compare(model, rng)
        for number, model in enumerate(random_plans(2206, 1000))
        for rng in closed[number % 5 :: 5]
    ]
    assert sum(taken) > len(taken) / 2


def test_limits_that_a_search_keeps_are_those_of_each_arena_and_model() -> None:
    model = planned_model(LayerList((8,), (Layer("dense", 4),)), "limits")
    budgets: tuple[dict[str, str], ...] = (
        {},
        {"ram": "90 KB"},
        {"flash": "200 KB", "arena": "40 KB"},
    )
    for board in [each for each in catalog().values() if each.runs_tflm and not each.accelerator]:
        for budget in budgets:
            pair = pair_of("plan.tflite", board=board, settings={"budget": budget})
            place = search._Place(board, pair.firmware, Rules().demands(pair), None, Remembered())
            for arena, size in product((16, 40 * 1024, 90_000, 10**6), (1, 150_000, 10**7)):
                part = Part("other", 7_000, "table", 300)
                found = Sums(size, part, part, 900, Sizes(arena, arena, 0, 0))
                judged = search._judged(found, model, place)
                verdict = judge(found.footprint, board, place.demands)
                assert judged.fits == (verdict.outcome in ("fits", "warns"))
                assert headline(judged.measures) == verdict.headline
                assert judged.measures == [
                    (each.metric, each.used, each.limit) for each in verdict.measures
                ]
            assert len(place.limits) == 1
