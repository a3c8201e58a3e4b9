"""The tutorial, step by step: its commands are run unchanged and do what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial.md"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="its commands are for a POSIX shell"),
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
]


def steps() -> list[str]:
    return [
        re.sub(r"^  ", "", block, flags=re.MULTILINE) if block.startswith("  ") else block
        for block in re.findall(
            r"^ *```bash\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    ]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What all steps print, one after the other in one shell that stops at an error."""
    folder = tmp_path_factory.mktemp("tutorial")
    tools = folder / "bin"
    tools.mkdir()
    for name, module in (("tinybudget", "pytest_tinybudget"), ("pytest", "pytest")):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
    (tools / "python").symlink_to(sys.executable)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "CLONE": str(ROOT),
        "COLUMNS": "100",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{role}_NAME": "Ada" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "ada@example.org" for role in ("AUTHOR", "COMMITTER")},
    }
    for name in ("CI", "GITHUB_ACTIONS", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        environment.pop(name, None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\necho '=== step'\n".join(steps())],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def by_step(printed: str) -> list[str]:
    return printed.split("=== step\n")


def test_the_first_verdict_is_green(by_step: list[str]) -> None:
    assert "[models.digits]" in by_step[1]
    assert "1 pair: 1 fit" in by_step[2]
    assert "1 passed" in by_step[3]
    assert "PASS digits on stm32f746g-discovery" in by_step[4]


def test_the_larger_network_is_red_and_the_reasons_are_named(by_step: list[str]) -> None:
    check, diff = by_step[7], by_step[8]
    assert check.startswith("FAIL digits on stm32f746g-discovery\nflash over by ")
    assert "FULLY_CONNECTED" in check
    assert check.endswith("exit code 1\n")
    assert "digits" in diff
    assert "+" in diff
    assert diff.endswith("exit code 1\n")


def test_the_smaller_network_is_green_again(by_step: list[str]) -> None:
    assert by_step[9].rstrip().endswith("1 pair: 1 with a warning")
    assert "counted from a layer list" in by_step[9]
