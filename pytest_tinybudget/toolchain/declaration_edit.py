"""Editing a declaration: comments and layout stay, the file changes whole or not at all."""

from __future__ import annotations

from pathlib import Path

from pytest_tinybudget.artifacts.files import write
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.names import printable


def write_reserves(path: Path, board: str, reserved_flash: int, reserved_ram: int) -> None:
    """Set ``reserved_flash`` and ``reserved_ram`` (bytes) of ``[boards.BOARD]`` in ``path``.

    Raises:
        TinybudgetError: no such file or board, no TOML, or tomlkit is not installed.
    """
    try:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError
        from tomlkit.items import AbstractTable
    except ImportError as error:
        raise TinybudgetError(
            "writing into a declaration needs tomlkit: pip install 'pytest-tinybudget[elf]'"
        ) from error
    label = printable(path.as_posix())
    try:
        document = tomlkit.parse(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise TinybudgetError(f"{label}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TinybudgetError(f"{label}: not UTF-8 text") from error
    except TOMLKitError as error:
        raise TinybudgetError(f"{label}: not TOML: {printable(str(error))}") from error
    boards = document.get("boards")
    table = boards.get(board) if isinstance(boards, AbstractTable) else None
    if not isinstance(table, AbstractTable):
        raise TinybudgetError(
            f"{label} has no [boards.{printable(board)}]",
            details=(f'declare it first:\n\n[boards.{printable(board)}]\nextends = "…"',),
        )
    table["reserved_flash"] = f"{reserved_flash} B"
    table["reserved_ram"] = f"{reserved_ram} B"
    target = path.resolve()  # a linked declaration stays a link
    write(target.parent, {target.name: tomlkit.dumps(document).encode()})
