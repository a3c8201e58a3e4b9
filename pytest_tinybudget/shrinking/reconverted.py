"""Models as another conversion would have written them, to measure how much that would save.

Only for measuring: they hold the weights of the file, which need the scales that were left out.
"""

from __future__ import annotations

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model


_PLAN = b"OfflineMemoryAllocation"
_VECTORS = ("scale", "zero_point", "min", "max")


def per_tensor(model: Model) -> Model | None:
    """``model`` with one scale for the weights and the bias of each dense layer.

    ``None`` where each has one already. The file shrinks by the bytes of the scales, not by what
    writing it again would save besides.

    Raises:
        ModelError: the file has parts that cannot be written again.
    """
    root = take_apart(model.content, model.name)
    before = len(put_together(root))
    changed = False
    for graph, tables in zip(model.subgraphs, root.tables("subgraphs"), strict=True):
        tensors = tables.tables("tensors")
        for operator in graph.operators:
            if operator.name != "FULLY_CONNECTED":
                continue
            for index in operator.inputs[1:]:
                if index >= 0 and len(graph.tensors[index].quantization.scales) > 1:
                    tensors[index].values["quantization"] = _one_scale(tensors[index])
                    changed = True
    if not changed:
        return None
    content = put_together(root)
    return read_model(_padded(content, model.bytes - (before - len(content))), model.name)


def _one_scale(tensor: Table) -> Table:
    old: Table = tensor.values["quantization"]
    values = dict(old.values)
    for name in _VECTORS:
        leaf = values.get(name)
        if isinstance(leaf, Leaf) and leaf.count > 1:
            width = len(leaf.content) // leaf.count
            values[name] = Leaf(1, bytes(leaf.content[:width]), leaf.alignment)
    return Table(old.kind, values)


def without_plan(model: Model) -> Model | None:
    """``model`` without the memory plan that it brings; ``None`` where it brings none."""
    root = take_apart(model.content, model.name)
    plans = [each for each in root.tables("metadata") if each.text("name") == _PLAN]
    if not plans:
        return None
    for plan in plans:
        plan.values["name"] = Leaf(len(_PLAN), bytes(len(_PLAN)), is_text=True)
    return read_model(_padded(put_together(root), model.bytes), model.name)


def _padded(content: bytes, size: int) -> bytes:
    return content + bytes(max(0, size - len(content)))
