"""What a process of a run reads and measures with, each made once: gate, boards, declarations."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import DEFAULT_DIRECTORY
from pytest_tinybudget.base.files import write
from pytest_tinybudget.base.text import is_valid_name
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.baselines import Baselines
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.project import Project
from pytest_tinybudget.gate.artifacts import Artifacts
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.pytest_plugin.asked import details_wanted
from pytest_tinybudget.pytest_plugin.kept import claims_of
from pytest_tinybudget.pytest_plugin.settings import FILE_NAME
from pytest_tinybudget.pytest_plugin.settings import SHARED_FOLDER
from pytest_tinybudget.pytest_plugin.settings import artifacts_required
from pytest_tinybudget.pytest_plugin.settings import in_worker
from pytest_tinybudget.pytest_plugin.settings import names_base
from pytest_tinybudget.pytest_plugin.settings import path_setting
from pytest_tinybudget.pytest_plugin.settings import setting
from pytest_tinybudget.pytest_plugin.settings import worker_input
from pytest_tinybudget.pytest_plugin.settings import writes_page
from pytest_tinybudget.pytest_plugin.terminal import show_progress
from pytest_tinybudget.pytest_plugin.worker_files import queue_files
from pytest_tinybudget.workspace import Workspace
from pytest_tinybudget.workspace import earlier_footprints


if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.declaration.pairs import Declared


_GATE = pytest.StashKey[Gate]()
_BOARDS = pytest.StashKey["Mapping[str, Board]"]()
_DECLARATIONS = pytest.StashKey[dict[Path, Declaration]]()


def gate_of(config: pytest.Config) -> Gate:
    """The gate of this process, whose workspace keeps what it has measured for the whole run.

    Raises:
        TinybudgetError: ``verify`` is asked for, and the interpreter is not installed.
    """
    if _GATE not in config.stash:
        if setting(config, "tinybudget_verify"):
            from pytest_tinybudget.gate.cross_check import require_interpreter

            require_interpreter()
        estimator = partial(config.hook.pytest_tinybudget_estimator, config=config)
        given = worker_input(config)
        shared = None
        if SHARED_FOLDER in given:
            from pytest_tinybudget.workspace.shared_footprints import SharedFootprints

            shared = SharedFootprints(Path(given[SHARED_FOLDER]))
        cached = not setting(config, "tinybudget_no_cache")
        workspace = Workspace(
            estimator=lambda model, runtime: estimator(model=model, runtime=runtime),
            cached=cached,
            kept=earlier_footprints() if cached else None,
            progress=partial(show_progress, config),
            shared=shared,
        )
        rules = Rules(
            strict=setting(config, "tinybudget_strict"),
            verify=setting(config, "tinybudget_verify"),
            require_base=setting(config, "tinybudget_require_base"),
            waste=writes_page(config),
            vela=details_wanted(config),
            informational=setting(config, "tinybudget_informational"),
            approve_labels=tuple(setting(config, "tinybudget_approve_label")),
        )
        chosen = None
        if names_base(config) or in_worker(config):
            from pytest_tinybudget.pytest_plugin.baseline import chosen_baseline

            chosen = chosen_baseline(config)
        written = path_setting(config, "tinybudget_json")
        writer = partial(queue_files, config) if in_worker(config) else write
        config.stash[_GATE] = Gate(
            workspace,
            rules,
            Baselines(chosen, written, partial(boards_of, config)),
            Artifacts(artifacts_required(config), writer, claims_of(config)),
        )
        config.add_cleanup(workspace.close)
    return config.stash[_GATE]


def forget(config: pytest.Config, pairs: Sequence[Declared]) -> None:
    """Drop what the workspace keeps for ``pairs``, which have run."""
    if _GATE in config.stash:
        config.stash[_GATE].workspace.forget(pairs)


def boards_of(config: pytest.Config) -> Mapping[str, Board]:
    """The catalog with the boards that other plugins add.

    Raises:
        TinybudgetError: a plugin's board has the id of another one, or one that no test can have.
    """
    if _BOARDS not in config.stash:
        from pytest_tinybudget.boards import catalog
        from pytest_tinybudget.boards import with_others

        others: dict[str, Board] = {}
        for added in config.hook.pytest_tinybudget_boards(config=config):
            for board in added:
                if board.id in others or board.id in catalog():
                    raise TinybudgetError(
                        f"pytest_tinybudget_boards: there is a board {board.id} already"
                    )
                if not is_valid_name(board.id):
                    raise TinybudgetError(
                        "pytest_tinybudget_boards: expected an id of letters, digits, '.', '_' "
                        f"and '-', found {printable(board.id)!r}"
                    )
                others[board.id] = board
        config.stash[_BOARDS] = with_others(catalog(), others)
    return config.stash[_BOARDS]


def declaration_at(config: pytest.Config, path: Path) -> Declaration:
    """The declaration in the file ``path``, read once in a run.

    Raises:
        DeclarationError: it cannot be read or is not valid.
    """
    kept = config.stash.setdefault(_DECLARATIONS, {})
    if path not in kept:
        kept[path] = load_declaration(path, boards_of(config))
    return kept[path]


def baselines_named(config: pytest.Config, ids: Iterable[str]) -> dict[str, Path | None]:
    """The results files that the declarations of the pairs ``ids`` name as their baselines.

    By the declarations' files as ids have them; ``None`` for one that names none.

    Raises:
        DeclarationError: a declaration cannot be read or is not valid.
    """
    files: dict[str, Path | None] = {}
    for file in sorted({each.partition("::")[0] for each in ids}):
        path = config.rootpath / file
        if path.name == FILE_NAME and path.exists():
            files[file] = declaration_at(config, path).baseline
    return files


def artifacts_folder(config: pytest.Config, declaration: Declaration | Project) -> Path:
    """Where C files go: the option, else the ini value, the declaration, or beside it."""
    chosen = path_setting(config, "tinybudget_artifacts") or declaration.artifacts
    return chosen or declaration.path.parent / DEFAULT_DIRECTORY
