"""The baseline of a pytest run: a results file, or a commit; else those that declarations name.

The controller finds it, before any worker of pytest-xdist starts, and hands it to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.pytest_plugin.settings import BASELINE
from pytest_tinybudget.pytest_plugin.settings import base_revision
from pytest_tinybudget.pytest_plugin.settings import path_setting
from pytest_tinybudget.pytest_plugin.settings import worker_input
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.baseline import Baseline


_BASELINE = pytest.StashKey["Baseline | None"]()


class _Sent(Struct, frozen=True):
    """A baseline on its way to a worker: of its pairs what growth is held to, and no more."""

    origin: str
    estimator: str
    pairs: tuple[PairResult, ...] | None
    reason: str
    missing: Mapping[str, str]
    complete: bool


def chosen_baseline(config: pytest.Config) -> Baseline | None:
    """What option or ini value name, once it has been read or measured; ``None`` without any."""
    if _BASELINE not in config.stash:
        given = worker_input(config)
        config.stash[_BASELINE] = _received(given[BASELINE]) if BASELINE in given else None
    return config.stash[_BASELINE]


def keep_baseline(config: pytest.Config, baseline: Baseline) -> Baseline:
    """Make ``baseline`` what ``chosen_baseline`` returns."""
    config.stash[_BASELINE] = baseline
    return baseline


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
    if path is None or base_revision(config):
        return
    from pytest_tinybudget.baseline.baseline import baseline_file

    try:
        written = path_setting(config, "tinybudget_json")
        keep_baseline(config, baseline_file(path, written=written))
    except TinybudgetError as error:
        raise pytest.UsageError(f"--tinybudget-baseline: {error.full_text}") from None


def send_baseline(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Give the run's baseline to a worker."""
    baseline = chosen_baseline(config)
    if baseline is None:
        return
    results = baseline.results
    sent = _Sent(
        results.origin if results else "",
        results.estimator if results else "",
        tuple(pair.without_details() for pair in results.pairs) if results else None,
        baseline.reason,
        baseline.missing,
        baseline.complete,
    )
    workerinput[BASELINE] = msgspec.json.encode(sent)


def _received(content: bytes) -> Baseline:
    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.results.reader import Results

    sent = msgspec.json.decode(content, type=_Sent)
    results = None
    if sent.pairs is not None:
        results = Results(sent.origin, sent.estimator, sent.pairs)
    return Baseline(results, sent.reason, sent.missing, sent.complete)
