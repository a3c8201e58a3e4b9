"""The page in a real browser: what its script does, by mouse, keyboard and screen reader.

Needs Chromium, Playwright, which drives it, and axe-core, which looks for what people cannot use;
where one is missing, the tests skip. The browser is started once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from report_changes import HOSTILE
from report_changes import hostile_pair
from report_samples import KB
from report_samples import footprint
from report_samples import layer
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.history import Entry
from pytest_tinybudget.baseline.history import history
from pytest_tinybudget.baseline.origin import Link
from pytest_tinybudget.baseline.origin import Origin
from pytest_tinybudget.fitting import fit
from pytest_tinybudget.fitting import render
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.report import html
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import PairResult


playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

BOARDS = ("arduino-nano-33-ble", "esp32", "raspberry-pi-pico", "stm32f746g-discovery")

PARTS = (
    Part("model: weights", 100 * KB, "exact"),
    Part("model: graph structure", 20 * KB, "exact"),
    Part("operator CONV_2D", 40 * KB, "table"),
    Part("operator SOFTMAX", 8 * KB, "table"),
    Part("runtime core", 12 * KB, "table"),
)


class Opened:
    """A page in the browser, with whatever it wrote to the console or threw."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(file.as_uri())

    def close(self) -> None:
        """Close it; it must have had nothing to complain of."""
        self.context.close()
        assert self.errors == []

    def rows(self) -> list[str]:
        """The models that the matrix shows, in its order."""
        return self.shown(".matrix tbody th")

    def shown(self, selector: str) -> list[str]:
        """The texts of what is visible of a kind."""
        found: list[str] = self.page.locator(selector).evaluate_all(
            "all => all.filter(each => each.checkVisibility()).map(each => each.innerText.trim())"
        )
        return found


def sample(model: str, flash_kb: int, ram_kb: int, board: str, **changes: Any) -> PairResult:
    measures = (
        measure("flash", flash_kb * KB, 256 * KB, parts=PARTS),
        measure("ram", ram_kb * KB, 64 * KB),
    )
    return pair(model, board, **({"measures": measures, "footprint": footprint()} | changes))


def results_of(*, grown: bool) -> list[PairResult]:
    parts = (*PARTS[:2], Part("operator CONV_2D", (60 if grown else 40) * KB, "table"), *PARTS[3:])
    more = footprint()
    if grown:
        assert more.arena is not None
        late = LiveBuffer("late", "tensor", 24000, 0, 3, 4, 0, 2)
        buffers = (*more.arena.buffers[:3], late)
        more = replace(more, arena=replace(more.arena, buffers=buffers))
    used = sum(part.bytes for part in parts)
    flash = measure("flash", used, 256 * KB, parts=parts)
    ram = measure("ram", 48 * KB, 64 * KB)
    return [
        *(
            sample(
                "keywords",
                180,
                48,
                board,
                measures=(flash, ram),
                footprint=more,
                model_sha256=("5" if grown else "6") * 64,
            )
            for board in BOARDS
        ),
        *(sample("anomaly", 100, 20, board) for board in BOARDS),
        *(
            over("wake_word", board)
            if board == "esp32" and grown
            else sample("wake_word", 240, 30, board)
            for board in BOARDS
        ),
        *(refused("machine", board) for board in BOARDS[:2]),
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a network."""
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-quic", "--proxy-server=http://127.0.0.1:9"],
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything that one can have."""
    base, head = results_of(grown=False), results_of(grown=True)
    comparison: Comparison = compare(
        own_results(base, "commit 1a2b3c4d5e6f"), own_results(head, "")
    )
    runs = [Entry(f"run-{number}", own_results(base, "")) for number in range(4)]
    origin = Origin(
        repository=Link("acme/doorbell", "https://github.com/acme/doorbell"),
        commits=(Link("9f8e7d of 2026-11-30"),),
        written="2026-11-30 10:00 UTC",
    )
    path = tmp_path_factory.mktemp("page") / "page.html"
    went = history([*runs, Entry("this run", own_results(head, ""))])
    path.write_text(html.render(head, comparison, origin, went), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def window(browser: Any, file: Path) -> Iterator[Opened]:
    """A wide window."""
    page = Opened(browser, file, viewport={"width": 1280, "height": 900})
    yield page
    page.close()


@pytest.fixture
def opened(window: Opened, file: Path) -> Iterator[Opened]:
    """The page anew in the wide window; it must leave no error in the console."""
    window.page.goto("about:blank")
    window.page.goto(file.as_uri())
    yield window
    assert window.errors == []


def test_the_bar_searches_filters_and_sorts_and_the_address_keeps_it(opened: Opened) -> None:
    page = opened.page
    assert opened.rows() == ["wake_word", "keywords", "machine", "anomaly"]
    page.keyboard.press("/")
    page.keyboard.type("word")
    assert opened.rows() == ["wake_word", "keywords"]
    assert page.locator("#hits").inner_text() == "2 of 4 models"
    assert opened.shown("details.model h3") == ["wake_word", "keywords"]
    page.fill("#q", "nothing like it")
    assert opened.rows() == []
    page.click("#reset")
    assert len(opened.rows()) == 4
    page.click("[data-show=failing]")
    assert opened.rows() == ["wake_word", "machine"]
    page.click("[data-show=new]")
    assert opened.rows() == ["wake_word"]
    page.click("[data-show=changed]")
    assert opened.rows() == ["wake_word", "keywords"]
    page.click("[data-show=all]")
    page.select_option("#board", label="raspberry-pi-pico")
    assert opened.rows() == ["wake_word", "keywords", "anomaly"]
    assert opened.shown(".matrix thead th") == ["Model", "raspberry-pi-pico"]
    page.select_option("#sort", "flash")
    assert opened.rows() == ["wake_word", "keywords", "anomaly"]
    page.select_option("#sort", "ram")
    assert opened.rows() == ["keywords", "wake_word", "anomaly"]
    page.select_option("#sort", "name")
    assert opened.rows() == ["anomaly", "keywords", "wake_word"]
    assert page.url.endswith("#?board=raspberry-pi-pico&sort=name")
    page.reload()
    assert opened.rows() == ["anomaly", "keywords", "wake_word"]
    assert page.locator("#board").evaluate("each => each.selectedOptions[0].text") == (
        "raspberry-pi-pico"
    )


def test_a_link_opens_its_model_even_where_a_filter_hid_it(opened: Opened) -> None:
    page = opened.page
    page.click("#close-all")
    page.click("[data-show=failing]")
    page.evaluate("location.hash = '#m-anomaly'")
    page.wait_for_selector("#m-anomaly[open] .map button")
    assert "anomaly" in opened.rows()
    top = page.locator("#m-anomaly").bounding_box()["y"]
    bar = page.locator("#tools").bounding_box()
    assert bar["y"] + bar["height"] <= top < 300, "below the bar, which stays at the top"


def test_heads_stay_where_the_reader_scrolls(opened: Opened) -> None:
    page = opened.page
    page.evaluate("document.querySelector('.matrix tbody tr:last-child').scrollIntoView()")
    page.evaluate("scrollBy(0, -160)")
    bar = page.locator("#tools").bounding_box()
    head = page.locator(".matrix thead th").nth(1).bounding_box()
    assert bar["y"] == 0
    assert head["y"] == pytest.approx(bar["height"], abs=1)


def tile(page: Any, text: str) -> Any:
    return page.locator(f"#m-keywords .map button[aria-label*='{text}']").first


def test_the_treemap_zooms_by_mouse_and_keyboard(opened: Opened) -> None:
    page = opened.page
    page.evaluate("document.querySelector('#m-keywords').open = true")
    page.locator("#m-keywords").scroll_into_view_if_needed()
    page.wait_for_selector("#m-keywords .map button")
    said = page.locator("#m-keywords .flash .said")
    assert said.inner_text() == "flash: 200.0 KB, 100 % of flash, +20.0 KB since the base"
    boxes = {
        name: tile(page, f"{name}: ").bounding_box()
        for name in ("flash › model", "flash › runtime")
    }
    areas = {name: box["width"] * box["height"] for name, box in boxes.items()}
    assert areas["flash › model"] / areas["flash › runtime"] == pytest.approx(120 / 80, rel=0.02)
    tile(page, "› CONV_2D: ").hover()
    assert said.inner_text() == (
        "flash › runtime › operators › CONV_2D: 60.0 KB, 30 % of flash, measured, "
        "+20.0 KB since the base"
    )
    tile(page, "flash › runtime: ").click(position={"x": 8, "y": 8})
    path = page.locator("#m-keywords .crumbs")
    assert path.inner_text().split("›")[-1].strip() == "runtime"
    assert tile(page, "model").count() == 0
    page.keyboard.press("Escape")
    assert "›" not in path.inner_text()
    # The reader is on the first tile: arrows go on, Enter goes in, Escape comes out.
    focused = "document.activeElement.getAttribute('aria-label')"
    first = page.evaluate(focused)
    assert first.startswith("flash › model: ")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) != first
    assert page.locator("#m-keywords .map button[tabindex='0']").count() == 1
    tile(page, "› weights: ").focus()
    page.keyboard.press("Enter")
    assert path.inner_text().split("›")[-1].strip() == "weights"
    assert page.evaluate(focused).startswith("flash › model › weights › ")
    page.locator("#m-keywords .crumbs button").first.click()
    assert "›" not in path.inner_text()


def test_the_timeline_shows_both_sides_on_one_scale_and_follows_mouse_and_keys(
    opened: Opened,
) -> None:
    page = opened.page
    page.evaluate("document.querySelector('#m-keywords').open = true")
    page.locator("#m-keywords").scroll_into_view_if_needed()
    page.wait_for_selector("#m-keywords .arena svg")
    figure = page.locator("#m-keywords .arena")
    assert "46.0 KB before, 46.0 KB now (±0 B)" in figure.inner_text()
    heights = [
        page.evaluate(
            "place => { const rects = [...document.querySelectorAll('#m-keywords .arena svg')]"
            "[place].querySelectorAll('rect'); return [...rects].filter(each => "
            "each.querySelector('title')?.textContent.startsWith('late'))"
            ".map(each => Number(each.getAttribute('height')))[0] }",
            place,
        )
        for place in (0, 1)
    ]
    assert heights[1] / heights[0] == pytest.approx(3)
    now = figure.locator(".said").nth(1)
    assert now.inner_text().startswith("CONV_2D #0 block/conv0: 27.3 KB alive in 3 buffers: big")
    slider = figure.locator("input[type=range]").nth(1)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert now.inner_text().startswith("SOFTMAX #2 probabilities: ")
    assert slider.get_attribute("aria-valuetext").startswith("SOFTMAX #2 probabilities: ")
    figure.locator("svg").nth(1).locator("rect", has_text="big").hover()
    assert now.inner_text() == "big: 15.6 KB at 16,000, CONV_2D #0"


def test_layers_come_when_they_are_opened_and_sort(opened: Opened) -> None:
    page = opened.page
    page.evaluate("document.querySelector('#m-wake_word').open = true")
    page.locator("#m-wake_word").scroll_into_view_if_needed()
    page.wait_for_selector("#m-wake_word .show summary")
    assert page.locator(".layers").count() == 0
    page.locator("#m-wake_word .show summary", has_text="3 layers").click()
    page.wait_for_selector("#m-wake_word .layers td")
    names = page.locator("#m-wake_word .layers tbody th")
    assert names.all_inner_texts() == ["CONV_2D #0 (peak)", "FULLY_CONNECTED #1", "SOFTMAX #2"]
    page.locator("#m-wake_word .layers thead button", has_text="Weights").click()
    assert names.first.inner_text() == "FULLY_CONNECTED #1"
    page.locator("#m-wake_word .layers thead button", has_text="Weights").click()
    assert names.first.inner_text() == "SOFTMAX #2"
    head = page.locator("#m-wake_word .layers thead th", has_text="Weights")
    assert head.get_attribute("aria-sort") == "ascending"


def test_the_trend_tells_each_run(opened: Opened) -> None:
    page = opened.page
    page.evaluate("document.querySelector('#m-keywords').open = true")
    page.locator("#m-keywords").scroll_into_view_if_needed()
    page.wait_for_selector("#m-keywords .trend svg")
    trend = page.locator("#m-keywords .trend")
    assert trend.locator("h4").inner_text() == "The last 5 runs"
    assert trend.locator(".said").first.inner_text().startswith("this run: 200.0 KB")
    trend.locator("input").first.focus()
    page.keyboard.press("ArrowLeft")
    assert trend.locator(".said").first.inner_text().startswith("run-3: 180.0 KB (184,320 B)")


def test_another_board_is_a_click_away(opened: Opened) -> None:
    page = opened.page
    page.locator("#m-wake_word").scroll_into_view_if_needed()
    page.wait_for_selector("#m-wake_word .picks button")
    picks = page.locator("#m-wake_word .picks button")
    assert picks.first.inner_text() == "✗ esp32"
    assert "268.3 KB of 256.0 KB" in page.locator("#m-wake_word .flash").inner_text()
    picks.nth(1).click()
    assert picks.nth(1).get_attribute("aria-pressed") == "true"
    assert "180.0 KB of 256.0 KB" in page.locator("#m-wake_word .flash").inner_text()


@pytest.mark.campaign
@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_nothing_scrolls_sideways_and_axe_finds_nothing_serious(
    scheme: str, width: int, browser: Any, file: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    screen = {"width": width, "height": 844}
    opened = Opened(browser, file, viewport=screen, is_mobile=width < 500, color_scheme=scheme)
    page = opened.page
    page.click("#open-all")
    for name in ("wake_word", "keywords", "machine", "anomaly"):
        page.locator(f"#m-{name}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#m-{name}[open] .show:not([hidden])")
    page.locator("#m-keywords .show summary").last.click()
    page.wait_for_selector("#m-keywords .layers")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = axe.run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []
    opened.close()


def test_without_scripts_all_verdicts_sizes_and_causes_are_there(browser: Any, file: Path) -> None:
    opened = Opened(browser, file, java_script_enabled=False)
    page = opened.page
    assert not page.locator("#tools").is_visible()
    assert page.locator("#m-wake_word").get_attribute("open") is not None
    text = page.locator("body").inner_text()
    for words in (
        "flash over by 12.3 KB",
        "make the model 12.3 KB smaller",
        "acme/doorbell",
        "operator CONV_2D: +20.0 KB (40.0 KB → 60.0 KB)",
        "Tensor arena of 46.0 KB.",
        "Scripts are off",
        "flash on esp32: 240.0 KB to 268.3 KB (+28.3 KB)",
    ):
        assert words in text, words
    opened.close()


def test_paper_has_what_the_screen_shows_in_light_colors(browser: Any, file: Path) -> None:
    opened = Opened(browser, file, color_scheme="dark")
    page = opened.page
    page.click("[data-show=new]")
    page.emulate_media(media="print")
    assert not page.locator("#tools").is_visible()
    assert opened.rows() == ["wake_word"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 10_000
    opened.close()


@pytest.mark.campaign
def test_names_that_try_to_break_out_are_text_and_run_nothing(browser: Any, tmp_path: Path) -> None:
    results = [hostile_pair(text) for text in HOSTILE if text]
    base = [replace(each, model_sha256="7" * 64) for each in results]
    comparison = compare(
        own_results(base, "<img src=x onerror=alert(2)>"), own_results(results, "")
    )
    file = tmp_path / "hostile.html"
    file.write_text(html.render(results, comparison), encoding="utf-8")
    opened = Opened(browser, file)
    page = opened.page
    page.on("dialog", lambda dialog: opened.errors.append(f"dialog {dialog.message}"))
    page.click("#open-all")
    for model in page.locator("details.model").all():
        model.scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('details.model .show')].every(each => each.dataset.drawn)"
    )
    for summary in page.locator(".show summary").all():
        summary.click()
    counts = page.evaluate(
        "['img', 'iframe', 'script:not([type])', 'form', '[onerror]', 'i.x']"
        ".map(each => document.querySelectorAll(each).length)"
    )
    assert counts == [0, 0, 1, 1, 0, 0]
    assert "<script>alert(1)</script>" in page.locator("body").inner_text()
    opened.close()


def test_what_a_name_smuggles_in_is_not_run_by_the_browser(browser: Any, tmp_path: Path) -> None:
    """Were a name not escaped, the policy of the page would still keep it from running."""
    text = html.render([pair("PLACE")])
    injected = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    file = tmp_path / "page.html"
    file.write_text(text.replace("<main>", f"<main>{injected}"), encoding="utf-8")
    opened = Opened(browser, file)
    assert opened.page.title() == "Memory budgets: all pairs fit"
    refused_by_policy = [each for each in opened.errors if "Content Security Policy" in each]
    assert len(refused_by_policy) == len(opened.errors) == 3
    opened.context.close()


@pytest.mark.campaign
def test_four_hundred_pairs_open_within_a_second(browser: Any, tmp_path: Path) -> None:
    layers = tuple(layer(number, name=f"block_{number}/Relu") for number in range(60))
    deep = footprint(layers=layers)
    results = [
        sample(f"model{number}", 100 + number, 20, board, footprint=deep)
        for number in range(100)
        for board in BOARDS
    ]
    base = [replace(each, model_sha256="8" * 64) for each in results]
    comparison = compare(own_results(base, "commit 1a2b3c4d5e6f"), own_results(results, ""))
    file = tmp_path / "page.html"
    file.write_text(html.render(results, comparison), encoding="utf-8")
    timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd / 1000"
    seconds: list[float] = []
    while (
        len(seconds) < 6 and min(seconds, default=9) >= 1
    ):  # what else runs here may slow one down
        opened = Opened(browser, file)
        assert opened.page.locator("#hits").inner_text() == "100 models"
        seconds.append(opened.page.evaluate(timing))
        opened.close()
    assert min(seconds) < 1


def test_the_plot_of_fit_can_be_read_on_a_telephone(browser: Any, tmp_path: Path) -> None:
    widths = {"from": 8, "to": 64, "step": 8}
    layers = [
        {"type": "conv2d", "filters": widths, "padding": "same"},
        {"type": "dense", "units": 12},
    ]
    found = fit({"input_shape": [16, 16, 1], "layers": layers, "boards": ["esp32"]})
    file = tmp_path / "fit.html"
    file.write_text(render.page(found), "utf-8")
    opened = Opened(browser, file, viewport={"width": 390, "height": 800})
    texts = opened.page.locator("figure > svg text")
    sizes = texts.evaluate_all(
        "all => all.map(each => parseFloat(getComputedStyle(each).fontSize)"
        " * each.getScreenCTM().a)"
    )
    assert len(sizes) > 6
    # The widest mark of an axis is there.
    assert "200,000" in texts.all_text_contents()
    assert min(sizes) >= 11
    plot = opened.page.locator("figure > svg").bounding_box()
    boxes = [texts.nth(index).bounding_box() for index in range(texts.count())]
    assert min(each["x"] for each in boxes) >= plot["x"]
    assert max(each["x"] + each["width"] for each in boxes) <= plot["x"] + plot["width"]
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    opened.close()
