"""What the gate costs, against what anybody knows the cost of: targets, and whether they are met.

``speed.py --bare PYTHON --plugin PYTHON [--mcufit mcufit] [--models DIR]``: PYTHON are the
interpreters of two environments with the same pytest, the second with pytest-tinybudget installed
from its wheel. Without them, what needs them is left out; so is what needs xxd, an Arm compiler
or the interpreter of TFLM. Every ratio is of medians of runs in turns, so that it holds on a slow
or busy machine as well. ``monorepo.py`` and ``conversion.py`` have the other targets.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from timing import Command
from timing import Row
from timing import command_medians
from timing import median_ratio
from timing import medians
from timing import print_rows
from timing import program
from timing import run

from pytest_tinybudget.artifacts import render_array
from pytest_tinybudget.artifacts import write
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


ROOT = Path(__file__).parents[1]
MODELS = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared")) / "models"
RUNTIME = RUNTIMES["m4_cmsisnn"]
REPEATS = 15
_MEGABYTE = 1024**2

#: Four models, each on a board of another kind, and mcufit's name for that board.
_FOUR = (
    ("person_detect", "arduino-nano-33-ble", "nano33ble"),
    ("mlperf_kws_int8", "arduino-portenta-h7", "portenta-h7"),
    ("mlperf_ad01_int8", "raspberry-pi-pico-2", "rp2350"),
    ("hello_world_int8", "esp32-c3-devkitm-1", "esp32-c3"),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bare", type=program, help="a Python with pytest and without the plugin")
    parser.add_argument("--plugin", type=program, help="the same with the plugin's wheel")
    parser.add_argument(
        "--mcufit", type=program, help="the mcufit program, in an environment of its own"
    )
    parser.add_argument("--models", type=Path, default=MODELS)
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.bare and arguments.plugin:
            rows += start(folder, arguments.bare, arguments.plugin)
            rows += four_pairs(folder, arguments.plugin, arguments.mcufit, arguments.models)
        rows += analysis(arguments.models / "person_detect.tflite")
        rows += operators()
        rows += weights(folder)
        rows += c_array(folder)
    return print_rows(rows)


def start(folder: Path, bare: str, plugin: str) -> Iterator[Row]:
    """pytest with the plugin installed and not used, on one empty test."""
    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    empty = _empty_test(folder)
    first, second = (Command(empty, (python, *pytest)) for python in (bare, plugin))
    (without, with_it), ratio = median_ratio(lambda: run(first), lambda: run(second), 6 * REPEATS)
    print(
        f"pytest on an empty test: {without * 1e3:.1f} ms, with the plugin {with_it * 1e3:.1f} ms"
    )
    yield Row("installed and not used, start of pytest", ratio, 1.02, "times")


def four_pairs(folder: Path, plugin: str, mcufit: str | None, models: Path) -> Iterator[Row]:
    """``pytest --tinybudget`` on four ready models against an empty test, and against mcufit."""
    project = folder / "four"
    project.mkdir()
    project.joinpath("pytest.ini").touch()
    text = "schema = 1\n"
    for model, board, _ in _FOUR:
        shutil.copy(models / f"{model}.tflite", project)
        text += f'[models.{model}]\nsource = "{model}.tflite"\nboards = ["{board}"]\n'
    project.joinpath("tinybudget.toml").write_text(text, encoding="utf-8")
    pytest = (plugin, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    without, run_pairs = (
        Command(_empty_test(folder), pytest),
        Command(project, (*pytest, "--tinybudget")),
    )
    kept = folder / "kept"
    os.environ["TINYBUDGET_CACHE"] = str(kept)

    def first() -> None:
        shutil.rmtree(kept, ignore_errors=True)
        run(run_pairs)

    (empty, fresh), ratio = median_ratio(lambda: run(without), first, REPEATS)
    print(f"four pairs, nothing kept: {fresh * 1e3:.0f} ms, an empty test {empty * 1e3:.0f} ms")
    what = "four ready models on four boards, against an empty test"
    yield Row(f"{what}: first run", ratio, 1.25, "times")
    (empty, pairs), ratio = median_ratio(lambda: run(without), lambda: run(run_pairs), REPEATS)
    print(f"four pairs: {pairs * 1e3:.0f} ms, an empty test {empty * 1e3:.0f} ms")
    yield Row(f"{what}: later runs, nothing changed", ratio, 1.15, "times")
    if mcufit is None:
        return
    model, ours, theirs_id = _FOUR[0]
    check = (plugin, "-m", "pytest_tinybudget", "check", f"{model}.tflite", "--board", ours)
    other = (mcufit, "check", f"{model}.tflite", "--board", theirs_id)
    what = "tinybudget check of one pair, against mcufit check"

    def first_check() -> None:
        shutil.rmtree(kept, ignore_errors=True)
        run(Command(project, check))

    _, ratio = median_ratio(lambda: run(Command(project, other)), first_check, REPEATS)
    print(f"{what}: nothing kept, {ratio:.2f} times")
    _, ratio = median_ratio(
        lambda: run(Command(project, other)), lambda: run(Command(project, check)), REPEATS
    )
    yield Row(f"{what}: later runs, nothing changed", ratio, 0.15, "times")
    calls = [
        Command(project, (mcufit, "check", f"{model}.tflite", "--board", board))
        for model, _, board in _FOUR
    ]
    theirs = sum(command_medians(calls, 5))
    print(f"mcufit check, a call for each pair: {theirs * 1e3:.0f} ms")
    yield Row("the same, against mcufit check for each", pairs / theirs, 1 / 3, "times")


def _empty_test(folder: Path) -> Path:
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    empty.joinpath("pytest.ini").touch()
    empty.joinpath("test_empty.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    return empty


def analysis(path: Path) -> Iterator[Row]:
    """One model in process, from the file to the verdict; and the real interpreter's load of it."""
    if not path.is_file():
        print(f"{path}: not there, left out")
        return
    board = find_board("arduino-nano-33-ble")
    terms = Demands(budget=Budget(), warn_at_percent=90, require_int8="warn", strict=False)

    def ours() -> object:
        return judge(measure(load_model(path), RUNTIME), board, terms)

    calls: list[Callable[[], object]] = [ours]
    if importlib.util.find_spec("tflite_micro") is not None:
        runtime = importlib.import_module("tflite_micro.python.tflite_micro.runtime")
        content = path.read_bytes()
        calls.append(lambda: runtime.Interpreter.from_bytes(content, arena_size=16 * _MEGABYTE))
    times = medians(calls, REPEATS)
    yield Row(f"{path.stem}, file to verdict", times[0] * 1e3, 5, "ms")
    if len(times) > 1:
        yield Row("the same, against TFLM's load of it", times[0] / times[1], 1, "times")


def model_maker() -> ModuleType:
    """The tests' writer of ``.tflite`` files."""
    spec = importlib.util.spec_from_file_location("modelmaker", ROOT / "tests" / "modelmaker.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def operators() -> Iterator[Row]:
    """How time grows with operators, the planner's included."""
    few, many = 500, 5000
    contents = [_chain(count) for count in (few, many)]
    calls = [
        lambda content=content: measure(read_model(content, "chain"), RUNTIME)
        for content in contents
    ]
    short, long = medians(calls, 3)
    yield Row(f"{many:,} operators in a chain", long, 2, "s")
    yield Row(
        f"an operator of {many:,} against one of {few}", long / many / (short / few), 1.5, "times"
    )


def _chain(count: int) -> bytes:
    model = model_maker().ModelMaker()
    graph = model.graph()
    tensor = graph.input((1, 16))
    for _ in range(count):
        tensor = graph.logistic(tensor)
    graph.output(tensor)
    content: bytes = model.build()
    return content


def weights(folder: Path) -> Iterator[Row]:
    """What 50 MB of weights cost: a read and a hash."""
    model = model_maker().ModelMaker()
    graph = model.graph()
    graph.output(graph.dense(graph.input((1, 1024)), units=50 * 1024))
    path = folder / "large.tflite"
    path.write_bytes(model.build())

    def ours() -> None:
        loaded = load_model(path)
        measure(loaded, RUNTIME)
        assert loaded.sha256

    bare, whole = medians([lambda: hashlib.sha256(path.read_bytes()).digest(), ours], 9)
    yield Row("50 MB of weights, against a read and a hash", whole / bare, 1.2, "times")


def c_array(folder: Path) -> Iterator[Row]:
    """Arrays of 4 MB: written against ``xxd -i``, in C and C++ compiled against ``.incbin``."""
    made = folder / "made"
    path = _large(folder, units=4 * 1024)
    loaded = load_model(path)

    def ours() -> None:
        shutil.rmtree(made, ignore_errors=True)
        write(made, render_array(loaded, "big", "c"))

    if shutil.which("xxd"):
        dump = Command(folder, ("xxd", "-i", path.name, "dump.c"))
        taken, theirs = medians([ours, lambda: subprocess.run(dump.arguments, cwd=folder)], REPEATS)
        print(f"4 MB as a C array: {taken * 1e3:.0f} ms, xxd -i {theirs * 1e3:.0f} ms")
        yield Row("C array of 4 MB, written, against xxd -i", taken / theirs, 1 / 5, "times")
    if shutil.which("arm-none-eabi-gcc"):
        write(made, render_array(loaded, "big", "c++"))
        yield _incbin(made, "big_model_data.cc", "as the gate writes it")
        yield _incbin(made, "big_model_data.c", "in C")


def _large(folder: Path, units: int) -> Path:
    """A dense layer of ``units`` KB."""
    path = folder / "model.tflite"
    model = model_maker().ModelMaker()
    graph = model.graph()
    graph.output(graph.dense(graph.input((1, 1024)), units=units))
    path.write_bytes(model.build())
    return path


def _incbin(made: Path, array: str, how: str) -> Row:
    build = ("arm-none-eabi-gcc", "-c", "-mcpu=cortex-m4", "-mthumb", "-I.", "-o", "out.o")
    included = Command(made, (*build, "-DTINYBUDGET_INCBIN", "big_model_data.S"))
    compiled = command_medians([Command(made, (*build, array))], 1)[0]
    incbin = command_medians([included], REPEATS)[0]
    print(f"compiled: array {how} {compiled:.1f} s, .incbin {incbin * 1e3:.1f} ms")
    what = f".S of 4 MB, compiled, against the array {how}"
    return Row(what, incbin / compiled, 1 / 500, "times")


if __name__ == "__main__":
    sys.exit(main())
