"""How long ``tinybudget fleet`` takes for a whole rollout: ``fleet.py [--devices 1000000]``.

Every step is the command itself, in a process of its own, from files to files: devices from CSV,
a rollout in stages, results from CSV, status, verification. Prints seconds for each step, by
the clock and of the processor, and the sums; exits with 1 when the clock passes ``--limit``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


VERSIONS = ("1.1.0", "1.2.0")
#: One device in so many fails.
FAILS = 200


class Fleet:
    """Runs commands of ``tinybudget fleet`` in a folder and adds up what they take."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = self.cpu_seconds = 0.0

    def __call__(self, *arguments: str, output: str | None = None) -> str:
        """Run a command and print its time; its output, which goes to the file ``output``."""
        begun, cpu_begun = time.perf_counter(), _cpu_seconds()
        done = subprocess.run(
            [sys.executable, "-m", "pytest_tinybudget", "fleet", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        took, cpu_took = time.perf_counter() - begun, _cpu_seconds() - cpu_begun
        self.seconds += took
        self.cpu_seconds += cpu_took
        if output:
            (self.folder / output).write_text(done.stdout, encoding="utf-8")
        print(
            f"{took:7.2f} s {cpu_took:7.2f} s  tinybudget fleet {' '.join(arguments)}", flush=True
        )
        return done.stdout


def _cpu_seconds() -> float:
    """What processes that have ended took of the processor."""
    times = os.times()
    return times.children_user + times.children_system


def rollout(fleet: Fleet, devices: int, stages: str) -> None:
    """Register, then update all in stages, as a user would."""
    before, after = VERSIONS
    with (fleet.folder / "devices.csv").open("w", encoding="utf-8") as file:
        file.write("device,hardware,version\n")
        file.writelines(f"sensor-{n * 7919 % devices:07d},pico,{before}\n" for n in range(devices))
    fleet("register", "--from", "devices.csv")
    fleet("start", "--version", after, "--stages", stages)
    action = "continue"
    while action in ("continue", "hold"):
        batch = fleet("next", output="batch.csv")
        with (fleet.folder / "results.csv").open("w", encoding="utf-8") as file:
            file.writelines(results(batch, after))
        fleet("report", "--from", "results.csv")
        fleet("status", "--json")
        action = json.loads(fleet("advance", "--json"))["action"]
    if action != "complete":
        raise SystemExit(f"the rollout ended with {action}")
    fleet("verify")
    print(fleet("status"), end="")


def results(batch: str, version: str) -> Iterator[str]:
    """The devices of ``batch`` with their results, as CSV."""
    yield "rollout,device,result,version\n"
    for number, line in enumerate(batch.splitlines()[1:]):
        rollout, device, _ = line.split(",", 2)
        failed = number % FAILS == 0
        yield f"{rollout},{device},{'failed,' if failed else f'ok,{version}'}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--stages", default="1,10,50,100")
    parser.add_argument("--limit", type=float, default=60.0, metavar="S")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder))
        rollout(fleet, arguments.devices, arguments.stages)
        megabytes = (fleet.folder / "fleet.sqlite").stat().st_size / 1e6
    times = f"{fleet.seconds:7.2f} s {fleet.cpu_seconds:7.2f} s"
    print(f"{times}  in all, {arguments.devices:,} devices, {megabytes:.0f} MB")
    return int(fleet.seconds > arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
