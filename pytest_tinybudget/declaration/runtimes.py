"""The runtimes that a declaration may name, shipped and its own, and declared operator costs."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.context import first
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.project_files import PROJECT
from pytest_tinybudget.declaration.shipped import called
from pytest_tinybudget.declaration.shipped import shipped_runtimes
from pytest_tinybudget.declaration.suitability import does_not_run
from pytest_tinybudget.declaration.suitability import searched
from pytest_tinybudget.declaration.suitability import suitable
from pytest_tinybudget.declaration.suitability import suits
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.distributions import nearest_names
from pytest_tinybudget.runtimes.distributions import sdks
from pytest_tinybudget.runtimes.firmware import FixedCost
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.kernels import LibraryName
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import find_version
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.runtimes.versions import version as made_at


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.schema.firmware import FixedRuntimeTable
    from pytest_tinybudget.declaration.schema.runtimes import OperatorTable
    from pytest_tinybudget.declaration.schema.runtimes import RuntimeTable


#: How far the flash of other kernels may lie above a table's: real links of esp-nn's on Xtensa were
#: up to 1.85 times what the RV32 table of TFLM's own gives, over sets of two and more operators.
_OTHER_KERNELS_MARGIN_PERCENT = 100.0


#: Keys of a runtime with tables, which say nothing beside a fixed cost.
_OF_A_TABLE = (
    "table", "core", "kernels", "dsp", "mve", "vectors", "enum_bytes", "pointer_bytes", "tflm",
    "cmsis_nn", "esp_nn", "static_memory", "log_strings", "optimize", "app_libc", "layouts",
)  # fmt: skip


def runtimes_of(context: Context, tables: dict[str, RuntimeTable]) -> dict[str, DeclaredRuntime]:
    """The runtimes of ``[runtime.NAME]`` by name."""
    runtimes = {}
    for name, table in tables.items():
        if name in RUNTIMES or name == PROJECT:
            text = "is the name of a shipped runtime: choose another"
            context.problems.add(("runtime", name), text, example=f"[runtime.my-{name}]")
        else:
            runtimes[name] = _runtime(context, name, table)
    return runtimes


def runtime_reference(
    context: Context,
    runtimes: Mapping[str, DeclaredRuntime],
    reference: str | FixedRuntimeTable | None,
    keys: KeyPath,
) -> DeclaredRuntime | None:
    """What a key ``runtime = ...`` stands for: a name, or a fixed cost inline."""
    if isinstance(reference, Struct):
        flash = context.size(reference.flash, *keys, "flash")
        stack = context.size(reference.stack, *keys, "stack")
        if flash is None or stack is None:
            return None
        return DeclaredRuntime("fixed-cost", None, FixedCost(flash, stack))
    if reference is None:
        return None
    return _look_up(context, reference, runtimes, keys)


def _look_up(
    context: Context, name: str, runtimes: Mapping[str, DeclaredRuntime], keys: KeyPath
) -> DeclaredRuntime | None:
    if name not in runtimes:
        name = called(name)
    valid = runtimes if name in runtimes else dict.fromkeys(nearest_names(name) or runtimes)
    return context.look_up("runtime", name, valid, keys) and runtimes[name]


def check_suitable(
    context: Context,
    runtimes: Mapping[str, DeclaredRuntime],
    chosen: DeclaredRuntime | None,
    board: Board,
    keys: KeyPath,
) -> None:
    """A runtime that does not run on the board is a problem at ``keys``, where it is chosen."""
    if chosen is None or suits(chosen, board) != "other":
        return
    valid = suitable(runtimes, board)
    text = does_not_run(chosen, board)
    if keys == ("extends",):
        text += "; the file that is extended chooses it"
    example = f'runtime = "{valid[0]}"' if valid else ""
    more = searched(chosen)
    context.problems.add(keys, text, valid=valid, example=example, more=more)


def operator_cost(context: Context, name: str, table: OperatorTable) -> OperatorCost:
    """The cost that ``[runtime.ops.NAME]`` states."""
    keys = ("runtime", "ops", name)
    return OperatorCost(
        persistent=context.size(table.persistent, *keys, "persistent") or 0,
        scratch=context.size(table.scratch, *keys, "scratch") or 0,
        flash=context.size(table.flash, *keys, "flash") or 0,
    )


def _runtime(context: Context, name: str, table: RuntimeTable) -> DeclaredRuntime:
    keys = ("runtime", name)
    base = None
    if table.extends is not None:
        base = _look_up(context, table.extends, shipped_runtimes(), (*keys, "extends"))
    if table.flash is not None or table.stack is not None:
        fixed = _fixed_cost(context, table, keys)
        extended = DeclaredRuntime(name, None) if base is None else base
        return DeclaredRuntime(name, extended.runtime, fixed, by_core=extended.by_core)
    if table.extends is None and not context.problems.concerns(*keys):
        context.problems.add(
            keys,
            "needs 'extends' (the shipped runtime it starts from), or 'flash' and 'stack'",
            example='extends = "m4_cmsisnn"',
        )
    if base is None or base.runtime is None:
        return DeclaredRuntime(name, None)
    _check_family(context, base, table, keys)
    fitting = _check_app_libc(context, base, table, keys)
    families = frozenset(CORES[core].family for core in _by_core(base, table) if core in CORES)
    own_table = table.table is not None
    if not base.by_core:
        changed = _changed(context, name, base.runtime, table, families)
        return DeclaredRuntime(name, changed, None, own_table)
    built = LIBRARIES[table.kernels].families if table.kernels else ()
    cores = dict(base.by_core)
    if table.core is None:
        cores = {
            core: each
            for core, each in cores.items()
            if core in fitting and (not built or CORES[core].family in built)
        }
    if not cores:
        return DeclaredRuntime(name, None)  # which a problem tells
    if table.core is not None:  # it is for that core alone
        core = context.look_up("core", table.core, base.by_core, (*keys, "core"))
        if core is None:
            return DeclaredRuntime(name, None)
        cores = {table.core: core}
    # What is wrong with a key is so on every core, and is a problem once.
    by_core = {core: _changed(context, name, each, table, families) for core, each in cores.items()}
    return DeclaredRuntime(name, next(iter(by_core.values())), None, own_table, by_core)


def _check_family(
    context: Context, base: DeclaredRuntime, table: RuntimeTable, keys: KeyPath
) -> None:
    """Kernels that are built for no core of the runtime are a problem."""
    families = LIBRARIES[table.kernels].families if table.kernels else ()
    runtimes = base.by_core.values() if base.by_core else filter(None, (base.runtime,))
    cores = [core for runtime in runtimes for core in runtime.cores]
    if table.core is not None:
        cores = [CORES[table.core]] if table.core in CORES else []
    if families and cores and not any(core.family in families for core in cores):
        names = ", ".join(dict.fromkeys(core.name for core in cores))
        text = (
            f"{table.kernels} is built for {' and '.join(families)}, and this runtime for {names}"
        )
        valid = [
            each.name
            for each in LIBRARIES.values()
            if not each.families or cores[0].family in each.families
        ]
        context.problems.add(
            (*keys, "kernels"), text, valid=valid, example=f'kernels = "{valid[0]}"'
        )


def _fixed_cost(context: Context, table: RuntimeTable, keys: KeyPath) -> FixedCost | None:
    """The fixed cost; what only a table can use is a mistake beside it."""
    given = [key for key in _OF_A_TABLE if getattr(table, key) is not None]
    for key in given:
        text = "does not go with a fixed cost ('flash' and 'stack')"
        context.problems.add((*keys, key), text)
    for key in ("flash", "stack"):
        if getattr(table, key) is None and not context.problems.concerns(*keys, key):
            example = f'{key} = "2 KB"'
            context.problems.add(keys, f"{key!r} is missing for a fixed cost", example=example)
    flash = context.size(table.flash, *keys, "flash")
    stack = context.size(table.stack, *keys, "stack")
    return None if flash is None or stack is None else FixedCost(flash, stack)


def _changed(
    context: Context, name: str, base: Runtime, table: RuntimeTable, families: frozenset[str]
) -> Runtime:
    """``base`` with the core, the kernels, the ABI and the section graph of ``table``.

    ``families`` are those of all cores that the runtime is for.
    """
    from pytest_tinybudget.declaration.layouts import with_layouts

    keys = ("runtime", name)
    kernels = _kernels(context, base.kernels, table, keys, families)
    abi = replace(
        base.abi,
        enum_bytes=table.enum_bytes or base.abi.enum_bytes,
        pointer_bytes=table.pointer_bytes or base.abi.pointer_bytes,
    )
    tflm = with_layouts(context, _tflm(base, table), table.layouts, (*keys, "layouts"))
    built_for = base.cores
    if table.core is not None and not base.distribution:
        core = context.look_up("core", table.core, CORES, (*keys, "core"))
        built_for = built_for if core is None else (core,)
    built_for = tuple(replace(core, abi=abi) for core in built_for)
    graph, margin = "", base.flash_margin_percent
    if table.table is not None:
        # It is of the user's own build, and has a margin of its own.
        graph, margin = str(context.file(table.table, (*keys, "table"))), 0.0
    elif _decides_flash(kernels, abi, tflm) != _decides_flash(base.kernels, base.abi, base.tflm):
        margin = _OTHER_KERNELS_MARGIN_PERCENT
    return replace(
        base,
        label=name,
        about=f"{name}, declared from {base.name}",
        cores=built_for,
        kernels=kernels,
        tflm=tflm,
        distribution=base.distribution if table.tflm is None else "",
        optimize=first(table.optimize, base.optimize),
        app_libc=first(table.app_libc, base.app_libc),
        graph=graph,
        flash_margin_percent=margin,
    )


def _check_app_libc(
    context: Context, base: DeclaredRuntime, table: RuntimeTable, keys: KeyPath
) -> tuple[str, ...]:
    """The cores for which ``app_libc`` can be so; a problem where there is none.

    What an SDK's application has goes with what is built with that SDK. A distribution is built
    with its own; TFLM from its own repository may be built with any that is made for the core.
    """
    runtimes = _by_core(base, table)
    said, whole = table.app_libc, base.runtime
    if said is None or said not in sdks() or whole is None:
        return tuple(runtimes)
    having = [each for each in distributions().values() if each.app_libc == said]
    cores = {core for each in having for core in each.cores}
    fitting = tuple(core for core in runtimes if core in cores)
    name = whole.distribution.partition(" ")[0]
    if name and name not in {each.name for each in having}:
        reason = f"{name} is not built with it"
    elif not fitting:
        reason = f"it is not made for {' and '.join(sorted(runtimes))}"
    else:
        return fitting
    context.problems.add(
        (*keys, "app_libc"),
        f"{said!r} is what an application of {said} has, and {reason}",
        valid=(whole.app_libc, *(each for each in ("none", "printf") if each != whole.app_libc)),
        example=f'app_libc = "{whole.app_libc}"',
    )
    return tuple(runtimes)


def _by_core(base: DeclaredRuntime, table: RuntimeTable) -> dict[str, Runtime]:
    """The runtimes that ``table`` changes, by the names of the cores that they are for."""
    if table.core in CORES and base.runtime is not None:
        return {table.core: base.by_core.get(table.core, base.runtime)}
    if base.by_core or base.runtime is None:
        return dict(base.by_core)
    return {core.name: base.runtime for core in base.runtime.cores}


def _decides_flash(kernels: Kernels, abi: Abi, tflm: Tflm) -> Hashable:
    """What decides a table's flash of which nobody knows how much it may change it.

    Of releases and log strings that is known (``runtimes/tables.py``); esp-nn grew from release
    to release, and the tables are of the newest.
    """
    if kernels.library == "esp-nn":
        kernels = replace(kernels, version=Version(), releases=())
    return kernels, abi, replace(tflm, version=Version(), log_strings=False)


def _tflm(base: Runtime, table: RuntimeTable) -> Tflm:
    """TFLM as ``table`` names it.

    A table of the user's own is of a version that nobody knows, unless what it extends is a
    distribution: that was chosen as what the table was built from.
    """
    version = base.tflm.version
    if table.table is not None and not base.distribution:
        version = Version()
    if table.tflm is not None:
        version = find_version("tflm", table.tflm.lower())
        if not version.date and table.tflm_date is not None:
            version = made_at(version.name, table.tflm_date, changes("tflm"))
    known_build = base.distribution or table.static_memory is not None
    return replace(
        base.tflm,
        version=version,
        any_build=not (known_build or replace(base.tflm, version=version).is_known),
        static_memory=first(table.static_memory, base.tflm.static_memory),
        log_strings=first(table.log_strings, base.tflm.log_strings),
    )


def _kernels(
    context: Context,
    base: Kernels,
    table: RuntimeTable,
    keys: KeyPath,
    families: frozenset[str],
) -> Kernels:
    """``base``, built for cores of ``families``, with what ``table`` says of the library."""
    library = table.kernels or base.library
    vectors = base.vectors if table.vectors is None else table.vectors
    if "vectors" not in LIBRARIES[library].extensions:
        if table.vectors:
            having = [each.name for each in LIBRARIES.values() if "vectors" in each.extensions]
            text = f"is for {having[0]}'s kernels, these are {library}"
            context.problems.add((*keys, "vectors"), text, example=f'kernels = "{having[0]}"')
        vectors = ""
    return replace(
        base,
        library=library,
        dsp=first(table.dsp, base.dsp),
        mve=first(table.mve, base.mve),
        vectors=vectors,
        version=_kernels_version(context, base, library, table, keys, families),
    )


def _kernels_version(
    context: Context,
    base: Kernels,
    library: LibraryName,
    table: RuntimeTable,
    keys: KeyPath,
    families: frozenset[str],
) -> Version:
    """The version of the kernel library, which has a key of its own."""
    versions: tuple[tuple[str, LibraryName, str | None], ...] = (
        ("cmsis_nn", "cmsis-nn", table.cmsis_nn),
        ("esp_nn", "esp-nn", table.esp_nn),
    )
    for key, of, said in versions:
        of_families = LIBRARIES[of].families
        if context.problems.concerns(*keys, key):
            continue  # told of another core already
        if said is not None and of_families and families.isdisjoint(of_families):
            # One error is enough where the library itself is chosen as well.
            if table.kernels != of:
                text = (
                    f"is a version of {of}, which is built for {' and '.join(of_families)}; this "
                    f"runtime is for {' and '.join(sorted(families))}: leave it out"
                )
                context.problems.add((*keys, key), text)
        elif said is not None and library != of:
            text = f"is a version of {LIBRARIES[of].label}, these kernels are {library}"
            if of_families:
                text = (
                    f"is a version of {of}, which is built for {' and '.join(of_families)}: "
                    "choose these kernels for such cores, or leave it out"
                )
            context.problems.add((*keys, key), text, example=f'kernels = "{of}"')
    if library == "cmsis-nn" and table.cmsis_nn is not None:
        return find_version("cmsis-nn", table.cmsis_nn.lower())
    if library == "esp-nn" and table.esp_nn is not None:
        kind, here = "release of esp-nn", (*keys, "esp_nn")
        return context.look_up(kind, table.esp_nn, known("esp-nn"), here) or Version()
    return base.version if library == base.library else Version()
