"""Finds all that is wrong with the values of a declaration, so that no error hides another."""

from __future__ import annotations

import datetime
import types
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Union
from typing import get_args
from typing import get_origin

import msgspec

from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.declaration.keys import documented_fields
from pytest_tinybudget.declaration.keys import other_names
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.problems import abbreviated
from pytest_tinybudget.declaration.problems import dotted
from pytest_tinybudget.declaration.problems import toml_value
from pytest_tinybudget.declaration.schema.document import OPERATORS
from pytest_tinybudget.declaration.schema.document import Document


def sound_part(
    struct: type[msgspec.Struct], table: dict[str, Any], keys: KeyPath, problems: Problems
) -> dict[str, Any]:
    """The part of ``table`` that fits ``struct``."""
    fields = _own_first(struct)
    fitting = {}
    for key, value in table.items():
        here = (*keys, *key.split(".")) if key == OPERATORS else (*keys, key)
        if key not in fields:
            text = f"unknown key {key!r} in {_section(keys)}"
            elsewhere = _sections().get(key)
            meant = other_names(struct.__name__).get(key.casefold())
            if meant is not None:
                example = _example_of(fields, meant)
                problems.add(here, f"{text}; did you mean {meant!r}?", example=example)
            elif elsewhere:
                problems.add(here, f"{text}; it is a key of {elsewhere}")
            else:
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
    """The fields of ``struct`` by key, its own before the inherited ones."""
    inherited = getattr(struct.__base__, "__struct_fields__", ())
    fields = sorted(documented_fields(struct), key=lambda field: field.name in inherited)
    return {field.encode_name: field for field in fields}


def _value(hint: Any, value: Any, keys: KeyPath, problems: Problems) -> Any:
    """``value`` where it fits the type ``hint``, else ``UNSET`` and a problem noted.

    Wrong parts of a table or list are noted, and the others are kept.
    """
    count = len(problems.found)
    kept = _members(hint, value, keys, problems)
    if kept is msgspec.UNSET or _fits(hint, kept):
        return kept
    if len(problems.found) > count:
        return msgspec.UNSET  # without what is wrong in it, it is not whole
    # Each part fits, but their number does not.
    return _leaf(hint, value, keys, _example(hint), problems)


def _members(hint: Any, value: Any, keys: KeyPath, problems: Problems) -> Any:
    """The parts of ``value`` that fit; ``UNSET`` where none does or it has another type."""
    if isinstance(value, dict):
        named = _named_in(hint)
        if named is not None:
            return _tables(named, value, keys, problems)
        struct = _struct_in(hint)
        if struct is not None:
            return sound_part(struct, value, keys, problems)
    element = _element(hint)
    if element is not None and isinstance(value, list) and value:
        if _struct_in(element) is not None and all(isinstance(item, dict) for item in value):
            return _array_of_tables(element, value, keys, problems)
        example = _example(hint)
        named = _struct_in(element) is not None
        elements = [
            _value(element, item, (*keys, str(index)), problems)
            if named and isinstance(item, dict)
            else _leaf(element, item, (*keys, str(index)), example, problems)
            for index, item in enumerate(value)
        ]
        return [item for item in elements if item is not msgspec.UNSET] or msgspec.UNSET
    return _leaf(hint, value, keys, _example(hint), problems)


def _tables(hint: Any, tables: dict[str, Any], keys: KeyPath, problems: Problems) -> dict[str, Any]:
    """Those tables of ``[section.NAME]`` form whose name and content fit the ``dict`` ``hint``."""
    of_name, of_table = get_args(hint)
    fitting = {}
    for name, table in tables.items():
        here = (*keys, name)
        if not _fits(of_name, name):
            expected = " or ".join(_expected(of_name))
            section = f"[{dotted(keys)}.kws-v2]"
            problems.add(here, f"expected {expected}, found {name!r}", example=section)
        elif _struct_in(of_table) is not None and not isinstance(table, dict):
            text = f"expected a table, found {abbreviated(table)}"
            problems.add(here, text, example=f"[{dotted(here)}]")
        else:
            kept = _value(of_table, table, here, problems)
            if kept is not msgspec.UNSET:
                fitting[name] = kept
    return fitting


def _array_of_tables(hint: Any, tables: list[Any], keys: KeyPath, problems: Problems) -> Any:
    """Tables of ``[[section.NAME.key]]`` form; ``UNSET`` where one does not fit."""
    count = len(problems.found)
    fitting = [
        _value(hint, table, (*keys, str(index)), problems) for index, table in enumerate(tables)
    ]
    return fitting if len(problems.found) == count else msgspec.UNSET


def _leaf(hint: Any, value: Any, keys: KeyPath, example: Any, problems: Problems) -> Any:
    """``value`` where it fits ``hint``, else ``UNSET``; ``example`` is for the whole key."""
    if _fits(hint, value):
        return value
    text = f"expected {' or '.join(dict.fromkeys(_expected(hint)))}, found {abbreviated(value)}"
    key = keys[-2] if keys[-1].isdigit() else keys[-1]
    meant = _meant(hint, value)
    if meant:
        example = f"{key} = {toml_value(meant)}"
        problems.add(keys, f"{text}; did you mean {meant!r}?", example=example)
        return msgspec.UNSET
    choices = tuple(_choices(hint))
    near = nearest(value, choices) if isinstance(value, str) else []
    example = near[0] if near else example
    problems.add(
        keys,
        text,
        name=value if near else "",
        valid=choices if near else (),
        example=f"{key} = {toml_value(example)}" if example is not None else f"[{key}]",
    )
    return msgspec.UNSET


def _meant(hint: Any, value: Any) -> str:
    """The choice that people know as ``value``; empty where nobody does."""
    extras = [each.extra for each in _metas(hint) if each.extra]
    names = [other_names(each["other_names"]) for each in extras if "other_names" in each]
    return names[0].get(value.casefold(), "") if names and isinstance(value, str) else ""


def _fits(hint: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _section(keys: KeyPath) -> str:
    return f"[{dotted(keys)}]" if keys else "the file"


@cache
def _sections() -> Mapping[str, str]:
    """The sections that may have each key: ``"[defaults] or [boards.NAME]"``."""
    found: dict[str, list[str]] = {}
    for section in msgspec.structs.fields(Document):
        named = _named_in(section.type)
        struct = _struct_in(get_args(named)[1] if named is not None else section.type)
        for key in msgspec.structs.fields(struct) if struct is not None else ():
            name = f"[{section.encode_name}{'.NAME' if named is not None else ''}]"
            found.setdefault(key.encode_name, []).append(name)
    return {key: " or ".join(names) for key, names in found.items()}


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
    """The type of a list's elements; ``None`` where ``hint`` is no list."""
    lists = (get_args(part)[0] for part in _parts(hint) if get_origin(part) is list)
    return next(lists, None)


def _named_in(hint: Any) -> Any:
    """The ``dict`` in ``hint``, whose keys the user names; ``None`` where there is none."""
    return next((part for part in _parts(hint) if get_origin(part) is dict), None)


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that a table at ``hint`` must fit."""
    for part in _parts(hint):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return part
    return None


_PLAIN = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    datetime.date: "a date",
}


def _expected(hint: Any) -> Iterator[str]:
    """The values that fit ``hint``, in words for users."""
    origin = get_origin(hint)
    if origin is Annotated:
        notes = [note for note in hint.__metadata__ if isinstance(note, msgspec.Meta)]
        words = [note.extra["expected"] for note in notes if note.extra]
        most = next((note.max_length for note in notes if note.max_length is not None), None)
        inner = get_args(hint)[0]
        if get_origin(inner) is list and most is not None:
            least = max((note.min_length or 0 for note in notes), default=0)
            count = f"{least} to {most}" if least < most else str(most)
            words = [f"a list of {count} elements, each {_element_words(inner)}"]
        yield from words[:1] or _expected(inner)
    elif origin in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _expected(member)
    elif origin is Literal:
        yield from map(toml_value, get_args(hint))
    elif origin is list:
        yield f"a list with {_element_words(hint)} as elements"
    elif origin is dict or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        yield "a table"
    elif hint is not type(None):
        yield _PLAIN[hint]


def _element_words(hint: Any) -> str:
    return " or ".join(_expected(get_args(hint)[0]))
