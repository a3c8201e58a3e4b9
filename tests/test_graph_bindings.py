"""The reader of ``.tflite`` files reads what the generated bindings read of the same files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from modelmaker import ModelMaker
from networks import calling_network
from networks import small_network

from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.graph.tflite import read_model


bindings = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")

SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))


def wakeword_models() -> list[Path]:
    """The models that the ``pymicro-wakeword`` package ships."""
    package = pytest.importorskip("pymicro_wakeword")
    return sorted((Path(package.__file__).parent / "models").glob("*.tflite"))


def float_network() -> ModelMaker:
    """Float layers, several outputs, operators with vectors and scalars as constants."""
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 6, 6, 4), "FLOAT32")
    left, right = graph.split(source, parts=2, axis=3)
    joined = graph.concat([left, graph.unary("ABS", right)], axis=-1)
    part = graph.strided_slice(joined, (0, 1, 1, 0), (1, 6, 6, 4), (1, 2, 2, 1))
    flat = graph.reshape(graph.pad(part, [(0, 0), (1, 0), (0, 1), (0, 0)]), (1, 64))
    graph.output(flat, graph.lstm(graph.reshape(source, (1, 6, 24)), units=3))
    return maker


MADE: dict[str, Callable[[], ModelMaker]] = {
    "small": small_network,
    "calling": calling_network,
    "float": float_network,
}


@pytest.mark.parametrize("name", MADE)
def test_reads_what_the_bindings_read_of_made_models(name: str) -> None:
    assert_same_as_bindings(MADE[name]().build())


def test_reads_what_the_bindings_read_of_wake_word_models() -> None:
    for path in wakeword_models():
        assert_same_as_bindings(path.read_bytes())


@pytest.mark.parametrize(
    "path", sorted((SHARED / "models").glob("*.tflite")), ids=lambda path: path.stem
)
def test_reads_what_the_bindings_read_of_real_models(path: Path) -> None:
    assert_same_as_bindings(path.read_bytes())


def assert_same_as_bindings(content: bytes) -> None:
    """Compare every field with what FlatBuffers' generated code makes of ``content``."""
    model = read_model(content, "model")
    expected = bindings.ModelT.InitFromObj(bindings.Model.GetRootAsModel(content, 0))
    assert model.schema_version == expected.version
    assert model.description == text(expected.description)
    assert len(model.subgraphs) == len(expected.subgraphs)
    for graph, other in zip(model.subgraphs, expected.subgraphs, strict=True):
        assert graph.name == text(other.name)
        assert graph.inputs == entries(other.inputs)
        assert graph.outputs == entries(other.outputs)
        assert [tensor.index for tensor in graph.tensors] == list(range(len(other.tensors)))
        for tensor, fields in zip(graph.tensors, other.tensors, strict=True):
            assert_same_tensor(tensor, fields, expected.buffers)
        for operator, fields in zip(graph.operators, other.operators or (), strict=True):
            assert_same_operator(operator, fields, expected.operatorCodes[fields.opcodeIndex])
    assert {name: bytes(view) for name, view in model.metadata.items()} == {
        text(entry.name): data_of(expected.buffers[entry.buffer])
        for entry in expected.metadata or ()
    }
    assert [
        (entry.key, entry.subgraph, dict(entry.inputs), dict(entry.outputs))
        for entry in model.signatures
    ] == [
        (
            text(entry.signatureKey),
            entry.subgraphIndex,
            {text(named.name): named.tensorIndex for named in entry.inputs or ()},
            {text(named.name): named.tensorIndex for named in entry.outputs or ()},
        )
        for entry in expected.signatureDefs or ()
    ]
    assert model.external_buffers == tuple(
        index for index, buffer in enumerate(expected.buffers) if buffer.offset > 1
    )


def assert_same_tensor(tensor: Any, fields: Any, buffers: list[Any]) -> None:
    assert tensor.name == text(fields.name)
    assert getattr(bindings.TensorType, tensor.type) == fields.type
    assert tensor.shape == entries(fields.shape)
    signature = fields.shapeSignature
    assert tensor.shape_signature == (None if signature is None else entries(signature))
    assert tensor.buffer == fields.buffer
    assert tensor.data.tobytes() == data_of(buffers[fields.buffer])
    assert tensor.is_variable is fields.isVariable
    assert tensor.sparse == (fields.sparsity is not None)
    quantization = fields.quantization or bindings.QuantizationParametersT()
    assert tensor.quantization.scales == entries(quantization.scale)
    assert tensor.quantization.zero_points == entries(quantization.zeroPoint)
    assert tensor.quantization.dimension == quantization.quantizedDimension


def assert_same_operator(operator: Any, fields: Any, code: Any) -> None:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    assert operator.builtin_code == number
    assert operator.is_custom == (number == bindings.BuiltinOperator.CUSTOM)
    if operator.is_custom:
        assert operator.name == text(code.customCode)
    else:
        assert getattr(bindings.BuiltinOperator, operator.name) == number
    assert operator.version == code.version
    assert operator.inputs == entries(fields.inputs)
    assert operator.outputs == entries(fields.outputs)
    assert operator.intermediates == entries(fields.intermediates)
    assert operator.custom_options.tobytes() == bytes(entries(fields.customOptions))
    if operator.options:
        assert_same_options(operator, fields.builtinOptions or fields.builtinOptions2)
    else:
        assert not vars(fields.builtinOptions or Empty())


class Empty:
    """Stands for options that the file leaves out."""


def assert_same_options(operator: Any, options: Any) -> None:
    table = load_schema().operator_options[operator.name]
    if options is None:
        options = getattr(bindings, f"{table}T")()
    assert type(options).__name__ == f"{table}T"
    types = dict(load_schema().options[table].fields)
    assert {camel(name) for name in operator.options} <= set(vars(options))
    for name, value in operator.options.items():
        expected = plain(getattr(options, camel(name)), types[name])
        assert value_of(value, types[name]) == expected, name


def value_of(value: Any, type_name: str) -> Any:
    """An option as the bindings give it: enumerations by number."""
    return getattr(getattr(bindings, type_name), value) if hasattr(bindings, type_name) else value


def plain(value: Any, type_name: str) -> Any:
    """An option of the bindings in the type the graph gives it."""
    if type_name == "string":
        return text(value)
    return entries(value) if type_name.startswith("[") else value


def camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def text(value: bytes | None) -> str:
    return "" if value is None else value.decode()


def entries(vector: Any) -> tuple[Any, ...]:
    return () if vector is None else tuple(getattr(vector, "tolist", lambda: vector)())


def data_of(buffer: Any) -> bytes:
    return bytes(entries(buffer.data))


def test_schema_data_agrees_with_the_bindings() -> None:
    """The bindings are of a later commit: they may know more."""
    schema = load_schema()
    assert numbered(schema.operators).items() <= members(bindings.BuiltinOperator).items()
    assert numbered(schema.builtin_options).items() <= members(bindings.BuiltinOptions).items()
    assert numbered(schema.builtin_options_2).items() <= members(bindings.BuiltinOptions2).items()
    for name, names in schema.enums.items():
        assert numbered(names).items() <= members(getattr(bindings, name)).items()
    assert set(TYPE_BITS) == set(schema.enums["TensorType"])


def numbered(names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def members(enumeration: type) -> dict[str, int]:
    return {name: value for name, value in vars(enumeration).items() if not name.startswith("_")}


OPTIONS = sorted(
    operator
    for operator, table in load_schema().operator_options.items()
    if load_schema().options[table].fields and hasattr(bindings, f"{table}T")
)


@pytest.mark.parametrize("operator", OPTIONS)
def test_options_are_read_by_their_schema_names(operator: str) -> None:
    """Options packed by the bindings, every field with a value of its own."""
    table = load_schema().operator_options[operator]
    options = getattr(bindings, f"{table}T")()
    for seed, (name, type_name) in enumerate(load_schema().options[table].fields):
        if name is not None:
            called = name.endswith(("subgraph_index", "subgraph"))
            value = 2 * (seed % 2) if called else distinctive(type_name, seed)
            setattr(options, camel(name), value)
    assert_same_as_bindings(packed(operator, table, options))


@pytest.mark.parametrize("operator", OPTIONS)
def test_options_left_out_have_their_defaults(operator: str) -> None:
    table = load_schema().operator_options[operator]
    content = packed(operator, table, None)
    assert read_model(content, "model").subgraphs[1].operators[0].options
    assert_same_as_bindings(content)


def distinctive(type_name: str, seed: int) -> Any:
    """A value that is neither the default nor that of a neighboring field."""
    if type_name == "bool":
        return True
    if type_name == "string":
        return f"text {seed}"
    if type_name.startswith("["):
        return [1, 0, 1] if type_name == "[bool]" else [seed + 1, seed + 2]
    if type_name in load_schema().enums:
        return len(load_schema().enums[type_name]) - 1
    return seed + 2


def packed(operator: str, table: str, options: Any) -> bytes:
    """A file written by the bindings: subgraph 1 has the operator, 0 and 2 one that is plain."""
    step = bindings.OperatorT()
    step.inputs, step.outputs = [0], [0]
    if options is not None and hasattr(bindings.BuiltinOptions2, table):
        step.builtinOptions2Type = getattr(bindings.BuiltinOptions2, table)
        step.builtinOptions2 = options
    elif options is not None:
        step.builtinOptionsType = getattr(bindings.BuiltinOptions, table)
        step.builtinOptions = options
    plain_step = bindings.OperatorT()
    plain_step.opcodeIndex, plain_step.inputs, plain_step.outputs = 1, [0], [0]
    model = bindings.ModelT()
    model.version, model.buffers = 3, [bindings.BufferT()]
    model.operatorCodes, model.subgraphs = [], []
    for name in (operator, "ABS"):
        code = bindings.OperatorCodeT()
        code.builtinCode = getattr(bindings.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        model.operatorCodes.append(code)
    for steps in ([plain_step], [step], [plain_step]):
        graph = bindings.SubGraphT()
        graph.tensors, graph.operators = [bindings.TensorT()], steps
        model.subgraphs.append(graph)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
