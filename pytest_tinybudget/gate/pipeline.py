"""The pipeline from a declared pair to its result, for the pytest plugin and the command line.

Declaration → model graph → footprint → verdict; what depends on a model and a runtime alone is
computed once, however many boards there are.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import CANNOT_BE_WRITTEN
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import DEFAULT_DIRECTORY
from pytest_tinybudget.base.files import write
from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.baseline import NO_BASE
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.settings import stripped_text
from pytest_tinybudget.convert.sources import converts
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import DeclaredGroup
from pytest_tinybudget.declaration import DeclaredModel
from pytest_tinybudget.declaration.pairs import Check
from pytest_tinybudget.declaration.pairs import Declared
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.suitability import for_a_lesser_core
from pytest_tinybudget.declaration.suitability import suitability
from pytest_tinybudget.footprint.result import Estimate
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.figures import figures_of
from pytest_tinybudget.gate.figures import slots_of
from pytest_tinybudget.gate.growth import Allowed
from pytest_tinybudget.gate.growth import accept_overruns
from pytest_tinybudget.gate.growth import hold
from pytest_tinybudget.gate.verdict import Terms
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.gate.verdict import with_figures
from pytest_tinybudget.graph.locations import model_name
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import identity_of
from pytest_tinybudget.results.types import tool_version
from pytest_tinybudget.results.types import warned
from pytest_tinybudget.results.types import without_artifacts
from pytest_tinybudget.runtimes.fingerprint import fingerprint
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import Runtime


if TYPE_CHECKING:
    from pytest_tinybudget.accelerators import Accelerated
    from pytest_tinybudget.base.cache import Cache
    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.convert.converter import Converted
    from pytest_tinybudget.convert.converter import Converter
    from pytest_tinybudget.convert.converter import Progress
    from pytest_tinybudget.convert.converter import Request
    from pytest_tinybudget.footprint.arena import Simulation
    from pytest_tinybudget.gate.cross_check import RealRun
    from pytest_tinybudget.gate.shared_footprints import SharedFootprints


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_PLANNED = "counted from a layer list: names and metadata of the trained file may differ by 1 KB"

_LONGEST_NAME = 60

#: Of how many models whose turn is over the findings are kept.
_FINDINGS_KEPT = 16

#: Writes files (contents by name) into a folder; returns their paths.
Write = Callable[[Path, Mapping[str, bytes]], tuple[Path, ...]]

#: Another estimator: ``None`` leaves the model to the built-in one.
Estimator = Callable[[Model, Runtime], Footprint | None]


class _Measured(Struct, gc=False):
    """What was found of one model: estimates, arenas and what accelerators make of it.

    ``answers`` are another estimator's by runtime, ``None`` where it leaves the model to us.
    """

    estimates: dict[object, Estimate | TinybudgetError] = {}
    simulations: dict[object, Simulation | TinybudgetError] = {}
    accelerated: dict[object, Accelerated | TinybudgetError] = {}
    answers: dict[Runtime, Footprint | None] = {}


@dataclass(slots=True)
class Gate:
    """Checks pairs. One for a run: it keeps every model and footprint that it has made.

    ``artifacts_required`` is whether this run was asked for C files: they are part of its result.
    ``strict`` overrides the declarations'; ``verify`` also runs each model in the real
    interpreter; ``estimator`` is asked before the built-in one. ``baseline`` takes the place of
    the declarations' own; one of these need not exist where the run writes it, to ``written``.
    ``require_base`` overrides the declarations'. ``today`` (UTC) decides which agreed increases
    have expired.
    ``cached`` is whether conversions are kept on disk; ``progress`` is told of their steps.
    ``write`` writes all files; with ``shared``, other processes of the same run are asked for
    footprints.
    """

    strict: bool = False
    verify: bool = False
    artifacts_required: bool = False
    estimator: Estimator | None = None
    baseline: Baseline | None = None
    written: Path | None = None
    require_base: bool = False
    today: datetime.date = field(
        default_factory=lambda: datetime.datetime.now(datetime.timezone.utc).date()
    )
    _baselines: dict[Path, Baseline | TinybudgetError] = field(default_factory=dict, repr=False)
    _runs: dict[str, RealRun | TinybudgetError] = field(default_factory=dict, repr=False)
    _written: dict[object, tuple[Path, ...] | TinybudgetError] = field(
        default_factory=dict, repr=False
    )
    _owners: dict[tuple[Path, str], str] = field(default_factory=dict, repr=False)
    cached: bool = True
    progress: Progress | None = None
    write: Write = write
    shared: SharedFootprints | None = None
    _models: dict[object, Model | TinybudgetError] = field(default_factory=dict, repr=False)
    _conversions: dict[object, Converted | TinybudgetError | None] = field(
        default_factory=dict, repr=False
    )
    #: How many bytes stripping has left out of files that were not converted here.
    _stripped: dict[object, int] = field(default_factory=dict, repr=False)
    _converter: Converter | None = field(default=None, repr=False)
    #: SHA-256 of the models whose turn is over, the first of them first.
    _over: dict[str, None] = field(default_factory=dict, repr=False)
    _measured: dict[str, _Measured] = field(default_factory=dict, repr=False)

    def check(
        self, pair: Declared, artifacts: Path | None = None, *, details: bool = True
    ) -> PairResult:
        """The result of one pair; what cannot be measured has outcome ``"error"``.

        The C files of a model that TFLM runs are written to the folder ``artifacts``. Without
        ``details``, a pair that passes has only what a table of pairs tells, and neither what
        changes would save is linked, nor how long it takes worked out where nothing limits it.
        """
        try:
            if isinstance(pair, Check):
                result = self._check_other(pair)
            elif isinstance(pair, GroupPair):
                result = self._check_group(pair)
            else:
                result = self._check_model(pair, details=details)
                if artifacts is not None and result.outcome != "refused":
                    result = self._with_artifacts(pair, artifacts, result)
        except TinybudgetError as error:
            return failed_result(pair, self._with_log(pair, error, artifacts))
        return result if details or result.failed else result.without_details()

    def model(self, declared: DeclaredModel) -> Model:
        """The graph of a declared model, its file read once.

        Raises:
            TinybudgetError: it cannot be read.
        """
        from pytest_tinybudget.graph.closing import closed
        from pytest_tinybudget.graph.tflite import load_model
        from pytest_tinybudget.graph.tflite import read_model

        def load() -> Model:
            if declared.planned is not None:
                from pytest_tinybudget.graph.layers import model_of

                planned = model_of(declared.planned, declared.name)
                return ready(read_model(planned, declared.name))
            converted = self.conversion(declared)
            if converted is not None:  # stripped with the conversion
                return read_model(converted.content, model_name(declared.source))
            return ready(load_model(declared.source, declared.declared_source))

        def ready(model: Model) -> Model:
            model = closed(model, dict(declared.conversion.input_shapes))
            if not declared.conversion.strip:
                return model
            from pytest_tinybudget.shrink import strip

            stripped = strip(model)
            self._stripped[_file_of(declared)] = stripped.saved_bytes
            return stripped.model

        return _once(self._models, _file_of(declared), load)

    def conversion(self, declared: DeclaredModel) -> Converted | None:
        """How a declared model was converted to INT8; ``None`` where its file is taken as it is.

        Raises:
            TinybudgetError: it cannot be converted.
        """

        def convert() -> Converted | None:
            if not _is_converted(declared):
                return None
            return self._converting().convert(_request(declared))

        return _once(self._conversions, _file_of(declared), convert)

    def forget(self, selected: Iterable[Declared]) -> None:
        """Let go of models whose turn is over, and but for the last few of what was found of them.

        Hundreds would otherwise stay in memory to the end of a run. One that is asked for again, as
        by a plugin that shuffles tests, is read again, and measured again where it was let go.
        """
        for each in selected:
            for declared in _models_of(each):
                key = _file_of(declared)
                model = self._models.pop(key, None)
                self._conversions.pop(key, None)
                self._stripped.pop(key, None)
                if isinstance(model, Model):
                    self._over.pop(sha256_of(model), None)
                    self._over[sha256_of(model)] = None
        while len(self._over) > _FINDINGS_KEPT:
            sha256 = next(iter(self._over))
            del self._over[sha256]
            self._measured.pop(sha256, None)

    def prepare(self, selected: Iterable[Declared]) -> None:
        """Convert what ``selected`` will need, side by side; what fails is told by ``check``."""
        requests = {
            _request(model): None
            for each in selected
            for model in _models_of(each)
            if _is_converted(model)
        }
        if requests:
            self._converting().prepare(requests)

    def close(self) -> None:
        """End the processes that convert models."""
        if self._converter is not None:
            self._converter.close()

    def _converting(self) -> Converter:
        from pytest_tinybudget.convert.converter import Converter

        if self._converter is None:
            progress = self.progress or (lambda _model, _step: None)
            self._converter = Converter(self.cache(), progress)
        return self._converter

    def cache(self) -> Cache | None:
        """Where made files are kept, if they are."""
        from pytest_tinybudget.base.cache import Cache
        from pytest_tinybudget.base.cache import default_folder
        from pytest_tinybudget.base.cache import limit_bytes

        return Cache(default_folder(), limit_bytes()) if self.cached else None

    def accelerated(self, pair: Pair) -> Accelerated:
        """What the accelerator of a pair's board makes of its model, made once.

        Raises:
            TinybudgetError: the model cannot be read or compiled for it.
        """
        from pytest_tinybudget.accelerators import accelerate

        if pair.model.placements.model != "flash":
            raise TinybudgetError(
                f"{pair.declared_at}: placement_model on {pair.board.id}: what its accelerator "
                "reads of a model, and where that lies, is for its compiler to say",
                code="TB200",
            )
        model = self.model(pair.model)
        kept = self._measured_of(model).accelerated
        return _once(kept, pair.id, lambda: accelerate(pair, model, self.measured, self.cache()))

    def footprint(self, pair: Pair, *, savings: bool = True) -> Footprint:
        """The footprint of a pair's model on its runtime, measured once.

        Without ``savings`` it does not say what changes would save, unless an accelerator leaves
        it to TFLM.

        Raises:
            TinybudgetError: the model cannot be read, or the runtime's tables are missing.
        """
        if pair.board.accelerator:
            return self.accelerated(pair).footprint
        return self.measured(self.model(pair.model), pair.firmware, savings=savings)

    def measured(self, model: Model, firmware: Firmware, *, savings: bool = True) -> Footprint:
        """What ``model`` takes in ``firmware``, by the estimator that takes it; kept by content.

        Raises:
            TinybudgetError: the runtime's tables are missing or damaged, or another estimator
                cannot say what a split arena takes.
        """
        from pytest_tinybudget.footprint.arena import arena_key
        from pytest_tinybudget.footprint.arena import simulate
        from pytest_tinybudget.footprint.layout import laid_out
        from pytest_tinybudget.footprint.link import what_if
        from pytest_tinybudget.footprint.measure import measure

        runtime = firmware.named_runtime
        answers = self._measured_of(model).answers

        def estimate() -> Estimate:
            if runtime not in answers:
                answers[runtime] = self.estimator(model, runtime) if self.estimator else None
            other = answers[runtime]
            if other is not None:
                return Estimate(laid_out(other, firmware.placements), linked=False)
            simulation = _once(
                self._measured_of(model).simulations,
                arena_key(firmware),
                lambda: simulate(model, firmware),
            )
            return Estimate(measure(model, firmware, simulation), firmware.fixed is None)

        def changed() -> Estimate:
            changes = what_if(model, firmware)
            return replace(found, footprint=replace(found.footprint, savings=changes))

        found = self._estimated(model, (firmware,), estimate)
        if found.linked:
            answers.setdefault(runtime, None)  # perhaps in another process
        if savings and found.linked:
            found = self._estimated(model, (firmware, "savings"), changed)
        return found.footprint

    def _estimated(
        self, model: Model, key: tuple[object, ...], estimate: Callable[[], Estimate]
    ) -> Estimate:
        """What ``estimate`` makes of ``model``, once for ``key`` in all processes of the run."""
        kept, shared = self._measured_of(model).estimates, self.shared
        if shared is None:
            return _once(kept, key, estimate)
        return _once(kept, key, lambda: shared.get(repr((sha256_of(model), *key)), estimate))

    def _measured_of(self, model: Model) -> _Measured:
        return self._measured.setdefault(sha256_of(model), _Measured())

    def _with_log(
        self, pair: Declared, error: TinybudgetError, artifacts: Path | None
    ) -> TinybudgetError:
        """``error`` with the file that keeps what a failed conversion printed."""
        if not (isinstance(error, ConversionError) and error.log):
            return error
        parent = pair.declaration.path.parent
        folder = artifacts or pair.declaration.artifacts or parent / DEFAULT_DIRECTORY
        try:
            (path,) = self.write(folder, {f"{c_identifier(pair.name)}_conversion.log": error.log})
        except TinybudgetError:
            return error  # what went wrong first matters more
        return TinybudgetError(
            error.message, details=(*error.details, f"log: {path}"), code=error.code
        )

    def _with_artifacts(self, pair: Pair, folder: Path, result: PairResult) -> PairResult:
        """``result`` once the pair's C files are written.

        A folder that nobody asked for in this run and that cannot be written, as in a read-only
        checkout, is a warning: the verdict does not hang on it.

        Raises:
            TinybudgetError: the files cannot be made, or not be written where they were asked for.
        """
        try:
            self.write_artifacts(pair, folder)
        except TinybudgetError as error:
            if self.artifacts_required or error.code != CANNOT_BE_WRITTEN:
                raise
            return without_artifacts(result, error)
        return result

    def write_artifacts(self, pair: Pair, folder: Path) -> tuple[Path, ...]:
        """Write the C array of a pair's model and the constants beside it; the paths written.

        The constants are those of all boards that the model is declared for, whichever run. For a
        board with an accelerator they have its name, and the model that was compiled for it.

        Raises:
            TinybudgetError: the model cannot be measured, or ``folder`` cannot be written.
        """
        from pytest_tinybudget import artifacts

        def write() -> tuple[Path, ...]:
            name, model = pair.model.artifact_name, self.model(pair.model)
            boards = [board for board in pair.model.boards if not board.accelerator]
            if pair.board.accelerator:
                held, boards = self.accelerated(pair).model, [pair.board]
                if held is None:
                    return ()  # no firmware
                name, model = f"{name}_{pair.board.id}", held
            files = artifacts.render(
                model,
                name=name,
                footprints=[
                    self.footprint(replace(pair, board=board), savings=False) for board in boards
                ],
                registrations=pair.model.registrations,
                placements=pair.model.placements,
            )
            return self.write(folder, files)

        self.claim_artifacts(pair, folder)
        board = pair.board.id if pair.board.accelerator else ""
        return _once(self._written, (pair.file, pair.model.name, board, folder), write)

    def claim_artifacts(self, pair: Pair, folder: Path) -> None:
        """Keep the names of a model's C files in ``folder`` for it.

        Raises:
            TinybudgetError: a model of another declaration has the same.
        """
        key = (folder, c_identifier(pair.model.artifact_name).casefold())
        mine = f"{pair.file}::{pair.name}"
        owner = self._owners.setdefault(key, mine)
        if owner != mine:
            raise TinybudgetError(
                f"{pair.declared_at}: the C files of {pair.name} would overwrite those of "
                f"{owner}: give one another name with 'artifacts', or another folder",
                code="TB200",
            )

    def baseline_of(self, declaration: Declaration) -> Baseline | None:
        """What a declaration's pairs are compared with; ``None`` where nothing is named.

        Raises:
            TinybudgetError: the declaration's baseline is missing, or is no results file.
        """
        path = declaration.baseline
        if self.baseline is not None or path is None:
            return self.baseline
        from pytest_tinybudget.baseline.baseline import baseline_file

        return _once(self._baselines, path, lambda: baseline_file(path, written=self.written))

    def _held(self, pair: Pair | GroupPair, result: PairResult, allowed: Allowed) -> PairResult:
        """``result`` held to what it may grow over its baseline."""
        baseline = self.baseline_of(pair.declaration)
        base, why_not = (None, NO_BASE) if baseline is None else baseline.find(result)
        return _at_its_limit(pair, hold(result, base, allowed, why_no_base=why_not))

    def _check_model(self, pair: Pair, *, details: bool) -> PairResult:
        model, footprint = self.model(pair.model), self.footprint(pair, savings=details)
        made = self.accelerated(pair) if pair.board.accelerator else None
        terms = self._terms(pair)
        allowed = self._allowed(f"models.{pair.model.section}", pair.model)
        result = replace(
            self._judged(pair, footprint, terms, allowed, None if made else model),
            message=pair.model.message,
            model_sha256=sha256_of(model),
            model_bytes=model.bytes,
            model_source=pair.model.declared_source,
        )
        if pair.model.planned is not None:
            result = warned(result, (_PLANNED,))
        result = _with_conversion(result, self.conversion(pair.model))
        result = replace(result, notes=(*result.notes, *_shape_notes(pair.model, model)))
        saved = self._stripped.get(_file_of(pair.model), 0)
        if saved:
            result = replace(result, notes=(*result.notes, stripped_text(saved)))
        held = made.model if made and made.model else model
        figures = figures_of(pair, held, footprint, told=details)
        if made is not None:
            result, figures = _with_accelerator(result, made), (*made.figures, *figures)
        result = with_figures(result, figures)
        result = self._held(pair, result, allowed)
        if made is not None:
            advice = made.advice if result.outcome == "over" else ()
            return replace(result, reasons=(*result.reasons, *advice))
        if result.outcome == "error":
            return result  # it fits: what is missing is a base
        if not result.failed:
            hints = self._dense_hints(pair)
            return replace(result, notes=(*result.notes, *hints)) if hints else result
        if not details:
            figures = figures_of(pair, held, footprint)
            result = replace(result, footprint=self.footprint(pair), figures=figures)
        return self._with_remedies(pair, (model,), result, terms)

    def _with_remedies(
        self, pair: Pair | GroupPair, models: tuple[Model, ...], result: PairResult, terms: Terms
    ) -> PairResult:
        """``result``, which fails, with what would make it pass; each change is measured."""
        from pytest_tinybudget.gate.remedies import Candidate
        from pytest_tinybudget.gate.remedies import remedies

        baseline = self.baseline_of(pair.declaration)
        kept: tuple[dict[Any, Any], ...] = (self._measured, self._models, self._conversions)
        known = [set(each) for each in kept]
        base = None if baseline is None else baseline.find(result)[0]
        lines = remedies(
            result,
            Candidate(pair, models),
            lambda changed: self._as_changed(changed.pair, changed.loaded(self.model), base),
            terms=terms,
            boards=_boards(pair),
            measured_on=lambda board: self._footprint_of(replace(pair, board=board), models),
        )
        reasons = (*result.reasons, *lines)
        for each, before in zip(kept, known, strict=True):
            for key in set(each) - before:
                del each[key]  # what is declared nowhere is asked for no more
        return replace(result, reasons=reasons)

    def _as_changed(
        self, pair: Pair | GroupPair, models: tuple[Model, ...], base: PairResult | None
    ) -> PairResult:
        """The result that ``pair`` would have with ``models``, held to the same ``base``."""
        footprint, terms = self._footprint_of(pair, models), self._terms(pair)
        if isinstance(pair, Pair):
            allowed = self._allowed(f"models.{pair.model.section}", pair.model)
            figures = figures_of(pair, models[0], footprint, told=False)
        else:
            allowed = self._allowed(pair.name, pair.group)
            size = sum(model.bytes for model in models)
            figures = tuple(slots_of(pair, size, footprint))
        result = with_figures(self._judged(pair, footprint, terms, allowed), figures)
        return result if base is None else hold(result, base, allowed)

    def _footprint_of(self, pair: Pair | GroupPair, models: tuple[Model, ...]) -> Footprint:
        """What ``pair`` takes with ``models`` in the place of its own."""
        if isinstance(pair, GroupPair):
            return self._group_footprint(pair, models)
        return self.measured(models[0], pair.firmware, savings=False)

    def _terms(self, pair: Pair | GroupPair) -> Terms:
        """What ``pair`` is held to."""
        if isinstance(pair, Pair):
            return Terms(
                budget=pair.model.budget,
                warn_at_percent=pair.model.warn_at_percent,
                require_int8=pair.model.require_int8,
                strict=self.strict or pair.model.strict,
                placement=pair.model.placements.arena,
            )
        return Terms(
            budget=pair.group.budget,
            warn_at_percent=pair.group.warn_at_percent,
            require_int8=False,
            strict=self.strict or any(member.model.strict for member in pair.members),
            placement=pair.group.placement,
        )

    def _dense_hints(self, pair: Pair) -> tuple[str, ...]:
        """What dense layers per tensor would save, where nobody has chosen and TFLM plans."""
        declared = pair.model
        chosen = declared.conversion.per_channel_dense is not None
        if chosen or self.estimator or self.conversion(declared) is None:
            return ()
        arena = self.footprint(pair, savings=False).arena
        if arena is None or kind_of(declared.source) == "tflite":
            return ()  # of a .tflite, ai-edge-quantizer leaves no choice
        from pytest_tinybudget.gate.remedies import per_tensor_hints

        return per_tensor_hints(arena, self.model(declared), pair.firmware)

    def _check_other(self, check: Check) -> PairResult:
        from pytest_tinybudget.gate.checks import result_of

        return result_of(check, self)

    def _check_group(self, pair: GroupPair) -> PairResult:
        if pair.board.accelerator:
            raise TinybudgetError(
                f"{pair.declared_at}: a group on {pair.board.id}, which has an accelerator, cannot "
                "be counted: declare its models for the board one by one",
                code="TB200",
            )
        members = pair.members
        models = tuple(self.model(member.model) for member in members)
        footprint, terms = self._group_footprint(pair, models), self._terms(pair)
        allowed = self._allowed(pair.name, pair.group)
        result = replace(
            self._judged(pair, footprint, terms, allowed),
            message=pair.group.message,
            model_bytes=sum(model.bytes for model in models),
            model_source=", ".join(member.model.declared_source for member in members),
            notes=tuple(
                f"{member.name}: {note}"
                for member in members
                for note in _shape_notes(member.model, self.model(member.model))
            ),
        )
        result = with_figures(result, tuple(slots_of(pair, result.model_bytes, footprint)))
        result = self._held(pair, result, allowed)
        if result.outcome == "error" or not result.failed:
            return result
        return self._with_remedies(pair, models, result, terms)

    def _group_footprint(self, pair: GroupPair, models: tuple[Model, ...]) -> Footprint:
        from pytest_tinybudget.gate.groups import combine

        pair = replace(pair, group=replace(pair.group, models=_in_arena(pair.group)))
        members = pair.members
        return combine(
            {member.name: model for member, model in zip(members, models, strict=True)},
            [
                self._footprint_of(member, (model,))
                for member, model in zip(members, models, strict=True)
            ],
            pair.firmware,
            arena=pair.group.arena,
            placements=[member.model.placements for member in members],
        )

    def _allowed(self, section: str, declared: DeclaredModel | DeclaredGroup) -> Allowed:
        return Allowed(
            section=section,
            max_increase=declared.max_increase,
            accepts=declared.accepts,
            today=self.today,
            require_base=self.require_base or declared.require_base,
        )

    def _judged(
        self,
        pair: Pair | GroupPair,
        footprint: Footprint,
        terms: Terms,
        allowed: Allowed,
        model: Model | None = None,
    ) -> PairResult:
        """The verdict on ``footprint``, agreed overruns accepted; ``model`` is cross-checked."""

        def judged(budget: Budget) -> Verdict:
            agreed = terms if budget is terms.budget else replace(terms, budget=budget)
            verdict = judge(footprint, pair.board, agreed)
            return self._verified(verdict, model) if self.verify and model else verdict

        verdict, accepted = accept_overruns(judged(terms.budget), terms.budget, allowed, judged)
        lesser = ""
        if pair.board.runs_tflm:
            lesser = for_a_lesser_core(pair.firmware.name, pair.firmware.runtime, pair.board)
        return warned(_result(pair, verdict, footprint, accepted), (lesser,) if lesser else ())

    def _verified(self, verdict: Verdict, model: Model) -> Verdict:
        from pytest_tinybudget.gate.cross_check import cross_check

        run = _once(self._runs, sha256_of(model), lambda: cross_check(model))
        return run.amend(verdict)


def _in_arena(group: DeclaredGroup) -> tuple[DeclaredModel, ...]:
    """The models of a group, whose arenas lie where the group's does."""
    return tuple(
        replace(model, placements=replace(model.placements, arena=group.placement))
        for model in group.models
    )


def _boards(pair: Pair | GroupPair) -> dict[str, Board]:
    """The boards that may be named instead; a runtime that models declare is for its core only."""
    from pytest_tinybudget.boards import catalog

    known = {**catalog(), **pair.declaration.boards}
    # What an accelerator makes of a model is known only once it is compiled for it.
    boards = {name: board for name, board in known.items() if not board.accelerator}
    if all(model.runtime is None for model in _models_of(pair)):
        return boards
    runtime = pair.firmware.runtime
    return {
        name: board
        for name, board in boards.items()
        if board.runtime == pair.board.runtime and suitability(runtime, board) != "other"
    }


def _result(
    pair: Pair | GroupPair,
    verdict: Verdict,
    footprint: Footprint,
    accepted: tuple[Acceptance, ...],
) -> PairResult:
    return PairResult(
        id=pair.id,
        model=pair.name,
        board=pair.board.id,
        runtime=footprint.runtime,
        outcome=verdict.outcome,
        headline=verdict.headline,
        reasons=(),
        warnings=verdict.warnings,
        declared_at=pair.declared_at,
        measures=verdict.measures,
        footprint=footprint,
        accepted=accepted,
        placed=verdict.placed,
        arrays=verdict.arrays,
        table=fingerprint(pair.firmware.runtime) if pair.board.runs_tflm else "",
        identity=_identity(pair.firmware if pair.board.runs_tflm else None, footprint),
    )


def _identity(firmware: Firmware | None, footprint: Footprint) -> Identity:
    """What the sizes of ``footprint`` belong to; an accelerator's own runtime is no TFLM."""
    if firmware is None or footprint.runtime != firmware.name:
        return Identity(tool_version(), description=footprint.runtime)
    known = identity_of(firmware.runtime)
    if firmware.fixed is None:
        return known
    text = f"{firmware.name}: flash and stack as declared, arena for {known.description}"
    return replace(known, description=text)


def _models_of(declared: Declared) -> tuple[DeclaredModel, ...]:
    if isinstance(declared, GroupPair):
        return declared.group.models
    return () if declared.model is None else (declared.model,)


def _file_of(declared: DeclaredModel) -> Hashable:
    """What decides the content of a model's file."""
    return (declared.source, declared.conversion, declared.planned)


def _is_converted(declared: DeclaredModel) -> bool:
    return declared.planned is None and converts(declared.source, declared.conversion)


def _request(declared: DeclaredModel) -> Request:
    from pytest_tinybudget.convert.converter import Request

    return Request(declared.source, declared.declared_source, declared.conversion)


def _with_conversion(result: PairResult, converted: Converted | None) -> PairResult:
    """``result`` with what its model's conversion has to say."""
    if converted is None:
        return result
    result = warned(result, converted.warnings)
    return replace(result, notes=converted.notes, conversion=converted.settings)


def _shape_notes(declared: DeclaredModel, model: Model) -> Iterator[str]:
    """At which shapes a model counts that was written with open ones."""
    from pytest_tinybudget.graph.closing import openness

    for name, shape in declared.conversion.input_shapes:
        text = "x".join(map(str, shape))
        yield f"input_shapes: counted with {printable(name, limit=_LONGEST_NAME)} at {text}"
    if openness(model).note:
        yield openness(model).note


def _with_accelerator(result: PairResult, made: Accelerated) -> PairResult:
    """``result`` with what the board's accelerator made of the model."""
    settings = "; ".join(filter(None, (result.conversion, made.settings)))
    result = replace(result, conversion=settings, notes=(*result.notes, *made.notes))
    return warned(result, made.warnings)


def _at_its_limit(pair: Pair | GroupPair, result: PairResult) -> PairResult:
    """``result`` with the line of ``max_increase`` where that is what it fails by."""
    lines = pair.declaration.lines
    grown = result.outcome == "unmet" and result.grown
    if not (grown or result.outcome == "error"):
        return result
    own = ("models", pair.model.section) if isinstance(pair, Pair) else ("groups", pair.group.name)
    for keys in ((*own, "max_increase"), ("defaults", "max_increase")):
        if keys in lines:
            return replace(result, declared_at=f"{pair.file}:{lines[keys]}")
    return result


def failed_result(pair: Declared, error: TinybudgetError) -> PairResult:
    """The result of a pair that could not be measured."""
    return PairResult(
        id=pair.id,
        model=pair.name,
        board=pair.kind if isinstance(pair, Check) else pair.board.id,
        runtime="",
        outcome="error",
        headline=error.message,
        reasons=error.details,
        declared_at=pair.declared_at,
        kind=pair.kind if isinstance(pair, Check) else "pair",
        code=error.code,
    )


def sha256_of(model: Model) -> str:
    """SHA-256 of the model file, in hexadecimal."""
    return model.sha256


def _once(
    kept: dict[_Key, _Value | TinybudgetError], key: _Key, make: Callable[[], _Value]
) -> _Value:
    """``make()``'s value, or the error it raised, made once for ``key``."""
    if key not in kept:
        try:
            kept[key] = make()
        except TinybudgetError as error:
            kept[key] = error
    found = kept[key]
    if isinstance(found, TinybudgetError):
        raise found.with_traceback(None)
    return found
