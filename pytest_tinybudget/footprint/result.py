"""What a model takes on a runtime: flash and RAM in parts, each with how it was got."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


#: ``exact``: the device's number to the byte; ``table``: read off measured tables;
#: ``estimated``: with the margin given; ``declared``: the user's own figure.
Method = Literal["exact", "table", "estimated", "declared"]

#: How the models of a group share RAM: one arena that is set up anew for whichever runs
#: (``max``), one allocator for all their interpreters (``multitenant``), an arena each (``sum``).
GroupArena = Literal["max", "multitenant", "sum"]


class Part(Struct, frozen=True, gc=False):
    """A share of flash or RAM. ``margin_bytes`` bounds how far the truth may lie above."""

    name: str
    bytes: int
    method: Method
    margin_bytes: int = 0
    note: str = ""


class LiveBuffer(Struct, frozen=True, gc=False):
    """A planned buffer of the arena's head.

    ``owner`` is a tensor's name, or ``"scratch of OP #i"``; ``index`` is the tensor's in its
    subgraph, or the operator's for scratch; ``first`` and ``last`` are the times
    (TFLM's allocation scopes, closed interval) between which it must not be overwritten.
    """

    owner: str
    kind: Literal["tensor", "scratch"]
    bytes: int
    offset: int
    first: int
    last: int
    subgraph: int
    index: int


class Persistent(Struct, frozen=True, gc=False):
    """A share of the arena's tail: for which kind of operator (empty: for none), and what it is."""

    operator: str
    cause: str
    bytes: int


class SplitArena(Struct, frozen=True, gc=False):
    """The two arenas of a ``MicroAllocator`` with two buffers, bytes.

    Each is the smallest multiple of 16 that works for a buffer that is aligned to 16.
    """

    persistent: int
    non_persistent: int


class Arena(Struct, frozen=True, gc=False):
    """TFLM's tensor arena, bytes.

    ``required`` is the smallest multiple of 16 that works on the device (what a verdict
    counts); ``used`` is what ``arena_used_bytes()`` prints; head + tail = used.
    ``decided_by`` says what set ``required``: ``"used"`` (head and tail), ``"planning"``
    (the planner's temporary room), or ``"preparing OP #i"``.
    ``recorded`` has the tail by category (as TFLM's recording allocator names them).
    ``optimum_head`` is the largest sum of live bytes: no planner can do better.
    ``persistent`` has the same tail by operator kind and cause, largest first.
    ``split`` has the sizes of both parts where the arena is two: ``required`` is their sum,
    head is in the non-persistent, tail in the persistent one.
    """

    required: int
    used: int
    head: int
    tail: int
    decided_by: str
    recorded: dict[str, int]
    buffers: tuple[LiveBuffer, ...]
    peak_time: int
    optimum_head: int
    persistent: tuple[Persistent, ...] = ()
    split: SplitArena | None = None


class Layer(Struct, frozen=True, gc=False):
    """One operator for people: sizes in bytes; ``live_bytes`` is what the head holds while it runs.

    ``first`` and ``last`` are the times of its (first) run, as in ``LiveBuffer``; −1: unknown.
    """

    subgraph: int
    index: int
    operator: str
    name: str
    output_type: str
    output_shape: tuple[int, ...]
    weights_bytes: int
    activation_bytes: int
    scratch_bytes: int
    persistent_bytes: int
    live_bytes: int
    first: int = -1
    last: int = -1


#: When the device would find out that a model does not run; or never: it runs it at another shape
#: than is meant, which it cannot ``resize``, computes ``wrong`` results without an error, or does
#: what is ``undefined``.
Stage = Literal["load", "resize", "resolve", "prepare", "invoke", "wrong", "undefined"]
#: Stages that the device passes without an error.
UNNOTICED: tuple[Stage, ...] = ("wrong", "undefined")


class Refusal(Struct, frozen=True, gc=False):
    """Why TFLM would not run the model, or not as it is meant (see ``Stage``).

    ``ends`` says that the whole program ends there, where otherwise an error is returned.
    """

    stage: Stage
    operator: str
    subgraph: int
    index: int
    reason: str
    ends: bool = False

    @property
    def where(self) -> str:
        """The operator, or at least the subgraph; empty for what belongs to the whole model."""
        if self.operator and self.index >= 0:
            return place(self.operator, self.subgraph, self.index)
        return self.operator or (f"subgraph {self.subgraph}" if self.subgraph else "")


def place(operator: str, subgraph: int, index: int) -> str:
    """Operator and place as everything names it: the subgraph only where it is not the main one."""
    return f"{operator} #{index}" + (f" of subgraph {subgraph}" if subgraph else "")


class Saving(Struct, frozen=True, gc=False):
    """What one change would save in flash, bytes, computed by linking again.

    ``parts`` says, where an operator goes, of what the bytes are made, largest first.
    """

    change: str
    flash_bytes: int
    note: str = ""
    parts: tuple[tuple[str, int], ...] = ()


class Footprint(Struct, frozen=True, gc=False):
    """Flash and RAM of one model on one runtime.

    ``flash`` and ``ram`` are the sums of their parts, margins included where a part is
    estimated. ``unknown`` names operators whose cost is bounded, not known (one line each).
    ``not_int8`` names tensors that keep the model from being full INT8. ``ram_parts`` lie in RAM
    on the chip, ``psram_parts`` in external RAM (``layout.laid_out`` says which).
    """

    runtime: str
    flash_parts: tuple[Part, ...]
    ram_parts: tuple[Part, ...]
    arena: Arena | None
    stack: int
    layers: tuple[Layer, ...]
    refusals: tuple[Refusal, ...] = ()
    unknown: tuple[str, ...] = ()
    not_int8: tuple[str, ...] = ()
    savings: tuple[Saving, ...] = ()
    psram_parts: tuple[Part, ...] = ()

    @property
    def flash(self) -> int:
        """Bytes of flash, upper bound where a part is estimated."""
        return sum(part.bytes + part.margin_bytes for part in self.flash_parts)

    @property
    def ram(self) -> int:
        """Bytes of RAM on the chip, upper bound where a part is estimated."""
        return sum(part.bytes + part.margin_bytes for part in self.ram_parts)

    @property
    def psram(self) -> int:
        """Bytes of external RAM, upper bound where a part is estimated."""
        return sum(part.bytes + part.margin_bytes for part in self.psram_parts)

    @property
    def known(self) -> bool:
        """Whether every part is exact, declared or off a measured table, none merely bounded."""
        parts = (*self.flash_parts, *self.ram_parts, *self.psram_parts)
        return not self.unknown and all(part.method != "estimated" for part in parts)


class Estimate(Struct, frozen=True, gc=False):
    """A footprint, and whether it was linked from tables: then changes can be linked as well."""

    footprint: Footprint
    linked: bool
