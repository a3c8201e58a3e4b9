"""Models that a version of TFLM computes wrongly without an error: how it is told and avoided."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmaker import Graph
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import find_version
from pytest_tinybudget.runtimes.versions import version
from pytest_tinybudget.workspace import Workspace


def dense_per_channel() -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4, per_channel=True))
    return maker.build()


def declared(folder: Path, runtime: str, source: str = "dense.tflite", more: str = "") -> Path:
    folder.joinpath(source).write_bytes(dense_per_channel())
    path = folder / "tinybudget.toml"
    path.write_text(
        f'[models.dense]\nsource = "{source}"\nboards = ["arduino-nano-33-ble"]\n'
        f'runtime = "{runtime}"\n{more}',
        encoding="utf-8",
    )
    return path


def test_a_model_that_the_version_computes_wrongly_fails_with_a_code_of_its_own(
    tmp_path: Path,
) -> None:
    (pair,) = pairs("tinybudget.toml", load_declaration(declared(tmp_path, "arduino-tflm 2023-12")))
    result = Gate(Workspace(cached=False)).check(pair)
    assert (result.outcome, result.codes) == ("refused", ("TB012",))
    for words in (
        "FULLY_CONNECTED #0",
        "its weights are quantized per channel, and it computes with the first scale",
        "right since TFLM 47b54507 (2024-09-27), in no release of arduino-tflm",
        "per_channel_dense = false",
    ):
        assert words in result.headline


def test_the_first_release_of_the_same_distribution_is_named(tmp_path: Path) -> None:
    path = declared(tmp_path, "zephyr 3.6")
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    assert "(2024-09-27), zephyr 4.1;" in Gate(Workspace(cached=False)).check(pair).headline


def test_of_an_upstream_version_every_distribution_is_named(tmp_path: Path) -> None:
    own = '[runtime.own]\nextends = "m4_cmsisnn"\ntflm = "c12bd762"\n'
    (pair,) = pairs("tinybudget.toml", load_declaration(declared(tmp_path, "own", more=own)))
    message = Gate(Workspace(cached=False)).check(pair).headline
    assert "esp-tflite-micro 1.3.2, pico-tflmicro dfea53b, zephyr 4.1;" in message


@pytest.mark.parametrize("runtime", ["zephyr 4.1", "tflite-micro 90b983c2"])
def test_later_versions_run_it(runtime: str, tmp_path: Path) -> None:
    (pair,) = pairs("tinybudget.toml", load_declaration(declared(tmp_path, runtime)))
    assert Gate(Workspace(cached=False)).check(pair).outcome != "refused"


def test_every_file_and_report_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, junit, page = (tmp_path / name for name in ("r.json", "j.xml", "p.html"))
    path = declared(tmp_path, "arduino-tflm 2023-12")
    files = ["--json", str(results), "--junit-xml", str(junit), "--html", str(page)]
    assert main(["check", str(path), *files]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    (pair,) = json.loads(results.read_text(encoding="utf-8"))["pairs"]
    (refusal,) = pair["refusals"]
    assert pair["codes"] == ["TB012"]
    assert (refusal["stage"], refusal["right_since"]) == ("outdated", "47b54507")
    mended = "right since TFLM 47b54507 (2024-09-27), in no release of arduino-tflm"
    assert mended in shown
    assert mended in " ".join(junit.read_text(encoding="utf-8").split())
    assert mended in " ".join(page.read_text(encoding="utf-8").split())
    assert main(["report", str(results), "--format", "markdown"]) == 0
    assert "TFLM 47b54507" in capsys.readouterr().out
    assert main(["explain", "TB012"]) == 0
    assert "this version of TFLM computes the model wrongly" in capsys.readouterr().out


# Conversions


def conversion_of(path: Path) -> tuple[bool, str]:
    model = load_declaration(path).models["dense"]
    return model.conversion.scales_per_channel, model.conversion.per_tensor_for


def test_a_conversion_makes_dense_layers_that_the_declared_runtime_runs(tmp_path: Path) -> None:
    path = declared(tmp_path, "arduino-tflm 2023-12", "net.keras")
    assert conversion_of(path) == (False, "arduino-tflm 2023-12")


def test_versions_that_refuse_dense_layers_per_channel_get_others_as_well(tmp_path: Path) -> None:
    assert conversion_of(declared(tmp_path, "zephyr 3.7", "net.keras")) == (False, "zephyr 3.7")


def test_one_runtime_of_several_boards_is_enough(tmp_path: Path) -> None:
    own = '[boards.old]\nextends = "arduino-nano-33-ble"\nruntime = "arduino-tflm 2023-12"\n'
    path = declared(tmp_path, "", "net.keras", own)
    text = path.read_text(encoding="utf-8").replace('runtime = ""\n', "")
    path.write_text(text.replace('["arduino-nano-33-ble"]', '["arduino-nano-33-ble", "old"]'))
    assert conversion_of(path) == (False, "arduino-tflm 2023-12")


@pytest.mark.parametrize("runtime", ["zephyr 4.1", "m4_cmsisnn"])
def test_versions_that_run_them_get_a_scale_for_each_output(runtime: str, tmp_path: Path) -> None:
    assert conversion_of(declared(tmp_path, runtime, "net.keras")) == (True, "")


def test_who_declares_it_decides(tmp_path: Path) -> None:
    path = declared(tmp_path, "arduino-tflm 2023-12", "net.keras", "per_channel_dense = true\n")
    assert conversion_of(path) == (True, "")


# Against the packages of tflite-micro: TINYBUDGET_TFLM_PACKAGES is STAMP=PYTHON,STAMP=PYTHON,…,
# where PYTHON has the package 0.devSTAMP. Those of before 2025 import TensorFlow, which is why no
# test installs them.

PACKAGES = [
    each.split("=", 1)
    for each in os.environ.get("TINYBUDGET_TFLM_PACKAGES", "").split(",")
    if "=" in each
]
RUN = """
import json, sys
import numpy as np
from tflite_micro import runtime
try:
    interpreter = runtime.Interpreter.from_bytes(open(sys.argv[1], "rb").read(), arena_size=60000)
    for index in range(int(sys.argv[2])):
        details = interpreter.get_input_details(index)
        values = 9 * (np.arange(np.prod(details["shape"])) + 1)
        interpreter.set_input(values.reshape(details["shape"]).astype(details["dtype"]), index)
    interpreter.invoke()
    print(json.dumps(np.asarray(interpreter.get_output(0)).ravel().astype(float).tolist()))
except RuntimeError:
    print(json.dumps("failed"))
"""


def scaled_dense(graph: Graph) -> int:
    source = graph.input((1, 8), scale=0.05)
    scales = [0.01, 0.02, 0.04, 0.08]
    values = [(index * 37) % 100 - 50 for index in range(32)]
    weights = graph.constant((4, 8), "INT8", values, scale=scales, dimension=0)
    bias_scales = [0.05 * scale for scale in scales]
    bias = graph.constant((4,), "INT32", [0] * 4, scale=bias_scales, dimension=0)
    result = graph.tensor((1, 4), scale=0.1)
    graph.operator("FULLY_CONNECTED", (source, weights, bias), (result,))
    return result


def activated_transposed_convolution(graph: Graph) -> int:
    source = graph.input((1, 2, 2, 1), scale=0.1)
    shape = graph.constant((4,), "INT32", [1, 4, 4, 1])
    weights = graph.constant((1, 2, 2, 1), "INT8", [10, -10, 10, -10], scale=0.1)
    result = graph.tensor((1, 4, 4, 1), scale=0.1)
    options = {
        "stride_h": 2, "stride_w": 2, "padding": "VALID", "fused_activation_function": "RELU",
    }  # fmt: skip
    graph.operator("TRANSPOSE_CONV", (shape, weights, source), (result,), options, version=3)
    return result


def batches_by_one_matrix(graph: Graph) -> int:
    left = graph.input((2, 3, 2), type="FLOAT32", scale=None)
    right = graph.input((1, 3, 4), type="FLOAT32", scale=None)
    result = graph.tensor((2, 2, 4), "FLOAT32", scale=None)
    graph.operator("BATCH_MATMUL", (left, right), (result,), {"adj_x": True, "adj_y": False})
    return result


def resized_by_half_pixels(graph: Graph, size: tuple[int, int] = (3, 9)) -> int:
    source = graph.input((1, 6, 6, 1))
    wanted = graph.constant((2,), values=size)
    result = graph.tensor((1, *size, 1))
    options = {"align_corners": False, "half_pixel_centers": True}
    graph.operator("RESIZE_NEAREST_NEIGHBOR", (source, wanted), (result,), options)
    return result


def sum_along_three_axes(graph: Graph) -> int:
    source = graph.input((1, 2, 3, 2), type="FLOAT32", scale=None)
    axes = graph.constant((3,), values=[0, 1, 2])
    result = graph.tensor((2,), "FLOAT32", scale=None)
    graph.operator("SUM", (source, axes), (result,), {"keep_dims": False})
    return result


def long_int16_sum(graph: Graph, weight: int = 127) -> int:
    source = graph.input((1, 2400), "INT16")
    weights = graph.constant((1, 2400), "INT8", [weight] * 2400, scale=1e-6)
    result = graph.tensor((1, 1), "INT16")
    graph.operator("FULLY_CONNECTED", (source, weights, -1), (result,), {})
    return result


FAULTS = {
    "ef48280f": resized_by_half_pixels,
    "0efdd51a": sum_along_three_axes,
    "7ca66d18": long_int16_sum,
    "47b54507": scaled_dense,
    "5b93e5b3": activated_transposed_convolution,
    "c36885e9": batches_by_one_matrix,
}


def outputs(python: str, path: Path, inputs: int) -> object:
    done = subprocess.run(
        [python, "-c", RUN, str(path), str(inputs)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def made(build: Callable[[Graph], int]) -> tuple[bytes, int]:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(build(graph))
    return maker.build(), len(graph.inputs)


def stages_at(content: bytes, date: str) -> list[str]:
    runtime = RUNTIMES["m4_ref"]
    tflm = Tflm(version("of the day", date, changes("tflm")))
    refusals = simulate(read_model(content, "model"), replace(runtime, tflm=tflm)).refusals
    return [each.stage for each in refusals]


@pytest.mark.parametrize(("commit", "build"), FAULTS.items())
def test_a_fault_is_there_until_the_commit_that_mended_it(
    commit: str, build: Callable[[Graph], int]
) -> None:
    content, _ = made(build)
    (mended,) = {each.date for each in changes("tflm") if each.commit == commit}
    before = max(each.date for each in changes("tflm") if each.date < mended)
    assert stages_at(content, before) != []
    assert stages_at(content, mended) == []


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("build", FAULTS.values())
def test_the_package_of_a_day_computes_as_is_said(
    build: Callable[[Graph], int], package: list[str], tmp_path: Path
) -> None:
    stamp, python = package
    content, inputs = made(build)
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    found, right = outputs(python, path, inputs), outputs(sys.executable, path, inputs)
    day = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[8:10]}:{stamp[10:12]}"
    stages = stages_at(content, day)
    outcome = "failed" if found == "failed" else "right" if found == right else "wrong"
    expected = {"outdated": "wrong", "prepare": "failed", "resolve": "failed"}
    assert outcome == (expected[stages[0]] if stages else "right")


@pytest.mark.parametrize(
    "build",
    [
        lambda graph: resized_by_half_pixels(graph, (12, 18)),  # whole factors
        lambda graph: graph.mean(graph.input((1, 4, 4, 2)), axes=[1, 2]),
        lambda graph: long_int16_sum(graph, weight=20),
    ],
)
def test_what_comes_out_the_same_before_is_not_refused(build: Callable[[Graph], int]) -> None:
    assert stages_at(made(build)[0], "2026-01-15T00:00") == []


# By history: what was read in the sources and seen nowhere says so.


def refusals_of(build: Callable[[Graph], int], runtime: str, tmp_path: Path) -> list[Any]:
    path = declared(tmp_path, runtime)
    tmp_path.joinpath("dense.tflite").write_bytes(made(build)[0])
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    result = Gate(Workspace(cached=False)).check(pair)
    assert result.codes == ("TB012",)
    assert result.footprint is not None
    return list(result.footprint.refusals)


def grouped(graph: Graph) -> int:
    return graph.conv2d(graph.input((1, 6, 6, 8)), filters=4, groups=2)


def test_a_fault_that_nobody_saw_is_told_as_read_from_the_history(tmp_path: Path) -> None:
    (refusal,) = refusals_of(grouped, "arduino-tflm 2023-12", tmp_path)
    assert refusal.by_history
    assert "(by history, not measured); right since TFLM" in refusal.reason


def test_a_fault_that_was_seen_is_told_without(tmp_path: Path) -> None:
    (refusal,) = refusals_of(sum_along_three_axes, "arduino-tflm 2023-12", tmp_path)
    assert not refusal.by_history
    assert "by history" not in refusal.reason


def test_a_version_that_nobody_measured_says_so_wherever_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (refusal,) = refusals_of(sum_along_three_axes, "zephyr 4.1", tmp_path)
    assert refusal.by_history
    assert main(["check", str(tmp_path / "tinybudget.toml"), "--json", str(tmp_path / "r")]) == 1
    (pair,) = json.loads((tmp_path / "r").read_text(encoding="utf-8"))["pairs"]
    assert pair["refusals"][0]["by_history"]
    assert pair["identity"]["by_history"]
    capsys.readouterr()
    assert main(["runtime", "show", "zephyr 4.1"]) == 0
    assert "(by history, not measured)" in " ".join(capsys.readouterr().out.split())
    assert main(["runtime", "show", "arduino-tflm 2023-12"]) == 0
    assert "by history" not in capsys.readouterr().out


# Seen in builds of older versions, from August 2021 and June 2022.


def activated_depthwise(graph: Graph, scale: float = 0.1, batches: int = 1) -> int:
    source = graph.input((batches, 6, 6, 2), scale=0.1)
    result = graph.depthwise_conv2d(source, activation="RELU6" if batches == 1 else "NONE")
    graph.tensors[result].scales = (scale,)
    graph.tensors[result].zero_points = (-128,)
    return result


def transposed(graph: Graph) -> int:
    source = graph.input((1, 3, 3, 1))
    shape = graph.constant((4,), values=[1, 3, 3, 1])
    weights = graph.constant((1, 3, 3, 1), "INT8", [1] * 9, scale=0.01)
    result = graph.tensor((1, 3, 3, 1))
    options = {"stride_h": 1, "stride_w": 1, "padding": "SAME"}
    graph.operator("TRANSPOSE_CONV", (shape, weights, source), (result,), options, version=3)
    return result


def sequence(graph: Graph, zero_point: int = 5) -> int:
    result = graph.lstm(graph.input((1, 3, 4)), units=3)
    for spec in graph.tensors:
        # The state, and what the kernel writes it as: an intermediate tensor of no size.
        if spec.type == "INT8" and (spec.is_variable or spec.shape == (0,)):
            spec.zero_points = (zero_point,)
    return result


def unread_input(graph: Graph) -> int:
    source = graph.input((1, 32))
    graph.input((1, 64))
    return graph.unary("RELU", source)


def quantized_sum(graph: Graph) -> int:
    source = graph.input((1, 4, 4, 2))
    result = graph.tensor((1, 2))
    axes = graph.constant((2,), values=[1, 2])
    graph.operator("SUM", (source, axes), (result,), {"keep_dims": False})
    return result


def wide_convolution(graph: Graph) -> int:
    return graph.conv2d(graph.input((1, 4, 4, 2), "INT16"), filters=2)


def wide_depthwise(graph: Graph) -> int:
    return graph.depthwise_conv2d(graph.input((1, 4, 4, 2), "INT16"))


def faults_at(build: Callable[[Graph], int], date: str, name: str = "m4_cmsisnn") -> list[str]:
    tflm = Tflm(version("of the day", date, changes("tflm")))
    dated = replace(RUNTIMES[name], tflm=tflm)
    refusals = simulate(read_model(made(build)[0], "model"), dated).refusals
    return [each.reason for each in refusals if each.stage == "outdated"]


@pytest.mark.parametrize(
    ("build", "name", "wrong", "mended", "says"),
    [
        (activated_depthwise, "m4_cmsisnn", "2021-08-05", "2022-01-28", "fused RELU6 is left out"),
        (
            lambda graph: activated_depthwise(graph, batches=2),
            "m4_cmsisnn", "2021-08-05", "2022-01-28", "the first of several batches alone",
        ),
        (transposed, "m4_ref", "2021-08-05", "2021-12-09", "reads the options of CONV_2D"),
        (wide_convolution, "m4_cmsisnn", "2021-08-05", "2022-03-30", "an unset pointer points"),
        (wide_depthwise, "m4_cmsisnn", "2021-08-05", "2022-05-12", "an unset pointer points"),
        (sequence, "m4_ref", "2022-06-07", "2022-09-07", "the zero point of its state off"),
        (quantized_sum, "m4_ref", "2023-02-28", "2023-03-02", "wraps around"),
        (unread_input, "m4_ref", "2021-08-05", "2022-11-19", "nothing reads 'graph0/t1'"),
        (unread_input, "m4_ref", "2022-06-07", "2022-11-19", "it lies over 'graph0/t0'"),
    ],
)  # fmt: skip
def test_a_fault_of_the_years_before_is_told_until_it_was_mended(
    build: Callable[[Graph], int], name: str, wrong: str, mended: str, says: str
) -> None:
    (reason,) = faults_at(build, f"{wrong}T20:29", name)
    assert says in reason
    assert "right since" in reason
    assert faults_at(build, f"{mended}T20:29", name) == []


@pytest.mark.parametrize(
    "build",
    [
        lambda graph: activated_depthwise(graph, scale=6 / 255),
        lambda graph: graph.unary("RELU", graph.input((1, 32))),
    ],
)
def test_what_the_fault_does_not_change_is_not_told(build: Callable[[Graph], int]) -> None:
    assert faults_at(build, "2021-08-05T20:29") == []


@pytest.mark.parametrize("build", [wide_convolution, wide_depthwise])
def test_int16_kernels_that_are_not_there_yet_or_no_cmsis_nn_have_no_such_fault(
    build: Callable[[Graph], int],
) -> None:
    assert faults_at(build, "2021-06-01T20:29") == []
    assert stages_at(made(build)[0], "2021-06-01T20:29") == ["invoke"]
    assert faults_at(build, "2021-08-05T20:29", "m4_ref") == []


def test_a_state_without_a_zero_point_is_right_in_every_version() -> None:
    def plain(graph: Graph) -> int:
        return sequence(graph, zero_point=0)

    assert faults_at(plain, "2022-06-07T20:29", "m4_ref") == []


# What no version computes rightly: GREATER of INT16, and activations of INT32 sums.


def greater_int16(graph: Graph) -> int:
    sources = [graph.input(shape, "INT16") for shape in ((1, 4), (1, 1))]
    result = graph.tensor((1, 4), "BOOL", scale=())
    graph.operator("GREATER", sources, (result,))
    return result


def clamped_int32_sum(graph: Graph, activation: str = "RELU6", kind: str = "INT32") -> int:
    sources = [graph.input((1, 4), kind), graph.input((1, 4), kind)]
    result = graph.tensor((1, 4), kind)
    options = {"fused_activation_function": activation}
    graph.operator("ADD", sources, (result,), options)
    return result


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (greater_int16, "compares INT16 by multipliers that TFLM never sets"),
        (clamped_int32_sum, "leaves its fused RELU6 out for INT32"),
    ],
)
def test_what_every_version_computes_wrongly_is_refused_and_differs_in_the_interpreter(
    build: Callable[[Graph], int], says: str, tmp_path: Path
) -> None:
    content, inputs = made(build)
    (refusal,) = simulate(read_model(content, "model"), RUNTIMES["m4_ref"]).refusals
    assert refusal.stage == "wrong"
    assert says in refusal.reason
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert outputs(sys.executable, path, inputs) != by_lite(path)


@pytest.mark.parametrize(("activation", "kind"), [("NONE", "INT32"), ("RELU6", "FLOAT32")])
def test_sums_without_an_activation_or_of_floats_are_not_refused(
    activation: str, kind: str
) -> None:
    content, _ = made(lambda graph: clamped_int32_sum(graph, activation, kind))
    assert stages_at(content, "2026-08-20T16:47") == []


@pytest.mark.parametrize(
    ("date", "stage"), [("2025-03-26T16:58", "wrong"), ("2026-08-20T16:47", "prepare")]
)
def test_pools_that_do_not_rescale_are_refused_in_every_version(date: str, stage: str) -> None:
    def pooled(graph: Graph) -> int:
        result = graph.pool(graph.input((1, 4, 4, 1), scale=0.1))
        graph.tensors[result].scales = (0.05,)
        return result

    assert stages_at(made(pooled)[0], date) == [stage]


# What no version computes rightly: the padding of SPACE_TO_BATCH_ND.


def blocks(zero_point: int, around: int, kind: str = "INT8") -> bytes:
    """6 x 6 pixels, padded by ``around`` on each side, as four images of a half of its sides."""
    maker = ModelMaker()
    graph = maker.graph()
    extent = (6 + 2 * around) // 2
    image = graph.input((1, 6, 6, 1), kind, zero_point=zero_point)
    halves = graph.constant((2,), values=[2, 2])
    padding = graph.constant((2, 2), values=[around] * 4)
    result = graph.tensor((4, extent, extent, 1), kind, zero_point=zero_point)
    graph.operator("SPACE_TO_BATCH_ND", (image, halves, padding), (result,))
    graph.output(result)
    return maker.build()


def padded(name: str) -> bytes:
    """An operator that fills as well, with a zero point other than 0."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 6, 6, 1), zero_point=5)
    if name == "BATCH_TO_SPACE_ND":
        image = graph.inputs[0] = graph.tensor((4, 3, 3, 1), zero_point=5)
        more = [graph.constant((2,), values=[2, 2]), graph.constant((2, 2), values=[0, 1, 0, 1])]
        result = graph.tensor((1, 5, 5, 1), zero_point=5)
    else:
        more = [graph.constant((4, 2), values=[0, 0, 1, 1, 1, 1, 0, 0])]
        result = graph.tensor((1, 8, 8, 1), zero_point=5)
    if name == "PADV2":
        more.append(graph.constant((1,), "INT8", [7], zero_point=5))
    graph.operator(name, (image, *more), (result,), {})
    graph.output(result)
    return maker.build()


FILLING = ["PAD", "PADV2", "MIRROR_PAD", "BATCH_TO_SPACE_ND"]
BY_LITE = (
    RUN.replace(
        "from tflite_micro import runtime",
        "from ai_edge_litert.interpreter import Interpreter, OpResolverType",
    ).split("try:")[0]
    + """
lite = Interpreter(sys.argv[1], experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
lite.allocate_tensors()
for details in lite.get_input_details():
    values = 9 * (np.arange(np.prod(details["shape"])) + 1)
    lite.set_tensor(details["index"], values.reshape(details["shape"]).astype(details["dtype"]))
lite.invoke()
result = lite.get_tensor(lite.get_output_details()[0]["index"])
print(json.dumps(result.ravel().astype(float).tolist()))
"""
)


def by_lite(path: Path) -> object:
    done = subprocess.run(
        [sys.executable, "-c", BY_LITE, str(path)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("date", ["2021-04-09T18:17", "2023-10-10T13:15", "2026-08-20T16:47"])
def test_no_version_pads_blocks_with_another_zero_point_than_0(date: str) -> None:
    assert stages_at(blocks(zero_point=5, around=2), date) == ["wrong"]


@pytest.mark.parametrize(
    "content",
    [
        blocks(zero_point=0, around=2),
        blocks(zero_point=5, around=0),
        blocks(zero_point=0, around=2, kind="FLOAT32"),
        *(padded(name) for name in FILLING),
    ],
)
def test_borders_that_hold_the_zero_point_are_not_refused(content: bytes) -> None:
    assert stages_at(content, "2026-08-20T16:47") == []


def test_the_way_out_of_padded_blocks_is_told(tmp_path: Path) -> None:
    path = declared(tmp_path, "tflite-micro 90b983c2")
    tmp_path.joinpath("dense.tflite").write_bytes(blocks(zero_point=5, around=2))
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    result = Gate(Workspace(cached=False)).check(pair)
    assert (result.outcome, result.codes) == ("refused", ("TB011",))
    assert "SPACE_TO_BATCH_ND #0" in result.headline
    assert "its zero point is 5" in result.headline
    assert "with batch 1" in result.headline


@pytest.mark.parametrize("package", [*PACKAGES, ["installed", sys.executable]])
def test_padded_blocks_differ_in_the_interpreter_and_other_fills_do_not(
    package: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "model.tflite"
    path.write_bytes(blocks(zero_point=5, around=2))
    assert outputs(package[1], path, 1) != by_lite(path)
    for content in (blocks(zero_point=5, around=0), *map(padded, FILLING)):
        path.write_bytes(content)
        assert outputs(package[1], path, 1) == by_lite(path)


# Padding on one side, in esp-nn's kernels for vector units.


def strided(size: int, stride: int = 2, padding: str = "SAME") -> bytes:
    """A 3 x 3 convolution: of an even size and a stride of 2 padded at the end alone."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, size, size, 8))
    step = (stride, stride)
    graph.output(graph.conv2d(image, filters=8, kernel=(3, 3), stride=step, padding=padding))
    return maker.build()


def on_esp(content: bytes, name: str, release: str) -> list[str]:
    runtime = RUNTIMES[name]
    kernels = replace(runtime.kernels, version=find_version("esp-nn", release))
    refusals = simulate(read_model(content, "m"), replace(runtime, kernels=kernels)).refusals
    return [f"{each.stage}: {each.reason}" for each in refusals]


@pytest.mark.parametrize(
    ("name", "release", "right"),
    [
        ("esp32s3_espnn", "1.0.0", "esp-nn 1.2.1 (2026-04-08)"),
        ("esp32s3_espnn", "1.2.0", "esp-nn 1.2.1 (2026-04-08)"),
        ("esp32s3_espnn", "", "esp-nn 1.2.1 (2026-04-08)"),
        ("esp32p4_espnn", "1.1.0", "esp-nn 1.1.2 (2025-09-01)"),
        ("esp32p4_espnn", "1.1.1", "esp-nn 1.1.2 (2025-09-01)"),
        ("esp32p4_espnn", "", "esp-nn 1.1.2 (2025-09-01)"),
    ],
)
def test_padding_at_the_end_alone_is_refused_where_the_vector_unit_may_ignore_it(
    name: str, release: str, right: str
) -> None:
    (refusal,) = on_esp(strided(16), name, release)
    assert refusal.startswith("outdated: it is padded on the right and at the bottom alone")
    assert f"right since {right}" in refusal


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("esp32s3_espnn", "1.2.1"),
        ("esp32s3_espnn", "1.2.3"),
        ("esp32p4_espnn", "1.0.2"),
        ("esp32p4_espnn", "1.1.2"),
        ("esp32_espnn", "1.0.0"),
    ],
)
def test_releases_and_chips_that_pad_at_the_end_are_not_refused(name: str, release: str) -> None:
    assert on_esp(strided(16), name, release) == []


@pytest.mark.parametrize(
    "content", [strided(15), strided(16, stride=1), strided(16, padding="VALID")]
)
@pytest.mark.parametrize(
    ("name", "release"), [("esp32s3_espnn", "1.0.0"), ("esp32p4_espnn", "1.1.0")]
)
def test_padding_on_both_sides_or_none_is_not_refused(
    content: bytes, name: str, release: str
) -> None:
    assert on_esp(content, name, release) == []


def uneven(channels: int) -> bytes:
    """5 x 5 windows with a stride of 2 on 16 x 16: padded by one before, by two behind."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 16, 16, channels))
    graph.output(graph.conv2d(image, filters=8, kernel=(5, 5), stride=(2, 2)))
    return maker.build()


@pytest.mark.parametrize("release", ["1.0.0", "1.2.0", ""])
def test_more_padding_at_the_end_is_refused_where_windows_are_not_gathered_yet(
    release: str,
) -> None:
    (refusal,) = on_esp(uneven(channels=1), "esp32s3_espnn", release)
    assert refusal.startswith("outdated: it has more padding on the right or at the bottom")
    assert "by history, not measured" in refusal
    assert "right since esp-nn 1.2.1 (2026-04-08)" in refusal


@pytest.mark.parametrize("release", ["1.0.0", "1.2.3"])
def test_more_padding_at_the_end_of_wide_rows_is_refused_in_every_release(release: str) -> None:
    (refusal,) = on_esp(uneven(channels=4), "esp32s3_espnn", release)
    assert refusal.startswith("undefined: it has more padding on the right or at the bottom")
    assert "in all its releases (by history, not measured)" in refusal


@pytest.mark.parametrize(
    ("name", "release", "channels"),
    [
        ("esp32s3_espnn", "1.2.1", 1),
        ("esp32p4_espnn", "1.1.0", 4),
        ("esp32_espnn", "1.0.0", 4),
    ],
)
def test_releases_and_chips_that_pad_each_side_as_asked_are_not_refused(
    name: str, release: str, channels: int
) -> None:
    assert on_esp(uneven(channels), name, release) == []


def rows_of(features: int) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, features)), units=1))
    return maker.build()


@pytest.mark.parametrize("release", ["1.2.1", "1.2.2", ""])
def test_rows_of_an_odd_number_of_16_weights_are_refused_where_their_end_is_misread(
    release: str,
) -> None:
    (refusal,) = on_esp(rows_of(48), "esp32s3_espnn", release)
    assert refusal.startswith("outdated: its rows of 48 weights are an odd number of 16")
    assert "right since esp-nn 1.2.3 (2026-04-27)" in refusal
    assert 'esp_nn = "1.2.3"' in refusal


@pytest.mark.parametrize(
    ("name", "release", "features"),
    [
        ("esp32s3_espnn", "1.1.2", 48),
        ("esp32s3_espnn", "1.2.3", 48),
        ("esp32p4_espnn", "1.2.1", 48),
        ("esp32_espnn", "1.2.1", 48),
        # One times 16, and even numbers of it: what is less than 16 at the end does not count.
        *(("esp32s3_espnn", "", features) for features in (8, 16, 31, 32, 47, 64, 300, 320)),
    ],
)
def test_rows_that_every_release_or_this_one_multiplies_rightly_are_not_refused(
    name: str, release: str, features: int
) -> None:
    assert on_esp(rows_of(features), name, release) == []


# Weights packed by look-up tables, quantized with a scale for each output.


def packed_dense(tables: int, stride: int) -> bytes:
    """A dense layer of 8 features and 4 outputs, its weights as indices of 2 bits."""
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 8), scale=0.05)
    indices = graph.constant((8,), "UINT8", [0b00_01_10_11] * 8)
    header = [0, 1, 0, 0, 1, 2, stride, *[0] * 9]
    values = [206, 20, 246, 70] * tables
    ancillary = graph.constant((16 + len(values),), "UINT8", header + values)
    weights = graph.tensor((4, 8), scale=[0.01, 0.02, 0.04, 0.08])
    graph.operator("TFLM_DECODE", (indices, ancillary), (weights,), custom_options=b"")
    bias = graph.constant((4,), "INT32", [0] * 4, scale=[0.0005, 0.001, 0.002, 0.004])
    result = graph.tensor((1, 4), scale=0.4)
    graph.operator("FULLY_CONNECTED", (source, weights, bias), (result,))
    graph.output(result)
    return maker.build()


def test_one_table_of_values_for_several_scales_is_refused() -> None:
    tflm = RUNTIMES["m4_ref"]
    (refusal,) = simulate(read_model(packed_dense(1, stride=4), "model"), tflm).refusals
    assert (refusal.stage, refusal.operator) == ("wrong", "TFLM_DECODE")
    assert "has 4 values, one table, and 'graph0/t3' 4 scales" in refusal.reason


@pytest.mark.parametrize(("tables", "stride"), [(4, 4), (1, 0)])
def test_a_table_for_each_scale_runs_in_the_interpreter_and_is_not_refused(
    tables: int, stride: int, tmp_path: Path
) -> None:
    content = packed_dense(tables, stride)
    model = read_model(content, "model")
    assert simulate(model, RUNTIMES["m4_ref"]).refusals == ()
    assert not_int8_tensors(model) == ()
    pytest.importorskip("tflite_micro")
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    # 9 to 72 by the weights -50, 20, -10 and 70, twice, times each scale.
    total = sum(9 * (at + 1) * (-50, 20, -10, 70)[at % 4] for at in range(8))
    found = outputs(sys.executable, path, 1)
    right = [total * 0.125 * part for part in (0.01, 0.02, 0.04, 0.08)]
    assert found == pytest.approx(right, abs=1)


# Weights that only a build with USE_TFLM_COMPRESSION unpacks.


def compressed(data: bytes) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 8))
    weights = graph.tensor((4, 8), data=data, scale=0.01)
    result = graph.tensor((1, 4))
    graph.operator("FULLY_CONNECTED", (source, weights, -1), (result,))
    graph.output(result)
    maker.metadata["COMPRESSION_METADATA"] = bytes(32)
    return maker.build()


def test_packed_weights_of_a_compressed_model_are_told_as_what_they_are() -> None:
    with pytest.raises(ModelError, match="built with USE_TFLM_COMPRESSION") as raised:
        read_model(compressed(bytes(8)), "model")
    assert "insert TFLM_DECODE operators" in str(raised.value)


def test_a_compressed_model_that_can_be_read_gets_no_verdict() -> None:
    model = read_model(compressed(bytes(32)), "model")
    (refusal,) = simulate(model, RUNTIMES["m4_ref"]).refusals
    assert refusal.stage == "wrong"
    assert "which was not measured" in refusal.reason


# What goes wrong for some inputs


def classes(count: int, result: str = "INT8") -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    scale, zero_point = (2.0**-8, -128) if result == "INT8" else (2.0**-16, -32768)
    found = graph.tensor((1, count), result, scale=scale, zero_point=zero_point)
    graph.operator("SOFTMAX", (graph.input((1, count)),), (found,), {"beta": 1.0})
    graph.output(found)
    return maker.build()


def risk(content: bytes, name: str, date: str = "") -> str:
    runtime = RUNTIMES[name]
    if date:
        runtime = replace(runtime, tflm=Tflm(version("an older one", date, changes("tflm"))))
    return " ".join(simulate(read_model(content, "m"), runtime).risky)


@pytest.mark.parametrize(
    ("name", "date", "told"),
    [
        ("x86_64_ref", "", "the program ends where its 1,000 values are nearly equal"),
        ("rv32imc_ref", "2024-01-31T18:03", "the program ends"),
        ("rv32imc_ref", "2024-01-22T18:40", "all results are 127, or 0.996, where its 1,000"),
        ("m4_ref", "", "the program ends"),
        ("m4_ref", "2024-01-22T18:40", ""),
        ("m4_cmsisnn", "", ""),
        ("m4_cmsisnn", "2024-01-22T18:40", ""),
    ],
)
def test_what_becomes_of_nearly_equal_values_depends_on_kernels_and_core(
    name: str, date: str, told: str
) -> None:
    found = risk(classes(1000), name, date)
    assert found.startswith(f"SOFTMAX #0: {told}") if told else not found


@pytest.mark.parametrize(("count", "result"), [(511, "INT8"), (1000, "INT16")])
def test_fewer_values_and_wider_results_have_room(count: int, result: str) -> None:
    assert not risk(classes(count, result), "x86_64_ref")


def test_a_pair_that_goes_wrong_for_some_inputs_passes_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("classes.tflite").write_bytes(classes(1000))
    path = tmp_path / "tinybudget.toml"
    path.write_text(
        '[models.classes]\nsource = "classes.tflite"\nboards = ["esp32-c3-devkitm-1"]\n',
        encoding="utf-8",
    )
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    result = Gate(Workspace(cached=False)).check(pair)
    told = (
        "SOFTMAX #0: all results are 127, or 0.996, where its 1,000 values are nearly equal "
        "(exponentials add up to 512 or more); leave it out, or give it INT16 results"
    )
    assert result.outcome == "warns"
    assert f"goes wrong for some inputs: {told}" in result.warnings
    assert main(["inspect", str(tmp_path / "classes.tflite"), "--runtime", "rv32imc_ref"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "goes wrong for some inputs - SOFTMAX #0: the program ends" in shown


def test_a_negative_scale_is_refused_where_its_kernel_takes_it_for_another() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.tensor((1, 4), "INT8", scale=-0.5)
    graph.inputs.append(source)
    result = graph.tensor((1, 4), "INT8", scale=2.0**-8, zero_point=-128)
    graph.operator("LOGISTIC", (source,), (result,))
    graph.output(result)
    simulation = simulate(read_model(maker.build(), "m"), RUNTIMES["x86_64_ref"])
    assert [each.stage for each in simulation.refusals] == ["wrong"]
    assert "has the scale -0.5" in simulation.refusals[0].reason
