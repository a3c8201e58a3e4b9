"""What a conversion says of recurrent layers that it has unrolled."""

from __future__ import annotations

from collections.abc import Sequence


_UNROLLED = ": unrolled, every step takes flash of its own"


def unrolled_warning(names: Sequence[str]) -> str:
    """The warning about the layers ``names``."""
    return (
        f"{', '.join(names)}{_UNROLLED} (only an LSTM with the usual activations and without "
        "masking is one operator)"
    )


def is_of_unrolled(warning: str) -> bool:
    """Whether it is that warning."""
    return _UNROLLED in warning
