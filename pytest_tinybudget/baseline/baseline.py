"""What a run is compared with: results of a file or of a commit, or why there are none."""

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


#: Why growth is not checked where nobody says what to compare with.
NO_BASE = "no base is named (--base auto; under pytest --tinybudget-base=auto)"


class Baseline(Struct, frozen=True):
    """The side that a run's pairs are compared with.

    The default compares with nothing, and says nothing of it: for runs that are not about growth.
    """

    #: What was measured there; ``None`` where there is nothing.
    results: Results | None = None
    #: Why ``results`` is ``None``.
    reason: str = ""
    #: Why single declarations have no results, by the file as ids have it.
    missing: Mapping[str, str] = field(default_factory=dict)
    #: Whether ``results`` hold every pair that was declared there: another one is then new. A
    #: results file of a user's may be of another project, or older than the pair.
    complete: bool = False
    #: What reports say of it, a line each.
    notes: tuple[str, ...] = ()
    #: Where the run's own results come from, if git was asked.
    provenance: Provenance | None = None

    def find(self, head: PairResult) -> tuple[PairResult | None, str]:
        """What ``head`` can be compared with; else ``None`` and why not.

        The reason is empty for a pair that is new: it has nothing that it could have grown over.
        """
        file = head.id.partition("::")[0]
        if file in self.missing:
            return None, self.missing[file]
        if self.results is None:
            return None, self.reason
        base = self.results.find(head.id)
        if base is None:
            new = f"{self.results.origin} does not have this pair: write it anew"
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

    It need not exist where the run itself writes it, to ``written``: that is the first run.

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
    """The error that names the nearest results file there is, and how to make one."""
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
