"""What is known of a PyTorch program while its graph is read: the layer of each node's result.

A result of four dimensions has its channels last here. litert-torch decides for each node of its
graph whether it computes that way, and puts transposes between those that do and those that do not
(``optimize_layout_transposes_pass``): convolutions and pools do, and what goes over single numbers
does beside one of these. The converter then removes most transposes. ``layouts`` says of an image
how it came here, so that nothing is planned where they stay.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from operator import getitem
from typing import Any
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import NotPlannedError


VECTOR, SERIES, IMAGE = 2, 3, 4
#: What takes one of several results, as ``torch.fx`` shows it.
GETITEM = str(getitem)

#: ``last``: a convolution or pool is before it; ``whole``: a pool that the converter makes one
#: operator of; ``open``: it is an input; ``padded``: padding is before it; ``row``: it was a row;
#: ``moved``: its channels were moved.
Layout = Literal["last", "whole", "open", "padded", "row", "moved"]


class Other(Struct, frozen=True):
    """An argument of a kind that no planned node takes, by its name."""

    name: str


class Reader:
    """Goes through the nodes of a program; ``names`` has the layer here of each result."""

    def __init__(self, program: Sequence[Any], user_inputs: Iterable[str]) -> None:
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.layers: list[Layer] = []
        self.names: dict[str, str] = {}
        self.layouts: dict[str, Layout] = {}
        #: What has the channels of an image in groups.
        self.mixed: set[str] = set()
        #: What is made in parts, and how each part is added when it is first read.
        self.parted: dict[str, Arguments] = {}
        self.later: dict[str, Callable[[], None]] = {}
        nodes = {node.name: node for node in program}
        for name in user_inputs:
            node = nodes.get(name)
            if node is None:
                raise NotPlannedError(f"not planned: an input that is no tensor: {name!r}")
            shape = self.shape(node)
            is_image = len(shape) == IMAGE
            self.inputs.append((name, (*shape[2:], shape[1]) if is_image else shape[1:]))
            self.names[name] = name
            if is_image:
                self.layouts[name] = "open"

    def fail(self, node: Any, text: str) -> NotPlannedError:
        return NotPlannedError(f"layer {_place(node)}: not planned: {text}")

    def shape(self, node: Any) -> tuple[int, ...]:
        """The shape of a node's result in PyTorch, batch included."""
        shape = tuple(getattr(node.meta.get("val"), "shape", ()))
        fixed = all(isinstance(each, int) for each in shape)
        if not fixed or not VECTOR <= len(shape) <= IMAGE or shape[0] != 1:
            raise self.fail(node, f"a tensor of the shape {[str(each) for each in shape]}")
        return shape

    def results(self, node: Any) -> list[tuple[int, ...]]:
        """The shapes of the results of a node that has several."""
        return [tuple(each.shape) for each in node.meta["val"]]

    def weights(self, node: Any, given: Any) -> tuple[int, ...]:
        """The shape of the weights that ``node`` takes."""
        if given.name in self.names:
            raise self.fail(node, "weights that are computed")
        shape = tuple(getattr(given.meta.get("val"), "shape", ()))
        if not shape or not all(isinstance(each, int) and each > 0 for each in shape):
            raise self.fail(node, "weights of an open shape")
        return shape

    def value(self, node: Any) -> str:
        """The layer whose result a node is."""
        if getattr(node, "name", "") in self.later:
            self.later.pop(node.name)()
        name = self.names.get(getattr(node, "name", ""))
        if name is None:
            raise NotPlannedError(f"not planned: what it takes is not computed: {node}")
        return name

    def add(self, node: Any, layer: Layer, *inputs: Any, part: str = "") -> None:
        """Add ``layer``, the result of ``node`` or a ``part`` before it."""
        given = tuple(self.value(each) for each in inputs)
        name = node.name + part
        self.layers.append(replace(layer, name=name, inputs=given))
        self.names[node.name] = name

    def chain(self, node: Any, given: Any, *layers: Layer) -> None:
        """Add ``layers``, each of the one before it, the first of ``given``."""
        source = given
        for number, layer in enumerate(layers):
            part = "" if number == len(layers) - 1 else f".{number}"
            self.add(node, layer, source, part=part)
            source = node

    def layout(self, node: Any) -> Layout:
        """How an image came to have its channels last; ``last`` where it is none."""
        return self.layouts.get(node.name, "last")

    def settle(self, node: Any, layout: Layout = "last") -> None:
        """Note how ``node`` came to have its channels last, where it is an image."""
        if len(self.shape(node)) == IMAGE:
            self.layouts[node.name] = layout

    def turn_back(self, node: Any, given: Any, what: str) -> None:
        """Refuse where the transpose to channels first may stay before something else."""
        if self.layout(given) == "row":
            raise self.fail(node, f"{what} right behind a reshaped row")

    def output(self, node: Any) -> str:
        """The layer that an output of the program is: an image has its channels first again."""
        name = self.value(node)
        if len(self.shape(node)) == IMAGE:
            self.turn_back(node, node, "an output")
            turned = Layer("permute", name=f"{name}_output", inputs=(name,), shape=(3, 1, 2))
            self.layers.append(turned)
            return turned.name
        return name

    def flattened(self, node: Any, given: Any) -> bool:
        """Whether ``node`` makes a row of a global pool's result, which then gives that itself."""
        name = self.value(given)
        last = self.layers[-1] if self.layers else None
        if last is None or last.name != name or not last.keep_dims:
            return False
        if self.shape(given)[1] == 1:
            return False  # the converter joins them by the extents that are not 1
        self.layers[-1] = replace(last, keep_dims=False)
        self.plain(node, given)
        return True

    def plain(self, node: Any, given: Any) -> None:
        """The result is what is given."""
        self.names[node.name] = self.value(given)
        if given.name in self.layouts:
            self.layouts[node.name] = self.layouts[given.name]


class Arguments:
    """Arguments of a call by their number; those at the end may be left out."""

    def __init__(self, given: Sequence[Any]) -> None:
        self.given = given

    def __getitem__(self, number: int) -> Any:
        return self.given[number] if number < len(self.given) else None

    def pair(self, number: int, otherwise: tuple[int, int]) -> tuple[int, int]:
        """Two extents, for height and width."""
        found = self[number]
        if found is None or found == []:
            return otherwise
        if isinstance(found, int):
            return found, found
        return (found[0], found[0]) if len(found) == 1 else (found[0], found[1])

    def single(self, number: int, otherwise: int) -> int:
        """One extent, along time."""
        found = self[number]
        if found is None or found == []:
            return otherwise
        return found if isinstance(found, int) else int(found[0])


def _place(node: Any) -> str:
    """The path of the module that made a node, else the node's name."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [each[0] for each in stack.values() if each[0]]
    return printable(str(paths[-1] if paths else node.name))
