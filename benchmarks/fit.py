"""What ``fit`` costs for 1,000 candidates on four boards, against a check and a conversion of one.

``fit.py [--mcufit mcufit]``: a network of 12 layers, depthwise-separable, with three free widths.
A tenth of the candidates is measured in each turn, beside one ``mcufit check`` of one candidate on
one board (the program, in an environment of its own) and, where TensorFlow is installed, one
conversion; figures are medians of the turns. No candidate is measured before the clock starts. The
memory is that of the process after 4,000 candidates against after 1,000, all of them different.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from timing import Command
from timing import Row
from timing import print_rows
from timing import program
from timing import run

from pytest_tinybudget import fit
from pytest_tinybudget.fitting.space import chosen_layers
from pytest_tinybudget.fitting.space import plan_of
from pytest_tinybudget.planning import model_of


BOARDS = ("arduino-nano-33-ble", "raspberry-pi-pico", "esp32", "nucleo-l4r5zi")
BUDGET = {"ram": "64 KB", "flash": "256 KB"}
TURNS, PER_TURN = 10, 100
INPUT = (49, 10, 1)
_MEGABYTE = 1024**2


def plan(first: int) -> dict[str, Any]:
    """The network, of whose three widths two are free: 100 candidates."""
    layers: list[dict[str, Any]] = [
        {"type": "conv2d", "filters": first, "stride": 2, "padding": "same", "activation": "relu"}
    ]
    for width in ("middle", "middle", "middle", "last", "last"):
        layers += [
            {"type": "depthwise_conv2d", "padding": "same", "activation": "relu"},
            {"type": "conv2d", "filters": width, "kernel": 1, "activation": "relu"},
        ]
    layers.append({"type": "dense", "units": 12})
    widths = {"from": 8, "to": 80, "step": 8}
    return {
        "input_shape": list(INPUT),
        "layers": layers,
        "free": {"middle": widths, "last": widths},
        "boards": list(BOARDS),
        "budget": BUDGET,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--mcufit", type=program, help="the mcufit program, in an environment of its own"
    )
    parser.add_argument("--convert", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        return _convert_when_asked()
    with tempfile.TemporaryDirectory() as name:
        others = _others(Path(name), arguments.mcufit)
        measured, times = 0, {each: list[float]() for each in ("fit", *others)}
        for turn in range(TURNS):
            started = time.perf_counter()
            measured += len(fit(plan(8 * turn + 8)).candidates)
            times["fit"].append(time.perf_counter() - started)
            for each, call in others.items():
                started = time.perf_counter()
                call()
                times[each].append(time.perf_counter() - started)
    candidate = statistics.median(times["fit"]) / PER_TURN
    first = times["fit"][0] / PER_TURN
    print(
        f"{measured} candidates, each on {len(BOARDS)} boards: {candidate * 1e3:.2f} ms each, ",
        end="",
    )
    print(f"{first * 1e3:.2f} ms of the first {PER_TURN}")
    rows = []
    for each, factor in (("mcufit check", 400), ("conversion", 1000)):
        if each in times:
            seconds = statistics.median(times[each])
            print(f"{each} of one: {seconds * 1e3:.0f} ms, {seconds / candidate:.0f} times")
            what = f"four boards of a candidate, against one {each} of one"
            rows.append(Row(what, candidate / seconds, 1 / factor, "times"))
    rows.append(Row("memory after 4,000 candidates against after 1,000", _growth(), 4, "MB"))
    return print_rows(rows)


def _others(folder: Path, mcufit: str | None) -> dict[str, Callable[[], object]]:
    """What ``fit`` is compared with, by name."""
    others: dict[str, Callable[[], object]] = {}
    chosen = {"middle": 40, "last": 40}
    if mcufit is not None:
        layers = chosen_layers(plan_of(plan(40), "plan"), chosen)
        folder.joinpath("candidate.tflite").write_bytes(model_of(layers, "candidate"))
        check = (mcufit, "check", "candidate.tflite", "--board", "nano33ble")
        others["mcufit check"] = lambda: run(Command(folder, check))
    if importlib.util.find_spec("tensorflow"):
        others["conversion"] = _converter()
    for call in others.values():
        call()
    return others


def _converter() -> Callable[[], object]:
    """A conversion in a process that has TensorFlow loaded, whose objects would slow this one."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--convert"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        text=True,
    )
    asks, answers = child.stdin, child.stdout
    assert asks is not None
    assert answers is not None

    def convert() -> None:
        asks.write("\n")
        asks.flush()
        if not answers.readline():
            sys.exit("the conversion failed")

    return convert


def _convert_when_asked() -> int:
    convert = _conversion(40, middle=40, last=40)
    for _ in sys.stdin:
        convert()
        print("converted", flush=True)
    return 0


def _conversion(first: int, middle: int, last: int) -> Callable[[], object]:
    """A conversion of a Keras model that was made before, with one row of data."""
    import keras
    import numpy as np
    import tensorflow as tf

    layers = keras.layers
    body = [layers.Conv2D(first, 3, 2, "same", activation="relu")]
    for width in (middle, middle, middle, last, last):
        body += [
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(width, 1, activation="relu"),
        ]
    model = keras.Sequential([keras.Input(INPUT), *body, layers.Flatten(), layers.Dense(12)])

    def convert() -> object:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [[np.zeros((1, *INPUT), np.float32)]]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        with redirect_stdout(StringIO()):  # it tells of each conversion
            return converter.convert()

    return convert


def _growth() -> float:
    """MB by which the process grows from its first 1,000 candidates on, 3,000 others meanwhile."""
    sizes = []
    for thousand in range(4):
        for turn in range(TURNS):
            fit(plan(8 * turn + 9 + thousand))
        gc.collect()
        sizes.append(_resident())
    print(f"memory after each 1,000: {', '.join(f'{size:.1f}' for size in sizes)} MB")
    return max(sizes[1:]) - sizes[0]


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE


if __name__ == "__main__":
    raise SystemExit(main())
