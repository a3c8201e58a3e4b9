"""Replaces operators whose inputs are all constants by the constants that come out.

TFLM's own interpreter computes them (``interpreters.py``). Folded are operators alone whose results
no kernel library and no C library may round otherwise: those that move or choose values, integer
arithmetic with the multipliers of the model, and single steps of IEEE 754.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.packing import pack
from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.shrinking.interpreters import Interpreters
from pytest_tinybudget.shrinking.pack import code_names
from pytest_tinybudget.shrinking.pack import drop_texts
from pytest_tinybudget.shrinking.pack import drop_unused
from pytest_tinybudget.shrinking.pack import set_plan
from pytest_tinybudget.shrinking.tree import calls
from pytest_tinybudget.shrinking.tree import copied
from pytest_tinybudget.shrinking.tree import leaf_of
from pytest_tinybudget.shrinking.tree import numbers
from pytest_tinybudget.shrinking.tree import set_vector


_EXACT = frozenset({
    "ABS", "ADD", "BROADCAST_TO", "CAST", "CONCATENATION", "DEPTH_TO_SPACE", "DEQUANTIZE",
    "EXPAND_DIMS", "FILL", "GATHER", "MAXIMUM", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "PACK",
    "PAD", "PADV2", "QUANTIZE", "RESHAPE", "REVERSE_V2", "SLICE", "SPACE_TO_DEPTH", "SPLIT",
    "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "SUB", "TRANSPOSE", "UNPACK", "ZEROS_LIKE",
})  # fmt: skip
#: Bytes of a value of the types that are folded.
_WIDTHS = {"FLOAT32": 4, "INT8": 1, "UINT8": 1, "INT16": 2, "INT32": 4, "INT64": 8, "BOOL": 1}


class Island(Struct, frozen=True):
    """Operators of a subgraph that hang together, and compute from constants alone.

    ``results`` are the tensors that others read, ``growth`` by how many bytes their contents are
    more than those of the constants that nothing else reads.
    """

    graph: int
    operators: tuple[int, ...]
    results: tuple[int, ...]
    growth: int


class Folding(Struct, frozen=True):
    """Islands, and the contents of their results by subgraph and tensor."""

    islands: tuple[Island, ...]
    values: dict[tuple[int, int], bytes]

    @property
    def count(self) -> int:
        """How many operators go."""
        return sum(len(island.operators) for island in self.islands)

    def without_growth(self) -> Folding:
        """The part of it in which no constant takes more bytes than what it was made of."""
        islands = tuple(island for island in self.islands if island.growth <= 0)
        return Folding(islands, self.values)

    def apply(self, root: Table) -> None:
        """Put the constants in the place of the operators."""
        buffers = root.tables("buffers")
        for island in self.islands:
            graph = root.tables("subgraphs")[island.graph]
            for result in island.results:
                content = self.values[island.graph, result]
                graph.tables("tensors")[result].values["buffer"] = len(buffers)
                data = Leaf(len(content), content, alignment=16)
                buffers.append(Table("Buffer", {"data": data}))
        for index, graph in enumerate(root.tables("subgraphs")):
            gone = {each for one in self.islands if one.graph == index for each in one.operators}
            if gone:
                operators = enumerate(graph.tables("operators"))
                set_vector(graph, "operators", [each for at, each in operators if at not in gone])


def islands_of(root: Table) -> tuple[Island, ...]:
    """What could be folded."""
    count = len(root.tables("subgraphs"))
    return tuple(each for index in range(count) for each in _Graph(root, index).islands())


def computed(
    root: Table, islands: tuple[Island, ...], model: Model, interpreters: Interpreters
) -> Folding:
    """The islands whose results TFLM's interpreter computes here, with what it computes.

    Raises:
        OSError: temporary files cannot be written.
    """
    values: dict[tuple[int, int], bytes] = {}
    found = []
    for island in islands:
        part = _part(root, island, model.name)
        contents = None if part is None else interpreters.computed(part)
        sizes = [_bytes(root, island.graph, each) for each in island.results]
        if contents is not None and list(map(len, contents)) == sizes:
            keys = ((island.graph, result) for result in island.results)
            values.update(zip(keys, contents, strict=True))
            found.append(island)
    return Folding(tuple(found), values)


def _part(root: Table, island: Island, name: str) -> Model | None:
    """A model of an island alone, without inputs; ``None`` where that cannot be written."""
    part = copied(root)
    graph = part.tables("subgraphs")[island.graph]
    operators = graph.tables("operators")
    set_vector(graph, "operators", [operators[each] for each in island.operators])
    graph.values |= {"inputs": leaf_of(()), "outputs": leaf_of(island.results)}
    set_vector(part, "subgraphs", [graph])
    set_plan(part, None)
    drop_texts(part)
    try:
        drop_unused(part, merge_constants=False)
        return read_model(pack(part), name)
    except ModelError:
        return None


def _bytes(root: Table, graph: int, tensor: int) -> int:
    table = root.tables("subgraphs")[graph].tables("tensors")[tensor]
    type_ = load_schema().enums["TensorType"][table.values.get("type", 0)]
    return _WIDTHS.get(type_, 0) * math.prod(numbers(table.values.get("shape")))


class _Graph:
    """A subgraph, and which of its operators compute from constants alone."""

    def __init__(self, root: Table, index: int) -> None:
        self.root, self.index = root, index
        graph = root.tables("subgraphs")[index]
        self.tensors, self.operators = graph.tables("tensors"), graph.tables("operators")
        self.names = code_names(root)
        self.types = load_schema().enums["TensorType"]
        self.bound = {*numbers(graph.values.get("outputs")), *numbers(graph.values.get("inputs"))}
        for signature in root.tables("signature_defs"):
            for each in (*signature.tables("inputs"), *signature.tables("outputs")):
                self.bound.add(each.values.get("tensor_index", 0))
        self.readers: dict[int, list[int]] = {}
        written: set[int] = set()
        for at, operator in enumerate(self.operators):
            for tensor in _ends(operator, "inputs"):
                self.readers.setdefault(tensor, []).append(at)
            written.update(_ends(operator, "outputs"))
        self.known = {
            tensor
            for tensor in range(len(self.tensors))
            if tensor not in written | self.bound and self._content_bytes(tensor)
        }
        self.constants = frozenset(self.known)

    def islands(self) -> Iterator[Island]:
        """Operators that can be folded, those that read of each other together."""
        groups: list[list[int]] = []
        for at, operator in enumerate(self.operators):
            if not self._folds(operator):
                continue
            inputs = set(_ends(operator, "inputs")) - self.constants
            self.known.update(_ends(operator, "outputs"))
            joined = [at]
            for group in [each for each in groups if inputs & self._results(each)]:
                groups.remove(group)
                joined += group
            groups.append(sorted(joined))
        for group in sorted(groups):
            results = tuple(sorted(self._read_by_others(group)))
            growth = sum(_bytes(self.root, self.index, each) for each in results)
            growth -= sum(map(self._content_bytes, self._read_here_alone(group)))
            yield Island(self.index, tuple(group), results, growth)

    def _folds(self, operator: Table) -> bool:
        inputs, outputs = _ends(operator, "inputs"), _ends(operator, "outputs")
        return (
            self.names[operator.values.get("opcode_index", 0)] in _EXACT
            and bool(inputs and outputs)
            and all(each in self.known for each in inputs)
            and not numbers(operator.values.get("intermediates"))
            and all(map(self._may_be_constant, outputs))
        )

    def _may_be_constant(self, tensor: int) -> bool:
        """Whether a result may be one: of fixed shape, and read by what reads constants as well."""
        table = self.tensors[tensor]
        shape = numbers(table.values.get("shape"))
        signature = numbers(table.values.get("shape_signature")) or shape
        readers = (self.operators[at] for at in self.readers.get(tensor, ()))
        return (
            tensor not in self.bound
            and not table.values.get("is_variable")
            and all(extent > 0 for extent in (*shape, *signature))
            and self.types[table.values.get("type", 0)] in _WIDTHS
            and not any(map(self._calls_or_is_custom, readers))
        )

    def _calls_or_is_custom(self, operator: Table) -> bool:
        name = self.names[operator.values.get("opcode_index", 0)]
        return bool(calls(operator)) or name in ("", "CUSTOM", "CALL_ONCE")

    def _results(self, operators: list[int]) -> set[int]:
        return {each for at in operators for each in _ends(self.operators[at], "outputs")}

    def _read_by_others(self, group: list[int]) -> Iterator[int]:
        for tensor in self._results(group):
            if set(self.readers.get(tensor, ())) - set(group):
                yield tensor

    def _read_here_alone(self, group: list[int]) -> set[int]:
        inputs = {each for at in group for each in _ends(self.operators[at], "inputs")}
        return {each for each in inputs & self.constants if set(self.readers[each]) <= set(group)}

    def _content_bytes(self, tensor: int) -> int:
        table, buffers = self.tensors[tensor], self.root.tables("buffers")
        number = table.values.get("buffer", 0)
        is_there = number < len(buffers) and not table.values.get("is_variable")
        return len(buffers[number].text("data")) if is_there else 0


def _ends(operator: Table, name: str) -> list[int]:
    """The tensors of an operator's inputs or outputs; places that are left out do not count."""
    return [each for each in numbers(operator.values.get(name)) if each >= 0]
