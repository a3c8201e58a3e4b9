"""A hand-made comparison for the report tests, and names that try to break out of a report."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from report_samples import KB
from report_samples import error
from report_samples import footprint
from report_samples import layer
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import PairResult


#: Each breaks something somewhere: Markdown, HTML, workflow commands, a terminal, a reader's eyes.
HOSTILE = [
    "a|b\\|c",
    "`code` ``x``",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</code></td></table></details>",
    "@octocat and @org/team #12 !34",
    "www.evil.example http://evil.example a@evil.example",
    "[link](http://evil.example) ![image](x)",
    "**bold** __bold__ ~~gone~~ *x*",
    "line\nbreak\r\n\r\n# heading",
    "::error file=x,line=1::injected",
    "100%0A::warning::injected",
    "\u202egnirts desrever\u202c \u2066x\u2069",
    "\x1b[31mred\x1b[0m\x07\x00",
    "&lt;b&gt; &#64; &amp;",
    "\"quoted' = on\\",
    "<!-- comment --> <!-- pytest-tinybudget default -->",
    "- item\n1. item\n> quote",
    '=HYPERLINK("x")',
    "\udc80 lone surrogate",
    "x" * 5000,
    "",
]


def hostile_pair(text: str) -> PairResult:
    """An overrun in which every text that others choose is ``text``."""
    sample = footprint(
        layers=(layer(0, name=text, operator=text), layer(1)),
        unknown=(text,),
    )
    return over(
        model=text,
        board=text,
        id=f"tinybudget.toml::{text}::{text}",
        headline=text,
        reasons=(text,),
        warnings=(text,),
        message=text,
        model_source=text,
        declared_at=f"{text}:3",
        footprint=sample,
        measures=(
            measure("flash", 300 * KB, 256 * KB, parts=(Part(text, 300 * KB, "exact", note=text),)),
            measure("ram", 48 * KB, 64 * KB, limit_note=text),
        ),
    )


def sides() -> tuple[list[PairResult], list[PairResult]]:
    """Results of a base and of a change: grown, unchanged, new, removed, renamed, failing."""
    grown = measure("flash", 210 * KB)
    base = [
        pair("grown", model_sha256="1" * 64, footprint=footprint()),
        pair("same"),
        pair("gone", model_sha256="2" * 64),
        pair("old_name", model_sha256="3" * 64),
        error("broken"),
    ]
    head = [
        pair(
            "grown",
            model_sha256="4" * 64,
            measures=(grown, measure("ram", 48 * KB, 64 * KB)),
            footprint=footprint(layers=(*footprint().layers, layer(3, operator="ADD"))),
        ),
        pair("same"),
        pair("new_name", model_sha256="3" * 64),
        pair("added", model_sha256="5" * 64),
        error("broken"),
        refused(),
        replace(over("fat"), declared_at="tinybudget.toml:40"),
    ]
    return base, head


def changed(**notes: Any) -> tuple[list[PairResult], Comparison]:
    """The newer results, and what changed in them."""
    base, head = sides()
    return head, compare(own_results(base, "commit 1a2b3c4d5e6f"), own_results(head, ""), **notes)
