"""Which releases a constraint allows, as the registries of ESP-IDF and PlatformIO read it.

Both take ``==``, ``<=``, ``~``, ``^`` and the like, joined by commas. A version of two parts stands
for all of its patches: ``1.3`` is no exact version. The ESP-IDF counts repackaged releases with a
tilde, ``1.3.3~1``, which other places write ``1.3.3.1``; ``1.3.3`` is another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence


#: Major, minor, patch, revision.
Key = tuple[int, int, int, int]

_VERSION = re.compile(
    r"v?(?P<major>\d+)(?:\.(?P<minor>\d+))?(?:\.(?P<patch>\d+))?(?:[.~](?P<revision>\d+))?\Z"
)
_CLAUSE = re.compile(
    r"(?P<operator>==|=|!=|<=|>=|<|>|~=|\^|~)?\s*v?(?P<parts>\d+(?:\.\d+){0,3})"
    r"(?:~(?P<revision>\d+))?(?:\.[*xX])*\Z"
)
_WHOLE = 3


def key_of(version: str) -> Key | None:
    """What a version is compared by; ``None`` where it is no number (a commit, a branch)."""
    found = _VERSION.match(version.strip())
    if found is None:
        return None
    major, minor, patch, revision = (int(part or 0) for part in found.groups())
    return major, minor, patch, revision


def allowed(constraint: str, releases: Iterable[str]) -> tuple[str, ...] | None:
    """Those of ``releases`` that meet a constraint; ``None`` where it cannot be understood."""
    tests = []
    for clause in constraint.split(","):
        if clause.strip() in ("", "*"):
            continue
        test = _test(clause.strip())
        if test is None:
            return None
        tests.append(test)
    keys = {release: key_of(release) for release in releases}
    return tuple(
        release
        for release, key in keys.items()
        if key is not None and all(test(key) for test in tests)
    )


def _test(clause: str) -> Callable[[Key], bool] | None:
    """Whether a key meets a clause as ``>=1.2``."""
    found = _CLAUSE.match(clause)
    if found is None:
        return None
    numbers = [int(part) for part in found["parts"].split(".")]
    revision = int(found["revision"] or 0)
    if len(numbers) > _WHOLE:
        *numbers, revision = numbers
    first = _key(numbers, revision)
    # The first key that no longer begins as the clause's version does.
    after = (*first[:3], revision + 1) if len(numbers) == _WHOLE else _next(numbers, len(numbers))
    after = _key(after[:3], after[3])
    return {
        "": lambda key: first <= key < after,
        "=": lambda key: first <= key < after,
        "==": lambda key: first <= key < after,
        "!=": lambda key: not first <= key < after,
        "<": lambda key: key < first,
        "<=": lambda key: key < after,
        ">": lambda key: key >= after,
        ">=": lambda key: key >= first,
        "^": lambda key: first <= key < _next(numbers, _caret(numbers)),
        "~": lambda key: first <= key < _next(numbers, min(len(numbers), 2)),
        "~=": lambda key: first <= key < _next(numbers, max(len(numbers) - 1, 1)),
    }[found["operator"] or ""]


def _key(numbers: Sequence[int], revision: int) -> Key:
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch, revision


def _next(numbers: Sequence[int], parts: int) -> Key:
    """The first key beyond all that begin with the first ``parts`` of ``numbers``."""
    kept = [*numbers, 0, 0][:parts]
    kept[-1] += 1
    return _key(kept, 0)


def _caret(numbers: Sequence[int]) -> int:
    """How many parts ``^`` holds: up to the first that is not zero, where none is all three."""
    return next((at for at, part in enumerate(numbers, 1) if part), _WHOLE)


def before(one: str, other: str) -> bool:
    """Whether version ``one`` is older than ``other``; both are numbers."""
    first, second = key_of(one), key_of(other)
    return first is not None and second is not None and first < second


def neighbors(version: str, releases: Sequence[str]) -> tuple[str, ...]:
    """The releases before and after a version that is none of them; empty for no number.

    A version beyond the newest has the newest alone, one before the oldest the oldest.
    """
    wanted = key_of(version)
    keys = {release: key for release in releases if (key := key_of(release))}
    if wanted is None or not keys:
        return ()
    before = max((each for each in keys if keys[each] < wanted), key=keys.__getitem__, default="")
    after = min((each for each in keys if keys[each] > wanted), key=keys.__getitem__, default="")
    return tuple(filter(None, (after, before)))
