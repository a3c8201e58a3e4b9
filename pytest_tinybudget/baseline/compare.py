"""Compares two sets of results, pair by pair, if both were measured in the same way."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.baseline.causes import causes
from pytest_tinybudget.baseline.causes import runtime_change
from pytest_tinybudget.baseline.comparison import Causes
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.baseline.comparison import Status
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult


def compare(
    base: Results | None,
    head: Results,
    *,
    not_run: Collection[str] = (),
    missing: Mapping[str, str] | None = None,
    notes: tuple[str, ...] = (),
) -> Comparison:
    """What changed from ``base`` to ``head``.

    Without a ``base`` every pair is new; ``notes`` say why there is none. ``not_run`` are ids that
    are declared but were not measured: they do not count as removed. ``missing`` says why the base
    has no results for a declaration, by its file: its pairs are not comparable, rather than new.
    Only models on boards are compared.
    """
    head = _only_pairs(head)
    base = base and _only_pairs(base)
    if base is None:
        changes = [_one_sided(None, result) for result in head.pairs]
        return Comparison("", head.origin, _ordered(changes), notes)
    olds = {result.id: result for result in base.pairs}
    new = [result for result in head.pairs if result.id not in olds]
    ran = {result.id for result in head.pairs}
    gone = [each for each in base.pairs if each.id not in ran and each.id not in not_run]
    renamed = _renamed(gone, new)
    reason = other_estimator(base.estimator, head.estimator)
    changes = [_changed(olds[each.id], each, reason) for each in head.pairs if each.id in olds]
    for result in new:
        old = renamed.get(result.id)
        why = (missing or {}).get(result.id.partition("::")[0])
        if why:
            lost = _one_sided(None, result, (f"not compared: {why}",))
            changes.append(msgspec.structs.replace(lost, status="not comparable"))
        elif old:
            changes.append(_changed(old, result, reason))
        else:
            changes.append(_one_sided(None, result, _former_board(result, gone)))
    kept = {old.id for old in renamed.values()}
    changes += [_one_sided(old, None) for old in gone if old.id not in kept]
    return Comparison(base.origin, head.origin, _ordered(changes), notes)


def _only_pairs(results: Results) -> Results:
    return replace(results, pairs=tuple(each for each in results.pairs if each.kind == "pair"))


def incomparable(base: PairResult, head: PairResult) -> str:
    """Why the sizes of two results of one estimator cannot be compared; empty where they can."""
    if not (base.measures and head.measures):
        return ""
    is_other_firmware = runtime_change(base, head) is not None
    if base.runtime != head.runtime and not is_other_firmware:
        return f"measured for runtime {base.runtime} on the base, {head.runtime} here"
    if base.table != head.table and not is_other_firmware:
        return f"the tables or settings of runtime {head.runtime} differ"
    if base.conversion != head.conversion and base.model_sha256 != head.model_sha256:
        before, after = base.conversion or "not converted", head.conversion or "not converted"
        return f"the model was converted with other settings: {before} on the base, {after} here"
    return ""


def other_estimator(base: str, head: str) -> str:
    """Why sizes of two estimators cannot be compared; empty where they are the same."""
    return "" if base == head else f"measured by {base} on the base, by {head} here"


def _renamed(gone: list[PairResult], new: list[PairResult]) -> dict[str, PairResult]:
    """The old pair of each new one that has the same model file on the same board."""
    left = {each.id: each for each in gone if each.model_sha256}
    found = {}
    for result in new:
        twin = next((old for old in left.values() if _same_content(old, result)), None)
        if twin is not None:
            found[result.id] = left.pop(twin.id)
    return found


def _same_content(old: PairResult, new: PairResult) -> bool:
    return old.model_sha256 == new.model_sha256 and old.board == new.board


def _former_board(result: PairResult, gone: list[PairResult]) -> tuple[str, ...]:
    """A note where the model was on another board before."""
    boards = [old.board for old in gone if old.model == result.model and old.board != result.board]
    return (f"the model was on {', '.join(boards)} before",) if boards else ()


def _one_sided(
    base: PairResult | None, head: PairResult | None, notes: tuple[str, ...] = ()
) -> Change:
    result = head or base
    if result is None:
        raise ValueError("a change of no pair")
    status: Status = "new" if base is None else "removed"
    return Change(
        id=result.id,
        base_id=base.id if base else "",
        model=result.model,
        board=result.board,
        status=status,
        base=base,
        head=head,
        deltas=tuple(_deltas(base, head)),
        notes=notes,
    )


def _changed(base: PairResult, head: PairResult, other_estimator: str) -> Change:
    reason = other_estimator or incomparable(base, head)
    deltas = tuple(_deltas(base, head, comparable=not reason))
    notes = (reason, *_notes(base, head)) if reason else tuple(_notes(base, head))
    different = _outcome(base) != _outcome(head) or any(_differs(delta) for delta in deltas)
    different = different or runtime_change(base, head) is not None
    status: Status = "changed" if different else "unchanged"
    if reason:
        status = "not comparable"
    elif base.id != head.id:
        status = "renamed"
    return Change(
        id=head.id,
        base_id=base.id,
        model=head.model,
        board=head.board,
        status=status,
        base=base,
        head=head,
        deltas=deltas,
        causes=causes(base, head) if different and not reason else Causes(),
        notes=notes,
        model_changed=base.model_sha256 != head.model_sha256,
    )


def _differs(delta: Delta) -> bool:
    return bool(delta.bytes) or delta.base_used != delta.used or delta.base_limit != delta.limit


def _deltas(
    base: PairResult | None, head: PairResult | None, *, comparable: bool = True
) -> Iterator[Delta]:
    for metric in METRICS:
        old, new = _measure(base, metric), _measure(head, metric)
        if old is None and new is None:
            continue
        grown = new.used - old.used if old and new and comparable else None
        yield Delta(
            metric=metric,
            base_used=old.used if old else None,
            used=new.used if new else None,
            base_limit=old.limit if old else None,
            limit=new.limit if new else None,
            bytes=grown,
            percent=100 * grown / old.used if grown is not None and old and old.used else None,
            already_over_on_base=bool(
                old and new and comparable and new.over and old.used > new.limit
            ),
            too_much_growth=head is not None and metric in head.grown,
            accepted=next(
                (each for each in (head.accepted if head else ()) if each.metric == metric), None
            ),
        )


def _measure(result: PairResult | None, metric: Metric) -> Measure | None:
    measures = result.measures if result else ()
    return next((measure for measure in measures if measure.metric == metric), None)


#: Outcomes in words, for pairs whose outcome changed.
_VERDICTS: dict[Outcome, str] = {
    "fits": "fits",
    "warns": "fits with a warning",
    "over": "over budget",
    "refused": "refused by TFLM",
    "unmet": "requirement not met",
    "error": "not measured",
}


def _notes(base: PairResult, head: PairResult) -> Iterator[str]:
    for metric in METRICS:
        old, new = _measure(base, metric), _measure(head, metric)
        if old and new and (old.limit, old.limit_from) != (new.limit, new.limit_from):
            before, after = format_pair(old.limit, new.limit)
            yield (
                f"{LABELS[metric]} limit: {before} ({old.limit_from}) → {after} ({new.limit_from})"
            )
    if _outcome(base) != _outcome(head):
        yield f"verdict: {_VERDICTS[_outcome(base)]} → {_VERDICTS[_outcome(head)]}"
    if _outcome(base) == "error":
        yield f"could not be measured on the base: {base.headline}"


def _outcome(result: PairResult) -> Outcome:
    """The outcome without the effect of a missing baseline, or of drift: a base has none."""
    if result.outcome == "unmet" and result.codes == ("TB024",):
        return "warns" if result.warnings else "fits"
    if not result.growth_unchecked or result.outcome not in ("warns", "error"):
        return result.outcome
    others = len(result.warnings) - (result.outcome == "warns")
    return "warns" if others else "fits"


def _ordered(changes: list[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=_worst_first))


def _worst_first(change: Change) -> tuple[bool, bool, int, str]:
    failed = change.head is not None and change.head.fails_run
    growth = max((delta.bytes or 0 for delta in change.deltas), default=0)
    return not failed, change.status == "unchanged", -growth, change.id
