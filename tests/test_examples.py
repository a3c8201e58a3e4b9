"""Each example does what its README says: commands, exit codes and outputs, and so do workflows.

``TINYBUDGET_UPDATE_DOCS=1 pytest tests/test_examples.py`` writes today's outputs into the READMEs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from pytest_tinybudget.evaluation import interpreters


ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NAMES = sorted(readme.parent.name for readme in EXAMPLES.glob("*/README.md"))
KILOBYTE = 1024

_BLOCK = re.compile(
    r"^(?:<!-- (?P<terms>[^>]*) -->\n)?```(?P<language>sh|text)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
#: In an output: lines that are left out.
_LEFT_OUT = "[…]"
_TABLE = re.compile(r"^ +model, board .*?^\d+ pairs?:[^\n]*\n", re.MULTILINE | re.DOTALL)
_INTERPRETERS = re.compile(
    r"^ +by (?:TFLM's interpreter|LiteRT|TensorFlow Lite) .*\n", re.MULTILINE
)
_FIGURE = re.compile(r" *\+?\d[\d,]* B")
#: The compiler whose figures the README of ``custom_board`` has.
_COMPILER, _COMPILER_VERSION = "arm-none-eabi-g++", "12."


@dataclass(frozen=True)
class Step:
    """A block of commands in an example's README, and what it says that the last one prints."""

    example: str
    commands: tuple[str, ...]
    needs: tuple[str, ...]
    exit_code: int
    output: str | None

    def __str__(self) -> str:
        return f"{self.example}: {self.commands[-1]}"


def steps() -> Iterator[Step]:
    for name in NAMES:
        blocks = list(_BLOCK.finditer((EXAMPLES / name / "README.md").read_text("utf-8")))
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if block["language"] == "text":
                continue
            terms = block["terms"] or ""
            needs = re.search(r"needs (?:an )?([\w+, -]+?)(?:, exits|$)", terms)
            code = re.search(r"exits with (\d+)", terms)
            shown = following is not None and following["language"] == "text"
            yield Step(
                name,
                tuple(block["text"].splitlines()),
                tuple(needs[1].split(", ")) if needs else (),
                int(code[1]) if code else 0,
                following["text"] if following is not None and shown else None,
            )


def marked(step: Step) -> object:
    """``step`` as a parameter, skipped where something that it needs is missing."""
    there = {
        "interpreter": any(find_spec(name.partition(".")[0]) for name in _interpreters()),
        "tensorflow": find_spec("tensorflow") is not None,
        "sklearn": find_spec("sklearn") is not None,
        "xdist": find_spec("xdist") is not None,
        _COMPILER: shutil.which(_COMPILER) is not None and sys.platform != "win32",
    }
    marks = [pytest.mark.skipif(not there[need], reason=f"needs {need}") for need in step.needs] + (
        [pytest.mark.tensorflow] if "tensorflow" in step.needs else []
    )
    return pytest.param(step, id=str(step), marks=marks)


def _interpreters() -> list[str]:
    return list(interpreters.MODULES.values())


def copied(name: str, folder: Path) -> Path:
    """The example in a folder of its own, as a stranger would take it: only what git has."""
    target = folder / name
    ignored = shutil.ignore_patterns("build", "__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLES / name, target, ignore=ignored)
    return target


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of a README or a workflow as its reader would, 100 columns wide."""
    words = shlex.split(command)
    modules = {"pytest": ["-m", "pytest"], "tinybudget": ["-m", "pytest_tinybudget"], "python": []}
    if words[0] in modules:
        words = [sys.executable, *modules[words[0]], *words[1:]]
    environment = {
        **os.environ,
        "COLUMNS": "100",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TINYBUDGET_CACHE": str(folder.parent / "cache"),
    }
    for name in ("CI", "GITHUB_ACTIONS", "FORCE_COLOR", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    return subprocess.run(
        words,
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


def is_setup(command: str) -> bool:
    return command.startswith("pip install")


def test_every_example_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)/` \|", (EXAMPLES / "README.md").read_text("utf-8"), re.M)
    assert sorted(listed) == sorted(
        folder.name for folder in EXAMPLES.iterdir() if list(folder.rglob("tinybudget.toml"))
    )
    assert len(NAMES) == 6


def test_names_of_files_in_readmes_exist() -> None:
    for name in NAMES:
        text = (EXAMPLES / name / "README.md").read_text("utf-8")
        files = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
        assert files
        assert [file for file in files if not (EXAMPLES / name / file).exists()] == []


@pytest.mark.parametrize("step", [marked(step) for step in steps() if step.commands])
def test_a_step_of_a_readme(step: Step, tmp_path: Path) -> None:
    folder = copied(step.example, tmp_path)
    commands = [command for command in step.commands if not is_setup(command)]
    done = None
    for command in commands:
        done = run(command, folder)
        expected = step.exit_code if command == commands[-1] else 0
        assert done.returncode == expected, done.stdout + done.stderr
    if done is None:
        assert step.output is None
    elif step.output is not None:
        printed = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
        compare(step, printed)
    if any(command.startswith("python make") for command in commands):
        check_made(folder, step.example)


def compare(step: Step, printed: str) -> None:
    """That the README shows what was printed; parts of it where lines are left out."""
    assert step.output is not None
    if os.environ.get("TINYBUDGET_UPDATE_DOCS") and _LEFT_OUT not in step.output:
        table = _TABLE.search(printed)
        readme = EXAMPLES / step.example / "README.md"
        before, after = (
            f"{step.commands[-1]}\n```\n\n```text\n{text}```"
            for text in (step.output, table[0] if table else printed)
        )
        readme.write_text(readme.read_text("utf-8").replace(before, after), encoding="utf-8")
        return
    assert step.output
    # Which interpreters there are, and their versions, is the machine's.
    expected, printed = (_INTERPRETERS.sub("", text) for text in (step.output, printed))
    if _COMPILER in step.needs and not compiler_version().startswith(_COMPILER_VERSION):
        expected, printed = (_FIGURE.sub("0 B", text) for text in (expected, printed))
    for part in expected.split(f"{_LEFT_OUT}\n"):
        assert part in printed


def compiler_version() -> str:
    done = subprocess.run([_COMPILER, "-dumpversion"], capture_output=True, text=True, check=True)
    return done.stdout


def check_made(folder: Path, name: str) -> None:
    """That a script has made what git has: the same files, of the same sizes but for rounding."""
    for made in folder.rglob("*"):
        if made.suffix in {".tflite", ".keras", ".npz"}:
            committed = EXAMPLES / name / made.relative_to(folder)
            # Names in the file and what compresses well may differ by version and machine.
            allowed = 4 * KILOBYTE if made.suffix == ".keras" else 512
            assert abs(made.stat().st_size - committed.stat().st_size) <= allowed, made.name


@pytest.mark.skipif(find_spec("elftools") is None, reason="needs pyelftools")
@pytest.mark.skipif(
    shutil.which(_COMPILER) is None or sys.platform == "win32", reason=f"needs {_COMPILER}"
)
def test_the_custom_boards_figures_are_those_of_its_firmware(tmp_path: Path) -> None:
    folder = copied("custom_board", tmp_path)
    before = reserves(folder)
    assert run("./build.sh", folder).returncode == 0
    written = "--write tinybudget.toml --board doorbell"
    done = run(f"tinybudget calibrate --elf build/firmware.elf {written}", folder)

    assert done.returncode == 0, done.stderr
    after = reserves(folder)
    assert after["ram"] == before["ram"]
    assert after["flash"] == pytest.approx(before["flash"], abs=256)
    assert run("pytest --tinybudget", folder).returncode == 0


def reserves(folder: Path) -> dict[str, int]:
    text = (folder / "tinybudget.toml").read_text("utf-8")
    return {name: int(size) for name, size in re.findall(r'reserved_(\w+) = "(\d+) B"', text)}


# Workflows


def workflow(name: str) -> list[dict[str, object]]:
    """The steps of an example's workflow, which has one job."""
    text = (EXAMPLES / name / ".github" / "workflows" / "budgets.yml").read_text("utf-8")
    (job,) = yaml.safe_load(text)["jobs"].values()
    return list(job["steps"])


@pytest.mark.parametrize("name", NAMES)
def test_workflows_use_the_actions_that_this_repository_pins(name: str) -> None:
    own = (ROOT / ".github" / "workflows" / "gate.yml").read_text("utf-8")
    used = [str(step["uses"]) for step in workflow(name) if "uses" in step]
    assert len(used) == 2
    assert all(action in own for action in used)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[
                pytest.mark.tensorflow,
                pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs tensorflow"),
            ]
            if name == "keyword_spotting"
            else [
                pytest.mark.skipif(
                    name in ("digits", "anomaly_detection")
                    and not any(find_spec(each.partition(".")[0]) for each in _interpreters()),
                    reason="needs an interpreter",
                )
            ],
        )
        for name in NAMES
    ],
)
def test_a_workflows_gate_passes(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    commands = [str(step["run"]) for step in workflow(name) if "run" in step]
    assert [is_setup(command) for command in commands] == [True, False]
    if "-n auto" in commands[1]:
        pytest.importorskip("xdist")
    done = run(commands[1].replace("-n auto", "-n 2"), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "build" / "junit.xml").exists()


def test_examples_are_small() -> None:
    for name in NAMES:
        files = [file for file in copied_files(name) if file.is_file()]
        assert sum(file.stat().st_size for file in files) < 200 * KILOBYTE


def copied_files(name: str) -> Iterator[Path]:
    return (file for file in (EXAMPLES / name).rglob("*") if "build" not in file.parts)
