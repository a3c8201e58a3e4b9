"""``tinybudget fleet`` under kill -9 at every step, and with several processes at once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from campaigns import rare


resource = pytest.importorskip("resource", reason="needs POSIX")

CAMPAIGN = Path(__file__).with_name("fleet_campaign.py")
DEVICES = 300


@pytest.fixture(autouse=True)
def _whole_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose files cannot grow must write no bytecode: Python may leave it cut."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.mark.parametrize(
    ("mode", "step", "at_least"),
    [
        rare(("statements", 1, 250)),
        ("instructions", 3070, 5),
        rare(("instructions", 307, 50)),
        rare(("bytes", 2060, 80)),
    ],
)
def test_a_kill_at_any_step_loses_nothing_and_updates_no_device_twice(
    tmp_path: Path, mode: str, step: int, at_least: int
) -> None:
    command = [sys.executable, str(CAMPAIGN), str(tmp_path), mode, str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= at_least


def test_processes_that_take_devices_at_once_never_get_the_same_one(tmp_path: Path) -> None:
    devices = "".join(f"device-{number}\n" for number in range(DEVICES))
    (tmp_path / "devices.csv").write_text(f"device\n{devices}", encoding="utf-8")
    fleet(tmp_path, "register", "--from", "devices.csv", "--version", "1.1.0")
    fleet(tmp_path, "start", "--version", "1.2.0", "--stages", "100")
    workers = [
        subprocess.Popen(
            [*COMMAND, "next", "-n", "50", "--worker", f"worker-{number}"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    taken = Counter(
        line.split(",")[1]
        for worker in workers
        for line in worker.communicate(timeout=120)[0].splitlines()[1:]
    )
    assert len(taken) == DEVICES
    assert set(taken.values()) == {1}


def test_results_that_come_from_several_processes_count_once(tmp_path: Path) -> None:
    fleet(tmp_path, "register", "a", "b", "c", "--version", "1.1.0")
    fleet(tmp_path, "start", "--version", "1.2.0", "--stages", "100")
    fleet(tmp_path, "next")
    (tmp_path / "results.csv").write_text("device,result\na,ok\nb,failed\n", encoding="utf-8")
    reporters = [
        subprocess.Popen(
            [*COMMAND, "report", "--from", "results.csv"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = Counter(reporter.communicate(timeout=120)[0] for reporter in reporters)
    assert said == {"2 results recorded\n": 1, "0 results recorded, 2 known before\n": 3}


def test_a_locked_file_is_waited_for_and_then_told(tmp_path: Path) -> None:
    fleet(tmp_path, "register", "a")
    other = sqlite3.connect(tmp_path / "fleet.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = run(tmp_path, "register", "b", "--wait", "0.2")
    assert done.returncode == 2
    assert "in use by another process; waited 0.2 s" in done.stderr
    # Who only looks does not wait for who writes.
    assert run(tmp_path, "status", "--wait", "0").returncode == 0
    other.execute("COMMIT")
    other.close()
    fleet(tmp_path, "register", "b", "--wait", "0")


def test_a_full_disk_is_one_line_and_nothing_is_recorded(tmp_path: Path) -> None:
    fleet(tmp_path, "register", "a", "--version", "1.1.0")
    rows = "".join(f"device-{number:06d},1.1.0\n" for number in range(20_000))
    (tmp_path / "devices.csv").write_text(f"device,version\n{rows}", encoding="utf-8")
    before = (tmp_path / "fleet.sqlite").stat().st_size
    # Writes beyond the limit fail as they do on a full disk.
    done = run(tmp_path, "register", "--from", "devices.csv", most_bytes=before + 300_000)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nothing of this command was recorded" in done.stderr
    assert run(tmp_path, "list").stdout.splitlines()[1].split()[0] == "a"
    assert "1 device:" in run(tmp_path, "status").stdout
    fleet(tmp_path, "register", "--from", "devices.csv")
    assert "20,001 devices:" in run(tmp_path, "status").stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_file_is_one_line(tmp_path: Path) -> None:
    fleet(tmp_path, "register", "a")
    (tmp_path / "fleet.sqlite").chmod(0o444)
    done = run(tmp_path, "register", "b")
    assert done.returncode == 2
    assert "cannot be written: it is read-only" in done.stderr


COMMAND = (sys.executable, "-m", "pytest_tinybudget", "fleet")


def fleet(folder: Path, *arguments: str) -> str:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(
    folder: Path, *arguments: str, most_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of ``tinybudget fleet``, which may not write files beyond ``most_bytes``."""
    command = [*COMMAND, *arguments]
    if most_bytes is not None:
        limited = (
            "import resource, runpy, sys; "
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, -1)); "
            "sys.argv[0] = 'tinybudget'; runpy.run_module('pytest_tinybudget', run_name='__main__')"
        )
        command = [sys.executable, "-c", limited, "fleet", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
