"""What ``sdk`` means of a board: whose share of its memory counts, and whose TFLM runs there."""

from __future__ import annotations

from msgspec.structs import replace

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Sdk
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.runtimes.distributions import runtime_of_sdk
from pytest_tinybudget.runtimes.distributions import sdks
from pytest_tinybudget.runtimes.stand_ins import stand_ins


_NOTHING_KNOWN = "what it takes of this board is not known: declare reserved_flash and reserved_ram"


def with_reserve(board: Board, sdk: str) -> Board:
    """``board`` with what ``sdk`` takes of it; where nobody has published that, a pass warns."""
    known = {each.name: each for each in board.sdks}
    names = sdks()[sdk].reserves if sdk in sdks() else (sdk,)
    reserve = next((known[name] for name in names if name in known), None)
    if reserve is None:
        reserve = Sdk(sdk, 0, 0, "none", _NOTHING_KNOWN, complete=False)
        board = replace(board, sdks=(*board.sdks, reserve))
    return board.with_sdk(reserve)


def with_runtime(context: Context, board: Board, sdk: str, keys: KeyPath) -> Board:
    """``board`` with the TFLM that ``sdk`` ships for its core; a problem where it ships none."""
    if board.core not in stand_ins():
        return board
    runtime = runtime_of_sdk(board.core, sdk)
    if runtime:
        return replace(board, runtime=runtime)
    valid = [name for name in sdks() if runtime_of_sdk(board.core, name)]
    text = f"{sdk!r} ships no TFLM for {board.core}, the core of {board.id}"
    context.problems.add(keys, text, valid=valid, example=f'sdk = "{valid[0]}"')
    return board


def is_known(context: Context, sdk: str, keys: KeyPath, board: Board | None = None) -> bool:
    """Whether there is an SDK of this name, or ``board`` knows it; else a problem."""
    valid = {**dict.fromkeys(sdks(), True)}
    if board is not None:
        valid.update((each.name, True) for each in board.sdks)
    return bool(context.look_up("sdk", sdk, valid, keys))
