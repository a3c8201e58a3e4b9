"""Names and texts, which most tables have."""

from typing import Annotated

from msgspec import Meta


#: Models, boards, groups and runtimes: they become parts of node ids and file names.
NAME_PATTERN = r"^[A-Za-z0-9._-]+$(?!\n)"

_NAME = {"expected": "a name of letters, digits, '.', '_' and '-'"}

Name = Annotated[str, Meta(pattern=NAME_PATTERN, extra=_NAME)]

BoardIds = Annotated[
    list[Name],
    Meta(
        description="boards by id: the catalog's (`tinybudget boards`) or own ones",
        examples=[["arduino-nano-33-ble", "raspberry-pi-pico"]],
        min_length=1,
    ),
]

Text = Annotated[str, Meta(min_length=1, extra={"expected": "text"})]
