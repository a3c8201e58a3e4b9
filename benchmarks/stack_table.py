"""Derive the stack tables that the package ships from measured stacks of whole models.

A measured stack is the deepest operator's, so each key's entry is the smallest stack among the
models that contain it: never below the truth, and the truth wherever that operator decides.
Where shapes of one key differ in depth, the key whose raising overstates the fewest models is
raised to the deeper measurement. Prints every model whose stack the entries then do not give
back. Usage:

    python benchmarks/stack_table.py --set MODELS TRUTH [--set MODELS TRUTH …] [--output DIR]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_tinybudget.footprint.stack import StackTable
from pytest_tinybudget.footprint.stack import invoke_key
from pytest_tinybudget.footprint.stack import prepare_key
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime


#: Cores whose measured set is small, and the core that stands in for what they lack.
NEIGHBORS = {
    "m0plus_cmsisnn": "m4_cmsisnn",
    "m0plus_ref": "m4_ref",
    "m33_cmsisnn": "m4_cmsisnn",
    "m55_cmsisnn": "m4_cmsisnn",
    "m7_cmsisnn": "m4_cmsisnn",
    "m7_ref": "m4_ref",
    "rv32imc_ref": "m4_ref",
}
#: Name, model, stack of AllocateTensors and of Invoke in bytes (None where Invoke failed).
_Measured = list[tuple[str, Model, int, int | None]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--set",
        dest="sets",
        nargs=2,
        type=Path,
        action="append",
        metavar=("MODELS", "TRUTH"),
        required=True,
        help="a folder of models and the folder with their arena_VARIANT.jsonl",
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    tables: dict[str, StackTable] = {}
    stacks: dict[str, _Measured] = {}
    unexplained = 0
    for models, truth in arguments.sets:
        for path in sorted(truth.glob("arena_*.jsonl")):
            variant = path.stem.removeprefix("arena_")
            stacks.setdefault(variant, []).extend(_measured(path, models))
    for variant, measured in stacks.items():
        tables[variant] = _smallest_by_key(measured, RUNTIMES[variant])
        _raise_to_deepest(measured, RUNTIMES[variant], tables[variant])
        unexplained += _print_unexplained(variant, measured, tables[variant])
    for variant, neighbor in NEIGHBORS.items():
        _borrow(tables[variant], tables[neighbor], *_excess(stacks[variant], stacks[neighbor]))
    for table in tables.values():
        table["prepare"] = dict(sorted(table["prepare"].items()))
        table["invoke"] = dict(sorted(table["invoke"].items()))
        table["borrowed"].sort()
    if arguments.output:
        for variant, table in tables.items():
            text = json.dumps(table, indent=1) + "\n"
            (arguments.output / f"{variant}.json").write_text(text, encoding="utf-8")
    print(f"{len(tables)} variants, {unexplained} stacks not given back")
    return 1 if unexplained else 0


def _measured(path: Path, models: Path) -> Iterator[tuple[str, Model, int, int | None]]:
    for line in path.read_text().splitlines():
        row = json.loads(line)
        source = models / f"{row.get('model')}.tflite"
        if row.get("stack_invoke") is not None and source.exists():
            invoke = row["stack_invoke"] if row["status"] == "ok" else None
            yield row["model"], load_model(source), row["stack_alloc"], invoke


def _keys(model: Model, runtime: Runtime) -> tuple[set[str], set[str]]:
    pairs = [(s, operator) for s in model.subgraphs for operator in s.operators]
    return (
        {prepare_key(subgraph, operator) for subgraph, operator in pairs},
        {invoke_key(subgraph, operator, runtime.kernels) for subgraph, operator in pairs},
    )


def _smallest_by_key(measured: _Measured, runtime: Runtime) -> StackTable:
    table = StackTable(prepare={}, invoke={}, borrowed=[])
    for _, model, prepare, invoke in measured:
        prepare_keys, invoke_keys = _keys(model, runtime)
        for key in prepare_keys:
            table["prepare"][key] = min(table["prepare"].get(key, prepare), prepare)
        if invoke is not None:
            for key in invoke_keys:
                table["invoke"][key] = min(table["invoke"].get(key, invoke), invoke)
    return table


def _raise_to_deepest(measured: _Measured, runtime: Runtime, table: StackTable) -> None:
    rows = [(_keys(model, runtime), (prepare, invoke)) for _, model, prepare, invoke in measured]
    for position, stage in enumerate((table["prepare"], table["invoke"])):
        stacks = [(keys[position], stack[position]) for keys, stack in rows]
        for keys, stack in stacks:
            if stack is None or max(stage[key] for key in keys) >= stack:
                continue
            overstated = {
                key: sum(key in others and (other or 0) < stack for others, other in stacks)
                for key in sorted(keys)
            }
            stage[min(overstated, key=lambda key: overstated[key])] = stack


def _print_unexplained(variant: str, measured: _Measured, table: StackTable) -> int:
    count = 0
    for name, model, prepare, invoke in measured:
        prepare_keys, invoke_keys = _keys(model, RUNTIMES[variant])
        given = max(table["prepare"][key] for key in prepare_keys)
        if given != prepare:
            count += 1
            print(f"{variant} {name}: AllocateTensors {given}, measured {prepare}")
        if invoke is not None:
            given = max(table["invoke"][key] for key in invoke_keys)
            if given != invoke:
                count += 1
                print(f"{variant} {name}: Invoke {given}, measured {invoke}")
    return count


def _excess(own: _Measured, neighbor: _Measured) -> tuple[int, int]:
    """The most that a model's two stacks were ever above the neighbor's, bytes."""
    others = {name: (prepare, invoke) for name, _, prepare, invoke in neighbor}
    prepares, invokes = [0], [0]
    for name, _, prepare, invoke in own:
        if name in others:
            other_prepare, other_invoke = others[name]
            prepares.append(prepare - other_prepare)
            if invoke is not None and other_invoke is not None:
                invokes.append(invoke - other_invoke)
    return max(prepares), max(invokes)


def _borrow(
    table: StackTable, neighbor: StackTable, prepare_excess: int, invoke_excess: int
) -> None:
    """Fill missing keys from ``neighbor``, plus the most it was ever below this core."""
    for own, other, excess in (
        (table["prepare"], neighbor["prepare"], prepare_excess),
        (table["invoke"], neighbor["invoke"], invoke_excess),
    ):
        for key in other.keys() - own.keys():
            own[key] = other[key] + excess
            table["borrowed"].append(key)


if __name__ == "__main__":
    sys.exit(main())
