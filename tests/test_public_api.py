"""The public face: ``import pytest_tinybudget`` and the ``tinybudget`` fixture."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import keyword_model
from msgspec.structs import replace

from pytest_tinybudget import TinybudgetError
from pytest_tinybudget import api
from pytest_tinybudget import check
from pytest_tinybudget import measure
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.commands.check import add_commands
from pytest_tinybudget.declaration.schema.document import ModelTable
from pytest_tinybudget.declaration.settings import DEFAULTS
from pytest_tinybudget.pytest_plugin.fixture import Tinybudget


Project = Callable[..., pytest.Pytester]


@pytest.fixture
def kws(tmp_path: Path) -> Path:
    path = tmp_path / "kws.tflite"
    path.write_bytes(keyword_model())
    return path


# import pytest_tinybudget


#: All that other code may import. A name that goes, or changes its meaning, is a breaking change.
SURFACE = {
    "pytest_tinybudget": "Board Footprint PairResult TinybudgetError check fit measure shrink",
    "pytest_tinybudget.api": (
        "Arena ArenaPlace Arenas Board Candidate Data Decides DeclarationError Figure FilePart "
        "Fit Footprint Layer Limits Measure ModelError OnBoard OperatorCosts PairResult Part "
        "Proof ProofRun Shapes ShrinkReport Shrunk Source TinybudgetError check find_board fit "
        "measure shrink"
    ),
    "pytest_tinybudget.hooks": (
        "Arena Block Board Change Comparison Footprint Layer Measure Model Operator PairResult "
        "Part Provenance Region Runtime Tensor TinybudgetError find_board "
        "pytest_tinybudget_boards pytest_tinybudget_estimator pytest_tinybudget_report"
    ),
}

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", SURFACE)
def test_the_public_names_are_these(module: str) -> None:
    imported = import_module(module)
    assert imported.__all__ == SURFACE[module].split()
    for name in imported.__all__:
        member = getattr(imported, name)
        assert member is getattr(api, name, member), "one name is one thing"


@pytest.mark.parametrize("module", SURFACE)
def test_what_a_public_module_defines_is_public_or_says_that_it_is_not(module: str) -> None:
    imported = import_module(module)
    defined = {
        name
        for name, each in vars(imported).items()
        if getattr(each, "__module__", None) == module and not name.startswith("_")
    }
    assert defined <= set(imported.__all__)


@pytest.mark.parametrize("module", SURFACE)
def test_an_unknown_name_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        import_module(module).chekc  # noqa: B018


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "examples").rglob("*.py"),
        ROOT / "README.md",
    ],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_docs_and_examples_import_public_names_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for module, names in re.findall(
        r"^\s*from (pytest_tinybudget[\w.]*) import ([\w, ]+)", text, re.MULTILINE
    ):
        assert set(names.split(", ")) <= set(SURFACE[module].split())
    for name in re.findall(r"auto\w+:: (pytest_tinybudget\S+)", text):
        module, _, member = name.rpartition(".")
        assert member in SURFACE[module].split()


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys; before = set(sys.modules); import pytest_tinybudget; "
        "print({'numpy', 'msgspec', 'pytest', 'dataclasses'} & (set(sys.modules) - before))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert shown.stdout.strip() == b"set()"


def test_check_gives_the_result_of_a_pair(kws: Path) -> None:
    result = check(kws, board="arduino-nano-33-ble", budget={"flash": "1 MB", "ram": 1024})
    assert (result.model, result.board, result.outcome) == ("kws", "arduino-nano-33-ble", "over")
    assert result.failed
    assert result.headline.startswith("RAM over by ")
    assert result.reasons
    assert check(kws, board="arduino-nano-33-ble").outcome == "fits"


def test_check_agrees_with_the_gate(kws: Path, project: Project) -> None:
    pytester = project()
    pytester.runpytest("--tinybudget", "--tinybudget-json=results.json")
    pairs = json.loads(pytester.path.joinpath("results.json").read_text())["pairs"]
    gated = next(pair for pair in pairs if pair["id"].endswith("kws::arduino-nano-33-ble"))
    flash, ram = check(kws, board="arduino-nano-33-ble").measures
    assert (flash.used, ram.used) == (gated["flash"]["used"], gated["ram"]["used"])


def test_a_board_object_serves_as_well_as_an_id(kws: Path) -> None:
    tight = replace(find_board("arduino-nano-33-ble"), id="tight", reserved_flash=2**30)
    assert check(kws, board=tight).headline.startswith("flash over by ")


def test_measure_gives_parts_that_add_up(kws: Path) -> None:
    footprint = measure(kws, board="arduino-nano-33-ble")
    assert footprint.runtime == "arduino-tflm 2023-12"
    assert footprint.arena is not None
    assert sum(part.bytes for part in footprint.ram_parts if part.name.startswith("arena")) == (
        footprint.arena.required
    )
    assert footprint.flash == sum(part.bytes + part.margin_bytes for part in footprint.flash_parts)


def test_typed_registrations_take_less_flash(kws: Path) -> None:
    typed = measure(kws, board="arduino-nano-33-ble", registrations="typed")
    assert typed.flash < measure(kws, board="arduino-nano-33-ble").flash


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"board": "arduino-nano-33-bel"}, "arduino-nano-33-ble"),
        ({"board": "esp32", "budget": {"falsh": 1}}, "unknown budget 'falsh'.*'flash'"),
        ({"board": "esp32", "budget": {"ram": "3 apples"}}, "budget for ram: expected a size"),
        ({"board": "esp32", "budget": {"ram": -1}}, "budget for ram: .*negative"),
    ],
    ids=["board", "metric", "size", "negative"],
)
def test_wrong_arguments_are_told_in_one_line(
    kws: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(TinybudgetError, match=message):
        check(kws, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 100, b"plain text"])
def test_a_file_that_is_no_model_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(TinybudgetError, match=r"broken\.tflite"):
        check(path, board="esp32")
    with pytest.raises(TinybudgetError, match=r"missing\.tflite"):
        measure(tmp_path / "missing.tflite", board="esp32")


# The fixture


def test_the_fixture_passes_and_gives_the_result(project: Project) -> None:
    pytester = project()
    pytester.makepyfile(
        """
        def test_size(tinybudget):
            result = tinybudget.check("models/kws.tflite", board="arduino-nano-33-ble")
            assert result.outcome == "fits"
            footprint = tinybudget.measure("models/kws.tflite", board="arduino-nano-33-ble")
            assert footprint.ram == result.measures[1].used
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_the_fixture_fails_the_test_with_the_gates_text(project: Project) -> None:
    pytester = project()
    pytester.makepyfile(
        """
        def test_size(tinybudget):
            budget = {"ram": "2 KB"}
            tinybudget.check("models/kws.tflite", board="arduino-nano-33-ble", budget=budget)
            raise AssertionError("not reached")
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["RAM over by *", "RAM: * of 2.0 KB*", "*what would fix it:"])
    assert "not reached" not in result.stdout.str()
    assert "Traceback" not in result.stdout.str()


def test_results_of_the_fixture_are_in_every_report(project: Project) -> None:
    pytester = project()
    pytester.makepyfile(
        test_size="""
        import pytest

        @pytest.mark.parametrize("board", ["esp32", "arduino-nano-33-ble"])
        def test_size(tinybudget, board):
            tinybudget.check("models/kws.tflite", board=board)
        """
    )
    result = pytester.runpytest("--tinybudget-json=results.json")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*2 pairs: *"])
    pairs = json.loads(pytester.path.joinpath("results.json").read_text())["pairs"]
    assert [pair["id"] for pair in pairs] == [
        "test_size.py::test_size[arduino-nano-33-ble]::kws::arduino-nano-33-ble",
        "test_size.py::test_size[esp32]::kws::esp32",
    ]
    assert {pair["model"]["source"] for pair in pairs} == {"models/kws.tflite"}


def test_the_fixture_knows_the_boards_of_plugins(project: Project) -> None:
    pytester = project()
    pytester.makeconftest(
        """
        from msgspec.structs import replace
        from pytest_tinybudget.boards import find_board

        def pytest_tinybudget_boards(config):
            return [replace(find_board("esp32"), id="acme-doorbell")]
        """
    )
    pytester.makepyfile(
        "def test_size(tinybudget): tinybudget.check('models/kws.tflite', board='acme-doorbell')"
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_wrong_argument_of_the_fixture_points_at_the_test(project: Project) -> None:
    pytester = project()
    pytester.makepyfile(
        "def test_size(tinybudget): tinybudget.check('models/none.tflite', board='esp32')"
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *ModelError: *none.tflite: no such file"])
    assert "gate.py" not in result.stdout.str()


# One definition of a model's settings


def keys_of(function: Callable[..., object]) -> list[str]:
    """The names of its settings: what a declaration may say."""
    names = inspect.signature(function).parameters
    about_the_model = ("self", "model", "board", "example_inputs", "input_shape")
    return [name for name in names if name not in about_the_model]


def check_options() -> set[str]:
    """The names of the options of ``tinybudget check``, as the settings have them."""
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    arguments = parser.parse_args(["check"])
    other = {"op": "operators", "input_shape": "input_shapes"}
    return {other.get(name, name) for name in vars(arguments)}


def test_the_three_checks_offer_the_same_settings() -> None:
    assert keys_of(check) == keys_of(Tinybudget.check) == list(DEFAULTS)
    assert set(DEFAULTS) <= check_options()


def test_what_is_measured_depends_on_the_settings_that_measure_offers() -> None:
    assert keys_of(measure) == keys_of(Tinybudget.measure)
    assert set(keys_of(check)) - set(keys_of(measure)) == {"budget", "require_int8", "strict"}


def test_every_setting_is_a_key_of_a_declared_model_or_of_its_firmware() -> None:
    keys = {each.encode_name for each in msgspec.structs.fields(ModelTable)}
    assert set(DEFAULTS) - keys == {"operators"}  # [runtime.ops.NAME]


@pytest.mark.parametrize("function", [check, measure])
def test_an_unknown_setting_is_a_type_error(kws: Path, function: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'plcement'"):
        function(kws, board="esp32", plcement="heap")


#: A setting in Python, and the same for the command line.
SETTINGS: list[tuple[dict[str, Any], list[str]]] = [
    ({"stack": "3 KB"}, ["--stack", "3KB"]),
    ({"runtime": "m4_ref"}, ["--runtime", "m4_ref"]),
    ({"registrations": "typed"}, ["--registrations", "typed"]),
    ({"placement": "heap"}, ["--placement", "heap"]),
    ({"placement_model": "ram"}, ["--placement-model", "ram"]),
    ({"budget": {"ram": "1 KB"}}, ["--budget", "ram=1KB"]),
    ({"strip": True}, ["--strip"]),
    ({"shrink": True}, ["--shrink"]),
]


@pytest.mark.parametrize(("keys", "options"), SETTINGS, ids=lambda each: "-".join(each))
def test_python_and_the_command_come_to_the_same(
    kws: Path, tmp_path: Path, keys: dict[str, Any], options: list[str]
) -> None:
    board, results = "arduino-nano-33-ble", tmp_path / "results.json"
    result = check(kws, board=board, **keys)
    main(["check", str(kws), "--board", board, *options, "--json", str(results), "--quiet"])
    (pair,) = json.loads(results.read_text())["pairs"]
    assert pair["outcome"] == result.outcome
    assert pair["runtime"] == result.runtime
    for measured in result.measures:
        assert pair[measured.metric]["used"] == measured.used
        assert pair[measured.metric]["limit"] == measured.limit
    plain = check(kws, board=board)
    assert (plain.measures, plain.notes, plain.placed) != (
        result.measures,
        result.notes,
        result.placed,
    )


def test_settings_of_a_named_model_are_an_error_for_a_declaration(
    kws: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kws.parent)
    Path("tinybudget.toml").write_text(
        '[models.kws]\nsource = "kws.tflite"\nboards = ["esp32"]\n', encoding="utf-8"
    )
    assert main(["check", "--stack", "3KB"]) == 2
    assert "--stack is for a model that is named itself" in capsys.readouterr().err
