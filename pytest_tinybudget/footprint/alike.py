"""Variants of one network: what they take is worked out once, and given each under its own names.

Nothing is kept of a network before the second variant of it comes: most runs have none.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Hashable
from typing import Any
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import arena_key
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.measure import Code
from pytest_tinybudget.footprint.measure import code_of
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.graph.kinds import kinds_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.outline import MARKER
from pytest_tinybudget.graph.outline import UnreadError
from pytest_tinybudget.graph.outline import outline
from pytest_tinybudget.graph.outline import outline_key
from pytest_tinybudget.runtimes.firmware import Firmware


_Value = TypeVar("_Value")

#: Of how many tensors, in all networks together, findings are kept.
MOST_TENSORS = 4096
_LEFT_OUT = "outline"


class _Network:
    """A network that several models are variants of, and what was found out about it.

    ``found`` has ``None`` where variants differ in more than names.
    """

    def __init__(self, model: Model) -> None:
        self.outline = outline(model)
        self.tensors = _tensors(model)
        self.found: dict[Hashable, Any] = {}


class Alike:
    """The networks of a run."""

    def __init__(self) -> None:
        #: Hashes of what was met once; a wrong hit costs time and nothing else.
        self._met: set[int] = set()
        self._networks: dict[Hashable, _Network] = {}
        self._tensors = 0

    def simulation(self, model: Model, firmware: Firmware) -> Simulation:
        """What ``simulate`` finds of ``model``."""
        key = ("arena", arena_key(firmware))
        found = self._of_network(
            model, key, lambda network: _without_names(simulate(network, firmware))
        )
        return simulate(model, firmware) if found is None else _with_names(found, model)

    def code(self, model: Model, firmware: Firmware, simulation: Simulation) -> Code:
        """What ``code_of`` finds of ``model``.

        Raises:
            TinybudgetError: the runtime's tables are missing or damaged.
        """
        runs = simulation.arena is not None
        key = ("code", firmware, runs)
        found = self._of_network(model, key, lambda network: code_of(network, firmware, runs=runs))
        return code_of(model, firmware, runs=runs) if found is None else found

    def _of_network(
        self, model: Model, key: Hashable, find: Callable[[Model], _Value]
    ) -> _Value | None:
        """What ``find`` finds of the model's network; ``None`` where variants differ in it."""
        network = self._network(model)
        if network is None:
            return None
        if key not in network.found:
            try:
                found: _Value | None = find(network.outline)
            except (UnreadError, TypeError):
                found = None
            # A text with a tensor's name is of one variant alone.
            if found is not None and MARKER.encode() in msgspec.json.encode(found):
                found = None
            network.found[key] = found
        known: _Value | None = network.found[key]
        return known

    def _network(self, model: Model) -> _Network | None:
        """The network of ``model``, if another variant of it was met before."""
        if _LEFT_OUT not in model.derived:
            model.derived[_LEFT_OUT] = self._looked_up(model)
        found: _Network | None = model.derived[_LEFT_OUT]
        return found

    def _looked_up(self, model: Model) -> _Network | None:
        if kinds_of(model) is not None or _tensors(model) > MOST_TENSORS:
            return None
        key = outline_key(model)
        known = self._networks.pop(key, None)
        if known is None:
            if hash(key) not in self._met:
                self._met.add(hash(key))
                return None
            known = _Network(model)
            self._tensors += known.tensors
        self._networks[key] = known  # the last again
        while self._tensors > MOST_TENSORS:
            oldest = next(iter(self._networks))
            self._tensors -= self._networks.pop(oldest).tensors
        return known


def _tensors(model: Model) -> int:
    return sum(len(graph.tensors) for graph in model.subgraphs)


def _without_names(simulation: Simulation) -> Simulation:
    """``simulation`` without the names that ``_with_names`` gives back."""
    return _renamed(simulation, lambda _: "", lambda _: "")


def _with_names(simulation: Simulation, model: Model) -> Simulation:
    """``simulation`` of a network with the names that ``model`` has for its tensors."""

    def of_buffer(buffer: LiveBuffer) -> str:
        return model.subgraphs[buffer.subgraph].tensors[buffer.index].name

    def of_layer(layer: Layer) -> str:
        graph = model.subgraphs[layer.subgraph]
        outputs = graph.operators[layer.index].outputs
        return graph.tensors[outputs[0]].name if outputs else ""

    return _renamed(simulation, of_buffer, of_layer)


def _renamed(
    simulation: Simulation,
    of_buffer: Callable[[LiveBuffer], str],
    of_layer: Callable[[Layer], str],
) -> Simulation:
    def renamed(arena: Arena | None) -> Arena | None:
        if arena is None:
            return None
        buffers = tuple(
            replace(each, owner=of_buffer(each)) if each.kind == "tensor" else each
            for each in arena.buffers
        )
        return replace(arena, buffers=buffers)

    return replace(
        simulation,
        arena=renamed(simulation.arena),
        least=renamed(simulation.least),
        layers=tuple(replace(each, name=of_layer(each)) for each in simulation.layers),
    )
