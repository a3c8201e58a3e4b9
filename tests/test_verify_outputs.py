"""``verify``: what each operator gives in TFLM, held to LiteRT's on the same inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from campaigns import every
from conftest import keyword_model
from modelmaker import ModelMaker
from wide_models import wide

from pytest_tinybudget import cli
from pytest_tinybudget.evaluation import operators
from pytest_tinybudget.evaluation.interpreters import untold_bias
from pytest_tinybudget.evaluation.operators import Comparison
from pytest_tinybudget.evaluation.operators import Difference
from pytest_tinybudget.evaluation.operators import compare_operators
from pytest_tinybudget.gate.cross_check import RealRun
from pytest_tinybudget.gate.cross_check import cross_check
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.graph.cutting import alone
from pytest_tinybudget.graph.cutting import given_to
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model


Project = Callable[..., pytest.Pytester]

SHARED = Path(__file__).parents[2] / "shared" / "models"
FITS = Verdict("fits", "flash ok; RAM ok", ())

needs_both = pytest.mark.skipif(
    find_spec("tflite_micro") is None or find_spec("ai_edge_litert") is None,
    reason="needs TFLM's interpreter and LiteRT",
)


def dilated(zero_point: int = 5, padding: int = 2) -> bytes:
    """A dilated convolution as a converter writes it for an open batch, after an addition."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 2), zero_point=zero_point)
    start = graph.add(image, image)
    size = (8 + 2 * padding) // 2
    block = graph.constant((2,), values=(2, 2))
    pads = graph.constant((2, 2), values=(padding,) * 4)
    blocks = graph.tensor((4, size, size, 2), zero_point=zero_point, name="net/dilated/blocks")
    graph.operator("SPACE_TO_BATCH_ND", (start, block, pads), (blocks,))
    convolved = graph.conv2d(blocks, filters=2)
    spec = graph.tensors[convolved]
    none = graph.constant((2, 2))
    _, height, width, channels = spec.shape
    joined = graph.tensor((1, 2 * height, 2 * width, channels), zero_point=spec.zero_points[0])
    graph.operator("BATCH_TO_SPACE_ND", (convolved, block, none), (joined,))
    graph.output(joined)
    return maker.build()


def test_a_bias_that_lite_reads_as_another_type_is_named() -> None:
    assert "CONV_2D #0: its option" in untold_bias(read_model(wide("INT32", None), "m"))


@pytest.mark.parametrize(
    ("bias", "told"), [("INT32", "INT32"), ("INT64", None), ("INT64", "INT64")]
)
def test_a_bias_that_lite_reads_as_it_is_gives_no_warning(bias: str, told: str | None) -> None:
    assert untold_bias(read_model(wide(bias, told), "m")) == ""


@needs_both
def test_verify_warns_of_an_untold_bias_and_finds_tflm_right() -> None:
    run = cross_check(read_model(wide("INT32", None), "m"))
    assert run.doubt.startswith("verify: CONV_2D #0: its option quantized_bias_type")
    assert run.outputs is not None
    assert run.outputs.first is None
    assert any("TFLM is within" in note for note in run.outputs.notes)


# Operators


@needs_both
def test_a_dilated_convolution_with_padding_fails_with_its_space_to_batch():
    found = compare_operators(read_model(dilated(), "dilated"))

    assert found.why_not == ""
    assert found.first is not None
    assert (found.first.index, found.first.name) == (1, "SPACE_TO_BATCH_ND")
    # TFLM stores 0 where the real number 0 is 5: five steps, and padding rounds nothing.
    assert (found.first.steps, found.first.allowed) == (5.0, 0.0)
    assert found.first.from_real == pytest.approx(5, abs=0.01)
    assert found.first.text == (
        "SPACE_TO_BATCH_ND #1 (net/dilated/blocks): 5 steps from LiteRT (at most 0 by rounding), "
        "5.0 from the real number"
    )


@needs_both
@pytest.mark.parametrize(("zero_point", "padding"), [(0, 2), (5, 0)])
def test_without_padding_or_at_zero_point_0_it_passes(zero_point: int, padding: int):
    found = compare_operators(read_model(dilated(zero_point, padding), "dilated"))

    assert (found.first, found.compared, found.operators) == (None, 4, 4)


@needs_both
def test_a_model_whose_operators_round_alike_passes():
    found = compare_operators(read_model(keyword_model(), "kws"))

    assert (found.first, found.why_not, found.notes) == (None, "", ())
    assert found.compared == found.operators > 3


def int8_models() -> list[Path]:
    """The shared models that are quantized; what TFLM refuses among them is told, not compared."""
    every = [*SHARED.glob("*i8.tflite"), *SHARED.glob("*_i16.tflite"), *SHARED.glob("*int8.tflite"),
             *SHARED.glob("mww_*.tflite"), *SHARED.glob("*quantized.tflite"),
             *SHARED.glob("person_detect.tflite")]  # fmt: skip
    return sorted({*every})


@needs_both
@pytest.mark.parametrize("path", every(40, int8_models()), ids=lambda path: path.stem)
def test_quantized_models_of_others_pass_or_say_what_was_not_compared(path: Path):
    found = compare_operators(load_model(path))

    assert found.first is None, found.first and found.first.text
    assert found.why_not or found.compared == found.operators or found.notes


@needs_both
def test_operators_with_a_state_of_their_own_are_compared_over_several_invocations():
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.lstm(graph.input((1, 3, 4)), units=4))

    found = compare_operators(read_model(maker.build(), "lstm"))

    assert (found.first, found.compared, found.operators) == (None, 1, 1)


@needs_both
def test_what_has_no_steps_is_told_as_not_compared():
    maker = ModelMaker()
    graph = maker.graph()
    value = graph.input((1, 4), "FLOAT32")
    graph.output(graph.add(value, value))

    found = compare_operators(read_model(maker.build(), "float"))

    assert (found.compared, found.operators) == (0, 1)
    (note,) = found.notes
    assert note == (
        "outputs of 1 of 1 operators not compared: ADD (it computes in floating point, which has "
        "no steps)"
    )


def test_an_operator_cut_out_takes_what_others_compute_and_keeps_its_constants():
    model = read_model(dilated(), "dilated")
    operator = model.main.operators[2]
    assert operator.name == "CONV_2D"

    cut = read_model(alone(take_apart(model.content, "m"), operator, model.main), "cut").main

    (only,) = cut.operators
    (given,) = given_to(operator, model.main)
    assert (only.name, only.options) == ("CONV_2D", operator.options)
    assert [cut.tensors[index].name for index in cut.inputs] == [model.main.tensors[given].name]
    for mine, original in zip(only.inputs[1:], operator.inputs[1:], strict=True):
        assert cut.tensors[mine].data == model.main.tensors[original].data
        assert cut.tensors[mine].quantization == model.main.tensors[original].quantization


def test_an_operator_that_ends_litert_is_left_out_and_the_others_are_compared(
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[list[int]] = []

    def ran(_model: object, crashed: list[int]) -> object:
        asked.append([*crashed])
        if not crashed:
            return None, 1, "ended by SIGSEGV"
        base = {"output": "x", "steps": 0.0, "allowed": 1.0}
        return [
            {**base, "index": 0, "name": "ADD", "state": "agrees"},
            {**base, "index": 1, "name": "SVDF", "state": "not compared", "why": "it crashed"},
        ], -1, ""  # fmt: skip

    monkeypatch.setattr(operators, "_ran", ran)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)

    found = compare_operators(read_model(keyword_model(), "kws"))

    assert asked == [[], [1]]
    assert (found.compared, found.operators, found.first) == (1, 2, None)
    assert found.notes == ("outputs of 1 of 2 operators not compared: SVDF (it crashed)",)


# Verdicts


def test_a_difference_beyond_rounding_fails_a_pair_that_fits():
    first = Difference(2, "ADD", "net/add", 3, 1)
    run = RealRun(head=8, simulated_head=8, outputs=Comparison(4, 4, first))

    verdict = run.applied_to(FITS)

    assert verdict.outcome == "unmet"
    assert verdict.headline == (
        "verify: TFLM computes something else: ADD #2 (net/add): 3 steps from LiteRT "
        "(at most 1 by rounding)"
    )


DECLARED = """
[models.kws]
source = "models/kws.tflite"
boards = ["arduino-nano-33-ble"]
runtime = "tflite-micro 90b983c2"
"""


@needs_both
def test_the_plugin_and_the_command_line_agree(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pytester = project(DECLARED)
    pytester.runpytest("--tinybudget", "--tinybudget-verify").assert_outcomes(passed=1)
    monkeypatch.chdir(pytester.path)

    assert cli.main(["check", "--verify", "--json", "out.json"]) == 0

    capsys.readouterr()
    (pair,) = json.loads(Path("out.json").read_text(encoding="utf-8"))["pairs"]
    count = len(read_model(keyword_model(), "kws").main.operators)
    assert (
        f"verify: outputs of {count} of {count} operators held to LiteRT's in TFLM's interpreter, "
        "on the same inputs"
    ) in pair["notes"]


@needs_both
def test_inspect_verifies_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    wrong, right = tmp_path / "dilated.tflite", tmp_path / "kws.tflite"
    wrong.write_bytes(dilated())
    right.write_bytes(keyword_model())

    assert cli.main(["inspect", str(right), "--verify"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "in TFLM's interpreter" in shown
    assert "verify: outputs not compared with a float model, because none is named" in shown
    assert cli.main(["inspect", str(wrong), "--verify", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["verify"]

    assert "SPACE_TO_BATCH_ND #1" in told["failure"]
    assert (told["compared"], told["operators"]) == (4, 4)
    assert cli.main(["inspect", str(wrong), "--json"]) == 0
    assert "verify" not in json.loads(capsys.readouterr().out)


def test_without_litert_a_warning_says_that_nothing_was_compared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ai_edge_litert" else name
    )

    outputs = compare_operators(read_model(keyword_model(), "kws"))

    assert outputs.compared == 0
    assert RealRun(outputs=outputs).doubt == (
        "verify: outputs not compared: LiteRT is not installed (pytest-tinybudget[accuracy])"
    )
