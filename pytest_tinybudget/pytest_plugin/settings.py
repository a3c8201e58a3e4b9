"""The plugin's options and ini values, and the keys under which its modules keep things.

Imported in every project where the plugin is installed: it imports nothing but pytest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest


if TYPE_CHECKING:
    from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
    from pytest_tinybudget.results.types import PairResult


FILE_NAME = "tinybudget.toml"

#: In a config's stash: whether a declaration was collected.
COLLECTED = pytest.StashKey[bool]()

#: In an item's stash: results that it has made and that its next report carries to the controller.
RESULTS: pytest.StashKey[list[PairResult | KeptVerdict]] = pytest.StashKey()

#: In an item's stash: the properties that it has from its results.
PROPERTIES: pytest.StashKey[list[tuple[str, object]]] = pytest.StashKey()

#: The attributes of a report that hold results, and the files of a worker.
RESULTS_ATTRIBUTE, FILES_ATTRIBUTE = "tinybudget_results", "tinybudget_files"

#: The keys of what a worker of pytest-xdist is given: the folder of the footprints that workers
#: share, whether anyone reads the details of pairs, and the run's baseline.
SHARED_FOLDER, DETAILS, BASELINE = "tinybudget_shared", "tinybudget_details", "tinybudget_baseline"


def setting(config: pytest.Config, name: str) -> Any:
    """The option ``--tinybudget-NAME``, else the ini value ``tinybudget_NAME``."""
    value = config.getoption(name)
    return config.getini(name) if value is None else value


def path_setting(config: pytest.Config, name: str) -> Path | None:
    """As ``setting``: an option is relative to the working folder, an ini value to rootdir."""
    option: str | None = config.getoption(name)
    if option:
        return config.invocation_params.dir / option
    ini: str = config.getini(name)
    return config.rootpath / ini if ini else None


def writes_page(config: pytest.Config) -> bool:
    """Whether the HTML page is one of the files that this run writes."""
    reports: list[str] = setting(config, "tinybudget_report")
    asked = any(text.partition("=")[0] == "html" for text in reports)
    return asked or path_setting(config, "tinybudget_html") is not None


def artifacts_required(config: pytest.Config) -> bool:
    """Whether this run was asked for C files, which every run writes where it can."""
    return config.getoption("tinybudget_artifacts") is not None


def base_revision(config: pytest.Config) -> str:
    """The commit to compare with, or ``""``; the option of a file overrides an ini value."""
    if config.getoption("tinybudget_baseline") and not config.getoption("tinybudget_base"):
        return ""
    revision: str = setting(config, "tinybudget_base")
    return revision


def names_base(config: pytest.Config) -> bool:
    """Whether an option or an ini value names something to compare with."""
    return bool(base_revision(config) or path_setting(config, "tinybudget_baseline"))


def worker_input(config: pytest.Config) -> dict[str, Any]:
    """What pytest-xdist's controller gave this worker; empty in the controller or without xdist."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    return given


def in_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")
