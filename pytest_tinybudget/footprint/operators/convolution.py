from __future__ import annotations

from pytest_tinybudget.footprint.operators.rule import OperatorRule


RULES: dict[str, OperatorRule] = {}
