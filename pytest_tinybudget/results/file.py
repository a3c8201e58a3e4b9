"""The results file as a whole: its head, and what a pair in it is made of.

What each field holds is said at the fields of ``types.py`` and ``footprint/result.py``; how their
structs stand in the file is ``form.py``'s. Here is only how they are put together: a pair of the
file is a ``PairResult``, beside it the fields of its footprint and a key for each measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated
from typing import Any
from typing import Literal
from typing import get_origin

from msgspec import NODEFAULT
from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.results.form import Json
from pytest_tinybudget.results.form import form_of
from pytest_tinybudget.results.form import members
from pytest_tinybudget.results.form import strict_form
from pytest_tinybudget.results.form import strict_type
from pytest_tinybudget.results.metrics import ALWAYS
from pytest_tinybudget.results.metrics import DESCRIPTIONS
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


TOOL = "pytest-tinybudget"

#: A field of the head, as ``msgspec.defstruct`` takes it.
_Field = tuple[str, Any, Any]


def unmeasured() -> Json:
    """The fields of a footprint in a pair that has none: null, empty or false."""
    return {field.key: _empty(field.strict[1]) for field in form_of(Footprint).fields}


@lru_cache(maxsize=1)
def strict_file() -> type[Struct]:
    """The strict type of the whole file."""
    whole = form_of(PairResult)
    fields = (*whole.strict_fields(), *_measures(), *_footprint())
    pair = strict_type("pair", whole.doc, fields)
    return strict_type(
        "file",
        "What `--tinybudget-json` and `tinybudget check --json` write. Sizes are integers of "
        "bytes.",
        [
            _field("schema_version", Literal[1], "Version of this format."),
            _field("tool", _tool(), "What wrote the file."),
            _field("runtime", _runtime(), "What the numbers belong to."),
            _field("pairs", list[pair], "Every model on every board, sorted by `id`."),  # type: ignore[valid-type]
            _field(
                "repositories",
                list[strict_form(Checkout)],  # type: ignore[misc]
                "The git repositories that declarations lie in, where the run was compared with a "
                "commit; empty where git was not asked.",
                default=(),
            ),
        ],
    )


def _tool() -> type[Struct]:
    name = _field("name", Literal["pytest-tinybudget"], "The tool.")
    return strict_type(
        "tool", "What wrote the file.", [name, _field("version", str, "Its version.")]
    )


def _runtime() -> type[Struct]:
    named = _field("name", str, "The name that pairs give in `runtime`.")
    doc = "A runtime, and what the sizes of its pairs belong to."
    variant = strict_type("variant", doc, [named, *form_of(Identity).strict_fields()])
    commit = "Commit of TF Lite Micro that the shipped tables were measured on."
    variants = "The runtimes that pairs name, sorted by name."
    return strict_type(
        "runtime",
        "What the numbers belong to.",
        [
            _field("tflm_commit", str, commit),
            _field("variants", list[variant], variants, default=()),  # type: ignore[valid-type]
        ],
    )


def _measures() -> Iterator[_Field]:
    measure = strict_form(Measure)
    for metric, key in RESULT_KEYS.items():
        default = NODEFAULT if metric in ALWAYS else None
        yield _field(key, measure | None, DESCRIPTIONS[metric], default=default)


def _footprint() -> Iterator[_Field]:
    """The fields of a footprint, or what stands there without one."""
    for name, hint, default in form_of(Footprint).strict_fields():
        if _empty(hint) is None and type(None) not in members(hint):
            description = hint.__metadata__[0].description
            yield _field(name, hint | None, description, default=default)
        else:
            yield name, hint, default


def _field(name: str, hint: Any, description: str, *, default: Any = NODEFAULT) -> _Field:
    return name, Annotated[hint, Meta(description=description)], default


def _empty(hint: Any) -> Any:
    """What a field of the type ``hint`` holds where nothing was measured."""
    for member in members(hint):
        if get_origin(member) in (list, dict):
            return get_origin(member)()
        if member is bool:
            return False
    return None
