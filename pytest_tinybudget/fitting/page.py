"""The page of ``fit``: of each board a plot of all candidates, and the table of its front.

One HTML file without scripts: nothing is loaded, and every text goes through ``escape.html``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from math import log10

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.fitting.result import Candidate
from pytest_tinybudget.fitting.result import Decides
from pytest_tinybudget.fitting.result import Fit
from pytest_tinybudget.fitting.result import decider
from pytest_tinybudget.fitting.result import said_of_count
from pytest_tinybudget.fitting.result import said_of_names
from pytest_tinybudget.report.escape import html
from pytest_tinybudget.report.svg import DARK
from pytest_tinybudget.report.svg import LIGHT


#: So many rows of a front are open; the others unfold.
_OPEN_ROWS = 12
#: The plot in its own units, which the width of the page scales.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480, 300, 74, 14, 26, 40
_TICKS = 5
_KILOBYTE = 1024
_MILLION = 1_000_000

_STYLE = (
    f":root{{{LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}"
    f"@media print{{:root{{{LIGHT}}}}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:64rem;padding:1.5rem 1.25rem 3rem;background:var(--paper);"
    "color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;"
    "overflow-wrap:break-word}"
    "h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2rem 0 .4rem}p{margin:.4rem 0}"
    "a{color:var(--link)}.soft,footer{color:var(--soft);font-size:.87rem}"
    ".bad{color:var(--bad);font-weight:600}"
    ".scroll{overflow-x:auto;max-width:100%}"
    ":focus-visible{outline:2px solid var(--link);outline-offset:2px}"
    "table{border-collapse:collapse;font-size:.87rem;font-variant-numeric:tabular-nums;"
    "margin:.6rem 0}"
    "th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:right;"
    "white-space:nowrap}"
    "thead th{color:var(--soft);font-weight:600}"
    ".boards th,.boards td{text-align:left;white-space:normal}"
    ".boards th,.boards td:nth-child(2){white-space:nowrap}"
    "summary{cursor:pointer;color:var(--link);padding:.3rem 0}"
    "figure{margin:.6rem 0;max-width:44rem}"
    "svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif}"
    "svg text{fill:var(--soft)}.end{text-anchor:end}.mid{text-anchor:middle}"
    # On a telephone the plot is drawn smaller, and its texts with it.
    "@media(max-width:30rem){svg{font-size:16px}}"
    ".axis{stroke:var(--keep-edge);fill:none}.grid{stroke:var(--line)}"
    ".over{fill:none;stroke:var(--bad)}.fits{fill:var(--keep);stroke:var(--keep-edge)}"
    ".front{fill:var(--good);stroke:var(--good)}"
    ".keys{display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;font-size:.87rem;color:var(--soft)}"
    ".keys svg{display:inline-block;width:.9rem;height:.9rem;vertical-align:-.1rem;"
    "margin-right:.35rem}"
)


def page(found: Fit, heads: Sequence[str], cells: Sequence[Sequence[Sequence[str]]]) -> str:
    """The page.

    Args:
        found: What was found.
        heads: The titles of a front's columns, before what was chosen.
        cells: Of each board the rows of its front, without what was chosen.
    """
    sections = "".join(_section(found, number, heads, rows) for number, rows in enumerate(cells))
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>How large may it be?</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>How large may it be?</h1>{_summary(found)}</header>"
        f"<main>{sections}</main>{_footer(found)}</body></html>\n"
    )


def _summary(found: Fit) -> str:
    rows = "".join(
        f'<tr><th scope="row"><a href="#board-{number}">{html(each.board)}</a></th>'
        f"<td>{_fitting(each)}</td><td>{html(_largest(found, each))}</td>"
        f"<td>{html(_decider(each))}</td></tr>"
        for number, each in enumerate(found.decides)
    )
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("Board", "Fit", "The most parameters that fit", "What decides")
    )
    return (
        f'<p>{html(said_of_count(found))}.</p><div class="scroll"><table class="boards"><thead><tr>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _fitting(decides: Decides) -> str:
    text = f"{decides.fitting:,} of {decides.measured:,}"
    return text if decides.fitting else f'<span class="bad">{text}</span>'


def _decider(decides: Decides) -> str:
    where = f" at layer {decides.layer}" if decides.layer >= 0 else ""
    return f"{decider(decides.metric)}{where}" if decides.metric else "–"


def _largest(found: Fit, decides: Decides) -> str:
    """The candidate with the most parameters that fits a board."""
    place = found.decides.index(decides)
    fitting = [each for each in found.candidates if each.boards[place].fits]
    if not fitting:
        return "none"
    best = max(fitting, key=lambda each: each.parameters)
    return f"{best.parameters:,} ({chosen_text(best)})" if best.chosen else f"{best.parameters:,}"


def chosen_text(candidate: Candidate) -> str:
    """What was chosen, in words: ``"width 64, depth 3"``."""
    return ", ".join(f"{name} {value}" for name, value in candidate.chosen.items())


def _section(found: Fit, place: int, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    decides = found.decides[place]
    front = [found.candidates[index] for index in found.front[decides.board]]
    names = list(front[0].chosen) if front else []
    whole = [
        [*cells, *map(str, each.chosen.values())] for cells, each in zip(rows, front, strict=True)
    ]
    titles = [*heads, *names]
    table = _table(titles, whole[:_OPEN_ROWS]) if whole else ""
    if whole[_OPEN_ROWS:]:
        more = _table(titles, whole[_OPEN_ROWS:])
        count = len(whole) - _OPEN_ROWS
        table += f"<details><summary>{count} more of the front</summary>{more}</details>"
    return (
        f'<section><h2 id="board-{place}">{html(decides.board)}</h2><p>{html(decides.text)}</p>'
        f"{_figure(found, place)}{table}</section>"
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{html(each)}</th>' for each in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{html(cell)}</td>' for cell in cells)}</tr>" for cells in rows
    )
    return (
        '<div class="scroll" role="group" aria-label="Front" tabindex="0"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _footer(found: Fit) -> str:
    more, less = (", ".join(each) or "of nothing" for each in (found.maximize, found.minimize))
    lines = [
        f"The front: most {more}; least {less}. Nothing that fits beats one of it in all of these.",
        f"Sizes are those of plans, margins included: {said_of_names(found)}.",
        "Times are estimates, the upper end of a range.",
        "1 KB = 1024 B. Written by pytest-tinybudget.",
    ]
    if found.activations != "int8":
        lines.insert(1, f"All sizes are with activations = {found.activations}.")
    if found.dense_for:
        lines.insert(1, f"Dense layers have one scale each, for {found.dense_for}.")
    return f"<footer>{''.join(f'<p>{html(line)}</p>' for line in lines)}</footer>"


# The plot


_KEYS = (
    ("front", "fits and is on the front"),
    ("fits", "fits, but another one beats it"),
    ("over", "does not fit"),
)


def _figure(found: Fit, place: int) -> str:
    """Parameters by arena."""
    points = list(_points(found, place))
    if not points:
        return ""
    kinds = {kind for kind, *_ in points}
    keys = "".join(
        f'<span><svg viewBox="0 0 10 10" aria-hidden="true"><circle class="{kind}" cx="5" cy="5" '
        f'r="3.5"/></svg>{text}</span>'
        for kind, text in _KEYS
        if kind in kinds
    )
    return f'<figure>{_plot(points)}<figcaption class="keys">{keys}</figcaption></figure>'


_Point = tuple[str, Candidate, int]


def _points(found: Fit, place: int) -> Iterator[_Point]:
    """Kind, candidate and arena of what has an arena, what matters most last."""
    front = set(found.front[found.decides[place].board])
    points: list[_Point] = []
    for index, each in enumerate(found.candidates):
        on = each.boards[place]
        if on.arena:
            kind = "front" if index in front else "fits" if on.fits else "over"
            points.append((kind, each, on.arena))
    order = ("over", "fits", "front")
    return iter(sorted(points, key=lambda point: order.index(point[0])))


def _plot(points: Sequence[_Point]) -> str:
    arenas = [arena / _KILOBYTE for _, _, arena in points]
    right, across = _scale(max(arenas))
    top, up = _scale(max(each.parameters for _, each, _ in points))
    base, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def x_of(kilobytes: float) -> float:
        return _LEFT + kilobytes / right * (end - _LEFT)

    def y_of(parameters: float) -> float:
        return base - parameters / top * (base - _TOP)

    lines = [
        f'<path class="grid" d="M{_LEFT} {y_of(each):.1f}H{end}"/>'
        f'<text class="end" x="{_LEFT - 6}" y="{y_of(each) + 4:.1f}">{_mark(each)}</text>'
        for each in up
    ]
    lines += [
        f'<text class="mid" x="{x_of(each):.1f}" y="{base + 16}">{_mark(each)}</text>'
        for each in across
    ]
    dots = "".join(
        f'<circle class="{kind}" cx="{x_of(arena / _KILOBYTE):.1f}" '
        f'cy="{y_of(each.parameters):.1f}" r="3">'
        f"<title>{html(_said_of(each, arena))}</title></circle>"
        for kind, each, arena in points
    )
    middle = (_LEFT + end) / 2
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="parameters by arena">'
        f'{"".join(lines)}<path class="axis" d="M{_LEFT} {_TOP}V{base}H{end}"/>{dots}'
        f'<text x="4" y="14">parameters</text>'
        f'<text class="mid" x="{middle:.0f}" y="{_HEIGHT - 6}">arena, KB</text></svg>'
    )


def _mark(value: float) -> str:
    """A number at an axis, short enough to stand beside it: ``"20,000"``, ``"2.5 M"``."""
    return f"{value:,.0f}" if value < _MILLION else f"{value / _MILLION:,g} M"


def _said_of(candidate: Candidate, arena: int) -> str:
    said = f"{candidate.parameters:,} parameters, arena {format_size(arena)}"
    return f"{chosen_text(candidate)}: {said}" if candidate.chosen else said


def _scale(most: float) -> tuple[float, list[float]]:
    """Where an axis ends that holds ``most``, and its marks: multiples of 1, 2 or 5 times 10**n."""
    most = max(most, 1)
    power = 10.0 ** int(log10(most / _TICKS)) if most > _TICKS else 1.0
    step = next(size * power for size in (1, 2, 5, 10, 20, 50) if size * power * _TICKS >= most)
    count = -(-most // step)
    return count * step, [index * step for index in range(int(count) + 1)]
