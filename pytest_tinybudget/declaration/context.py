"""The context in which sections of a declaration are resolved: the file, its problems, look-ups."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from pytest_tinybudget.base.paths import relative_path
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.units import EXAMPLES
from pytest_tinybudget.base.units import Declarable
from pytest_tinybudget.base.units import parse_quantity
from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.convert.settings import SAVED_MODEL_FILE
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.graph.locations import file_and_array


_Value = TypeVar("_Value")


class Context(Struct, frozen=True):
    """A declaration's ``path`` and the problems that were found in it so far."""

    path: Path
    problems: Problems

    def size(self, size: int | str | None, *keys: str) -> int | None:
        """Bytes of a declared size; ``None`` where none is declared or the bytes are no integer."""
        if size is None:
            return None
        try:
            return parse_size(size)
        except ValueError as error:
            if not self.problems.concerns(*keys):
                self.problems.add(keys, str(error), example=f'{keys[-1]} = "256 KB"')
            return None

    def quantity(self, text: str | None, unit: Declarable, *keys: str) -> float | None:
        """A declared quantity in SI base units; ``None`` where there is none, or it is zero."""
        if text is None:
            return None
        try:
            return parse_quantity(text, unit)
        except ValueError as error:
            if not self.problems.concerns(*keys):
                self.problems.add(keys, str(error), example=f'{keys[-1]} = "{EXAMPLES[unit]}"')
            return None

    def elements(self, values: Iterable[str], keys: KeyPath) -> Iterator[tuple[KeyPath, str]]:
        """Each value of the list at ``keys`` with its own key path.

        Wrong elements were left out before; the others keep their indices.
        """
        index = 0
        for value in values:
            while self.problems.concerns(*keys, str(index)):
                index += 1
            yield (*keys, str(index)), value
            index += 1

    def file(self, declared: str, keys: KeyPath, example: str = "models/kws.tflite") -> Path:
        """The file that ``declared`` names, relative to the declaration.

        ``FILE::ARRAY``, a model in a C source, keeps the name of its array.
        """
        location = Path(os.path.normpath(self.path.parent / declared))
        path, _ = file_and_array(location)
        if not exists(path):
            broken = " (a link that leads nowhere)" if _is_link(path) else ""
            self.problems.add(
                keys,
                f"no such file: {declared!r}{broken}{separator_hint(declared)}",
                name=path.name,
                valid=siblings(path),
                example=f'{keys[-1]} = "{example}"',
            )
        elif path.is_dir() and not is_model(path):
            text = f"{declared!r} is a folder; expected a file"
            if keys[-1] == "source":  # which may be a glob
                example = f"{declared.rstrip('/')}/*.tflite"
            self.problems.add(keys, text, example=f'{keys[-1]} = "{example}"')
        return location

    def look_up(
        self, kind: str, name: str, valid: Mapping[str, _Value], keys: KeyPath
    ) -> _Value | None:
        """What ``name`` stands for. An unknown one is a problem that offers the nearest names."""
        if name not in valid:
            text = f"unknown {kind} {name!r}"
            self.problems.add(
                keys, text, name=name, valid=valid, example=_example(kind, keys, valid)
            )
        return valid.get(name)

    def relative(self, path: Path) -> str:
        """``path`` as reports show it: from the declaration's folder where it lies below it."""
        try:
            return path.relative_to(self.path.parent).as_posix()
        except ValueError:
            return relative_path(path, self.path.parent)


def separator_hint(declared: str) -> str:
    """Where a path that is not there has a backslash, or was to have one and TOML read ``\\n``."""
    if re.search(r"[\\\x00-\x1f]", declared):
        return "; folders are separated by '/', on Windows too"
    return ""


def exists(path: Path) -> bool:
    """Whether the file or folder exists. A path that the system refuses does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def is_model(path: Path) -> bool:
    """Whether a match of a glob is a model: a file, or the folder of a SavedModel."""
    return path.is_file() or (path / SAVED_MODEL_FILE).is_file()


def _example(kind: str, keys: KeyPath, valid: Mapping[str, object]) -> str:
    """A valid line of TOML with a name of this ``kind``, alone or in a list."""
    name = {
        "board": "esp32",
        "runtime": "m4_cmsisnn",
        "release of esp-nn": "1.2.3",
        "sdk": "zephyr",
        "core": "Cortex-M4F",
        "model": "kws",
        "accelerator": "ethos-u55-128",
    }[kind]
    if name not in valid:  # where only some of the known ones may stand
        name = next(iter(valid), name)
    return f'{keys[-2]} = ["{name}"]' if keys[-1].isdigit() else f'{keys[-1]} = "{name}"'


def siblings(path: Path) -> list[str]:
    """Names of files beside ``path`` that may have been meant: of its kind, or similarly named."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())[:200]
    except (OSError, ValueError):
        return []
    of_its_kind = [name for name in names if Path(name).suffix == path.suffix]
    return of_its_kind or nearest(path.name, names)


def first(preferred: _Value | None, otherwise: _Value) -> _Value:
    """``preferred`` where it is declared, else ``otherwise``."""
    return otherwise if preferred is None else preferred
