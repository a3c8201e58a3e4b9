"""Random PyTorch modules for ``torch_plans.py``: chains of blocks over images, series and rows."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import nn
from torch_idioms import Apply
from torch_idioms import Basic
from torch_idioms import Excite
from torch_idioms import InvertedResidual
from torch_idioms import Temporal
from torch_idioms import settled


_ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU, nn.ReLU, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardswish, nn.SiLU, nn.Sigmoid, nn.Tanh,
    nn.Identity,
)  # fmt: skip
_CHANNELS = (1, 2, 3, 4, 6, 8, 12)
#: Larger maps are made smaller.
_LARGE = 24


class _Images:
    """A chain over an image, put together block by block."""

    def __init__(self, pick: random.Random) -> None:
        self.pick = pick
        self.channels = pick.choice((1, 1, 2, 3, 3, 4))
        self.height, self.width = pick.randint(5, 28), pick.randint(5, 28)
        self.shape = (1, self.channels, self.height, self.width)
        self.layers: list[nn.Module] = []

    def add(self, *layers: nn.Module) -> None:
        """Add layers and find the shape that they give."""
        self.layers += layers
        maps = torch.zeros(1, self.channels, self.height, self.width)
        with torch.no_grad():
            for each in layers:
                maps = each.eval()(maps)
        _, self.channels, self.height, self.width = maps.shape

    def conv(self) -> None:
        """A convolution of any kind with what follows it."""
        pick, inputs = self.pick, self.channels
        kernel = tuple(min(pick.choice((1, 2, 3, 3, 3, 5)), each) for each in self.extents)
        stride = pick.choice((1, 1, 1, 2, (2, 1)))
        dilation = pick.choice((1, 1, 1, 2)) if stride == 1 else 1
        reach = [(each - 1) * dilation + 1 for each in kernel]
        padding: tuple[int, ...] | str | int = tuple(each // 2 for each in reach)
        if all(one <= two for one, two in zip(reach, self.extents, strict=True)):
            padding = pick.choice((padding, padding, 0, "same" if stride == 1 else 0))
        kind = pick.random()
        outputs = pick.choice(_CHANNELS)
        groups = 1
        if kind < 0.25:
            groups, outputs = inputs, inputs * pick.choice((1, 1, 2))
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups,
                      bias=pick.random() < 0.6)
        ]  # fmt: skip
        if pick.random() < 0.5:
            layers.append(nn.BatchNorm2d(outputs))
        self.add(*layers, pick.choice(_ACTIVATIONS)())

    @property
    def extents(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def pool(self) -> None:
        """A pool of either kind."""
        pick = self.pick
        if min(self.extents) < 4:
            return
        kernel = pick.choice((2, 2, 3))
        padding = pick.choice((0, 0, 0, 1))
        kind = pick.choice((nn.MaxPool2d, nn.AvgPool2d))
        ceil = pick.random() < 0.15
        self.add(kind(kernel, pick.choice((None, 2)), padding, ceil_mode=ceil))

    def block(self) -> None:
        """A larger part."""
        pick, inputs = self.pick, self.channels
        kind = pick.randrange(6)
        if kind == 0:
            self.add(Basic(inputs, pick.choice((inputs, 8)), pick.choice((1, 2))))
        elif kind == 1:
            self.add(
                InvertedResidual(
                    inputs, pick.choice((inputs, 6)), pick.choice((1, 2)), pick.choice((1, 3))
                )
            )
        elif kind == 2:
            self.add(Excite(inputs, pick.choice((1, 2, 4))))
        elif kind == 3:
            self.add(nn.ZeroPad2d(tuple(pick.randint(0, 2) for _ in range(4))))
        elif kind == 4:
            self.add(nn.Upsample(scale_factor=2, mode=pick.choice(("nearest", "bilinear"))))
        else:
            self.add(
                nn.ConvTranspose2d(inputs, pick.choice((1, 4)), pick.choice((2, 3, 4)), 2,
                                   padding=pick.choice((0, 0, 1)))
            )  # fmt: skip

    def end(self) -> None:
        """A head of any kind, or none."""
        pick = self.pick
        kind = pick.randrange(5)
        if kind < 2:
            self.layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            _head(pick, self.layers, self.channels)
        elif kind == 2:
            self.layers.append(nn.Flatten())
            _head(pick, self.layers, self.channels * self.height * self.width)
        elif kind == 3:
            self.layers.append(Apply(lambda _, maps: maps.mean((2, 3))))
            _head(pick, self.layers, self.channels)
        else:
            self.layers.append(nn.Conv2d(self.channels, 2, 1))


def _head(pick: random.Random, layers: list[nn.Module], inputs: int) -> None:
    if pick.random() < 0.4:
        layers += [nn.Linear(inputs, 6), pick.choice(_ACTIVATIONS)(), nn.Dropout(0.1)]
        inputs = 6
    layers.append(nn.Linear(inputs, pick.choice((1, 2, 5)), bias=pick.random() < 0.8))
    layers += pick.choice(((), (), (nn.Softmax(1),), (nn.Sigmoid(),)))


def _images(pick: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    made = _Images(pick)
    for _ in range(pick.randint(1, 5)):
        step = pick.random()
        if step < 0.55 or min(made.extents) < 3:
            made.conv()
        elif step < 0.75 or max(made.extents) > _LARGE:
            made.pool()
        else:
            made.block()
    made.end()
    return nn.Sequential(*made.layers), made.shape


def _series(pick: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    channels, steps = pick.choice((1, 2, 3, 6, 9)), pick.randint(12, 60)
    shape = (1, channels, steps)
    layers: list[nn.Module] = []
    for _ in range(pick.randint(1, 4)):
        kernel, outputs = pick.choice((1, 3, 3, 5, 8)), pick.choice(_CHANNELS)
        groups = channels if pick.random() < 0.15 else 1
        outputs = channels * pick.choice((1, 2)) if groups > 1 else outputs
        stride = pick.choice((1, 1, 2, 3))
        dilation = pick.choice((1, 1, 2)) if stride == 1 else 1
        padding = kernel * dilation // 2
        if pick.random() < 0.2:
            layers.append(nn.ConstantPad1d(((kernel - 1) * dilation, 0), 0.0))
            padding = 0
        elif pick.random() < 0.15:
            layers.append(Temporal(channels, outputs, 3, pick.choice((1, 2))))
            channels = outputs
            continue
        layers.append(
            nn.Conv1d(channels, outputs, kernel, stride, padding, dilation, groups,
                      bias=pick.random() < 0.6)
        )  # fmt: skip
        if pick.random() < 0.5:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(pick.choice(_ACTIVATIONS)())
        if pick.random() < 0.3:
            layers.append(pick.choice((nn.MaxPool1d, nn.AvgPool1d))(2, padding=0))
        channels = outputs
    with torch.no_grad():
        found = nn.Sequential(*layers).eval()(torch.zeros(shape))
    kind = pick.randrange(4)
    if kind == 0:
        layers += [nn.AdaptiveAvgPool1d(1), nn.Flatten()]
        _head(pick, layers, channels)
    elif kind == 1:
        layers.append(nn.Flatten())
        _head(pick, layers, channels * found.shape[2])
    elif kind == 2:
        layers.append(Apply(lambda _, maps: maps.mean(2)))
        _head(pick, layers, channels)
    return nn.Sequential(*layers), shape


def _rows(pick: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    inputs = pick.choice((1, 5, 16, 33))
    shape = (1, inputs) if pick.random() < 0.7 else (1, pick.choice((1, 7, 12)), inputs)
    layers: list[nn.Module] = []
    for _ in range(pick.randint(1, 5)):
        outputs = pick.choice((1, 3, 8, 16))
        layers.append(nn.Linear(inputs, outputs, bias=pick.random() < 0.8))
        if len(shape) == 2 and pick.random() < 0.3:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(pick.choice(_ACTIVATIONS)())
        inputs = outputs
    return nn.Sequential(*layers), shape


def made(seed: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module of a seed in evaluation mode, and an example of its input."""
    pick = random.Random(seed)
    while True:
        torch.manual_seed(seed)
        kind = pick.choice((_images, _images, _images, _series, _series, _rows))
        try:
            module, shape = kind(pick)
            settled(module, (shape,))(torch.zeros(shape))
        except (RuntimeError, ValueError):  # windows larger than their maps
            continue
        return module, (torch.randn(shape),)
