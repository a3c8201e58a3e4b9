"""The baseline of a pytest run: a results file, or a commit; else those that declarations name.

The controller finds it, before any worker of pytest-xdist starts, and hands it to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.pytest_plugin.plugin import FILE_NAME
from pytest_tinybudget.pytest_plugin.plugin import path_setting
from pytest_tinybudget.pytest_plugin.plugin import setting
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pathlib import Path

    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.gate.pipeline import Gate


_BASELINE = pytest.StashKey["Baseline | None"]()

#: What a worker of pytest-xdist is given of the run's baseline.
_SENT = "tinybudget_baseline"


class _Sent(Struct, frozen=True):
    """A baseline on its way to a worker: of its pairs what growth is held to, and no more."""

    origin: str
    estimator: str
    pairs: tuple[PairResult, ...] | None
    reason: str
    missing: Mapping[str, str]
    complete: bool


def names_base(config: pytest.Config) -> bool:
    """Whether an option or an ini value names something to compare with."""
    return bool(_revision(config) or path_setting(config, "tinybudget_baseline"))


def chosen_baseline(config: pytest.Config) -> Baseline | None:
    """What option or ini value name, once ``find_baseline`` has found it; ``None`` without any."""
    if _BASELINE not in config.stash:
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        config.stash[_BASELINE] = _received(worker[_SENT]) if _SENT in worker else None
    return config.stash[_BASELINE]


def check_baseline(config: pytest.Config) -> None:
    """Read the baseline file that option or ini value name, before anything is measured.

    Raises:
        pytest.UsageError: it is missing or no results file, or a commit is named as well.
    """
    options = [config.getoption(name) for name in ("tinybudget_base", "tinybudget_baseline")]
    values = [config.getini(name) for name in ("tinybudget_base", "tinybudget_baseline")]
    if all(options) or (not any(options) and all(values)):
        raise pytest.UsageError("--tinybudget-base and --tinybudget-baseline: give one of them")
    path = path_setting(config, "tinybudget_baseline")
    if path is None or _revision(config):
        return
    from pytest_tinybudget.baseline.baseline import baseline_file

    try:
        written = path_setting(config, "tinybudget_json")
        config.stash[_BASELINE] = baseline_file(path, written=written)
    except TinybudgetError as error:
        raise pytest.UsageError(f"--tinybudget-baseline: {error.told}") from None


def measure_base(config: pytest.Config) -> None:
    """Measure the commit that option or ini value name, as ``tinybudget check --base`` does.

    Raises:
        pytest.UsageError: there is no such commit.
    """
    revision = _revision(config)
    if not revision:
        return
    from pytest_tinybudget.pytest_plugin.items import gate_of

    try:
        gate = gate_of(config)
        gate.baseline = config.stash[_BASELINE] = _measured(config, revision, gate)
    except TinybudgetError as error:
        raise pytest.UsageError(f"--tinybudget-base: {error.told}") from None


def _measured(config: pytest.Config, revision: str, gate: Gate) -> Baseline:
    from pytest_tinybudget.baseline.base import Run
    from pytest_tinybudget.baseline.base import base_of
    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.baseline.scope import declared_in
    from pytest_tinybudget.pytest_plugin.items import boards_of

    def measure(pairs: Sequence[Declared]) -> Iterator[PairResult]:
        gate.prepare(pairs)
        for pair in pairs:
            yield gate.check(pair)

    root, paths, boards = config.rootpath, list(_paths(config)), boards_of(config)
    selected, _ = declared_in(root, paths, root, boards)  # what is wrong is told by collection
    gate.baseline = Baseline()  # the base is held to no base of its own
    written = path_setting(config, "tinybudget_json")
    return base_of(revision, Run(paths, selected, root, boards, written), measure)


def send_baseline(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Give the run's baseline to a worker."""
    baseline = chosen_baseline(config)
    if baseline is None:
        return
    results = baseline.results
    sent = _Sent(
        results.origin if results else "",
        results.estimator if results else "",
        tuple(pair.in_brief() for pair in results.pairs) if results else None,
        baseline.reason,
        baseline.missing,
        baseline.complete,
    )
    workerinput[_SENT] = msgspec.json.encode(sent)


def _received(content: bytes) -> Baseline:
    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.results.reader import Results

    sent = msgspec.json.decode(content, type=_Sent)
    results = None
    if sent.pairs is not None:
        results = Results(sent.origin, sent.estimator, sent.pairs)
    return Baseline(results, sent.reason, sent.missing, sent.complete)


def _revision(config: pytest.Config) -> str:
    """The commit to compare with: an option takes the place of an ini value that names a file."""
    if config.getoption("tinybudget_baseline") and not config.getoption("tinybudget_base"):
        return ""
    revision: str = setting(config, "tinybudget_base")
    return revision


def _paths(config: pytest.Config) -> Iterator[str]:
    """The folders and declarations that the run was given, with models and boards."""
    for argument in config.args:
        name, separator, rest = argument.partition("::")
        path = config.invocation_params.dir / name
        if path.is_dir() or path.name == FILE_NAME:
            yield f"{path}{separator}{rest}"


def comparison_of(config: pytest.Config, results: Sequence[PairResult]) -> Comparison | None:
    """``results`` compared with the run's baseline; ``None`` where no baseline is wanted."""
    baseline = chosen_baseline(config)
    try:
        if baseline is None:
            baseline = _declared(config, results)
        return None if baseline is None else _compared(config, results, baseline)
    except TinybudgetError:
        return None  # each pair of that declaration says so already


def _compared(
    config: pytest.Config, results: Sequence[PairResult], baseline: Baseline
) -> Comparison:
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.baseline.scope import still_declared
    from pytest_tinybudget.pytest_plugin.items import boards_of
    from pytest_tinybudget.results.reader import own_results

    base = baseline.results
    ran = {result.id for result in results}
    gone = [pair.id for pair in (base.pairs if base else ()) if pair.id not in ran]
    return compare(
        base,
        own_results(results, "this run"),
        not_run=still_declared(gone, config.rootpath, boards_of(config)),
        missing=baseline.missing,
        notes=baseline.notes,
    )


def _declared(config: pytest.Config, results: Sequence[PairResult]) -> Baseline | None:
    """The baselines of the declarations that have results, as one."""
    from pytest_tinybudget.baseline.baseline import declared_baselines
    from pytest_tinybudget.pytest_plugin.items import declaration_at

    files: dict[str, Path | None] = {}
    for file in sorted({result.id.partition("::")[0] for result in results}):
        path = config.rootpath / file
        if path.name == FILE_NAME and path.exists():
            files[file] = declaration_at(config, path).baseline
    return declared_baselines(files, written=path_setting(config, "tinybudget_json"))
