"""What the project's files say is flashed: as a result's runtime, or against a declared one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.boards.catalog import catalog
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.project_files import PROJECT
from pytest_tinybudget.declaration.shipped import shipped_runtimes
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import warned
from pytest_tinybudget.runtimes.distributions import default_runtime
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.stand_ins import stand_ins
from pytest_tinybudget.workspace import Workspace


if TYPE_CHECKING:
    from pytest_tinybudget.detection.flashed import Flashed
    from pytest_tinybudget.footprint.result import Footprint


def with_flashed(
    result: PairResult, pair: Pair | GroupPair, footprint: Footprint, workspace: Workspace
) -> PairResult:
    """``result`` with what the project's files have to say of the runtime that it was counted for.

    ``footprint`` is what the pair takes with that.
    """
    if not pair.board.runs_tflm:
        return result
    members = pair.members if isinstance(pair, GroupPair) else (pair,)
    declared = members[0].declared_runtime
    if declared.files is not None:
        found = declared.files.flashed(pair.board)
        return result if found is None else _taken(result, found, declared.files.unread())
    if isinstance(pair, Pair):
        contradiction = _contradiction(pair, footprint, workspace)
        return warned(result, (contradiction,)) if contradiction else result
    return result


def _taken(result: PairResult, found: Flashed, unread: Sequence[str]) -> PairResult:
    """``result`` of a runtime that the files named, without those that are ``unread``."""
    said = tuple(dict.fromkeys(f"{each.what} ({each.place})" for each in found.findings))
    notes = (f"the project flashes {found.runtime.name}: {', '.join(said)}", *found.notes, *unread)
    taken = replace(result, flashed=said, notes=(*result.notes, *notes))
    return warned(taken, found.warnings) if found.warnings else taken


def _is_chosen(pair: Pair) -> bool:
    """Whether the declaration names the pair's runtime, or an SDK that brings it."""
    board = pair.board
    if pair.model.runtime is not None:
        return True
    if board.core not in stand_ins():
        return False
    as_it_comes = catalog().get(board.id)
    if as_it_comes is not None:
        return board.runtime != as_it_comes.runtime
    return board.runtime != default_runtime(board.core, board.sdk)


def named_instead(pair: Pair) -> Flashed | None:
    """What the project's files name for a pair instead of the release that it is counted for.

    ``None`` where they name nothing or the same, and for figures of the user's own.

    Raises:
        TinybudgetError: the pair has no runtime that suits it.
    """
    files = pair.project.files
    if files is None or not files.any or not pair.board.runs_tflm:
        return None
    if pair.declared_runtime.name not in shipped_runtimes():
        return None
    found = files.flashed(pair.board)
    possible = (found.runtime.one_of or (found.runtime,)) if found else ()
    counted = pair.firmware.runtime
    return None if any(_agree(each, counted) for each in possible) else found


def _contradiction(pair: Pair, footprint: Footprint, workspace: Workspace) -> str:
    """What the files name instead of the runtime that is declared, with the difference in bytes."""
    found = named_instead(pair)
    if found is None:
        return ""
    project = pair.project.runtimes[PROJECT]
    other = replace(pair, model=replace(pair.model, runtime=project))
    flashed = measurement(other, workspace, details=False).footprint
    named, declared = found.runtime.name, pair.firmware.name
    if named == declared:
        named, declared = _builds(found.runtime, pair.firmware.runtime)
    counted = "the declared runtime" if _is_chosen(pair) else f"the default of {pair.board.id}"
    return (
        f"the project's files name {named} ({found.places}), and {counted} "
        f"is {declared}: {_difference(footprint, flashed)}; "
        f'runtime = "{PROJECT}" counts what they name'
    )


def _builds(one: Runtime, other: Runtime) -> tuple[str, str]:
    """Two builds of one release, each with what the other has not: its kernels, its flag."""

    def traits(runtime: Runtime) -> tuple[str, ...]:
        kernels = f"{runtime.kernels.label} {runtime.kernels.version.name}".rstrip()
        word = "with" if runtime.tflm.static_memory else "without"
        return kernels, f"{word} TF_LITE_STATIC_MEMORY"

    pairs = [each for each in zip(traits(one), traits(other), strict=True) if each[0] != each[1]]
    first, second = zip(*pairs, strict=True) if pairs else ((), ())
    return ", ".join((one.name, *first)), ", ".join((other.name, *second))


def _agree(one: Runtime, other: Runtime) -> bool:
    """Whether two runtimes are the same version and build, as far as RAM depends on it."""
    first, second = one.kernels, other.kernels
    versions = {first.version.name, second.version.name} - {""}
    same_kernels = (first.library, first.vectors) == (second.library, second.vectors)
    same_tflm = (one.tflm.version, one.tflm.static_memory) == (
        other.tflm.version,
        other.tflm.static_memory,
    )
    return same_tflm and same_kernels and len(versions) < 2


def _difference(counted: Footprint, flashed: Footprint) -> str:
    """How much more or less RAM and flash the other runtime takes."""
    if flashed.refusals and not counted.refusals:
        refusal = flashed.refusals[0]
        return f"with what they name, TFLM refuses {refusal.operator}: {refusal.reason}"
    ram, flash = flashed.ram - counted.ram, flashed.flash - counted.flash
    return f"what they name takes {_signed(ram)} of RAM and {_signed(flash)} of flash"


def _signed(delta: int) -> str:
    return f"{delta:+,} B" if delta else "±0 B"
