"""What the conversion changes in a ``.tflite`` in the object form of its schema."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


pytest.importorskip("numpy")


def test_codes_of_operators_that_are_gone_are_left_out() -> None:
    from pytest_tinybudget.convert.worker.editing import drop_unused_codes

    codes = [SimpleNamespace(builtinCode=code) for code in (3, 6, 98, 114)]
    operators = [SimpleNamespace(opcodeIndex=index) for index in (2, 0, 2)]
    model = SimpleNamespace(operatorCodes=codes, subgraphs=[SimpleNamespace(operators=operators)])
    drop_unused_codes(model)
    assert [each.builtinCode for each in model.operatorCodes] == [3, 98]
    assert [each.opcodeIndex for each in operators] == [1, 0, 1]
