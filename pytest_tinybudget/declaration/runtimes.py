"""The runtimes that a declaration may name, shipped and its own, and declared operator costs."""

from __future__ import annotations

from msgspec.structs import replace

from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.context import first
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.schema import FixedRuntimeTable
from pytest_tinybudget.declaration.schema import OperatorTable
from pytest_tinybudget.declaration.schema import RuntimeTable
from pytest_tinybudget.footprint.result import FixedCost
from pytest_tinybudget.footprint.result import OperatorCost
from pytest_tinybudget.footprint.runtime import RUNTIMES
from pytest_tinybudget.footprint.runtime import Runtime


#: How far the flash of other kernels may lie above a table's: esp-nn's on Xtensa was published
#: with twice what the RV32 table gives (see ``boards/data/cores.json``).
_OTHER_KERNELS_MARGIN_PERCENT = 100.0


def runtimes_of(context: Context, tables: dict[str, RuntimeTable]) -> dict[str, DeclaredRuntime]:
    """Every runtime by name: the shipped ones, then those of ``[runtime.NAME]``."""
    runtimes = {name: DeclaredRuntime(name, shipped) for name, shipped in RUNTIMES.items()}
    for name, table in tables.items():
        if name in RUNTIMES:
            text = "is the name of a shipped runtime: choose another"
            context.problems.add(("runtime", name), text, example=f"[runtime.my-{name}]")
        else:
            runtimes[name] = _runtime(context, name, table)
    return runtimes


def runtime_reference(
    context: Context,
    runtimes: dict[str, DeclaredRuntime],
    reference: str | FixedRuntimeTable | None,
    keys: KeyPath,
) -> DeclaredRuntime | None:
    """What a key ``runtime = ...`` stands for: a name, or a fixed cost inline."""
    if isinstance(reference, FixedRuntimeTable):
        flash = context.size(reference.flash, *keys, "flash")
        stack = context.size(reference.stack, *keys, "stack")
        if flash is None or stack is None:
            return None
        return DeclaredRuntime("fixed-cost", None, FixedCost(flash, stack))
    if reference is None:
        return None
    return context.look_up("runtime", reference, runtimes, keys)


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
        base = context.look_up("runtime", table.extends, RUNTIMES, (*keys, "extends"))
    if table.flash is not None or table.stack is not None:
        return DeclaredRuntime(name, base, _fixed_cost(context, table, keys))
    if table.extends is None and not context.problems.concerns(*keys):
        context.problems.add(
            keys,
            "needs 'extends' (the shipped runtime it starts from), or 'flash' and 'stack'",
            example='extends = "m4_cmsisnn"',
        )
    if base is None:
        return DeclaredRuntime(name, None)
    return DeclaredRuntime(
        name, _changed(context, name, base, table), own_table=table.table is not None
    )


def _fixed_cost(context: Context, table: RuntimeTable, keys: KeyPath) -> FixedCost | None:
    """The fixed cost; what only a table can use is a mistake beside it."""
    given = [
        key
        for key in ("table", "kernels", "dsp", "mve", "enum_bytes", "pointer_bytes")
        if getattr(table, key) is not None
    ]
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


def _changed(context: Context, name: str, base: Runtime, table: RuntimeTable) -> Runtime:
    """``base`` with the kernels, the ABI and the section graph of ``table``."""
    kernels = replace(
        base.kernels,
        library=table.kernels or base.kernels.library,
        dsp=first(table.dsp, base.kernels.dsp),
        mve=first(table.mve, base.kernels.mve),
    )
    abi = replace(
        base.abi,
        enum_bytes=table.enum_bytes or base.abi.enum_bytes,
        pointer_bytes=table.pointer_bytes or base.abi.pointer_bytes,
    )
    graph, margin = "", base.flash_margin_percent
    if table.table is not None:
        graph = str(context.file(table.table, ("runtime", name, "table")))
    elif kernels != base.kernels or abi != base.abi:
        margin = _OTHER_KERNELS_MARGIN_PERCENT
    return replace(
        base,
        name=name,
        description=f"{name}, declared from {base.name}",
        kernels=kernels,
        abi=abi,
        graph=graph,
        flash_margin_percent=margin,
    )
