"""Starts child processes of this Python: without the environment's secrets, gone when it is."""

from __future__ import annotations

import math
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


#: What a child gets of the environment: no tokens, no passwords.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
              "SYSTEMROOT", "WINDIR", "COMSPEC")  # fmt: skip

_ATTACHED = """\
from pytest_tinybudget.base.confinement import end_with_parent
end_with_parent({seconds})
"""


def environment(given: Mapping[str, str], home: Path) -> dict[str, str]:
    """The environment of a child: what Python needs, nothing that may be secret.

    Its temporary files are in ``home``, so that they go with it.
    """
    return {
        **{name: given[name] for name in _PASSED_ON if name in given},
        **dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(home)),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONHASHSEED": "0",
        "KERAS_HOME": str(home / "keras"),
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        # Two jobs share the cores; more threads change no result and no time.
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }


def start(
    module: str, *arguments: str, home: Path, log: Path, answers: bool = False
) -> subprocess.Popen[bytes]:
    """A module of ours at work in ``home``, printing to ``log``; ``end`` ends it.

    With ``answers``, what it writes to stdout is for this process to read.
    Its stdin ends when this process is gone, however it went, and it with that
    (``confinement.py``).

    Raises:
        OSError: it cannot be started.
    """
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - this Python, with a module of our own
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if answers else output,
            stderr=output,
            cwd=home,
            env=environment(os.environ, home),
            start_new_session=True,
        )


def run(
    code: str, arguments: Sequence[str], home: Path, timeout_seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """Python's ``code`` with ``arguments``, done in ``home``; it has no terminal and no stdin.

    It ends with this process, however that went.

    Raises:
        subprocess.TimeoutExpired: it is not done after ``timeout_seconds``.
        OSError: it cannot be started.
    """
    attached = _ATTACHED.format(seconds=math.ceil(timeout_seconds))
    theirs, ours = os.pipe()
    try:
        child = subprocess.Popen(  # noqa: S603 - this Python, with code of our own
            [sys.executable, "-c", attached + code, *arguments],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=home,
            env=environment(os.environ, home),
            start_new_session=True,
        )
        with child:
            try:
                stdout, stderr = child.communicate(timeout=timeout_seconds)
            finally:
                end(child)
    finally:
        os.close(theirs)
        os.close(ours)
    return subprocess.CompletedProcess(child.args, child.returncode, stdout, stderr)


def module(name: str) -> str:
    """The code that runs a module as ``python -m`` does."""
    return f"import runpy; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill ``child``, if it still runs, with all that it has started."""
    kill_group(child.pid)
    if child.poll() is None:
        child.kill()
        child.wait()
    if child.stdin is not None:
        with suppress(OSError):  # what it was to be told and has not read
            child.stdin.close()


def kill_group(leader: int) -> None:
    """Kill a process, where it leads a group, with all that it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # macOS: all of them have ended
            os.killpg(leader, signal.SIGKILL)


def signal_name(number: int) -> str:
    """``SIGSEGV``, or ``signal 35`` where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
