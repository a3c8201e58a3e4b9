"""How good a model must be on held-out data."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.names import Text
from pytest_tinybudget.declaration.schema.shares import Finite
from pytest_tinybudget.declaration.schema.shares import NotNegative
from pytest_tinybudget.declaration.schema.shares import Share
from pytest_tinybudget.declaration.schema.shares import ShareOrNumber


ArrayNames = Text | Annotated[list[Text], Meta(min_length=1)]


class NormalizeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What turns stored numbers into those the model was trained with: (x - mean) / std."""

    mean: Finite = 0.0
    std: Annotated[float, Meta(gt=0, le=1e18, extra={"expected": "a number above 0"})] = 1.0


class _HeldOutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Data that the model was not trained with, and how the model takes and gives it."""

    data: Text | None = None
    inputs: ArrayNames | None = None
    normalize: NormalizeTable | None = None
    output: (
        Annotated[int, Meta(ge=0, le=255, extra={"expected": "a whole number from 0"})] | None
    ) = None
    threshold: Finite | None = None


class AccuracyTable(_HeldOutTable, frozen=True, forbid_unknown_fields=True):
    """How good the INT8 model must be on held-out data."""

    labels: Text | None = None
    metric: Literal["accuracy", "top_5", "auc", "mae", "mse"] = "accuracy"
    min: ShareOrNumber | None = None
    max: NotNegative | None = None
    max_drop: Share | None = None
    reference: Text | None = None


class AgreementTable(_HeldOutTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the model must decide as the deployed one; what is absent is as in accuracy."""

    min_agreement: Share
    tolerance: NotNegative | None = None
