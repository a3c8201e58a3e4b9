"""Arena figures in a firmware's serial log: usual prints of ``arena_used_bytes()``, and the lines
of TFLM's RecordingMicroAllocator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable


_MAXIMUM_BYTES = 64 * 1024**2
#: No arena of a microcontroller is larger.
_MAXIMUM_ARENA = 1 << 30

_RECORDED = "[RecordingMicroAllocator]"
_TOTALS = re.compile(r"Arena allocation (total|head|tail) (\d{1,10}) bytes")
_CATEGORY = re.compile(r"'([^']{1,60})' used (\d{1,10}) bytes")
#: TFLM's names of what it records, as ``Arena.recorded`` has them.
_CATEGORIES = {
    "TfLiteEvalTensor data": "eval_tensor",
    "Persistent TfLiteTensor data": "persistent_tensor",
    "Persistent TfLiteTensor quantization data": "persistent_tensor_quant",
    "Persistent buffer data": "persistent_buffer",
    "TfLiteTensor variable buffer data": "variable_buffer",
    "NodeAndRegistration struct": "node_and_registration",
    "Operator runtime data": "op_data",
}
#: A line that says how much of the arena is used: the words in any order, then or before a number.
_ARENA = re.compile(r"arena", re.IGNORECASE)
_USED = re.compile(r"(?<![a-z])used(?:[ _]bytes(?:\(\))?)?|usage", re.IGNORECASE)
#: A number of bytes, with thousands apart or not; no percentage, no fraction, no part of a name.
_NUMBER = re.compile(
    r"(?<![\w.])(0x[0-9a-fA-F]{1,8}|\d{1,3}(?:,\d{3})+|\d{1,10})(?![\w%]|[.]\d|\s*%)"
)
_DIGIT = re.compile(r"\d")
#: A figure in these is no figure to the byte.
_ROUNDED = re.compile(r"\s*[kKmM]i?[bB]")
#: Between what is used and what there is.
_OF = re.compile(r"\s*(?:bytes|B)?\s*(?:/|of|out of)\s*\Z", re.IGNORECASE)
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class LoggedArena(Struct, frozen=True):
    """What a log says of one arena, bytes. ``None``: it does not say it.

    Attributes:
        line: where, from 1.
        used: what ``arena_used_bytes()`` returned, or the recorder's total.
        head: the recorder's head, which is not planned activations alone while it allocates.
        tail: the recorder's tail.
        recorded: bytes by category, as ``Arena.recorded`` names them.
    """

    line: int
    used: int | None = None
    head: int | None = None
    tail: int | None = None
    recorded: dict[str, int] = field(default_factory=dict)


def read_log(path: Path) -> tuple[LoggedArena, ...]:
    """The arenas that the log at ``path`` tells of, in its order.

    Raises:
        TinybudgetError: no such file, larger than 64 MB, or it tells of none.
    """
    label = printable(path.as_posix())
    try:
        if path.stat().st_size > _MAXIMUM_BYTES:
            raise TinybudgetError(f"{label}: larger than 64 MB; expected a serial log")
        content = path.read_bytes()
    except OSError as error:
        raise TinybudgetError(f"{label}: {error.strerror}") from error
    arenas = tuple(logged_arenas(content.decode("utf-8", "replace")))
    if not arenas:
        raise TinybudgetError(
            f"{label}: no arena figure in it",
            details=(
                "print interpreter.arena_used_bytes() with the words 'arena' and 'used',",
                "or have RecordingMicroAllocator print its allocations",
            ),
        )
    return arenas


def logged_arenas(text: str) -> Iterator[LoggedArena]:
    """The arenas that a log tells of: a block of the recorder's lines is one of them."""
    block: LoggedArena | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _ESCAPE.sub("", raw)
        if _RECORDED in line:
            total = _TOTALS.search(line)
            if total is not None and total[1] == "total" and block is not None:
                yield block
                block = None
            block = _with_line(block or LoggedArena(number), line)
            continue
        used = _used(line)
        if used is not None:
            if block is not None:
                yield block
                block = None
            yield LoggedArena(number, used)
    if block is not None:
        yield block


def _with_line(block: LoggedArena, line: str) -> LoggedArena:
    """``block`` with what one line of the recorder says."""
    sizes = {"used": block.used, "head": block.head, "tail": block.tail}
    total, category = _TOTALS.search(line), _CATEGORY.search(line)
    recorded = dict(block.recorded)
    if total is not None:
        sizes["used" if total[1] == "total" else total[1]] = int(total[2])
    elif category is not None and category[1] in _CATEGORIES:
        recorded[_CATEGORIES[category[1]]] = int(category[2])
    return LoggedArena(block.line, sizes["used"], sizes["head"], sizes["tail"], recorded)


def _used(line: str) -> int | None:
    """The bytes in use that a line tells, if it speaks of an arena.

    Of several numbers it is the first behind the word that says so, else the one before it, and
    of ``N of M`` the first. Kilobytes are not taken: they are rounded.
    """
    if not _ARENA.search(line):
        return None
    said = _USED.search(line)
    if said is None:
        return None
    behind = line[said.end() :]
    match = _NUMBER.search(behind) if _DIGIT.search(behind) else _before(line[: said.start()])
    if match is None or _ROUNDED.match(match.string, match.end()):
        return None
    text = match[1].replace(",", "")
    value = int(text, 16) if text.startswith("0x") else int(text)
    return value if 0 < value < _MAXIMUM_ARENA else None


def _before(text: str) -> re.Match[str] | None:
    numbers = list(_NUMBER.finditer(text))
    if len(numbers) > 1 and _OF.fullmatch(text[numbers[-2].end() : numbers[-1].start()]):
        return numbers[-2]
    return numbers[-1] if numbers else None
