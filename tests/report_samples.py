"""Hand-made results for the report tests: no model is read and nothing is measured."""

from __future__ import annotations

from typing import Any

from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Persistent
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import Saving
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


KB = 1024

#: What the sizes of the samples belong to.
IDENTITY = Identity(
    tool="0.1.0",
    tflm="90b983c2",
    description="Cortex-M4F, CMSIS-NN with DSP",
    kernels="cmsis-nn",
    abi="arm-eabi",
    cores=("Cortex-M4F",),
)

FLASH_PARTS = (
    Part("runtime core", 20 * KB, "table"),
    Part("model", 240 * KB, "exact"),
    Part("kernels", 8 * KB, "estimated", margin_bytes=307),
    Part("nothing", 0, "exact"),
)
RAM_PARTS = (
    Part("stack", 2 * KB, "table"),
    Part("tensor arena", 46 * KB, "exact", note="decided by planning"),
)


def layer(index: int, **changes: Any) -> Layer:
    values: dict[str, Any] = {
        "subgraph": 0,
        "index": index,
        "operator": "CONV_2D",
        "name": f"block/conv{index}",
        "output_type": "INT8",
        "output_shape": (1, 25, 5, 64),
        "weights_bytes": 100 * (index + 1),
        "activation_bytes": 8000,
        "scratch_bytes": 512,
        "persistent_bytes": 96,
        "live_bytes": 16000,
        "first": index + 1,
        "last": index + 1,
    }
    return Layer(**(values | changes))


def footprint(**changes: Any) -> Footprint:
    arena = Arena(
        required=46 * KB,
        used=32000 + 4 * KB,
        head=32000,
        tail=4 * KB,
        decided_by="planning",
        recorded={"TfLiteEvalTensor data": 1200, "OpData": 640},
        buffers=(
            LiveBuffer("small", "tensor", 4000, 24000, 1, 3, 0, 4),
            LiveBuffer("input", "tensor", 8000, 0, 0, 1, 0, 0),
            LiveBuffer("big", "tensor", 16000, 16000, 1, 1, 0, 1),
            LiveBuffer("late", "tensor", 8000, 0, 3, 4, 0, 2),
        ),
        peak_time=1,
        optimum_head=28000,
        persistent=(
            Persistent("CONV_2D", "per-channel arrays", 3 * KB),
            Persistent("", "tensor records", KB),
        ),
    )
    values: dict[str, Any] = {
        "runtime": "m4_cmsisnn",
        "flash_parts": FLASH_PARTS,
        "ram_parts": RAM_PARTS,
        "arena": arena,
        "stack": 2 * KB,
        "layers": (
            layer(0, live_bytes=28000, weights_bytes=640),
            layer(1, operator="FULLY_CONNECTED", name="dense", weights_bytes=150_000),
            layer(2, operator="SOFTMAX", name="probabilities", weights_bytes=0),
        ),
        "savings": (
            Saving("without SOFTMAX", 3174),
            Saving("typed registrations", 9626, 'registrations = "typed"'),
        ),
    }
    return Footprint(**(values | changes))


def measure(
    metric: str = "flash", used: int = 200 * KB, limit: int = 256 * KB, **changes: Any
) -> Measure:
    values: dict[str, Any] = {
        "metric": metric,
        "used": used,
        "limit": limit,
        "limit_from": "budget",
        "limit_note": "budget of models.kws",
        "parts": (Part("model", used, "exact"),),
    }
    return Measure(**(values | changes))


def pair(model: str = "kws", board: str = "arduino-nano-33-ble", **changes: Any) -> PairResult:
    values: dict[str, Any] = {
        "id": f"tinybudget.toml::{model}::{board}",
        "model": model,
        "board": board,
        "runtime": "m4_cmsisnn",
        "outcome": "fits",
        "headline": "flash ok (200.0 of 256.0 KB); RAM ok (48.0 of 64.0 KB)",
        "reasons": (),
        "model_sha256": "0" * 64,
        "model_bytes": 240 * KB,
        "model_source": "models/kws.tflite",
        "declared_at": "tinybudget.toml:12",
        "measures": (measure("flash"), measure("ram", 48 * KB, 64 * KB)),
        "identity": IDENTITY,
    }
    return PairResult(**(values | changes))


def over(model: str = "kws", board: str = "arduino-nano-33-ble", **changes: Any) -> PairResult:
    """A pair whose flash is over by 12.3 KB, with everything a report can show."""
    values: dict[str, Any] = {
        "outcome": "over",
        "headline": "flash over by 12.3 KB (268.3 of 256.0 KB); RAM ok (48.0 of 64.0 KB)",
        "reasons": ("make the model 12.3 KB smaller: dense has the most weights (146.5 KB)",),
        "message": "see docs/size.md",
        "footprint": footprint(),
        "measures": (
            measure("flash", 268 * KB + 307, 256 * KB, parts=FLASH_PARTS),
            measure(
                "ram", 48 * KB, 64 * KB, parts=RAM_PARTS, limit_from="board", limit_note="board"
            ),
        ),
    }
    return pair(model, board, **(values | changes))


def refused(
    model: str = "hybrid", board: str = "arduino-nano-33-ble", **changes: Any
) -> PairResult:
    values: dict[str, Any] = {
        "outcome": "refused",
        "headline": "TFLM cannot run it: TILE #3 is not in its resolver",
        "measures": (),
        "footprint": footprint(
            refusals=(Refusal("resolve", "TILE", 0, 3, "TFLM has no kernel for it"),)
        ),
    }
    return pair(model, board, **(values | changes))


def error(model: str = "broken", board: str = "arduino-nano-33-ble", **changes: Any) -> PairResult:
    values: dict[str, Any] = {
        "outcome": "error",
        "headline": "models/broken.tflite: not a TF Lite file (the first 8 bytes are zero)",
        "measures": (),
        "runtime": "",
        "identity": None,
    }
    return pair(model, board, **(values | changes))
