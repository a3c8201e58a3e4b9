"""The HTML page and the picture of the arena: valid, complete, closed to hostile names, small."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
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
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.gate.shrunken import firmwares_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.report import html
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


def test_the_page_needs_no_network_and_no_script() -> None:
    page = html.render(*changed())
    tree = parsed(page)
    assert not elements(tree, "script")
    assert not [each for each in tree.iter() if {"src", "onclick", "onload"} & set(each.attrib)]
    links = [each.get("href", "") for each in tree.iter() if "href" in each.attrib]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    assert set(re.findall(r"https?://[^\"]+", page)) == {"http://www.w3.org/2000/svg"}


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
    flash, ram = elements(table, "span", class_="bar")
    assert "over" in flash.get("class", "")
    assert "over" not in ram.get("class", "")
    assert ram.find("i").get("style") == "width:75%"  # type: ignore[union-attr]


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


def test_parts_are_numbered_in_the_bar_and_in_its_table() -> None:
    flash, ram = elements(parsed(html.render([over()])), "table", class_="parts")
    assert text_of(flash.find("caption")).startswith("Flash by part, 268.3 KB in all")  # type: ignore[arg-type]
    rows = [[text_of(cell) for cell in row.iter("td")] for row in flash.iter("tr")]
    assert rows[1:] == [
        ["1", "model", "240.0 KB", "89 %", "exact"],
        ["2", "runtime core", "20.0 KB", "7 %", "measured"],
        ["3", "kernels", "8.3 KB", "3 %", "estimated"],
    ]
    widths = [
        float(part.get("style", "").removeprefix("width:").removesuffix("%"))
        for part in elements(flash, "span", class_="stack")[0]
    ]
    assert sum(widths) == pytest.approx(100, abs=0.3)
    assert text_of(ram.find("caption")).startswith("RAM by part, 48.0 KB")  # type: ignore[arg-type]


def test_the_layers_table_marks_the_peak_in_words() -> None:
    (table,) = elements(parsed(html.render([over()])), "table", class_="layers")
    heads = [text_of(head) for head in table.iter("th") if head.get("scope") == "row"]
    assert heads == ["CONV_2D #0 (peak)", "FULLY_CONNECTED #1", "SOFTMAX #2"]


def test_the_difference_to_the_baseline_is_beside_each_model() -> None:
    tree = parsed(html.render(*changed()))
    assert "Compared with commit 1a2b3c4d5e6f" in text_of(tree)
    assert "No longer declared: gone on arduino-nano-33-ble" in text_of(tree)
    (grown,) = [
        each
        for each in elements(tree, "details", class_="model")
        if text_of(each).startswith("grown")
    ]
    (table,) = elements(grown, "table", class_="diff")
    rows = [[text_of(cell) for cell in row] for row in table.iter("tr")]
    assert rows[1] == ["flash", "200.0 KB", "210.0 KB", "+10.0 KB (+5.0 %)"]
    assert "layer added: ADD" in text_of(grown)


def test_sizes_that_round_to_the_same_are_told_in_bytes() -> None:
    sides = ([pair(measures=(measure("flash", 200 * KB + more),))] for more in (0, 16))
    base, head = sides
    comparison = compare(own_results(base, "base"), own_results(head, ""))
    (table,) = elements(parsed(html.render(head, comparison)), "table", class_="diff")
    assert "204,800 B 204,816 B +16 B" in " ".join(text_of(cell) for cell in table.iter("td"))


def test_boards_of_one_runtime_share_a_picture() -> None:
    tree = parsed(html.render([over(), over(board="esp32")]))
    assert len(elements(tree, "figure")) == 1
    tree = parsed(html.render([over(), over(board="esp32", runtime="vendor")]))
    assert len(elements(tree, "figure")) == 2


@pytest.mark.parametrize("layers", [12, 60, 400])
def test_twenty_models_take_less_than_200_kb(layers: int) -> None:
    page = html.render([deep(f"model{number}", layers) for number in range(20)])
    assert len(page.encode()) < 200_000
    tree = parsed(page)
    assert len(elements(tree, "figure")) == 20
    if layers == 400:
        assert "largest; tinybudget inspect -v shows all" in text_of(tree)


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


# A real browser


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_the_page_without_overflow(width: int, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    probe = (
        "<script>document.title=[document.documentElement.scrollWidth,"
        "document.querySelectorAll('svg rect').length].join(' ')</script></body>"
    )
    page.write_text(html.render(*changed()).replace("</body>", probe), encoding="utf-8")
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--window-size={width},900", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert found is not None
    assert int(found[1]) <= max(width, 500)  # headless windows are at least 500 wide
    assert int(found[2]) > 8
