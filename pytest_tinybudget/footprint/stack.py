"""The stack that ``AllocateTensors`` and ``Invoke`` need, from tables measured per core and kernel.

A model's stack is that of its deepest operator, because kernels run one after another. Every
measurement includes the interpreter's own stack. The depth of a kernel depends on the operator, its
type and, with optimized libraries, on the function that is chosen for a shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import dropwhile
from itertools import groupby
from typing import TypedDict

import msgspec
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.footprint.lifetime import called_subgraphs
from pytest_tinybudget.footprint.operators.geometry import Window
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.graph.kinds import Kinds
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tables import stack_table_path
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT


#: The input that decides which kernel runs, if it is not the first.
_ACTIVATION_INPUT = {"TRANSPOSE_CONV": 2}
#: Operators with another, deeper kernel for inputs of different shapes.
_BROADCASTING = frozenset({
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV",
    "FLOOR_MOD", "EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL",
    "LOGICAL_AND", "LOGICAL_OR", "SELECT_V2", "PRELU",
})  # fmt: skip
#: Bytes that an operator adds if it runs a subgraph. On a Cortex-M4, IF adds 64
#: bytes in Invoke() and 112 in AllocateTensors(), for each level; other cores were not measured.
_CALL_BYTES = 256


class StackTable(TypedDict):
    """Stack in bytes by key (see ``prepare_key`` and ``invoke_key``).

    ``borrowed`` lists the keys taken from a neighboring core, with that core's largest
    observed difference added.
    """

    prepare: dict[str, int]
    invoke: dict[str, int]
    borrowed: list[str]


def stack_part(model: Model, runtime: Runtime) -> Part:
    """The stack of ``model`` on ``runtime`` as a part of RAM, bytes, interrupts not included.

    A kernel that was never measured counts as the deepest measured one, and each level of
    called subgraphs adds a bound. The part is then an estimate that says so, as it is where a
    kernel was measured on a neighboring core only.
    """
    if not runtime.table:
        return Part("stack", 0, "estimated", note=f"no stack was measured for {runtime.name}")
    table = load_table(runtime.table)
    size, note = max(_depths(model, runtime, table), key=lambda depth: depth[0], default=(0, ""))
    unmeasured = {
        operator.name
        for subgraph in model.subgraphs
        for operator in subgraph.operators
        if prepare_key(subgraph, operator) not in table["prepare"]
        or invoke_key(subgraph, operator, runtime.kernels) not in table["invoke"]
    }
    if unmeasured:
        names = ", ".join(sorted(unmeasured))
        note = f"{names} not measured: counted like the deepest kernel that was"
    elif runtime.flash_margin_percent > 0 or not _measured_on(runtime):
        note = _NEIGHBOR
    elif runtime.tflm.commit != TFLM_COMMIT:
        note = f"measured with TFLM {TFLM_COMMIT}"
    elif runtime.optimize or runtime.tflm.log_strings:
        note = "measured with TFLM's own flags"
    return Part("stack", size, "estimated" if note else "table", note=note)


_NEIGHBOR = "measured on a neighboring core"


def _measured_on(runtime: Runtime) -> bool:
    """Whether the stack was measured on the core, and with the kernels, of the runtime."""
    measured = RUNTIMES[runtime.table]
    cores = {core.name for core in measured.cores}
    return runtime.core.name in cores and runtime.kernels.library == measured.kernels.library


def _depths(model: Model, runtime: Runtime, table: StackTable) -> Iterator[tuple[int, str]]:
    """What every operator's Prepare and Eval reach, and why that is no measurement (or ``""``)."""
    deepest = {id(stage): max(stage.values()) for stage in (table["prepare"], table["invoke"])}
    borrowed = frozenset(table["borrowed"])
    levels = _call_levels(model)
    for subgraph in model.subgraphs:
        level = levels.get(subgraph.index, 0)
        for operator in subgraph.operators:
            calls = _CALL_BYTES * max(0, level - (operator.name in _SETUP))
            for stage, key, extra in (
                (table["prepare"], prepare_key(subgraph, operator), 0),
                (table["invoke"], invoke_key(subgraph, operator, runtime.kernels), calls),
            ):
                note = f"{extra} B of it for calls of subgraphs" if extra else ""
                if key in borrowed:
                    note = _NEIGHBOR
                yield stage.get(key, deepest[id(stage)]) + extra, note


def planned_stack(model: Model, kinds: Kinds, runtime: Runtime) -> int:
    """The bytes of ``stack_part`` for a planned model, which calls no subgraphs."""
    if not runtime.table:
        return 0
    known = _planned_depths(runtime.table, runtime.kernels)
    size = 0
    for kind in set(kinds.operators):
        depth = known.get(kind)
        if depth is None:
            operator = model.main.operators[kinds.operators.index(kind)]
            alone = Model("", b"", 3, "", (replace(model.main, operators=(operator,)),))
            depths = _depths(alone, runtime, load_table(runtime.table))
            depth = known.keep(kind, max(each for each, _ in depths))
        size = max(size, depth)
    return size


@lru_cache(maxsize=64)
def _planned_depths(_table: str, _kernels: Kernels) -> Remembered[int, int]:
    """What operators of planned models reach, by kind."""
    return Remembered()


#: Operators measured inside a called subgraph, so that their entries need no addition.
_SETUP = frozenset({"VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"})


def _call_levels(model: Model) -> dict[int, int]:
    """The depth of the calls from the main subgraph to each other one, at most."""
    levels = {0: 0}
    pending = [0]
    while pending:
        caller = pending.pop()
        for operator in model.subgraphs[caller].operators:
            for called in called_subgraphs(operator):
                if levels.get(called, -1) <= levels[caller]:
                    levels[called] = levels[caller] + 1
                    pending.append(called)
    return levels


def prepare_key(subgraph: Subgraph, operator: Operator) -> str:
    """The key for an operator's ``Init`` and ``Prepare``: operator and type.

    It names four-bit weights, because kernels unpack them first.
    """
    tensor = _activation(subgraph, operator)
    weights = _tensor(subgraph, operator.inputs, 1)
    packed = " x INT4" if weights is not None and weights.type == "INT4" else ""
    return f"{operator.name}/{tensor.type if tensor else 'NONE'}{packed}"


def invoke_key(subgraph: Subgraph, operator: Operator, kernels: Kernels) -> str:
    """The key for an operator's ``Eval``: operator, type and the function that it calls."""
    return f"{prepare_key(subgraph, operator)}/{_path(subgraph, operator, kernels)}"


def _activation(subgraph: Subgraph, operator: Operator) -> Tensor | None:
    position = _ACTIVATION_INPUT.get(operator.name, 0)
    return _tensor(subgraph, operator.inputs, position)


def _tensor(subgraph: Subgraph, indices: tuple[int, ...], position: int) -> Tensor | None:
    if position >= len(indices) or indices[position] < 0:
        return None
    return subgraph.tensors[indices[position]]


def _path(subgraph: Subgraph, operator: Operator, kernels: Kernels) -> str:
    """The kernel function that the shapes select, named for the table."""
    first = _activation(subgraph, operator)
    second = _tensor(subgraph, operator.inputs, 1)
    output = _tensor(subgraph, operator.outputs, 0)
    if first is None or second is None or output is None:
        return ""
    if operator.name in _BROADCASTING:
        return _broadcast_path(first.shape, second.shape)
    if operator.name == "MEAN":
        axes = set(integers(second)) if second.type == "INT32" else set()
        spatial = bool(operator.options["keep_dims"]) and axes == {1, 2}
        return "spatial" if spatial and len(first.shape) == 4 else ""
    if operator.name == "BATCH_MATMUL":
        options = operator.options
        if options["adj_x"] or not options["adj_y"]:
            return f"transposes_{len(second.shape)}"
        return ""
    own = _LIBRARY_PATHS.get(kernels.library)
    found = own(operator, (first, second, output), kernels) if own else ""
    if operator.name == "FULLY_CONNECTED" and not found:
        return "per_channel" if len(second.quantization.scales) > 1 else ""
    return found


def _cmsis_nn_path(
    operator: Operator, tensors: tuple[Tensor, Tensor, Tensor], kernels: Kernels
) -> str:
    """The function of CMSIS-NN that runs an operator. Batched dense layers are convolutions."""
    first, second, output = tensors
    if operator.name == "FULLY_CONNECTED":
        inputs = second.shape[-1] if second.shape else 1
        return "convolve_1x1" if len(output.shape) > 2 and inputs % 4 == 0 else ""
    if (operator.name, first.type) == ("CONV_2D", "INT16"):
        return _columns_path(output, kernels)
    if first.type != "INT8":
        return ""
    if operator.name == "TRANSPOSE_CONV":
        small_strides = max(_int(operator, "stride_h"), _int(operator, "stride_w")) <= 2
        return "reverse" if small_strides and first.shape[3] > 16 else ""
    if operator.name == "CONV_2D":
        return _convolution_path(operator, first, second, output, kernels)
    if operator.name == "DEPTHWISE_CONV_2D":
        return _depthwise_path(operator, first, second, output, kernels)
    return ""


#: Chooses a library's function; each reference kernel has only one.
_LIBRARY_PATHS = {"cmsis-nn": _cmsis_nn_path}


def _broadcast_path(first: tuple[int, ...], second: tuple[int, ...]) -> str:
    """The number of loops of a broadcast: adjacent axes with the same relation are one loop."""
    if first == second:
        return ""
    rank = max(len(first), len(second))
    mine, other = ((1,) * (rank - len(shape)) + shape for shape in (first, second))
    axes = zip(mine, other, strict=True)
    relations = [
        (one == 1, another == 1) if one != another else (False, False)
        for one, another in dropwhile(lambda axis: axis == (1, 1), axes)
    ]
    return f"broadcast_{len(list(groupby(relations)))}"


def _int(operator: Operator, option: str) -> int:
    value = operator.options[option]
    if not isinstance(value, int):
        raise TinybudgetError(
            f"{operator.name} #{operator.index}: {option} is no number", code="TB300"
        )
    return value


def _pads(operator: Operator, first: Tensor, weights: Tensor) -> tuple[int, int]:
    """Padding before the data (height, width)."""
    height, width = (
        Window(
            first.shape[axis],
            weights.shape[axis],
            _int(operator, f"stride_{letter}"),
            _int(operator, f"dilation_{letter}_factor"),
        ).padding(str(operator.options["padding"]))
        for axis, letter in ((1, "h"), (2, "w"))
    )
    return height, width


def _convolution_path(
    operator: Operator, first: Tensor, weights: Tensor, output: Tensor, kernels: Kernels
) -> str:
    """CONV_2D int8 by ``arm_convolve_wrapper_s8``."""
    options = operator.options
    undilated = options["dilation_w_factor"] == options["dilation_h_factor"] == 1
    kernel_h, kernel_w, kernel_channels = weights.shape[1:4]
    pads = _pads(operator, first, weights)
    same_channels = first.shape[3] == kernel_channels
    if (kernel_h, kernel_w) == (1, 1) and pads == (0, 0) and undilated and same_channels:
        return "1x1" if options["stride_w"] == options["stride_h"] == 1 else "1x1_strided"
    row = first.shape[1] == 1 and kernel_h == 1 and options["dilation_w_factor"] == 1
    if row and same_channels and _int(operator, "stride_w") * first.shape[3] % 4 == 0:
        return "1xn"
    return _columns_path(output, kernels)


def _columns_path(output: Tensor, kernels: Kernels) -> str:
    """Convolution by columns: kernels for two at a time are not reached by a single one."""
    single = output.shape[1] * output.shape[2] == 1
    return "one_column" if single and not kernels.mve else "general"


def _depthwise_path(
    operator: Operator, first: Tensor, weights: Tensor, output: Tensor, kernels: Kernels
) -> str:
    """DEPTHWISE_CONV_2D int8 by ``arm_depthwise_conv_wrapper_s8``."""
    options = operator.options
    undilated = options["dilation_w_factor"] == options["dilation_h_factor"] == 1
    channels, outputs = first.shape[3], output.shape[3]
    if kernels.mve and channels == 1 and outputs > 1:
        return "to_convolution"
    if undilated and first.shape[0] == 1:
        if channels == outputs:
            small_pads = max(_pads(operator, first, weights)) <= 1
            if not kernels.mve and weights.shape[1:3] == (3, 3) and small_pads:
                return "3x3"
            return "optimised"
        if channels and outputs // channels % 4 == 0:
            return "multiplier_4"
    return "generic"


@lru_cache(maxsize=8)
def load_table(name: str) -> StackTable:
    """The measured stack table called ``name`` (a core and kernel library)."""
    file = stack_table_path(name)
    if not file.is_file():
        raise TinybudgetError(f'no stack table for runtime table {name!r}: declare stack = "2 KB"')
    table: StackTable = msgspec.json.decode(file.read_bytes())
    return table
