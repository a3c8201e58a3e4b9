"""What people read: the failure text and the table of pairs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import wcwidth
from msgspec.structs import replace
from report_samples import KB
from report_samples import error
from report_samples import footprint
from report_samples import layer
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Persistent
from pytest_tinybudget.report import junit
from pytest_tinybudget.report import layout
from pytest_tinybudget.report.blocks import parts_table
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import bar
from pytest_tinybudget.report.layout import cells
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import encodable
from pytest_tinybudget.report.layout import shorten
from pytest_tinybudget.report.layout import write_lines
from pytest_tinybudget.report.summary import summary
from pytest_tinybudget.report.terminal import failure
from pytest_tinybudget.report.terminal import failure_lines
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Placed


WIDE, USUAL, NARROW = Style(120), Style(80), Style(40)
ASCII = Style(80, unicode=False)


def text_of(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


def rows_of(lines: list[Line], word: str) -> list[str]:
    return [line.text for line in lines if line.text.startswith(word)]


# The failure text


def test_failure_starts_with_the_headline() -> None:
    assert failure(over()).split("\n")[0] == over().headline


def test_failure_lists_parts_largest_first_and_they_add_up_to_what_is_used() -> None:
    lines = failure(over()).split("\n")
    start = lines.index("flash: 268.3 of 256.0 KB (budget of models.kws)")
    *table, margin = lines[start + 1 : lines.index("", start)]
    assert [line.split("%")[1].split()[0] for line in table] == ["model", "runtime", "kernels"]
    assert sum(float(line.split()[0]) for line in table) == pytest.approx(268.3)
    assert margin == "  includes a margin of 307 B"


def test_small_parts_share_a_line_that_keeps_the_sum_and_the_estimates() -> None:
    parts = [Part(f"part {size}", size * KB, "exact") for size in range(1, 12)]
    parts[0] = Part("a guess", 0, "estimated", margin_bytes=KB)
    text = failure(over(measures=(measure("flash", 66 * KB, 60 * KB, parts=tuple(parts)),)))
    line = next(line for line in text.split("\n") if "smaller parts" in line)
    assert line.split() == ["6.0", "KB", "9", "%", "3", "smaller", "parts", "estimated"]
    assert "part 4" in text
    assert "part 3" not in text


def test_parts_that_are_not_exact_say_how_they_were_got() -> None:
    text = failure(over(), WIDE)
    assert "kernels       estimated, 307 B margin" in text
    assert "runtime core  measured" in text
    model_line = next(line for line in text.split("\n") if line.endswith("%  model"))
    assert not any(word in model_line for word in ("estimated", "measured", "declared"))


def test_estimates_stay_marked_on_a_narrow_terminal() -> None:
    line = next(line for line in failure(over(), NARROW).split("\n") if "kernels" in line)
    assert line.endswith("estimated")


def test_a_note_that_does_not_fit_goes_before_a_parts_name_is_cut() -> None:
    noted = Part("arena: activations and scratch", 256 * KB, "exact", note="as planned " * 5)
    ram = (measure("ram", 256 * KB, 64 * KB, parts=(noted,)),)
    wide, usual = failure(over(measures=ram), WIDE), failure(over(measures=ram), USUAL)
    assert "arena: activations and scratch  as planned" in wide
    assert "arena: activations and scratch\n" in usual


def test_long_advice_goes_on_in_the_next_line_below_its_start() -> None:
    advice = "half of the first layer's activations " * 4
    lines = failure(over(reasons=(advice,)), USUAL).split("\n")
    start = lines.index("what would fix it:") + 1
    block = lines[start : lines.index("", start)]
    assert [line[:4] for line in block] == ["  - ", "    "]
    assert " ".join(line[4:] for line in block) == advice.strip()
    assert all(len(line) <= USUAL.width for line in block)


def test_what_can_be_copied_into_a_declaration_stays_on_one_line() -> None:
    budget = '{ flash = "94 KB", ram = "11 KB" }'
    advice = f"arduino-nano-33-ble has room: a budget of {budget} is enough"
    assert budget in failure(over(reasons=(advice,)), USUAL)


def test_failure_shows_what_fills_the_arenas_peak_gaps_included() -> None:
    text = failure(over())
    block = text[text.index("the arena's peak, 31.2 KB, at CONV_2D #0:") :].split("\n\n")[0]
    assert block.split("\n")[1:] == [
        "  15.6 KB  big",
        "   7.8 KB  input",
        "   3.9 KB  small",
        "   3.9 KB  in gaps that the planner leaves",
    ]


def test_many_layers_at_the_peak_are_counted_not_listed() -> None:
    layers = tuple(layer(index, first=1, last=1) for index in range(7))
    assert "at CONV_2D #0, CONV_2D #1 and 5 more:" in failure(
        over(footprint=footprint(layers=layers))
    )


def test_failure_lists_the_layers_with_the_most_weights() -> None:
    text = failure(over())
    block = text[text.index("heaviest layers (weights):") :].split("\n\n")[0].split("\n")[1:]
    assert block == [
        "  146.5 KB  FULLY_CONNECTED #1  dense",
        "     640 B  CONV_2D #0          block/conv0",
    ]


def test_failure_ends_with_the_message_the_line_to_edit_and_the_runtime() -> None:
    assert failure(over()).split("\n")[-4:] == [
        "see docs/size.md",
        "edit tinybudget.toml:12",
        "TB001: tinybudget explain TB001",
        "counted for TFLM 90b983c2, Cortex-M4F, CMSIS-NN with DSP",
    ]


def test_savings_of_the_firmware_alone_are_left_to_what_would_fix_it_and_to_v() -> None:
    assert "typed registrations" not in failure(over())
    assert "typed registrations" in text_of(summary([over()], WIDE, verbosity=1))


def test_equal_looking_sizes_are_printed_in_bytes() -> None:
    close = over(measures=(measure("flash", 256 * KB + 1, 256 * KB),))
    assert "flash: 262,145 of 262,144 B" in failure(close)


def test_refusal_names_operator_place_and_reason() -> None:
    text = failure(refused())
    assert "TILE #3 (no such operator in TFLM): TFLM has no kernel for it" in text


def test_sizes_are_left_out_where_tflm_would_not_run_the_model_at_all() -> None:
    text = failure(refused(measures=(measure(),)))
    assert "flash:" not in text
    assert "heaviest layers" not in text


def test_an_unmet_demand_shows_which_parts_are_estimates_and_no_more() -> None:
    text = failure(over(outcome="unmet"))
    assert "kernels       estimated" in text
    assert "heaviest layers" not in text


def test_failure_of_an_unmeasured_pair_is_short() -> None:
    assert failure(error()) == f"{error().headline}\n\nedit tinybudget.toml:12"


# No more than can be read at once


def unrolled(**changes: object) -> PairResult:
    """A failure with more of everything than anybody reads."""
    many = range(300)
    arena = footprint().arena
    assert arena is not None
    buffers = tuple(
        LiveBuffer(f"while/body_{number}/add", "tensor", 16, 16 * number, 0, 9, 0, number)
        for number in many
    )
    kept = tuple(Persistent("CONV_2D", f"cause {number}", 300 - number) for number in many)
    found = footprint(
        arena=replace(arena, buffers=buffers, head=16 * len(many), persistent=kept),
        layers=tuple(layer(number, first=0, last=9) for number in many),
        unknown=tuple(f"operator {number} is not known" for number in many),
    )
    parts = tuple(Part(f"part {number}", KB, "exact") for number in many)
    values: dict[str, object] = {
        "footprint": found,
        "measures": (
            measure("flash", 300 * KB, 256 * KB, parts=parts),
            measure("ram", 300 * KB, 64 * KB, parts=parts),
        ),
        "reasons": tuple(f"change {number}: " + "saves some of it, " * 9 for number in many),
        "warnings": tuple(f"look at {number}" for number in many),
        "notes": tuple(f"note {number}" for number in many),
        "figures": tuple(
            Figure(f"figure {number}", "B", 1, 1, "exact", "counted") for number in many
        ),
        "message": "\n".join(f"line {number} of a message" for number in many),
    }
    return over(**(values | changes))


WIDTHS = [40, 60, 66, 80, 100, 120, 200]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "result", [unrolled(), unrolled(outcome="unmet", grown=("ram",)), refused(), over(), error()]
)
def test_a_failure_takes_at_most_40_rows_of_any_terminal(width: int, result: PairResult) -> None:
    for text in (
        failure(result, Style(width)),
        text_of(failure_lines(result, Style(width))).rstrip("\n"),
    ):
        lines = text.split("\n")
        assert len(lines) <= 40
        assert sum(max(1, -(-cells(line) // width)) for line in lines) <= 40


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_shortened_keeps_headline_advice_and_the_line_to_edit(width: int) -> None:
    lines = failure(unrolled(), Style(width)).split("\n")
    assert lines[0] == unrolled().headline
    assert any(line.startswith("  - change 0: ") for line in lines)
    assert "edit tinybudget.toml:12" in lines
    ending = " ".join(lines[-3:])
    assert "shortened to 40 lines: -v shows all of it, and so do the files" in ending


def test_what_was_cut_is_counted_and_no_item_of_a_list_is_cut_in_two() -> None:
    lines = failure(unrolled()).split("\n")
    start = lines.index("what would fix it:") + 1
    block = lines[start : lines.index("", start)]
    whole = failure(unrolled(), verbosity=1).split("\n")
    start = whole.index("what would fix it:") + 1
    advice = whole[start : whole.index("", start)]
    assert block[:-1] == advice[: len(block) - 1]
    assert block[-1] == f"  … {len(advice) - len(block) + 1} more lines"
    assert advice[len(block) - 1].startswith("  - change")


def test_verbose_shows_all_of_it() -> None:
    text = failure(unrolled(), verbosity=1)
    for number in range(300):
        assert f"change {number}: " in text
        assert f"look at {number}\n" in text
        assert f"while/body_{number}/add" in text
    assert "shortened" not in text


def test_a_failure_that_fits_is_not_shortened() -> None:
    short = over(footprint=None, measures=(measure("flash", 300 * KB, 256 * KB),))
    assert failure(short) == failure(short, verbosity=1)


def test_a_report_file_has_the_whole_text() -> None:
    text = junit.render([unrolled()])
    assert "change 299: " in text
    assert "shortened" not in text


def test_a_ram_failure_says_what_persists_and_for_which_operators() -> None:
    arena = footprint().arena
    assert arena is not None
    kept = (
        Persistent("CONV_2D", "per-channel arrays", 2048),
        Persistent("", "tensor records", 1536),
        Persistent("CONV_2D", "operator data", 512),
    )
    found = footprint(arena=replace(arena, persistent=kept))
    small = over(footprint=found, measures=(measure("ram", 70 * KB, 64 * KB),))
    block = [
        "persistent data, 4.0 KB of the arena's 46.0 KB:",
        "  2.0 KB  50 %  per-channel arrays of CONV_2D",
        "  1.5 KB  37 %  tensor records",
        "   512 B  12 %  operator data of CONV_2D",
    ]
    assert "\n".join(block) in failure(small, verbosity=1)
    assert "persistent data" not in failure(over(footprint=found), verbosity=1)


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb", "\u202egnp.tfl", "\r\rx", "\x07"])
def test_hostile_names_cannot_drive_the_terminal(hostile: str) -> None:
    parts = (Part(hostile, 300 * KB, "exact", note=hostile),)
    bad = over(
        headline=f"{hostile} is over",
        reasons=(hostile,),
        message=hostile.replace("\n", ""),
        warnings=(hostile,),
        measures=(measure("flash", 300 * KB, 256 * KB, parts=parts),),
        footprint=footprint(layers=(layer(0, name=hostile, operator=hostile),)),
    )
    printed = [failure(bad), text_of(summary([bad], verbosity=2)), text_of(failure_lines(bad))]
    for text in printed:
        assert not any(character in text.replace("\n", "") for character in "\x1b\r\x07\u202e")
    line_count = len(failure(over(footprint=bad.footprint, measures=bad.measures)).split("\n"))
    assert len(failure(bad).split("\n")) == line_count + 3  # the note, with its title and gap


# The table of pairs


def test_worst_pairs_come_first() -> None:
    results = [
        pair("fits-well"),
        pair("fits-tightly", measures=(measure(used=250 * KB),)),
        pair("close", outcome="warns", warnings=("flash above 90 % of its limit",)),
        error("unreadable"),
        pair("wish", outcome="unmet"),
        over("a-bit", measures=(measure(used=257 * KB),)),
        over("a-lot", measures=(measure(used=512 * KB),)),
        refused("impossible"),
    ]
    text = text_of(summary(results))
    names = [result.model for result in results]
    assert sorted(names, key=text.index) == names[::-1]


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (pair(), "PASS"),
        (pair(outcome="warns"), "WARN"),
        (over(), "FAIL"),
        (refused(), "FAIL"),
        (pair(outcome="unmet"), "FAIL"),
        (error(), "ERROR"),
    ],
)
@pytest.mark.parametrize("style", [WIDE, USUAL, NARROW, ASCII])
def test_every_row_says_its_outcome_in_a_word(result: PairResult, word: str, style: Style) -> None:
    assert len(rows_of(summary([result], style), f"{word} ")) == 1


@pytest.mark.parametrize("width", [40, 50, 60, 65, 66, 72, 80, 100, 120, 200])
def test_no_line_of_the_table_is_wider_than_the_terminal(width: int) -> None:
    results = [
        over("person_detection_with_a_very_long_name_indeed", "stm32f746g-discovery"),
        pair("猫の検出モデル猫の検出モデル猫の検出モデル"),
        pair(outcome="warns", warnings=("flash above 90 % of its limit: 250.0 of 256.0 KB",)),
        refused(),
    ]
    style = Style(width)
    too_wide = [line.text for line in summary(results, style) if cells(line.text) > width]
    assert too_wide == []


def test_layers_fit_the_terminal_without_losing_what_is_alive() -> None:
    for width in (60, 80, 120):
        lines = summary([over()], Style(width), verbosity=1)
        table = [line.text for line in lines if "#" in line.text or "layer  " in line.text]
        assert all(cells(line) <= width for line in table)
        assert table[0].endswith("live")


def test_used_limit_and_free_are_in_the_table() -> None:
    rows = text_of(summary([over()], USUAL)).split("\n")
    assert rows[1].split()[:7] == ["FAIL", "kws", "flash", "~268.3", "KB", "256.0", "KB"]
    assert "-12.3 KB" in rows[1]
    assert rows[2].split()[:6] == ["arduino-nano-33-ble", "RAM", "48.0", "KB", "64.0", "KB"]
    assert "16.0 KB" in rows[2]


def test_table_at_80_columns() -> None:
    close = pair(
        "vad",
        "raspberry-pi-pico",
        outcome="warns",
        warnings=("RAM above 90 % of its limit",),
        measures=(measure(), measure("ram", 60 * KB, 64 * KB)),
    )
    assert text_of(summary([close, over()], USUAL)) == (
        "       model, board                     used     limit      free\n"
        "FAIL   kws                  flash  ~268.3 KB  256.0 KB  -12.3 KB  ██████  105 %\n"
        "       arduino-nano-33-ble  RAM      48.0 KB   64.0 KB   16.0 KB  ████░░   75 %\n"
        "WARN   vad                  flash   200.0 KB  256.0 KB   56.0 KB  ████░░   78 %\n"
        "       raspberry-pi-pico    RAM      60.0 KB   64.0 KB    4.0 KB  █████░   93 %\n"
        "       RAM above 90 % of its limit\n"
        "~ holds an estimate, its margin included\n"
        "TFLM 90b983c2, Cortex-M4F, CMSIS-NN with DSP: 2 pairs\n"
        "2 pairs: 1 over budget, 1 with a warning"
    )


def test_table_at_40_columns() -> None:
    assert text_of(summary([over()], NARROW)) == (
        "FAIL  kws\n"
        "      arduino-nano-33-ble\n"
        "  flash ~268.3 of 256.0 KB, 12.3 KB over\n"
        "  RAM 48.0 of 64.0 KB, 16.0 KB free\n"
        "~ holds an estimate, its margin included\n"
        "TFLM 90b983c2, Cortex-M4F, CMSIS-NN with\n"
        "DSP: 1 pair\n"
        "1 pair: 1 over budget"
    )


def test_ascii_terminals_get_ascii_only() -> None:
    results = [over("modèle"), pair(outcome="warns", warnings=("−3 KB × 2 …",))]
    lines = summary(results, ASCII, verbosity=2)
    assert text_of(lines).isascii()
    assert failure(results[0], ASCII).isascii()
    assert "######" in text_of(lines)


def test_a_pair_over_by_one_byte_never_shows_100_percent_and_no_free_bytes() -> None:
    text = text_of(summary([over(measures=(measure(used=256 * KB + 1),))], WIDE))
    assert "101 %" in text
    assert "-1 B" in text


def test_a_pair_under_by_one_byte_never_shows_a_full_bar() -> None:
    text = text_of(summary([pair(measures=(measure(used=256 * KB - 1),))], WIDE))
    assert "99 %" in text
    assert "░" in text


def test_a_board_without_room_is_shown_without_a_percentage() -> None:
    text = text_of(summary([over(measures=(measure(limit=0),))], WIDE))
    assert "-200.0 KB" in text
    assert "%" not in text


def test_an_unmeasured_pair_shows_why_in_the_table() -> None:
    assert error().headline in text_of(summary([error()], USUAL))


def test_quiet_prints_the_count_alone() -> None:
    lines = summary([over(), pair(), error()], verbosity=-1)
    assert text_of(lines) == "3 pairs: 1 over budget, 1 not measured, 1 fit"


@pytest.mark.parametrize(
    ("results", "color"),
    [([pair()], "green"), ([pair(), pair(outcome="warns")], "yellow"), ([pair(), over()], "red")],
)
def test_the_count_has_the_color_of_the_worst(results: list[PairResult], color: str) -> None:
    assert color in summary(results)[-1].markup


def test_layers_are_shown_once_a_model_however_many_boards() -> None:
    results = [over(board="arduino-nano-33-ble"), over(board="nucleo-f446re")]
    text = text_of(summary(results, WIDE, verbosity=1))
    assert text.count("layers of kws") == 1
    assert text.count("CONV_2D #0") == 1


def test_layers_show_name_type_shape_weights_activations_and_live_bytes() -> None:
    text = text_of(summary([over()], WIDE, verbosity=1))
    row = next(line for line in text.split("\n") if "FULLY_CONNECTED #1" in line)
    for expected in ("dense", "int8 1x25x5x64", "146.5 KB", "7.8 KB", "15.6 KB"):
        assert expected in row
    assert "scratch" not in text


def test_verbose_tells_of_a_pair_that_passes_what_would_save_flash() -> None:
    fits = pair(footprint=footprint())
    assert "  -9.4 KB  typed registrations" in text_of(summary([fits], WIDE, verbosity=1))
    assert "typed registrations" not in text_of(summary([fits], WIDE))


def test_twice_verbose_adds_scratch_and_persistent_bytes() -> None:
    text = text_of(summary([over()], WIDE, verbosity=2))
    assert "scratch  persistent" in text
    assert "512 B        96 B" in text


def test_the_layer_at_the_peak_is_marked_without_color() -> None:
    rows = text_of(summary([over()], WIDE, verbosity=1)).split("\n")
    assert [row.split()[1] for row in rows if row.startswith("  *")] == ["CONV_2D"]


def test_no_pairs_make_no_table() -> None:
    assert text_of(summary([])) == "no pairs"


def test_a_failed_pair_outside_pytest_is_named_before_its_text() -> None:
    lines = failure_lines(over())
    assert lines[0] == Line("FAIL kws on arduino-nano-33-ble", ("red", "bold"))
    assert lines[1].text == over().headline


def test_a_failed_pair_outside_pytest_is_one_line_when_quiet() -> None:
    (line,) = failure_lines(over(), verbosity=-1)
    assert line.text == f"FAIL kws on arduino-nano-33-ble: {over().headline}"


@pytest.mark.parametrize("style", [WIDE, USUAL, NARROW], ids=["wide", "usual", "narrow"])
def test_the_table_needs_no_more_of_a_pair_than_it_has_in_brief(style: Style) -> None:
    estimated = (Part("kernels", 200 * KB, "estimated", margin_bytes=307),)
    elsewhere = Placed("psram", "PSRAM", 8192 * KB, 8000 * KB)
    whole = [
        pair("kws", footprint=footprint(), placed=Placed("static", "SRAM", 64 * KB, 16 * KB)),
        pair("vad", measures=(measure("flash", 200 * KB, parts=estimated),), placed=elsewhere),
        pair("near", outcome="warns", warnings=("RAM at 97 %, warn_at is 90 %",)),
    ]
    brief = [each.without_details() for each in whole]
    assert brief != whole
    assert not any(each.footprint for each in brief)
    assert summary(brief, style) == summary(whole, style)


# Layout


@pytest.mark.parametrize(
    ("width", "expected"),
    [(20, "arduino-nano-33-ble"), (12, "arduin…3-ble"), (5, "ar…le"), (2, "ar"), (1, "a")],
)
def test_long_names_are_cut_in_the_middle(width: int, expected: str) -> None:
    assert shorten("arduino-nano-33-ble", width, USUAL) == expected


def test_wide_characters_count_for_two_cells_when_cut() -> None:
    cut = shorten("猫の検出モデル", 9, USUAL)
    assert "…" in cut
    assert cells(cut) <= 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("kws_Ünï×2 → 48 KB …", 19, id="one cell each"),
        pytest.param("猫の検出", 8, id="wide"),
        pytest.param("e\N{COMBINING ACUTE ACCENT}", 1, id="a mark on a letter"),
        pytest.param("ที่", 1, id="Thai: vowel and tone stand above the consonant"),
        pytest.param("각", 2, id="Hangul of three parts"),
        pytest.param("⚠\N{VARIATION SELECTOR-16}", 2, id="a symbol as a picture"),
        pytest.param("👍🏽", 2, id="a picture in a color"),
    ],
)
def test_text_takes_the_cells_that_terminals_give_it(text: str, expected: int) -> None:
    assert cells(text) == expected


def test_a_letter_and_its_marks_are_never_cut_apart() -> None:
    letters = "ที่" * 12
    cut = shorten(letters, 9, USUAL)
    assert cut == "ที่" * 4 + "…" + "ที่" * 4


def test_usual_reports_load_no_tables_of_characters() -> None:
    code = (
        "import sys; from pytest_tinybudget.report.layout import *; "
        "shorten('kws_Ünï × 48 KB → –', 9, PLAIN), pad('≤ 3 µs', 9), bar(0.5, 9, PLAIN); "
        "assert 'wcwidth' not in sys.modules; assert cells('猫') == 2; "
        "assert 'wcwidth' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_counts_as_one_cell_without_a_table_is_one_cell() -> None:
    for code in range(0x20, 0x3000):
        if re.fullmatch(layout._ONE_CELL, chr(code)):
            assert wcwidth.wcwidth(chr(code)) == 1, hex(code)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "...."), (0.24, "...."), (0.25, "#..."), (0.99, "###."), (1.0, "####"), (7.5, "####")],
)
def test_a_bar_is_full_only_from_the_limit_on(share: float, expected: str) -> None:
    assert bar(share, 4, ASCII) == expected


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", True), ("cp1252", False), ("ascii", False), (None, False), ("no-such", False)],
)
def test_encodings_that_cannot_print_bars_are_known(encoding: str | None, expected: bool) -> None:
    assert encodable(encoding) is expected


def test_lines_are_written_with_pytests_own_markup() -> None:
    written: list[tuple[str, dict[str, bool]]] = []
    write_lines([Line("x", ("bold", "red"))], lambda text, **markup: written.append((text, markup)))
    assert written == [("x", {"bold": True, "red": True})]


def test_columns_go_in_the_order_given_and_no_further_than_needed() -> None:
    rows = [["a-name-of-25-characters-or", "12345678", "abcdefgh", "ABCDEFGH"]]
    align: list[Align] = ["left", "right", "left", "left"]
    shown = {
        width: columns(rows, align, Style(width), flexible=0, drop=(2, 0))[0]
        for width in (60, 50, 40, 20)
    }
    assert shown == {
        60: "a-name-of-25-characters-or  12345678  abcdefgh  ABCDEFGH",
        50: "a-name-of-…acters-or  12345678  abcdefgh  ABCDEFGH",
        40: "a-name-of-…acters-or  12345678  ABCDEFGH",
        20: "12345678  ABCDEFGH",
    }


def test_notes_are_shown_on_request_once_a_model() -> None:
    noted = [pair(board=board, notes=("strip: 98 B left out",)) for board in ("esp32", "pico")]

    assert "strip: 98 B" not in text_of(summary(noted))
    lines = text_of(summary(noted, verbosity=1)).split("\n")
    assert lines.count("notes on kws") == lines.count("  - strip: 98 B left out") == 1


def test_notes_that_a_failure_has_told_are_not_told_again() -> None:
    noted = ("shrink: 52.7 KB -> 29.6 KB",)
    failed = pair(board="pico", outcome="over", notes=(*noted, "shrink: only here"))
    passing = pair(board="esp32", notes=(*noted, "shrink: no plan"))

    text = text_of([*failure_lines(failed, verbosity=1), *summary([failed, passing], verbosity=1)])
    lines = [line.strip() for line in text.split("\n")]
    for note in ("shrink: 52.7 KB -> 29.6 KB", "shrink: only here", "shrink: no plan"):
        assert lines.count(f"- {note}") == 1
    assert "notes on kws" in lines
    assert "notes on kws" not in text_of(summary([failed], verbosity=1))


def test_what_is_nothing_but_a_margin_says_why_where_notes_have_no_room() -> None:
    parts = (
        Part("runtime core", 20_000, "estimated", margin_bytes=100),
        Part(
            "margin: another compiler", 0, "estimated", margin_bytes=1_400,
            note="linked with GCC 12.2, the core has 7.2.1",
        ),
    )  # fmt: skip
    usual = parts_table(parts, NARROW)
    assert usual[-3:] == [
        "  includes a margin of 1.5 KB",
        "  another compiler: linked with GCC",
        "  12.2, the core has 7.2.1",
    ]
    wide = parts_table(parts, WIDE)
    assert wide[-1] == "  includes a margin of 1.5 KB"
    assert "linked with GCC 12.2, the core has 7.2.1" in wide[1]
