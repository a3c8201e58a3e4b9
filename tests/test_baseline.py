"""Baselines: results files read back, compared with today's, and why sizes differ."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples
from conftest import needs_xdist
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from msgspec.structs import replace
from small_projects import declare
from small_projects import keywords
from small_projects import put
from upstream import RUNTIME as UPSTREAM

from pytest_tinybudget import check
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.report.diff_text import comparison_lines
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import joined
from pytest_tinybudget.results.reader import load_results
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import PairResult


EVERY_KIND = [
    samples.over(),
    samples.pair("vad", outcome="warns", warnings=("close",)),
    samples.pair("fits"),
    samples.refused(measures=samples.over().measures[:1]),
    samples.error(),
]


def stored(*results: PairResult) -> Results:
    return read_results(writer.render(results).encode(), "base.json")


def fresh(*results: PairResult) -> Results:
    return own_results(results, "now")


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., PairResult]:
    """Measures a kws model as a declaration in a folder of its own would have it."""

    def measured(content: bytes, more: str = "") -> PairResult:
        put(tmp_path, kws=content)
        declare(tmp_path, more, head=f"[defaults]\n{UPSTREAM}")
        declaration = load_declaration(tmp_path / "tinybudget.toml")
        (pair,) = pairs("tinybudget.toml", declaration)
        return Gate().check(pair)

    return measured


def only(base: PairResult, head: PairResult) -> Change:
    (change,) = compare(fresh(base), fresh(head)).changes
    return change


# Reading


def test_a_results_file_read_back_gives_the_same_file() -> None:
    text = writer.render(EVERY_KIND)
    assert writer.render(read_results(text.encode(), "x").pairs) == text


def test_a_measured_model_survives_the_file(measure: Callable[..., PairResult]) -> None:
    result = measure(keywords())
    (read,) = stored(result).pairs
    assert (read.measures[0].used, read.table, read.model_sha256) == (
        result.measures[0].used,
        result.table,
        result.model_sha256,
    )
    assert read.footprint is not None
    assert result.footprint is not None
    assert read.footprint.layers == result.footprint.layers
    assert read.footprint.arena == result.footprint.arena
    assert read.footprint.savings == result.footprint.savings


def content_of(*results: PairResult) -> Any:
    return json.loads(writer.render(results))


def broken(change: Callable[[Any], object]) -> bytes:
    content = content_of(samples.over())
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON (line 1"),
        (b'{"pairs": [', "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "Expected `object`"),
        (b'{"schema_version": 2}', "schema version 2, expected 1"),
        (b'{"schema_version": 1, "x": NaN}', "NaN is not a size"),
        (b"1" * 6000, "not a results file"),
        (broken(lambda file: file.pop("tool")), "missing required field `tool`"),
        (broken(lambda file: file["pairs"][0].pop("layers")), "`layers` - at `$.pairs[0]`"),
        (
            broken(lambda file: file["pairs"][0]["flash"].update(used="1 KB")),
            "Expected `int`, got `str` - at `$.pairs[0].flash.used`",
        ),
        (broken(lambda file: file["pairs"][0]["flash"].update(used=-1)), "$.pairs[0].flash.used"),
        (
            broken(lambda file: file["pairs"][0]["flash"].update(used=1, free=2)),
            "the figures of flash contradict each other",
        ),
        (broken(lambda file: file["pairs"].append(file["pairs"][0])), "two pairs have the id"),
    ],
)
def test_a_broken_baseline_is_told_in_one_line(content: bytes, said: str) -> None:
    with pytest.raises(TinybudgetError) as raised:
        read_results(content, "base.json")
    assert str(raised.value).startswith("base.json: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_field_that_a_later_version_adds_is_no_damage() -> None:
    read = read_results(broken(lambda file: file["pairs"][0].update(color="red")), "x")
    assert [pair.id for pair in read.pairs] == [samples.over().id]


@settings(max_examples=60, deadline=None)
@given(data=strategies.data())
def test_a_damaged_file_is_refused_or_read_but_never_a_crash(data: strategies.DataObject) -> None:
    content = bytearray(writer.render([samples.over()]).encode())
    for _ in range(data.draw(strategies.integers(1, 4))):
        place = data.draw(strategies.integers(0, len(content) - 1))
        content[place] = data.draw(strategies.integers(0, 255))
    try:
        read_results(bytes(content), "x")
    except TinybudgetError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_a_folder_or_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TinybudgetError, match="cannot be read"):
        load_results(tmp_path)
    with pytest.raises(TinybudgetError, match="cannot be read"):
        load_results(tmp_path / "none.json")


def test_baselines_of_several_declarations_are_one() -> None:
    one, other = stored(samples.pair("kws")), stored(samples.pair("vad"))
    both = joined([one, other])
    assert both is not None
    assert [pair.model for pair in both.pairs] == ["kws", "vad"]
    with pytest.raises(TinybudgetError, match="the same pair"):
        joined([one, one])


# Statuses


def statuses(base: list[PairResult], head: list[PairResult]) -> dict[str, str]:
    changes = compare(fresh(*base), fresh(*head)).changes
    return {change.model: change.status for change in changes}


def test_the_same_results_are_unchanged_and_keep_their_sizes() -> None:
    comparison = compare(stored(*EVERY_KIND), fresh(*EVERY_KIND))
    assert {change.status for change in comparison.changes} == {"unchanged"}
    assert comparison.different == ()
    deltas = [delta for change in comparison.changes for delta in change.deltas]
    assert {delta.bytes for delta in deltas} == {0}
    assert samples.over().measures[0].used in {delta.used for delta in deltas}


def test_new_and_removed_pairs_have_one_side() -> None:
    base, head = [samples.pair("old", model_sha256="1" * 64)], [samples.pair("new")]
    assert statuses(base, head) == {"new": "new", "old": "removed"}
    for change in compare(fresh(*base), fresh(*head)).changes:
        assert {delta.bytes for delta in change.deltas} == {None}


def test_the_same_file_under_another_name_is_renamed() -> None:
    base, head = samples.pair("old"), samples.pair("new")
    (change,) = compare(fresh(base), fresh(head)).changes
    assert (change.status, change.base_id, change.id) == ("renamed", base.id, head.id)


def test_a_copy_of_a_model_that_stays_is_new() -> None:
    assert statuses([samples.pair("kws")], [samples.pair("kws"), samples.pair("copy")]) == {
        "kws": "unchanged",
        "copy": "new",
    }


def test_a_model_that_moved_to_another_board_says_where_it_was() -> None:
    base, head = samples.pair("kws", "esp32"), samples.pair("kws", "raspberry-pi-pico")
    changes = {each.status: each for each in compare(fresh(base), fresh(head)).changes}
    assert changes["new"].notes == ("the model was on esp32 before",)


def test_a_changed_limit_is_a_change_and_says_both_limits() -> None:
    base = samples.pair()
    wider = samples.measure("flash", limit=300 * samples.KB)
    change = only(base, samples.pair(measures=(wider, base.measures[1])))
    assert change.status == "changed"
    assert change.notes == ("flash limit: 256.0 KB (budget) → 300.0 KB (budget)",)


def test_a_retrained_model_of_the_same_size_is_unchanged_but_known_as_another() -> None:
    change = only(samples.pair(), samples.pair(model_sha256="1" * 64))
    assert (change.status, change.model_changed) == ("unchanged", True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runtime": "m4_ref"}, "runtime m4_cmsisnn on the base, m4_ref here"),
        ({"table": "other"}, "tables or settings of runtime m4_cmsisnn differ"),
        (
            {"conversion": "x", "model_sha256": "1" * 64},
            "other settings: not converted on the base, x here",
        ),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(changes: Any, said: str) -> None:
    larger = (samples.measure("flash", used=250 * samples.KB),)
    change = only(samples.pair(), samples.pair(measures=larger, **changes))
    assert change.status == "not comparable"
    assert said in change.notes[0]
    flash = change.delta("flash")
    assert flash is not None
    assert (flash.bytes, flash.base_used, flash.used) == (None, 200 * 1024, 250 * 1024)


def test_another_version_of_the_tool_is_another_estimator() -> None:
    file = content_of(samples.pair())
    file["tool"]["version"] = "0.0.1"
    base = read_results(json.dumps(file).encode(), "x")
    (change,) = compare(base, fresh(samples.pair())).changes
    assert change.status == "not comparable"
    assert "pytest-tinybudget 0.0.1" in change.notes[0]


def test_a_pair_that_could_not_be_measured_before_says_so() -> None:
    change = only(samples.error("kws"), samples.pair("kws"))
    assert change.status == "changed"
    assert change.notes == (
        "verdict: not measured → fits",
        f"could not be measured on the base: {samples.error().headline}",
    )


def test_a_pair_that_did_not_run_is_not_taken_for_removed() -> None:
    base = fresh(samples.pair("kws"), samples.pair("vad"))
    vad = samples.pair("vad").id
    changes = compare(base, fresh(samples.pair("kws")), not_run={vad}).changes
    assert [change.model for change in changes] == ["kws"]


def test_percent_is_of_the_base_and_the_worst_comes_first() -> None:
    base = [samples.pair("a"), samples.pair("b"), samples.pair("c")]
    head = [
        samples.pair("a", measures=(samples.measure("flash", used=202 * samples.KB),)),
        samples.pair("b", measures=(samples.measure("flash", used=210 * samples.KB),)),
        samples.over("c"),
    ]
    changes = compare(fresh(*base), fresh(*head)).changes
    assert [change.model for change in changes] == ["c", "b", "a"]
    flash = changes[1].delta("flash")
    assert flash is not None
    assert (flash.bytes, flash.percent) == (10 * 1024, 5.0)


def test_an_overrun_that_the_base_had_already_is_marked() -> None:
    base = samples.pair(measures=(samples.measure("flash", used=270 * samples.KB),))
    head = samples.pair(measures=(samples.measure("flash", used=280 * samples.KB),), outcome="over")
    flash = only(base, head).delta("flash")
    assert flash is not None
    assert flash.already_over_on_base
    fitted = samples.pair(measures=(samples.measure("flash", used=200 * samples.KB),))
    flash = only(fitted, head).delta("flash")
    assert flash is not None
    assert not flash.already_over_on_base


def test_what_grew_too_much_and_what_was_agreed_is_on_its_metric() -> None:
    agreed = Acceptance("ram", 10**6, "a second wake word", datetime.date(2027, 3, 31))
    headline = "flash grew 9.0 KB (4.5 %), 1.0 KB allowed; RAM ok (48.0 of 64.0 KB)"
    grown = {"outcome": "unmet", "headline": headline, "grown": ("flash",)}
    change = only(samples.pair(), samples.pair(**grown, accepted=(agreed,)))
    found = {delta.metric: (delta.too_much_growth, delta.accepted) for delta in change.deltas}
    assert found == {"flash": (True, None), "ram": (False, agreed)}
    lines = text(fresh(samples.pair()), fresh(change.shown), Style(120))
    assert "    flash grew 9.0 KB (4.5 %), 1.0 KB allowed" in lines
    (line,) = [line for line in lines if "until 2027-03-31" in line]
    assert "a second wake word" in line


def test_without_a_baseline_every_pair_is_new_and_the_note_says_why() -> None:
    comparison = compare(None, fresh(samples.pair()), notes=("no baseline yet at x",))
    assert [change.status for change in comparison.changes] == ["new"]
    assert "no baseline yet at x" in [line.text for line in comparison_lines(comparison)]


# Why


def test_layers_are_matched_by_what_they_are_not_by_their_names(
    measure: Callable[..., PairResult],
) -> None:
    change = only(measure(keywords(name="first")), measure(keywords(name="other-name")))
    assert change.causes.layers == ()
    assert change.model_changed


def test_an_added_layer_is_one_difference_though_all_after_it_have_moved(
    measure: Callable[..., PairResult],
) -> None:
    change = only(measure(keywords(blocks=2)), measure(keywords(blocks=3)))
    assert [(layer.kind, layer.operator) for layer in change.causes.layers] == [
        ("added", "CONV_2D")
    ]
    assert change.causes.layers[0].weights_bytes > 0
    assert change.causes.operators == ()


def test_a_wider_layer_is_changed_with_its_shapes(measure: Callable[..., PairResult]) -> None:
    change = only(measure(keywords(filters=8)), measure(keywords(filters=24)))
    convolution = next(each for each in change.causes.layers if each.operator == "CONV_2D")
    assert convolution.kind == "changed"
    assert (convolution.before, convolution.after) == ("int8 1x16x16x8", "int8 1x16x16x24")
    assert convolution.activation_bytes == 16 * 16 * 16
    assert change.causes.weights_bytes > 0


def test_an_operator_new_to_the_flash_says_what_it_pulls_in(
    measure: Callable[..., PairResult],
) -> None:
    change = only(measure(keywords()), measure(keywords(logistic=True)))
    kinds = {each.operator: each for each in change.causes.operators}
    assert {name: each.kind for name, each in kinds.items()} == {
        "LOGISTIC": "added",
        "SOFTMAX": "removed",
    }
    pulled = dict(kinds["LOGISTIC"].pulls_in)
    assert {"its own code", "libm"} <= pulled.keys()
    assert 0 < pulled["libm"] < kinds["LOGISTIC"].flash_bytes


def test_what_operators_pull_in_adds_up_to_what_they_cost(
    measure: Callable[..., PairResult],
) -> None:
    footprint = measure(keywords(logistic=True)).footprint
    assert footprint is not None
    sums = {
        saving.change: (sum(size for _, size in saving.parts), saving.flash_bytes)
        for saving in footprint.savings
        if saving.change.startswith("without ")
    }
    assert sums
    assert all(parts == whole for parts, whole in sums.values())


def test_a_higher_peak_names_its_tensors_and_layers(measure: Callable[..., PairResult]) -> None:
    change = only(measure(keywords(filters=8)), measure(keywords(filters=24)))
    sizes = {(tensor.base_bytes, tensor.bytes) for tensor in change.causes.peak}
    assert (16 * 16 * 8, 16 * 16 * 24) in sizes
    assert "MAX_POOL_2D" in change.causes.peak_at


def test_parts_of_a_difference_add_up_to_it(measure: Callable[..., PairResult]) -> None:
    change = only(measure(keywords()), measure(keywords(filters=24, blocks=2, logistic=True)))
    for delta in change.deltas:
        parts = [part for part in change.causes.parts if part.metric == delta.metric]
        assert sum(part.delta for part in parts) == delta.bytes


def test_thousands_of_layers_are_matched_in_no_time() -> None:
    def deep(count: int, operator: str) -> PairResult:
        layers = tuple(samples.layer(index, operator=operator) for index in range(count))
        return samples.pair(footprint=samples.footprint(layers=layers))

    base, head = deep(3000, "CONV_2D"), deep(3001, "ADD")
    head = replace(head, measures=(samples.measure("flash", used=201 * samples.KB),))
    layers = only(base, head).causes.layers
    assert [sum(each.kind == kind for each in layers) for kind in ("added", "removed")] == [
        3001,
        3000,
    ]


# The text


def text(base: Results, head: Results, style: Style, **options: Any) -> list[str]:
    return [line.text for line in comparison_lines(compare(base, head), style, **options)]


def test_the_terminal_shows_absolute_sizes_also_where_nothing_changed() -> None:
    lines = text(fresh(samples.pair()), fresh(samples.pair()), Style(100))
    (row,) = [line for line in lines if line.startswith("unchanged")]
    assert "200.0 KB" in row
    assert "same" in row
    assert "1 unchanged" in lines


def test_rounding_never_makes_a_difference_look_like_none() -> None:
    head = samples.pair(measures=(samples.measure("flash", used=200 * 1024 + 3),))
    lines = text(fresh(samples.pair()), fresh(head), Style(100))
    (row,) = [line for line in lines if line.startswith("changed")]
    assert "204,800 B" in row
    assert "204,803 B" in row
    assert "+3 B" in row


@pytest.mark.parametrize("width", [30, 60, 100])
def test_rows_fit_the_terminal(width: int, measure: Callable[..., PairResult]) -> None:
    base, head = measure(keywords()), measure(keywords(filters=24, logistic=True))
    lines = text(fresh(base), fresh(head), Style(max(width, 44)))
    assert max(len(line) for line in lines if ":" not in line) <= max(width, 60)


def test_hostile_names_cannot_drive_the_terminal() -> None:
    name = "x\x1b[31m\u202e\n::error::"
    footprint = samples.footprint(layers=(samples.layer(0, name=name, weights_bytes=1),))
    base = samples.pair(name, footprint=samples.footprint())
    head = samples.pair(
        name, footprint=footprint, measures=(samples.measure("flash", used=1),), message=name
    )
    for line in text(fresh(base), fresh(head), Style(100), verbosity=1):
        assert line.isprintable()


def test_a_terminal_without_unicode_gets_ascii() -> None:
    head = samples.pair(measures=(samples.measure("flash", limit=1),))
    lines = text(fresh(samples.pair()), fresh(head), Style(100, unicode=False))
    assert all(line.isascii() for line in lines)


def test_layers_are_listed_once_however_many_boards_and_runtimes(
    tmp_path: Path,
) -> None:
    def measured(content: bytes) -> Results:
        put(tmp_path, kws=content)
        boards = ("arduino-nano-33-ble", "nucleo-l4r5zi", "raspberry-pi-pico")
        source = tmp_path / "models" / "kws.tflite"
        runtime = "tflite-micro 90b983c2"  # one name for two of the boards
        results = [check(source, board=board, runtime=runtime) for board in boards]
        return fresh(*(replace(each, id=f"x::kws::{each.board}") for each in results))

    base, head = measured(keywords()), measured(keywords(filters=24))
    lines = text(base, head, Style(120))
    assert len([line for line in lines if "~ CONV_2D" in line]) == 1
    assert len({pair.runtime for pair in head.pairs}) == 2
    assert lines.count("why kws differs:") == 1
    (shared,) = [line for line in lines if "model: weights: " in line]
    assert "→" in shared, "the same on all boards: said once, with both sizes"


# Under pytest


def test_pytest_compares_with_a_baseline_and_shows_why(project: Any) -> None:
    base = project(kws=keywords(), vad=keywords(name="vad"))
    base.runpytest("--tinybudget", "--tinybudget-json=base.json").assert_outcomes(passed=3)
    put(base.path, kws=keywords(filters=24))
    result = base.runpytest("--tinybudget", "--tinybudget-baseline=base.json")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["compared with *base.json", "changed *kws*", "*~ CONV_2D*", "2 changed, 1 unchanged"]
    )


def test_the_first_run_writes_the_baseline_that_it_names(project: Any) -> None:
    named = ("--tinybudget-baseline=base.json", "--tinybudget-json=base.json")
    result = project().runpytest("--tinybudget", *named)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["no baseline yet at *base.json: this run writes it"])


def test_a_baseline_that_is_missing_ends_the_run_before_it_starts(project: Any) -> None:
    made = project()
    made.runpytest("--tinybudget", "--tinybudget-json=base.json")
    result = made.runpytest("--tinybudget", "--tinybudget-baseline=bsae.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *-baseline: *bsae.json: no such baseline file; did you mean 'base.json'?*"]
    )


def test_a_broken_baseline_ends_the_run_before_it_starts(project: Any) -> None:
    made = project()
    made.path.joinpath("base.json").write_text("{}", encoding="utf-8")
    result = made.runpytest("--tinybudget", "--tinybudget-baseline=base.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --tinybudget-baseline: *base.json: not a results file*"])


def test_the_ini_value_names_a_baseline_too(project: Any) -> None:
    made = project()
    made.makeini("[pytest]\ntinybudget_baseline = base.json\n")
    made.runpytest("--tinybudget", "--tinybudget-json=base.json").assert_outcomes(passed=3)
    result = made.runpytest("--tinybudget")
    result.stdout.fnmatch_lines(["compared with *base.json", "3 unchanged"])


def test_pairs_left_out_by_a_selection_are_not_called_removed(project: Any) -> None:
    made = project()
    made.runpytest("--tinybudget", "--tinybudget-json=base.json")
    arguments = ("--tinybudget", "--tinybudget-baseline=base.json", "-k", "vad")
    made.runpytest(*arguments).stdout.fnmatch_lines(["1 unchanged"])


@needs_xdist
def test_with_xdist_the_comparison_is_the_same(project: Any) -> None:
    made = project(kws=keywords(), vad=keywords(name="vad"))
    made.runpytest("--tinybudget", "--tinybudget-json=base.json")
    put(made.path, kws=keywords(filters=24))
    result = made.runpytest("--tinybudget", "--tinybudget-baseline=base.json", "-n", "2")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["2 changed, 1 unchanged"])


def test_a_declared_baseline_is_used_and_a_broken_one_is_an_error_of_its_pairs(
    project: Any,
) -> None:
    made = project(kws=keywords())
    declare(made.path, head='[defaults]\nbaseline = "base.json"\n')
    made.runpytest("--tinybudget", "--tinybudget-json=base.json").assert_outcomes(passed=1)
    result = made.runpytest("--tinybudget")
    result.stdout.fnmatch_lines(["compared with *base.json", "1 unchanged"])
    made.path.joinpath("base.json").write_text("<<<<<<< ours", encoding="utf-8")
    result = made.runpytest("--tinybudget")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["base.json: not a results file: not JSON (line 1*"])
