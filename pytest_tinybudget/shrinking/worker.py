"""The child process of ``interpreters.py``: runs models in TFLM's interpreter and in LiteRT.

``python -m pytest_tinybudget.shrinking.worker ENGINE…`` imports what the engines need, and then
does jobs as they come, a line of JSON each on stdin, and answers on stdout in lines of JSON. It
ends with its parent. Only this process imports the interpreters, because a model that they do not
expect can end it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pytest_tinybudget.base.confinement import limit_time
from pytest_tinybudget.base.confinement import lines_of_parent


#: What goes into a model, and what comes out of one run: an array, and the bytes of an array, each.
_Inputs = list[Any]
_Outputs = list[bytes]


def main() -> None:
    """Do the jobs of the parent until it ends."""
    # What interpreters and a project's own code print goes to stderr, between no answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jobs: SimpleQueue[bytes] = SimpleQueue()
    lines_of_parent(jobs.put)
    for name in sys.argv[1:]:
        with suppress(Exception):  # the first job meets it again, and tells
            _ENGINES[name].load()
    while True:
        job = json.loads(jobs.get())

        def tell(what: str, *details: object, number: int = job["number"]) -> None:
            print(json.dumps([number, what, *details]), file=answers, flush=True)

        (_compare if job["kind"] == "compare" else _compute)(job, tell)
        tell("done")


class Tflm:
    """TFLM's interpreter, from the package ``tflite-micro``."""

    @staticmethod
    def load() -> Any:
        """Import what it needs."""
        import numpy  # noqa: F401 - of which the package's own import would be a part
        from tflite_micro.python.tflite_micro import runtime

        return runtime

    def __init__(self, file: str, job: Mapping[str, Any]) -> None:
        runtime = self.load()
        # The package counts them in a copy of the whole model in Python: half of the time to load.
        runtime.count_resource_variables = lambda _content: job["variables"]
        self.model = runtime.Interpreter.from_file(file, arena_size=job["arena"])
        self.count = job["outputs"]
        self.inputs = [self.model.get_input_details(index) for index in range(job["inputs"])]

    def run(self, values: _Inputs) -> _Outputs:
        """What comes out for ``values``."""
        for index, value in enumerate(values):
            self.model.set_input(value, index)
        self.model.invoke()
        return [self.model.get_output(index).tobytes() for index in range(self.count)]


class LiteRt:
    """LiteRT, from the package ``ai-edge-litert``."""

    @staticmethod
    def load() -> Any:
        """Import what it needs."""
        from ai_edge_litert import interpreter

        return interpreter

    def __init__(self, file: str, _job: Mapping[str, Any]) -> None:
        self.model = self.load().Interpreter(file, num_threads=1)
        self.model.allocate_tensors()
        self.inputs = self.model.get_input_details()

    def run(self, values: _Inputs) -> _Outputs:
        """What comes out for ``values``."""
        for detail, value in zip(self.inputs, values, strict=True):
            self.model.set_tensor(detail["index"], value)
        self.model.invoke()
        found = self.model.get_output_details()
        return [self.model.get_tensor(detail["index"]).tobytes() for detail in found]


_ENGINES: dict[str, type[Tflm | LiteRt]] = {"TFLM": Tflm, "LiteRT": LiteRt}


def _compare(job: Mapping[str, Any], tell: Callable[..., None]) -> None:
    """Run two files in each engine of ``job`` and compare every byte that comes out."""
    given: _Given | None = None
    for name in job["engines"]:
        limit_time(job["seconds"])
        tell("begun", name)
        try:
            model = _ENGINES[name](job["before"], job)
            if given is None:
                given = _Given(model.inputs, job)
            before = [model.run(each) for each in given.rows]
            del model
            tell("before", name)
            model = _ENGINES[name](job["after"], job)
            after = [model.run(each) for each in given.rows]
        except Exception as error:
            tell("failed", name, _last_line(error))
            continue
        found = _difference(before, after)
        if found:
            tell("differs", name, *found)
            return
        tell("same", name, len(before), given.samples, given.why_not)
    limit_time(0)


def _difference(before: Sequence[_Outputs], after: Sequence[_Outputs]) -> tuple[int, int] | None:
    """The first run and output that differ."""
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        for output, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            if mine != theirs:
                return number, output
    return None


def _compute(job: Mapping[str, Any], tell: Callable[..., None]) -> None:
    """Run a model without inputs in TFLM's interpreter, and write what comes out."""
    limit_time(job["seconds"])
    tell("begun", "TFLM")
    try:
        values = Tflm(job["before"], job).run([])
        for index, value in enumerate(values):
            Path(job["to"], f"{index}.bin").write_bytes(value)
    except Exception as error:
        tell("failed", "TFLM", _last_line(error))
    else:
        tell("computed", "TFLM", len(values))
    limit_time(0)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1]}"


# What goes in.


class _Given:
    """The inputs of all runs: those of samples, and random ones.

    ``samples`` is how many are of samples; ``why_not`` why none are where some were given.
    """

    def __init__(self, details: Sequence[Mapping[str, Any]], job: Mapping[str, Any]) -> None:
        own: list[_Inputs] = []
        self.why_not = ""
        if job["samples"]:
            try:
                own = list(_samples(job["samples"], details, job["names"], job["most"]))
            except Exception as error:
                self.why_not = _last_line(error)
        self.samples = len(own)
        made = [[_value(each, number) for each in details] for number in range(job["most"])]
        self.rows = [*own, *made] * job["rounds"]


def _value(detail: Mapping[str, Any], number: int) -> Any:
    """A random array for an input; the same for the same ``number``."""
    import math

    import numpy as np

    dtype, shape = np.dtype(detail["dtype"]), tuple(map(int, detail["shape"]))
    count, chance = math.prod(shape), random.Random(number)  # noqa: S311
    if dtype.kind == "f":
        content = np.array([chance.gauss(0, 1) for _ in range(count)])
        return content.astype(dtype).reshape(shape)
    content = np.frombuffer(chance.randbytes(count * dtype.itemsize), f"V{dtype.itemsize}")
    if dtype.kind == "b":
        return (content.view("u1") & 1).astype(dtype).reshape(shape)
    return content.view(dtype).reshape(shape)


def _samples(
    given: Mapping[str, Any],
    details: Sequence[Mapping[str, Any]],
    names: Sequence[Sequence[str]],
    most: int,
) -> Iterator[_Inputs]:
    """The first ``most`` samples, one by one, as the model's inputs.

    Raises:
        ValueError: they are not in the form of the inputs.
    """
    found = 0
    for arrays in _arrays(given):
        columns = _columns(arrays, names)
        counts = {
            len(column) if _is_many(column, detail) else 1
            for column, detail in zip(columns, details, strict=True)
        }
        if len(counts) > 1:
            raise ValueError(f"inputs have different numbers of samples: {sorted(counts)}")
        for index in range(counts.pop()):
            if found == most:
                return
            found += 1
            yield [
                _fitted(column[index] if _is_many(column, detail) else column, detail)
                for column, detail in zip(columns, details, strict=True)
            ]
    if not found:
        raise ValueError("it holds no samples")


def _is_many(column: Any, detail: Mapping[str, Any]) -> bool:
    """Whether an array holds samples, and is not one of them without the batch's axis."""
    return bool(column.ndim != len(detail["shape"]) - 1)


def _arrays(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Arrays by name, samples first or one sample: of each file, or of what a function returns."""
    import numpy as np

    for path in given["paths"]:
        data = np.load(path, allow_pickle=False)
        yield {name: data[name] for name in data.files} if hasattr(data, "files") else {"": data}
    if given["function"]:
        import importlib

        root, module, name = given["function"]
        sys.path.insert(0, root)
        found = getattr(importlib.import_module(module), name)()
        if isinstance(found, Mapping):
            yield {str(key): np.asarray(each) for key, each in found.items()}
        elif hasattr(found, "__array__"):
            yield {"": np.asarray(found)}
        else:
            yield from map(_of_sample, found)


def _of_sample(sample: Any) -> dict[str, Any]:
    """One sample of a function by name; without its first axis, as a number of one has none."""
    import numpy as np

    if isinstance(sample, Mapping):
        return {str(key): np.asarray(each) for key, each in sample.items()}
    if isinstance(sample, (tuple, list)):
        return {f"arr_{index}": np.asarray(each) for index, each in enumerate(sample)}
    return {"": np.asarray(sample)}


def _columns(arrays: Mapping[str, Any], names: Sequence[Sequence[str]]) -> list[Any]:
    """The array of each input: by one of its ``names``, by its place, or the only one there is."""
    if len(arrays) == len(names) == 1:
        return list(arrays.values())
    for keys in (names, [[f"arr_{index}"] for index in range(len(names))]):
        found = [next((key for key in each if key in arrays), None) for each in keys]
        if None not in found and len(set(found)) == len(arrays):
            return [arrays[key] for key in found if key is not None]
    inputs = ", ".join(each[0] if each else "one without a name" for each in names)
    raise ValueError(f"the model's inputs are {inputs}; the data has {', '.join(arrays)}")


def _fitted(value: Any, detail: Mapping[str, Any]) -> Any:
    """A sample in type and shape of an input; a float for a quantized one is quantized.

    Raises:
        ValueError: it has other dimensions, or a type that does not fit.
    """
    import numpy as np

    dtype, shape = np.dtype(detail["dtype"]), tuple(map(int, detail["shape"]))
    if value.dtype.kind == "f" and dtype.kind in "iu":
        parameters = detail["quantization_parameters"]
        scale, zero_point = float(parameters["scales"][0]), int(parameters["zero_points"][0])
        limits = np.iinfo(dtype)
        value = np.clip(np.round(value / scale) + zero_point, limits.min, limits.max)
    elif value.dtype.kind != dtype.kind:
        raise ValueError(f"{value.dtype} where the input is {dtype}")
    return np.ascontiguousarray(value.astype(dtype).reshape(shape))


if __name__ == "__main__":
    main()
