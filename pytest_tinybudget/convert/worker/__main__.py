"""The server: imports a framework once, and forks a child for each line of standard input.

``python -m pytest_tinybudget.convert.worker serve BACKEND`` reads folders from stdin; a job's
outcome is in its folder (``files.py`` of the parent's side says how it is told).
``... worker job FOLDER`` does one job in this process, where there is no fork.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from pytest_tinybudget.base.confinement import end_with_parent
from pytest_tinybudget.base.confinement import ending_with_parent
from pytest_tinybudget.base.confinement import limit_resources
from pytest_tinybudget.convert.files import IMPORT_SECONDS
from pytest_tinybudget.convert.files import JobFolder


def main(arguments: list[str]) -> None:
    """Run ``serve BACKEND`` or ``job FOLDER``, as ``arguments`` say."""
    if arguments[0] == "job":
        folder = JobFolder(Path(arguments[1]))
        end_with_parent(IMPORT_SECONDS + folder.read_job().timeout_seconds)
        _run(folder)
    else:
        with ending_with_parent(IMPORT_SECONDS):
            _preload(arguments[1])
        _Server().serve()
        os._exit(0)  # a framework takes seconds to take itself down


def _preload(backend: str) -> None:
    """Import the framework. It must not run anything yet: threads do not survive a fork."""
    if backend == "tensorflow":
        from pytest_tinybudget.convert.worker import keras_source  # noqa: F401
        from pytest_tinybudget.convert.worker import tensorflow_backend  # noqa: F401
    elif backend == "plan":
        from pytest_tinybudget.convert.worker import plan_backend  # noqa: F401
    elif backend == "torch":
        from pytest_tinybudget.convert.worker import torch_backend  # noqa: F401
    else:
        from pytest_tinybudget.convert.worker import quantizer_backend  # noqa: F401


def _run(folder: JobFolder) -> None:
    from pytest_tinybudget.convert.worker.job import run

    run(folder)


class _Server:
    """The children that are running, by process id."""

    def __init__(self) -> None:
        self._children: dict[int, JobFolder] = {}
        self._is_reaping = False
        self._is_due = False

    def serve(self) -> None:
        """Fork for each line until standard input ends, as it does when the parent ends."""
        signal.signal(signal.SIGCHLD, lambda *_: self._reap())
        for line in sys.stdin:
            folder = JobFolder(Path(line.rstrip("\n")))
            # No child may end before it is known.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            child = os.fork()
            if child == 0:
                self._child(folder)
            self._children[child] = folder
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for child in self._children:
            _kill_group(child)

    def _child(self, folder: JobFolder) -> None:
        """Do one job as the leader of a new process group, and exit."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.setsid()
        code = 1
        try:
            os.close(0)
            _confine(folder)
            _run(folder)
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # a framework's exit handlers may wait for threads that are not there

    def _reap(self) -> None:
        """Note how children ended, and end the processes that they have started.

        It handles a signal, so Python may call it while it runs. The inner call only asks the
        outer one to look again.
        """
        self._is_due = True
        if self._is_reaping:
            return
        self._is_reaping = True
        while self._is_due:
            self._is_due = False
            for child in list(self._children):
                self._look_at(child)
        self._is_reaping = False
        if self._is_due:  # since the last look
            self._reap()

    def _look_at(self, child: int) -> None:
        found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            _kill_group(child)  # before its number can belong to another process
            _, status = os.waitpid(child, 0)
            self._children.pop(child).write_exit(os.waitstatus_to_exitcode(status))


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        # It has not become a leader yet.
        os.kill(leader, signal.SIGKILL)


def _confine(folder: JobFolder) -> None:
    """Limit memory, time and output of a job; standard output and error go to its log."""
    job = folder.read_job()
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    limit_resources(job.memory_bytes, job.timeout_seconds)
    folder.write_started(os.getpid())


if __name__ == "__main__":
    main(sys.argv[1:])
