"""The reader of ``.tflite`` files: clear where it refuses, true where it reads."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from modelmaker import Graph
from modelmaker import ModelMaker
from modelmaker import Table
from modelmaker import write
from networks import calling_network
from networks import small_network

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model


def test_weights_are_views_of_the_file_not_copies() -> None:
    content = small_network().build()
    model = read_model(content, "model")
    constants = [tensor for tensor in model.main.tensors if tensor.is_constant]
    assert constants
    assert all(tensor.data.obj is content for tensor in constants)
    assert model.content is content
    assert model.bytes == len(content)


def test_dynamic_and_scalar_shapes_are_recorded() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4), shape_signature=(-1, 4))
    scalar = graph.tensor((), "FLOAT32")
    graph.operator("MY_OP", (source,), (scalar,))
    graph.output(scalar)
    first, second = read_model(maker.build(), "model").main.tensors
    assert (first.shape, first.shape_signature) == ((1, 4), (-1, 4))
    assert (second.shape, second.shape_signature, second.elements) == ((), None, 1)


def test_four_bit_constants_are_packed_two_to_a_byte() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 3))
    graph.output(graph.dense(source, units=3, weights_type="INT4"))
    weights = read_model(maker.build(), "model").main.tensors[1]
    assert (weights.type, weights.elements, weights.bytes, len(weights.data)) == ("INT4", 9, 5, 5)


def test_constants_outside_the_flatbuffer_are_marked() -> None:
    table = small_network().table()
    table.values["buffers"][1].values = {"offset": 4096, "size": 108}
    table.values["subgraphs"][0].values["tensors"][0].values["external_buffer"] = 1
    model = read_model(write(table), "model")
    assert model.external_buffers == (1,)
    assert [t.index for t in model.main.tensors if t.external] == [0, 1]
    assert not model.main.tensors[1].is_constant


def test_sparse_constants_need_not_fill_their_shape() -> None:
    table = small_network().table()
    weights = table.values["subgraphs"][0].values["tensors"][1]
    weights.values["sparsity"] = Table("SubGraph", {})
    table.values["buffers"][1].values["data"] = b"\x01"
    assert read_model(write(table), "model").main.tensors[1].sparse


def test_strings_are_counted_as_they_are_stored() -> None:
    maker = ModelMaker(description="123")
    graph = maker.graph("")
    graph.output(graph.unary("ABS", graph.input((1,), name="four")))
    graph.tensors[1].name = "12345678"
    # Length word, characters, terminator, rounded up to 4: 8 + 8 + 12 + 16.
    assert read_model(maker.build(), "model").strings_bytes == 44


def test_the_last_of_several_metadata_entries_counts() -> None:
    maker = small_network()
    maker.metadata["other"] = b"newer"
    table = maker.table()
    table.values["metadata"][-1].values["name"] = "note"
    assert bytes(read_model(write(table), "model").metadata["note"]) == b"newer"


def test_a_model_is_called_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key.words.tflite"
    path.write_bytes(small_network().build())
    assert load_model(path).name == "key.words"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"TFL3", "not a TF Lite file (only 4 bytes)"),
        (b"# A text file.\n", "expected the identifier TFL3 at byte 4, found 'text'"),
        (bytes(100), r"expected the identifier TFL3 at byte 4, found '\x00\x00\x00\x00'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), r"found '\r\n\x1a\n'"),
        (bytes(4) + b"\xff\xfe\x00\x01", "found ff fe 00 01"),
        (b"\xff\xff\xff\xffTFL3", "byte 0 refers to byte 4294967295, the file has 8 bytes"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path.as_posix()}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.tflite: no such file"):
        load_model(tmp_path / "gone.tflite")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a directory"):
        load_model(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    with path.open("wb") as file:
        file.truncate(300 * 1024**2)
    with pytest.raises(ModelError, match=r"314,572,800 bytes are more than any microcontroller"):
        load_model(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no such path there")
def test_a_device_is_refused() -> None:
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(Path("/dev/zero"))


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names there")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(tmp_path / "pipe.tflite")


def first_graph(table: Table) -> dict[str, Any]:
    values: dict[str, Any] = table.values["subgraphs"][0].values
    return values


def conv(table: Table) -> dict[str, Any]:
    values: dict[str, Any] = first_graph(table)["operators"][0].values
    return values


def alter(where: Callable[[Table], dict[str, Any]], **values: Any) -> Callable[[Table], None]:
    """An alteration of a file's tables: set fields of the table that ``where`` finds."""
    return lambda table: where(table).update(values)


def root(table: Table) -> dict[str, Any]:
    return table.values


def tensor(index: int) -> Callable[[Table], dict[str, Any]]:
    return lambda table: first_graph(table)["tensors"][index].values


def signature_of(table: Table) -> dict[str, Any]:
    values: dict[str, Any] = table.values["signature_defs"][0].values
    return values


@pytest.mark.parametrize(
    ("alteration", "message"),
    [
        (alter(root, version=4), "schema version 4 is not supported (expected 3)"),
        (alter(root, version=None), "schema version 0 is not supported (expected 3)"),
        (alter(root, subgraphs=None), "has no subgraphs"),
        (alter(first_graph, operators=None), "has no operators"),
        (alter(first_graph, operators=[]), "has no operators"),
        (alter(first_graph, inputs=[99]), "subgraph 0 has tensor 99 as input, there are 14"),
        (alter(first_graph, outputs=[-1]), "subgraph 0 has tensor -1 as output, there are 14"),
        (alter(conv, inputs=[0, 1, 14]), "operator #0 CONV_2D has tensor 14 as input"),
        (alter(conv, inputs=[-2, 1, 2]), "operator #0 CONV_2D has tensor -2 as input"),
        (alter(conv, outputs=[-1]), "operator #0 CONV_2D has tensor -1 as output"),
        (alter(conv, opcode_index=77), "operator #0 has operator code 77, there are 6"),
        (
            alter(conv, builtin_options_type=5),
            "operator #0 CONV_2D carries Pool2DOptions, expected Conv2DOptions",
        ),
        (
            alter(conv, builtin_options_type=200),
            "operator #0 CONV_2D carries options of type 200, expected Conv2DOptions",
        ),
        (
            alter(lambda table: conv(table)["builtin_options"].values, padding=7),
            "operator #0 CONV_2D has the unknown Padding 7",
        ),
        (
            alter(conv, large_custom_options_offset=4096),
            "operator #0 CONV_2D keeps its options outside the flatbuffer",
        ),
        (
            alter(lambda table: root(table)["operator_codes"][0].values, builtin_code=210),
            "builtin operator code 210 is not in the TF Lite schema",
        ),
        (
            alter(lambda table: root(table)["operator_codes"][3].values, custom_code=None),
            "a custom operator has no name (custom_code)",
        ),
        (alter(tensor(0), type=99), "tensor 0 'image' has the unknown type 99"),
        (alter(tensor(0), buffer=99), "tensor 0 'image' refers to buffer 99, there are"),
        (alter(tensor(0), shape=[1, -1]), "tensor 0 'image' has the impossible shape [1, -1]"),
        (
            alter(tensor(0), shape=[2**20, 2**20, 2]),
            "tensor 0 'image' has the impossible shape [1048576, 1048576, 2]",
        ),
        (
            alter(tensor(1), shape=[4, 3, 3, 4]),
            "tensor 1 'main/t1' (INT8 [4, 3, 3, 4]) needs 144 bytes of data, its buffer 1 has 108",
        ),
        (
            alter(lambda table: root(table)["metadata"][0].values, buffer=99),
            "metadata 'note' refers to buffer 99, there are",
        ),
        (alter(signature_of, subgraph_index=3), "signature 'serve' is for subgraph 3, there is 1"),
        (
            alter(lambda table: signature_of(table)["inputs"][0].values, tensor_index=99),
            "signature 'serve' binds 'image' to tensor 99, there are 14",
        ),
    ],
)
def test_what_does_not_hold_together_is_refused(
    alteration: Callable[[Table], None], message: str
) -> None:
    table = small_network().table()
    alteration(table)
    with pytest.raises(ModelError, match="^" + re.escape(f"kws: {message}")):
        read_model(write(table), "kws")


def test_no_inputs_are_no_error() -> None:
    table = small_network().table()
    first_graph(table)["inputs"] = None
    assert read_model(write(table), "kws").main.inputs == ()


def test_a_call_of_a_missing_subgraph_is_refused() -> None:
    maker = calling_network()
    maker.graphs[0].steps[0].options["else_subgraph_index"] = 3  # type: ignore[index]
    with pytest.raises(ModelError, match="operator #0 IF runs subgraph 3, there are 3"):
        read_model(maker.build(), "kws")


def calls(graph: Graph, *subgraphs: int) -> None:
    """Make ``graph`` run ``subgraphs``, whatever for."""
    for subgraph in subgraphs:
        graph.operator("CALL_ONCE", (), (), {"init_subgraph_index": subgraph})


@pytest.mark.parametrize("cycle", [[(0,)], [(1,), (0,)], [(1,), (2,), (1,)]])
def test_recursion_is_refused(cycle: list[tuple[int, ...]]) -> None:
    maker = ModelMaker()
    for called in cycle:
        calls(maker.graph(), *called)
    with pytest.raises(ModelError, match=r"subgraph \d calls itself"):
        read_model(maker.build(), "kws")


@pytest.mark.parametrize("width", [1, 2])
def test_calls_without_measure_are_refused(width: int) -> None:
    """A chain of 100 calls, and 2^100 visits by two calls each."""
    maker = ModelMaker()
    for index in range(100):
        calls(maker.graph(), *[index + 1] * width)
    maker.graph().operator("MY_OP", (), ())
    with pytest.raises(ModelError, match="too deeply or too often"):
        read_model(maker.build(), "kws")


def test_several_calls_of_one_subgraph_are_fine() -> None:
    maker = ModelMaker()
    calls(maker.graph(), 1, 2, 2)
    calls(maker.graph(), 2)
    maker.graph().operator("MY_OP", (), ())
    assert len(read_model(maker.build(), "kws").subgraphs) == 3


def test_hostile_names_are_shown_escaped() -> None:
    table = small_network().table()
    tensor(0)(table).update(name="\x1b[31mred\u202e\n", shape=[-1])
    with pytest.raises(ModelError) as caught:
        read_model(write(table), "a\nb")
    assert str(caught.value) == (
        r"a\nb: tensor 0 '\x1b[31mred\u202e\n' has the impossible shape [-1]"
    )


def test_names_that_are_not_utf8_are_escaped() -> None:
    content = small_network().build().replace(b"image", b"im\xffge")
    assert read_model(content, "kws").main.tensors[0].name == r"im\xffge"
