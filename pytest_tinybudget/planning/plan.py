"""A network as the graph that the estimator reads, without a file; the file where one is asked."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
from functools import cached_property
from math import prod

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.graph.kinds import KINDS
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.planning.emit import Emitter
from pytest_tinybudget.planning.emit import quantized
from pytest_tinybudget.planning.emit import traced_quantized
from pytest_tinybudget.planning.emit import with_biases
from pytest_tinybudget.planning.kinds import kinds_in
from pytest_tinybudget.planning.lowering import Lowering
from pytest_tinybudget.planning.network import MOST_ELEMENTS
from pytest_tinybudget.planning.network import LayerList
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.nodes import Const
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import Value
from pytest_tinybudget.planning.nodes import as_written
from pytest_tinybudget.planning.nodes import ordered
from pytest_tinybudget.planning.passes import simplified


#: More than any board's flash holds: weights are counted by making their zeros.
_MOST_WEIGHTS = 2**27


class PlannedModel(Model, frozen=True, dict=True):
    """A model whose file is made when it is asked for; ``bytes`` is known without it."""

    @cached_property  # type: ignore[misc]  # in the place of a field
    def content(self) -> bytes:
        """The file: weights of zeros."""
        from pytest_tinybudget.graph.tables import put_together

        return put_together(self._tables())

    @cached_property
    def bytes(self) -> int:
        """Size of the file."""
        from pytest_tinybudget.planning.size import file_bytes

        return file_bytes(self)

    def _tables(self) -> Table:
        from pytest_tinybudget.planning.file import tables_of

        return tables_of(self.main, named=bool(self.derived.get("named")))


def planned_model(
    planned: Network | LayerList,
    name: str,
    *,
    named: bool = False,
    unbiased: Collection[int] = (),
) -> Model:
    """The model that a converter would make of a network, without metadata.

    ``named``: with the names of layers in the file, where it is not to be stripped. ``unbiased``:
    numbers of dense operators whose bias turned out to be zeros, which the converter leaves out.

    Raises:
        NotPlannedError: how the converter makes a layer is not known.
        ModelError: a layer does not fit the shape that it is given.
    """
    network = planned.network if isinstance(planned, LayerList) else planned
    low, nodes = lowered(network, name)
    for number in unbiased:
        nodes[number].inputs[-1] = None
    emitter = emitted(low, nodes)
    return with_graph(name, emitter.subgraph(low.outputs, name), nodes, named=named)


def lowered(network: Network, name: str) -> tuple[Lowering, list[Node]]:
    """The operators of a network in order, as the converter leaves them.

    Raises:
        NotPlannedError: how the converter makes a layer is not known.
        ModelError: a layer does not fit the shape that it is given.
    """
    if network.traced and network.numbers != "int8":
        raise NotPlannedError(f"{name}: not planned: a PyTorch program as {network.numbers}")
    low = Lowering(network, name)
    in_order = as_written if network.traced else ordered
    _require_countable(low.nodes, low.inputs, name)
    nodes = simplified(in_order(low.nodes, low.inputs), low.outputs, traced=network.traced)
    if network.traced:
        nodes = traced_quantized(nodes, low.outputs, name)
    else:
        nodes = quantized(nodes, low.inputs, network.numbers, name, low.outputs)
    with_biases(nodes, network.numbers, traced=network.traced)
    if network.traced:
        _keep_dimensions(nodes)
    if not nodes:
        raise low.fail("nothing is left to compute")
    return low, nodes


def emitted(low: Lowering, nodes: Sequence[Node]) -> Emitter:
    """What makes the tensors of lowered operators."""
    network = low.network
    return Emitter(
        nodes, low.inputs, network.numbers, network.per_channel_dense, traced=network.traced
    )


def with_graph(name: str, graph: Subgraph, nodes: Iterable[Node], *, named: bool) -> PlannedModel:
    """The model of a graph that was made of ``nodes``."""
    model = PlannedModel(name, b"", 3, "", (graph,))
    model.derived["named"] = named
    model.derived["names"] = sum(
        each.names * (1 + sum(isinstance(operand, Const) for operand in each.inputs))
        for each in nodes
    )
    model.derived[KINDS] = kinds_in(graph)
    return model


def _require_countable(nodes: Sequence[Node], inputs: Sequence[Value], model: str) -> None:
    """Refuse what no runtime can count, which do it in 32 bits, and what no flash can hold.

    Raises:
        ModelError: what flows or what is learned has too many elements.
    """
    constants = [(node, each) for node in nodes for each in node.inputs if isinstance(each, Const)]
    flowing = [(None, each) for each in inputs] + [(node, node.output) for node in nodes]
    limits = (("values", flowing, MOST_ELEMENTS), ("weights", constants, _MOST_WEIGHTS))
    for what, operands, most in limits:
        # One question about the sum, not one about each: sizes may be symbols, which note it.
        if sum([prod(each.shape) for _, each in operands]) <= most:
            continue
        total = 0
        for node, each in operands:
            total += prod(each.shape)
            if total > most:
                place = f"layer {node.label}" if node is not None else "the input"
                text = f"up to here the network has {total:,} {what}"
                raise ModelError(f"{model}: {place}: {text}, at most {most:,} are planned")


def _keep_dimensions(nodes: Iterable[Node]) -> None:
    """Dense layers as litert-torch writes them: but where they have taken in a reshape."""
    for node in nodes:
        if node.op == "FULLY_CONNECTED":
            (value,) = node.values()
            node.options["keep_num_dims"] = len(value.shape) == len(node.output.shape)


def model_of(planned: Network | LayerList, name: str) -> bytes:
    """The ``.tflite`` file of a network; see ``planned_model``."""
    return planned_model(planned, name, named=True).content
