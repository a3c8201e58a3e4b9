"""The contents of a ``tinybudget.toml``, with defaults applied and names looked up.

Only the loader makes these objects. The plugin, the command line and the verdict read them. Sizes
are integers of bytes, paths are absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Literal

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration.problems import nearest_line
from pytest_tinybudget.declaration.project_files import ProjectFiles
from pytest_tinybudget.declaration.suitability import require_suitable
from pytest_tinybudget.footprint.result import GroupArena
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import FixedCost
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.placement import ArenaPlacement
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.stand_ins import find_stand_in
from pytest_tinybudget.shrinking.options import ShrinkRequest


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.held_out import Accuracy
    from pytest_tinybudget.declaration.held_out import Agreement
    from pytest_tinybudget.planning.network import LayerList
    from pytest_tinybudget.planning.network import Network
    from pytest_tinybudget.rollout.policy import RolloutSettings
    from pytest_tinybudget.update.settings import UpdateSettings
    from pytest_tinybudget.update.slots import Slots


#: Checks that can be declared besides models on boards; each is an item of its own.
CheckKind = Literal["accuracy", "agreement", "rollout"]

#: File name that the plugin and the command line look for.
FILE_NAME = "tinybudget.toml"


class Budget(Struct, frozen=True):
    """Declared limits; ``None`` leaves the board's room as the only limit.

    Bytes; ``latency`` in seconds and ``energy`` in joules of one inference. ``ram`` is RAM on the
    chip, ``psram`` external RAM. ``arena`` is the tensor arena alone; of a split one each part has
    a limit, ``persistent_arena`` and ``non_persistent_arena``.
    """

    flash: int | None = None
    ram: int | None = None
    update: int | None = None
    latency: float | None = None
    energy: float | None = None
    psram: int | None = None
    arena: int | None = None
    persistent_arena: int | None = None
    non_persistent_arena: int | None = None


class MaxIncrease(Struct, frozen=True):
    """Declared limits of growth over the baseline, or over ``since``: percent of it, and bytes.

    Growth fails a pair if it exceeds all limits that are given; ``None`` is no limit. ``since`` is
    the name of a commit, such as a tag; empty for the baseline.
    """

    percent: float | None = None
    bytes: int | None = None
    since: str = ""

    @property
    def given(self) -> bool:
        """Whether any limit is declared."""
        return self.percent is not None or self.bytes is not None


class DeclaredRuntime(Struct, frozen=True):
    """A runtime that boards and models may name: shipped, or of a ``[runtime.NAME]``.

    ``runtime`` is ``None`` for a fixed cost without ``extends``: the arena is then simulated
    with the runtime of the board's core. ``own_table`` is whether its flash comes from the
    user's own section graph. A distribution makes another runtime for each core that it is built
    for: those are ``by_core``, and ``runtime`` is that of its usual core. What the project's own
    files name is ``files``, another runtime for each board.
    """

    name: str
    runtime: Runtime | None
    fixed: FixedCost | None = None
    own_table: bool = False
    by_core: Mapping[str, Runtime] = {}
    files: ProjectFiles | None = None

    def on(self, board: Board) -> Runtime | None:
        """The runtime for ``board``; ``None`` as ``runtime`` is."""
        if self.files is not None:
            flashed = self.files.flashed(board)
            return None if flashed is None else flashed.runtime
        return self.by_core.get(board.core, self.runtime)


class GoldenRequest(Struct, frozen=True):
    """Golden vectors: how many samples, the seed of random ones, or a file with them.

    ``tolerance`` is in steps of an output.
    """

    samples: int = 4
    seed: int = 0
    data: Path | None = None
    tolerance: int = 0


class DeclaredModel(Struct, frozen=True):
    """One model to gate.

    ``section`` is the NAME of its ``[models.NAME]`` (for line lookups); ``name`` differs from it
    where ``source`` is a glob, which makes one model a file, named after the file's stem.
    ``declared_source`` is the path relative to the declaration where it lies below it, POSIX.
    ``runtime`` is ``None`` to take each board's own. ``warn_at_percent`` is in 0..100.
    ``require_int8`` is ``"warn"`` unless declared. ``artifact_name`` names the written files.
    ``planned`` is a layer list in place of a file; ``source`` is then the declaration. Of a live
    model that is planned it is the network.
    ``checks`` are what else is declared of the model; ``placements`` is where arena and model lie.
    ``deployed`` is the file that devices have now. ``drift`` are limits of growth since a commit.
    ``require_base`` makes it an error where
    ``max_increase`` is declared and there was nothing to compare with; ``informational`` reports
    the model and never fails the run for it; ``approve_labels`` approve an increase for the pull
    request that one is set on. ``operators`` is what
    operators without a rule take in its firmware, by name. ``shrink`` is ``None`` for a file that
    is measured as it is. ``artifact_kinds`` are which files are written, ``golden`` the vectors
    among them.
    """

    name: str
    section: str
    source: Path
    declared_source: str
    boards: tuple[Board, ...]
    budget: Budget
    warn_at_percent: float
    message: str
    require_int8: bool | Literal["warn"]
    strict: bool
    registrations: Literal["generic", "typed"]
    runtime: DeclaredRuntime | None
    stack: int | None
    artifact_name: str
    max_increase: MaxIncrease = field(default_factory=MaxIncrease)
    drift: tuple[MaxIncrease, ...] = ()
    require_base: bool = False
    informational: bool = False
    approve_labels: tuple[str, ...] = ()
    accepts: tuple[Acceptance, ...] = ()
    conversion: Conversion = field(default_factory=lambda: Conversion(Path()))
    planned: LayerList | Network | None = None
    checks: tuple[CheckKind, ...] = ()
    placements: Placements = field(default_factory=Placements)
    deployed: Path | None = None
    accuracy: Accuracy | None = None
    agreement: Agreement | None = None
    operators: Mapping[str, OperatorCost] = {}
    shrink: ShrinkRequest | None = None
    artifact_kinds: tuple[Literal["c", "tflite", "golden"], ...] = ("c",)
    golden: GoldenRequest = field(default_factory=GoldenRequest)


class DeclaredGroup(Struct, frozen=True):
    """Models that share one board.

    ``arena`` is their largest (``"max"``), all of them (``"sum"``), or what their interpreters
    take of one allocator (``"multitenant"``). ``informational`` is as for a model.
    """

    name: str
    models: tuple[DeclaredModel, ...]
    boards: tuple[Board, ...]
    arena: GroupArena
    budget: Budget
    warn_at_percent: float
    message: str
    max_increase: MaxIncrease = field(default_factory=MaxIncrease)
    drift: tuple[MaxIncrease, ...] = ()
    require_base: bool = False
    informational: bool = False
    approve_labels: tuple[str, ...] = ()
    accepts: tuple[Acceptance, ...] = ()
    placement: ArenaPlacement = "static"


class Declaration(Struct, frozen=True):
    """A whole ``tinybudget.toml``, in the order of the file.

    ``boards`` holds the file's own boards (the models' ``boards`` are already resolved);
    ``runtimes`` every runtime that a board may name, shipped and declared; ``operators`` the
    declared costs by operator name; ``artifacts`` the output folder (``None``: not declared).
    ``baseline`` is the results file to compare with. ``slots`` has how own
    boards divide their flash for updates, by id; ``update`` is how updates are sent,
    ``rollout`` how they are staged.
    ``checks`` are what is declared of the file as a whole, ``files`` are those of the project.
    ``lines`` maps key paths (``("models", "kws", "budget")``) to line numbers.
    """

    path: Path
    models: Mapping[str, DeclaredModel]
    groups: Mapping[str, DeclaredGroup] = field(default_factory=dict)
    boards: Mapping[str, Board] = field(default_factory=dict)
    runtimes: Mapping[str, DeclaredRuntime] = field(default_factory=dict)
    operators: Mapping[str, OperatorCost] = field(default_factory=dict)
    slots: Mapping[str, Slots] = field(default_factory=dict)
    update: UpdateSettings | None = None
    rollout: RolloutSettings | None = None
    artifacts: Path | None = None
    baseline: Path | None = None
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    checks: tuple[CheckKind, ...] = ()
    files: ProjectFiles | None = None

    def line_of(self, *keys: str) -> int:
        """Line (from 1) of ``keys``, or of the nearest enclosing key that is in the file."""
        return nearest_line(self.lines, keys)

    def firmware_for(self, model: DeclaredModel, board: Board) -> Firmware:
        """The firmware of a pair. Its runtime is the model's, or the defaults', or the board's own.

        Raises:
            TinybudgetError: the board's core or runtime is not known, or does not suit the other.
        """
        return firmware_for(model, board, self.runtimes)


def runtime_for(
    model: DeclaredModel, board: Board, runtimes: Mapping[str, DeclaredRuntime]
) -> DeclaredRuntime:
    """The runtime of the model, or else the one that the board names.

    Raises:
        TinybudgetError: there is no runtime of that name.
    """
    if model.runtime:
        return model.runtime
    try:  # ``get`` looks twice
        return runtimes[board.runtime]
    except KeyError:
        raise unknown("runtime", board.runtime, runtimes) from None


def firmware_for(
    model: DeclaredModel, board: Board, runtimes: Mapping[str, DeclaredRuntime]
) -> Firmware:
    """The firmware of a pair, with the runtime of the model, or else the one that the board names.

    A board whose core has no table of its own keeps its flash margin, unless the flash comes
    from the user's own section graph or is a fixed cost.

    Raises:
        TinybudgetError: the board's core or runtime is not among ``runtimes``, or does not suit the
            other.
    """
    if model.runtime is None and not board.runs_tflm:
        raise TinybudgetError(
            f"{board.id} runs no TFLM: it has no core that firmware is built for", code="TB200"
        )
    declared = runtime_for(model, board, runtimes)
    require_suitable(declared, board, runtimes)
    runtime = declared.on(board) or RUNTIMES[find_stand_in(board.core).runtime]
    runtime = runtime.for_core(board.core)
    if not declared.own_table and declared.fixed is None:
        runtime = runtime.with_margin(board.flash_margin_percent)
    return Firmware(
        runtime=runtime,
        registrations=model.registrations,
        fixed=declared.fixed,
        stack=model.stack,
        placements=model.placements,
        label=declared.name if declared.fixed is not None else "",
    ).with_costs(model.operators)
