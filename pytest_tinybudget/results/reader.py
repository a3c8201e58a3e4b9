"""Results files read back: strictly, so that a comparison never rests on a damaged file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal
from typing import NoReturn

import msgspec
from msgspec import UNSET
from msgspec import Meta
from msgspec import Struct
from msgspec import UnsetType

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import shown
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Method
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Persistent
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import Saving
from pytest_tinybudget.footprint.result import SplitArena
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import SCHEMA_VERSION
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import Kind
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Placed
from pytest_tinybudget.results.types import Provenance
from pytest_tinybudget.results.types import own_provenance


#: A thousand pairs take some 30 MB; anything larger is another file by mistake.
_LARGEST_BYTES = 256 * 1024**2

_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run and what they belong to.

    ``origin`` names them for people. ``estimator`` is this tool's version and TFLM's commit:
    numbers of another estimator are not comparable. ``provenance`` is what the file says of
    itself, ``None`` where there is none.
    """

    origin: str
    estimator: str
    pairs: tuple[PairResult, ...]
    provenance: Provenance | None = None
    _by_id: dict[str, PairResult] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def find(self, pair_id: str) -> PairResult | None:
        """The pair with this node id."""
        if not self._by_id:
            self._by_id.update((pair.id, pair) for pair in self.pairs)
        return self._by_id.get(pair_id)


def own_results(
    pairs: Iterable[PairResult], origin: str, checkouts: tuple[Checkout, ...] = ()
) -> Results:
    """Results that this process has measured, at the commits of ``checkouts`` where known."""
    ordered = tuple(sorted(pairs, key=lambda pair: pair.id))
    return Results(origin, own_estimator(), ordered, own_provenance(checkouts))


def joined(several: Sequence[Results]) -> Results | None:
    """The baselines of several declarations as one; ``None`` without any.

    Raises:
        TinybudgetError: two of them hold the same pair, or different estimators wrote them.
    """
    if len(several) < 2:
        return several[0] if several else None
    origin = ", ".join(results.origin for results in several)
    if len({results.estimator for results in several}) > 1:
        raise TinybudgetError(f"{origin}: written by different versions of the tool", code="TB500")
    pairs = [pair for results in several for pair in results.pairs]
    if len({pair.id for pair in pairs}) < len(pairs):
        raise TinybudgetError(f"{origin}: more than one of them has the same pair", code="TB500")
    return Results(origin, several[0].estimator, tuple(pairs))


@cache
def own_estimator() -> str:
    """The estimator of this installation, as ``Results`` name it."""
    return _estimator(own_provenance())


def load_results(path: Path) -> Results:
    """The results file at ``path``.

    Raises:
        TinybudgetError: it cannot be read, or is not a results file of this version.
    """
    origin = printable(shown(path))
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise TinybudgetError(f"{origin}: larger than 256 MB, not a results file", code="TB500")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TinybudgetError(f"{origin}: cannot be read: {reason}") from None
    return read_results(content, origin)


def read_results(content: bytes, origin: str) -> Results:
    """The results in ``content``, the bytes of a results file; ``origin`` names it in errors.

    Raises:
        TinybudgetError: one line that says what is wrong and where in the file.
    """
    try:
        document = json.loads(content.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError:
        raise _broken(origin, "not UTF-8 text") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}: {error.msg}"
        raise _broken(origin, f"not JSON ({where})") from None
    except RecursionError:
        raise _broken(origin, "not JSON (nested too deeply)") from None
    except ValueError as error:
        raise _broken(origin, str(error)) from None
    _check_version(document, origin)
    try:
        file = msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise _broken(origin, str(error)) from None
    known = {each.name: each for each in file.runtime.variants}
    pairs = tuple(
        pair.result(_identity(pair.identity or known.get(pair.runtime), file))
        for pair in file.pairs
    )
    _check_sums(file, origin)
    provenance = Provenance(
        tool=printable(file.tool.version),
        tflm_commit=printable(file.runtime.tflm_commit),
        checkouts=tuple(each.checkout() for each in file.repositories),
    )
    return Results(origin, _estimator(provenance), pairs, provenance)


def _estimator(source: Provenance) -> str:
    return f"pytest-tinybudget {source.tool}, TFLM {source.tflm_commit}"


def _identity(stored: _Identity | None, file: _File) -> Identity | None:
    """What the file says of a pair's sizes; older files have one commit of TFLM for all."""
    if stored is None:
        return None
    return Identity(
        tool=file.tool.version,
        tflm=(file.runtime.tflm_commit if stored.tflm is UNSET else stored.tflm) or "",
        description=stored.description,
        kernels=stored.kernels or "",
        kernels_version=stored.kernels_version or "",
        abi=stored.abi or "",
        cores=tuple(stored.cores),
    )


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a size")


def _check_version(document: Any, origin: str) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION and version is not True:
        raise TinybudgetError(
            f"{origin}: a results file of schema version {version}, expected {SCHEMA_VERSION}: "
            "write it again with this version of pytest-tinybudget",
            code="TB500",
        )


def _check_sums(file: _File, origin: str) -> None:
    """What a merge conflict or a hand has left inconsistent is no baseline."""
    seen = set()
    for pair in file.pairs:
        if pair.id in seen:
            raise _broken(origin, f"two pairs have the id {pair.id}")
        seen.add(pair.id)
        for measure in pair.measures():
            name = RESULT_KEYS[measure.metric]
            total = sum(part.bytes + part.margin_bytes for part in measure.parts)
            if total != measure.used or getattr(pair, name).free != measure.free:
                raise _broken(origin, f"{pair.id}: the figures of {name} contradict each other")


def _broken(origin: str, reason: str) -> TinybudgetError:
    line = printable(" ".join(reason.split()), limit=_LONGEST_REASON)
    return TinybudgetError(f"{origin}: not a results file: {line}", code="TB500")


# The file's shape, as ``docs/results.md`` has it. Fields that a later version adds are ignored.

_Bytes = Annotated[int, Meta(ge=0, le=2**53)]
_Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
_Integer = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class _Part(Struct, frozen=True):
    name: str
    bytes: _Bytes
    method: Method
    margin: _Bytes
    note: str

    def part(self) -> Part:
        return Part(self.name, self.bytes, self.method, self.margin, self.note)


class _Measure(Struct, frozen=True):
    used: _Bytes
    limit: _Bytes
    limit_from: Literal["budget", "board"]
    limit_note: str
    free: _Integer
    parts: list[_Part]

    def measure(self, metric: Metric) -> Measure:
        parts = tuple(part.part() for part in self.parts)
        return Measure(metric, self.used, self.limit, self.limit_from, self.limit_note, parts)


class _Arena(Struct, frozen=True):
    required: _Bytes
    used: _Bytes
    head: _Bytes
    tail: _Bytes
    decided_by: str
    optimum_head: _Bytes
    recorded: dict[str, _Bytes]
    peak_time: _Integer
    buffers: list[LiveBuffer]
    persistent: list[Persistent] = []  # files of older versions have none
    split: SplitArena | None = None

    def arena(self) -> Arena:
        return Arena(
            required=self.required,
            used=self.used,
            head=self.head,
            tail=self.tail,
            decided_by=self.decided_by,
            recorded=self.recorded,
            buffers=tuple(self.buffers),
            peak_time=self.peak_time,
            optimum_head=self.optimum_head,
            persistent=tuple(self.persistent),
            split=self.split,
        )


class _Output(Struct, frozen=True):
    type: str
    shape: list[_Integer]


class _Layer(Struct, frozen=True):
    subgraph: _Bytes
    index: _Bytes
    operator: str
    name: str
    output: _Output
    weights: _Bytes
    activations: _Bytes
    scratch: _Bytes
    persistent: _Bytes
    live: _Bytes
    first: _Integer
    last: _Integer

    def layer(self) -> Layer:
        return Layer(
            subgraph=self.subgraph,
            index=self.index,
            operator=self.operator,
            name=self.name,
            output_type=self.output.type,
            output_shape=tuple(self.output.shape),
            weights_bytes=self.weights,
            activation_bytes=self.activations,
            scratch_bytes=self.scratch,
            persistent_bytes=self.persistent,
            live_bytes=self.live,
            first=self.first,
            last=self.last,
        )


class _Saving(Struct, frozen=True):
    change: str
    flash: _Bytes
    note: str
    parts: dict[str, _Integer]

    def saving(self) -> Saving:
        parts = sorted(self.parts.items(), key=lambda item: (-item[1], item[0]))
        return Saving(self.change, self.flash, self.note, tuple(parts))


class _Acceptance(Struct, frozen=True):
    metric: Metric
    up_to: _Bytes
    reason: str
    until: datetime.date


class _Model(Struct, frozen=True):
    name: str
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")] | None
    bytes: _Bytes
    source: str


class _Board(Struct, frozen=True):
    id: str


class _Identity(Struct, frozen=True):
    description: str
    kernels: str | None
    abi: str | None
    tflm: str | UnsetType | None = UNSET
    kernels_version: str | None = None
    cores: list[str] = []


class _Variant(_Identity, frozen=True, kw_only=True):
    name: str


class _Base(Struct, frozen=True):
    commit: _Commit
    found: str


class _Repository(Struct, frozen=True):
    folder: str
    commit: _Commit | None
    base: _Base | None

    def checkout(self) -> Checkout:
        base = self.base
        return Checkout(
            folder=self.folder,
            commit=self.commit or "",
            base=base.commit if base else "",
            base_found=base.found if base else "",
        )


class _Pair(Struct, frozen=True):
    id: str
    model: _Model
    board: _Board
    runtime: str
    outcome: Outcome
    headline: str
    reasons: list[str]
    warnings: list[str]
    declared_at: str
    message: str
    accepted: list[_Acceptance]
    grown: list[Metric]
    table: str
    conversion: str
    flash: _Measure | None
    ram: _Measure | None
    arena: _Arena | None
    stack: _Bytes | None
    layers: list[_Layer]
    refusals: list[Refusal]
    unknown: list[str]
    not_int8: list[str]
    savings: list[_Saving]
    notes: list[str] = []
    figures: list[Figure] = []
    kind: Kind = "pair"
    codes: list[str] = []
    placed: Placed | None = None
    growth_unchecked: str = ""
    identity: _Identity | None = None
    psram: _Measure | None = None
    arena_size: _Measure | None = None
    persistent_arena: _Measure | None = None
    non_persistent_arena: _Measure | None = None
    arrays: list[Placed] = []

    def measures(self) -> tuple[Measure, ...]:
        stored = ((metric, getattr(self, key)) for metric, key in RESULT_KEYS.items())
        return tuple(measure.measure(metric) for metric, measure in stored if measure)

    def result(self, identity: Identity | None) -> PairResult:
        measures = self.measures()
        return PairResult(
            id=self.id,
            model=self.model.name,
            board=self.board.id,
            runtime=self.runtime,
            outcome=self.outcome,
            headline=self.headline,
            reasons=tuple(self.reasons),
            warnings=tuple(self.warnings),
            model_sha256=self.model.sha256 or "",
            model_bytes=self.model.bytes,
            model_source=self.model.source,
            declared_at=self.declared_at,
            message=self.message,
            measures=measures,
            footprint=self._footprint(measures),
            accepted=tuple(
                Acceptance(each.metric, each.up_to, each.reason, each.until)
                for each in self.accepted
            ),
            grown=tuple(self.grown),
            table=self.table,
            conversion=self.conversion,
            notes=tuple(self.notes),
            figures=tuple(self.figures),
            kind=self.kind,
            code=self.codes[0] if self.codes and self.outcome == "error" else "",
            placed=self.placed,
            growth_unchecked=self.growth_unchecked,
            identity=identity,
            arrays=tuple(self.arrays),
        )

    def _footprint(self, measures: tuple[Measure, ...]) -> Footprint | None:
        if self.stack is None:
            return None
        parts = {measure.metric: measure.parts for measure in measures}
        return Footprint(
            runtime=self.runtime,
            flash_parts=parts.get("flash", ()),
            ram_parts=parts.get("ram", ()),
            psram_parts=parts.get("psram", ()),
            arena=self.arena.arena() if self.arena else None,
            stack=self.stack,
            layers=tuple(layer.layer() for layer in self.layers),
            refusals=tuple(self.refusals),
            unknown=tuple(self.unknown),
            not_int8=tuple(self.not_int8),
            savings=tuple(saving.saving() for saving in self.savings),
        )


class _Tool(Struct, frozen=True):
    name: Literal["pytest-tinybudget"]
    version: str


class _Runtimes(Struct, frozen=True):
    tflm_commit: str
    variants: list[_Variant] = []


class _File(Struct, frozen=True):
    schema_version: Literal[1]
    tool: _Tool
    runtime: _Runtimes
    pairs: list[_Pair]
    repositories: list[_Repository] = []
