"""Updates over the air."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.sizes import Size
from pytest_tinybudget.update.settings import LINK_RATE_PATTERN


class UpdateTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How updates are sent over the air."""

    send: Literal["raw", "compressed", "delta"] = "compressed"
    link_rate: (
        Annotated[
            str,
            Meta(
                pattern=LINK_RATE_PATTERN,
                extra={"expected": 'a rate such as "5 kbit/s" or "1.5 Mbit/s"'},
            ),
        ]
        | None
    ) = None
    in_place_memory: Size | None = None
    in_place_segment: Size | None = None
