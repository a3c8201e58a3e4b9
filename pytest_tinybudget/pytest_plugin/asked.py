"""How much of its pairs a run shows; imported by every run, so it imports nothing heavy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_tinybudget.pytest_plugin.settings import DETAILS
from pytest_tinybudget.pytest_plugin.settings import names_base
from pytest_tinybudget.pytest_plugin.settings import path_setting
from pytest_tinybudget.pytest_plugin.settings import setting
from pytest_tinybudget.pytest_plugin.settings import worker_input
from pytest_tinybudget.report import is_github_step


if TYPE_CHECKING:
    import pytest


#: The options of pytest's JUnit file, pytest-reportlog and pytest-json-report, which write a test's
#: properties. Of 20,000 pairs these would be most of the memory: they are made for these readers.
PROPERTY_READERS = ("xmlpath", "report_log", "json_report")


def verbosity_of(config: pytest.Config) -> int:
    """How much the run shows, as ``-v`` and ``-q`` say: 0 where there is no terminal to ask.

    The option is the terminal plugin's: pytest 8 raises where ``-p no:terminal`` left it out.
    """
    verbosity: int = config.getoption("verbose", 0)
    return verbosity


def details_wanted(config: pytest.Config) -> bool:
    """Whether the run shows more of a pair than the table and the text of a failure.

    The controller finds it out, and tells pytest-xdist's workers.
    """
    given = worker_input(config)
    if DETAILS in given:
        return bool(given[DETAILS])
    files = ("tinybudget_json", "tinybudget_html")
    return bool(
        verbosity_of(config) > 0
        or any(path_setting(config, name) for name in files)
        or setting(config, "tinybudget_report")
        or names_base(config)
        or any(config.getoption(option, None) for option in PROPERTY_READERS)
        or config.hook.pytest_tinybudget_report.get_hookimpls()
        or is_github_step(os.environ)
    )
