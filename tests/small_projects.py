"""Small projects for tests that run commands: keyword models by size, declarations, git commits."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from modelmaker import ModelMaker

from pytest_tinybudget import cli


if TYPE_CHECKING:
    import pytest


BOARD = "arduino-nano-33-ble"
KWS = f"tinybudget.toml::kws::{BOARD}"


def keywords(
    *, filters: int = 8, blocks: int = 1, name: str = "kws", logistic: bool = False
) -> bytes:
    """An INT8 network with ``blocks`` convolutions; SOFTMAX at its end, or LOGISTIC."""
    maker = ModelMaker()
    graph = maker.graph(name)
    hidden = graph.input((1, 16, 16, 1), name="spectrogram")
    for _ in range(blocks):
        hidden = graph.conv2d(hidden, filters=filters, activation="RELU")
    scores = graph.dense(graph.pool(hidden), units=4)
    graph.output(graph.logistic(scores) if logistic else graph.softmax(scores))
    return maker.build()


def declare(
    folder: Path, more: str = "", *, head: str = "", models: tuple[str, ...] = ("kws",)
) -> None:
    """A declaration of ``models``; ``more`` stands in the section of the last, ``head`` first."""
    sections = [
        f'[models.{model}]\nsource = "models/{model}.tflite"\nboards = ["{BOARD}"]\n'
        for model in models
    ]
    text = "\n".join(["schema = 1", head, *sections]) + more
    folder.joinpath("tinybudget.toml").write_text(text + "\n", encoding="utf-8")


def put(folder: Path, **models: bytes) -> None:
    """Write ``models`` to where declarations expect them."""
    folder.joinpath("models").mkdir(exist_ok=True)
    for name, content in models.items():
        folder.joinpath("models", f"{name}.tflite").write_bytes(content)


def run(*arguments: str) -> int:
    """The exit code of ``tinybudget`` with ``arguments``."""
    return cli.main([*arguments])


def git(folder: Path, *arguments: str) -> str:
    """Output of git in ``folder``, as somebody without configuration."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    quiet = ("-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *quiet, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commit everything in ``folder``; the commit's id."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def assert_all_commands_refuse(
    words: str, folder: Path, capsys: pytest.CaptureFixture[str], board: str = "raspberry-pi-pico"
) -> None:
    """Every command that measures ``kws.tflite`` of ``folder`` says ``words``; none writes files.

    ``folder`` is the working directory, with a declaration of the model on ``board``.
    """
    for exit_code, *command in (
        (1, "check"),
        (1, "check", "--artifacts", "out"),
        (1, "explain", f"kws::{board}"),
        (0, "inspect", "kws.tflite", "--board", board),
        (0, "compare", "kws.tflite", "--board", board),
        (2, "boards", "--fits", "kws.tflite"),
        (2, "carray", "kws.tflite", "-o", "out"),
        (2, "package", "kws.tflite", "--version", "1.0.0", "--slot-size", "64KB",
         "--board", board, "-o", "out"),
    ):  # fmt: skip
        assert cli.main(command) == exit_code, command
        captured = capsys.readouterr()
        shown = " ".join((captured.out + captured.err).split())
        assert words in shown, command
        assert not (folder / "out").exists(), command
