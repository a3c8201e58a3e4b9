"""Limits of your own, and from where on a pair warns."""

from typing import Annotated

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.base.units import quantity_pattern
from pytest_tinybudget.declaration.schema.sizes import Size


Percent = Annotated[
    str,
    Meta(
        pattern=r"^\s*(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?)\s*%\s*$",
        description="share of a limit from which a pair that fits warns",
        examples=["90%"],
        extra={"expected": 'a percentage ("90%", at most "100%")'},
    ),
]


class BudgetTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of your own; the board's room limits as well."""

    flash: Size | None = None
    ram: Size | None = None
    psram: Size | None = None
    arena: Size | None = None
    persistent_arena: Size | None = None
    non_persistent_arena: Size | None = None
    update: Size | None = None
    latency: (
        Annotated[str, Meta(pattern=quantity_pattern("s"), extra={"expected": 'a time ("100 ms")'})]
        | None
    ) = None
    energy: (
        Annotated[
            str, Meta(pattern=quantity_pattern("J"), extra={"expected": 'an energy ("50 uJ")'})
        ]
        | None
    ) = None


Budget = Annotated[
    BudgetTable,
    Meta(
        description="limits of your own besides the board's room",
        examples=[{"flash": "200 KB", "ram": "48 KB"}],
    ),
]
