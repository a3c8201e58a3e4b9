"""How a run scales: MODELS models on forty boards against as many empty tests of pytest's own.

``monorepo.py [--models 500] [--python PYTHON]``; the models share twenty architectures, as in a
repository that has variants of a few networks. Time and memory are of whole processes, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from speed import model_maker
from timing import Command
from timing import Row
from timing import print_rows
from timing import run

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
    parser.add_argument("--python", default=sys.executable, help="where the plugin is installed")
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
        pytest = (arguments.python, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        own = Command(empty, pytest)
        ours = Command(project, (*pytest, "--tinybudget"))
        times, peaks = measured([own, ours], arguments.repeats)
    print(f"{items:,} items: pytest's own {times[0]:.1f} s and {peaks[0] / 1024**2:.0f} MB,")
    print(f"pairs {times[1]:.1f} s and {peaks[1] / 1024**2:.0f} MB")
    rows = [
        Row(f"{items:,} pairs against as many empty tests", times[1] / times[0], 1.1, "times"),
        Row("memory for each pair beyond pytest's", (peaks[1] - peaks[0]) / items, 1024, "B"),
    ]
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


def measured(commands: list[Command], repeats: int) -> tuple[list[float], list[float]]:
    """Median seconds and bytes of each of ``commands``, run in turns."""
    times: list[list[float]] = [[] for _ in commands]
    peaks: list[list[int]] = [[] for _ in commands]
    for _ in range(repeats):
        for position, command in enumerate(commands):
            started = time.perf_counter()
            peaks[position].append(run(command))
            times[position].append(time.perf_counter() - started)
    return [statistics.median(each) for each in times], [statistics.median(each) for each in peaks]


if __name__ == "__main__":
    sys.exit(main())
