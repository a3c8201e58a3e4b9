"""Shapes of convolutions and pools: output extents and paddings."""

from __future__ import annotations

from msgspec import Struct


class Window(Struct, frozen=True, gc=False):
    """One axis of a convolution or pool."""

    size: int
    filter: int
    stride: int
    dilation: int = 1

    def output(self, padding: str) -> int:
        """ComputeOutSize; 0 where TFLM finds the arguments impossible."""
        if self.filter <= 0 or self.stride <= 0 or self.dilation <= 0:
            return 0
        if padding == "SAME":
            return (self.size + self.stride - 1) // self.stride
        reach = self.size + self.stride - self._effective_filter()
        return max(reach, 0) // self.stride

    def padding(self, padding: str) -> int:
        """The padding before the data (ComputePadding)."""
        if self.filter <= 0 or self.stride <= 0 or self.dilation <= 0:
            return 0
        covered = (self.output(padding) - 1) * self.stride + self._effective_filter()
        return max(covered - self.size, 0) // 2

    def _effective_filter(self) -> int:
        return (self.filter - 1) * self.dilation + 1


class Geometry(Struct, frozen=True, gc=False):
    """A convolution as CMSIS-NN's buffer-size functions see it."""

    batches: int
    input_height: int
    input_width: int
    input_channels: int
    filter_height: int
    filter_width: int
    filter_channels: int
    output_height: int
    output_width: int
    output_channels: int
    stride_height: int
    stride_width: int
    dilation_height: int
    dilation_width: int
    padding_height: int
    padding_width: int

    @property
    def columns(self) -> int:
        """Input values that one output value is made of."""
        return self.filter_height * self.filter_width * self.input_channels
