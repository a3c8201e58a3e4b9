"""The pictures of the README, from real output: ``python docs/pictures/make.py``.

Needs the extra ``[docs]``, and Chromium for the page. Run it when the output has changed; a test
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


def main() -> None:
    """Write the picture of a failing gate, and that of the page."""
    (FOLDER / "failing_gate.svg").write_text(failing_gate(), encoding="utf-8")
    print(f"wrote {FOLDER / 'failing_gate.svg'}")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium: report.png is left as it was")
    with tempfile.TemporaryDirectory() as folder:
        _run(
            [
                "--tinybudget",
                "examples/quickstart",
                "examples/too_small",
                f"--tinybudget-html={folder}/page.html",
                "-q",
            ]
        )
        picture = f"--screenshot={FOLDER / 'report.png'}"
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
        size = ("--window-size=1100,1250", picture, f"file://{folder}/page.html")
        subprocess.run([browser, *options, *size], check=True, capture_output=True)
    print(f"wrote {FOLDER / 'report.png'}")


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


def _run(arguments: list[str]) -> str:
    """Output of pytest with ``arguments`` in the repository, as in a terminal of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
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
