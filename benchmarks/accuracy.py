"""Compares predictions with a truth folder: arena, stack, flash and refusals, model by model.

``accuracy.py --models DIR --truth DIR [--json PATH]`` reads ``arena_VARIANT.jsonl`` and
``flash_VARIANT.jsonl`` (a variant is a runtime's name), predicts every model that ``DIR`` has,
and prints for each variant and quantity how many predictions are exact, the worst error both
ways, and every row that is not exact. It exits with 1 when a row breaks its quantity's rule:

* arena (used, required, head, tail) and refused: no difference at all;
* flash: at most 0.3 % off on Arm and 0.8 % on RV32, and listed in ``explained.toml``;
* stack: never below the measured one, and listed in ``explained.toml``.

The list names model and difference one by one, so a change that moves any prediction shows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_tinybudget.errors import ModelError
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.runtime import RUNTIMES
from pytest_tinybudget.footprint.runtime import Runtime
from pytest_tinybudget.footprint.stack import stack_part
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


EXPLAINED = Path(__file__).with_name("explained.toml")
QUANTITIES = (
    "arena_used", "arena_required", "head", "tail", "stack", "flash", "refused",
)  # fmt: skip
#: Quantities that may differ where ``explained.toml`` says by how much.
_MAY_DIFFER = ("stack", "flash")
#: Fields of the truth files by quantity.
_ARENA_FIELDS = {
    "arena_used": "arena_used", "arena_required": "min_arena16", "head": "head", "tail": "tail",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One prediction beside its measurement, bytes (``refused``: 1 or 0)."""

    variant: str
    model: str
    quantity: str
    predicted: int | None
    measured: int

    @property
    def difference(self) -> int | None:
        return None if self.predicted is None else self.predicted - self.measured


class Models:
    """The models of a folder, each read once; remembers which are missing."""

    def __init__(self, folder: Path) -> None:
        self.missing: set[str] = set()
        self._folder = folder
        self._known: dict[str, Model | ModelError] = {}

    def get(self, name: str) -> Model | ModelError | None:
        """The model, why it cannot be read, or ``None`` when it is not there."""
        path = self._folder / f"{name}.tflite"
        if name not in self._known and path.is_file():
            try:
                self._known[name] = load_model(path)
            except ModelError as error:
                self._known[name] = error
        if name not in self._known:
            self.missing.add(name)
        return self._known.get(name)


def compare(models: Models, truth: Path) -> Iterator[Row]:
    """A row for every measurement in ``truth`` whose model there is."""
    for path in sorted((*truth.glob("arena_*.jsonl"), *truth.glob("flash_*.jsonl"))):
        kind, _, variant = path.stem.partition("_")
        runtime = RUNTIMES.get(variant)
        if runtime is None:
            print(f"{path.name} skipped: there is no runtime {variant}", file=sys.stderr)
            continue
        for record in _records(path):
            model = models.get(record["model"])
            if model is not None:
                rows = _arena_rows if kind == "arena" else _flash_rows
                yield from rows(model, runtime, record)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a truth file that are about a model (not ``op:NAME``, a single operator)."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if not record.get("model", "op:").startswith("op:"):
                yield record


def _arena_rows(
    model: Model | ModelError, runtime: Runtime, record: Mapping[str, Any]
) -> Iterator[Row]:
    simulation = None if isinstance(model, ModelError) else simulate(model, runtime)
    arena = simulation.arena if simulation else None
    predicted = {
        "arena_used": arena.used, "arena_required": arena.required,
        "head": arena.head, "tail": arena.tail,
    } if arena else {}  # fmt: skip
    for quantity, field in _ARENA_FIELDS.items():
        if record.get(field) is not None:
            yield Row(
                runtime.name, record["model"], quantity, predicted.get(quantity), record[field]
            )
    if record["status"] == "ok" and record.get("stack_alloc") is not None:
        measured = max(record["stack_alloc"], record["stack_invoke"])
        predicted_stack = None
        if not isinstance(model, ModelError):
            part = stack_part(model, runtime)
            predicted_stack = part.bytes + part.margin_bytes
        yield Row(runtime.name, record["model"], "stack", predicted_stack, measured)
    yield Row(
        runtime.name, record["model"], "refused",
        int(simulation is None or bool(simulation.refusals)), int(record["status"] != "ok"),
    )  # fmt: skip


def _flash_rows(
    model: Model | ModelError, runtime: Runtime, record: Mapping[str, Any]
) -> Iterator[Row]:
    predicted = None if isinstance(model, ModelError) else link(model, runtime).flash
    yield Row(runtime.name, record["model"], "flash", predicted, record["tflm_flash_bytes"])


def failures(rows: Iterable[Row], explained: Mapping[tuple[str, str, str], int]) -> list[str]:
    """A line for every row that breaks its quantity's rule."""
    lines = []
    for row in rows:
        key = (row.quantity, row.variant, row.model)
        what = f"{row.variant} {row.model} {row.quantity}"
        if row.difference is None:
            lines.append(f"{what}: nothing predicted, measured {row.measured:,}")
        elif row.quantity == "stack" and row.difference < 0:
            lines.append(f"{what}: {-row.difference:,} bytes below the measured {row.measured:,}")
        elif row.quantity == "flash" and abs(row.difference) > _flash_limit(row):
            lines.append(f"{what}: {row.difference:+,} bytes, allowed {_flash_limit(row):,.0f}")
        elif row.difference and row.quantity not in _MAY_DIFFER:
            lines.append(f"{what}: predicted {row.predicted:,}, measured {row.measured:,}")
        elif row.difference != explained.get(key, 0):
            lines.append(
                f"{what}: {row.difference:+,} bytes, explained are {explained.get(key, 0):+,}"
            )
    return lines


def _flash_limit(row: Row) -> float:
    return row.measured * (0.008 if row.variant.startswith("rv32") else 0.003)


def read_explained() -> dict[tuple[str, str, str], int]:
    """The explained differences by quantity, variant and model."""
    with EXPLAINED.open("rb") as file:
        groups = tomllib.load(file)["explained"]
    return {
        (group["quantity"], group["variant"], model): difference
        for group in groups
        for model, difference in group["differences"].items()
    }


def write_explained(rows: Iterable[Row]) -> None:
    """Rewrite the list from ``rows``."""
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        if row.quantity in _MAY_DIFFER and row.difference:
            groups.setdefault((row.quantity, row.variant), {})[row.model] = row.difference
    lines = ["# Known differences, predicted minus measured in bytes, one by one.",
             "# Rewritten by: accuracy.py --models DIR --truth DIR --update-explained"]  # fmt: skip
    for (quantity, variant), differences in sorted(groups.items()):
        lines += [
            "", "[[explained]]", f'quantity = "{quantity}"', f'variant = "{variant}"',
            f'reason = "{_reason(quantity, variant)}"', "[explained.differences]",
        ]  # fmt: skip
        lines += [f"{model} = {difference}" for model, difference in sorted(differences.items())]
    EXPLAINED.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _reason(quantity: str, variant: str) -> str:
    if quantity == "stack":
        return "the deepest path measured for an operator counts for every use of it"
    if variant.startswith("rv32"):
        return "linker relaxation shortens code by the whole program's layout"
    return "the size of main() is a linear model fitted to real links, blind to literal pools"


def print_summary(rows: list[Row], missing: set[str]) -> None:
    """Per variant and quantity: share exact and worst errors; then all rows not exact."""
    print(
        f"{'variant':16}{'quantity':16}{'rows':>6}{'exact':>8}{'share':>8}"
        f"{'worst -':>10}{'worst +':>10}"
    )
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.variant, row.quantity), []).append(row)
    for (variant, quantity), group in sorted(
        groups.items(), key=lambda item: (item[0][0], QUANTITIES.index(item[0][1]))
    ):
        differences = [row.difference for row in group if row.difference is not None]
        exact = differences.count(0)
        print(
            f"{variant:16}{quantity:16}{len(group):>6}{exact:>8}{exact / len(group):>8.1%}"
            f"{min(differences, default=0):>10,}{max(differences, default=0):>10,}"
        )
    for row in rows:
        if row.difference != 0:
            predicted = "-" if row.predicted is None else f"{row.predicted:,}"
            shown = "" if row.difference is None else f"{row.difference:+,}"
            print(
                f"{row.variant} {row.model} {row.quantity}: predicted {predicted},"
                f" measured {row.measured:,} {shown}"
            )
    if missing:
        print(f"{len(missing)} models skipped, not there: {', '.join(sorted(missing))}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True, metavar="DIR")
    parser.add_argument("--truth", type=Path, required=True, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all rows there")
    parser.add_argument(
        "--update-explained", action="store_true", help=f"rewrite {EXPLAINED.name} from these rows"
    )
    options = parser.parse_args(arguments)
    for folder in (options.models, options.truth):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    models = Models(options.models)
    rows = list(compare(models, options.truth))
    if not rows:
        parser.error(f"{options.truth} has no measurement of a model in {options.models}")
    print_summary(rows, models.missing)
    if options.json is not None:
        document = {"rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.update_explained:
        write_explained(rows)
    broken = failures(rows, read_explained())
    for line in broken:
        print(f"NOT EXPLAINED {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
