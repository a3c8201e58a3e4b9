"""The wheel: what is in it, what it says of itself, and that it works where it is installed."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from shutil import copytree
from shutil import ignore_patterns

import pytest


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_tinybudget"
MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    pip(*command, "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents installed, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--quiet", "--no-deps", "--no-index", "--target", str(folder), str(wheel))
    return folder


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path, file: str) -> bytes:
    """A file of the wheel's ``.dist-info``."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(f".dist-info/{file}")]
        return archive.read(name)


def described(wheel: Path) -> Message:
    return message_from_bytes(metadata(wheel, "METADATA"))


def test_the_wheel_is_small_and_runs_anywhere(wheel: Path) -> None:
    assert wheel.stat().st_size < MEGABYTE
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.parts)
    }
    packed = names(wheel)
    assert "pytest_tinybudget/py.typed" in packed
    assert sources <= packed


def test_the_wheel_has_nothing_but_the_package(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pytest_tinybudget"}


def test_the_metadata_says_what_the_package_needs(wheel: Path) -> None:
    about = described(wheel)
    assert about["Name"] == "pytest-tinybudget"
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.10"
    needs = [need for need in about.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert any(need.startswith("pytest>=8.2") for need in needs)
    assert not any("tensorflow" in need or "tflite" in need for need in needs)
    for minor in range(10, 15):
        assert f"Programming Language :: Python :: 3.{minor}" in about.get_all("Classifier", [])


def test_pytest_and_the_shell_find_their_entry_points(wheel: Path) -> None:
    points = configparser.ConfigParser()
    points.read_string(metadata(wheel, "entry_points.txt").decode())
    assert dict(points["pytest11"]) == {"tinybudget": "pytest_tinybudget.plugin"}
    assert dict(points["console_scripts"]) == {"tinybudget": "pytest_tinybudget.cli:main"}


@pytest.mark.parametrize(
    "command",
    [
        ("pytest_tinybudget", "check", "examples/quickstart"),
        ("pytest", "-q", "-p", "pytest_tinybudget.plugin", "--tinybudget", "examples/quickstart"),
    ],
    ids=["tinybudget", "pytest"],
)
def test_the_installed_package_runs_the_example(
    command: tuple[str, ...], installed: Path, tmp_path: Path
) -> None:
    source = ROOT / "examples" / "quickstart"
    copytree(source, tmp_path / "examples" / "quickstart", ignore=ignore_patterns("build"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    where = subprocess.run(
        [sys.executable, "-c", "import pytest_tinybudget; print(pytest_tinybudget.__file__)"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 pairs: 1 with a warning, 5 fit" in done.stdout
