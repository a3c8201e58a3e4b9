"""Leaves out of a model's tables what no interpreter reads, and what nothing uses.

``graph/packing.py`` then writes what is left. Every function here changes the tables of a copy
(``tree.py``).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.shrinking.strip import KEPT_METADATA
from pytest_tinybudget.shrinking.tree import calls
from pytest_tinybudget.shrinking.tree import calls_unknown
from pytest_tinybudget.shrinking.tree import numbers
from pytest_tinybudget.shrinking.tree import options_of
from pytest_tinybudget.shrinking.tree import renumber
from pytest_tinybudget.shrinking.tree import set_vector


PLAN = b"OfflineMemoryAllocation"
_COMPRESSION = b"COMPRESSION_METADATA"
#: Three words before the offsets: version, subgraph, number of tensors.
PLAN_HEADER_WORDS = 3
#: The first code that older readers do not know, and find in ``builtin_code``.
_NEW_CODES = 127
#: TFLM keeps resource variables by the operators of all subgraphs, called or not.
_RESOURCES = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})
#: Operators whose bias interpreters take as it is where the weights have a scale for each channel:
#: the places of weights and bias among their inputs.
_BIASES = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
}


def drop_texts(root: Table, keep: Collection[str] = ()) -> None:
    """Leave out names, descriptions, metadata and signatures, except those to ``keep``."""
    root.drop("description", "metadata_buffer")
    if "signatures" not in keep:
        root.drop("signature_defs")
    if "metadata" not in keep:
        entries = root.tables("metadata")
        set_vector(root, "metadata", [e for e in entries if e.text("name") in KEPT_METADATA])
    for graph in root.tables("subgraphs"):
        graph.drop("debug_metadata_index")
        named = [graph, *graph.tables("tensors")] if "names" not in keep else []
        for each in named:
            each.drop("name")
        for operator in graph.tables("operators"):
            operator.drop("debug_metadata_index")


def drop_unread(root: Table) -> None:
    """Leave out what says nothing: ranges seen in training, empty quantization, equal shapes."""
    for code in root.tables("operator_codes"):
        _write_code_once(code)
    for graph in root.tables("subgraphs"):
        for tensor in graph.tables("tensors"):
            _drop_unread_of(tensor)
        for operator in graph.tables("operators"):
            if not numbers(operator.values.get("intermediates")):
                operator.drop("intermediates")
            if not any(operator.text("mutating_variable_inputs")):
                operator.drop("mutating_variable_inputs")


def _write_code_once(code: Table) -> None:
    """Readers take the larger of the two codes: the old one alone says what it can."""
    value = max(code.values.get("deprecated_builtin_code", 0), code.values.get("builtin_code", 0))
    if 0 <= value < _NEW_CODES:
        code.drop("builtin_code", "deprecated_builtin_code")
        if value:
            code.values["deprecated_builtin_code"] = value


def _drop_unread_of(tensor: Table) -> None:
    quantization = tensor.values.get("quantization")
    if isinstance(quantization, Table) and "details" not in quantization.values:
        quantization.drop("min", "max", "details_type")
        scales = quantization.values.get("scale")
        if not isinstance(scales, Leaf) or not scales.count:
            tensor.drop("quantization")
    if numbers(tensor.values.get("shape_signature")) == numbers(tensor.values.get("shape")):
        tensor.drop("shape_signature")


def share_bias_scales(root: Table) -> None:
    """Let a bias refer to the scales of its weights where nobody reads its own.

    Where weights have a scale for each channel, TFLM, LiteRT and XNNPACK compute with those and the
    input's (``kernel_util.cc``); the bias's are read where there is one for all weights, and there
    they stay. Their number stays in any case.
    """
    names = code_names(root)
    for graph in root.tables("subgraphs"):
        tensors, uses = graph.tables("tensors"), _uses(graph)
        for operator in graph.tables("operators"):
            name = names[operator.values.get("opcode_index", 0)]
            inputs = numbers(operator.values.get("inputs"))
            weights_at, bias_at = _BIASES.get(name, (0, len(inputs)))
            if bias_at >= len(inputs) or min(inputs[weights_at], inputs[bias_at]) < 0:
                continue
            bias = tensors[inputs[bias_at]]
            if uses.count(inputs[bias_at]) == 1 and _is_bias(bias, root.tables("buffers")):
                _share_scales(tensors[inputs[weights_at]], bias)


def _uses(graph: Table) -> list[int]:
    """The tensors that operators and outputs of a subgraph read, as often as they do."""
    found = [*numbers(graph.values.get("outputs")), *numbers(graph.values.get("inputs"))]
    for operator in graph.tables("operators"):
        found += numbers(operator.values.get("inputs"))
        found += numbers(operator.values.get("outputs"))
    return found


def _is_bias(tensor: Table, buffers: Sequence[Table]) -> bool:
    """Whether a tensor is what converters make of a bias: constant integers, one a channel."""
    type_ = load_schema().enums["TensorType"][tensor.values.get("type", 0)]
    is_row = len(numbers(tensor.values.get("shape"))) == 1
    return type_ in ("INT32", "INT64") and is_row and len(_data(buffers, tensor)) > 0


def _share_scales(weights: Table, bias: Table) -> None:
    own, others = bias.values.get("quantization"), weights.values.get("quantization")
    if not isinstance(own, Table) or not isinstance(others, Table):
        return
    mine, theirs = own.values.get("scale"), others.values.get("scale")
    if not isinstance(mine, Leaf) or not isinstance(theirs, Leaf):
        return
    if mine.count == theirs.count > 1 and "details" not in own.values:
        own.values["scale"] = theirs


def drop_unused(root: Table, *, merge_constants: bool = True) -> None:
    """Leave out subgraphs, tensors, operator codes and buffers that nothing uses."""
    _drop_subgraphs(root)
    compressed = any(each.text("name") == _COMPRESSION for each in root.tables("metadata"))
    if not compressed:  # whose metadata names tensors and buffers by number
        merge_buffers(root)
        _drop_tensors(root, merge_constants=merge_constants)
        merge_buffers(root)
    _drop_codes(root)


def code_names(root: Table) -> list[str]:
    """The names of the operators that the codes of a model stand for."""
    operators = load_schema().operators
    values = (
        max(code.values.get("deprecated_builtin_code", 0), code.values.get("builtin_code", 0))
        for code in root.tables("operator_codes")
    )
    return [operators[value] if 0 <= value < len(operators) else "" for value in values]


def _drop_subgraphs(root: Table) -> None:
    graphs, names = root.tables("subgraphs"), code_names(root)
    if any(calls_unknown(operator) for graph in graphs for operator in graph.tables("operators")):
        return
    kept = {0, *(each.values.get("subgraph_index", 0) for each in root.tables("signature_defs"))}
    for index, graph in enumerate(graphs):
        codes = (each.values.get("opcode_index", 0) for each in graph.tables("operators"))
        if any(names[code] in _RESOURCES for code in codes):
            kept.add(index)
    waiting = list(kept)
    while waiting:
        for operator in graphs[waiting.pop()].tables("operators"):
            found = {each for each in calls(operator).values() if 0 <= each < len(graphs)} - kept
            kept |= found
            waiting += found
    if len(kept) == len(graphs):
        return
    places = {old: new for new, old in enumerate(sorted(kept))}
    if not _keep_plan_entries(root, lambda graph, _tensor: graph in kept):
        return
    for graph in (graphs[index] for index in places):
        for operator in graph.tables("operators"):
            options = options_of(operator)
            for name, called in calls(operator).items():
                if options is not None and called in places:
                    options.values[name] = places[called]
    for signature in root.tables("signature_defs"):
        signature.values["subgraph_index"] = places[signature.values.get("subgraph_index", 0)]
    set_vector(root, "subgraphs", [graphs[index] for index in places])


def _drop_tensors(root: Table, *, merge_constants: bool) -> None:
    """Leave out tensors that nothing names, and of equal constants all but one."""
    graphs = root.tables("subgraphs")
    places = [_kept_tensors(root, index, merge_constants) for index in range(len(graphs))]
    firsts = [_firsts(each) for each in places]
    if not _keep_plan_entries(root, lambda graph, tensor: tensor in firsts[graph].values()):
        return
    for graph, new, first in zip(graphs, places, firsts, strict=True):
        tensors = graph.tables("tensors")
        if len(first) == len(tensors):
            continue
        set_vector(graph, "tensors", [tensors[old] for old in first.values()])
        for each in (graph, *graph.tables("operators")):
            for name in ("inputs", "outputs", "intermediates"):
                renumber(each, name, new)
    for signature in root.tables("signature_defs"):
        new = places[signature.values.get("subgraph_index", 0)]
        for each in (*signature.tables("inputs"), *signature.tables("outputs")):
            each.values["tensor_index"] = new[each.values.get("tensor_index", 0)]


def _firsts(places: dict[int, int]) -> dict[int, int]:
    """By new number the first tensor that gets it."""
    found: dict[int, int] = {}
    for old in sorted(places):
        found.setdefault(places[old], old)
    return found


def _kept_tensors(root: Table, index: int, merge_constants: bool) -> dict[int, int]:
    """New numbers of the tensors of a subgraph that are used, by their old ones."""
    graph = root.tables("subgraphs")[index]
    used = set(_uses(graph))
    for operator in graph.tables("operators"):
        used.update(numbers(operator.values.get("intermediates")))
    for signature in root.tables("signature_defs"):
        if signature.values.get("subgraph_index", 0) == index:
            maps = (*signature.tables("inputs"), *signature.tables("outputs"))
            used.update(each.values.get("tensor_index", 0) for each in maps)
    buffers, outside = root.tables("buffers"), _bound(graph)
    tensors, places = graph.tables("tensors"), {}
    known: dict[object, int] = {}
    for old, tensor in enumerate(tensors):
        if old not in used:
            continue
        key: object = old
        data = _data(buffers, tensor)
        if merge_constants and data and old not in outside and not tensor.values.get("is_variable"):
            key = _value_of(tensor)
        places[old] = known.setdefault(key, len(known))
    return places


def _bound(graph: Table) -> set[int]:
    """Tensors that are more than what operators read: written, or handed in or out."""
    found = {*numbers(graph.values.get("inputs")), *numbers(graph.values.get("outputs"))}
    for operator in graph.tables("operators"):
        found.update(numbers(operator.values.get("outputs")))
        found.update(numbers(operator.values.get("intermediates")))
    return found


def _value_of(each: Any) -> object:
    """What makes two tables equal."""
    if isinstance(each, Table):
        return (each.kind, *sorted((name, _value_of(value)) for name, value in each.values.items()))
    if isinstance(each, Leaf):
        return (each.count, bytes(each.content))
    return repr(each) if isinstance(each, float) else (each,)


def _data(buffers: Sequence[Table], tensor: Table) -> bytes | memoryview:
    number = tensor.values.get("buffer", 0)
    leaf = buffers[number].values.get("data") if number < len(buffers) else None
    return leaf.content if isinstance(leaf, Leaf) else b""


def _keep_plan_entries(root: Table, is_kept: Callable[[int, int], bool]) -> bool:
    """Leave out of the model's own memory plan what is about tensors that go.

    False where tensors must stay as they are: the plan does not fit the model, or TFLM would find
    the offset of a variable in another place (it looks that up by its number in the subgraph).
    """
    graphs, plan = root.tables("subgraphs"), plan_of(root)
    if plan is None:
        return True
    counts = [len(graph.tables("tensors")) for graph in graphs]
    later = (tensor for graph in graphs[1:] for tensor in graph.tables("tensors"))
    words = plan_words(plan)
    if len(words) < PLAN_HEADER_WORDS or words[2] != sum(counts):
        return False
    if len(words) != PLAN_HEADER_WORDS + sum(counts):
        return False
    if any(tensor.values.get("is_variable") for tensor in later):
        return False
    entries = iter(words[PLAN_HEADER_WORDS:])
    kept = [
        offset
        for graph, count in enumerate(counts)
        for tensor, offset in zip(range(count), entries, strict=False)
        if is_kept(graph, tensor)
    ]
    plan.values["data"] = _plan_data((*words[:2], len(kept), *kept))
    return True


def plan_of(root: Table) -> Table | None:
    """The buffer of the memory plan that a model brings."""
    found = None
    for entry in root.tables("metadata"):
        if entry.text("name") == PLAN:
            found = root.tables("buffers")[entry.values.get("buffer", 0)]
    return found


def plan_words(buffer: Table) -> tuple[int, ...]:
    """The words of a memory plan."""
    content = buffer.text("data")
    return struct.unpack(f"<{len(content) // 4}i", content[: len(content) // 4 * 4])


def set_plan(root: Table, offsets: Sequence[int] | None) -> None:
    """Give a model the memory plan with these offsets, one a tensor, or none at all."""
    entries = [each for each in root.tables("metadata") if each.text("name") != PLAN]
    if offsets is not None:
        buffers = root.tables("buffers")
        name = Leaf(len(PLAN), PLAN, is_text=True)
        entries.append(Table("Metadata", {"name": name, "buffer": len(buffers)}))
        data = _plan_data((1, 0, len(offsets), *offsets))
        buffers.append(Table("Buffer", {"data": data}))
    set_vector(root, "metadata", entries)
    merge_buffers(root)


def _plan_data(words: Sequence[int]) -> Leaf:
    content = struct.pack(f"<{len(words)}i", *words)
    return Leaf(len(content), content, alignment=16)


def merge_buffers(root: Table) -> None:
    """Leave out buffers that nothing uses, and of equal ones all but the first.

    The first buffer stays the empty one, to which all tensors without contents refer.
    """
    buffers = root.tables("buffers")
    owners = [tensor for graph in root.tables("subgraphs") for tensor in graph.tables("tensors")]
    owners += root.tables("metadata")
    contents = [buffer.text("data") for buffer in buffers]
    if not buffers or (contents[0] and any(not each for each in contents)):
        return  # a first buffer with contents: which one is empty is not for us to choose
    known: dict[bytes, int] = {contents[0]: 0}
    kept = [buffers[0]]
    for owner in owners:
        number = owner.values.get("buffer", 0)
        place = known.setdefault(contents[number], len(kept))
        if place == len(kept):
            kept.append(buffers[number])
        owner.drop("buffer")
        if place:
            owner.values["buffer"] = place
    set_vector(root, "buffers", kept)


def _drop_codes(root: Table) -> None:
    """Leave out operator codes that no operator has, and of equal ones all but the first."""
    codes, places = root.tables("operator_codes"), {}
    known: dict[object, int] = {}
    kept: list[Table] = []
    for operator in _operators(root):
        old = operator.values.get("opcode_index", 0)
        if old not in places:
            places[old] = known.setdefault(_value_of(codes[old]), len(kept))
            if places[old] == len(kept):
                kept.append(codes[old])
        operator.values["opcode_index"] = places[old]
    set_vector(root, "operator_codes", kept)


def _operators(root: Table) -> Iterable[Table]:
    for graph in root.tables("subgraphs"):
        yield from graph.tables("operators")
