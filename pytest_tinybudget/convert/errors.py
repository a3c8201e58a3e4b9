"""Why a model could not be converted."""

from __future__ import annotations

from pytest_tinybudget.errors import TinybudgetError


class ConversionError(TinybudgetError):
    """A model that could not be converted; ``log`` is what the conversion printed."""

    def __init__(self, message: str, *, details: tuple[str, ...] = (), log: bytes = b"") -> None:
        super().__init__(message, details=details)
        self.log = log
