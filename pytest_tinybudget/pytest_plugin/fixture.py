"""The ``tinybudget`` fixture: checks in a test, with the run's gate, boards and report."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace

from pytest_tinybudget.api import ArenaPlace
from pytest_tinybudget.api import Limits
from pytest_tinybudget.api import OperatorCosts
from pytest_tinybudget.api import Shapes
from pytest_tinybudget.api import checked
from pytest_tinybudget.api import pair_of
from pytest_tinybudget.api import placements_of
from pytest_tinybudget.api import shapes_of
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.convert.live import Data
from pytest_tinybudget.convert.live import Source
from pytest_tinybudget.convert.live import on_disk
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration.pairs import Location
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.pytest_plugin.process import boards_of
from pytest_tinybudget.pytest_plugin.process import gate_of
from pytest_tinybudget.pytest_plugin.settings import RESULTS
from pytest_tinybudget.pytest_plugin.terminal import style_of
from pytest_tinybudget.report.terminal import failure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import ModelStorage


class Tinybudget:
    """What the ``tinybudget`` fixture gives to a test. Model paths are relative to rootdir."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._node = request.node
        self._config = request.config

    def check(
        self,
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
        """As ``pytest_tinybudget.check``; the test fails here where the pair does not pass.

        The result appears in the run's table and results file as well.

        Raises:
            TinybudgetError: the model cannot be read, or board or budget are wrong.
        """
        __tracebackhide__ = True
        try:
            with on_disk(model, representative_data) as (path, data):
                pair = pair_of(
                    self._config.rootpath / path,
                    board=self._board(board),
                    budget=budget,
                    require_int8=require_int8,
                    strict=strict,
                    registrations=registrations,
                    placements=placements_of(placement, placement_model, storage_model),
                    conversion=Conversion(
                        root=self._config.rootpath,
                        representative_data=data,
                        custom_objects=custom_objects,
                        strip=strip,
                        per_channel_dense=per_channel_dense,
                        activations=activations,
                        input_shapes=shapes_of(input_shapes),
                    ),
                    operators=operators,
                )
                result = checked(gate_of(self._config), self._named(pair, model))
        except TinybudgetError as error:
            raise error.with_traceback(None) from None  # the test's own line is the place
        self._node.stash.setdefault(RESULTS, []).append(result)
        if result.failed:
            verbosity = self._config.get_verbosity()
            pytest.fail(failure(result, style_of(self._config), verbosity=verbosity), pytrace=False)
        return result

    def measure(
        self,
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
        """As ``pytest_tinybudget.measure``: flash and RAM in parts, in bytes.

        Raises:
            TinybudgetError: the model cannot be read, or there is no such board.
        """
        with on_disk(model, representative_data) as (path, data):
            pair = pair_of(
                self._config.rootpath / path,
                board=self._board(board),
                registrations=registrations,
                placements=placements_of(placement, placement_model, storage_model),
                conversion=Conversion(
                    self._config.rootpath, data, input_shapes=shapes_of(input_shapes)
                ),
                operators=operators,
            )
            return measurement(pair, gate_of(self._config).workspace, details=True).footprint

    def _board(self, board: str | Board) -> Board:
        return board if isinstance(board, Board) else find_board(board, boards_of(self._config))

    def _named(self, pair: Pair, model: Source) -> Pair:
        """``pair`` under the test's node id, with the model's path as the test gave it."""
        source = pair.model.source.name
        if isinstance(model, (str, PathLike)):
            source = Path(model).as_posix()
        declared = replace(pair.model, declared_source=source)
        return replace(pair, location=Location(self._node.nodeid), model=declared)
