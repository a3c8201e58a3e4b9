"""A PyTorch module as a network, read from the graph of ``torch.export``: nothing is converted.

Its layers are those that litert-torch makes, channels last, in the order of the program. A node, or
an argument of it, that is not here is a ``NotPlannedError``: such a model has to be converted.
``benchmarks/torch_plans.py`` holds plans to conversions.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from operator import getitem
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.planning.network import Activation
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerType
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError


_VECTOR, _IMAGE = 2, 4
#: Of the arguments of ``aten.batch_norm``, the one that says it is in training.
_TRAINING = 5
#: What takes one of several results, as ``torch.fx`` shows it.
GETITEM = str(getitem)
#: What takes a batch norm into its weights.
_NORMALIZED = ("conv2d.default", "linear.default")


class Other(Struct, frozen=True):
    """An argument of a kind that no planned node takes, by its name."""

    name: str


def exported_network(program: Any) -> Network:
    """The network of a ``torch.export.ExportedProgram``.

    Raises:
        NotPlannedError: a node's conversion is not known.
    """
    return network_of_nodes(program.graph_module.graph.nodes, program.graph_signature.user_inputs)


def network_of_nodes(nodes: Iterable[Any], user_inputs: Iterable[str]) -> Network:
    """The network of a graph whose nodes are as ``torch.fx`` has them.

    Raises:
        NotPlannedError: a node's conversion is not known.
    """
    nodes = list(nodes)
    reader = _Reader(nodes, user_inputs)
    outputs = []
    for node in nodes:
        if node.op == "call_function":
            reader.call(node)
        elif node.op == "output":
            outputs = [reader.output(each) for each in _flat(node.args)]
        elif node.op != "placeholder":
            raise reader.fail(node, f"a node of the kind {node.op}")
    if not reader.layers:
        raise NotPlannedError("not planned: nothing is computed")
    return Network(
        inputs=tuple(reader.inputs),
        layers=tuple(reader.layers),
        outputs=tuple(outputs),
        traced=True,
    )


def _flat(given: Any) -> list[Any]:
    if isinstance(given, (tuple, list)):
        return [each for part in given for each in _flat(part)]
    return [given]


class _Reader:
    """Goes through the nodes of a program; ``names`` has the layer here of each result."""

    def __init__(self, program: Sequence[Any], user_inputs: Iterable[str]) -> None:
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.layers: list[Layer] = []
        self.names: dict[str, str] = {}
        nodes = {node.name: node for node in program}
        for name in user_inputs:
            node = nodes.get(name)
            if node is None:
                raise NotPlannedError(f"not planned: an input that is no tensor: {name!r}")
            shape = self.shape(node)
            self.inputs.append((name, (*shape[2:], shape[1])))
            self.names[name] = name

    def fail(self, node: Any, text: str) -> NotPlannedError:
        return NotPlannedError(f"layer {_place(node)}: not planned: {text}")

    def shape(self, node: Any) -> tuple[int, ...]:
        """The shape of a node's result in PyTorch, batch included."""
        shape = tuple(getattr(node.meta.get("val"), "shape", ()))
        fixed = all(isinstance(each, int) for each in shape)
        if not fixed or len(shape) not in (_VECTOR, _IMAGE) or shape[0] != 1:
            raise self.fail(node, f"a tensor of the shape {[str(each) for each in shape]}")
        return shape

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
        name = self.names.get(getattr(node, "name", ""))
        if name is None:
            raise NotPlannedError(f"not planned: what it takes is not computed: {node}")
        return name

    def call(self, node: Any) -> None:
        """Add the layers that a call becomes."""
        name = str(node.target).removeprefix("aten.")
        read = _CALLS.get(name)
        if read is None:
            raise self.fail(node, f"aten.{name}")
        if node.kwargs:
            raise self.fail(node, f"{name} with {', '.join(node.kwargs)}")
        for each in node.args:
            if isinstance(each, Other):
                raise self.fail(node, f"{name} with {each.name}")
        self.shape(node)
        read(self, node, _Arguments(node.args))

    def add(self, node: Any, layer: Layer, *inputs: Any, part: str = "") -> None:
        """Add ``layer``, the result of ``node`` or a ``part`` before it."""
        given = tuple(self.value(each) for each in inputs)
        name = node.name + part
        self.layers.append(replace(layer, name=name, inputs=given))
        self.names[node.name] = name

    def output(self, node: Any) -> str:
        """The layer that an output of the program is: an image has its channels first again."""
        name = self.value(node)
        if len(self.shape(node)) == _IMAGE:
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
        self.layers[-1] = replace(last, keep_dims=False)
        self.plain(node, given)
        return True

    def plain(self, node: Any, given: Any) -> None:
        """The result is what is given."""
        self.names[node.name] = self.value(given)


class _Arguments:
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


_Read = Callable[[_Reader, Any, _Arguments], None]


def _place(node: Any) -> str:
    """The path of the module that made a node, else the node's name."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [each[0] for each in stack.values() if each[0]]
    return printable(str(paths[-1] if paths else node.name))


def _conv2d(reader: _Reader, node: Any, given: _Arguments) -> None:
    weights = reader.weights(node, given[1])
    channels = reader.shape(given[0])[1]
    stride, dilation = given.pair(3, (1, 1)), given.pair(5, (1, 1))
    groups = 1 if given[6] is None else given[6]
    if groups not in (1, channels):
        raise reader.fail(node, f"{groups} groups of {channels} channels")
    depthwise = groups == channels
    pads = given.pair(4, (0, 0))
    source = given[0]
    if any(pads):
        amount = ((pads[0], pads[0]), (pads[1], pads[1]))
        reader.add(node, Layer("zero_padding2d", amount=amount), source, part="_pad")
        source = node
    layer = Layer(
        "depthwise_conv2d" if depthwise else "conv2d",
        size=weights[0] // groups if depthwise else weights[0],
        kernel=weights[2:],
        stride=stride,
        dilation=dilation,
        bias=given[2] is not None,
    )
    reader.add(node, layer, source)


def _batch_norm(reader: _Reader, node: Any, given: _Arguments) -> None:
    if given[_TRAINING]:
        raise reader.fail(node, "a batch norm in training mode")
    if given[1] is None or given[2] is None:
        raise reader.fail(node, "a batch norm without weight or bias")
    before = str(getattr(given[0], "target", "")).removeprefix("aten.")
    if before not in _NORMALIZED or len(given[0].users) > 1:
        raise reader.fail(node, "a batch norm that is not right behind a convolution or a Linear")
    reader.add(node, Layer("batch_norm"), given[0])


def _activation(activation: Activation) -> _Read:
    layer = Layer("activation", activation=activation)
    return lambda reader, node, given: reader.add(node, layer, given[0])


def _limited(reader: _Reader, node: Any, given: _Arguments) -> None:
    limits = (given[1], given[2])
    if limits != (0, 6):
        raise reader.fail(node, f"values kept from {limits[0]} to {limits[1]}")
    reader.add(node, Layer("activation", activation="relu6"), given[0])


def _max_pool(reader: _Reader, node: Any, given: _Arguments) -> None:
    kernel = given.pair(1, (1, 1))
    if any(given.pair(3, (0, 0))) or given.pair(4, (1, 1)) != (1, 1) or given[5]:
        raise reader.fail(node, "a max pool with padding, dilation or ceil_mode")
    layer = Layer("max_pool2d", kernel=kernel, stride=given.pair(2, kernel))
    reader.add(node, layer, given[0])


def _average_pool(reader: _Reader, node: Any, given: _Arguments) -> None:
    kernel = given.pair(1, (1, 1))
    if any(given.pair(3, (0, 0))) or given[4] or given[6]:
        raise reader.fail(node, "an average pool with padding, ceil_mode or divisor_override")
    layer = Layer("average_pool2d", kernel=kernel, stride=given.pair(2, kernel))
    reader.add(node, layer, given[0])


def _adaptive_pool(reader: _Reader, node: Any, given: _Arguments) -> None:
    if given.pair(1, (0, 0)) != (1, 1):
        raise reader.fail(node, "an adaptive pool to another size than 1")
    # litert-torch names the dimensions of this one from the last: another constant than a mean's.
    layer = Layer("global_average_pool2d", keep_dims=True, shape=(2, 1))
    reader.add(node, layer, given[0])


def _mean(reader: _Reader, node: Any, given: _Arguments) -> None:
    rank = len(reader.shape(given[0]))
    axes = sorted(each % rank for each in given[1] or ())
    if rank != _IMAGE or axes != [2, 3]:
        raise reader.fail(node, f"a mean over {axes}")
    reader.add(node, Layer("global_average_pool2d", keep_dims=bool(given[2])), given[0])


def _flatten(reader: _Reader, node: Any, given: _Arguments) -> None:
    before, after = reader.shape(given[0]), reader.shape(node)
    if before == after:
        reader.plain(node, given[0])
        return
    if len(after) != _VECTOR or len(before) != _IMAGE:
        raise reader.fail(node, f"a change of shape from {list(before)} to {list(after)}")
    if len(given[0].users) == 1 and reader.flattened(node, given[0]):
        return
    source = given[0]
    if before[2] * before[3] > 1:
        reader.add(node, Layer("permute", shape=(3, 1, 2)), source, part="_turned")
        source = node
    reader.add(node, Layer("flatten"), source)


def _linear(reader: _Reader, node: Any, given: _Arguments) -> None:
    if len(reader.shape(given[0])) != _VECTOR:
        raise reader.fail(node, "a Linear over the last of four dimensions")
    units = reader.weights(node, given[1])[0]
    reader.add(node, Layer("dense", size=units, bias=given[2] is not None), given[0])


def _merge(kind: LayerType) -> _Read:
    def read(reader: _Reader, node: Any, given: _Arguments) -> None:
        if any(not hasattr(each, "meta") for each in (given[0], given[1])):
            raise reader.fail(node, "arithmetic with a number")
        shapes = {len(reader.shape(given[0])), len(reader.shape(given[1]))}
        if len(shapes) > 1:
            raise reader.fail(node, "operands of other dimensions")
        reader.add(node, Layer(kind), given[0], given[1])

    return read


def _concatenate(reader: _Reader, node: Any, given: _Arguments) -> None:
    rank = len(reader.shape(node))
    if (given[1] or 0) % rank != 1:
        raise reader.fail(node, "a cat of another dimension than the channels'")
    reader.add(node, Layer("concatenate", axis=-1), *given[0])


def _softmax(reader: _Reader, node: Any, given: _Arguments) -> None:
    rank = len(reader.shape(node))
    if rank != _VECTOR or given[1] % rank != 1:
        raise reader.fail(node, "a softmax of another dimension than the last")
    reader.add(node, Layer("softmax"), given[0])


def _pad(reader: _Reader, node: Any, given: _Arguments) -> None:
    amounts = [*given[1]]
    is_zeros = given[2] in (None, "constant") and not given[3]
    if len(amounts) != _IMAGE or not is_zeros or min(amounts) < 0:
        raise reader.fail(node, "padding that is not zeros around an image")
    left, right, top, bottom = amounts
    layer = Layer("zero_padding2d", amount=((top, bottom), (left, right)))
    reader.add(node, layer, given[0])


def _same(reader: _Reader, node: Any, given: _Arguments) -> None:
    reader.plain(node, given[0])


_CALLS: Mapping[str, _Read] = {
    "conv2d.default": _conv2d,
    "batch_norm.default": _batch_norm,
    "relu.default": _activation("relu"),
    "relu_.default": _activation("relu"),
    "relu6.default": _activation("relu6"),
    "relu6_.default": _activation("relu6"),
    "hardtanh.default": _limited,
    "hardtanh_.default": _limited,
    "clamp.default": _limited,
    "sigmoid.default": _activation("sigmoid"),
    "tanh.default": _activation("tanh"),
    "max_pool2d.default": _max_pool,
    "avg_pool2d.default": _average_pool,
    "adaptive_avg_pool2d.default": _adaptive_pool,
    "mean.dim": _mean,
    "flatten.using_ints": _flatten,
    "view.default": _flatten,
    "reshape.default": _flatten,
    "linear.default": _linear,
    "add.Tensor": _merge("add"),
    "add_.Tensor": _merge("add"),
    "sub.Tensor": _merge("subtract"),
    "mul.Tensor": _merge("multiply"),
    "cat.default": _concatenate,
    "softmax.int": _softmax,
    "pad.default": _pad,
    "dropout.default": _same,
    "contiguous.default": _same,
    "clone.default": _same,
    "detach.default": _same,
}
