"""A ``MicroInterpreter`` for the model, made with the arguments that its TFLM takes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.artifacts.target import Target
from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.interface import ERROR_REPORTER_HEADER


_MICRO = "tensorflow/lite/micro"
_SCHEMA = "tensorflow/lite/schema/schema_generated.h"

_TEMPLATE = """\
{top}
#ifndef {guard}_INTERPRETER_H_
#define {guard}_INTERPRETER_H_

#include <cstddef>
#include <cstdint>

{includes}

namespace {name}_model {{

{about}
class Interpreter : public tflite::MicroInterpreter {{
 public:
{template}  Interpreter({parameters})
      : tflite::MicroInterpreter({arguments}) {{}}
}};

}}  // namespace {name}_model

#endif  /* {guard}_INTERPRETER_H_ */
"""

_ABOUT = "/* TFLM's interpreter, for this model. The rest is as in tflite::MicroInterpreter. */"
_ABOUT_MORE = """\
/* TFLM's interpreter, for this model. The rest is as in tflite::MicroInterpreter. A TFLM from
 * before September 2022 takes tflite::GetMicroErrorReporter() besides: hand it in at the end. */"""


def render_interpreter(model: Model, name: str, target: Target) -> dict[str, bytes]:
    """The interpreter header (C++) by file name.

    Its class takes the resolver and the arena, two arenas where the target's is split, and the
    slots of resource variables where the model has such.

    Raises:
        TinybudgetError: the arena is split, and the target's TFLM takes one arena.
    """
    identifier = c_identifier(name)
    made = _constructor(model, name, target)
    own = (f"{identifier}_model_data.h", f"{identifier}_op_resolver.h")
    arguments = (f"tflite::GetModel(g_{identifier}_model_data)", "resolver", *made.arguments)
    open_ended = target.interface.error_reporter is None
    return {
        f"{identifier}_interpreter.h": _TEMPLATE.format(
            top=target.top(
                f"{comment_text(name)}: its interpreter. Written by pytest-tinybudget, do not edit."
            ),
            name=identifier,
            guard=identifier.upper(),
            includes=target.includes(own, made.headers),
            about=_ABOUT_MORE if open_ended else _ABOUT,
            template="  template <typename... More>\n" if open_ended else "",
            parameters=_one_a_line(("const OpResolver& resolver", *made.parameters), 14),
            arguments=_one_a_line(arguments, 33),
        ).encode("ascii")
    }


class _Constructor(Struct, frozen=True):
    """What the interpreter is made of besides model and resolver, and the headers for it."""

    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    headers: tuple[str, ...]


def _constructor(model: Model, name: str, target: Target) -> _Constructor:
    reporter = target.interface.error_reporter
    # Where the versions differ, the caller hands in what their constructors take besides.
    more = ["more..."] if reporter is None else [reporter] if reporter else []
    parameters, arguments, headers = [], [], [f"{_MICRO}/micro_interpreter.h", _SCHEMA]
    if target.placements.is_split:
        target.require_split_arena(name)
        sizes = ("persistent", "persistent_size", "non_persistent", "non_persistent_size")
        arguments.append(f"tflite::MicroAllocator::Create({', '.join([*sizes, *more])})")
        parameters += ["std::uint8_t* persistent", "std::size_t persistent_size"]
        parameters += ["std::uint8_t* non_persistent", "std::size_t non_persistent_size"]
        headers.append(f"{_MICRO}/micro_allocator.h")
    else:
        arguments += ["arena", "arena_size"]
        parameters += ["std::uint8_t* arena", "std::size_t arena_size"]
    arguments += more
    if _has_variables(model):
        arguments.append("variables")
        parameters.append("tflite::MicroResourceVariables* variables")
        headers.append(f"{_MICRO}/micro_resource_variable.h")
    if reporter:
        headers.append(ERROR_REPORTER_HEADER)
    if reporter is None:
        parameters.append("More... more")
    return _Constructor(tuple(parameters), tuple(arguments), tuple(headers))


def _one_a_line(words: Sequence[str], indent: int) -> str:
    return (",\n" + " " * indent).join(words)


def _has_variables(model: Model) -> bool:
    return any(
        operator.name == "VAR_HANDLE" and not operator.is_custom
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    )
