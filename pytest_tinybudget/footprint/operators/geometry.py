"""Shapes of convolutions and pools: output extents, paddings, and the room that esp-nn wants."""

from __future__ import annotations

from typing import NamedTuple

from pytest_tinybudget.footprint.abi import align_up


class Window(NamedTuple):
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


class Geometry(NamedTuple):
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

    @property
    def padded_pixels(self) -> int:
        """Pixels of the input with both paddings and what the last window reaches beyond."""
        height = self.input_height + 2 * self.padding_height + self._beyond_height
        width = self.input_width + 2 * self.padding_width + self._beyond_width
        return height * width

    @property
    def _beyond_height(self) -> int:
        reach = self.output_height * self.stride_height + self.filter_height - 1
        return max(reach - self.input_height, 0)

    @property
    def _beyond_width(self) -> int:
        reach = self.output_width * self.stride_width + self.filter_width - 1
        return max(reach - self.input_width, 0)


def esp32s3_conv_scratch(geometry: Geometry) -> int:
    """The most bytes that any known version of esp-nn asks for on the ESP32-S3's vector unit.

    Versions copy weights and input into 16-byte rows, as int8 or int16, or gather windows.
    """
    channels, outputs = geometry.input_channels, geometry.output_channels
    pixels = geometry.input_height * geometry.input_width
    taps = geometry.filter_height * geometry.filter_width
    plain = (
        taps == 1
        and geometry.padding_height == geometry.padding_width == 0
        and geometry.stride_height == geometry.stride_width == 1
    )
    transposed = 16 * align_up(channels, 8) + 32
    if plain and channels % 8 == 0:
        return channels * outputs + transposed
    as_int16 = 2 * (taps * channels * outputs + pixels * channels) + transposed
    if plain:
        return max(as_int16, align_up(channels, 8) * (outputs + pixels) + transposed)
    row = geometry.filter_width * channels
    gathered = (outputs + 1) * align_up(taps * channels, 16) + 4 * outputs + 64
    aligned = (
        2 * geometry.padded_pixels * channels
        + outputs * taps * align_up(channels, 16)
        + outputs * geometry.filter_height * align_up(row, 16)
        + 4 * outputs
        + 32
    )
    return max(as_int16, gathered, aligned)


def esp32s3_depthwise_scratch(geometry: Geometry) -> int:
    """``esp32s3_conv_scratch`` for a depthwise convolution."""
    channels = geometry.input_channels
    pixels = geometry.input_height * geometry.input_width
    results = geometry.output_height * geometry.output_width
    taps = geometry.filter_height * geometry.filter_width
    as_int16 = 2 * (taps * geometry.output_channels + pixels * channels) + 32
    if geometry.output_channels != channels:
        return as_int16
    if channels % 8:
        padded = align_up(channels, 8)
        return (2 * (taps + pixels) + results + 12) * padded + 80
    if geometry.filter_height != 3 or geometry.filter_width != 3:
        return max(as_int16, (4 + 2 * taps) * channels + 64)
    padded = align_up(channels, 16)
    as_int8 = (taps + geometry.padded_pixels) * padded + 32
    if channels % 16:
        return max(as_int16, as_int8 + (results + 12) * padded + 32)
    return as_int8
