"""What a model takes on a runtime: flash and RAM in parts, each with how it was got.

These structs are part of the results file: what they say of their fields is its definition
(``base/fields.py``). The annotations are evaluated here: as text, each would be compiled later.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated
from typing import Literal
from typing import get_args

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.fields import about
from pytest_tinybudget.base.fields import absent
from pytest_tinybudget.base.fields import integer
from pytest_tinybudget.base.fields import size


#: ``exact``: the device's number to the byte; ``table``: read off measured tables;
#: ``estimated``: with the margin given; ``declared``: the user's own figure.
Method = Literal["exact", "table", "estimated", "declared"]

#: The memories that a model's parts lie in: flash, RAM on the chip, external RAM.
Memory = Literal["flash", "ram", "psram"]
MEMORIES: tuple[Memory, ...] = get_args(Memory)

#: How the models of a group share RAM: one arena that is set up anew for whichever runs
#: (``max``), one allocator for all their interpreters (``multitenant``), an arena each (``sum``).
GroupArena = Literal["max", "multitenant", "sum"]


class Part(Struct, frozen=True, gc=False, cache_hash=True):
    """A share of flash or RAM."""

    name: Annotated[str, about("What takes it.")]
    bytes: Annotated[int, size("Its size, the margin apart.")]
    method: Annotated[
        Method,
        about(
            "How it was got: `exact` to the byte; `table` read off measured tables; `estimated` "
            "with the margin given; `declared` by the user."
        ),
    ]
    margin_bytes: Annotated[
        int,
        size("How far the truth may lie above `bytes`; counted in `used`.", always=True),
    ] = field(default=0, name="margin")
    note: Annotated[str, about("More about it; may be empty.", always=True)] = ""


class LiveBuffer(Struct, frozen=True, gc=False):
    """A planned buffer of the arena's head.

    Times are TFLM's allocation scopes: between ``first`` and ``last``, both included, it must not
    be overwritten.
    """

    owner: Annotated[str, about("The tensor's name, or `scratch of OP #i`.")]
    kind: Annotated[Literal["tensor", "scratch"], about("What it holds.")]
    bytes: Annotated[int, size("Its size.")]
    offset: Annotated[int, size("Where the planner puts it in the head.")]
    first: Annotated[int, integer("When it is first alive, in the planner's time.")]
    last: Annotated[int, integer("When it is last alive.")]
    subgraph: Annotated[int, integer("Index of its subgraph.")]
    index: Annotated[int, integer("Of the tensor in its subgraph, or of the operator for scratch.")]


class Persistent(Struct, frozen=True, gc=False):
    """A share of the arena's tail."""

    operator: Annotated[str, about("The kind of operator that keeps it; empty for what is none's.")]
    cause: Annotated[str, about("What it is, such as per-channel arrays or tensor records.")]
    bytes: Annotated[int, size("Its size.")]


class SplitArena(Struct, frozen=True, gc=False):
    """The two arenas of a ``MicroAllocator`` with two buffers, each aligned to 16 bytes."""

    persistent: Annotated[int, size("Smallest persistent arena that works, a multiple of 16.")]
    non_persistent: Annotated[
        int, size("Smallest non-persistent arena that works, a multiple of 16.")
    ]


class Arena(Struct, frozen=True, gc=False):
    """TFLM's tensor arena, bytes.

    A verdict counts ``required``. Where the arena is split, head is in the non-persistent part
    and tail in the persistent one.
    """

    required: Annotated[int, size("The smallest multiple of 16 that works; what `ram` counts.")]
    used: Annotated[int, size("What arena_used_bytes() prints: head + tail.")]
    head: Annotated[int, size("Activations and scratch, as planned.")]
    tail: Annotated[int, size("What persists.")]
    decided_by: Annotated[
        str,
        about(
            "What set `required`: `used` (head and tail), `planning` (the planner's temporary "
            "room), or `preparing OP #i`."
        ),
    ]
    recorded: Annotated[
        dict[str, Annotated[int, size("A size in bytes.")]],
        about("The tail by the categories of TFLM's recording allocator."),
    ]
    buffers: Annotated[tuple[LiveBuffer, ...], about("Every buffer that is planned into the head.")]
    peak_time: Annotated[int, integer("When the head is fullest, in the planner's time.")]
    optimum_head: Annotated[
        int, size("The largest sum of bytes alive at once: no plan has a smaller head.")
    ]
    persistent: Annotated[
        tuple[Persistent, ...],
        about("The tail by kind of operator and by cause, largest first."),
    ] = ()
    split: Annotated[
        SplitArena | None,
        about(
            "The sizes of both buffers where the arena is split, required is their sum; null "
            "where it is one."
        ),
    ] = None


class Layer(Struct, frozen=True, gc=False):
    """One operator of the model, for people.

    Times are those of its first run, as in ``LiveBuffer``.
    """

    subgraph: Annotated[int, about("Index of its subgraph.", least=0)]
    index: Annotated[int, about("Its place in the subgraph.", least=0)]
    operator: Annotated[
        str, about("The operator's name in the TF Lite schema, or its custom code.")
    ]
    name: Annotated[str, about("Name of its first output.")]
    output_type: Annotated[str, about("Element type.", at="output.type")]
    output_shape: Annotated[
        tuple[Annotated[int, integer("A dimension.")], ...],
        about("In elements.", at="output.shape"),
    ]
    weights_bytes: Annotated[int, size("Constants it reads.")] = field(name="weights")
    activation_bytes: Annotated[int, size("Its outputs.")] = field(name="activations")
    scratch_bytes: Annotated[int, size("Scratch it requests.")] = field(name="scratch")
    persistent_bytes: Annotated[int, size("Persistent data it requests.")] = field(
        name="persistent"
    )
    live_bytes: Annotated[int, size("What the head holds while it runs.")] = field(name="live")
    first: Annotated[
        int,
        integer("When it first runs, in the planner's time; -1: unknown.", always=True),
    ] = -1
    last: Annotated[int, integer("When that run ends; -1: unknown.", always=True)] = -1


#: When the device would find out that a model does not run; or never: it runs it at another shape
#: than is meant, which it cannot ``resize``, computes ``wrong`` results without an error, does so
#: because its TFLM is ``outdated``, or does what is ``undefined``.
Stage = Literal["load", "resize", "resolve", "prepare", "invoke", "wrong", "outdated", "undefined"]
#: Stages that the device passes without an error.
UNNOTICED: tuple[Stage, ...] = ("wrong", "outdated", "undefined")


class Refusal(Struct, frozen=True, gc=False):
    """Why TFLM would not run the model, or not as it is meant.

    ``ends`` is known where a model is measured, and not in files.
    """

    stage: Annotated[
        Stage,
        about(
            "When the device would find out; resize: it runs at another shape than is meant; "
            "wrong: it computes wrong results without an error; outdated: it does, and later "
            "versions of TFLM do not; undefined: nothing defines what it does."
        ),
    ]
    operator: Annotated[str, about("The operator.")]
    subgraph: Annotated[int, integer("Index of its subgraph.")]
    index: Annotated[int, integer("Its place in the subgraph; -1: it belongs to the model.")]
    reason: Annotated[str, about("Why.")]
    right_since: Annotated[
        str,
        about(
            "The commit of TFLM, or of its kernel library, since which an outdated version's fault "
            "is mended; else empty."
        ),
    ] = ""
    by_history: Annotated[
        bool,
        about(
            "Whether an outdated version's fault was read from the history alone: nobody saw the "
            "other outputs."
        ),
    ] = False
    ends: Annotated[
        bool, absent("Whether the whole program ends there, not only the call with an error.")
    ] = False

    @property
    def where(self) -> str:
        """The operator, or at least the subgraph; empty for what belongs to the whole model."""
        if self.operator and self.index >= 0:
            return place(self.operator, self.subgraph, self.index)
        return self.operator or (f"subgraph {self.subgraph}" if self.subgraph else "")


def place(operator: str, subgraph: int, index: int) -> str:
    """An operator with its place, as all messages and reports name it: ``"ADD #3 of subgraph 1"``.

    Args:
        operator: Its name.
        subgraph: Index of its subgraph. The main one, 0, is not named.
        index: Its index in the subgraph.
    """
    return f"{operator} #{index}" + (f" of subgraph {subgraph}" if subgraph else "")


class FloatPart(Struct, frozen=True, gc=False):
    """Operators of an integer model that compute in float, one after another."""

    operator: Annotated[str, about("The first that computes in float, with its place: the cause.")]
    layer: Annotated[str, about("The name of what it computes; empty where the file has none.")]
    operators: Annotated[int, integer("How many compute in float; conversions do not count.")]
    arena_bytes: Annotated[
        int,
        size("The most that their float tensors take of the arena at once; INT8 takes a fourth."),
    ] = field(name="arena")
    flash_bytes: Annotated[int, size("What their float constants take.")] = field(name="flash")

    @property
    def text(self) -> str:
        """The part in words, the cause first: ``"ELU #2 (conv/Elu) computes in float"``."""
        layer = f" ({self.layer})" if self.layer else ""
        others = f" with {self.operators - 1} more" if self.operators > 1 else ""
        taken = [
            f"{taken:,} B of {memory}, {-(-taken // 4):,} B as INT8"
            for taken, memory in ((self.arena_bytes, "arena"), (self.flash_bytes, "flash"))
            if taken
        ]
        costs = f" ({'; '.join(taken)})" if taken else ""
        return f"{self.operator}{layer} computes in float{others}{costs}"


class Saving(Struct, frozen=True, gc=False):
    """What one change would save in flash, computed by linking again."""

    change: Annotated[str, about("What to change.")]
    flash_bytes: Annotated[int, size("What it saves.")] = field(name="flash")
    note: Annotated[str, about("More about it; may be empty.", always=True)] = ""
    parts: Annotated[
        tuple[tuple[str, Annotated[int, integer("A size in bytes.")]], ...],
        about(
            "Of what the bytes are made where an operator goes, largest first: bytes by name.",
            always=True,
        ),
    ] = ()
    margin_bytes: Annotated[
        int,
        integer("What goes of the margin besides; below 0 where the margin grows."),
    ] = field(name="margin", default=0)

    @property
    def counted_bytes(self) -> int:
        """What it saves of the flash that is held to a limit: its margin counts there."""
        return self.flash_bytes + self.margin_bytes


class Footprint(Struct, frozen=True, gc=False):
    """Flash and RAM of one model on one runtime.

    The parts are not in a results file as such: there they stand against their limits. Which part
    of RAM lies in ``psram_parts`` (external RAM) is up to ``layout.laid_out``.
    """

    runtime: Annotated[str, absent("The runtime that it was measured for, by name.")]
    flash_parts: Annotated[tuple[Part, ...], absent("What lies in flash, the model included.")]
    ram_parts: Annotated[tuple[Part, ...], absent("What lies in RAM on the chip.")]
    arena: Annotated[Arena | None, about("The tensor arena; null when not planned.")]
    stack: Annotated[int, size("Bytes of stack, margin included; null when not measured.")]
    layers: Annotated[tuple[Layer, ...], about("In the order they run in each subgraph.")]
    refusals: Annotated[tuple[Refusal, ...], about("Why TFLM would not run it.", always=True)] = ()
    unknown: Annotated[
        tuple[str, ...],
        about("Operators whose cost is bounded, not known, a line each.", always=True),
    ] = ()
    risky: Annotated[
        tuple[str, ...],
        about("Operators that go wrong for some inputs, a line each."),
    ] = ()
    not_int8: Annotated[
        tuple[str, ...],
        about("Tensors that keep the model from full INT8, a line each.", always=True),
    ] = ()
    float_parts: Annotated[
        tuple[FloatPart, ...],
        about("What computes in float in a model that otherwise computes in integers."),
    ] = ()
    savings: Annotated[
        tuple[Saving, ...],
        about(
            "What single changes would save in flash, largest first.",
            always=True,
            largest_first=("flash", "change"),
        ),
    ] = ()
    psram_parts: Annotated[tuple[Part, ...], absent("What lies in external RAM.")] = ()

    def parts_in(self, memory: Memory) -> tuple[Part, ...]:
        """The parts that lie in ``memory``."""
        parts = {"flash": self.flash_parts, "ram": self.ram_parts, "psram": self.psram_parts}
        return parts[memory]

    def size_in(self, memory: Memory) -> int:
        """Bytes of ``memory``, upper bound where a part is estimated."""
        return sum(part.bytes + part.margin_bytes for part in self.parts_in(memory))

    @property
    def flash(self) -> int:
        """Bytes of flash, upper bound where a part is estimated."""
        return self.size_in("flash")

    @property
    def ram(self) -> int:
        """Bytes of RAM on the chip, upper bound where a part is estimated."""
        return self.size_in("ram")

    @property
    def psram(self) -> int:
        """Bytes of external RAM, upper bound where a part is estimated."""
        return self.size_in("psram")

    @property
    def known(self) -> bool:
        """Whether every part is exact, declared or off a measured table, none merely bounded."""
        parts = (*self.flash_parts, *self.ram_parts, *self.psram_parts)
        return not self.unknown and all(part.method != "estimated" for part in parts)

    @property
    def stands(
        self,
    ) -> Annotated[
        bool,
        about(
            "Whether every figure is exact, declared or read off measured tables: none is "
            "estimated or merely bounded.",
            at="known",
        ),
    ]:
        """Whether all is known, and of a model that TFLM runs."""
        return self.known and not self.refusals

    @property
    def operators(
        self,
    ) -> Annotated[
        dict[str, Annotated[int, about("How often.", least=1)]],
        about("How often each operator occurs."),
    ]:
        """The operators by name, in the order of the layers."""
        return dict(Counter(layer.operator for layer in self.layers))


class Estimate(Struct, frozen=True, gc=False):
    """A footprint as an estimator makes it."""

    #: Flash and RAM in parts.
    footprint: Footprint
    #: Whether its flash was linked from tables: then the flash of a changed model can be as well.
    linked: bool
