"""Collections of garbage are put off for work that ends soon, and are as they were afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from collections.abc import Iterator

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


@pytest.fixture
def nothing_frozen() -> Iterator[None]:
    """As a process starts; the tests' own one has frozen what it has imported."""
    gc.unfreeze()
    yield
    gc.freeze()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("nothing_frozen")
def test_what_a_block_has_made_much_of_is_only_looked_through_with_everything() -> None:
    with no_collections():
        made = [weakref.ref(Cycle()) for _ in range(20_000)]
    gc.collect(0)
    assert all(each() is not None for each in made)
    gc.collect()
    assert all(each() is None for each in made)
    assert gc.get_freeze_count() == 0


def test_what_a_block_has_made_little_of_is_looked_through_soon() -> None:
    with no_collections():
        made = [weakref.ref(Cycle()) for _ in range(100)]
    gc.collect(0)
    assert all(each() is None for each in made)


def test_what_a_process_has_frozen_stays_so() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with no_collections():
        made = [[] for _ in range(20_000)]
    assert gc.get_freeze_count() == frozen > 0
    assert made


def test_a_process_of_its_own_collects_seldom_and_still_does() -> None:
    before = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0] > 0
        assert gc.get_threshold()[1:] == before[1:]
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("others", "seldom"), [("", True), ("def test_own(): pass", False)], ids=["pairs alone", "both"]
)
def test_only_a_run_of_pairs_alone_collects_seldom(
    project: Callable[..., pytest.Pytester], others: str, seldom: bool
) -> None:
    pytester = project()
    pytester.makepyfile(test_others=others)
    pytester.makeconftest(
        """
        import gc

        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line(f"after {gc.get_threshold()[0]:,} new objects")
        """
    )
    result = pytester.runpytest_subprocess("--tinybudget")
    found = next(line for line in result.outlines if line.startswith("after "))
    assert (found == "after 200,000 new objects") is seldom
