"""The HTML page and the picture of the arena: valid, complete, closed to hostile names, small."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import NoReturn
from xml.etree import ElementTree

import html5lib
import pytest
from conftest import keyword_model
from modelmaker import ModelMaker
from msgspec.structs import replace
from report_changes import HOSTILE
from report_changes import changed
from report_changes import hostile_pair
from report_samples import KB
from report_samples import error
from report_samples import footprint
from report_samples import layer
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.origin import Link
from pytest_tinybudget.baseline.origin import Origin
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.gate.shrunken import firmwares_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.report import html
from pytest_tinybudget.report import page_details
from pytest_tinybudget.report import svg
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import load_results
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.shrinking.report import FilePart
from pytest_tinybudget.shrinking.report import ShrinkReport
from pytest_tinybudget.shrinking.shrink import shrink_model


TEMPLATE = Path(html.__file__).parent / "templates" / "page.html"

SVG = "{http://www.w3.org/2000/svg}"

EVERY_KIND = [
    over(),
    over(board="esp32"),
    pair("vad", outcome="warns", warnings=("close",), footprint=footprint()),
    refused(),
    error(),
    pair("wish", outcome="unmet", headline="not exact"),
    pair("no-arena", footprint=footprint(arena=None)),
]


def parsed(page: str) -> ElementTree.Element:
    """The page by a strict parser: any mistake in it is an exception."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree: ElementTree.Element = parser.parse(page)
    return tree


def elements(tree: ElementTree.Element, tag: str, **attributes: str) -> list[ElementTree.Element]:
    wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    return [
        element
        for element in tree.iter(tag)
        if all(value in element.get(name, "").split() for name, value in wanted.items())
    ]


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def deep(model: str, layers: int) -> PairResult:
    """A model of many layers, each with an output that the next one reads."""
    arena = footprint().arena
    assert arena is not None
    name = "functional_1/block_{}/conv/BiasAdd;functional_1/block_{}/relu/Relu"
    buffers = tuple(
        LiveBuffer(
            name.format(index, index), "tensor", 8000, 8000 * (index % 2), index, index + 1, 0, 0
        )
        for index in range(layers)
    )
    return pair(
        model,
        outcome="warns",
        warnings=("close",),
        measures=over().measures,
        footprint=footprint(
            layers=tuple(layer(index, name=name.format(index, index)) for index in range(layers)),
            arena=replace(arena, buffers=buffers),
        ),
    )


@pytest.mark.parametrize("results", [[], [pair()], EVERY_KIND], ids=["none", "one", "all kinds"])
def test_the_page_is_valid_html(results: list[PairResult]) -> None:
    parsed(html.render(results))


def test_the_page_with_a_comparison_is_valid_html() -> None:
    parsed(html.render(*changed()))


def policy_of(tree: ElementTree.Element) -> dict[str, str]:
    """The content security policy of a page: the sources of each directive."""
    (meta,) = [each for each in tree.iter("meta") if each.get("http-equiv")]
    assert meta.get("http-equiv") == "Content-Security-Policy"
    directives = (each.strip().partition(" ") for each in meta.get("content", "").split(";"))
    return {name: sources for name, _, sources in directives}


def hash_of(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def test_the_page_needs_no_network() -> None:
    page = html.render(*changed())
    tree = parsed(page)
    assert not [each for each in tree.iter() if "src" in each.attrib]
    links = [each.get("href", "") for each in tree.iter() if "href" in each.attrib]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    assert set(re.findall(r"https?://[^\"]+", page)) == {"http://www.w3.org/2000/svg"}


def test_the_policy_of_the_page_lets_its_own_style_and_script_be_used_and_nothing_else() -> None:
    tree = parsed(html.render([hostile_pair("</script><script>alert(1)</script>")]))
    policy = policy_of(tree)
    (style,) = tree.iter("style")
    (script,) = [each for each in tree.iter("script") if not each.get("type")]
    assert policy["style-src"] == hash_of(style.text or "")
    assert policy["script-src"] == hash_of(script.text or "")
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    inline = [name for each in tree.iter() for name in each.attrib if name.startswith("on")]
    assert inline == []
    assert not [each for each in tree.iter() if "style" in each.attrib]


def test_the_script_writes_no_markup_and_runs_no_text() -> None:
    script = (TEMPLATE.parent / "page.js").read_text("utf-8")
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert word not in script
    assert "</" not in script


def test_every_link_leads_somewhere_and_ids_are_unique() -> None:
    tree = parsed(html.render(EVERY_KIND))
    ids = [each.get("id", "") for each in tree.iter() if "id" in each.attrib]
    assert len(ids) == len(set(ids))
    targets = {each.get("href", "").removeprefix("#") for each in tree.iter("a")}
    assert targets <= set(ids)


def test_the_matrix_has_a_row_for_each_model_and_a_column_for_each_board() -> None:
    (table,) = elements(parsed(html.render(EVERY_KIND)), "table", class_="matrix")
    heads = [text_of(head) for head in table.iter("th") if head.get("scope") == "col"]
    assert heads == ["Model", "arduino-nano-33-ble", "esp32"]
    rows = [text_of(head) for head in table.iter("th") if head.get("scope") == "row"]
    assert rows[:2] == ["hybrid", "kws"]
    assert len(rows) == 6


def test_a_cell_says_in_words_what_its_bars_show() -> None:
    (table,) = elements(parsed(html.render([over()])), "table", class_="matrix")
    cell = text_of(next(table.iter("td")))
    assert cell == (
        "✗ FAIL flash 105 % ~268.3 of 256.0 KB, 12.3 KB over RAM 75 % 48.0 of 64.0 KB, 16.0 KB free"
    )
    flash, ram = elements(table, f"{SVG}svg", class_="bar")
    assert "over" in flash.get("class", "")
    assert "over" not in ram.get("class", "")
    assert ram.find(f"{SVG}rect").get("width") == "75%"  # type: ignore[union-attr]


def test_the_lead_counts_the_pairs_and_color_is_not_the_only_cue() -> None:
    tree = parsed(html.render(EVERY_KIND))
    (lead,) = elements(tree, "p", class_="lead")
    assert text_of(lead).startswith("✗ 7 pairs: 1 refused by TFLM, 2 over budget")
    for badge in tree.iter("b"):
        assert re.match(r"[✓!✗] (PASS|WARN|FAIL|ERROR)", text_of(badge))


def test_a_failing_model_is_open_and_says_what_would_fix_it() -> None:
    results = [over(), *(pair(f"fits{number}") for number in range(5))]
    models = elements(parsed(html.render(results)), "details", class_="model")
    assert ["open" in model.attrib for model in models] == [True, *[False] * 5]
    assert over().reasons[0] in text_of(models[0])
    assert "see docs/size.md" in text_of(models[0])


def test_what_is_good_to_know_of_a_pair_that_fits_is_shown() -> None:
    tree = parsed(html.render([pair(notes=("INT8 agrees with float in 99 % of the samples",))]))
    assert "INT8 agrees with float in 99 % of the samples" in text_of(tree)


def table_of(tree: ElementTree.Element, name: str, place: int = 0) -> list[list[str]]:
    """The cells of the table of a class."""
    table = elements(tree, "table", class_=name)[place]
    return [[text_of(cell) for cell in row] for row in table.iter("tr")]


def test_parts_have_a_column_for_each_runtime_and_say_how_they_are_known() -> None:
    smaller = (Part("model", 240 * KB, "exact"), Part("kernels", 4 * KB, "table"))
    other = over(
        board="esp32",
        runtime="vendor",
        measures=(measure("flash", 244 * KB, 256 * KB, parts=smaller),),
    )
    tree = parsed(html.render([over(), over(board="nicla"), other]))
    assert table_of(tree, "parts") == [
        ["Part", "How known", "arduino-nano-33-ble, nicla", "esp32"],
        ["model", "exact", "240.0 KB", "240.0 KB"],
        ["runtime core", "measured", "20.0 KB", "–"],
        ["kernels", "estimated, measured", "8.3 KB", "4.0 KB"],
        ["in all", "", "268.3 KB", "244.0 KB"],
    ]
    assert table_of(tree, "parts", 1)[-1] == ["in all", "", "48.0 KB", "–"]


# What the script draws


def details_of(tree: ElementTree.Element) -> list[Any]:
    """What each model's script gets."""
    return [
        page_details.unpacked(each.text or "")
        for each in elements(tree, "script", type="application/x-tinybudget")
    ]


def node(tree: list[Any], *path: str) -> list[Any]:
    """The node of the tree of flash at ``path``."""
    for name in path:
        (tree,) = [each for each in tree[5] if each[0] == name]
    return tree


def flash_of(parts: tuple[Part, ...], layers: tuple[Layer, ...] = ()) -> list[Any]:
    """The tree of flash of a pair with these parts."""
    used = sum(part.bytes + part.margin_bytes for part in parts)
    result = pair(
        measures=(measure("flash", used, parts=parts),), footprint=footprint(layers=layers)
    )
    (details,) = details_of(parsed(html.render([result])))
    return details["groups"][0]["flash"]


def require_sums(tree: list[Any]) -> None:
    """Every node is as large as those inside."""
    if tree[5]:
        assert tree[1] == sum(each[1] for each in tree[5]), tree[0]
    for each in tree[5]:
        require_sums(each)


WEIGHTS = (
    Part("model: weights", 1000, "exact"),
    Part("model: graph structure", 300, "exact"),
    Part("operator CONV_2D", 500, "table", margin_bytes=5),
    Part("shared between operators", 40, "table"),
    Part("runtime core", 700, "table"),
    Part("nothing", 0, "exact"),
    Part("own bootloader", 64, "declared"),
)


def test_flash_goes_from_the_model_to_its_layers_and_from_the_runtime_to_its_operators() -> None:
    layers = (layer(0, weights_bytes=600), layer(1, weights_bytes=300), layer(2, weights_bytes=0))
    tree = flash_of(WEIGHTS, layers)
    require_sums(tree)
    assert tree[1] == 2609
    assert [each[0] for each in tree[5]] == ["model", "runtime", "declared"]
    assert [each[:2] for each in node(tree, "model", "weights")[5]] == [
        ["CONV_2D #0 block/conv0", 600],
        ["CONV_2D #1 block/conv1", 300],
        ["not read by a layer", 100],
    ]
    assert node(tree, "runtime", "operators", "CONV_2D")[1:4] == [
        505,
        "o",
        "measured, margin of 5 B",
    ]


def test_constants_that_several_layers_read_are_counted_once_in_the_tree_of_flash() -> None:
    layers = (layer(0, weights_bytes=1000), layer(1, weights_bytes=1000))
    tree = flash_of(WEIGHTS, layers)
    require_sums(tree)
    shares = node(tree, "model", "weights")[5]
    assert [each[1] for each in shares] == [500, 500]
    assert shares[0][3] == "its share; it reads 1,000 B with others"


def test_the_tree_of_flash_says_what_each_part_was_on_the_base() -> None:
    sides = [
        [pair(measures=(measure("flash", sum(each.bytes for each in parts), parts=parts),))]
        for parts in (WEIGHTS[:3], (*WEIGHTS[:2], Part("operator CONV_2D", 900, "table")))
    ]
    head = [replace(sides[1][0], footprint=footprint())]
    comparison = compare(own_results(sides[0], "base"), own_results(head, ""))
    (details,) = details_of(parsed(html.render(head, comparison)))
    tree = details["groups"][0]["flash"]
    assert node(tree, "runtime", "operators", "CONV_2D")[4] == 505
    assert node(tree, "runtime")[4] == 505
    assert tree[4] == 1805


def test_the_timeline_has_the_arena_before_and_after() -> None:
    results, comparison = changed()
    tree = parsed(html.render(results, comparison))
    (grown,) = [
        each
        for each in elements(tree, "details", class_="model")
        if text_of(each).startswith("grown")
    ]
    (details,) = details_of(grown)
    (group,) = details["groups"]
    sides = [len(group[side]["layers"]) for side in ("base", "now")]
    assert sides == [3, 4]
    arena = group["now"]["arena"]
    assert (arena["required"], arena["head"], arena["tail"]) == (46 * KB, 32000, 4 * KB)
    names = details["names"]
    assert [[names[each[0]], *each[2:]] for each in arena["buffers"]][:2] == [
        ["small", 4000, 24000, 1, 3],
        ["input", 8000, 0, 0, 1],
    ]
    assert [each[10] for each in group["now"]["layers"]] == [1, 0, 0, 0]


def test_the_difference_to_the_baseline_is_beside_each_model() -> None:
    tree = parsed(html.render(*changed()))
    assert "Compared with commit 1a2b3c4d5e6f" in text_of(tree)
    assert "No longer declared: gone on arduino-nano-33-ble" in text_of(tree)
    (grown,) = [
        each
        for each in elements(tree, "details", class_="model")
        if text_of(each).startswith("grown")
    ]
    rows = table_of(grown, "sizes")
    assert rows[:3] == [
        ["Memory", "Base", "Now", "Change", "Limit", "Left"],
        ["arduino-nano-33-ble ✓ PASS"],
        ["flash", "200.0 KB", "210.0 KB", "+10.0 KB (+5.0 %)", "256.0 KB", "46.0 KB free"],
    ]
    assert "layer added: ADD" in text_of(grown)


def test_sizes_that_round_to_the_same_are_told_in_bytes() -> None:
    sides = ([pair(measures=(measure("flash", 200 * KB + more),))] for more in (0, 16))
    base, head = sides
    comparison = compare(own_results(base, "base"), own_results(head, ""))
    row = table_of(parsed(html.render(head, comparison)), "sizes")[2]
    assert row[1:4] == ["204,800 B", "204,816 B", "+16 B (+<0.1 %)"]


def test_boards_of_one_runtime_share_their_details_and_all_boards_have_them() -> None:
    (details,) = details_of(parsed(html.render([over(), over(board="esp32")])))
    assert [each["group"] for each in details["boards"]] == [0, 0]
    results = [over(), over(board="esp32", runtime="vendor"), over(board="nicla")]
    (details,) = details_of(parsed(html.render(results)))
    assert {each["name"]: each["group"] for each in details["boards"]} == {
        "arduino-nano-33-ble": 0,
        "nicla": 0,
        "esp32": 1,
    }
    assert [len(each["now"]["layers"]) for each in details["groups"]] == [3, 3]


@pytest.mark.parametrize("layers", [12, 60, 400])
def test_forty_pairs_take_less_than_600_kb_with_all_their_layers(layers: int) -> None:
    boards = ("nano", "pico")
    results = [
        replace(deep(f"model{number}", layers), board=board, id=f"t::model{number}::{board}")
        for number in range(20)
        for board in boards
    ]
    page = html.render(results)
    assert len(page.encode()) < 600_000
    every = details_of(parsed(page))
    assert len(every) == 20
    assert {len(each["groups"][0]["now"]["layers"]) for each in every} == {layers}


def test_a_model_too_large_for_the_page_is_shown_with_its_heaviest_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = len(html.render([deep("model", 32)]).encode())
    monkeypatch.setattr(html, "_LARGEST_BYTES", small)
    (details,) = details_of(parsed(html.render([deep("model", 200)])))
    now = details["groups"][0]["now"]
    assert now["all"] == 200
    assert len(now["layers"]) in (8, 32)


def test_filters_count_the_models_that_match_on_any_board() -> None:
    tree = parsed(html.render(*changed()))
    (tools,) = elements(tree, "form", class_="tools")
    assert "hidden" in tools.attrib, "without scripts there is nothing that does not work"
    buttons = {each.get("data-show"): text_of(each) for each in tools.iter("button")}
    del buttons[None]
    assert buttons == {
        "all": "All 7",
        "failing": "Failing 3",
        "new": "New failures 2",
        "changed": "Changed 5",
        "warning": "Warnings 0",
    }
    cells = [each for each in tree.iter("td") if "data-f" in each.attrib]
    assert sorted(each.get("data-f", "") for each in cells) == sorted(
        ["f", "c", "", "c", "c", "fnc", "fnc"]
    )


def test_what_is_the_same_for_all_boards_is_said_once() -> None:
    results = [over(board=board) for board in ("a", "b", "c")]
    (model,) = elements(parsed(html.render(results)), "details", class_="model")
    said = text_of(model)
    assert said.count(over().reasons[0]) == 1
    assert said.count("see docs/size.md") == 1
    assert "✗ FAIL on all 3 boards" in said


def test_a_link_to_a_model_is_its_name_whatever_is_in_it() -> None:
    results = [pair(name) for name in ("kws", "k w/s", "k w?s", "../..")]
    tree = parsed(html.render(results))
    keys = {each.get("id") for each in elements(tree, "details", class_="model")}
    assert keys == {"m-kws", "m-k-w-s", "m-k-w-s-2", "m-model"}


def test_the_head_says_where_the_results_come_from() -> None:
    origin = Origin(
        repository=Link("acme/doorbell", "https://github.com/acme/doorbell"),
        commits=(Link("1a2b3c of 2026-11-30"),),
        run=Link("GitHub Actions run 7", "https://github.com/acme/doorbell/actions/runs/7"),
        written="2026-11-30 10:00 UTC",
    )
    (facts,) = elements(parsed(html.render([over()], origin=origin)), "dl", class_="facts")
    assert [[text_of(each) for each in group] for group in facts] == [
        ["Repository", "acme/doorbell"],
        ["Commit", "1a2b3c of 2026-11-30"],
        ["Run", "GitHub Actions run 7"],
        ["Written", "2026-11-30 10:00 UTC"],
        ["Tool", "pytest-tinybudget 0.1.0"],
        ["Runtime", "TFLM 90b983c2, Cortex-M4F, CMSIS-NN with DSP"],
    ]
    links = {text_of(each): each.get("href") for each in facts.iter("a")}
    assert links["acme/doorbell"] == "https://github.com/acme/doorbell"
    assert {each.get("rel") for each in facts.iter("a")} == {"noreferrer noopener"}


def test_the_same_results_give_the_same_page() -> None:
    assert html.render(EVERY_KIND) == html.render(EVERY_KIND[::-1])


@pytest.mark.parametrize("text", [text for text in HOSTILE if text])
def test_hostile_names_stay_text(text: str) -> None:
    honest, hostile = (
        parsed(html.render([hostile_pair(each), pair("honest")])) for each in ("plain", text)
    )
    tags = [sorted({str(each.tag) for each in tree.iter()}) for tree in (honest, hostile)]
    assert tags[0] == tags[1]
    assert len(list(hostile.iter())) == len(list(honest.iter()))
    shown = printable(text, limit=500).strip()
    assert shown[:40] in text_of(hostile) or " ".join(shown.split())[:40] in text_of(hostile)


def test_whatever_the_page_is_given_is_escaped_where_it_is_put() -> None:
    """No value needs a function to escape it: jinja2 does that for each."""
    sources = re.findall(r"\{\{(.*?)\}\}", TEMPLATE.read_text("utf-8"), re.DOTALL)
    assert len(sources) > 50
    assert not [each for each in sources if "safe" in each or "Markup" in each]
    page = html.render([pair("<i>&\"'", headline="<script>")])
    assert "<i>&" not in page
    assert "&lt;i&gt;&amp;&#34;&#39;" in page


def test_only_writing_a_page_imports_the_template_engine(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_text(writer.render(EVERY_KIND))
    code = (
        "import sys\nfrom pytest_tinybudget.cli import main\n"
        "main(['report', sys.argv[1], '--format', sys.argv[2], '-o', sys.argv[3]])\n"
        "print('jinja2' in sys.modules)"
    )
    found = {
        name: subprocess.run(
            [sys.executable, "-c", code, str(results), name, str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for name in ("html", "markdown", "csv")
    }
    assert found == {"html": "True", "markdown": "False", "csv": "False"}


# The picture of the arena


def picture(**options: object) -> ElementTree.Element:
    sample = footprint()
    assert sample.arena is not None
    return ElementTree.fromstring(
        svg.arena_timeline(sample.arena, sample.layers, "kws", **options)  # type: ignore[arg-type]
    )


def titles(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}title")]


def test_every_buffer_is_drawn_with_its_words() -> None:
    found = titles(picture())
    assert "input: 7.8 KB at 0, input to CONV_2D #0" in found
    assert "big: 15.6 KB at 16000, CONV_2D #0" in found
    assert "late: 7.8 KB at 0, SOFTMAX #2 to time 4" in found
    assert "persistent, 4.0 KB" in found
    assert any(title.startswith("room to set up") for title in found)


def test_what_is_alive_at_the_peak_is_hatched() -> None:
    root = picture(key="7")
    hatched = {
        title.text.partition(":")[0]  # type: ignore[union-attr]
        for rect in root.iter(f"{SVG}rect")
        if rect.get("fill") == "url(#hatch7)"
        for title in rect.iter(f"{SVG}title")
    }
    assert hatched == {"small", "input", "big"}


def test_shapes_lie_at_their_offsets_and_times() -> None:
    root = picture()
    boxes = {
        title.text.partition(":")[0]: [  # type: ignore[union-attr]
            float(rect.get(side, "")) for side in ("x", "y", "width", "height")
        ]
        for rect in root.iter(f"{SVG}rect")
        for title in rect.iter(f"{SVG}title")
    }
    # Times 0 to 4 are five columns; the picture is 46 KB high.
    column, pixel = 880 / 5, 300 / (46 * KB)
    assert boxes["late"] == pytest.approx(
        [70 + 3 * column, 344 - 8000 * pixel, 2 * column, 8000 * pixel], abs=1
    )
    assert boxes["big"][1] == pytest.approx(344 - 32000 * pixel, abs=0.1)


@pytest.mark.parametrize(
    "damage",
    [
        {"bytes": 10**400},
        {"offset": -(10**400)},
        {"first": -7, "last": -9},
        {"last": 10**400},
        {"first": 3, "last": 1},
    ],
)
def test_a_damaged_plan_is_drawn_without_what_cannot_be(damage: dict[str, int]) -> None:
    arena = footprint().arena
    assert arena is not None
    broken = replace(arena.buffers[0], owner="broken", **damage)
    drawing = svg.arena_timeline(replace(arena, buffers=(broken, *arena.buffers)), (), "kws")
    found = titles(ElementTree.fromstring(drawing))
    assert not any(title.startswith("broken") for title in found)
    assert any(title.startswith("late") for title in found)


def test_a_limit_in_sight_is_a_line_and_one_out_of_sight_is_words() -> None:
    near = picture(limit=svg.Limit(40 * KB, "budget"))
    far = picture(limit=svg.Limit(400 * KB, "budget"))
    assert [each.get("class") for each in near.iter(f"{SVG}path")].count("limit") == 1
    assert [each.get("class") for each in far.iter(f"{SVG}path")].count("limit") == 0
    assert "limit 40.0 KB (budget)" in "".join(near.itertext())
    assert "↑ limit 400.0 KB (budget)" in "".join(far.itertext())


def test_the_picture_has_a_summary_for_who_does_not_see_it() -> None:
    root = picture()
    assert root.get("role") == "img"
    assert root.get("aria-label") == (
        "kws: tensor arena of 46.0 KB. Activations and scratch take up to 31.2 KB, with the peak "
        "at CONV_2D #0; 4.0 KB persist."
    )


def test_inspect_draws_the_picture_alone(tmp_path: Path) -> None:
    model, drawing = tmp_path / "kws.tflite", tmp_path / "deep" / "kws.svg"
    model.write_bytes(keyword_model())
    assert (
        main(["inspect", str(model), "--svg", str(drawing), "--board", "arduino-nano-33-ble"]) == 0
    )
    root = ElementTree.fromstring(drawing.read_text("utf-8"))
    assert root.tag == f"{SVG}svg"
    assert "prefers-color-scheme:dark" in (root.findtext(f"{SVG}style") or "")
    assert any("CONV_2D" in title for title in titles(root))


def test_inspect_says_when_there_is_no_arena_to_draw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker = ModelMaker()
    graph = maker.graph("odd")
    graph.output(graph.unary("GELU", graph.input((1, 4))))  # TFLM has no such operator
    model = tmp_path / "odd.tflite"
    model.write_bytes(maker.build())
    assert main(["inspect", str(model), "--svg", "-"]) == 2
    assert "odd: no arena to draw: TFLM refuses the model" in capsys.readouterr().err


# What of the files is waste

WASTE = """\
[defaults]
boards = ["raspberry-pi-pico", "arduino-nano-33-ble"]
[models.kws]
source = "kws.tflite"
[models.small]
source = "kws.tflite"
shrink = true
[groups.both]
models = ["kws", "small"]
boards = ["raspberry-pi-pico"]
"""


def labeled(folder: Path) -> Model:
    """A declaration with a model whose file is larger than it must be."""
    maker = ModelMaker(description="a model of many words " * 40)
    graph = maker.graph()
    graph.output(graph.unary("RELU", graph.input((1, 64))))
    (folder / "kws.tflite").write_bytes(maker.build())
    (folder / "tinybudget.toml").write_text(WASTE, "utf-8")
    return read_model(maker.build(), "kws")


def waste_of(file: Path) -> dict[str, list[tuple[str, int]]]:
    """By pair what the results file says is waste: each model and how many bytes."""
    return {
        each.id.partition("::")[2]: [(found.model, found.saved_bytes) for found in each.waste]
        for each in load_results(file).pairs
    }


@pytest.mark.parametrize("option", ["--html=page.html", "--report=html=page.html"])
def test_a_run_that_writes_the_page_says_what_of_each_file_is_waste(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = labeled(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796000000")
    assert main(["check", option, "--json", "page.json"]) == 0
    capsys.readouterr()
    boards = map(find_board, ("raspberry-pi-pico", "arduino-nano-33-ble"))
    report = shrink_model(model, firmwares_of(boards)).report
    wasted = [("kws", report.saved_bytes)]
    assert report.saved_bytes > 800
    assert waste_of(Path("page.json")) == {
        "groups.both::raspberry-pi-pico": wasted,
        "kws::arduino-nano-33-ble": wasted,
        "kws::raspberry-pi-pico": wasted,
        "small::arduino-nano-33-ble": [],
        "small::raspberry-pi-pico": [],
    }
    tables = {
        text_of(table[0]): [[text_of(cell) for cell in row] for row in table.iter("tr")]
        for table in elements(parsed(Path("page.html").read_text("utf-8")), "table", class_="file")
    }
    title = report.waste_text.replace("file", "File", 1)
    shrunk = f"File: {report.sizes}"
    assert set(tables) == {title, shrunk}
    names = next(part for part in report.parts if part.name == "names and descriptions")
    row = [names.name, f"{names.before:,} B", f"{names.saved:,} B"]
    assert [each for each in tables[title] if each[0] == names.name] == [row]
    assert tables[title][0] == ["Part", "Size", "Waste"]
    assert tables[shrunk][0] == ["Part", "Before", "Saved"]
    assert main(["report", "page.json", "--format", "html", "-o", "again.html"]) == 0
    assert Path("again.html").read_bytes() == Path("page.html").read_bytes()


def test_a_run_without_the_page_looks_for_no_waste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labeled(tmp_path)

    def never(*_: object) -> NoReturn:
        raise AssertionError("looked for waste")

    monkeypatch.setattr("pytest_tinybudget.gate.waste.with_waste", never)
    assert main(["check", "--json", "plain.json", "--report", "markdown=plain.md"]) == 0
    assert set(map(tuple, waste_of(Path("plain.json")).values())) == {()}
    assert main(["report", "plain.json", "--format", "html", "-o", "plain.html"]) == 0
    page = Path("plain.html").read_text("utf-8")
    assert "waste" not in page
    with pytest.raises(AssertionError, match="looked for waste"):
        main(["check", "--html", "page.html"])


@pytest.mark.parametrize(
    "option", ["--tinybudget-html=page.html", "--tinybudget-report=html=page.html"]
)
def test_pytest_shows_on_the_page_what_of_a_file_is_waste(
    option: str, project: Callable[..., pytest.Pytester]
) -> None:
    pytester = project()
    pytester.runpytest_inprocess("--tinybudget", option)
    page = (pytester.path / "page.html").read_text("utf-8")
    assert page.count("are waste (tinybudget shrink)") == 2


def test_a_file_that_shrinking_leaves_as_it_is_has_no_table() -> None:
    left = ShrinkReport("kws", 2000, 2000, unchanged="it has sparse tensors")
    none = ShrinkReport(
        "kws", 2000, 2000, parts=(FilePart("layout", 50, 50),), unchanged="it is as small as can be"
    )
    page = parsed(html.render([pair(waste=(left,))]))
    assert not elements(page, "table", class_="file")
    said = "File: 2.0 KB, which tinybudget shrink leaves as it is: it has sparse tensors"
    assert said in map(text_of, page.iter("p"))
    both = parsed(html.render([pair(waste=(left, replace(none, model="Vad")))]))
    assert said.replace("File", "File of kws") in map(text_of, both.iter("p"))
    (table,) = elements(both, "table", class_="file")
    assert text_of(table[0]) == "File of Vad: 2.0 KB, none of it waste"
    (table,) = elements(parsed(html.render([pair(waste=(none,))])), "table", class_="file")
    assert text_of(table) == "File: 2.0 KB, none of it wastePartSizeWastelayout50 B–"
