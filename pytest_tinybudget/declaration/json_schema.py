"""Makes the JSON Schema of a ``tinybudget.toml``, by which editors complete and check keys."""

from __future__ import annotations

from pkgutil import iter_modules
from typing import Any

import msgspec

from pytest_tinybudget.declaration import schema
from pytest_tinybudget.declaration.keys import texts_of
from pytest_tinybudget.declaration.schema.document import OPERATORS
from pytest_tinybudget.declaration.schema.document import Document


_TITLE = "tinybudget.toml"
_DEFINITION = "#/$defs/{name}"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """All that the loader checks of keys, types and patterns, as a JSON Schema.

    Only the loader checks what depends on other parts of the file or on the disk, such as names
    that must exist.
    """
    (reference,), components = msgspec.json.schema_components((Document,), ref_template=_DEFINITION)
    definitions = {name: _documented(name, _cleaned(each)) for name, each in components.items()}
    document = definitions.pop(reference["$ref"].rpartition("/")[2])
    _nest_operators(document["properties"])
    definitions["ModelTable"]["required"] = ["source"]
    definitions["GroupTable"]["required"] = ["models"]
    return {**document, "$schema": _DIALECT, "title": _TITLE, "$defs": definitions}


def _documented(name: str, table: dict[str, Any]) -> dict[str, Any]:
    """``table``, the definition of the struct ``name``, with what is said of each key."""
    struct = _struct(name)
    for field in msgspec.structs.fields(struct):
        table["properties"][field.encode_name].update(texts_of(struct, field.name))
    return table


def _struct(name: str) -> type[msgspec.Struct]:
    """The struct ``name`` in the modules of ``schema``."""
    modules = (getattr(schema, each.name) for each in iter_modules(schema.__path__))
    found: type[msgspec.Struct] = next(vars(each)[name] for each in modules if name in vars(each))
    return found


def _cleaned(node: Any) -> Any:
    """``node`` without what is of no use in an editor: class names, and ``null``.

    TOML has no null: an optional key is left out.
    """
    if isinstance(node, list):
        return [_cleaned(item) for item in node]
    if not isinstance(node, dict):
        return node
    cleaned = {key: _cleaned(value) for key, value in node.items() if not _is_noise(key, value)}
    members = cleaned.get("anyOf")
    if members is not None:
        members = [member for member in members if member != {"type": "null"}]
        cleaned["anyOf"] = members
        if len(members) == 1:
            del cleaned["anyOf"]
            cleaned = {**members[0], **cleaned}
    return cleaned


def _is_noise(key: str, value: Any) -> bool:
    return (
        (key == "title" and isinstance(value, str))
        or (key == "default" and (value is None or isinstance(value, dict)))
        or (key == "required" and value == [])
    )


def _nest_operators(sections: dict[str, Any]) -> None:
    """Put ``[runtime.ops]`` back where the file has it."""
    sections["runtime"]["properties"] = {"ops": sections.pop(OPERATORS)}
