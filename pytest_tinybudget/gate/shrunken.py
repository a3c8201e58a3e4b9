"""The boards that a model is shrunk for, as the firmware that each of them runs."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.firmware import Firmware


def firmwares_of(boards: Iterable[Board]) -> Mapping[str, Firmware]:
    """By board the firmware that its own runtime makes.

    Raises:
        TinybudgetError: a board runs no TFLM.
    """
    found = {}
    for board in boards:
        if not board.runs_tflm:
            raise TinybudgetError(
                f"{board.id} runs no TFLM: it has no core that firmware is built for"
            )
        found[board.id] = Firmware(runtime_called(board.runtime, board.core))
    return found
