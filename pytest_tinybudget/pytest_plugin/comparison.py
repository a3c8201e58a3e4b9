"""A pytest run compared with its baseline: the base commit measured first, the results after it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.pytest_plugin.baseline import chosen_baseline
from pytest_tinybudget.pytest_plugin.baseline import keep_baseline
from pytest_tinybudget.pytest_plugin.settings import FILE_NAME
from pytest_tinybudget.pytest_plugin.settings import base_revision
from pytest_tinybudget.pytest_plugin.settings import path_setting
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pathlib import Path

    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.gate.pipeline import Gate


def measure_base(config: pytest.Config) -> None:
    """Measure the commit that option or ini value name, as ``tinybudget check --base`` does.

    Raises:
        pytest.UsageError: there is no such commit.
    """
    revision = base_revision(config)
    if not revision:
        return
    from pytest_tinybudget.pytest_plugin.process import gate_of

    try:
        gate = gate_of(config)
        gate.baselines.chosen = keep_baseline(config, _measured(config, revision, gate))
    except TinybudgetError as error:
        raise pytest.UsageError(f"--tinybudget-base: {error.full_text}") from None


def _measured(config: pytest.Config, revision: str, gate: Gate) -> Baseline:
    from pytest_tinybudget.baseline.base import Run
    from pytest_tinybudget.baseline.base import base_of
    from pytest_tinybudget.baseline.scope import declared_in
    from pytest_tinybudget.pytest_plugin.process import boards_of

    root, paths, boards = config.rootpath, list(_paths(config)), boards_of(config)
    selected, _ = declared_in(root, paths, root, boards)  # what is wrong is told by collection
    written = path_setting(config, "tinybudget_json")
    return base_of(revision, Run(paths, selected, root, boards, written), gate.base_results)


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
        return None if baseline is None else _compared_with(config, results, baseline)
    except TinybudgetError:
        return None  # each pair of that declaration says so already


def _compared_with(
    config: pytest.Config, results: Sequence[PairResult], baseline: Baseline
) -> Comparison:
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.baseline.scope import still_declared
    from pytest_tinybudget.pytest_plugin.process import boards_of
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
    from pytest_tinybudget.pytest_plugin.process import baselines_named

    files = baselines_named(config, (result.id for result in results))
    return declared_baselines(files, written=path_setting(config, "tinybudget_json"))


def declared_files(config: pytest.Config, results: Sequence[PairResult]) -> list[Path | None]:
    """The results files that the declarations with results name as their baselines, each once."""
    from pytest_tinybudget.pytest_plugin.process import baselines_named

    try:
        named = baselines_named(config, (result.id for result in results))
        return list(dict.fromkeys(named.values()))
    except TinybudgetError:
        return []  # each pair of that declaration says so already
