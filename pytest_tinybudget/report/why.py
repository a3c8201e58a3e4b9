"""Why sizes changed, in words. Markdown and HTML share the lines and differ in markup."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.base.units import format_delta
from pytest_tinybudget.base.units import format_delta_range
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_percent_delta
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.comparison import Causes
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.baseline.comparison import LayerChange
from pytest_tinybudget.baseline.comparison import OperatorChange
from pytest_tinybudget.baseline.comparison import PartChange
from pytest_tinybudget.baseline.comparison import PeakTensor
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import shorten
from pytest_tinybudget.report.verdicts import counted
from pytest_tinybudget.results.metrics import LABELS


#: How many causes are listed; ``tinybudget diff`` lists all of them.
_LISTED = 5

_NAME_CELLS = 60


class Markup(Struct, frozen=True):
    """How a format escapes text that comes from models and declarations."""

    text: Callable[[str], str]
    code: Callable[[str], str]

    def name(self, name: str) -> str:
        """A name of any length, cut in the middle, as code."""
        return self.code(short(name))


def short(name: str, width: int = _NAME_CELLS) -> str:
    """A name of any length on one line, cut in the middle where names differ least."""
    return shorten(clean(name, PLAIN), width, PLAIN)


def delta_text(delta: Delta | None) -> str:
    """``+1.2 KB (+1.3 %)``; empty where there is nothing to compare."""
    if delta is None or delta.bytes is None:
        return ""
    text = format_delta(delta.bytes)
    if delta.bytes and delta.percent is not None:
        text += f" ({format_percent_delta(delta.percent)})"
    return text


def cause_lines(boards: Sequence[Causes], markup: Markup) -> Iterator[str]:
    """The causes of a model's change, a line each, the most important first.

    ``boards`` are the causes on each of its boards, those of the worst one first. What differs
    between them is a range.
    """
    worst = boards[0]
    if worst.runtime is not None:
        yield f"runtime: {markup.text(worst.runtime.text)}"
    parts = parts_of(boards)
    for part in parts[:_LISTED]:
        yield _part(part, markup)
    yield from _rest(len(parts), "part")
    for operator in worst.operators[:_LISTED]:
        yield _operator(operator, markup)
    for layer in worst.layers[:_LISTED]:
        yield _layer(layer, markup)
    yield from _rest(len(worst.layers), "layer")
    if worst.weights_bytes:
        yield f"weights in all: {format_delta(worst.weights_bytes)}"
    if worst.peak:
        yield _peak(worst.peak, worst.peak_at, markup)


def parts_of(boards: Sequence[Causes]) -> list[list[PartChange]]:
    """Each part that differs, on all boards where it does; the largest difference first."""
    found: dict[tuple[str, str], list[PartChange]] = {}
    for causes in boards:
        for part in causes.parts:
            found.setdefault((part.metric, part.name), []).append(part)
    if len(boards) == 1:
        return list(found.values())
    return sorted(found.values(), key=lambda each: -max(abs(part.delta) for part in each))


def _rest(count: int, noun: str) -> Iterator[str]:
    if count > _LISTED:
        yield f"and {counted(count - _LISTED, f'more {noun}')} that changed"


def _operator(operator: OperatorChange, markup: Markup) -> str:
    state = "new in flash" if operator.kind == "added" else "no longer in flash"
    size = f", {format_size(operator.flash_bytes)}" if operator.flash_bytes else ""
    parts = ", ".join(
        f"{markup.name(name)} {format_size(part_bytes)}"
        for name, part_bytes in operator.pulls_in[:_LISTED]
    )
    return f"operator {markup.name(operator.operator)} {state}{size}" + (
        f": {parts}" if parts else ""
    )


def _layer(layer: LayerChange, markup: Markup) -> str:
    sizes = (
        f"{format_delta(size)} {what}"
        for size, what in (
            (layer.weights_bytes, "weights"),
            (layer.activation_bytes, "activations"),
            (layer.persistent_bytes, "persistent"),
        )
        if size
    )
    sides = dict.fromkeys(filter(None, (layer.before, layer.after)))
    shapes = " → ".join(map(markup.text, sides))
    facts = "; ".join(filter(None, (shapes, ", ".join(sizes))))
    title = f"layer {layer.kind}: {markup.name(layer.operator)} {markup.name(layer.name)}"
    return f"{title} ({facts})" if facts else title


def _part(boards: Sequence[PartChange], markup: Markup) -> str:
    part = boards[0]
    title = f"{LABELS[part.metric]}, {markup.name(part.name)}"
    if len({(each.base_bytes, each.bytes) for each in boards}) > 1:
        return f"{title}: {format_delta_range([each.delta for each in boards])}"
    before, after = format_pair(part.base_bytes, part.bytes)
    return f"{title}: {format_delta(part.delta)} ({before} → {after})"


def _peak(tensors: Sequence[PeakTensor], place: str, markup: Markup) -> str:
    alive = ", ".join(
        f"{markup.name(tensor.owner)} {_before_after(tensor)}" for tensor in tensors[:_LISTED]
    )
    return f"the arena's peak is at {markup.name(place)}: {alive}"


def _before_after(tensor: PeakTensor) -> str:
    if tensor.base_bytes is None:
        return f"{format_size(tensor.bytes or 0)} (new)"
    if tensor.bytes is None:
        return f"{format_size(tensor.base_bytes)} (no longer)"
    before, after = format_pair(tensor.base_bytes, tensor.bytes)
    return before if tensor.base_bytes == tensor.bytes else f"{before} → {after}"
