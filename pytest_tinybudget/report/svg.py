"""The tensor arena as a picture: what lies at which offset while which operator runs.

Plain SVG without scripts; every shape has its words in a tooltip, and no meaning rests on color
alone: what is alive at the peak is hatched, scratch has a dashed outline, lines are labeled.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.report.blocks import layer_label
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.report.escape import html
from pytest_tinybudget.report.why import short


#: Colors of both pages and pictures, for light and dark surroundings.
LIGHT = (
    "--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--paper:#fff;--panel:#f6f8fa;--tensor:#9cc7f0;"
    "--tensor-edge:#2f6fae;--peak:#f5a59b;--peak-edge:#b3261e;--scratch:#f3d48b;"
    "--scratch-edge:#8a6100;--keep:#e3e6ea;--keep-edge:#6b7683;--bad:#b3261e;--warn:#8a5a00;"
    "--good:#1a7f37;--link:#0756b0"
)
DARK = (
    "--ink:#e6edf3;--soft:#a3adb8;--line:#3d444d;--paper:#0d1117;--panel:#161b22;--tensor:#1f4b77;"
    "--tensor-edge:#79b8ff;--peak:#7d2b26;--peak-edge:#ff9d94;--scratch:#5c4410;"
    "--scratch-edge:#f0c674;--keep:#262c36;--keep-edge:#9aa5b1;--bad:#ff8f85;--warn:#f0c674;"
    "--good:#6fdc8c;--link:#79b8ff"
)

#: Rules for the shapes below; a page with several pictures needs them once.
RULES = (
    ".arena{font:11px system-ui,sans-serif}.arena text{fill:var(--ink)}"
    ".arena .soft{fill:var(--soft)}.arena .ops text{fill:var(--soft)}"
    ".arena .ops .now{fill:var(--ink);font-weight:700}"
    ".arena .axis{stroke:var(--line);fill:none}"
    ".arena .t{fill:var(--tensor);stroke:var(--tensor-edge)}"
    ".arena .p{stroke:var(--peak-edge);stroke-width:1.5}"
    ".arena .s{fill:var(--scratch);stroke:var(--scratch-edge);stroke-dasharray:3 2}"
    ".arena .k{fill:var(--keep);stroke:var(--keep-edge)}.arena .g{fill:none;stroke:var(--line)}"
    ".arena .col{fill:var(--peak);opacity:.25}.arena .pb{fill:var(--peak)}"
    ".arena .ph{stroke:var(--peak-edge);stroke-width:1.4;opacity:.55}"
    ".arena .peak{stroke:var(--peak-edge);stroke-dasharray:6 4;stroke-width:1.5}"
    ".arena .limit{stroke:var(--bad);stroke-width:2.5}.arena .in{text-anchor:middle;font-size:10px}"
    ".arena .end{text-anchor:end}.arena .halo{stroke:var(--paper);stroke-width:3px}"
)

#: Beyond this many buffers only the largest are drawn, those at the peak always.
MOST_BUFFERS = 400

_WIDTH, _LEFT, _RIGHT, _TOP, _HEIGHT = 960, 70, 10, 44, 300
_PLOT = _WIDTH - _LEFT - _RIGHT
_BOTTOM = _TOP + _HEIGHT

_OWNER_CELLS = 36

#: No model runs so many operators; more is damage.
_LATEST = 2**31

#: Pixels between two labels of operators; what a label may take, in characters and in height.
_LABEL_STEP, _LABEL_CELLS, _LABEL_HEIGHT = 17, 22, 128

#: A size is written into a shape of at least this width and height.
_TEXT_WIDTH, _TEXT_HEIGHT = 46, 13

#: A limit further above the arena than this factor is written as text: a line that far up would
#: flatten the picture.
_LIMIT_IN_SIGHT = 1.5


class Limit(Struct, frozen=True):
    """The bytes that the RAM limit leaves for the arena, and where the limit comes from."""

    bytes: int
    label: str


class _Scale(Struct, frozen=True):
    """From times and bytes to pixels."""

    columns: int
    top_bytes: int

    def x(self, time: int) -> float:
        return _LEFT + _PLOT * time / self.columns

    def y(self, offset: int) -> float:
        return _BOTTOM - self.height(offset)

    def height(self, size: int) -> float:
        return _HEIGHT * size / self.top_bytes

    @property
    def step(self) -> float:
        return _PLOT / self.columns


def arena_timeline(
    arena: Arena,
    layers: Sequence[Layer],
    title: str,
    *,
    key: str = "",
    limit: Limit | None = None,
    most: int = MOST_BUFFERS,
) -> str:
    """An ``<svg>`` element; ``key`` makes its ids unique in a page.

    ``most`` limits the buffers drawn, to the largest, and the operators named.
    """
    drawn = drawn_buffers(arena, most)
    last = max([0, *(buffer.last for buffer in drawn), *(layer.last for layer in layers)])
    in_sight = limit is not None and limit.bytes <= arena.required * _LIMIT_IN_SIGHT
    top = max(arena.required, limit.bytes if limit and in_sight else 0, 1)
    scale = _Scale(last + 1, top)
    at_time = {layer.first: layer for layer in reversed(layers) if layer.first >= 0}
    height = _BOTTOM + (_LABEL_HEIGHT if at_time else 20)
    label = html(f"{title}: {arena_text(arena, layers)}")
    opening = (
        '<svg class="arena" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}" aria-label="{label}">'
    )
    shapes = (
        _hatch(key),
        *_legend(key),
        *_grid(scale),
        *_peak_column(arena, scale, at_time),
        *_persistent(arena, scale),
        *_buffers(arena, drawn, scale, at_time, key),
        f'<g class="ops end">{"".join(_operators(scale, at_time, arena.peak_time, most))}</g>',
        *_peak_line(arena, scale),
        *(_limit_line(limit, scale, in_sight) if limit else ()),
    )
    return f"{opening}{''.join(shapes)}</svg>"


def standalone(svg: str) -> str:
    """A picture as a file of its own, with its colors."""
    rules = (
        f"svg{{{LIGHT};background:var(--paper)}}"
        f"@media(prefers-color-scheme:dark){{svg{{{DARK}}}}}{RULES}"
    )
    head, _, body = svg.partition(">")
    return f"{head}><style>{rules}</style>{body}\n"


def arena_text(arena: Arena, layers: Sequence[Layer]) -> str:
    """The arena in words: its size, its peak and where that is, and what persists."""
    places = peak_layers(arena, layers)
    where = f" at {layer_label(places[0])}" if places else ""
    return (
        f"tensor arena of {format_size(arena.required)}. "
        f"Activations and scratch take up to {format_size(arena.head)}, with the peak{where}; "
        f"{format_size(arena.tail)} persist."
    )


def _hatch(key: str) -> str:
    return (
        f'<pattern id="hatch{key}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect class="pb" width="6" height="6"/>'
        '<path class="ph" d="M0 0v6"/></pattern>'
    )


def _legend(key: str) -> Iterator[str]:
    x = _LEFT
    for shape, words in (
        ('class="t"', "activation"),
        (f'class="p" fill="url(#hatch{key})"', "alive at the peak"),
        ('class="s"', "scratch"),
        ('class="k"', "persistent"),
    ):
        yield f'<rect {shape} x="{x}" y="8" width="16" height="12"/>'
        yield f'<text x="{x + 22}" y="18">{words}</text>'
        x += 44 + 7 * len(words)


def _grid(scale: _Scale) -> Iterator[str]:
    step = 1
    while scale.top_bytes / step > 6:
        step *= 2
    ticks = range(0, scale.top_bytes + 1, step)
    lines = "".join(f"M{_LEFT} {scale.y(tick):.1f}h{_PLOT}" for tick in ticks)
    yield f'<path class="axis" d="{lines}"/>'
    for tick in ticks:
        y = scale.y(tick) + 4
        yield f'<text class="soft end" x="{_LEFT - 6}" y="{y:.1f}">{format_size(tick)}</text>'
    yield f'<text class="soft" x="4" y="{_TOP - 14}">offset</text>'


def _peak_column(arena: Arena, scale: _Scale, at_time: dict[int, Layer]) -> Iterator[str]:
    layer = at_time.get(arena.peak_time)
    words = f"peak at {layer_label(layer)}" if layer else "peak"
    yield (
        f'<rect class="col" x="{scale.x(arena.peak_time):.1f}" y="{_TOP}" '
        f'width="{scale.step:.1f}" height="{_HEIGHT}"><title>{html(words)}</title></rect>'
    )


def _persistent(arena: Arena, scale: _Scale) -> Iterator[str]:
    setup = arena.required - arena.used
    if setup > 0:
        words = f"room to set up, {format_size(setup)}: decided by {arena.decided_by}"
        yield _band("g", arena.head, setup, words, scale)
    words = f"persistent, {format_size(arena.tail)}"
    yield _band("k", arena.required - arena.tail, arena.tail, words, scale)


def _band(kind: str, offset: int, size: int, words: str, scale: _Scale) -> str:
    """A part of the arena that does not change during the run."""
    y, height = scale.y(offset + size), scale.height(size)
    shown = html(words)
    text = (
        f'<text class="in" x="{_LEFT + _PLOT / 2:.0f}" y="{y + height / 2 + 4:.1f}">{shown}</text>'
        if height >= _TEXT_HEIGHT
        else ""
    )
    return (
        f'<rect class="{kind}" x="{_LEFT}" y="{y:.1f}" width="{_PLOT}" '
        f'height="{max(height, 0.5):.1f}"><title>{shown}</title></rect>{text}'
    )


def _buffers(
    arena: Arena, drawn: Iterable[LiveBuffer], scale: _Scale, at_time: dict[int, Layer], key: str
) -> Iterator[str]:
    for buffer in drawn:
        alive = buffer.first <= arena.peak_time <= buffer.last
        if alive:
            shape = f'class="p" fill="url(#hatch{key})"'
        else:
            shape = f'class="{"s" if buffer.kind == "scratch" else "t"}"'
        left, right = round(scale.x(buffer.first)), round(scale.x(buffer.last + 1))
        y, height = scale.y(buffer.offset + buffer.bytes), scale.height(buffer.bytes)
        yield (
            f'<rect {shape} x="{left}" y="{y:.1f}" width="{max(right - left, 1)}" '
            f'height="{max(height, 0.5):.1f}">'
            f"<title>{_buffer_words(buffer, at_time)}</title></rect>"
        )
        if right - left >= _TEXT_WIDTH and height >= _TEXT_HEIGHT:
            yield (
                f'<text class="in" x="{(left + right) // 2}" y="{y + height / 2 + 4:.1f}">'
                f"{format_size(buffer.bytes)}</text>"
            )


def drawn_buffers(arena: Arena, most: int) -> list[LiveBuffer]:
    """The buffers to draw: at most ``most``, first those at the peak, then the largest.

    A buffer that is never alive has no place; a damaged results file may have others that lie
    outside the arena.
    """
    real = [
        buffer
        for buffer in arena.buffers
        if buffer.bytes > 0
        and 0 <= buffer.offset <= arena.required - buffer.bytes
        and 0 <= buffer.first <= buffer.last <= _LATEST
    ]
    if len(real) <= most:
        return real
    ordered = sorted(
        real,
        key=lambda buffer: (
            not buffer.first <= arena.peak_time <= buffer.last,
            -buffer.bytes,
            buffer.offset,
        ),
    )
    return ordered[:most]


def _buffer_words(buffer: LiveBuffer, at_time: dict[int, Layer]) -> str:
    first, last = _moment(buffer.first, at_time), _moment(buffer.last, at_time)
    span = first if first == last else f"{first} to {last}"
    owner = short(buffer.owner, _OWNER_CELLS)
    return html(f"{owner}: {format_size(buffer.bytes)} at {buffer.offset}, {span}")


def _moment(time: int, at_time: dict[int, Layer]) -> str:
    layer = at_time.get(time)
    return layer_label(layer) if layer else ("input" if time == 0 else f"time {time}")


def _operators(
    scale: _Scale, at_time: dict[int, Layer], peak_time: int, most: int
) -> Iterator[str]:
    """Operator names below the columns where there is room; the peak's always, in bold."""
    crowded = -(-_LABEL_STEP // max(1, int(scale.step)))
    every = max(1, crowded, -(-len(at_time) // most))
    shown = [
        time
        for position, time in enumerate(sorted(at_time))
        if position % every == 0 and (every == 1 or abs(time - peak_time) >= every)
    ]
    for time in sorted({*shown, *(at_time.keys() & {peak_time})}):
        x = scale.x(time) + scale.step / 2
        kind = ' class="now"' if time == peak_time else ""
        place = f"translate({x + 4:.0f} {_BOTTOM + 12})rotate(-50)"
        yield (
            f'<text{kind} transform="{place}">'
            f"{html(short(layer_label(at_time[time]), _LABEL_CELLS))}</text>"
        )


def _peak_line(arena: Arena, scale: _Scale) -> Iterator[str]:
    y = scale.y(arena.head)
    yield f'<path class="peak" d="M{_LEFT} {y:.1f}h{_PLOT}"/>'
    yield (
        f'<text class="halo" paint-order="stroke" x="{_LEFT + 4}" y="{y - 4:.1f}">'
        f"peak {format_size(arena.head)}</text>"
    )


def _limit_line(limit: Limit, scale: _Scale, in_sight: bool) -> Iterator[str]:
    size = format_size(limit.bytes)
    if not in_sight:
        words = html(f"↑ limit {size} ({limit.label})")
        yield f'<text class="soft end" x="{_WIDTH - _RIGHT}" y="{_TOP - 8}">{words}</text>'
        return
    y = scale.y(max(limit.bytes, 0))
    yield f'<path class="limit" d="M{_LEFT} {y:.1f}h{_PLOT}"/>'
    yield (
        f'<text class="halo end" paint-order="stroke" x="{_WIDTH - _RIGHT - 4}" y="{y - 5:.1f}">'
        f"{html(f'limit {size} ({limit.label})')}</text>"
    )
