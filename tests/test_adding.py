"""Adding is cheap: in a copy of the package, a board is one entry, an operator a rule and a row."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from modelmaker import ModelMaker

import pytest_tinybudget


PACKAGE = Path(pytest_tinybudget.__file__).parent

BOARD = {
    "id": "example-one",
    "name": "Example One",
    "mcu": "EX1040",
    "core": "Cortex-M4F",
    "clock_mhz": 80,
    "flash": "512 KB",
    "ram": "96 KB",
    "usable_flash": "496 KB",
    "sdk": "bare-metal",
    "regions": [
        {"name": "flash", "kind": "flash", "size": "512 KB", "usable": "496 KB"},
        {"name": "SRAM", "kind": "sram", "size": "96 KB"},
    ],
    "source": "made up",
}

#: Of a kernel that keeps 12 bytes from Init on and 100 from Prepare on, and asks for scratch.
RULE = """
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import op_data


def _prepare(node):
    source, result = node.temp_input(0), node.temp_output(0)
    node.ensure(source.type == result.type, "its types differ")
    node.persistent(100, "tables")
    node.scratch(4 * source.elements)


RULES = {"GELU": OperatorRule(init=op_data("3i"), prepare=_prepare)}
"""


class Copy:
    """A copy of the package in ``folder``, to which something is added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "pytest_tinybudget"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``tinybudget`` of the copy, which Python finds first because it runs in its folder."""
        return subprocess.run(
            [sys.executable, "-m", "pytest_tinybudget", *arguments],
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def checked(self, model: str, board: str) -> tuple[int, Mapping[str, Any]]:
        """Exit code and pair of the results file for a model on a board."""
        results = self.folder / "results.json"
        done = self.run("check", model, "--board", board, "--json", str(results))
        assert done.returncode in (0, 1), done.stderr
        (pair,) = json.loads(results.read_text(encoding="utf-8"))["pairs"]
        return done.returncode, pair


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def save(folder: Path, name: str, operator: str) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary(operator, graph.input((1, 8))))
    (folder / name).write_bytes(maker.build())


def test_a_board_is_added_by_one_entry(copy: Copy) -> None:
    save(copy.folder, "relu.tflite", "RELU")
    before = copy.run("check", "relu.tflite", "--board", "example-one")
    assert before.returncode != 0
    assert "unknown board 'example-one'" in before.stderr

    entries = {"vendor": "Example", "boards": [BOARD]}
    (copy.package / "boards" / "data" / "catalogue" / "example.json").write_text(
        json.dumps(entries), encoding="utf-8"
    )

    code, pair = copy.checked("relu.tflite", "example-one")
    assert code == 0
    assert pair["board"] == {"id": "example-one"}
    assert (pair["flash"]["limit"], pair["ram"]["limit"]) == (496 * 1024, 96 * 1024)
    assert "Example One" in copy.run("boards", "example").stdout


def test_an_operator_is_added_by_a_rule_and_a_row(copy: Copy) -> None:
    save(copy.folder, "gelu.tflite", "GELU")
    before = copy.run("check", "gelu.tflite", "--board", "arduino-nano-33-ble")
    assert before.returncode == 1
    assert "TFLM has no registration for this operator" in " ".join(before.stdout.split())

    operators = copy.package / "footprint" / "operators"
    (operators / "gelu.py").write_text(RULE, encoding="utf-8")
    modules = operators / "__init__.py"
    text, head = modules.read_text(encoding="utf-8"), "MODULES: dict[str, str] = {\n"
    assert text.count(head) == 1
    modules.write_text(text.replace(head, f'{head}    "gelu": "GELU",\n'), encoding="utf-8")
    table = copy.package / "footprint" / "data" / "registrations.csv"
    with table.open("a", encoding="utf-8") as rows:
        rows.write("GELU,builtin,AddGelu,,\n")

    # Until its code is measured, flash is bounded, and the verdict says so.
    code, pair = copy.checked("gelu.tflite", "arduino-nano-33-ble")
    assert (code, pair["outcome"]) == (0, "warns")
    (warning,) = pair["warnings"]
    assert "operator GELU: its code is not in table" in warning
    # RAM is what the rule asks for.
    buffers = {each["owner"]: each["bytes"] for each in pair["arena"]["buffers"]}
    assert buffers["scratch of GELU #0"] == 4 * 8
    kept = {
        each["cause"]: each["bytes"]
        for each in pair["arena"]["persistent"]
        if each["operator"] == "GELU"
    }
    assert kept.keys() == {"operator data", "tables"}
    assert 12 <= kept["operator data"] < 12 + 16
    assert 100 <= kept["tables"] < 100 + 16
    # The resolver that firmware includes registers it.
    assert copy.run("carray", "gelu.tflite", "-o", "firmware").returncode == 0
    resolver = copy.folder / "firmware" / "gelu_op_resolver.h"
    assert "resolver.AddGelu()" in resolver.read_text(encoding="utf-8")
