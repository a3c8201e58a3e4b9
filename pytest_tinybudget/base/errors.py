"""The one exception users meet: wrong input, told in one clear line."""

from __future__ import annotations

from typing import ClassVar


#: The code of an argument, option or file that is not what was expected.
WRONG_USAGE = "TB100"
#: The code of what the disk refuses.
CANNOT_BE_WRITTEN = "TB102"


class TinybudgetError(Exception):
    """Wrong input or a missing prerequisite, with a message fit for the terminal.

    The pytest plugin turns it into an ERROR without a traceback, the command line into exit code 2.

    Attributes:
        message: One line: what is wrong, where, and what was expected.
        details: Further lines, such as an example or the nearest valid names.
        code: An entry of ``codes.CODES``.
        default_code: The code of an error that names none.
    """

    default_code: ClassVar[str] = WRONG_USAGE

    def __init__(self, message: str, *, details: tuple[str, ...] = (), code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.code = code or self.default_code

    @property
    def full_text(self) -> str:
        """The message with its code, then the details: what people see of it."""
        return "\n".join((f"{self.message} [{self.code}]", *self.details))

    def __str__(self) -> str:
        return "\n".join((self.message, *self.details))


def not_verified(name: str, error: OSError) -> TinybudgetError:
    """The error of a model that could not be run here, since no temporary file can be written."""
    return TinybudgetError(
        f"{name}: not verified, temporary files cannot be written: {error.strerror or error}",
        code=CANNOT_BE_WRITTEN,
    )


class ModelError(TinybudgetError):
    """A model file that cannot be read: empty, truncated, not TF Lite, or inconsistent."""

    default_code = "TB300"


class DeclarationError(TinybudgetError):
    """A ``tinybudget.toml`` that does not follow the schema (all its errors at once)."""

    default_code = "TB200"
