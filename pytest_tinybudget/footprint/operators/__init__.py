"""The operators that TFLM registers, and the rule of each: what its Init and Prepare allocate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module

from pytest_tinybudget.base.lazy_mapping import LazyMapping
from pytest_tinybudget.footprint.operators.rule import OperatorRule


#: Modules of this package and the operators whose rules their ``RULES`` hold: a module is
#: imported when a model uses one of them. By schema name or custom code.
MODULES: dict[str, str] = {
    "convolution": "CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV",
    "fully_connected": "FULLY_CONNECTED",
    "pooling": "AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D",
    "softmax": "SOFTMAX LOG_SOFTMAX",
    "recurrent": "SVDF UNIDIRECTIONAL_SEQUENCE_LSTM",
    "control": "IF WHILE CALL_ONCE",
    "variables": "VAR_HANDLE ASSIGN_VARIABLE READ_VARIABLE",
    "arithmetic": "ADD SUB MUL",
    "layout": "CONCATENATION RESHAPE PAD PADV2 STRIDED_SLICE",
    "conversion": "QUANTIZE DEQUANTIZE",
    "elementwise": (
        "ABS RSQRT SIN COS LOG SQRT SQUARE LOGICAL_NOT CEIL EXP ROUND FLOOR NEG CAST ZEROS_LIKE"
    ),
    "activations": "RELU RELU6 LEAKY_RELU PRELU ELU HARD_SWISH LOGISTIC TANH",
    "pairwise": (
        "EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR "
        "MAXIMUM MINIMUM DIV FLOOR_DIV FLOOR_MOD SQUARED_DIFFERENCE SELECT_V2 ADD_N"
    ),
    "reduction": (
        "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_ALL ARG_MAX ARG_MIN CUMSUM L2_NORMALIZATION"
    ),
    "matrix": "BATCH_MATMUL",
    "shapes": (
        "TRANSPOSE SQUEEZE EXPAND_DIMS SHAPE BROADCAST_ARGS BROADCAST_TO PACK UNPACK "
        "SPLIT SPLIT_V SLICE REVERSE_V2"
    ),
    "indexing": "GATHER GATHER_ND EMBEDDING_LOOKUP DYNAMIC_UPDATE_SLICE FILL",
    "spatial": (
        "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND "
        "SPACE_TO_DEPTH DEPTH_TO_SPACE MIRROR_PAD"
    ),
    "audio": (
        "CIRCULAR_BUFFER SignalDelay SignalEnergy SignalFftAutoScale SignalFilterBank "
        "SignalFilterBankLog SignalFilterBankSpectralSubtraction "
        "SignalFilterBankSquareRoot SignalFramer SignalIrfft SignalOverlapAdd SignalPCAN "
        "SignalRfft SignalStacker SignalWindow"
    ),
    "detection": "TFLite_Detection_PostProcess",
    "compression": "TFLM_DECODE",
    "accelerators": "ethos-u",
}


@lru_cache(maxsize=1)
def rules() -> Mapping[str, OperatorRule]:
    """Every operator rule by the operator's schema name or custom code."""
    modules = {name: module for module, names in MODULES.items() for name in names.split()}
    return LazyMapping(modules, _rule)


def _rule(operator: str, module: str) -> OperatorRule:
    held: Mapping[str, OperatorRule] = import_module(f"{__name__}.{module}").RULES
    return held[operator]
