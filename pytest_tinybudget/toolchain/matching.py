"""Which version of TFLM a firmware has: the one whose structs and operators are most like its own.

A version's structs and operators follow from its place in the history (``runtimes/versions.py``).
Between two changes that a firmware shows, nothing tells its versions apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.footprint.operators.sizes import data_bytes
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.runtimes.distributions import UPSTREAM
from pytest_tinybudget.runtimes.distributions import Distribution
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.structs import STRUCTS
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Change
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.runtimes.versions import version
from pytest_tinybudget.toolchain.reading import Reading


_PARAMETERS, _DATA = " parameters", " data"
#: Later than any commit.
_LATEST = "9999"


class Compared(Struct, frozen=True):
    """A struct of the firmware beside that of a version, sizes in bytes.

    ``expected`` is ``None`` where the version has nothing to compare it with.
    """

    name: str
    found: int
    expected: int | None

    @property
    def differs(self) -> bool:
        """Whether both are known, and not alike."""
        return self.expected is not None and self.found != self.expected


class Span(Struct, frozen=True):
    """Versions in a row that nothing in the firmware tells apart.

    Attributes:
        since: the change that the oldest of them has and those before have not; ``None`` where
            the history that is known begins with them.
        until: the change that the first version after them has; ``None`` where they reach up to
            the newest.
        known: those of them that the operator rules hold for, the newest first.
        within: changes that some of them have and others not.
    """

    since: Change | None
    until: Change | None
    known: tuple[Version, ...]
    within: tuple[Change, ...]


class Match(Struct, frozen=True):
    """The versions that are most like a firmware.

    Attributes:
        spans: them, the newest first.
        differing: what is otherwise in the firmware than even in these: a fork's own.
        unknown_operators: operators that it registers and none of them has.
        compared: every struct of the firmware beside that of the first of ``candidates``.
    """

    spans: tuple[Span, ...]
    differing: tuple[str, ...]
    unknown_operators: tuple[str, ...]
    compared: tuple[Compared, ...]

    @property
    def candidates(self) -> tuple[Version, ...]:
        """The known versions among them, the newest first."""
        return tuple(each for span in self.spans for each in span.known)

    @property
    def is_exact(self) -> bool:
        """Whether all that was found is as in these versions."""
        return not self.differing and not self.unknown_operators


def match(reading: Reading) -> Match | None:
    """The versions most like ``reading``; ``None`` where it tells nothing of TFLM's structs."""
    if not reading.layouts:
        return None
    history = changes("tflm")
    # A version of the very date of a change has it; of the latest date all, of none the first.
    dates = sorted({_LATEST, "", *(change.date for change in history)}, reverse=True)[1:]
    scores = [_score(reading, version("", date, history)) for date in dates]
    best = min(len(differing) + len(missing) for differing, missing in scores)
    fits = [len(differing) + len(missing) == best for differing, missing in scores]
    first = fits.index(True)
    differing, missing = scores[first]
    spans = tuple(_spans(dates, fits, history))
    match_ = Match(spans, differing, missing, ())
    chosen = match_.candidates[0] if match_.candidates else version("", dates[first], history)
    return replace(match_, compared=tuple(compare(reading, chosen)))


def distributions_like(
    reading: Reading, versions: Iterable[Version]
) -> tuple[tuple[Distribution, Runtime], ...]:
    """Distributions that the firmware may come from, with what each makes for its core.

    Those with one of ``versions``, its kernel library and its flags, the newest version first.
    """
    names = [version.name for version in versions]
    found = []
    for each in distributions().values():
        runtime = each.on(reading.core)
        if runtime is None or each.name == UPSTREAM or runtime.tflm.version.name not in names:
            continue
        flags = (runtime.tflm.static_memory, runtime.tflm.log_strings)
        same_flags = flags == (reading.static_memory, reading.log_strings)
        same_level = not reading.optimize or reading.optimize == (runtime.optimize or "s")
        if same_flags and same_level and runtime.kernels.library == reading.kernels.library:
            found.append((each, runtime))
    return tuple(sorted(found, key=lambda one: names.index(one[1].tflm.version.name)))


def compare(reading: Reading, of: Version) -> Iterable[Compared]:
    """Every struct that was found, beside that of a version in the firmware's own build."""
    return compared_with(reading, tflm_of(reading, of))


def compared_with(reading: Reading, tflm: Tflm) -> Iterable[Compared]:
    """Every struct that was found, beside that of a version and build of TFLM."""
    for name, layout in sorted(reading.layouts.items()):
        if _matters(name, reading.operators):
            yield Compared(name, layout.size, _expected(name, reading, tflm))


def tflm_of(reading: Reading, of: Version) -> Tflm:
    """A version as the firmware was built: with its flags, as far as they were found."""
    return Tflm(
        of,
        static_memory=reading.static_memory is not False,
        log_strings=reading.log_strings,
    )


def _score(reading: Reading, of: Version) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What of the firmware is otherwise in a version: structs, and operators that it lacks."""
    differing = tuple(each.name for each in compare(reading, of) if each.differs)
    return differing, tuple(name for name in reading.operators if name in of.unregistered)


def _matters(name: str, operators: Sequence[str]) -> bool:
    """Whether a struct is TFLM's own, or of an operator that the firmware registers."""
    operator = name.removesuffix(_PARAMETERS).removesuffix(_DATA)
    return name in STRUCTS or not operators or operator in operators


def _expected(name: str, reading: Reading, tflm: Tflm) -> int | None:
    abi = reading.abi
    if name in STRUCTS:
        return abi.size_of(tflm.struct(name))
    if name.endswith(_DATA):
        return data_bytes(name.removesuffix(_DATA), tflm, reading.kernels, abi) or None
    operator = name.removesuffix(_PARAMETERS)
    rule = rules().get(operator)
    parameters = tflm.parameters(operator, rule.parameters) if rule is not None else ""
    return abi.size_of(parameters) or None


def _spans(dates: Sequence[str], fits: Sequence[bool], history: Sequence[Change]) -> Iterable[Span]:
    """The runs of dates that fit. A version of a date has the changes up to it."""
    edges = [
        index for index, (one, other) in enumerate(pairwise([False, *fits, False])) if one != other
    ]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        newest, oldest = dates[start], dates[end - 1]
        before = dates[start - 1] if start else _LATEST
        inside = tuple(change for change in history if oldest < change.date <= newest)
        yield Span(
            since=next((change for change in history if change.date == oldest), None),
            until=next((change for change in reversed(history) if newest < change.date), None),
            known=tuple(each for each in known("tflm").values() if oldest <= each.date < before),
            within=inside,
        )


def relevant(span: Span, reading: Reading) -> tuple[Change, ...]:
    """The changes within a span that a firmware with these operators and kernels could notice.

    A change names in its words what it is about: operators, or a kernel library.
    """
    library = LIBRARIES[reading.kernels.library].label
    others = {each.label for each in LIBRARIES.values()} - {library}
    operators = {name for name, _ in registrations()}

    def concerns(change: Change) -> bool:
        if change.registers:
            return False  # it registers none of them, or they would tell
        words = " ".join((change.name, change.about, *change.before, *change.kernels))
        if any(other in words for other in others):
            return False
        named = {word for word in re.findall(r"\w+", words) if word in operators}
        return not named or not reading.operators or bool(named & set(reading.operators))

    return tuple(change for change in span.within if concerns(change))
