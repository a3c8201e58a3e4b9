"""Adding is cheap: each test adds something to a copy of the package.

A board is one entry, an operator a rule and a row, a kernel library a row and its layouts, a
version of TFLM an entry of data.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from modelmaker import Graph
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
            errors="replace",
            check=False,
        )

    def python(self, *lines: str) -> str:
        """What these lines print in the copy."""
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        return done.stdout.strip()

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


def inserted(path: Path, before: str, more: str) -> None:
    """Write ``more`` in front of ``before``, which the file has once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, more + before), encoding="utf-8")


def save_with(folder: Path, name: str, operator: Callable[[Graph, int], int]) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(operator(graph, graph.input((1, 8))))
    (folder / name).write_bytes(maker.build())


DECLARED = """
[models.net]
source = "net.tflite"
boards = ["arduino-nano-33-ble"]
runtime = "own"
[runtime.own]
extends = "m4_ref"
"""


def test_a_kernel_library_is_added_by_a_row_and_its_layouts(copy: Copy) -> None:
    """The declaration takes its name, results and texts show it, rules ask for its structs."""
    save_with(copy.folder, "net.tflite", lambda graph, source: graph.logistic(source))
    declaration = copy.folder / "tinybudget.toml"
    declaration.write_text(DECLARED + 'kernels = "acme-nn"\n', encoding="utf-8")
    before = copy.run("check")
    assert before.returncode == 2
    assert "acme-nn" in before.stderr

    kernels = copy.package / "runtimes" / "kernels.py"
    inserted(kernels, '"reference", "cmsis-nn"', '"acme-nn", ')
    inserted(
        kernels,
        '        KernelLibrary("reference"',
        '        KernelLibrary("acme-nn", "acmenn", "ACME-NN", functions="acme_"),\n',
    )
    rules = copy.package / "footprint" / "operators" / "activations.py"
    text = rules.read_text(encoding="utf-8")
    layout = re.search(r'"LOGISTIC": OperatorRule\(.*?op_data\(([^)]*)', text, re.DOTALL)
    assert layout is not None
    end = layout.end(1)
    rules.write_text(f'{text[:end]}, acme_nn="100i"{text[end:]}', encoding="utf-8")

    done = copy.run("check", "--json", "results.json")
    assert done.returncode == 0, done.stderr
    results = json.loads((copy.folder / "results.json").read_text(encoding="utf-8"))
    (variant,) = results["runtime"]["variants"]
    assert (variant["name"], variant["kernels"]) == ("own", "acme-nn")
    kept = {
        each["cause"]: each["bytes"]
        for each in results["pairs"][0]["arena"]["persistent"]
        if each["operator"] == "LOGISTIC"
    }
    assert 400 <= kept["operator data"] < 400 + 16
    told = copy.python(
        "from pytest_tinybudget.runtimes.kernels import Kernels, library_of",
        "print(library_of({'acme_convolve': 0}).name, Kernels('acme-nn', dsp=True).label)",
    )
    assert told == "acme-nn ACME-NN with DSP"


def test_a_version_of_tflm_is_added_by_data(copy: Copy) -> None:
    """It lacks what came after it: structs were larger, and an operator was not registered."""
    save_with(copy.folder, "net.tflite", lambda graph, source: graph.logistic(source))
    save_with(copy.folder, "later.tflite", lambda graph, source: graph.softmax(source))
    declaration = copy.folder / "tinybudget.toml"
    declaration.write_text(DECLARED + 'tflm = "feedc0de"\n', encoding="utf-8")
    assert "counted for TFLM" in " ".join(copy.run("check").stdout.split())

    versions = copy.package / "runtimes" / "data" / "versions"
    change = {
        "name": "smaller records",
        "commit": "0ddba11",
        "date": "2025-06-01T00:00",
        "before": {"NodeAndRegistration": "(7p i p b) p 4p"},
        "registers": ["SOFTMAX"],
    }
    inserted(versions / "tflm.json", ' {\n  "name": "allocators without', f"{json.dumps(change)},")
    known = json.loads((versions / "known.json").read_text(encoding="utf-8"))
    known["tflm"]["feedc0de"] = "2025-05-01"
    (versions / "known.json").write_text(json.dumps(known), encoding="utf-8")

    def arena() -> Mapping[str, Any]:
        done = copy.run("check", "--json", "results.json")
        assert done.returncode in (0, 1), done.stderr
        results = json.loads((copy.folder / "results.json").read_text(encoding="utf-8"))
        (pair,) = results["pairs"]
        return {**pair["arena"], "warnings": pair["warnings"]}

    older = arena()
    declaration.write_text(DECLARED, encoding="utf-8")
    newest = arena()
    records = "node_and_registration"
    assert (newest["recorded"][records], older["recorded"][records]) == (32, 60)
    assert not any("any known version" in line for line in older["warnings"])
    text = DECLARED.replace("net.tflite", "later.tflite")
    declaration.write_text(text, encoding="utf-8")
    assert copy.run("check").returncode == 0
    declaration.write_text(text + 'tflm = "feedc0de"\n', encoding="utf-8")
    refused = copy.run("check")
    assert refused.returncode == 1
    assert "TFLM feedc0de has no registration" in " ".join(refused.stdout.split())
