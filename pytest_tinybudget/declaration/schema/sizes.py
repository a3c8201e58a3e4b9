"""Sizes in bytes."""

from typing import Annotated

from msgspec import Meta


#: What ``parse_size`` reads (which also refuses a fraction of a byte).
SIZE_PATTERN = r"^\s*[0-9]{1,18}(\.[0-9]{1,16})?\s*([bB]|[kKmM]([iI]?[bB])?)?\s*$"

_SIZE = {"expected": 'a size ("256 KB", "1 MB", "812 B" or bytes)'}

Size = (
    Annotated[str, Meta(pattern=SIZE_PATTERN, extra=_SIZE)]
    | Annotated[int, Meta(ge=0, le=10**18, extra=_SIZE)]
)
