"""The corners of what is supported: pytest, numpy, Python, with and without pytest-xdist.

``nox`` runs those whose Python is installed, ``nox --list`` names them, and arguments after ``--``
go to pytest: ``nox -s lowest -- tests/test_plugin.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import nox


nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
#: The oldest of each that ``pyproject.toml`` allows.
OLDEST = ("pytest==8.2.*", "numpy==1.26.*", "jinja2==3.1.0")

pyenv = shutil.which("pyenv")
if pyenv and "PYENV_VERSION" not in os.environ:
    # Its commands stand for the versions that are switched on: here for all that are installed.
    versions = subprocess.check_output([pyenv, "versions", "--bare"], text=True)  # noqa: S603
    os.environ["PYENV_VERSION"] = ":".join(versions.split())


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The newest of everything, on each Python."""
    session.install("--upgrade", "-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session(python="3.10")
def lowest(session: nox.Session) -> None:
    """The oldest pytest and numpy, in one process, without pytest-xdist being there."""
    session.install("-e", ".[test]", *OLDEST)
    session.run("python", "-m", "pip", "uninstall", "--yes", "pytest-xdist", "execnet")
    session.run("pytest", *session.posargs)


@nox.session(python="3.10")
def corner(session: nox.Session) -> None:
    """The oldest of everything on the plugin's own tests: a minute, for every commit."""
    others = ("flatbuffers", "html5lib", "hypothesis", "jsonschema", "pytest-xdist")
    session.install("-e", ".", *OLDEST, *others)
    chosen = session.posargs or (
        "tests/test_plugin.py",
        "tests/test_plugin_groups.py",
        "tests/test_report_results.py",
        "tests/test_report_html.py",
    )
    session.run("pytest", *chosen)


@nox.session(python="3.12")
@nox.parametrize("pytest", ["8.2", "8.4", "9.0"])
@nox.parametrize("numpy", ["1.26", "2.0"])
def between(session: nox.Session, pytest: str, numpy: str) -> None:
    """What lies between, each with the other's oldest and newest: the tests of the plugin."""
    session.install("-e", ".[test]", f"pytest=={pytest}.*", f"numpy=={numpy}.*")
    chosen = session.posargs or ("tests/test_plugin.py", "tests/test_parallel.py")
    session.run("pytest", *chosen)
