"""What changed between two sets of results: one frozen type that every report prints as it is.

``Comparison`` holds a ``Change`` for each pair of a model and a board. Sizes are integers of
bytes, percentages floats; a report formats and never computes.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import PairResult


#: ``renamed``: the same model file (by content) under another name; ``changed``: a size, a limit
#: or the outcome differs; ``unchanged``: none of them does; ``not comparable``: measured by
#: another estimator, for another runtime or after another conversion, see ``Change.notes``.
Status = Literal["new", "removed", "renamed", "changed", "unchanged", "not comparable"]

LayerChangeKind = Literal["added", "removed", "changed"]


class Delta(Struct, frozen=True):
    """One size of a pair on both sides, bytes; ``None`` where that side has no such figure.

    Args:
        metric: Which size.
        base_used: What the base takes.
        used: What the newer side takes.
        base_limit: The limit on the base.
        limit: The limit of the newer side.
        bytes: What the newer side takes more (negative: less), ``None`` where a side is missing.
        percent: The same in percent of the base, ``None`` also where the base used nothing.
        already_over_on_base: Whether the base exceeded the newer side's limit as well.
        too_much_growth: Whether it is more than ``max_increase`` allows, and not accepted.
        accepted: The agreement that lets the increase (or the overrun) pass.
    """

    metric: Metric
    base_used: int | None
    used: int | None
    base_limit: int | None
    limit: int | None
    bytes: int | None
    percent: float | None
    already_over_on_base: bool = False
    too_much_growth: bool = False
    accepted: Acceptance | None = None


class LayerChange(Struct, frozen=True):
    """A layer that was added, removed or changed; its sizes are differences, newer minus base.

    Args:
        kind: What happened to it.
        operator: Its operator, by TFLM's name.
        name: The name of its first output.
        before: Type and shape of its output on the base in words, empty where it is not there.
        after: The same on the newer side.
        weights_bytes: Constants that it reads.
        activation_bytes: Its outputs.
        persistent_bytes: Persistent data that it requests.
    """

    kind: LayerChangeKind
    operator: str
    name: str
    before: str
    after: str
    weights_bytes: int
    activation_bytes: int
    persistent_bytes: int


class PeakTensor(Struct, frozen=True):
    """A buffer that is alive at the arena's peak.

    Args:
        owner: Its tensor's name, or ``scratch of OP #i``.
        base_bytes: Its size on the base, ``None`` where it is not alive at the peak.
        bytes: The same on the newer side.
    """

    owner: str
    base_bytes: int | None
    bytes: int | None


class PartChange(Struct, frozen=True):
    """A part of flash or RAM whose size differs, margins included.

    Args:
        metric: The size that it is a part of.
        name: What takes the memory.
        base_bytes: Its size on the base, 0 where it is not there.
        bytes: The same on the newer side.
    """

    metric: Metric
    name: str
    base_bytes: int
    bytes: int

    @property
    def delta(self) -> int:
        """Bytes that the newer side takes more."""
        return self.bytes - self.base_bytes


class OperatorChange(Struct, frozen=True):
    """An operator that is new to the flash, or that is no longer in it.

    Args:
        kind: Which of the two.
        operator: Its name.
        flash_bytes: What the firmware links less without it, 0 where that was not computed.
        pulls_in: Of what that is made, largest first: bytes by name of part, its own code and
            the libraries that nothing else needs.
    """

    kind: Literal["added", "removed"]
    operator: str
    flash_bytes: int
    pulls_in: tuple[tuple[str, int], ...] = ()


class RuntimeChange(Struct, frozen=True):
    """Another release of TFLM or its kernels is flashed than on the base.

    Args:
        before: What was flashed on the base.
        after: What is flashed now.
        pins: Where the project's files name it, a text each; empty where the declaration does.
    """

    before: str
    after: str
    pins: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """``"esp-tflite-micro 1.3.1 → esp-tflite-micro 1.3.4: … (dependencies.lock:4)"``."""
        change = f"{self.before or 'nothing'} → {self.after or 'nothing'}"
        return ": ".join(filter(None, (change, ", ".join(self.pins))))


class Causes(Struct, frozen=True):
    """Why sizes differ.

    Args:
        layers: The layers that differ.
        weights_bytes: The difference of all constants, each counted once.
        operators: The operators that came or went.
        parts: The parts that differ, those of a metric together, largest difference first.
        peak: Every buffer that is alive at either peak, where the arena's head differs.
        base_peak_at: The layers where the base's peak is.
        peak_at: The layers where the newer side's peak is.
        runtime: What is flashed instead of what was, ``None`` where that is the same.
    """

    layers: tuple[LayerChange, ...] = ()
    weights_bytes: int = 0
    operators: tuple[OperatorChange, ...] = ()
    parts: tuple[PartChange, ...] = ()
    peak: tuple[PeakTensor, ...] = ()
    base_peak_at: str = ""
    peak_at: str = ""
    runtime: RuntimeChange | None = None


class Change(Struct, frozen=True):
    """One model on one board, on both sides.

    Args:
        id: The newer side's node id, the base's where the pair was removed.
        base_id: The base's, which differs where it was renamed; empty for a new pair.
        model: The model's name.
        board: The board's id.
        status: What became of the pair.
        base: The base's result, ``None`` for a new pair.
        head: The newer side's result, ``None`` for a removed pair.
        deltas: The sizes that either side has.
        causes: Why they differ.
        notes: What the numbers do not say, a line each: a limit that changed, why it is not
            comparable.
        model_changed: Whether the content of the model's file differs.
    """

    id: str
    base_id: str
    model: str
    board: str
    status: Status
    base: PairResult | None
    head: PairResult | None
    deltas: tuple[Delta, ...] = ()
    causes: Causes = field(default_factory=Causes)
    notes: tuple[str, ...] = ()
    model_changed: bool = False

    @property
    def shown(self) -> PairResult:
        """The newer side's result, the base's for a removed pair."""
        result = self.head or self.base
        if result is None:
            raise ValueError("a change has at least one side")
        return result

    def delta(self, metric: Metric) -> Delta | None:
        """The difference of one metric, ``None`` where neither side has it."""
        return next((delta for delta in self.deltas if delta.metric == metric), None)


class Comparison(Struct, frozen=True):
    """Two sets of results, pair by pair.

    Args:
        base: The older side for people (``"commit 1a2b3c4d5e6f"``, a path); empty where there is
            no baseline: every pair is then ``new``, and ``notes`` say why.
        head: The newer side for people.
        changes: The pairs, worst first: failing, then by bytes grown, then by id.
        notes: Information, a line each, never a reason to fail.
    """

    base: str
    head: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def different(self) -> tuple[Change, ...]:
        """The changes that a reviewer looks at; the others are ``unchanged``."""
        return tuple(change for change in self.changes if change.status != "unchanged")
