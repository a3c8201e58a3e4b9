"""Markdown for pull requests, read as a renderer that nobody here wrote reads it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from xml.etree import ElementTree

import html5lib
import pytest
from markdown_it import MarkdownIt
from report_changes import HOSTILE
from report_changes import changed
from report_changes import hostile_pair
from report_samples import KB
from report_samples import error
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report.escape import markdown as words
from pytest_tinybudget.report.escape import markdown_code
from pytest_tinybudget.report.occasion import anything_to_say
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import Acceptance


RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

#: Elements that our own text makes; a name must not add another.
OURS = {
    *("html", "head", "body", "h3", "p", "table", "thead", "tbody", "tr", "th", "td"),
    *("code", "strong", "details", "summary", "ul", "li", "blockquote", "sub"),
}


def rendered(text: str) -> ElementTree.Element:
    tree: ElementTree.Element = html5lib.parse(RENDERER.render(text), namespaceHTMLElements=False)
    return tree


def texts(element: ElementTree.Element) -> Iterator[str]:
    """The pieces of text as a reader sees them, those of comments left out."""
    yield element.text or ""
    for child in element:
        if isinstance(child.tag, str):
            yield from texts(child)
        yield child.tail or ""


def text_of(element: ElementTree.Element) -> str:
    return "".join(texts(element))


def table_rows(text: str) -> list[list[str]]:
    """Cells of all rows, without the heads."""
    rows = (list(row.iter("td")) for row in rendered(text).iter("tr"))
    return [[text_of(cell).strip() for cell in row] for row in rows if row]


def test_the_worst_pair_is_first_and_sizes_are_in_the_table() -> None:
    rows = table_rows(markdown.render([pair("small"), over("fat"), error("broken")]))
    assert [row[1] for row in rows] == ["fat", "broken", "small"]
    assert rows[0] == [
        "❌ FAIL",
        "fat",
        "arduino-nano-33-ble",
        "flash over by 12.3 KB",
        "~268.3 of 256.0 KB (105 %)",
        "48.0 of 64.0 KB (75 %)",
    ]


def test_the_heading_says_how_many_fail() -> None:
    assert "### ❌ Memory budgets: 1 of 1 pair fails" in markdown.render([over()])
    assert "### ✅ Memory budgets: all pairs fit" in markdown.render([pair()])


def test_a_failing_pair_says_why_and_where_to_edit() -> None:
    text = text_of(rendered(markdown.render([over()])))
    assert over().headline in text
    assert over().reasons[0] in text
    assert "tinybudget.toml:12" in text
    assert "see docs/size.md" in text


def test_what_is_not_measured_or_refused_says_so() -> None:
    text = text_of(rendered(markdown.render([error(), refused()])))
    assert error().headline in text
    assert refused().headline in text


def test_unchanged_pairs_are_folded_and_changes_have_deltas() -> None:
    results, comparison = changed()
    text = markdown.render(results, comparison)
    folded = text.partition("<details><summary>1 pair unchanged</summary>")[2]
    assert "<code>same</code>" in folded
    assert "<code>grown</code>" not in folded
    rows = {row[1]: row for row in table_rows(text)}
    assert rows["grown"][5] == "+10.0 KB (+5.0 %)"
    assert rows["grown"][7] == "±0 B"
    assert rows["same"][3] == "200.0 of 256.0 KB (78 %)"
    assert rows["added new"][5] == ""
    assert rows["new_name renamed"][5] == "±0 B"
    assert rows["gone removed"][0] == "➖ gone"


def test_it_names_the_base_and_why_a_pair_grew() -> None:
    text = text_of(rendered(markdown.render(*changed())))
    assert "Compared with commit 1a2b3c4d5e6f" in text
    assert "was tinybudget.toml::old_name::arduino-nano-33-ble" in text
    assert "layer added: ADD" in text
    assert "operator ADD new in flash" in text


def test_a_failing_pair_is_shown_even_if_nothing_changed() -> None:
    results = [over("fat"), pair("same")]
    comparison = compare(own_results(results, "base"), own_results(results, "head"))
    text = markdown.render(results, comparison)
    assert "<code>fat</code>" in text.partition("<details><summary>1 pair unchanged")[0]


def test_what_was_over_on_the_base_already_is_said() -> None:
    base = [over(measures=(measure("flash", 267 * KB),))]
    head = [over(measures=(measure("flash", 268 * KB),))]
    text = markdown.render(head, compare(own_results(base, "base"), own_results(head, "")))
    assert "flash was over this limit on the base already" in text


def test_without_a_baseline_its_absence_is_information() -> None:
    results = [pair()]
    comparison = compare(None, own_results(results, ""), notes=("no baseline yet at base.json",))
    text = markdown.render(results, comparison)
    assert "no baseline yet at base.json" in text_of(rendered(text))
    assert "change" not in text
    assert "new" not in table_rows(text)[0][1]


def test_an_accepted_overrun_is_loud() -> None:
    agreed = Acceptance("flash", 270 * KB, "wake word", datetime.date(2027, 3, 1))
    text = markdown.render([pair(outcome="warns", accepted=(agreed,))])
    assert "🤝 WARN" in text
    assert "flash accepted up to 270.0 KB until 2027-03-01: wake word" in text


def test_a_change_that_rounds_to_nothing_is_not_shown_as_nothing() -> None:
    base = [pair(measures=(measure("flash", 200 * KB),))]
    head = [pair(measures=(measure("flash", 200 * KB + 16),))]
    comparison = compare(own_results(base, "base"), own_results(head, ""))
    assert "+16 B (+<0.1 %)" in markdown.render(head, comparison)


@pytest.mark.parametrize(("count", "limit"), [(3000, 60_000), (400, 2_000), (40, 5_000)])
def test_it_keeps_its_limit_and_counts_what_it_leaves_out(count: int, limit: int) -> None:
    results = [over(f"model{number:04}") for number in range(count)]
    text = markdown.render(results, limit=limit)
    assert len(text) <= limit
    shown = len(table_rows(text))
    assert 0 < shown <= count
    left_out = text.rstrip().rpartition("\n")[2]
    assert left_out.startswith("**Left out to keep this readable: ")
    assert (f"{count - shown} pairs" in left_out) == (shown < count)
    assert "detail" in left_out


def test_the_largest_names_keep_the_limit() -> None:
    results = [hostile_pair("&" * 5000 + str(number)) for number in range(40)]
    assert len(markdown.render(results)) <= markdown.LIMIT_CHARACTERS


def test_nothing_to_say_only_where_all_is_as_it_was_and_passes() -> None:
    fits = [pair("a"), pair("b", outcome="warns", warnings=("close",))]
    same = compare(own_results(fits, "base"), own_results(fits, ""))
    assert not anything_to_say(fits, same)
    assert anything_to_say(fits, None)
    assert anything_to_say(*changed())
    fails = [over()]
    unchanged = compare(own_results(fails, "base"), own_results(fails, ""))
    assert anything_to_say(fails, unchanged)


# Names that try to break out


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_every_place(text: str) -> None:
    tree = rendered(markdown.render([hostile_pair(text), pair("honest")]))
    assert {element.tag for element in tree.iter() if isinstance(element.tag, str)} <= OURS
    assert not [element for element in tree.iter() if set(element.attrib) - {"open", "style"}]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_does_not_disturb_the_table(text: str) -> None:
    rows = table_rows(markdown.render([hostile_pair(text), pair("honest")]))
    assert [len(row) for row in rows] == [6, 6]
    assert rows[1][1:3] == ["honest", "arduino-nano-33-ble"]


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.strip()])
@pytest.mark.parametrize("escape", [words, markdown_code])
def test_escaped_text_reads_as_it_was(text: str, escape: object) -> None:
    assert callable(escape)
    shown = text_of(rendered(f"| head |\n| --- |\n| {escape(text)} |"))
    expected = " ".join(printable(text, limit=500).split())
    assert " ".join(shown.split()) == f"head {expected}"


@pytest.mark.parametrize("sign", ["@octocat", "#12", "$3", "~label"])
def test_a_mention_is_parted_from_its_name(sign: str) -> None:
    """GitHub looks for mentions in the text after it has resolved character references."""
    pieces = list(texts(rendered(words(f"see {sign}"))))
    assert not any(sign in piece for piece in pieces)
    assert "".join(pieces).strip() == f"see {sign}"


def test_control_and_bidirectional_characters_are_visible() -> None:
    text = markdown.render([hostile_pair("\u202eabc\x1b[31m")])
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "u202e" in text
