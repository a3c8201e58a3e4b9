"""The results: one type that travels from the verdict to every report.

A report never computes; what it prints is here. ``PairResult`` is what one model takes on one
board against its limits. Sizes are integers of bytes.

These structs, and those of ``footprint/result.py`` in them, are also the one definition of the
results file: ``about`` says at each field what it holds and how it stands in the file, and the
writer, the strict reader, the JSON Schema and the reference pages come from that. The annotations
are evaluated here: as text, each would be compiled when the first file is written.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from functools import cache
from functools import lru_cache
from typing import Annotated
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.code_state import PACKAGE
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.fields import about
from pytest_tinybudget.base.fields import absent
from pytest_tinybudget.base.fields import integer
from pytest_tinybudget.base.fields import size
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import Unit
from pytest_tinybudget.base.units import format_delta
from pytest_tinybudget.base.units import format_percent_delta
from pytest_tinybudget.base.units import format_quantity
from pytest_tinybudget.base.units import format_range
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.layout import ARENA
from pytest_tinybudget.footprint.layout import NON_PERSISTENT
from pytest_tinybudget.footprint.layout import PERSISTENT
from pytest_tinybudget.footprint.result import UNNOTICED
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import OVER_CODES
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT
from pytest_tinybudget.shrinking.report import ShrinkReport


#: ``fits``; ``warns`` (fits, but above ``warn_at`` or with a notice that asks for attention);
#: ``over`` (a limit is exceeded); ``refused`` (TFLM would not load or run the model, or
#: run it wrongly);
#: ``unmet`` (fits, but a requirement of the declaration is not met: strict, require_int8, verify);
#: ``error`` (could not be measured).
Outcome = Literal["fits", "warns", "over", "refused", "unmet", "error"]

SCHEMA_VERSION = 1

#: What a result is of: a model (or group) on a board, or something else that is declared.
Kind = Literal["pair", "accuracy", "agreement", "rollout"]


#: Characters of a reason in reports.
_LONGEST_REASON = 160

_COMMIT = r"^[0-9a-f]{40}([0-9a-f]{24})?$"


class Identity(Struct, frozen=True, gc=False):
    """What a result's sizes belong to: what counted them, and for which runtime.

    What is not known is empty. A result has these from where it was measured: reports look
    nothing up. In a file the tool stands once, at its head.
    """

    tool: Annotated[str, absent("The version of this package that measured.")]
    tflm: Annotated[
        str,
        about(
            "Version of TF Lite Micro that the sizes belong to; null where no TFLM counted them.",
            null=True,
        ),
    ] = ""
    description: Annotated[str, about("Core and kernel library in words.", always=True)] = ""
    kernels: Annotated[
        str,
        about(
            "Kernel library: reference, cmsis-nn, esp-nn; null where it is not known.",
            null=True,
            always=True,
        ),
    ] = ""
    kernels_version: Annotated[
        str, about("Release of the kernel library; null where it is not known.", null=True)
    ] = ""
    abi: Annotated[
        str,
        about(
            "C data layout: arm-eabi, ilp32, x86-64; null where it is not known.",
            null=True,
            always=True,
        ),
    ] = ""
    cores: Annotated[
        tuple[str, ...],
        about(
            "Cores that its code is built for, several where one table stands for all; empty "
            "where it is not known."
        ),
    ] = ()
    distribution: Annotated[
        str,
        about(
            "Distribution and release that TFLM came with, as arduino-tflm 2023-12; null for TFLM "
            "of its own repository.",
            null=True,
        ),
    ] = ""

    by_history: Annotated[
        bool,
        about(
            "Whether nothing was measured of that version of TFLM: what holds of it was read from "
            "the history."
        ),
    ] = False

    @property
    def text(self) -> str:
        """``"TFLM 90b983c2, Cortex-M4F, CMSIS-NN with DSP"``; empty where no TFLM is known.

        Of a distribution ``"zephyr 4.4 (TFLM 183da3e3), Cortex-M4F, CMSIS-NN with DSP"``.
        """
        if not self.tflm:
            return ""
        tflm = f"TFLM {self.tflm}"
        source = f"{self.distribution} ({tflm})" if self.distribution else tflm
        return ", ".join(filter(None, (source, self.description)))


@cache
def tool_version() -> str:
    """The version of this package.

    Read from the name of the folder that installers write beside it, ``NAME-VERSION.dist-info``:
    importing ``importlib.metadata`` would take a command more time than a model does.
    """
    name = "pytest_tinybudget"
    found = list(PACKAGE.parent.glob(f"{name}-*.dist-info"))
    if len(found) == 1:
        return found[0].stem.removeprefix(f"{name}-")
    from importlib.metadata import version

    return version(name)


@lru_cache(maxsize=256)
def identity_of(runtime: Runtime) -> Identity:
    """The identity of what this installation measures for ``runtime``.

    Of a runtime that may be several releases, their range.
    """
    commits = list(dict.fromkeys(each.tflm_commit for each in runtime.one_of or (runtime,)))
    return Identity(
        tool=tool_version(),
        tflm=commits[0] if len(commits) == 1 else f"{commits[-1]} to {commits[0]}",
        description=runtime.description,
        kernels=runtime.kernels.library,
        kernels_version=runtime.kernels.version.name,
        abi=runtime.abi.name,
        cores=tuple(core.name for core in runtime.cores),
        distribution=runtime.name if runtime.one_of else runtime.distribution,
        by_history=any(each.tflm.version.by_history for each in runtime.one_of or (runtime,)),
    )


class Checkout(Struct, frozen=True):
    """A git repository that a run's declarations lie in."""

    folder: Annotated[
        str, about("Where it is, from where the run started; a POSIX path.", always=True)
    ]
    commit: Annotated[
        str,
        about(
            "The commit that was measured; null where files differ from it.",
            null=True,
            pattern=_COMMIT,
            always=True,
        ),
    ] = ""
    base: Annotated[
        str,
        about("The commit that it was compared with.", at="base?.commit", pattern=_COMMIT),
    ] = ""
    base_found: Annotated[str, about("How that commit was found.", at="base?.found")] = ""


class Provenance(Struct, frozen=True):
    """Where a set of results comes from."""

    #: The version of this package.
    tool: str
    #: The commit of TFLM that the shipped tables were measured with.
    tflm_commit: str
    #: The repositories that models and declaration were read from.
    checkouts: tuple[Checkout, ...] = ()


def own_provenance(checkouts: tuple[Checkout, ...] = ()) -> Provenance:
    """The provenance of results that this installation measures, from these ``checkouts``."""
    return Provenance(tool_version(), TFLM_COMMIT, checkouts)


class Measure(Struct, frozen=True, gc=False, cache_hash=True):
    """One size of a pair, such as flash or RAM, against its limit; bytes."""

    metric: Annotated[Metric, absent("Which size; in a file it is under that key.")]
    used: Annotated[int, size("Sum of the parts and their margins.")]
    limit: Annotated[int, size("The smaller of the budget and the board's room.")]
    limit_from: Annotated[Literal["budget", "board"], about("What set the limit.")]
    limit_note: Annotated[str, about("How the limit came about, in words.")]
    parts: Annotated[tuple[Part, ...], about("Largest first.", largest_first=("bytes", "name"))]

    @property
    def free(self) -> Annotated[int, integer("limit - used; negative when over.", always=True)]:
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

    def without_details(self) -> Measure:
        """The numbers, with those parts that are estimates."""
        estimates = tuple(part for part in self.parts if part.method == "estimated")
        return _measure(self.metric, self.used, self.limit, self.limit_from, estimates)


@lru_cache(maxsize=2048)
def _measure(
    metric: Metric,
    used: int,
    limit: int,
    limit_from: Literal["budget", "board"],
    parts: tuple[Part, ...],
) -> Measure:
    """One object for all pairs with the same size: variants of a network on one board."""
    return Measure(metric, used, limit, limit_from, "", parts)


def _without_details(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """``measures`` without details, in one tuple for all pairs with the same sizes."""
    try:
        return _known_without_details(measures)
    except TypeError:  # the parts of another estimator may be lists
        return _shared(tuple(measure.without_details() for measure in measures))


@lru_cache(maxsize=1024)
def _known_without_details(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """Variants of a network have their measures in common: those of the last networks are kept."""
    return _shared(tuple(measure.without_details() for measure in measures))


@lru_cache(maxsize=2048)
def _shared(measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """One tuple for all pairs with the same sizes."""
    return measures


def memory_of_arena(measures: Iterable[Measure]) -> Measure | None:
    """The one of ``measures`` that holds the whole arena; ``None`` where it is split or unknown."""
    memories = {each.metric: each for each in measures if each.metric in ("ram", "psram")}
    names = [(metric, part.name) for metric, each in memories.items() for part in each.parts]
    if any(name.startswith((PERSISTENT, NON_PERSISTENT)) for _, name in names):
        return None
    external = any(metric == "psram" and name.startswith(ARENA) for metric, name in names)
    return memories.get("psram" if external else "ram")


class Acceptance(Struct, frozen=True, gc=False):
    """An agreed increase."""

    metric: Annotated[Metric, about("What may grow.")]
    up_to: Annotated[int, size("How many bytes it may take in all.")]
    reason: Annotated[str, about("Why it was agreed; empty for what a label approves.")]
    until: Annotated[
        datetime.date | None,
        about("The last day on which it counts; null for what a label approves, in its run alone."),
    ]
    approved_by: Annotated[
        str,
        about("The label that approves it, who set it and where; empty for what is declared."),
    ] = ""

    @property
    def text(self) -> str:
        """``"accepted up to 212.0 KB until 2027-03-31: second wake word"``."""
        if self.approved_by:
            return f"{format_size(self.up_to)} approved for this run: {self.approved_by}"
        shown = printable(self.reason, limit=_LONGEST_REASON)
        return f"accepted up to {format_size(self.up_to)} until {self.until}: {shown}"


class Drift(Struct, frozen=True, gc=False):
    """How far a size is from what it was at a tag or release that `max_increase` names."""

    since: Annotated[str, about("The name in the declaration, such as `v1.2`.")]
    commit: Annotated[str, about("The commit that it was then, and how it was found.")]
    metric: Annotated[Metric, about("Which size.")]
    base_used: Annotated[int, size("What it took then.")]
    used: Annotated[int, size("What it takes now.")]
    exceeded: Annotated[
        bool, about("Whether that is more than `max_increase` allows, and not accepted.")
    ]

    @property
    def text(self) -> str:
        """``"flash +3.1 KB (+2.0 %)"``."""
        grown = self.used - self.base_used
        share = f" ({format_percent_delta(100 * grown / self.base_used)})"
        change = f"{format_delta(grown)}{share if self.base_used else ''}" if grown else "as it was"
        return f"{LABELS[self.metric]} {change}"


class Placed(Struct, frozen=True, gc=False):
    """Where an arena, or a model in RAM, lies; bytes."""

    placement: Annotated[
        Literal["static", "heap", "psram"],
        about("An array that the linker places, the heap, or external RAM."),
    ]
    region: Annotated[str, about("The block of the board's memory.")]
    room: Annotated[
        int,
        integer("What it may take of the block beside all else that must lie there."),
    ]
    free: Annotated[int, integer("What is left of the room; negative when it does not fit.")]
    name: Annotated[str, about("What lies there.")] = "arena"

    @property
    def is_unusual(self) -> bool:
        """Whether a table of pairs names it: one arena that the linker places is the usual case."""
        return self.placement != "static" or not self.name.startswith("arena")

    @property
    def text(self) -> str:
        """``"arena in SRAM (static): 9.0 of 202.1 KB, 193.1 KB left"``."""
        left = f"{format_size(self.free)} left" if self.free >= 0 else "too large"
        ratio = format_ratio(self.room - self.free, self.room)
        return f"{self.name} in {self.region} ({self.placement}): {ratio}, {left}"


class Figure(Struct, frozen=True, gc=False):
    """What is known of a pair besides its sizes, such as latency or the bytes of an update.

    Against ``limit`` counts the worse end: ``high``, or with ``at_least`` ``low``.
    """

    name: Annotated[str, about("Such as `latency`, `energy`, `slot`, `update`, `accuracy`.")]
    unit: Annotated[Unit, about("Bytes, seconds, joules, percent, or none.")]
    low: Annotated[float | None, about("Lower end of the range; null where it is unknown.")]
    high: Annotated[
        float | None,
        about("Upper end of the range, equal to `low` for one value; null where it is unknown."),
    ]
    method: Annotated[
        Literal["exact", "measured", "estimated", "declared", "unknown"],
        about("How it was got."),
    ]
    basis: Annotated[str, about("What it rests on, one line.")]
    limit: Annotated[
        float | None, about("What is declared; null where the figure is only told.")
    ] = None
    at_least: Annotated[bool, about("Whether `limit` is a floor.")] = False
    advice: Annotated[str, about("What would bring it within its limit.")] = ""
    interpreter: Annotated[
        str,
        about("The interpreter that ran the model for it, with its version; empty for others."),
    ] = ""
    cross_check: Annotated[
        float | None,
        about("The same figure by `cross_checked_by`, in `unit`; null where nothing checked it."),
    ] = None
    cross_checked_by: Annotated[
        str, about("The interpreter that gave `cross_check`, with its version.")
    ] = ""

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

    Where ``kind`` is not ``"pair"``, ``board`` repeats it and there are no measures.
    """

    id: Annotated[str, about("Node id: FILE::MODEL::BOARD, POSIX path.")]
    model: Annotated[str, about("Its name in the declaration.", at="model.name")]
    board: Annotated[str, about("Its id in the catalog or declaration.", at="board.id")]
    runtime: Annotated[str, about("The runtime measured for; empty when nothing was measured.")]
    outcome: Annotated[
        Outcome,
        about(
            "`fits`; `warns` (fits, asks for attention); `over` (a limit is exceeded); `refused` "
            "(TFLM would not run it); `unmet` (fits, but strict, require_int8 or verify is not "
            "met); `error` (could not be measured)."
        ),
    ]
    headline: Annotated[str, about("The verdict in a line.")]
    reasons: Annotated[tuple[str, ...], about("What would fix it, a line each.")]
    warnings: Annotated[
        tuple[str, ...], about("What asks for attention, a line each.", always=True)
    ] = ()
    model_sha256: Annotated[
        str,
        about(
            "Of the file; null when it could not be read.",
            at="model.sha256",
            null=True,
            pattern=r"^[0-9a-f]{64}$",
            always=True,
        ),
    ] = ""
    model_bytes: Annotated[int, size("Size of the file.", at="model.bytes", always=True)] = 0
    model_source: Annotated[
        str, about("Its path in the declaration.", at="model.source", always=True)
    ] = ""
    declared_at: Annotated[str, about("FILE:LINE to edit.", always=True)] = ""
    message: Annotated[str, about("The declaration's own message; may be empty.", always=True)] = ""
    measures: Annotated[
        tuple[Measure, ...],
        absent("The sizes against their limits; each is in a file under its `RESULT_KEYS`."),
    ] = ()
    footprint: Annotated[
        Footprint | None,
        absent("What was measured; its fields are in a file among those of the pair."),
    ] = None
    accepted: Annotated[
        tuple[Acceptance, ...],
        about("Agreements without which the pair would fail.", always=True),
    ] = ()
    grown: Annotated[
        tuple[Metric, ...],
        about("What grew more than `max_increase` allows over the baseline.", always=True),
    ] = ()
    table: Annotated[
        str,
        about(
            "Identifies the tables that the runtime's figures come from; empty when nothing was "
            "measured.",
            always=True,
        ),
    ] = ""
    flashed: Annotated[
        tuple[str, ...],
        about(
            "What the project's files say is flashed and where, a line each, where the declaration "
            'takes its runtime from them (`runtime = "project"`); else empty.',
        ),
    ] = ()
    conversion: Annotated[
        str,
        about(
            "Identifies the settings that the model was converted with; empty for one that was "
            "not.",
            always=True,
        ),
    ] = ""
    notes: Annotated[
        tuple[str, ...], about("What is good to know and asks for nothing, a line each.")
    ] = ()
    figures: Annotated[
        tuple[Figure, ...],
        about("What is known besides flash and RAM, such as latency or the bytes of an update."),
    ] = ()
    shrunk: Annotated[
        ShrinkReport | None,
        about("What `shrink = true` did to the model; null where it is not declared."),
    ] = None
    waste: Annotated[
        tuple[ShrinkReport, ...],
        about(
            "What shrinking would save of the file of each model that is not shrunk, in a run that "
            "writes the HTML page; else empty."
        ),
    ] = ()
    kind: Annotated[
        Kind,
        about(
            "`pair`: a model or group on a board; else what is declared of a model or the file, "
            "and `board.id` repeats it."
        ),
    ] = "pair"
    code: Annotated[str, absent("The code of an error; in a file the first of `codes`.")] = ""
    placed: Annotated[
        Placed | None,
        about("Where the arena lies; null where no arena is known, or it is split."),
    ] = None
    growth_unchecked: Annotated[
        str,
        about(
            "Why `max_increase` was not checked, as without a base; empty where it was, or where "
            "nothing limits growth."
        ),
    ] = ""
    arrays: Annotated[
        tuple[Placed, ...],
        about(
            "Where else lies what must be in one piece: the parts of a split arena, models in RAM."
        ),
    ] = ()
    drift: Annotated[
        tuple[Drift, ...],
        about("Its sizes against those at the tags that `max_increase` names with `since`."),
    ] = ()
    informational: Annotated[
        bool, about("Whether it is only reported: it never fails the run, whatever `outcome` says.")
    ] = False
    identity: Annotated[
        Identity | None,
        about(
            "What the sizes belong to, besides `tool` and `table`; null where nothing was measured."
        ),
    ] = None

    @property
    def interpreters(self) -> tuple[str, ...]:
        """Which interpreter gave the figures, and what the one that checks gives for each.

        ``"by TFLM's interpreter 0.1; LiteRT 2.3.0: 97.5 %, drop from float 0.0 %"``.
        """
        by: dict[tuple[str, str], list[str]] = {}
        for figure in self.figures:
            values = by.setdefault((figure.interpreter, figure.cross_checked_by), [])
            if figure.cross_check is not None:
                value = format_range(figure.cross_check, figure.cross_check, figure.unit)
                values.append(f"{figure.name} {value}" if values else value)
        return tuple(
            f"by {first}" + (f"; {second}: {', '.join(values)}" if values else "")
            for (first, second), values in by.items()
            if first
        )

    @property
    def runtime_text(self) -> str:
        """The runtime in words, with the version of TFLM that its sizes belong to."""
        return (self.identity and self.identity.text) or f"runtime {self.runtime}"

    @property
    def codes(
        self,
    ) -> Annotated[
        tuple[Annotated[str, about("A code.", pattern=r"^TB[0-9]{3}$")], ...],
        about(
            "What is wrong, by code (`tinybudget explain TB001`), the gravest first; empty where "
            "the pair passes."
        ),
    ]:
        """Entries of ``codes.CODES`` for what is wrong, the gravest first."""
        if self.outcome == "error":
            return (self.code,) if self.code else ()
        if self.outcome == "refused":
            return (self._code_of_refusal,)
        if not self.failed:
            return ()
        figures = [figure for figure in self.figures if figure.unmet]
        beyond = [figure for figure in figures if figure.exceeded and not figure.at_least]
        others = {
            "TB003": bool(beyond),
            "TB021": bool(self.grown),
            "TB022": len(figures) > len(beyond),
            "TB024": any(each.exceeded for each in self.drift),
        }
        over = (OVER_CODES[measure.metric] for measure in self.measures if measure.over)
        found = (*dict.fromkeys(over), *(code for code, applies in others.items() if applies))
        return found or ("TB020",)

    @property
    def places(self) -> tuple[Placed, ...]:
        """Where the arena and all else that must lie in one piece lies."""
        return (*((self.placed,) if self.placed else ()), *self.arrays)

    @property
    def _code_of_refusal(self) -> str:
        """Whether the device refuses the model, runs it wrongly, or does so in this version."""
        refusals = self.footprint.refusals if self.footprint else ()
        stage = refusals[0].stage if refusals else "load"
        if stage == "outdated":
            return "TB012"
        return "TB011" if stage in UNNOTICED else "TB010"

    @property
    def title(self) -> str:
        """``"kws on arduino-nano-33-ble"``, ``"kws: accuracy"``."""
        return (
            f"{self.model} on {self.board}" if self.kind == "pair" else f"{self.model}: {self.kind}"
        )

    def without_details(self) -> PairResult:
        """What a table tells of a pair that passes: of 20,000 the rest would fill the memory."""
        return replace(
            self,
            measures=_without_details(self.measures),
            footprint=None,
            placed=self.placed if self.placed and self.placed.is_unusual else None,
        )

    @property
    def failed(self) -> bool:
        """Whether it does not fit, is refused, misses a requirement or could not be measured."""
        return self.outcome in ("over", "refused", "unmet", "error")

    @property
    def fails_run(self) -> bool:
        """Whether the gate is red for this pair: it fails and is not informational."""
        return self.failed and not self.informational


def unmeasured(result: PairResult, error: TinybudgetError) -> PairResult:
    """The result that takes the place of ``result`` where measuring raised ``error``."""
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
    """``result`` with a warning that ``error`` kept its C files from being written.

    For C files that nobody asked for by an option: they fail no pair.
    """
    return warned(result, (f"its C files are not there: {error.message}",))


def warned(result: PairResult, warnings: tuple[str, ...]) -> PairResult:
    """``result`` with more ``warnings``: what fits with one is no longer plain good."""
    if not warnings:
        return result
    return replace(
        result,
        outcome="warns" if result.outcome == "fits" else result.outcome,
        warnings=(*result.warnings, *warnings),
    )
