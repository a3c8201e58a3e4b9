"""How a run scales: MODELS models on forty boards against as many empty tests of pytest's own.

``monorepo.py [--models 500] [--python PYTHON]``; the models share twenty architectures, as in a
repository that has variants of a few networks. A first run finds nothing kept and writes all C
files; in later runs nothing has changed. Time and memory are of whole processes, in turns; the time
is the processor's, which other processes of the machine change less than the clock.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speed import model_maker
from timing import Command
from timing import Row
from timing import Usage
from timing import print_rows
from timing import program
from timing import usage

from pytest_tinybudget.boards import catalog


_BOARDS = 40
_ARCHITECTURES = 20
#: Boards with less room than the largest of these models takes would make failures of them.
_LEAST_FLASH, _LEAST_RAM = 200 * 1024, 32 * 1024

_EMPTY = """
import pytest

@pytest.mark.parametrize("board", range({boards}))
@pytest.mark.parametrize("model", range({models}))
def test_nothing(model, board):
    pass
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--python", type=program, default=sys.executable, help="where the plugin is installed"
    )
    arguments = parser.parse_args()
    items = arguments.models * _BOARDS
    with tempfile.TemporaryDirectory() as name:
        empty, project = Path(name, "empty"), Path(name, "project")
        for folder in (empty, project):
            folder.mkdir()
            folder.joinpath("pytest.ini").touch()
        text = _EMPTY.format(boards=_BOARDS, models=arguments.models)
        empty.joinpath("test_empty.py").write_text(text, encoding="utf-8")
        write_project(project, arguments.models)
        cache = Path(name, "cache")
        os.environ["TINYBUDGET_CACHE"] = str(cache)
        pytest = (arguments.python, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        ours = Command(project, (*pytest, "--tinybudget"))
        usages = measured(
            {
                "own": Run(Command(empty, pytest)),
                "first": Run(ours, forgets=(cache, project / "build")),
                "later": Run(ours),
            },
            arguments.repeats,
        )
    own = usages.pop("own")
    print(f"{items:,} items: pytest's own {own.seconds:.1f} s and {own.peak / 1024**2:.0f} MB")
    rows = []
    for which, took in usages.items():
        print(f"pairs, {which} run: {took.seconds:.1f} s and {took.peak / 1024**2:.0f} MB")
        what = f"{items:,} pairs against as many empty tests, {which} run"
        rows.append(Row(what, took.seconds / own.seconds, 1.1, "times"))
        beyond = (took.peak - own.peak) / items
        rows.append(Row(f"memory for each pair beyond pytest's, {which} run", beyond, 1024, "B"))
    return print_rows(rows)


def write_project(folder: Path, count: int) -> None:
    """A declaration of ``count`` models, each on forty boards that they fit."""
    fitting = [
        board.id
        for board in catalog().values()
        if board.flash_room >= _LEAST_FLASH and board.ram_room >= _LEAST_RAM
    ]
    boards = ", ".join(f'"{board}"' for board in sorted(fitting)[:_BOARDS])
    lines = ["schema = 1", "[defaults]", f"boards = [{boards}]"]
    for number, content in enumerate(_models(count)):
        folder.joinpath(f"m{number}.tflite").write_bytes(content)
        lines += [f"[models.m{number}]", f'source = "m{number}.tflite"']
    folder.joinpath("tinybudget.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _models(count: int) -> Iterator[bytes]:
    maker = model_maker()
    for number in range(count):
        kind = number % _ARCHITECTURES
        model = maker.ModelMaker()
        graph = model.graph(f"variant {number}")
        hidden = graph.input((1, 16, 16, 1))
        for _ in range(1 + kind % 5):
            hidden = graph.conv2d(hidden, filters=8, activation="RELU")
        hidden = graph.dense(graph.pool(hidden), units=4)
        last = (graph.softmax, graph.logistic, graph.tanh, lambda scores: scores)[kind // 5]
        graph.output(last(hidden))
        yield model.build()


@dataclass(frozen=True, slots=True)
class Run:
    """A program, and the folders that are removed before it runs."""

    command: Command
    forgets: tuple[Path, ...] = ()


def measured(runs: Mapping[str, Run], repeats: int) -> dict[str, Usage]:
    """The medians of each of ``runs``, run in turns in their order."""
    found: dict[str, list[Usage]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, each in runs.items():
            for folder in each.forgets:
                shutil.rmtree(folder, ignore_errors=True)
            found[name].append(usage(each.command))
    return {
        name: Usage(
            statistics.median(each.seconds for each in usages),
            int(statistics.median(each.peak for each in usages)),
        )
        for name, usages in found.items()
    }


if __name__ == "__main__":
    sys.exit(main())
