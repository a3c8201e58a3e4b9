"""Sizes over time, from results files of git commits or of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.baseline.git import Repository
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import load_results
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import PairResult


#: File names of ``tinybudget diff --store``: a commit, and a suffix for a selection of pairs.
_COMMIT_NAME = re.compile(r"([0-9a-f]{40}(?:[0-9a-f]{24})?)(?:-[0-9a-f]{8})?\Z")
_DIGITS = re.compile(r"(\d+)")

_SHORT_COMMIT = 12

#: Runs that a page shows unless told otherwise.
MOST_RUNS = 20

#: What a page calls the results that it is of.
_NOW = "this run"


class Entry(Struct, frozen=True):
    """One results file of a history; ``label`` is its commit or its name."""

    label: str
    results: Results


class Point(Struct, frozen=True):
    """The size of a metric at one entry in bytes, or ``None`` if it was not measured.

    ``comparable``: it was measured in the same way as the point before.
    """

    label: str
    used: int | None
    limit: int | None
    comparable: bool = True


class Trend(Struct, frozen=True):
    """One metric of one pair over all entries, oldest first."""

    id: str
    model: str
    board: str
    metric: Metric
    points: tuple[Point, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes that were measured, oldest first; at least one."""
        return tuple(point.used for point in self.points if point.used is not None)

    @property
    def change(self) -> int:
        """Bytes from the first measured size to the last."""
        return self.sizes[-1] - self.sizes[0]


class History(Struct, frozen=True):
    """Trends by id, flash before RAM; ``skipped`` has a line for each file that is damaged."""

    labels: tuple[str, ...]
    trends: tuple[Trend, ...]
    skipped: tuple[str, ...] = ()


def history_before(
    source: Path, results: Sequence[PairResult], *, most: int = MOST_RUNS
) -> History:
    """How the sizes of ``results`` went, they themselves last.

    ``source`` is a folder of results files or a committed one, of which the newest ``most`` count.

    Raises:
        TinybudgetError: ``source`` has no results file, or none that can be read.
    """
    ids = {pair.id for pair in results}
    entries = (
        folder_entries(source, most=most) if source.is_dir() else commit_entries(source, most=most)
    )
    found = [
        entry
        for entry in entries
        if isinstance(entry, str) or any(pair.id in ids for pair in entry.results.pairs)
    ]
    whole = history([*found, Entry(_NOW, own_results(results, _NOW))])
    return replace(whole, trends=tuple(each for each in whole.trends if each.id in ids))


def history_at_hand(
    sources: Iterable[Path | None], results: Sequence[PairResult]
) -> History | None:
    """The history before ``results`` in the first of ``sources`` that has one, if any has."""
    for source in sources:
        if source is None or not source.exists():
            continue
        try:
            found = history_before(source, results)
        except TinybudgetError:
            continue
        if len(found.labels) > 1:
            return found
    return None


def folder_entries(folder: Path, *, most: int | None = None) -> Iterator[Entry | str]:
    """The results files in ``folder``, oldest first; a line for each that cannot be read.

    Of them the newest ``most``. Files named after commits of the repository around are in its
    order, others by name, numbers in names as numbers.

    Raises:
        TinybudgetError: there is no results file.
    """
    files = sorted(folder.glob("*.json"), key=_natural)
    if not files:
        raise TinybudgetError(f"{folder.as_posix()}: no results file (*.json) in it", code="TB500")
    for file in _by_commit(folder, files)[-(most or len(files)) :]:
        is_commit = _COMMIT_NAME.match(file.stem)
        label = file.stem[:_SHORT_COMMIT] if is_commit else file.stem
        try:
            yield Entry(label, load_results(file))
        except TinybudgetError as error:
            yield error.message


def commit_entries(file: Path, *, most: int) -> Iterator[Entry | str]:
    """The versions of a committed results file on the current branch, oldest first.

    The newest ``most`` of them; a line for each that cannot be read.

    Raises:
        TinybudgetError: no repository, or no commit has the file.
    """
    repository = Repository.around(file.absolute().parent)
    path = (Path(repository.prefix) / file.name).as_posix()
    listed = repository.run(
        "log", "--first-parent", "--format=%H", f"--max-count={most}", "--", path
    )
    commits = listed.split()[::-1]
    if not commits:
        raise TinybudgetError(f"{file.as_posix()}: no commit here has it", code="TB600")
    for commit in commits:
        label = commit[:_SHORT_COMMIT]
        content = repository.content(commit, path)
        if content is None:  # this commit removed the file
            continue
        try:
            yield Entry(label, read_results(content, f"{path} at {label}"))
        except TinybudgetError as error:
            yield error.message


def history(entries: Iterable[Entry | str], models: Iterable[str] = ()) -> History:
    """The trends of ``models``, all of them unless named.

    Raises:
        TinybudgetError: no entry has such a model, or none can be read.
    """
    everything = list(entries)
    found = [entry for entry in everything if isinstance(entry, Entry)]
    skipped = tuple(entry for entry in everything if isinstance(entry, str))
    if not found:
        raise TinybudgetError(f"no results file can be read: {skipped[0]}", code="TB500")
    known = {pair.model for entry in found for pair in entry.results.pairs}
    wanted = set(models) or known
    if wanted - known:
        from pytest_tinybudget.base.suggest import unknown

        raise unknown("model", sorted(wanted - known)[0], known)
    tables = [{pair.id: pair for pair in entry.results.pairs} for entry in found]
    ids = sorted({each for table in tables for each in table if table[each].model in wanted})
    trends = [
        trend
        for each in ids
        for metric in METRICS
        if (trend := _trend(each, metric, found, tables))
    ]
    return History(tuple(entry.label for entry in found), tuple(trends), skipped)


def _trend(
    pair_id: str, metric: Metric, entries: list[Entry], tables: list[dict[str, PairResult]]
) -> Trend | None:
    """The trend of a metric; ``None`` where no entry has it."""
    points, last = [], None
    for entry, table in zip(entries, tables, strict=True):
        pair = table.get(pair_id)
        measures = pair.measures if pair else ()
        measure = next((each for each in measures if each.metric == metric), None)
        if pair is None or measure is None:
            points.append(Point(entry.label, None, None))
            continue
        way = (entry.results.estimator, pair.runtime, pair.table)
        points.append(Point(entry.label, measure.used, measure.limit, last in (None, way)))
        last = way
    shown = next((table[pair_id] for table in reversed(tables) if pair_id in table), None)
    if last is None or shown is None:
        return None
    return Trend(pair_id, shown.model, shown.board, metric, tuple(points))


def _natural(file: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts ``run-9`` before ``run-10``."""
    parts = _DIGITS.split(file.stem)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part]


def _by_commit(folder: Path, files: list[Path]) -> list[Path]:
    """``files`` in the order of the commits they are named after, where all are."""
    if not all(_COMMIT_NAME.match(file.stem) for file in files):
        return files
    try:
        listed = Repository.around(folder).run("rev-list", "--topo-order", "--reverse", "--all")
    except TinybudgetError:
        return files
    order = {commit: number for number, commit in enumerate(listed.split())}
    return sorted(files, key=lambda file: order.get(file.stem.partition("-")[0], -1))
