"""How structs stand in the results file, read off the annotations of their fields.

A struct stands there as msgspec has it, an object with a key a field, but for what ``about`` notes
(``base/fields.py``). A ``Form`` turns a struct into that object, undoes it, and gives the strict
type of it, which readers check files against and which the JSON Schema is made from. A property
whose return type is annotated with ``about`` is written as well; readers compute it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from functools import lru_cache
from types import UnionType
from typing import Annotated
from typing import Any
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

import msgspec
from msgspec import NODEFAULT
from msgspec import Meta
from msgspec import Struct
from msgspec import structs

from pytest_tinybudget.base.fields import About
from pytest_tinybudget.base.fields import about_in


#: A JSON object, as ``json.dumps`` takes it.
Json = dict[str, Any]

#: Turns part of msgspec's object of a struct, which is the second, into the file's.
_Write = Callable[[Json, Any], None]
#: Undoes that.
_Read = Callable[[Json], None]

#: What the objects hold that ``About.at`` names.
_OBJECTS = {
    "model": "The model.",
    "board": "The board.",
    "output": "Its first output.",
    "base?": "The commit that it was compared with; null where there is none.",
}


class Field(Struct, frozen=True):
    """A field of a struct, or a property that is written as well.

    Args:
        name: What the struct calls it.
        key: Its key in the file.
        hint: Its type, as the struct has it.
        about: How it stands in the file.
        optional: Whether a file may be without it.
        computed: Whether it is a property.
    """

    name: str
    key: str
    hint: Any
    about: About
    optional: bool
    computed: bool = False

    @property
    def strict(self) -> tuple[str, Any, Any]:
        """The field of the strict type, as ``msgspec.defstruct`` takes it."""
        return self.key, _in_file(self.hint), None if self.optional else NODEFAULT


class Form:
    """How structs of the type ``kind`` stand in the file."""

    def __init__(self, kind: type[Struct]) -> None:
        self._kind = kind
        fields = (*_fields(kind), *_properties(kind))
        self._computed = tuple(field for field in fields if field.computed)
        self._steps = tuple(step for field in fields for step in _steps(field))
        self.fields = tuple(field for field in fields if not field.about.absent)
        #: The fields that are in an object of their own, by its name.
        self._objects: dict[str, list[Field]] = {}
        for field in self.fields:
            if "." in field.about.at:
                self._objects.setdefault(field.about.at.partition(".")[0], []).append(field)

    @property
    def differs(self) -> bool:
        """Whether a struct stands in the file otherwise than msgspec would write it."""
        return bool(self._steps or self._objects or self._computed)

    def write(self, value: Struct) -> Json:
        """``value`` as the file has it."""
        plain: Json = msgspec.to_builtins(value)
        self.turn(plain, value)
        return plain

    def turn(self, plain: Json, value: Struct) -> None:
        """Turn ``plain``, which msgspec made of ``value``, into what the file has."""
        for write, _ in self._steps:
            write(plain, value)
        for field in self._computed:
            plain[field.key] = msgspec.to_builtins(getattr(value, field.name))
        inner = [
            (name, {_leaf(field): plain.pop(field.key) for field in fields})
            for name, fields in self._objects.items()
        ]
        for name, found in inner:
            is_null = name.endswith("?") and not any(found.values())
            plain[name.rstrip("?")] = None if is_null else found

    def undo(self, stored: Json) -> None:
        """Turn ``stored``, an object of the file, into what ``msgspec.convert`` takes."""
        inner = [(stored.pop(name.rstrip("?"), None), name) for name in self._objects]
        for found, name in inner:
            for field in self._objects[name]:
                stored.pop(field.key, None)
                if found is not None and _leaf(field) in found:
                    stored[field.key] = found[_leaf(field)]
        for _, read in self._steps:
            read(stored)

    def strict_fields(self) -> Iterator[tuple[str, Any, Any]]:
        """The fields of the strict type; an object for those that the file has together."""
        seen = set()
        for field in self.fields:
            name = field.about.at.partition(".")[0] if "." in field.about.at else ""
            if not name:
                yield field.strict
            elif name not in seen:
                seen.add(name)
                yield self._strict_object(name)

    @property
    def doc(self) -> str:
        """What a struct of this type is, for the schema."""
        return (self._kind.__doc__ or "").partition("\n\n")[0]

    def strict(self) -> type[Struct]:
        """The strict type: what must be in every file has no default."""
        return strict_type(self._kind.__name__, self.doc, self.strict_fields())

    def _strict_object(self, name: str) -> tuple[str, Any, Any]:
        fields = [(_leaf(field), *field.strict[1:]) for field in self._objects[name]]
        if name.endswith("?"):
            fields = [(key, hint, NODEFAULT) for key, hint, _ in fields]
        plain = name.rstrip("?")
        hint: Any = strict_type(plain, _OBJECTS[name], fields)
        if name.endswith("?"):
            hint = hint | None
        return plain, Annotated[hint, Meta(description=_OBJECTS[name])], NODEFAULT


@lru_cache(maxsize=256)
def form_of(kind: type[Struct]) -> Form:
    """The form of ``kind``, made once."""
    return Form(kind)


@lru_cache(maxsize=256)
def strict_form(kind: type[Struct]) -> type[Struct]:
    """The strict type of ``kind``, made once: the schema defines each once."""
    return form_of(kind).strict()


def strict_type(name: str, doc: str, fields: Iterable[tuple[str, Any, Any]]) -> type[Struct]:
    """A type that msgspec checks objects of the file against; ``doc`` is for the schema."""
    title = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = doc.replace("``", "`")
    return msgspec.defstruct(title, fields, kw_only=True, namespace={"__doc__": words})


def _leaf(field: Field) -> str:
    return field.about.at.rpartition(".")[2]


def _fields(kind: type[Struct]) -> Iterator[Field]:
    for info in structs.fields(kind):
        about = _about(info.type)
        key = about.at if about.at and "." not in about.at else info.encode_name
        yield Field(info.name, key, info.type, about, not (info.required or about.always))


def _properties(kind: type[Struct]) -> Iterator[Field]:
    """The properties of ``kind`` that are written, in the order of their definition."""
    members = {name: each for base in reversed(kind.__mro__) for name, each in vars(base).items()}
    for name, member in members.items():
        getter = member.fget if isinstance(member, property) else None
        if getter is not None and "Annotated[" in str(getter.__annotations__.get("return", "")):
            hint = get_type_hints(getter, include_extras=True)["return"]
            about = _about(hint)
            yield Field(name, about.at or name, hint, about, not about.always, computed=True)


def _about(hint: Any) -> About:
    """What ``about`` says of a field with this type."""
    metas = hint.__metadata__ if get_origin(hint) is Annotated else ()
    found = (about_in(meta) for meta in metas if isinstance(meta, Meta))
    return next(filter(None, found), About())


# What a field differs in from msgspec's form


def _steps(field: Field) -> Iterator[tuple[_Write, _Read]]:
    if field.about.absent:
        yield (
            (lambda plain, _: plain.pop(field.key, None)),
            (lambda stored: stored.pop(field.key, None)),
        )
        return
    inner = _struct_in(field.hint)
    if inner is not None and form_of(inner).differs and not field.computed:
        yield _nested(field, form_of(inner))
    if _is_pairs(field.hint):
        yield _pairs(field.key)
    if field.about.largest_first:
        yield _sorted(field.key, *field.about.largest_first)
    if field.about.null:
        yield _null(field.key)
    if float in members(field.hint):
        yield _number(field.key)


def _nested(field: Field, form: Form) -> tuple[_Write, _Read]:
    """A struct or a list of structs that differ themselves."""
    name, key = field.name, field.key

    def write(plain: Json, value: Any) -> None:
        of_value = getattr(value, name)
        if isinstance(of_value, tuple):
            for each, of_each in zip(plain[key], of_value, strict=True):
                form.turn(each, of_each)
        elif of_value is not None:
            form.turn(plain[key], of_value)

    def read(stored: Json) -> None:
        found = stored.get(key)
        for each in found if isinstance(found, list) else filter(None, (found,)):
            form.undo(each)

    return write, read


def _pairs(key: str) -> tuple[_Write, _Read]:
    """Pairs of a name and a number, largest first, are an object."""

    def write(plain: Json, _: Any) -> None:
        plain[key] = dict(plain[key])

    def read(stored: Json) -> None:
        stored[key] = sorted(stored[key].items(), key=lambda item: (-item[1], item[0]))

    return write, read


def _sorted(key: str, size: str, name: str) -> tuple[_Write, _Read]:
    def write(plain: Json, _: Any) -> None:
        plain[key] = sorted(plain[key], key=lambda each: (-each[size], each[name]))

    return write, lambda _: None


def _null(key: str) -> tuple[_Write, _Read]:
    def write(plain: Json, _: Any) -> None:
        plain[key] = plain[key] or None

    def read(stored: Json) -> None:
        stored[key] = stored.get(key) or ""

    return write, read


def _number(key: str) -> tuple[_Write, _Read]:
    """Numbers are alike whether they were measured now or read from a file: 2960, not 2960.0."""

    def write(plain: Json, _: Any) -> None:
        value = plain[key]
        if value is not None and float(value).is_integer():
            plain[key] = int(value)

    return write, lambda _: None


# Types


def members(hint: Any) -> Iterator[Any]:
    """``hint`` without annotations, each member of a union by itself."""
    if get_origin(hint) is Annotated:
        yield from members(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for member in get_args(hint):
            yield from members(member)
    else:
        yield hint


def _struct_in(hint: Any) -> type[Struct] | None:
    """The struct that ``hint`` is, or has a list of."""
    for member in members(hint):
        if isinstance(member, type) and issubclass(member, Struct):
            return member
        if get_origin(member) is tuple:
            return _struct_in(get_args(member)[0])
    return None


def _is_pairs(hint: Any) -> bool:
    """Whether ``hint`` is a tuple of pairs."""
    elements = [get_args(member)[0] for member in members(hint) if get_origin(member) is tuple]
    return any(get_origin(element) is tuple for element in elements)


def _in_file(hint: Any) -> Any:
    """The type that a field of the type ``hint`` has in the file."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        about = _about(hint)
        is_text = about.null or about.pattern is not None
        return Annotated[(_text(about) if is_text else _in_file(arguments[0]), *hint.__metadata__)]
    if origin in (Union, UnionType):
        return Union[tuple(map(_in_file, arguments))]  # noqa: UP007
    if origin is tuple and get_origin(arguments[0]) is tuple:
        return dict[get_args(arguments[0])]  # type: ignore[misc]
    if origin is tuple:
        return list[_in_file(arguments[0])]  # type: ignore[misc]
    if isinstance(hint, type) and issubclass(hint, Struct):
        return strict_form(hint)
    return hint


def _text(about: About) -> Any:
    text = Annotated[str, Meta(pattern=about.pattern)] if about.pattern else str
    return text | None if about.null else text
