"""The child process of an evaluation: started, timed, and its result read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from pytest_tinybudget.convert.files import JobFolder
from pytest_tinybudget.convert.server import environment
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.evaluation.job import Job


#: An import that takes longer than this has hung; it comes before the job's own time.
_IMPORT_SECONDS = 180


def run(job: Job, folder: JobFolder) -> dict[str, Any]:
    """What came of ``job``, whose files are in ``folder``.

    Raises:
        TinybudgetError: it cannot be done, takes too long, or crashed; in one line.
    """
    job.write(folder.path)
    code = _waited(folder, _IMPORT_SECONDS + job.timeout_seconds)
    step = folder.step() or "its start"
    if code is None or (code == -getattr(signal, "SIGALRM", 0) and code):
        raise TinybudgetError(
            f"{job.shown}: not evaluated after {job.timeout_seconds} s, at {step}"
            " (conversion_timeout)"
        )
    result = folder.result()
    if result is None:
        raise TinybudgetError(f"{job.shown}: {_death(code)} while {step}{_said(folder)}")
    if "error" in result:
        first, *rest = result["error"]
        raise TinybudgetError(first, details=tuple(rest))
    return result


def _waited(folder: JobFolder, timeout_seconds: int) -> int | None:
    """The exit code of the child; ``None`` where it did not end in time and was killed."""
    with folder.log.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - this Python, with a module of our own
            [sys.executable, "-m", "pytest_tinybudget.evaluation.worker", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            env=environment(os.environ, folder.path),
            start_new_session=True,
        )
    try:
        return child.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child, if it still runs, with all that it has started."""
    if child.poll() is not None:
        return
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.wait()


def _death(code: int) -> str:
    if code < 0:
        return f"the interpreter crashed ({signal.Signals(-code).name})"
    return f"the evaluation ended with exit code {code}"


def _said(folder: JobFolder) -> str:
    """The last line that the child printed."""
    lines = folder.printed().decode("utf-8", "replace").splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {said}" if said else ""
