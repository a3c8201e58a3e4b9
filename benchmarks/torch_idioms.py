"""PyTorch modules as people write them, one a name, for ``torch_plans.py``.

They were written before anybody planned one of them: layers, blocks and small networks of every
kind, with odd sizes and corner shapes among them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


Shape = tuple[int, ...]


class Apply(nn.Module):
    """Layers by number, and a function of these and the inputs."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the function makes of the layers and the inputs."""
        return self.function(self.layers, *inputs)


def _conv(inputs: int, outputs: int, kernel: Any = 3, **more: Any) -> nn.Sequential:
    activation = more.pop("act", nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, bias=False, **more), nn.BatchNorm2d(outputs), activation
    )


def _conv1(inputs: int, outputs: int, kernel: int = 3, **more: Any) -> nn.Sequential:
    activation = more.pop("act", nn.ReLU())
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, bias=False, **more), nn.BatchNorm1d(outputs), activation
    )


class InvertedResidual(nn.Module):
    """A block of MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, stride: int, widen: int) -> None:
        super().__init__()
        wide = inputs * widen
        body = [] if widen == 1 else [_conv(inputs, wide, 1, act=nn.ReLU6())]
        self.body = nn.Sequential(
            *body,
            _conv(wide, wide, 3, stride=stride, padding=1, groups=wide, act=nn.ReLU6()),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The maps, with themselves added where they keep their shape."""
        return maps + self.body(maps) if self.adds else self.body(maps)


class Basic(nn.Module):
    """A block of ResNet, its short cut normalized."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.short = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.short = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The sum of both ways."""
        out = F.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out))
        out += self.short(maps)
        return F.relu(out)


class Excite(nn.Module):
    """Squeeze and excitation by dense layers."""

    def __init__(self, channels: int, less: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, less), nn.ReLU(inplace=True), nn.Linear(less, channels),
            nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The maps, weighted."""
        b, c, _, _ = maps.shape
        scale = F.adaptive_avg_pool2d(maps, 1).view(b, c)
        return maps * self.fc(scale).view(b, c, 1, 1)


class Chomp(nn.Module):
    """Leaves the last steps out."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        """All but the last steps."""
        return steps[:, :, : -self.count]


class Temporal(nn.Module):
    """A block of a TCN, by padding on both sides and leaving the end out."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        pad = (kernel - 1) * dilation
        self.net = nn.Sequential(
            nn.Conv1d(inputs, outputs, kernel, padding=pad, dilation=dilation), Chomp(pad),
            nn.ReLU(), nn.Dropout(0.2),
            nn.Conv1d(outputs, outputs, kernel, padding=pad, dilation=dilation), Chomp(pad),
            nn.ReLU(), nn.Dropout(0.2),
        )  # fmt: skip
        self.down = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        """The sum of both ways."""
        short = steps if self.down is None else self.down(steps)
        return F.relu(self.net(steps) + short)


class Attend(nn.Module):
    """Attention of one head, written out."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.size = size

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The mixed tokens."""
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        weights = F.softmax(query @ key.transpose(-2, -1) * self.size**-0.5, dim=-1)
        return self.out(weights @ value)


def _mlp(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU, **more: Any) -> nn.Sequential:
    layers: list[nn.Module] = []
    for one, two in pairwise(sizes):
        layers += [nn.Linear(one, two, **more), act()]
    return nn.Sequential(*layers[:-1])


S = nn.Sequential
IDIOMS: dict[str, tuple[Callable[[], nn.Module], tuple[Shape, ...]]] = {
    # Small CNNs of tutorials.
    "lenet": (lambda: S(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84),
        nn.Tanh(), nn.Linear(84, 10)), ((1, 1, 28, 28),)),
    "mnist_log": (lambda: S(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(1), nn.Linear(12 * 144, 16), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(16, 10), nn.LogSoftmax(dim=1)), ((1, 1, 28, 28),)),
    "cifar": (lambda: Apply(
        lambda net, x: net[4](F.relu(net[3](F.relu(net[2](torch.flatten(
            F.max_pool2d(F.relu(net[1](F.max_pool2d(F.relu(net[0](x)), 2))), 2), 1)))))),
        nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 30), nn.Linear(30, 20),
        nn.Linear(20, 10)), ((1, 3, 32, 32),)),
    "vgg": (lambda: S(
        _conv(3, 8, padding=1), _conv(8, 8, padding=1), nn.MaxPool2d(2, 2), _conv(8, 16, padding=1),
        nn.MaxPool2d(2, 2), nn.Flatten(), nn.Linear(16 * 64, 10)), ((1, 3, 32, 32),)),
    "leaky": (lambda: S(
        _conv(3, 8, padding=1, act=nn.LeakyReLU(0.1)), nn.MaxPool2d(2),
        _conv(8, 12, padding=1, act=nn.LeakyReLU(0.1)), nn.Conv2d(12, 5, 1)), ((1, 3, 24, 24),)),
    "hardswish": (lambda: S(
        _conv(3, 8, stride=2, padding=1, act=nn.Hardswish()), _conv(8, 12, 1, act=nn.Hardswish()),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)), ((1, 3, 20, 20),)),
    "silu": (lambda: S(
        _conv(3, 8, padding=1, act=nn.SiLU()), _conv(8, 8, 3, groups=8, act=nn.SiLU()),
        nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(8, 4)), ((1, 3, 15, 11),)),
    "sigmoid_tanh": (lambda: S(
        nn.Conv2d(2, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 1),
        nn.Sigmoid()), ((1, 2, 12, 9),)),
    "elu": (lambda: S(nn.Conv2d(2, 4, 3), nn.ELU(), nn.Conv2d(4, 3, 3)), ((1, 2, 12, 9),)),
    "prelu": (lambda: S(nn.Conv2d(2, 4, 3), nn.PReLU(4), nn.Conv2d(4, 3, 3)), ((1, 2, 12, 9),)),
    "prelu_one": (lambda: S(nn.Linear(6, 4), nn.PReLU(), nn.Linear(4, 3)), ((1, 6),)),
    "hardsigmoid": (lambda: S(nn.Conv2d(2, 4, 3), nn.Hardsigmoid(), nn.Conv2d(4, 3, 3)),
                    ((1, 2, 12, 9),)),
    "softplus": (lambda: S(nn.Linear(6, 4), nn.Softplus(), nn.Linear(4, 3)), ((1, 6),)),
    "gelu": (lambda: S(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 3)), ((1, 6),)),
    "hardtanh": (lambda: S(nn.Conv2d(2, 4, 3), nn.Hardtanh(), nn.Conv2d(4, 3, 3)),
                 ((1, 2, 12, 9),)),
    # Depthwise and separable.
    "mobile_v1": (lambda: S(
        _conv(3, 8, stride=2, padding=1), _conv(8, 8, padding=1, groups=8), _conv(8, 16, 1),
        _conv(16, 16, stride=2, padding=1, groups=16), _conv(16, 32, 1), nn.AvgPool2d(7),
        nn.Flatten(), nn.Linear(32, 4)), ((1, 3, 28, 28),)),
    "mobile_v2": (lambda: S(
        _conv(3, 8, stride=2, padding=1, act=nn.ReLU6()), InvertedResidual(8, 4, 1, 1),
        InvertedResidual(4, 6, 2, 6), InvertedResidual(6, 6, 1, 6),
        _conv(6, 32, 1, act=nn.ReLU6()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(32, 3)), ((1, 3, 33, 31),)),
    "mobile_v3": (lambda: S(
        _conv(3, 8, stride=2, padding=1, act=nn.Hardswish()), Excite(8, 4), _conv(8, 12, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(12, 8), nn.Hardswish(), nn.Linear(8, 3)),
        ((1, 3, 24, 24),)),
    "multiplier": (lambda: S(nn.Conv2d(4, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 3, 1)),
                   ((1, 4, 9, 9),)),
    "multiplier_bn": (lambda: S(_conv(3, 12, 5, groups=3, stride=2, padding=2), _conv(12, 4, 1)),
                      ((1, 3, 17, 17),)),
    "grouped": (lambda: S(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 3, 1)),
                ((1, 4, 9, 9),)),
    "shuffle": (lambda: Apply(
        lambda net, x: net[1](net[0](x).view(1, 2, 4, 10, 10).transpose(1, 2).reshape(
            1, 8, 10, 10)),
        nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, groups=8)), ((1, 4, 10, 10),)),
    # Corner shapes of channels and filters.
    "one_to_one": (lambda: S(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()), ((1, 1, 8, 8),)),
    "one_to_one_row": (lambda: S(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(36, 2)),
                       ((1, 1, 8, 8),)),
    "one_to_many_1x1": (lambda: S(nn.Conv2d(1, 6, 1), nn.ReLU(), nn.Conv2d(6, 1, 1)),
                        ((1, 1, 8, 8),)),
    "many_to_one": (lambda: S(nn.Conv2d(4, 1, 3), nn.Sigmoid()), ((1, 4, 8, 8),)),
    "one_dilated": (lambda: S(nn.Conv2d(1, 4, 3, dilation=2), nn.ReLU(), nn.Conv2d(4, 2, 3)),
                    ((1, 1, 12, 12),)),
    "one_strided": (lambda: S(nn.Conv2d(1, 4, (5, 3), stride=(2, 1), padding=(2, 1)), nn.ReLU()),
                    ((1, 1, 13, 11),)),
    "one_in_the_middle": (lambda: S(
        nn.Conv2d(3, 1, 1), nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 1, 3),
        nn.Conv2d(1, 1, 1)), ((1, 3, 9, 9),)),
    "one_pixel": (lambda: S(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten()),
                  ((1, 8, 1, 1),)),
    "whole_window": (lambda: S(nn.Conv2d(3, 8, (6, 5)), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)),
                     ((1, 3, 6, 5),)),
    "wide_row": (lambda: S(nn.Conv2d(1, 8, (1, 5), stride=(1, 2)), nn.ReLU(),
                           nn.Conv2d(8, 4, (3, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 15, 3)),
                 ((1, 1, 3, 33),)),
    "depth_one_map": (lambda: S(nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(), nn.Conv2d(6, 2, 1)),
                      ((1, 6, 3, 3),)),
    # Padding.
    "same": (lambda: S(nn.Conv2d(3, 4, 3, padding="same"), nn.ReLU(),
                       nn.Conv2d(4, 4, 5, padding="same"), nn.ReLU(),
                       nn.Conv2d(4, 2, 2, padding="same")), ((1, 3, 11, 9),)),
    "same_dilated": (lambda: S(nn.Conv2d(3, 4, 3, padding="same", dilation=2), nn.ReLU()),
                     ((1, 3, 11, 9),)),
    "odd_stride": (lambda: S(_conv(3, 4, stride=2, padding=1), _conv(4, 4, 5, stride=3, padding=2),
                             nn.Flatten(), nn.Linear(4 * 3 * 3, 2)), ((1, 3, 17, 17),)),
    "even_kernel": (lambda: S(nn.Conv2d(3, 4, 4, stride=2, padding=1), nn.ReLU(),
                              nn.Conv2d(4, 4, 2)), ((1, 3, 16, 15),)),
    "reflected": (lambda: S(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3)), ((1, 3, 9, 9),)),
    "reflected_mode": (lambda: S(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
                       ((1, 3, 9, 9),)),
    "zero_pad": (lambda: S(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(),
                           nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)), ((1, 3, 16, 16),)),
    "const_pad": (lambda: S(nn.ConstantPad2d(1, 0.5), nn.Conv2d(3, 4, 3)), ((1, 3, 8, 8),)),
    "dilated": (lambda: S(nn.Conv2d(3, 4, 3, dilation=(2, 1), padding=(2, 1)), nn.ReLU(),
                          nn.Conv2d(4, 4, 3, dilation=3, padding=3)), ((1, 3, 13, 12),)),
    # Pools.
    "max_padded": (lambda: S(_conv(3, 4, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1),
                             nn.Conv2d(4, 2, 1)), ((1, 3, 32, 32),)),
    "max_ceil": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
                           nn.Flatten(), nn.Linear(4 * 16, 3)), ((1, 3, 9, 9),)),
    "max_only": (lambda: S(nn.MaxPool2d(2), nn.Conv2d(3, 4, 3)), ((1, 3, 12, 12),)),
    "max_stride1": (lambda: S(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 1, 1), nn.ReLU()),
                    ((1, 3, 12, 12),)),
    "avg_padded": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d(3, 2, 1),
                             nn.Conv2d(4, 2, 1)), ((1, 3, 12, 12),)),
    "avg_uncounted": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(),
                                nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
                      ((1, 3, 12, 12),)),
    "avg_ceil": (lambda: S(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2, ceil_mode=True)),
                 ((1, 3, 9, 9),)),
    "avg_whole": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AvgPool2d((7, 6)), nn.Flatten(),
                            nn.Linear(4, 3)), ((1, 3, 9, 8),)),
    "adaptive_2": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d((2, 2)),
                             nn.Flatten(), nn.Linear(16, 3)), ((1, 3, 10, 10),)),
    "adaptive_max": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1),
                               nn.Flatten(), nn.Linear(4, 3)), ((1, 3, 10, 10),)),
    "global_max": (lambda: Apply(lambda net, x: net[1](torch.amax(net[0](x), (2, 3))),
                                 nn.Conv2d(3, 4, 3), nn.Linear(4, 3)), ((1, 3, 10, 10),)),
    "mean_last": (lambda: Apply(lambda net, x: net[1](F.relu(net[0](x)).mean([-1, -2])),
                                nn.Conv2d(3, 4, 3), nn.Linear(4, 3)), ((1, 3, 10, 10),)),
    "mean_twice": (lambda: Apply(lambda net, x: net[1](net[0](x).mean(3).mean(2)),
                                 nn.Conv2d(3, 4, 3), nn.Linear(4, 3)), ((1, 3, 10, 10),)),
    "mean_time": (lambda: Apply(lambda net, x: net[0](x).mean(dim=3),
                                nn.Conv2d(3, 4, 3)), ((1, 3, 10, 8),)),
    "gap_kept": (lambda: Apply(lambda net, x: net[1](F.adaptive_avg_pool2d(net[0](x), 1)),
                               nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)), ((1, 3, 10, 8),)),
    # Joins.
    "resnet": (lambda: S(_conv(3, 8, padding=1), Basic(8, 8), Basic(8, 16, 2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)),
               ((1, 3, 19, 19),)),
    "excite": (lambda: S(_conv(3, 8), Excite(8, 2), _conv(8, 8)), ((1, 3, 12, 12),)),
    "dense_block": (lambda: Apply(
        lambda net, x: net[2](torch.cat([y := torch.cat([x, net[0](x)], 1), net[1](y)], dim=1)),
        _conv(4, 4, padding=1), _conv(8, 4, padding=1), nn.Conv2d(12, 3, 1)), ((1, 4, 8, 8),)),
    "inception": (lambda: Apply(
        lambda net, x: torch.cat([net[0](x), net[1](x), net[2](F.max_pool2d(x, 3, 1, 1))], 1),
        _conv(4, 4, 1), _conv(4, 4, padding=1), _conv(4, 2, 1)), ((1, 4, 8, 8),)),
    "fire": (lambda: Apply(
        lambda net, x: torch.cat([F.relu(net[1](y := F.relu(net[0](x)))), F.relu(net[2](y))], 1),
        nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 3, padding=1)), ((1, 6, 9, 9),)),
    "unet": (lambda: Apply(
        lambda net, x: net[3](torch.cat([net[2](net[1](F.max_pool2d(y := net[0](x), 2))), y], 1)),
        _conv(1, 4, padding=1), _conv(4, 8, padding=1), nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Conv2d(8, 1, 1)), ((1, 1, 16, 16),)),
    "split": (lambda: Apply(
        lambda net, x: torch.cat([(y := torch.split(net[0](x), 4, 1))[0], net[1](y[1])], 1),
        nn.Conv2d(3, 8, 1), nn.Conv2d(4, 4, 3, padding=1)), ((1, 3, 8, 8),)),
    "chunk": (lambda: Apply(
        lambda net, x: (y := net[0](x).chunk(2, 1))[0] * torch.sigmoid(y[1]),
        nn.Conv2d(3, 8, 3)), ((1, 3, 8, 8),)),
    "scaled": (lambda: Apply(lambda net, x: x + 0.5 * net[0](x), nn.Conv2d(4, 4, 3, padding=1)),
               ((1, 4, 8, 8),)),
    "normalized": (lambda: Apply(lambda net, x: net[0]((x - 0.5) / 0.25), _conv(3, 4)),
                   ((1, 3, 8, 8),)),
    "two_rows": (lambda: Apply(
        lambda net, a, b: net[2](torch.cat([F.relu(net[0](a)), F.relu(net[1](b))], -1)),
        nn.Linear(5, 4), nn.Linear(7, 6), nn.Linear(10, 2)), ((1, 5), (1, 7))),
    "siamese": (lambda: Apply(
        lambda net, a, b: net[1](torch.abs(net[0](a) - net[0](b))),
        _mlp(6, 8, 4), nn.Linear(4, 1)), ((1, 6), (1, 6))),
    "two_outputs": (lambda: Apply(
        lambda net, x: (net[1](y := net[0](x)), net[2](y)),
        S(_conv(3, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(8, 3), nn.Linear(8, 4)),
        ((1, 3, 9, 9),)),
    # Images larger and smaller.
    "deconv": (lambda: S(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(),
                         nn.ConvTranspose2d(4, 1, 2, stride=2), nn.Sigmoid()), ((1, 1, 16, 16),)),
    "deconv_padded": (lambda: S(nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), nn.ReLU()),
                      ((1, 4, 5, 6),)),
    "deconv_more": (lambda: S(nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
                              nn.ReLU()), ((1, 4, 5, 6),)),
    "nearest": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Upsample(scale_factor=2),
                          nn.Conv2d(4, 2, 3, padding=1)), ((1, 3, 7, 8),)),
    "bilinear": (lambda: S(nn.Conv2d(3, 4, 3), nn.ReLU(),
                           nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 2, 1)),
                 ((1, 3, 7, 8),)),
    "aligned": (lambda: S(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                          nn.Conv2d(3, 2, 1)), ((1, 3, 7, 8),)),
    "pixel_shuffle": (lambda: S(nn.Conv2d(3, 8, 3, padding=1), nn.PixelShuffle(2)),
                      ((1, 3, 6, 6),)),
    "conv_autoencoder": (lambda: S(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3, padding=1),
        nn.ReLU(), nn.MaxPool2d(2), nn.ConvTranspose2d(4, 8, 2, 2), nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 2, 2), nn.Sigmoid()), ((1, 1, 16, 16),)),
    # Rows.
    "mlp": (lambda: _mlp(13, 20, 7, 3), ((1, 13),)),
    "mlp_bn": (lambda: S(nn.Linear(9, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(),
                         nn.Linear(16, 16, bias=False), nn.BatchNorm1d(16), nn.LeakyReLU(0.2),
                         nn.Linear(16, 4), nn.Softmax(-1)), ((1, 9),)),
    "mlp_late_bn": (lambda: S(nn.Linear(9, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 4)),
                    ((1, 9),)),
    "mlp_tanh": (lambda: _mlp(4, 32, 32, 2, act=nn.Tanh), ((1, 4),)),
    "mlp_sigmoid": (lambda: S(_mlp(4, 8, 1, act=nn.Sigmoid), nn.Sigmoid()), ((1, 4),)),
    "mlp_silu": (lambda: _mlp(4, 8, 8, 1, act=nn.SiLU), ((1, 4),)),
    "mlp_straight": (lambda: S(nn.Linear(8, 6), nn.Linear(6, 4), nn.Linear(4, 2)), ((1, 8),)),
    "straight_relu": (lambda: S(nn.Linear(8, 6), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)),
                      ((1, 8),)),
    "straight_one": (lambda: S(nn.Linear(8, 1), nn.Linear(1, 4), nn.ReLU6()), ((1, 8),)),
    "straight_conv": (lambda: S(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 4), nn.ReLU()),
                      ((1, 3, 4, 4),)),
    "straight_tokens": (lambda: S(nn.Linear(8, 6), nn.Linear(6, 4), nn.ReLU()), ((1, 5, 8),)),
    "mlp_norm": (lambda: S(nn.Linear(8, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)),
                 ((1, 8),)),
    "flat_image": (lambda: S(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4)),
                   ((1, 1, 8, 8),)),
    "flat_color": (lambda: S(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 4)),
                   ((1, 3, 8, 8),)),
    "one_number": (lambda: _mlp(1, 16, 16, 1), ((1, 1),)),
    "residual_row": (lambda: Apply(lambda net, x: x + F.relu(net[0](x)), nn.Linear(8, 8)),
                     ((1, 8),)),
    # Series.
    "har": (lambda: S(_conv1(3, 8, 5), nn.MaxPool1d(2), _conv1(8, 12, 3), nn.AdaptiveAvgPool1d(1),
                      nn.Flatten(), nn.Linear(12, 6)), ((1, 3, 50),)),
    "kws_m5": (lambda: S(
        nn.Conv1d(1, 8, 80, stride=16), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(8, 8, 3), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(),
        nn.Linear(8 * 3, 4)), ((1, 1, 1024),)),
    "series_flat": (lambda: S(nn.Conv1d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten(),
                              nn.Linear(6 * 20, 3)), ((1, 4, 20),)),
    "series_same": (lambda: S(nn.Conv1d(4, 6, 5, padding="same"), nn.ReLU(),
                              nn.Conv1d(6, 2, 1)), ((1, 4, 20),)),
    "series_stride": (lambda: S(_conv1(4, 8, 3, stride=2, padding=1), _conv1(8, 8, 3, stride=2,
                      padding=1)), ((1, 4, 21),)),
    "series_depth": (lambda: S(_conv1(4, 4, 3, groups=4, padding=1), _conv1(4, 8, 1)),
                     ((1, 4, 20),)),
    "series_mean": (lambda: Apply(lambda net, x: net[1](F.relu(net[0](x)).mean(-1)),
                                  nn.Conv1d(4, 6, 3), nn.Linear(6, 2)), ((1, 4, 20),)),
    "series_max": (lambda: Apply(lambda net, x: net[1](F.relu(net[0](x)).max(dim=2).values),
                                 nn.Conv1d(4, 6, 3), nn.Linear(6, 2)), ((1, 4, 20),)),
    "series_turned": (lambda: Apply(lambda net, x: net[0](x.permute(0, 2, 1)),
                                    nn.Conv1d(4, 6, 3)), ((1, 20, 4),)),
    "series_avg": (lambda: S(nn.Conv1d(4, 6, 3), nn.ReLU(), nn.AvgPool1d(2),
                             nn.Conv1d(6, 2, 3)), ((1, 4, 20),)),
    "series_dilated": (lambda: S(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(4, 6, 3, dilation=2),
                                 nn.ReLU()), ((1, 4, 20),)),
    "tcn_chomp": (lambda: S(Temporal(3, 6, 3, 1), Temporal(6, 6, 3, 2)), ((1, 3, 24),)),
    "tcn_last": (lambda: Apply(
        lambda net, x: net[1](net[0](F.pad(x, (2, 0)))[:, :, -1]),
        nn.Conv1d(3, 6, 3), nn.Linear(6, 2)), ((1, 3, 24),)),
    "series_residual": (lambda: Apply(lambda net, x: F.relu(x + net[0](x)),
                                      nn.Conv1d(4, 4, 3, padding=1)), ((1, 4, 20),)),
    "kws_conv": (lambda: S(_conv(1, 8, (20, 8), stride=(1, 2)), nn.MaxPool2d((2, 2)),
                           nn.Flatten(), nn.Linear(8 * 15 * 1, 4)), ((1, 1, 49, 10),)),
    # What joins, pads and means follow and come before.
    "cat_sigmoid": (lambda: Apply(
        lambda net, x: torch.cat([torch.sigmoid(net[0](x)), net[1](x)], 1),
        nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3)), ((1, 3, 8, 8),)),
    "cat_pool": (lambda: Apply(
        lambda net, x: torch.cat([F.max_pool2d(net[0](x), 2), net[1](x)], 1),
        nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 2, stride=2)), ((1, 3, 8, 8),)),
    "cat_hardswish": (lambda: Apply(
        lambda net, x: torch.cat([F.hardswish(net[0](x)), net[1](x)], 1),
        nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3)), ((1, 3, 8, 8),)),
    "cat_leaky": (lambda: Apply(
        lambda net, x: torch.cat([F.leaky_relu(net[0](x)), net[1](x)], 1),
        nn.Conv2d(3, 4, 3), nn.Conv2d(3, 2, 3)), ((1, 3, 8, 8),)),
    "two_padded": (lambda: Apply(
        lambda net, x: net[0](x) + net[1](x), nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(3, 4, 3, padding=1)), ((1, 3, 8, 8),)),
    "two_strided": (lambda: Apply(
        lambda net, x: net[0](x) + net[1](x), nn.Conv2d(3, 4, 3, 2, padding=1),
        nn.Conv2d(3, 4, 3, 2, padding=1)), ((1, 3, 8, 8),)),
    "two_series": (lambda: Apply(
        lambda net, x: torch.tanh(net[0](x)) * torch.sigmoid(net[1](x)),
        nn.Conv1d(3, 4, 3, padding=1), nn.Conv1d(3, 4, 3, padding=1)), ((1, 3, 18),)),
    "cat_inputs": (lambda: Apply(
        lambda net, a, b: net[0](torch.cat([a, b], 1)), nn.Linear(9, 3)), ((1, 5), (1, 4))),
    "cat_twice": (lambda: Apply(
        lambda net, x: torch.cat([y := net[0](x), net[1](y), net[2](y)], 1),
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)), ((1, 3, 8, 8),)),
    "cat_series": (lambda: Apply(
        lambda net, x: torch.cat([F.relu(net[0](x)), F.relu(net[1](x))], 1),
        nn.Conv1d(3, 4, 3, padding=1), nn.Conv1d(3, 2, 5, padding=2)), ((1, 3, 18),)),
    "mean_first": (lambda: Apply(lambda net, x: net[0](x.mean((2, 3))), nn.Linear(3, 2)),
                   ((1, 3, 6, 5),)),
    "mean_pooled": (lambda: Apply(
        lambda net, x: net[1](F.relu(F.avg_pool2d(net[0](x), 2)).mean((2, 3))),
        nn.Conv2d(3, 4, 3), nn.Linear(4, 2)), ((1, 3, 8, 8),)),
    "mean_bn": (lambda: Apply(
        lambda net, x: net[1](net[0](x).mean((2, 3))), _conv(3, 6), nn.Linear(6, 2)),
        ((1, 3, 8, 8),)),
    "pad_hardswish": (lambda: S(
        nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.ZeroPad2d(1), nn.Conv2d(4, 2, 3)),
        ((1, 3, 8, 8),)),
    "pad_upsample": (lambda: S(
        nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2), nn.ZeroPad2d(1), nn.Conv2d(4, 2, 3)),
        ((1, 3, 8, 8),)),
    "pad_pool": (lambda: S(
        nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(4, 2, 3)),
        ((1, 3, 12, 12),)),
    "pad_bare": (lambda: S(
        nn.Conv2d(3, 4, 3, bias=False), nn.ZeroPad2d(1), nn.Conv2d(4, 2, 3)), ((1, 3, 8, 8),)),
    "pad_most": (lambda: S(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ZeroPad2d(1), nn.Conv2d(4, 2, 3)),
        ((1, 3, 12, 12),)),
    "pad_flat": (lambda: S(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ZeroPad2d(1), nn.Flatten(), nn.Linear(256, 2)),
        ((1, 3, 8, 8),)),
    "pad_leaky": (lambda: S(
        nn.Conv2d(3, 4, 3), nn.LeakyReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 2, 1)),
        ((1, 3, 12, 12),)),
    "dropout_bn": (lambda: S(
        nn.Linear(6, 8), nn.Dropout(), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        ((1, 6),)),
    "dropout_bn2d": (lambda: S(
        nn.Conv2d(3, 8, 3), nn.Dropout2d(), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1)),
        ((1, 3, 8, 8),)),
    "late_bn2d": (lambda: S(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)),
                  ((1, 3, 8, 8),)),
    "series_sigmoid": (lambda: S(
        nn.Conv1d(3, 4, 3), nn.Sigmoid(), nn.Conv1d(4, 4, 3), nn.Tanh(), nn.Conv1d(4, 2, 3)),
        ((1, 3, 18),)),
    "series_two": (lambda: Apply(
        lambda net, x: F.relu(net[0](x) + net[1](x)),
        nn.Conv1d(3, 4, 3, padding=1), nn.Conv1d(3, 4, 1)), ((1, 3, 18),)),
    "series_block": (lambda: Apply(
        lambda net, x: F.relu((y := F.relu(net[0](x))) + net[1](y)),
        nn.Conv1d(3, 4, 3), nn.Conv1d(4, 4, 3, padding=1)), ((1, 3, 18),)),
    "series_pool_block": (lambda: Apply(
        lambda net, x: (y := F.max_pool1d(x, 2)) + net[0](y),
        nn.Conv1d(3, 3, 3, padding=1)), ((1, 3, 18),)),
    "series_pool_flat": (lambda: S(
        _conv1(3, 4, 3), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(32, 2)), ((1, 3, 18),)),
    "series_pool_avg": (lambda: S(
        nn.Conv1d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2)),
        ((1, 3, 18),)),
    "series_hardswish": (lambda: S(
        nn.Conv1d(3, 4, 3), nn.Hardswish(), nn.Conv1d(4, 4, 3), nn.SiLU(), nn.Conv1d(4, 2, 1)),
        ((1, 3, 18),)),
    "sum_pooled": (lambda: Apply(
        lambda net, x: F.relu(net[0](x) + F.avg_pool2d(x, 2)), nn.Conv2d(3, 3, 2, stride=2)),
        ((1, 3, 8, 8),)),
    "excite_conv": (lambda: Apply(
        lambda net, x: (y := net[0](x)) * torch.sigmoid(net[2](F.relu(net[1](
            F.adaptive_avg_pool2d(y, 1))))),
        _conv(3, 8), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)), ((1, 3, 9, 9),)),
    # Tokens.
    "tokens": (lambda: S(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8)), ((1, 10, 8),)),
    "tokens_mean": (lambda: Apply(lambda net, x: net[1](F.relu(net[0](x)).mean(1)),
                                  nn.Linear(8, 12), nn.Linear(12, 2)), ((1, 10, 8),)),
    "tokens_flat": (lambda: S(nn.Linear(8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(40, 2)),
                    ((1, 10, 8),)),
    "tokens_norm": (lambda: S(nn.LayerNorm(8), nn.Linear(8, 4)), ((1, 10, 8),)),
    "attention": (lambda: Attend(8), ((1, 10, 8),)),
    "mixer": (lambda: Apply(
        lambda net, x: x + net[1](F.relu(net[0](x.transpose(1, 2)))).transpose(1, 2),
        nn.Linear(10, 16), nn.Linear(16, 10)), ((1, 10, 8),)),
    "multihead": (lambda: Apply(lambda net, x: net[0](x, x, x, need_weights=False)[0],
                                nn.MultiheadAttention(8, 2, batch_first=True)), ((1, 6, 8),)),
    "lstm_last": (lambda: Apply(lambda net, x: net[1](net[0](x)[1][0][-1]),
                           nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 2)), ((1, 5, 4),)),
    "rnn": (lambda: Apply(lambda net, x: net[1](net[0](x)[1][-1]),
                          nn.RNN(4, 6, batch_first=True), nn.Linear(6, 2)), ((1, 5, 4),)),
}  # fmt: skip


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module in evaluation mode, and an example of its inputs."""
    torch.manual_seed(20)
    build, shapes = IDIOMS[name]
    return settled(build(), shapes), tuple(torch.randn(shape) for shape in shapes)


def settled(module: nn.Module, shapes: tuple[Shape, ...]) -> nn.Module:
    """In evaluation mode, with statistics in its batch norms and biases that are not 0."""
    for each in module.modules():
        if isinstance(each, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(each.running_mean)
            nn.init.uniform_(each.running_var, 0.5, 1.5)
            nn.init.uniform_(each.weight, 0.5, 1.5)
            nn.init.normal_(each.bias)
        if isinstance(each, nn.MultiheadAttention):
            nn.init.normal_(each.in_proj_bias)
            nn.init.normal_(each.out_proj.bias)
        if isinstance(each, nn.LayerNorm) and each.elementwise_affine:
            nn.init.uniform_(each.weight, 0.5, 1.5)
            nn.init.normal_(each.bias)
    return module.eval()
