"""The architectures of docs/conversion.md from PyTorch and ONNX: the page's arenas, TFLM's outputs.

Needs torch, the package onnx and TFLM's interpreter, and for ONNX the command onnx2tf, which
``TINYBUDGET_ONNX2TF`` names. They are converted in campaigns alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_tinybudget.cli import main
from pytest_tinybudget.convert.onnx2tf import version_of


REAL = os.environ.get("TINYBUDGET_ONNX2TF", "")
PAGE = Path(__file__).parents[1] / "docs" / "conversion.md"
#: What the page calls each model of benchmarks/torch_models.py.
ROWS = {
    "ds_cnn": "DS-CNN 49x10",
    "mobilenet": "MobileNetV1 0.25, 96x96",
    "resnet8": "ResNet-8",
    "imu": "1-D CNN",
    "tcn": "TCN",
    "squeeze_excite": "squeeze and excitation",
    "autoencoder": "autoencoder 640",
    "two_inputs": "two inputs and outputs",
    "transformer": "transformer block, ReLU",
    "lstm": "LSTM",
    "gru": "GRU",
    "transformer_gelu": "transformer block, GELU",
}
NEEDED = ("torch", "litert_torch", "onnx", "tflite_micro", "ai_edge_litert")

pytestmark = [
    pytest.mark.filterwarnings("ignore")  # torch's own, of what it will change
]
needs_all = pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}")

Pairs = Callable[[str], dict[str, Any]]


def listed(name: str, route: str) -> str:
    """The page's cell of a model: ``arena / flash / file; …``, or that it is refused."""
    lines = [line.strip("| \n").split(" | ") for line in PAGE.read_text("utf-8").splitlines()]
    head = next(cells for cells in lines if cells[0] == "model" and route in " ".join(cells))
    column = next(index for index, cell in enumerate(head) if route in cell)
    rows = lines[lines.index(head) :]
    return next(cells[column] for cells in rows if cells[0] == ROWS[name])


def test_the_page_has_every_model_by_every_route() -> None:
    import ast

    tree = ast.parse((PAGE.parents[1] / "benchmarks" / "torch_models.py").read_text("utf-8"))
    models = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "MODELS"
    )
    assert isinstance(models, ast.Dict)
    assert {ast.literal_eval(key) for key in models.keys if key is not None} == set(ROWS)
    for route in (".pt2", "onnx2tf 1", "onnx2tf 2"):
        cells = [listed(name, route) for name in ROWS]
        assert all(cell[0].isdigit() or cell.startswith("refused") for cell in cells), cells


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every model as ``.pt2`` and ``.onnx``, and its calibration data."""
    import torch_models

    folder = tmp_path_factory.mktemp("models")
    for name in ROWS:
        torch_models.write(name, folder)
    return folder


@pytest.fixture(scope="module")
def measured(models: Path) -> Pairs:
    """The results of all models by a route, with the check of TFLM's outputs, by model."""
    known: dict[str, dict[str, Any]] = {}

    def pairs(suffix: str) -> dict[str, Any]:
        if suffix not in known:
            known[suffix] = _checked(models, suffix)
        return known[suffix]

    return pairs


def _checked(models: Path, suffix: str) -> dict[str, Any]:
    declaration, results = models / f"{suffix[1:]}.toml", models / f"{suffix[1:]}.json"
    lines = [
        "schema = 1",
        "[defaults]",
        'boards = ["raspberry-pi-pico"]',
        'runtime = "tflite-micro 90b983c2"',
        *(["[convert.onnx]", f"command = {json.dumps(REAL)}"] if suffix == ".onnx" else []),
    ]
    for name in ROWS:
        lines += [f"[models.{name}]", f'source = "{name}{suffix}"']
        lines += [f'representative_data = "{name}.npz"']
    declaration.write_text("\n".join(lines), encoding="utf-8")
    main(["check", str(declaration), "--no-cache", "--verify", f"--json={results}"])
    found = json.loads(results.read_text("utf-8"))["pairs"]
    return {pair["id"].split("::")[1]: pair for pair in found}


@needs_all
@pytest.mark.campaign
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_route_gives_the_arena_that_the_page_says_and_outputs_as_in_litert(
    measured: Pairs, suffix: str, name: str
) -> None:
    if suffix == ".onnx" and not REAL:
        pytest.skip("TINYBUDGET_ONNX2TF names no onnx2tf")
    version = version_of((REAL,), Path()).partition(".")[0]
    cell = listed(name, f"onnx2tf {version}" if suffix == ".onnx" else suffix)

    pair = measured(suffix)[name]

    if cell.startswith("refused"):
        assert pair["outcome"] in ("error", "refused"), pair["headline"]
        return
    assert pair["outcome"] in ("fits", "warns"), pair["headline"]
    assert f"{pair['arena']['required']:,}" == cell.partition(" ")[0]
    held = [note for note in pair["notes"] if note.startswith("verify: outputs of ")]
    assert held, pair["notes"]  # a difference beyond LiteRT's would have failed the pair
