"""Operators that TFLM does not bring: another engine's, another chip's, the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmaker import ModelMaker
from small_projects import assert_all_commands_refuse

import pytest_tinybudget
from pytest_tinybudget import cli
from pytest_tinybudget.accelerators.coral import is_compiled
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.resolve import why_unresolved
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


Project = Callable[..., pytest.Pytester]

PICO = "raspberry-pi-pico"
M4 = RUNTIMES["m4_cmsisnn"]
DECLARATION = f'[models.kws]\nsource = "models/kws.tflite"\nboards = ["{PICO}"]\n'
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
CASE = SHARED / "cases" / "flex_atan.tflite"

#: What no TFLM can have, and a word of the way out.
FOREIGN = {
    "FlexAtan": "SELECT_TF_OPS",
    "FlexTensorListReserve": "SELECT_TF_OPS",
    "edgetpu-custom-op": "edgetpu_compiler",
    "TfLiteXNNPackDelegate": "delegate",
    "TFLite_Whatever": "allow_custom_ops",
    "NumericVerify": "QuantizationDebugger",
    "DISPATCH_OP": "compiler",
    "HashTableV2": "look words up in the firmware",
    "LookupTableFindV2": "look words up in the firmware",
}


def model_with(operator: str) -> bytes:
    """A dense layer and ``operator``."""
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.tensor((1, 8), name="hidden")
    graph.operator(operator, (graph.input((1, 8)),), (hidden,), {}, custom_options=b"\0")
    graph.output(graph.dense(hidden, units=2))
    return maker.build()


def named(operator: str, *, custom: bool = True) -> Operator:
    return Operator(0, operator, 0, custom, 1, (), ())


def check(folder: Path, content: bytes, more: str = "", board: str = PICO) -> PairResult:
    folder.joinpath("kws.tflite").write_bytes(content)
    text = f'[models.kws]\nsource = "kws.tflite"\nboards = ["{board}"]\n{more}'
    folder.joinpath("tinybudget.toml").write_text(text, encoding="utf-8")
    (pair,) = pairs("tinybudget.toml", load_declaration(folder / "tinybudget.toml"))
    assert isinstance(pair, Pair)
    return Gate(Workspace(cached=False)).check(pair)


def model_of(content: bytes) -> Model:
    return read_model(content, "kws")


# Whose an operator is


@pytest.mark.parametrize(("operator", "way_out"), FOREIGN.items())
def test_what_belongs_to_another_engine_is_refused_with_the_way_out(
    operator: str, way_out: str
) -> None:
    footprint = measure(model_of(model_with(operator)), M4)
    (refusal,) = footprint.refusals
    assert (refusal.stage, refusal.operator) == ("resolve", operator)
    assert way_out in refusal.reason
    assert footprint.unknown == ()  # nothing asks for a cost that would not help


@pytest.mark.parametrize("operator", FOREIGN)
def test_a_declared_cost_gives_no_kernel_to_what_belongs_to_another_engine(operator: str) -> None:
    costs = {operator: OperatorCost(1024, 1024, 1024)}
    assert simulate(model_of(model_with(operator)), Firmware(M4).with_costs(costs)).refusals


@pytest.mark.parametrize("operator", ["MyOp", "Mfcc", "Convolution2DTransposeBias", "flexible"])
def test_what_a_firmware_may_bring_itself_counts_where_it_is_declared(operator: str) -> None:
    model = model_of(model_with(operator))
    (refusal,) = simulate(model, M4).refusals
    assert f"[runtime.ops.{operator}]" in refusal.reason
    declared = simulate(model, Firmware(M4).with_costs({operator: OperatorCost()}))
    assert declared.arena is not None
    assert declared.unknown == ()


def test_every_operator_of_tflms_resolver_is_known() -> None:
    for name, custom in registrations():
        reason = why_unresolved(named(name, custom=custom), Firmware(M4.beside("ethos-u")))
        assert reason == "", name


def test_every_other_builtin_operator_is_refused_whatever_is_declared() -> None:
    names = [name for name in load_schema().operators if (name, False) not in registrations()]
    assert len(names) > 90
    for name in names:
        assert why_unresolved(
            named(name, custom=False), Firmware(M4).with_costs({name: OperatorCost()})
        ), name


@pytest.mark.parametrize("operator", ["HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_LOOKUP"])
def test_a_builtin_hash_table_is_refused_with_the_way_out(operator: str) -> None:
    assert "look words up" in why_unresolved(named(operator, custom=False), Firmware(M4))


def test_a_builtin_name_that_a_custom_operator_bears_is_not_tflms() -> None:
    assert why_unresolved(named("CONV_2D"), Firmware(M4)).startswith(
        "a custom operator that TFLM does"
    )


def test_detection_postprocessing_is_tflms_although_its_name_begins_as_delegates_do() -> None:
    assert why_unresolved(named("TFLite_Detection_PostProcess"), Firmware(M4)) == ""


def test_operators_of_a_table_that_was_built_with_them_are_bounded_not_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "pytest_tinybudget.footprint.resolve._in_own_table", lambda runtime: {"MyOp"}
    )
    simulation = simulate(model_of(model_with("MyOp")), M4)
    assert simulation.refusals == ()
    assert simulation.unknown[0].startswith("MyOp #0: no rule for this operator")


def test_every_use_is_refused_and_an_operator_is_declared_once(tmp_path: Path) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    values = graph.input((1, 8))
    for extent in (8, 4000):
        result = graph.tensor((1, extent))
        graph.operator("MyOp", (values,), (result,), {}, custom_options=b"\0")
        values = result
    graph.output(values)
    assert len(simulate(model_of(maker.build()), M4).refusals) == 2
    headers = [line for line in check(tmp_path, maker.build()).reasons if line.startswith("[")]
    assert headers == ["[runtime.ops.MyOp]"]


# Where it is


def test_a_tensor_of_no_operator_is_told_without_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = ModelMaker()
    main = maker.graph()
    main.output(main.logistic(main.input((1, 8))))
    called = maker.graph()
    called.output(called.tensor((1,), "STRING", name="text"))
    result = check(tmp_path, maker.build())
    assert result.outcome == "refused"
    assert "subgraph 1: tensor 'text'" in result.headline
    cli.main(["inspect", str(tmp_path / "kws.tflite")])
    cli.main(["explain", f"{tmp_path / 'tinybudget.toml'}::kws::{PICO}"])
    shown = capsys.readouterr().out
    assert "subgraph 1 (the model does not load): tensor 'text'" in shown
    assert "#-1" not in shown


def test_a_refusal_says_where_as_far_as_there_is_a_place() -> None:
    places = {
        ("ADD", 0, 3): "ADD #3",
        ("ADD", 2, 3): "ADD #3 of subgraph 2",
        ("", 1, -1): "subgraph 1",
        ("", 0, -1): "",
    }
    for (operator, subgraph, index), told in places.items():
        assert Refusal("load", operator, subgraph, index, "why").where == told


# Every command that measures


def test_the_gate_and_every_command_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = check(tmp_path, model_with("FlexAtan"))
    assert result.outcome == "refused"
    assert result.headline.startswith("TFLM would not find the operator: FlexAtan #0 (hidden): ")
    assert_all_commands_refuse("SELECT_TF_OPS", tmp_path, capsys)


def test_pytest_fails_it_and_the_fixture_and_the_results_file_agree(project: Project) -> None:
    pytester = project(DECLARATION, kws=model_with("FlexAtan"))
    pytester.makepyfile(
        f"def test_kws(tinybudget): tinybudget.check('models/kws.tflite', board={PICO!r})"
    )
    arguments = ("--tinybudget", "--tinybudget-json", "results.json")
    result = pytester.runpytest(*arguments)
    result.assert_outcomes(failed=2)
    found = json.loads(pytester.path.joinpath("results.json").read_text(encoding="utf-8"))
    assert [pair["outcome"] for pair in found["pairs"]] == ["refused", "refused"]


def test_the_api_refuses_it_and_takes_declared_costs(tmp_path: Path) -> None:
    path = tmp_path / "kws.tflite"
    path.write_bytes(model_with("MyOp"))
    assert pytest_tinybudget.check(path, board=PICO).outcome == "refused"
    cost = {"persistent": "1 KB", "scratch": 0, "flash": 4096}
    passed = pytest_tinybudget.check(path, board=PICO, operators={"MyOp": cost})
    assert passed.outcome == "fits"
    found = pytest_tinybudget.measure(path, board=PICO, operators={"MyOp": cost})
    assert passed.footprint is not None
    assert found.ram == passed.footprint.ram
    assert [part.bytes for part in found.flash_parts if "MyOp" in part.name] == [4096]
    with pytest.raises(pytest_tinybudget.TinybudgetError, match="did you mean 'scratch'"):
        pytest_tinybudget.check(path, board=PICO, operators={"MyOp": {"scrach": 0}})
    with pytest.raises(pytest_tinybudget.TinybudgetError, match="operators, MyOp: "):
        pytest_tinybudget.check(path, board=PICO, operators={"MyOp": {"scratch": "much"}})


def test_a_cost_on_the_command_line_counts_as_a_declared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    declared = '[runtime.ops.MyOp]\npersistent = "1 KB"\nflash = "4 KB"\n'
    result = check(tmp_path, model_with("MyOp"), declared)
    assert result.footprint is not None
    option = "--op=MyOp=1KB,0,4KB"
    assert cli.main(["inspect", "kws.tflite", "--board", PICO, "--json", option]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ram"]["used"] == result.footprint.ram
    assert cli.main(["carray", "kws.tflite", "-o", "out", "--board", PICO, option]) == 0
    assert result.footprint.arena is not None
    settings = (tmp_path / "out" / "kws_model_settings.h").read_text()
    assert f"KWS_TENSOR_ARENA_SIZE {result.footprint.arena.required}" in settings
    assert cli.main(["boards", "--fits", "kws.tflite", option, "nano"]) == 0
    arguments = ["kws.tflite", "--board", PICO, option]
    assert cli.main(["check", *arguments, "--json", "results.json"]) == 0
    (pair,) = json.loads((tmp_path / "results.json").read_text("utf-8"))["pairs"]
    assert pair["ram"]["used"] == result.footprint.ram
    assert cli.main(["explain", *arguments]) == 0


@pytest.mark.parametrize("text", ["MyOp", "MyOp=1KB", "=1,1,1", "MyOp=1,1,much", "MyOp=1,1,1,1"])
def test_a_cost_that_is_none_is_told(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kws.tflite"
    path.write_bytes(model_with("MyOp"))
    assert cli.main(["inspect", str(path), f"--op={text}"]) == 2
    assert "expected NAME=PERSISTENT,SCRATCH,FLASH" in capsys.readouterr().err


def test_the_array_alone_is_written_of_any_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kws.tflite").write_bytes(model_with("FlexAtan"))
    assert cli.main(["carray", "kws.tflite", "-o", "out"]) == 2
    assert "--array-only" in capsys.readouterr().err
    assert cli.main(["carray", "kws.tflite", "-o", "out", "--array-only"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {
        "kws_model_data.h", "kws_model_data.cc",
    }  # fmt: skip


# Boards with an accelerator


CORAL = '[boards.own]\nextends = "arduino-nano-33-ble"\naccelerator = "edge-tpu"\n'


def test_a_file_for_an_edge_tpu_is_right_on_a_board_that_has_one(tmp_path: Path) -> None:
    content = model_with("edgetpu-custom-op")
    assert is_compiled(model_of(content))
    result = check(tmp_path, content, CORAL, "own")
    assert result.outcome == "warns"
    assert [text.split(":")[0] for text in result.warnings] == ["bounded, not known"]
    assert result.notes[0] == "compiled for the Edge TPU; on the CPU: FULLY_CONNECTED (1)"
    refused = check(tmp_path, content)
    assert refused.outcome == "refused"
    assert "a board with an Edge TPU" in refused.headline


def test_a_tensorflow_operator_is_refused_beside_an_edge_tpu_as_well(tmp_path: Path) -> None:
    assert check(tmp_path, model_with("FlexAtan"), CORAL, "own").outcome == "refused"


@pytest.mark.skipif(not CASE.is_file(), reason="the shared cases are not part of the project")
def test_the_shared_case_of_a_tensorflow_operator_is_refused() -> None:
    refusals = measure(load_model(CASE), M4).refusals
    assert [each.operator for each in refusals] == ["FlexAtan"]
