"""Sizes: what is read as one, what is not, and how they are told."""

from __future__ import annotations

import re

import pytest

from pytest_tinybudget.base.units import format_delta
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_percent_delta
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.base.units import parse_size


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        (0, 0),
        (1, 1),
        ("812", 812),
        ("812 B", 812),
        ("256 KB", 262_144),
        ("256k", 262_144),
        ("256KiB", 262_144),
        ("1 MB", 1_048_576),
        ("1 m", 1_048_576),
        ("1 MiB", 1_048_576),
        ("1.5 KB", 1536),
        ("0.25 MB", 262_144),
        (" 2 KB ", 2048),
        ("1" * 18, int("1" * 18)),
    ],
)
def test_a_size_is_a_number_with_or_without_its_unit(value: int | str, size_bytes: int) -> None:
    assert parse_size(value) == size_bytes


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "expected a size such as '256 KB' or a number of bytes, got True"),
        (-1, "a size cannot be negative, got -1"),
        ("256 GB", "expected a size such as '256 KB', '1 MB' or '812 B', got '256 GB'"),
        ("much", "expected a size such as '256 KB', '1 MB' or '812 B', got 'much'"),
        ("-1 KB", "expected a size such as '256 KB', '1 MB' or '812 B', got '-1 KB'"),
        ("1" * 19, f"size out of range: '{'1' * 19}'"),
        ("0.3 B", "'0.3 B' is not a whole number of bytes"),
        ("0.0001 KB", "'0.0001 KB' is not a whole number of bytes"),
    ],
)
def test_what_is_no_size_is_refused_with_the_reason(value: int | str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_size(value)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (-1000, "-1.0 KB"),
        (1024 * 1000 - 1, "1000.0 KB"),
        (1024 * 1000, "0.98 MB"),
        (1024**2, "1.00 MB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_suits_it(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


def test_a_size_that_must_be_exact_is_told_in_bytes() -> None:
    assert format_size(1_048_577, exact=True) == "1,048,577 B"


def test_sizes_that_would_look_equal_are_told_in_bytes() -> None:
    assert format_pair(262_145, 262_144) == ("262,145 B", "262,144 B")
    assert format_pair(262_144, 262_144) == ("256.0 KB", "256.0 KB")
    assert format_pair(1024, 262_144) == ("1.0 KB", "256.0 KB")


def test_a_ratio_has_its_unit_once_where_both_have_the_same() -> None:
    assert format_ratio(274_739, 262_144) == "268.3 of 256.0 KB"
    assert format_ratio(999, 2048) == "999 B of 2.0 KB"
    assert format_ratio(2048, 1024**2) == "2.0 KB of 1.00 MB"


@pytest.mark.parametrize(
    ("delta_bytes", "text"),
    [(0, "±0 B"), (1, "+1 B"), (-1, "-1 B"), (1229, "+1.2 KB"), (-812, "-812 B")],
)
def test_a_difference_has_its_sign(delta_bytes: int, text: str) -> None:
    assert format_delta(delta_bytes) == text


@pytest.mark.parametrize(
    ("percent", "text"),
    [
        (0.0, "±0 %"),
        (0.049, "+<0.1 %"),
        (-0.049, "-<0.1 %"),
        (0.05, "+0.1 %"),
        (0.6, "+0.6 %"),
        (1.3, "+1.3 %"),
        (-12.0, "-12.0 %"),
    ],
)
def test_a_small_difference_in_percent_is_never_told_as_none(percent: float, text: str) -> None:
    assert format_percent_delta(percent) == text
