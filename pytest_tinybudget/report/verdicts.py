"""Verdicts in words: of a pair, of how many pairs, and how much of a limit is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult


#: The word that stands at the start of a pair's row; color only repeats it.
WORDS: dict[Outcome, str] = {
    "fits": "PASS",
    "warns": "WARN",
    "over": "FAIL",
    "refused": "FAIL",
    "unmet": "FAIL",
    "error": "ERROR",
}

MARKUP: dict[Outcome, tuple[str, ...]] = {
    "fits": (),
    "warns": ("yellow",),
    "over": ("red",),
    "refused": ("red",),
    "unmet": ("red",),
    "error": ("red",),
}

#: In the place of a word of failure where the pair is informational.
INFORMATIONAL = "INFO"

#: Worst first: a model that does not run, one that does not fit, one that nobody knows about.
WORST_FIRST: tuple[Outcome, ...] = ("refused", "over", "unmet", "error", "warns", "fits")

_COUNTED: dict[Outcome, str] = {
    "refused": "refused by TFLM",
    "over": "over budget",
    "unmet": "with a requirement not met",
    "error": "not measured",
    "warns": "with a warning",
    "fits": "fit",
}


def word(pair: PairResult) -> str:
    """The word at the start of a pair's row; a pair that only informs does not say ``FAIL``."""
    return INFORMATIONAL if pair.failed and pair.informational else WORDS[pair.outcome]


def markup(pair: PairResult) -> tuple[str, ...]:
    """The color of a pair's row."""
    return MARKUP["warns" if pair.failed and pair.informational else pair.outcome]


def codes_text(pair: PairResult) -> str:
    """The codes of what is wrong, and how to read about them; empty where the pair passes."""
    codes = pair.codes
    return f"{', '.join(codes)}: tinybudget explain {codes[0]}" if codes else ""


def worst_first(pair: PairResult) -> tuple[int, float, str]:
    """Key to sort pairs by: outcome, then how full the fullest limit is, then id."""
    fullest = max((share(measure) for measure in pair.measures), default=0.0)
    return WORST_FIRST.index(pair.outcome), -fullest, pair.id


def share(measure: Measure) -> float:
    return measure.used / measure.limit if measure.limit else float("inf")


def percent_text(measure: Measure) -> str:
    """Used of limit; rounded so that 100 % is exceeded exactly where the limit is."""
    if not measure.limit:
        return ""
    scaled = measure.used * 100
    return f"{-(-scaled // measure.limit) if measure.over else scaled // measure.limit} %"


def counted_for(pairs: Sequence[PairResult]) -> list[str]:
    """The tool that counted the sizes of ``pairs``, and the runtimes: a text for each."""
    tools = sorted({pair.identity.tool for pair in pairs if pair.identity})
    runtimes = sorted({(pair.runtime, pair.runtime_text) for pair in pairs if pair.measures})
    by = [f"by pytest-tinybudget {', '.join(tools)}"] if tools else []
    return [*by, *([f"for {'; '.join(text for _, text in runtimes)}"] if runtimes else [])]


def count_text(pairs: Sequence[PairResult]) -> str:
    """The number of pairs, and of each outcome, in words."""
    only_told = sum(pair.failed and pair.informational for pair in pairs)
    gating = [pair for pair in pairs if pair.fails_run or not pair.failed]
    outcomes = Counter(pair.outcome for pair in gating)
    held_back = sum(pair.outcome == "error" and bool(pair.growth_unchecked) for pair in gating)
    outcomes["error"] -= held_back
    counts = [f"{outcomes[each]} {_COUNTED[each]}" for each in WORST_FIRST if outcomes[each]]
    if only_told:
        counts.append(f"{only_told} that {'fails' if only_told == 1 else 'fail'}, informational")
    if held_back:
        counts.insert(0, f"{held_back} without the base that is required")
    unchecked = _unchecked(pairs)
    if not counts:
        return "no pairs"
    return f"{counted(len(pairs), 'pair')}: {', '.join(counts)}" + (unchecked and f"; {unchecked}")


def verdict(pairs: Sequence[PairResult]) -> str:
    """The verdict on the run in a few words: ``1 of 6 pairs fails``, ``all pairs fit``.

    Where informational pairs fail: ``1 of 6 pairs fails, informational only``, or ``…, and 1 more
    that is informational``. It says as well for how many pairs a limit of growth was not checked.
    """
    failed = sum(pair.fails_run for pair in pairs)
    only_told = sum(pair.failed for pair in pairs) - failed
    text = "all pairs fit"
    if failed or only_told:
        count = failed or only_told
        text = f"{count} of {counted(len(pairs), 'pair')} {'fails' if count == 1 else 'fail'}"
    if only_told:
        more = f"and {only_told} more that {'is' if only_told == 1 else 'are'} informational"
        text += f", {more if failed else 'informational only'}"
    unchecked = _unchecked(pairs)
    return text + (unchecked and f", {unchecked}")


def _unchecked(pairs: Sequence[PairResult]) -> str:
    """``growth not checked for 2 pairs``; empty where every limit of growth was."""
    count = sum(bool(pair.growth_unchecked) for pair in pairs)
    return f"growth not checked for {counted(count, 'pair')}" if count else ""


def counted(count: int, noun: str) -> str:
    """``1 pair``, ``2 pairs``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
