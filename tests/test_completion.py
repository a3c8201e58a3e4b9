"""Help in groups, the nearest word for a wrong one, and completion as shells do it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_tinybudget import cli


def run_shell(shell: str, script: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-c", script], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def script(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    """The file that the shell of the test reads."""
    pytest.importorskip("shtab")
    assert cli.main(["completion", request.param]) == 0
    path = tmp_path / f"completion.{request.param}"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("tinybudget che", {"check"}),
        ("tinybudget check --board nucleo-l43", {"nucleo-l432kc"}),
        ("tinybudget check --col", {"--color"}),
        ("tinybudget check --color al", {"always"}),
        ("tinybudget fleet reg", {"register"}),
    ],
)
def test_bash_completes_commands_options_and_boards(
    words: str, expected: set[str], script: Path
) -> None:
    parts = words.split()
    found = run_shell(
        "bash",
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD={len(parts) - 1}; "
        "COMP_TYPE=63; _shtab_tinybudget; printf '%s\\n' \"${COMPREPLY[@]}\"",
    )
    assert set(found.split()) == expected


@pytest.mark.parametrize("script", ["fish"], indirect=True)
def test_fish_completes_commands_and_boards(script: Path) -> None:
    found = run_shell("fish", f"source {script}; complete -C 'tinybudget check --board nucleo-l43'")
    assert found.split("\t")[0].split() == ["nucleo-l432kc"]


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_reads_its_script(script: Path) -> None:
    assert script.read_text("utf-8").startswith("#compdef tinybudget")
    run_shell("zsh", f"autoload -U compinit; compinit -D -u; source {script}")


def test_no_command_prints_the_help_with_every_command_in_a_group(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert capsys.readouterr().out == printed
    parser = cli.command_line_parser()
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    for name in commands.choices:
        assert f"\n  {name} " in printed, name


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["chek"], "'check'"),
        (["inspekt", "x.tflite"], "'inspect'"),
        (["check", "--color", "alwys"], "'always'"),
        (["check", "--registrations", "typd"], "'typed'"),
    ],
)
def test_a_wrong_word_is_one_line_with_the_nearest(
    arguments: list[str], nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        cli.main(arguments)
    assert exited.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"did you mean {nearest}" in line
    assert "[TB100]" in line


def test_older_words_for_color_work_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = cli.command_line_parser().parse_args(["check", "--color", "yes"])
    assert arguments.color == "always"
    assert capsys.readouterr().err == "tinybudget: --color yes is now --color always\n"
