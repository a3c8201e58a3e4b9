"""Has onnx2tf make a float ``.tflite`` of an ONNX model, and loads that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from pytest_tinybudget.base.offline import without_network
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.layout import CHANNELS_FIRST
from pytest_tinybudget.convert.onnx2tf import NAME
from pytest_tinybudget.convert.onnx2tf import command_environment
from pytest_tinybudget.convert.onnx2tf import located
from pytest_tinybudget.convert.onnx2tf import version_of
from pytest_tinybudget.convert.onnx_file import read_onnx
from pytest_tinybudget.convert.sources import weights_beside
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import require_known
from pytest_tinybudget.convert.worker.problem import static_shape
from pytest_tinybudget.convert.worker.quantizer_backend import LiteRTModel
from pytest_tinybudget.convert.worker.quantizer_backend import prepared
from pytest_tinybudget.convert.worker.torch_layers import transposes
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model


#: The picture that onnx2tf downloads for any input of three channels, to try its layers with: what
#: lies in its folder under that name it takes instead. Random numbers do for that.
_PICTURE = "calibration_image_sample_data_20x128x128x3_float32.npy"
_PICTURE_SHAPE = (20, 128, 128, 3)

_COLORS = re.compile(rb"\x1b\[[0-9;]*m")
_ERROR_LINE = re.compile(rb"^\s*(?:[A-Za-z_.]*(?:Error|Exception)(?::|\s*$)|ERROR: *\S)")
#: What Python prints between an error and the one that it caused.
_CAUSED = b"The above exception was the direct cause of the following exception"
#: The oldest version of ONNX's operators that was converted by each version of onnx2tf.
_OLDEST_OPSET = 7
#: How much of what it prints is searched for the cause of an error, bytes.
_TAIL_BYTES = 64 * 1024
_LONGEST_CAUSE = 300
_OUT_OF_MEMORY = (b"MemoryError", b"bad_alloc", b"Cannot allocate memory")
_LOOK = "what it printed is in the conversion's log"


def load(job: Job, custom: ModuleType | None) -> LiteRTModel:
    """The float model of ``job`` as onnx2tf makes it. ``custom`` is not used.

    Raises:
        WorkerError: onnx2tf fails, or makes what LiteRT does not load.
    """
    content = _converted(job, _shapes(job))
    model = read_model(content, job.shown)
    _refuse_tensorflow_operators(model)
    made = LiteRTModel(
        prepared(content),
        names=[_own_name(model.main.tensors[index].name) for index in model.main.inputs],
        channels_first=CHANNELS_FIRST["onnx"],
    )
    made.notes = transposes(model, {}, NAME)
    return made


def _own_name(tensor: str) -> str:
    """An input's name as the ONNX model has it: version 1 puts the signature around it."""
    return tensor.removeprefix("serving_default_").removesuffix(":0")


def _converted(job: Job, shapes: Sequence[str]) -> bytes:
    """The float ``.tflite`` that onnx2tf makes, in a folder of its own that is then removed."""
    home = Path(tempfile.mkdtemp())
    try:
        source = _copied(Path(job.source), home)
        made = home / "made"
        code, printed = _run(job, source, made, shapes)
        files = sorted(made.glob("*_float32.tflite"))
        if code == 0 and len(files) == 1:
            return files[0].read_bytes()
        raise _failure(job, code, printed)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _copied(source: Path, home: Path) -> Path:
    """A copy of the model with its weights beside it: onnx2tf may write over what it reads."""
    for name in (Path(source.name), *weights_beside(source)):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, home / name)
    np.save(home / _PICTURE, np.random.default_rng(0).random(_PICTURE_SHAPE, np.float32))
    return home / source.name


def _run(job: Job, source: Path, made: Path, options: Sequence[str]) -> tuple[int, bytes]:
    """Run the command. Its exit code, and the end of what it printed, which goes to the log too.

    It is in the job's process group and ends with that, at the latest when the job's time is over.
    It has the job's limit of memory.
    """
    program = located(job.onnx_command, Path(job.root))
    assert program is not None  # ``missing_packages`` has looked
    home = source.parent
    command = [str(program), *job.onnx_command[1:], "-i", str(source), "-o", str(made), "-n"]
    with subprocess.Popen(  # noqa: S603 - the program that the declaration names
        [*command, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=home,
        env=command_environment(program, home),
        preexec_fn=without_network(),
    ) as child:
        assert child.stdout is not None
        tail = b""
        while piece := os.read(child.stdout.fileno(), _TAIL_BYTES):
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            tail = (tail + piece)[-_TAIL_BYTES:]
    return child.returncode, tail


def _shapes(job: Job) -> list[str]:
    """The options that close open dimensions: the batch is 1, all others are declared.

    Raises:
        WorkerError: one is open or in float64, or what is declared is not the model's.
    """
    model, declared = read_onnx(Path(job.source)), dict(job.input_shapes)
    assert model is not None  # ``check_source`` has read it
    require_known(declared, [each.name for each in model.inputs])
    doubles = [each.name for each in model.inputs if each.is_double]
    if doubles:
        raise WorkerError(
            f"its input {doubles[0]!r} is float64, expected float32", "save the model in float32"
        )
    shapes = {
        each.name: static_shape(each.name, each.shape, declared.get(each.name))
        for each in model.inputs
    }
    if not declared:
        return ["-b", "1"]
    return ["-ois", *(f"{name}:{','.join(map(str, shape))}" for name, shape in shapes.items())]


def _failure(job: Job, code: int, printed: bytes) -> WorkerError:
    command = f"{NAME} {version_of(job.onnx_command, Path(job.root))}"
    if code == 0:
        return WorkerError(
            f"{command} wrote no float .tflite, although it ended without an error",
            _LOOK,
        )
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    cause = _cause(_COLORS.sub(b"", printed).splitlines())
    if any(words in printed for words in _OUT_OF_MEMORY):
        advice = f"it may take {job.memory_bytes >> 20} MB of memory (conversion_memory)"
    else:
        advice = _LOOK
    return WorkerError(f"{command} {ended}{cause}", *_old_opset(Path(job.source)), advice)


def _old_opset(source: Path) -> list[str]:
    """What to do with operators of a version that nobody has seen onnx2tf convert."""
    model = read_onnx(source)
    if model is None or not 0 < model.opset < _OLDEST_OPSET:
        return []
    how = "torch.onnx.export(…, opset_version=17), or the package onnx's version_converter"
    return [f"its opset is {model.opset}: save it with {_OLDEST_OPSET} or newer ({how})"]


def _cause(lines: Sequence[bytes]) -> str:
    """The last line that says an error, and what caused that; empty where none does."""
    chained = [index for index, line in enumerate(lines) if _CAUSED in line]
    root = _said(lines[: chained[-1]]) if chained else b""
    texts = [printable(each.decode(errors="replace"), limit=_LONGEST_CAUSE)
             for each in (_said(lines), root) if each]  # fmt: skip
    return f": {', caused by '.join(texts)}" if texts else ""


def _said(lines: Sequence[bytes]) -> bytes:
    """The last line that says an error; empty where none does."""
    said = [line for line in lines if _ERROR_LINE.match(line)]
    named = [line for line in said if not line.lstrip().startswith(b"ERROR:")] or said
    return named[-1].strip() if named else b""


def _refuse_tensorflow_operators(model: Model) -> None:
    """Refuse what only TensorFlow itself runs: LiteRT cannot load it either."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.name.startswith("Flex"):
                layer = printable(graph.tensors[operator.outputs[0]].name, limit=80)
                raise WorkerError(
                    f"{NAME} left {operator.name} #{operator.index} (layer {layer}) to TensorFlow, "
                    "and TFLM has no such operator",
                    "export the model with another layer in its place",
                )
