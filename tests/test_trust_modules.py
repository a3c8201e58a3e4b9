"""Checks of what kernels take on trust are imported when a model has an operator of theirs."""

from __future__ import annotations

from importlib import import_module

import pytest

from pytest_tinybudget.footprint import trust


@pytest.mark.parametrize("module", trust.MODULES)
def test_each_module_holds_the_checks_that_it_is_imported_for(module: str) -> None:
    checks = import_module(f"{trust.__name__}.{module}").CHECKS
    assert sorted(checks) == sorted(trust.MODULES[module].split())


def test_no_operator_is_in_two_modules() -> None:
    every = [name for names in trust.MODULES.values() for name in names.split()]
    assert len(every) == len(set(every)) > 80
