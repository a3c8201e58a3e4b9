"""``verify`` with a float source: outputs in TFLM against the model before it was quantized."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelmaker import ModelMaker
from numpy.typing import NDArray

from pytest_tinybudget import cli
from pytest_tinybudget.evaluation.against_float import Departure
from pytest_tinybudget.evaluation.against_float import FloatComparison
from pytest_tinybudget.evaluation.operators import arena_bytes
from pytest_tinybudget.evaluation.worker.noise import against_float
from pytest_tinybudget.evaluation.worker.noise import aligned
from pytest_tinybudget.evaluation.worker.operators import constant_of
from pytest_tinybudget.evaluation.worker.operators import real_values
from pytest_tinybudget.gate.cross_check import RealRun
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.graph.closing import closed
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model


Array = NDArray[Any]
Damage = Callable[[dict[str, Any]], None]

SHARED = Path(__file__).parents[2] / "shared" / "models"
FITS = Verdict("fits", "flash ok; RAM ok", ())

needs_both = pytest.mark.skipif(
    find_spec("tflite_micro") is None or find_spec("ai_edge_litert") is None,
    reason="needs TFLM's interpreter and LiteRT",
)

CHANCE = np.random.default_rng(3)
WEIGHTS = CHANCE.normal(0, 0.3, (4, 3, 3, 2)).astype(np.float32)
BIAS = CHANCE.normal(0, 0.5, 4).astype(np.float32)
DENSE = CHANCE.normal(0, 0.2, (5, 64)).astype(np.float32)
DENSE_BIAS = CHANCE.normal(0, 0.5, 5).astype(np.float32)
SAMPLES = CHANCE.normal(0, 1, (8, 1, 6, 6, 2)).astype(np.float32)

CONV = {
    "padding": "VALID", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1,
    "dilation_w_factor": 1, "fused_activation_function": "RELU",
}  # fmt: skip


def float_network() -> bytes:
    """A convolution with ReLU, and a dense layer on it."""
    graph = (maker := ModelMaker()).graph()
    image = graph.input((1, 6, 6, 2), "FLOAT32")
    constants = [
        graph.constant(values.shape, "FLOAT32", values.ravel().tolist())
        for values in (WEIGHTS, BIAS, DENSE, DENSE_BIAS)
    ]
    features = graph.tensor((1, 4, 4, 4), "FLOAT32")
    result = graph.tensor((1, 5), "FLOAT32")
    graph.operator("CONV_2D", (image, *constants[:2]), (features,), CONV)
    graph.operator("FULLY_CONNECTED", (features, *constants[2:]), (result,), {})
    graph.output(result)
    return maker.build()


def features_of(sample: Array) -> Array:
    """The convolution of ``float_network``, in numpy."""
    windows = np.lib.stride_tricks.sliding_window_view(sample[0], (3, 3), axis=(0, 1))
    sums = np.einsum("hwcij,oijc->hwo", windows, WEIGHTS) + BIAS
    return np.maximum(sums, 0)


def int8_network(damage: Damage | None = None) -> bytes:
    """``float_network`` at INT8, calibrated with ``SAMPLES``; ``damage`` changes what is written.

    It gets the scales ``image``, ``features`` and ``result``, and the integers ``weights``,
    ``bias`` and ``dense``.
    """
    features = np.stack([features_of(each) for each in SAMPLES])
    results = features.reshape(len(SAMPLES), -1) @ DENSE.T + DENSE_BIAS
    scales = np.abs(WEIGHTS).max(axis=(1, 2, 3)) / 127
    dense_scale = float(np.abs(DENSE).max() / 127)
    image = float(np.abs(SAMPLES).max() / 127)
    made: dict[str, Any] = {
        "features": float(features.max() / 255),
        "result": float(np.abs(results).max() / 127),
        "weights": np.rint(WEIGHTS / scales[:, None, None, None]).astype(np.int8),
        "bias": np.rint(BIAS / (scales * image)).astype(np.int32),
        "dense": np.rint(DENSE / dense_scale).astype(np.int8),
    }
    dense_bias = np.rint(DENSE_BIAS / (dense_scale * made["features"])).astype(np.int32)
    if damage is not None:
        damage(made)
    graph = (maker := ModelMaker()).graph()
    source = graph.input((1, 6, 6, 2), scale=image)
    weights = graph.constant(
        WEIGHTS.shape, "INT8", made["weights"].ravel().tolist(), scale=scales.tolist()
    )
    bias = graph.constant((4,), "INT32", made["bias"].tolist(), scale=(scales * image).tolist())
    hidden = graph.tensor(
        (1, 4, 4, 4), scale=made["features"], zero_point=-128, name="net/features"
    )
    dense = graph.constant(DENSE.shape, "INT8", made["dense"].ravel().tolist(), scale=dense_scale)
    sums = graph.constant((5,), "INT32", dense_bias.tolist(), scale=dense_scale * made["features"])
    result = graph.tensor((1, 5), scale=made["result"], name="net/result")
    graph.operator("CONV_2D", (source, weights, bias), (hidden,), CONV)
    graph.operator("FULLY_CONNECTED", (hidden, dense, sums), (result,), {})
    graph.output(result)
    return maker.build()


def compared(content: bytes, float_content: bytes, samples: list[Any]) -> dict[str, Any]:
    """What the worker finds."""
    room = arena_bytes(read_model(content, "m"))
    return against_float(content, float_content, samples, samples, room)


@needs_both
def test_a_network_that_was_quantized_rightly_is_within_the_noise_of_its_scales() -> None:
    found = compared(int8_network(), float_network(), [[each] for each in SAMPLES])

    assert (found["why_not"], found["first"], found["samples"], found["tensors"]) == (
        "",
        None,
        8,
        2,
    )
    (output,) = found["outputs"]
    assert 0.3 < output["times"] < 1.5  # the noise that is foretold is the noise that comes


def negated_channel(made: dict[str, Any]) -> None:
    made["weights"][2] *= -1


def no_bias(made: dict[str, Any]) -> None:
    made["bias"][:] = 0


def channels_exchanged(made: dict[str, Any]) -> None:
    made["weights"][:] = np.roll(made["weights"], 1, axis=0)


def saturated(made: dict[str, Any]) -> None:
    made["features"] /= 4


def kernels_turned(made: dict[str, Any]) -> None:
    made["weights"][:] = made["weights"][:, ::-1]


def dense_row_negated(made: dict[str, Any]) -> None:
    made["dense"][3] *= -1


@needs_both
@pytest.mark.parametrize(
    ("damage", "operator"),
    [
        (negated_channel, ("CONV_2D", 0)),
        (no_bias, ("CONV_2D", 0)),
        (channels_exchanged, ("CONV_2D", 0)),
        (saturated, ("CONV_2D", 0)),
        (kernels_turned, ("CONV_2D", 0)),
        (dense_row_negated, ("FULLY_CONNECTED", 1)),
    ],
)
def test_damage_departs_at_the_operator_that_has_it(
    damage: Damage, operator: tuple[str, int]
) -> None:
    found = compared(int8_network(damage), float_network(), [[each] for each in SAMPLES])

    assert found["saturated"] or any(each["departs"] for each in found["outputs"])
    assert (found["first"]["name"], found["first"]["index"]) == operator


@needs_both
def test_a_division_by_what_may_be_stored_as_zero_is_not_judged() -> None:
    def divided(kind: str) -> bytes:
        graph = (maker := ModelMaker()).graph()
        left, right = graph.input((1, 4), kind), graph.input((1, 4), kind)
        result = graph.tensor((1, 4), kind)
        graph.operator("DIV", (left, right), (result,), {})
        graph.output(result)
        return maker.build()

    ones = np.ones((1, 4), np.float32)
    found = compared(divided("INT8"), divided("FLOAT32"), [[ones, ones / 64]])

    assert found["why_not"] == "DIV #0 divides by less than a step"


@needs_both
def test_a_few_numbers_beyond_the_range_of_other_samples_are_no_damage() -> None:
    def cut(share: float) -> Damage:
        features = np.stack([features_of(each) for each in SAMPLES])
        limit = float(np.quantile(features, 1 - share))
        return lambda made: made.update(features=limit / 255)

    few, many = (
        compared(int8_network(cut(share)), float_network(), [[each] for each in SAMPLES])
        for share in (0.02, 0.2)
    )

    assert (few["saturated"], few["outputs"][0]["departs"]) == (None, False)
    assert many["saturated"]["beyond"] == pytest.approx(0.2, abs=0.01)


@needs_both
def test_a_float_model_of_other_outputs_is_not_compared() -> None:
    graph = (maker := ModelMaker()).graph()
    graph.output(graph.dense(graph.input((1, 6, 6, 2), "FLOAT32"), units=7))

    found = compared(int8_network(), maker.build(), [[each] for each in SAMPLES])

    assert found["why_not"] == "its outputs are not those of the float model"


# Verdict and reports


WRONG = Departure("FULLY_CONNECTED", 1, "net/result", 0.53, 39.4, 3)
FIRST = Departure("CONV_2D", 0, "net/features", 0.9, 101, 6)


def test_outputs_that_depart_fail_a_pair_that_fits_and_name_the_first_operator() -> None:
    run = RealRun(source=FloatComparison("kws.keras (float)", 8, 2, 39.4, WRONG, FIRST))

    verdict = run.applied_to(FITS)

    assert verdict.outcome == "unmet"
    assert verdict.headline == (
        "verify: its outputs are not those of kws.keras (float): FULLY_CONNECTED #1 (net/result) "
        "is off by 53%, 39.4 times what its scales explain (at most 3); the first to depart is "
        "CONV_2D #0 (net/features), off by 90%, 101 times what its scales explain (at most 6)"
    )


def test_what_departs_inside_and_not_at_the_outputs_is_a_note() -> None:
    run = RealRun(source=FloatComparison("kws.keras (float)", 8, 2, 0.7, None, FIRST))

    assert run.applied_to(FITS) is FITS
    assert [note.partition(":")[0] for note in run.notes] == ["verify", "verify"]
    assert "no output shows it" in run.notes[1]


def test_what_could_not_be_compared_is_a_warning() -> None:
    run = RealRun(source=FloatComparison("kws.keras (float)", why_not="WHILE has no twin"))

    assert run.doubts == ("verify: outputs not compared with kws.keras (float): WHILE has no twin",)


PAIR = "tinybudget.toml::net::arduino-nano-33-ble"
DECLARED = """
[models.net]
source = "models/net.tflite"
boards = ["arduino-nano-33-ble"]
runtime = "tflite-micro 90b983c2"

[models.net.accuracy]
data = "held_out.npz"
metric = "mse"
max = 100
reference = "models/float.tflite"
"""


@needs_both
@pytest.mark.parametrize(("damage", "failed"), [(None, 0), (negated_channel, 1)])
def test_the_command_line_holds_a_file_to_its_declared_reference(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Damage | None,
    failed: int,
) -> None:
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "models"
    folder.mkdir()
    folder.joinpath("net.tflite").write_bytes(int8_network(damage))
    folder.joinpath("float.tflite").write_bytes(float_network())
    np.savez(tmp_path / "held_out.npz", x=SAMPLES[:, 0], y=np.zeros((8, 5), np.float32))
    tmp_path.joinpath("tinybudget.toml").write_text(DECLARED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert cli.main(["check", PAIR, "--verify", "--json=out.json"]) == failed

    capsys.readouterr()
    (pair,) = json.loads(Path("out.json").read_text(encoding="utf-8"))["pairs"]
    if failed:
        assert pair["outcome"] == "unmet"
        assert "its outputs are not those of models/float.tflite" in pair["headline"]
        assert "CONV_2D #0 (net/features)" in pair["headline"]
    else:
        held = "verify: outputs held to models/float.tflite on 8 samples"
        assert any(note.startswith(held) for note in pair["notes"])


# All pairs that are at hand


def twins() -> list[tuple[Path, Path]]:
    """The shared quantized models with the float ones beside them."""
    found = []
    for path in sorted(SHARED.glob("*_i*8.tflite")) + sorted(SHARED.glob("*_int8.tflite")):
        stem = path.stem.rpartition("_")[0]
        for ending in ("_f", "_fp32", ""):
            other = SHARED / f"{stem}{ending}.tflite"
            if other.is_file():
                found.append((path, other))
    return found


def is_twin(path: Path, other: Path) -> bool:
    """Whether the weights are the same: some pairs were trained apart."""
    model, source = load_model(path), closed(load_model(other), {}, whole=True)
    for operator, index, twin in aligned(model, source):
        (made,) = [each for each in source.main.operators if twin in each.outputs]
        assert index in operator.outputs
        for mine, theirs in zip(operator.inputs[1:2], made.inputs[1:2], strict=False):
            tensor, real = model.main.tensors[mine], source.main.tensors[theirs]
            if tensor.is_constant and tensor.quantization.scales and real.type == "FLOAT32":
                apart = np.abs(real_values(constant_of(tensor), tensor) - constant_of(real)).max()
                if apart > 1.01 * max(tensor.quantization.scales):
                    return False
    return True


@pytest.mark.campaign
@needs_both
@pytest.mark.parametrize(("path", "other"), twins(), ids=lambda path: path.stem)
def test_shared_models_are_within_the_noise_of_their_scales(path: Path, other: Path) -> None:
    if not is_twin(path, other):
        pytest.skip("trained apart")
    if path.stem == "mlperf_kws_int8":
        pytest.skip("made for features of speech: random numbers leave its ranges")
    model = load_model(path)
    chance = np.random.default_rng(1)
    samples = []
    for _ in range(32):
        sample = []
        for index in model.main.inputs:
            tensor = model.main.tensors[index]
            # Their ranges came of a few standard normal samples.
            numbers = chance.normal(0, 0.7, tensor.shape).astype(np.float32)
            sample.append(numbers)
        samples.append(sample)
    try:
        found = compared(model.content, closed(load_model(other), {}, whole=True).content, samples)
    except RuntimeError as error:
        pytest.skip(f"TFLM refuses it: {error}")
    assert not [each for each in found.get("outputs", ()) if each["departs"]]
