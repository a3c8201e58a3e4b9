"""Layers of a model that is planned, and shapes."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.names import Text
from pytest_tinybudget.declaration.schema.shares import NotNegative
from pytest_tinybudget.planning.network import Activation
from pytest_tinybudget.planning.network import LayerType
from pytest_tinybudget.planning.network import Padding


_COUNT = {"expected": "a whole number from 1 to 65536"}

Count = Annotated[int, Meta(gt=0, le=65536, extra=_COUNT)]

Extents = (
    Count
    | Annotated[
        list[Count],
        Meta(min_length=2, max_length=2, description="height and width", examples=[[3, 5]]),
    ]
)

_AMOUNT = {"expected": "a whole number from 0 to 65536"}

Amount = Annotated[int, Meta(ge=0, le=65536, extra=_AMOUNT)]

Amounts = Amount | Annotated[list[Amount], Meta(min_length=2, max_length=2, examples=[[0, 1]])]


class LayerTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A layer of a model that is planned, not trained."""

    type: Annotated[
        LayerType | Literal["input"],
        Meta(
            extra={
                "expected": "a type of layer, such as conv2d, dense, lstm, add or input",
                "other_names": "layer_types",
            }
        ),
    ]
    filters: Count | None = None
    units: Count | None = None
    multiplier: Count | None = None
    kernel: Extents | None = None
    stride: Extents | None = None
    dilation: Extents | None = None
    padding: Padding = "valid"
    activation: Activation = "none"
    name: Text | None = None
    inputs: Annotated[list[Text], Meta(min_length=1)] | None = None
    output: bool = False
    bias: bool = True
    axis: Annotated[int, Meta(ge=-5, le=5, extra={"expected": "a whole number"})] | None = None
    shape: Annotated[list[Count], Meta(min_length=1, max_length=5)] | None = None
    amount: Annotated[list[Amounts], Meta(min_length=1, max_length=2)] | Amount | None = None
    alpha: NotNegative | None = None
    interpolation: Literal["nearest", "bilinear"] = "nearest"
    keep_dims: bool = False
    sequences: bool = False
    backwards: bool = False
    bidirectional: Literal["concat", "sum", "multiply", "average"] | None = None
    heads: Count | None = None


Layers = Annotated[list[LayerTable], Meta(min_length=1)]
InputShape = Annotated[list[Count], Meta(min_length=1, max_length=3)]
InputShapes = Annotated[
    dict[Text, Annotated[list[Count], Meta(min_length=1, max_length=6)]], Meta(min_length=1)
]
