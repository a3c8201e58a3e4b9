"""What kernels check alike: counts, types and ranks, each told in a line a user understands.

The functions that take ``types`` are the only place where supported types are stated: ``accepts``
for what Prepare turns down (the model does not load), ``runs_with`` for what only Eval does.
"""

from __future__ import annotations

from math import inf

from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.model import Tensor


def takes(node: Preparation, inputs: int, outputs: int) -> None:
    """Refuse any other number of inputs and outputs (absent optional ones count)."""
    found = len(node.operator.inputs), len(node.operator.outputs)
    node.ensure(
        found == (inputs, outputs),
        f"it has {found[0]} inputs and {found[1]} outputs, expected {inputs} and {outputs}",
    )


def accepts(node: Preparation, tensor: Tensor, *types: str) -> None:
    """Refuse a tensor of any other type, as Prepare does."""
    types = _known(node, types)
    node.ensure(tensor.type in types, _unsupported(tensor, types))


def runs_with(node: Preparation, tensor: Tensor, *types: str) -> None:
    """A tensor of any other type passes Prepare and makes Eval return an error."""
    types = _known(node, types)
    if tensor.type not in types:
        node.fails_at_invoke(_unsupported(tensor, types))


def _known(node: Preparation, types: tuple[str, ...]) -> tuple[str, ...]:
    """Those that the kernel takes in this version of TFLM."""
    if not node.tflm.version.unrun:
        return types
    operator, library = node.operator.name, node.kernels.library
    return tuple(type_ for type_ in types if node.tflm.runs(operator, library, type_))


def same_type(node: Preparation, first: Tensor, second: Tensor) -> None:
    """Refuse two tensors of different types."""
    node.ensure(
        first.type == second.type,
        f"'{first.name}' is {first.type} and '{second.name}' is {second.type}, expected one type",
    )


def same_shape(node: Preparation, first: Tensor, second: Tensor) -> None:
    """Refuse two tensors of different shapes."""
    node.ensure(
        first.shape == second.shape,
        f"'{first.name}' is {list(first.shape)} and '{second.name}' is {list(second.shape)},"
        " expected one shape",
    )


def rank_within(node: Preparation, tensor: Tensor, least: int, most: int) -> None:
    """Refuse a tensor with fewer than ``least`` or more than ``most`` dimensions."""
    expected = str(least) if least == most else f"{least} to {most}"
    node.ensure(
        least <= len(tensor.shape) <= most,
        f"'{tensor.name}' has {len(tensor.shape)} dimensions, expected {expected}",
    )


def runs_with_rank(node: Preparation, tensor: Tensor, most: int) -> None:
    """Note that ``Eval`` does not take a tensor with more than ``most`` dimensions."""
    if len(tensor.shape) > most:
        node.fails_at_invoke(
            f"'{tensor.name}' has {len(tensor.shape)} dimensions, its kernel takes at most {most}",
            ends=True,
        )


def constant(node: Preparation, tensor: Tensor) -> None:
    """Refuse a tensor whose contents are not in the model file."""
    node.ensure(tensor.is_constant, f"'{tensor.name}' is computed at run time, expected a constant")


def first_integer(tensor: Tensor) -> int:
    """The first element of a constant, as kernels read an axis."""
    return int.from_bytes(tensor.data[: tensor.element_bytes], "little", signed=True)


def zero_point_is(node: Preparation, tensor: Tensor, expected: int) -> None:
    """Refuse a tensor with another zero point (0 counts for one that is not quantized)."""
    found = zero_point(tensor)
    node.ensure(
        found == expected, f"'{tensor.name}' has the zero point {found}, expected {expected}"
    )


def has_axis(node: Preparation, weights: Tensor) -> int:
    """The axis of weights per channel; TFLM reads an extent by it without a look."""
    axis = weights.quantization.dimension
    node.ensure(
        0 <= axis < len(weights.shape),
        f"its weights '{weights.name}' are quantized along dimension {axis}, which they do not"
        " have",
    )
    return axis


def quantized(node: Preparation, tensor: Tensor) -> None:
    """Refuse a tensor without a scale, of which no multiplier can be made."""
    node.ensure(scale(tensor) > 0, f"'{tensor.name}' is not quantized", ends=True)


def rescalable(node: Preparation, result: Tensor, *sources: Tensor, left_shift: int) -> None:
    """Refuse scales of a sum of which the kernel can make no multipliers between 0 and 1.

    The kernel first shifts its inputs left by ``left_shift`` bits.
    """
    for tensor in (*sources, result):
        quantized(node, tensor)
    node.ensure(
        2 * max(map(scale, sources)) < 2**left_shift * scale(result),
        f"the scale of '{result.name}' is too small beside its inputs'",
        ends=True,
    )


def unsupported_weights(activations: Tensor, weights: Tensor) -> str:
    """Why an operator does not run with weights of that type."""
    hybrid = "; TFLM runs no hybrid models" if activations.type == "FLOAT32" else ""
    return (
        f"its weights '{weights.name}' are {weights.type} and its activations "
        f"'{activations.name}' {activations.type}{hybrid}"
    )


def _unsupported(tensor: Tensor, types: tuple[str, ...]) -> str:
    return f"'{tensor.name}' is {tensor.type}, supported: {', '.join(types)}"


#: What a fused activation limits a result to.
_ACTIVATION_BOUNDS = {"RELU": (0.0,), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
#: Quantized bounds have to fit an int32 (compared as floats).
_LARGEST_BOUND = 2.0**31


def activation_range(node: Preparation, output_type: str, output_scale: float) -> None:
    """The checks of CalculateActivationRangeQuantized."""
    node.ensure(
        output_type in ("UINT8", "INT8", "INT16"),
        f"its output of type {output_type} is not supported",
    )
    activation = str(node.operator.options.get("fused_activation_function", "NONE"))
    for bound in _ACTIVATION_BOUNDS.get(activation, ()):
        node.ensure(
            output_scale != 0 and abs(bound / output_scale) <= _LARGEST_BOUND,
            f"the scale of its output, {output_scale:g}, is too small for {activation}",
        )


def clamps(activation: str, output: Tensor) -> bool:
    """Whether a quantized tensor's own range reaches beyond that of its fused ``activation``."""
    bounds = {"RELU": (0, inf), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}.get(activation)
    if bounds is None or scale(output) <= 0:
        return False
    largest = (1 << TYPE_BITS[output.type] - 1) - 1
    least, most = (zero_point(output) + bound / scale(output) for bound in bounds)
    return least > -largest - 1 + _HALF_A_STEP or most < largest - _HALF_A_STEP


#: How far a bound may lie within a tensor's range before rounding shows it.
_HALF_A_STEP = 0.5

#: The largest sum of absolute INT8 weights whose products with any INT16 value fit into 32 bits.
_MOST_WEIGHT = (2**31 - 1) // 2**15


def adds_up_in_64_bits(node: Preparation, filter_: Tensor, own_change: str) -> None:
    """Older kernels add up INT16 products in 32 bits where there is no bias.

    Args:
        node: The operator, which has INT16 activations and no bias.
        filter_: Its INT8 weights, one output after the other.
        own_change: The change from which on the kernel follows an option that names INT64.
    """
    named = str(node.operator.options.get("quantized_bias_type", ""))
    change = own_change if named == "INT64" else "int16 sums without a bias in 64 bits"
    outputs = filter_.shape[0]
    count = filter_.elements // max(1, outputs)
    if named == "INT32" or node.tflm.has(change) or count * 128 <= _MOST_WEIGHT:
        return
    heaviest = count * 128
    if filter_.is_constant and filter_.type == "INT8":
        weights = filter_.data.cast("b")
        heaviest = max(
            sum(map(abs, weights[at * count : (at + 1) * count])) for at in range(outputs)
        )
    if heaviest > _MOST_WEIGHT:
        node.computes_wrongly(
            change,
            "it has no bias and adds up in 32 bits, which large inputs exceed (the weights of an"
            f" output add up to {heaviest:,}, {_MOST_WEIGHT:,} fit)",
            instead="else give it a bias, of zeros",
        )
