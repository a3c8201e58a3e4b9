"""Growth budgets and agreed increases: what trips them, what lets a pair pass, and until when."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from modelmaker import ModelMaker
from msgspec.structs import replace
from small_projects import declare
from small_projects import keywords
from small_projects import put

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.baseline import Baseline
from pytest_tinybudget.baseline.baselines import Baselines
from pytest_tinybudget.declaration import MaxIncrease
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.gate.growth import GrowthRules
from pytest_tinybudget.gate.growth import with_growth
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import PairResult


SCHEMA = json.loads(
    (Path(__file__).parents[1] / "schemas" / "results.schema.json").read_text("utf-8")
)
TODAY = datetime.date(2026, 11, 22)

#: What the two models take on the board, bytes, in flash and RAM.
SMALL, LARGE = keywords(filters=8), keywords(filters=24)

Check = Callable[..., PairResult]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Checks a kws model with ``more`` in its section, against ``base`` if that is given."""

    def checked(
        content: bytes,
        more: str = "",
        *,
        base: PairResult | None = None,
        head: str = "",
        today: datetime.date = TODAY,
    ) -> PairResult:
        put(tmp_path, kws=content)
        declare(tmp_path, more, head=head)
        declaration = load_declaration(tmp_path / "tinybudget.toml")
        baseline = Baseline(own_results([base], "base")) if base else None
        (pair,) = pairs("tinybudget.toml", declaration)
        return Gate(rules=Rules(today=today), baselines=Baselines(baseline)).check(pair)

    return checked


def used(result: PairResult) -> dict[str, int]:
    return {measure.metric: measure.used for measure in result.measures}


def with_used(result: PairResult, **used: int) -> PairResult:
    """``result`` as if it took so many bytes of ``flash`` or ``ram``."""
    measures = [
        replace(measure, used=used.get(measure.metric, measure.used)) for measure in result.measures
    ]
    return replace(result, measures=tuple(measures))


def accept(metric: str, up_to: int, until: str = "2026-12-31") -> str:
    return (
        f'\n[[models.kws.accept]]\nmetric = "{metric}"\nup_to = {up_to}\n'
        f'reason = "second wake word"\nuntil = {until}\n'
    )


def growth(check: Check) -> dict[str, int]:
    small, large = used(check(SMALL)), used(check(LARGE))
    return {metric: large[metric] - small[metric] for metric in small}


# max_increase


def test_growth_beyond_percent_and_bytes_fails_and_names_both(check: Check) -> None:
    base = check(SMALL)
    result = check(LARGE, 'max_increase = { percent = 10, bytes = "1 KB" }', base=base)
    assert result.outcome == "unmet"
    assert result.grown == ("ram",)
    before, now = used(base)["ram"], used(result)["ram"]
    grown = f"{format_size(now - before)} ({100 * (now - before) / before:.1f} %)"
    assert result.headline.startswith(f"RAM grew {grown}, 10 % and 1.0 KB allowed; ")
    assert "RAM within its limit (" in result.headline
    assert "RAM ok" not in result.headline
    assert any("[[models.kws.accept]]" in reason for reason in result.reasons)


@pytest.mark.parametrize("limits", ['percent = 1000, bytes = "1 B"', 'percent = 0, bytes = "1 MB"'])
def test_growth_beyond_only_one_of_two_limits_passes(check: Check, limits: str) -> None:
    result = check(LARGE, f"max_increase = {{ {limits} }}", base=check(SMALL))
    assert (result.outcome, result.grown) == ("fits", ())


def test_growth_of_exactly_the_limit_passes_and_a_byte_more_does_not(check: Check) -> None:
    base, ram = check(SMALL), growth(check)["ram"]
    assert check(LARGE, f"max_increase = {{ bytes = {ram} }}", base=base).grown == ()
    assert check(LARGE, f"max_increase = {{ bytes = {ram - 1} }}", base=base).grown == ("ram",)


def test_growth_of_exactly_the_percentage_passes_and_any_more_does_not(check: Check) -> None:
    ram = used(check(LARGE))["ram"]
    assert ram % 4 == 0  # so that a quarter of it grows by exactly 300 %
    base = with_used(check(LARGE), ram=ram // 4)
    assert check(LARGE, "max_increase = { percent = 300 }", base=base).grown == ()
    assert check(LARGE, "max_increase = { percent = 299.9 }", base=base).grown == ("ram",)


def test_growth_from_nothing_has_no_percentage(check: Check) -> None:
    result = check(LARGE, "max_increase = { percent = 5 }", base=with_used(check(LARGE), ram=0))
    grown = format_size(used(result)["ram"])
    assert result.headline.startswith(f"RAM grew {grown}, 5 % allowed; ")


def test_a_limit_alone_counts_alone(check: Check) -> None:
    result = check(LARGE, "max_increase = { percent = 0.1 }", base=check(SMALL))
    assert result.grown == ("flash", "ram")
    assert result.headline.startswith("flash grew ")
    assert "0.1 % allowed; RAM grew " in result.headline


def test_a_smaller_model_passes_whatever_the_limit(check: Check) -> None:
    result = check(SMALL, "max_increase = { bytes = 0 }", base=check(LARGE))
    assert result.outcome == "fits"


def test_a_model_without_a_base_passes_with_a_warning_that_says_why(check: Check) -> None:
    result = check(LARGE, "max_increase = { bytes = 0 }")
    assert result.outcome == "warns"
    assert result.growth_unchecked.startswith("no base is named")
    assert result.warnings == (f"growth not checked: {result.growth_unchecked}",)


def test_a_model_without_a_limit_of_growth_needs_no_base(check: Check) -> None:
    result = check(LARGE, "require_base = false")
    assert (result.outcome, result.growth_unchecked, result.warnings) == ("fits", "", ())


def test_the_defaults_hold_every_model_and_a_section_takes_their_place(check: Check) -> None:
    base, head = check(SMALL), "[defaults]\nmax_increase = { bytes = 0 }\n"
    assert check(LARGE, base=base, head=head).outcome == "unmet"
    own = 'max_increase = { bytes = "1 MB" }'
    assert check(LARGE, own, base=base, head=head).outcome == "fits"


def test_a_base_of_other_tables_holds_nothing_back_and_warns(check: Check) -> None:
    other = replace(check(SMALL), table="other")
    result = check(LARGE, "max_increase = { bytes = 0 }", base=other)
    assert (result.outcome, result.grown) == ("warns", ())
    assert (
        "the tables or settings of runtime arduino-tflm 2023-12 differ" in result.growth_unchecked
    )


def test_a_base_of_another_version_holds_nothing_back_and_warns(
    check: Check, tmp_path: Path
) -> None:
    small = check(SMALL)
    check(LARGE, "max_increase = { bytes = 0 }")
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    (pair,) = pairs("tinybudget.toml", declaration)
    old = Results("base", "pytest-tinybudget 0.0.1, TFLM 90b983c2", (small,))
    result = Gate(baselines=Baselines(Baseline(old))).check(pair)
    assert result.outcome == "warns"
    assert "measured by pytest-tinybudget 0.0.1" in result.growth_unchecked


def test_a_failure_points_at_the_line_of_its_growth_budget(check: Check) -> None:
    base, head = check(SMALL), "[defaults]\nmax_increase = { bytes = 0 }\n"
    assert check(LARGE, base=base, head=head).declared_at == "tinybudget.toml:3"
    own = check(LARGE, 'message = "x"\nmax_increase = { bytes = 0 }', base=base)
    assert own.declared_at == "tinybudget.toml:7"


# Accepted increases


def test_an_agreed_growth_passes_loudly_until_its_date(check: Check) -> None:
    base, ram = check(SMALL), used(check(LARGE))["ram"]
    more = "max_increase = { percent = 10 }" + accept("ram", ram)
    result = check(LARGE, more, base=base)
    assert (result.outcome, result.grown) == ("warns", ())
    assert [each.metric for each in result.accepted] == ["ram"]
    (warning,) = result.warnings
    assert "RAM grew " in warning
    assert "until 2026-12-31: second wake word" in warning


def test_the_agreement_that_is_offered_would_do(check: Check) -> None:
    base, ram = check(SMALL), used(check(LARGE))["ram"]
    assert ram % 1024  # rounded up, or the agreement would be short of what is used
    refused = check(LARGE, "max_increase = { percent = 10 }", base=base)
    (line,) = [reason for reason in refused.reasons if "[[models.kws.accept]]" in reason]
    assert f'up_to = "{ram // 1024 + 1} KB"' in line


@pytest.mark.parametrize(("ram", "agreed"), [(9 * 1024, "9 KB"), (9 * 1024 + 1, "10 KB")])
def test_the_agreement_that_is_offered_is_rounded_up_to_whole_kilobytes(
    check: Check, ram: int, agreed: str
) -> None:
    allowed = GrowthRules("models.kws", MaxIncrease(bytes=0), (), TODAY)
    base = check(SMALL)
    (line,) = with_growth(with_used(base, ram=ram), base, allowed).reasons
    assert f'metric = "ram", up_to = "{agreed}"' in line


def test_of_two_agreements_the_one_that_lasts_longest_counts(check: Check) -> None:
    base, ram = check(SMALL), used(check(LARGE))["ram"]
    early, late = accept("ram", ram, "2026-11-30"), accept("ram", ram + 1024, "2026-12-31")
    for both in (early + late, late + early):
        more = "max_increase = { percent = 10 }" + both
        (agreed,) = check(LARGE, more, base=base).accepted
        assert agreed.until == datetime.date(2026, 12, 31)
        expired = check(LARGE, more, base=base, today=datetime.date(2027, 1, 1))
        assert any("expired on 2026-12-31" in reason for reason in expired.reasons)


def test_a_single_byte_is_growth(check: Check) -> None:
    large = check(LARGE)
    less = {metric: size - 1 for metric, size in used(large).items()}
    result = check(LARGE, "max_increase = { bytes = 0 }", base=with_used(large, **less))
    assert result.grown == ("flash", "ram")


def test_it_counts_through_its_last_day_and_fails_after(check: Check) -> None:
    base, ram = check(SMALL), used(check(LARGE))["ram"]
    more = "max_increase = { percent = 10 }" + accept("ram", ram)
    last = datetime.date(2026, 12, 31)
    assert check(LARGE, more, base=base, today=last).outcome == "warns"
    result = check(LARGE, more, base=base, today=last + datetime.timedelta(days=1))
    assert result.outcome == "unmet"
    expired = f"agreed for RAM, up to {format_size(ram)}, expired on 2026-12-31: second wake word"
    assert any(expired in reason for reason in result.reasons)


def test_more_than_was_agreed_fails_and_says_both_sizes(check: Check) -> None:
    base, ram = check(SMALL), used(check(LARGE))["ram"]
    more = "max_increase = { percent = 10 }" + accept("ram", ram - 1)
    result = check(LARGE, more, base=base)
    assert result.outcome == "unmet"
    assert any(f"{ram:,} B, more than the {ram - 1:,} B" in reason for reason in result.reasons)


def test_an_agreement_for_flash_says_nothing_of_ram(check: Check) -> None:
    more = "max_increase = { percent = 10 }" + accept("flash", 10**6)
    result = check(LARGE, more, base=check(SMALL))
    assert result.grown == ("ram",)
    assert not any("flash" in reason for reason in result.reasons)


def test_a_reason_of_a_few_lines_is_shown_to_its_160th_character(check: Check) -> None:
    ram = used(check(LARGE))["ram"]
    agreed = accept("ram", ram).replace("second wake word", "w" * 161)
    result = check(LARGE, "max_increase = { percent = 10 }" + agreed, base=check(SMALL))
    (warning,) = result.warnings
    assert warning.endswith(f": {'w' * 159}…")


def test_an_agreed_overrun_of_a_budget_passes_loudly_with_its_own_limit_shown(
    check: Check,
) -> None:
    ram = used(check(LARGE))["ram"]
    budget = f"budget = {{ ram = {ram - 100} }}"
    assert check(LARGE, budget).outcome == "over"
    result = check(LARGE, budget + accept("ram", ram))
    assert result.outcome == "warns"
    assert [measure.over for measure in result.measures] == [0, 100]
    assert result.headline.startswith("RAM over by 100 B")
    assert "RAM is over by 100 B, accepted up to" in result.warnings[0]


def test_an_expired_agreement_on_an_overrun_fails_and_says_so(check: Check) -> None:
    ram = used(check(LARGE))["ram"]
    more = f"budget = {{ ram = {ram - 100} }}" + accept("ram", ram, "2026-11-21")
    result = check(LARGE, more)
    assert result.outcome == "over"
    assert any("expired on 2026-11-21" in reason for reason in result.reasons)


def test_no_agreement_goes_beyond_the_board(check: Check) -> None:
    huge = keywords(filters=1000)
    more = 'budget = { ram = "4 KB" }' + accept("ram", 10**7)
    result = check(huge, more)
    assert result.outcome == "over"
    assert result.accepted == ()


def test_an_agreement_on_one_metric_does_not_cover_the_other(check: Check) -> None:
    more = 'budget = { flash = "1 KB", ram = "1 KB" }' + accept("ram", 10**5)
    assert check(LARGE, more).outcome == "over"


def test_an_agreement_that_covers_one_metric_is_no_reason_where_the_other_fails(
    check: Check,
) -> None:
    sizes = used(check(LARGE))
    budget = f"budget = {{ flash = {sizes['flash'] - 1}, ram = {sizes['ram'] - 1} }}"
    result = check(LARGE, budget + accept("ram", sizes["ram"]))
    assert result.outcome == "over"
    assert result.reasons == check(LARGE, budget).reasons


def test_an_agreed_overrun_that_falls_short_of_another_demand_still_fails(check: Check) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 64), "FLOAT32"), units=8))
    content = maker.build()
    ram = used(check(content))["ram"]
    more = f"budget = {{ ram = {ram - 100} }}\nrequire_int8 = true" + accept("ram", ram)
    result = check(content, more)
    assert result.outcome == "unmet"
    assert result.headline.startswith("require_int8: the model is not full INT8")


# Already over


def test_a_pair_that_was_over_on_the_base_says_so_and_still_fails(check: Check) -> None:
    base = check(SMALL)
    result = check(LARGE, 'budget = { ram = "4 KB" }', base=base)
    assert result.outcome == "over"
    was = next(each for each in result.reasons if "already over on the base" in each)
    assert was.startswith("RAM was already over on the base: 5.1 KB there")


def test_a_pair_that_the_change_made_too_large_does_not_say_so(check: Check) -> None:
    base = check(SMALL)
    result = check(LARGE, f"budget = {{ ram = {used(base)['ram']} }}", base=base)
    assert result.outcome == "over"
    assert not any("already over" in reason for reason in result.reasons)


def test_an_agreed_overrun_that_the_base_had_as_well_needs_no_reason(check: Check) -> None:
    ram = used(check(LARGE))["ram"]
    result = check(
        LARGE, f"budget = {{ ram = {ram - 100} }}" + accept("ram", ram), base=check(LARGE)
    )
    assert (result.outcome, result.reasons) == ("warns", ())


# Groups, and the file


def test_a_group_is_held_to_its_growth_as_well(tmp_path: Path) -> None:
    def checked(base: Results | None) -> PairResult:
        declare(
            tmp_path,
            '\n[groups.all]\nmodels = ["kws", "vad"]\nmax_increase = { percent = 10 }\n',
            models=("kws", "vad"),
        )
        declaration = load_declaration(tmp_path / "tinybudget.toml")
        pair = list(pairs("tinybudget.toml", declaration))[-1]
        baselines = Baselines(base and Baseline(base))
        return Gate(rules=Rules(today=TODAY), baselines=baselines).check(pair)

    put(tmp_path, kws=SMALL, vad=SMALL)
    base = own_results([checked(None)], "base")
    put(tmp_path, kws=LARGE)
    result = checked(base)
    assert result.grown == ("ram",)
    assert any("[[groups.all.accept]]" in reason for reason in result.reasons)


def test_growth_and_agreements_are_in_the_results_file(check: Check) -> None:
    base, ram = check(SMALL), used(check(LARGE))["ram"]
    grown = check(LARGE, "max_increase = { percent = 10 }", base=base)
    agreed = check(LARGE, "max_increase = { percent = 10 }" + accept("ram", ram), base=base)
    for result in (grown, agreed):
        jsonschema.validate(json.loads(writer.render([result])), SCHEMA)
    (pair,) = json.loads(writer.render([agreed]))["pairs"]
    assert pair["accepted"] == [
        {
            "metric": "ram",
            "up_to": ram,
            "reason": "second wake word",
            "until": "2026-12-31",
            "approved_by": "",
        }
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_increase = {}", "kws.max_increase: expected percent or bytes"),
        ("max_increase = { percent = -1 }", "percent: expected a number, at least 0"),
        ('max_increase = { percent = "2 %" }', "percent: expected a number, at least 0"),
        ('accept = "flash"', "kws.accept: expected a list"),
        ("[[models.kws.accept]]", "models.kws.accept[0]: 'until' is missing"),
        (accept("flash", 1, '"soon"'), "accept[0].until: expected a date such as"),
        (
            accept("disk", 1),
            'accept[0].metric: expected "flash" or "ram" or "psram" or "arena" or ',
        ),
        (accept("flash", -1), "accept[0].up_to: expected a size"),
    ],
)
def test_wrong_declarations_name_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    put(tmp_path, kws=SMALL)
    declare(tmp_path, text)
    with pytest.raises(DeclarationError) as raised:
        load_declaration(tmp_path / "tinybudget.toml")
    assert said in str(raised.value)
