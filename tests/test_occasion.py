"""When a comment is worth writing: thresholds for changes, never for what fails anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_samples import KB
from report_samples import measure
from report_samples import over
from report_samples import pair
from small_projects import run

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.report.occasion import Occasion
from pytest_tinybudget.report.occasion import Threshold
from pytest_tinybudget.report.occasion import anything_to_say
from pytest_tinybudget.report.occasion import fails_anew
from pytest_tinybudget.report.occasion import threshold
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import PairResult


def sized(flash: int, **changes: object) -> PairResult:
    return pair(measures=(measure("flash", flash),), **changes)


def speaks(occasion: Occasion, base: PairResult | None, *head: PairResult) -> bool:
    return anything_to_say(head, against(base, *head), occasion)


def against(base: PairResult | None, *head: PairResult) -> Comparison:
    before = () if base is None else (base,)
    return compare(own_results(before, "commit 1a2b"), own_results(head, ""))


def test_a_threshold_is_passed_by_more_than_it_up_or_down() -> None:
    limit = Threshold(bytes=KB)
    assert not speaks(limit, sized(100 * KB), sized(101 * KB))
    assert speaks(limit, sized(100 * KB), sized(101 * KB + 1))
    assert speaks(limit, sized(101 * KB + 1), sized(100 * KB))
    share = Threshold(percent=2)
    assert not speaks(share, sized(100 * KB), sized(102 * KB))
    assert speaks(share, sized(100 * KB), sized(102 * KB + 1))


def test_bytes_and_percent_must_both_be_passed() -> None:
    both = Threshold(bytes=KB, percent=10)
    assert not speaks(both, sized(100 * KB), sized(105 * KB))
    assert not speaks(both, sized(4 * KB), sized(4 * KB + 900))
    assert speaks(both, sized(4 * KB), sized(6 * KB))


def test_no_threshold_silences_a_new_failure_or_what_was_not_compared() -> None:
    limit = Threshold(bytes=1000 * KB)
    assert speaks(limit, sized(268 * KB), over(measures=(measure("flash", 268 * KB + 1),)))
    assert speaks(limit, sized(268 * KB, runtime="m0_ref"), sized(268 * KB))
    assert anything_to_say([pair()], None, limit)


def test_a_threshold_silences_an_old_failure_and_tells_of_its_repair() -> None:
    limit = Threshold(bytes=KB)
    assert not speaks(limit, over(), over())
    assert speaks(limit, over(), over(outcome="fits"))


def test_a_model_that_comes_or_goes_counts_with_all_its_bytes() -> None:
    assert speaks(Threshold(bytes=100 * KB), None, sized(101 * KB))
    assert not speaks(Threshold(bytes=100 * KB), None, sized(99 * KB))
    assert speaks(Threshold(percent=50), None, sized(1 * KB))
    assert speaks(Threshold(bytes=100 * KB), sized(101 * KB))


def test_only_new_failures_speak_where_that_is_asked() -> None:
    assert not speaks(fails_anew, sized(100 * KB), sized(200 * KB))
    assert not speaks(fails_anew, over(), over())
    assert speaks(fails_anew, sized(100 * KB), over())
    assert not anything_to_say([pair()], None, fails_anew)
    assert anything_to_say([over()], None, fails_anew)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1KB", Threshold(KB)),
        ("2%", Threshold(percent=2.0)),
        ("1 KB, 2.5 %", Threshold(KB, 2.5)),
        ("0", Threshold(0)),
    ],
)
def test_a_threshold_is_read(text: str, found: Threshold) -> None:
    assert threshold(text, "--if-above") == found


@pytest.mark.parametrize("text", ["", "much", "1KB,2KB", "-1%", "inf%", "nan%", "1KB,"])
def test_what_is_no_threshold_is_told_in_one_line(text: str) -> None:
    with pytest.raises(TinybudgetError, match="expected a size, a percentage or both, such as"):
        threshold(text, "--if-above")


def test_the_command_writes_an_empty_file_below_the_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, flash in (("base", 100 * KB), ("head", 102 * KB)):
        text = writer.render([sized(flash)], None)
        tmp_path.joinpath(f"{name}.json").write_text(text, encoding="utf-8")
    base, head = (str(tmp_path / f"{name}.json") for name in ("base", "head"))
    command = ("report", head, "--baseline", base, "--format", "markdown")
    assert run(*command, "--if-above", "4KB") == 0
    assert run(*command, "--if-new-failures") == 0
    assert capsys.readouterr().out == ""
    assert run(*command, "--if-above=1KB,1%") == 0
    assert "+2.0 KB" in capsys.readouterr().out
    assert run(*command, "--if-above", "4 lines") == 2
