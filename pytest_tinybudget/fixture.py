"""The ``tinybudget`` fixture: checks in a test, with the run's gate, boards and report."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

import pytest

from pytest_tinybudget.api import Limits
from pytest_tinybudget.api import checked
from pytest_tinybudget.api import pair_of
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.collection import boards_of
from pytest_tinybudget.collection import gate_of
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate import Pair
from pytest_tinybudget.plugin import RESULTS
from pytest_tinybudget.recorder import style_of
from pytest_tinybudget.report.terminal import failure
from pytest_tinybudget.results import PairResult


class Tinybudget:
    """What the ``tinybudget`` fixture gives to a test. Model paths are relative to rootdir."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._node = request.node
        self._config = request.config

    def check(
        self,
        model_path: str | PathLike[str],
        *,
        board: str | Board,
        budget: Limits | None = None,
        require_int8: bool | Literal["warn"] = "warn",
        strict: bool = False,
        registrations: Literal["generic", "typed"] = "generic",
    ) -> PairResult:
        """As ``pytest_tinybudget.check``; the test fails here where the pair does not pass.

        The result appears in the run's table and results file as well.

        Raises:
            TinybudgetError: the model cannot be read, or board or budget are wrong.
        """
        __tracebackhide__ = True
        pair = pair_of(
            self._config.rootpath / model_path,
            board=self._board(board),
            budget=budget,
            require_int8=require_int8,
            strict=strict,
            registrations=registrations,
        )
        try:
            result = checked(gate_of(self._config), self._named(pair, model_path))
        except TinybudgetError as error:
            raise error.with_traceback(None) from None  # the test's own line is the place
        self._node.stash.setdefault(RESULTS, []).append(result)
        if result.failed:
            pytest.fail(failure(result, style_of(self._config)), pytrace=False)
        return result

    def measure(
        self,
        model_path: str | PathLike[str],
        *,
        board: str | Board,
        registrations: Literal["generic", "typed"] = "generic",
    ) -> Footprint:
        """As ``pytest_tinybudget.measure``: flash and RAM in parts, in bytes.

        Raises:
            TinybudgetError: the model cannot be read, or there is no such board.
        """
        pair = pair_of(
            self._config.rootpath / model_path,
            board=self._board(board),
            registrations=registrations,
        )
        return gate_of(self._config).footprint(pair)

    def _board(self, board: str | Board) -> Board:
        return board if isinstance(board, Board) else find_board(board, boards_of(self._config))

    def _named(self, pair: Pair, model_path: str | PathLike[str]) -> Pair:
        """``pair`` under the test's node id, with the model's path as the test gave it."""
        source = Path(model_path).as_posix()
        return replace(
            pair, file=self._node.nodeid, model=replace(pair.model, declared_source=source)
        )
