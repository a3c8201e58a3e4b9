"""The layers of a network in the order in which Keras calls them, with what each takes.

TensorFlow names and orders operators by it. In a network of Keras's all layers have names and come
in this order; one that is declared is a list, in which both are left to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.network import by_place


#: What Keras calls layers of a type, where that is not the type itself.
_KERAS_NAMES = {
    "max_pool2d": "max_pooling2d",
    "max_pool1d": "max_pooling1d",
    "average_pool2d": "average_pooling2d",
    "average_pool1d": "average_pooling1d",
    "global_average_pool2d": "global_average_pooling2d",
    "global_average_pool1d": "global_average_pooling1d",
    "global_max_pool2d": "global_max_pooling2d",
    "global_max_pool1d": "global_max_pooling1d",
    "batch_norm": "batch_normalization",
    "layer_norm": "layer_normalization",
    "upsampling2d": "up_sampling2d",
    "upsampling1d": "up_sampling1d",
}


class Call(Struct, frozen=True):
    """A layer that is called.

    Attributes:
        layer: The layer.
        label: What messages and tensors call it: its name, or its type and place in the list.
        name: Its name in Keras.
        result: What stands for its result.
        takes: What it takes, results of other layers or names of inputs.
    """

    layer: Layer
    label: str
    name: str
    result: str
    takes: tuple[str, ...]


def calls_of(network: Network, model: str) -> tuple[list[Call], list[str]]:
    """The layers as they are called, and what stands for the outputs of the ``model``.

    Raises:
        ModelError: a layer takes one that is not before it, or two have one name.
    """
    listed = _Listed(network, model)
    for layer in network.layers:
        listed.add(layer)
    outputs = [listed.found(each) for each in network.outputs] or [listed.last]
    if not network.flattens or listed.is_chain:
        return listed.calls, outputs
    calls = {each.result: each for each in listed.calls}
    taken = {name for each in listed.calls for name in each.takes}
    # What leads nowhere would not be called at all; here it counts, and is called as an output is.
    ends = [*outputs, *(each for each in calls if each not in taken and each not in outputs)]
    needed = {each.result: [(name, 0) for name in each.takes] for each in listed.calls}
    return [calls[each] for each in in_order_of_calls(needed, ends)], outputs


class _Listed:
    """The layers of a network, one after another."""

    def __init__(self, network: Network, model: str) -> None:
        self.network, self.model = network, model
        self.calls: list[Call] = []
        self.is_chain = len(network.inputs) == 1 and not network.outputs
        self.results: set[str] = set()
        for name, _ in network.inputs:
            if name in self.results:
                raise ModelError(f"{model}: input {name}: a second input of this name")
            self.results.add(name)
        self.last = network.inputs[0][0]
        self._label = ""
        self._by_place: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def add(self, layer: Layer) -> None:
        """Add the next layer."""
        place = self._place()
        self._label = layer.name or by_place(layer, place)
        takes = tuple([self.found(each) for each in layer.inputs]) or (self.last,)
        is_output = self._label in self.network.outputs
        if layer.name in self.results or (is_output and self._label in self.results):
            raise self._fail("a second layer of this name")
        self.is_chain = self.is_chain and takes == (self.last,)
        result = layer.name or f"#{place}"
        name = layer.name or self._automatic_name(layer)
        self.calls.append(Call(layer, self._label, name, result, takes))
        self.results.add(result)
        self._by_place[self._label] = self.last = result

    def _automatic_name(self, layer: Layer) -> str:
        """What Keras would call a layer: it counts those that it names itself."""
        kind = _KERAS_NAMES.get(layer.type, layer.type)
        count = self._counts.get(kind, 0)
        self._counts[kind] = count + 1
        return f"{kind}_{count}" if count else kind

    def _place(self) -> int:
        """The next layer's place in the list, in which inputs may stand as well."""
        place = len(self.calls)
        for each in self.network.input_places:
            place += each <= place
        return place

    def found(self, name: str) -> str:
        """What stands for the result of a layer, or an input."""
        if name in self.results:
            return name
        if name in self._by_place:
            return self._by_place[name]
        known = [each for each in self.results if not each.startswith("#")]
        offers = " or ".join(map(repr, nearest(name, sorted(known)) or sorted(known)[:3]))
        raise self._fail(f"there is no layer {name!r} before it; did you mean {offers}?")

    def _fail(self, text: str) -> ModelError:
        return ModelError(f"{self.model}: layer {self._label}: {text}")


def in_order_of_calls(
    needed: Mapping[str, Sequence[tuple[str, int]]], outputs: Sequence[str]
) -> list[str]:
    """The layers in the order in which Keras calls them, which decides TensorFlow's names.

    The farthest from the outputs come first (keras/src/ops/function.py, ``map_graph_network``).
    """
    before = {name: [each for each, _ in given] for name, given in needed.items()}
    depths: dict[str, int] = {}
    for name in reversed(_leaves_first(before, outputs)):
        depth = depths.setdefault(name, 0)
        for each in before.get(name, ()):
            depths[each] = max(depth + 1, depths.get(each, 0))
    found = sorted(depths, key=lambda name: depths[name], reverse=True)
    return [name for name in found if name in before]


def _leaves_first(before: Mapping[str, Sequence[str]], outputs: Sequence[str]) -> list[str]:
    """All that the outputs depend on, each behind what it takes."""
    done: dict[str, None] = {}
    for output in outputs:
        path = [(output, iter(before.get(output, ())))]
        while path:
            name, left = path[-1]
            following = next((each for each in left if each not in done), None)
            if following is None:
                done.setdefault(name)
                path.pop()
                continue
            if any(name == following for name, _ in path):
                raise NotPlannedError("not planned: its layers form a circle")
            path.append((following, iter(before.get(following, ()))))
    return list(done)
