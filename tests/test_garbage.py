"""Collections of garbage are put off for work that ends soon, and are as they were afterwards."""

from __future__ import annotations

import gc

import pytest

from pytest_tinybudget.base.garbage import collect_seldom
from pytest_tinybudget.base.garbage import no_collections


def test_nothing_is_collected_inside_and_all_is_as_before_afterwards() -> None:
    def work() -> None:
        with no_collections():
            assert not gc.isenabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert gc.isenabled()


def test_who_has_turned_collections_off_keeps_them_off() -> None:
    gc.disable()
    try:
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_process_of_its_own_collects_seldom_and_still_does() -> None:
    before = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0] > 0
        assert gc.get_threshold()[1:] == before[1:]
    finally:
        gc.set_threshold(*before)
