"""What the documentation says of each key of a declaration, and a valid value of it.

It stands in ``data/keys.toml``, beside the types in ``schema``: a run whose declaration is right
needs the types alone, and to make them with these texts took it twice as long.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated
from typing import Any

import msgspec
from msgspec.structs import FieldInfo
from msgspec.structs import replace

from pytest_tinybudget.declaration.toml import parse


def documented_fields(table: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    """The fields of ``table``; their types have a ``Meta`` with the description and an example."""
    return tuple(_documented(table, field) for field in msgspec.structs.fields(table))


def texts_of(table: type[msgspec.Struct], name: str) -> dict[str, Any]:
    """``description`` and ``examples`` of the field ``name``; empty where its type has them."""
    for each in table.__mro__:
        found = _texts().get(each.__name__, {}).get(name)
        if found is not None:
            return {"description": found["description"], "examples": [found["example"]]}
    return {}


def _documented(table: type[msgspec.Struct], field: FieldInfo) -> FieldInfo:
    texts = texts_of(table, field.name)
    if not texts:
        return field
    return replace(field, type=Annotated[field.type, msgspec.Meta(**texts)])


def other_names(kind: str) -> dict[str, str]:
    """What people call keys of the struct ``kind``, or values of that kind, and what is meant."""
    return dict(_data("other_names").get(kind, {}))


def _texts() -> dict[str, Any]:
    return _data("keys")


@cache
def _data(name: str) -> dict[str, Any]:
    file = Path(__file__).parent / "data" / f"{name}.toml"
    return parse(file.read_text(encoding="utf-8"))
