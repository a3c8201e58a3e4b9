"""Runs an evaluation in a child process, with limits on its time, memory and output."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.processes import end
from pytest_tinybudget.base.processes import signal_name
from pytest_tinybudget.base.processes import start
from pytest_tinybudget.convert.files import IMPORT_SECONDS
from pytest_tinybudget.convert.files import LARGEST_LOG_BYTES
from pytest_tinybudget.convert.files import JobFolder
from pytest_tinybudget.evaluation.job import Job


#: Seconds between two looks at how much the child has printed.
_LOOK_SECONDS = 0.5
_WORKER = "pytest_tinybudget.evaluation.worker"


class InterpreterCrashError(TinybudgetError):
    """The child ended by a signal; ``how`` says by which."""

    def __init__(self, message: str, how: str) -> None:
        super().__init__(message)
        self.how = how


def run(job: Job, folder: JobFolder) -> dict[str, Any]:
    """Run ``job``, whose files are in ``folder``, and return its facts.

    Raises:
        InterpreterCrashError: an interpreter crashed.
        TinybudgetError: the evaluation failed or took too long, in one line.
    """
    job.write(folder.path)
    code = _waited(folder, IMPORT_SECONDS + job.timeout_seconds)
    step = folder.step() or "its start"
    if code is None and folder.floods():
        raise TinybudgetError(
            f"{job.shown}: printed more than {LARGEST_LOG_BYTES >> 20} MB while {step}"
        )
    if code is None or (code == -getattr(signal, "SIGALRM", 0) and code):
        raise TinybudgetError(
            f"{job.shown}: not evaluated after {job.timeout_seconds} s, at {step}"
            " (conversion_timeout)"
        )
    result = folder.result()
    if result is None:
        text = f"{job.shown}: {_death(code)} while {step}{_said(folder)}"
        if code < 0:
            raise InterpreterCrashError(text, _death(code))
        raise TinybudgetError(text)
    if "error" in result:
        first, *rest = result["error"]
        raise TinybudgetError(first, details=tuple(rest))
    return result


def _waited(folder: JobFolder, timeout_seconds: int) -> int | None:
    """The exit code of the child, or ``None`` if it took too long or printed too much."""
    child = start(_WORKER, str(folder.path), home=folder.path, log=folder.log)
    deadline = time.monotonic() + timeout_seconds
    try:
        while time.monotonic() < deadline and not folder.floods():
            with suppress(subprocess.TimeoutExpired):
                return child.wait(_LOOK_SECONDS)
        return None
    finally:
        end(child)


def _death(code: int) -> str:
    if code < 0:
        return f"the interpreter crashed ({signal_name(-code)})"
    return f"the evaluation ended with exit code {code}"


def _said(folder: JobFolder) -> str:
    """The last line that the child printed."""
    lines = folder.printed().decode("utf-8", "replace").splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {said}" if said else ""
