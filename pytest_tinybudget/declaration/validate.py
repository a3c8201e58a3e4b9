"""Checks the shape of a declaration: types, keys and patterns."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from typing import TypeVar

import msgspec

from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.schema.document import Document
from pytest_tinybudget.declaration.schema.present import converted


def validated(document: dict[str, Any], problems: Problems) -> Document:
    """``document`` as a typed object. Wrong values are noted in ``problems`` and left out."""
    with suppress(msgspec.ValidationError):
        return converted(document)
    from pytest_tinybudget.declaration.mistakes import sound_part

    sound = sound_part(Document, document, (), problems)
    try:
        return converted(sound)
    except msgspec.ValidationError as error:
        # All values were checked: this is a bug of this package, told in a line, never a pass.
        problems.add((), f"is not valid: {error}")
        return Document()


_Checked = TypeVar("_Checked", bound=msgspec.Struct)


def checked(
    struct: type[_Checked], table: Mapping[str, Any], keys: KeyPath, problems: Problems
) -> _Checked | None:
    """``table`` as a ``struct``; ``None`` where it is wrong, which is noted in ``problems``."""
    with suppress(msgspec.ValidationError):
        return msgspec.convert(table, struct)
    from pytest_tinybudget.declaration.mistakes import sound_part

    count = len(problems.found)
    sound_part(struct, dict(table), keys, problems)
    if len(problems.found) == count:  # a bug of this package, told in a line, never a pass
        problems.add(keys, "is not valid")
    return None
