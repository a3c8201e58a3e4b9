"""The controller's side of a run: collects every pair's result and reports all of them at the end.

Results come with the reports of the tests that made them, also from pytest-xdist's workers, so
that those of a worker that crashes later are not lost.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pytest_tinybudget.base.errors import CANNOT_BE_WRITTEN
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_file
from pytest_tinybudget.pytest_plugin import worker_files
from pytest_tinybudget.pytest_plugin.baseline import check_baseline
from pytest_tinybudget.pytest_plugin.baseline import chosen_baseline
from pytest_tinybudget.pytest_plugin.baseline import comparison_of
from pytest_tinybudget.pytest_plugin.baseline import measure_base
from pytest_tinybudget.pytest_plugin.baseline import names_base
from pytest_tinybudget.pytest_plugin.baseline import send_baseline
from pytest_tinybudget.pytest_plugin.plugin import ATTRIBUTE
from pytest_tinybudget.pytest_plugin.plugin import artifacts_required
from pytest_tinybudget.pytest_plugin.plugin import path_setting
from pytest_tinybudget.pytest_plugin.plugin import setting
from pytest_tinybudget.report import is_github_step
from pytest_tinybudget.report import terminal
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import encodable
from pytest_tinybudget.report.layout import write_lines
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import unmeasured
from pytest_tinybudget.results.types import without_artifacts


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.results.types import Provenance


#: The options of pytest's JUnit file, pytest-reportlog and pytest-json-report, which write a test's
#: properties. Of 20,000 pairs these would be most of the memory: they are not kept for nobody.
PROPERTY_READERS = ("xmlpath", "report_log", "json_report")

#: What a worker of pytest-xdist is told: the folder of the footprints that workers share, and
#: whether the controller tells details.
SHARED_FOLDER, TOLD = "tinybudget_shared", "tinybudget_told"


#: pytest-xdist receives each worker's reports in a thread of its own, and msgspec crashes where two
#: threads ask for the same type first.
_UNPACKING = Lock()


def attach(item: pytest.Item, report: pytest.TestReport, results: Sequence[PairResult]) -> None:
    """Send ``results`` with ``report``, and their sizes where a file has the item's properties.

    The report of a pair that could not be measured says so, without a word of pytest's.
    """
    if report.when == "setup" and report.failed and results[0].outcome == "error":
        report.longrepr = terminal.failure(results[0], style_of(item.config))
    setattr(report, ATTRIBUTE, tuple(results))
    worker_files.attach(report, item.config)
    if any(item.config.getoption(option, None) for option in PROPERTY_READERS):
        for result in results:
            item.user_properties.extend(_properties(result))


def results_of(report: pytest.CollectReport | pytest.TestReport) -> Sequence[PairResult]:
    """What ``attach`` put on ``report``, in this process or another."""
    results: tuple[PairResult, ...] = getattr(report, ATTRIBUTE, ())
    return results


def tells_details(config: pytest.Config) -> bool:
    """Whether the run's controller makes anything of pairs but the table."""
    files = ("tinybudget_json", "tinybudget_html")
    return bool(
        config.getoption("verbose", 0) > 0
        or any(path_setting(config, name) for name in files)
        or setting(config, "tinybudget_report")
        or names_base(config)
        or any(config.getoption(option, None) for option in PROPERTY_READERS)
        or config.hook.pytest_tinybudget_report.get_hookimpls()
        or is_github_step(os.environ)
    )


def pack(sent: dict[str, Any], config: pytest.Config) -> None:
    """Make the results in ``sent``, a report as a mapping, plain data.

    From a worker they go as JSON in one piece: pytest-xdist sends bytes as they are, and everything
    else value by value.
    """
    in_worker = hasattr(config, "workerinput")
    sent[ATTRIBUTE] = (msgspec.json.encode if in_worker else msgspec.to_builtins)(sent[ATTRIBUTE])


def unpack(report: object) -> None:
    """Undo ``pack`` on the report that was made from the mapping."""
    plain = getattr(report, ATTRIBUTE)
    with _UNPACKING:
        results = (
            msgspec.json.decode(plain, type=tuple[PairResult, ...])
            if isinstance(plain, bytes)
            else msgspec.convert(plain, tuple[PairResult, ...])
        )
    setattr(report, ATTRIBUTE, tuple(map(_with_shared_identity, results)))


def _with_shared_identity(result: PairResult) -> PairResult:
    """``result`` with the one identity that all of its runtime have: pairs may be thousands."""
    identity = result.identity
    return result if identity is None else replace(result, identity=_shared(identity))


@lru_cache(maxsize=1024)
def _shared(identity: Identity) -> Identity:
    return identity


def style_of(config: pytest.Config) -> Style:
    """What the terminal of this run shows; a plain one where there is none (``-p no:terminal``)."""
    if not config.pluginmanager.has_plugin("terminalreporter"):
        return Style()
    return Style(config.get_terminal_writer().fullwidth, encodable(sys.stdout.encoding))


class Recorder:
    """Registered as a plugin in the controller, or where there is only one process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._results: dict[str, PairResult] = {}
        self._shared: Path | None = None
        #: With the baseline, once all tests have run. (pytest 8 reads every property of a plugin
        #: when it registers it, so a cached one would be computed of nothing.)
        self._comparison: Comparison | None = None
        self._json = _file_setting(config, "tinybudget_json")
        self._html = _file_setting(config, "tinybudget_html")
        self._reports = list(_requested_reports(config))
        check_baseline(config)

    @property
    def results(self) -> list[PairResult]:
        """All results so far, by id."""
        return sorted(self._results.values(), key=lambda result: result.id)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Measure the base commit, before pytest-xdist starts workers, which are given it."""
        if not self._config.option.collectonly:
            measure_base(self._config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of pytest-xdist what it shares with the others and what is told of it."""
        node.workerinput[TOLD] = tells_details(self._config)
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
            worker_files.write_posted(report, self._config.rootpath)
        except TinybudgetError as error:
            if artifacts_required(self._config) or error.code != CANNOT_BE_WRITTEN:
                results = [unmeasured(result, error) for result in results]
                report.outcome = "failed"
                report.longrepr = terminal.failure(results[0], style_of(self._config))
            else:
                results = [without_artifacts(result, error) for result in results]
            setattr(report, ATTRIBUTE, tuple(results))
        for result in results:
            self._results[result.id] = result
        return (yield)

    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """A pair that passes with a warning shows it in the progress."""
        ran = isinstance(report, pytest.TestReport) and report.when == "call" and report.passed
        if ran and any(result.outcome == "warns" for result in results_of(report)):
            return "passed", "w", ("WARNS", {"yellow": True})
        return None

    def pytest_sessionfinish(self) -> None:
        if self._config.option.collectonly:
            return
        self._comparison = comparison_of(self._config, self.results)
        if self._json is not None:
            from pytest_tinybudget.results import writer

            _write("--tinybudget-json", self._json, writer.render(self.results, self._source()))
        if self._html is not None:
            from pytest_tinybudget.report import html

            _write("--tinybudget-html", self._html, html.render(self.results, self._comparison))
        for name, path in self._reports:
            from pytest_tinybudget.report import formats

            text = formats.render(name, self.results, self._comparison, self._source())
            _write("--tinybudget-report", path, text)

    def _source(self) -> Provenance | None:
        """What is known of the commits that the results are of."""
        baseline = chosen_baseline(self._config)
        return baseline.provenance if baseline else None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        results = self.results
        if not results:
            return
        verbosity = self._config.get_verbosity()
        if verbosity >= 0:
            terminalreporter.write_sep("=", "tinybudget")
        style = style_of(self._config)
        lines = terminal.summary(results, style, verbosity=verbosity)
        comparison = self._comparison
        if comparison is not None:
            from pytest_tinybudget.report import diff_text

            compared = diff_text.comparison_lines(
                comparison, style, unchanged=False, verbosity=verbosity
            )
            lines += [Line(""), *compared]
        write_lines([*lines, *self._third_party_lines(results)], terminalreporter.write_line)
        if is_github_step(os.environ):
            from pytest_tinybudget.report import github

            github.publish(
                results,
                comparison,
                os.environ,
                root=self._config.rootpath,
                print_line=terminalreporter.write_line,
            )

    def _third_party_lines(self, results: Sequence[PairResult]) -> Iterator[Line]:
        reports = self._config.hook.pytest_tinybudget_report(results=results, config=self._config)
        for lines in reports:
            yield from map(Line, lines)


def _file_setting(config: pytest.Config, name: str) -> Path | None:
    """As ``path_setting``, for a file that will be written."""
    path = path_setting(config, name)
    if path is not None and path.is_dir():
        raise pytest.UsageError(f"--{name.replace('_', '-')}: {path} is a folder")
    return path


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
            raise pytest.UsageError(error.told) from None
        path = folder / request.path
        if path.is_dir():
            raise pytest.UsageError(f"{option}: {path} is a folder")
        yield request.format, path


def _write(option: str, path: Path, text: str) -> None:
    try:
        write_file(path, text.encode())
    except TinybudgetError as error:
        raise pytest.UsageError(f"{option}: {error.told}") from None


def _properties(result: PairResult) -> Iterator[tuple[str, object]]:
    facts: dict[str, object] = {
        "model": result.model,
        "board": result.board,
        "runtime": result.runtime,
        "outcome": result.outcome,
        "model_bytes": result.model_bytes,
        "model_sha256": result.model_sha256,
    }
    for measure in result.measures:
        for name in ("used", "limit", "free"):
            facts[f"{RESULT_KEYS[measure.metric]}_{name}"] = getattr(measure, name)
    if result.footprint is not None and result.footprint.arena is not None:
        for name in ("required", "used", "head", "tail"):
            facts[f"arena_{name}"] = getattr(result.footprint.arena, name)
    return (_property(name, value) for name, value in facts.items())


@lru_cache(maxsize=4096, typed=True)
def _property(name: str, value: object) -> tuple[str, object]:
    """Pairs have most of them in common, and pytest keeps those of every test."""
    return f"tinybudget.{name}", value
