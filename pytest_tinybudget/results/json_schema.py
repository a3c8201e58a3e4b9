"""The JSON Schema of the results file, from the types that the strict reader checks with."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_tinybudget.results.file import strict_file


DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "Results of pytest-tinybudget"


def json_schema() -> dict[str, Any]:
    """What the writer writes: every field, and no other.

    Readers take less: a file of an older version is without the newer fields, and one of a newer
    version has fields that are not known here.
    """
    (reference,), components = msgspec.json.schema_components(
        (strict_file(),), ref_template="#/$defs/{name}"
    )
    definitions = {name: closed(each) for name, each in sorted(components.items())}
    document = definitions.pop(reference["$ref"].rpartition("/")[2])
    return {"$schema": DIALECT, **document, "title": _TITLE, "$defs": definitions}


def closed(node: Any) -> Any:
    """``node`` with all fields required and no others, without msgspec's titles and defaults."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: closed(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and key != "default"
    }
    properties = found.get("properties")
    if found.get("type") == "object" and properties:
        found |= {"required": sorted(properties), "additionalProperties": False}
    if found.get("format") == "date":  # validators do not check formats
        found["pattern"] = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
    return found
