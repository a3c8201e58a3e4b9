"""What is released: its version, what is in it, what it says of itself, and that it works.

``.ci/run`` also lets twine and towncrier judge it.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import yaml
from campaigns import rare
from small_projects import commit
from small_projects import git


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


PLUGIN = "pytest_tinybudget.pytest_plugin.plugin"
ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_tinybudget"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MEGABYTE = 1024**2

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    pip(*command, "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this source tree."""
    folder = tmp_path_factory.mktemp("sdist")
    hatchling(ROOT, "build", "-t", "sdist", "-d", str(folder))
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of the source distribution."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module", params=["wheel", rare("sdist")])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel or the source distribution installs, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    command = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    pip(*command, "--target", str(folder), str(request.getfixturevalue(request.param)))
    return folder


def hatchling(folder: Path, *arguments: str, **environment: str) -> str:
    """What the build backend's own command prints in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


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
    assert wheel.stat().st_size < 1.75 * MEGABYTE
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
    assert about.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert "Framework :: Pytest" in about.get_all("Classifier", [])
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(about.get_all("Provides-Extra", [])) == set(extras)
    needs = [need for need in about.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert any(need.startswith("pytest>=8.2") for need in needs)
    assert not any("tensorflow" in need or "tflite" in need for need in needs)
    for minor in range(10, 15):
        assert f"Programming Language :: Python :: 3.{minor}" in about.get_all("Classifier", [])


def test_pytest_and_the_shell_find_their_entry_points(wheel: Path) -> None:
    points = configparser.ConfigParser()
    points.read_string(metadata(wheel, "entry_points.txt").decode())
    assert dict(points["pytest11"]) == {"tinybudget": "pytest_tinybudget.pytest_plugin.plugin"}
    assert dict(points["console_scripts"]) == {"tinybudget": "pytest_tinybudget.cli:main"}


@pytest.mark.parametrize(
    "command",
    [
        ("pytest_tinybudget", "check", "examples/quickstart"),
        ("pytest", "-q", "-p", PLUGIN, "--tinybudget", "examples/quickstart"),
    ],
    ids=["tinybudget", "pytest"],
)
def test_the_installed_package_runs_the_example(
    command: tuple[str, ...], installed: Path, tmp_path: Path
) -> None:
    source = ROOT / "examples" / "quickstart"
    ignored = shutil.ignore_patterns("build")
    shutil.copytree(source, tmp_path / "examples" / "quickstart", ignore=ignored)
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


# The source distribution


@needs_git
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a clone")
def test_the_source_distribution_is_what_git_has(unpacked: Path) -> None:
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    packed = {path.relative_to(unpacked).as_posix() for path in files_of(unpacked)}
    assert packed - {"PKG-INFO"} == {name for name in listed if (ROOT / name).exists()}


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_source_distribution_runs_its_tests(unpacked: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("tests/test_names.py", "tests/test_boards.py", "tests/test_budget.py"),
        ],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# The version


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone without tags of a project with this one's build."""
    folder = tmp_path / "clone"
    (folder / PACKAGE.name).mkdir(parents=True)
    (folder / PACKAGE.name / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    for name in (".gitattributes", ".git_archival.txt"):
        shutil.copy(ROOT / name, folder)
    git(folder, "init", "--quiet")
    commit(folder, "first")
    return folder


@needs_git
def test_the_version_is_the_tag(repository: Path) -> None:
    assert hatchling(repository, "version") == "0.1.dev1"
    git(repository, "tag", "v1.2.3")
    git(repository, "tag", "v1")  # the one that workflows name, and that moves
    assert hatchling(repository, "version") == "1.2.3"


@needs_git
def test_one_commit_has_one_version_with_changes_and_without(repository: Path) -> None:
    git(repository, "tag", "v1.2.3")
    commit(repository, "second")
    clean = hatchling(repository, "version")
    (repository / "README.md").write_text("changed", encoding="utf-8")
    assert hatchling(repository, "version") == clean == "1.2.4.dev1"


@needs_git
def test_an_archive_has_the_version_of_its_commit(repository: Path, tmp_path: Path) -> None:
    versions = {}
    for name in ("untagged", "tagged", "after"):
        if name == "tagged":
            git(repository, "tag", "v1.2.3")
        elif name == "after":
            commit(repository, "second")
        git(repository, "archive", "--output", str(tmp_path / f"{name}.zip"), "HEAD")
        shutil.unpack_archive(tmp_path / f"{name}.zip", tmp_path / name)
        versions[name] = hatchling(tmp_path / name, "version")
    assert versions == {"untagged": "0.0", "tagged": "1.2.3", "after": "1.2.4.dev1"}


@needs_git
def test_it_builds_in_a_clone_that_is_somebody_elses(repository: Path) -> None:
    git(repository, "tag", "v1.2.3")
    version = hatchling(repository, "version", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert version in {"1.2.3", "0.0"}  # git may refuse to tell


@needs_git
def test_it_builds_without_git(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v1.2.3")
    assert hatchling(repository, "version", PATH=str(tmp_path)) == "0.0"
    shutil.copytree(repository, tmp_path / "copy", ignore=shutil.ignore_patterns(".git"))
    assert hatchling(tmp_path / "copy", "version") == "0.0"


@needs_git
def test_a_source_distribution_keeps_its_version(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v1.2.3")
    hatchling(repository, "build", "-t", "sdist", "-d", str(tmp_path))
    with tarfile.open(tmp_path / "pytest_tinybudget-1.2.3.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert hatchling(tmp_path / "pytest_tinybudget-1.2.3", "version") == "1.2.3"


# What a release says


@pytest.mark.parametrize(
    "fragment", sorted((ROOT / "changelog").glob("[!R]*")), ids=lambda path: path.name
)
def test_a_changelog_fragment_is_a_sentence_that_towncrier_takes(fragment: Path) -> None:
    kinds = "|".join(kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"])
    assert re.fullmatch(rf"\d+\.({kinds})(\.\d+)?\.md", fragment.name)
    text = fragment.read_text(encoding="utf-8")
    assert re.fullmatch(r"\S.*\.\n", text), "one line, a full stop, and a line end"


def test_the_citation_agrees_with_the_metadata() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = PROJECT["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"].startswith(f"{project['name']}:")
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]


def test_the_notice_tells_where_every_data_file_comes_from() -> None:
    patterns = re.findall(
        r"^(pytest_tinybudget/\S+)$", (ROOT / "NOTICE").read_text(encoding="utf-8"), re.MULTILINE
    )
    told = {path for pattern in patterns for path in ROOT.glob(pattern)}
    tables = {path for end in ("csv", "gz", "json") for path in PACKAGE.rglob(f"*.{end}")}
    assert tables
    assert tables <= told
    assert all(any(ROOT.glob(pattern)) for pattern in patterns)


def test_the_scripts_that_contributors_are_told_of_take_these_options() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    commands = re.findall(r"`python (\S+\.py)([^`]*)`", text)
    assert len(commands) >= 4
    for script, arguments in commands:
        source = (ROOT / script).read_text(encoding="utf-8")
        assert [each for each in re.findall(r"--\w+", arguments) if f'"{each}"' not in source] == []
