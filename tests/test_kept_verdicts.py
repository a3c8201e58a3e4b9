"""Verdicts that are kept from run to run: taken only while all that decides them is the same."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import dense_model
from conftest import keyword_model

from pytest_tinybudget.cli import command_line_parser
from pytest_tinybudget.cli import main
from pytest_tinybudget.commands import earlier
from pytest_tinybudget.gate.kept_verdicts import KeptModel
from pytest_tinybudget.gate.kept_verdicts import is_plain
from pytest_tinybudget.gate.kept_verdicts import kept_model
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.pytest_plugin import kept


DECLARATION = """\
schema = 1
[models.kws]
source = "kws.tflite"
boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]
[models.vad]
source = "vad.tflite"
boards = ["arduino-nano-33-ble"]
"""
TIGHT = DECLARATION.replace('"vad.tflite"\n', '"vad.tflite"\nbudget = { ram = "1 KB" }\n')
KWS = ["kws::arduino-nano-33-ble", "kws::raspberry-pi-pico"]
VAD = ["vad::arduino-nano-33-ble"]


class Runs:
    """Runs of one project, and which pairs each of them judged."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self._judged: list[str] = []
        check = Gate.check

        def counted(gate: Gate, pair: object, *arguments: object, **keywords: object) -> object:
            self._judged.append(pair.id.partition("::")[2])  # type: ignore[attr-defined]
            return check(gate, pair, *arguments, **keywords)  # type: ignore[arg-type]

        monkeypatch.setattr(Gate, "check", counted)
        pytester.makefile(".ini", pytest="")
        self.write(DECLARATION)
        self.path("kws.tflite").write_bytes(keyword_model())
        self.path("vad.tflite").write_bytes(dense_model())

    def path(self, name: str) -> Path:
        return self.pytester.path / name

    def write(self, text: str, name: str = "tinybudget.toml") -> None:
        path = self.path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, *arguments: str) -> pytest.RunResult:
        self._judged.clear()
        return self.pytester.runpytest_inprocess("--tinybudget", *arguments)

    def judged(self, *arguments: str, **outcomes: int) -> list[str]:
        """The pairs that a run judges; of ``outcomes`` there must be so many."""
        self.run(*arguments).assert_outcomes(**(outcomes or {"passed": 3}))
        return list(self._judged)

    def judged_before_now(self) -> None:
        """Forget them."""
        self._judged.clear()

    def judged_since(self) -> list[str]:
        """The pairs that were judged since."""
        return list(self._judged)

    def shown(self, *arguments: str) -> list[str]:
        """What a run shows below the progress, times left out."""
        lines = self.run(*arguments).outlines
        start = next(number for number, line in enumerate(lines) if " tinybudget " in line)
        return [line for line in lines[start:] if not re.search(r" in \d+\.\d+s", line)]


@pytest.fixture
def runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "kept"))
    return Runs(pytester, monkeypatch)


def test_a_run_in_which_nothing_changed_shows_what_the_first_one_did(runs: Runs) -> None:
    first = runs.shown()
    assert any("kws" in line for line in first)
    assert runs.shown() == first
    assert not runs.judged()
    assert runs.judged("--tinybudget-no-cache") == [*KWS, *VAD]
    # Of fewer pairs another table is shown, made of what was kept.
    assert any("2 pairs: 2 fit" in line for line in runs.shown("-k", "kws"))


def test_a_changed_model_is_judged_anew_however_it_looks(runs: Runs) -> None:
    runs.run()
    path = runs.path("kws.tflite")
    before = path.stat()
    other = bytearray(path.read_bytes())
    position = other.rindex(b"\x01")  # of the same size, and as old as the other
    other[position] = 2
    path.write_bytes(other)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = runs.run()
    result.assert_outcomes(passed=3)
    assert runs._judged == KWS
    path.unlink()  # as in a first run, nothing of the declaration is collected
    assert not runs.judged(errors=1)


def test_a_changed_declaration_is_judged_anew(runs: Runs) -> None:
    runs.run()
    runs.write(TIGHT)
    assert runs.judged(passed=2, failed=1) == [*KWS, *VAD]
    # What failed is not kept, and what passed is.
    assert runs.judged(passed=2, failed=1) == VAD
    runs.write(DECLARATION)
    assert runs.judged() == [*KWS, *VAD]


def test_files_that_say_what_is_flashed_are_looked_at_in_each_run(runs: Runs) -> None:
    runs.run()
    runs.write("[env:nano]\nboard = nano33ble\n", "platformio.ini")
    assert runs.judged() == [*KWS, *VAD]
    assert not runs.judged()
    runs.write("[env:nano]\nboard = nano33ble_\n", "platformio.ini")
    assert runs.judged() == [*KWS, *VAD]
    runs.write("", ".gitmodules")  # which is read with git's index
    assert runs.judged() == runs.judged() == [*KWS, *VAD]


def test_other_code_of_the_package_judges_anew(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.run()
    monkeypatch.setattr(kept, "code_stamps", lambda _rooms: "other")
    assert runs.judged() == [*KWS, *VAD]


def test_how_the_run_is_asked_decides(runs: Runs) -> None:
    runs.run()
    assert len(runs.judged("--tinybudget-artifacts", "elsewhere")) == 3
    assert runs.path("elsewhere").is_dir()
    for shows_more in (["-v"], ["--tinybudget-json", "r.json"], ["--junitxml", "j.xml"]):
        assert len(runs.judged(*shows_more)) == 3
    assert len(json.loads(runs.path("r.json").read_bytes())["pairs"]) == 3
    runs.run("--tinybudget-strict")
    assert runs._judged == [*KWS, *VAD]


def test_a_changed_c_file_is_written_again(runs: Runs) -> None:
    runs.run()
    (array,) = runs.path("build/tinybudget").glob("vad_model_data.cc")
    content = array.read_bytes()
    array.write_bytes(content.replace(b"0x", b"1x", 1))
    assert runs.judged() == VAD
    assert array.read_bytes() == content
    array.unlink()
    assert runs.judged() == VAD
    assert array.read_bytes() == content


@pytest.mark.parametrize(
    "added",
    [
        'source = "*.tflite"\n',
        "strip = true\n",
        "max_increase = { percent = 2 }\n",
        'accept = [{ metric = "ram", up_to = "9 KB", reason = "x", until = "2027-01-31" }]\n',
        'deployed = "old.tflite"\n',
        "shrink = true\n",
    ],
)
def test_what_depends_on_more_than_text_and_model_is_never_kept(added: str) -> None:
    from pytest_tinybudget.declaration.toml import parse

    lines = [line for line in DECLARATION.splitlines(keepends=True) if line[:6] != added[:6]]
    assert is_plain(parse(DECLARATION))
    assert not is_plain(parse("".join([*lines, added])))


def test_a_plugin_that_measures_otherwise_is_asked(runs: Runs) -> None:
    runs.run()
    runs.pytester.makeconftest(
        "def pytest_tinybudget_estimator(model, runtime):\n    return None\n"
    )
    assert runs.judged() == [*KWS, *VAD]


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text[::-1]])
def test_a_damaged_file_of_verdicts_is_made_anew(
    runs: Runs, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    runs.run()
    (path,) = (tmp_path / "kept" / "verdicts").glob("*.verdicts")
    path.write_bytes(damage(path.read_bytes()))
    assert runs.judged() == [*KWS, *VAD]
    assert not runs.judged()


def test_pairs_that_were_left_out_keep_their_verdicts(runs: Runs) -> None:
    assert runs.judged("-k", "nano", passed=2) == [KWS[0], *VAD]
    assert runs.judged("-k", "pico", passed=1) == [KWS[1]]
    assert not runs.judged()


def test_c_files_that_another_declaration_takes_are_told_although_verdicts_are_kept(
    runs: Runs,
) -> None:
    made = ("--tinybudget-artifacts", "made")
    for name in ("a", "b"):
        runs.write(DECLARATION, f"{name}/tinybudget.toml")
        runs.path(f"{name}/kws.tflite").write_bytes(keyword_model())
        runs.path(f"{name}/vad.tflite").write_bytes(dense_model())
        runs.run(*made, name)
        assert not runs.judged(*made, name)
    result = runs.run(*made, "a", "b")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the C files of kws would overwrite those of *"])


def test_the_cache_command_counts_and_clears_verdicts(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.run()
    capsys.readouterr()
    main(["cache", "size"])
    assert "the verdicts of 1 declarations" in capsys.readouterr().out
    main(["cache", "clear"])
    assert "the verdicts of 1 declarations" in capsys.readouterr().out
    assert runs.judged() == [*KWS, *VAD]


class Checks:
    """Calls of ``tinybudget check`` for a model, what they print, and whether they judge."""

    def __init__(self, runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
        self._runs = runs
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, list[str]]:
        self._runs.judged_before_now()
        code = main(["check", "kws.tflite", "--board", "arduino-nano-33-ble", *arguments])
        return code, self._capsys.readouterr().out, self._runs.judged_since()


@pytest.fixture
def checks(runs: Runs, capsys: pytest.CaptureFixture[str]) -> Checks:
    return Checks(runs, capsys)


def test_a_check_of_a_model_in_which_nothing_changed_shows_what_the_first_one_did(
    checks: Checks,
) -> None:
    code, shown, judged = checks()
    assert (code, judged) == (0, ["kws::arduino-nano-33-ble"])
    assert "1 pair: 1 fit" in shown
    assert checks() == (0, shown, [])
    assert checks("--color", "always")[1:] != (shown, [])


def test_a_check_judges_a_model_anew_where_anything_that_decides_is_other(
    runs: Runs, checks: Checks
) -> None:
    checks()
    runs.path("kws.tflite").write_bytes(dense_model())
    assert checks()[2], "the model"
    assert not checks()[2]
    runs.write("[env:a]\nplatform = espressif32\nboard = esp32dev\n", "platformio.ini")
    assert checks()[2], "a file that says what is flashed"
    assert checks("--board", "raspberry-pi-pico")[2], "another board"
    assert checks("--stack", "3 KB")[2], "another setting"
    assert not checks("--stack", "3 KB")[2]
    assert not checks()[2], "each way of asking has verdicts of its own"


def test_a_check_of_a_model_elsewhere_judges_anew_where_the_files_here_name_another_runtime(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = (
        "dependencies:\n  espressif/esp-tflite-micro:\n    source:\n      type: service\n"
        "    version: {}\n"
    )
    runs.write(lock.format("1.3.3~1"), "firmware/dependencies.lock")
    monkeypatch.chdir(runs.path("firmware"))
    asked = ["check", "../kws.tflite", "--board", "esp32", "--runtime", "project"]
    for version, known in (("1.3.3~1", "1.3.3.1"), ("1.3.2", "1.3.2")):
        Path("dependencies.lock").write_text(lock.format(version))
        for judges in (True, False):
            runs.judged_before_now()
            main(asked)
            assert f"esp-tflite-micro {known} " in capsys.readouterr().out
            assert bool(runs.judged_since()) is judges


@pytest.mark.parametrize("option", ["--no-cache", "-v", "--json"])
def test_a_check_that_shows_or_does_more_judges_anew(checks: Checks, option: str) -> None:
    checks(option)
    assert checks(option)[2]


def test_a_check_that_fails_is_judged_in_each_run(checks: Checks) -> None:
    first = checks("--budget", "ram=1KB")
    assert first[0] == 1
    assert checks("--budget", "ram=1KB") == first


def test_a_check_in_a_step_of_github_is_judged_and_published(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert checks()[2]


def test_an_option_of_check_decides_by_its_words_or_keeps_nothing() -> None:
    options = vars(command_line_parser("check").parse_args(["check"]))
    other = {name: value for name, value in options.items() if name not in earlier.BY_WORDS}
    assert options.keys() >= earlier.BY_WORDS
    assert {name for name, value in other.items() if value} == {"run", "whole"}


def test_verdicts_of_a_model_on_many_boards_take_little_room() -> None:
    text = json.dumps({"id": "m::board", "parts": [{"name": "kernel", "bytes": 812}] * 40})
    verdicts = {f"board-{number}": ("fits", text) for number in range(40)}
    kept = KeptModel(kept_model("m", [(target, 1) for target in verdicts], verdicts=verdicts))
    assert kept.verdicts == verdicts
    assert len(json.dumps(kept.plain)) < 40 * len(text) / 10
