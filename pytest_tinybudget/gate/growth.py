"""Limits on how much a pair may grow over the baseline, and increases that were agreed to."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration import MaxIncrease
from pytest_tinybudget.gate.approval import LabelEvent
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import Drift
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


#: Characters of an expired agreement's reason.
_LONGEST_REASON = 160


class GrowthRules(Struct, frozen=True):
    """How much a pair may grow; ``section`` is its table in TOML, such as ``models.kws``.

    An acceptance is valid through its last day; ``today`` (UTC) decides. With ``require_base``, a
    declared limit without a base to compare with is an error. ``drift`` are the limits of growth
    since a commit. ``labels`` approve an increase where
    ``event``, GitHub's of a pull request, says that one of them was set.
    """

    section: str
    max_increase: MaxIncrease
    accepts: tuple[Acceptance, ...]
    today: datetime.date
    require_base: bool = False
    drift: tuple[MaxIncrease, ...] = ()
    labels: frozenset[str] = frozenset()
    event: LabelEvent | None = None

    def acceptance(self, metric: Metric, used_bytes: int) -> Acceptance | None:
        """The acceptance that covers ``used_bytes`` today: the longest declared, else a label."""
        covering = [each for each in self._of(metric, used_bytes) if _last_day(each) >= self.today]
        declared = max(covering, key=_last_day, default=None)
        if declared is not None or self.event is None:
            return declared
        return self.event.acceptance(self.labels, metric, used_bytes)

    def shortfall(self, metric: Metric, used_bytes: int) -> str:
        """Why no acceptance covers ``used_bytes`` today; empty if one does or none is declared."""
        if self.acceptance(metric, used_bytes):
            return ""
        label = LABELS[metric]
        expired = self._of(metric, used_bytes)
        if expired:
            last = max(expired, key=_last_day)
            return (
                f"the increase that was agreed for {label}, up to {format_size(last.up_to)}, "
                f"expired on {last.until}: {printable(last.reason, limit=_LONGEST_REASON)}"
            )
        highest = max((each.up_to for each in self.accepts if each.metric == metric), default=None)
        if highest is None:
            return ""
        used, agreed = format_pair(used_bytes, highest)
        return f"{label} takes {used}, more than the {agreed} that were agreed"

    def _of(self, metric: Metric, used_bytes: int) -> list[Acceptance]:
        return [each for each in self.accepts if each.metric == metric and used_bytes <= each.up_to]


def accept_overruns(
    verdict: Verdict, budget: Budget, rules: GrowthRules, judged: Callable[[Budget], Verdict]
) -> tuple[Verdict, tuple[Acceptance, ...]]:
    """The verdict on a pair that is over ``budget``, with the acceptances that let it pass.

    An acceptance raises a declared budget, never the room of the board. ``judged`` gives the
    verdict with another budget. The measures keep the declared limits.
    """
    overruns = [measure for measure in verdict.measures if measure.over]
    found = [rules.acceptance(measure.metric, measure.used) for measure in overruns]
    accepted = tuple(each for each in found if each is not None)
    if verdict.outcome != "over" or len(accepted) < len(overruns):
        return verdict, ()
    lifted = judged(replace(budget, **{each.metric: each.up_to for each in accepted}))
    if lifted.outcome == "over":
        return verdict, ()
    warnings = tuple(
        f"{LABELS[measure.metric]} is over by {format_size(measure.over)}, {acceptance.text}"
        for measure, acceptance in zip(overruns, accepted, strict=True)
    )
    outcome = "warns" if lifted.outcome == "fits" else lifted.outcome
    headline = verdict.headline if outcome == "warns" else lifted.headline
    return (
        replace(
            verdict, outcome=outcome, headline=headline, warnings=(*warnings, *lifted.warnings)
        ),
        accepted,
    )


def with_growth(
    result: PairResult, base: PairResult | None, rules: GrowthRules, *, why_no_base: str = ""
) -> PairResult:
    """``result`` with its growth over ``base`` checked.

    Too much growth makes the outcome of a pair that fits ``"unmet"``. If the pair fails, its
    ``reasons`` say how large it was on the base and which acceptances there are. ``why_no_base``
    says why ``base`` is missing. A declared limit of growth was then not checked: that is a
    warning, or an error where a base is required. It is empty for a new pair, which has no base.
    """
    if why_no_base and rules.max_increase.given:
        result = _unchecked(result, why_no_base, rules)
    if base is None and not result.failed:
        return result
    grown = [] if base is None else list(_too_much(result, base, rules.max_increase))
    result, refused = _held(result, grown, rules)
    result = replace(result, grown=tuple(refused))
    return replace(result, reasons=(*result.reasons, *_reasons(result, base, rules)))


def with_drift(
    result: PairResult,
    base: PairResult | None,
    limit: MaxIncrease,
    rules: GrowthRules,
    *,
    commit: str = "",
    why_no_base: str = "",
) -> PairResult:
    """``result`` with its growth since the commit ``limit.since`` checked, as ``with_growth`` does.

    ``base`` is what the pair took there, ``commit`` what the commit is called. The sizes of both
    are in ``drift`` of the result, and in its notes where the limit is kept.
    """
    since = printable(limit.since)
    if base is None:
        return _unchecked(result, why_no_base, rules, f" since {since}") if why_no_base else result
    grown = list(_too_much(result, base, limit))
    held, refused = _held(result, grown, rules)
    before = {measure.metric: measure.used for measure in base.measures}
    drift = tuple(
        Drift(
            limit.since, commit, each.metric, before[each.metric], each.used, each.metric in refused
        )
        for each in held.measures
        if each.metric in before
    )
    told = f"since {since}: {', '.join(each.text for each in drift)}"
    notes = (*held.notes, told) if drift and not refused else held.notes
    held = replace(held, drift=(*held.drift, *drift), notes=notes)
    agreeing = (_how_to_agree(each, rules) for each in held.measures if each.metric in refused)
    return replace(held, reasons=(*held.reasons, *agreeing))


def _held(
    result: PairResult, grown: Sequence[tuple[Metric, int, str]], rules: GrowthRules
) -> tuple[PairResult, list[Metric]]:
    """``result`` held to what of it grew too much, and the metrics that nothing accepts."""
    accepted = {metric: rules.acceptance(metric, used) for metric, used, _ in grown}
    warnings = tuple(
        f"{text}, {acceptance.text}"
        for metric, _, text in grown
        if (acceptance := accepted[metric])
    )
    refused = [(metric, text) for metric, _, text in grown if accepted[metric] is None]
    agreements = dict.fromkeys((*result.accepted, *filter(None, accepted.values())))
    result = replace(
        result,
        accepted=tuple(agreements),
        warnings=(*warnings, *result.warnings),
    )
    if result.outcome == "fits" and warnings:
        result = replace(result, outcome="warns")
    if refused and (not result.failed or _only_grew(result)):
        said, sizes = "; ".join(text for _, text in refused), result.headline
        for metric, _ in refused:  # "flash grew ...; flash ok" reads as if it contradicted itself
            label = LABELS[metric]
            sizes = sizes.replace(f"{label} ok (", f"{label} within its limit (")
        result = replace(result, outcome="unmet", headline=f"{said}; {sizes}")
    return result, [metric for metric, _ in refused]


def _unchecked(result: PairResult, why: str, rules: GrowthRules, since: str = "") -> PairResult:
    """``result`` with a limit of growth that could not be checked: a warning or an error."""
    text = f"growth{since} not checked: {why}"
    result = replace(result, growth_unchecked=result.growth_unchecked or why)
    if rules.require_base and not result.failed:
        return replace(
            result,
            outcome="error",
            headline=f"{text} (a base is required); {result.headline}",
            code="TB023",
        )
    return replace(
        result,
        outcome="warns" if result.outcome == "fits" else result.outcome,
        warnings=(text, *result.warnings),
    )


def _too_much(
    result: PairResult, base: PairResult, limit: MaxIncrease
) -> Iterator[tuple[Metric, int, str]]:
    """Metric, bytes used and a text for each metric that grew beyond ``max_increase``."""
    before = {measure.metric: measure for measure in base.measures}
    for measure in result.measures:
        old = before.get(measure.metric)
        if old is not None and _exceeds(measure.used - old.used, old.used, limit):
            yield measure.metric, measure.used, _growth_text(measure, old, limit)


def _exceeds(growth: int, base_used: int, limit: MaxIncrease) -> bool:
    """Whether ``growth`` is above every limit that is given."""
    passed = []
    if limit.percent is not None:
        passed.append(growth * 100 > limit.percent * base_used)
    if limit.bytes is not None:
        passed.append(growth > limit.bytes)
    return bool(passed) and all(passed)


def _growth_text(measure: Measure, old: Measure, limit: MaxIncrease) -> str:
    growth = measure.used - old.used
    share = f" ({100 * growth / old.used:.1f} %)" if old.used else ""
    since = f" since {printable(limit.since)}" if limit.since else ""
    limits = [f"{limit.percent:g} %"] if limit.percent is not None else []
    limits += [format_size(limit.bytes)] if limit.bytes is not None else []
    return (
        f"{LABELS[measure.metric]} grew {format_size(growth)}{share}{since}, "
        f"{' and '.join(limits)} allowed"
    )


def _reasons(result: PairResult, base: PairResult | None, rules: GrowthRules) -> Iterator[str]:
    """Lines about a failure: the size on the base, expired acceptances, how to accept growth."""
    before = {measure.metric: measure for measure in (base.measures if base else ())}
    stale = rules.event.stale(rules.labels) if rules.event and result.failed else ""
    if stale:
        yield stale
    for measure in result.measures:
        if not result.failed or not (measure.over or measure.metric in result.grown):
            continue
        label, old = LABELS[measure.metric], before.get(measure.metric)
        if old is not None and measure.over and old.used > measure.limit:
            yield f"{label} was already over on the base: {format_size(old.used)} there"
        shortfall = rules.shortfall(measure.metric, measure.used)
        if shortfall:
            yield shortfall
        elif measure.metric in result.grown:
            yield _how_to_agree(measure, rules)


def _how_to_agree(measure: Measure, rules: GrowthRules) -> str:
    """How an increase is agreed to in the declaration, or by a label."""
    agreed = f"{-(-measure.used // 1024)} KB"
    named = next(iter(sorted(rules.labels)), "")
    by_label = f", or label {printable(named)!r} on the pull request" if named else ""
    return (
        f"if the increase of {LABELS[measure.metric]} is agreed: [[{rules.section}.accept]] with "
        f'metric = "{measure.metric}", up_to = "{agreed}", reason and until{by_label}'
    )


def _only_grew(result: PairResult) -> bool:
    """Whether a pair fails for its growth, to which more may be added."""
    drifted = any(each.exceeded for each in result.drift)
    return result.outcome == "unmet" and (bool(result.grown) or drifted)


def _last_day(acceptance: Acceptance) -> datetime.date:
    """The last day of one that is declared; a label's has none, and is not declared."""
    return acceptance.until or datetime.date.max
