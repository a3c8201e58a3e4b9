"""What a command says of long work: on stderr, once it has taken two seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from typing import TextIO
from typing import TypeVar


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import Declared

_Pair = TypeVar("_Pair", bound="Declared")

#: Seconds until the first word.
_PATIENCE = 2.0

#: Seconds between two words on a terminal, which are one line that is written over.
_EACH = 0.5


class Wait:
    """What is being waited for; ``told`` and ``converting`` may be called from the work itself."""

    def __init__(self, what: str, stream: TextIO) -> None:
        self._what, self._stream = what, stream
        self._over = threading.Event()
        self._begun = time.monotonic()
        self._shown = False
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def told(self, what: str) -> None:
        """From now on it is ``what`` that is waited for."""
        self._what = what

    def converting(self, model: str, step: str) -> None:
        """As ``told``, of a step of a model's conversion: the form that converters call."""
        self._what = f"converting {model}: {step}"

    def measuring(self, pairs: Sequence[_Pair]) -> Iterator[_Pair]:
        """``pairs``, each told as what is being measured while its turn lasts."""
        for number, pair in enumerate(pairs, 1):
            self.told(f"measuring {pair.id}: {number} of {len(pairs)}")
            yield pair

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Say no more, and remove the line from a terminal."""
        self._over.set()
        self._thread.join()
        if self._shown and self._stream.isatty():
            self._write("\r\x1b[K")

    def _tell(self) -> None:
        pause = _PATIENCE
        while not self._over.wait(pause):
            seconds = time.monotonic() - self._begun
            text = f"tinybudget: {self._what} ({seconds:.0f} s)"
            self._shown = True
            if self._stream.isatty():
                self._write(f"\r\x1b[K{text}")
                pause = _EACH
            else:
                self._write(f"{text}\n")
                pause = min(2 * pause, 60.0)  # a log is read afterwards

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads it, or it is closed
            self._over.set()


@contextmanager
def waiting(what: str, *, quiet: bool = False) -> Iterator[Wait]:
    """Tell what the work within waits for, after two seconds and then again and again.

    On a terminal it is one line, removed at the end; elsewhere a line after 2, 6, 14, 30 … seconds.
    """
    wait = Wait(what, sys.stderr)
    if quiet:
        yield wait
        return
    wait.begin()
    try:
        yield wait
    finally:
        wait.end()
