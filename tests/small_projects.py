"""Small projects for the tests of baselines: keyword models by size, declarations, git commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

from modelmaker import ModelMaker

from pytest_tinybudget import cli


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
