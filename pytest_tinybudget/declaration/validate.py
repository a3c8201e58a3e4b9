"""The shape of a declaration, checked value by value so that no error hides another."""

from __future__ import annotations

import datetime
import types
from collections.abc import Iterator
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Union
from typing import get_args
from typing import get_origin

import msgspec

from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.problems import abbreviated
from pytest_tinybudget.declaration.problems import dotted
from pytest_tinybudget.declaration.problems import toml_value
from pytest_tinybudget.declaration.schema import OPERATORS
from pytest_tinybudget.declaration.schema import Document
from pytest_tinybudget.declaration.schema import Name
from pytest_tinybudget.nearest import nearest


def validated(document: dict[str, Any], problems: Problems) -> Document:
    """``document`` typed; what is wrong goes to ``problems`` and is left out."""
    try:
        return msgspec.convert(document, Document)
    except msgspec.ValidationError:
        return msgspec.convert(_table(Document, document, (), problems), Document)


def _table(
    struct: type[msgspec.Struct], table: dict[str, Any], keys: KeyPath, problems: Problems
) -> dict[str, Any]:
    """The part of ``table`` that fits ``struct``."""
    fields = _own_first(struct)
    fitting = {}
    for key, value in table.items():
        here = (*keys, *key.split(".")) if key == OPERATORS else (*keys, key)
        if key not in fields:
            text = f"unknown key {key!r} in {_section(keys)}"
            problems.add(here, text, name=key, valid=fields, example=_example_of(fields, key))
            continue
        kept = _value(fields[key].type, value, here, problems)
        if kept is not msgspec.UNSET:
            fitting[key] = kept
    for field in fields.values():
        if field.required and field.encode_name not in table:
            example = f"{field.encode_name} = {toml_value(_example(field.type))}"
            problems.add(keys, f"{field.encode_name!r} is missing", example=example)
    return fitting


def _own_first(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of ``struct`` by key; what it says itself stands before what it inherits."""
    inherited = getattr(struct.__base__, "__struct_fields__", ())
    fields = sorted(msgspec.structs.fields(struct), key=lambda field: field.name in inherited)
    return {field.encode_name: field for field in fields}


def _value(hint: Any, value: Any, keys: KeyPath, problems: Problems) -> Any:
    """``value`` where it fits the type ``hint``, else ``UNSET`` and a problem noted."""
    struct, named = _struct_in(hint)
    if struct is not None and isinstance(value, dict):
        count = len(problems.found)
        if named:
            return _tables(struct, value, keys, problems)
        fitting = _table(struct, value, keys, problems)
        # A table that lacks a required key would not convert.
        incomplete = len(problems.found) > count and _has_required(struct)
        return msgspec.UNSET if incomplete else fitting
    element = _element(hint)
    if element is not None and isinstance(value, list) and value:
        table, _ = _struct_in(element)
        if table is not None and all(isinstance(item, dict) for item in value):
            return _array_of_tables(table, value, keys, problems)
        example = _example(hint)
        elements = [
            _leaf(element, item, (*keys, str(index)), example, problems)
            for index, item in enumerate(value)
        ]
        return [item for item in elements if item is not msgspec.UNSET] or msgspec.UNSET
    return _leaf(hint, value, keys, _example(hint), problems)


def _tables(
    struct: type[msgspec.Struct], tables: dict[str, Any], keys: KeyPath, problems: Problems
) -> dict[str, Any]:
    """Those tables of ``[section.NAME]`` form that fit."""
    fitting = {}
    for name, table in tables.items():
        here = (*keys, name)
        if not name or (keys != ("runtime", "ops") and not _fits(Name, name)):
            problems.add(
                here,
                f"expected {next(_expected(Name))}, found {name!r}",
                example=f"[{keys[0]}.kws-v2]",
            )
        elif not isinstance(table, dict):
            text = f"expected a table, found {abbreviated(table)}"
            problems.add(here, text, example=f"[{keys[0]}.{name}]")
        else:
            fitting[name] = _table(struct, table, here, problems)
    return fitting


def _array_of_tables(
    struct: type[msgspec.Struct], tables: list[Any], keys: KeyPath, problems: Problems
) -> Any:
    """Tables of ``[[section.NAME.key]]`` form; ``UNSET`` where one does not fit."""
    count = len(problems.found)
    fitting = [
        _table(struct, table, (*keys, str(index)), problems) for index, table in enumerate(tables)
    ]
    return fitting if len(problems.found) == count else msgspec.UNSET


def _leaf(hint: Any, value: Any, keys: KeyPath, example: Any, problems: Problems) -> Any:
    """``value`` where it fits ``hint``, else ``UNSET``; ``example`` is for the whole key."""
    if _fits(hint, value):
        return value
    choices = tuple(_choices(hint))
    is_misspelt = isinstance(value, str) and bool(nearest(value, choices))
    key = keys[-2] if keys[-1].isdigit() else keys[-1]
    problems.add(
        keys,
        f"expected {' or '.join(dict.fromkeys(_expected(hint)))}, found {abbreviated(value)}",
        name=value if is_misspelt else "",
        valid=choices if is_misspelt else (),
        example=f"{key} = {toml_value(example)}" if example is not None else f"[{key}]",
    )
    return msgspec.UNSET


def _fits(hint: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _section(keys: KeyPath) -> str:
    return f"[{dotted(keys)}]" if keys else "the file"


def _example_of(fields: dict[str, msgspec.structs.FieldInfo], key: str) -> str:
    """The example of the field that ``key`` was probably meant to be."""
    for name in nearest(key, fields, count=1):
        example = _example(fields[name].type)
        return f"{name} = {toml_value(example)}" if example is not None else f"[{name}]"
    return ""


# What a type hint says: walked here, because msgspec's own messages name Python types.


def _parts(hint: Any) -> Iterator[Any]:
    """``hint``, then everything that it annotates or unites."""
    yield hint
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _parts(get_args(hint)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _parts(member)


def _metas(hint: Any) -> Iterator[msgspec.Meta]:
    for part in _parts(hint):
        if get_origin(part) is Annotated:
            yield from (note for note in part.__metadata__ if isinstance(note, msgspec.Meta))


def _example(hint: Any) -> Any:
    return next((meta.examples[0] for meta in _metas(hint) if meta.examples), None)


def _choices(hint: Any) -> Iterator[str]:
    for part in _parts(hint):
        if get_origin(part) is Literal:
            yield from (choice for choice in get_args(part) if isinstance(choice, str))


def _element(hint: Any) -> Any:
    """The type of a list's elements; ``None`` for what is no list."""
    lists = (get_args(part)[0] for part in _parts(hint) if get_origin(part) is list)
    return next(lists, None)


def _struct_in(hint: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct that a table at ``hint`` must fit, and whether it is one of many by name."""
    for part in _parts(hint):
        if get_origin(part) is dict:
            return get_args(part)[1], True
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return part, False
    return None, False


def _has_required(struct: type[msgspec.Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(struct))


_PLAIN = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    datetime.date: "a date",
}


def _expected(hint: Any) -> Iterator[str]:
    """What fits ``hint``, in a user's words."""
    origin = get_origin(hint)
    if origin is Annotated:
        notes = (note for note in hint.__metadata__ if isinstance(note, msgspec.Meta))
        words = [note.extra["expected"] for note in notes if note.extra]
        yield from words[:1] or _expected(get_args(hint)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _expected(member)
    elif origin is Literal:
        yield from map(toml_value, get_args(hint))
    elif origin is list:
        yield f"a list with {' or '.join(_expected(get_args(hint)[0]))} as elements"
    elif origin is dict or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        yield "a table"
    elif hint is not type(None):
        yield _PLAIN[hint]
