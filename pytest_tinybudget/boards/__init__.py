"""Boards as data: the board type, the catalogue, and the cores' runtimes."""

from __future__ import annotations

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.boards.board import Sdk
from pytest_tinybudget.boards.catalogue import catalogue
from pytest_tinybudget.boards.catalogue import find_board
from pytest_tinybudget.boards.catalogue import find_boards
from pytest_tinybudget.boards.catalogue import search
from pytest_tinybudget.boards.catalogue import with_others
from pytest_tinybudget.runtimes.cores import Core
from pytest_tinybudget.runtimes.cores import find_core
from pytest_tinybudget.runtimes.placement import Placement


__all__ = [
    "Board",
    "Core",
    "Placement",
    "Region",
    "Sdk",
    "catalogue",
    "find_board",
    "find_boards",
    "find_core",
    "search",
    "with_others",
]
