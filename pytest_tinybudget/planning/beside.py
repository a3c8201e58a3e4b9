"""What a live PyTorch module tells of its layers, in a file beside its program.

The program itself is only opened where it is converted: that takes seconds, and a process of its
own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.torch_graph import exported_network


class _Beside(Struct, frozen=True):
    network: Network | None
    why_not: str = ""


def write_beside(path: Path, program: Any) -> None:
    """Write the network of ``program`` beside ``path``, or why there is none."""
    try:
        found = _Beside(exported_network(program))
    except NotPlannedError as error:
        found = _Beside(None, error.message)
    _beside(path).write_bytes(msgspec.json.encode(found))


def read_beside(path: Path) -> Network | None:
    """The network that lies beside ``path``; ``None`` where none was written.

    Raises:
        NotPlannedError: the conversion of one of its layers is not known.
    """
    try:
        content = _beside(path).read_bytes()
    except OSError:
        return None
    found = msgspec.json.decode(content, type=_Beside)
    if found.network is None:
        raise NotPlannedError(found.why_not)
    return found.network


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.plan.json")
