"""The operators that TFLM registers, and the rule of each: what its Init and Prepare allocate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module

from pytest_tinybudget.footprint.operators.rule import OperatorRule


#: Modules of this package that hold ``RULES``, a mapping from operator name to rule.
RULE_MODULES = (
    "convolution",
    "fully_connected",
    "pooling",
    "softmax",
    "recurrent",
    "control",
    "variables",
    "arithmetic",
    "layout",
    "conversion",
    "elementwise",
    "activations",
    "pairwise",
    "reduction",
    "matrix",
    "shapes",
    "indexing",
    "spatial",
    "audio",
    "detection",
    "compression",
    "accelerators",
)


@lru_cache(maxsize=1)
def rules() -> Mapping[str, OperatorRule]:
    """Every operator rule by the operator's schema name or custom code."""
    merged: dict[str, OperatorRule] = {}
    for name in RULE_MODULES:
        merged.update(import_module(f"{__name__}.{name}").RULES)
    return merged
