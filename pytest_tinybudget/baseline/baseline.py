"""The results that a run is compared with, from a file or a commit, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.paths import relative_path
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Provenance


if TYPE_CHECKING:
    from pytest_tinybudget.results.reader import Results


#: The reason if no baseline was given.
NO_BASE = "no base is named (--base auto; under pytest --tinybudget-base=auto)"


class Baseline(Struct, frozen=True):
    """The results that a run's pairs are compared with.

    The default has no results and no reason, for runs that do not check growth.
    """

    #: The results, or ``None`` if there are none.
    results: Results | None = None
    #: Why ``results`` is ``None``.
    reason: str = ""
    #: Why single declarations have no results, by their file as in ids.
    missing: Mapping[str, str] = field(default_factory=dict)
    #: Whether ``results`` have every pair that was declared there, so that others are new. A file
    #: that the user names may be of another project, or older than a pair.
    complete: bool = False
    #: Notes about the baseline for reports, a line each.
    notes: tuple[str, ...] = ()
    #: The commits of the run itself, if git was asked.
    provenance: Provenance | None = None

    def find(self, head: PairResult) -> tuple[PairResult | None, str]:
        """The result to compare ``head`` with, or ``None`` and the reason.

        The reason is empty for a new pair, which has no earlier result.
        """
        file = head.id.partition("::")[0]
        if file in self.missing:
            return None, self.missing[file]
        if self.results is None:
            return None, self.reason
        base = self.results.find(head.id)
        if base is None:
            new = f"{self.results.origin} does not have this pair: write it again"
            return None, "" if self.complete else new
        if not base.measures:
            return None, f"could not be measured on {self.results.origin}: {base.headline}"
        from pytest_tinybudget.baseline.compare import incomparable
        from pytest_tinybudget.baseline.compare import other_estimator
        from pytest_tinybudget.results.reader import own_estimator

        reason = other_estimator(self.results.estimator, own_estimator())
        reason = reason or incomparable(base, head)
        return (None, reason) if reason else (base, "")


def baseline_file(path: Path, *, written: Path | None = None) -> Baseline:
    """The results file ``path`` as a baseline.

    It need not exist if the run writes it, to ``written``, as the first run does.

    Raises:
        TinybudgetError: it is missing, or is no results file.
    """
    path = Path(relative_path(path, Path()))
    if path.exists():
        from pytest_tinybudget.results.reader import load_results

        return Baseline(load_results(path))
    if written is not None and written.resolve() == path.resolve():
        note = f"no baseline yet at {printable(path.as_posix())}: this run writes it"
        return Baseline(reason=note, notes=(note,))
    raise _no_file(path)


def _no_file(path: Path) -> TinybudgetError:
    """The error for a missing file: names similar files, and how to make one."""
    try:
        names = [each.name for each in path.parent.iterdir() if each.suffix == path.suffix]
    except OSError:
        names = []
    offers = nearest(path.name, names)
    hint = f"; did you mean {printable(repr(offers[0]))}?" if offers else ""
    return TinybudgetError(
        f"{printable(path.as_posix())}: no such baseline file{hint} "
        "(--json PATH of a run, or --tinybudget-json under pytest, writes one)",
        code="TB500",
    )


def declared_baselines(
    files: Mapping[str, Path | None], *, written: Path | None = None
) -> Baseline | None:
    """The baselines that declarations name as one, by the declarations' files as ids have them.

    ``None`` where none of them names any.

    Raises:
        TinybudgetError: one is missing or no results file, or they do not belong together.
    """
    paths = dict.fromkeys(path for path in files.values() if path is not None)
    if not paths:
        return None
    from pytest_tinybudget.results.reader import joined

    found = {path: baseline_file(path, written=written) for path in paths}
    missing = {file: NO_BASE for file, path in files.items() if path is None}
    for file, path in files.items():
        if path is not None and found[path].results is None:
            missing[file] = found[path].reason
    several = [each.results for each in found.values() if each.results is not None]
    notes = tuple(note for each in found.values() for note in each.notes)
    return Baseline(joined(several), missing=missing, notes=notes)
