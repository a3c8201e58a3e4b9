"""Runs models in TFLM's interpreter and in LiteRT, in one child process for all of a run.

The child (``worker.py``) imports the interpreters while this process goes on, and does its jobs one
after the other. Where a model ends it, that is the result of that job and interpreter, and another
child does what is left.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import threading
import time
from contextlib import ExitStack
from contextlib import suppress
from pathlib import Path
from queue import Empty
from queue import SimpleQueue
from typing import Any

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.graph.model import Model


#: The interpreters, and the package that each is in.
TFLM = "TFLM"
PACKAGES = {TFLM: "tflite_micro", "LiteRT": "ai_edge_litert"}
#: What an interpreter may take for one job.
TIME_LIMIT_SECONDS = 120

#: Files of arrays.
ARRAYS = frozenset({".npz", ".npy"})

_WORKER = "pytest_tinybudget.shrinking.worker"
_SPARE_ARENA_BYTES = 16 * 1024**2


def installed() -> tuple[str, ...]:
    """The interpreters whose packages are installed."""
    return tuple(name for name, package in PACKAGES.items() if importlib.util.find_spec(package))


class Samples(Struct, frozen=True):
    """Inputs for a model besides random ones.

    Attributes:
        paths: ``.npz`` and ``.npy`` files with an array for each input, samples first.
        function: The folder from which a project's module is imported, the module, and the name of
            its function that returns such arrays, or samples one by one.
    """

    paths: tuple[Path, ...] = ()
    function: tuple[Path, str, str] | None = None


def samples_at(path: Path) -> Samples:
    """The samples of a file, or of all files of arrays in a folder."""
    if not path.is_dir():
        return Samples((path,))
    return Samples(tuple(sorted(each for each in path.rglob("*") if each.suffix in ARRAYS)))


class Answer(Struct):
    """What came of a job in one interpreter.

    ``what`` is ``same``, ``differs``, ``failed`` or ``computed``; a failure is ``after`` where the
    file before ran. ``details`` are the child's, ``reason`` why it failed.
    """

    what: str
    details: tuple[Any, ...] = ()
    reason: str = ""
    after: bool = False


class Job(Struct, eq=False):
    """Something that the child does; ``answers`` by interpreter, once it is done."""

    number: int
    request: dict[str, Any]
    folder: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    is_done: bool = False


class Interpreters:
    """Runs models in a child process, which is started by ``start`` or with the first job.

    It is to be closed: it is a context manager.
    """

    def __init__(self) -> None:
        self._open = ExitStack()
        self._home: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._said: SimpleQueue[bytes | None] = SimpleQueue()
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count()
        #: How many children in a row ended before they began with anything.
        self._idle_ends = 0
        #: The job and interpreter at work, and whether the file before is behind it.
        self._at: tuple[int, str, bool] | None = None

    def __enter__(self) -> Interpreters:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Let the child import the interpreters meanwhile.

        Raises:
            OSError: it cannot be started.
        """
        from pytest_tinybudget.base.folders import temporary_folder
        from pytest_tinybudget.base.processes import start

        if self._child is not None or not installed():
            return
        if self._home is None:
            self._home = self._open.enter_context(temporary_folder())
        self._child = start(
            _WORKER, *installed(), home=self._home, log=self._home / "log.txt", answers=True
        )
        self._said = SimpleQueue()
        threading.Thread(target=_read, args=(self._child, self._said), daemon=True).start()

    def start_quietly(self) -> None:
        """As ``start``; what it raises, the first job raises again."""
        with suppress(OSError):
            self.start()

    def compare(
        self, before: Model, after: Model, *, runs: int, rounds: int, samples: Samples | None
    ) -> Job:
        """Have both files run on ``runs`` random inputs and as many samples, ``rounds`` times.

        Raises:
            OSError: the files cannot be written, or the child cannot be started.
        """
        given = None
        if samples is not None:
            function = samples.function
            given = {
                "paths": [str(path.absolute()) for path in samples.paths],
                "function": function and [str(function[0].absolute()), *function[1:]],
            }
        request = {
            "kind": "compare",
            "engines": list(installed()),
            "most": runs,
            "rounds": rounds,
            "samples": given,
            "names": _input_names(before),
        }
        return self._add(request, before, after)

    def computed(self, model: Model) -> list[bytes] | None:
        """What a model without inputs computes in TFLM's interpreter; ``None`` where it fails.

        Raises:
            OSError: the file cannot be written, or the child cannot be started.
        """
        job = self._add({"kind": "compute", "engines": [TFLM]}, model)
        answer = self.answers(job)[TFLM]
        if answer.what != "computed":
            return None
        return [
            (job.folder / f"{index}.bin").read_bytes() for index in range(len(model.main.outputs))
        ]

    def answers(self, job: Job) -> dict[str, Answer]:
        """What came of ``job``, by interpreter, once it is done.

        Raises:
            OSError: another child cannot be started.
        """
        deadline = time.monotonic() + TIME_LIMIT_SECONDS
        while not job.is_done:
            try:
                line = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                self._replace(f"not done after {TIME_LIMIT_SECONDS} s")
                line = b""
            if line is None:
                self._replace(self._how_it_ended())
            elif line:
                self._heed(*json.loads(line))
            deadline = time.monotonic() + TIME_LIMIT_SECONDS
        return job.answers

    def close(self) -> None:
        """End the child and remove its files."""
        self._end()
        self._jobs.clear()
        self._open.close()
        self._home = None

    def _add(self, request: dict[str, Any], before: Model, after: Model | None = None) -> Job:
        self.start()
        assert self._home is not None
        number = next(self._numbers)
        folder = self._home / str(number)
        folder.mkdir()
        for name, model in (("before", before), ("after", after)):
            if model is not None:
                (folder / f"{name}.tflite").write_bytes(model.content)
                request[name] = str(folder / f"{name}.tflite")
        request |= {
            "number": number,
            "arena": _arena_bytes(before),
            "variables": _variables(before),
            "inputs": len(before.main.inputs),
            "outputs": len(before.main.outputs),
            "seconds": TIME_LIMIT_SECONDS,
            "to": str(folder),
        }
        job = self._jobs[number] = Job(number, request, folder)
        self._send(job)
        return job

    def _send(self, job: Job) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        left = [name for name in job.request["engines"] if name not in job.answers]
        line = json.dumps({**job.request, "engines": left})
        with suppress(OSError):  # a child that is gone is seen where its answers are read
            self._child.stdin.write(f"{line}\n".encode())
            self._child.stdin.flush()

    def _heed(self, number: int, what: str, name: str = "", *details: Any) -> None:
        """Take in what the child says of a job."""
        job = self._jobs[number]
        if what == "done":
            self._at, job.is_done = None, True
            del self._jobs[number]
        elif what == "begun":
            self._at, self._idle_ends = (number, name, False), 0
        elif what == "before":
            self._at = number, name, True
        elif what == "failed":
            after = self._at is not None and self._at[2]
            job.answers[name] = Answer(what, reason=printable(details[0]), after=after)
        else:
            job.answers[name] = Answer(what, details)

    def _replace(self, reason: str) -> None:
        """Have another child do what this one did not; what ended it failed for ``reason``."""
        self._end()
        self._idle_ends += self._at is None
        if self._at is None and self._idle_ends > 1:  # it ends before it does anything
            waiting, self._jobs = list(self._jobs.values()), {}
            for job in waiting:
                for name in job.request["engines"]:
                    job.answers.setdefault(name, Answer("failed", reason=reason))
                job.is_done = True
            return
        if self._at is not None:
            (number, name, after), self._at = self._at, None
            self._jobs[number].answers[name] = Answer("failed", reason=reason, after=after)
            if self._jobs[number].answers.keys() >= set(self._jobs[number].request["engines"]):
                self._jobs.pop(number).is_done = True
        if self._jobs:
            self.start()
            for job in self._jobs.values():
                self._send(job)

    def _how_it_ended(self) -> str:
        from pytest_tinybudget.base.processes import signal_name

        assert self._child is not None
        code = self._child.wait()
        if code < 0:
            return f"ended by {signal_name(-code)}"
        said = b""
        with suppress(OSError):
            said = (self._home / "log.txt").read_bytes() if self._home else b""
        text = said.decode("utf-8", "replace").strip()
        return printable(text.rpartition("\n")[2]) or f"exit code {code}"

    def _end(self) -> None:
        from pytest_tinybudget.base.processes import end

        if self._child is not None:
            end(self._child)
            self._child = None


def _read(child: subprocess.Popen[bytes], said: SimpleQueue[bytes | None]) -> None:
    """Pass on what the child says, and ``None`` once it has ended."""
    assert child.stdout is not None
    with child.stdout as lines:
        for line in lines:
            said.put(line)
    said.put(None)


def _input_names(model: Model) -> list[list[str]]:
    """By input the names that data may call it by: of signatures, and the tensor's own."""
    found = []
    for index in model.main.inputs:
        of_signatures = [
            name
            for signature in model.signatures
            for name, tensor in signature.inputs.items()
            if tensor == index
        ]
        own = model.main.tensors[index].name
        bare = own.removeprefix("serving_default_").partition(":")[0]
        found.append([*dict.fromkeys((*of_signatures, own, bare))])
    return found


def _variables(model: Model) -> int:
    """How many resource variables there are: each has a name of its own."""
    return len(
        {
            operator.options.get("shared_name")
            for graph in model.subgraphs
            for operator in graph.operators
            if operator.name == "VAR_HANDLE"
        }
    )


def _arena_bytes(model: Model) -> int:
    """More than any plan needs: all tensors side by side, and room for everything else."""
    tensors = sum(tensor.bytes for graph in model.subgraphs for tensor in graph.tensors)
    return 4 * tensors + 10 * model.bytes + _SPARE_ARENA_BYTES
