"""A failure is short by default wherever it is printed, and whole with -v and in files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from campaigns import rare
from modelmaker import ModelMaker

from pytest_tinybudget.cli import main
from pytest_tinybudget.report import page_details


DECLARED = """\
[models.rnn]
source = "models/rnn.tflite"
boards = ["arduino-nano-33-ble"]
budget = { flash = "20 KB", ram = "4 KB" }
message = "see docs/size.md"
"""

#: pytest puts what a test is called above its text.
_TITLE = re.compile(r"^_{3,} .* _{3,}$")


def unrolled(steps: int = 150) -> bytes:
    """A network that was unrolled: each step's output lives until the last one is there."""
    maker = ModelMaker()
    graph = maker.graph()
    state = graph.input((1, 16), name="sequence")
    states = []
    for step in range(steps):
        state = graph.tanh(state)
        cell = "bidirectional/forward_lstm/lstm_cell"
        name = f"model/{cell}/MatMul_{step};model/{cell}/BiasAdd_{step};{cell}/step_{step}"
        graph.tensors[state].name = name
        states.append(state)
    total = states.pop()
    for each in states:
        total = graph.add(total, each)
    graph.output(total)
    return maker.build()


def texts(output: str) -> list[str]:
    """The failure's lines, of what pytest printed."""
    lines = output.split("\n")
    start = next(index for index, line in enumerate(lines) if _TITLE.match(line)) + 1
    end = next(index for index, line in enumerate(lines[start:], start) if line.startswith("==="))
    return lines[start:end]


def runs(
    project: Callable[..., pytest.Pytester], *arguments: str, columns: int = 80
) -> tuple[list[str], pytest.Pytester]:
    made = project(DECLARED, rnn=unrolled())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        result = made.runpytest_subprocess("--tinybudget", *arguments)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    printed = result.stdout.str()
    failure = printed[printed.index("FAILURES") :]
    return texts(failure), made


@pytest.mark.parametrize("columns", [40, rare(80), rare(120), 200])
def test_pytest_prints_at_most_40_lines_of_a_failure(
    project: Callable[..., pytest.Pytester], columns: int
) -> None:
    lines, _ = runs(project, columns=columns)
    assert 20 < len(lines) <= 41  # with the empty line before pytest goes on
    assert lines[0].startswith("flash over by ")
    assert any(line.startswith("edit tinybudget.toml:4") for line in lines)
    assert "-v shows all of it" in " ".join(lines)


def test_pytest_v_prints_all_of_it(project: Callable[..., pytest.Pytester]) -> None:
    lines, _ = runs(project, "-v")
    assert len(lines) > 170
    assert not any("shortened" in line for line in lines)
    assert sum("step_" in line for line in lines) >= 150


def test_files_have_what_the_terminal_leaves_out(
    project: Callable[..., pytest.Pytester],
) -> None:
    arguments = ("--tinybudget-json", "r.json", "--tinybudget-html", "r.html")
    _, made = runs(project, *arguments)
    (pair,) = json.loads(made.path.joinpath("r.json").read_text())["pairs"]
    assert len(pair["arena"]["buffers"]) > 150
    assert pair["arena"]["persistent"]
    page = made.path.joinpath("r.html").read_text("utf-8")
    (packed,) = re.findall(r'x-tinybudget">([^<]+)<', page)
    assert any("step_149" in name for name in page_details.unpacked(packed)["names"])


def test_the_command_prints_as_much(
    project: Callable[..., pytest.Pytester], capsys: pytest.CaptureFixture[str]
) -> None:
    project(DECLARED, rnn=unrolled())
    assert main(["check"]) == 1
    short = capsys.readouterr().out
    report = short[: short.index("model, board")].rstrip().split("\n")
    assert report[0] == "FAIL rnn on arduino-nano-33-ble"
    assert 20 < len(report) <= 40
    assert main(["check", "-v", "--junit", "junit.xml"]) == 1
    assert capsys.readouterr().out.count("step_") >= 150


def test_an_unrolled_network_is_told_what_its_names_take(
    project: Callable[..., pytest.Pytester], capsys: pytest.CaptureFixture[str]
) -> None:
    made = project(DECLARED, rnn=unrolled(200))
    assert main(["check", "--json", "r.json"]) == 1
    capsys.readouterr()
    (pair,) = json.loads(made.path.joinpath("r.json").read_text())["pairs"]
    line = next(each for each in pair["reasons"] if each.startswith("strip = true: "))
    before, after = re.findall(r"goes from ([0-9.]+) KB to ([0-9.]+) KB", line)[0]
    made.path.joinpath("tinybudget.toml").write_text(DECLARED + "strip = true\n")
    assert main(["check", "--json", "r.json"]) == 1
    capsys.readouterr()
    (pair,) = json.loads(made.path.joinpath("r.json").read_text())["pairs"]
    assert after == f"{pair['model']['bytes'] / 1024:.1f}"
    assert float(after) < 0.6 * float(before)
