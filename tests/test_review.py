"""The review: one block a model, failures of the change first, what boards share said once."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from report_samples import KB
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.base.units import format_delta_range
from pytest_tinybudget.base.units import format_size_range
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.report import github
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report.diff_text import comparison_lines
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.occasion import anything_to_say
from pytest_tinybudget.report.review import blocks_of
from pytest_tinybudget.report.review import boards_text
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.report.review import verdict_text
from pytest_tinybudget.report.summary import summary
from pytest_tinybudget.report.terminal import Told
from pytest_tinybudget.report.terminal import failure
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import PairResult


BOARDS = ("arduino-nano-33-ble", "raspberry-pi-pico", "nucleo-l432kc", "stm32f746g-discovery")


def on_boards(make: Any, model: str, *flash_kb: int, **changes: Any) -> list[PairResult]:
    """A pair on each board, with what it takes there."""
    return [
        make(
            model,
            board,
            id=f"tinybudget.toml::{model}::{board}",
            measures=(measure("flash", used * KB), measure("ram", 48 * KB, 64 * KB)),
            **changes,
        )
        for board, used in zip(BOARDS, flash_kb, strict=False)
    ]


def compared(base: list[PairResult], head: list[PairResult]) -> Comparison:
    return compare(own_results(base, "commit 1a2b"), own_results(head, ""))


@pytest.fixture
def review() -> tuple[list[PairResult], Comparison]:
    """A failure of the change on all boards, an old one, one that grew, and what is unchanged."""
    base = [
        *on_boards(pair, "new", 200, 201, 200, 200),
        *on_boards(over, "old", 300, 300),
        *on_boards(pair, "grown", 100, 100, 100, 100),
        *on_boards(pair, "same", 90, 91, 92, 93),
    ]
    head = [
        *on_boards(over, "new", 260, 261, 260, 260),
        *on_boards(over, "old", 300, 300),
        *on_boards(pair, "grown", 110, 110, 110, 110),
        *on_boards(pair, "same", 90, 91, 92, 93),
    ]
    return head, compared(base, head)


def test_a_model_is_one_block_and_failures_of_the_change_are_first(
    review: tuple[list[PairResult], Comparison],
) -> None:
    blocks = blocks_of(rows_of(*review))
    found = [(block.model, block.standing, len(block.rows)) for block in blocks]
    assert found == [
        ("new", "new failure", 4),
        ("grown", "changed", 4),
        ("old", "old failure", 2),
        ("same", "quiet", 4),
    ]
    assert verdict_text(row.standing for block in blocks for row in block.rows) == (
        "4 pairs fail because of this change, 2 failed before; 4 changed, 4 unchanged"
    )


def test_an_old_failure_that_grew_is_looked_at_again() -> None:
    base, head = on_boards(over, "fat", 300), on_boards(over, "fat", 301)
    assert [row.standing for row in rows_of(head, compared(base, head))] == ["changed"]


def test_an_old_failure_that_grew_too_much_is_a_new_one() -> None:
    base, head = on_boards(over, "fat", 300), on_boards(over, "fat", 301, grown=("flash",))
    assert [row.standing for row in rows_of(head, compared(base, head))] == ["new failure"]


def test_a_failure_of_another_kind_than_on_the_base_is_a_new_one() -> None:
    base, head = on_boards(over, "fat", 300), on_boards(refused, "fat", 300)
    assert [row.standing for row in rows_of(head, compared(base, head))] == ["new failure"]


def test_where_no_base_was_found_there_is_something_to_say() -> None:
    fits = [pair()]
    unknown = compare(None, own_results(fits, ""), notes=("no baseline yet",))
    assert anything_to_say(fits, unknown)


def test_what_is_left_out_of_the_advice_is_a_command_that_explain_takes() -> None:
    fat = over(reasons=tuple(f"step {number}" for number in range(6)))
    text = markdown.render([fat])
    assert "and 2 more: <code>tinybudget explain tinybudget.toml&#58;&#58;kws&#58;&#58;" in text


def test_without_a_base_every_failure_is_new_and_a_warning_is_looked_at() -> None:
    results = [over("fat"), pair("close", outcome="warns", warnings=("x",)), pair("fine")]
    standings = {row.result.model: row.standing for row in rows_of(results, None)}
    assert standings == {"fat": "new failure", "close": "changed", "fine": "quiet"}


def test_boards_that_differ_in_more_than_size_have_rows_of_their_own() -> None:
    results = [*on_boards(pair, "kws", 200, 201, 202), *on_boards(refused, "kws", 200)[:1]]
    (block,) = blocks_of(rows_of(results, None))
    assert [len(group.rows) for group in block.groups] == [1, 3]
    assert block.boards_of(block.groups[1]) == "3 of 4 boards"


@pytest.mark.parametrize(
    ("boards", "of", "expected"),
    [
        (["nano"], 4, "nano"),
        (["nano", "pico"], 2, "nano, pico"),
        (["a", "b", "c"], 3, "all 3 boards"),
        (["a", "b", "c"], 4, "3 of 4 boards"),
    ],
)
def test_few_boards_are_named_and_many_counted(boards: list[str], of: int, expected: str) -> None:
    assert boards_text(boards, of) == expected


def test_a_range_has_its_unit_once_and_one_size_is_no_range() -> None:
    assert format_size_range([100 * KB, 102 * KB, 101 * KB]) == "100.0 to 102.0 KB"
    assert format_size_range([812, 2 * KB]) == "812 B to 2.0 KB"
    assert format_size_range([5 * KB, 5 * KB + 1]) == "5.0 KB"
    assert format_delta_range([-KB, 2 * KB]) == "-1.0 to +2.0 KB"
    assert format_delta_range([0, 0]) == "±0 B"
    assert format_size_range([]) == ""


# Comment and summary


def test_the_comment_says_once_what_is_so_on_all_boards(
    review: tuple[list[PairResult], Comparison],
) -> None:
    text = markdown.render(*review)
    first = text.partition("<details")[0]
    rows = [line for line in first.splitlines() if line.startswith("| ❌") or "PASS" in line]
    assert len(rows) == 2, "one row a model, though each has four boards"
    assert "all 4 boards" in rows[0]
    assert "260.0 to 261.0 of 256.0 KB (102 %)" in rows[0]
    assert "flash over by 4.0 to 5.0 KB" in rows[0]
    assert "4 pairs fail because of this change, 2 failed before" in text


def test_only_the_first_failure_is_open_and_old_ones_are_folded() -> None:
    base = [*on_boards(pair, "a", 200), *on_boards(pair, "b", 200), *on_boards(over, "c", 300)]
    head = [*on_boards(over, "a", 270), *on_boards(over, "b", 260), *on_boards(over, "c", 300)]
    text = markdown.render(head, compared(base, head))
    assert text.count("<details open>") == 1
    assert text.index("<details open>") < text.index("<code>b</code> on")
    folded = text.partition("1 pair failed before this change already")[2]
    assert "<code>c</code>" in folded
    assert "<code>c</code>" not in text.partition("1 pair failed before")[0]


# diff


def test_diff_has_a_row_for_what_boards_share_and_v_has_all(
    review: tuple[list[PairResult], Comparison],
) -> None:
    _, comparison = review
    lines = [line.text for line in comparison_lines(comparison, Style(140))]
    (at,) = [number for number, line in enumerate(lines) if line.startswith("FAIL changed")]
    assert lines[at].split()[2] == "new"
    assert "260.0 to 261.0 KB" in lines[at]
    assert "+60.0 KB" in lines[at]
    assert lines[at + 1].lstrip().startswith("all 4 boards ")
    assert [line for line in lines if line.startswith("FAIL, unchanged  old")]
    whole = [line.text for line in comparison_lines(comparison, Style(140), verbosity=1)]
    assert len([line for line in whole if line.startswith("FAIL changed")]) == 4


def test_every_failing_row_of_diff_says_why_in_80_columns(
    review: tuple[list[PairResult], Comparison],
) -> None:
    lines = [line.text for line in comparison_lines(review[1], Style(80))]
    assert "    flash over by 4.0 to 5.0 KB" in lines
    assert "    flash over by 44.0 KB" in lines
    assert max(map(len, lines)) <= 80


# The terminal


def test_twenty_pairs_have_a_row_each_and_more_share_them() -> None:
    few = on_boards(pair, "a", 1, 2, 3, 4) * 5
    many = [each for n in range(6) for each in on_boards(pair, f"model{n}", 1, 2, 3, 4)]
    assert sum("PASS" in line.text for line in summary(few)) == 20
    assert sum("PASS" in line.text for line in summary(many)) == 6
    assert sum("PASS" in line.text for line in summary(many, verbosity=1)) == 24


def test_of_800_pairs_that_pass_40_rows_are_printed_and_the_rest_counted() -> None:
    results = [each for n in range(200) for each in on_boards(pair, f"m{n:03}", 1, 2, 3, 4)]
    lines = [line.text for line in summary(results)]
    table = [line for line in lines if "flash" in line or "RAM" in line]
    assert len(table) == 40
    assert "and 720 more pairs that fit: -v shows all of them" in lines


def test_no_failure_and_no_warning_is_left_out_of_the_table() -> None:
    warned = {"outcome": "warns", "warnings": ("close",)}
    results = [
        *(each for n in range(30) for each in on_boards(pair, f"m{n}", 1)),
        *(each for n in range(30) for each in on_boards(over, f"f{n}", 300)),
        *(each for n in range(30) for each in on_boards(pair, f"w{n}", 1, **warned)),
    ]
    lines = [line.text for line in summary(results)]
    assert sum(line.startswith("FAIL") for line in lines) == 30
    assert sum(line.startswith("WARN") for line in lines) == 30


def test_a_failure_cut_to_its_ends_says_how_to_see_the_rest() -> None:
    result = over(reasons=tuple(f"a change that is tried, number {each}" for each in range(40)))
    text = failure(result, most=6)
    assert text.split("\n")[-1] == "-v shows where the bytes are and what would fix it"
    assert "shortened to" not in text


def test_boards_whose_warnings_differ_in_sizes_alone_share_a_row() -> None:
    warned = [
        pair("net", board, outcome="warns", warnings=(f"flash above 90 %: {free} KB free", *more))
        for board, free, more in zip(
            BOARDS, ("1.0", "812", "2.5", "3"), ([], [], [], ["old"]), strict=True
        )
    ]
    (block,) = blocks_of(rows_of(warned, None))
    assert [len(group.rows) for group in block.groups] == [3, 1]


def test_the_title_of_a_failing_model_names_the_boards_that_fail() -> None:
    base = on_boards(pair, "net", 200, 200, 200, 200)
    head = [*on_boards(pair, "net", 210), *on_boards(over, "net", 210, 300)[1:]]
    text = markdown.render(head, compared(base, head))
    (title,) = [line for line in text.split("\n") if line.startswith("<details open>")]
    assert BOARDS[1] in title
    assert BOARDS[0] not in title


def test_later_failures_are_shorter_and_v_tells_all_of_each() -> None:
    told = Told()
    first, other_model, other_board = over("a"), over("b"), over("a", BOARDS[1], id="x::a::y")
    rows = [told.most(each) for each in (first, other_model, other_board)]
    assert rows == sorted(rows, reverse=True)
    assert told.most(first) == rows[0], "asked again, as by a rerun"
    short = failure(other_board, most=rows[2])
    assert short.startswith(other_board.headline)
    assert len(short.splitlines()) <= rows[2]
    assert failure(other_board, most=rows[2], verbosity=1) == failure(other_board, verbosity=1)


# Annotations


def test_annotations_are_one_a_model_those_of_the_change_first(
    review: tuple[list[PairResult], Comparison],
) -> None:
    lines = list(github.annotation_lines(*review))
    assert len(lines) == 2
    assert "title=new on all 4 boards::" in lines[0]
    assert "flash over by 4.0 to 5.0 KB" in lines[0]
    assert "title=old on arduino-nano-33-ble%2C raspberry-pi-pico::" in lines[1]


def test_what_is_long_is_a_group_of_the_log_and_its_end_stays_visible() -> None:
    many = [each for n in range(12) for each in on_boards(pair, f"m{n}", 1, 2, 3, 4)]
    table = summary(many)
    lines = [line.text for line in github.group("all pairs", table)]
    assert lines[0] == "::group::all pairs"
    assert lines[-2:] == ["::endgroup::", table[-1].text]
    short = summary([pair()])
    assert github.group("all pairs", short) == short


def test_an_agreement_is_told_once_for_all_boards() -> None:
    agreed = Acceptance("flash", 270 * KB, "wake word", datetime.date(2027, 3, 1))
    results = on_boards(pair, "kws", 1, 2, 3, outcome="warns", accepted=(agreed,))
    assert markdown.render(results).count("wake word") == 1
