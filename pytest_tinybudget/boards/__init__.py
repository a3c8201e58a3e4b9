"""Boards as data: the board type, the catalog, and the cores' runtimes."""

from __future__ import annotations

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.boards.board import Sdk
from pytest_tinybudget.boards.catalog import catalog
from pytest_tinybudget.boards.catalog import find_board
from pytest_tinybudget.boards.catalog import find_boards
from pytest_tinybudget.boards.catalog import search
from pytest_tinybudget.boards.catalog import with_others
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.runtimes.stand_ins import StandIn
from pytest_tinybudget.runtimes.stand_ins import find_stand_in


__all__ = [
    "Board",
    "Placement",
    "Region",
    "Sdk",
    "StandIn",
    "catalog",
    "find_board",
    "find_boards",
    "find_stand_in",
    "search",
    "with_others",
]
