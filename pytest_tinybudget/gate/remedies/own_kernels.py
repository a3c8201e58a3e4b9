"""Lines for the declaration of a firmware that registers kernels of its own."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.footprint.preparation import unknown_bounds
from pytest_tinybudget.footprint.resolve import is_own
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model


def own_kernels(footprint: Footprint, model: Model) -> Iterator[str]:
    """The lines that declare the firmware's own kernels, with upper bounds of what they take."""
    refused = {each.operator for each in footprint.refusals if each.stage == "resolve"}
    flash = {part.name: part.bytes + part.margin_bytes for part in footprint.flash_parts}
    bounds: dict[str, tuple[int, int]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.name in refused and is_own(operator):
                known = bounds.get(operator.name, (0, 0))
                persistent, scratch = unknown_bounds(graph, operator)
                bounds[operator.name] = (max(known[0], persistent), max(known[1], scratch))
    for name, (persistent, scratch) in bounds.items():
        yield (
            f"if the firmware registers a kernel of its own for {printable(name)}, add these lines "
            "and replace these limits with what it takes:"
        )
        yield f"[runtime.ops.{toml_key(name)}]"
        yield f'persistent = "{persistent} B"'
        yield f'scratch = "{scratch} B"'
        yield f'flash = "{flash.get(f"operator {name}", 0)} B"'
