"""What the README and the docs say is what happens: commands, outputs, declarations, links.

``TINYBUDGET_UPDATE_DOCS=1 pytest tests/test_readme.py`` writes today's outputs into
``docs/reading.md``.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_projects import keywords

from pytest_tinybudget.cli import command_line_parser
from pytest_tinybudget.declaration import load_declaration


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLE_MODELS = ROOT / "examples" / "quickstart" / "models"

READING = ROOT / "docs" / "reading.md"

#: Pasted outputs by name: the example folder that is run, and the first and the last line shown.
OUTPUTS = {
    "too_small": (r"flash over by", r"shortened to"),
    "quickstart": (r" +model, board", r"\d+ pairs:"),
}

_BLOCK = re.compile(
    r"(?:<!-- output: (?P<output>\w+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)(#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``output`` names the example whose output it is."""

    page: Path
    language: str
    text: str
    output: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.text.strip().splitlines()[0] if self.text.strip() else ''}"


def blocks(language: str, *pages: Path) -> list[Block]:
    return [
        Block(page, language, match["text"], match["output"] or "")
        for page in pages or PAGES
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
        if match["language"] == language
    ]


def commands(block: Block) -> Iterator[str]:
    """The commands of a shell block, without comments; a line that ends in ``\\`` goes on."""
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        command = line.partition(" #")[0].strip()
        if command and not command.startswith("#"):
            yield command


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a ``pytest`` or ``tinybudget`` command as the README's reader would, 100 columns wide."""
    words = shlex.split(command)
    target = None
    if ">" in words:
        words, target = words[: words.index(">")], folder / words[-1]
    module = {"pytest": "pytest", "tinybudget": "pytest_tinybudget"}[words[0]]
    environment = {
        **os.environ,
        "COLUMNS": "100",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("CI", "FORCE_COLOR", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", module, *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    if target is not None:
        target.write_text(done.stdout, encoding="utf-8")
    return done


Printed = dict[str, subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A reader's project: the models that the pages name."""
    models = tmp_path / "models"
    models.mkdir()
    # Dense layers have one scale each: the Arduino library, which the first board usually has,
    # computes those of the examples' models wrongly.
    for name, blocks_of_it in (("kws", 2), ("vad", 1)):
        (models / f"{name}.tflite").write_bytes(keywords(blocks=blocks_of_it))
    return tmp_path


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples in a folder of their own, without what a run left behind."""
    folder = tmp_path_factory.mktemp("clone")
    ignored = shutil.ignore_patterns("build", "__pycache__")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def printed(examples: Path) -> Printed:
    """What each example's command prints."""
    return {name: run(f"pytest --tinybudget examples/{name}", examples) for name in OUTPUTS}


# The commands at the top


def test_no_page_has_marks_of_an_unfinished_merge() -> None:
    marked = [page.name for page in PAGES if "\n<<<<<<< " in page.read_text("utf-8")]
    assert not marked


def test_the_readme_starts_with_the_commands_that_ci_runs() -> None:
    page = README.read_text(encoding="utf-8")
    top = page.partition("\n## ")[0]
    assert [command for block in _first_blocks(top) for command in block] == [
        "python -m venv .venv && . .venv/bin/activate",
        "pip install . && pytest --tinybudget examples/quickstart",
        "pytest --tinybudget examples/too_small",
    ]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for start in re.findall(r"readme_command '(.*)'", script):
        assert sum(line.startswith(start) for line in page.splitlines()) == 1


def _first_blocks(text: str) -> list[list[str]]:
    return [match["text"].splitlines() for match in _BLOCK.finditer(text)]


def test_the_example_passes_with_one_pair_that_warns(printed: Printed) -> None:
    done = printed["quickstart"]
    assert done.returncode == 0, done.stdout
    assert "6 pairs: 1 with a warning, 5 fit" in done.stdout
    assert len(re.findall(r"^WARN ", done.stdout, re.MULTILINE)) == 1


def test_the_second_example_is_red(printed: Printed) -> None:
    done = printed["too_small"]
    assert done.returncode == 1, done.stdout
    assert re.search(r"^flash over by .*; RAM over by", done.stdout, re.MULTILINE)
    assert "edit examples/too_small/tinybudget.toml:7" in done.stdout


@pytest.mark.parametrize("name", OUTPUTS)
def test_pasted_output_is_what_is_printed(name: str, printed: Printed) -> None:
    first, last = OUTPUTS[name]
    lines = printed[name].stdout.splitlines()
    start = next(index for index, line in enumerate(lines) if re.match(first, line))
    end = next(index for index, line in enumerate(lines) if index > start and re.match(last, line))
    now = "".join(f"{line.rstrip()}\n" for line in lines[start : end + 1])
    (shown,) = [block for block in blocks("text", READING) if block.output == name]
    if os.environ.get("TINYBUDGET_UPDATE_DOCS"):
        text = READING.read_text(encoding="utf-8")
        marker = f"<!-- output: {name} -->\n```text\n"
        READING.write_text(
            text.replace(f"{marker}{shown.text}```", f"{marker}{now}```"), encoding="utf-8"
        )
    else:
        assert shown.text == now


# The page on pytest

PYTEST_PAGE = ROOT / "docs" / "pytest.md"


@pytest.fixture
def pytest_project(project: Path) -> Path:
    """What the page on pytest speaks of: a declaration in ``firmware``, and its test module."""
    firmware = project / "firmware"
    firmware.mkdir()
    (firmware / "tinybudget.toml").write_text(
        '[models.kws]\nsource = "../models/kws.tflite"\n'
        'boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]\n'
        'runtime = "tflite-micro 90b983c2"\n',  # whose flash is exact: the page has --strict
        encoding="utf-8",
    )
    (module,) = blocks("python", PYTEST_PAGE)
    (project / "test_models.py").write_text(module.text, encoding="utf-8")
    return project


@pytest.mark.parametrize("block", blocks("sh", PYTEST_PAGE), ids=str)
def test_commands_of_the_page_on_pytest_run(block: Block, pytest_project: Path) -> None:
    for command in commands(block):
        done = run(command, pytest_project)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_configuration_of_the_page_on_pytest_collects_and_writes(pytest_project: Path) -> None:
    (block,) = blocks("ini", PYTEST_PAGE)
    (pytest_project / "pytest.ini").write_text(block.text, encoding="utf-8")
    done = run("pytest", pytest_project)
    assert "4 passed" in done.stdout
    assert (pytest_project / "build" / "results.json").is_file()


def test_the_page_on_pytest_has_every_option_ini_value_and_property(pytest_project: Path) -> None:
    page = PYTEST_PAGE.read_text(encoding="utf-8")
    usage = run("pytest --help", pytest_project).stdout
    options = set(re.findall(r"--tinybudget[a-z-]*", usage))
    values = set(re.findall(r"^  (tinybudget\w*) \(", usage, re.MULTILINE))
    assert options == set(re.findall(r"^\| `(--tinybudget[a-z-]*)", page, re.MULTILINE))
    assert values == set(re.findall(r"^\| `--[^|]*\| `(tinybudget\w*)`", page, re.MULTILINE))
    run("pytest --tinybudget --junitxml=junit.xml", pytest_project)
    junit = (pytest_project / "junit.xml").read_text(encoding="utf-8")
    properties = set(re.findall(r'"(tinybudget\.\w+)"', junit))
    assert len(properties) > 10
    named = set(re.findall(r"`(tinybudget\.\w+)`", page)) - {"tinybudget.toml"}
    assert {each for each in properties if ".ram_" not in each} == named


# The other blocks


@pytest.mark.parametrize(
    "block",
    [
        each
        for each in blocks("sh", README)
        if "pip install" not in each.text and "too_small" not in each.text
    ],
    ids=str,
)
def test_commands_of_the_readme_run(block: Block, project: Path) -> None:
    for command in commands(block):
        done = run(command, project)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_toml_block_is_toml(block: Block) -> None:
    tomllib.loads(block.text)


def test_the_first_declaration_is_valid_and_fits(project: Path) -> None:
    (block,) = [block for block in blocks("toml", README) if "[models." in block.text]
    path = project / "tinybudget.toml"
    path.write_text(block.text, encoding="utf-8")
    declaration = load_declaration(path)
    assert len(declaration.models["kws"].boards) == 2
    assert run("pytest --tinybudget", project).returncode == 0


@pytest.mark.parametrize("block", blocks("python", README), ids=str)
def test_python_of_the_readme_runs(block: Block, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_workflow_uses_the_same_actions_as_our_own() -> None:
    (block,) = blocks("yaml", README)
    pinned = set(re.findall(r"uses: (\S+@[0-9a-f]{40} # v\S+)", block.text))
    ours = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")
    )
    assert len(pinned) == 2
    assert all(use in ours for use in pinned)
    assert len(re.findall(r"uses:", block.text)) == len(pinned)


def test_options_in_the_readme_exist(project: Path) -> None:
    named = set(re.findall(r"--tinybudget[a-z-]*", README.read_text(encoding="utf-8")))
    known = set(re.findall(r"--tinybudget[a-z-]*", run("pytest --help", project).stdout))
    assert named <= known


def test_commands_and_options_in_the_docs_exist() -> None:
    seen = set()
    for command in (command for block in blocks("sh") for command in commands(block)):
        program, *words = shlex.split(command)
        if program == "tinybudget":
            parser = _parser_of(words)
            seen.add(parser.prog.removeprefix("tinybudget "))
            named = set(re.findall(r"(?<= )--[a-z-]+", command))
            assert named <= set(re.findall(r"--[a-z-]+", parser.format_help())), command
    assert {"check", "inspect", "carray", "runtime build", "rollout export hawkbit"} <= seen


def _parser_of(words: list[str]) -> argparse.ArgumentParser:
    """The parser of the command that ``words`` start with, down to commands within commands."""
    parser = command_line_parser()
    for word in words:
        within = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        if not within:
            break
        assert word in within[0].choices, " ".join(words)
        parser = within[0].choices[word]
    return parser


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file = (page.parent / target).resolve()
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor[1:] in anchors(file), f"{page.name}: {target}{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
