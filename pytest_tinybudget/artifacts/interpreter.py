"""A ``MicroInterpreter`` for the model, made with the arguments that its TFLM takes."""

from __future__ import annotations

from pytest_tinybudget.artifacts.target import Target
from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.interface import ERROR_REPORTER_HEADER


_MICRO = "tensorflow/lite/micro"

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
{head}
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
    reporter = target.interface.error_reporter
    # Where the versions differ, the caller hands in what their constructors take besides.
    more = ["more..."] if reporter is None else [reporter] if reporter else []
    has_variables = _has_variables(model)
    headers = {
        f"{identifier}_model_data.h",
        f"{identifier}_op_resolver.h",
        f"{_MICRO}/micro_interpreter.h",
        "tensorflow/lite/schema/schema_generated.h",
    }
    headers |= {ERROR_REPORTER_HEADER} if reporter else set()
    headers |= {f"{_MICRO}/micro_resource_variable.h"} if has_variables else set()
    parameters = ["const OpResolver& resolver"]
    if target.placements.is_split:
        target.require_split_arena(name)
        headers.add(f"{_MICRO}/micro_allocator.h")
        both = ["persistent", "persistent_size", "non_persistent", "non_persistent_size"]
        memory = [f"tflite::MicroAllocator::Create({', '.join([*both, *more])})"]
        parameters += [f"std::uint8_t* {both[0]}", f"std::size_t {both[1]}"]
        parameters += [f"std::uint8_t* {both[2]}", f"std::size_t {both[3]}"]
    else:
        memory = ["arena", "arena_size"]
        parameters += ["std::uint8_t* arena", "std::size_t arena_size"]
    variables = ["variables"] if has_variables else []
    parameters += ["tflite::MicroResourceVariables* variables"] if has_variables else []
    parameters += ["More... more"] if reporter is None else []
    arguments = [f"tflite::GetModel(g_{identifier}_model_data)", "resolver"]
    arguments += [*memory, *more, *variables]
    head = _wrapped("  Interpreter(", parameters)
    if reporter is None:
        head = f"  template <typename... More>\n{head}"
    return {
        f"{identifier}_interpreter.h": _TEMPLATE.format(
            top=target.top(
                f"{comment_text(name)}: its interpreter. Written by pytest-tinybudget, do not edit."
            ),
            name=identifier,
            guard=identifier.upper(),
            includes="\n".join(f'#include "{header}"' for header in sorted(headers)),
            about=_ABOUT if reporter is not None else _ABOUT_MORE,
            head=head,
            arguments=(",\n" + " " * 33).join(arguments),
        ).encode("ascii")
    }


def _wrapped(start: str, parameters: list[str]) -> str:
    """A constructor's parameters, one a line."""
    return start + (",\n" + " " * len(start)).join(parameters) + ")"


def _has_variables(model: Model) -> bool:
    return any(
        operator.name == "VAR_HANDLE" and not operator.is_custom
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    )
