"""Control flow and variables."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.soundness import taken
from pytest_tinybudget.footprint.trust import common
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.footprint.trust.trusted import by_operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


def _passes(node: Trusted, inside: Subgraph, indices: tuple[int, ...], outer: list[Tensor]) -> None:
    """Refuse tensors handed to or from ``inside`` of another size than there: bytes are copied.

    Those handed to it have the shape in it that they have outside.
    """
    for index, tensor in zip(indices, outer, strict=False):
        other = inside.tensors[index]
        if tensor.elements * tensor.element_bytes != other.elements * other.element_bytes:
            node.fails_at_invoke(
                f"'{tensor.name}' is {tensor.type} {list(tensor.shape)}, '{other.name}' of"
                f" subgraph {inside.index} {other.type} {list(other.shape)}"
            )
            return
        if indices is inside.inputs and tensor.elements == other.elements:
            node.means(inside, other, node.meant(tensor))


def _called(node: Trusted, name: str) -> Subgraph:
    return node.model.subgraphs[option(node, name)]


def _if(node: Trusted) -> None:
    sources, results = common.inputs(node)[1:], common.outputs(node)
    for name in taken(node.subgraph, node.operator):
        inside = _called(node, name)
        if (len(inside.inputs), len(inside.outputs)) != (len(sources), len(results)):
            node.fails_at_invoke("its inputs and outputs are not those of the subgraphs it calls")
            return
        _passes(node, inside, inside.inputs, sources)
        _passes(node, inside, inside.outputs, results)


def _while(node: Trusted) -> None:
    condition, body = _called(node, "cond_subgraph_index"), _called(node, "body_subgraph_index")
    sources, results = common.inputs(node), common.outputs(node)
    node.trust(
        [condition.tensors[index].elements for index in condition.outputs] == [1],
        f"subgraph {condition.index}, its condition, does not give a single BOOL",
    )
    for outer, inner in zip(sources, results, strict=True):
        if outer.elements * outer.element_bytes != inner.elements * inner.element_bytes:
            node.fails_at_invoke(f"'{outer.name}' and '{inner.name}' differ in size")
            return
    _passes(node, condition, condition.inputs, sources)
    _passes(node, body, body.inputs, results)
    _passes(node, body, body.outputs, results)


def variable_memory(node: Trusted) -> None:
    """Refuse a variable that nothing gives memory, or another size than it has."""
    variable = node.handles.get((node.subgraph.index, node.operator.inputs[0]))
    if variable is None:
        return
    size = node.allocated_variables.get(variable)
    if size is None:
        node.refuse(
            f"no ASSIGN_VARIABLE gives '{variable[1]}' its memory, so that it has no values: assign"
            " it when the model starts"
        )
    value = node.output(0) if node.operator.name == "READ_VARIABLE" else node.input(1)
    found = value.elements * value.element_bytes
    node.trust(
        found == size,
        f"'{value.name}' has {found:,} bytes, the variable '{variable[1]}' {size:,}",
        beyond=True,
    )


CHECKS = by_operator(
    (_if, "IF"),
    (_while, "WHILE"),
)
