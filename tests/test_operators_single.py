"""One operator at a time, in every type: what it takes and whether it loads and runs.

The oracle is TFLM's own runtime on x86-64 (the ``tflite-micro`` package), so what the rules refuse
and what they allocate is checked against code that nobody here wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import pytest
from flatbuffers import flexbuffers
from modelmaker import ModelMaker
from oracle import Oracle
from oracle import assert_as_the_runtime_says


TYPES = ("FLOAT32", "INT8", "INT16", "INT32", "INT64", "UINT8", "BOOL")


@dataclass(frozen=True)
class T:
    """A tensor: a constant with ``values``, else an input, an output or computed."""

    type: str
    shape: tuple[int, ...]
    values: tuple[float, ...] | None = None
    details: dict[str, Any] = field(default_factory=dict)


def ints(*values: int, type: str = "INT32") -> T:  # noqa: A002
    """A constant vector of integers."""
    return T(type, (len(values),), values)


def scalar(value: int, type: str = "INT32") -> T:  # noqa: A002
    """A constant scalar."""
    return T(type, (), (value,))


@dataclass(frozen=True)
class Case:
    """One operator with its tensors; ``custom`` becomes a FlexBuffer."""

    operator: str
    inputs: tuple[T, ...]
    outputs: tuple[T, ...]
    options: dict[str, Any] = field(default_factory=dict)
    custom: Any = None

    def __str__(self) -> str:
        return "-".join((self.operator, *(f"{t.type}{list(t.shape)}" for t in self.inputs)))

    def content(self) -> bytes:
        """The model file."""
        graph = (maker := ModelMaker()).graph()
        inputs = [
            graph.constant(t.shape, t.type, t.values, **t.details)
            if t.values is not None
            else graph.input(t.shape, t.type, **t.details)
            for t in self.inputs
        ]
        outputs = [graph.tensor(t.shape, t.type, **t.details) for t in self.outputs]
        custom = None if self.custom is None else bytes(flexbuffers.Dumps(self.custom))
        graph.operator(self.operator, inputs, outputs, self.options, custom_options=custom)
        graph.output(*outputs)
        return maker.build()


def case(
    operator: str, *inputs: T, to: T | tuple[T, ...], custom: Any = None, **options: Any
) -> Case:
    """A ``Case`` with one output or several."""
    outputs = to if isinstance(to, tuple) else (to,)
    return Case(operator, inputs, outputs, options, custom)


def typed_cases(kind: str) -> Iterator[Case]:
    """Every operator with a data type, with tensors of the type ``kind``."""
    image, flat = T(kind, (1, 4, 6, 4)), T(kind, (3, 4))
    fine = T(kind, (1, 4, 6, 4), details={"scale": 2.0**-15} if kind == "INT16" else {})
    for name in (
        "ABS", "SIN", "COS", "LOG", "SQRT", "SQUARE", "LOGICAL_NOT", "CEIL", "EXP", "ROUND",
        "FLOOR", "NEG", "ZEROS_LIKE", "RELU", "RELU6", "LEAKY_RELU", "ELU", "HARD_SWISH",
    ):  # fmt: skip
        yield case(name, image, to=image)
    yield case("RSQRT", T(kind, (4,), (1,) * 4), to=T(kind, (4,)))
    yield case("L2_NORMALIZATION", image, to=image)
    yield case("L2_NORMALIZATION", T(kind, (1, 1, 2, 3, 4)), to=T(kind, (1, 1, 2, 3, 4)))
    low = T(kind, image.shape, details={"zero_point": -128} if kind == "INT8" else fine.details)
    yield case("LOGISTIC", image, to=low)
    yield case("TANH", image, to=fine)
    yield case("PRELU", image, T(kind, (1, 1, 4)), to=image)
    yield case("PRELU", image, T("INT8", (1, 1, 4)), to=image)
    for target in TYPES[:-1]:  # the package's later version also casts to BOOL
        yield case("CAST", image, to=T(target, image.shape))
    for name in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        yield case(name, flat, T(kind, (1, 4)), to=T("BOOL", (3, 4)))
    for name in ("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_MOD"):
        yield case(name, flat, T(kind, (1, 4)), to=flat)
    yield case("DIV", flat, T(kind, (1, 4), (1, 1, 1, 1)), to=flat)
    yield case("FLOOR_DIV", flat, T(kind, (1, 4), (1, 1, 1, 1)), to=flat)
    yield case("FLOOR_DIV", flat, T(kind, (1, 4), (1, 0, 1, 1)), to=flat)
    yield case("SELECT_V2", T("BOOL", (3, 1)), flat, flat, to=flat)
    yield case("ADD_N", flat, flat, flat, to=flat)
    for name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ALL"):
        yield case(name, image, ints(1, 2), to=T(kind, (1, 1, 1, 4)), keep_dims=True)
        yield case(name, flat, scalar(-1), to=T(kind, (3,)))
        yield case(name, flat, ints(2), to=T(kind, (4,)))
    for name in ("ARG_MAX", "ARG_MIN"):
        yield case(name, flat, scalar(1), to=T("INT32", (3,)), output_type="INT32")
        yield case(name, flat, scalar(1), to=T("INT64", (3,)), output_type="INT64")
    yield case("CUMSUM", flat, scalar(-1), to=flat)
    yield case("CUMSUM", flat, scalar(2), to=flat)
    yield case("BATCH_MATMUL", T(kind, (2, 3, 4)), T(kind, (4, 5)), to=T(kind, (2, 3, 5)))
    yield case(
        "BATCH_MATMUL", T(kind, (2, 4, 3)), T(kind, (2, 5, 4)), to=T(kind, (2, 3, 5)),
        adj_x=True, adj_y=True,
    )  # fmt: skip
    yield case("TRANSPOSE", image, ints(0, 3, 1, 2), to=T(kind, (1, 4, 4, 6)))
    yield case("SQUEEZE", image, to=T(kind, (4, 6, 4)))
    yield case("EXPAND_DIMS", flat, scalar(-1), to=T(kind, (3, 4, 1)))
    yield case("SHAPE", flat, to=T(kind, (2,)), out_type="INT32")
    yield case("BROADCAST_TO", T(kind, (1, 4)), ints(2, 3, 4), to=T(kind, (2, 3, 4)))
    yield case("PACK", flat, flat, to=T(kind, (2, 3, 4)), values_count=2)
    yield case("UNPACK", flat, to=(T(kind, (4,)),) * 3, num=3)
    yield case("SPLIT", scalar(1), flat, to=(T(kind, (3, 2)),) * 2, num_splits=2)
    yield case(
        "SPLIT_V", flat, ints(1, 3), scalar(-1), to=(T(kind, (3, 1)), T(kind, (3, 3))), num_splits=2
    )
    yield case("SLICE", flat, ints(1, 1), ints(2, 2), to=T(kind, (2, 2)))
    yield case("REVERSE_V2", flat, ints(1), to=flat)
    yield case("REVERSE_V2", image, ints(1, 3), to=image)
    yield case("GATHER", flat, ints(2, 0), to=T(kind, (3, 2)), axis=1)
    pairs = T("INT32", (2, 2), (0, 1, 2, 1))
    yield case("GATHER", T(kind, (2, 3, 4)), pairs, to=T(kind, (2, 2, 4)), axis=1, batch_dims=1)
    yield case("GATHER_ND", flat, pairs, to=T(kind, (2,)))
    yield case("GATHER_ND", flat, T("INT32", (2, 1), (2, 0)), to=T(kind, (2, 4)))
    yield case("EMBEDDING_LOOKUP", ints(1, 2), flat, to=T(kind, (2, 4)))
    yield case("EMBEDDING_LOOKUP", ints(1, 2), flat, to=T("FLOAT32", (2, 4)))
    yield case("DYNAMIC_UPDATE_SLICE", flat, T(kind, (1, 2)), ints(1, 1), to=flat)
    yield case("FILL", ints(3, 4), T(kind, ()), to=flat)
    yield case("RESIZE_BILINEAR", image, ints(8, 12), to=T(kind, (1, 8, 12, 4)))
    yield case("RESIZE_NEAREST_NEIGHBOR", image, ints(8, 12), to=T(kind, (1, 8, 12, 4)))
    yield case(
        "SPACE_TO_BATCH_ND",
        image,
        ints(2, 2),
        T("INT32", (2, 2), (0, 0, 0, 0)),
        to=T(kind, (4, 2, 3, 4)),
    )
    yield case(
        "BATCH_TO_SPACE_ND",
        T(kind, (4, 2, 3, 4)),
        ints(2, 2),
        T("INT32", (2, 2), (0, 0, 0, 0)),
        to=image,
    )
    yield case("SPACE_TO_DEPTH", image, to=T(kind, (1, 2, 3, 16)), block_size=2)
    yield case("DEPTH_TO_SPACE", image, to=T(kind, (1, 8, 12, 1)), block_size=2)
    yield case("MIRROR_PAD", flat, T("INT32", (2, 2), (1, 1, 0, 2)), to=T(kind, (5, 6)))
    yield case("CIRCULAR_BUFFER", T(kind, (1, 1, 1, 8)), to=T(kind, (1, 5, 1, 8)), custom=[1])


def other_cases() -> Iterator[Case]:
    """Operators without a data type of their own, and particular refusals."""
    flat, image = T("INT8", (3, 4)), T("INT8", (1, 4, 6, 4))
    for name in ("LOGICAL_AND", "LOGICAL_OR"):
        yield case(name, T("BOOL", (3, 4)), T("BOOL", (1, 4)), to=T("BOOL", (3, 4)))
    for kind in ("INT32", "INT64", "INT8"):
        yield case("BROADCAST_ARGS", ints(3, 1, type=kind), ints(1, 4, type=kind), to=T(kind, (2,)))
    wide = {"scale": 1.5}
    yield case("LESS", T("INT8", (4,), details=wide), T("INT8", (4,)), to=T("BOOL", (4,)))
    yield case("REDUCE_MAX", flat, ints(1), to=T("INT8", (3,), details={"zero_point": 3}))
    yield case("HARD_SWISH", T("INT8", (4,), details={"scale": 8.0}), to=T("INT8", (4,)))
    yield case("LOGISTIC", T("INT16", (4,)), to=T("INT16", (4,)))
    yield case("ABS", T("INT16", (4,), details={"zero_point": 1}), to=T("INT16", (4,)))
    yield case("ABS", T("INT16", (4,), details={"scale": ()}), to=T("INT16", (4,)))
    yield case("TANH", flat, to=T("INT16", (3, 4)))
    yield case("ADD_N", flat, T("INT8", (3, 4), details={"scale": 0.5}), to=flat)
    yield case(
        "RESIZE_BILINEAR", image, ints(8, 8), to=image, half_pixel_centers=True, align_corners=True
    )
    yield case("SQUARED_DIFFERENCE", *(T("INT8", (4,)),) * 2, to=T("INT32", (4,)))
    yield case("HARD_SWISH", T("INT8", (4,)), to=T("INT8", (4,), details={"scale": ()}))
    yield case("SPACE_TO_DEPTH", T("INT8", (1, 3, 3, 1)), to=T("INT8", (1, 1, 1, 4)), block_size=2)
    yield case("SPLIT", T("INT32", ()), flat, to=(T("INT8", (3, 2)),) * 2, num_splits=2)
    yield case("GATHER", flat, ints(0, type="INT64"), to=T("INT8", (1, 4)))
    yield case("BROADCAST_TO", flat, T("INT32", (2,)), to=flat)
    yield case(
        "SLICE", T("INT8", (1,) * 6), ints(*(0,) * 6), ints(*(1,) * 6), to=T("INT8", (1,) * 6)
    )
    yield case("PRELU", T("FLOAT32", (1,) * 5), T("FLOAT32", (1,)), to=T("FLOAT32", (1,) * 5))
    yield case("MAXIMUM", T("INT8", (1,) * 5), T("INT8", (2,)), to=T("INT8", (1, 1, 1, 1, 2)))
    yield case("BATCH_MATMUL", T("INT8", (3, 4)), T("INT8", (5, 4)), to=T("INT8", (3, 4)))
    yield case(
        "BATCH_MATMUL",
        T("INT8", (2, 1, 1, 3, 4)),
        T("INT8", (2, 1, 4, 5)),
        to=T("INT8", (2, 1, 1, 3, 5)),
    )


def scaled_cases() -> Iterator[Case]:
    """Quantized kernels whose multipliers the scales put outside the range that TFLM takes."""
    plain = {"scale": ()}
    for kind in ("INT8", "INT16"):
        wide, fine, bare = (
            T(kind, (3, 4), details=details)
            for details in ({"scale": 4.0}, {"scale": 2.0**-26}, plain)
        )
        flags = T("BOOL", (3, 4))
        for source, result in ((wide, wide), (wide, fine), (bare, bare), (fine, fine)):
            yield case("ADD_N", source, source, to=result)
            yield case("CUMSUM", source, scalar(0), to=result)
            yield case("SQUARED_DIFFERENCE", source, source, to=result)
            yield case("DIV", source, T(kind, (3, 4), (1,) * 12, source.details), to=result)
            yield case("LESS", source, source, to=flags)
            yield case("PRELU", source, T("INT8", (4,)), to=result)
            yield case("HARD_SWISH", source, to=result)
            yield case("LEAKY_RELU", source, to=result)
            yield case("MEAN", source, ints(0), to=T(kind, (4,), details=result.details))


def custom_cases() -> Iterator[Case]:
    """TFLM's own operators, whose options are FlexBuffers."""
    sound, spectrum = T("INT16", (64,)), T("UINT32", (40,))
    for number, kind in ((7, "INT16"), (2, "INT32"), (0, "FLOAT32")):
        for length in (64, 60, 256, 4, 2, 63, 28):
            options = {"T": number, "fft_length": length}
            bins = T(kind, (length + 2,))
            yield case("SignalRfft", T(kind, (min(length, 60),)), to=bins, custom=options)
            yield case("SignalIrfft", bins, to=T(kind, (length,)), custom=options)
        frames = {"T": number, "frame_step": 8}
        yield case("SignalOverlapAdd", T(kind, (2, 3, 16)), to=T(kind, (2, 24)), custom=frames)
    yield case("SignalRfft", sound, to=T("INT16", (66,)), custom={"fft_length": 64})
    yield case(
        "SignalDelay", T("INT16", (3, 16)), to=T("INT16", (3, 16)), custom={"delay_length": 5}
    )
    framed = T("INT16", (2, 2, 10)), T("BOOL", ())
    for step in (8, 7):
        frames = {"frame_size": 10, "frame_step": step, "prefill": True}
        yield case("SignalFramer", T("INT16", (2, 16)), to=framed, custom=frames)
    context = {"stacker_left_context": 1, "stacker_right_context": 1, "stacker_step": 2}
    stacked = T("INT16", (24,)), T("BOOL", ())
    yield case("SignalStacker", T("INT16", (8,)), to=stacked, custom={"num_channels": 8, **context})
    yield case("SignalWindow", sound, T("INT16", (64,)), to=sound, custom={"shift": 12})
    yield case(
        "SignalEnergy",
        T("INT16", (66,)),
        to=T("UINT32", (33,)),
        custom={"end_index": 30, "start_index": 2},
    )
    yield case("SignalFftAutoScale", sound, to=(sound, T("INT32", ())), custom={})
    yield case(
        "SignalFilterBankLog", spectrum, to=T("INT16", (40,)),
        custom={"input_correction_bits": 3, "output_scale": 64},
    )  # fmt: skip
    yield case(
        "SignalFilterBankSquareRoot", T("UINT64", (40,)), T("INT32", ()), to=spectrum, custom={}
    )
    yield case(
        "SignalPCAN", spectrum, spectrum, T("INT16", (128,)), to=spectrum, custom={"snr_shift": 6}
    )
    detections = tuple(T("FLOAT32", shape) for shape in ((1, 5, 4), (1, 5), (1, 5), (1,)))
    boxes = T("FLOAT32", (1, 12, 4)), T("FLOAT32", (1, 12, 4)), T("FLOAT32", (12, 4), (1.0,) * 48)
    detection = {
        "max_detections": 5, "max_classes_per_detection": 1, "num_classes": 3,
        "nms_score_threshold": 0.5, "nms_iou_threshold": 0.5,
        "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
    }  # fmt: skip
    yield case("TFLite_Detection_PostProcess", *boxes, to=detections, custom=detection)
    yield case(
        "TFLite_Detection_PostProcess",
        *boxes,
        to=detections,
        custom={**detection, "num_classes": 9},
    )


def _decoding(kind: int, parameters: tuple[int, ...], table: tuple[int, ...]) -> T:
    """The ancillary tensor of TFLM_DECODE: a header of 16 bytes and what its decoder needs."""
    header = (kind, 1, 0, 0, 1, *parameters)
    data = (*header, *(0,) * (16 - len(header)), *table)
    return T("UINT8", (len(data),), data)


def decoding_cases() -> Iterator[Case]:
    """Compressed tensors, each decoder with the types and channels that it tells apart."""
    packed = T("UINT8", (8,), (0x12,) * 8)
    channels = {"scale": (0.5, 0.25), "dimension": 1}
    lut = _decoding(0, (4, 16), tuple(range(32)))
    pruned = _decoding(2, (), tuple(range(16)))
    # Two codes of one bit each: the symbols 1 and 2.
    huffman = _decoding(1, (0,), (0x01, 0x88, 0x02, 0x88))
    for details in ({}, channels, {**channels, "dimension": 0}, {**channels, "zero_point": 3}):
        shape = (2, 8) if details.get("dimension") == 0 else (8, 2)
        result = T("INT8", shape, details=details)
        yield case("TFLM_DECODE", packed, lut, to=result)
        yield case("TFLM_DECODE", packed, pruned, to=result)
        yield case("TFLM_DECODE", packed, huffman, to=result)
        yield case("TFLM_DECODE", packed, lut, packed, pruned, to=(result, result))
    for kind in ("FLOAT32", "INT16", "UINT8"):
        for ancillary in (lut, pruned, huffman):
            yield case("TFLM_DECODE", packed, ancillary, to=T(kind, (2, 2)))
    yield case("TFLM_DECODE", packed, pruned, to=T("INT16", (8,), details={"zero_point": 1}))
    yield case("TFLM_DECODE", packed, lut, to=T("INT8", (2, 2, 4), details=channels))
    yield case("TFLM_DECODE", packed, _decoding(9, (), ()), to=T("INT8", (4,)))
    yield case("TFLM_DECODE", T("UINT8", (8,)), lut, to=T("INT8", (4,)))


def reshaped_cases() -> Iterator[Case]:
    """Outputs whose shape Prepare writes itself: the file's is not what counts."""
    image = T("INT8", (1, 4, 6, 4))
    wrong = T("INT8", (1, 1, 1, 1))
    yield case("SPACE_TO_DEPTH", image, to=wrong, block_size=2)
    yield case("DEPTH_TO_SPACE", image, to=wrong, block_size=2)
    yield case("GATHER", image, ints(0, 1, 2, 3), to=wrong, axis=2)
    yield case("GATHER_ND", T("INT8", (9, 7)), ints(0), to=T("INT8", (2,)))
    yield case("EMBEDDING_LOOKUP", ints(1, 2), T("INT8", (3, 4)), to=T("INT8", (4, 4)))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    pytest.importorskip("tflite_micro")
    with Oracle() as oracle:
        yield oracle


CASES = [
    *(found for kind in TYPES for found in typed_cases(kind)),
    *other_cases(),
    *scaled_cases(),
    *custom_cases(),
    *decoding_cases(),
    *reshaped_cases(),
]


@pytest.mark.parametrize("single", CASES, ids=str)
def test_an_operator_takes_what_the_runtime_says(single: Case, oracle: Oracle) -> None:
    assert_as_the_runtime_says(single.content(), oracle)
