"""The ``tflite-micro`` runtime as an oracle: what a model takes in its arena on x86-64.

The runtime runs in a child process, one for many models, that is started again should it end. Run
as a script this file is that child.
"""

from __future__ import annotations

import json
import os
import re
import select
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from dataclasses import field
from types import TracebackType
from typing import Any


#: Larger than any model of the tests needs; what is recorded does not depend on the size.
ARENA_BYTES = 16 * 1024**2

_TOTAL = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_CATEGORY = re.compile(
    r"'([^']+)' used (\d+) bytes with alignment overhead"
    r" \(requested (\d+) bytes for (\d+) [^)]*\)"
)

#: What TFLM's recording allocator prints, by our name for the category.
CATEGORIES = {
    "eval_tensor": "TfLiteEvalTensor data",
    "persistent_tensor": "Persistent TfLiteTensor data",
    "persistent_tensor_quant": "Persistent TfLiteTensor quantization data",
    "persistent_buffer": "Persistent buffer data",
    "variable_buffer": "TfLiteTensor variable buffer data",
    "node_and_registration": "NodeAndRegistration struct",
    "op_data": "Operator runtime data",
}


@dataclass(frozen=True)
class Reading:
    """What the runtime said of one model.

    ``status`` is ``"ok"``, ``"refused"`` (does not load), ``"invoke failed"``, ``"ended"`` or
    ``"timeout"``; ``recorded`` has bytes used by category, alignment included.
    """

    status: str
    log: str = ""
    head: int = 0
    tail: int = 0
    recorded: dict[str, int] = field(default_factory=dict)


class Oracle:
    """A child process with the runtime; use as a context manager."""

    def __init__(self, timeout_seconds: float = 60, script: tuple[str, ...] = (__file__,)) -> None:
        self.timeout_seconds = timeout_seconds
        self._script = script
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Oracle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def read(self, content: bytes, arena_bytes: int = ARENA_BYTES) -> Reading:
        """Load and run the model in ``content``, return what was recorded."""
        answer = self.ask(content, arena_bytes)
        return Reading(answer) if isinstance(answer, str) else _parse(answer)

    def ask(self, content: bytes, number: int) -> Any:
        """The child's answer to a model and a number, ``"ended"`` or ``"timeout"``."""
        child = self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(struct.pack("<2I", len(content), number) + content)
            child.stdin.flush()
            line = self._reply(child)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self._stop()
            return "timeout"
        if not line:
            self._stop()
            return "ended"
        return json.loads(line)

    def _reply(self, child: subprocess.Popen[bytes]) -> bytes:
        assert child.stdout is not None
        deadline = time.monotonic() + self.timeout_seconds
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise TimeoutError
            part = os.read(child.stdout.fileno(), 65536)
            if not part:
                return b""
            line += part
        return line

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, *self._script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def assert_as_the_runtime_says(content: bytes, oracle: Oracle) -> None:
    """Head, tail and each recorded category, and whether the model loads and runs at all.

    A model that ends the runtime must be known as such before: it is not given to it.
    """
    from pytest_tinybudget.footprint.arena import simulate
    from pytest_tinybudget.footprint.result import UNNOTICED
    from pytest_tinybudget.graph.tflite import read_model
    from pytest_tinybudget.runtimes.runtime import RUNTIMES

    simulation = simulate(read_model(content, "model"), RUNTIMES["x86_64_ref"])
    if any(refusal.ends for refusal in simulation.refusals):
        return
    reading = oracle.read(content)
    # What the runtime computes wrongly without an error, it runs.
    stages = {refusal.stage for refusal in simulation.refusals} - set(UNNOTICED)
    status = "ok" if not stages else "invoke failed" if stages == {"invoke"} else "refused"
    assert status == reading.status, (simulation.refusals, reading.log)
    if simulation.arena is None:
        return
    arena = simulation.arena
    predicted = {CATEGORIES[name]: size for name, size in arena.recorded.items() if size}
    assert not simulation.unknown
    assert (arena.head, arena.tail, predicted) == (reading.head, reading.tail, reading.recorded)


def _parse(answer: dict[str, Any]) -> Reading:
    totals = {name: int(size) for name, size in _TOTAL.findall(answer["log"])}
    return Reading(
        status=answer["status"],
        log=answer["log"],
        head=totals.get("head", 0),
        tail=totals.get("tail", 0),
        recorded={name: int(used) for name, used, _, _ in _CATEGORY.findall(answer["log"])},
    )


def _serve() -> None:
    """Answer each model on standard input with one line of JSON on standard output."""
    from tflite_micro import runtime

    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    while header := requests.read(8):
        size, arena_bytes = struct.unpack("<2I", header)
        content = requests.read(size)
        with tempfile.TemporaryFile("w+", errors="replace") as captured:
            standard_error = os.dup(2)
            os.dup2(captured.fileno(), 2)
            status = _run(runtime, content, arena_bytes)
            os.dup2(standard_error, 2)
            os.close(standard_error)
            captured.seek(0)
            answer = {"status": status, "log": captured.read()}
        print(json.dumps(answer), file=answers, flush=True)


def _run(runtime: Any, content: bytes, arena_bytes: int) -> str:
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    except RuntimeError:
        return "refused"
    interpreter.print_allocations()
    try:
        _fill_inputs(interpreter, runtime.schema_fb.Model.GetRootAsModel(content, 0))
        interpreter.invoke()
    except RuntimeError:
        return "invoke failed"
    return "ok"


def _fill_inputs(interpreter: Any, model: Any) -> None:
    """Ones: some kernels fail on what happens to be in memory (divisors of 0, wild indices)."""
    import numpy as np

    for index in range(model.Subgraphs(0).InputsLength()):
        details = interpreter.get_input_details(index)
        interpreter.set_input(np.ones(details["shape"], details["dtype"]), index)


if __name__ == "__main__":
    _serve()
