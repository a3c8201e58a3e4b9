"""Sizes of the C structs that operators allocate, against those compiled for real targets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from flatbuffers import flexbuffers

from pytest_tinybudget.footprint import operators
from pytest_tinybudget.footprint.operators import MODULES
from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.runtimes.runtime import RUNTIMES


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
MEASURED = SHARED / "tflm" / "truth" / "op_init_sizes.jsonl"

#: The struct that an operator's parser allocates, where it is not named like the operator.
STRUCTS = {
    "CONV_2D": "Conv", "DEPTHWISE_CONV_2D": "DepthwiseConv", "AVERAGE_POOL_2D": "Pool",
    "MAX_POOL_2D": "Pool", "L2_POOL_2D": "Pool", "BATCH_MATMUL": "BatchMatMul",
    "L2_NORMALIZATION": "L2Norm", "MIRROR_PAD": "MirrorPadding", "SVDF": "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM", "MEAN": "Reducer",
    "SUM": "Reducer", "REDUCE_MAX": "Reducer", "REDUCE_MIN": "Reducer", "REDUCE_ALL": "Reducer",
}  # fmt: skip
#: Parsers that allocate nothing although a struct of the operator's name exists.
WITHOUT = {"PAD", "PADV2", "TRANSPOSE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}


def measured() -> list[dict[str, Any]]:
    if not MEASURED.exists():
        return []
    return [json.loads(line) for line in MEASURED.read_text(encoding="utf-8").splitlines()]


class Init:
    """An operator while its Init runs, with options that ask for empty work areas."""

    def __init__(self, name: str, variant: str) -> None:
        options = {"T": 7, "fft_length": 0} if name.endswith("fft") else [0] * 9
        self.operator = Operator(
            0,
            name,
            32,
            True,
            1,
            (),
            (),
            custom_options=memoryview(bytes(flexbuffers.Dumps(options))),
        )
        self.abi = RUNTIMES[variant].abi
        self.kernels = RUNTIMES[variant].kernels
        self.tflm = RUNTIMES[variant].tflm
        self.sizes: list[int] = []

    def persistent(self, size_bytes: int) -> None:
        self.sizes.append(size_bytes)

    def ensure(self, condition: bool, reason: str) -> None:
        assert condition, reason


@pytest.mark.parametrize(
    "row",
    [row for row in measured() if "op" in row and row["init"] >= 0],
    ids=lambda row: f"{row['variant']}-{row['op']}",
)
def test_init_allocates_structs_of_the_measured_size(row: dict[str, Any]) -> None:
    node = Init(row["op"], row["variant"])
    init = rules()[row["op"]].init
    if init is not None:
        init(node)
    assert node.sizes[:1] == row["sizes"][:1]


@pytest.mark.parametrize(
    ("variant", "structs"),
    [(row["variant"], row["params"]) for row in measured() if "params" in row],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parsers_allocate_structs_of_the_measured_size(
    variant: str, structs: dict[str, int]
) -> None:
    by_name = {name.removesuffix("Params").lower(): size for name, size in structs.items()}
    abi = RUNTIMES[variant].abi
    expected, found = {}, {}
    for name, rule in rules().items():
        struct = "tflite" + STRUCTS.get(name, name.replace("_", "")).lower()
        expected[name] = 0 if name in WITHOUT else by_name.get(struct, 0)
        found[name] = abi.size_of(rule.parameters)
    assert found == expected


def test_every_rule_is_listed_with_its_module() -> None:
    folder = Path(operators.__file__).parent
    held = {
        file.stem: list(getattr(import_module(f"{operators.__name__}.{file.stem}"), "RULES", ()))
        for file in folder.glob("[a-z]*.py")
    }
    listed = {module: names.split() for module, names in MODULES.items()}
    assert listed == {module: names for module, names in held.items() if names}


def test_a_model_imports_the_rules_of_its_operators_alone() -> None:
    code = (
        "import sys; from pytest_tinybudget.footprint.operators import rules; "
        "known = rules(); assert 'SOFTMAX' in known; assert 'NONE_SUCH' not in known; "
        "before = set(sys.modules); known['SOFTMAX']; known.get('NONE_SUCH'); "
        "print(sorted(name.rpartition('.')[2] for name in set(sys.modules) - before "
        "if name.rpartition('.')[2] in ('softmax', 'convolution', 'audio')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['softmax']\n"
