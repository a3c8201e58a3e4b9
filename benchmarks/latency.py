"""The tables of ``docs/latency.md``: published times and arenas beside what the tool says.

``latency.py --models DIR`` reads the networks that were timed (``NETWORKS``) from DIR, checks that
their work is what ``measurements.json`` says, and prints the tables; nothing is fitted here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

from pytest_tinybudget.base.units import format_quantity
from pytest_tinybudget.base.units import format_range
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.speed.calibration import MAC_KINDS
from pytest_tinybudget.speed.calibration import Effort
from pytest_tinybudget.speed.calibration import devices
from pytest_tinybudget.speed.calibration import missed
from pytest_tinybudget.speed.calibration import networks
from pytest_tinybudget.speed.calibration import unseen
from pytest_tinybudget.speed.latency import Latency
from pytest_tinybudget.speed.latency import latency_of
from pytest_tinybudget.speed.work import work_of


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))

#: File of each network that was timed.
NETWORKS = {
    "person_detect": "person_detect",
    "kws_ref_model": "mlperf_kws_int8",
    "pretrainedResnet_quant": "mlperf_resnet_int8",
    "ad01_int8": "mlperf_ad01_int8",
    "vww_96_int8": "mlperf_vww_int8",
}

#: The four boards that the project began with.
BOARDS = ("arduino-nano-33-ble", "esp32", "stm32f746g-discovery", "raspberry-pi-pico")

#: ``arena_used_bytes()`` as published (mcufit-bench, August 2026), by microcontroller.
ARENAS = {
    "nRF52840": {
        "person_detect": 82740,
        "kws_ref_model": 24164,
        "pretrainedResnet_quant": 55188,
        "ad01_int8": 2596,
    },
    "ESP32": {
        "person_detect": 82300,
        "kws_ref_model": 22780,
        "pretrainedResnet_quant": 54364,
        "ad01_int8": 2380,
    },
}

Row = tuple[str, ...]


def load(folder: Path) -> dict[str, Model]:
    """The networks by their published names."""
    return {name: load_model(folder / f"{file}.tflite") for name, file in NETWORKS.items()}


def effort_of(model: Model) -> dict[str, Effort]:
    """Calls and sizes of each operator kind, as ``measurements.json`` has them."""
    found: dict[str, Effort] = {}
    for work in work_of(model):
        size = (work.macs or 0) if work.operator in MAC_KINDS else work.steps
        so_far = found.get(work.operator, Effort(0, 0))
        found[work.operator] = Effort(so_far.calls + 1, so_far.size + size)
    return found


def unseen_rows() -> Iterator[Row]:
    """Each network as the others foretell it, beside what it took."""
    yield "device", "network", "published", "estimate", "error", "range", "holds it"
    for device in devices():
        for each in unseen(device):
            without = f" (without {', '.join(each.missing)})" if each.missing else ""
            if not each.estimate:
                yield device.mcu, each.network, _time(each.published), "unknown", "–", "–", "–"
                continue
            held = "yes" if each.low <= each.published <= each.high else "no"
            yield (
                device.mcu,
                each.network,
                _time(each.published) + without,
                _time(each.estimate),
                _error(each.estimate, each.published),
                format_range(each.low, each.high, "s"),
                held,
            )


def rate_rows() -> Iterator[Row]:
    """What was fitted, and how wide each kind's estimate is for it."""
    yield "device", "operator", "cycles a call", "cycles a MAC or element", "true time: estimate ×"
    miss = missed()
    for device in devices():
        ranges = device.ranges()
        for kind, rate in sorted(device.rates().items()):
            low, high = ranges[kind].low * miss.low, ranges[kind].high * miss.high
            width = f"{low:.2f} to {high:.2f}"
            yield device.mcu, kind, f"{rate.per_call:,.0f}", f"{rate.per_unit:.2f}", width


def board_rows(models: dict[str, Model]) -> Iterator[Row]:
    """Published figures of the four first boards beside the tool's."""
    yield (
        "board", "network", "published time", "the tool says", "middle off by",
        "published arena", "the tool says", "error",
    )  # fmt: skip
    for board in map(find_board, BOARDS):
        device = next((each for each in devices() if board.mcu.startswith(each.mcu)), None)
        for network in list(NETWORKS)[:4]:
            model = models[network]
            latency = _latency(model, board)
            seconds = device.totals.get(network) if device else None
            arena = measure(model, runtime_called(board.runtime, board.core)).arena
            used = arena.used if arena else 0
            published = ARENAS.get(board.mcu, {}).get(network)
            yield (
                board.id,
                network,
                _time(seconds) if seconds else "none",
                _said(latency),
                _middle_error(latency, seconds),
                f"{published:,} B" if published else "none",
                f"{used:,} B",
                _error(used, published) if published else "–",
            )


def tables(models: dict[str, Model]) -> dict[str, str]:
    """All tables in Markdown, by their names in ``docs/latency.md``."""
    found = {"boards": board_rows(models), "unseen": unseen_rows(), "rates": rate_rows()}
    return {name: _markdown(rows) for name, rows in found.items()}


def _latency(model: Model, board: Board) -> Latency:
    return latency_of(model, board, runtime_called(board.runtime, board.core).kernels)


def _time(seconds: float) -> str:
    return format_quantity(seconds, "s")


def _said(latency: Latency) -> str:
    if latency.low is None or latency.high is None:
        return "unknown"
    return format_range(latency.low, latency.high, "s")


def _middle_error(latency: Latency, seconds: float | None) -> str:
    if seconds is None or latency.low is None or latency.high is None:
        return "–"
    return _error((latency.low + latency.high) / 2, seconds)


def _error(estimate: float, truth: float) -> str:
    return f"{(estimate / truth - 1) * 100:+.1f} %"


def _markdown(rows: Iterable[Row]) -> str:
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    models = load(parser.parse_args(argv).models)
    wrong = [name for name, model in models.items() if effort_of(model) != networks()[name]]
    if wrong:
        print(f"not the work of measurements.json: {', '.join(wrong)}", file=sys.stderr)
        return 1
    print("\n\n".join(tables(models).values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
