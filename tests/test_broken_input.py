"""Model files that are none: one clear line and the right exit code from every way in."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import dense_model
from modelmaker import ModelMaker

from pytest_tinybudget import cli


#: A small file is refused in milliseconds; more than this is a hang.
SECONDS = 120


def without_operators() -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.input((1, 4)))
    return maker.build()


def larger_than_any_memory() -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("ABS", graph.input((2**30, 2**30), "FLOAT32")))
    return maker.build()


def link_to_itself(path: Path) -> None:
    try:
        path.symlink_to(path)
    except OSError:
        pytest.skip("this user may not make links")


def pipe(path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("no pipes with names there")
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    path.write_bytes(dense_model())
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")


def holding(content: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


#: What makes the file, and what every message about it says.
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (holding(b""), "is empty"),
    "truncated": (holding(dense_model()[:700]), "damaged: "),
    "cut after its start": (holding(dense_model()[:6]), "not a TF Lite file (only 6 bytes)"),
    "random bytes": (
        holding(random.Random(1).randbytes(5000)),
        "not a TF Lite file (expected the identifier TFL3 at byte 4",
    ),
    "random after the identifier": (
        holding(dense_model()[:8] + random.Random(2).randbytes(5000)),
        "damaged",
    ),
    "text": (holding(b"a model? no.\n" * 50), "not a TF Lite file"),
    "Git LFS pointer": (
        holding(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "is a Git LFS pointer, not the file itself: git lfs pull fetches it",
    ),
    "no operators": (holding(without_operators()), "has no operators"),
    "huge sizes": (holding(larger_than_any_memory()), "has the impossible shape"),
    "folder": (Path.mkdir, "a folder; expected a file|is a directory"),
    "link to itself": (link_to_itself, "a link that leads nowhere|cannot be read: "),
    "pipe": (pipe, "is not a regular file"),
    "unreadable": (unreadable, "cannot be read: "),
}


@pytest.fixture(params=FILES)
def message(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes ``broken.tflite`` and its declaration; what messages say of it."""
    make, message = FILES[request.param]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    make(tmp_path / "broken.tflite")
    tmp_path.joinpath("tinybudget.toml").write_text(
        '[models.broken]\nsource = "broken.tflite"\nboards = ["arduino-nano-33-ble"]\n'
    )
    return message


def assert_says(text: str, message: str) -> None:
    assert any(each in text for each in message.split("|")), text
    assert "Traceback" not in text
    assert ".py:" not in text


@pytest.mark.parametrize("command", ["inspect", "carray"])
def test_commands_refuse_it_in_one_line(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, "broken.tflite"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tinybudget: broken.tflite: ")
    assert captured.err.count("\n") == 1
    assert_says(captured.err, message)
    assert not list(Path().glob("*_model_data.*"))


def test_check_says_so_and_counts_it_as_not_measured(
    message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check"]) == 2
    assert_says("".join(capsys.readouterr()), message)


def test_pytest_makes_each_an_error_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {name: make for name, (make, _) in FILES.items() if make.__name__ == "write"}
    lines = []
    for name, make in contents.items():
        file = f"{name.replace(' ', '_')}.tflite"
        make(tmp_path / file)
        lines += [f"[models.{Path(file).stem}]", f'source = "{file}"', 'boards = ["esp32"]']
    tmp_path.joinpath("tinybudget.toml").write_text("\n".join(lines))
    monkeypatch.setenv("COLUMNS", "200")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--tinybudget", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=environment(),
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert f"{len(contents)} errors" in done.stdout
    for name in contents:
        assert f"{name.replace(' ', '_')}.tflite: " in done.stdout
        assert_says(done.stdout + done.stderr, FILES[name][1])


def environment() -> dict[str, str]:
    """That of this process, without what would change the output."""
    left_out = ("CI", "FORCE_COLOR", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER")
    return {name: value for name, value in os.environ.items() if name not in left_out}
