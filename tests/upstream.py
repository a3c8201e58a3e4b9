"""Boards with upstream's own TFLM, for tests that are not about which TFLM a board has."""

from __future__ import annotations

from msgspec.structs import replace

from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.runtimes.stand_ins import stand_ins


#: The line of a declaration that says it.
RUNTIME = 'runtime = "tflite-micro 90b983c2"\n'


def upstream_board(board_id: str) -> Board:
    """The catalog's board, measured with TFLM's own repository on its core."""
    board = find_board(board_id)
    return replace(board, runtime=stand_ins()[board.core].runtime)
