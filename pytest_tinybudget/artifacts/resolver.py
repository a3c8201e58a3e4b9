"""The operator resolver with exactly the model's operators, against TFLM's public headers."""

from __future__ import annotations

from pytest_tinybudget.artifacts.target import Target
from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.artifacts.text import string_literal
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.footprint.registrations import registrations as known_registrations
from pytest_tinybudget.footprint.registrations import typed_registrations
from pytest_tinybudget.graph.model import Model


_RESOLVER_HEADER = "tensorflow/lite/micro/micro_mutable_op_resolver.h"

_TEMPLATE = """\
{top}
#ifndef {guard}_OP_RESOLVER_H_
#define {guard}_OP_RESOLVER_H_

{includes}

namespace {name}_model {{

constexpr unsigned int kOperatorCount = {count};

using OpResolver = tflite::MicroMutableOpResolver<kOperatorCount>;

{template}inline TfLiteStatus RegisterOperators({parameters}) {{
{calls}
  return kTfLiteOk;
}}

}}  // namespace {name}_model

#endif  /* {guard}_OP_RESOLVER_H_ */
"""

_CALL = """\
  if (resolver.{call} != kTfLiteOk) {{
    return kTfLiteError;
  }}"""


def render_resolver(model: Model, name: str, target: Target) -> dict[str, bytes]:
    """The resolver header (C++) by file name.

    A custom operator that the target's TFLM does not bring becomes a parameter of
    ``RegisterOperators``, for the firmware to hand in its registration. Typed registrations
    register the kernels for the types that the model uses only, as ``typed_registrations`` finds
    them, where all of the target's versions of TFLM have such.

    Raises:
        TinybudgetError: an operator that TFLM's resolver has no method for.
    """
    used = {
        (operator.name, operator.is_custom)
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    }
    interface = target.interface
    typed = typed_registrations(model) if target.registrations == "typed" else {}
    headers, calls = {_RESOLVER_HEADER}, []
    parameters = ["OpResolver& resolver"]
    for operator, is_custom in sorted(used):
        known = known_registrations().get((operator, is_custom))
        if is_custom and operator in target.lacking:
            known = None
        if known is not None:
            target.require_method(operator, name)
            kind = typed.get(operator, "")
            if kind and interface.takes(operator, kind):
                headers.add(known.header)
                calls.append(f"{known.method}(tflite::Register_{operator}_{kind}())")
            else:
                calls.append(f"{known.method}()")
        elif is_custom:
            hook = f"custom_{len(parameters)}"
            parameters.append(f"{interface.registration or 'Registration*'} {hook}")
            calls.append(f"AddCustom({string_literal(operator)}, {hook})")
        else:
            raise TinybudgetError(f"{name}: TFLM's resolver has no {operator}", code="TB010")
    identifier = c_identifier(name)
    # The versions differ in what a registration is: the caller's type is taken.
    any_type = not interface.registration and len(parameters) > 1
    return {
        f"{identifier}_op_resolver.h": _TEMPLATE.format(
            top=target.top(
                f"{comment_text(name)}: the operators that the model uses. "
                "Written by pytest-tinybudget, do not edit."
            ),
            name=identifier,
            guard=identifier.upper(),
            count=max(1, len(used)),
            includes=target.includes(headers),
            template="template <typename Registration>\n" if any_type else "",
            parameters=", ".join(parameters),
            calls="\n".join(_CALL.format(call=call) for call in calls),
        ).encode("ascii")
    }
