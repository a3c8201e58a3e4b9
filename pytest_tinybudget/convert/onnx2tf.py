"""The command onnx2tf, in an environment of its own: where it is, and which version.

Its pins exclude those of the quantizer, so it is never imported here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pytest_tinybudget.base.processes import environment


NAME = "onnx2tf"

#: The oldest version that was run (1.29.24 and 2.6.9 were), and the first that nobody has seen.
_OLDEST = (1, 29)
_FIRST_UNKNOWN = (3,)

#: What pip is told to install: a version that is used.
REQUIREMENT = f"{NAME}>={'.'.join(map(str, _OLDEST))},<{_FIRST_UNKNOWN[0]}"

_VERSION = re.compile(rb"(\d+)\.(\d+)\.(\d+)")
_VERSION_SECONDS = 120


def located(command: Sequence[str], root: Path) -> Path | None:
    """The program of ``command``: a path below ``root``, or a name on ``PATH``."""
    program = command[0]
    is_path = Path(program).name != program
    found = shutil.which(str(root / program) if is_path else program)
    return None if found is None else Path(found).absolute()


def unfound(command: Sequence[str], root: Path) -> str:
    """Why there is no program of ``command``; empty where there is one."""
    if located(command, root) is not None:
        return ""
    program = command[0]
    words, is_path = program.split(), Path(program).name != program
    if is_path and (root / program).is_dir():
        return "is a folder"
    if is_path and (root / program).is_file():
        return "is a file that may not be executed"
    if len(words) > 1 and located(words, root) is not None:
        return f"is not found: arguments go into a list, command = {json.dumps(words)}"
    return "is not found"


def version_of(command: Sequence[str], root: Path) -> str:
    """The version of onnx2tf that ``command`` runs; empty where it tells none.

    It is read from what is installed beside the program, and asked of the program where nothing
    is: that takes it seconds.
    """
    program = located(command, root)
    return "" if program is None else _version(program, tuple(command[1:]))


def unsuited(version: str) -> str:
    """Why this version is not used; empty where it is."""
    if not version:
        return "does not tell its version"
    numbers = tuple(map(int, version.split(".")[:2]))
    oldest, unknown = (".".join(map(str, each)) for each in (_OLDEST, _FIRST_UNKNOWN))
    if numbers < _OLDEST:
        return f"is version {version}: {oldest} or newer is needed"
    if numbers >= _FIRST_UNKNOWN:
        return f"is version {version}: nothing is known of {unknown} and newer"
    return ""


@cache
def _version(program: Path, arguments: tuple[str, ...]) -> str:
    return (not arguments and _installed_beside(program)) or _told(program, arguments)


def _installed_beside(program: Path) -> str:
    """The version that the environment of ``program`` has; empty where it has none."""
    folder = program.resolve().parent.parent
    for libraries in ("lib/python*/site-packages", "Lib/site-packages"):
        for info in folder.glob(f"{libraries}/{NAME}-*.dist-info"):
            return info.name.removeprefix(f"{NAME}-").removesuffix(".dist-info")
    return ""


def _told(program: Path, arguments: Sequence[str]) -> str:
    """What the program answers to ``-V``; empty where it says no version."""
    with tempfile.TemporaryDirectory() as home:
        try:
            done = subprocess.run(  # noqa: S603 - the program that the declaration names
                [str(program), *arguments, "-V"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=home,
                env=command_environment(program, Path(home)),
                timeout=_VERSION_SECONDS,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return ""
    last = done.stdout.strip().splitlines()[-1:]
    found = _VERSION.search(last[0]) if last and done.returncode == 0 else None
    return found[0].decode() if found else ""


def command_environment(program: Path, home: Path) -> dict[str, str]:
    """The environment of the command: no secrets, no network by proxy, its own tools first.

    It starts other programs of its environment by name, such as onnxsim.
    """
    given = environment(os.environ, home)
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "KERAS_BACKEND"):  # those of this environment
        given.pop(name, None)
    tools = f"{program.parent}{os.pathsep}{program.resolve().parent}"
    nowhere = "http://127.0.0.1:9"
    proxies = {
        name: nowhere
        for scheme in ("http", "https", "ftp", "all")
        for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    }
    return {
        **given,
        **proxies,
        "no_proxy": "",
        "NO_PROXY": "",
        "PATH": os.pathsep.join(filter(None, [tools, given.get("PATH", "")])),
    }
