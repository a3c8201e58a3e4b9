"""Public names say what they are: functions their arguments, types their fields."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Annotated
from typing import Any
from typing import get_args
from typing import get_origin
from typing import get_type_hints

import msgspec
import pytest

from pytest_tinybudget import api
from pytest_tinybudget import hooks
from pytest_tinybudget.baseline import comparison
from pytest_tinybudget.boards import board
from pytest_tinybudget.footprint import result
from pytest_tinybudget.footprint.operators import rule
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.graph import model
from pytest_tinybudget.results import types


#: The declared surface: what users call, and what hooks give to plugins and take from them.
PUBLIC = [
    each
    for module in (api, hooks)
    for each in (getattr(module, name) for name in module.__all__)
    if isinstance(each, (type, FunctionType))
]


def defined_in(module: Any) -> list[Any]:
    """The public types and functions of a module."""
    return [
        each
        for name, each in vars(module).items()
        if isinstance(each, (type, FunctionType))
        and each.__module__ == module.__name__
        and not name.startswith("_")
    ]


#: What users call, what hooks hand to plugins, what rules of operators see, and what results hold.
DOCUMENTED = list(
    dict.fromkeys(
        [
            *PUBLIC,
            *defined_in(model),
            *defined_in(board),
            *defined_in(comparison),
            *defined_in(result),
            *defined_in(types),
            *defined_in(rule),
            Trusted,
        ]
    )
)
TYPES = [each for each in DOCUMENTED if isinstance(each, type)]
FUNCTIONS = [each for each in DOCUMENTED if isinstance(each, FunctionType)]


def is_told(name: str, docstring: str | None) -> bool:
    """Whether a docstring has ``name``, as code or at the start of a line of a section."""
    return re.search(rf"``{name}``|^\s*{name}: \S", docstring or "", re.MULTILINE) is not None


def own_methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a type defines."""
    for name, member in vars(kind).items():
        if not name.startswith("_") and isinstance(member, (FunctionType, property)):
            yield name, member


def fields_with_docstrings(kind: type) -> set[str]:
    """Fields with a string below or a ``#:`` above, as documentation generators read them."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id
        for field, text in zip(body.body, [*body.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and (
            (isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant))
            or lines[field.lineno - 2].lstrip().startswith("#:")
        )
    }


def fields_with_descriptions(kind: type) -> set[str]:
    """Fields whose annotation has a description, from which the JSON Schema is made."""
    if not issubclass(kind, msgspec.Struct):
        return set()
    return {
        name
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if get_origin(hint) is Annotated
        and any(isinstance(meta, msgspec.Meta) and meta.description for meta in get_args(hint))
    }


@pytest.mark.parametrize("each", DOCUMENTED, ids=lambda each: each.__name__)
def test_a_public_name_has_a_docstring(each: Any) -> None:
    assert each.__doc__


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_a_public_type_says_what_its_methods_do(kind: type) -> None:
    assert [name for name, member in own_methods(kind) if not member.__doc__] == []


@pytest.mark.parametrize(
    "kind",
    TYPES,
    ids=lambda kind: kind.__name__,
)
def test_a_public_type_says_what_its_fields_hold(kind: type) -> None:
    fields = [name for name in inspect.get_annotations(kind) if not name.startswith("_")]
    told = fields_with_docstrings(kind) | fields_with_descriptions(kind) if fields else set()
    missing = [name for name in fields if name not in told and not is_told(name, kind.__doc__)]
    assert missing == []


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_public_function_says_what_its_arguments_are(function: Any) -> None:
    arguments = [name for name in inspect.signature(function).parameters if name != "config"]
    assert [name for name in arguments if not is_told(name, function.__doc__)] == []


@pytest.mark.parametrize("kind", [rule.Preparation, Trusted], ids=lambda kind: kind.__name__)
def test_a_method_of_the_operator_protocol_says_what_its_arguments_are(kind: type) -> None:
    # What every method has alike is said once, at the class.
    alike = {"self", "position", "tensor", "subgraph"}
    missing = {
        name: arguments
        for name, method in own_methods(kind)
        if (
            arguments := [
                each
                for each in inspect.signature(method).parameters
                if each not in alike and not is_told(each, method.__doc__)
            ]
        )
    }
    assert missing == {}
