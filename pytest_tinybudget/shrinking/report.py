"""What shrinking did, as data: for ``--json``, for results files and for reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.shrinking.parts import FilePart
from pytest_tinybudget.shrinking.proof import Proof


class Arenas(Struct, frozen=True):
    """What a board's arena must be for a model, before and after shrinking.

    Attributes:
        board: The board's id.
        before: Bytes before; ``None`` where TFLM does not load the model.
        after: Bytes after.
        planned: Whether the file got a memory plan.
    """

    board: str
    before: int | None
    after: int | None
    planned: bool = False

    @property
    def saved(self) -> int:
        """By how much it is smaller."""
        return (self.before or 0) - (self.after or 0)


#: What a memory plan in the file is: written here, the model's own, or none.
Plan = Literal["written", "kept", "none"]


class ShrinkReport(Struct, frozen=True):
    """What shrinking did to a model.

    Attributes:
        model: The model's name.
        bytes_before: Size of the file that was given.
        bytes_after: Size of the file that was made.
        least_bytes: What no file of the model goes below: its distinct contents and scales.
        parts: What the file is made of, before and after.
        changes: What was done, in words.
        arenas: Of the boards that it was shrunk for.
        plan: What the file has of a memory plan.
        notes: What else there is to say, such as why there is no plan.
        unchanged: Why the file is unchanged; empty where it is not.
        proof: That the outputs are the same.
    """

    model: str
    bytes_before: int
    bytes_after: int
    least_bytes: int = 0
    parts: tuple[FilePart, ...] = ()
    changes: tuple[str, ...] = ()
    arenas: tuple[Arenas, ...] = ()
    plan: Plan = "none"
    notes: tuple[str, ...] = ()
    unchanged: str = ""
    proof: Proof = Proof()

    @property
    def saved_bytes(self) -> int:
        """By how much the file is smaller."""
        return self.bytes_before - self.bytes_after

    @property
    def headline(self) -> str:
        """In one line: ``"kws: 53.9 KB -> 30.3 KB (-43.9 %)"``."""
        if self.unchanged:
            return f"{self.model}: unchanged, {format_size(self.bytes_before)}: {self.unchanged}"
        return f"{self.model}: {self.sizes}"

    @property
    def sizes(self) -> str:
        """The file before and after: ``"52.7 KB -> 29.6 KB (-43.9%)"``."""
        before, after = format_pair(self.bytes_before, self.bytes_after)
        return f"{before} -> {after} ({-100 * self.saved_bytes / self.bytes_before:.1f}%)"

    def lines(self) -> Iterator[str]:
        """The report in lines, the headline first."""
        yield self.headline
        for part in self.parts:
            if part.before != part.after:
                yield f"  {part.name}: {part.before:,} -> {part.after:,} B"
        if self.least_bytes:
            over = self.bytes_after - self.least_bytes
            yield (
                f"  no file goes below {self.least_bytes:,} B of weights, biases and scales: "
                f"{over:,} B above"
            )
        for each in self.changes:
            yield f"  {each}"
        for arena in self.arenas:
            yield f"  {_arena_text(arena)}"
        for note in self.notes:
            yield f"  {note}"
        if not self.unchanged:
            yield f"  {self.proof.text}"


class Shrunk(Struct, frozen=True):
    """A shrunken model: its file, and what was done.

    Attributes:
        content: The bytes of the file; those that were given where it cannot be made smaller.
        report: What was done, what it saves, and that the outputs are the same.
    """

    content: bytes
    report: ShrinkReport


def _arena_text(arena: Arenas) -> str:
    if arena.before is None or arena.after is None:
        return f"{arena.board}: TFLM does not load the model"
    if arena.before == arena.after:
        return f"{arena.board}: arena {arena.after:,} B, as before"
    percent = -100 * arena.saved / arena.before
    why = " with a memory plan" if arena.planned else ""
    return f"{arena.board}: arena {arena.before:,} -> {arena.after:,} B ({percent:.1f}%){why}"
