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

Kind = Literal["added", "removed", "changed"]


class Delta(Struct, frozen=True):
    """Flash or RAM of a pair on both sides; ``None`` where that side has no such figure.

    ``bytes`` and ``percent`` are what the newer side takes more (negative: less); they are
    ``None`` where a side is missing, ``percent`` also where the base used nothing.
    ``already_over_on_base``: the base exceeded the newer side's limit as well.
    ``too_much_growth``: more than ``max_increase`` allows, and not accepted.
    ``accepted`` is the agreement that lets the increase (or the overrun) pass.
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
    """A layer that was added, removed or changed.

    ``before`` and ``after`` describe it in words (output type and shape), empty on the side
    where it is not; the ``_bytes`` are differences (newer minus base).
    """

    kind: Kind
    operator: str
    name: str
    before: str
    after: str
    weights_bytes: int
    activation_bytes: int
    persistent_bytes: int


class PeakTensor(Struct, frozen=True):
    """A buffer alive at the arena's peak, ``None`` bytes on the side where it is not."""

    owner: str
    base_bytes: int | None
    bytes: int | None


class PartChange(Struct, frozen=True):
    """A part of flash or RAM whose size differs (margins included), 0 where it is not."""

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

    ``flash_bytes`` is what it alone is responsible for: the firmware links that much less
    without it (0 where that was not computed). ``pulls_in`` says of what that is made, largest
    first, bytes by name of part: its own code, and the libraries that nothing else needs.
    """

    kind: Literal["added", "removed"]
    operator: str
    flash_bytes: int
    pulls_in: tuple[tuple[str, int], ...] = ()


class Causes(Struct, frozen=True):
    """Why sizes differ, each part largest difference first.

    ``weights_bytes`` is the difference of all constants, each counted once.
    ``peak`` is filled where the arena's head differs: every buffer alive at either peak;
    ``base_peak_at`` and ``peak_at`` name the layers where the peaks are.
    """

    layers: tuple[LayerChange, ...] = ()
    weights_bytes: int = 0
    operators: tuple[OperatorChange, ...] = ()
    parts: tuple[PartChange, ...] = ()
    peak: tuple[PeakTensor, ...] = ()
    base_peak_at: str = ""
    peak_at: str = ""


class Change(Struct, frozen=True):
    """One model on one board, on both sides.

    ``id`` is the newer side's node id (the base's where the pair was removed), ``base_id``
    the base's, which differs where it was renamed; empty for a new pair. ``notes`` say, a line
    each, what the numbers do not: a limit that changed, why it is not comparable.
    ``model_changed``: the model file's content differs.
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
    """Two sets of results, pair by pair, worst first (failing, then by bytes grown, then id).

    ``base`` and ``head`` name the sides for people (``"commit 1a2b3c4d5e6f"``, a path);
    ``base`` is empty where there is no baseline: every pair is then ``new``, and ``notes`` say
    why. Notes are information, a line each, never a reason to fail.
    """

    base: str
    head: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()

    @property
    def different(self) -> tuple[Change, ...]:
        """The changes that a reviewer looks at; the others are ``unchanged``."""
        return tuple(change for change in self.changes if change.status != "unchanged")
