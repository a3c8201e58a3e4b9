"""Runs git: never with a question, and only in the repository of the folder that is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable


#: What git sets for its hooks, and what would lead our commands to another repository or index.
_HOOK_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
)

_SECONDS = 600


class GitError(TinybudgetError):
    """A git command that failed, with git's own first line."""

    default_code = "TB600"


def git_output(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What git prints in ``folder``; ``given`` is what it reads.

    Raises:
        GitError: it fails, or is not installed.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            env=environment,
            input=given,
            timeout=_SECONDS,
            check=True,
        )
    except FileNotFoundError:
        raise GitError("git is not installed, and a base commit needs it") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took more than {_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = (
            printable(said[-1].removeprefix("fatal: ")) if said else f"exit code {error.returncode}"
        )
        raise GitError(f"git: {reason}") from None
    return done.stdout
