"""Variants of one network are measured once, and what is said of each is as if it was alone.

What a workspace finds of variants is held to ``measure``, which sees one model and no other.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import cast

import pytest
import truth
from campaigns import every
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.boards import catalog
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.footprint import alike
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.gate import verdict as verdict_module
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.outline import UnreadError
from pytest_tinybudget.graph.outline import outline
from pytest_tinybudget.graph.outline import outline_key
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


FIRMWARES = [Firmware(RUNTIMES[name]) for name in ("m4_cmsisnn", "rv32imc_ref", "esp32_espnn")]


def variant(model: Model, number: int, called: int | None = None) -> Model:
    """``model`` with other names and other weights, its quantization the same.

    The names are those of the number ``called``, where that is given.
    """
    noise = random.Random(number)
    called = number if called is None else called

    def changed(tensor: Tensor) -> Tensor:
        name = f"{tensor.name}/variant_{called}" if tensor.name else ""
        if not tensor.quantization.scales or len(tensor.data) <= 2:
            return replace(tensor, name=name)
        return replace(tensor, name=name, data=memoryview(noise.randbytes(len(tensor.data))))

    graphs = tuple(
        replace(graph, tensors=tuple(map(changed, graph.tensors))) for graph in model.subgraphs
    )
    content = b"%d" % number + model.content
    return Model(model.name, content, 3, "", graphs, model.metadata, model.signatures)


def conv_model(name: str, filters: int = 8) -> Model:
    maker = ModelMaker()
    graph = maker.graph(name)
    image = graph.input((1, 16, 16, 1))
    hidden = graph.conv2d(image, filters=filters)
    graph.output(graph.softmax(graph.dense(graph.pool(hidden), units=4)))
    return read_model(maker.build(), name)


def alone(model: Model, firmware: Firmware) -> Footprint:
    return measure(model, firmware)


def simulations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that are simulated from now on; ``~`` is a network's outline."""
    found: list[str] = []
    simulate = alike.simulate

    def counted(model: Model, firmware: Firmware) -> object:
        found.append(model.name)
        return simulate(model, firmware)

    monkeypatch.setattr(alike, "simulate", counted)
    return found


def test_a_network_is_simulated_for_its_first_variant_and_for_all_others_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulated, workspace = simulations(monkeypatch), Workspace()
    for number in range(6):
        model = variant(conv_model("kws"), number)
        assert workspace.footprint(model, FIRMWARES[0]) == alone(model, FIRMWARES[0])
    assert simulated == ["kws", "~"]


def test_variants_share_what_has_no_names_and_with_the_same_names_the_rest() -> None:
    workspace, read = Workspace(), conv_model("kws")
    found = []
    for number, called in enumerate((1, 2, 3, 3, 1)):
        model = variant(read, number, called)
        found.append(workspace.footprint(model, FIRMWARES[0]))
        assert found[-1] == alone(model, FIRMWARES[0])
    assert len({id(part) for each in found[1:] for part in each.ram_parts}) == len(
        found[0].ram_parts
    )
    arenas = [each.arena for each in found]
    assert arenas[2] is arenas[3]
    assert len(set(map(id, arenas))) == 4


def test_variants_with_the_same_names_and_files_of_other_sizes_have_their_own_flash() -> None:
    workspace, read = Workspace(), conv_model("kws")
    for number in (1, 2, 300, 3, 4000, 4, 500):
        model = variant(read, number, called=1)
        assert workspace.footprint(model, FIRMWARES[0]) == alone(model, FIRMWARES[0])


def test_another_size_is_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated, workspace = simulations(monkeypatch), Workspace()
    for filters in (4, 8, 12):
        workspace.footprint(conv_model("kws", filters), FIRMWARES[0])
    assert simulated == ["kws"] * 3


def test_names_are_those_of_each_variant() -> None:
    workspace = Workspace()
    for name in ("one", "two", "three"):
        footprint = workspace.footprint(conv_model(name), FIRMWARES[0])
        assert footprint.arena is not None
        owners = {each.owner for each in footprint.arena.buffers if each.kind == "tensor"}
        named = owners | {layer.name for layer in footprint.layers}
        assert {each.partition("/")[0] for each in named} == {name}


def test_a_refusal_that_names_a_tensor_names_the_variants_own() -> None:
    workspace = Workspace()
    for name in ("one", "two", "three"):
        maker = ModelMaker()
        graph = maker.graph(name)
        image = graph.input((1, 8), "STRING")
        graph.output(graph.softmax(image))
        footprint = workspace.footprint(read_model(maker.build(), name), FIRMWARES[0])
        assert any(name in each.reason for each in footprint.refusals)


def test_contents_that_decide_are_looked_at() -> None:
    """A division by constants that contain zero fails when it runs."""
    workspace, outcomes = Workspace(), set()
    for least in (1, 0, 1, 0, 1):
        maker = ModelMaker()
        graph = maker.graph()
        source = graph.input((1, 200), "FLOAT32")
        divisors = graph.constant((1, 200), "FLOAT32", [least, *range(1, 200)])
        result = graph.tensor((1, 200), "FLOAT32")
        graph.operator("FLOOR_DIV", (source, divisors), (result,))
        graph.output(result)
        model = read_model(maker.build(), "quotients")
        found = workspace.footprint(model, FIRMWARES[0])
        assert found == alone(model, FIRMWARES[0])
        outcomes.add((least, bool(found.refusals)))
    assert outcomes == {(1, False), (0, True)}


def test_an_outline_gives_away_no_contents() -> None:
    model = outline(conv_model("kws"))
    weights = next(each for each in model.main.tensors if len(each.data) > 2)
    looks: list[Callable[[], object]] = [
        lambda: weights.data[0],
        lambda: bytes(weights.data),
        lambda: list(weights.data),
        lambda: weights.data.cast("b"),
        lambda: weights.data == weights.data,
        lambda: len(model.content),
        lambda: model.bytes,
    ]
    for look in looks:
        with pytest.raises(UnreadError):
            look()


def test_models_that_differ_in_what_is_read_have_other_keys() -> None:
    model = conv_model("kws")
    tensor = model.main.tensors[0]
    others: list[Tensor] = [
        replace(tensor, type="INT16"),
        replace(tensor, shape=(1, 16, 16, 2)),
        replace(tensor, shape_signature=(-1, 16, 16, 1)),
        replace(tensor, is_variable=True),
        replace(tensor, quantization=replace(tensor.quantization, scales=(0.5,))),
        replace(tensor, name=""),
        replace(tensor, data=memoryview(b"ab")),
    ]
    keys = {outline_key(model), outline_key(variant(model, 1))}
    assert len(keys) == 1
    for other in others:
        graph = replace(model.main, tensors=(other, *model.main.tensors[1:]))
        keys.add(outline_key(Model("kws", b"", 3, "", (graph,))))
    planned = {"OfflineMemoryAllocation": memoryview(b"plan")}
    keys.add(outline_key(Model("kws", b"", 3, "", model.subgraphs, planned)))
    assert len(keys) == 1 + len(others) + 1


def test_what_is_kept_of_networks_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "MOST_TENSORS", 40)
    workspace = Workspace()
    for filters in range(1, 12):
        for name in ("one", "two"):
            workspace.footprint(conv_model(name, filters), FIRMWARES[0])
    kept = workspace._alike_models()._networks
    assert 0 < sum(each.tensors for each in kept.values()) <= 40


def test_networks_without_variants_take_no_room() -> None:
    workspace = Workspace()
    for filters in range(1, 12):
        workspace.footprint(conv_model("kws", filters), FIRMWARES[0])
    assert not workspace._alike_models()._networks


@pytest.mark.parametrize("part", every(6, range(12)))
@pytest.mark.parametrize("split", [False, True])
def test_every_measured_model_has_variants_that_take_the_same(part: int, split: bool) -> None:
    """All models of tests/data/truth, with other names and weights, as shared and as alone."""
    firmwares = FIRMWARES
    if split:
        both = Placements(SplitPlacement("static", "static"))
        firmwares = [replace(FIRMWARES[0], placements=both)]
    shared = whole = 0
    for name, content in sorted(truth.packed_models().items())[part::12]:
        workspace = Workspace()
        read = read_model(content, name)
        for number, called in enumerate((1, 1, 1, 2)):
            model = variant(read, number, called)
            for firmware in firmwares:
                assert workspace.footprint(model, firmware) == alone(model, firmware), name
        shared += sum(
            each is not None
            for network in workspace._alike_models()._networks.values()
            for each in network.found.values()
        )
        whole += sum(
            each is not None
            for network in workspace._alike_models()._networks.values()
            for each in network.footprints.values()
        )
    assert shared > 20
    assert whole > 10


def test_variants_have_one_verdict_on_a_board_unless_it_is_decided_otherwise() -> None:
    board, workspace = catalog()["arduino-nano-33-ble"], Workspace()
    first, second = (workspace.footprint(conv_model(name), FIRMWARES[0]) for name in ("one", "two"))
    assert first != second
    verdict = judge(first, board, Demands())
    assert judge(second, board, Demands()) is verdict
    assert (
        judge(first, board, Demands(Budget(flash=verdict.measures[0].used - 1))).outcome == "over"
    )
    smaller = replace(board, usable_flash=verdict.measures[0].used - 1)
    assert judge(first, smaller, Demands()).outcome == "over"
    larger = replace(first, ram_parts=(*first.ram_parts, Part("more", 10**6, "exact")))
    assert judge(larger, board, Demands()).outcome == "over"


def test_verdicts_of_many_networks_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_module, "_verdicts", {})
    monkeypatch.setattr(verdict_module, "_MOST_VERDICTS", 8)
    board = catalog()["arduino-nano-33-ble"]
    for filters in range(1, 20):
        judge(measure(conv_model("kws", filters), FIRMWARES[0]), board, Demands())
    assert len(verdict_module._verdicts) == 8


def test_what_a_plugin_gives_as_lists_is_judged_as_well() -> None:
    board, footprint = catalog()["arduino-nano-33-ble"], measure(conv_model("kws"), FIRMWARES[0])
    listed = replace(board, id="own", regions=cast("tuple[Region, ...]", list(board.regions)))
    parts = cast("tuple[Part, ...]", list(footprint.flash_parts))
    found = judge(replace(footprint, flash_parts=parts), listed, Demands())
    wanted = judge(footprint, replace(board, id="own"), Demands())
    assert (found.outcome, found.headline) == (wanted.outcome, wanted.headline)
    assert hash(Board(**{name: getattr(listed, name) for name in Board.__struct_fields__}))
