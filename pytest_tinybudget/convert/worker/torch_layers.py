"""What a PyTorch program's layers will cost or end as, told by their names in the module.

It reads the graph of ``torch.export`` before litert-torch does: its nodes are calls of ``aten``
operators, each with the path of the module that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator


#: kMaxInputNum of TFLM's CONCATENATION (concatenation.cc).
_MOST_JOINED = 10
_RECURRENT = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}
#: How the last state is had of each, instead of the whole sequence.
_LAST_STATE = {"LSTM": "_, (h, _) = lstm(x)", "GRU": "_, h = gru(x)", "RNN": "_, h = rnn(x)"}
#: Operators that become one that TFLM lacks, and what has its place.
_LACKING = {"gelu": ("GELU", "use ReLU, SiLU or Hardswish, and train with it")}
#: Of the arguments of aten.batch_norm and aten.dropout, the one that says it is in training.
_TRAINING = {"batch_norm": 5, "dropout": 2}
_CONVOLUTIONS = ("conv1d", "conv2d")
_CONVOLVES = ("CONV_2D", "DEPTHWISE_CONV_2D")
_MOST_NAMED = 4


def refuse(graph: Any) -> None:
    """Refuse what would become a file that TFLM refuses, before it is converted.

    Raises:
        WorkerError: with the layer and what to do instead.
    """
    for node, name in _calls(graph):
        training = _TRAINING.get(name)
        if training is not None and _argument(node, training):
            raise WorkerError(
                f"{_layer(node)} is in training mode, in which it takes other numbers",
                "export the model after model.eval()",
            )
        if name in _LACKING:
            what, advice = _LACKING[name]
            raise WorkerError(f"{_layer(node)} is {what}, which TFLM lacks", advice)
        if name in _RECURRENT and _joins_steps(node) and _steps(node) > _MOST_JOINED:
            kind = _RECURRENT[name]
            raise WorkerError(
                f"{kind} {_layer(node)}: litert-torch unrolls it and joins its {_steps(node)} "
                f"steps by one CONCATENATION, of which TFLM takes {_MOST_JOINED} inputs",
                f"take the last state: {_LAST_STATE[kind]}, then h[-1]; it is unrolled all the "
                "same",
                "or build it in Keras, whose LSTM becomes one operator: a fraction of flash and "
                "arena",
            )


def warnings_of(graph: Any) -> list[str]:
    """What will work and cost much."""
    return [
        f"{_RECURRENT[name]} {_layer(node)} is unrolled, {_steps(node)} steps one after the "
        "other, which takes flash and arena: an LSTM of Keras is one operator"
        for node, name in _calls(graph)
        if name in _RECURRENT
    ]


def notes_of(graph: Any) -> list[str]:
    """Convolutions whose padding takes an operator and a larger map beside their input."""
    return list(_paddings(graph))


def transposes(model: Model, layers: Mapping[int, str], maker: str = "litert-torch") -> list[str]:
    """How many TRANSPOSE ``maker`` left in the float file ``model``, and where.

    ``layers`` are the source's names of the file's convolutions, by operator.
    """
    operators = model.main.operators
    left = [operator for operator in operators if operator.name == "TRANSPOSE"]
    if not left:
        return []
    shown = [f"#{each.index} {_place(each, operators, layers)}" for each in left[:_MOST_NAMED]]
    more = [f"and {len(left) - _MOST_NAMED} more"] if len(left) > _MOST_NAMED else []
    return [f"{maker} left {len(left)} TRANSPOSE, a copy each: {', '.join([*shown, *more])}"]


def layers_of(model: Model, graph: Any) -> dict[int, str]:
    """The layers of the file's convolutions by operator: they keep their order.

    Empty where there are not as many as in the program. litert-torch traces the program anew, so
    that the names of its tensors do not say it.
    """
    there = [each.index for each in model.main.operators if each.name in _CONVOLVES]
    layers = [_layer(node) for node, _ in _convolutions(graph)]
    return dict(zip(there, layers, strict=True)) if len(there) == len(layers) else {}


def _place(transpose: Operator, operators: Sequence[Operator], layers: Mapping[int, str]) -> str:
    """Which layer, else which operator, is next to a TRANSPOSE, through RESHAPEs."""
    behind = _next(transpose, operators, forwards=False)
    before = _next(transpose, operators, forwards=True)
    if behind is not None and behind.index in layers:
        return f"behind {layers[behind.index]}"
    if before is not None:
        return f"before {layers.get(before.index, f'{before.name} #{before.index}')}"
    return "at the end"


def _next(operator: Operator, operators: Sequence[Operator], *, forwards: bool) -> Operator | None:
    """The nearest operator on one side that is no RESHAPE."""
    while True:
        ours = operator.outputs if forwards else operator.inputs[:1]
        found = next(
            (
                each
                for each in operators
                if set(ours) & set(each.inputs if forwards else each.outputs)
            ),
            None,
        )
        if found is None or found.name != "RESHAPE":
            return found
        operator = found


def _calls(graph: Any) -> Iterator[tuple[Any, str]]:
    """Each call of an ``aten`` operator with its name: ``conv2d`` of ``aten.conv2d.default``."""
    for node in graph.nodes:
        _, separator, rest = str(node.target).partition("aten.")
        if node.op == "call_function" and separator:
            yield node, rest.split(".")[0].rstrip("_")


def _layer(node: Any) -> str:
    """The path of the module that made ``node``, quoted as in ``model.get_submodule``."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return repr(printable(path or node.name, limit=80))


def _argument(node: Any, index: int, otherwise: Any = None) -> Any:
    return node.args[index] if len(node.args) > index else otherwise


def _steps(node: Any) -> int:
    shape, batch_first = node.args[0].meta["val"].shape, bool(_argument(node, 8))
    return int(shape[1 if batch_first else 0])


def _joins_steps(node: Any) -> bool:
    """Whether the output of every step is read: by the model, by a layer above, or backwards."""
    layers, both_ways = _argument(node, 4, 1), bool(_argument(node, 7))
    sequence = [
        each for each in node.users if str(each.target).endswith("getitem>") and each.args[1] == 0
    ]
    return layers > 1 or both_ways or any(each.users for each in sequence)


def _paddings(graph: Any) -> Iterator[str]:
    found = [each for each in (_padded(node) for node, _ in _convolutions(graph)) if each]
    if not found:
        return
    shown = [text for text, _ in found[:_MOST_NAMED]]
    more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    yield (
        f"{len(found)} of its convolutions with a stride pad both sides: each takes a PAD and a "
        f"second map in the arena: {'; '.join(shown)}{more}"
    )
    yield (
        f"without that: {found[0][1]} before it and padding=0, which is TensorFlow's padding "
        '"same" and needs no PAD (its outputs move by a pixel: train with it)'
    )


def _convolutions(graph: Any) -> Iterator[tuple[Any, str]]:
    return ((node, name) for node, name in _calls(graph) if name in _CONVOLUTIONS)


def _padded(node: Any) -> tuple[str, str] | None:
    """The layer with the bytes of its padded map in INT8, and the padding that needs none.

    A kernel of TFLM pads by itself where the padding is TensorFlow's "same": as few as possible,
    the odd one behind.
    """
    image, weights = node.args[0].meta["val"].shape, node.args[1].meta["val"].shape
    if isinstance(_argument(node, 4), str):
        return None  # "same" is for a stride of 1 alone, and "valid" is none
    rank = len(weights) - 2
    stride, padding, dilation = (
        _each(_argument(node, index, otherwise), rank)
        for index, otherwise in ((3, 1), (4, 0), (5, 1))
    )
    if max(stride) == 1 or not any(padding):
        return None
    extents = [int(each) for each in image[2:]]
    same = []
    for extent, kernel, step, given, spread in zip(
        extents, weights[2:], stride, padding, dilation, strict=True
    ):
        reach = (int(kernel) - 1) * spread + 1
        steps = -(-extent // step)
        total = max((steps - 1) * step + reach - extent, 0)
        if (extent + 2 * given - reach) // step + 1 != steps:
            return None  # another number of outputs: no other padding has the same
        same.append((total // 2, total - total // 2))
    if all(pair == (given, given) for pair, given in zip(same, padding, strict=True)):
        return None
    padded = int(image[1])
    for extent, given in zip(extents, padding, strict=True):
        padded *= extent + 2 * given
    numbers = ", ".join(str(count) for pair in reversed(same) for count in pair)
    return f"{_layer(node)} {padded:,} B", f"nn.ZeroPad{rank}d(({numbers}))"


def _each(value: Any, rank: int) -> list[int]:
    numbers = [value] if isinstance(value, int) else [int(each) for each in value]
    return numbers * rank if len(numbers) == 1 else numbers
