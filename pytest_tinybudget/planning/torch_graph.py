"""A PyTorch module as a network, read from the graph of ``torch.export``: nothing is converted.

Its layers are those that litert-torch makes, channels last, in the order of the program. A node, or
an argument of it, that is not here is a ``NotPlannedError``: such a model has to be converted.
``benchmarks/torch_plans.py`` holds plans to conversions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.network import require_plain
from pytest_tinybudget.planning.torch_calls import CALLS
from pytest_tinybudget.planning.torch_calls import REFUSED
from pytest_tinybudget.planning.torch_calls import is_grouped
from pytest_tinybudget.planning.torch_reader import Arguments
from pytest_tinybudget.planning.torch_reader import Other
from pytest_tinybudget.planning.torch_reader import Reader


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
    reader = Reader(nodes, user_inputs)
    for node in nodes:
        why = REFUSED.get(str(node.target).removeprefix("aten."))
        if why is not None and node.op == "call_function":
            raise reader.fail(node, why)
    outputs = []
    for node in nodes:
        if node.op == "call_function":
            _call(reader, node)
        elif node.op == "output":
            outputs = [reader.output(each) for each in _flat(node.args)]
        elif node.op != "placeholder":
            raise reader.fail(node, f"a node of the kind {node.op}")
    if not reader.layers:
        raise NotPlannedError("not planned: nothing is computed")
    return require_plain(
        Network(
            inputs=tuple(reader.inputs),
            layers=tuple(reader.layers),
            outputs=tuple(outputs),
            traced=True,
        )
    )


def _call(reader: Reader, node: Any) -> None:
    """Add the layers that a call becomes."""
    name = str(node.target).removeprefix("aten.")
    read = CALLS.get(name)
    if read is None:
        raise reader.fail(node, f"aten.{name}")
    if node.kwargs:
        raise reader.fail(node, f"{name} with {', '.join(node.kwargs)}")
    for each in node.args:
        if isinstance(each, Other):
            raise reader.fail(node, f"{name} with {each.name}")
    if name not in ("split.Tensor", "chunk.default") and not is_grouped(node):
        reader.shape(node)
    read(reader, node, Arguments(node.args))


def _flat(given: Any) -> list[Any]:
    if isinstance(given, (tuple, list)):
        return [each for part in given for each in _flat(part)]
    return [given]
