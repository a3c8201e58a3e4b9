"""The way from a declared pair to its result, for the pytest plugin and the command line.

``Gate.check`` takes a pair through these steps: it is measured (``measurement.py``), judged
(``judgement.py``), compared with its baseline (``growth.py``), and if it fails, changes that would
make it pass are looked for (``remedies/``). The gate stores nothing; the workspace keeps models and
measurements.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.baselines import Baselines
from pytest_tinybudget.convert.settings import stripped_text
from pytest_tinybudget.convert.sources import by_quantizer
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.declaration.pairs import Check
from pytest_tinybudget.declaration.pairs import Declared
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.gate.artifacts import Artifacts
from pytest_tinybudget.gate.flashed import with_flashed
from pytest_tinybudget.gate.growth import GrowthRules
from pytest_tinybudget.gate.growth import with_drift
from pytest_tinybudget.gate.growth import with_growth
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.judgement import judged
from pytest_tinybudget.gate.measurement import Measurement
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.results.types import Kind
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import warned
from pytest_tinybudget.runtimes.distributions import taken_for_granted
from pytest_tinybudget.workspace import Workspace


if TYPE_CHECKING:
    from pytest_tinybudget.accelerators import Accelerated
    from pytest_tinybudget.convert.converter import Converted
    from pytest_tinybudget.declaration import DeclaredModel
    from pytest_tinybudget.gate.cross_check import GroupRun
    from pytest_tinybudget.gate.cross_check import RealRun
    from pytest_tinybudget.graph.model import Model


_LONGEST_NAME = 60
_NOT_RUN = "verify: not run, because TFLM's interpreter has no kernel for the board's accelerator"


class Gate(Struct, frozen=True, eq=False):
    """Checks pairs by the rules of a run.

    Attributes:
        workspace: reads, converts and measures models, and keeps the results.
        rules: what the run requires of every pair.
        baselines: what growth is measured against.
        artifacts: writes the C files of models.
    """

    workspace: Workspace = field(default_factory=Workspace)
    rules: Rules = field(default_factory=Rules)
    baselines: Baselines = field(default_factory=Baselines)
    artifacts: Artifacts = field(default_factory=Artifacts)

    def check(
        self, pair: Declared, artifacts: Path | None = None, *, details: bool = True
    ) -> PairResult:
        """The result of one pair; what cannot be measured has outcome ``"error"``.

        The C files of a model that TFLM runs are written to the folder ``artifacts``. Without
        ``details``, a pair that passes has only what a table of pairs tells, and neither what
        changes would save is linked, nor how long it takes worked out where nothing limits it.
        """
        result = self._checked(pair, artifacts, details=details)
        if pair.informational or self.rules.informational:
            return replace(result, informational=True)
        return result

    def _checked(self, pair: Declared, artifacts: Path | None, *, details: bool) -> PairResult:
        try:
            if isinstance(pair, Check):
                from pytest_tinybudget.gate.declared_checks import result_of

                result = result_of(pair, self.workspace)
            else:
                result = self._on_a_board(pair, details=details)
                if artifacts and isinstance(pair, Pair) and result.outcome != "refused":
                    result = self.artifacts.add(pair, artifacts, result, self.workspace)
        except TinybudgetError as error:
            return _unmeasured(pair, self.artifacts.with_log(error, pair, artifacts))
        return result if details or result.failed else result.without_details()

    def first_verdicts(self, pairs: Iterable[Declared]) -> Iterator[str]:
        """Whether pairs that will be converted fit as planned, a line each, before that is done."""
        planned = [pair for pair in pairs if any(each.conversion.plan for each in pair.models)]
        if planned:
            from pytest_tinybudget.gate.planned import first_verdicts

            yield from first_verdicts(planned, self.workspace, self.rules)

    def check_or_raise(self, pair: Pair) -> PairResult:
        """As ``check``, but a model that cannot be measured is an exception and not a result.

        Raises:
            TinybudgetError: the model cannot be measured.
        """
        measurement(pair, self.workspace, details=True)
        return self.check(pair)

    def _on_a_board(self, pair: Pair | GroupPair, *, details: bool) -> PairResult:
        found = measurement(pair, self.workspace, details=details)
        run = self._real_run(pair, found)
        result = judged(pair, found, self.rules, run=run, details=details)
        result = _described(pair, found, result, self.workspace)
        if run is not None:
            result = warned(result, run.doubts)
            result = replace(result, notes=(*result.notes, *run.notes))
        elif self.rules.verify:
            result = replace(result, notes=(*result.notes, _NOT_RUN))
        if self.rules.waste:
            from pytest_tinybudget.gate.waste import with_waste

            result = with_waste(result, pair, found.models, self.workspace)
        result = with_flashed(result, pair, found.footprint, self.workspace)
        base, why_not = self.baselines.find(result, pair.project.baseline)
        rules = self.rules.growth(pair)
        result = with_growth(result, base, rules, why_no_base=why_not)
        result = _at_its_limit(pair, self._with_drift(pair, result, rules))
        if result.failed and not details:
            return self._on_a_board(pair, details=True)  # a failure is reported with all details
        return self._advised(pair, found, result, base)

    def _with_drift(
        self, pair: Pair | GroupPair, result: PairResult, rules: GrowthRules
    ) -> PairResult:
        """``result`` held to what the pair took at each commit that the declaration names."""
        for limit in rules.drift:
            base, commit, why_not = self.baselines.since(
                result, pair.project.path, limit.since, self.base_results
            )
            result = with_drift(result, base, limit, rules, commit=commit, why_no_base=why_not)
        return result

    def base_results(self, pairs: Sequence[Declared]) -> Iterator[PairResult]:
        """The results of ``pairs``, those of a base: it is held to no base of its own."""
        gate = replace(self, rules=self.rules.of_base, baselines=Baselines.for_base())
        self.workspace.prepare(pairs)
        for pair in pairs:
            yield gate.check(pair)

    def _other_vela(
        self, pair: Pair, found: Measurement, result: PairResult, base: PairResult | None
    ) -> PairResult:
        """``result`` with what Vela's other optimization makes of it, if it fails or is shown."""
        if not (self.rules.vela or result.outcome in ("over", "unmet")):
            return result
        from pytest_tinybudget.gate.remedies.other_vela import other_optimization

        lines = other_optimization(result, pair, found, self.workspace, self.rules, base)
        if result.failed:
            return replace(result, reasons=(*result.reasons, *lines))
        return replace(result, notes=(*result.notes, *lines))

    def _real_run(self, pair: Pair | GroupPair, found: Measurement) -> RealRun | GroupRun | None:
        """Run the model, or each of a group, in the real interpreter, if ``verify`` is set.

        What an accelerator computes is not run.
        """
        if not self.rules.verify or found.accelerated:
            return None
        from pytest_tinybudget.gate.cross_check import GroupRun

        runs = tuple(
            (declared.name, self._run_of(declared, model))
            for declared, model in zip(pair.models, found.models, strict=True)
        )
        return runs[0][1] if isinstance(pair, Pair) else GroupRun(runs)

    def _run_of(self, declared: DeclaredModel, model: Model) -> RealRun:
        """The run of one model. One that runs is held to its float source as well."""
        from pytest_tinybudget.evaluation.against_float import compare_with_float
        from pytest_tinybudget.gate.cross_check import cross_check

        run = self.workspace.once(model, "real run", lambda: cross_check(model))
        if run.failure:
            return run
        key = ("held to float", declared.source, declared.conversion, declared.accuracy)
        source = self.workspace.once(
            model, key, lambda: compare_with_float(declared, self.workspace)
        )
        return replace(run, source=source)

    def _advised(
        self,
        pair: Pair | GroupPair,
        found: Measurement,
        result: PairResult,
        base: PairResult | None,
    ) -> PairResult:
        """``result`` with the changes that would make it pass, or with a hint if it passes."""
        if found.accelerated is not None and isinstance(pair, Pair):
            return self._other_vela(pair, found, result, base)
        if result.outcome == "error":
            return result  # it fits: only a base to compare with is missing
        if not result.failed:
            hints = _dense_hints(pair, result, self.workspace)
            return replace(result, notes=(*result.notes, *hints)) if hints else result
        from pytest_tinybudget.gate.remedies.remedies import remedies
        from pytest_tinybudget.gate.remedies.trial import Trial

        lines = remedies(result, pair, found.models, Trial(self.workspace, self.rules, base))
        return replace(result, reasons=(*result.reasons, *lines))


def _dense_hints(
    pair: Pair | GroupPair, result: PairResult, workspace: Workspace
) -> tuple[str, ...]:
    """What dense layers per tensor would save, if ``per_channel_dense`` is not declared."""
    arena = None if result.footprint is None else result.footprint.arena
    if arena is None or not isinstance(pair, Pair) or workspace.estimator:
        return ()
    model = pair.model
    chosen = model.conversion.per_channel_dense is not None
    # The quantizer has no such setting.
    if chosen or workspace.conversion(model) is None or by_quantizer(kind_of(model.source)):
        return ()
    from pytest_tinybudget.gate.remedies.peak import per_tensor_hints

    return per_tensor_hints(arena, workspace.model(model), pair.firmware)


def _described(
    pair: Pair | GroupPair, found: Measurement, result: PairResult, workspace: Workspace
) -> PairResult:
    """``result`` with facts about its models: their files, conversion, shapes and accelerator."""
    declared = pair.model if isinstance(pair, Pair) else pair.group
    result = replace(
        result,
        message=declared.message,
        model_bytes=sum(model.bytes for model in found.models),
        model_source=sys.intern(", ".join([model.declared_source for model in pair.models])),
        model_sha256=found.models[0].sha256 if isinstance(pair, Pair) else "",
    )
    named = zip(pair.models, found.models, strict=True)
    if isinstance(pair, GroupPair):
        shapes = (f"{each.name}: {note}" for each, model in named for note in _shapes(each, model))
        result = replace(result, notes=(*shapes, *_granted(pair, found)))
        if any(each.planned is not None or each.conversion.plan for each in pair.models):
            from pytest_tinybudget.gate.planned import with_group_plans

            result = with_group_plans(result, pair, found.models, workspace)
        return result
    (model,) = found.models
    converted = workspace.conversion(pair.model)
    if converted is not None:
        from pytest_tinybudget.gate.unrolled import with_sizes

        converted = with_sizes(converted, pair, model, result)
    result = _with_conversion(result, converted)
    if pair.model.planned is not None or pair.model.conversion.plan:
        from pytest_tinybudget.gate.planned import with_plan

        result = with_plan(result, pair, model, workspace)
    notes = _shapes(pair.model, model)
    saved = workspace.stripped_bytes(pair.model)
    stripped = (stripped_text(saved),) if saved else ()
    shrunk = workspace.shrink_report(pair.model)
    told = shrunk.told() if shrunk else ()
    dense = _dense_scales(pair.model, workspace)
    more = (*dense, *notes, *_granted(pair, found), *stripped, *told)
    if more or shrunk:
        result = replace(result, notes=(*result.notes, *more), shrunk=shrunk)
    return _with_accelerator(result, found.accelerated) if found.accelerated else result


def _granted(pair: Pair | GroupPair, found: Measurement) -> tuple[str, ...]:
    """The release of kernels that is counted although nobody named it, if it matters."""
    told = taken_for_granted(found.firmware.named_runtime) if found.firmware else ""
    convolves = any(
        operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
        for model in (found.models if told else ())
        for graph in model.subgraphs
        for operator in graph.operators
    )
    return (told,) if convolves else ()


def _dense_scales(model: DeclaredModel, workspace: Workspace) -> tuple[str, ...]:
    """What a runtime that is declared for the model decided about its conversion."""
    runtime = model.conversion.per_tensor_for
    if model.planned is not None:
        made = model.planned.numbers == "int8"
    else:
        converted = workspace.conversion(model) is not None
        made = converted and not by_quantizer(kind_of(model.source))
    if not (runtime and made):
        return ()
    text = "dense layers have one scale each, as with per_channel_dense = false"
    return (f"{text}: {runtime} does not run a scale for each output",)


def _with_conversion(result: PairResult, converted: Converted | None) -> PairResult:
    """``result`` with the notes and warnings of its model's conversion."""
    if converted is None:
        return result
    result = warned(result, converted.warnings)
    return replace(result, notes=converted.notes, conversion=converted.settings)


def _shapes(declared: DeclaredModel, model: Model) -> Iterator[str]:
    """The shapes that are used for a model whose file leaves dimensions open."""
    from pytest_tinybudget.graph.closing import openness

    for name, shape in declared.conversion.input_shapes:
        text = "x".join(map(str, shape))
        yield f"input_shapes: counted with {printable(name, limit=_LONGEST_NAME)} at {text}"
    note = openness(model).note
    if note:
        yield note


def _with_accelerator(result: PairResult, made: Accelerated) -> PairResult:
    """``result`` with the board's accelerator: its settings, figures and advice."""
    settings = "; ".join(filter(None, (result.conversion, made.settings)))
    result = replace(result, conversion=settings, notes=(*result.notes, *made.notes))
    return warned(result, made.warnings)


def _at_its_limit(pair: Pair | GroupPair, result: PairResult) -> PairResult:
    """``result``, located at the line of ``max_increase`` if only growth fails it."""
    drifted = any(each.exceeded for each in result.drift)
    grown = result.outcome == "unmet" and (result.grown or drifted)
    if not (grown or result.outcome == "error"):
        return result
    return replace(result, declared_at=pair.location.growth_text)


def _unmeasured(pair: Declared, error: TinybudgetError) -> PairResult:
    """The result of a pair that could not be measured."""
    kind: Kind = pair.kind if isinstance(pair, Check) else "pair"
    return PairResult(
        id=pair.id,
        model=pair.name,
        board=pair.kind if isinstance(pair, Check) else pair.board.id,
        runtime="",
        outcome="error",
        headline=error.message,
        reasons=error.details,
        declared_at=pair.declared_at,
        kind=kind,
        code=error.code,
    )
