"""What ``keras_models.py`` and ``torch_models.py`` share: their command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Collection
from pathlib import Path


def write_models(
    about: str | None, models: Collection[str], write: Callable[[str, Path], None]
) -> None:
    """Write all ``models``, or those that the command line names, into the folder that it names.

    ``about`` is the help; ``write`` gets a model's name and the folder, which is made.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", choices=[*models, []], help="all without")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names or models:
        write(name, given.folder)
