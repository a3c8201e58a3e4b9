"""Codes of failures and errors: each is documented, and each result and error has its own.

``TINYBUDGET_UPDATE_DOCS=1 pytest tests/test_codes.py`` writes the page anew.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import textwrap
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from report_samples import error
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.base.codes import CODES
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.cli import main
from pytest_tinybudget.gate.verdict import with_figures
from pytest_tinybudget.report import terminal
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult


ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"

_HEAD = """\
# Codes of failures and errors

A failure ends with its codes, and an error line of the command line with one in brackets.
`tinybudget explain TB001` prints an entry of this page.

```sh
tinybudget explain TB001
```
"""


def page() -> str:
    entries = (
        f"\n## {name}: {code.title}\n\n"
        + "\n\n".join(textwrap.fill(text, 98) for text in (code.meaning, code.advice))
        + "\n"
        for name, code in CODES.items()
    )
    return _HEAD + "".join(entries)


def test_the_page_has_every_code_as_it_is_explained() -> None:
    if os.environ.get("TINYBUDGET_UPDATE_DOCS"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_code_that_the_program_uses_is_explained() -> None:
    used = {
        code
        for path in (ROOT / "pytest_tinybudget").rglob("*.py")
        for code in re.findall(r'"(TB\d{3})"', path.read_text(encoding="utf-8"))
    }
    assert used == set(CODES)


LATENCY = Figure("latency", "s", 0.2, 0.3, "estimated", "rates", limit=0.1)
UNKNOWN = Figure("latency", "s", None, None, "unknown", "no rates", limit=0.1)
WITHIN = Figure("energy", "J", 0.1, 0.1, "estimated", "rates", limit=0.2)
ACCURACY = Figure("accuracy", "%", 90, 90, "measured", "data", limit=95, at_least=True)


@pytest.mark.parametrize(
    ("result", "codes"),
    [
        (pair(), ()),
        (over(), ("TB001",)),
        (refused(), ("TB010",)),
        (replace(error(), code="TB300"), ("TB300",)),
        (replace(pair(), outcome="unmet"), ("TB020",)),
        (replace(pair(), outcome="unmet", grown=("flash",)), ("TB021",)),
        (with_figures(pair(), [LATENCY]), ("TB003",)),
        (with_figures(pair(), [UNKNOWN]), ("TB022",)),
        (with_figures(pair(), [ACCURACY]), ("TB022",)),
        (with_figures(pair(), [LATENCY, WITHIN]), ("TB003",)),
        (with_figures(pair(), [ACCURACY, WITHIN]), ("TB022",)),
        (with_figures(over(), [LATENCY, UNKNOWN]), ("TB001", "TB003", "TB022")),
    ],
)
def test_a_result_has_the_codes_of_what_is_wrong(
    result: PairResult, codes: tuple[str, ...]
) -> None:
    assert result.codes == codes
    (read,) = read_results(writer.render([result]).encode(), "here").pairs
    assert read.codes == result.codes
    if codes:
        assert f"tinybudget explain {result.codes[0]}" in terminal.failure(result)


def test_flash_comes_before_ram_where_both_are_over() -> None:
    both = tuple(replace(measure, limit=1) for measure in over().measures)
    assert replace(over(), measures=both).codes == ("TB001", "TB002")


@pytest.mark.parametrize("outcome", ["over", "refused", "unmet", "error"])
def test_a_pair_fails_by_its_outcome(outcome: Outcome) -> None:
    assert replace(pair(), outcome=outcome).failed
    assert not pair().failed


def test_a_pair_is_called_by_model_and_board_and_a_check_by_its_kind() -> None:
    assert pair().title == f"{pair().model} on {pair().board}"
    assert replace(pair(), kind="accuracy").title == f"{pair().model}: accuracy"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["boards", "--vendor", "nobody", "--core"], None),
        (["inspect", "none.tflite"], "TB300"),
        (["inspect", str(ROOT / "examples/quickstart/models/digits.tflite"), "--board", "esp23"],
         "TB101"),
        (["check", "none.toml"], "TB200"),
        (["diff", "none.json", "none.json"], "TB100"),
    ],
)  # fmt: skip
def test_an_error_of_the_command_line_ends_with_its_code(
    arguments: list[str], code: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if code is None:
        with pytest.raises(SystemExit):
            main(arguments)
        return
    assert main(arguments) == 2
    assert f" [{code}]" in capsys.readouterr().err.splitlines()[0]


# Every place that raises an error


class Raised(NamedTuple):
    """A construction of an error: where, its text as written, and the code that it gets."""

    place: str
    text: str
    code: str


def _defaults() -> dict[str, str]:
    """The code of each class of errors."""
    for path in sorted((ROOT / "pytest_tinybudget").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if re.search(r"^class \w+\(\w*Error\)", source, re.MULTILINE):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            with suppress(ImportError):  # of a package that is not installed
                importlib.import_module(name)
    found: dict[str, str] = {}
    waiting = [TinybudgetError]
    while waiting:
        each = waiting.pop()
        found[each.__name__] = each.default_code
        waiting += each.__subclasses__()
    return found


@cache
def _raised() -> list[Raised]:
    defaults, found = _defaults(), []
    for path in sorted((ROOT / "pytest_tinybudget").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in defaults and node.args:
                given = [each.value for each in node.keywords if each.arg == "code"]
                constant = isinstance(given[0], ast.Constant) if given else False
                code = ast.literal_eval(given[0]) if constant else defaults[node.func.id]
                if given and not constant:
                    continue  # passed on from another error
                place = f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
                found.append(Raised(place, ast.unparse(node.args[0]), code))
    return found


#: What a text says, and the code that is documented for it.
SAYS = {
    r"pip install": "TB103",
    r"cannot be written(?! again)|cannot write": "TB102",
    r"\bunknown (board|model|runtime|code|key|operator)|no board matches": "TB101",
    r"no such commit|no commit here": "TB600",
    r"not a results file|no results file|their numbers do not belong": "TB500",
    r"declared_at|self\.file\}:|not TOML": "TB200",
    r"not a TF Lite file|holds no model|quantization scale": "TB300",
    r"to be converted|not converted": "TB400",
}


@pytest.mark.parametrize("says", SAYS)
def test_every_error_that_says_so_has_the_code_that_is_documented(says: str) -> None:
    about = [raised for raised in _raised() if re.search(says, raised.text)]
    assert about, "the words are in use"
    others = {"TB102"} if says != r"cannot be written(?! again)|cannot write" else set()
    wrong = [raised for raised in about if raised.code not in {SAYS[says], *others}]
    assert wrong == []


def test_every_error_has_a_code_that_is_explained() -> None:
    raised = _raised()
    assert len(raised) > 200
    assert {each.code for each in raised} <= set(CODES)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "--no-such-option"], "TB100"),
        (["fleet", "advance", "--wait", "x"], "TB100"),
        (["check", "kws.tflite"], "TB100"),
        (["inspect", "kws.tflite", "--board", "xiao"], "TB101"),
        (["check", "kws.tflite", "--board", "nobody"], "TB101"),
        (["boards", "no such words"], "TB101"),
        (["explain", "TB999"], "TB101"),
        (["inspect", "kws.tflite", "--runtime", "m9"], "TB101"),
        (["carray", "kws.tflite", "-o", "kws.tflite/out"], "TB102"),
        (["check", "wrong.toml"], "TB200"),
        (["inspect", "wrong.toml"], "TB300"),
        (["inspect", "kws.onnx"], "TB300"),
        (["merge", "kws.onnx", "-o", "merged.json"], "TB500"),
        (["history", "kws.tflite"], "TB600"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_users_do_wrong_has_its_code(
    arguments: list[str],
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    model = ROOT / "examples/quickstart/models/digits.tflite"
    Path("kws.tflite").write_bytes(model.read_bytes())
    Path("kws.onnx").write_bytes(b"\x08\x07 no model")
    Path("wrong.toml").write_text("schema = 7\n", encoding="utf-8")
    text = '[models.kws]\nsource = "kws.tflite"\nboards = ["esp32"]\n'
    Path("tinybudget.toml").write_text(text, encoding="utf-8")
    try:
        assert main(arguments) == 2
    except SystemExit as exit_:
        assert exit_.code == 2  # noqa: PT017 - argparse ends the process itself
    told = capsys.readouterr().err
    assert f"[{code}]" in told, told


def test_explain_tells_what_a_code_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "tb002"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("TB002: RAM is over its limit\n")
    assert "the tensors in memory there decide" in out


def test_an_unknown_code_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "TB006"]) == 2
    assert "'TB00" in capsys.readouterr().err
