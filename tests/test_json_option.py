"""``--json`` means the same in every command: alone it prints, with ``=FILE`` it writes a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import keyword_model

from pytest_tinybudget.cli import command_line_parser
from pytest_tinybudget.cli import main
from pytest_tinybudget.commands.options import Json


Project = Callable[..., pytest.Pytester]

KWS = 'schema = 1\n[models.kws]\nsource = "models/kws.tflite"\nboards = ["raspberry-pi-pico"]\n'

#: Commands that need nothing but a model, with ``--json`` to be put last.
COMMANDS = [
    ["check"],
    ["inspect", "models/kws.tflite"],
    ["compare", "models/kws.tflite"],
    ["shrink", "models/kws.tflite", "-o", "small.tflite", "--overwrite"],
    ["energy", "models/kws.tflite", "--board", "raspberry-pi-pico"],
    ["boards", "pico"],
    ["runtime"],
    ["runtime", "show", "m4_cmsisnn"],
    ["doctor"],
]


@pytest.fixture
def folder(project: Project) -> Path:
    return project(KWS, kws=keyword_model()).path


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


def test_every_command_that_has_the_option_has_the_same() -> None:
    found = [
        (parser.prog, type(action))
        for parser in parsers(command_line_parser())
        for action in parser._actions
        if "--json" in action.option_strings
    ]
    assert len(found) > 12
    assert {kind for _, kind in found} == {Json}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_alone_it_prints_and_with_a_file_it_writes_the_same_besides_the_text(
    folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*command, "--json"])
    printed = capsys.readouterr().out
    assert main([*command, "--json=out/found.json"]) == code
    text = capsys.readouterr().out

    assert json.loads(folder.joinpath("out", "found.json").read_text("utf-8"))
    assert folder.joinpath("out", "found.json").read_text("utf-8") == printed
    assert text
    assert not text.startswith(("{", "["))


def test_what_follows_is_an_argument_of_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = folder.joinpath("models", "kws.tflite").read_bytes()

    assert main(["inspect", "--json", "models/kws.tflite"]) == 0

    captured = capsys.readouterr()
    assert json.loads(captured.out)
    assert captured.err == ""
    assert folder.joinpath("models", "kws.tflite").read_bytes() == before


def test_the_spelling_of_older_versions_works_with_a_note(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--json", "r.json"]) == 0

    assert "tinybudget check: --json r.json is now --json=r.json\n" in capsys.readouterr().err
    assert json.loads(folder.joinpath("r.json").read_text("utf-8"))["pairs"]


def test_merge_never_takes_one_of_its_files_for_the_one_to_write(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "-q", "--json=a.json"]) == 0
    folder.joinpath("b.json").write_bytes(folder.joinpath("a.json").read_bytes())
    capsys.readouterr()

    assert main(["merge", "--json", "a.json", "b.json"]) == 0
    printed = capsys.readouterr().out
    assert main(["merge", "--json", "all.json", "a.json", "b.json"]) == 0

    assert "--json all.json is now --json=all.json" in capsys.readouterr().err
    assert json.loads(printed)["pairs"]
    assert folder.joinpath("all.json").read_text("utf-8") == printed
    assert folder.joinpath("a.json").read_bytes() == folder.joinpath("b.json").read_bytes()


def test_diff_prints_one_thing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-q", "--json=a.json"]) == 0
    capsys.readouterr()

    assert main(["diff", "--base", "HEAD", "--json", "--format", "csv"]) == 2

    assert "--json and --format both print" in capsys.readouterr().err
