"""What a base commit costs: ``diff --base`` against a plain check, of which one model changed.

``base_commit.py [--python PYTHON] [--megabytes 200]``: a repository with that many MB of models, 10
each, the last of them changed and not committed. Whole processes, in turns; the base is
measured in each run. Needs git.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from speed import model_maker
from timing import Command
from timing import Row
from timing import command_medians
from timing import print_rows
from timing import program


_MEGABYTES_EACH = 10
_BOARD = """
[boards.large]
extends = "arduino-portenta-h7"
flash = "64 MB"
usable_flash = "64 MB"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", type=program, default=sys.executable, help="where the package is installed"
    )
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_repository(folder, arguments.megabytes // _MEGABYTES_EACH)
        tinybudget = (arguments.python, "-m", "pytest_tinybudget")
        check = Command(folder, (*tinybudget, "check", "-q"))
        diff = Command(folder, (*tinybudget, "diff", "-q", "--base", "HEAD"))
        alone, compared = command_medians([check, diff], arguments.repeats)
    print(f"check: {alone * 1e3:.0f} ms, diff --base HEAD: {compared * 1e3:.0f} ms")
    what = f"diff --base in {arguments.megabytes} MB of models, one changed, against check"
    return print_rows([Row(what, compared / alone, 2, "times")])


def write_repository(folder: Path, count: int) -> None:
    """A commit of ``count`` models, and then another one in place of the last."""
    text = f"schema = 1\n{_BOARD}"
    for number in range(count):
        folder.joinpath(f"m{number}.tflite").write_bytes(model(number))
        text += f'[models.m{number}]\nsource = "m{number}.tflite"\nboards = ["large"]\n'
    folder.joinpath("tinybudget.toml").write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "models")
    folder.joinpath(f"m{count - 1}.tflite").write_bytes(model(count))


def model(seed: int) -> bytes:
    """A dense layer of 10 MB, whose weights are those of no other seed."""
    maker = model_maker().ModelMaker()
    graph = maker.graph(f"variant {seed}")
    graph.output(graph.dense(graph.input((1, 1024)), units=_MEGABYTES_EACH * 1024))
    content = bytearray(maker.build())
    weights = random.Random(seed).randbytes(1024 * 1024)
    middle = len(content) // 2
    content[middle : middle + len(weights)] = weights
    return bytes(content)


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.invalid")
    settings = ("-c", "core.compression=1", "-c", "gc.auto=0", "-c", "maintenance.auto=false")
    subprocess.run(["git", *identity, *settings, *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main())
