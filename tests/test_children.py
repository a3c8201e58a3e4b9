"""Child processes and temporary folders: what they see, and that they do not outlive their run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_tinybudget.base import folders
from pytest_tinybudget.base.folders import temporary_folder
from pytest_tinybudget.base.processes import module
from pytest_tinybudget.base.processes import run
from pytest_tinybudget.base.processes import signal_name


SECONDS = 60

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="by Linux's means")

#: Makes a temporary folder with a file, says where, and waits for its end.
OWNER = """\
import sys
from pytest_tinybudget.base.folders import temporary_folder
with temporary_folder() as folder:
    folder.joinpath("model.tflite").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and of those that it starts."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for variable in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(variable, str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    folders._remove_abandoned.cache_clear()
    return temporary


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that has a temporary folder, and the folder."""
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


def ends(process: int) -> bool:
    """Whether a process ends soon."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


# Folders


def test_a_folder_is_empty_at_first_and_gone_at_last(temporary: Path) -> None:
    with temporary_folder() as folder:
        assert list(folder.iterdir()) == []
        folder.joinpath("file").write_text("x")
    assert list(temporary.iterdir()) == []


def test_a_folder_goes_where_its_block_fails(temporary: Path) -> None:
    with suppress(KeyboardInterrupt), temporary_folder() as folder:
        folder.joinpath("file").write_text("x")
        raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_dead_process_is_removed(temporary: Path) -> None:
    with owner() as (process, abandoned):
        process.kill()
    assert abandoned.joinpath("model.tflite").exists()
    with temporary_folder() as folder:
        assert list(temporary.iterdir()) == [folder.parent]


def test_the_folder_of_a_living_process_stays(temporary: Path) -> None:
    with owner() as (_, theirs):
        with temporary_folder():
            pass
        assert theirs.joinpath("model.tflite").exists()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("lock", [None, b""], ids=["without a lock", "being made"])
def test_a_folder_that_nobody_has_left_stays(temporary: Path, lock: bytes | None) -> None:
    other = temporary / "tinybudget-experiments"
    other.joinpath("files").mkdir(parents=True)
    if lock is not None:
        other.joinpath("owner.lock").write_bytes(lock)
    with temporary_folder():
        pass
    assert other.joinpath("files").exists()


@on_linux
def test_no_link_is_followed_to_a_folder_elsewhere(temporary: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.joinpath("files").mkdir(parents=True)
    elsewhere.joinpath("owner.lock").write_bytes(b"\n")
    temporary.joinpath("tinybudget-link").symlink_to(elsewhere)
    with temporary_folder():
        pass
    assert elsewhere.joinpath("files").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no users by number")
def test_the_folder_of_another_user_stays(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with owner() as (process, theirs):
        process.kill()
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with temporary_folder():
        pass
    assert theirs.exists()


def test_without_locks_a_folder_is_made_and_nobody_else_removes_it(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("pytest_tinybudget.base.locks._lock", refuse)
    with temporary_folder():
        folders._remove_abandoned.cache_clear()
        with temporary_folder():
            assert len(list(temporary.iterdir())) == 2
    assert list(temporary.iterdir()) == []


# Processes


def test_a_child_sees_no_secret_no_input_and_leaves_no_file(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    code = (
        "import json, os, sys, tempfile; tempfile.mkdtemp()\n"
        "print(json.dumps([sys.argv[1:], sys.stdin.read(), dict(os.environ)]))"
    )
    with temporary_folder() as folder:
        done = run(code, ["a", "b c"], folder, SECONDS)
        assert done.returncode == 0, done.stderr
        arguments, said, seen = json.loads(done.stdout)
        assert (arguments, said) == (["a", "b c"], "")
        assert "GITHUB_TOKEN" not in seen
        assert seen["HOME"] == seen["TMPDIR"] == str(folder)
    assert list(temporary.iterdir()) == []


def test_a_module_runs_as_python_runs_it(tmp_path: Path) -> None:
    tmp_path.joinpath("tool.py").write_text(
        "import sys; print(__name__, sys.argv[1:]); sys.exit(3)"
    )
    done = run(module("tool"), ["--help"], tmp_path, SECONDS)
    assert (done.stdout.split(), done.returncode) == ([b"__main__", b"['--help']"], 3)


@on_linux
@pytest.mark.parametrize("then", ["time.sleep(600)", "sys.exit()"], ids=["hangs", "ends"])
def test_what_a_child_has_started_ends_with_it(tmp_path: Path, then: str) -> None:
    code = (
        "import subprocess, sys, time\n"
        "sleeps = [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
        "child = subprocess.Popen(sleeps, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        f"open('pid', 'w').write(str(child.pid)); {then}"
    )
    if then == "sys.exit()":
        assert run(code, [], tmp_path, SECONDS).returncode == 0
    else:
        with pytest.raises(subprocess.TimeoutExpired):
            run(code, [], tmp_path, 2)
    assert ends(int(tmp_path.joinpath("pid").read_text()))


@on_linux
def test_native_code_that_lets_no_thread_run_ends_at_its_time_limit() -> None:
    code = (
        "import ctypes\n"
        "from pytest_tinybudget.base import confinement\n"
        "confinement.GRACE_SECONDS = 0\n"
        "confinement.end_with_parent(1)\n"
        "ctypes.PyDLL(None).sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        assert child.wait(SECONDS) == -signal.SIGALRM


@on_linux
def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert signal_name(signal.SIGSEGV) == "SIGSEGV"
    assert signal_name(signal.SIGRTMIN + 1) == "signal 35"
