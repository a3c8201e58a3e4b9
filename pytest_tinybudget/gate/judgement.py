"""Judges a measured pair: its verdict, accepted overruns and figures."""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Literal

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.suitability import for_a_lesser_core
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.approval import LabelEvent
from pytest_tinybudget.gate.approval import label_event
from pytest_tinybudget.gate.figures import figures_of
from pytest_tinybudget.gate.growth import GrowthRules
from pytest_tinybudget.gate.growth import accept_overruns
from pytest_tinybudget.gate.measurement import Measurement
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.gate.verdict import with_figures
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import identity_of
from pytest_tinybudget.results.types import tool_version
from pytest_tinybudget.results.types import warned
from pytest_tinybudget.runtimes.fingerprint import fingerprint
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.placement import ArenaPlacement


if TYPE_CHECKING:
    from pytest_tinybudget.gate.cross_check import GroupRun
    from pytest_tinybudget.gate.cross_check import RealRun


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.timezone.utc).date()


class Rules(Struct, frozen=True):
    """What a run demands of every pair, besides what is declared.

    ``strict`` fails pairs whose numbers are bounds and not exact. ``verify`` also runs each
    model in the real interpreter. ``require_base`` makes it an error where a limit of growth could
    not be checked. ``today`` (UTC) decides which agreed increases have expired. ``waste`` asks what
    of each file shrinking would save, ``vela`` what Vela's other optimization makes of each model
    that passes. ``informational`` reports all pairs and fails for none.
    ``approve_labels`` approve what a pull request takes more, beside those that are declared, where
    ``event`` says that one was set.
    """

    strict: bool = False
    verify: bool = False
    require_base: bool = False
    today: datetime.date = field(default_factory=_today)
    waste: bool = False
    vela: bool = False
    informational: bool = False
    approve_labels: tuple[str, ...] = ()
    event: LabelEvent | None = field(default_factory=label_event)

    @property
    def of_base(self) -> Rules:
        """The rules for a base, which nothing approves and for which nothing is advised."""
        return replace(self, waste=False, vela=False, event=None)

    def demands(self, pair: Pair | GroupPair) -> Demands:
        """The limits and requirements for ``pair``."""
        if isinstance(pair, Pair):
            model = pair.model
            return _demands(
                model.budget,
                model.warn_at_percent,
                model.require_int8,
                self.strict or model.strict,
                model.placements.arena,
            )
        strict = self.strict or any(model.strict for model in pair.models)
        return Demands(
            budget=pair.group.budget,
            warn_at_percent=pair.group.warn_at_percent,
            require_int8=False,
            strict=strict,
            placement=pair.group.placement,
        )

    def growth(self, pair: Pair | GroupPair) -> GrowthRules:
        """The limits of growth for ``pair``."""
        declared = pair.model if isinstance(pair, Pair) else pair.group
        return GrowthRules(
            section=pair.section,
            max_increase=declared.max_increase,
            accepts=declared.accepts,
            today=self.today,
            require_base=self.require_base or declared.require_base,
            drift=declared.drift,
            labels=frozenset((*self.approve_labels, *declared.approve_labels)),
            event=self.event,
        )


@lru_cache(maxsize=64)
def _demands(
    budget: Budget,
    warn_at_percent: float,
    require_int8: bool | Literal["warn"],
    strict: bool,
    placement: ArenaPlacement,
) -> Demands:
    """One object for all pairs that are held to the same."""
    return Demands(budget, warn_at_percent, require_int8, strict, placement)


def judged(
    pair: Pair | GroupPair,
    found: Measurement,
    rules: Rules,
    *,
    run: RealRun | GroupRun | None = None,
    details: bool = False,
) -> PairResult:
    """The result of ``pair`` as measured: verdict and figures, without growth and advice.

    ``run`` is what the real interpreter made of the model, or of each of a group. Without
    ``details``, figures of an inference that nothing limits are left out.

    Raises:
        TinybudgetError: what is declared of a limit or a figure cannot be held against the pair.
    """
    demands, footprint = rules.demands(pair), found.footprint

    def verdict_within(budget: Budget) -> Verdict:
        verdict = judge(footprint, pair.board, demands.within(budget))
        return verdict if run is None else run.applied_to(verdict)

    verdict = verdict_within(demands.budget)
    accepted: tuple[Acceptance, ...] = ()
    if verdict.outcome == "over":
        growth = rules.growth(pair)
        verdict, accepted = accept_overruns(verdict, demands.budget, growth, verdict_within)
    firmware = found.firmware
    lesser = firmware and for_a_lesser_core(firmware.name, firmware.runtime, pair.board)
    result = _result(pair, firmware, verdict, footprint)
    if accepted:
        result = replace(result, accepted=accepted)
    result = warned(result, (lesser,) if lesser else ())
    own = found.accelerated.figures if found.accelerated else ()
    return with_figures(result, (*own, *figures_of(pair, found, details=details)))


def _result(
    pair: Pair | GroupPair, firmware: Firmware | None, verdict: Verdict, footprint: Footprint
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
        placed=verdict.placed,
        arrays=verdict.arrays,
        table=fingerprint(firmware.runtime) if firmware else "",
        identity=_identity(firmware, footprint),
    )


def _identity(firmware: Firmware | None, footprint: Footprint) -> Identity:
    """The identity of the runtime that ``footprint`` is for: TFLM's, or an accelerator's own."""
    if firmware is None or footprint.runtime != firmware.name:
        return Identity(tool_version(), description=footprint.runtime)
    known = identity_of(firmware.runtime)
    if firmware.fixed is None:
        return known
    text = f"{firmware.name}: flash and stack as declared, arena for {known.description}"
    return replace(known, description=text)
