"""What the plugin shows on pytest's terminal while tests run: its style and its progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from pytest_tinybudget.convert.settings import FIRST_STEP
from pytest_tinybudget.pytest_plugin.asked import verbosity_of
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import encodable


if TYPE_CHECKING:
    from pytest_tinybudget.report.terminal import Told
    from pytest_tinybudget.results.types import PairResult


_TOLD: pytest.StashKey[Told] = pytest.StashKey()


def style_of(config: pytest.Config) -> Style:
    """What the terminal of this run shows; a plain one where there is none (``-p no:terminal``)."""
    if not config.pluginmanager.has_plugin("terminalreporter"):
        return Style()
    return Style(config.get_terminal_writer().fullwidth, encodable(sys.stdout.encoding))


def failure_text(config: pytest.Config, result: PairResult) -> str:
    """The text of a failure, shorter for each that follows the first in this process."""
    from pytest_tinybudget.report.terminal import Told
    from pytest_tinybudget.report.terminal import failure

    told = config.stash.setdefault(_TOLD, Told())
    return failure(result, style_of(config), verbosity=verbosity_of(config), most=told.most(result))


def show_progress(config: pytest.Config, model: str, step: str) -> None:
    """Show which model is being converted, and on a terminal at which step."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or verbosity_of(config) < 0:
        return
    if reporter.isatty:
        reporter.rewrite(f"converting {model}: {step} ", erase=True)
    elif step == FIRST_STEP:
        reporter.write_line(f"converting {model}")


def show_lines(config: pytest.Config, lines: Iterable[str]) -> None:
    """Write ``lines``, each as it comes; with ``-q`` none is asked for."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or verbosity_of(config) < 0:
        return
    for line in lines:
        reporter.write_line(line)


def clear_progress(config: pytest.Config) -> None:
    """Remove the line of ``show_progress`` from a terminal."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.isatty:
        reporter.rewrite("", erase=True)
        reporter.rewrite("")
