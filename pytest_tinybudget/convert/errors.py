"""Why a model could not be converted."""

from __future__ import annotations

from pytest_tinybudget.base.errors import TinybudgetError


class ConversionError(TinybudgetError):
    """A model that could not be converted; ``log`` is what the conversion printed."""

    default_code = "TB400"

    def __init__(
        self, message: str, *, details: tuple[str, ...] = (), log: bytes = b"", code: str = ""
    ) -> None:
        super().__init__(message, details=details, code=code)
        self.log = log
