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

from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import arena_key
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.float_parts import float_parts
from pytest_tinybudget.footprint.link import model_parts
from pytest_tinybudget.footprint.measure import Code
from pytest_tinybudget.footprint.measure import code_of
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.graph.kinds import kinds_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.outline import MARKER
from pytest_tinybudget.graph.outline import UnreadError
from pytest_tinybudget.graph.outline import names_of
from pytest_tinybudget.graph.outline import outline
from pytest_tinybudget.graph.outline import outline_key
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.runtimes.firmware import Firmware


_Value = TypeVar("_Value")

#: Of how many tensors, in all networks together, findings are kept.
MOST_TENSORS = 4096
#: For how many firmwares and sizes of file the footprints of a network are kept.
_MOST_FOOTPRINTS = 128
_LEFT_OUT, _NAMED, _OWN_PARTS = "outline", "named parts of the network", "own parts"

#: Arena and layers with a variant's names, by what decides the arena.
_Named = dict[Hashable, tuple[Arena | None, tuple[Layer, ...]]]


class _Network:
    """A network that several models are variants of, and what was found out about it.

    ``found`` has ``None`` where variants differ in more than names; ``footprints`` are without
    them. ``names`` are those of the last variant, and ``named`` is what has them.
    """

    def __init__(self, model: Model) -> None:
        self.outline = outline(model)
        self.tensors = _tensors(model)
        self.found: dict[Hashable, Any] = {}
        self.footprints: Remembered[Hashable, Footprint | None] = Remembered(_MOST_FOOTPRINTS)
        self.names: tuple[str, ...] = ()
        self.named: _Named = {}

    def named_as(self, model: Model) -> _Named:
        """What is known under the names of ``model``."""
        names = names_of(model)
        if names != self.names:
            self.names, self.named = names, {}
        return self.named


class Alike:
    """The networks of a run."""

    def __init__(self) -> None:
        #: Hashes of what was met once; a wrong hit costs time and nothing else.
        self._met: set[int] = set()
        self._networks: dict[Hashable, _Network] = {}
        self._tensors = 0

    def simulation(self, model: Model, firmware: Firmware) -> Simulation:
        """What ``simulate`` finds of ``model``."""
        found = self._arena_of_network(model, firmware)
        return simulate(model, firmware) if found is None else _with_names(found, model)

    def _arena_of_network(self, model: Model, firmware: Firmware) -> Simulation | None:
        key = ("arena", arena_key(firmware))
        return self._of_network(
            model, key, lambda network: _without_names(simulate(network, firmware))
        )

    def footprint(self, model: Model, firmware: Firmware) -> Footprint | None:
        """What ``measure`` finds of ``model``, if that is known of its network.

        Raises:
            TinybudgetError: the runtime's tables are missing or damaged.
        """
        network = self._network(model)
        if network is None:
            return None
        if _NAMED not in model.derived:
            model.derived[_NAMED] = network.named_as(model)
            model.derived[_OWN_PARTS] = model_parts(model)
        own: tuple[Part, ...] = model.derived[_OWN_PARTS]
        key = (firmware, own)
        if key not in network.footprints:
            network.footprints.keep(key, self._of_outline(network, model, firmware, own))
        found = network.footprints[key]
        if found is None:
            return None
        arena, layers = self._arena_and_layers(model, firmware)
        buffers = arena.buffers if arena else ()
        return replace(
            found,
            arena=arena,
            layers=layers,
            not_int8=not_int8_tensors(model) if found.not_int8 else (),
            float_parts=float_parts(model, buffers) if found.float_parts else (),
        )

    def _of_outline(
        self, network: _Network, model: Model, firmware: Firmware, own: tuple[Part, ...]
    ) -> Footprint | None:
        """What ``measure`` finds of a network, the bytes of its variant's file apart."""
        simulation = self._arena_of_network(model, firmware)
        if simulation is None:
            return None
        code = self._code_of_network(model, firmware, simulation)
        if code is None:
            return None
        try:
            return measure(network.outline, firmware, simulation, code, own)
        except (UnreadError, TypeError):
            return None

    def _arena_and_layers(
        self, model: Model, firmware: Firmware
    ) -> tuple[Arena | None, tuple[Layer, ...]]:
        """Those of the network, with the names of ``model``."""
        named: _Named = model.derived[_NAMED]
        key = arena_key(firmware)
        if key not in named:
            simulation = self.simulation(model, firmware)
            named[key] = simulation.arena, simulation.layers
        return named[key]

    def code(self, model: Model, firmware: Firmware, simulation: Simulation) -> Code:
        """What ``code_of`` finds of ``model``.

        Raises:
            TinybudgetError: the runtime's tables are missing or damaged.
        """
        found = self._code_of_network(model, firmware, simulation)
        runs = simulation.arena is not None
        return code_of(model, firmware, runs=runs) if found is None else found

    def _code_of_network(
        self, model: Model, firmware: Firmware, simulation: Simulation
    ) -> Code | None:
        runs = simulation.arena is not None
        key = ("code", firmware, runs)
        return self._of_network(model, key, lambda network: code_of(network, firmware, runs=runs))

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
