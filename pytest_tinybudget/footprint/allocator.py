"""TFLM's arena as its allocator sees it: head, temporary data and tail, and their peak."""

from __future__ import annotations

from typing import Literal
from typing import get_args

from pytest_tinybudget.runtimes.abi import align_up


#: MicroArenaBufferAlignment.
ALIGNMENT = 16
#: An event, in the letters of TFLM traces (P persistent, T temporary, R resized head,
#: X temporaries released): kind, size, alignment; then the tail's bytes after a P, the place of
#: a T, the size of the head after an R or X.
Event = tuple[str, int, int, int]
#: The categories of TFLM's RecordingMicroAllocator.
Category = Literal[
    "eval_tensor",
    "persistent_tensor",
    "persistent_tensor_quant",
    "persistent_buffer",
    "variable_buffer",
    "node_and_registration",
    "op_data",
]


class Memory:
    """SingleArenaBufferAllocator without an end: notes the most that is needed at any time.

    ``head`` bytes are reserved from the front, temporaries lie behind them up to ``temp``, and
    ``tail`` bytes grow from the end, which is aligned to 16. ``needed`` is the most of all;
    ``decided_by`` the ``stage`` that needed it. ``kept`` has the tail's bytes by kind of operator
    and cause, as ``cause`` was when they were reserved.

    With ``split`` the tail has a buffer of its own (PersistentArenaBufferAllocator): ``needed`` is
    then what the other takes (NonPersistentArenaBufferAllocator).

    TFLM does not check whether the tail grows into temporary data. The device works as long as
    it does not read that data again (``spare``); what it does beyond that is undefined.
    """

    def __init__(self, trace: list[Event] | None = None, *, split: bool = False) -> None:
        self.split = split
        self.head = self.temp = self.tail = self.needed = 0
        self.stage = self.decided_by = ""
        self.recorded: dict[str, int] = dict.fromkeys(get_args(Category), 0)
        #: Operator (empty: none) and cause of what is reserved now.
        self.cause: tuple[str, str] = ("", "")
        self.kept: dict[tuple[str, str], int] = {}
        self._spare = self._planned = 0
        self._trace = trace

    def persistent(self, size: int, alignment: int) -> int:
        """Reserve memory from the end. Returns the bytes by which the tail has grown."""
        before = self.tail
        self.tail = align_up(before + size, alignment)
        self.kept[self.cause] = self.kept.get(self.cause, 0) + self.tail - before
        self.need(self.temp - self._spare)
        self._note("P", size, alignment, self.tail)
        return self.tail - before

    def record(self, category: Category, size: int, alignment: int) -> None:
        """Reserve memory from the end and count it under ``category``."""
        self.recorded[category] += self.persistent(size, alignment)

    def temporary(self, size: int, alignment: int, spare: int = 0) -> None:
        """Reserve temporary memory, of which TFLM does not read the last ``spare`` bytes again."""
        # Every operand of every kernel comes here several times: nothing is called.
        start = -(-self.temp // alignment) * alignment
        self.temp = needed = start + size
        self._spare = spare
        if not self.split:
            needed += self.tail
        if needed > self.needed:
            self.needed, self.decided_by = needed, self.stage
        if self._trace is not None:
            self._note("T", size, alignment, start)

    def spare_temporaries(self) -> None:
        """The temporaries up to here are not read again."""
        self._spare = self.temp - self.head

    def reset_temporaries(self) -> None:
        self.temp = self.head
        self._spare = 0
        self._note("X", 0, 1, self.head)

    def resize_head(self, size: int, alignment: int) -> None:
        self.head = self.temp = size
        self.need(self.head)
        self._note("R", size, alignment, size)

    def commit_plan(self, size: int) -> None:
        """Reserve the head for a model's plan. A larger head of an earlier model stays."""
        self._planned = max(self._planned, size)
        self.resize_head(self._planned, ALIGNMENT)

    def need(self, size: int, alignment: int = 1) -> None:
        """The arena must hold ``size`` bytes at its front now, and behind them the aligned tail."""
        if not self.split:
            size += self.tail if alignment == 1 else align_up(self.tail, alignment)
        if size > self.needed:
            self.needed, self.decided_by = size, self.stage

    def _note(self, kind: str, size: int, alignment: int, position: int) -> None:
        if self._trace is not None:
            self._trace.append((kind, size, alignment, position))
