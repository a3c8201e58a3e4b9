"""Every constraint of a declaration's schema, broken one by one: each is told in one plain line.

The schema is walked, so that a key that is added tomorrow is looked at as well.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import Literal
from typing import get_args
from typing import get_origin

import msgspec
import pytest
import tomlkit
from campaigns import every

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.keys import documented_fields
from pytest_tinybudget.declaration.mistakes import _example
from pytest_tinybudget.declaration.mistakes import _metas
from pytest_tinybudget.declaration.mistakes import _parts
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.schema.document import OPERATORS
from pytest_tinybudget.declaration.schema.document import Document
from pytest_tinybudget.declaration.schema.present import converted
from pytest_tinybudget.declaration.validate import validated


Keys = tuple[str, ...]

#: What no type but one takes; ``None`` is no value of TOML.
_OF_EVERY_TYPE: tuple[Any, ...] = (
    *("\x01", "", 7, -7, 10**30, 0.123456789, math.nan, math.inf, True, False),
    *(
        datetime.date(1999, 1, 2),
        datetime.time(1, 2),
        [],
        ["\x01"],
        [[]],
        {},
        {"odd": []},
        {"odd key": {}},
    ),
)


def _structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    for part in _parts(hint):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            yield part


def _places(struct: type[msgspec.Struct], keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every key that the schema knows, with its type; tables by name are called ``x``."""
    for field in documented_fields(struct):
        here = (*keys, *field.encode_name.split(".")) if not keys else (*keys, field.encode_name)
        yield here, field.type
        yield from _below(field.type, here)


def _below(hint: Any, here: Keys) -> Iterator[tuple[Keys, Any]]:
    for struct in _structs(hint):
        yield from _places(struct, here)
    for part in _parts(hint):
        if get_origin(part) is dict:
            yield (*here, "x"), get_args(part)[1]
            yield from _below(get_args(part)[1], (*here, "x"))
        elif get_origin(part) is list:
            yield (*here, "0"), get_args(part)[0]
            yield from _below(get_args(part)[0], (*here, "0"))


PLACES = dict(_places(Document))


def _candidates(hint: Any) -> Iterator[Any]:
    """Values that break each constraint of ``hint`` alone, then some of every other type."""
    for meta in _metas(hint):
        for bound, step in ((meta.ge, -1), (meta.le, 1), (meta.gt, 0), (meta.lt, 0)):
            if bound is not None:
                yield bound + step
                yield float(bound) + step
        if meta.pattern is not None:
            yield from ("\x01", "!", "")
    for part in _parts(hint):
        if get_origin(part) is Literal:
            yield from ("no such choice", 10**6)
    yield from _of_wrong_length(hint)
    yield from _OF_EVERY_TYPE


def _of_wrong_length(hint: Any) -> Iterator[Any]:
    """Lists and texts that are sound but for their length."""
    example = _example(hint)
    for meta in _metas(hint):
        lengths = []
        if meta.min_length is not None:
            lengths.append(meta.min_length - 1)
        if meta.max_length is not None:
            lengths.append(meta.max_length + 1)
        for length in lengths:
            if isinstance(example, list):
                yield (example * (length + 1))[:length]
            elif isinstance(example, str):
                yield ("a" * (length + 1))[:length]


def _breaking(hint: Any) -> list[Any]:
    return [value for value in _candidates(hint) if not _fits(value, hint)]


def _fits(value: Any, hint: Any) -> bool:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _document(keys: Keys, value: Any) -> dict[str, Any]:
    """A document with ``value`` at ``keys``; what a table on the way must have is there."""
    content: Any = value
    for depth in range(len(keys) - 1, -1, -1):
        if keys[depth].isdigit():
            lengths = (meta.min_length for meta in _metas(PLACES[keys[:depth]]) if meta.examples)
            content = [content] * max((length for length in lengths if length), default=1)
        else:
            content = {**_required(keys[:depth]), keys[depth]: content}
    assert isinstance(content, dict)
    return content


def _required(keys: Keys) -> dict[str, Any]:
    """The required keys of the struct at ``keys``, with their examples."""
    structs = [Document] if not keys else list(_structs(PLACES.get(keys)))
    return {
        field.encode_name: _example(field.type)
        for struct in structs
        for field in documented_fields(struct)
        if field.required
    }


def _told(document: dict[str, Any], folder: Path) -> tuple[list[str], list[str]]:
    """The lines of the errors of ``document``, and those of its text."""
    path = folder / "tinybudget.toml"
    text = tomlkit.dumps(document)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        load_declaration(path)
    assert caught.value.code == "TB200"
    return str(caught.value).splitlines(), text.splitlines()


def test_the_walk_reaches_every_kind_of_constraint() -> None:
    kinds = {
        kind
        for hint in PLACES.values()
        for meta in _metas(hint)
        for kind in ("ge", "gt", "le", "lt", "pattern", "min_length", "max_length")
        if getattr(meta, kind) is not None
    }
    assert kinds == {"ge", "gt", "le", "lt", "pattern", "min_length", "max_length"}
    assert ("models", "x", "layers", "0", "padding") in PLACES
    assert ("runtime", "ops", "x", "flash") in PLACES


@pytest.mark.parametrize(
    "keys", every(4, [pytest.param(keys, id=".".join(keys)) for keys in PLACES])
)
def test_each_broken_constraint_is_one_line_with_place_expected_and_found(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    breaking = _breaking(PLACES[keys])
    assert breaking, "something must be wrong here"
    for value in breaking:
        lines, text = _told(_document(keys, value), tmp_path)
        about = [line for line in lines if re.match(r"tinybudget\.toml:\d+: ", line)]
        assert any(_says(line, keys, text) for line in about), f"{value!r}: {lines}"
        assert not any("Object" in line or "`$" in line for line in lines), lines


def _says(line: str, keys: Keys, text: list[str]) -> bool:
    """Whether ``line`` is about what is wrong at ``keys`` or inside it, at its line.

    Of a number in a list that may be a number itself, the list is named.
    """
    found = re.match(r"tinybudget\.toml:(\d+): (.*)", line)
    if found is None:
        return False
    if keys[-2:] == ("0", "0"):
        keys = keys[:-1]
    names = ["odd", *(key for key in keys if not key.isdigit())]
    here = text[int(found[1]) - 1]
    return (
        re.sub(r"\[(\d+)\]", r".\1", found[2]).startswith(".".join(keys))
        and any(word in found[2] for word in (": expected ", ": unknown key ", " is missing"))
        and any(name in here for name in names)
    )


@pytest.mark.parametrize("keys", PLACES, ids=".".join)
def test_what_is_wrong_is_left_out_and_the_rest_kept(keys: Keys, tmp_path: Path) -> None:
    for value in _breaking(PLACES[keys]):
        document = _document(keys, value)
        if keys[:2] == ("runtime", "ops"):
            document = {OPERATORS: document["runtime"]["ops"]}
        problems = Problems(tmp_path / "tinybudget.toml")
        assert isinstance(validated(document, problems), Document)
        assert problems.found
        assert all("is not valid: " not in problem.text for problem in problems.found), value


def test_a_declaration_is_the_same_by_the_types_of_its_keys_and_by_all() -> None:
    for keys, hint in PLACES.items():
        values = [*_breaking(hint)[:1], *([] if _example(hint) is None else [_example(hint)])]
        for value in values:
            document = _document(keys, value)
            if keys[:2] == ("runtime", "ops"):
                document = {OPERATORS: document["runtime"]["ops"]}
            try:
                expected = msgspec.convert(document, Document)
            except msgspec.ValidationError:
                with pytest.raises(msgspec.ValidationError):
                    converted(document)
            else:
                assert converted(document) == expected, document


def test_four_numbers_of_an_input_shape_are_told_as_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tinybudget.toml"
    path.write_text(
        "[models.plan]\n"
        'boards = ["esp32"]\n'
        "input_shape = [1, 16, 16, 1]\n"
        'layers = [{ type = "dense", units = 4 }]\n',
        encoding="utf-8",
    )
    with pytest.raises(DeclarationError) as caught:
        load_declaration(path)
    told, example = str(caught.value).splitlines()
    assert told == (
        "tinybudget.toml:3: models.plan.input_shape: expected a list of 1 to 3 elements, "
        "each a whole number from 1 to 65536, found [1, 16, 16, 1]"
    )
    assert example == "    example: input_shape = [16, 16, 1]"


def test_an_example_stands_with_each_key_and_is_right() -> None:
    for keys, hint in PLACES.items():
        if (example := _example(hint)) is not None:
            msgspec.convert(example, hint, strict=not isinstance(example, str)), keys
