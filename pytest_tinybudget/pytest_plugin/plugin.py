"""The pytest plugin: options, ini values and hooks; at rest it costs nothing.

Everything else is imported when a ``tinybudget.toml`` is collected or the fixture is used.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from pytest_tinybudget.base.imports import QuickImports
from pytest_tinybudget.pytest_plugin.settings import COLLECTED
from pytest_tinybudget.pytest_plugin.settings import FILE_NAME
from pytest_tinybudget.pytest_plugin.settings import PROPERTIES
from pytest_tinybudget.pytest_plugin.settings import RESULTS
from pytest_tinybudget.pytest_plugin.settings import RESULTS_ATTRIBUTE
from pytest_tinybudget.pytest_plugin.settings import in_worker
from pytest_tinybudget.pytest_plugin.settings import setting


if TYPE_CHECKING:
    from pytest_tinybudget.pytest_plugin.fixture import Tinybudget
    from pytest_tinybudget.pytest_plugin.items import BudgetFile


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinybudget", "memory budgets of models for microcontrollers")
    group.addoption(
        "--tinybudget",
        action="store_true",
        default=None,
        help=f"collect {FILE_NAME} files: a test for each model on each board",
    )
    group.addoption(
        "--tinybudget-json",
        metavar="PATH",
        help="write the results of all pairs to this file",
    )
    group.addoption(
        "--tinybudget-html",
        metavar="PATH",
        help="write a page with all pairs to this file",
    )
    group.addoption(
        "--tinybudget-history",
        metavar="FILE|DIR",
        help="earlier results for the trend in the page: a folder of results files, or a committed "
        "one (default: the baseline file)",
    )
    group.addoption(
        "--tinybudget-report",
        metavar="FORMAT=PATH",
        action="append",
        help="write a report in any format of tinybudget report; may be given several times",
    )
    group.addoption(
        "--tinybudget-baseline",
        metavar="PATH",
        help="compare with this results file, and check max_increase",
    )
    group.addoption(
        "--tinybudget-base",
        metavar="auto|REV",
        help="compare with this commit, and hold growth to max_increase; auto: where the change "
        "that is checked out starts from",
    )
    group.addoption(
        "--tinybudget-require-base",
        action="store_true",
        default=None,
        help="an error instead of a warning where max_increase could not be checked",
    )
    group.addoption(
        "--tinybudget-informational",
        action="store_true",
        default=None,
        help="report failures, but fail no test for them",
    )
    group.addoption(
        "--tinybudget-approve-label",
        metavar="NAME",
        action="append",
        help="a label that approves an increase where GitHub's event says that it was set on the "
        "pull request; may be repeated",
    )
    group.addoption(
        "--tinybudget-artifacts",
        metavar="DIR",
        help="write C arrays and constants to this folder (default: build/tinybudget beside "
        f"the {FILE_NAME})",
    )
    group.addoption(
        "--tinybudget-strict",
        action="store_true",
        default=None,
        help="fail pairs whose numbers are not exact",
    )
    group.addoption(
        "--tinybudget-verify",
        action="store_true",
        default=None,
        help="also run each model once in TFLM's interpreter (needs pytest-tinybudget[verify])",
    )
    group.addoption(
        "--tinybudget-no-cache",
        action="store_true",
        default=None,
        help="convert and measure all models again, without the cache",
    )
    parser.addini("tinybudget", f"collect {FILE_NAME} files", type="bool", default=False)
    parser.addini("tinybudget_json", "file for the results of all pairs", default="")
    parser.addini("tinybudget_html", "file for a page with all pairs", default="")
    parser.addini("tinybudget_history", "earlier results for the trend in the page", default="")
    parser.addini(
        "tinybudget_report", "reports to write, FORMAT=PATH a line", type="linelist", default=[]
    )
    parser.addini("tinybudget_baseline", "results file to compare with", default="")
    parser.addini("tinybudget_base", "commit to compare with, or auto", default="")
    parser.addini(
        "tinybudget_require_base", "fail unchecked growth limits", type="bool", default=False
    )
    parser.addini("tinybudget_informational", "report and never fail", type="bool", default=False)
    parser.addini(
        "tinybudget_approve_label", "labels that approve an increase", type="linelist", default=[]
    )
    parser.addini("tinybudget_artifacts", "folder for the generated C files", default="")
    parser.addini("tinybudget_strict", "fail what is not exact", type="bool", default=False)
    parser.addini("tinybudget_verify", "run each model once", type="bool", default=False)
    parser.addini("tinybudget_no_cache", "convert and measure again", type="bool", default=False)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_tinybudget import hooks

    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(QuickImports.leave)
    config.addinivalue_line("markers", f"tinybudget: a model on a board, from a {FILE_NAME}")
    if in_worker(config):
        return
    _collect_root_file(config)
    if _is_on(config):
        from pytest_tinybudget.pytest_plugin.controller import Controller

        config.pluginmanager.register(Controller(config), "tinybudget-controller")


def _is_on(config: pytest.Config) -> bool:
    named = any(Path(arg.partition("::")[0]).name == FILE_NAME for arg in config.args)
    wanted = ("tinybudget", "tinybudget_json", "tinybudget_html", "tinybudget_report")
    return named or any(setting(config, name) for name in wanted)


def _collect_root_file(config: pytest.Config) -> None:
    """Add the root's declaration where ``testpaths`` would leave it out."""
    root = config.rootpath
    from_testpaths = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not (from_testpaths and setting(config, "tinybudget") and (root / FILE_NAME).is_file()):
        return
    if not any((root / arg).resolve() in (root, *root.parents) for arg in config.args):
        config.args.append(str(root / FILE_NAME))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> BudgetFile | None:
    if file_path.name != FILE_NAME:
        return None
    if not (setting(parent.config, "tinybudget") or parent.session.isinitpath(file_path)):
        return None
    from pytest_tinybudget.pytest_plugin.items import BudgetFile

    return BudgetFile.from_parent(parent, path=file_path)


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config) -> None:
    """``--tinybudget`` asks for pairs: a run that finds none must not pass in silence."""
    if not config.getoption("tinybudget") or config.stash.get(COLLECTED, False):
        return
    message = (
        f"--tinybudget: no {FILE_NAME} in {', '.join(config.args)} (`tinybudget init` writes one; "
        f"the ini value `tinybudget = true` collects what there is and does not ask for any)"
    )
    if not in_worker(config):
        raise pytest.UsageError(message)
    # pytest-xdist takes an exception here for a crash; a failed report reaches its controller.
    report = pytest.CollectReport(FILE_NAME, "failed", message, [])
    session.ihook.pytest_collectreport(report=report)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Convert what the selected pairs need, side by side, before the first of them runs."""
    config = session.config
    # Workers of pytest-xdist have all items and run some: each converts what it comes to.
    if not config.stash.get(COLLECTED, False) or in_worker(config):
        return
    if not (config.option.collectonly or session.testsfailed):
        from pytest_tinybudget.pytest_plugin.items import convert_sources
        from pytest_tinybudget.pytest_plugin.items import spare_collections

        convert_sources(session)
        spare_collections(session)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    finished = yield
    if session.config.stash.get(COLLECTED, False):
        from pytest_tinybudget.pytest_plugin.items import spare_last_collections

        spare_last_collections(session)
    return finished


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.when == "setup" and PROPERTIES in item.stash:
        from pytest_tinybudget.pytest_plugin.wire import detach

        detach(item)
    report = yield
    results = item.stash.get(RESULTS, None)
    if results:
        from pytest_tinybudget.pytest_plugin.kept import all_kept

        if all_kept(results):
            setattr(report, RESULTS_ATTRIBUTE, tuple(results))
        else:
            from pytest_tinybudget.pytest_plugin.wire import attach

            attach(item, report, results)
        del item.stash[RESULTS]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(
    config: pytest.Config, report: pytest.CollectReport | pytest.TestReport
) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Results leave the process as plain data: pytest-xdist and log files take no other."""
    sent = yield
    if sent and RESULTS_ATTRIBUTE in sent:
        from pytest_tinybudget.pytest_plugin.wire import pack

        pack(sent, config)
    return sent


@pytest.hookimpl(wrapper=True)
def pytest_report_from_serializable() -> Generator[
    None, pytest.CollectReport | pytest.TestReport | None, object
]:
    report = yield
    if hasattr(report, RESULTS_ATTRIBUTE):
        from pytest_tinybudget.pytest_plugin.wire import unpack

        unpack(report)
    return report


@pytest.fixture
def tinybudget(request: pytest.FixtureRequest) -> Tinybudget:
    """Checks models against boards and budgets in a test: ``tinybudget.check(path, board=…)``."""
    from pytest_tinybudget.pytest_plugin.fixture import Tinybudget

    return Tinybudget(request)
