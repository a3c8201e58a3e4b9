"""The sizes with limits have one vocabulary, ``results/metrics.py``, that everything else asks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pytest_tinybudget
from pytest_tinybudget.footprint.result import MEMORIES
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.metrics import RESULT_KEYS


PACKAGE = Path(pytest_tinybudget.__file__).parent
#: Where what is known of results is shown, written or compared.
ROOMS = ("report", "commands", "baseline", "pytest_plugin", "rollout", "update", "results")
FILES = sorted(
    file
    for room in ROOMS
    for file in (PACKAGE / room).rglob("*.py")
    if file != PACKAGE / "results" / "metrics.py"
)
NAMES = {*METRICS, *LABELS.values(), *RESULT_KEYS.values()}


def test_the_memories_that_parts_lie_in_are_metrics() -> None:
    assert set(MEMORIES) < set(METRICS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_no_other_module_lists_the_metrics_with_names_of_its_own(file: Path) -> None:
    """``{"flash": …, "ram": …}``: a new metric would be missing there."""
    found = [
        node.lineno
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Dict)
        and len({key.value for key in node.keys if isinstance(key, ast.Constant)} & NAMES) > 1
    ]
    assert found == []
