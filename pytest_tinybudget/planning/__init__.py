"""Models that are planned, not converted: layers to the graph that a converter would make.

``network.py`` has what a network is, ``lowering/`` which operators a layer becomes, ``nodes.py``
their order, ``passes.py`` what the converter fuses and moves, ``emit.py`` tensors and file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError


if TYPE_CHECKING:
    from pytest_tinybudget.planning.plan import model_of
    from pytest_tinybudget.planning.plan import planned_model


__all__ = ["Layer", "LayerList", "Network", "NotPlannedError", "model_of", "planned_model"]


def __getattr__(name: str) -> object:
    """What makes graphs, on first use: every declaration needs the names of layers alone."""
    if name not in ("model_of", "planned_model"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytest_tinybudget.planning import plan

    return getattr(plan, name)
