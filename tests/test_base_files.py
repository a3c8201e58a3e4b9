"""The files of a base commit: as git writes them, and none twice that the work tree has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from modelmaker import ModelMaker
from small_projects import commit
from small_projects import git

from pytest_tinybudget.baseline.git import Repository
from pytest_tinybudget.cli import main
from pytest_tinybudget.graph import tflite


LARGE = 300 * 1024

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with a large file and a small one, both committed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    folder.joinpath("large.bin").write_bytes(bytes(LARGE))
    folder.joinpath("sub").mkdir()
    folder.joinpath("sub", "small.txt").write_text("one\n", encoding="utf-8")
    commit(folder, "first")
    return folder


def written(folder: Path, revision: str = "HEAD") -> Path:
    """The folder that the files of a commit are written to."""
    place = folder.parent / "place"
    repository = Repository.around(folder)
    repository.write(repository.commit(revision), place, folder.parent / "own")
    return place


@needs_links
def test_a_large_file_that_did_not_change_is_a_link_to_the_one_that_is_there(folder: Path) -> None:
    before = git(folder, "status", "--porcelain"), sorted(folder.rglob("*"))
    place = written(folder)
    assert place.joinpath("large.bin").readlink() == folder / "large.bin"
    assert not place.joinpath("sub", "small.txt").is_symlink()
    assert place.joinpath("sub", "small.txt").read_text("utf-8") == "one\n"
    assert git(place, "rev-parse", "HEAD") == git(folder, "rev-parse", "HEAD")
    assert git(place, "status", "--porcelain") == " T large.bin".strip()
    assert (git(folder, "status", "--porcelain"), sorted(folder.rglob("*"))) == before
    assert git(folder, "worktree", "list").count("\n") == 0


@pytest.mark.parametrize("how", ["modified", "staged", "committed", "assumed", "removed", "moved"])
def test_a_large_file_that_changed_is_written_as_the_base_has_it(folder: Path, how: str) -> None:
    file = folder / "large.bin"
    if how == "assumed":
        git(folder, "update-index", "--assume-unchanged", "large.bin")
    if how == "moved":
        git(folder, "mv", "large.bin", "other.bin")
    elif how == "removed":
        file.unlink()
    else:
        file.write_bytes(b"\1" * LARGE)
    if how in ("staged", "committed", "moved"):
        git(folder, "add", ".")
    if how in ("committed", "moved"):
        commit(folder, "second")
    first = git(folder, "rev-list", "--max-parents=0", "HEAD")
    place = written(folder, first)
    assert not place.joinpath("large.bin").is_symlink()
    assert place.joinpath("large.bin").read_bytes() == bytes(LARGE)


@needs_links
def test_links_and_conversions_are_those_of_the_base(folder: Path) -> None:
    folder.joinpath("link").symlink_to("sub/small.txt")
    folder.joinpath(".gitattributes").write_text("*.txt eol=crlf\n", encoding="utf-8")
    commit(folder, "second")
    folder.joinpath(".gitattributes").write_text("*.txt eol=lf\n*.bin -text\n", encoding="utf-8")
    place = written(folder)
    assert str(place.joinpath("link").readlink()) == "sub/small.txt"
    assert place.joinpath("sub", "small.txt").read_bytes() == b"one\r\n"
    # With other attributes the same object may be another file.
    assert not place.joinpath("large.bin").is_symlink()


@needs_links
def test_a_filter_such_as_that_of_git_lfs_is_asked_for_what_changed_alone(folder: Path) -> None:
    kept, asked = folder.parent / "kept", folder.parent / "asked"
    kept.mkdir()
    script = folder.parent / "filter.py"
    script.write_text(
        "import hashlib, pathlib, sys\n"
        f"kept, asked = pathlib.Path({str(kept)!r}), pathlib.Path({str(asked)!r})\n"
        "given = sys.stdin.buffer.read()\n"
        "if sys.argv[1] == 'clean':\n"
        "    given, content = hashlib.sha256(given).hexdigest().encode(), given\n"
        "    (kept / given.decode()).write_bytes(content)\n"
        "else:\n"
        "    with asked.open('a') as file:\n"
        "        file.write(sys.argv[2] + ' ')\n"
        "    given = (kept / given.decode()).read_bytes()\n"
        "sys.stdout.buffer.write(given)\n",
        encoding="utf-8",
    )
    for way in ("clean", "smudge"):
        git(folder, "config", f"filter.store.{way}", f'"{sys.executable}" "{script}" {way} %f')
    git(folder, "config", "filter.store.required", "true")
    folder.joinpath(".gitattributes").write_text("*.bin filter=store\n", encoding="utf-8")
    for name in ("same", "other"):
        folder.joinpath(f"{name}.bin").write_bytes(name.encode() * LARGE)
    folder.joinpath("large.bin").unlink()
    commit(folder, "pointers")
    folder.joinpath("other.bin").write_bytes(b"new" * LARGE)
    commit(folder, "a new one")
    place = written(folder, "HEAD^")
    assert asked.read_text("utf-8").split() == ["other.bin"]
    assert place.joinpath("other.bin").read_bytes() == b"other" * LARGE
    assert place.joinpath("same.bin").read_bytes() == b"same" * LARGE


@needs_links
def test_a_model_that_did_not_change_is_read_once_for_both_sides(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "schema = 1\n"
    for name in ("same", "other"):
        folder.joinpath(f"{name}.tflite").write_bytes(large_model(name))
        text += f'[models.{name}]\nsource = "{name}.tflite"\nboards = ["arduino-portenta-h7"]\n'
    folder.joinpath("tinybudget.toml").write_text(text, encoding="utf-8")
    commit(folder, "models")
    folder.joinpath("other.tflite").write_bytes(large_model("changed", units=400))
    read = []
    load = tflite.load_content

    def counted(path: Path, label: str) -> bytes:
        read.append(path.name)
        return load(path, label)

    monkeypatch.setattr(tflite, "load_content", counted)
    monkeypatch.chdir(folder)
    assert main(["diff", "--base", "HEAD"]) == 0
    shown = capsys.readouterr().out
    assert "1 changed" in shown
    assert sorted(read) == ["other.tflite", "other.tflite", "same.tflite"]


def large_model(name: str, units: int = 320) -> bytes:
    model = ModelMaker()
    graph = model.graph(name)
    graph.output(graph.dense(graph.input((1, 1024)), units=units))
    content: bytes = model.build()
    return content
