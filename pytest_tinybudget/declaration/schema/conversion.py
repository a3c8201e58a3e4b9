"""How sources that are no INT8 ``.tflite`` are converted, and what is left out of a file."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.names import Text
from pytest_tinybudget.declaration.schema.sizes import Size
from pytest_tinybudget.shrinking.options import Kept
from pytest_tinybudget.shrinking.options import Rewrite


#: How sources that are no INT8 ``.tflite`` are converted.
RepresentativeData = Annotated[
    Text,
    Meta(
        description="samples to calibrate with: .npz, .npy, a folder of them, "
        '"package.module:function", or "random"',
        examples=["data/kws.npz"],
    ),
]

CustomObjects = Annotated[
    Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$(?!\n)",
            extra={"expected": "a module such as package.module"},
        ),
    ],
    Meta(description="module with the model's own layers", examples=["training.layers"]),
]

Strip = Annotated[
    bool, Meta(description="leave out names, signatures and metadata", examples=[True])
]


class ShrinkTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is shrunk."""

    keep: list[Kept] | None = None
    without: list[Rewrite] | None = None


Shrunken = Annotated[
    bool | ShrinkTable,
    Meta(
        description="measure and write the model as a smaller file with the same outputs",
        examples=[True],
    ),
]

PerChannelDense = Annotated[
    bool, Meta(description="a scale for each output of a dense layer", examples=[False])
]

Activations = Annotated[
    Literal["int8", "int16", "float"],
    Meta(
        description="type of what flows between operators; float is for layers alone",
        examples=["int8"],
    ),
]

Planned = Annotated[
    bool,
    Meta(
        description="plan a .keras or .pt2 file from its layers: a verdict before it is converted",
        examples=[True],
    ),
]

ConversionTimeout = Annotated[
    Annotated[int, Meta(gt=0, le=86400, extra={"expected": "a whole number of seconds above 0"})],
    Meta(description="seconds that a conversion may take", examples=[300]),
]

ConversionMemory = Annotated[
    Size,
    Meta(
        description="memory that a conversion may take besides TensorFlow's",
        examples=["4096 MB"],
    ),
]


class OnnxTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How ONNX sources are converted."""

    command: Text | Annotated[list[Text], Meta(min_length=1)] | None = None


class ConvertTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The tools that convert sources."""

    onnx: OnnxTable | None = None
