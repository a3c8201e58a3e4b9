"""Verdicts of earlier runs in a pytest run: whether they may be taken, of what state, and kept.

Imported by every run with a declaration, so it imports nothing heavy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_tinybudget.base.code_state import WHOLE_PACKAGE
from pytest_tinybudget.base.code_state import code_stamps
from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
from pytest_tinybudget.gate.kept_verdicts import table_key
from pytest_tinybudget.gate.seen import Claims
from pytest_tinybudget.gate.seen import Seen
from pytest_tinybudget.pytest_plugin.asked import details_wanted
from pytest_tinybudget.pytest_plugin.asked import verbosity_of
from pytest_tinybudget.pytest_plugin.settings import RESULTS_ATTRIBUTE
from pytest_tinybudget.pytest_plugin.settings import in_worker
from pytest_tinybudget.pytest_plugin.settings import path_setting
from pytest_tinybudget.pytest_plugin.settings import setting


if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_tinybudget.results.types import PairResult


_CLAIMS = pytest.StashKey[Claims]()
_CODE = pytest.StashKey[str]()


def may_keep(config: pytest.Config) -> bool:
    """Whether this run may take verdicts of earlier ones, and keep its own.

    Not where it shows more of a pair than was kept, is compared with a base, measures otherwise
    than the built-in way, or is one of several processes.
    """
    anew = ("tinybudget_no_cache", "tinybudget_verify", "tinybudget_require_base")
    hook = config.hook
    return not (
        in_worker(config)
        or any(setting(config, name) for name in anew)
        or details_wanted(config)
        or hook.pytest_tinybudget_boards.get_hookimpls()
        or hook.pytest_tinybudget_estimator.get_hookimpls()
    )


def claims_of(config: pytest.Config) -> Claims:
    """Whose the names of C files are in this run."""
    return config.stash.setdefault(_CLAIMS, {})


def results_of(
    report: pytest.CollectReport | pytest.TestReport,
) -> Sequence[PairResult | KeptVerdict]:
    """The results on ``report``, of this process or another."""
    results: tuple[PairResult | KeptVerdict, ...] = getattr(report, RESULTS_ATTRIBUTE, ())
    return results


def all_kept(results: Iterable[PairResult | KeptVerdict]) -> bool:
    """Whether all ``results`` are of earlier runs."""
    return all(isinstance(each, KeptVerdict) for each in results)


def seen(config: pytest.Config, path: Path, file: str) -> Seen:
    """The declaration at ``path``, as it is now, with node id ``file``."""
    if not may_keep(config):
        return Seen(path, file)
    if _CODE not in config.stash:
        config.stash[_CODE] = code_stamps(WHOLE_PACKAGE)
    rules = (setting(config, f"tinybudget_{name}") for name in ("strict", "informational"))
    paths = (path, config.rootpath, Path.cwd())  # which are in texts
    asked = (*map(str, (*paths, *rules)), file, _artifacts(config), config.stash[_CODE])
    return Seen(path, file, asked, claims_of(config))


def shown_key(config: pytest.Config, results: Mapping[str, str]) -> str:
    """The key of the table that this run shows of ``results``, a hash of each by id."""
    width = config.get_terminal_writer().fullwidth
    how = (str(width), str(sys.stdout.encoding), str(verbosity_of(config)))
    return table_key(results.items(), (*how, config.stash.get(_CODE, "")))


def _artifacts(config: pytest.Config) -> str:
    """The folder of C files that the run names, else empty."""
    return str(path_setting(config, "tinybudget_artifacts") or "")
