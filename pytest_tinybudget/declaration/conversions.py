"""The settings of conversions: the keys of a section, and for missing ones the defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Literal

from msgspec.structs import replace

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.convert.settings import DEFAULT_ONNX_COMMAND
from pytest_tinybudget.convert.settings import RANDOM
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import ONLY_PLANNED
from pytest_tinybudget.convert.sources import by_quantizer
from pytest_tinybudget.convert.sources import converts
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.convert.sources import tells_layers
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.context import exists
from pytest_tinybudget.declaration.context import first
from pytest_tinybudget.declaration.context import siblings
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.problems import KeyPath


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.schema.conversion import ConvertTable
    from pytest_tinybudget.declaration.schema.document import DefaultsTable
    from pytest_tinybudget.declaration.schema.document import ModelTable


#: Keys that count for converted sources alone. ``strip`` counts for every file.
_CONVERTING = (
    "representative_data",
    "custom_objects",
    "per_channel_dense",
    "activations",
    "plan",
    "conversion_timeout",
    "conversion_memory",
)
#: Of these, what says nothing of a layer list: the plan follows the others.
_OF_FILES = tuple(
    key for key in _CONVERTING if key not in ("per_channel_dense", "activations", "plan")
)
#: The change of TFLM since which such layers run (``runtimes/data/versions/tflm.json``).
_DENSE_PER_CHANNEL = "dense layers per channel"
_LIMITS = ("conversion_timeout", "conversion_memory")


def conversion(
    context: Context, table: DefaultsTable | ModelTable, otherwise: Conversion, keys: KeyPath
) -> Conversion:
    """The conversion that ``table`` declares; missing keys are taken from ``otherwise``."""
    memory = context.size(table.conversion_memory, *keys, "conversion_memory")
    settings = replace(
        otherwise,
        representative_data=first(table.representative_data, otherwise.representative_data),
        custom_objects=first(table.custom_objects, otherwise.custom_objects),
        strip=first(table.strip, otherwise.strip),
        per_channel_dense=first(table.per_channel_dense, otherwise.per_channel_dense),
        activations=_activations(context, table, otherwise, keys),
        plan=first(table.plan, otherwise.plan),
        timeout_seconds=first(table.conversion_timeout, otherwise.timeout_seconds),
        memory_bytes=first(memory, otherwise.memory_bytes),
    )
    if table.representative_data is not None:
        _check_data(context, settings, (*keys, "representative_data"))
    input_shapes = getattr(table, "input_shapes", None)  # no default
    if input_shapes:
        shapes = sorted((name, tuple(shape)) for name, shape in input_shapes.items())
        settings = replace(settings, input_shapes=tuple(shapes))
    return settings


def _activations(
    context: Context, table: DefaultsTable | ModelTable, otherwise: Conversion, keys: KeyPath
) -> Literal["int8", "int16"]:
    """What a conversion makes; ``"float"`` is of a layer list, which reads it itself."""
    if table.activations != "float":
        return first(table.activations, otherwise.activations)
    if getattr(table, "layers", None) is None:  # nor are these one
        text = "float is for 'layers' alone: a conversion makes int8 or int16"
        context.problems.add((*keys, "activations"), text, example='activations = "int8"')
    return otherwise.activations


def suited(
    settings: Conversion,
    boards: Iterable[Board],
    declared: DeclaredRuntime | None,
    runtimes: Mapping[str, DeclaredRuntime],
) -> Conversion:
    """``settings`` for the runtimes of all boards that the model is converted for, once.

    TFLM before September 2024 refuses dense layers with a scale for each output, or computes them
    wrongly: what is not declared is made so that every board runs it.
    """
    if settings.per_channel_dense is not None or settings.activations != "int8":
        return settings
    for board in boards:
        chosen = declared or runtimes.get(board.runtime)
        runtime = None if chosen is None else chosen.on(board)
        for each in () if runtime is None else (runtime.one_of or (runtime,)):
            if not each.tflm.has(_DENSE_PER_CHANNEL):
                return replace(settings, per_tensor_for=each.name)
    return settings


def check_effect(
    context: Context,
    table: ModelTable,
    settings: Conversion,
    sources: Sequence[Path | None],
    keys: KeyPath,
) -> None:
    """Note a problem for each key of a section that has no effect on any of its ``sources``.

    A source is ``None`` for a layer list. A key in ``[defaults]`` may have an effect on some models
    only.
    """
    declared = [key for key in _CONVERTING if getattr(table, key) is not None]
    evaluated = table.accuracy is not None or table.agreement is not None
    if evaluated:  # which has these limits as well
        declared = [key for key in declared if key not in _LIMITS]
    if not (declared and sources):
        return
    idle = [_idle(source, settings) for source in sources]
    for key in declared:
        if all(key in reasons for reasons in idle) and not context.problems.concerns(*keys, key):
            context.problems.add((*keys, key), f"has no effect here: {idle[0][key]}")


def _idle(source: Path | None, settings: Conversion) -> Mapping[str, str]:
    """The keys that have no effect on ``source``, each with the reason."""
    if source is None:
        idle = dict.fromkeys(_OF_FILES, "a layer list is not converted")
        return {**idle, "plan": "'layers' are a plan already"}
    kind = kind_of(source)
    if not converts(source, settings):
        if _unreadable(source):
            return {}  # whoever reads it says so
        why = f"{source.name} is measured as it is, nothing is converted"
        whole = dict.fromkeys(_CONVERTING, why)
        if settings.representative_data is None:
            del whole["representative_data"]
        return whole
    reasons = {}
    if not tells_layers(kind):
        reasons["plan"] = f"{ONLY_PLANNED}, not {source.name}"
    if kind not in ("keras", "h5"):
        reasons["custom_objects"] = f"only Keras files have layers of their own, not {source.name}"
    if by_quantizer(kind) and not settings.scales_per_channel:
        from pytest_tinybudget.convert.quantizers import quantizer_name

        reasons["per_channel_dense"] = (
            f"{quantizer_name()}, which converts {source.name}, gives each output of a dense "
            "layer its own scale"
        )
    return reasons


def _unreadable(source: Path) -> bool:
    from pytest_tinybudget.base.errors import ModelError
    from pytest_tinybudget.graph.tflite import load_model

    try:
        load_model(source)
    except ModelError:
        return True
    return False


def _check_data(context: Context, settings: Conversion, keys: KeyPath) -> None:
    path = settings.data_path
    if path is None or exists(path):
        return
    path = Path(os.path.normpath(path))
    context.problems.add(
        keys,
        f"no such file: {settings.representative_data!r} (or "
        f'"package.module:function", or "{RANDOM}")',
        name=path.name,
        valid=siblings(path),
        example='representative_data = "data/kws.npz"',
    )


def onnx_command(table: ConvertTable | None) -> tuple[str, ...]:
    """The command of ``[convert.onnx]``: a program on ``PATH`` or a path, and arguments."""
    declared = None if table is None or table.onnx is None else table.onnx.command
    if declared is None:
        return DEFAULT_ONNX_COMMAND
    return (declared,) if isinstance(declared, str) else tuple(declared)
