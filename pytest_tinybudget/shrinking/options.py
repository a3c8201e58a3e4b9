"""How a model is shrunk: what stays, and which changes are not made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from typing import get_args

from msgspec import Struct

from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.runtimes.firmware import Firmware


#: What may be kept although no interpreter needs it.
Kept = Literal["names", "signatures", "metadata"]
KEPT: tuple[Kept, ...] = get_args(Kept)

#: The changes that can be switched off one by one.
Rewrite = Literal[
    "bias-scales",
    "equal-constants",
    "constants",
    "reshapes",
    "quantize-pairs",
    "unread-operators",
    "order",
    "plan",
]
REWRITES: tuple[Rewrite, ...] = get_args(Rewrite)


class ShrinkOptions(Struct, frozen=True):
    """How a model is shrunk.

    Attributes:
        keep: What stays although no interpreter needs it.
        without: The changes that are not made.
    """

    keep: tuple[Kept, ...] = ()
    without: tuple[Rewrite, ...] = ()


class ShrinkRequest(Struct, frozen=True):
    """That a declared model is to be shrunk, and for what.

    Attributes:
        options: How.
        firmwares: By board what it is built into; none where no memory plan may be written.
        no_plan: Why none may be written; empty where one may.
    """

    options: ShrinkOptions = ShrinkOptions()
    firmwares: tuple[tuple[str, Firmware], ...] = ()
    no_plan: str = ""


def shrink_options(keep: Iterable[str] = (), without: Iterable[str] = ()) -> ShrinkOptions:
    """The options with these names.

    Raises:
        TinybudgetError: there is no such name.
    """
    kept, left_out = set(keep), set(without)
    for given, names, what in (
        (kept, KEPT, "part to keep"),
        (left_out, REWRITES, "change to leave out"),
    ):
        for each in sorted(given.difference(names)):
            raise unknown(what, each, names)
    return ShrinkOptions(
        tuple(each for each in KEPT if each in kept),
        tuple(each for each in REWRITES if each in left_out),
    )
