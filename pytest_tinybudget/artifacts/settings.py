"""The constants that a firmware needs beside the model: arena, stack, inputs and outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Sequence
from itertools import chain

from pytest_tinybudget.artifacts.target import Target
from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Tensor


_TFLITE_TYPES = {
    "FLOAT32": "kTfLiteFloat32", "FLOAT64": "kTfLiteFloat64", "FLOAT16": "kTfLiteFloat16",
    "BFLOAT16": "kTfLiteBFloat16", "INT4": "kTfLiteInt4", "INT8": "kTfLiteInt8",
    "INT16": "kTfLiteInt16", "INT32": "kTfLiteInt32", "INT64": "kTfLiteInt64",
    "UINT8": "kTfLiteUInt8", "UINT16": "kTfLiteUInt16", "UINT32": "kTfLiteUInt32",
    "UINT64": "kTfLiteUInt64", "BOOL": "kTfLiteBool", "STRING": "kTfLiteString",
    "COMPLEX64": "kTfLiteComplex64", "COMPLEX128": "kTfLiteComplex128",
    "RESOURCE": "kTfLiteResource", "VARIANT": "kTfLiteVariant",
}  # fmt: skip

_ALIGNMENT = 16


def render_settings(
    model: Model, name: str, footprints: Sequence[Footprint], target: Target
) -> dict[str, bytes]:
    """The header of constants (C and C++) by file name.

    The arena is the largest among ``footprints`` (one for each runtime that the model is built
    for), so that one firmware source fits all of them.
    """
    identifier = c_identifier(name)
    prefix = identifier.upper()
    sha256 = model.sha256
    lines = [
        target.top(
            f"{comment_text(name)}: constants. Written by pytest-tinybudget, do not edit.\n"
            f" * For the model of {len(model.content)} bytes with sha256 {sha256}"
        ),
        f"#ifndef {prefix}_MODEL_SETTINGS_H_",
        f"#define {prefix}_MODEL_SETTINGS_H_",
        *_memory(prefix, footprints),
        *_variables(prefix, model),
    ]
    for kind, indices in (("INPUT", model.main.inputs), ("OUTPUT", model.main.outputs)):
        lines += ["", f"#define {prefix}_{kind}S {len(indices)}"]
        for position, index in enumerate(indices):
            tensor = model.main.tensors[index]
            lines += _tensor(f"{prefix}_{kind}{position}", kind.lower(), position, tensor)
    lines += ["", f"#endif  /* {prefix}_MODEL_SETTINGS_H_ */", ""]
    return {f"{identifier}_model_settings.h": "\n".join(lines).encode("ascii")}


def _memory(prefix: str, footprints: Sequence[Footprint]) -> Iterator[str]:
    measured = _different(footprints)
    arenas = [each.arena for each in measured if each.arena is not None]
    if not arenas:
        return
    splits = [arena.split for arena in arenas if arena.split is not None]
    what = "tensor arenas that work" if splits else "tensor arena that works"
    yield ""
    yield f"/* Smallest {what}, in bytes; align {'both' if splits else 'it'} to 16. By runtime:"
    for footprint, arena in zip(measured, arenas, strict=True):
        yield f" *   {comment_text(footprint.runtime)}: {_size(arena)}, {_explain(arena)}"
        for line in footprint.unknown:
            yield f" *     bounded, not known: {comment_text(line)}"
    yield " */"
    if splits:
        persistent = max(split.persistent for split in splits)
        non_persistent = max(split.non_persistent for split in splits)
        yield f"#define {prefix}_PERSISTENT_ARENA_SIZE {persistent}"
        yield f"#define {prefix}_NON_PERSISTENT_ARENA_SIZE {non_persistent}"
    else:
        largest = max(arena.required for arena in arenas)
        yield f"#define {prefix}_TENSOR_ARENA_SIZE {largest}"
    stack = max(footprint.stack for footprint in measured)
    if stack:
        yield ""
        yield "/* Bytes of stack for AllocateTensors() and Invoke(), without interrupts. */"
        yield f"#define {prefix}_STACK_SIZE {stack}"


def _different(footprints: Sequence[Footprint]) -> list[Footprint]:
    """Those with an arena, sorted by runtime, each once.

    A distribution has one name on all cores, and an arena on each.
    """
    found: dict[tuple[str, int], list[Footprint]] = {}
    for each in footprints:
        if each.arena is not None:
            same = found.setdefault((each.runtime, each.stack), [])
            if all(each.arena != other.arena for other in same):
                same.append(each)
    return sorted(chain.from_iterable(found.values()), key=lambda each: each.runtime)


def _size(arena: Arena) -> str:
    if arena.split is None:
        return str(arena.required)
    return f"persistent {arena.split.persistent}, non-persistent {arena.split.non_persistent}"


def _explain(arena: Arena) -> str:
    used = f"of which arena_used_bytes() prints {arena.used}"
    split = arena.split
    room = arena.required - arena.used if split is None else split.non_persistent - arena.head
    if room < _ALIGNMENT:
        return used
    reason = (
        "planning the layout"
        if arena.decided_by == "planning"
        else f"the temporary tensors while {comment_text(arena.decided_by)}"
    )
    return f"{used}:\n *     less fails or overwrites memory, since {reason} takes room too"


def _variables(prefix: str, model: Model) -> Iterator[str]:
    variables = {
        (operator.options.get("container", ""), operator.options.get("shared_name", ""))
        for subgraph in model.subgraphs
        for operator in subgraph.operators
        if operator.name == "VAR_HANDLE" and not operator.is_custom
    }
    if variables:
        yield ""
        yield "/* Slots that MicroResourceVariables::Create() must have. */"
        yield f"#define {prefix}_RESOURCE_VARIABLES {len(variables)}"


def _tensor(prefix: str, kind: str, position: int, tensor: Tensor) -> Iterator[str]:
    yield ""
    yield f"/* {kind} {position}: {comment_text(tensor.name)} */"
    yield f"#define {prefix}_TYPE {_TFLITE_TYPES.get(tensor.type, 'kTfLiteNoType')}"
    yield f"#define {prefix}_RANK {len(tensor.shape)}"
    if tensor.shape:
        yield f"#define {prefix}_SHAPE {{{', '.join(map(str, tensor.shape))}}}"
    yield f"#define {prefix}_ELEMENTS {tensor.elements}"
    yield f"#define {prefix}_BYTES {tensor.bytes}"
    scales, zero_points = tensor.quantization.scales, tensor.quantization.zero_points
    if len(scales) == 1:
        yield f"#define {prefix}_SCALE {float_literal(scales[0])}"
        yield f"#define {prefix}_ZERO_POINT {zero_points[0] if zero_points else 0}"


def float_literal(value: float) -> str:
    """A C literal that is exactly the float32 ``value`` (nine digits tell all of them apart).

    Raises:
        TinybudgetError: infinite or not a number, which no C literal stands for.
    """
    if not math.isfinite(value):
        raise TinybudgetError(
            f"the model has a quantization scale that is not finite: {value}", code="TB300"
        )
    digits = f"{value:.9g}"
    return f"{digits}f" if "." in digits or "e" in digits else f"{digits}.0f"
