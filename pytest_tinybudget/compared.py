"""The baseline of a pytest run: from option or ini value, else from the declarations that ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_tinybudget.declaration.problems import shown
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.plugin import FILE_NAME
from pytest_tinybudget.plugin import path_setting


if TYPE_CHECKING:
    from pathlib import Path

    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.baseline.stored import Results
    from pytest_tinybudget.results import PairResult


_BASELINE = pytest.StashKey["Results | None"]()


def chosen_baseline(config: pytest.Config) -> Results | None:
    """The results file that option or ini value name, if it is there yet.

    Raises:
        pytest.UsageError: it is no results file.
    """
    path = path_setting(config, "tinybudget_baseline")
    if path is None:
        return None
    if _BASELINE not in config.stash:
        from pytest_tinybudget.baseline.stored import load_results

        try:
            config.stash[_BASELINE] = load_results(path) if path.exists() else None
        except TinybudgetError as error:
            raise pytest.UsageError(f"--tinybudget-baseline: {error}") from None
    return config.stash[_BASELINE]


def comparison_of(config: pytest.Config, results: Sequence[PairResult]) -> Comparison | None:
    """``results`` compared with the run's baseline; ``None`` where no baseline is wanted."""
    chosen = path_setting(config, "tinybudget_baseline")
    try:
        paths = _declared(config, results) if chosen is None else [chosen]
        return _compared(config, results, paths) if paths else None
    except TinybudgetError:
        return None  # each pair of that declaration says so already


def _compared(
    config: pytest.Config, results: Sequence[PairResult], paths: Sequence[Path]
) -> Comparison:
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.baseline.scope import still_declared
    from pytest_tinybudget.baseline.stored import joined
    from pytest_tinybudget.baseline.stored import load_results
    from pytest_tinybudget.baseline.stored import own_results
    from pytest_tinybudget.collection import boards_of

    base = joined([load_results(path) for path in paths if path.exists()])
    ran = {result.id for result in results}
    missing = [pair.id for pair in (base.pairs if base else ()) if pair.id not in ran]
    return compare(
        base,
        own_results(results, "this run"),
        not_run=still_declared(missing, config.rootpath, boards_of(config)),
        notes=tuple(f"no baseline yet at {shown(path)}" for path in paths if not path.exists()),
    )


def _declared(config: pytest.Config, results: Sequence[PairResult]) -> list[Path]:
    """The baselines of the declarations that have results, each once."""
    from pytest_tinybudget.collection import declaration_at

    files = sorted({result.id.partition("::")[0] for result in results})
    paths = [config.rootpath / file for file in files]
    declared = [
        declaration_at(config, path).baseline
        for path in paths
        if path.name == FILE_NAME and path.exists()
    ]
    return [path for path in dict.fromkeys(declared) if path is not None]
