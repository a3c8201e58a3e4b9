"""Random small PyTorch modules around one kind of layer, for ``torch_plans.py``.

Each kind is a function of a source of chance: it gives a module and the shapes of its inputs. What
comes before and behind the layer differs, because the converter fuses and moves across it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch_idioms import Apply
from torch_idioms import settled


Made = tuple[nn.Module, tuple[tuple[int, ...], ...]]
Pick = random.Random
S = nn.Sequential


def _extents(pick: Pick) -> tuple[int, int]:
    return pick.randint(5, 14), pick.randint(5, 14)


def _before(pick: Pick) -> tuple[list[nn.Module], int, tuple[int, ...]]:
    """What may come before a layer over an image: modules, their channels, the input's shape."""
    inputs, channels = pick.choice((1, 2, 3)), pick.choice((2, 4, 6))
    shape = (1, inputs, *_extents(pick))
    conv = nn.Conv2d(inputs, channels, 3, padding=pick.choice((0, 1)))
    more = pick.choice(((), (nn.ReLU(),), (nn.BatchNorm2d(channels), nn.ReLU()), (nn.Sigmoid(),)))
    return [conv, *more], channels, shape


def _behind(pick: Pick, channels: int) -> list[nn.Module]:
    """What may come behind a layer over an image of any extents."""
    return pick.choice(
        (
            [nn.Conv2d(channels, 3, 1)],
            [nn.Conv2d(channels, channels, 2, groups=channels), nn.ReLU()],
            [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2)],
            [nn.ReLU(), nn.Conv2d(channels, 2, 3, padding=1)],
            [],
        )
    )


def _image(layer: Callable[[Pick, int], tuple[nn.Module, int]]) -> Callable[[Pick], Made]:
    """A layer over an image between others; it is made of the channels before it."""

    def build(pick: Pick) -> Made:
        before, channels, shape = _before(pick)
        module, after = layer(pick, channels)
        return S(*before, module, *_behind(pick, after)), (shape,)

    return build


def _function(function: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    return Apply(lambda _, maps: function(maps))


def _each(make: Callable[[Pick], nn.Module]) -> Callable[[Pick], Made]:
    """A layer over single numbers: of rows, of images, of sequences, of series."""

    def build(pick: Pick) -> Made:
        kind = pick.randrange(6)
        if kind < 2:
            inputs, units = pick.choice((3, 8)), pick.choice((2, 5, 8))
            shape: tuple[int, ...] = (1, inputs) if kind else (1, pick.choice((4, 7)), inputs)
            return S(nn.Linear(inputs, units), make(pick), nn.Linear(units, 3)), (shape,)
        if kind == 2:
            layers = [nn.Conv1d(3, 4, 3, padding=1), make(pick), nn.Conv1d(4, 2, 3)]
            return S(*layers), ((1, 3, pick.randint(9, 20)),)
        before, channels, shape = _before(pick)
        return S(*before, make(pick), *_behind(pick, channels)), (shape,)

    return build


def _number(pick: Pick) -> nn.Module:
    a, b = pick.choice((0.5, 2.0, 3.0, -1.5)), pick.choice((0.25, 1.0, -0.75))
    return _function(
        pick.choice(
            (
                lambda x: x * a,
                lambda x: x + b,
                lambda x: x - b,
                lambda x: x / a,
                lambda x: b - x,
                lambda x: (x - b) / a,
                lambda x: x * a + b,
                lambda x: -x,
            )
        )
    )


def _norm(pick: Pick) -> Made:
    size, steps = pick.choice((4, 6, 8)), pick.choice((1, 5, 9))
    norm = nn.LayerNorm(size, elementwise_affine=pick.random() < 0.8)
    kind = pick.randrange(5)
    if kind == 0:
        after = pick.choice(([nn.ReLU()], [], [nn.Tanh()]))
        return S(nn.Linear(5, size), norm, *after, nn.Linear(size, 2)), ((1, 5),)
    if kind == 1:
        return S(norm, nn.Linear(size, pick.choice((size, 3)))), ((1, steps, size),)
    if kind == 2:
        net = Apply(
            lambda net, x: x + net[2](F.relu(net[1](net[0](x)))), norm, nn.Linear(size, 2 * size),
            nn.Linear(2 * size, size),
        )  # fmt: skip
        return net, ((1, steps, size),)
    if kind == 3:
        net = Apply(
            lambda net, x: net[0](x + net[2](F.relu(net[1](x)))), norm, nn.Linear(size, 2 * size),
            nn.Linear(2 * size, size),
        )  # fmt: skip
        return net, ((1, steps, size),)
    net = Apply(
        lambda net, x: net[1](net[0](x).mean(1)), S(nn.Linear(3, size), norm), nn.Linear(size, 2)
    )
    return net, ((1, steps, 3),)


def _bare_linear(pick: Pick) -> Made:
    size, steps = pick.choice((4, 6, 8)), pick.choice((1, 5, 9))
    layers: list[nn.Module] = []
    for _ in range(pick.randint(1, 3)):
        units = pick.choice((1, 3, 5, 8))
        layers.append(nn.Linear(size, units, bias=pick.random() < 0.4))
        layers += pick.choice(([], [nn.ReLU()], [nn.Sigmoid()], [nn.Hardswish()]))
        size = units
    ends: tuple[list[nn.Module], ...] = ([], [nn.Flatten(), nn.Linear(steps * size, 2)])
    return S(*layers, *pick.choice(ends)), ((1, steps, _first(layers)),)


def _first(layers: list[nn.Module]) -> int:
    return int(layers[0].in_features)


def _grouped(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    outputs = channels * pick.choice((1, 2))
    groups = 2 if channels > 2 else 1
    conv = nn.Conv2d(
        channels, outputs, pick.choice((1, 3)), padding=1, groups=groups, stride=pick.choice((1, 2))
    )
    return conv, outputs


def _sized(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    mode = pick.choice(("nearest", "bilinear", "bilinear", "nearest"))
    more: dict[str, Any] = {}
    if mode == "bilinear":
        more["align_corners"] = pick.random() < 0.5
    if pick.random() < 0.5:
        size = (pick.randint(6, 20), pick.randint(6, 20))
        return _function(lambda x: F.interpolate(x, size=size, mode=mode, **more)), channels
    scale = pick.choice((1.5, 2, 3, 0.5))
    return _function(lambda x: F.interpolate(x, scale_factor=scale, mode=mode, **more)), channels


def _shuffled(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    if channels % 4:
        wide = pick.choice((4, 8))
        return S(nn.Conv2d(channels, wide, 1), nn.PixelShuffle(2)), wide // 4
    return nn.PixelShuffle(2), channels // 4


def _rolled(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    """A channel shuffle."""

    def turned(maps: torch.Tensor) -> torch.Tensor:
        b, c, h, w = maps.shape
        return maps.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)

    return _function(turned), channels


def _excited(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    less = pick.choice((1, 2, 4))
    gate = pick.choice((torch.sigmoid, F.hardsigmoid))
    means: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        lambda x: F.adaptive_avg_pool2d(x, 1),
        lambda x: x.mean((2, 3), keepdim=True),
    )
    mean = pick.choice(means)
    net = Apply(
        lambda net, x: x * gate(net[1](F.relu(net[0](mean(x))))),
        nn.Conv2d(channels, less, 1), nn.Conv2d(less, channels, 1),
    )  # fmt: skip
    return net, channels


def _averaged(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    pool = nn.AvgPool2d(
        pick.choice((2, 3)), 2, pick.choice((0, 0, 1)), ceil_mode=pick.random() < 0.7,
        count_include_pad=pick.random() < 0.6,
    )  # fmt: skip
    return pool, channels


def _most(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    functions = (
        lambda x: torch.amax(x, (2, 3), keepdim=True),
        lambda x: F.max_pool2d(x, x.shape[2:]),
    )
    return _function(pick.choice(functions)), channels


def _filled(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    amounts = tuple(pick.randint(0, 2) for _ in range(4))
    return pick.choice(
        (nn.ReflectionPad2d(amounts), nn.ConstantPad2d(amounts, 0.5), nn.ZeroPad2d(amounts))
    ), channels


def _cut(pick: Pick, channels: int) -> tuple[nn.Module, int]:
    half = channels // 2
    net = Apply(lambda net, x: torch.cat([x[:, :half], net[0](x[:, half:])], 1),
                nn.Conv2d(channels - half, half, 3, padding=1))  # fmt: skip
    functions: tuple[Callable[[], tuple[nn.Module, int]], ...] = (
        lambda: (_function(lambda x: x[:, :, 1:, :-1]), channels),
        lambda: (_function(lambda x: x[:, :half]), half),
        lambda: (_function(lambda x: x[:, :, ::2, ::2]), channels),
        lambda: (_function(lambda x: (y := x.chunk(2, 1))[0] * torch.sigmoid(y[1])), half),
        lambda: (_function(lambda x: torch.split(x, half, 1)[1]), half),
        lambda: (net, 2 * half),
    )
    return pick.choice(functions)()


def _means(pick: Pick) -> Made:
    before, channels, shape = _before(pick)
    height, width = shape[2:]
    padding = before[0].padding[0]
    height, width = (each - 2 + 2 * padding for each in (height, width))
    kinds: tuple[tuple[Callable[[torch.Tensor], torch.Tensor], int], ...] = (
        (lambda x: x.mean(1), height * width),
        (lambda x: x.mean(2), channels * width),
        (lambda x: x.mean(3), channels * height),
        (lambda x: x.mean(1, keepdim=True), height * width),
        (lambda x: x.mean(-1).mean(-1), channels),
        (lambda x: x.mean((-2, -1)), channels),
    )
    function, size = pick.choice(kinds)
    return S(*before, _function(function), nn.Flatten(), nn.Linear(size, 2)), (shape,)


def _attention(pick: Pick) -> Made:
    size, heads, steps = pick.choice((4, 8)), pick.choice((1, 2)), pick.choice((5, 8))
    attention = nn.MultiheadAttention(size, heads, batch_first=True)
    return Apply(lambda net, x: net[0](x, x, x, need_weights=False)[0], attention), (
        (1, steps, size),
    )


KINDS: dict[str, Callable[[Pick], Made]] = {
    "norm": _norm,
    "bare": _bare_linear,
    "number": _each(_number),
    "hardsigmoid": _each(lambda pick: nn.Hardsigmoid()),
    "gelu": _each(lambda pick: nn.GELU(approximate=pick.choice(("none", "tanh")))),
    "grouped": _image(_grouped),
    "sized": _image(_sized),
    "excited": _image(_excited),
    "averaged": _image(_averaged),
    "shuffled": _image(_shuffled),
    "cut": _image(_cut),
    "means": _means,
    "filled": _image(_filled),
    "rolled": _image(_rolled),
    "prelu": _each(lambda pick: nn.PReLU()),
    "most": _image(_most),
    "elu": _each(lambda pick: nn.ELU()),
    "attention": _attention,
}


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The module of a kind and a seed, ``norm-3``, and an example of its inputs."""
    kind, _, seed = name.partition("-")
    pick = random.Random(name)
    while True:
        torch.manual_seed(int(seed))
        try:
            module, shapes = KINDS[kind](pick)
            settled(module, shapes)(*(torch.zeros(shape) for shape in shapes))
        except (RuntimeError, ValueError):  # windows larger than their maps
            continue
        return module, tuple(torch.randn(shape) for shape in shapes)
