"""Runs a model and its shrunken file side by side, and compares every byte that comes out.

The interpreters are TFLM's (the package ``tflite-micro``, the extra ``verify``) and LiteRT (the
package ``ai-edge-litert``), each where it is installed. They run in child processes with a time
limit, because a model that they do not expect can end them.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.state import keeps_state
from pytest_tinybudget.shrinking.report import Proof
from pytest_tinybudget.shrinking.report import ProofRun


#: On how many random inputs the files are compared, at the least.
INPUTS = 8
#: How often all of them are given to a model with a state, without a reset.
_ROUNDS_WITH_STATE = 3
#: What an interpreter may take for all of it.
TIME_LIMIT_SECONDS = 120
_SPARE_ARENA_BYTES = 16 * 1024**2

_TFLM, _LITERT = "TFLM", "LiteRT"
#: The interpreters, and the package that each is in.
PACKAGES = {_TFLM: "tflite_micro", _LITERT: "ai_edge_litert"}

_CHILD = """\
import sys
import numpy
name, arena, inputs, outputs, samples, rounds = sys.argv[1], *map(int, sys.argv[2:7])
class Tflm:
    def __init__(self, path):
        from tflite_micro.python.tflite_micro import runtime
        self.model = runtime.Interpreter.from_file(path, arena_size=arena)
        self.inputs = [self.model.get_input_details(index) for index in range(inputs)]
    def run(self, values):
        for index, value in enumerate(values):
            self.model.set_input(value, index)
        self.model.invoke()
        return [self.model.get_output(index).tobytes() for index in range(outputs)]
class LiteRt:
    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter
        self.model = Interpreter(path, num_threads=1)
        self.model.allocate_tensors()
        self.inputs = self.model.get_input_details()
    def run(self, values):
        for detail, value in zip(self.inputs, values):
            self.model.set_tensor(detail["index"], value)
        self.model.invoke()
        found = self.model.get_output_details()
        return [self.model.get_tensor(detail["index"]).tobytes() for detail in found]
def values(details, number):
    random = numpy.random.default_rng(number)
    return [value(numpy.dtype(each["dtype"]), tuple(each["shape"]), random) for each in details]
def value(dtype, shape, random):
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        limits = numpy.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return random.standard_normal(shape).astype(dtype)
def fitted(value, detail):
    dtype, shape = numpy.dtype(detail["dtype"]), tuple(detail["shape"])
    if value.dtype != dtype and value.dtype.kind == "f" and dtype.kind in "iu":
        scale, zero_point = scale_of(detail)
        limits = numpy.iinfo(dtype)
        value = numpy.clip(numpy.round(value / scale) + zero_point, limits.min, limits.max)
    return value.astype(dtype).reshape(shape)
def scale_of(detail):
    found = detail["quantization_parameters"]
    return float(found["scales"][0]), int(found["zero_points"][0])
def samples_of(path, details):
    if not path:
        return []
    data = numpy.load(path, allow_pickle=False)
    columns = [data[each] for each in data.files] if hasattr(data, "files") else [data]
    if len(columns) != len(details):
        return []
    rows = zip(*(column[:samples] for column in columns))
    try:
        return [list(map(fitted, row, details)) for row in rows]
    except (ValueError, IndexError):
        return []  # not in the form of the inputs
engine = {"TFLM": Tflm, "LiteRT": LiteRt}[name]
path = sys.argv[7] if len(sys.argv) > 7 else ""
def answers(file):
    model = engine(file)
    own = samples_of(path, model.inputs)
    given = [*own, *(values(model.inputs, number) for number in range(samples))]
    return [model.run(each) for _ in range(rounds) for each in given]
before = answers("before.tflite")
print("BEFORE", flush=True)
after = answers("after.tflite")
print("AFTER", flush=True)
for number, (one, other) in enumerate(zip(before, after, strict=True)):
    for output, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        if mine != theirs:
            print("DIFFERS", number, output, flush=True)
            raise SystemExit(0)
print("SAME", len(before), flush=True)
"""


class DiffersError(TinybudgetError):
    """The shrunken file does not answer as the file that it was made of."""

    default_code = "TB310"


def prove(before: Model, after: Model, *, samples: Path | None = None) -> Proof:
    """Run both files on random inputs, and on those in ``samples``, and compare their outputs.

    ``samples`` is an ``.npz`` file with an array for each input of the model, samples first.

    Raises:
        DiffersError: an output differs, or only the file before runs.
        TinybudgetError: temporary files cannot be written.
    """
    found = []
    for name, package in PACKAGES.items():
        if importlib.util.find_spec(package) is not None:
            found.append(_run(name, before, after, samples))
    return Proof(tuple(found))


def _run(name: str, before: Model, after: Model, samples: Path | None) -> ProofRun:
    rounds = _ROUNDS_WITH_STATE if keeps_state(before) else 1
    main = before.main
    arguments = [
        name, str(_arena_bytes(before)), str(len(main.inputs)), str(len(main.outputs)),
        str(INPUTS), str(rounds),
    ]  # fmt: skip
    if samples is not None:
        arguments.append(str(samples.absolute()))
    try:
        child = _child(arguments, before, after)
    except subprocess.TimeoutExpired:
        return ProofRun(name, why_not=f"not done after {TIME_LIMIT_SECONDS} s")
    except OSError as error:
        raise TinybudgetError(
            f"{before.name}: not verified, temporary files cannot be written: "
            f"{error.strerror or error}",
            code="TB102",
        ) from None
    lines = child.stdout.decode("utf-8", "replace").splitlines()
    said = [line.split() for line in lines if line.split()[:1]]
    words = {line[0]: line[1:] for line in said}
    if "BEFORE" not in words:
        return ProofRun(name, why_not=f"it does not run the model ({_last_line(child)})")
    if "DIFFERS" in words:
        number, output = words["DIFFERS"]
        raise DiffersError(
            f"{before.name}: shrunken, output {output} differs in {name}'s interpreter "
            f"(invocation {number}): nothing is written",
        )
    if "SAME" not in words:
        raise DiffersError(
            f"{before.name}: shrunken, it does not run in {name}'s interpreter "
            f"({_last_line(child)}): nothing is written",
        )
    return ProofRun(name, int(words["SAME"][0]))


def _child(
    arguments: Sequence[str], before: Model, after: Model
) -> subprocess.CompletedProcess[bytes]:
    from pytest_tinybudget.base.folders import temporary_folder
    from pytest_tinybudget.base.processes import run

    with temporary_folder() as folder:
        (folder / "before.tflite").write_bytes(before.content)
        (folder / "after.tflite").write_bytes(after.content)
        return run(_CHILD, arguments, folder, TIME_LIMIT_SECONDS)


def _last_line(child: subprocess.CompletedProcess[bytes]) -> str:
    if child.returncode < 0:
        from pytest_tinybudget.base.processes import signal_name

        return f"ended by {signal_name(-child.returncode)}"
    text = child.stderr.decode("utf-8", "replace").strip()
    return printable(text.rpartition("\n")[2]) or f"exit code {child.returncode}"


def _arena_bytes(model: Model) -> int:
    """More than any plan needs: all tensors side by side, and room for everything else."""
    tensors = sum(tensor.bytes for graph in model.subgraphs for tensor in graph.tensors)
    return 4 * tensors + 10 * model.bytes + _SPARE_ARENA_BYTES
