"""Checks that TFLM's kernels leave out: shapes, types and counts that they take on trust.

Release builds of TFLM compile its checks (``TFLITE_DCHECK``) out. A kernel then reads a result of
a wrong shape, too short weights, or a bias of a wrong type as if they were right. This package
refuses such a model, operator by operator, after the operator's ``Prepare``.

Some wrong shapes do no harm: a kernel that works through all values does not look at dimensions.
``Trusted.meant`` then keeps the right shape, and the next kernel that looks at dimensions refuses
the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from pytest_tinybudget.base.lazy_mapping import LazyMapping
from pytest_tinybudget.footprint.trust.trusted import Check
from pytest_tinybudget.footprint.trust.trusted import Trusted


#: Modules of this package and the operators that they check: one is imported when a model has one.
MODULES = {
    "values": (
        "RELU RELU6 LEAKY_RELU PRELU TANH LOGISTIC HARD_SWISH ELU ABS RSQRT SIN COS LOG SQRT "
        "SQUARE LOGICAL_NOT CEIL EXP ROUND FLOOR NEG ZEROS_LIKE CAST QUANTIZE DEQUANTIZE ADD SUB "
        "MUL DIV SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD MAXIMUM MINIMUM EQUAL NOT_EQUAL GREATER "
        "GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR ADD_N SELECT_V2 RESHAPE SQUEEZE "
        "EXPAND_DIMS"
    ),
    "weights": (
        "CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV FULLY_CONNECTED AVERAGE_POOL_2D MAX_POOL_2D"
    ),
    "axes": (
        "SOFTMAX LOG_SOFTMAX L2_NORMALIZATION MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_ALL ARG_MAX "
        "ARG_MIN CONCATENATION PACK UNPACK SPLIT SPLIT_V TFLite_Detection_PostProcess"
    ),
    "moves": (
        "PAD PADV2 MIRROR_PAD STRIDED_SLICE SLICE TRANSPOSE CUMSUM REVERSE_V2 "
        "DYNAMIC_UPDATE_SLICE SHAPE BROADCAST_ARGS BROADCAST_TO FILL BATCH_MATMUL L2_POOL_2D "
        "SPACE_TO_DEPTH DEPTH_TO_SPACE SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND SVDF CIRCULAR_BUFFER "
        "UNIDIRECTIONAL_SEQUENCE_LSTM GATHER GATHER_ND EMBEDDING_LOOKUP RESIZE_BILINEAR "
        "RESIZE_NEAREST_NEIGHBOR"
    ),
    "compressed": "TFLM_DECODE",
    "control": "IF WHILE",
}
_OF_VARIABLES = ("READ_VARIABLE", "ASSIGN_VARIABLE")


def check(node: Trusted) -> None:
    """Refuse what the current operator's kernel would read wrongly.

    Custom operators of others than TFLM are their own kernels' business.
    """
    if node.operator.name in _CHECKS:
        _CHECKS[node.operator.name](node)


def check_variable(node: Trusted) -> None:
    """Refuse a variable that nothing gives memory, or another size than it has.

    For when all operators are prepared: an ASSIGN_VARIABLE anywhere gives a variable its memory.
    """
    if node.operator.name in _OF_VARIABLES and node.has_input(0):
        from pytest_tinybudget.footprint.trust.control import variable_memory

        variable_memory(node)


def _check_of(operator: str, module: str) -> Check:
    held: Mapping[str, Check] = import_module(f"{__name__}.{module}").CHECKS
    return held[operator]


_CHECKS = LazyMapping(
    {name: module for module, names in MODULES.items() for name in names.split()}, _check_of
)
