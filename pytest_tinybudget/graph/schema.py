"""The TF Lite schema as data (``schema.json``): tables, enumerations, operators, their options."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pytest_tinybudget.graph.flatbuffer import SCALAR_CODES
from pytest_tinybudget.graph.flatbuffer import TableType


class OptionsType(Struct, frozen=True):
    """An options table: per field its name and its type in the schema's words."""

    table: TableType
    fields: tuple[tuple[str, str], ...]


class Schema(Struct, frozen=True):
    """Schema version 3. ``operators`` are indexed by builtin code, unions by their type number.

    ``operator_options`` gives the options table a builtin operator reads; operators without
    an entry have none.
    """

    operators: tuple[str, ...]
    operator_options: Mapping[str, str]
    builtin_options: tuple[str, ...]
    builtin_options_2: tuple[str, ...]
    enums: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, TableType]
    options: Mapping[str, OptionsType]


@cache
def load_schema() -> Schema:
    """The schema that ships with the package, read once."""
    data = msgspec.json.decode(Path(__file__).with_name("schema.json").read_bytes())
    codes = SCALAR_CODES | {
        name: SCALAR_CODES[enum["base"]] for name, enum in data["enums"].items()
    }
    tables = {name: _table(name, fields, codes) for name, fields in data["tables"].items()}
    return Schema(
        operators=tuple(data["operators"]),
        operator_options=data["operator_options"],
        builtin_options=tuple(data["builtin_options"]),
        builtin_options_2=tuple(data["builtin_options_2"]),
        enums={name: tuple(enum["names"]) for name, enum in data["enums"].items()},
        tables=tables,
        options={
            name: OptionsType(tables[name], tuple((field[0], field[1]) for field in fields))
            for name, fields in data["tables"].items()
            if name.endswith("Options")
        },
    )


def _table(name: str, fields: list[list[Any]], codes: Mapping[str, str]) -> TableType:
    """A table of ``[name, type]`` or ``[name, type, default]`` fields."""
    absent = {"bool": False, "float": 0.0}
    return TableType(
        name=name,
        codes=tuple(codes.get(field[1], "I") for field in fields),
        defaults=tuple(field[2] if len(field) > 2 else absent.get(field[1], 0) for field in fields),
        references=tuple(field[1] not in codes for field in fields),
    )
