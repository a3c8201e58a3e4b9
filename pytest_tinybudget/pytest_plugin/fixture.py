"""The ``tinybudget`` fixture: checks in a test, with the run's gate, boards and report."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.convert.live import Source
from pytest_tinybudget.declaration.pairs import Location
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.settings import MeasuredSettings
from pytest_tinybudget.declaration.settings import Settings
from pytest_tinybudget.declaration.settings import offers
from pytest_tinybudget.declaration.single import pair_with
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.pytest_plugin.process import boards_of
from pytest_tinybudget.pytest_plugin.process import gate_of
from pytest_tinybudget.pytest_plugin.settings import RESULTS
from pytest_tinybudget.pytest_plugin.terminal import failure_text
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from typing_extensions import Unpack


class Tinybudget:
    """What the ``tinybudget`` fixture gives to a test. Model paths are relative to rootdir."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._node = request.node
        self._config = request.config

    @offers(Settings)
    def check(
        self,
        model: Source,
        *,
        board: str | Board,
        example_inputs: object = None,
        input_shape: Sequence[int] | None = None,
        **settings: Unpack[Settings],
    ) -> PairResult:
        """As ``pytest_tinybudget.check``; the test fails here where the pair does not pass.

        The result appears in the run's table and results file as well.

        Args:
            model: as for ``pytest_tinybudget.check``.
            board: an id, in the catalog or of a plugin's board, or a ``Board``.
            example_inputs: of a ``torch.nn.Module``, a tensor with batch 1 for each input.
            input_shape: of layers, the shape of their input, without batch.
            settings: those of ``pytest_tinybudget.check``.

        Raises:
            TinybudgetError: the model cannot be read, or the board or a setting is wrong.
            TypeError: there is no such setting.
        """
        __tracebackhide__ = True
        chosen, root = self._board(board), self._config.rootpath
        try:
            with pair_with(model, chosen, settings, root, example_inputs, input_shape) as pair:
                result = gate_of(self._config).check_or_raise(self._named(pair, model))
        except TinybudgetError as error:
            raise error.with_traceback(None) from None  # the test's own line is the place
        self._node.stash.setdefault(RESULTS, []).append(result)
        if result.fails_run:
            pytest.fail(failure_text(self._config, result), pytrace=False)
        return result

    @offers(MeasuredSettings)
    def measure(
        self,
        model: Source,
        *,
        board: str | Board,
        example_inputs: object = None,
        input_shape: Sequence[int] | None = None,
        **settings: Unpack[MeasuredSettings],
    ) -> Footprint:
        """As ``pytest_tinybudget.measure``: flash and RAM in parts, in bytes.

        Args:
            model: as for ``pytest_tinybudget.check``.
            board: an id, in the catalog or of a plugin's board, or a ``Board``.
            example_inputs: of a ``torch.nn.Module``, a tensor with batch 1 for each input.
            input_shape: of layers, the shape of their input, without batch.
            settings: those of ``pytest_tinybudget.measure``.

        Raises:
            TinybudgetError: the model cannot be read, or the board or a setting is wrong.
            TypeError: there is no such setting.
        """
        workspace, root = gate_of(self._config).workspace, self._config.rootpath
        chosen = self._board(board)
        with pair_with(model, chosen, settings, root, example_inputs, input_shape) as pair:
            return measurement(pair, workspace, details=True).footprint

    def _board(self, board: str | Board) -> Board:
        return board if isinstance(board, Board) else find_board(board, boards_of(self._config))

    def _named(self, pair: Pair, model: Source) -> Pair:
        """``pair`` under the test's node id, with the model's path as the test gave it."""
        source = pair.model.source.name
        if isinstance(model, (str, PathLike)):
            source = Path(model).as_posix()
        declared = replace(pair.model, declared_source=source)
        return replace(pair, location=Location(self._node.nodeid), model=declared)
