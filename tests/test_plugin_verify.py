"""``--tinybudget-verify``: each model once in TFLM's own interpreter."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import keyword_model
from modelmaker import ModelMaker

from pytest_tinybudget import cli
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.gate import cross_check
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model


Project = Callable[..., pytest.Pytester]

needs_interpreter = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None, reason="TFLM has no wheel here"
)

FITS = Verdict("fits", "flash ok; RAM ok", ())


def wake_word_models() -> list[Path]:
    """The models of ``pymicro-wakeword``: streaming, with resource variables."""
    found = importlib.util.find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        return []
    return sorted(Path(found.origin).parent.rglob("*.tflite"))[:2]


@needs_interpreter
def test_a_model_that_runs_passes(project: Project) -> None:
    project().runpytest("--tinybudget", "--tinybudget-verify").assert_outcomes(passed=3)


@needs_interpreter
@pytest.mark.parametrize("path", wake_word_models(), ids=lambda path: path.stem)
def test_streaming_models_agree_with_the_simulation(path: Path) -> None:
    run = cross_check.cross_check(load_model(path))
    assert run.failure == ""
    assert run.head == run.simulated_head > 0


def filtered() -> bytes:
    """A model of an operator that TFLM does not have."""
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.tensor((1, 8))
    graph.operator("AcmeFilter", (graph.input((1, 8)),), (hidden,), {}, custom_options=b"\0")
    graph.output(hidden)
    return maker.build()


@needs_interpreter
def test_an_operator_that_the_interpreter_cannot_resolve_fails(project: Project) -> None:
    pytester = project(
        '[models.kws]\nsource = "models/kws.tflite"\nboards = ["arduino-nano-33-ble"]\n'
        '[runtime.ops.AcmeFilter]\nflash = "1 KB"\n',
        kws=filtered(),
    )
    pytester.runpytest("--tinybudget").assert_outcomes(passed=1)
    result = pytester.runpytest("--tinybudget", "--tinybudget-verify")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the real interpreter refuses the model: *CUSTOM*"])


@needs_interpreter
def test_each_model_of_a_group_runs_and_a_failing_one_fails_the_group(project: Project) -> None:
    pytester = project(
        '[defaults]\nboards = ["arduino-nano-33-ble"]\n'
        '[models.kws]\nsource = "models/kws.tflite"\n[models.vad]\nsource = "models/vad.tflite"\n'
        '[models.acme]\nsource = "models/acme.tflite"\n[runtime.ops.AcmeFilter]\nflash = "1 KB"\n'
        '[groups.both]\nmodels = ["kws", "vad"]\n[groups.own]\nmodels = ["kws", "acme"]\n',
        kws=keyword_model(), vad=keyword_model(), acme=filtered(),
    )  # fmt: skip
    arguments = ["--tinybudget", "--tinybudget-verify", "--tinybudget-json=results.json"]
    result = pytester.runpytest(*arguments, "-k", "groups")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["acme: the real interpreter refuses the model: *CUSTOM*"])
    results = json.loads(pytester.path.joinpath("results.json").read_text(encoding="utf-8"))
    (both,) = [pair for pair in results["pairs"] if "groups.both" in pair["id"]]
    held = [note for note in both["notes"] if "verify: outputs of" in note]
    assert [note.partition(":")[0] for note in held] == ["kws", "vad"]
    assert sum("not compared with a float model" in note for note in both["notes"]) == 2


@needs_interpreter
def test_a_crash_or_a_hang_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = read_model(keyword_model(), "kws")
    monkeypatch.setattr(
        cross_check, "_CHILD", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    assert cross_check.cross_check(model).failure == "it crashed with signal 11"
    monkeypatch.setattr(cross_check, "_CHILD", "import time; time.sleep(60)")
    monkeypatch.setattr(cross_check, "TIME_LIMIT_SECONDS", 0.5)
    assert cross_check.cross_check(model).failure == "not done after 0.5 s"


def test_a_head_that_differs_from_the_simulated_one_fails() -> None:
    verdict = cross_check.RealRun(head=1024, simulated_head=1008).applied_to(FITS)
    assert verdict.outcome == "unmet"
    assert "1,024 B" in verdict.headline
    assert "1,008 B" in verdict.headline
    assert cross_check.RealRun(head=1008, simulated_head=1008).applied_to(FITS) is FITS


def test_a_pair_that_fails_already_keeps_its_reason() -> None:
    over = Verdict("over", "flash over by 1 B", ())
    assert cross_check.RealRun(failure="no registration").applied_to(over) is over


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TinybudgetError, match=r"pip install 'pytest-tinybudget\[verify\]'"):
        cross_check.cross_check(read_model(keyword_model(), "kws"))


def test_without_the_extra_a_run_says_so_once_and_not_for_each_pair(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    pytester = project()
    result = pytester.runpytest_inprocess("--tinybudget", "--tinybudget-verify")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["verify needs TFLM's interpreter: pip install *"])
    monkeypatch.chdir(pytester.path)
    assert cli.main(["check", "--verify"]) == cli.WRONG_INPUT
