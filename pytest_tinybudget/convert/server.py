"""Starts the workers, gives them jobs, and ends jobs that take too long.

A run keeps one server process for each framework. The server imports the framework once and forks
for each job. Where forking is not safe (Windows, macOS), each job is a new process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from pytest_tinybudget.base.processes import end
from pytest_tinybudget.base.processes import kill_group
from pytest_tinybudget.base.processes import signal_name
from pytest_tinybudget.base.processes import start
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.files import IMPORT_SECONDS
from pytest_tinybudget.convert.files import LARGEST_LOG_BYTES
from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.files import JobFolder
from pytest_tinybudget.convert.settings import FIRST_STEP
from pytest_tinybudget.convert.sources import Backend


#: Called with a job and the step that it is at.
OnStep = Callable[[Job, str], None]

#: Jobs at once: no more than cores, and no more than 2, because each takes memory.
MOST_AT_ONCE = min(2, os.cpu_count() or 1)

#: Seconds for a server to end its jobs. One that is still importing has none.
_CLOSE_SECONDS = 1
_POLL_SECONDS = 0.02

_WORKER = "pytest_tinybudget.convert.worker"

_FORKS = sys.platform == "linux"


@dataclass(slots=True)
class _Running:
    """A job in progress. ``process`` is its own process where there is no server."""

    job: Job
    folder: JobFolder
    deadline: float
    process: subprocess.Popen[bytes] | None = None
    leader: int | None = None
    step: str = FIRST_STEP
    is_ended: bool = False


@dataclass(slots=True)
class Server:
    """Does the jobs of one backend until ``close``. ``home`` is a folder for its files alone."""

    backend: Backend
    home: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def run(self, jobs: Sequence[tuple[Job, JobFolder]], on_step: OnStep) -> None:
        """Do ``jobs``, at most ``MOST_AT_ONCE`` at a time; each leaves a result in its folder.

        A failing job, even one whose process ends, does not affect the others.
        """
        waiting = list(reversed(jobs))
        running: list[_Running] = []
        try:
            while waiting or running:
                while waiting and len(running) < MOST_AT_ONCE:
                    running.append(self._start(*waiting.pop()))
                    # Told here: a short job is over before anybody looks at its steps.
                    on_step(running[-1].job, FIRST_STEP)
                time.sleep(_POLL_SECONDS)
                for each in running:
                    self._look_after(each, on_step)
                running = [each for each in running if each.folder.exit() is None]
        finally:
            for each in running:
                self._end(each)

    def close(self) -> None:
        """End the server and its jobs, also those that have not reported their start yet."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_SECONDS)
        end(self._process)
        self._process = None

    def _start(self, job: Job, folder: JobFolder) -> _Running:
        folder.write_job(job)
        deadline = time.monotonic() + IMPORT_SECONDS
        if not _FORKS:
            process = start(_WORKER, "job", str(folder.path), home=self.home, log=folder.log)
            return _Running(job, folder, deadline + job.timeout_seconds, process)
        if self._is_gone():
            self.close()
        if self._process is None:
            log = self.home / "server.txt"
            self._process = start(_WORKER, "serve", self.backend, home=self.home, log=log)
        assert self._process.stdin is not None
        with suppress(OSError):  # a server that is gone is seen when the job is looked after
            self._process.stdin.write(f"{folder.path}\n".encode())
            self._process.stdin.flush()
        return _Running(job, folder, deadline)

    def _look_after(self, each: _Running, on_step: OnStep) -> None:
        if each.leader is None and (leader := each.folder.started()):
            each.leader, each.deadline = leader, time.monotonic() + each.job.timeout_seconds
        step = each.folder.step()
        if step and step != each.step:
            each.step = step
            on_step(each.job, step)
        ended = None if each.process is None else each.process.poll()
        if ended is not None:
            self._end(each)
            each.folder.write_exit(ended)
        elif self._is_gone() and each.folder.exit() is None:
            self._end(each)
            each.folder.write_exit(1)
            _tell(each.folder, f"{each.job.shown}: the converter's server ended", self._said())
        elif not each.is_ended and (reason := _excess(each)):
            each.is_ended = True
            self._end(each)
            _tell(each.folder, f"{each.job.shown}: {reason}")
            if each.leader is None and each.process is None:
                self._abandon(each)

    def _abandon(self, each: _Running) -> None:
        """Give up a job that never began, because its server hangs in the import."""
        if self._process is not None:
            end(self._process)
        each.folder.write_exit(1)

    def _is_gone(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _said(self) -> str:
        """The last line that the server printed."""
        text = (self.home / "server.txt").read_text(encoding="utf-8", errors="replace")
        return next((line for line in reversed(text.splitlines()) if line.strip()), "")

    def _end(self, each: _Running) -> None:
        """Kill a job with all that it has started."""
        if each.process is not None:
            end(each.process)
        elif each.leader is not None:
            kill_group(each.leader)


def _excess(each: _Running) -> str:
    """Why a job must be ended; empty where it may go on."""
    step = each.step or "its start"
    if time.monotonic() > each.deadline:
        seconds = each.job.timeout_seconds
        return f"not converted after {seconds} s, at {step} (conversion_timeout)"
    if each.folder.floods():
        return f"printed more than {LARGEST_LOG_BYTES >> 20} MB while {step}"
    return ""


def _tell(folder: JobFolder, *lines: str) -> None:
    folder.write_result({"error": [line for line in lines if line]})


def outcome(job: Job, folder: JobFolder) -> dict[str, Any]:
    """The report of a successful job.

    Raises:
        ConversionError: The job failed; it has the cause in one line and what the job printed.
    """
    result, code = folder.result(), folder.exit()
    if result is None:
        step = folder.step() or "its start"
        raise ConversionError(f"{job.shown}: {_death(code)} while {step}")
    if "error" in result:
        first, *rest = result["error"]
        raise ConversionError(first, details=tuple(rest))
    return result


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the converter crashed ({signal_name(-code)})"
    return f"the converter ended with exit code {code}"
