"""The controller's side of a run: gathers every pair's result and reports all at the end."""

from __future__ import annotations

import os
from collections.abc import Generator
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from pytest_tinybudget.base.errors import CANNOT_BE_WRITTEN
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_report
from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
from pytest_tinybudget.gate.kept_verdicts import as_results
from pytest_tinybudget.gate.kept_verdicts import earlier_verdicts
from pytest_tinybudget.pytest_plugin.asked import details_wanted
from pytest_tinybudget.pytest_plugin.asked import verbosity_of
from pytest_tinybudget.pytest_plugin.kept import all_kept
from pytest_tinybudget.pytest_plugin.kept import may_keep
from pytest_tinybudget.pytest_plugin.kept import results_of
from pytest_tinybudget.pytest_plugin.kept import shown_key
from pytest_tinybudget.pytest_plugin.settings import DETAILS
from pytest_tinybudget.pytest_plugin.settings import RESULTS_ATTRIBUTE
from pytest_tinybudget.pytest_plugin.settings import SHARED_FOLDER
from pytest_tinybudget.pytest_plugin.settings import artifacts_required
from pytest_tinybudget.pytest_plugin.settings import base_revision
from pytest_tinybudget.pytest_plugin.settings import names_base
from pytest_tinybudget.pytest_plugin.settings import path_setting
from pytest_tinybudget.pytest_plugin.settings import setting
from pytest_tinybudget.pytest_plugin.settings import writes_page
from pytest_tinybudget.pytest_plugin.worker_files import write_files
from pytest_tinybudget.report import is_github_step


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.baseline.history import History
    from pytest_tinybudget.report.layout import Line
    from pytest_tinybudget.results.types import PairResult
    from pytest_tinybudget.results.types import Provenance


class Controller:
    """Registered as a plugin in pytest-xdist's controller, or where there is only one process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: dict[str, PairResult | KeptVerdict] = {}
        #: A hash of each result that is kept for later runs, by id.
        self._kept: dict[str, str] = {}
        self._shared: Path | None = None
        #: With the baseline, once all tests have run. (pytest 8 reads every property of a plugin
        #: when it registers it, so a cached one would be computed of nothing.)
        self._comparison: Comparison | None = None
        self._json = _file_setting(config, "tinybudget_json")
        self._html = _file_setting(config, "tinybudget_html")
        self._reports = list(_requested_reports(config))
        _require_history(config)
        if names_base(config):
            from pytest_tinybudget.pytest_plugin.baseline import check_baseline

            check_baseline(config)

    @property
    def results(self) -> list[PairResult]:
        """All results so far, by id."""
        return sorted(as_results(self._results.values()), key=lambda result: result.id)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Measure the base commit, before pytest-xdist starts workers, which are given it."""
        if base_revision(self._config) and not self._config.option.collectonly:
            from pytest_tinybudget.pytest_plugin.comparison import measure_base

            measure_base(self._config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker of pytest-xdist the baseline and what it shares with the others."""
        from pytest_tinybudget.pytest_plugin.baseline import send_baseline

        node.workerinput[DETAILS] = details_wanted(self._config)
        send_baseline(self._config, node.workerinput)
        if self._shared is None:
            from pytest_tinybudget.base.folders import temporary_folder

            stack = ExitStack()
            try:
                self._shared = stack.enter_context(temporary_folder())
            except OSError:
                return  # each worker measures for itself
            self._config.add_cleanup(stack.close)
        node.workerinput[SHARED_FOLDER] = str(self._shared)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Keep the results before any other plugin sees the report, and write a worker's files."""
        results = results_of(report)
        try:
            write_files(report, self._config.rootpath)
        except TinybudgetError as error:
            results = self._without_files(report, error)
        for result in results:
            self._results[result.id] = result
        return (yield)

    def _without_files(
        self, report: pytest.TestReport, error: TinybudgetError
    ) -> Sequence[PairResult]:
        """The results on ``report``, whose files could not be written."""
        from pytest_tinybudget.pytest_plugin.terminal import failure_text
        from pytest_tinybudget.results.types import unmeasured
        from pytest_tinybudget.results.types import without_artifacts

        results = as_results(results_of(report))
        if artifacts_required(self._config) or error.code != CANNOT_BE_WRITTEN:
            results = tuple(unmeasured(result, error) for result in results)
            report.outcome = "failed"
            report.longrepr = failure_text(self._config, results[0])
        else:
            results = tuple(without_artifacts(result, error) for result in results)
        setattr(report, RESULTS_ATTRIBUTE, results)
        return results

    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """A pair that passes with a warning, or only informs, shows it in the progress."""
        results = results_of(report)
        if not results:
            return None
        if any(result.failed and result.informational for result in results):
            return "xfailed", "i", ("INFO", {"yellow": True})
        ran = isinstance(report, pytest.TestReport) and report.when == "call" and report.passed
        if ran and any(result.outcome == "warns" for result in results):
            return "passed", "w", ("WARNS", {"yellow": True})
        return None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._config.option.collectonly:
            return
        if self._results and may_keep(self._config):
            from pytest_tinybudget.pytest_plugin.items import keep_verdicts

            self._kept = keep_verdicts(session, self._results)
        # No declaration whose verdicts are kept has a baseline.
        if not all_kept(self._results.values()) and self._is_compared():
            from pytest_tinybudget.pytest_plugin.comparison import comparison_of

            self._comparison = comparison_of(self._config, self.results)
        # Before the results file is written: it may be one of those in the history.
        history = self._history() if writes_page(self._config) else None
        if self._json is not None:
            from pytest_tinybudget.results import writer

            _write("--tinybudget-json", self._json, writer.render(self.results, self._source()))
        page = [("html", "--tinybudget-html", self._html)] if self._html is not None else []
        others = [(name, "--tinybudget-report", path) for name, path in self._reports]
        for name, option, path in (*page, *others):
            from pytest_tinybudget.report import formats

            text = formats.render(
                name,
                self.results,
                self._comparison,
                self._source(),
                root=self._config.rootpath,
                history=history,
            )
            _write(option, path, text)

    def _is_compared(self) -> bool:
        """Whether an option, an ini value or a declaration names something to compare with."""
        if names_base(self._config):
            return True
        from pytest_tinybudget.pytest_plugin.process import baselines_named

        try:
            return any(baselines_named(self._config, self._results).values())
        except TinybudgetError:
            return False  # each pair of that declaration says so already

    def _source(self) -> Provenance | None:
        """What is known of the commits that the results are of."""
        from pytest_tinybudget.pytest_plugin.baseline import chosen_baseline

        baseline = chosen_baseline(self._config)
        return baseline.provenance if baseline else None

    def _history(self) -> History | None:
        """How sizes went before: from what is named, else from the baselines."""
        from pytest_tinybudget.baseline.history import history_at_hand
        from pytest_tinybudget.baseline.history import history_before

        named = path_setting(self._config, "tinybudget_history")
        if named is None:
            from pytest_tinybudget.pytest_plugin.comparison import declared_files

            baseline = path_setting(self._config, "tinybudget_baseline")
            declared = declared_files(self._config, self.results)
            return history_at_hand([baseline, *declared], self.results)
        try:
            return history_before(named, self.results)
        except TinybudgetError as error:
            raise pytest.UsageError(f"--tinybudget-history: {error.full_text}") from None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._results:
            return
        if verbosity_of(self._config) >= 0:
            terminalreporter.write_sep("=", "tinybudget")
        if not self._show_as_before(terminalreporter):
            self._show(terminalreporter)

    def _show_as_before(self, terminalreporter: pytest.TerminalReporter) -> bool:
        """Show what was shown of these results, if they and the terminal are as they were."""
        kept = {
            key: each.digest for key, each in self._results.items() if isinstance(each, KeptVerdict)
        }
        if len(kept) < len(self._results) or not may_keep(self._config):
            return False
        self._kept = kept
        lines = earlier_verdicts().table(shown_key(self._config, kept))
        for text, markup in lines or ():
            terminalreporter.write_line(text, **dict.fromkeys(markup, True))
        return lines is not None

    def _show(self, terminalreporter: pytest.TerminalReporter) -> None:
        from pytest_tinybudget.pytest_plugin.terminal import style_of
        from pytest_tinybudget.report import summary
        from pytest_tinybudget.report.layout import Line
        from pytest_tinybudget.report.layout import write_lines

        results, verbosity = self.results, verbosity_of(self._config)
        style = style_of(self._config)
        table = summary.summary(results, style, verbosity=verbosity)
        if self._kept.keys() == self._results.keys():
            shown = [(line.text, line.markup) for line in table]
            earlier_verdicts().keep_table(shown_key(self._config, self._kept), shown)
        changes: list[Line] = []
        comparison = self._comparison
        if comparison is not None:
            from pytest_tinybudget.report import diff_text

            changes = diff_text.comparison_lines(
                comparison, style, unchanged=False, verbosity=verbosity
            )
        third_party = self._third_party_lines(results)
        if is_github_step(os.environ):
            from pytest_tinybudget.report import github

            table = github.group("all pairs", table)
            changes = github.group("what changed", changes)
        lines = [*table, *([Line("")] if changes else []), *changes, *third_party]
        write_lines(lines, terminalreporter.write_line)
        if is_github_step(os.environ):
            github.publish(
                results,
                comparison,
                os.environ,
                root=self._config.rootpath,
                print_line=terminalreporter.write_line,
            )

    def _third_party_lines(self, results: Sequence[PairResult]) -> Iterator[Line]:
        from pytest_tinybudget.report.layout import Line

        reports = self._config.hook.pytest_tinybudget_report(results=results, config=self._config)
        for lines in reports:
            yield from map(Line, lines)


def _file_setting(config: pytest.Config, name: str) -> Path | None:
    """As ``path_setting``, for a file that will be written."""
    path = path_setting(config, name)
    if path is not None and path.is_dir():
        raise pytest.UsageError(f"--{name.replace('_', '-')}: {path} is a folder")
    return path


def _require_history(config: pytest.Config) -> None:
    path = path_setting(config, "tinybudget_history")
    if path is not None and not path.exists():
        raise pytest.UsageError(f"--tinybudget-history: {path}: no such file or folder")


def _requested_reports(config: pytest.Config) -> Iterator[tuple[str, Path]]:
    """Format and file of each ``--tinybudget-report``; of the ini value's where there is none."""
    option = "--tinybudget-report"
    is_given = config.getoption("tinybudget_report") is not None
    folder = config.invocation_params.dir if is_given else config.rootpath
    for text in setting(config, "tinybudget_report"):
        from pytest_tinybudget.report.formats import requested

        try:
            request = requested(text, option)
        except TinybudgetError as error:
            raise pytest.UsageError(error.full_text) from None
        path = folder / request.path
        if path.is_dir():
            raise pytest.UsageError(f"{option}: {path} is a folder")
        yield request.format, path


def _write(option: str, path: Path, text: str) -> None:
    try:
        write_report(path, text)
    except TinybudgetError as error:
        raise pytest.UsageError(f"{option}: {error.full_text}") from None
