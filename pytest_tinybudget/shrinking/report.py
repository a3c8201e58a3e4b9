"""What shrinking did, as data: for ``--json``, for results files and for reports.

These structs are part of the results file: what they say of their fields is its definition
(``base/fields.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Annotated
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.fields import about
from pytest_tinybudget.base.fields import integer
from pytest_tinybudget.base.fields import size
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_size


class FilePart(Struct, frozen=True, gc=False):
    """A part of a model's file, before and after shrinking."""

    name: Annotated[str, about("What it is, such as quantization or names.")]
    before: Annotated[int, size("Its bytes before.")]
    after: Annotated[int, size("Its bytes after.")]

    @property
    def saved(self) -> int:
        """By how much it is smaller."""
        return self.before - self.after


class Arenas(Struct, frozen=True, gc=False):
    """What a board's arena must be for a model, before and after shrinking."""

    board: Annotated[str, about("The board's id.")]
    before: Annotated[int, size("Bytes before; 0 where TFLM does not load the model.")]
    after: Annotated[int, size("Bytes after.")]
    planned: Annotated[bool, about("Whether the file got a memory plan.")] = False

    @property
    def saved(self) -> int:
        """By how much it is smaller."""
        return self.before - self.after

    @property
    def text(self) -> str:
        """In words: ``"esp32: arena 18,096 -> 16,880 B (-6.7%) with a memory plan"``."""
        return f"{self.board}: {self.change}"

    @property
    def change(self) -> str:
        """``text`` without the board."""
        if not (self.before and self.after):
            return "TFLM does not load the model"
        if self.before == self.after:
            return f"arena {self.after:,} B, as before"
        percent = -100 * self.saved / self.before
        why = " with a memory plan" if self.planned else ""
        return f"arena {self.before:,} -> {self.after:,} B ({percent:.1f}%){why}"


def arena_texts(arenas: Sequence[Arenas]) -> list[str]:
    """The arenas that shrinking lowers, a text for all boards of which the same is true."""
    boards: dict[str, list[str]] = {}
    for each in arenas:
        if each.saved:
            boards.setdefault(each.change, []).append(each.board)
    everywhere = f"on all {len(arenas)} boards" if len(arenas) > 2 else "on both boards"
    return [
        f"{everywhere if 1 < len(arenas) == len(named) else ', '.join(named)}: {change}"
        for change, named in boards.items()
    ]


class ProofRun(Struct, frozen=True, gc=False):
    """What one interpreter made of both files."""

    interpreter: Annotated[str, about("TFLM or LiteRT.")]
    invocations: Annotated[
        int, integer("How often each ran with equal outputs; 0 where nothing was compared.")
    ] = 0
    why_not: Annotated[str, about("Why nothing was compared.")] = ""


class Proof(Struct, frozen=True, gc=False):
    """That a shrunken file answers as the file that it was made of."""

    runs: Annotated[
        tuple[ProofRun, ...], about("Of the interpreters that are installed where it was made.")
    ] = ()
    samples: Annotated[int, integer("How many of the inputs are of the representative data.")] = 0
    samples_unused: Annotated[
        str, about("Why none are, although there is such data; empty where it was used.")
    ] = ""

    @property
    def is_verified(self) -> bool:
        """Whether an interpreter ran both files; it found no difference then."""
        return any(run.invocations for run in self.runs)

    @property
    def text(self) -> str:
        """In words: ``"outputs equal byte for byte: TFLM 8, LiteRT 8 invocations"``."""
        names = [f"{run.interpreter} {run.invocations}" for run in self.runs if run.invocations]
        if names:
            own = f", {self.samples} inputs of the representative data" if self.samples else ""
            if self.samples_unused:
                own = f"; the representative data was not used: {self.samples_unused}"
            return f"outputs equal byte for byte: {', '.join(names)} invocations{own}"
        if not self.runs:
            return "not verified here (pip install 'pytest-tinybudget[verify]')"
        reasons = (f"{run.interpreter}: {run.why_not}" for run in self.runs)
        return "; ".join(("not verified here", *reasons))


class ShrinkReport(Struct, frozen=True):
    """What shrinking did to a model."""

    model: Annotated[str, about("The model's name.")]
    bytes_before: Annotated[int, size("Size of the file that was given.")]
    bytes_after: Annotated[int, size("Size of the file that was made.")]
    least_bytes: Annotated[
        int, size("What no file of the model goes below: its distinct contents and scales.")
    ] = 0
    parts: Annotated[tuple[FilePart, ...], about("What the file is made of.")] = ()
    arenas: Annotated[tuple[Arenas, ...], about("Of the boards that it was shrunk for.")] = ()
    plan: Annotated[
        Literal["written", "kept", "none"],
        about("The file's memory plan: made by shrinking, the model's own, or none."),
    ] = "none"
    dropped: Annotated[
        tuple[str, ...], about("Operators that were left out because they compute nothing new.")
    ] = ()
    reordered: Annotated[
        bool, about("Whether operators run in another order, with a lower peak.")
    ] = False
    notes: Annotated[
        tuple[str, ...], about("What else there is to say, such as why there is no plan.")
    ] = ()
    unchanged: Annotated[str, about("Why the file is unchanged; empty where it is not.")] = ""
    proof: Annotated[Proof, about("That the outputs are the same.")] = Proof()

    @property
    def saved_bytes(self) -> int:
        """By how much the file is smaller."""
        return self.bytes_before - self.bytes_after

    @property
    def headline(self) -> str:
        """In one line: ``"kws: 52.7 KB -> 29.6 KB (-43.9%)"``."""
        return f"{self.model}: {self.sizes}"

    @property
    def sizes(self) -> str:
        """The file before and after: ``"52.7 KB -> 29.6 KB (-43.9%)"``."""
        if self.unchanged:
            return f"unchanged, {format_size(self.bytes_before)}: {self.unchanged}"
        before, after = format_pair(self.bytes_before, self.bytes_after)
        return f"{before} -> {after} ({-100 * self.saved_bytes / self.bytes_before:.1f}%)"

    @property
    def waste_text(self) -> str:
        """What of the file is waste: ``"file: 52.7 KB, of which 23.1 KB are waste (…)"``."""
        size = format_size(self.bytes_before)
        if self.saved_bytes:
            saved = format_size(self.saved_bytes)
            return f"file: {size}, of which {saved} are waste (tinybudget shrink)"
        if self.unchanged and not self.parts:
            return f"file: {size}, which tinybudget shrink leaves as it is: {self.unchanged}"
        return f"file: {size}, none of it waste"

    def told(self) -> tuple[str, ...]:
        """The report in few lines, for the notes on a pair."""
        saved = [f"{part.name} {-part.saved:+,} B" for part in self.parts if part.saved]
        first = f"shrink: {self.sizes}"
        lines = [f"{first}: {', '.join(saved)}" if saved and not self.unchanged else first]
        lines += [f"shrink: {each.text}" for each in self.arenas if each.saved]
        lines += [f"shrink: left out: {each}" for each in self.dropped]
        if self.reordered:
            lines.append("shrink: operators run in another order, with a lower peak")
        lines += [f"shrink: {note}" for note in self.notes]
        if not self.unchanged:
            lines.append(f"shrink: {self.proof.text}")
        return tuple(lines)

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
        for arena in self.arenas:
            yield f"  {arena.text}"
        for each in self.dropped:
            yield f"  left out: {each}"
        if self.reordered:
            yield "  operators run in another order, with a lower peak"
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
