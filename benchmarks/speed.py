"""How long the gate takes, stage by stage, and how that grows; printed, never a test.

``speed.py [MODEL.tflite]`` times one model (person detection where it is at hand), then models
with up to 5,000 operators, models with up to 50 MB of weights, and the start of the program.
Ratios are taken in one run, so that they hold on a slow or busy machine as well.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.runtime import RUNTIMES
from pytest_tinybudget.gate import sha256_of
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))
PERSON_DETECT = SHARED / "models" / "person_detect.tflite"
EXAMPLE = ROOT / "examples" / "quickstart"
RUNTIME = RUNTIMES["m4_cmsisnn"]
REPEATS = 15


def seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """The shortest of ``repeats`` runs of ``call``, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def model_maker() -> ModuleType:
    """The tests' writer of ``.tflite`` files."""
    spec = importlib.util.spec_from_file_location("modelmaker", ROOT / "tests" / "modelmaker.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def analyse(content: bytes) -> None:
    """What a pair costs after its model is in memory."""
    measure(read_model(content, "model"), RUNTIME)


def print_stages(path: Path) -> None:
    """One model, warm: reading, arena, flash; and the real interpreter's load of it."""
    model = load_model(path)
    stages = {
        "read": seconds(lambda: load_model(path)),
        "arena": seconds(lambda: simulate(model, RUNTIME)),
        "flash": seconds(lambda: link(model, RUNTIME)),
    }
    together = seconds(lambda: analyse(path.read_bytes()))
    operators = sum(len(graph.operators) for graph in model.subgraphs)
    print(f"{path.name}: {model.bytes:,} B, {operators} operators")
    for name, taken in stages.items():
        print(f"  {name:10}{taken * 1000:8.2f} ms")
    print(f"  {'all':10}{together * 1000:8.2f} ms, stack and layers included")
    if importlib.util.find_spec("tflite_micro") is not None:
        runtime = importlib.import_module("tflite_micro.python.tflite_micro.runtime")
        content, size = path.read_bytes(), 16 * 1024**2
        loaded = seconds(lambda: runtime.Interpreter.from_bytes(content, arena_size=size))
        print(f"  {'TFLM loads':10}{loaded * 1000:8.2f} ms, {loaded / together:.1f} times as long")


def print_operators(maker: ModuleType) -> None:
    """How time grows with operators: about linear is about the same for each thousand."""
    print("operators in a chain")
    for count in (500, 1000, 5000):
        model = maker.ModelMaker()
        graph = model.graph()
        tensor = graph.input((1, 16))
        for _ in range(count):
            tensor = graph.logistic(tensor)
        graph.output(tensor)
        content = model.build()
        taken = seconds(lambda content=content: analyse(content), 3)  # type: ignore[misc]
        print(f"  {count:10,}{taken * 1000:8.0f} ms{taken / count * 1e6:8.0f} ms a thousand")


def print_weights(maker: ModuleType) -> None:
    """How time and memory grow with weights: what a file costs is a read and a hash."""
    print("weights of a dense layer")
    for megabytes in (1, 10, 50):
        model = maker.ModelMaker()
        graph = model.graph()
        graph.output(graph.dense(graph.input((1, 1024)), units=1024 * megabytes))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.tflite")
            path.write_bytes(model.build())
            print(f"  {megabytes:7} MB {_weights_line(path)}")


def _weights_line(path: Path) -> str:
    bare = seconds(lambda: hashlib.sha256(path.read_bytes()).hexdigest(), 3)

    def analyse_file() -> None:
        model = load_model(path)
        sha256_of(model)
        measure(model, RUNTIME)

    taken = seconds(analyse_file, 3)
    tracemalloc.start()
    analyse_file()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (
        f"{taken * 1000:7.0f} ms, {taken / bare:.2f} times a read and a hash;"
        f" memory {peak / path.stat().st_size:.2f} times the file"
    )


def print_start() -> None:
    """What starting costs, against Python's own start."""
    bare = seconds(lambda: _run("-c", "pass"), 5)
    print(f"start: Python alone {bare * 1000:.0f} ms")
    program = "from pytest_tinybudget.cli import main; main()"
    for arguments in (("--version",), ("check", str(EXAMPLE))):
        taken = seconds(lambda arguments=arguments: _run("-c", program, *arguments), 5)  # type: ignore[misc]
        print(f"  tinybudget {arguments[0]:10}{taken * 1000:6.0f} ms, {taken / bare:.1f} times")
    imports: list[tuple[int, str]] = []
    for line in _run("-X", "importtime", "-c", program, "check", str(EXAMPLE)).splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if line.startswith("import time:") and own.strip().isdigit():
            imports.append((int(own), rest.partition("|")[2].strip()))
    print(f"  imports of check: {len(imports)}, {sum(own for own, _ in imports) / 1000:.0f} ms")
    for microseconds, name in sorted(imports, reverse=True)[:5]:
        print(f"    {microseconds / 1000:6.1f} ms  {name}")


def _run(*arguments: str) -> str:
    """Run this Python; what it printed as errors."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    example = PERSON_DETECT if PERSON_DETECT.is_file() else EXAMPLE / "models" / "alarm.tflite"
    parser.add_argument("model", type=Path, nargs="?", default=example)
    print_stages(parser.parse_args().model)
    maker = model_maker()
    print_operators(maker)
    print_weights(maker)
    print_start()


if __name__ == "__main__":
    main()
