"""What a job tells its user: the one exception of the worker, and the shape of an input."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_tinybudget.names import printable


#: Frameworks put whole graphs, and zipfile the names of members, into their messages.
_LONGEST_REASON = 500


class WorkerError(Exception):
    """A job that cannot be done, in one line; ``details`` are further lines."""

    def __init__(self, message: str, *details: str) -> None:
        super().__init__(message)
        self.lines = (message, *details)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the loaded model: ``shape`` in elements with batch 1, ``dtype`` by name."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def static_shape(name: str, shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """``shape`` at batch 1.

    Raises:
        WorkerError: another extent than the batch's is not fixed.
    """
    extents = [1, *shape[1:]] if shape and shape[0] is None else list(shape)
    fixed = [extent for extent in extents if extent is not None]
    if len(fixed) != len(extents):
        raise WorkerError(
            f"input {name!r} has no fixed shape, {shape}: a microcontroller's memory is planned "
            "ahead; build the model with fixed extents"
        )
    if fixed and fixed[0] != 1 and shape[0] is not None:
        raise WorkerError(f"input {name!r} has the fixed batch {fixed[0]}, expected 1 or None")
    return tuple(fixed)


def first_line(error: BaseException) -> str:
    """The first line of an error that says something, with the error's type."""
    lines = (line.strip() for line in str(error).splitlines())
    said = next((line for line in lines if line), "")
    name = type(error).__name__
    return f"{name}: {printable(said, limit=_LONGEST_REASON)}" if said else name
