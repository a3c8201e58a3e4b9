"""What a field of a struct means and how it stands in a JSON file, said once, at the field.

A struct whose values are written to a file annotates its fields with ``about``, or with ``size``,
``integer`` or ``absent``. The writer, the strict reader, the JSON Schema and the reference pages
all come from that (``results/form.py``).
"""

from __future__ import annotations

from typing import Any

from msgspec import Meta
from msgspec import Struct


#: The largest integer that every reader of JSON takes exactly.
LARGEST = 2**53

_KEY = "field"


class About(Struct, frozen=True):
    """How a field stands in a file, where that is not simply under its own name.

    Args:
        at: ``"object.name"``, where it is in an object with others; ``"object?.name"`` where that
            object is null while all its fields are empty.
        null: Whether an empty text is null in the file.
        pattern: What a text that is not null must match, a regular expression.
        always: Whether every file has it, though the struct has a default. A field that is newer
            than the format's first version has a default and is not in every file.
        absent: Whether it is not in the file at all.
        largest_first: The keys that sort a list in the file: by the first falling, then the
            second.
    """

    at: str = ""
    null: bool = False
    pattern: str | None = None
    always: bool = False
    absent: bool = False
    largest_first: tuple[str, str] | None = None


def about(description: str, *, least: int | None = None, **how: Any) -> Meta:
    """A field with its ``description``, for annotations.

    Args:
        description: What the field holds, with its unit; ends up in the schema and the docs.
        least: The smallest value of an integer.
        how: The arguments of ``About``.
    """
    most = None if least is None else LARGEST
    return Meta(description=description, ge=least, le=most, extra={_KEY: About(**how)})


def size(description: str, **how: Any) -> Meta:
    """A field that holds a number of bytes, at least 0."""
    return about(description, least=0, **how)


def integer(description: str, **how: Any) -> Meta:
    """A field that holds a whole number of either sign."""
    return about(description, least=-LARGEST, **how)


def absent(description: str) -> Meta:
    """A field that is not in the file."""
    return about(description, absent=True)


def about_in(meta: Meta) -> About | None:
    """What ``about`` noted in ``meta``; ``None`` where another hand made it."""
    return (meta.extra or {}).get(_KEY)
