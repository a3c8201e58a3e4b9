"""Report formats: one registry for commands, pytest and docs, and those that packages add."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from conftest import DECLARATION
from conftest import keyword_model
from report_changes import changed
from report_samples import over
from report_samples import pair

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.cli import command_line_parser
from pytest_tinybudget.cli import main
from pytest_tinybudget.report import formats
from pytest_tinybudget.results import writer


Project = Callable[..., pytest.Pytester]

ONE_MODEL = DECLARATION.partition("\n[models.vad]")[0]

DOCS = Path(__file__).parents[1] / "docs"


def documented() -> dict[str, str]:
    """The code blocks of the example in the docs by language."""
    section = (DOCS / "hooks.md").read_text("utf-8").split("## Report formats")[1]
    return dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))


def install(folder: Path, module: str, *formats: str, package: str = "acme-report") -> None:
    """What pip leaves of a package with these entry points: a module and its metadata."""
    name = package.replace("-", "_")
    folder.joinpath(f"{name}.py").write_text(module, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "\n".join(formats)
    info.joinpath("entry_points.txt").write_text(f"[{formats_group()}]\n{lines}\n")


def formats_group() -> str:
    (group,) = re.findall(r'entry-points\."(.*)"', documented()["toml"])
    return str(group)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that Python finds."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "acme_report", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> str:
    path = tmp_path / "results.json"
    boards = ("arduino-nano-33-ble", "raspberry-pi-pico")
    path.write_text(writer.render([pair("kws", board=board) for board in boards]))
    return str(path)


@pytest.mark.parametrize("each", formats.FORMATS, ids=lambda each: each.name)
def test_a_format_takes_what_its_entry_says(each: formats.Format) -> None:
    render = import_module(f"pytest_tinybudget.report.{each.module}").render
    assert inspect.getdoc(render)
    named = inspect.signature(render).parameters.keys()
    needs = ("comparison", "provenance", "origin", "history", "place")
    assert tuple(need for need in needs if need in named) == each.needs


@pytest.mark.parametrize("each", formats.FORMATS, ids=lambda each: each.name)
def test_every_format_is_written_with_and_without_a_baseline(each: formats.Format) -> None:
    head, comparison = changed()
    texts = [formats.render(each.name, head, found) for found in (None, comparison)]
    assert all(texts)
    assert (texts[0] != texts[1]) == ("comparison" in each.needs)


def test_help_and_docs_name_every_format_of_the_registry() -> None:
    names = {each.name for each in formats.FORMATS}
    table = (DOCS / "gitlab.md").read_text("utf-8").split("## Formats")[1]
    assert set(re.findall(r"^\| `([a-z][a-z-]+)` \|", table, re.MULTILINE)) == names
    for command in ("report", "diff"):
        told = next(
            action.choices[command].format_help()  # type: ignore[index]
            for action in command_line_parser()._actions
            if action.choices and command in action.choices
        )
        assert [name for name in sorted(names) if name not in told] == []


def test_the_documented_package_adds_a_format(
    site: Path, results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = documented()
    (line,) = re.findall(r"^acme = \"(.*)\"", blocks["toml"], re.MULTILINE)
    install(site, blocks["python"], f"acme = {line}")
    assert main(["report", results, "--format", "acme"]) == 0
    assert capsys.readouterr().out == blocks["text"]
    assert main(["report", results, "--format", "acme", "--baseline", results]) == 0
    assert capsys.readouterr().out.startswith("2 pairs compared with ")
    assert main(["diff", results, results, "--format", "acme", "-o", "diff.txt"]) == 0
    assert capsys.readouterr().out == ""
    assert "2 pairs compared with " in Path("diff.txt").read_text()


def test_check_and_merge_write_any_format(
    site: Path, results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, documented()["python"], "acme = acme_report:render")
    code = main(["merge", results, "--report", "acme=a.txt", "--report", "csv=-", "-q"])
    assert code == 0
    assert Path("a.txt").read_text() == documented()["text"]
    assert capsys.readouterr().out.startswith("id,model,board,")
    Path("kws.tflite").write_bytes(keyword_model())
    Path("tinybudget.toml").write_text(
        'schema = 1\n[models.kws]\nsource = "kws.tflite"\nboards = ["raspberry-pi-pico"]\n'
    )
    assert main(["check", "--report", "acme=b.txt"]) == 0
    assert Path("b.txt").read_text() == "1 pairs\nok kws on raspberry-pi-pico\n"


def test_pytest_writes_any_format_by_option_and_by_ini(
    project: Project, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, documented()["python"], "acme = acme_report:render")
    pytester = project(ONE_MODEL, kws=keyword_model())
    monkeypatch.chdir(pytester.path)
    result = pytester.runpytest(
        "--tinybudget", "--tinybudget-report=acme=a.txt", "--tinybudget-report=csv=b.csv"
    )
    assert result.ret == 0
    first = (pytester.path / "a.txt").read_text()
    assert re.match(r"\d+ pairs\nok kws on ", first)
    assert (pytester.path / "b.csv").read_text().startswith("id,model,board,")
    pytester.makeini("[pytest]\ntinybudget_report =\n    acme=c.txt\n    junit=d.xml\n")
    assert pytester.runpytest("--tinybudget").ret == 0
    assert (pytester.path / "c.txt").read_text() == first
    assert (pytester.path / "d.xml").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("module", "entries", "name", "said"),
    [
        ("", ["acme = acme_report:render"], "acmee", "unknown format 'acmee'; did you mean 'acme'"),
        ("", [], "htlm", "unknown format 'htlm'; did you mean 'html'"),
        (
            "",
            ["acme = acme_report:render"],
            "acme",
            "'acme' of acme-report 1.0: acme_report:render",
        ),
        ("import nowhere", ["acme = acme_report:render"], "acme", "No module named 'nowhere'"),
        ("render = 3", ["acme = acme_report:render"], "acme", "acme_report:render is no function"),
        (
            "def render(results): return b''",
            ["acme = acme_report:render"],
            "acme",
            "'acme' of acme-report 1.0: gave bytes, not a str",
        ),
    ],
)
def test_a_format_that_cannot_be_had_is_one_line(
    module: str,
    entries: list[str],
    name: str,
    said: str,
    site: Path,
    results: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(site, module, *entries)
    assert main(["report", results, "--format", name]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_a_name_that_two_packages_give_is_an_error(
    site: Path, results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "", "acme = acme_report:render")
    install(site, "", "acme = other:render", package="other")
    assert main(["report", results, "--format", "acme"]) == 2
    assert "both acme-report 1.0 and other 1.0 have one" in capsys.readouterr().err


def test_a_package_cannot_take_the_name_of_a_format_that_is_there(site: Path, results: str) -> None:
    install(site, "def render(results): return 'theirs'", "csv = acme_report:render")
    assert formats.render("csv", [over()]).startswith("id,model,board,")


@pytest.mark.parametrize("text", ["csv", "csv=", "=a.csv", "", "cvs=a.csv"])
def test_a_report_that_is_not_written_is_an_error_before_anything_is_measured(
    text: str, project: Project
) -> None:
    with pytest.raises(TinybudgetError, match=r"FORMAT=PATH|unknown format 'cvs'"):
        formats.requested(text, "--report")
    pytester = project(ONE_MODEL, kws=keyword_model())
    result = pytester.runpytest(f"--tinybudget-report={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "collected" not in result.stdout.str()


def test_diff_has_no_use_for_a_file_without_a_format(
    results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", results, results, "-o", "x.txt"]) == 2
    assert "--output is the file for --format" in capsys.readouterr().err
