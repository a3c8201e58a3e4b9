"""How much sizes may grow, and increases that were agreed."""

import datetime
from typing import Annotated

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.names import Text
from pytest_tinybudget.declaration.schema.sizes import Size
from pytest_tinybudget.results.metrics import Metric


class MaxIncreaseTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How much flash, RAM or another limited size may grow; percent and bytes must both be passed.

    With `since` it is drift: growth over a tag or release, however many changes it took.
    """

    percent: (
        Annotated[float, Meta(ge=0, le=10**6, extra={"expected": "a number, at least 0"})] | None
    ) = None
    bytes: Size | None = None
    since: Text | None = None


class AcceptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An increase that was agreed: over a budget of your own, or over `max_increase`."""

    metric: Metric
    up_to: Size
    reason: Text
    until: Annotated[datetime.date, Meta(extra={"expected": "a date such as 2027-01-31"})]


MaxIncrease = Annotated[
    MaxIncreaseTable | Annotated[list[MaxIncreaseTable], Meta(min_length=1)],
    Meta(
        description="most growth over the baseline, over a tag, or a list of such limits",
        examples=[{"percent": 2, "bytes": "1 KB"}],
    ),
]

Accepts = Annotated[
    list[AcceptTable],
    Meta(
        description="agreed increases, which pass until their date",
        examples=[
            [{"metric": "flash", "up_to": "212 KB", "reason": "new word", "until": "2027-01-31"}]
        ],
    ),
]
