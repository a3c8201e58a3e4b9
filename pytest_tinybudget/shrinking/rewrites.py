"""Leaves out operators that compute nothing new: their readers read what they were made of.

Each rule is exact for every input, by what the kernels read: RESHAPE and its like copy bytes;
FULLY_CONNECTED, where it does not keep its dimensions, reads its input as so many rows of what a
filter takes (TFLM's, CMSIS-NN's and LiteRT's kernels alike); a number that is dequantized and
quantized again by one scale rounds back to itself, as long as it has at most 16 bits.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from collections.abc import Sequence

from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.shrinking.pack import code_names
from pytest_tinybudget.shrinking.tree import leaf_of
from pytest_tinybudget.shrinking.tree import numbers
from pytest_tinybudget.shrinking.tree import options_of
from pytest_tinybudget.shrinking.tree import set_vector


_COPIES = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
#: Operators that do nothing but compute their results, among those that converters leave unread.
_WITHOUT_EFFECT = frozenset({
    *_COPIES, "SHAPE", "STRIDED_SLICE", "SLICE", "PACK", "UNPACK", "CONCATENATION", "CAST",
    "GATHER", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "ADD", "SUB", "MUL", "FILL", "REDUCE_PROD",
    "SPLIT",
})  # fmt: skip
_SHORT = frozenset({"INT8", "UINT8", "INT16"})
#: Scales in this range neither vanish nor overflow when a number is divided by them.
_SCALES = (1e-30, 1e30)


def drop_copies(root: Table) -> int:
    """Leave out reshapes whose readers do not ask for the shape; how many there were."""
    return sum(_Graph(root, graph).drop(_Graph.is_idle_copy) for graph in root.tables("subgraphs"))


def drop_quantize_pairs(root: Table) -> int:
    """Leave out what quantizes to what it was before; how many there were."""
    return sum(
        _Graph(root, graph).drop(_Graph.is_idle_quantize) for graph in root.tables("subgraphs")
    )


def drop_unread_operators(root: Table) -> int:
    """Leave out operators without a state whose results nothing reads; how many there were."""
    count = 0
    while dropped := sum(_Graph(root, each).drop_unread() for each in root.tables("subgraphs")):
        count += dropped
    return count


class _Graph:
    """A subgraph's operators, by what they read and write."""

    def __init__(self, root: Table, graph: Table) -> None:
        self.graph = graph
        self.names = code_names(root)
        self.types = load_schema().enums["TensorType"]
        self.tensors = graph.tables("tensors")
        self.operators = graph.tables("operators")
        self.bound = {*numbers(graph.values.get("outputs")), *numbers(graph.values.get("inputs"))}
        for signature in root.tables("signature_defs"):
            for each in (*signature.tables("inputs"), *signature.tables("outputs")):
                self.bound.add(each.values.get("tensor_index", 0))

    def drop(self, is_idle: object) -> int:
        """Leave out the operators that are idle, and let their readers read their source."""
        assert callable(is_idle)
        kept, dropped = [], 0
        for operator in self.operators:
            source = is_idle(self, operator)
            if source is None:
                kept.append(operator)
                continue
            dropped += 1
            (result,) = numbers(operator.values.get("outputs"))
            for reader in self.operators:
                inputs = numbers(reader.values.get("inputs"))
                if result in inputs:
                    changed = [source if each == result else each for each in inputs]
                    reader.values["inputs"] = leaf_of(changed)
        if dropped and kept:
            set_vector(self.graph, "operators", kept)
            return dropped
        return 0

    def drop_unread(self) -> int:
        """Leave out the operators whose results nothing reads."""
        read = set(self.bound)
        for operator in self.operators:
            read.update(numbers(operator.values.get("inputs")))
        kept = [each for each in self.operators if self._has_effect(each, read)]
        if kept and len(kept) < len(self.operators):
            set_vector(self.graph, "operators", kept)
            return len(self.operators) - len(kept)
        return 0

    def _has_effect(self, operator: Table, read: set[int]) -> bool:
        inputs = (each for each in numbers(operator.values.get("inputs")) if each >= 0)
        return (
            not self._outputs(operator)
            or any(each in read for each in self._outputs(operator))
            or self._name(operator) not in _WITHOUT_EFFECT
            or any(self.tensors[each].values.get("is_variable") for each in inputs)
        )

    def is_idle_copy(self, operator: Table) -> int | None:
        """The tensor that the readers of a copy can read in its place."""
        if self._name(operator) not in _COPIES:
            return None
        source, result = self._ends(operator)
        if source is None or result is None or not self._alike(source, result):
            return None
        same_shape = self._shapes(source) == self._shapes(result)
        if all(same_shape or self._takes_any_shape(each, result) for each in self._readers(result)):
            return source
        return None

    def is_idle_quantize(self, operator: Table) -> int | None:
        """The tensor that is as it was, before it was dequantized or requantized."""
        if self._name(operator) != "QUANTIZE":
            return None
        source, result = self._ends(operator)
        if source is None or result is None:
            return None
        if self._type(source) == "FLOAT32":
            maker = next((each for each in self.operators if source in self._outputs(each)), None)
            if maker is None or self._name(maker) != "DEQUANTIZE":
                return None
            source, _ = self._ends(maker)
            if source is None:
                return None
        if self._type(result) not in _SHORT or not self._alike(source, result):
            return None
        scale = self._quantization(result)[0]
        if len(scale) != 1 or not _SCALES[0] < scale[0] < _SCALES[1]:
            return None
        return source if self._shapes(source) == self._shapes(result) else None

    def _takes_any_shape(self, reader: Table, tensor: int) -> bool:
        """Whether an operator reads a tensor as bytes in a row, whatever its shape says."""
        inputs, name = numbers(reader.values.get("inputs")), self._name(reader)
        if not inputs or inputs[0] != tensor or inputs.count(tensor) != 1:
            return False
        if name == "RESHAPE":
            return len(inputs) > 1 or options_of(reader) is not None
        options = options_of(reader)
        keeps = options is not None and options.values.get("keep_num_dims", False)
        return name == "FULLY_CONNECTED" and not keeps

    def _ends(self, operator: Table) -> tuple[int | None, int | None]:
        """Source and result of an operator that has one of each which it may lose."""
        inputs, outputs = numbers(operator.values.get("inputs")), self._outputs(operator)
        if not inputs or len(outputs) != 1 or outputs[0] in self.bound:
            return None, None
        if any(self.tensors[each].values.get("is_variable") for each in (inputs[0], outputs[0])):
            return None, None
        return inputs[0], outputs[0]

    def _readers(self, tensor: int) -> Iterator[Table]:
        for operator in self.operators:
            if tensor in numbers(operator.values.get("inputs")):
                yield operator

    def _outputs(self, operator: Table) -> Sequence[int]:
        return numbers(operator.values.get("outputs"))

    def _name(self, operator: Table) -> str:
        return str(self.names[operator.values.get("opcode_index", 0)])

    def _type(self, tensor: int) -> str:
        return str(self.types[self.tensors[tensor].values.get("type", 0)])

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return numbers(self.tensors[tensor].values.get("shape"))

    def _shapes(self, tensor: int) -> tuple[tuple[int, ...], ...]:
        """The shape, and that with open dimensions."""
        shape = self._shape(tensor)
        return shape, numbers(self.tensors[tensor].values.get("shape_signature")) or shape

    def _alike(self, one: int, other: int) -> bool:
        """Whether two tensors hold as many numbers that mean the same."""
        shapes = self._shape(one), self._shape(other)
        return (
            all(extent > 0 for shape in shapes for extent in shape)
            and math.prod(shapes[0]) == math.prod(shapes[1])
            and self._type(one) == self._type(other)
            and self._quantization(one) == self._quantization(other)
        )

    def _quantization(self, tensor: int) -> tuple[tuple[float, ...], bytes]:
        table = self.tensors[tensor].values.get("quantization")
        if not isinstance(table, Table):
            return (), b""
        scales = table.values.get("scale")
        if not isinstance(scales, Leaf):
            return (), b""
        found = struct.unpack(f"<{scales.count}f", scales.content)
        return found, table.text("zero_point")
