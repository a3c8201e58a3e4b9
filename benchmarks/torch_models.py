"""Nine small architectures in PyTorch, as people bring them: NCHW, as ``.pt2`` and as ``.onnx``.

``python benchmarks/torch_models.py FOLDER`` writes them, with random weights and batch norms whose
statistics were learned from random data, and a ``NAME.npz`` of calibration data. Sizes and verdicts
count, accuracies do not. Needs torch, and for ``.onnx`` the package onnx.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from writing_models import write_models


_SAMPLES = 64


def _conv(inputs: int, outputs: int, kernel: Any, stride: Any = 1, **more: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, bias=False, **more),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        _conv(inputs, inputs, 3, stride, padding=1, groups=inputs), _conv(inputs, outputs, 1)
    )


def _pooled(maps: torch.Tensor) -> torch.Tensor:
    return torch.flatten(nn.functional.adaptive_avg_pool2d(maps, 1), 1)


class DsCnn(nn.Module):
    """Keyword spotting, 49 frames of 10 coefficients."""

    example = ((1, 1, 49, 10),)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ZeroPad2d((1, 1, 4, 5)),
            _conv(1, 64, (10, 4), 2),
            *(_separable(64, 64) for _ in range(4)),
        )
        self.head = nn.Linear(64, 12)

    def forward(self, mfcc: torch.Tensor) -> torch.Tensor:
        """Scores of twelve words."""
        return torch.softmax(self.head(_pooled(self.body(mfcc))), 1)


class MobileNet(nn.Module):
    """MobileNetV1 0.25 for 96x96 gray images."""

    example = ((1, 1, 96, 96),)

    def __init__(self) -> None:
        super().__init__()
        steps = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *(((128, 1),) * 5),
                 (256, 2), (256, 1))  # fmt: skip
        layers, channels = [_conv(1, 8, 3, 2, padding=1)], 8
        for outputs, stride in steps:
            layers.append(_separable(channels, outputs, stride))
            channels = outputs
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(256, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of two classes."""
        return torch.softmax(self.head(_pooled(self.body(image))), 1)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = _conv(inputs, outputs, 3, stride, padding=1)
        self.two = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.two(self.one(maps)) + self.short(maps))


class ResNet8(nn.Module):
    """ResNet-8 for 32x32 color images."""

    example = ((1, 3, 32, 32),)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(3, 16, 3, padding=1), _Block(16, 16, 1), _Block(16, 32, 2), _Block(32, 64, 2)
        )
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of ten classes."""
        return torch.softmax(self.head(_pooled(self.body(image))), 1)


class Imu(nn.Module):
    """A 1-D network for six axes of 128 samples."""

    example = ((1, 6, 128),)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(32, 32, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(32, 5)

    def forward(self, motion: torch.Tensor) -> torch.Tensor:
        """Scores of five activities."""
        return torch.softmax(self.head(self.body(motion).mean(2)), 1)


class Tcn(nn.Module):
    """Dilated causal convolutions over 64 steps of 8 features."""

    example = ((1, 8, 64),)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(8, 24, 1)
        self.dilated = nn.ModuleList(nn.Conv1d(24, 24, 3, dilation=2**level) for level in range(4))
        self.head = nn.Linear(24, 4)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        """Scores of four classes."""
        maps = self.first(series)
        for level, layer in enumerate(self.dilated):
            padded = nn.functional.pad(maps, (2 ** (level + 1), 0))
            maps = maps + torch.relu(layer(padded))
        return torch.softmax(self.head(maps.mean(2)), 1)


class _Excite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        scale = torch.relu(self.squeeze(maps.mean((2, 3), keepdim=True)))
        return maps * torch.sigmoid(self.excite(scale))


class SqueezeExcite(nn.Module):
    """Depthwise-separable layers with squeeze and excitation."""

    example = ((1, 3, 48, 48),)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(3, 8, 3, 2, padding=1), _separable(8, 16), _Excite(16), _separable(16, 32, 2),
            _Excite(32),
        )  # fmt: skip
        self.head = nn.Linear(32, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of four classes."""
        return torch.softmax(self.head(_pooled(self.body(image))), 1)


class Autoencoder(nn.Module):
    """The dense autoencoder of 640 features."""

    example = ((1, 640),)

    def __init__(self) -> None:
        super().__init__()
        sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes[:-1]):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Linear(128, 640))

    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        """The spectrum again."""
        return self.body(spectrum)


class TwoInputs(nn.Module):
    """An image and numbers; classes and a position."""

    example = ((1, 1, 16, 16), (1, 4))

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(_conv(1, 8, 3), nn.MaxPool2d(2))
        self.numbers = nn.Linear(4, 8)
        self.classes, self.position = nn.Linear(16, 3), nn.Linear(16, 2)

    def forward(
        self, picture: torch.Tensor, numbers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of three classes, and two coordinates."""
        both = torch.cat([_pooled(self.image(picture)), self.numbers(numbers)], 1)
        return torch.softmax(self.classes(both), 1), self.position(both)


class Lstm(nn.Module):
    """An LSTM of 20 units over 32 steps, its last state."""

    example = ((1, 32, 6),)
    layer: type[nn.Module] = nn.LSTM

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = self.layer(6, 20, batch_first=True)
        self.head = nn.Linear(20, 4)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        """Scores of four classes."""
        states, _ = self.recurrent(series)
        return torch.softmax(self.head(states[:, -1]), 1)


class Gru(Lstm):
    """The same with a GRU."""

    layer = nn.GRU


class Transformer(nn.Module):
    """One transformer block with ReLU and norms behind, on 16 tokens of 32."""

    example = ((1, 16, 32),)
    activation = "relu"

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(32, 32) for _ in range(3))
        self.out = nn.Linear(32, 32)
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(2))
        self.wide, self.narrow = nn.Linear(32, 64), nn.Linear(64, 32)
        self.head = nn.Linear(32, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores of four classes."""
        query, key, value = (
            layer(tokens).reshape(1, 16, 2, 16).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(2, 3) / 4.0, -1)
        mixed = self.out((weights @ value).transpose(1, 2).reshape(1, 16, 32))
        tokens = self.norms[0](tokens + mixed)
        hidden = getattr(nn.functional, self.activation)(self.wide(tokens))
        tokens = self.norms[1](tokens + self.narrow(hidden))
        return torch.softmax(self.head(tokens.mean(1)), 1)


class GeluTransformer(Transformer):
    """The same with GELU, which TFLM lacks."""

    activation = "gelu"


MODELS: dict[str, type[nn.Module]] = {
    "ds_cnn": DsCnn,
    "mobilenet": MobileNet,
    "resnet8": ResNet8,
    "imu": Imu,
    "tcn": Tcn,
    "squeeze_excite": SqueezeExcite,
    "autoencoder": Autoencoder,
    "two_inputs": TwoInputs,
    "lstm": Lstm,
    "gru": Gru,
    "transformer": Transformer,
    "transformer_gelu": GeluTransformer,
}


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A model in evaluation mode, and an example of its inputs, each with batch 1."""
    torch.manual_seed(0)
    model = MODELS[name]()
    shapes: Any = MODELS[name].example
    if any(isinstance(each, (nn.BatchNorm1d, nn.BatchNorm2d)) for each in model.modules()):
        model.train()
        for _ in range(20):
            model(*(torch.randn(16, *shape[1:]) for shape in shapes))
    return model.eval(), tuple(torch.randn(shape) for shape in shapes)


def write(name: str, folder: Path) -> None:
    """``NAME.pt2``, ``NAME.npz`` and, where onnx is installed, ``NAME.onnx`` in ``folder``."""
    model, example = made(name)
    exported = torch.export.export(model, example)
    torch.export.save(exported, folder / f"{name}.pt2")
    names = list(exported.graph_signature.user_inputs)
    generator = np.random.default_rng(0)
    data: dict[str, Any] = {
        key: generator.standard_normal((_SAMPLES, *each.shape[1:])).astype(np.float32)
        for key, each in zip(names, example, strict=True)
    }
    np.savez(folder / f"{name}.npz", **data)
    if find_spec("onnx") is not None:
        torch.onnx.export(
            model, example, str(folder / f"{name}.onnx"), input_names=names, dynamo=False
        )


if __name__ == "__main__":
    write_models(__doc__, MODELS, write)
