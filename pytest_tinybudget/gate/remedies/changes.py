"""The changes to a pair that can be tried. Each one can be made, so that its effect is measured.

They are ordered by what they cost the user: free ones, then those that need another conversion,
then those that make the firmware slower.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.boards.chips import PARTITION_BYTES
from pytest_tinybudget.boards.chips import largest_partition
from pytest_tinybudget.boards.chips import possible_psram
from pytest_tinybudget.convert.sources import converts
from pytest_tinybudget.declaration import DeclaredModel
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.link import OtherFlag
from pytest_tinybudget.footprint.link import other_flags
from pytest_tinybudget.footprint.link import reference_of
from pytest_tinybudget.gate.figures import FIRMWARE_IMAGE
from pytest_tinybudget.gate.waste import planned_for
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.placement import ArenaPlacement
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.shrinking.reconverted import per_tensor
from pytest_tinybudget.shrinking.reconverted import without_plan
from pytest_tinybudget.shrinking.report import arena_texts
from pytest_tinybudget.shrinking.strip import strip


#: Gives a changed model, or ``None`` if there is nothing to change.
Edit = Callable[[Model], Model | None]


class Candidate(Struct, frozen=True):
    """A changed pair: its declaration and board, and the edits to its models.

    ``models`` are the models before the edits. ``converted``: they have to be converted anew.
    """

    pair: Pair | GroupPair
    models: tuple[Model, ...]
    edits: tuple[Edit, ...] = ()
    converted: bool = False

    def with_models(self, edit: Edit) -> Candidate:
        """With ``edit`` applied to each model; a model without changes stays as it is."""
        return replace(self, edits=(*self.edits, edit))

    def with_activations(self, activations: Literal["int8", "int16"]) -> Candidate:
        """With another type of activations, which needs a new conversion."""
        pair = self.pair
        changed = [_with_activations(model, activations) for model in pair.models]
        if isinstance(pair, Pair):
            pair = replace(pair, model=changed[0])
        else:
            pair = replace(pair, group=replace(pair.group, models=tuple(changed)))
        return replace(self, pair=pair, converted=True)

    def loaded(self, load: Callable[[DeclaredModel], Model]) -> tuple[Model, ...]:
        """The changed models; ``load`` reads and converts a declared model.

        Raises:
            TinybudgetError: a model cannot be converted, or its file cannot be changed.
        """
        models = tuple(map(load, self.pair.models)) if self.converted else self.models
        for edit in self.edits:
            models = tuple(edit(model) or model for model in models)
        return models

    def declared(self, **settings: object) -> Candidate:
        """With other ``settings`` of its models."""
        pair = self.pair
        if isinstance(pair, Pair):
            return replace(self, pair=replace(pair, model=replace(pair.model, **settings)))
        models = tuple(replace(model, **settings) for model in pair.group.models)
        return replace(self, pair=replace(pair, group=replace(pair.group, models=models)))

    def built(self, flag: OtherFlag) -> Candidate:
        """With TFLM compiled with another flag."""
        runtime = self.pair.firmware.runtime
        return self.declared(runtime=DeclaredRuntime(runtime.name, flag.applied(runtime)))

    def placed(self, placement: Placement) -> Candidate:
        """With the arena in another memory."""
        pair = self.pair
        if isinstance(pair, Pair):
            placements = replace(pair.model.placements, arena=placement)
            return self.declared(placements=placements)
        group = replace(pair.group, placement=placement)
        return replace(self, pair=replace(pair, group=group))

    def on(self, board: Board) -> Candidate:
        """On another board, or a changed one."""
        return replace(self, pair=replace(self.pair, board=board))


#: What a change costs the user: nothing, another conversion, or speed.
Cost = Literal["free", "conversion", "speed"]
COSTS: tuple[Cost, ...] = ("free", "conversion", "speed")


class Change(Struct, frozen=True, eq=False):
    """One change: ``text`` says what to do, ``note`` what else it does.

    Two changes of one ``key`` are alternatives. ``repacks``: another tool writes the file, so
    that its padding is not known.
    """

    key: str
    cost: Cost
    text: str
    apply: Callable[[Candidate], Candidate]
    note: str = ""
    repacks: bool = False


def changes(result: PairResult, candidate: Candidate) -> Iterator[Change]:
    """All changes that apply to ``candidate``, the cheapest first; none has been measured yet."""
    kinds = (
        _shrunken(candidate),
        _stripped(candidate),
        _typed(candidate),
        _elsewhere(candidate),
        _model_in_flash(candidate),
        _larger_partition(result, candidate),
        _with_psram(candidate),
        _converted_otherwise(candidate),
        _other_flags(candidate),
        _reference_kernels(candidate),
    )
    for kind in kinds:
        with suppress(TinybudgetError):  # such as a file with parts that cannot be written again
            yield from kind


def _with_activations(model: DeclaredModel, activations: Literal["int8", "int16"]) -> DeclaredModel:
    conversion = replace(model.conversion, activations=activations)
    planned = model.planned
    if planned is not None:
        dense = conversion.scales_per_channel
        planned = replace(planned, numbers=activations, per_channel_dense=dense)
    return replace(model, conversion=conversion, planned=planned)


def _numbers(model: DeclaredModel) -> Numbers:
    """What flows between the operators that are planned, or that a conversion makes."""
    if model.planned is not None:
        return model.planned.numbers
    is_made = converts(model.source, model.conversion)
    return model.conversion.activations if is_made else "int8"


def _placement(pair: Pair | GroupPair) -> ArenaPlacement:
    return pair.model.placements.arena if isinstance(pair, Pair) else pair.group.placement


def _shrunken(candidate: Candidate) -> Iterator[Change]:
    """The same models as smaller files, with a memory plan where that helps."""
    if any(model.shrink for model in candidate.pair.models):
        return
    from pytest_tinybudget.shrinking.shrink import ShrunkModel
    from pytest_tinybudget.shrinking.shrink import shrink_model

    firmwares = planned_for(candidate.pair)
    known: dict[int, ShrunkModel] = {}

    def shrunk(model: Model) -> ShrunkModel:
        if id(model) not in known:
            known[id(model)] = shrink_model(model, firmwares)
        return known[id(model)]

    reports = [shrunk(model).report for model in candidate.models]
    if all(report.unchanged for report in reports):
        return
    whole = sum(report.bytes_before for report in reports)
    after, before = format_pair(sum(report.bytes_after for report in reports), whole)
    arenas = [text for report in reports for text in arena_texts(report.arenas)]
    note = "; ".join((f"the same outputs; the model goes from {before} to {after}", *arenas))
    yield Change(
        "strip",
        "free",
        "shrink = true",
        lambda each: each.with_models(lambda model: shrunk(model).model),
        note,
    )


def _stripped(candidate: Candidate) -> Iterator[Change]:
    stripped = [strip(model) for model in candidate.models]
    saved = sum(each.saved_bytes for each in stripped)
    if not saved:
        return
    whole = sum(model.bytes for model in candidate.models)
    after, before = format_pair(whole - saved, whole)
    note = f"the model goes from {before} to {after}"
    if len(stripped) == 1:
        note += f": {stripped[0].text}"
    yield Change(
        "strip",
        "free",
        "strip = true",
        lambda each: each.with_models(lambda model: strip(model).model),
        note,
    )


def _typed(candidate: Candidate) -> Iterator[Change]:
    pair = candidate.pair
    if any(model.registrations == "generic" for model in pair.models):
        yield Change(
            "registrations",
            "free",
            'each operator for its type only (registrations = "typed")',
            lambda each: each.declared(registrations="typed"),
        )


def _elsewhere(candidate: Candidate) -> Iterator[Change]:
    board, now = candidate.pair.board, _placement(candidate.pair)
    others: tuple[tuple[Placement, str], ...] = (
        ("static", "an array that the linker places"),
        ("heap", "the arena from the heap"),
        ("psram", "external RAM is slower"),
    )
    for placement, note in others:
        block = board.block(placement)
        if placement != now and block is not None and block.published:
            yield Change(
                "placement",
                "free",
                f'placement = "{placement}"',
                lambda each, placement=placement: each.placed(placement),  # type: ignore[misc]
                note,
            )


def _model_in_flash(candidate: Candidate) -> Iterator[Change]:
    """The model in flash instead of RAM."""
    pair = candidate.pair
    if isinstance(pair, Pair) and pair.model.placements.model != "flash":
        placements = replace(pair.model.placements, model="flash", model_storage="flash")
        yield Change(
            "placement_model",
            "free",
            'placement_model = "flash"',
            lambda each: each.declared(placements=placements),
            "an array that is const, read where it lies",
        )


def _larger_partition(result: PairResult, candidate: Candidate) -> Iterator[Change]:
    """The smallest application partition that would hold the firmware."""
    pair, board = candidate.pair, candidate.pair.board
    largest = largest_partition(board)
    if board.id in pair.project.slots or not largest or result.footprint is None:
        return
    contents = board.reserved_flash + result.footprint.flash
    images = (each.high for each in result.figures if each.name == FIRMWARE_IMAGE)
    wanted = align_up(max(contents, int(next(images, 0) or 0)), PARTITION_BYTES)
    size = min(wanted, largest)
    if size > board.usable_flash:
        key = f'usable_flash = "{size // 1024} KB"'
        yield Change(
            "partition",
            "free",
            f"a larger partition for the application: {key} {_where(pair, board)}",
            lambda each: each.on(replace(each.pair.board, usable_flash=size)),
            f"today's uses {format_size(board.usable_flash)} of {format_size(board.flash)}",
        )


def _with_psram(candidate: Candidate) -> Iterator[Change]:
    pair, board = candidate.pair, candidate.pair.board
    size = possible_psram(board)
    if not size:
        return
    region = Region("PSRAM", "psram", size, size)
    with_it = replace(board, regions=(*board.regions, region))
    key = f'psram = "{size // 1024**2} MB"'
    yield Change(
        "placement",
        "free",
        f'a module with external RAM: {key} {_where(pair, board)}, and placement = "psram"',
        lambda each: each.on(
            replace(each.pair.board, regions=with_it.regions),
        ).placed("psram"),
        f"modules with an {board.mcu} are sold with it; it is slower",
    )


def _where(pair: Pair | GroupPair, board: Board) -> str:
    """The table where a key of ``board`` can be declared, in words."""
    if board.id in pair.project.boards:
        return f"in [boards.{board.id}]"
    return f'in a [boards.NAME] that extends = "{board.id}"'


def _converted_otherwise(candidate: Candidate) -> Iterator[Change]:
    wide = {*map(_numbers, candidate.pair.models)} - {"int8"}
    if wide:
        yield Change(
            "activations",
            "conversion",
            'activations = "int8"',
            lambda each: each.with_activations("int8"),
            f"less accurate than {' and '.join(sorted(wide))}",
        )
    if any(per_tensor(model) for model in candidate.models):
        by_key = all(each.source.suffix.lower() != ".tflite" for each in candidate.pair.models)
        how = "per_channel_dense = false" if by_key else "a setting of the converter"
        yield Change(
            "dense",
            "conversion",
            f"dense layers quantized per tensor instead of per channel ({how})",
            lambda each: each.with_models(per_tensor),
            "a little less accurate",
            repacks=True,
        )
    if any(without_plan(model) for model in candidate.models):
        yield Change(
            "plan",
            "conversion",
            "TFLM's own memory plan instead of the model's (OfflineMemoryAllocation)",
            lambda each: each.with_models(without_plan),
        )


def _other_flags(candidate: Candidate) -> Iterator[Change]:
    """TFLM compiled otherwise, where there is a table of that build."""
    firmware = candidate.pair.firmware
    if firmware.fixed is not None:
        return
    for flag in other_flags(firmware.runtime):
        yield Change(
            flag.key,
            "speed" if flag.note else "free",
            f"{flag.change} ({flag.how}; {flag.key} in [runtime.NAME])",
            lambda each, flag=flag: each.built(flag),  # type: ignore[misc]
            flag.note,
        )


def _reference_kernels(candidate: Candidate) -> Iterator[Change]:
    pair = candidate.pair
    firmware = pair.firmware
    if firmware.fixed is not None:
        return
    reference = reference_of(firmware.runtime)
    declared = pair.project.runtimes.get(reference.name) if reference else None
    library = LIBRARIES[firmware.runtime.kernels.library].label
    if declared is not None:
        yield Change(
            "runtime",
            "speed",
            f'reference kernels instead of {library} (runtime = "{declared.name}")',
            lambda each: each.declared(runtime=declared),
            "slower",
        )
