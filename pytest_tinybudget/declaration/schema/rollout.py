"""Staged rollouts."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct
from msgspec import field

from pytest_tinybudget.declaration.schema.shares import Share


_PROBABILITY = {"expected": "a probability from 1e-9 to below 0.5"}

Probability = Annotated[float, Meta(ge=1e-9, lt=0.5, extra=_PROBABILITY)]

DeviceCount = Annotated[
    int, Meta(ge=1, le=10**8, extra={"expected": "a whole number of devices above 0"})
]


class AllowTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What a rollout policy may cost; the gate fails where a simulation says it costs more."""

    halt_good: Share | None = None
    good_failures: Share | None = None
    exposed: Share | DeviceCount | None = None
    bad_failures: Share | None = None


class RolloutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A staged rollout: how far an update goes at once, and when it goes on, holds or halts."""

    stages: Annotated[list[Share], Meta(min_length=1, max_length=100)] = field(
        default_factory=lambda: ["1%", "10%", "100%"]
    )
    minimum_success: Share = "95%"
    minimum_devices: DeviceCount = 1
    window: Annotated[
        str,
        Meta(
            pattern=r"^\s*[0-9]{1,6}(\.[0-9]{1,3})? *(min|h|d)\s*$",
            extra={"expected": 'a time such as "24 h", "90 min" or "2 d"'},
        ),
    ] = "24 h"
    rollback: bool = True
    test: Literal["sprt", "exact"] = "sprt"
    good_failures: Share = "2%"
    bad_failures: Share = "10%"
    alpha: Probability = 0.05
    beta: Probability = 0.05
    fleets: Annotated[list[DeviceCount], Meta(min_length=1, max_length=20)] = field(
        default_factory=lambda: [100, 1000, 10000]
    )
    allow: AllowTable = AllowTable()
