"""Plans of PyTorch modules held to conversions: ``python benchmarks/torch_plans.py [NAME …]``.

Each module of ``torch_models.py`` and ``torch_idioms.py``, and small ones for single layers, is
planned from the graph of ``torch.export`` and converted by litert-torch and the quantizer. It
compares operators, all tensors, the arena on four boards and the file's size, lists what is not
planned, and fails on a difference. ``--random 60 --seed 7000`` takes so many modules of
``random_torch.py`` instead, ``--layers 6`` so many of each kind of ``torch_layers.py``. ``--keep
DIR`` keeps the conversions for the next time. Needs the extra ``[pytorch]``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import random_torch
import torch
import torch_idioms
import torch_layers
import torch_models
from plans import BOARDS
from plans import shapes
from torch import nn

from pytest_tinybudget.boards import find_board
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.shrunken import firmwares_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.plan import planned_model
from pytest_tinybudget.planning.torch_graph import exported_network


class _Two(nn.Module):
    """Two branches of an image and what joins them."""

    def __init__(self, join: Callable[[Any, Any], Any], *, other: int = 8) -> None:
        super().__init__()
        self.start = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, other, 1)
        self.join = join

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """What the branches give, joined."""
        maps = torch.relu(self.start(image))
        return self.join(self.one(maps), torch.relu(self.two(maps)))


IMAGE, ROW = (1, 3, 12, 10), (1, 24)
SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "bare": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU6()), IMAGE),
    "row": (lambda: nn.Sequential(nn.Linear(24, 8, bias=False), nn.Linear(8, 4)), ROW),
    "rows": (lambda: nn.Sequential(nn.Linear(24, 8), nn.Linear(8, 4), nn.Tanh()), ROW),
    "flat": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(80, 5)
        ),
        IMAGE,
    ),
    "averaged": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, (3, 1), padding=(1, 0)), nn.AvgPool2d(2), nn.Dropout(), nn.ReLU(),
            nn.Conv2d(4, 6, 3, dilation=2),
        ),
        IMAGE,
    ),
    "normed": (
        lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        IMAGE,
    ),
    "wide": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, groups=3, padding=1), nn.Hardtanh(0, 6), nn.Conv2d(6, 4, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.Softmax(1),
        ),
        IMAGE,
    ),
    "added": (lambda: _Two(lambda one, two: torch.relu(one + two)), IMAGE),
    "multiplied": (lambda: _Two(lambda one, two: one * two - two), IMAGE),
    "joined": (lambda: _Two(lambda one, two: torch.cat([one, two], 1), other=4), IMAGE),
}  # fmt: skip


#: Less than any scale of what is more than 0.
_DEAD = 1e-10


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module in evaluation mode, and an example of its inputs."""
    if name in torch_models.MODELS:
        return torch_models.made(name)
    if name in torch_idioms.IDIOMS:
        return torch_idioms.made(name)
    if "-" in name:
        return torch_layers.made(name)
    if name.startswith("random"):
        return random_torch.made(int(name.removeprefix("random")))
    torch.manual_seed(0)
    build, shape = SMALL[name]
    module = build()
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.running_mean.normal_()
    return module.eval(), (torch.randn(shape),)


def arenas(model: Model) -> list[int]:
    """The arena on each board, 0 where TFLM refuses the model."""
    firmwares = firmwares_of([find_board(each) for each in BOARDS])
    footprints = (measure(model, firmwares[each]) for each in BOARDS)
    return [each.arena.required if each.arena else 0 for each in footprints]


def operators(model: Model) -> list[str]:
    """Names with fused activations, in order."""
    return [
        f"{each.name}:{each.options.get('fused_activation_function', '')}"
        for each in model.main.operators
    ]


def has_dead_layer(model: Model) -> bool:
    """Whether a ReLU let nothing through in calibration, and older versions refuse its scale.

    litert-quantizer takes a range of 1e-9 then. Random weights make some.
    """
    scales = [scale for each in model.main.tensors for scale in each.quantization.scales]
    return min(scales, default=1) < _DEAD and 0 in arenas(model)


def differences(planned: Model, converted: Model) -> list[str]:
    """What is not equal, in words."""
    found = []
    for what, of in (
        ("operators", operators), ("tensors", lambda each: sorted(shapes(each))),
        ("arena", arenas), ("file", lambda each: each.bytes),
    ):  # fmt: skip
        ours, theirs = of(planned), of(converted)
        if ours != theirs:
            found.append(f"{what} {ours} instead of {theirs}")
    return found


def compared(name: str, converter: Converter, folder: Path) -> tuple[str, str]:
    """How a module's plan compares to its conversion: in a word, and in a sentence."""
    module, example = made(name)
    program = torch.export.export(module, example)
    path = folder / f"{name}.tflite"
    refused = path.with_suffix(".refused")
    if not path.exists() and not refused.exists():
        torch.export.save(program, path.with_suffix(".pt2"))
        settings = Conversion(folder, representative_data="random")
        try:
            made_of_it = converter.convert(Request(path.with_suffix(".pt2"), name, settings))
        except ConversionError as error:
            refused.write_text(error.message, encoding="utf-8")
        else:
            path.write_bytes(made_of_it.content)
    try:
        planned = planned_model(exported_network(program), name)
    except NotPlannedError as error:
        return "not planned", error.message
    if refused.exists():
        return "not converted", refused.read_text(encoding="utf-8")
    converted = read_model(path.read_bytes(), name)
    if has_dead_layer(converted):
        return "not compared", "a layer is 0 for all samples, and a board refuses its scale"
    problems = differences(planned, converted)
    return ("different", "; ".join(problems)) if problems else ("equal", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare all; 1 where anything is different."""
    names = [*torch_models.MODELS, *SMALL, *torch_idioms.IDIOMS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="all without")
    parser.add_argument("--keep", type=Path, help="folder of conversions made before")
    parser.add_argument("--random", type=int, default=0, help="how many random modules instead")
    parser.add_argument("--seed", type=int, default=0, help="of the first of these")
    parser.add_argument("--layers", type=int, default=0, help="how many of each kind of layer")
    given = parser.parse_args(arguments)
    seeds = range(given.seed, given.seed + max(given.random, given.layers))
    chosen = [f"random{seed}" for seed in seeds[: given.random]]
    chosen += [f"{kind}-{seed}" for kind in torch_layers.KINDS for seed in seeds[: given.layers]]
    counts: Counter[str] = Counter()
    converter = Converter(None)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in chosen or given.names or names:
            word, text = compared(name, converter, folder)
            counts[word] += 1
            print(f"{name:16} {word} {text}".rstrip(), flush=True)
    converter.close()
    print("\n" + ", ".join(f"{word} {count}" for word, count in sorted(counts.items())))
    return 1 if counts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
