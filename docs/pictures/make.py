"""The pictures of the README, from real output: ``python docs/pictures/make.py``.

Needs the extras ``[docs]`` and ``[test]``, and Chromium. Run it when the output has changed; a test
says so.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text


ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent

_COLUMNS = 100
#: Under these, pytest and the gate write for a log.
_NOT_A_TERMINAL = frozenset({"BUILD_NUMBER", "CI", "GITHUB_ACTIONS", "NO_COLOR", "PYTEST_ADDOPTS"})
_COMMAND = "pytest --tinybudget examples/too_small"

_THEME = TerminalTheme(
    (24, 26, 31),
    (216, 220, 228),
    [
        *((24, 26, 31), (240, 98, 98), (126, 200, 120), (229, 192, 92)),
        *((108, 160, 240), (198, 130, 220), (90, 190, 200), (216, 220, 228)),
    ],
)


#: What the pull request of the picture does to ``examples/quickstart``: a larger network, and one
#: that is smaller.
_LARGER = """input_shape = [8, 8, 1]
layers = [
  { type = "conv2d", filters = 32, kernel = 3, padding = "same", activation = "relu" },
  { type = "conv2d", filters = 32, kernel = 3, activation = "relu" },
  { type = "flatten" },
  { type = "dense", units = 32, activation = "relu" },
  { type = "dense", units = 10 },
  { type = "softmax" },
]"""
_SMALLER = "examples/anomaly_detection/models/machine.tflite"

#: Signs of the comment that few fonts have, and what the picture has for them.
_MARKS = (("❌", "#cf222e", "✗"), ("✅", "#1a7f37", "✓"), ("⚠️", "#9a6700", "⚠"))

#: Looks like a comment where pull requests are reviewed.
_COMMENT = """<!doctype html><meta charset="utf-8"><style>
body { font: 14px/1.5 "Noto Sans", "DejaVu Sans", sans-serif; color: #1f2328; margin: 16px }
main { border: 1px solid #d1d9e0; border-radius: 6px; padding: 4px 16px 16px; max-width: 1320px }
table { border-collapse: collapse; font-size: 12.5px; margin: 12px 0 }
td, th { border: 1px solid #d1d9e0; padding: 5px 9px }
tr:nth-child(even) { background: #f6f8fa }
code { font: 12px "DejaVu Sans Mono", monospace; background: #eff1f3; border-radius: 5px;
  padding: 2px 4px; white-space: nowrap }
summary { cursor: pointer } li { margin: 2px 0 } sub { color: #59636e }
</style><main>"""


def main() -> None:
    """Write the pictures of a failing gate, of the page, and of the comment on a pull request."""
    (FOLDER / "failing_gate.svg").write_text(failing_gate(), encoding="utf-8")
    print(f"wrote {FOLDER / 'failing_gate.svg'}")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium: the pictures of page and comment are left as they were")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project, page, comment = folder / "firmware", folder / "page.html", folder / "comment.html"
        markdown = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable("table")
        shown = markdown.render(pull_request_comment(project))
        for mark, color, sign in _MARKS:
            shown = shown.replace(mark, f'<span style="color: {color}">{sign}</span>')
        comment.write_text(_COMMENT + shown, encoding="utf-8")
        _photograph(browser, comment, "comment.png", (1360, 640))
        _commit(project)
        _run(["--tinybudget", "--tinybudget-base=HEAD^", f"--tinybudget-html={page}"], project)
        _photograph_page(browser, page)


def _photograph_page(browser: str, page: Path) -> None:
    """The start of the page, and what it draws of one model."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        window = started.new_page(viewport={"width": 1100, "height": 980})
        window.goto(page.as_uri())
        window.screenshot(path=FOLDER / "report.png")
        window.goto(f"{page.as_uri()}#m-digits")
        window.locator("#m-digits .arena svg").last.wait_for()
        window.evaluate("document.querySelector('#tools').hidden = true")  # it lies over the page
        window.locator("#m-digits .show").screenshot(path=FOLDER / "page_model.png")
        started.close()
    print(f"wrote {FOLDER / 'report.png'} and {FOLDER / 'page_model.png'}")


def _photograph(browser: str, page: Path, name: str, size: tuple[int, int]) -> None:
    picture = f"--screenshot={FOLDER / name}"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    window = f"--window-size={size[0]},{size[1]}"
    command = [browser, *options, window, picture, page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    print(f"wrote {FOLDER / name}")


def _commit(folder: Path) -> None:
    """Make ``folder`` a repository with one commit of what lies in it."""
    git = ("git", "-c", "user.name=Picture", "-c", "user.email=picture@example.org")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "Models of today")):
        subprocess.run([*git, *arguments], cwd=folder, check=True)


def pull_request_comment(repository: Path) -> str:
    """The comment, as Markdown, on a change of ``examples/quickstart`` made in ``repository``.

    Raises:
        subprocess.CalledProcessError: git or the comparison failed.
    """
    shutil.copytree(ROOT / "examples" / "quickstart", repository)
    shutil.rmtree(repository / "build", ignore_errors=True)
    _commit(repository)
    declaration = repository / "tinybudget.toml"
    text = declaration.read_text(encoding="utf-8")
    changed = text.replace('source = "models/digits.tflite"', _LARGER)
    declaration.write_text(changed, encoding="utf-8")
    shutil.copy(ROOT / _SMALLER, repository / "models" / "machine.tflite")
    command = [sys.executable, "-m", "pytest_tinybudget", "diff", "--base", "HEAD"]
    done = subprocess.run(
        [*command, "--format", "markdown"],
        cwd=repository, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode != 1:  # it fails, as it should
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def failing_gate() -> str:
    """What the second command of the README prints, as SVG."""
    printed = _run(["--tinybudget", "examples/too_small", "--color=yes"])
    start = printed.index("flash over by")
    shown = printed[printed.rindex("\n", 0, start) + 1 :]
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    console.print(Text(f"$ {_COMMAND}", style="bold"))
    console.print(Text.from_ansi(shown))
    picture = console.export_svg(title=_COMMAND, theme=_THEME, unique_id="tinybudget")
    # A picture is no reason to ask another host for a font.
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


def _run(arguments: list[str], folder: Path = ROOT) -> str:
    """Output of pytest with ``arguments`` in ``folder``, as in a terminal of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name not in _NOT_A_TERMINAL},
            "COLUMNS": str(_COLUMNS),
            "PYTHONUTF8": "1",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout


if __name__ == "__main__":
    main()
