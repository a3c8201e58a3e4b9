"""Figures besides flash and RAM: what their limits do to a pair, and how they are told."""

from __future__ import annotations

from typing import Any

import pytest
from report_samples import pair

from pytest_tinybudget.base.units import Unit
from pytest_tinybudget.base.units import format_quantity
from pytest_tinybudget.base.units import format_range
from pytest_tinybudget.gate.verdict import with_figures
from pytest_tinybudget.report import html
from pytest_tinybudget.report import junit
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report import terminal
from pytest_tinybudget.report.summary import summary
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import Placed


def latency(low: float | None, high: float | None, **changes: Any) -> Figure:
    facts = {"name": "latency", "unit": "s", "method": "estimated", "basis": "measured rates"}
    return Figure(**{**facts, "low": low, "high": high, **changes})


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.4742, "s", "474 ms"),
        (1.2418, "s", "1.24 s"),
        (0.9999, "s", "1.00 s"),
        (0.00005, "s", "50.0 µs"),
        (2938e-7, "J", "294 µJ"),
        (0.0, "s", "0.00 s"),
        (12345, "B", "12.1 KB"),
        (96.66, "%", "96.7 %"),
        (0.05, "%", "0.05 %"),
        (0.1, "%", "0.1 %"),
        (1.04, "%", "1.0 %"),
        (0.62, "%", "0.6 %"),
        (1000.0, "", "1,000"),
        (999.4, "", "999"),
        (0.9995, "s", "1.00 s"),
        (2.5e-12, "J", "0.00 nJ"),
        (0.0, "%", "0.0 %"),
        (12345.6, "", "12,346"),
        (0.03125, "", "0.0312"),
    ],
)
def test_quantities_read_well(value: float, unit: Unit, text: str) -> None:
    assert format_quantity(value, unit) == text


def test_a_range_names_its_unit_once() -> None:
    assert format_range(0.18, 0.24, "s") == "180 to 240 ms"
    assert format_range(0.9, 1.1, "s") == "900 ms to 1.10 s"
    assert format_range(100, 100, "B") == "100 B"


def test_a_figure_without_a_limit_is_only_told() -> None:
    result = with_figures(pair(), [latency(0.18, 0.24)])
    assert (result.outcome, result.headline) == ("fits", pair().headline)
    assert result.figures[0].text == "latency 180 to 240 ms"


def test_the_upper_end_of_a_range_counts() -> None:
    over = latency(0.08, 0.12, limit=0.1, advice="fewer filters")
    result = with_figures(pair(), [over])
    assert result.outcome == "over"
    assert result.headline.startswith("latency over (80.0 to 120 ms, at most 100 ms); ")
    assert result.reasons[-1] == "fewer filters"


def test_a_figure_over_its_limit_fails_a_pair_that_only_warned() -> None:
    result = with_figures(pair(outcome="warns"), [latency(0.08, 0.12, limit=0.1)])
    assert (result.outcome, result.failed) == ("over", True)


def test_a_floor_holds_the_lower_end() -> None:
    accuracy = Figure("accuracy", "%", 94.0, 94.0, "measured", "500 samples", 95.0, at_least=True)
    result = with_figures(pair(), [accuracy])
    assert result.outcome == "unmet"
    assert result.headline.startswith("accuracy under (94.0 %, at least 95.0 %)")


def test_an_unknown_figure_with_a_limit_never_passes() -> None:
    result = with_figures(pair(), [latency(None, None, method="unknown", limit=0.1)])
    assert result.outcome == "unmet"
    assert result.headline.startswith("latency unknown (at most 100 ms)")


def test_beyond_a_limit_weighs_more_than_an_unmet_demand() -> None:
    result = with_figures(pair(outcome="unmet"), [latency(0.08, 0.12, limit=0.1)])
    assert result.outcome == "over"


def test_within_its_limit_it_stands_behind_the_sizes() -> None:
    result = with_figures(pair(), [latency(0.05, 0.06, limit=0.1)])
    assert result.outcome == "fits"
    assert result.headline.endswith("; latency ok (50.0 to 60.0 ms, at most 100 ms)")


def test_figures_survive_the_results_file_and_reach_every_report() -> None:
    result = with_figures(pair(), [latency(0.08, 0.12, limit=0.1)])
    text = writer.render([result])
    (read,) = read_results(text.encode(), "here").pairs
    assert read.figures == result.figures
    told = "latency over (80.0 to 120 ms, at most 100 ms)"
    assert told in terminal.failure(result)
    assert any(told in line.text for line in summary([result]))
    assert told in html.render([result])
    assert "latency over" in markdown.render([result])
    assert told in junit.render([result])


def test_the_worse_end_of_a_range_is_held_to_the_limit_and_may_reach_it() -> None:
    assert [latency(1, high, limit=2).exceeded for high in (1, 2, 3)] == [False, False, True]
    least = [latency(low, 3, limit=2, at_least=True).exceeded for low in (1, 2, 3)]
    assert least == [True, False, False]


@pytest.mark.parametrize(("low", "high"), [(None, None), (None, 3), (3, None)])
def test_what_is_not_known_at_both_ends_is_unknown(low: float | None, high: float | None) -> None:
    figure = latency(low, high, limit=2)
    assert (figure.exceeded, figure.value_text) == (False, "unknown")


def test_unknown_is_unmet_where_there_is_a_limit() -> None:
    assert latency(None, None, limit=2).unmet
    assert not latency(None, None).unmet


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (1024, "3.0 of 4.0 KB, 1.0 KB left"),
        (0, "4.0 of 4.0 KB, 0 B left"),
        (-1024, "5.0 of 4.0 KB, too large"),
    ],
)
def test_a_place_says_what_the_arena_takes_of_it(free: int, said: str) -> None:
    place = Placed("static", "SRAM", room=4096, free=free)
    assert place.text == f"arena in SRAM (static): {said}"
