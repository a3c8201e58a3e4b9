"""Which quantizer is installed: litert-quantizer, or ai-edge-quantizer, as it was called once."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


#: Distribution and module of the same API, the preferred one first: 0.10 was the last release under
#: the old name, 0.11 the first under the new one.
QUANTIZERS = (
    ("litert-quantizer", "litert_quantizer"),
    ("ai-edge-quantizer", "ai_edge_quantizer"),
)


@cache
def installed_quantizer() -> tuple[str, str] | None:
    """Distribution and module of the quantizer that is used; ``None`` where there is none."""
    return next((each for each in QUANTIZERS if find_spec(each[1]) is not None), None)


def quantizer_name() -> str:
    """What messages call the quantizer: the installed one, or the one to install."""
    return (installed_quantizer() or QUANTIZERS[0])[0]
