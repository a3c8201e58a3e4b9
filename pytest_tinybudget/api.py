"""The API: models are checked and measured from Python, with the types of what goes in and out."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Literal
from typing import get_args

import msgspec

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.base.units import Declarable
from pytest_tinybudget.base.units import parse_quantity
from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.convert.live import Data
from pytest_tinybudget.convert.live import Source
from pytest_tinybudget.convert.live import on_disk
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration import DeclaredModel
from pytest_tinybudget.declaration.pairs import Location
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.project import Project
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.gate.verdict import DEFAULT_WARN_AT_PERCENT
from pytest_tinybudget.graph.locations import model_name
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import ModelStorage
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement
from pytest_tinybudget.workspace import Workspace


#: Limits by ``"flash"``, ``"ram"``, ``"psram"`` and ``"arena"``: ``"200 KB"``, or bytes; by
#: ``"latency"``: ``"100 ms"``, and ``"energy"``: ``"50 uJ"`` of an inference.
Limits = Mapping[str, str | int]

#: What an operator takes, ``"persistent"``, ``"scratch"`` and ``"flash"``, by its name.
OperatorCosts = Mapping[str, Mapping[str, str | int]]

#: Shapes of inputs, batch included, by their names.
Shapes = Mapping[str, Sequence[int]]

#: Where the arena goes; of a split one, where ``"persistent"`` and ``"non_persistent"`` go.
ArenaPlace = Placement | Mapping[str, Placement]

#: What other code may import from here; what else there is may change in any release.
__all__ = [
    "Arena",
    "ArenaPlace",
    "Board",
    "Data",
    "DeclarationError",
    "Figure",
    "Footprint",
    "Layer",
    "Limits",
    "Measure",
    "ModelError",
    "OperatorCosts",
    "PairResult",
    "Part",
    "Shapes",
    "Source",
    "TinybudgetError",
    "check",
    "find_board",
    "measure",
]

_SIZES = (*METRICS, "update")

_UNITS: Mapping[str, Declarable] = {"latency": "s", "energy": "J"}


def check(
    model: Source,
    *,
    board: str | Board,
    budget: Limits | None = None,
    require_int8: bool | Literal["warn"] = "warn",
    strict: bool = False,
    registrations: Literal["generic", "typed"] = "generic",
    placement: ArenaPlace = "static",
    placement_model: ModelPlacement = "flash",
    storage_model: ModelStorage = "flash",
    representative_data: Data | None = None,
    custom_objects: str | None = None,
    strip: bool = False,
    per_channel_dense: bool | None = None,
    activations: Literal["int8", "int16"] = "int8",
    operators: OperatorCosts | None = None,
    input_shapes: Shapes | None = None,
) -> PairResult:
    """Whether a model fits a board, and within a budget.

    The same as a pair in ``tinybudget.toml``. Sizes in the result are bytes;
    ``result.failed`` says whether it does not fit, ``result.headline`` why in one line.

    Args:
        model: the path of a ``.tflite``, ``.keras`` or ``.h5`` file or of a SavedModel, or a
            ``keras.Model``. What is no INT8 ``.tflite`` is converted (docs/conversion.md).
        board: a board's id in the catalog (``tinybudget boards``), or a ``Board``.
        budget: limits besides the board's room, such as ``{"flash": "200 KB", "ram": 49152}``;
            sizes as in ``tinybudget.toml`` (1 KB = 1024 B), or bytes; ``"latency": "100 ms"``
            and ``"energy": "50 uJ"`` as there.
        require_int8: fail (or ``"warn"`` about) a model that is not full INT8.
        strict: fail where a number is a bound instead of the device's own.
        registrations: ``"typed"`` for a firmware that registers ``Register_CONV_2D_INT8()``
            and its like instead of the generic functions.
        placement: where the arena goes: ``"static"``, ``"heap"`` or ``"psram"``; a mapping of
            ``"persistent"`` and ``"non_persistent"`` to these splits it.
        placement_model: where the model's bytes lie: ``"flash"``, ``"ram"`` or ``"psram"``.
        storage_model: where a model in RAM is read from: ``"flash"`` or ``"external"``.
        representative_data: samples to calibrate a conversion with, as in a declaration, or an
            array (several by the names of the inputs) whose first axis is the sample.
        custom_objects: module with the model's own layers, such as ``"training.layers"``.
        strip: leave out names, signatures and metadata.
        per_channel_dense: a scale for each output of a dense layer (default: with int8).
        activations: type of what flows between operators.
        operators: what kernels of the firmware's own take, by operator, as in
            ``[runtime.ops.NAME]``: ``{"MyOp": {"persistent": "1 KB", "flash": 4096}}``.
        input_shapes: shapes of inputs that the model leaves open, batch included, by name:
            ``{"image": [1, 96, 96, 3]}``.

    Raises:
        TinybudgetError: the model cannot be read or converted, or board or budget are wrong.
    """
    on_this_disk = on_disk(model, representative_data)
    with on_this_disk as (path, data), closing(Workspace()) as workspace:
        pair = pair_of(
            path,
            board=board,
            budget=budget,
            require_int8=require_int8,
            strict=strict,
            registrations=registrations,
            placements=placements_of(placement, placement_model, storage_model),
            conversion=Conversion(
                root=Path.cwd(),
                representative_data=data,
                custom_objects=custom_objects,
                strip=strip,
                per_channel_dense=per_channel_dense,
                activations=activations,
                input_shapes=shapes_of(input_shapes),
            ),
            operators=operators,
        )
        return checked(Gate(workspace), pair)


def measure(
    model: Source,
    *,
    board: str | Board,
    registrations: Literal["generic", "typed"] = "generic",
    placement: ArenaPlace = "static",
    placement_model: ModelPlacement = "flash",
    storage_model: ModelStorage = "flash",
    representative_data: Data | None = None,
    operators: OperatorCosts | None = None,
    input_shapes: Shapes | None = None,
) -> Footprint:
    """What a model takes on a board: flash and RAM in parts, arena, layers.

    All sizes are bytes; each part says by its ``method`` how it was got. The figures are those
    of the TFLM commit ``pytest_tinybudget.runtimes.tflm.TFLM_COMMIT``: the arena is
    simulated allocation by allocation, flash is a virtual link of that TFLM's sections.

    Args:
        model: as for ``check``.
        board: a board's id in the catalog (``tinybudget boards``), or a ``Board``.
        registrations: as for ``check``.
        placement: as for ``check``.
        placement_model: as for ``check``.
        storage_model: as for ``check``.
        representative_data: as for ``check``.
        operators: as for ``check``.
        input_shapes: as for ``check``.

    Raises:
        TinybudgetError: the model cannot be read, or there is no such board.
    """
    on_this_disk = on_disk(model, representative_data)
    with on_this_disk as (path, data), closing(Workspace()) as workspace:
        pair = pair_of(
            path,
            board=board,
            registrations=registrations,
            placements=placements_of(placement, placement_model, storage_model),
            conversion=Conversion(Path.cwd(), data, input_shapes=shapes_of(input_shapes)),
            operators=operators,
        )
        return measurement(pair, workspace, details=True).footprint


def checked(gate: Gate, pair: Pair) -> PairResult:
    """The result of ``pair``.

    Raises:
        TinybudgetError: its model cannot be measured.
    """
    measurement(pair, gate.workspace, details=True)
    return gate.check(pair)


def pair_of(
    model_path: str | PathLike[str],
    *,
    board: str | Board,
    budget: Limits | None = None,
    require_int8: bool | Literal["warn"] = "warn",
    strict: bool = False,
    registrations: Literal["generic", "typed"] = "generic",
    placements: Placements | None = None,
    conversion: Conversion | None = None,
    operators: OperatorCosts | None = None,
) -> Pair:
    """The pair that a declaration of this one model and board would make; see ``check``.

    Raises:
        TinybudgetError: board or budget are wrong.
    """
    path = Path(model_path)
    name = model_name(path)
    found = board if isinstance(board, Board) else find_board(board)
    model = DeclaredModel(
        name=name,
        section=name,
        source=path,
        declared_source=path.as_posix(),
        boards=(found,),
        budget=_budget(budget or {}),
        warn_at_percent=DEFAULT_WARN_AT_PERCENT,
        message="",
        require_int8=require_int8,
        strict=strict,
        registrations=registrations,
        runtime=None,
        stack=None,
        artifact_name=name,
        conversion=conversion or Conversion(Path.cwd()),
        placements=placements or Placements(),
        operators=_costs(operators or {}),
    )
    return Pair(Location(path.parent.as_posix()), Project(path), model, found)


def shapes_of(declared: Shapes | None) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Shapes of inputs as a conversion takes them.

    Raises:
        TinybudgetError: an extent is no whole number above 0.
    """
    for name, shape in (declared or {}).items():
        if not shape or any(not isinstance(each, int) or each < 1 for each in shape):
            raise TinybudgetError(
                f"input_shapes: {name} = {list(shape)}: expected whole numbers above 0"
            )
    return tuple(sorted((name, tuple(shape)) for name, shape in (declared or {}).items()))


def _costs(operators: OperatorCosts) -> dict[str, OperatorCost]:
    costs = {}
    for name, sizes in operators.items():
        for part in sizes:
            if part not in OperatorCost.__struct_fields__:
                raise unknown("part", part, OperatorCost.__struct_fields__)
        try:
            costs[name] = OperatorCost(**{part: parse_size(size) for part, size in sizes.items()})
        except ValueError as error:
            raise TinybudgetError(f"operators, {name}: {error}") from None
    return costs


def placements_of(
    placement: str | Mapping[str, str], placement_model: str, storage_model: str
) -> Placements:
    """Where arena and model lie, as ``check`` is told.

    Raises:
        TinybudgetError: one of the words is none of those that a declaration knows.
    """
    places, parts = get_args(Placement), SplitPlacement.__struct_fields__
    _require_known("placement_model", placement_model, get_args(ModelPlacement))
    _require_known("storage_model", storage_model, get_args(ModelStorage))
    if placement_model == "flash" and storage_model == "external":
        raise TinybudgetError('storage_model = "external" is for a model that lies in RAM')
    for part, where in {} if isinstance(placement, str) else placement.items():
        _require_known("part of an arena", part, parts)
        _require_known("placement", where, places)
    if isinstance(placement, str):
        _require_known("placement", placement, places)
    elif missing := [part for part in parts if part not in placement]:
        raise TinybudgetError(f"placement: a split arena needs {missing[0]!r} as well")
    arena = placement if isinstance(placement, str) else dict(placement)
    where_all = {"arena": arena, "model": placement_model, "model_storage": storage_model}
    return msgspec.convert(where_all, Placements)


def _require_known(kind: str, word: str, valid: Sequence[str]) -> None:
    if word not in valid:
        raise unknown(kind, word, valid)


def _budget(limits: Limits) -> Budget:
    sizes: dict[str, int] = {}
    quantities: dict[str, float] = {}
    for metric, limit in limits.items():
        if metric not in (*_SIZES, *_UNITS):
            raise unknown("budget", metric, (*_SIZES, *_UNITS))
        try:
            if metric in _UNITS:
                quantities[metric] = parse_quantity(str(limit), _UNITS[metric])
            else:
                sizes[metric] = parse_size(limit)
        except ValueError as error:
            raise TinybudgetError(f"budget for {metric}: {error}") from None
    return Budget(**sizes, latency=quantities.get("latency"), energy=quantities.get("energy"))
