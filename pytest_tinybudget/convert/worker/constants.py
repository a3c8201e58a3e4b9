"""The numbers in a plan's constants: those that a layer stores, and what the converter makes of it.

All is computed in float32 in the converter's order (TensorFlow 2.21), because its weights are to
come out the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from pytest_tinybudget.convert.worker.keras_weights import Stored
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.nodes import Const
from pytest_tinybudget.planning.nodes import Node


if TYPE_CHECKING:
    from numpy.typing import NDArray


Arrays = Sequence["NDArray[np.float32]"]
#: What a layer's constants hold, in the order in which it is lowered.
_Reader = Callable[[Layer, Stored], Iterable[Any]]


def initial_constants(
    nodes: Sequence[Node], layers: Sequence[Layer], stored: Mapping[str, Stored]
) -> dict[int, NDArray[np.float32]]:
    """What the constants of nodes hold, by ``id``, before the converter folds any.

    Args:
        nodes: those of a network, as it was lowered.
        layers: the network's.
        stored: what the file has of each.

    Raises:
        NotPlannedError: a layer's constants are not known.
    """
    held: dict[str, list[Const]] = {}
    norms = {layer.name for layer in layers if layer.type == "batch_norm"}
    for node in nodes:
        constants = [each for each in node.inputs if isinstance(each, Const)]
        held.setdefault(node.label, []).extend(each for each in constants if each.kind != "ints")
        if node.label in norms and "axis" in stored[node.label].config:
            _require_last_axis(node, stored[node.label].config["axis"])
    found: dict[int, NDArray[np.float32]] = {}
    for layer in layers:
        wanted = held.get(layer.name, [])
        read = _READERS.get(layer.type, _nothing)
        own = (*read(layer, stored[layer.name]), *_OF_ACTIVATIONS.get(layer.activation, ()))
        given = [np.asarray(each, np.float32) for each in own]
        shapes = [each.shape for each in wanted]
        if len(given) != len(wanted) or any(
            each.size != np.prod(shape, dtype=int)
            for each, shape in zip(given, shapes, strict=True)
        ):
            raise NotPlannedError(f"layer {layer.name}: not planned: its weights do not fit it")
        for constant, values in zip(wanted, given, strict=True):
            found[id(constant)] = values.reshape(constant.shape)
    return found


def _require_last_axis(node: Node, axis: Any) -> None:
    """Check that a normalization goes over channels, whatever number its file gives them."""
    value = next(node.values())  # type: ignore[call-overload]
    axis = axis[0] if isinstance(axis, list) else axis
    if node.op in ("MUL", "ADD") and axis not in (-1, len(value.shape) - 1):
        raise NotPlannedError(f"layer {node.label}: not planned: a normalization of another axis")


def fold(
    nodes: Sequence[Node], constants: dict[int, NDArray[np.float32]]
) -> dict[int, NDArray[np.float32]]:
    """What the constants of simplified nodes hold, from what ``constants`` held before.

    Raises:
        NotPlannedError: how the converter computes one is not known.
    """
    found: dict[int, NDArray[np.float32]] = {}
    for node in nodes:
        weights, bias = _folded(node, constants)
        if node.bias_from is not None:
            _, moved = _folded(node.bias_from, constants)
            if moved is None or moved.any():  # the order of sums of the product is not known
                raise _unknown(node, "a bias of two layers")
        if node.op == "FULLY_CONNECTED" and bias is not None and not bias.any():
            node.inputs[-1] = None  # the converter leaves out a bias of zeros
        if node.op == "TRANSPOSE_CONV" and (bias is None or not bias.any()):
            raise _unknown(node, "a transposed convolution without a bias")
        for operand in node.inputs:
            if not isinstance(operand, Const) or operand.kind == "ints":
                continue
            if operand.kind == "weights":
                values: Any = weights
            elif operand.kind == "bias":
                values = bias
            else:
                values = constants.get(id(operand))
            if values is None or values.shape != operand.shape:
                raise _unknown(node, "a constant")
            if operand.kind == "values" and np.all(values == (node.op == "MUL")):
                raise _unknown(node, "a constant without effect")
            found[id(operand)] = values.astype(np.float32)
    return found


def _folded(node: Node, constants: Mapping[int, NDArray[np.float32]]) -> tuple[Any, Any]:
    """Weights and bias of a node with what was folded into them."""
    held = {each.kind: constants.get(id(each)) for each in node.inputs if isinstance(each, Const)}
    weights, bias = held.get("weights"), held.get("bias")
    if "weights" not in held:
        return None, None
    if weights is None:
        raise _unknown(node, "weights")
    axis = next(
        each.axis for each in node.inputs if isinstance(each, Const) and each.kind == "weights"
    )
    outputs = weights.shape[axis]
    wide = [1] * weights.ndim
    wide[axis] = outputs
    for op, constant, is_before in node.folds:
        values = constants.get(id(constant))
        if values is None or (op not in ("MUL", "ADD", "BIAS")):
            raise _unknown(node, f"a folded {op}")
        if is_before:
            if op != "MUL":
                raise _unknown(node, f"a folded {op}")
            weights = weights * values.reshape(-1)
            continue
        if op == "MUL":
            weights = weights * (values.reshape(wide) if values.size > 1 else values)
            bias = None if bias is None else bias * values
        else:
            bias = values.reshape(-1) if bias is None else bias + values.reshape(-1)
    if "bias" in held and bias is None:
        bias = np.zeros(outputs, np.float32)
    return weights, bias


def _unknown(node: Node, what: str) -> NotPlannedError:
    return NotPlannedError(f"layer {node.label}: not planned: what {what} holds")


def _nothing(layer: Layer, stored: Stored) -> Arrays:
    if stored.variables:
        raise NotPlannedError(f"layer {layer.name}: not planned: its weights")
    return ()


def _convolution(layer: Layer, stored: Stored) -> Arrays:
    kernel, *bias = stored.variables
    return (np.moveaxis(kernel, -1, 0), *bias)


def _depthwise(layer: Layer, stored: Stored) -> Arrays:
    return stored.variables  # height, width, inputs and multiples lie as TF Lite has them


def _transposed(layer: Layer, stored: Stored) -> Arrays:
    kernel, *bias = stored.variables
    return (np.moveaxis(kernel, -2, 0), *bias)


def _separable(layer: Layer, stored: Stored) -> Arrays:
    depthwise, pointwise, *bias = stored.variables
    return (depthwise, np.moveaxis(pointwise, -1, 0), *bias)


def _dense(layer: Layer, stored: Stored) -> Arrays:
    kernel, *bias = stored.variables
    return (kernel.T, *bias)


def _batch_norm(layer: Layer, stored: Stored) -> Arrays:
    gamma, beta, mean, variance = stored.variables
    epsilon = np.float32(stored.config["epsilon"])
    factor = (np.float32(1) / np.sqrt(variance + epsilon)) * gamma
    return factor, beta - mean * factor


def _normalization(layer: Layer, stored: Stored) -> Iterable[Any]:
    mean, variance = stored.config.get("mean"), stored.config.get("variance")
    if mean is None or variance is None:
        mean, variance = stored.variables[:2]
    deviation = np.sqrt(np.asarray(variance, np.float32))
    yield mean
    yield np.float32(1) / np.maximum(deviation, np.float32(_LEAST_DEVIATION))


#: ``epsilon`` of keras.backend.
_LEAST_DEVIATION = 1e-7


def _rescaling(layer: Layer, stored: Stored) -> Iterable[Any]:
    if layer.scale:
        yield stored.config["scale"]
    if layer.center:
        yield stored.config["offset"]


def _activation(layer: Layer, stored: Stored) -> Arrays:
    return stored.variables  # the slopes of a PReLU


def _multi_head(layer: Layer, stored: Stored) -> Iterable[Any]:
    *parts, kernel, bias = stored.variables
    for weights, biases in zip(parts[::2], parts[1::2], strict=True):  # query, key, value
        yield weights.reshape(len(weights), -1).T
        yield biases.ravel()
    yield 1 / np.sqrt(float(layer.size))
    yield kernel.reshape(-1, kernel.shape[-1]).T
    yield bias


def _average(layer: Layer, stored: Stored) -> Iterable[Any]:
    return (1 / len(layer.inputs),)


#: Of a hard sigmoid, x: the least of 6 and the greatest of 0 and x + 3, by a sixth.
_HARD = (3.0, 1 / 6)
_OF_ACTIVATIONS = {"hard_sigmoid": _HARD, "hard_swish": _HARD}

_READERS: dict[str, _Reader] = {
    "conv2d": _convolution,
    "conv1d": _convolution,
    "depthwise_conv2d": _depthwise,
    "depthwise_conv1d": _depthwise,
    "conv2d_transpose": _transposed,
    "conv1d_transpose": _transposed,
    "separable_conv2d": _separable,
    "separable_conv1d": _separable,
    "dense": _dense,
    "batch_norm": _batch_norm,
    "rescaling": _rescaling,
    "normalization": _normalization,
    "activation": _activation,
    "average": _average,
    "multi_head_attention": _multi_head,
}
