"""What differs on Windows, as far as any system can show: paths, names of files, encodings.

Where a test needs another drive, the standard library's own functions for Windows say what they
would say there; a folder called ``C:`` has the colon that splits node ids and places.
"""

from __future__ import annotations

import json
import ntpath
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from pathlib import PureWindowsPath

import pytest
from conftest import DECLARATION
from conftest import dense_model
from rendered import render
from small_projects import BOARD
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.graph.tflite import read_model


#: Names of devices, whatever follows their first dot; no file can be called so.
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])( *\..*)?", re.IGNORECASE)

not_there = pytest.mark.skipif(os.name == "nt", reason="there it is a drive")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a declaration and its model, beside ``other.tflite``."""
    path = tmp_path / "project"
    path.mkdir()
    put(path, kws=keywords())
    declare(path)
    (tmp_path / "other.tflite").write_bytes(keywords())
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def other_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not below a folder is on another drive, to which no relative path leads."""

    def relpath(path: str | Path, start: str | Path = os.curdir) -> str:
        inside = os.path.normpath(Path(start).absolute())
        whole = Path(os.path.normpath(Path(path).absolute()))
        if whole.is_relative_to(inside):
            return str(whole.relative_to(inside))
        return ntpath.relpath(f"D:{whole}", f"C:{inside}")

    monkeypatch.setattr(os.path, "relpath", relpath)


# Drives


@pytest.mark.usefixtures("other_drive")
def test_a_model_on_another_drive_is_named_by_its_whole_path(folder: Path) -> None:
    declaration = folder / "tinybudget.toml"
    declaration.write_text(f'[models.kws]\nsource = "../other.tflite"\nboards = ["{BOARD}"]\n')
    declared = load_declaration(declaration).models["kws"].declared_source
    assert declared == (folder.parent / "other.tflite").as_posix()
    assert run("check") == 0


@pytest.mark.usefixtures("other_drive")
def test_a_baseline_on_another_drive_is_named_by_its_whole_path(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(folder, head='[defaults]\nbaseline = "../kept/base.json"')
    assert run("check") == 2
    place = (folder.parent / "kept" / "base.json").as_posix()
    assert f"{place}: no such baseline file" in capsys.readouterr().err
    assert run("check", "--json", place) == 0
    assert f"no baseline yet at {place}" in " ".join(capsys.readouterr().out.split())
    assert run("check") == 0
    assert f"compared with {place}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.usefixtures("other_drive")
def test_a_declaration_on_another_drive_is_in_none_of_the_commits_here(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "init", "--quiet")
    commit(folder, "base")
    elsewhere = folder.parent / "elsewhere"
    shutil.copytree(folder, elsewhere, ignore=shutil.ignore_patterns(".git"))
    assert run("diff", "--base", "HEAD", str(elsewhere)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "not compared: git: not a git repository" in shown
    assert "new kws flash" in shown
    assert BOARD in shown


@not_there
def test_the_colon_of_a_drive_is_part_of_the_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = folder / "C:"
    drive.mkdir()
    put(drive, kws=keywords())
    declare(drive, 'budget = { ram = "1 KB" }')
    pair = f"C:/tinybudget.toml::kws::{BOARD}"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert run("check", pair, "--json", "results.json", "--junit-xml", "junit.xml") == 1
    out = capsys.readouterr().out
    assert "edit C:/tinybudget.toml:" in out
    assert re.search(r"^::error file=C%3A/tinybudget\.toml,line=\d+,", out, re.MULTILINE)
    assert [each["id"] for each in json.loads(Path("results.json").read_text())["pairs"]] == [pair]
    assert 'file="C:/tinybudget.toml" line="' in Path("junit.xml").read_text("utf-8")


@not_there
def test_pytest_takes_one_pair_of_a_drive(project: Callable[..., pytest.Pytester]) -> None:
    pytester = project()
    shutil.copytree(pytester.path / "models", pytester.path / "C:" / "models")
    (pytester.path / "C:" / "tinybudget.toml").write_text(DECLARATION)
    result = pytester.runpytest("--tinybudget", f"C:/tinybudget.toml::vad::{BOARD}")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("data", ["C:/data/mfcc.npz", "C:\\data\\mfcc.npz", "D:mfcc.npy"])
def test_data_on_a_drive_is_no_function_of_a_module(data: str) -> None:
    assert Conversion(Path(), data).data_function is None
    assert Conversion(Path(), data).data_path is not None


# Separators


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (r"'models\kws.tflite'", 2),
        (r'"models\\kws.tflite"', 2),
        (r'"models\\*.tflite"', 2),
        (r'"models\new.tflite"', 2),  # TOML has made a line end of the \n
        (r'"models\kws.tflite"', 2),  # no TOML
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="there such paths lead to the files")
def test_backslashes_are_said_to_be_the_cause(folder: Path, source: str, line: int) -> None:
    (folder / "tinybudget.toml").write_text(
        f'[models.kws]\nsource = {source}\nboards = ["{BOARD}"]\n'
    )
    with pytest.raises(DeclarationError) as caught:
        load_declaration(folder / "tinybudget.toml")
    said = str(caught.value).splitlines()[0]
    assert said.startswith(f"tinybudget.toml:{line}:")
    assert "folders are separated by '/'" in said


def test_a_path_without_them_is_not(folder: Path) -> None:
    (folder / "tinybudget.toml").write_text('[models.kws]\nsource = "größe/kws.tflite"\n', "utf-8")
    with pytest.raises(DeclarationError, match="no such file") as caught:
        load_declaration(folder / "tinybudget.toml")
    assert "separated" not in str(caught.value)


# Names of files


@pytest.mark.parametrize(
    "name", ["CON", "prn", "aux.v2", "nul", "com1", "LPT9", "con-", "nul. ", "kws.", "kws "]
)
def test_a_model_may_be_called_like_a_device(name: str) -> None:
    model = read_model(dense_model(), "m.tflite")
    files = {**render(model, name=name), **render(model, name=name, language="c")}
    assert files
    for file in files:
        assert not RESERVED.fullmatch(file)
        assert PureWindowsPath(file).name == file.rstrip(". ")


@pytest.mark.skipif(os.name == "nt", reason="no file is called so there")
@pytest.mark.parametrize("name", ["nul", "COM1"])
def test_an_update_of_a_model_called_like_a_device_can_be_copied_there(
    folder: Path, name: str
) -> None:
    pytest.importorskip("imgtool")
    shutil.copy("models/kws.tflite", f"{name}.tflite")
    arguments = ("--version", "1.0.0", "--slot-size", "64KB", "-o", "out")
    assert run("package", f"{name}.tflite", *arguments) == 0
    assert not [file for file in Path("out").iterdir() if RESERVED.fullmatch(file.name)]


def test_names_that_differ_in_case_alone_are_one_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, model in (("one", "kws"), ("two", "KWS")):
        (folder / name).mkdir()
        (folder / name / "tinybudget.toml").write_text(
            f'[models.{model}]\nsource = "../models/kws.tflite"\nboards = ["{BOARD}"]\n'
        )
    (folder / "tinybudget.toml").unlink()
    assert run("check", "--artifacts", "out") == 2
    assert "would overwrite those of" in capsys.readouterr().out


# Encodings


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp932"])
def test_every_code_page_can_print_a_verdict(folder: Path, encoding: str) -> None:
    declare(folder, 'budget = { ram = "1 KB" }\nmessage = "Größe → 大きさ"')
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tinybudget", "check", "-vv"],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"kws on {BOARD}" in done.stdout.decode(encoding)
    assert done.stderr == b""


def test_no_file_is_read_or_written_in_the_systems_encoding(folder: Path) -> None:
    (folder / "test_fixture.py").write_text(
        f'def test_fits(tinybudget):\n    tinybudget.check("models/kws.tflite", board="{BOARD}")\n'
    )
    options = ("-X", "warn_default_encoding", "-W", "always")
    check = ("check", "--artifacts", "out", "--json", "a.json", "--html", "a.html")
    for module, *arguments in (
        ("pytest_tinybudget", *check, "--junit-xml", "a.xml"),
        ("pytest_tinybudget", "inspect", "models/kws.tflite"),
        ("pytest_tinybudget", "diff", "a.json", "a.json"),
        ("pytest", "--tinybudget", "--tinybudget-json=b.json", "-p", "no:cacheprovider"),
    ):
        done = subprocess.run(
            [sys.executable, *options, "-m", module, *arguments],
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = re.findall(r".*pytest_tinybudget.*EncodingWarning.*", done.stdout + done.stderr)
        assert told == [], module
