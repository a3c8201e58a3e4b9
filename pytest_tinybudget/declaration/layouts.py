"""``[runtime.NAME.layouts]``: the structs of a fork of TFLM, as its firmware has them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.footprint.operators import MODULES
from pytest_tinybudget.runtimes.abi import is_layout
from pytest_tinybudget.runtimes.structs import STRUCTS
from pytest_tinybudget.runtimes.tflm import Tflm


def with_layouts(
    context: Context, tflm: Tflm, layouts: Mapping[str, str] | None, keys: KeyPath
) -> Tflm:
    """``tflm`` with the layouts that are declared at ``keys``; a wrong one is a problem there."""
    if not layouts:
        return tflm
    possible = _possible()
    sound = {}
    for name, layout in layouts.items():
        if name not in possible:
            near = nearest(name, possible)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
            text = "is no struct of TFLM that memory depends on" + hint
            context.problems.add((*keys, name), text, example='TfLiteTensor = "e 9p"')
        elif not is_layout(layout):
            text = f"expected member codes (b, h, i, q, p, e, counts, parentheses), got {layout!r}"
            context.problems.add(
                (*keys, name), printable(text), example=f'{toml_key(name)} = "3i p"'
            )
        else:
            sound[name] = layout
    return replace(tflm, layouts=tuple(sorted(sound.items())))


def _possible() -> dict[str, None]:
    """What a layout may be of: TFLM's structs, and what each operator has."""
    operators = [name for names in MODULES.values() for name in names.split()]
    return dict.fromkeys(
        (*STRUCTS, *(f"{name} {what}" for name in operators for what in ("parameters", "data")))
    )
