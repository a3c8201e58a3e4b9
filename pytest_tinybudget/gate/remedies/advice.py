"""Finds changes that make a failing pair pass, by making and measuring each of them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from itertools import combinations
from itertools import islice

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.gate.remedies.changes import COSTS
from pytest_tinybudget.gate.remedies.changes import Candidate
from pytest_tinybudget.gate.remedies.changes import Change
from pytest_tinybudget.gate.remedies.changes import changes
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import PairResult


#: Measures a changed pair; raises ``TinybudgetError`` if that is not possible.
Remeasure = Callable[[Candidate], PairResult]

#: At most this many combinations of changes are measured.
_COMBINATIONS = 24
#: A change is reported only if it saves at least this share of what is missing (percent).
_LEAST_SHARE = 2
#: A combination that is not enough is reported only if it gains this much more (percent) than
#: the best single change.
_LEAST_GAIN = 5


class _Effect(Struct, frozen=True):
    """What a change does to one quantity that fails.

    ``saved`` is how much less is used, ``gained`` how much less is missing (more where the limit
    moves), ``missing`` what is missing then, all in the quantity's unit.
    """

    name: str
    saved: float
    gained: float
    missing: float
    fits: bool
    what: str

    @property
    def helps(self) -> bool:
        """Whether it is worth reporting."""
        before = self.missing + self.gained
        return self.fits or self.gained * 100 > before * _LEAST_SHARE


class _Tried(Struct, frozen=True, eq=False):
    """Changes that were made together, and their effects."""

    changes: tuple[Change, ...]
    effects: tuple[_Effect, ...]

    @property
    def helps(self) -> bool:
        """Whether any effect is worth reporting."""
        return any(effect.helps for effect in self.effects)

    def effect(self, name: str) -> _Effect | None:
        """The effect on the quantity called ``name``."""
        return next((effect for effect in self.effects if effect.name == name), None)


def advice(result: PairResult, candidate: Candidate, remeasure: Remeasure) -> Iterator[str]:
    """Changes that help ``result`` to pass, a line each, the cheapest first.

    If no single change brings a quantity within its limit, the smallest combination that does is
    next. If none does, the combination that comes nearest is last.
    """
    if _failing(result):
        yield from map(_line, _Search(result, candidate, remeasure).found())


@dataclass(slots=True)
class _Search:
    """Tries changes one by one, then in combinations, until every quantity is within its limit."""

    result: PairResult
    candidate: Candidate
    remeasure: Remeasure
    useful: list[_Tried] = field(default_factory=list)
    solved: set[str] = field(default_factory=set)
    tried: dict[tuple[Change, ...], _Tried | None] = field(default_factory=dict)

    def found(self) -> Iterator[_Tried]:
        possible = list(changes(self.result, self.candidate))
        for cost in COSTS:
            for change in possible:
                if change.cost != cost:
                    continue
                single = self.attempt((change,))
                if single is not None and single.helps:
                    self.useful.append(single)
                    yield self.noted(single)
            yield from self.together()
        yield from self.nearest()

    def noted(self, tried: _Tried) -> _Tried:
        """``tried``; the quantities that it brings within their limits are marked as solved."""
        self.solved.update(effect.name for effect in tried.effects if effect.fits)
        return tried

    def together(self) -> Iterator[_Tried]:
        """For each unsolved quantity the first combination that brings it within its limit."""
        for name in self.unsolved():
            for made in self.combinations(name):
                both = self.attempt(made)
                effect = both and both.effect(name)
                if both and effect and effect.fits:
                    yield self.noted(both)
                    break

    def nearest(self) -> Iterator[_Tried]:
        """For each quantity that stays unsolved the combination that comes nearest."""
        found: list[_Tried] = []
        for name in self.unsolved():
            together = [self.tried.get(made) for made in self.combinations(name)]
            nearest = _nearest(name, together)
            single = _nearest(name, self.useful)
            if nearest is None or single is None or nearest in found:
                continue
            best, effect = single.effect(name), nearest.effect(name)
            assert best is not None
            assert effect is not None
            gained = best.missing - effect.missing
            if gained * 100 > (effect.missing + effect.gained) * _LEAST_GAIN:
                found.append(nearest)
        yield from found

    def unsolved(self) -> list[str]:
        names = [effect.name for each in self.useful for effect in each.effects if effect.helps]
        return [name for name in dict.fromkeys(names) if name not in self.solved]

    def combinations(self, name: str) -> Iterator[tuple[Change, ...]]:
        """Combinations of changes that help ``name``, the smallest first, without alternatives."""
        moving = [
            each.changes[0]
            for each in self.useful
            if (effect := each.effect(name)) is not None and effect.helps
        ]
        made = (
            each
            for size in range(2, len(moving) + 1)
            for each in combinations(moving, size)
            if len({change.key for change in each}) == size
        )
        return islice(made, _COMBINATIONS)

    def attempt(self, made: tuple[Change, ...]) -> _Tried | None:
        """Make the changes and measure; ``None`` if that is not possible. Each is tried once."""
        if made not in self.tried:
            self.tried[made] = _try(self.result, self.candidate, made, self.remeasure)
        return self.tried[made]


def _nearest(name: str, tried: Iterable[_Tried | None]) -> _Tried | None:
    """The trial after which the least of ``name`` is missing."""
    known = [
        (effect.missing, number, each)
        for number, each in enumerate(tried)
        if each is not None and (effect := each.effect(name)) is not None
    ]
    return min(known, key=lambda item: item[:2], default=(0.0, 0, None))[2]


def _try(
    result: PairResult, candidate: Candidate, made: tuple[Change, ...], remeasure: Remeasure
) -> _Tried | None:
    """Make the changes and measure; ``None`` if that fails, or makes something else fail."""
    try:
        for change in made:
            candidate = change.apply(candidate)
        after = remeasure(candidate)
    except TinybudgetError:
        return None
    if after.outcome in ("error", "refused") or set(_failing(after)) - set(_failing(result)):
        return None  # another failure is no improvement
    return _Tried(made, tuple(_effects(result, after)))


def _failing(result: PairResult) -> list[str]:
    """The quantities that ``result`` fails by."""
    over = [measure.metric for measure in result.measures if measure.over]
    figures = [figure.name for figure in result.figures if figure.exceeded]
    return list(dict.fromkeys((*over, *result.grown, *figures)))


def _effects(before: PairResult, after: PairResult) -> Iterator[_Effect]:
    failing = set(_failing(after))
    measures = {measure.metric: measure for measure in after.measures}
    for old in before.measures:
        if not (old.over or old.metric in before.grown):
            continue
        new = measures.get(old.metric)
        saved = old.used - new.used if new else old.used
        missing = new.over if new else 0
        yield _Effect(
            name=LABELS[old.metric],
            saved=saved,
            gained=old.over - missing if old.over else saved,
            missing=missing,
            fits=old.metric not in failing,
            what="fits" if old.over else "no longer grows too much",
        )
    figures = {figure.name: figure for figure in after.figures}
    for figure in before.figures:
        if figure.exceeded and figure.name in figures:
            yield _figure_effect(figure, figures[figure.name])


def _figure_effect(old: Figure, new: Figure) -> _Effect:
    """The effect on a figure, by the worse end of its range."""
    sign = -1 if old.at_least else 1
    ends = [(each.low if each.at_least else each.high) or 0.0 for each in (old, new)]
    gained = sign * (ends[0] - ends[1])
    limit = old.limit or 0.0
    return _Effect(
        name=old.name,
        saved=gained if old.unit == "B" else 0,
        gained=gained,
        missing=max(0.0, sign * (ends[1] - limit)),
        fits=not new.exceeded,
        what=f"is {new.value_text}",
    )


def _line(tried: _Tried) -> str:
    """``"strip = true: saves 24.4 KB of flash, then flash fits (…)"``."""
    text = " and ".join(change.text for change in tried.changes)
    about = any(change.repacks for change in tried.changes)
    said = "; ".join(_said(effect, about=about) for effect in tried.effects if effect.helps)
    notes = [change.note for change in tried.changes if change.note]
    note = f" ({notes[0]})" if notes and len(tried.changes) == 1 else ""
    together = "together " if len(tried.changes) > 1 else ""
    return f"{text}: {together}{said}{note}"


def _said(effect: _Effect, *, about: bool) -> str:
    """One effect in words. ``about``: another tool writes the file, its padding is not known."""
    saves = ""
    if effect.saved > 0:
        about = about and effect.name == LABELS["flash"]
        size = f"{'about ' if about else ''}{format_size(int(effect.saved))}"
        saves = f"saves {size} of {effect.name}"
    if effect.fits:
        end = f"then {effect.name} {effect.what}"
    elif effect.missing:
        end = f"{format_size(int(effect.missing))} are still missing"
    else:
        end = f"{effect.name} still grows too much"
    return ", ".join(filter(None, (saves, end)))


def unmet_requirements(
    result: PairResult, models: Sequence[Model], demands: Demands
) -> Iterator[str]:
    """How to meet the requirements ``strict`` and ``require_int8``, if they fail the pair."""
    footprint = result.footprint
    if footprint is None or result.outcome != "unmet":
        return
    if demands.strict and not footprint.known:
        operators = {
            each.name for model in models for graph in model.subgraphs for each in graph.operators
        }
        for name in sorted(operators - set(rules())) if footprint.unknown else ():
            yield (
                f"state what {printable(name)} costs: [runtime.ops.{toml_key(name)}] "
                'persistent = "…", scratch = "…", flash = "…"'
            )
        if any(part.name == "stack" and part.method == "estimated" for part in footprint.ram_parts):
            yield f'state the stack that you measured: stack = "…" ({result.declared_at})'
    if demands.require_int8 is True and footprint.not_int8:
        yield f'convert to full INT8, or set require_int8 = "warn" ({result.declared_at})'
