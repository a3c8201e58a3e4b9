"""Reads a declaration by the types of the keys that it has, and of no others.

Most declarations have few of the keys that there are. What comes out is what ``msgspec.convert``
makes by the types of all of them.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from typing import Any
from typing import TypeVar

import msgspec
from msgspec import UNSET
from msgspec import Struct

from pytest_tinybudget.declaration.schema import document
from pytest_tinybudget.declaration.schema.document import DefaultsTable
from pytest_tinybudget.declaration.schema.document import Document
from pytest_tinybudget.declaration.schema.document import ModelTable


_Table = TypeVar("_Table", bound=Struct)


def converted(content: dict[str, Any]) -> Document:
    """``content``, what a file has, as a typed object.

    Raises:
        msgspec.ValidationError: it has an unknown key, or a value of another type.
    """
    models, defaults = content.get("models"), content.get("defaults")
    named = models.values() if isinstance(models, dict) else ()
    types = {
        "ModelTable": _of_keys(ModelTable, _keys_of(named)),
        "DefaultsTable": _of_keys(DefaultsTable, _keys_of([defaults])),
    }
    found = msgspec.convert(content, _of_keys(Document, content, types))
    sections = _given(found)
    if "models" in sections:
        tables = sections["models"].items()
        sections["models"] = {name: ModelTable(**_given(table)) for name, table in tables}
    if "defaults" in sections:
        sections["defaults"] = DefaultsTable(**_given(sections["defaults"]))
    return Document(**sections)


def _keys_of(tables: Iterable[Any]) -> set[str]:
    return {key for table in tables if isinstance(table, dict) for key in table}


def _of_keys(
    table: type[Struct], keys: Collection[str], types: dict[str, Any] | None = None
) -> type[Struct]:
    """A struct like ``table`` with no other fields than those of ``keys``.

    ``types`` stand in for what annotations name so.
    """
    texts: dict[str, str] = {}
    for each in reversed(table.__mro__):
        texts.update(getattr(each, "__annotations__", {}))
    fields = [
        (name, _evaluated(texts[name], types), msgspec.field(default=UNSET, name=key))
        for name, key in zip(table.__struct_fields__, table.__struct_encode_fields__, strict=True)
        if key in keys
    ]
    return msgspec.defstruct(table.__name__, fields, forbid_unknown_fields=True)


def _evaluated(annotation: str, types: dict[str, Any] | None) -> Any:
    return eval(annotation, vars(document), types)  # noqa: S307 - a text in ``document``


def _given(table: Struct) -> dict[str, Any]:
    """The fields of ``table`` that the file gives."""
    found = msgspec.structs.asdict(table)
    return {name: value for name, value in found.items() if value is not UNSET}
