"""Replaces the scales for each output of dense layers by one scale for the whole weights."""

from __future__ import annotations

from msgspec.structs import replace

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


def per_tensor_dense(model: Model) -> Model | None:
    """``model`` with one scale for each dense layer's weights; ``None`` where it has that."""
    subgraphs = tuple(_with_per_tensor_dense(subgraph) for subgraph in model.subgraphs)
    return None if subgraphs == model.subgraphs else replace(model, subgraphs=subgraphs)


def _with_per_tensor_dense(subgraph: Subgraph) -> Subgraph:
    constants = {
        index
        for operator in subgraph.operators
        if operator.name == "FULLY_CONNECTED"
        for index in operator.inputs[1:]
        if index >= 0 and len(subgraph.tensors[index].quantization.scales) > 1
    }
    if not constants:
        return subgraph
    tensors = tuple(
        replace(tensor, quantization=_one_scale(tensor)) if tensor.index in constants else tensor
        for tensor in subgraph.tensors
    )
    return replace(subgraph, tensors=tensors)


def _one_scale(tensor: Tensor) -> Quantization:
    old = tensor.quantization
    return replace(old, scales=old.scales[:1], zero_points=old.zero_points[:1])
