"""Unknown names: one error that offers the nearest valid ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pytest_tinybudget.base.errors import TinybudgetError


def nearest(name: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """The valid names most like ``name``, best first; case does not matter."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    folded = difflib.get_close_matches(name.casefold(), by_folded, n=count, cutoff=0.5)
    return [by_folded[match] for match in folded]


def unknown(kind: str, name: str, valid: Iterable[str]) -> TinybudgetError:
    """The error for a ``name`` that is not among the ``valid`` ones of its ``kind``."""
    offers = nearest(name, valid)
    hint = f"; did you mean {', '.join(map(repr, offers))}?" if offers else ""
    return TinybudgetError(f"unknown {kind} {name!r}{hint}", code="TB101")
