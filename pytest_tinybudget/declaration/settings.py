"""What Python and the command line say of a model that no declaration has.

One definition for ``pytest_tinybudget.check``, the fixture and ``tinybudget check MODEL``: keys and
values as in ``[models.NAME]``, of which a ``DeclaredModel`` is made, as of a declaration.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Literal
from typing import TypedDict
from typing import TypeVar
from typing import get_args

import msgspec

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.base.units import Declarable
from pytest_tinybudget.base.units import parse_quantity
from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.boards import Board
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration.conversions import suited
from pytest_tinybudget.declaration.declared import Budget
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.project_files import PROJECT
from pytest_tinybudget.declaration.project_files import ProjectFiles
from pytest_tinybudget.declaration.shipped import called
from pytest_tinybudget.declaration.shipped import shipped_runtimes
from pytest_tinybudget.declaration.shrunken import request_of
from pytest_tinybudget.graph.locations import model_name
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.firmware import Registrations
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import ModelStorage
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement


if TYPE_CHECKING:
    from pytest_tinybudget.convert.live import Data


_Function = TypeVar("_Function", bound=Callable[..., object])

#: Limits by ``"flash"``, ``"ram"``, ``"psram"`` and ``"arena"``: ``"200 KB"``, or bytes; by
#: ``"latency"``: ``"100 ms"``, and ``"energy"``: ``"50 uJ"`` of an inference.
Limits = Mapping[str, str | int]

#: What an operator takes, ``"persistent"``, ``"scratch"`` and ``"flash"``, by its name.
OperatorCosts = Mapping[str, Mapping[str, str | int]]

#: Shapes of inputs, batch included, by their names.
Shapes = Mapping[str, Sequence[int]]

#: Where the arena goes; of a split one, where ``"persistent"`` and ``"non_persistent"`` go.
ArenaPlace = Placement | Mapping[str, Placement]

_SIZES = (*METRICS, "update")

_UNITS: Mapping[str, Declarable] = {"latency": "s", "energy": "J"}

#: What the warn tier starts at where nothing is declared, percent of the limit.
_WARN_AT_PERCENT = 100.0


class MeasuredSettings(TypedDict, total=False):
    """What decides a footprint: how the model is made, and the firmware around it.

    ``pytest_tinybudget.check`` says what each key means.
    """

    registrations: Registrations
    placement: ArenaPlace
    placement_model: ModelPlacement
    storage_model: ModelStorage
    runtime: str | None
    stack: str | int | None
    operators: OperatorCosts | None
    input_shapes: Shapes | None
    representative_data: Data | None
    custom_objects: str | None
    strip: bool
    shrink: bool
    per_channel_dense: bool | None
    activations: Literal["int8", "int16", "float"]
    plan: bool


class Settings(MeasuredSettings, total=False):
    """All that may be said of a model: what decides its footprint, and what that is held to."""

    budget: Limits | None
    require_int8: bool | Literal["warn"]
    strict: bool


#: What holds where a key is left out.
DEFAULTS: Settings = {
    "budget": None,
    "require_int8": "warn",
    "strict": False,
    "registrations": "generic",
    "placement": "static",
    "placement_model": "flash",
    "storage_model": "flash",
    "runtime": None,
    "stack": None,
    "operators": None,
    "input_shapes": None,
    "representative_data": None,
    "custom_objects": None,
    "strip": False,
    "shrink": False,
    "per_channel_dense": None,
    "activations": "int8",
    "plan": False,
}


def offers(settings: type) -> Callable[[_Function], _Function]:
    """Show the keys of ``settings`` in a function's signature, in the place of ``**settings``."""

    def shown(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [each for name, each in signature.parameters.items() if name != "settings"]
        keys = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default)
            for key, default in DEFAULTS.items()
            if key in settings.__optional_keys__  # type: ignore[attr-defined]
        ]
        made = signature.replace(parameters=[*own, *keys])
        function.__signature__ = made  # type: ignore[attr-defined]
        return function

    return shown


def declared_model(path: Path, board: Board, settings: Settings, root: Path) -> DeclaredModel:
    """The model that a declaration of ``path`` and ``board`` alone, with ``settings``, would make.

    Relative paths in ``settings`` are below ``root``. Representative data is a declaration's: a
    path or ``"random"``.

    Raises:
        TinybudgetError: a value is none that a declaration may have.
        TypeError: there is no such setting.
    """
    for key in settings:
        if key not in DEFAULTS:
            raise TypeError(f"unexpected keyword argument {key!r}")
    given: Settings = {**DEFAULTS, **settings}
    name, data = model_name(path), given["representative_data"]
    runtime = _runtime(given["runtime"], root)
    conversion = Conversion(
        root=root,
        representative_data=None if data is None else str(data),
        custom_objects=given["custom_objects"],
        strip=given["strip"],
        per_channel_dense=given["per_channel_dense"],
        activations="int16" if given["activations"] == "int16" else "int8",
        plan=given["plan"],
        input_shapes=_shapes(given["input_shapes"]),
    )
    return DeclaredModel(
        name=name,
        section=name,
        source=path,
        declared_source=path.as_posix(),
        boards=(board,),
        budget=_budget(given["budget"] or {}),
        warn_at_percent=_WARN_AT_PERCENT,
        message="",
        require_int8=given["require_int8"],
        strict=given["strict"],
        registrations=given["registrations"],
        runtime=runtime,
        stack=_stack(given["stack"]),
        artifact_name=name,
        conversion=suited(conversion, (board,), runtime, shipped_runtimes()),
        placements=placements_of(
            given["placement"], given["placement_model"], given["storage_model"]
        ),
        operators=_costs(given["operators"] or {}),
        shrink=request_of(given["shrink"]),
    )


def _runtime(name: str | None, root: Path) -> DeclaredRuntime | None:
    if name is None:
        return None
    if name == PROJECT:
        return DeclaredRuntime(PROJECT, None, files=ProjectFiles(root))
    known = shipped_runtimes()
    if called(name) not in known:
        runtime_called(name)  # which tells what was meant
    return known[called(name)]


def _stack(size: str | int | None) -> int | None:
    try:
        return None if size is None else parse_size(size)
    except ValueError as error:
        raise TinybudgetError(f"stack: {error}") from None


def _shapes(declared: Shapes | None) -> tuple[tuple[str, tuple[int, ...]], ...]:
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
    """Where arena and model lie.

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
