"""The worker's one exception, and the shape of a model's input."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key


#: The longest message, characters: frameworks put whole graphs into theirs.
_LONGEST_REASON = 500


class WorkerError(Exception):
    """A job that cannot be done. The message is one line; ``details`` has further lines."""

    def __init__(self, message: str, *details: str) -> None:
        super().__init__(message)
        self.lines = (message, *details)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the loaded model: ``shape`` in elements with batch 1, ``dtype`` by name.

    ``channels_first`` has the numbers of dimensions at which the source, and so the data, has its
    channels first, where the model has them last (``layout.py``).
    ``aliases`` are other names that data may call it by, as those of a ``.tflite``'s signature.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    channels_first: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its names, as messages list them."""
        return " or ".join(dict.fromkeys((self.name, *self.aliases)))


def matched_names(names: Collection[str], inputs: Sequence[Collection[str]]) -> list[str] | None:
    """Which of ``names`` each input goes by, in the order of ``inputs``, the names of each.

    ``None`` unless every input has one of them, and each of them is an input's.
    """
    found = [[name for name in names if name in known] for known in inputs]
    chosen = [each[0] for each in found if len(each) == 1]
    is_whole = len(chosen) == len(inputs) == len(names) == len(set(chosen))
    return chosen if is_whole else None


def static_shape(
    name: str, shape: tuple[int | None, ...], wanted: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """The fixed shape of an input: ``wanted`` (from ``input_shapes``), else ``shape`` at batch 1.

    Raises:
        WorkerError: another extent than the batch's is not fixed, or ``wanted`` changes one.
    """
    if wanted is not None:
        fits = len(wanted) == len(shape) and all(
            has in (None, extent) for has, extent in zip(shape, wanted, strict=True)
        )
        if not fits:
            raise WorkerError(
                f"input_shapes: {name!r} is {shape}, and only what is None in it can be set, "
                f"not {list(wanted)}"
            )
        shape = (None, *wanted[1:]) if shape[0] is None and wanted[0] == 1 else wanted
    extents = [1, *shape[1:]] if shape and shape[0] is None else list(shape)
    fixed = [extent for extent in extents if extent is not None]
    if len(fixed) != len(extents):
        raise WorkerError(
            f"input {name!r} has no fixed shape, {shape}: a microcontroller's memory is planned "
            "ahead; build the model with fixed extents, or declare input_shapes = "
            f"{{ {toml_key(name)} = {_gaps(extents)} }}"
        )
    if fixed and fixed[0] != 1 and shape[0] is not None:
        raise WorkerError(f"input {name!r} has the fixed batch {fixed[0]}, expected 1 or None")
    return tuple(fixed)


def require_known(input_shapes: Mapping[str, object], names: Collection[str]) -> None:
    """Check that every name of ``input_shapes`` is an input's.

    Raises:
        WorkerError: one is not.
    """
    for name in input_shapes:
        if name not in names:
            raise WorkerError(f"input_shapes: no input {name!r}; there is {', '.join(names)}")


def _gaps(extents: Sequence[int | None]) -> str:
    """A shape as TOML, with a placeholder for each unknown extent."""
    return f"[{', '.join('…' if extent is None else str(extent) for extent in extents)}]"


def first_line(error: BaseException) -> str:
    """The first line of an error that is not empty, with the error's type."""
    lines = (line.strip() for line in str(error).splitlines())
    said = next((line for line in lines if line), "")
    name = type(error).__name__
    return f"{name}: {printable(said, limit=_LONGEST_REASON)}" if said else name
