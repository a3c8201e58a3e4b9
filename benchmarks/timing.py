"""What the benchmarks share: timings of alternating runs, and a table of targets met or not."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One target: ``measured`` must be at most ``target``, both in ``unit``."""

    what: str
    measured: float
    target: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.measured <= self.target


@dataclass(frozen=True, slots=True)
class Command:
    """A program to time in ``folder``."""

    folder: Path
    arguments: tuple[str, ...]


def program(text: str) -> str:
    """A program on the command line of a benchmark, which runs it in other folders.

    Raises:
        argparse.ArgumentTypeError: there is none.
    """
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: no such program")
    return str(Path(found).absolute())  # a link to Python is an environment


def print_rows(rows: Sequence[Row]) -> int:
    """Print a Markdown table of ``rows``; the exit code, 1 where a target is missed."""
    print("\n| what | measured | target | met |\n|---|---|---|---|")
    for row in rows:
        numbers = f"{row.measured:.3g} {row.unit} | {row.target:.3g} {row.unit}"
        print(f"| {row.what} | {numbers} | {'yes' if row.met else 'no'} |")
    return 0 if all(row.met for row in rows) else 1


def medians(calls: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """The median seconds of each of ``calls``, run in turns, so that all meet the same noise.

    Each runs once before, not counted.
    """
    return [statistics.median(each) for each in _turns(calls, repeats)]


def median_ratio(
    first: Callable[[], object], second: Callable[[], object], repeats: int
) -> tuple[list[float], float]:
    """Median seconds of both, and the median of how much longer ``second`` takes, turn by turn.

    What slows a machine down for seconds meets both calls of a turn, so that this tells smaller
    differences apart than the ratio of medians.
    """
    times = _turns([first, second], repeats)
    ratios = [two / one for one, two in zip(*times, strict=True)]
    return [statistics.median(each) for each in times], statistics.median(ratios)


def _turns(calls: Sequence[Callable[[], object]], repeats: int) -> list[list[float]]:
    """The seconds of each of ``calls`` in each turn; each runs once before, not counted."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats):
        for step in range(len(calls)):
            position = (turn + step) % len(calls)
            started = time.perf_counter()
            calls[position]()
            times[position].append(time.perf_counter() - started)
    return times


def command_medians(commands: Sequence[Command], repeats: int) -> list[float]:
    """As ``medians``, of programs; Python may keep its compiled files, as it does everywhere."""
    return medians([lambda command=command: run(command) for command in commands], repeats)  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program took: ``seconds`` of the processor, and ``peak``, its most memory, bytes."""

    seconds: float
    peak: int


def run(command: Command) -> int:
    """Run a program that must succeed, or find pairs that fail; its largest memory in bytes.

    Raises:
        SystemExit: it did not run.
    """
    return usage(command).peak


def usage(command: Command) -> Usage:
    """Run a program as ``run`` does; what it took.

    Raises:
        SystemExit: it did not run.
    """
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        command.arguments,
        cwd=command.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, taken = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"exit code {process.returncode}: {' '.join(command.arguments)}")
    return Usage(taken.ru_utime + taken.ru_stime, taken.ru_maxrss * 1024)
