"""Shares in percent, and numbers."""

from typing import Annotated

from msgspec import Meta


NotNegative = Annotated[float, Meta(ge=0, le=1e18, extra={"expected": "a number, at least 0"})]

#: A share of samples or of a value.
_SHARE_PATTERN = r"^\s*(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?)\s*%\s*$"

_SHARE = {"expected": 'a percentage ("95%", at most "100%")'}

Finite = Annotated[float, Meta(ge=-1e18, le=1e18, extra={"expected": "a number"})]

_FROM_0_TO_1 = {"expected": 'a percentage ("95%") or a number from 0 to 1'}

Share = Annotated[str, Meta(pattern=_SHARE_PATTERN, extra=_SHARE)]

ShareOrNumber = (
    Annotated[str, Meta(pattern=_SHARE_PATTERN, extra=_FROM_0_TO_1)]
    | Annotated[float, Meta(ge=0, le=1, extra=_FROM_0_TO_1)]
)
