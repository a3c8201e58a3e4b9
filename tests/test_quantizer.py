"""Float ``.tflite`` files to INT8, with the quantizer under its new name and its old one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from modelmaker import ModelMaker

from pytest_tinybudget.convert import fingerprint
from pytest_tinybudget.convert import quantizers
from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.quantizers import installed_quantizer
from pytest_tinybudget.convert.requirements import missing_packages
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.graph.tflite import read_model


SETTINGS = Conversion(Path())

needs_quantizer = pytest.mark.skipif(
    installed_quantizer() is None, reason="needs litert-quantizer or ai-edge-quantizer"
)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """What is installed is asked once a process: here it changes."""
    installed_quantizer.cache_clear()
    fingerprint._installed.cache_clear()
    yield
    installed_quantizer.cache_clear()
    fingerprint._installed.cache_clear()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of what is installed: nothing but what a test puts there."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    for _, module in quantizers.QUANTIZERS:
        monkeypatch.delitem(sys.modules, module, raising=False)
    return folder


def add_package(folder: Path, name: str, version: str) -> None:
    module = name.replace("-", "_")
    folder.joinpath(module).mkdir()
    folder.joinpath(module, "__init__.py").write_text("")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}")
    assert metadata.version(name) == version


# Which one


def test_the_new_name_of_the_quantizer_comes_before_the_old_one(installed: Path):
    add_package(installed, "ai-edge-quantizer", "0.10.0")
    add_package(installed, "litert-quantizer", "0.11.0")

    assert installed_quantizer() == ("litert-quantizer", "litert_quantizer")
    assert missing_packages("tflite", "kws.tflite", SETTINGS) is None
    used = fingerprint.versions("tflite", SETTINGS)
    assert used["litert-quantizer"] == "0.11.0"
    assert "ai-edge-quantizer" not in used  # what is not used makes no other file


def test_the_old_name_of_the_quantizer_works(installed: Path):
    add_package(installed, "ai-edge-quantizer", "0.10.0")

    assert installed_quantizer() == ("ai-edge-quantizer", "ai_edge_quantizer")
    assert missing_packages("tflite", "kws.tflite", SETTINGS) is None
    assert fingerprint.versions("tflite", SETTINGS)["ai-edge-quantizer"] == "0.10.0"


@pytest.mark.usefixtures("installed")
def test_without_a_quantizer_the_extra_is_named():
    error = missing_packages("tflite", "kws.tflite", SETTINGS)

    assert error is not None
    assert error.message.endswith('need more packages: pip install "pytest-tinybudget[quantize]"')


# What it makes


def quantized(content: bytes, folder: Path, **settings: object) -> bytes:
    return conversion(content, folder, **settings).content


def conversion(content: bytes, folder: Path, **settings: object) -> Converted:
    path = folder / "float.tflite"
    path.write_bytes(content)
    wanted = Conversion(folder, representative_data="random", **settings)  # type: ignore[arg-type]
    converter = Converter(None)
    try:
        return converter.convert(Request(path, path.name, wanted))
    finally:
        converter.close()


def flattened(batch: int = -1) -> bytes:
    """A convolution, flattened as Keras does with an open batch, and a dense layer."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 1), "FLOAT32", shape_signature=(batch, 8, 8, 1))
    maps = graph.conv2d(image, filters=4)
    shape, count = graph.tensor((4,), "INT32"), graph.tensor((), "INT32")
    bounds = [graph.constant((1,), values=[number]) for number in (0, 1, 1)]
    rest = graph.constant((), values=[256])
    target = graph.tensor((2,), "INT32")
    graph.operator("SHAPE", (maps,), (shape,), {"out_type": "INT32"})
    graph.operator("STRIDED_SLICE", (shape, *bounds), (count,), {"shrink_axis_mask": 1})
    graph.operator("PACK", (count, rest), (target,), {"values_count": 2})
    flat = graph.tensor((1, 256), "FLOAT32", shape_signature=(batch, 256))
    graph.operator("RESHAPE", (maps, target), (flat,))
    graph.output(graph.dense(flat, units=2))
    return maker.build()


@needs_quantizer
@pytest.mark.skipif(os.name == "nt", reason="the quantizer has no release for Windows")
def test_flattening_with_an_open_batch_reads_no_shape_in_float(tmp_path: Path):
    model = read_model(quantized(flattened(), tmp_path), "it")

    assert [each.name for each in model.main.operators] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    assert not [each.name for each in model.main.tensors if each.type == "FLOAT32"]


def with_int4_dense(scales: int) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 8), "FLOAT32")
    weights = graph.constant((4, 8), "INT4", scale=[0.1] * scales)
    result = graph.tensor((1, 4), "FLOAT32", name="head/MatMul")
    graph.operator("FULLY_CONNECTED", (source, weights, -1), (result,))
    graph.output(result)
    return maker.build()


@needs_quantizer
def test_int4_weights_of_a_dense_layer_per_channel_are_refused_before_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Converter, "_run", lambda *_: pytest.fail("a worker was asked"))

    with pytest.raises(ConversionError) as error:
        quantized(with_int4_dense(4), tmp_path)

    assert error.value.message == (
        "float.tflite: FULLY_CONNECTED #0 (layer head/MatMul) has INT4 weights with 4 scales, one "
        "an output, which TFLM refuses"
    )
    assert error.value.details == (
        "declare a file with float weights: INT8 ones are made of them here",
        "INT4 weights of dense layers need one scale and INT8 activations",
    )


@needs_quantizer
def test_int4_weights_with_one_scale_are_refused_with_int16_activations_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[object] = []
    monkeypatch.setattr(Converter, "_run", lambda _, tasks: asked.append(tasks))

    with pytest.raises(KeyError):  # nothing was converted
        quantized(with_int4_dense(1), tmp_path)
    assert len(asked) == 1
    with pytest.raises(ConversionError, match="INT4 weights with int16 activations, which TFLM"):
        quantized(with_int4_dense(1), tmp_path, activations="int16")


def with_product(*, turned: bool, bias: tuple[int, ...] | None) -> bytes:
    """A product with a constant matrix as exporters of ONNX files leave it, and its bias."""
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 3, 8), "FLOAT32")
    shape = (2, 8) if turned else (8, 2)
    values = [(7 * index % 11 - 5) / 10 for index in range(16)]
    matrix = graph.constant(shape, "FLOAT32", values)
    result = graph.tensor((1, 3, 2), "FLOAT32")
    graph.operator("BATCH_MATMUL", (source, matrix), (result,), {"adj_y": turned})
    if bias is not None:
        product, added = result, graph.constant(bias, "FLOAT32", [0.5, -0.25])
        result = graph.tensor((1, 3, 2), "FLOAT32")
        graph.operator("ADD", (added, product), (result,), {"fused_activation_function": "RELU"})
    graph.output(result)
    return maker.build()


@needs_quantizer
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("bias", [None, (2,), (1, 1, 2)])
def test_a_product_with_a_constant_matrix_becomes_the_dense_layer_that_it_is(
    tmp_path: Path, turned: bool, bias: tuple[int, ...] | None
):
    converted = conversion(with_product(turned=turned, bias=bias), tmp_path)

    main = read_model(converted.content, "it").main
    assert [each.name for each in main.operators] == ["FULLY_CONNECTED"]
    (dense,) = main.operators
    assert main.tensors[dense.inputs[1]].shape == (2, 8)
    assert (len(dense.inputs) > 2 and dense.inputs[2] >= 0) == (bias is not None)
    assert main.tensors[main.outputs[0]].shape == (1, 3, 2)
    assert not converted.warnings[:-1]  # but that of random data
    assert converted.drift[0]["relative_error"] < 0.02


@needs_quantizer
def test_a_product_of_two_computed_matrices_stays_one(tmp_path: Path):
    maker = ModelMaker()
    graph = maker.graph()
    one, other = graph.input((1, 3, 8), "FLOAT32"), graph.input((1, 8, 3), "FLOAT32")
    result = graph.tensor((1, 3, 3), "FLOAT32")
    graph.operator("BATCH_MATMUL", (one, other), (result,))
    graph.output(result)

    main = read_model(quantized(maker.build(), tmp_path), "it").main

    assert [each.name for each in main.operators] == ["BATCH_MATMUL"]


def normalized(*, read_twice: bool) -> bytes:
    """Numbers divided by a square root, as onnx2tf 2 writes a LayerNormalization."""
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4, 8), "FLOAT32")
    square, spread, root, result = (
        graph.tensor((1, 4, extent), "FLOAT32") for extent in (8, 1, 1, 8)
    )
    graph.operator("MUL", (source, source), (square,), {})
    axis = graph.constant((1,), values=(2,))
    graph.operator("MEAN", (square, axis), (spread,), {"keep_dims": True})
    epsilon = graph.constant((1,), "FLOAT32", [0.001])
    above = graph.tensor((1, 4, 1), "FLOAT32")
    graph.operator("ADD", (spread, epsilon), (above,), {})
    graph.operator("SQRT", (above,), (root,))
    graph.operator("DIV", (source, root), (result,), {"fused_activation_function": "RELU"})
    graph.output(result)
    if read_twice:
        graph.output(root)
    return maker.build()


@needs_quantizer
def test_a_division_by_a_square_root_is_a_product_with_its_inverse(tmp_path: Path):
    content = normalized(read_twice=False)

    rewritten(content)

    main = read_model(quantized(content, tmp_path), "it").main
    assert [each.name for each in main.operators] == ["MUL", "MEAN", "ADD", "RSQRT", "MUL"]
    assert {main.tensors[each.outputs[0]].type for each in main.operators} == {"INT8"}
    assert main.operators[-1].options["fused_activation_function"] == "RELU"


@needs_quantizer
def test_a_square_root_that_is_read_as_such_stays_one():
    assert "SQRT" in rewritten(normalized(read_twice=True))


def followed(
    layer: str,
    *followers: tuple[str, tuple[float, ...]],
    read_twice: bool = False,
    has_bias: bool = True,
) -> bytes:
    """A layer of three outputs, and what comes behind it: operators with constants, or none."""
    maker = ModelMaker()
    graph = maker.graph()
    bias = graph.constant((3,), "FLOAT32", [0.5, -0.25, 0.125]) if has_bias else -1
    if layer == "FULLY_CONNECTED":
        source, shape, extents = graph.input((1, 8), "FLOAT32"), (3, 8), (1, 3)
        options = {}
    else:
        source, extents = graph.input((1, 4, 4, 3), "FLOAT32"), (1, 4, 4, 3)
        shape = (3, 3, 3, 3) if layer == "CONV_2D" else (1, 3, 3, 3)
        options = {"stride_h": 1, "stride_w": 1, "padding": "SAME"}
        options |= {"depth_multiplier": 1} if layer != "CONV_2D" else {}
        options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
    count = int(np.prod(shape))
    weights = graph.constant(shape, "FLOAT32", [(7 * each % 11 - 5) / 10 for each in range(count)])
    made = graph.tensor(extents, "FLOAT32")
    graph.operator(layer, (source, weights, bias), (made,), options)
    if read_twice:
        graph.output(made)
    for kind, values in followers:
        constant = [graph.constant((len(values),), "FLOAT32", values)] if values else []
        result = graph.tensor(extents, "FLOAT32")
        graph.operator(kind, (made, *constant), (result,), {} if values else None)
        made = result
    graph.output(made)
    return maker.build()


FACTORS = ("MUL", (2.0, -0.5, 1.5))
SUMMANDS = ("ADD", (0.25, 1.0, -2.0))
RELU: tuple[str, tuple[float, ...]] = ("RELU", ())


def rewritten(content: bytes) -> list[str]:
    """The operators of ``content`` as the quantizer gets it, whose outputs must stay the same."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.interpreter import OpResolverType

    from pytest_tinybudget.convert.worker.quantizer_backend import prepared

    made = prepared(content)
    results = []
    for each in (content, made):
        interpreter = Interpreter(
            model_content=each,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        values = np.random.default_rng(0).standard_normal(given["shape"]).astype(np.float32)
        interpreter.set_tensor(given["index"], values)
        interpreter.invoke()
        outputs = interpreter.get_output_details()
        results.append([interpreter.get_tensor(detail["index"]) for detail in outputs])
    for before, after in zip(*results, strict=True):
        assert before.std() > 0.1
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    return [each.name for each in read_model(made, "it").main.operators]


@needs_quantizer
@pytest.mark.parametrize("layer", ["FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"])
def test_what_follows_a_layer_is_taken_into_it(tmp_path: Path, layer: str):
    content = followed(layer, FACTORS, SUMMANDS, RELU)

    assert rewritten(content) == [layer]
    assert rewritten(followed("FULLY_CONNECTED", FACTORS, SUMMANDS, has_bias=False)) == [
        "FULLY_CONNECTED"
    ]
    (operator,) = read_model(quantized(content, tmp_path), "it").main.operators
    assert operator.options["fused_activation_function"] == "RELU"


@needs_quantizer
@pytest.mark.parametrize(
    ("followers", "read_twice", "left"),
    [
        ((("MUL", (2.0, 0.0, 1.5)),), False, "MUL"),  # no scale for the zeroed output
        ((FACTORS,), True, "MUL"),
        ((("TANH", ()), FACTORS), False, "TANH"),
    ],
)
def test_what_cannot_be_taken_into_a_layer_stays(
    followers: tuple[tuple[str, tuple[float, ...]], ...], read_twice: bool, left: str
):
    content = followed("FULLY_CONNECTED", *followers, read_twice=read_twice)

    assert rewritten(content)[:2] == ["FULLY_CONNECTED", left]


@needs_quantizer
def test_a_choice_between_numbers_of_one_shape_is_the_operator_that_tflm_has():
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 8), "FLOAT32")
    zeros = graph.constant((1, 8), "FLOAT32", [0.0] * 8)
    above, active = graph.tensor((1, 8), "BOOL"), graph.tensor((1, 8), "FLOAT32")
    graph.operator("GREATER", (source, zeros), (above,))
    graph.operator("SELECT", (above, source, zeros), (active,))
    graph.output(active)

    assert rewritten(maker.build()) == ["GREATER", "SELECT_V2"]
