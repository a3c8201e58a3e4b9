"""Codes of failures and errors: each is documented, and each result and error has its own.

``TINYBUDGET_UPDATE_DOCS=1 pytest tests/test_codes.py`` writes the page anew.
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import pytest
from msgspec.structs import replace
from report_samples import error
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.baseline.stored import read_results
from pytest_tinybudget.budget import with_figures
from pytest_tinybudget.cli import main
from pytest_tinybudget.codes import CODES
from pytest_tinybudget.report import results_json
from pytest_tinybudget.report import terminal
from pytest_tinybudget.results import Figure
from pytest_tinybudget.results import Outcome
from pytest_tinybudget.results import PairResult


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
    (read,) = read_results(results_json.render([result]).encode(), "here").pairs
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


def test_explain_tells_what_a_code_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "tb002"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("TB002: RAM is over its limit\n")
    assert "the tensors alive there decide" in out


def test_an_unknown_code_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "TB006"]) == 2
    assert "'TB00" in capsys.readouterr().err
