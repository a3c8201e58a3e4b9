"""The results: one type that travels from the verdict to every report.

A report never computes; what it prints is here. ``PairResult`` is what one model takes on one
board against its limits. Sizes are integers of bytes.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from functools import cache
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.quantities import Unit
from pytest_tinybudget.base.quantities import format_quantity
from pytest_tinybudget.base.quantities import format_range
from pytest_tinybudget.base.sizes import format_ratio
from pytest_tinybudget.base.sizes import format_size
from pytest_tinybudget.footprint.layout import ARENA
from pytest_tinybudget.footprint.layout import NON_PERSISTENT
from pytest_tinybudget.footprint.layout import PERSISTENT
from pytest_tinybudget.footprint.result import UNNOTICED
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.results.metrics import OVER_CODES
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT


#: ``fits``; ``warns`` (fits, but above ``warn_at`` or with a notice that asks for attention);
#: ``over`` (a limit is exceeded); ``refused`` (TFLM would not load or run the model, or
#: run it wrongly);
#: ``unmet`` (fits, but a demand of the declaration is not met: strict, require_int8, verify);
#: ``error`` (could not be measured).
Outcome = Literal["fits", "warns", "over", "refused", "unmet", "error"]

SCHEMA_VERSION = 1

#: What a result is of: a model (or group) on a board, or something else that is declared.
Kind = Literal["pair", "accuracy", "agreement", "rollout"]


class Identity(Struct, frozen=True, gc=False):
    """What a result's sizes belong to: what counted them, and for which runtime.

    ``tool`` is the version of this package, ``tflm`` the version of TFLM; ``kernels`` and
    ``kernels_version`` name the kernel library, ``abi`` the layout of C data, ``cores`` what the
    code is built for. What is not known is empty. A result has these from where it was measured:
    reports look nothing up.
    """

    tool: str
    tflm: str = ""
    description: str = ""
    kernels: str = ""
    kernels_version: str = ""
    abi: str = ""
    cores: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """``"TFLM 90b983c2, Cortex-M4F, CMSIS-NN with DSP"``; empty where no TFLM is known."""
        return ", ".join(filter(None, (f"TFLM {self.tflm}", self.description))) if self.tflm else ""


@cache
def tool_version() -> str:
    """The version of this package."""
    from importlib.metadata import version

    return version("pytest-tinybudget")


@lru_cache(maxsize=256)
def identity_of(runtime: Runtime) -> Identity:
    """The identity of what this installation measures for ``runtime``."""
    return Identity(
        tool=tool_version(),
        tflm=runtime.tflm_commit,
        description=runtime.description,
        kernels=runtime.kernels.library,
        kernels_version=runtime.kernels.version.name,
        abi=runtime.abi.name,
        cores=tuple(core.name for core in runtime.cores),
    )


class Checkout(Struct, frozen=True):
    """A git repository that a run's declarations lie in.

    ``folder`` leads to it from where the run started (POSIX). ``commit`` is the whole id of what
    was measured, empty where files differ from it. ``base`` is that of the commit to compare
    with, empty without one, and ``base_found`` says how it was found.
    """

    folder: str
    commit: str = ""
    base: str = ""
    base_found: str = ""


class Provenance(Struct, frozen=True):
    """Where a set of results comes from: version of the tool and of TFLM's tables, commits."""

    tool: str
    tflm_commit: str
    checkouts: tuple[Checkout, ...] = ()


def own_provenance(checkouts: tuple[Checkout, ...] = ()) -> Provenance:
    """That of what this installation measures."""
    return Provenance(tool_version(), TFLM_COMMIT, checkouts)


class Measure(Struct, frozen=True, gc=False):
    """Flash or RAM of a pair. ``limit_from`` says what set the limit: budget or board."""

    metric: Metric
    used: int
    limit: int
    limit_from: Literal["budget", "board"]
    limit_note: str
    parts: tuple[Part, ...]

    @property
    def free(self) -> int:
        """Bytes left; negative when over."""
        return self.limit - self.used

    @property
    def over(self) -> int:
        """Bytes above the limit, 0 when it fits."""
        return max(0, self.used - self.limit)

    @property
    def is_estimated(self) -> bool:
        """Whether a part of it is an estimate."""
        return any(part.method == "estimated" for part in self.parts)

    def in_brief(self) -> Measure:
        """The numbers, with those parts that are estimates."""
        estimates = tuple(part for part in self.parts if part.method == "estimated")
        return Measure(self.metric, self.used, self.limit, self.limit_from, "", estimates)


def memory_of_arena(measures: Iterable[Measure]) -> Measure | None:
    """The memory that the arena lies in as one; ``None`` where it is split, or not measured."""
    memories = {each.metric: each for each in measures if each.metric in ("ram", "psram")}
    names = [(metric, part.name) for metric, each in memories.items() for part in each.parts]
    if any(name.startswith((PERSISTENT, NON_PERSISTENT)) for _, name in names):
        return None
    external = any(metric == "psram" and name.startswith(ARENA) for metric, name in names)
    return memories.get("psram" if external else "ram")


class Acceptance(Struct, frozen=True, gc=False):
    """An agreed increase: the metric may take ``up_to`` bytes through the day ``until``."""

    metric: Metric
    up_to: int
    reason: str
    until: datetime.date


class Placed(Struct, frozen=True, gc=False):
    """Where an arena, or a model in RAM, lies: the block of memory ``region``, bytes.

    ``room`` is what it may take of it beside all else that must lie there, ``free`` what is left
    then (negative where it does not fit). ``name`` is what lies there.
    """

    placement: Literal["static", "heap", "psram"]
    region: str
    room: int
    free: int
    name: str = "arena"

    @property
    def is_told(self) -> bool:
        """Whether a table of pairs says it: one arena that the linker places is the usual case."""
        return self.placement != "static" or not self.name.startswith("arena")

    @property
    def text(self) -> str:
        """``"arena in SRAM (static): 9.0 of 202.1 KB, 193.1 KB left"``."""
        left = f"{format_size(self.free)} left" if self.free >= 0 else "too large"
        ratio = format_ratio(self.room - self.free, self.room)
        return f"{self.name} in {self.region} ({self.placement}): {ratio}, {left}"


class Figure(Struct, frozen=True, gc=False):
    """What is known of a pair besides flash and RAM, such as latency or the bytes of an update.

    ``low`` and ``high`` are the ends of a range in ``unit`` (SI base units), equal for one
    value, ``None`` where it is unknown; ``basis`` says in one line what they rest on. ``limit``
    is what is declared, ``None`` where the figure is only told. The worse end counts:
    ``high``, or with ``at_least`` ``low``. ``advice`` is what would bring it within its limit.
    """

    name: str
    unit: Unit
    low: float | None
    high: float | None
    method: Literal["exact", "measured", "estimated", "declared", "unknown"]
    basis: str
    limit: float | None = None
    at_least: bool = False
    advice: str = ""

    @property
    def exceeded(self) -> bool:
        """Whether it is known and beyond its limit."""
        if self.limit is None or self.low is None or self.high is None:
            return False
        return self.low < self.limit if self.at_least else self.high > self.limit

    @property
    def unmet(self) -> bool:
        """Whether it has a limit and is beyond it, or unknown."""
        return self.exceeded or (self.limit is not None and self.low is None)

    @property
    def value_text(self) -> str:
        """``"0.46 to 0.49 s"``, or ``"unknown"``."""
        if self.low is None or self.high is None:
            return "unknown"
        return format_range(self.low, self.high, self.unit)

    @property
    def text(self) -> str:
        """Name, state, value and limit: ``"latency over (0.46 to 0.49 s, at most 100 ms)"``."""
        if self.limit is None:
            return f"{self.name} {self.value_text}"
        side = "at least" if self.at_least else "at most"
        limit = f"{side} {format_quantity(self.limit, self.unit)}"
        if self.low is None:
            return f"{self.name} unknown ({limit})"
        beyond = "under" if self.at_least else "over"
        return f"{self.name} {beyond if self.exceeded else 'ok'} ({self.value_text}, {limit})"


class PairResult(Struct, frozen=True, gc=False):
    """One model on one board, or (by ``kind``) another thing that a declaration asks.

    ``id`` is the node id (``tinybudget.toml::kws::arduino-nano-33-ble``, POSIX path);
    ``headline`` stands on its own; ``reasons`` say why and what to change, a line each.
    ``accepted`` holds the agreements without which the pair would fail, ``grown`` the metrics
    that grew more than allowed over the baseline; ``growth_unchecked`` says why a declared limit
    of growth was not checked (empty where it was, or where there is none). ``identity`` is what
    the sizes belong to (``None`` where nothing was measured). ``table`` identifies
    the tables that the runtime's figures come from, ``conversion`` the settings that made the
    model file (empty where it was not converted here): results with others are not comparable.
    ``notes`` are what is good to know and asks for nothing, such as how far the INT8 model is from
    the float model.
    ``figures`` are what is known besides flash and RAM, ``placed`` is where the arena lies
    (``None`` where no arena is known, or it is split). ``arrays`` are what else must lie in one
    piece: the parts of a split arena, a model in RAM. Where ``kind`` is not ``"pair"``,
    ``board`` repeats it and there are no measures. ``code`` is that of an error.
    """

    id: str
    model: str
    board: str
    runtime: str
    outcome: Outcome
    headline: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    model_sha256: str = ""
    model_bytes: int = 0
    model_source: str = ""
    declared_at: str = ""
    message: str = ""
    measures: tuple[Measure, ...] = ()
    footprint: Footprint | None = None
    accepted: tuple[Acceptance, ...] = ()
    grown: tuple[Metric, ...] = ()
    table: str = ""
    conversion: str = ""
    notes: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    kind: Kind = "pair"
    code: str = ""
    placed: Placed | None = None
    growth_unchecked: str = ""
    arrays: tuple[Placed, ...] = ()
    identity: Identity | None = None

    @property
    def runtime_text(self) -> str:
        """The runtime in words, with the version of TFLM that its sizes belong to."""
        return (self.identity and self.identity.text) or f"runtime {self.runtime}"

    @property
    def codes(self) -> tuple[str, ...]:
        """Entries of ``codes.CODES`` for what is wrong, the gravest first."""
        if self.outcome == "error":
            return (self.code,) if self.code else ()
        if self.outcome == "refused":
            return ("TB011" if self._unnoticed else "TB010",)
        if not self.failed:
            return ()
        figures = [figure for figure in self.figures if figure.unmet]
        beyond = [figure for figure in figures if figure.exceeded and not figure.at_least]
        others = {
            "TB003": bool(beyond),
            "TB021": bool(self.grown),
            "TB022": len(figures) > len(beyond),
        }
        over = (OVER_CODES[measure.metric] for measure in self.measures if measure.over)
        found = (*dict.fromkeys(over), *(code for code, applies in others.items() if applies))
        return found or ("TB020",)

    @property
    def places(self) -> tuple[Placed, ...]:
        """Where the arena and all else that must lie in one piece lies."""
        return (*((self.placed,) if self.placed else ()), *self.arrays)

    @property
    def _unnoticed(self) -> bool:
        """Whether the device would run the model, wrongly."""
        refusals = self.footprint.refusals if self.footprint else ()
        return bool(refusals) and refusals[0].stage in UNNOTICED

    @property
    def title(self) -> str:
        """``"kws on arduino-nano-33-ble"``, ``"kws: accuracy"``."""
        return (
            f"{self.model} on {self.board}" if self.kind == "pair" else f"{self.model}: {self.kind}"
        )

    def in_brief(self) -> PairResult:
        """What a table tells of a pair that passes: of 20,000 the rest would fill the memory."""
        return replace(
            self,
            measures=tuple(measure.in_brief() for measure in self.measures),
            footprint=None,
            placed=self.placed if self.placed and self.placed.is_told else None,
        )

    @property
    def failed(self) -> bool:
        """Whether the gate is red for this pair."""
        return self.outcome in ("over", "refused", "unmet", "error")


def unmeasured(result: PairResult, error: TinybudgetError) -> PairResult:
    """The result in ``result``'s place where what belongs to it went wrong."""
    return PairResult(
        id=result.id,
        model=result.model,
        board=result.board,
        runtime="",
        outcome="error",
        headline=error.message,
        reasons=error.details,
        declared_at=result.declared_at,
        kind=result.kind,
        code=error.code,
    )


def without_artifacts(result: PairResult, error: TinybudgetError) -> PairResult:
    """``result`` of a pair whose C files could not be written, which nobody asked for."""
    return warned(result, (f"its C files are not there: {error.message}",))


def warned(result: PairResult, warnings: tuple[str, ...]) -> PairResult:
    """``result`` with more ``warnings``: what fits with one is no longer plain good."""
    warns = bool(warnings) and result.outcome == "fits"
    return replace(
        result,
        outcome="warns" if warns else result.outcome,
        warnings=(*result.warnings, *warnings),
    )
