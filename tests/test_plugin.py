"""``pytest --tinybudget`` as users run it: what is collected, selected, failed and reported."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from campaigns import rare
from conftest import DECLARATION
from conftest import dense_model
from conftest import keyword_model
from conftest import needs_xdist
from conftest import summary_line

from pytest_tinybudget import declaration
from pytest_tinybudget.pytest_plugin import settings


Project = Callable[..., pytest.Pytester]

KWS_NANO = "tinybudget.toml::kws::arduino-nano-33-ble"
KWS_PICO = "tinybudget.toml::kws::raspberry-pi-pico"
VAD_NANO = "tinybudget.toml::vad::arduino-nano-33-ble"

#: kws passes on flash and fails on RAM, vad passes.
TOO_SMALL = DECLARATION.replace(
    '"models/kws.tflite"\n', '"models/kws.tflite"\nbudget = { flash = "1 MB", ram = "2 KB" }\n'
)


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


# What is collected


def test_declarations_are_left_alone_unless_asked_for(project: Project) -> None:
    result = project().runpytest()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    "arguments",
    [["--tinybudget"], ["-o", "tinybudget=true"], ["tinybudget.toml"]],
    ids=["option", "ini", "named"],
)
def test_declarations_are_collected_when_asked_for(project: Project, arguments: list[str]) -> None:
    result = project().runpytest("--co", "-q", *arguments)
    assert collected(result) == [KWS_NANO, KWS_PICO, VAD_NANO]


def test_the_tree_is_file_model_board(project: Project) -> None:
    result = project().runpytest("--tinybudget", "--co")
    result.stdout.fnmatch_lines(
        [
            "*<BudgetFile tinybudget.toml>",
            "*<BudgetModel kws>",
            "*<BudgetPair arduino-nano-33-ble>",
            "*<BudgetPair raspberry-pi-pico>",
            "*<BudgetModel vad>",
            "*<BudgetPair arduino-nano-33-ble>",
        ]
    )


def test_node_ids_hold_the_folder_of_the_declaration(project: Project) -> None:
    pytester = project()
    folder = pytester.mkdir("firmware")
    pytester.path.joinpath("tinybudget.toml").rename(folder / "tinybudget.toml")
    pytester.path.joinpath("models").rename(folder / "models")
    result = pytester.runpytest("--tinybudget", "--co", "-q")
    assert collected(result)[0] == f"firmware/{KWS_NANO}"


def test_python_tests_run_beside_pairs(project: Project) -> None:
    pytester = project()
    pytester.makepyfile("def test_other(): pass")
    pytester.runpytest("--tinybudget").assert_outcomes(passed=4)
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-k", "vad"], [VAD_NANO]),
        (["-k", "kws and pico"], [KWS_PICO]),
        (["-m", "tinybudget"], [KWS_NANO, KWS_PICO, VAD_NANO]),
        (["-m", "not tinybudget"], []),
        (["tinybudget.toml::kws"], [KWS_NANO, KWS_PICO]),
        ([KWS_PICO], [KWS_PICO]),
        ([KWS_PICO, "tinybudget.toml::vad"], [KWS_PICO, VAD_NANO]),
    ],
    ids=" ".join,
)
def test_pairs_are_selected_as_any_test(
    project: Project, arguments: list[str], expected: list[str]
) -> None:
    result = project().runpytest("--tinybudget", "--strict-markers", "--co", "-q", *arguments)
    assert collected(result) == expected


def test_the_plugin_can_be_switched_off(project: Project) -> None:
    pytester = project()
    assert pytester.runpytest("-p", "no:tinybudget").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_root_declaration_is_collected_beside_testpaths(project: Project) -> None:
    pytester = project()
    pytester.makeini("[pytest]\ntestpaths = tests")
    pytester.mkdir("tests").joinpath("test_one.py").write_text("def test_one(): pass")
    pytester.runpytest("--tinybudget").assert_outcomes(passed=4)
    pytester.runpytest("--tinybudget", "tests", KWS_NANO).assert_outcomes(passed=2)


def test_a_testpath_that_holds_the_root_collects_it_once(project: Project) -> None:
    pytester = project()
    pytester.makeini("[pytest]\ntestpaths = .")
    pytester.runpytest("--tinybudget").assert_outcomes(passed=3)


def test_groups_are_items_under_their_own_name(project: Project) -> None:
    groups = DECLARATION + '[groups.always-on]\nmodels = ["kws", "vad"]\n'
    result = project(groups).runpytest("--tinybudget", "--co", "-q", "-k", "always-on")
    assert collected(result) == ["tinybudget.toml::groups.always-on::arduino-nano-33-ble"]


# Nothing to collect


@pytest.mark.parametrize(
    ("distribution", "code"),
    [
        pytest.param(["-p", "no:xdist"], pytest.ExitCode.USAGE_ERROR, id="plain"),
        pytest.param(["-n", "2"], pytest.ExitCode.TESTS_FAILED, id="xdist", marks=needs_xdist),
    ],
)
def test_asking_for_pairs_where_there_are_none_is_an_error(
    pytester: pytest.Pytester, distribution: list[str], code: pytest.ExitCode
) -> None:
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_subprocess("--tinybudget", *distribution)
    assert result.ret == code
    text = result.stderr.str() + result.stdout.str()
    assert "--tinybudget: no tinybudget.toml in" in text
    assert "Traceback" not in text


def test_the_ini_value_does_not_demand_pairs(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntinybudget = true")
    pytester.makepyfile("def test_other(): pass")
    pytester.runpytest().assert_outcomes(passed=1)


def test_deselecting_every_pair_is_not_an_error_of_ours(project: Project) -> None:
    result = project().runpytest("--tinybudget", "-k", "nothing")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "--tinybudget:" not in result.stderr.str()


# Outcomes


def test_a_pair_that_fits_passes(project: Project) -> None:
    result = project().runpytest("--tinybudget")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=3)


def test_a_pair_over_budget_fails_with_a_line_that_stands_on_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")  # pytest then shows the line whole
    result = project(TOO_SMALL).runpytest("--tinybudget")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.re_match_lines(
        [
            r"_+ kws on arduino-nano-33-ble _+",
            r"RAM over by [\d.]+ KB \([\d.]+ of 2\.0 KB\); flash ok \([\d.]+ KB of 1\.00 MB\)",
            r".*edit tinybudget\.toml:5",
            summary_line("FAILED", KWS_NANO, "RAM over by .*"),
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_what_cannot_be_measured_is_an_error_and_not_a_failure(project: Project) -> None:
    result = project(kws=b"not a model at all", vad=dense_model()).runpytest("--tinybudget")
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of kws on arduino-nano-33-ble*",
            "models/kws.tflite: *",
            summary_line("ERROR", KWS_NANO, "models/kws.tflite*"),
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert ".py:" not in result.stdout.str()


def test_a_model_is_analyzed_once_for_all_its_boards_of_one_runtime(project: Project) -> None:
    pytester = project(
        '[models.kws]\nsource = "models/kws.tflite"\n'
        'boards = ["arduino-nano-33-ble", "nucleo-l4r5zi", "nrf52840-dk"]\n'
        'runtime = "tflite-micro 90b983c2"\n'
    )
    pytester.makeconftest(
        """
        import atexit
        from pytest_tinybudget.footprint import measure
        from pytest_tinybudget.graph import tflite

        def counted(function, calls):
            def call(*arguments, **keywords):
                calls.append(1)
                return function(*arguments, **keywords)
            return call

        reads, measures = [], []
        tflite.load_model = counted(tflite.load_model, reads)
        measure.measure = counted(measure.measure, measures)

        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line(f"read {len(reads)}, measured {len(measures)}")
        """
    )
    result = pytester.runpytest_subprocess("--tinybudget")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["read 1, measured 1"])


def test_a_model_is_let_go_when_its_last_pair_has_run(project: Project) -> None:
    pytester = project()
    pytester.makeconftest(
        """
        import gc
        from pytest_tinybudget.graph.model import Model

        seen = []

        def pytest_runtest_teardown(item):
            seen.append(sum(isinstance(each, Model) for each in gc.get_objects()))

        def pytest_terminal_summary(terminalreporter):
            gc.collect()
            left = sum(isinstance(each, Model) for each in gc.get_objects())
            terminalreporter.write_line(f"at once {max(seen)}, left {left}")
        """
    )
    result = pytester.runpytest_subprocess("--tinybudget")
    result.stdout.fnmatch_lines(["at once 1, left 0"])


@pytest.mark.parametrize(("count", "kept"), [(3, 3), (40, 16)], ids=["few: all", "many: the last"])
def test_what_was_found_of_the_last_models_is_kept(project: Project, count: int, kept: int) -> None:
    names = [f"m{number}" for number in range(count)]
    lines = [f'[models.{name}]\nsource = "models/{name}.tflite"' for name in names]
    boards = '["arduino-nano-33-ble", "raspberry-pi-pico"]'
    declared = "\n".join([f"schema = 1\n[defaults]\nboards = {boards}", *lines])
    pytester = project(declared, **{name: dense_model() + name.encode() for name in names})
    pytester.makeconftest(
        """
        from pytest_tinybudget.pytest_plugin.process import gate_of

        def pytest_collection_modifyitems(items):
            items.sort(key=lambda item: item.name)  # all on one board, then all on the other

        def pytest_terminal_summary(terminalreporter, config):
            measured = gate_of(config).workspace._measured.values()
            terminalreporter.write_line(f"kept {sum(bool(each.kept) for each in measured)}")
        """
    )
    result = pytester.runpytest_subprocess("--tinybudget", "--tinybudget-no-cache")
    result.stdout.fnmatch_lines([f"kept {kept}"])


def test_a_wrong_declaration_is_a_collection_error_with_all_its_lines(project: Project) -> None:
    wrong = DECLARATION.replace("arduino-nano-33-ble", "arduino-nano-33-bel").replace(
        "[models.vad]", "[models.vad]\nbuget = { ram = 1 }"
    )
    result = project(wrong).runpytest("--tinybudget")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    for line in (5, 8, 10):
        assert f"tinybudget.toml:{line}" in text
    assert "did you mean" in text
    assert "arduino-nano-33-ble" in text
    assert "Traceback" not in text
    assert ".py:" not in text


def test_a_warning_passes_and_is_shown(project: Project) -> None:
    warns = DECLARATION.replace("schema = 1", 'schema = 1\n[defaults]\nwarn_at = "1%"')
    result = project(warns).runpytest("--tinybudget", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [f"{KWS_NANO} WARNS*", "*tinybudget*", "WARN *", "*above 1 % of its limit*"]
    )


def test_strict_fails_what_is_only_bounded(project: Project) -> None:
    pytester = project('[models.kws]\nsource = "models/kws.tflite"\nboards = ["esp32"]\n')
    pytester.runpytest("--tinybudget").assert_outcomes(passed=1)
    result = pytester.runpytest("--tinybudget", "--tinybudget-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["strict: not exact: * is estimated,*"])


# Runs


def test_only_what_failed_runs_again(project: Project) -> None:
    pytester = project(TOO_SMALL)
    pytester.runpytest("--tinybudget").assert_outcomes(passed=1, failed=2)
    pytester.runpytest("--tinybudget", "--lf").assert_outcomes(failed=2)


def test_failures_run_again_by_name_and_by_last_failed_in_a_folder_of_any_name(
    project: Project,
) -> None:
    pytester = project(TOO_SMALL)
    folder = pytester.mkdir("v1[a]")
    for name in ("tinybudget.toml", "models"):
        pytester.path.joinpath(name).rename(folder / name)
    pytester.runpytest("--tinybudget").assert_outcomes(passed=1, failed=2)
    pytester.runpytest("--tinybudget", "--lf").assert_outcomes(failed=2)


@pytest.mark.parametrize("name", ["a::b", rare("a[b]"), rare("a@b"), rare("a b")])
def test_no_name_of_a_pair_is_one_that_pytest_takes_apart(project: Project, name: str) -> None:
    pytester = project(TOO_SMALL.replace("[models.kws]", f'[models."{name}"]'))
    result = pytester.runpytest("--tinybudget", "--co")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "expected a name of letters, digits, '.', '_' and '-'" in result.stdout.str()


def test_the_run_stops_at_the_first_failure(project: Project) -> None:
    project(TOO_SMALL).runpytest("--tinybudget", "-x").assert_outcomes(failed=1)


@needs_xdist
@pytest.mark.parametrize("scheduling", ["load", rare("loadscope"), rare("loadfile")])
def test_results_of_xdist_workers_reach_the_reports(project: Project, scheduling: str) -> None:
    pytester = project(TOO_SMALL)
    result = pytester.runpytest_subprocess(
        *("--tinybudget", "-n", "2", "--dist", scheduling),
        *("--tinybudget-json", "out/results.json", "--junitxml", "junit.xml"),
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*= tinybudget =*", "*3 pairs: *"])
    parallel = json.loads(pytester.path.joinpath("out/results.json").read_text())
    assert [pair["id"] for pair in parallel["pairs"]] == [KWS_NANO, KWS_PICO, VAD_NANO]
    assert properties(pytester.path / "junit.xml")[KWS_NANO]["tinybudget.outcome"] == "over"


@needs_xdist
def test_the_results_file_is_the_same_with_and_without_xdist(project: Project) -> None:
    pytester = project(TOO_SMALL)
    for name, workers in (("one.json", "0"), ("two.json", "2")):
        pytester.runpytest_subprocess("--tinybudget", "-n", workers, "--tinybudget-json", name)
    one, two = (pytester.path.joinpath(name).read_bytes() for name in ("one.json", "two.json"))
    assert one == two
    assert str(pytester.path).encode() not in one


# Reports


def properties(path: Path) -> dict[str, dict[str, str]]:
    """JUnit properties by node id."""
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):
        file, model = case.attrib["classname"].rsplit(".", 1)
        found[f"{file}::{model}::{case.attrib['name']}"] = {
            each.attrib["name"]: each.attrib["value"] for each in case.iter("property")
        }
    return found


def test_junit_carries_the_sizes_of_each_pair(project: Project) -> None:
    pytester = project(TOO_SMALL)
    pytester.runpytest("--tinybudget", "--junitxml=junit.xml", "--tinybudget-json=results.json")
    pairs = json.loads(pytester.path.joinpath("results.json").read_text())["pairs"]
    kws = next(pair for pair in pairs if pair["id"] == KWS_NANO)
    found = properties(pytester.path / "junit.xml")[KWS_NANO]
    assert found["tinybudget.outcome"] == "over"
    assert int(found["tinybudget.ram_used"]) == kws["ram"]["used"] > 2048
    assert int(found["tinybudget.ram_free"]) == 2048 - kws["ram"]["used"]
    assert int(found["tinybudget.flash_used"]) == kws["flash"]["used"]
    assert int(found["tinybudget.arena_required"]) == kws["arena"]["required"]
    assert found["tinybudget.runtime"] == "arduino-tflm 2023-12"


#: A plugin that runs each item three times, as those do that run failed tests again.
RUNS_AGAIN = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for _ in range(2):
        item._initrequest() if hasattr(item, "_initrequest") else None
        runtestprotocol(item, nextitem=nextitem, log=False)
    item._initrequest() if hasattr(item, "_initrequest") else None
    runtestprotocol(item, nextitem=nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""


def test_properties_of_a_test_that_runs_again_do_not_pile_up(project: Project) -> None:
    pytester = project(TOO_SMALL)
    pytester.makeconftest(RUNS_AGAIN)
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def first(tinybudget):
            tinybudget.check("models/kws.tflite", board="raspberry-pi-pico")

        def test_two_checks(request, tinybudget, first):
            request.node.user_properties.append(("tinybudget.board", "the test's own"))
            tinybudget.check("models/kws.tflite", board="arduino-nano-33-ble")
        """
    )
    pytester.runpytest("--tinybudget", "--junitxml=junit.xml")
    boards: dict[str, list[str]] = {}
    for case in ElementTree.parse(pytester.path / "junit.xml").iter("testcase"):
        of_case = boards.setdefault(f"{case.attrib['classname']}::{case.attrib['name']}", [])
        for each in case.iter("property"):
            if each.attrib["name"] == "tinybudget.board":
                of_case.append(each.attrib["value"])
    own = boards.pop("test_properties_of_a_test_that_runs_again_do_not_pile_up::test_two_checks")
    assert sorted(set(own)) == ["arduino-nano-33-ble", "raspberry-pi-pico", "the test's own"]
    assert own.count("arduino-nano-33-ble") == own.count("raspberry-pi-pico") == 1
    assert own.count("the test's own") == 3, "what is another's stays as pytest leaves it"
    assert boards == {
        "tinybudget.toml.kws::arduino-nano-33-ble": ["arduino-nano-33-ble"],
        "tinybudget.toml.kws::raspberry-pi-pico": ["raspberry-pi-pico"],
        "tinybudget.toml.vad::arduino-nano-33-ble": ["arduino-nano-33-ble"],
    }


def test_reports_are_written_without_a_terminal(project: Project) -> None:
    pytester = project(TOO_SMALL)
    pytester.runpytest_subprocess(
        *("--tinybudget", "-p", "no:terminal"),
        *("--junitxml=junit.xml", "--tinybudget-json=results.json"),
    )
    failures = ElementTree.parse(pytester.path / "junit.xml").iter("failure")
    assert {str(each.text)[:12] for each in failures} == {"RAM over by "}
    assert pytester.path.joinpath("results.json").is_file()


@needs_xdist
def test_a_failure_under_xdist_has_the_whole_text(project: Project) -> None:
    result = project(TOO_SMALL).runpytest_subprocess("--tinybudget", "-n", "1", "-k", "pico")
    result.stdout.fnmatch_lines(
        ["RAM over by *", "RAM: * of 2.0 KB (declared budget)", "what would fix it:", "edit *:5"]
    )


def test_the_results_file_names_what_could_not_be_measured(project: Project) -> None:
    pytester = project(kws=b"no model", vad=dense_model())
    pytester.runpytest("--tinybudget", "--tinybudget-json=results.json")
    pairs = json.loads(pytester.path.joinpath("results.json").read_text())["pairs"]
    outcomes = {pair["id"]: pair["outcome"] for pair in pairs}
    assert outcomes == {KWS_NANO: "error", KWS_PICO: "error", VAD_NANO: "fits"}


def test_the_results_file_is_written_where_only_the_ini_value_says_so(project: Project) -> None:
    pytester = project()
    pytester.makeini("[pytest]\ntinybudget = true\ntinybudget_json = build/results.json")
    pytester.runpytest()
    assert pytester.path.joinpath("build/results.json").is_file()


def test_a_results_file_that_cannot_be_written_is_one_clear_line(project: Project) -> None:
    result = project().runpytest_subprocess("--tinybudget", "--tinybudget-json=models")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --tinybudget-json: *models is a folder"])


def test_collecting_only_writes_nothing(project: Project) -> None:
    pytester = project()
    pytester.runpytest("--tinybudget", "--co", "--tinybudget-json=results.json")
    assert not pytester.path.joinpath("results.json").exists()
    assert not pytester.path.joinpath("build").exists()


def test_the_table_has_every_pair_and_quiet_only_the_count(project: Project) -> None:
    pytester = project(TOO_SMALL)
    table = pytester.runpytest("--tinybudget").stdout.str()
    assert table.count("FAIL ") == 2
    assert table.count("PASS ") == 1
    quiet = pytester.runpytest("--tinybudget", "-q").stdout.str()
    assert "PASS " not in quiet
    assert "3 pairs: 2 over budget, 1 fit" in quiet


def test_verbose_shows_the_layers(project: Project) -> None:
    result = project().runpytest("--tinybudget", "-v")
    result.stdout.fnmatch_lines(["*layers of kws*", "*CONV_2D #0*"])


# Artifacts


def test_artifacts_are_written_beside_the_declaration(project: Project) -> None:
    pytester = project()
    pytester.runpytest("--tinybudget", "-k", "pico")
    written = {path.name for path in pytester.path.joinpath("build/tinybudget").iterdir()}
    assert {"kws_model_data.h", "kws_model_data.cc", "kws_model_settings.h"} <= written
    assert "vad_model_data.h" not in written


def test_artifacts_do_not_depend_on_which_boards_run(project: Project) -> None:
    pytester = project()
    settings = pytester.path / "build/tinybudget/kws_model_settings.h"
    contents = []
    for board in ("pico", "nano"):
        pytester.runpytest("--tinybudget", "-k", f"kws and {board}")
        contents.append(settings.read_bytes())
        settings.unlink()
    assert contents[0] == contents[1]


@pytest.mark.parametrize("source", ["option", "ini", "declaration"])
def test_the_folder_of_artifacts_can_be_chosen(project: Project, source: str) -> None:
    declared = '[defaults]\nartifacts = "there"\n' if source == "declaration" else ""
    pytester = project(DECLARATION.replace("schema = 1\n", f"schema = 1\n{declared}"))
    arguments = {
        "option": ["--tinybudget-artifacts=there"],
        "ini": ["-o", "tinybudget_artifacts=there"],
    }
    pytester.runpytest("--tinybudget", *arguments.get(source, []))
    assert pytester.path.joinpath("there/kws_model_data.h").is_file()
    assert not pytester.path.joinpath("build").exists()


def test_a_folder_that_cannot_be_written_is_an_error(project: Project) -> None:
    result = project().runpytest("--tinybudget", "--tinybudget-artifacts=tinybudget.toml")
    result.assert_outcomes(errors=3)
    assert "Traceback" not in result.stdout.str()


def test_declarations_must_not_overwrite_each_others_artifacts(project: Project) -> None:
    pytester = project()
    other = pytester.mkdir("other")
    (other / "tinybudget.toml").write_text(DECLARATION.replace("models/", "../models/"))
    pytester.runpytest("--tinybudget").assert_outcomes(passed=6)
    result = pytester.runpytest("--tinybudget", "--tinybudget-artifacts=there")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*the C files of kws would overwrite those of *::kws: *"])
    assert not pytester.path.joinpath("there").exists()


# At rest


#: What a project without a declaration imports of the package.
AT_REST = [
    "pytest_tinybudget.base",
    "pytest_tinybudget.base.imports",
    "pytest_tinybudget.hooks",
    "pytest_tinybudget.pytest_plugin",
    "pytest_tinybudget.pytest_plugin.plugin",
    "pytest_tinybudget.pytest_plugin.settings",
]


def test_at_rest_the_plugin_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    pytester.path.joinpath("tinybudget.toml").write_text("left alone")
    script = pytester.makepyfile(
        at_rest="""
        import sys

        import pytest

        pytest.main(["--co", "-q", "test_at_rest_the_plugin_imports_nothing_heavy.py"])
        heavy = {"numpy", "tensorflow", "flatbuffers", "msgspec", "tflite_micro", "elftools"}
        heavy.add("jinja2")
        print("heavy:", sorted(heavy & set(sys.modules)))
        print("ours:", sorted(name for name in sys.modules if name.startswith("pytest_tinybudget")))
        """
    )
    result = pytester.run(sys.executable, script)
    result.stdout.fnmatch_lines(
        [
            "heavy: []",
            f"ours: {['pytest_tinybudget', *AT_REST]}",
        ]
    )


def test_the_package_is_imported_past_the_rewriting_of_assertions(project: Project) -> None:
    pytester = project()
    script = pytester.makepyfile(
        loaders=f"""
        import sys

        import pytest

        pytest.main(["--tinybudget", "-q"])
        ours = [name for name in sys.modules if name.startswith("pytest_tinybudget.")]
        loaders = {{name: type(sys.modules[name].__spec__.loader).__name__ for name in ours}}
        for early in {AT_REST}:
            del loaders[early]
        print(len(loaders) > 50, sorted(set(loaders.values())))
        """
    )
    result = pytester.run(sys.executable, script)
    result.stdout.fnmatch_lines(["True ['_QuickLoader']"])


@pytest.mark.parametrize(
    ("beside", "spared"),
    [("", True), ("def test_of_python(): pass", False)],
    ids=["pairs only", "a test of Python's beside"],
)
def test_the_last_collections_are_spared_where_only_pairs_ran(
    project: Project, beside: str, spared: bool
) -> None:
    pytester = project()
    pytester.makepyfile(test_beside=beside)
    pytester.makeconftest(
        """
        import atexit
        import gc

        atexit.register(lambda: print("spared:", gc.get_freeze_count() > 0))
        """
    )
    result = pytester.runpytest_subprocess("--tinybudget")
    assert result.ret == pytest.ExitCode.OK
    assert result.outlines[-1] == f"spared: {spared}"


def test_a_program_that_runs_pytest_keeps_its_collections(project: Project) -> None:
    pytester = project()
    script = pytester.makepyfile(
        program="""
        import gc

        import pytest

        print("exit code:", int(pytest.main(["--tinybudget", "-q"])))
        print("frozen:", gc.get_freeze_count())
        """
    )
    result = pytester.run(sys.executable, script)
    result.stdout.fnmatch_lines(["exit code: 0", "frozen: 0"])


@pytest.mark.parametrize("line", ["pass", "sys.meta_path[:] = BEFORE"], ids=["left", "put back"])
def test_the_importer_leaves_with_the_run(project: Project, line: str) -> None:
    pytester = project()
    script = pytester.makepyfile(
        program=f"""
        import sys

        import pytest

        BEFORE = list(sys.meta_path)

        class Late:
            def pytest_sessionfinish(self):
                {line}

        print("exit code:", int(pytest.main(["--tinybudget", "-q"], plugins=[Late()])))
        print("same:", sys.meta_path == BEFORE)
        """
    )
    result = pytester.run(sys.executable, script)
    result.stdout.fnmatch_lines(["exit code: 0", "same: True"])


def test_the_plugin_looks_for_the_file_that_declarations_are_in() -> None:
    assert settings.FILE_NAME == declaration.FILE_NAME


def test_a_larger_model_takes_more(project: Project) -> None:
    pytester = project(kws=keyword_model(8), vad=keyword_model(32))
    pytester.runpytest("--tinybudget", "--tinybudget-json=results.json")
    pairs = json.loads(pytester.path.joinpath("results.json").read_text())["pairs"]
    ram = {pair["id"]: pair["ram"]["used"] for pair in pairs}
    assert ram[VAD_NANO] > ram[KWS_NANO]
