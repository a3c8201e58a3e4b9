"""The documentation site: it builds without a warning, and its reference is the program's."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_tinybudget.boards import catalog
from pytest_tinybudget.declaration.json_schema import json_schema


pytest.importorskip("sphinx", reason="needs the extra [docs]")
pytest.importorskip("furo", reason="needs the extra [docs]")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def text_of(site: Path, page: str) -> str:
    return re.sub(r"<[^>]+>", "", (site / f"{page}.html").read_text(encoding="utf-8"))


def test_every_key_of_the_declaration_is_in_the_reference(site: Path) -> None:
    text = text_of(site, "reference/declaration")
    for table in json_schema()["$defs"].values():
        for key in table.get("properties", {}):
            assert key in text, key


def test_every_command_is_in_the_reference(site: Path) -> None:
    text = text_of(site, "reference/command-line")
    for path in sorted((ROOT / "pytest_tinybudget" / "commands").glob("*.py")):
        if "def add_commands" in path.read_text(encoding="utf-8"):
            assert f"tinybudget {path.stem}" in text


def test_every_board_is_in_the_reference(site: Path) -> None:
    text = text_of(site, "reference/boards")
    assert [board_id for board_id in catalog() if board_id not in text] == []


def test_every_page_is_reached_from_the_index(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").with_suffix("") for path in ROOT.glob("docs/**/*.md")]
    missing = [page.as_posix() for page in pages if f'href="{page.as_posix()}.html"' not in index]
    assert missing == ["index"]


def test_the_picture_of_a_failing_gate_is_what_it_prints_today() -> None:
    """``python docs/pictures/make.py`` draws it anew."""
    pytest.importorskip("rich", reason="needs the extra [docs]")
    specification = importlib.util.spec_from_file_location(
        "pictures", ROOT / "docs" / "pictures" / "make.py"
    )
    assert specification is not None
    assert specification.loader is not None
    pictures = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(pictures)
    shown = (ROOT / "docs" / "pictures" / "failing_gate.svg").read_text(encoding="utf-8")
    assert _words(shown) == _words(pictures.failing_gate())


def _words(picture: str) -> list[str]:
    """What stands in a picture, but for the time that the run took.

    A run of ten seconds has a shorter rule of ``=`` beside its time.
    """
    text = re.sub(r"<[^>]+>", " ", picture[picture.index("</defs>") :])
    text = re.sub(r"\bin&#160;\d+\.\d+s", "", text).replace("&#160;", " ")
    return re.sub(r"={3,}", "===", text).split()
