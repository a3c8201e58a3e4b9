"""The page "which runtime do I flash": its tables are what is computed and what was measured."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import which_runtime

from pytest_tinybudget.runtimes.distributions import UPSTREAM
from pytest_tinybudget.runtimes.distributions import distributions


TEXT = which_runtime.PAGE.read_text(encoding="utf-8")
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))


def rows_after(mark: str) -> list[list[str]]:
    """The cells of the table's rows, the head apart."""
    table = TEXT.partition(f"{mark}\n")[2].partition("\n\n")[0].strip()
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


@pytest.mark.parametrize("page", which_runtime.TABLES, ids=lambda page: page.name)
def test_the_tables_are_what_is_computed_today(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert which_runtime.page_with_tables(page) == text, (
        "run python benchmarks/which_runtime.py --write"
    )


@pytest.mark.parametrize("table", ["arena", "flash"])
def test_each_release_is_in_a_row(table: str) -> None:
    names = "\n".join(row[0] for row in rows_after(f"<!-- table: {table} -->"))
    families = {each.name for each in distributions().values()}
    assert {name.split()[0] for name in names.splitlines()} == families
    for each in distributions().values():
        if each.newest and each.name != UPSTREAM:
            assert f"{each.name} {each.release}" in names or f" to {each.release}" in names


def test_releases_that_compute_other_outputs_have_no_size() -> None:
    (row,) = [
        row
        for row in rows_after("<!-- table: arena -->")
        if row[0].startswith("arduino-tflm 2022-06")
    ]
    assert row[3:6] == ["wrong"] * 3  # dense layers per channel
    assert re.match(r"[\d,]+ \(\+\d+\)", row[6])


def test_the_sdks_of_the_page_are_those_that_are_known() -> None:
    named = set(re.findall(r"\| `([\w-]+)` \|", TEXT.partition("## How to say it")[0]))
    assert named == {each.name for each in distributions().values()}


@pytest.mark.skipif(
    not (SHARED / "tflm" / "versions").exists(), reason="measurements are not in the repository"
)
def test_what_was_measured_of_public_models_is_what_is_predicted() -> None:
    builds = list(which_runtime.builds(SHARED / "tflm" / "versions", SHARED / "models"))
    assert len(builds) == 19
    for build in builds:
        assert build.predicted == build.measured, build.name
    assert f"<!-- measured -->\n{which_runtime.measured_table(builds)}\n" in TEXT
