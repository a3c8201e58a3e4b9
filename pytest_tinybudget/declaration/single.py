"""The pair that a declaration of one model and one board would make, without a declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING
from typing import cast

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.declaration.pairs import Location
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.project import Project
from pytest_tinybudget.declaration.settings import MeasuredSettings
from pytest_tinybudget.declaration.settings import Settings
from pytest_tinybudget.declaration.settings import declared_model
from pytest_tinybudget.declaration.shrunken import with_firmwares


if TYPE_CHECKING:
    from pytest_tinybudget.convert.live import Source
    from pytest_tinybudget.convert.live import TorchModule
    from pytest_tinybudget.planning.network import LayerList
    from pytest_tinybudget.planning.network import Network


@contextmanager
def pair_with(
    model: Source,
    board: str | Board,
    settings: Settings | MeasuredSettings,
    folder: Path,
    example_inputs: object = None,
    input_shape: Sequence[int] | None = None,
) -> Iterator[Pair]:
    """The pair of a model and a board, with ``settings``; it can be measured inside the block.

    Relative paths are below ``folder``. A live model that is to be planned, and has no data to be
    converted with, is not saved; nor are layers, whose input has ``input_shape``.

    Raises:
        TinybudgetError: model, board or a setting are wrong.
    """
    from pytest_tinybudget.convert.live import on_disk

    pair = _planned(model, board, settings, folder, example_inputs, input_shape)
    if pair is not None:
        yield pair
        return
    if input_shape is not None:
        raise TinybudgetError("input_shape is for a model as a list of layers")
    if settings.get("activations") == "float":
        raise TinybudgetError(
            'activations = "float" is for layers and plans: a conversion makes int8 or int16'
        )
    data = settings.get("representative_data")
    with on_disk(model, data, example_inputs) as (path, data):
        given: Settings = {**settings, "representative_data": data}
        yield pair_of(folder / path, board=board, root=folder.absolute(), settings=given)


def _planned(
    model: Source,
    board: str | Board,
    settings: Settings | MeasuredSettings,
    folder: Path,
    example_inputs: object,
    input_shape: Sequence[int] | None,
) -> Pair | None:
    """The pair of a model that is given as layers, or planned as it is; ``None`` for others."""
    from pytest_tinybudget.declaration.planned import layers_of
    from pytest_tinybudget.planning.network import NotPlannedError
    from pytest_tinybudget.planning.tuples import is_layer_list
    from pytest_tinybudget.planning.tuples import layer_list

    network: LayerList | Network | None = None
    if is_layer_list(model):
        layers = cast("Sequence[object]", model)
        if layers and all(isinstance(each, Mapping) for each in layers):
            network = layers_of(layers, input_shape)
        else:
            network = layer_list(layers, input_shape)
    elif settings.get("plan") and settings.get("representative_data") is None:
        with suppress(NotPlannedError):  # it is converted, or that says so
            network = _live(model, settings, example_inputs)
    if network is None:
        return None
    from pytest_tinybudget.convert.live import is_torch_module

    called = type(model).__name__ if is_torch_module(model) else getattr(model, "name", "")
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", called) or "model"
    given = cast("Settings", settings)
    pair = pair_of(folder / name, board=board, root=folder.absolute(), settings=given)
    own = pair.model.conversion
    network = replace(
        network,
        numbers=settings.get("activations", "int8"),
        # The quantizer of PyTorch's programs has no such setting.
        per_channel_dense=own.scales_per_channel or is_torch_module(model),
    )
    return replace(pair, model=replace(pair.model, planned=network))


def _live(
    model: Source, settings: Settings | MeasuredSettings, example_inputs: object
) -> Network | None:
    """The network of a live model; ``None`` of what is none.

    Raises:
        NotPlannedError: a layer's conversion is not known.
    """
    from pytest_tinybudget.convert.live import exported
    from pytest_tinybudget.convert.live import is_torch_module

    if is_torch_module(model):
        from pytest_tinybudget.planning.torch_graph import exported_network

        return exported_network(exported(cast("TorchModule", model), example_inputs))
    from pytest_tinybudget.planning.live import live_network

    shapes = settings.get("input_shapes") or {}
    return live_network(model, [(name, tuple(each)) for name, each in shapes.items()])


def pair_of(
    path: str | PathLike[str],
    *,
    board: str | Board,
    root: Path | None = None,
    settings: Settings | None = None,
) -> Pair:
    """The pair that a declaration of this one model and board would make.

    Relative paths in ``settings`` are below ``root``, by default the working directory.

    Raises:
        TinybudgetError: the board or a setting is wrong.
    """
    path = Path(path)
    found = board if isinstance(board, Board) else find_board(board)
    model = declared_model(path, found, settings or {}, root or Path.cwd())
    project = Project(path)
    model = with_firmwares(model, (found,), project.runtimes)
    return Pair(Location(path.parent.as_posix()), project, model, found)
