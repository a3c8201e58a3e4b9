"""Under pytest-xdist: the same results, reports and C files as in one process, whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import NamedTuple

import pytest
from conftest import dense_model
from conftest import keyword_model
from conftest import needs_xdist


pytestmark = needs_xdist

Project = Callable[..., pytest.Pytester]

BOARDS = ("arduino-nano-33-ble", "raspberry-pi-pico")
OUTPUT = ("results.json", "page.html")

#: A group, and a pair that fails, so that every kind of result travels.
DECLARATION = """\
schema = 1

[models.kws]
source = "models/kws.tflite"
boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]

[models.vad]
source = "models/vad.tflite"
boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]
budget = { ram = "1 KB" }

[groups.both]
models = ["kws", "vad"]
boards = ["arduino-nano-33-ble"]
"""

#: Ends the process that runs the pair, in the middle of it, as a signal would.
_DIES = """\
import os

def pytest_runtest_call(item):
    if item.nodeid.endswith("kws::raspberry-pi-pico") and "PYTEST_XDIST_WORKER" in os.environ:
        os._exit(1)
"""


@pytest.fixture(autouse=True)
def _date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of runs a minute apart are the same."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796000000")


def outputs(pytester: pytest.Pytester, *arguments: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """What a run writes: its reports, and digests of the C files by name."""
    folder = hashlib.sha256("".join(arguments).encode()).hexdigest()[:8]
    result = pytester.runpytest_subprocess(
        *("--tinybudget", "-p", "no:cacheprovider", f"--tinybudget-artifacts={folder}/c"),
        *(f"--tinybudget-json={folder}/results.json", f"--tinybudget-html={folder}/page.html"),
        *arguments,
    )
    result.assert_outcomes(passed=3, failed=2)
    made = pytester.path / folder
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (made / "c").iterdir()
    }
    return {name: (made / name).read_bytes() for name in OUTPUT}, files


@pytest.mark.campaign
def test_every_distribution_writes_the_bytes_of_one_process(project: Project) -> None:
    pytester = project(DECLARATION)
    reports, files = outputs(pytester, "-p", "no:xdist")
    assert len(json.loads(reports["results.json"])["pairs"]) == 5
    assert {"kws_model_data.h", "vad_model_settings.h"} <= files.keys()
    for scheduling in ("load", "loadscope", "loadfile", "loadgroup", "worksteal"):
        assert outputs(pytester, "-n", "3", "--dist", scheduling) == (reports, files), scheduling
    assert outputs(pytester, "-n", "0") == (reports, files)


@pytest.mark.campaign
def test_each_worker_may_run_all_of_it(project: Project) -> None:
    pytester = project(DECLARATION)
    reports, files = outputs(pytester, "-p", "no:xdist")
    result = pytester.runpytest_subprocess(
        *("--tinybudget", "--dist=each", "--tx=2*popen", "--tinybudget-json=each.json"),
        *("--tinybudget-artifacts=each", "--tinybudget-html=each.html"),
    )
    result.assert_outcomes(passed=6, failed=4)
    assert pytester.path.joinpath("each.json").read_bytes() == reports["results.json"]
    assert {path.name for path in pytester.path.joinpath("each").iterdir()} == files.keys()


@pytest.mark.campaign
def test_a_worker_that_dies_loses_its_pair_only(project: Project) -> None:
    pytester = project(DECLARATION)
    reports, _ = outputs(pytester, "-p", "no:xdist")
    whole = json.loads(reports["results.json"])["pairs"]
    pytester.makeconftest(_DIES)
    result = pytester.runpytest_subprocess(
        *("--tinybudget", "-n", "2", "--tinybudget-json=survived.json", "-p", "no:cacheprovider"),
        "--tinybudget-html=survived.html",
    )
    result.stdout.fnmatch_lines(["*worker 'gw?' crashed while running *kws::raspberry-pi-pico*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    survived = json.loads(pytester.path.joinpath("survived.json").read_text())["pairs"]
    lost = "tinybudget.toml::kws::raspberry-pi-pico"
    assert survived == [pair for pair in whole if pair["id"] != lost]


def test_each_model_is_measured_once_however_many_workers(project: Project) -> None:
    # Its names tell cores apart, and nothing that would fix a pair has other flags.
    pytester = project(DECLARATION + '\n[defaults]\nruntime = "tflite-micro 90b983c2"\n')
    pytester.makeconftest(
        """
import os

def pytest_tinybudget_estimator(model, runtime):
    with open("measured.txt", "a") as log:
        log.write(f"{model.sha256} {runtime.name} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""
    )
    # Every worker runs every pair: each would measure each of the models for itself.
    result = pytester.runpytest_subprocess(
        *("--tinybudget", "-p", "no:cacheprovider", "--dist=each", "--tx=3*popen")
    )
    result.assert_outcomes(passed=9, failed=6)
    lines = pytester.path.joinpath("measured.txt").read_text().splitlines()
    measured = [line.rpartition(" ")[0] for line in lines]
    files = pytester.path.joinpath("models").iterdir()
    models = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    declared = [line for line in measured if line.split()[0] in models and "_ref" not in line]
    assert len(declared) == 4  # two models for the runtimes of two boards
    assert len(set(measured)) == len(measured)  # what would fix those that fail, as well


#: What each process of a run tells of itself: what the controller gets, and what a worker writes.
_WATCHED = """
import os
from pathlib import Path

import pytest

sent = []

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        sent.extend(report.tinybudget_results)

def pytest_terminal_summary(terminalreporter):
    whole = sum(result.footprint is not None for result in sent)
    terminalreporter.write_line(f"{len(sent)} pass, {whole} whole")

def pytest_configure(config):
    folder = getattr(config, "workerinput", {}).get("tinybudget_shared")
    if folder:
        open("shared.txt", "w").write(folder)
        replace = os.replace
        def watched(self, target):
            if not str(target).startswith(folder):
                open("by_workers.txt", "a").write(f"{target}\\n")
            return replace(self, target)
        Path.replace = watched
"""


class Watched(NamedTuple):
    """A run in two workers, which writes all that a run may write."""

    folder: Path
    temporary: Path
    printed: str


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder, temporary = tmp_path_factory.mktemp("watched"), tmp_path_factory.mktemp("temporary")
    folder.joinpath("models").mkdir()
    folder.joinpath("models", "kws.tflite").write_bytes(keyword_model())
    folder.joinpath("models", "vad.tflite").write_bytes(dense_model())
    folder.joinpath("tinybudget.toml").write_text(DECLARATION, encoding="utf-8")
    folder.joinpath("conftest.py").write_text(_WATCHED, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--tinybudget", "-n", "2", "--tinybudget-no-cache"]
    files = ("--tinybudget-json=results.json", "--tinybudget-artifacts=c")
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider", *files],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "2 failed, 3 passed" in run.stdout
    return Watched(folder, temporary, run.stdout)


def test_workers_send_of_pairs_that_pass_all_that_a_file_holds(watched: Watched) -> None:
    assert "3 pass, 3 whole" in watched.printed.splitlines()


@pytest.mark.campaign
def test_workers_send_of_pairs_that_pass_no_more_than_is_told(project: Project) -> None:
    pytester = project(DECLARATION)
    pytester.makeconftest(_WATCHED)
    result = pytester.runpytest_subprocess("--tinybudget", "-n", "2")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(["3 pass, 0 whole"])


def test_what_workers_share_is_gone_after_the_run(watched: Watched) -> None:
    shared = Path(watched.folder.joinpath("shared.txt").read_text())
    assert shared.is_relative_to(watched.temporary)
    assert left_in(watched.temporary) == []


def test_only_the_controller_writes_c_files(watched: Watched) -> None:
    """A worker puts no file in its place but what workers and runs share."""
    written = {path.name for path in watched.folder.joinpath("c").iterdir()}
    assert {"kws_model_data.h", "vad_model_settings.h"} <= written
    assert not watched.folder.joinpath("by_workers.txt").exists()


def left_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith("tinybudget-")]


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is sent SIGKILL there")
@pytest.mark.campaign
def test_what_workers_shared_goes_with_the_run_after_one_that_was_killed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pytester = project(DECLARATION)
    pytester.makeconftest(
        """
import os, pathlib, time

def pytest_runtest_call(item):
    begun = pathlib.Path("begun")
    if not begun.exists():
        begun.write_text("")
        time.sleep(2)
"""
    )
    command = [sys.executable, "-m", "pytest", "--tinybudget", "-n", "2"]
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL) as killed:
        while not pytester.path.joinpath("begun").exists():
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
    assert len(left_in(tmp_path)) == 1
    outputs(pytester, "-n", "2")
    assert left_in(tmp_path) == []


@pytest.mark.campaign
def test_without_room_for_what_is_shared_each_worker_measures(project: Project) -> None:
    pytester = project(DECLARATION)
    alone = outputs(pytester, "-p", "no:xdist")
    pytester.makeconftest(
        """
import tempfile

def refuse(*_, **__):
    raise OSError(28, "No space left on device")

tempfile.mkdtemp = refuse
"""
    )
    assert outputs(pytester, "-n", "2") == alone


def test_files_that_cannot_be_written_fail_their_pair(project: Project) -> None:
    pytester = project(DECLARATION.partition("[models.vad]")[0])
    pytester.path.joinpath("taken").write_text("a file in the place of the folder")
    found = []
    for arguments in (("-p", "no:xdist"), ("-n", "2")):
        result = pytester.runpytest_subprocess(
            *("--tinybudget", "-p", "no:cacheprovider", "--tinybudget-artifacts=taken"),
            *("--tinybudget-json=results.json", *arguments),
        )
        assert result.ret == pytest.ExitCode.TESTS_FAILED, arguments
        result.stdout.fnmatch_lines(["*cannot write to *taken*"])
        found.append(json.loads(pytester.path.joinpath("results.json").read_text())["pairs"])
    assert [pair["outcome"] for pair in found[0]] == ["error", "error"]
    assert found[0] == found[1]


def test_a_log_of_reports_gets_results_as_plain_data(project: Project) -> None:
    """What pytest-reportlog does: a hook of the one process asks for each report as a mapping."""
    pytester = project(DECLARATION)
    pytester.makeconftest(
        """
import json
import sys

def pytest_runtest_logreport(report):
    config = report_config[0]
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    with open("log.jsonl", "a") as log:
        log.write(json.dumps(data) + "\\n")
    again = config.hook.pytest_report_from_serializable(config=config, data=data)
    assert getattr(again, "tinybudget_results", ()) == getattr(report, "tinybudget_results", ())

report_config = []

def pytest_configure(config):
    report_config.append(config)
"""
    )
    pytester.runpytest_subprocess("--tinybudget").assert_outcomes(passed=3, failed=2)
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in Path(pytester.path, "log.jsonl").read_text().splitlines()
    ]
    results = [each for line in lines for each in line.get("tinybudget_results", ())]
    assert {result["board"] for result in results} == set(BOARDS)
    assert len(results) == 5


@pytest.mark.campaign
def test_shards_merge_to_the_bytes_of_the_whole_run(project: Project) -> None:
    pytester = project(DECLARATION)
    reports, _ = outputs(pytester, "-p", "no:xdist")
    for name, selection in (("a", "nano"), ("b", "not nano")):
        pytester.runpytest_subprocess(
            *("--tinybudget", "-k", selection, "-n", "2", f"--tinybudget-json={name}.json"),
            f"--tinybudget-html={name}.html",  # a run with the page measures more
        )
    command = (sys.executable, "-m", "pytest_tinybudget", "merge")
    merged = pytester.run(*command, "b.json", "a.json", "-o", "all.json")
    assert merged.ret == 1
    assert pytester.path.joinpath("all.json").read_bytes() == reports["results.json"]
