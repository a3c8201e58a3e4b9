"""Makes a model's file smaller and its arena no larger, with the same outputs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.packing import pack
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.shrinking.folding import Folding
from pytest_tinybudget.shrinking.folding import computed
from pytest_tinybudget.shrinking.folding import islands_of
from pytest_tinybudget.shrinking.interpreters import TFLM
from pytest_tinybudget.shrinking.interpreters import Interpreters
from pytest_tinybudget.shrinking.interpreters import Samples
from pytest_tinybudget.shrinking.interpreters import installed
from pytest_tinybudget.shrinking.options import Rewrite
from pytest_tinybudget.shrinking.options import ShrinkOptions
from pytest_tinybudget.shrinking.ordering import best_order
from pytest_tinybudget.shrinking.ordering import is_possible
from pytest_tinybudget.shrinking.ordering import work_of
from pytest_tinybudget.shrinking.pack import PLAN
from pytest_tinybudget.shrinking.pack import drop_texts
from pytest_tinybudget.shrinking.pack import drop_unread
from pytest_tinybudget.shrinking.pack import drop_unused
from pytest_tinybudget.shrinking.pack import set_plan
from pytest_tinybudget.shrinking.pack import share_bias_scales
from pytest_tinybudget.shrinking.parts import compared
from pytest_tinybudget.shrinking.parts import least_bytes
from pytest_tinybudget.shrinking.parts import parts_of
from pytest_tinybudget.shrinking.planning import overlaps
from pytest_tinybudget.shrinking.planning import plans
from pytest_tinybudget.shrinking.planning import why_unplanned
from pytest_tinybudget.shrinking.proof import DiffersError
from pytest_tinybudget.shrinking.proof import Proving
from pytest_tinybudget.shrinking.proof import prove
from pytest_tinybudget.shrinking.proof import proving
from pytest_tinybudget.shrinking.report import Arenas
from pytest_tinybudget.shrinking.report import FilePart
from pytest_tinybudget.shrinking.report import ShrinkReport
from pytest_tinybudget.shrinking.rewrites import drop_copies
from pytest_tinybudget.shrinking.rewrites import drop_quantize_pairs
from pytest_tinybudget.shrinking.rewrites import drop_unread_operators
from pytest_tinybudget.shrinking.sameness import difference
from pytest_tinybudget.shrinking.tree import copied
from pytest_tinybudget.shrinking.tree import set_vector


#: Arenas by board; ``None`` where TFLM does not load the model.
_Arenas = Mapping[str, Arena | None]

_NO_FOLDING = Folding((), {})


class ShrunkModel(Struct, frozen=True):
    """A model, smaller; the given one where it cannot be made smaller. ``report`` says how.

    ``separate`` are the boards for which a file of their own would need a smaller arena, ``folded``
    is how many operators constants took the place of.
    """

    model: Model
    report: ShrinkReport
    separate: tuple[str, ...] = ()
    folded: int = 0


class _Candidate(Struct, frozen=True):
    """A file that could be the result, and what is to be said of it.

    ``order`` are the operators of the main subgraph by their old numbers, where it is another.
    """

    tree: Table
    model: Model
    arenas: _Arenas
    plan: Literal["written", "kept", "none"] = "none"
    order: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    separate: tuple[str, ...] = ()


#: The changes by which operators go, and with them the times at which tensors are alive.
_OF_OPERATORS: tuple[Rewrite, ...] = (
    "constants", "reshapes", "quantize-pairs", "unread-operators", "order",
)  # fmt: skip


class _Made(Struct, frozen=True):
    """The best file for one choice of what is rewritten, and what operators went for it."""

    candidate: _Candidate | None
    folding: Folding = _NO_FOLDING
    dropped: tuple[str, ...] = ()


def shrink_model(
    model: Model,
    firmwares: Mapping[str, Firmware] | None = None,
    options: ShrinkOptions | None = None,
    *,
    interpreters: Interpreters | None = None,
) -> ShrunkModel:
    """``model`` as a smaller file that every interpreter runs alike.

    Args:
        model: What is shrunk.
        firmwares: By board what the model is built into: a memory plan is written where it makes
            the arena smaller on one of them and larger on none.
        options: What is kept, and which changes are not made.
        interpreters: Compute the constants that are folded; without any, a child process of this
            call's own does where there are some.

    Raises:
        ModelError: the shrunken file would not be the same model, which is a fault of ours.
        TinybudgetError: temporary files cannot be written.
    """
    firmwares, options = firmwares or {}, options or ShrinkOptions()
    before = _arenas(model, firmwares)
    reason = _why_not(model)
    if reason:
        return _unchanged(model, before, reason)
    try:
        root = take_apart(model.content, model.name)
    except ModelError as error:
        return _unchanged(model, before, error.message.removeprefix(f"{model.name}: "))
    if _overlaps(model, before):
        options = replace(options, without=tuple({*options.without, *_OF_OPERATORS}))
    folding, note = _folding(root, model, options, interpreters)
    notes = (note,) if note else ()
    try:
        made = _best_made(root, model, firmwares, options, before, folding)
    except ModelError:  # so much of it is equal that readers would take it for an attack
        return _unchanged(model, before, "shared any further, readers would refuse it")
    candidate = made.candidate
    if candidate is None or not _is_smaller(candidate, model, before):
        parts = parts_of(root, model.bytes)
        text = "nothing here makes it smaller"
        return _unchanged(model, before, text, compared(parts, parts), notes=notes)
    shrunken = candidate.model
    source = model
    if made.dropped:
        source_tree = copied(root)
        _rewritten(source_tree, options, made.folding)
        source = read_model(put_together(source_tree), model.name)
    fault = difference(
        _in_order(source, candidate.order),
        shrunken,
        bias_scales="bias-scales" in options.without,
    )
    if fault:
        raise ModelError(f"{model.name}: shrunken, it would not be the same model: {fault}")
    after = take_apart(shrunken.content, shrunken.name)
    report = ShrinkReport(
        model.name,
        model.bytes,
        shrunken.bytes,
        least_bytes(shrunken),
        compared(parts_of(root, model.bytes), parts_of(after, shrunken.bytes)),
        arenas=_compared(before, candidate.arenas, planned=candidate.plan == "written"),
        plan=candidate.plan,
        dropped=made.dropped,
        reordered=bool(candidate.order),
        notes=(*candidate.notes, *notes),
    )
    return ShrunkModel(shrunken, report, candidate.separate, folded=made.folding.count)


def _overlaps(model: Model, arenas: _Arenas) -> bool:
    """Whether the model's own memory plan lets tensors share bytes while both are alive.

    What then comes out depends on when each is written, so that every operator must stay.
    """
    if PLAN.decode() not in model.metadata:
        return False
    here = arenas or {"here": simulate(model, RUNTIMES["x86_64_ref"]).arena}
    return any(arena is not None and overlaps(arena) for arena in here.values())


def _folding(
    root: Table, model: Model, options: ShrinkOptions, interpreters: Interpreters | None
) -> tuple[Folding, str]:
    """The constants that could take the place of operators, or why there are none.

    Raises:
        TinybudgetError: temporary files cannot be written.
    """
    islands = () if "constants" in options.without else islands_of(root)
    if not islands:
        return _NO_FOLDING, ""
    count = sum(len(each.operators) for each in islands)
    what = f"{count} x an operator of constants alone"
    if TFLM not in installed():
        return _NO_FOLDING, f"not folded here: {what} (pip install 'pytest-tinybudget[verify]')"
    try:
        if interpreters is not None:
            found = computed(root, islands, model, interpreters)
        else:
            with Interpreters() as own:
                found = computed(root, islands, model, own)
    except OSError as error:
        raise TinybudgetError(
            f"{model.name}: temporary files cannot be written: {error.strerror or error}",
            code="TB102",
        ) from None
    return found, "" if found.count else f"not folded, TFLM's interpreter does not run it: {what}"


def _best_made(
    root: Table,
    model: Model,
    firmwares: Mapping[str, Firmware],
    options: ShrinkOptions,
    before: _Arenas,
    folding: Folding,
) -> _Made:
    """The best file: with what is folded only where that makes file or arena smaller still.

    Raises:
        ModelError: the file would be refused by readers.
    """

    def made(part: Folding) -> _Made:
        tree = copied(root)
        dropped = _rewritten(tree, options, part)
        found = _best(_candidates(tree, model, firmwares, options), before)
        return _Made(found, part, dropped)

    def is_enough(one: _Made) -> bool:
        return one.candidate is not None and _is_smaller(one.candidate, model, before)

    plain = made(_NO_FOLDING)
    if plain.dropped and not is_enough(plain):
        plain = _Made(_best(_candidates(copied(root), model, firmwares, options), before))
    for part in dict.fromkeys((folding.islands, folding.without_growth().islands)):
        if not part:
            continue
        other = made(Folding(part, folding.values))
        if is_enough(other) and _is_better(other.candidate, plain.candidate):
            return other
    return plain


def _is_better(one: _Candidate | None, other: _Candidate | None) -> bool:
    """Whether ``one`` is smaller than ``other`` in its file or in an arena, and larger in none."""
    if one is None or other is None:
        return one is not None
    if one.model.bytes > other.model.bytes or not _is_no_higher(one.arenas, other.arenas):
        return False
    return one.model.bytes < other.model.bytes or _sum(one.arenas) < _sum(other.arenas)


def _rewritten(tree: Table, options: ShrinkOptions, folding: Folding) -> tuple[str, ...]:
    """Leave out operators that compute nothing new; what they were, in words."""
    made = []
    if folding.count:
        folding.apply(tree)
        made.append(f"{folding.count} x an operator of constants alone, for what it computes")
    for name, drop, words in (
        ("quantize-pairs", drop_quantize_pairs, "QUANTIZE to what was there"),
        ("reshapes", drop_copies, "RESHAPE whose readers ask for no shape"),
        ("unread-operators", drop_unread_operators, "an operator whose result nothing reads"),
    ):
        count = 0 if name in options.without else drop(tree)
        if count:
            made.append(f"{count} x {words}")
    return tuple(made)


class Shrinking(Struct, frozen=True, eq=False):
    """A model that is shrunk, and its proof on its way."""

    model: Model
    made: ShrunkModel
    proving: Proving | None
    again: Callable[[], Shrinking]

    def result(self) -> ShrunkModel:
        """The smaller model with its proof, once that is there.

        Where outputs differ and constants were folded, they are not: LiteRT takes other kernels
        for weights that are constant.

        Raises:
            DiffersError: the shrunken file answers otherwise.
            TinybudgetError: temporary files cannot be written.
        """
        if self.proving is None:
            return self.made
        try:
            proof = self.proving.result()
        except DiffersError as error:
            if not self.made.folded:
                raise
            found = self.again().result()
            note = f"constants are not folded: {error.message.partition(': ')[2]}"
            note = note.removesuffix(": nothing is written")
            report = replace(found.report, notes=(*found.report.notes, note))
            return replace(found, report=report)
        return replace(self.made, report=replace(self.made.report, proof=proof))


def shrinking(
    model: Model,
    firmwares: Mapping[str, Firmware] | None = None,
    options: ShrinkOptions | None = None,
    *,
    interpreters: Interpreters,
    samples: Samples | None = None,
) -> Shrinking:
    """Shrink ``model`` and begin to prove that the result answers as it does.

    Raises:
        ModelError: the shrunken file would not be the same model, which is a fault of ours.
        TinybudgetError: temporary files cannot be written.
    """
    options = options or ShrinkOptions()
    interpreters.start_quietly()
    made = shrink_model(model, firmwares, options, interpreters=interpreters)
    begun = None
    if not made.report.unchanged:
        begun = proving(model, made.model, interpreters, samples)
    unfolded = replace(options, without=(*options.without, "constants"))
    return Shrinking(
        model,
        made,
        begun,
        lambda: shrinking(model, firmwares, unfolded, interpreters=interpreters, samples=samples),
    )


def proven(
    shrunk: ShrunkModel,
    before: Model,
    *,
    samples: Samples | None = None,
    interpreters: Interpreters | None = None,
) -> ShrunkModel:
    """``shrunk`` with the proof that it answers as ``before`` does, run here where it can be.

    Raises:
        DiffersError: it does not.
        TinybudgetError: temporary files cannot be written.
    """
    if shrunk.report.unchanged:
        return shrunk
    proof = prove(before, shrunk.model, samples=samples, interpreters=interpreters)
    return replace(shrunk, report=replace(shrunk.report, proof=proof))


def _in_order(model: Model, order: tuple[int, ...]) -> Model:
    """``model`` with the operators of its main subgraph in ``order``, where there is one."""
    if not order:
        return model
    main = model.main
    operators = tuple(main.operators[index] for index in order)
    subgraphs = (replace(main, operators=operators), *model.subgraphs[1:])
    return replace(model, subgraphs=subgraphs)


def _unchanged(
    model: Model,
    arenas: _Arenas,
    reason: str,
    parts: tuple[FilePart, ...] = (),
    *,
    notes: tuple[str, ...] = (),
) -> ShrunkModel:
    report = ShrinkReport(
        model.name,
        model.bytes,
        model.bytes,
        least_bytes(model),
        parts,
        arenas=_compared(arenas, arenas),
        plan="kept" if PLAN.decode() in model.metadata else "none",
        notes=notes,
        unchanged=reason,
    )
    return ShrunkModel(model, report)


def _why_not(model: Model) -> str:
    """Why a model is left as it is: TFLM reads none of its outside or packed contents."""
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    if model.external_buffers or any(tensor.external for tensor in tensors):
        return "contents lie outside the file"
    if any(tensor.sparse for tensor in tensors):
        return "it has sparse tensors"
    if any(tensor.quantization.details for tensor in tensors):
        return "it has tensors quantized in another way"
    return ""


def _candidates(
    tree: Table, model: Model, firmwares: Mapping[str, Firmware], options: ShrinkOptions
) -> Iterator[_Candidate]:
    """The files that could be the result: with the model's own plan, without, with a new one."""
    drop_texts(tree, options.keep)
    drop_unread(tree)
    if "bias-scales" not in options.without:
        share_bias_scales(tree)
    drop_unused(tree, merge_constants="equal-constants" not in options.without)
    has_plan = PLAN.decode() in model.metadata
    packed = _packed(tree, model.name, firmwares, "kept" if has_plan else "none")
    if not firmwares:
        yield packed
        return
    bare = packed
    if has_plan:
        yield packed
        if any(arena is not None and overlaps(arena) for arena in packed.arenas.values()):
            return
        tree = copied(tree)
        set_plan(tree, None)
        bare = _packed(tree, model.name, firmwares, "none")
    loaded = {name: arena for name, arena in bare.arenas.items() if arena is not None}
    if not loaded:
        yield bare
        return
    reason = why_unplanned(bare.model, firmwares)
    bare = replace(bare, notes=(f"no memory plan: {reason}",) if reason else ())
    yield bare
    yield from _planned(bare, firmwares, options)
    order = () if "order" in options.without else _better_order(bare.model, loaded)
    if order:
        reordered = copied(tree)
        graph = reordered.tables("subgraphs")[0]
        operators = graph.tables("operators")
        set_vector(graph, "operators", [operators[index] for index in order])
        other = replace(_packed(reordered, model.name, firmwares, "none"), order=order)
        yield other
        yield from _planned(other, firmwares, options)


def _planned(
    bare: _Candidate, firmwares: Mapping[str, Firmware], options: ShrinkOptions
) -> Iterator[_Candidate]:
    """``bare`` with each plan that is best for some board."""
    loaded = {name: arena for name, arena in bare.arenas.items() if arena is not None}
    if "plan" in options.without or why_unplanned(bare.model, firmwares):
        return
    for offsets in plans(bare.model, loaded):
        tree = copied(bare.tree)
        set_plan(tree, offsets)
        planned = _packed(tree, bare.model.name, firmwares, "written")
        yield replace(planned, order=bare.order)


def _better_order(model: Model, arenas: Mapping[str, Arena]) -> tuple[int, ...]:
    """An order of the main subgraph's operators with a lower peak on some board; else none."""
    for arena in arenas.values():
        work = work_of(model.main, arena)
        found = best_order(work)
        if found.steps != tuple(range(len(work.steps))) and is_possible(found.steps, work):
            return found.steps
    return ()


def _packed(
    tree: Table,
    name: str,
    firmwares: Mapping[str, Firmware],
    plan: Literal["written", "kept", "none"],
) -> _Candidate:
    model = read_model(pack(tree), name)
    return _Candidate(tree, model, _arenas(model, firmwares), plan)


def _best(candidates: Iterator[_Candidate], before: _Arenas) -> _Candidate | None:
    """The file with the smallest arenas, larger on no board than ``before``; then the smallest."""
    found = list(candidates)
    fitting = [each for each in found if _is_no_higher(each.arenas, before)]
    best = min(fitting, key=lambda each: (_sum(each.arenas), each.model.bytes), default=None)
    if best is None:
        return None
    alone: dict[str, int] = {}
    for each in found:
        for name, arena in each.arenas.items():
            if arena is not None:
                alone[name] = min(arena.required, alone.get(name, arena.required))
    now = {name: arena.required for name, arena in best.arenas.items() if arena is not None}
    separate = tuple(name for name in alone if alone[name] < now.get(name, 0))
    notes = tuple(
        f"no one file is best for all boards: one for {name} alone needs an arena of "
        f"{alone[name]:,} B"
        for name in separate
    )
    return replace(best, separate=separate, notes=(*best.notes, *notes))


def _is_no_higher(arenas: _Arenas, before: _Arenas) -> bool:
    return all(
        (now := arenas[name]) is not None and now.required <= was.required
        for name, was in before.items()
        if was is not None
    )


def _is_smaller(candidate: _Candidate, model: Model, before: _Arenas) -> bool:
    """Whether a file is worth writing: no larger, and something of it is smaller."""
    size = candidate.model.bytes
    return size < model.bytes or (size == model.bytes and _sum(candidate.arenas) < _sum(before))


def _sum(arenas: _Arenas) -> int:
    return sum(arena.required for arena in arenas.values() if arena is not None)


def _arenas(model: Model, firmwares: Mapping[str, Firmware]) -> _Arenas:
    """The arena of each board, simulated once for equal firmware."""
    known: dict[Firmware, Arena | None] = {}
    for firmware in firmwares.values():
        if firmware not in known:
            known[firmware] = simulate(model, firmware).arena
    return {name: known[firmware] for name, firmware in firmwares.items()}


def _compared(before: _Arenas, after: _Arenas, *, planned: bool = False) -> tuple[Arenas, ...]:
    return tuple(
        Arenas(
            name,
            0 if was is None else was.required,
            0 if (now := after[name]) is None else now.required,
            planned=planned,
        )
        for name, was in before.items()
    )
