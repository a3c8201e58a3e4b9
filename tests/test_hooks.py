"""The hooks for other plugins, through the examples of ``docs/hooks.md``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DECLARATION
from conftest import keyword_model
from conftest import needs_xdist


Project = Callable[..., pytest.Pytester]

DOCUMENT = Path(__file__).parents[1] / "docs" / "hooks.md"


def example(hook: str) -> dict[str, str]:
    """The code blocks of a hook's section by language: python, toml, text."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"## `{hook}(")[1].split("\n## ")[0]
    return dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))


@pytest.mark.parametrize(
    "hook",
    ["pytest_tinybudget_boards", "pytest_tinybudget_estimator", "pytest_tinybudget_report"],
)
def test_documented_example_does_what_its_text_says(project: Project, hook: str) -> None:
    blocks = example(hook)
    pytester = project(blocks["toml"], kws=keyword_model())
    pytester.makeconftest(blocks["python"])
    result = pytester.runpytest("--tinybudget", "-v")
    result.stdout.fnmatch_lines([f"{line}*" for line in blocks["text"].splitlines()])


@needs_xdist
def test_hooks_are_called_under_xdist_too(project: Project) -> None:
    boards, report = (example(f"pytest_tinybudget_{name}") for name in ("boards", "report"))
    pytester = project(boards["toml"], kws=keyword_model())
    pytester.makeconftest(boards["python"] + report["python"])
    result = pytester.runpytest_subprocess("--tinybudget", "-n", "2")
    result.assert_outcomes(passed=1)
    assert result.outlines.count("ram.csv: 1 pairs") == 1


def test_the_documented_report_has_every_pair(project: Project) -> None:
    blocks = example("pytest_tinybudget_report")
    pytester = project(blocks["toml"], kws=keyword_model())
    pytester.makeconftest(blocks["python"])
    pytester.runpytest("--tinybudget")
    rows = pytester.path.joinpath("ram.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [
        "tinybudget.toml::kws::arduino-nano-33-ble",
        "tinybudget.toml::kws::raspberry-pi-pico",
    ]
    assert all(0 < int(row.split(",")[1]) < int(row.split(",")[2]) for row in rows)


def test_a_board_that_exists_already_is_an_error(project: Project) -> None:
    pytester = project()
    pytester.makeconftest(
        """
        from pytest_tinybudget.boards import find_board

        def pytest_tinybudget_boards(config):
            return [find_board("esp32")]
        """
    )
    result = pytester.runpytest("--tinybudget")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    told = "pytest_tinybudget_boards: there is a board esp32 already [[]TB100]"
    result.stdout.fnmatch_lines([told])
    assert "Traceback" not in result.stdout.str()


def test_a_board_of_a_plugin_has_a_name_that_pytest_leaves_whole(project: Project) -> None:
    pytester = project()
    pytester.makeconftest(
        """
        from msgspec.structs import replace

        from pytest_tinybudget.boards import find_board

        def pytest_tinybudget_boards(config):
            return [replace(find_board("esp32"), id="acme::one[1]")]
        """
    )
    result = pytester.runpytest("--tinybudget")
    told = "expected an id of letters, digits, '.', '_' and '-', found 'acme::one[1]'"
    assert told in result.stdout.str() + result.stderr.str()


def test_an_estimator_that_passes_leaves_the_model_to_the_built_in_one(project: Project) -> None:
    pytester = project()
    pytester.runpytest("--tinybudget", "--tinybudget-json=alone.json")
    pytester.makeconftest("def pytest_tinybudget_estimator(model, runtime, config): return None")
    pytester.runpytest("--tinybudget", "--tinybudget-json=beside.json")
    alone, beside = (pytester.path.joinpath(f"{name}.json") for name in ("alone", "beside"))
    assert alone.read_bytes() == beside.read_bytes()


def test_an_estimator_is_asked_once_for_each_model_and_runtime(project: Project) -> None:
    declared = DECLARATION.replace("[models.vad]", '[models.vad]\nbudget = { flash = "1 KB" }')
    pytester = project(declared)
    pytester.makeconftest(
        """
        asked = []

        def pytest_tinybudget_estimator(model, runtime):
            asked.append((model.sha256, runtime))

        def pytest_terminal_summary(terminalreporter):
            own = asked.count(asked[0])
            terminalreporter.write_line(f"asked {own}, twice {len(asked) - len(set(asked))}")
        """
    )
    result = pytester.runpytest("--tinybudget", "-k", "vad")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["asked 1, twice 0"])


def test_what_an_estimator_cannot_measure_is_an_error_with_its_line(project: Project) -> None:
    pytester = project()
    pytester.makeconftest(
        """
        from pytest_tinybudget import TinybudgetError

        def pytest_tinybudget_estimator(model, runtime, config):
            if model.name == "vad":
                raise TinybudgetError("vad: the accelerator has no LSTM")
        """
    )
    result = pytester.runpytest("--tinybudget")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["vad: the accelerator has no LSTM"])
    assert "Traceback" not in result.stdout.str()


def test_a_report_of_a_folder_that_is_collected_late_gets_whole_results(project: Project) -> None:
    pytester = project()
    late = pytester.mkdir("zz")
    late.joinpath("test_late.py").write_text("def test_other(): pass\n", encoding="utf-8")
    late.joinpath("conftest.py").write_text(
        "def pytest_tinybudget_report(results):\n"
        "    yield f'whole: {sum(result.footprint is not None for result in results)}'\n",
        encoding="utf-8",
    )
    result = pytester.runpytest("--tinybudget")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["whole: 3"])


def test_the_report_hook_is_not_called_without_pairs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_tinybudget_report(results, config): return ['my own report']")
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest("-o", "tinybudget=true")
    result.assert_outcomes(passed=1)
    assert "my own report" not in result.stdout.str()
