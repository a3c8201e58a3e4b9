"""What shrinking saves, model by model: file, flash and arena on four boards, proof, time, floor.

``shrink.py [--models DIR]… [--interpreter] [--only NAME]``: by default the shared models and those
of the examples. With ``--interpreter`` TFLM's own interpreter on this machine (the package
``tflite-micro``) is asked for the smallest arena in which it loads and runs each file, before and
after, by bisection; that must be what is predicted. The floor is what no file of the model goes
below: its distinct weights, biases and scales. With ``--gate PYTHON``, an environment with the
plugin, runs of the gate on four models are timed instead: with ``shrink = true``, nothing cached
and all cached, against one without.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

from timing import Command
from timing import Row
from timing import median_ratio
from timing import print_rows
from timing import run

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.shrunken import firmwares_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.shrinking.interpreters import Interpreters
from pytest_tinybudget.shrinking.report import ShrinkReport
from pytest_tinybudget.shrinking.shrink import shrink_model
from pytest_tinybudget.shrinking.shrink import shrinking


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared")) / "models"
BOARDS = ("arduino-nano-33-ble", "raspberry-pi-pico", "arduino-portenta-h7", "esp32-c3-devkitm-1")
#: Packing and planning one model, without the proof, should take at most so long.
MOST_SECONDS = 0.15
SMALL_BYTES = 100 * 1024

#: Models and boards of a run of the gate that is timed.
FOUR = (
    ("person_detect", "arduino-nano-33-ble"),
    ("mlperf_kws_int8", "arduino-portenta-h7"),
    ("mlperf_ad01_int8", "raspberry-pi-pico-2"),
    ("hello_world_int8", "esp32-c3-devkitm-1"),
)
REPEATS = 11

_STEP = 16
_HERE = {"here": Firmware(RUNTIMES["x86_64_ref"])}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", type=Path, action="append", help="folder with .tflite files")
    parser.add_argument("--only", action="append", default=[], help="name of a model")
    parser.add_argument("--interpreter", action="store_true", help="find the smallest arenas")
    parser.add_argument("--gate", metavar="PYTHON", help="time runs of the gate instead")
    arguments = parser.parse_args()
    if arguments.gate:
        return gate(arguments.gate)
    firmwares = firmwares_of(map(find_board, BOARDS))
    reports, wrong = [], 0
    with Interpreters() as interpreters:
        interpreters.start()
        for model in models(arguments.models or [SHARED, ROOT / "examples"], arguments.only):
            try:
                report, faults = row(
                    model, dict(firmwares), interpreters, find_smallest=arguments.interpreter
                )
            except TinybudgetError as error:
                print(f"{model.name}: {error.message}")
                wrong += 1
                continue
            wrong += faults
            reports.append((model, report))
    summary(reports)
    return 1 if wrong else 0


def gate(python: str) -> int:
    """Time runs of the gate on four models; 1 where a target is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, small = (_project(folder / each, each) for each in ("false", "true"))
        cache = folder / "cache"
        arguments = ("env", f"TINYBUDGET_CACHE={cache}", python, "-m", "pytest", "-q")
        runs = [Command(each, (*arguments, "--tinybudget")) for each in (plain, small)]

        def cold() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            run(runs[1])

        first, again = (
            median_ratio(lambda: run(runs[0]), call, REPEATS)
            for call in (cold, lambda: run(runs[1]))
        )
    print(f"four models: {first[0][0] * 1e3:.0f} ms, shrunk {first[0][1] * 1e3:.0f} ms")
    return print_rows(
        [
            Row("four models with shrink = true, against without", first[1], 1.5, "times"),
            Row("the same, cached", again[1], 1.05, "times"),
        ]
    )


def _project(folder: Path, shrink: str) -> Path:
    folder.mkdir()
    folder.joinpath("pytest.ini").touch()
    text = f"[defaults]\nshrink = {shrink}\n"
    for model, board in FOUR:
        shutil.copy(SHARED / f"{model}.tflite", folder)
        text += f'[models.{model}]\nsource = "{model}.tflite"\nboards = ["{board}"]\n'
    folder.joinpath("tinybudget.toml").write_text(f"schema = 1\n{text}", encoding="utf-8")
    return folder


def models(folders: Iterable[Path], only: list[str]) -> Iterator[Model]:
    """Every model that can be read, once by its contents."""
    seen = set()
    for folder in folders:
        for path in sorted(folder.rglob("*.tflite")):
            if only and path.stem not in only:
                continue
            try:
                model = load_model(path)
            except TinybudgetError:
                continue
            if model.sha256 not in seen:
                seen.add(model.sha256)
                yield model


def row(
    model: Model, firmwares: dict[str, Firmware], interpreters: Interpreters, find_smallest: bool
) -> tuple[ShrinkReport, int]:
    """Print one model's lines; its report, and how many things are not as they must be."""
    start = time.process_time()
    begun = shrinking(model, firmwares, interpreters=interpreters)
    seconds = time.process_time() - start
    shrunk = begun.result()
    report, faults = shrunk.report, 0
    over = report.bytes_after - report.least_bytes
    print(f"{report.headline}; {over:,} B above {report.least_bytes:,} B; {seconds:.3f} s of CPU")
    for arena in report.arenas:
        flash = [measure(each, firmwares[arena.board]).flash for each in (model, shrunk.model)]
        print(f"  {arena.text}; flash {flash[0]:,} -> {flash[1]:,} B")
        faults += flash[1] > flash[0] or arena.after > arena.before
    for note in report.notes:
        print(f"  {note}")
    if not report.unchanged:
        print(f"  {report.proof.text}")
    if find_smallest:
        faults += _smallest_arenas(model)
    sys.stdout.flush()
    return report, faults


def _smallest_arenas(model: Model) -> int:
    """Compare the smallest arena of TFLM's interpreter here with the predicted one."""
    shrunk = shrink_model(model, _HERE).model
    faults, told = 0, []
    for each in (model, shrunk):
        arena = simulate(each, RUNTIMES["x86_64_ref"]).arena
        if arena is None or not _runs(each, arena.required + _STEP):
            return 0
        found = _smallest(each, 2 * arena.required)
        faults += found != arena.required
        told.append(f"{found:,} B (predicted {arena.required:,} B)")
    print(f"  smallest arena of the interpreter here: {' -> '.join(told)}")
    return faults


def _smallest(model: Model, enough: int) -> int:
    low, high = 0, enough // _STEP
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _runs(model, middle * _STEP) else (middle, high)
    return high * _STEP


def _runs(model: Model, arena_bytes: int) -> bool:
    """Whether the model loads and runs in an arena of this size, tried in a child process."""
    from pytest_tinybudget.base.folders import temporary_folder
    from pytest_tinybudget.base.processes import run

    code = (
        "import sys\n"
        "from tflite_micro.python.tflite_micro import runtime\n"
        "runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2])).invoke()\n"
    )
    with temporary_folder() as folder:
        (folder / "model.tflite").write_bytes(model.content)
        return not run(code, ["model.tflite", str(arena_bytes)], folder, 60).returncode


def summary(reports: list[tuple[Model, ShrinkReport]]) -> None:
    """The median of the file's saving, and what was verified."""
    public = [(model, report) for model, report in reports if _is_public(model)]
    for name, chosen in (
        ("all models", [report for _, report in reports]),
        ("INT8, under 100 KB", [report for model, report in reports if _is_small(model)]),
        ("of these public", [report for model, report in public if _is_small(model)]),
    ):
        if chosen:
            saved = [100 * each.saved_bytes / each.bytes_before for each in chosen]
            verified = sum(each.proof.is_verified for each in chosen)
            print(
                f"{name}: {len(chosen)}, median of the file saved {statistics.median(saved):.1f}%, "
                f"verified {verified}"
            )


def _is_public(model: Model) -> bool:
    """Whether it was not made for this project, and is no single layer of another model."""
    made_here = {path.stem for path in (ROOT / "examples").rglob("*.tflite")}
    return not model.name.startswith(("gen_", "seanet_")) and model.name not in made_here


def _is_small(model: Model) -> bool:
    return model.bytes < SMALL_BYTES and not not_int8_tensors(model)


if __name__ == "__main__":
    sys.exit(main())
