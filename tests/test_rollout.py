"""Staged rollouts: the policy, its decision at each stage, its simulation, its item, its plan."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from small_projects import declare
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.rollout.decision import Action
from pytest_tinybudget.rollout.decision import decide
from pytest_tinybudget.rollout.decision import devices_to_know
from pytest_tinybudget.rollout.decision import halting_failures
from pytest_tinybudget.rollout.decision import most_failures_of_good
from pytest_tinybudget.rollout.decision import tail
from pytest_tinybudget.rollout.policy import Allowance
from pytest_tinybudget.rollout.policy import Policy
from pytest_tinybudget.rollout.policy import PolicyError
from pytest_tinybudget.rollout.policy import RolloutSettings
from pytest_tinybudget.rollout.simulation import simulate
from pytest_tinybudget.rollout.simulation import simulate_naive
from pytest_tinybudget.rollout.verdict import costs
from pytest_tinybudget.rollout.verdict import figures


DOCS = Path(__file__).parents[1] / "docs"
FOUR_STAGES = (1, 10, 50, 100)
SPRT, EXACT = Policy(stages=FOUR_STAGES), Policy(stages=FOUR_STAGES, test="exact")


# The policy


@pytest.mark.parametrize(
    ("policy", "fleet", "sizes"),
    [
        (Policy(), 100, (1, 10, 100)),
        (Policy(), 1_000_000, (10_000, 100_000, 1_000_000)),
        (Policy(), 101, (2, 11, 101)),  # shares are rounded up
        (Policy(), 1, (1,)),
        (Policy(), 7, (1, 7)),  # a stage that adds no device is none
        (Policy(minimum_devices=20), 100, (20, 100)),
        (Policy(minimum_devices=20), 15, (15,)),
        (Policy(stages=(0.1, 0.3, 100)), 1000, (1, 3, 1000)),
    ],
)
def test_a_stage_is_a_share_of_the_fleet(policy: Policy, fleet: int, sizes: tuple[int, ...]):
    assert policy.stage_devices(fleet) == sizes


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"stages": ()}, "stages", "is empty"),
        ({"stages": (1, 10)}, "stages", "ends at 10 %; expected 100 %"),
        ({"stages": (10, 1, 100)}, "stages", "has 1 % after 10 %"),
        ({"stages": (0, 100)}, "stages", "has 0 % after 0 %"),
        ({"stages": (1, 100, 100)}, "stages", "has 100 % after 100 %"),
        ({"minimum_success_percent": 100}, "minimum_success_percent", "50 % to 99.99 %"),
        ({"minimum_success_percent": 20}, "minimum_success_percent", "is 20 %"),
        ({"minimum_devices": 0}, "minimum_devices", "above 0"),
        ({"window_hours": 0}, "window_hours", "above 0 h"),
        ({"alpha": 0.5}, "alpha", "below 0.5"),
        ({"beta": 0}, "beta", "is 0"),
        ({"good_failure_percent": 5}, "good_failure_percent", "below 5 %"),
        ({"bad_failure_percent": 5}, "bad_failure_percent", "above 5 %"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(values: dict, field: str, words: str):
    with pytest.raises(PolicyError) as caught:
        Policy(**values)
    assert [name for name, _ in caught.value.faults] == [field]
    assert words in caught.value.message


def test_percentages_are_compared_as_they_are_written():
    # 100 - 99.9 is 0.0999... in binary: one failure of a thousand is still within 0.1 %.
    policy = Policy(minimum_success_percent=99.9, good_failure_percent=0.05, bad_failure_percent=1)

    assert policy.tolerated_failures(1000) == 1
    assert policy.devices_that_tolerate(1) == 1000


# The decision


@pytest.mark.parametrize(
    ("counts", "action", "more", "words"),
    [
        ((1, 0, 1), "continue", 0, "not yet shown to fail on fewer than 10 %"),
        ((36, 0, 36), "continue", 0, ", shown to fail on fewer than 10 %"),
        ((0, 1, 1), "hold", 1, "1 of 1 device failed: 0 % success, below 95 %"),
        ((9, 1, 10), "hold", 10, "1 of 10 devices failed: 90 % success"),
        ((94, 6, 100), "hold", 25, "94 % success"),  # a quarter more at least
        ((92, 6, 98), "hold", 25, "93.88 % success"),  # rounded up
        ((19, 1, 20), "continue", 0, "95 % success"),
        ((7, 3, 10), "halt", 0, "69 times likelier at 10 % failures than at 2 %"),
        ((0, 0, 10), "hold", 0, "waiting for 10 of 10 devices"),
        ((8, 1, 10), "hold", 0, "waiting for 1 of 10 devices; 1 of the 9 that reported failed"),
    ],
)
def test_few_devices_hold_and_evidence_halts(
    counts: tuple[int, int, int], action: Action, more: int, words: str
):
    decision = decide(Policy(), *counts)

    assert (decision.action, decision.more_devices) == (action, more)
    assert words in decision.reason
    assert "\n" not in decision.reason


LIKELIER = "times likelier at 10 % failures than at 2 % (halts from 20 times, alpha 0.05)"
HALTS_FROM = "(halts from 1.2 %, alpha 0.05 over 4 stages)"


@pytest.mark.parametrize(
    ("policy", "counts", "reason"),
    [
        (SPRT, (7, 3, 10), f"3 of 10 devices failed, that is 69 {LIKELIER}"),
        (
            SPRT,
            (0, 3, 10),
            f"3 failed; even if the other 7 of 10 devices succeed, that is 69 {LIKELIER}",
        ),
        (SPRT, (0, 1000, 1000), f"devices failed, that is over 1,000,000,000 {LIKELIER}"),
        (
            EXACT,
            (6, 4, 10),
            "4 of 10 devices failed, at 5 % failures the chance of so many is 0.1 % " + HALTS_FROM,
        ),
        (EXACT, (0, 10, 10), f"the chance of so many is 9.8e-12 % {HALTS_FROM}"),
    ],
)
def test_a_halt_shows_its_evidence_and_from_where_on_it_is_enough(
    policy: Policy, counts: tuple[int, int, int], reason: str
):
    assert decide(policy, *counts).reason.endswith(reason)


def test_fewer_than_the_minimum_are_too_few_to_know():
    decision = decide(Policy(minimum_devices=20), 12, 0, 12)

    assert (decision.action, decision.more_devices) == ("hold", 8)
    assert decision.reason.endswith("fewer than 20 are too few to know: 8 more")


def test_evidence_halts_below_the_minimum_of_devices_too():
    assert decide(Policy(minimum_devices=20), 7, 3, 10).action == "halt"


@pytest.mark.parametrize("policy", [SPRT, EXACT])
def test_failures_that_are_reported_early_do_not_halt(policy: Policy):
    # Three of the first three failed: evidence among ten, none among a thousand.
    assert decide(policy, 0, 3, 10).action == "halt"
    assert decide(policy, 0, 3, 1000).action == "hold"


@pytest.mark.parametrize("policy", [SPRT, EXACT])
def test_what_halts_while_devices_are_awaited_halts_however_they_end(policy: Policy):
    for devices in (10, 100, 1000):
        failures = halting_failures(policy, devices)
        assert decide(policy, 0, failures, devices).action == "halt"
        assert decide(policy, devices - failures, failures, devices).action == "halt"
        assert decide(policy, 0, failures - 1, devices).action == "hold"


@settings(deadline=None)
@given(st.data())
def test_more_failures_never_make_a_milder_verdict(data: st.DataObject):
    policy = data.draw(st.sampled_from([SPRT, EXACT, Policy(minimum_devices=30)]))
    devices = data.draw(st.integers(1, 3000))
    failed = data.draw(st.integers(0, devices - 1))

    fewer = decide(policy, devices - failed, failed, devices)
    more = decide(policy, devices - failed - 1, failed + 1, devices)

    severity = ["continue", "hold", "halt"]
    assert severity.index(fewer.action) <= severity.index(more.action)
    if more.action == "hold":
        assert 1 <= more.more_devices <= max(devices, policy.minimum_devices)


@pytest.mark.parametrize("counts", [(-1, 0, 1), (0, -1, 1), (1, 1, 1), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int]):
    with pytest.raises(ValueError, match="do not fit"):
        decide(Policy(), *counts)


def test_no_failure_in_59_devices_is_the_first_proof_of_less_than_5_percent():
    assert not decide(EXACT, 58, 0, 58).shown_good
    assert decide(EXACT, 59, 0, 59).shown_good
    assert devices_to_know(EXACT) == 59
    # Against 10 %, (0.98 / 0.9) ** -36 is the first below 0.05.
    assert devices_to_know(SPRT) == 36


@pytest.mark.parametrize(
    ("policy", "devices"),
    [
        (Policy(test="exact", beta=0.4), 18),
        (Policy(test="exact", beta=0.038), 64),  # 0.95 ** 64 = 0.0375
        (Policy(test="exact", beta=0.0375), 65),
        (Policy(beta=0.068), 32),
    ],
)
def test_the_devices_to_know_are_the_fewest_that_show_a_release_to_be_good(
    policy: Policy, devices: int
):
    shown = [decide(policy, count, 0, count).shown_good for count in (devices - 1, devices)]

    assert shown == [False, True]
    assert devices_to_know(policy) == devices


@pytest.mark.parametrize("policy", [Policy(alpha=1e-6), Policy(alpha=1e-6, test="exact")])
def test_no_number_of_failures_among_too_few_devices_halts(policy: Policy):
    assert halting_failures(policy, 1) == 2
    assert decide(policy, 0, 1, 1).action == "hold"


@pytest.mark.parametrize("policy", [SPRT, EXACT])
def test_a_verdict_on_a_million_devices_takes_no_longer(policy: Policy):
    decision = decide(policy, 0, 1_000_000, 1_000_000)

    assert decision.action == "halt"
    assert 49_000 < halting_failures(policy, 1_000_000) < 51_000


# Its arithmetic


def exact_tail(at_least: int, trials: int, probability: Fraction) -> Fraction:
    return sum(
        (
            comb(trials, count) * probability**count * (1 - probability) ** (trials - count)
            for count in range(at_least, trials + 1)
        ),
        Fraction(0),
    )


@settings(deadline=None)
@given(st.data())
def test_the_tail_has_all_its_digits(data: st.DataObject):
    trials = data.draw(st.integers(1, 200))
    at_least = data.draw(st.integers(0, trials + 1))
    percent = data.draw(st.integers(1, 99))

    expected = float(exact_tail(at_least, trials, Fraction(percent, 100)))

    assert tail(at_least, trials, percent / 100) == pytest.approx(expected, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("success", [50, 90, 95, 99.9])
@pytest.mark.parametrize("devices", [1, 2, 13, 59, 100])
def test_the_exact_test_halts_and_clears_where_the_fractions_do(success: float, devices: int):
    policy = Policy(
        stages=FOUR_STAGES, minimum_success_percent=success, test="exact", alpha=0.044, beta=0.02
    )
    rate = 1 - Fraction(str(success)) / 100

    halts = [n for n in range(devices + 1) if exact_tail(n, devices, rate) <= Fraction("0.011")]
    clears = [
        n for n in range(devices + 1) if 1 - exact_tail(n + 1, devices, rate) <= Fraction("0.02")
    ]

    assert halting_failures(policy, devices) == min(halts, default=devices + 1)
    assert most_failures_of_good(policy, devices) == max(clears, default=-1)


@pytest.mark.parametrize("devices", [1000, 100_000, 1_000_000])
def test_a_large_fleet_halts_and_clears_where_its_tail_does(devices: int):
    halting, good = halting_failures(EXACT, devices), most_failures_of_good(EXACT, devices)

    share = EXACT.alpha / len(FOUR_STAGES)
    assert tail(halting, devices, 0.05) <= share < tail(halting - 1, devices, 0.05)
    assert 1 - tail(good + 1, devices, 0.05) <= EXACT.beta < 1 - tail(good + 2, devices, 0.05)


# The simulation


def reached(policy: Policy, fleet: int, rate: float) -> tuple[float, float]:
    """Share halted and mean devices exposed, by following every state with ``decide`` itself."""
    stages = policy.stage_devices(fleet)
    states = {(0, 0, stages[0]): 1.0}
    halted = exposed = 0.0
    while states:
        following: dict[tuple[int, int, int], float] = {}
        for (before, failed_before, devices), chance in states.items():
            new = devices - before
            for more_failed in range(new + 1):
                failed = failed_before + more_failed
                here = chance * comb(new, more_failed) * rate**more_failed
                here *= (1 - rate) ** (new - more_failed)
                decision = decide(policy, devices - failed, failed, devices)
                halted += here if decision.action == "halt" else 0
                if decision.action == "halt" or devices == fleet:
                    exposed += here * devices
                    continue
                if decision.action == "hold":
                    target = min(devices + decision.more_devices, fleet)
                else:
                    target = next(stage for stage in stages if stage > devices)
                key = (devices, failed, target)
                following[key] = following.get(key, 0) + here
        states = following
    return halted, exposed


@pytest.mark.parametrize("policy", [SPRT, EXACT, Policy(stages=(5, 100), minimum_devices=8)])
@pytest.mark.parametrize("fleet", [1, 7, 40])
@pytest.mark.parametrize("percent", [0.5, 10, 30])
def test_the_simulation_agrees_with_every_path_of_the_decision(
    policy: Policy, fleet: int, percent: float
):
    halted, exposed = reached(policy, fleet, percent / 100)

    outcome = simulate(policy, fleet, percent, runs=20_000)

    low, high = outcome.halted_range_percent
    assert low - 1e-9 <= 100 * halted <= high + 1e-9
    low, high = outcome.exposed_range
    assert low - 1e-9 <= exposed <= high + 1e-9


@pytest.mark.parametrize("percent", [0.1, 1, 2])
@pytest.mark.parametrize("fleet", [20, 40])
def test_a_good_release_is_halted_with_at_most_alpha(percent: float, fleet: int):
    halted, _ = reached(SPRT, fleet, percent / 100)

    assert halted <= SPRT.alpha


@pytest.mark.parametrize(
    ("percent", "halted", "exposed"), [(1, 12, 90), (2, 29, 81), (10, 99, 28), (20, 100, 13)]
)
def test_the_naive_rule_halts_what_is_good(percent: float, halted: float, exposed: float):
    # Measured once with 1,500 runs of a program of its own: 100 devices, 1/10/50/100 %.
    outcome = simulate_naive(SPRT, 100, percent, runs=20_000)

    assert outcome.halted_percent == pytest.approx(halted, abs=2.5)
    assert outcome.exposed_mean == pytest.approx(exposed, abs=2.5)


def test_ours_halts_less_of_the_good_and_stops_the_bad():
    good, bad = simulate(SPRT, 100, 1, 20_000), simulate(SPRT, 100, 20, 20_000)

    assert good.halted_range_percent[1] < 1
    assert bad.halted_range_percent[0] > 99
    assert bad.exposed_range[1] < 30


def test_the_same_seed_gives_the_same_outcome():
    assert simulate(SPRT, 1000, 5, 1000) == simulate(SPRT, 1000, 5, 1000)
    assert simulate(SPRT, 1000, 5, 1000) != simulate(SPRT, 1000, 5, 1000, seed=9)


def test_nothing_is_exposed_beyond_the_first_stage_when_every_device_fails():
    outcome = simulate(SPRT, 10_000_000, 100, 100)

    assert (outcome.halted, outcome.exposed_mean, outcome.looks_mean) == (100, 100_000, 1)


# What a policy may cost


def test_the_worst_fleet_counts():
    settings = RolloutSettings(SPRT, (100, 10_000), Allowance(exposed_percent=60))

    _, share = figures(settings, costs(settings))

    assert "100 devices" in share.basis
    assert (share.unit, share.exceeded) == ("%", False)

    settings = RolloutSettings(SPRT, (100, 10_000), Allowance(exposed_devices=60))

    _, count = figures(settings, costs(settings))

    assert "10,000 devices" in count.basis
    assert (count.unit, count.exceeded) == ("", True)


def test_a_limit_within_the_error_is_settled_by_more_runs():
    (cost,) = costs(RolloutSettings(SPRT, (100,), Allowance(good_failure_percent=1)))
    assert cost.good.runs == 20_000
    close = cost.good.halted_range_percent[1] - 1e-6

    settings = RolloutSettings(
        SPRT, (100,), Allowance(good_failure_percent=1, halt_good_percent=close)
    )

    assert costs(settings)[0].good.runs == 400_000


def test_the_upper_end_of_the_error_counts():
    settings = RolloutSettings(SPRT, (100,), Allowance(halt_good_percent=1.6))

    halting, _ = figures(settings, costs(settings))

    assert halting.low is not None
    assert halting.high is not None
    assert halting.low < 1.6 < halting.high
    assert halting.exceeded


# The declaration


def rollout_of(folder: Path, text: str) -> RolloutSettings | None:
    put(folder, kws=b"")
    declare(folder, text)
    return load_declaration(folder / "tinybudget.toml").rollout


def test_an_empty_section_is_the_default_policy(tmp_path: Path):
    assert rollout_of(tmp_path, "[rollout]") == RolloutSettings()
    assert rollout_of(tmp_path, "") is None


def test_what_is_declared_is_the_policy(tmp_path: Path):
    settings = rollout_of(
        tmp_path,
        """
        [rollout]
        stages = ["0.5 %", "100%"]
        minimum_success = "97.5%"
        minimum_devices = 30
        window = "90 min"
        rollback = false
        good_failures = "1%"
        bad_failures = "5%"
        alpha = 0.01
        beta = 0.1
        fleets = [500, 500, 20]
        allow = { halt_good = "2%", good_failures = "0.5%", exposed = 40 }
        """,
    )

    assert settings == RolloutSettings(
        Policy((0.5, 100), 97.5, 30, 1.5, False, "sprt", 1, 5, 0.01, 0.1),
        (500, 20),
        Allowance(0.5, 5, halt_good_percent=2, exposed_devices=40),
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('stages = ["10%", "1%"]', "rollout.stages: has 1 % after 10 %"),
        ('stages = ["1%", "x"]', "rollout.stages[1]: expected a percentage"),
        ('stages = ["1%"]', "rollout.stages: ends at 1 %; expected 100 %"),
        ('minimum_success = "100%"', "rollout.minimum_success: is 100 %"),
        ('window = "0 h"', "rollout.window: is 0 h"),
        ('window = "1 week"', "rollout.window: expected a time"),
        ('test = "spr"', "did you mean 'sprt'?"),
        ("alpha = 0.7", "rollout.alpha: expected a probability"),
        ('bad_failures = "4%"', "rollout.bad_failures: is 4 %; expected above 5 %"),
        ("fleets = [0]", "rollout.fleets[0]: expected a whole number of devices above 0"),
        ('allow = { halt_god = "1%" }', "did you mean 'halt_good'?"),
        ('allow = { good_failures = "20%" }', "rollout.allow: a good release fails on 20 %"),
    ],
)
def test_a_mistake_is_told_with_line_and_key(tmp_path: Path, text: str, error: str):
    with pytest.raises(DeclarationError) as caught:
        rollout_of(tmp_path, f"[rollout]\n{text}")

    assert re.match(r".*tinybudget\.toml:7: ", caught.value.message)
    assert error in caught.value.message


# The item


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    put(pytester.path, kws=keywords())
    return pytester


def test_a_policy_within_what_is_allowed_passes(project: pytest.Pytester):
    declare(
        project.path,
        '\n[rollout]\nallow = { halt_good = "1%", good_failures = "1%", exposed = "80%" }',
    )

    result = project.runpytest("--tinybudget", "-v")

    result.stdout.fnmatch_lines(["*tinybudget.toml::rollout::policy PASSED*"])
    result.assert_outcomes(passed=2)


def test_a_policy_that_costs_more_fails_and_says_how_much(project: pytest.Pytester):
    declare(project.path, '\n[rollout]\nfleets = [100]\nallow = { exposed = "10%" }')

    result = project.runpytest("--tinybudget")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines(
        [
            r".*fleet exposed at 10 % failures over \(\d\d\.\d to \d\d\.\d %, at most 10\.0 %\)",
            r".*20,000.*",
            r".*100 devices: with 2 % failures \d\.\d\d % of rollouts halt.*",
        ]
    )


def test_numpy_waits_for_the_item_to_run(project: pytest.Pytester):
    declare(project.path, "\n[rollout]")
    code = (
        "import sys, pytest\n"
        "pytest.main(['--tinybudget', '--co', '-q', '-p', 'no:cacheprovider'])\n"
        "print('numpy' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "tinybudget.toml::rollout::policy" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


# The command


def test_simulate_prints_the_naive_rule_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)

    assert run("rollout", "simulate", "--fleet", "100", "--rates", "1,20", "--runs", "500") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("100 devices, 500 rollouts a cell")
    assert re.fullmatch(r"rule +1 % fail +20 % fail", lines[2])
    assert [line.split()[0] for line in lines[3:6]] == ["naive", "sprt", "exact"]


def test_plan_shows_devices_and_failures_of_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=b"")
    declare(tmp_path, "\n[rollout]\nminimum_devices = 10")

    assert run("rollout", "plan", "--devices", "100") == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:3]]
    assert rows[0] == ["1", "10", "10", "1", "failure", "3", "failures"]
    assert rows[1] == ["2", "100", "90", "6", "failures", "7", "failures"]


def test_a_named_file_without_a_policy_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=b"")
    declare(tmp_path)

    assert run("rollout", "plan", "--devices", "9", "tinybudget.toml") == 2
    assert "tinybudget.toml: declares no [rollout]" in capsys.readouterr().err


# The documentation


def cells(table: str) -> dict[tuple[str, str], list[float]]:
    """The numbers of a printed table by rule and column."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {
        (row[0], column): [float(part.strip(" %").replace(",", "")) for part in cell.split("/")]
        for row in rows[1:]
        for column, cell in zip(rows[0][1:], row[1:], strict=True)
    }


def test_the_table_of_the_docs_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    # Streams of random numbers may differ between releases of numpy.
    text = (DOCS / "rollout.md").read_text("utf-8")
    declared = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    command = re.search(r"^tinybudget (rollout simulate .*--table)$", text, re.MULTILINE)
    assert declared
    assert command
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=b"")
    declare(tmp_path, "\n" + declared[1])

    assert run(*command[1].split()) == 0

    documented, printed = cells(text[command.end() :]), cells(capsys.readouterr().out)
    assert printed.keys() <= documented.keys()
    assert len(printed) == 15
    for key, numbers in printed.items():
        for ours, theirs in zip(numbers, documented[key], strict=True):
            assert ours == pytest.approx(theirs, abs=1.5), key


def test_the_exports_of_the_docs_are_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    text = (DOCS / "rollout.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=b"")
    declared = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert declared
    declare(tmp_path, "\n" + declared[1])
    tmp_path.joinpath("job.json").write_text('{"operation": "update"}', encoding="utf-8")

    for shown in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
        engine = "hawkbit" if "targetPercentage" in shown else "aws-iot"
        command = re.search(rf"^tinybudget (rollout export {engine} (?:.*\\\n)*.*)$", text, re.M)
        assert command
        words = command[1].replace("\\\n", " ").replace("'", "").split()
        assert run(*words) == 0
        written = json.loads(capsys.readouterr().out)
        group = written["groups"][1] if engine == "hawkbit" else written[1]
        assert group == json.loads(shown)
