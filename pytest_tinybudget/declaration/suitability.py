"""Which runtimes run on a board: a runtime is code for a core, and a board has one.

Everywhere that a runtime is chosen asks here: the declaration at the line of the choice, and
``Declaration.firmware_for`` for whoever has no declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal
from typing import Protocol

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.project_files import ProjectFiles
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.abi import Core
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.stand_ins import stand_ins


#: ``own``: built for the board's core, or the nearest there is; ``lesser``: built for another of
#: its family, whose code the board's core runs; ``other``: does not run there.
Suitability = Literal["own", "lesser", "other"]

#: More cores than these are named by their families.
_MOST_NAMED = 6


def suitability(runtime: Runtime, board: Board) -> Suitability:
    """How ``runtime`` suits the core of ``board``; one that nothing is known of takes any."""
    return _suitability(runtime, board.core)


@lru_cache(maxsize=256)
def _suitability(runtime: Runtime, board_core: str) -> Suitability:
    built_for = [core.name for core in runtime.cores]
    core = CORES.get(board_core)
    if core is None:
        return "own"
    stand_in = stand_ins().get(board_core)
    # Where there is no table for a core, the one of the nearest core is its own.
    cores = RUNTIMES[stand_in.runtime].cores if stand_in else ()
    nearest = {each.name for each in cores}
    at_home = {board_core} if board_core in nearest else {board_core, *nearest}
    if not at_home.isdisjoint(built_for):
        return "own"
    if any(core.runs_code_for(CORES[other]) for other in built_for):
        return "lesser"
    return "other"


class Named(Protocol):
    """What a declaration knows under the name of a runtime."""

    @property
    def name(self) -> str:
        """What declarations call it."""

    @property
    def runtime(self) -> Runtime | None:
        """The runtime; ``None`` where only its fixed cost is declared."""

    @property
    def by_core(self) -> Mapping[str, Runtime]:
        """The runtimes of a distribution, by the core that each is for; else empty."""

    @property
    def files(self) -> ProjectFiles | None:
        """The project's files, where these say what the runtime is."""


def suits(declared: Named, board: Board) -> Suitability:
    """How a runtime that a declaration knows suits the core of ``board``.

    A distribution is built for a core or it is not: firmware takes no other core's build of it.
    """
    if declared.files is not None:
        return "own" if declared.files.flashed(board) else "other"
    if declared.by_core:
        return "own" if board.core in declared.by_core or board.core not in CORES else "other"
    return "own" if declared.runtime is None else suitability(declared.runtime, board)


def suitable(runtimes: Mapping[str, Named], board: Board) -> list[str]:
    """Names of the ``runtimes`` that run on ``board``: its own, others for its core, the rest.

    Of a distribution the newest release stands for all.
    """
    found: dict[Suitability, list[str]] = {"own": [], "lesser": [], "other": []}
    for name, declared in runtimes.items():
        release = distributions().get(name)
        if declared.runtime is not None and (release is None or release.newest):
            found[suits(declared, board)].append(name)
    stand_in = stand_ins().get(board.core)
    usual = stand_in.runtime if stand_in else ""
    found["own"].sort(key=lambda name: (name != board.runtime, name != usual))
    return [*found["own"], *found["lesser"]]


def does_not_run(declared: Named, board: Board) -> str:
    """What is wrong with a runtime that does not suit ``board``."""
    if declared.files is not None:
        return declared.files.why_nothing(board)
    runtime = declared.runtime
    cores = tuple(map(CORES.__getitem__, declared.by_core)) or (runtime.cores if runtime else ())
    return (
        f"runtime {declared.name!r} does not run on {board.id}: it is code for {_named(cores)}, "
        f"and the board's core is {board.core}"
    )


def searched(declared: Named) -> list[str]:
    """Where ``runtime = "project"`` found nothing, lines of where it looked."""
    return [] if declared.files is None else declared.files.searched()


def require_suitable(declared: Named, board: Board, runtimes: Mapping[str, Named]) -> None:
    """Nothing where ``declared`` runs on ``board``.

    Raises:
        TinybudgetError: it does not; names those of ``runtimes`` that do.
    """
    if suits(declared, board) == "other":
        names = ", ".join(suitable(runtimes, board))
        text = does_not_run(declared, board)
        details = (*searched(declared), f"valid: {names}")
        raise TinybudgetError(text, details=details, code="TB200")


def for_a_lesser_core(name: str, runtime: Runtime, board: Board) -> str:
    """What it means that ``runtime`` is built for less than the core of ``board``; else empty."""
    if suitability(runtime, board) != "lesser":
        return ""
    stand_in = stand_ins().get(board.core)
    own = RUNTIMES[stand_in.runtime] if stand_in else None
    differs = "flash and stack"
    if own is not None and own.kernels != runtime.kernels:
        differs = "flash, stack and arena"
    lesser = [each for each in runtime.cores if CORES[board.core].runs_code_for(each)]
    text = (
        f"runtime {name} counts code for {_named(lesser)}: {board.id} runs it, but firmware "
        f"that is built for its {board.core} takes other {differs}"
    )
    return text if own is None else f"{text} ({own.name} counts that)"


def _named(cores: Sequence[Core]) -> str:
    """The cores by name, or by family where there are too many to read."""
    names = [core.name for core in cores]
    if len(names) > _MOST_NAMED:
        names = list(dict.fromkeys(core.family for core in cores))
    return " or ".join(names)
