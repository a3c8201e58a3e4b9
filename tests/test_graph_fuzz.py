"""The reader on damaged and hostile files: ``ModelError`` or a model, soon and in little memory."""

from __future__ import annotations

import random
import struct
import tracemalloc
from pathlib import Path

import pytest
from campaigns import rare
from fuzz_targets import control_model
from fuzz_targets import small_model
from fuzzing import mutated_bytes
from modelmaker import ModelMaker
from modelmaker import write
from pace import soon

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model


#: Reading is bounded by the file's size: this many seconds and bytes per byte of file, at most.
SECONDS_PER_BYTE = 1e-4
MEMORY_PER_BYTE = 400


def wakeword_file() -> bytes:
    """A model of the ``pymicro-wakeword`` package: streaming, 60 KB."""
    package = pytest.importorskip("pymicro_wakeword")
    return (Path(package.__file__).parent / "models" / "okay_nabu.tflite").read_bytes()


SEEDS = {"small": small_model, "control": control_model, "wakeword": wakeword_file}


def test_a_shape_of_many_dimensions_is_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.operator("MY_OP", (), (graph.tensor((2**31 - 1,) * 200_000),))
    assert read_or_refuse(maker.build()) is None


def read_or_refuse(content: bytes) -> Model | None:
    """Read ``content``; what is not read must be refused in one line, and soon."""
    model, message = None, "model: "
    with soon(0.5 + len(content) * SECONDS_PER_BYTE):
        try:
            model = read_model(content, "model")
        except ModelError as error:
            message = str(error)
    assert message.startswith("model: ")
    assert "\n" not in message
    assert len(message) < 1000
    return model


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_files_are_read_or_refused(name: str) -> None:
    content = SEEDS[name]()
    random_source = random.Random(name)
    outcomes = {True: 0, False: 0}
    for _ in range(1500):
        outcomes[read_or_refuse(mutated_bytes(content, random_source)) is None] += 1
    assert min(outcomes.values()) > 50, "mutations should leave some files readable and not others"


@pytest.mark.parametrize("name", SEEDS)
def test_files_cut_short_are_read_or_refused(name: str) -> None:
    content = SEEDS[name]()
    refused = [read_or_refuse(content[:end]) is None for end in range(0, len(content), 64)]
    assert all(refused[: len(refused) // 2])


def test_random_bytes_are_refused() -> None:
    random_source = random.Random(0)
    for size in (*range(64), 1000, 100_000):
        noise = random_source.randbytes(size)
        assert read_or_refuse(noise) is None
        assert read_or_refuse(noise[:4] + b"TFL3" + noise[8:]) is None


@pytest.mark.parametrize("count", [0x00FFFFFF, rare(0x40000001), rare(0xFFFFFFFF)])
def test_huge_vector_lengths_are_refused_without_allocating(count: int) -> None:
    """Every word of the file in turn claims to be a huge length."""
    content = small_model()
    tracemalloc.start()
    for position in range(0, len(content) - 4, 4):
        read_or_refuse(content[:position] + struct.pack("<I", count) + content[position + 4 :])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(content) * MEMORY_PER_BYTE


@pytest.mark.parametrize(
    ("owner", "field"),
    [
        ("SubGraph", "tensors"),
        rare(("SubGraph", "operators")),
        ("Model", "subgraphs"),
        rare(("Model", "buffers")),
        rare(("Model", "operator_codes")),
        ("Model", "metadata"),
        rare(("Model", "signature_defs")),
    ],
)
def test_a_table_referred_to_without_end_is_refused(owner: str, field: str) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.operator("MY_OP", (), (graph.tensor((1,)),))
    maker.metadata["note"] = b"x"
    maker.signature("serve", {"x": 0}, {})
    table = maker.table()
    values = (table if owner == "Model" else table.values["subgraphs"][0]).values
    values[field] = values[field][:1] * 50_000
    content = write(table)
    tracemalloc.start()
    assert read_or_refuse(content) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(content) * MEMORY_PER_BYTE


def test_a_quantization_that_many_tensors_share_is_kept_once() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    for _ in range(1000):
        graph.tensor((1,), scale=(1.0,) * 5000)
    graph.operator("MY_OP", (), (0,))
    table = maker.table()
    tensors = table.values["subgraphs"][0].values["tensors"]
    for tensor in tensors:
        tensor.values["quantization"] = tensors[0].values["quantization"]
    content = write(table)
    assert len(content) < 150_000
    model = read_or_refuse(content)
    assert model is not None
    assert {id(tensor.quantization) for tensor in model.main.tensors} == {
        id(model.main.tensors[0].quantization)
    }


def test_many_calls_of_many_subgraphs_are_read_soon() -> None:
    maker = ModelMaker()
    main = maker.graph()
    for index in range(5000):
        main.operator("CALL_ONCE", (), (), {"init_subgraph_index": 1 + index})
        maker.graph("").operator("MY_OP", (), ())
    assert read_or_refuse(maker.build()) is not None


def test_vectors_that_overlap_are_refused() -> None:
    """Each tensor's scales start one word further into the same region: 1000 vectors in one."""
    bindings = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")
    maker = ModelMaker()
    graph = maker.graph()
    for _ in range(1000):
        graph.tensor((1,), scale=1.0)
    graph.operator("MY_OP", (), (0,))
    region = struct.pack("<10000I", *range(9999, -1, -1))
    maker.metadata["region"] = region
    table = maker.table()
    # References lead forwards, and what is written first comes last in the file.
    table.values = {"buffers": table.values.pop("buffers"), **table.values}
    content = bytearray(write(table))
    start = content.index(region)
    bindings_model = bindings.Model.GetRootAsModel(content, 0)
    for index in range(1000):
        quantization = bindings_model.Subgraphs(0).Tensors(index).Quantization()._tab
        reference = quantization.Pos + quantization.Offset(8)
        content[reference : reference + 4] = struct.pack("<I", start + 4 * index - reference)
    with pytest.raises(ModelError, match="its parts overlap"):
        read_model(bytes(content), "model")
