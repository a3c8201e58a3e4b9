"""The scratch buffers that esp-nn's convolutions ask for on a vector unit, by release.

esp-nn is Espressif's kernel library. Its kernels in plain C (ESP32, ESP32-C3 and kin) need no
buffer. Those for the vector units of the ESP32-S3 and the ESP32-P4 copy weights and input into
aligned rows, and how much they copy differs from release to release. After
``esp_nn_get_conv_scratch_size_*`` and ``esp_nn_get_depthwise_conv_scratch_size_*`` of the
releases 1.0.0-rc1 to 1.2.3: equal to these functions, compiled, over 43,616 random layers in each
of 12 releases. What SOFTMAX asks for is the same in all of them (``softmax.py``), and dense layers,
pools and elementwise kernels ask for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping

from pytest_tinybudget.footprint.operators.geometry import Geometry
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import known


#: Bytes of a vector register: rows are aligned to it.
_ROW = 16
#: Below this an input is copied whole, above it in strips (ESP32-S3 depthwise, from 1.2.1 on).
_S3_DEPTHWISE_WHOLE_INT8 = 40 * 1024
_S3_DEPTHWISE_WHOLE_INT16 = 48 * 1024
#: L1D_BUDGET: what the ESP32-P4's convolution keeps in its cache at a time (from 1.2.3 on).
_P4_CACHE = 32 * 1024

#: Changes of esp-nn (``runtimes/data/versions/esp-nn.json``) that these sizes depend on.
_P4_GATHERS = "ESP32-P4: CONV_2D gathers windows"
_S3_SPARES_64 = "ESP32-S3: CONV_2D spares 64 bytes"
_S3_GATHERS = "ESP32-S3: CONV_2D gathers windows"
_S3_STRIPS = "ESP32-S3: DEPTHWISE_CONV_2D works in strips"
_S3_SPARES_32 = "ESP32-S3: DEPTHWISE_CONV_2D spares 32 bytes"
#: Changes that put the padding on the right and at the bottom alone right, by vector unit.
PADS_AT_THE_END: Mapping[str, str] = {
    "esp32s3": "ESP32-S3: CONV_2D pads at the end",
    "esp32p4": "ESP32-P4: CONV_2D pads at the end",
}
_S3_DOT_PRODUCTS = "ESP32-S3: FULLY_CONNECTED by dot products"
#: The change that put dense layers with an odd number of 16 values a row right.
ODD_ROWS = "ESP32-S3: FULLY_CONNECTED of odd rows"
_P4_KERNELS = "ESP32-P4: kernels for its vector unit"
_GROUPS = "convolutions of groups"

#: The TFLM that esp-tflite-micro 1.3.7 is of: from then on it tells esp-nn a filter's channels.
_TELLS_CHANNELS = "2026-05-06T13:02"

#: By vector unit: the change that brought its kernels, "" where every release has them, and
#: those that changed what they ask for or compute.
_CHANGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "": ("", ()),
    "esp32s3": ("", (_S3_SPARES_32, _S3_STRIPS, _S3_GATHERS, _S3_SPARES_64)),
    "esp32p4": (_P4_KERNELS, (PADS_AT_THE_END["esp32p4"], _P4_GATHERS)),
}


def possible_releases(unit: str, among: Iterable[str] = ()) -> tuple[str, ...]:
    """The known releases of ``among``, the oldest first; if none, all with kernels for ``unit``."""
    names = set(among)
    kernels, _ = _CHANGES[unit]
    versions = tuple(known("esp-nn").values())[::-1]
    chosen = tuple(each.name for each in versions if each.name in names)
    return chosen or tuple(each.name for each in versions if not kernels or each.has(kernels))


def ignores_groups(kernels: Kernels, tflm: Version, filter_size: tuple[int, int]) -> str:
    """Why an int8 CONV_2D whose channels are in groups comes out wrong; empty where it is right.

    Measured with esp-nn's kernels in plain C of five releases, 1.0.0 to 1.2.3: all but the last
    compute such a layer wrongly, and it does for a 1 x 1 filter or one whose channels are not told.
    Kernels for vector units hand such a layer over to those in plain C.
    """
    found = known("esp-nn").get(kernels.version.name)
    names = possible_releases(kernels.vectors, kernels.releases)
    versions = [found] if found else [known("esp-nn")[name] for name in names]
    if not all(version.has(_GROUPS) for version in versions):
        unnamed = "" if found else " (esp_nn says which release it is)"
        return f"which esp-nn before 1.2.3 ignores{unnamed}"
    if tflm.date < _TELLS_CHANNELS:
        return "which esp-tflite-micro before 1.3.7 does not tell esp-nn"
    if filter_size == (1, 1) and not kernels.vectors:
        return "which esp-nn ignores for 1 x 1 filters"
    return ""


def runs(unit: str, among: Iterable[str] = ()) -> Mapping[str, str]:
    """One of each run of releases that ask for and compute the same, the oldest first.

    Args:
        unit: The vector unit.
        among: The releases that are looked at; none for all that have kernels for ``unit``.

    Returns:
        What each run is called (``"1.2.1 to 1.2.2"``), by its last release.
    """
    kernels, changes = _CHANGES[unit]
    found: dict[tuple[bool, ...], list[str]] = {}
    for name in possible_releases(unit, among):
        version = known("esp-nn")[name]
        asks = tuple(version.has(change) for change in (*changes, *filter(None, [kernels])))
        found.setdefault(asks, []).append(name)
    return {run[-1]: span(run) for run in found.values()}


def span(names: Iterable[str]) -> str:
    """``"1.0.0 to 1.1.2"``: the first and the last of ``names``, or the only one.

    A release that was published once more (``"1.2.0~1"``) goes by its own name.
    """
    first, *others = dict.fromkeys(name.partition("~")[0] for name in names)
    return f"{first} to {others[-1]}" if others else first


def pads_at_the_end_alone(geometry: Geometry) -> bool:
    """Whether windows reach beyond the input on the right or at the bottom, and nowhere else."""
    right = (geometry.output_width - 1) * geometry.stride_width + geometry.filter_width
    bottom = (geometry.output_height - 1) * geometry.stride_height + geometry.filter_height
    beyond = right > geometry.input_width or bottom > geometry.input_height
    return beyond and geometry.padding_width == geometry.padding_height == 0


def pads_more_at_the_end(geometry: Geometry) -> bool:
    """Whether windows reach farther beyond the input at its end than at its start, which is padded.

    The general kernel for the ESP32-S3 pads both ends by what is at the start
    (``esp_nn_conv_s8_esp32s3``), and reads what lies behind for the rest.
    """
    right = (geometry.output_width - 1) * geometry.stride_width + geometry.filter_width
    bottom = (geometry.output_height - 1) * geometry.stride_height + geometry.filter_height
    return (geometry.padding_width > 0 or geometry.padding_height > 0) and (
        right > geometry.input_width + 2 * geometry.padding_width
        or bottom > geometry.input_height + 2 * geometry.padding_height
    )


def gathers_window(geometry: Geometry) -> bool:
    """Whether the ESP32-S3's kernel gathers each window (from 1.2.1 on), which pads rightly."""
    row = geometry.filter_width * geometry.input_channels
    return row < _ROW <= row * geometry.filter_height


def computes_padding_wrongly(unit: str, release: str) -> bool:
    """Whether a release has kernels for the unit that ignore padding at the end alone.

    This was read in the source of the kernels; nobody ran them.
    """
    kernels, _ = _CHANGES[unit]
    version = known("esp-nn")[release]
    return not version.has(PADS_AT_THE_END[unit]) and (not kernels or version.has(kernels))


def has_odd_rows(row: int) -> bool:
    """Whether a dense layer's row has three, five, seven ... whole times 16 weights."""
    whole = row // _ROW
    return whole > 1 and whole % 2 == 1


def drops_the_end_of_rows(release: str) -> bool:
    """Whether a release computes the last 16 weights of odd rows on the ESP32-S3 with other inputs.

    Its loop takes two times 16 of them, and reads beyond for the one that is left
    (``esp_nn_dot_s8_unaligned_esp32s3``). This was read in the source, nobody ran it here; devices
    showed it (issue 15680 of esphome/esphome, whose layer has 48 weights).
    """
    version = known("esp-nn")[release]
    return version.has(_S3_DOT_PRODUCTS) and not version.has(ODD_ROWS)


def conv_scratch(unit: str, release: str, geometry: Geometry) -> int:
    """Bytes that an int8 CONV_2D asks for; ``release`` is a known one."""
    version = known("esp-nn")[release]
    if unit == "esp32p4":
        return _p4_conv(version, geometry)
    if not version.has(_S3_GATHERS):
        return _copying_conv(geometry)
    return _gathering_conv(geometry, 64 if version.has(_S3_SPARES_64) else 32)


def depthwise_scratch(unit: str, release: str, geometry: Geometry, multiplier: int) -> int:
    """Bytes that an int8 DEPTHWISE_CONV_2D asks for; ``multiplier`` is its option's value.

    The ESP32-P4's asks for none.
    """
    if unit == "esp32p4":
        return 0
    version = known("esp-nn")[release]
    if version.has(_S3_STRIPS):
        return _depthwise(geometry, multiplier)
    return _old_depthwise(geometry, multiplier, 32 if version.has(_S3_SPARES_32) else 16)


def _p4_conv(version: Version, geometry: Geometry) -> int:
    """CONV_2D on the P4; before its own kernels, those in plain C."""
    if version.has(_P4_GATHERS):
        return _p4_gathering_conv(geometry)
    return _copying_conv(geometry) if version.has(_P4_KERNELS) else 0


def _is_plain(geometry: Geometry) -> bool:
    """A convolution of single pixels: no window, stride or padding."""
    return (
        geometry.filter_width == geometry.filter_height == 1
        and geometry.padding_width == geometry.padding_height == 0
        and geometry.stride_width == geometry.stride_height == 1
    )


def _plain_scratch(geometry: Geometry, spare: int) -> int:
    """Weights, the input where its channels are no multiple of 8, and eight rows turned around."""
    pixels = geometry.input_width * geometry.input_height
    channels = align_up(geometry.input_channels, 8)
    copied = pixels * channels if geometry.input_channels % 8 else 0
    turned = 16 * channels if pixels >= 8 else 0
    return copied + channels * geometry.output_channels + turned + spare


def _padded_input(geometry: Geometry) -> int:
    """The input with its padding on both sides; 0 where there is none."""
    if geometry.padding_width == geometry.padding_height == 0:
        return 0
    width = geometry.input_width + 2 * geometry.padding_width
    height = geometry.input_height + 2 * geometry.padding_height
    return width * height * geometry.input_channels


def _aligned_weights(geometry: Geometry) -> int:
    taps = geometry.filter_width * geometry.filter_height
    return taps * align_up(geometry.input_channels, _ROW) * geometry.output_channels


def _copying_conv(geometry: Geometry) -> int:
    """CONV_2D that copies padded input and aligned weights: S3 to 1.2.0, P4 to 1.2.2."""
    if _is_plain(geometry):
        return _plain_scratch(geometry, 32)
    sums = 4 * geometry.output_channels
    return _padded_input(geometry) + _aligned_weights(geometry) + 32 + sums


def _gathering_conv(geometry: Geometry, spare: int) -> int:
    """CONV_2D on the S3 from 1.2.1 on, which gathers windows of short rows into one."""
    if _is_plain(geometry):
        return _plain_scratch(geometry, spare)
    row, outputs = geometry.filter_width * geometry.input_channels, geometry.output_channels
    sums = 4 * outputs
    if row < _ROW <= geometry.columns:
        window = align_up(geometry.columns, _ROW)
        return sums + _ROW + outputs * window + _ROW + window + spare
    rows = align_up(row, _ROW) * geometry.filter_height * outputs
    beyond_width, beyond_height = _reach_beyond(geometry)
    beyond = 0
    if beyond_width or beyond_height:
        width = geometry.input_width + beyond_width
        height = geometry.input_height + beyond_height
        beyond = width * height * geometry.input_channels
    return _padded_input(geometry) + _aligned_weights(geometry) + rows + beyond + spare + sums


def _reach_beyond(geometry: Geometry) -> tuple[int, int]:
    """How far windows reach beyond the input, by esp-nn's own rough count (width, height)."""
    width = geometry.output_width * geometry.stride_width + geometry.filter_width - 1
    height = geometry.output_height * geometry.stride_height + geometry.filter_height - 1
    return max(0, width - geometry.input_width), max(0, height - geometry.input_height)


def _p4_gathering_conv(geometry: Geometry) -> int:
    """CONV_2D on the P4 in 1.2.3, which gathers one window at a time."""
    row, outputs = geometry.filter_width * geometry.input_channels, geometry.output_channels
    sums = 4 * outputs
    if _is_plain(geometry):
        if geometry.input_channels < _ROW:
            return sums + _ROW * outputs + 32 + 32
        return _plain_scratch(geometry, 32)
    padded = geometry.padding_width or geometry.padding_height
    if not padded and row >= _ROW:
        return _aligned_weights(geometry) + 32 + sums
    if geometry.columns >= _ROW:
        return sums + geometry.columns + 32
    channels, weights = _widened(geometry)
    if not padded:
        return sums + weights + geometry.input_width * geometry.input_height * channels + 32
    whole = _padded_input(geometry)
    if whole + sums <= _P4_CACHE:
        return whole + _aligned_weights(geometry) + 32 + sums
    if row >= _ROW:
        channels, weights = geometry.input_channels, 0
    return _p4_strip(geometry, channels, _P4_CACHE - sums - weights) + weights + 32 + sums


def _widened(geometry: Geometry) -> tuple[int, int]:
    """Channels that make a row of the filter fill a register, and the bytes of such weights."""
    channels = align_up((_ROW + geometry.filter_width - 1) // geometry.filter_width, _ROW)
    taps = geometry.filter_width * geometry.filter_height
    return channels, taps * channels * geometry.output_channels


def _p4_strip(geometry: Geometry, channels: int, room: int) -> int:
    """Bytes of the rows of input that fit ``room``, for as many rows of output as they give."""
    row = (geometry.input_width + 2 * geometry.padding_width) * channels
    outputs = 1
    if room > 0 and geometry.filter_height * row <= room:
        outputs += (room - geometry.filter_height * row) // (geometry.stride_height * row)
        outputs = min(outputs, geometry.output_height)
    rows = (outputs - 1) * geometry.stride_height + geometry.filter_height
    return (rows + 2 * geometry.padding_height) * row


def _as_int16(geometry: Geometry, multiplier: int, spare: int) -> int:
    """Weights and input widened to 16 bits."""
    weights = geometry.filter_width * geometry.filter_height * multiplier
    pixels = geometry.input_width * geometry.input_height
    return 2 * (weights + pixels) * geometry.input_channels + spare


def _is_3x3(geometry: Geometry) -> bool:
    return geometry.filter_width == geometry.filter_height == 3


def _added(geometry: Geometry) -> tuple[int, int]:
    """What a 3x3 filter adds to the input: its padding, or else what windows reach beyond."""
    if geometry.padding_width or geometry.padding_height:
        return 2 * geometry.padding_width, 2 * geometry.padding_height
    width = geometry.output_width * geometry.stride_width + 2 - geometry.input_width
    height = geometry.output_height * geometry.stride_height + 2 - geometry.input_height
    return width, height


def _as_int8(geometry: Geometry, most: int | None) -> int:
    """3x3 weights and padded input in 8 bits: in strips of three rows if it is above ``most``."""
    channels, weights = geometry.input_channels, 9 * geometry.input_channels
    width, height = _added(geometry)
    if not (width or height):
        return weights + 16
    whole = (geometry.input_width + width) * (geometry.input_height + height) * channels
    if most is not None and whole > most:
        whole = (geometry.input_width + width) * 3 * channels
    return weights + whole + 16


def _old_depthwise(geometry: Geometry, multiplier: int, spare: int) -> int:
    """DEPTHWISE_CONV_2D on the S3 to 1.2.0."""
    if multiplier == 1 and geometry.input_channels % 8 == 0 and _is_3x3(geometry):
        if geometry.input_channels % 16 == 0:
            return _as_int8(geometry, most=None)
        return _as_int16(geometry, multiplier, spare)
    return _as_int16(geometry, multiplier, spare) if multiplier % 4 == 0 else 32


def _depthwise(geometry: Geometry, multiplier: int) -> int:
    """DEPTHWISE_CONV_2D on the S3 from 1.2.1 on."""
    channels = geometry.input_channels
    if multiplier == 1 and channels % 8 == 0:
        return _depthwise_by_8(geometry)
    if multiplier == 1 and channels > 3:
        return _depthwise_padded(geometry)
    return _as_int16(geometry, multiplier, 32) if multiplier % 4 == 0 else 32


def _depthwise_by_8(geometry: Geometry) -> int:
    """Channels are a multiple of 8."""
    channels = geometry.input_channels
    if _is_3x3(geometry):
        if channels % 16 == 0:
            return _as_int8(geometry, most=_S3_DEPTHWISE_WHOLE_INT8)
        if channels < 12:
            return _as_int16(geometry, 1, 32)
        padded = align_up(channels, 16)
        beyond_width, beyond_height = _reach_beyond(geometry)
        width = geometry.input_width + 2 * geometry.padding_width + beyond_width
        height = geometry.input_height + 2 * geometry.padding_height + beyond_height
        results = geometry.output_width * geometry.output_height
        return (9 + width * height + results) * padded + 64
    whole = _as_int16(geometry, 1, 0)
    if whole <= _S3_DEPTHWISE_WHOLE_INT16:
        return whole + 32
    taps = geometry.filter_width * geometry.filter_height
    strip = geometry.input_width * geometry.filter_height
    return 2 * (taps + strip) * channels + 32


def _depthwise_padded(geometry: Geometry) -> int:
    """Channels are padded to a multiple of 8, with everything that belongs to them."""
    channels = align_up(geometry.input_channels, 8)
    taps = geometry.filter_width * geometry.filter_height
    pixels = geometry.input_width * geometry.input_height
    results = geometry.output_width * geometry.output_height
    size = align_up(2 * taps * channels, 16)
    size = align_up(size + 2 * pixels * channels, 16)
    size = align_up(size + results * channels, 16)
    return size + 3 * 4 * channels + 16
