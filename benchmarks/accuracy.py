"""Compares predictions with measurements: arena, stack, flash and refusals, model by model.

``accuracy.py [--json PATH]`` takes the project's own models and what was measured of them, which
are in the repository (``truth.py``). ``--models DIR --truth DIR`` takes a folder of models and one
of measurements, ``arena_VARIANT.jsonl`` and ``flash_VARIANT.jsonl``, where a variant is a runtime's
name, ``--versions DIR`` one of what versions of TFLM took (``version_truth.py``), each a variant of
its own, and ``--esp-nn FILE`` arenas by release of esp-nn. It predicts every model that it has, and
prints for each variant and quantity how many predictions are exact and the worst error both ways;
``--all`` prints every row besides. It exits with 1 when a row breaks its rule:

* arena (used, required, head, tail) and refused: no difference at all;
* flash: at most 0.3 % off on Arm and 0.8 % on RV32, and where a table is held to links of sets of
  operators, at most its margin;
* stack: never below the measured one;
* flash and stack of a model that ``explained.toml`` knows: off by what is listed there, to the
  byte.

The list names model and difference one by one, so a change that moves any prediction shows.
Models that it does not know, of another folder, are held to the first three. ``--update-explained``
renews it for the models that were compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from truth import Measurements
from truth import TruthError
from truth import measurements_in
from truth import packed_links
from truth import packed_measurements
from truth import packed_models
from truth import release_arenas
from version_truth import ISLANDS
from version_truth import Measured
from version_truth import measured_in
from version_truth import packed

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.footprint.link import unmeasured_main_of
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.section_graph import load_graph
from pytest_tinybudget.footprint.stack import stack_part
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tables import tables
from pytest_tinybudget.runtimes.versions import known


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
    """One prediction beside its measurement, bytes (``refused``: 1 or 0).

    ``allowed_percent`` is how far it may be off, where that is not the rule of its quantity.
    """

    variant: str
    model: str
    quantity: str
    predicted: int | None
    measured: int
    allowed_percent: float | None = None

    @property
    def difference(self) -> int | None:
        return None if self.predicted is None else self.predicted - self.measured

    @property
    def percent(self) -> float:
        """The difference in percent of what was measured; 0 where nothing was predicted."""
        return 100 * (self.difference or 0) / max(1, self.measured)


class Models:
    """The models to predict, each read once; remembers which are missing.

    ``load`` gives a model by its name, or ``None`` where there is none of that name.
    """

    def __init__(self, load: Callable[[str], Model | None]) -> None:
        self.missing: set[str] = set()
        self._load = load
        self._known: dict[str, Model | ModelError | None] = {}

    @classmethod
    def of_folder(cls, folder: Path) -> Models:
        def load(name: str) -> Model | None:
            path = folder / f"{name}.tflite"
            return load_model(path) if path.is_file() else None

        return cls(load)

    @classmethod
    def of_contents(cls, contents: Mapping[str, bytes]) -> Models:
        def load(name: str) -> Model | None:
            return read_model(contents[name], name) if name in contents else None

        return cls(load)

    def get(self, name: str) -> Model | ModelError | None:
        """The model, why it cannot be read, or ``None`` when it is not there."""
        if name not in self._known:
            try:
                self._known[name] = self._load(name)
            except ModelError as error:
                self._known[name] = error
            if self._known[name] is None:
                self.missing.add(name)
        return self._known[name]


def compare(models: Models, measured: Iterable[Measurements]) -> Iterator[Row]:
    """A row for every figure in ``measured`` whose model there is.

    Raises:
        TruthError: a measurement cannot be read.
    """
    for group in measured:
        if group.kind == "links":
            yield from _link_rows(group)
        rows = _ROWS.get(group.kind)
        if rows is None:
            continue
        if group.variant and group.variant not in RUNTIMES:
            print(f"{group.source} skipped: there is no runtime {group.variant}", file=sys.stderr)
            continue
        for record in group.records:
            runtime = RUNTIMES.get(group.variant or record.get("variant", ""))
            model = models.get(record["model"])
            if model is not None and runtime is not None:
                yield from rows(model, runtime, record)


def _arena_rows(
    model: Model | ModelError, runtime: Runtime, record: Mapping[str, Any]
) -> Iterator[Row]:
    simulation = None if isinstance(model, ModelError) else simulate(model, runtime)
    predicted = _predicted(simulation.arena if simulation else None)
    for quantity, name in _ARENA_FIELDS.items():
        if record.get(name) is not None:
            yield Row(
                runtime.name, record["model"], quantity, predicted.get(quantity), record[name]
            )
    if record.get("status") == "ok" and record.get("stack_alloc") is not None:
        measured = max(record["stack_alloc"], record["stack_invoke"])
        predicted_stack = None
        if not isinstance(model, ModelError):
            part = stack_part(model, runtime)
            predicted_stack = part.bytes + part.margin_bytes
        yield Row(runtime.name, record["model"], "stack", predicted_stack, measured)
    if record.get("status") is not None:
        yield Row(
            runtime.name, record["model"], "refused",
            int(simulation is None or bool(simulation.refusals)), int(record["status"] != "ok"),
        )  # fmt: skip


def compare_versions(models: Models, measured: Iterable[Measured]) -> Iterator[Row]:
    """The same of versions of TFLM: whether a model loads, and what it then takes and needs."""
    for entry in measured:
        runtime = entry.runtime()
        for name, figures in entry.figures.items():
            model = models.get(name)
            if model is None:
                continue
            simulation = None if isinstance(model, ModelError) else simulate(model, runtime)
            arena = simulation.arena if simulation is not None and _loads(simulation) else None
            yield Row(entry.label, name, "refused", int(arena is None), int(figures is None))
            if figures is None:
                continue
            head, tail, required = figures
            truth = {"arena_used": head + tail, "head": head, "tail": tail}
            if required and (entry.name, name) not in ISLANDS:
                truth["arena_required"] = required
            predicted = _predicted(arena)
            for quantity, bytes_ in truth.items():
                yield Row(entry.label, name, quantity, predicted.get(quantity), bytes_)


def compare_releases(models: Models, arenas: Iterable[tuple[str, str, int]]) -> Iterator[Row]:
    """The smallest arenas on the ESP32-S3 with releases of esp-nn.

    Raises:
        TruthError: they cannot be read.
    """
    runtime = RUNTIMES["esp32s3_espnn"]
    for name, release, measured in arenas:
        model = models.get(name)
        if model is None or isinstance(model, ModelError):
            continue
        kernels = replace(runtime.kernels, version=known("esp-nn")[release])
        arena = simulate(model, replace(runtime, kernels=kernels)).arena
        predicted = _predicted(arena).get("arena_required")
        yield Row(f"esp-nn {release} S3", name, "arena_required", predicted, measured)


def _loads(simulation: Simulation) -> bool:
    """Whether AllocateTensors succeeds, which is all that was measured there."""
    return all(refusal.stage in ("invoke", "wrong", "outdated") for refusal in simulation.refusals)


def _predicted(arena: Arena | None) -> dict[str, int]:
    if arena is None:
        return {}
    return {
        "arena_used": arena.used, "arena_required": arena.required,
        "head": arena.head, "tail": arena.tail,
    }  # fmt: skip


def _flash_rows(
    model: Model | ModelError, runtime: Runtime, record: Mapping[str, Any]
) -> Iterator[Row]:
    if record.get("tflm_flash_bytes") is not None:
        predicted = None if isinstance(model, ModelError) else link(model, runtime).flash
        yield Row(runtime.name, record["model"], "flash", predicted, record["tflm_flash_bytes"])


def _typed_rows(
    model: Model | ModelError, runtime: Runtime, record: Mapping[str, Any]
) -> Iterator[Row]:
    if record.get("typed") is not None:
        predicted = None
        if not isinstance(model, ModelError):
            predicted = link(model, Firmware(runtime, "typed")).flash
        yield Row(f"{runtime.name} typed", record["model"], "flash", predicted, record["typed"])


def _link_rows(group: Measurements) -> Iterator[Row]:
    """Rows of links of sets of operators, for the shipped table that the group is called after."""
    table = tables().get(group.variant)
    if table is None:
        return
    graph = load_graph(table.name)
    for record in group.records:
        operators, real = record["ops"], record["bytes"]
        variant, predicted, allowed = table.name, None, table.margin_percent
        if graph.operators.keys() >= set(operators):
            registered = {name: graph.operators[name].custom for name in operators}
            sizes = sizes_of(graph, registered)
            predicted = sum(size for kind, size in sizes.items() if kind != "bss")
            bound = unmeasured_main_of(graph, registered)
            if bound:
                variant, allowed = f"{variant}, bound", allowed + 100 * bound / real
        names = ", ".join(operators[:3]) + (" …" if len(operators) > 3 else "")
        yield Row(variant, f"{len(operators)}: {names}", "flash", predicted, real, allowed)


#: What makes the rows of a record, by the kind of measurement.
_ROWS = {"arena": _arena_rows, "flash": _flash_rows, "typed": _typed_rows}


@dataclass(frozen=True)
class Explained:
    """``explained.toml``: the models it knows, and by how much predictions for them are off.

    ``differences`` (bytes) are by quantity, variant and model.
    """

    models: frozenset[str] = frozenset()
    differences: Mapping[tuple[str, str, str], int] = field(default_factory=dict)

    def of(self, row: Row) -> int | None:
        """The listed difference, 0 where a known model has none; ``None``: unknown model."""
        if row.model not in self.models:
            return None
        return self.differences.get((row.quantity, row.variant, row.model), 0)


def failures(rows: Iterable[Row], explained: Explained) -> list[str]:
    """A line for every row that breaks its rule."""
    lines = []
    for row in rows:
        what = f"{row.variant} {row.model} {row.quantity}"
        listed = explained.of(row)
        if row.difference is None:
            lines.append(f"{what}: nothing predicted, measured {row.measured:,}")
        elif row.quantity == "stack" and row.difference < 0:
            lines.append(f"{what}: {-row.difference:,} bytes below the measured {row.measured:,}")
        elif row.quantity == "flash" and abs(row.difference) > _flash_limit(row):
            lines.append(f"{what}: {row.difference:+,} bytes, allowed {_flash_limit(row):,.0f}")
        elif row.difference and row.quantity not in _MAY_DIFFER:
            lines.append(f"{what}: predicted {row.predicted:,}, measured {row.measured:,}")
        elif listed is not None and row.difference != listed:
            lines.append(f"{what}: {row.difference:+,} bytes, explained are {listed:+,}")
    return lines


def _flash_limit(row: Row) -> float:
    if row.allowed_percent is not None:
        return row.measured * row.allowed_percent / 100
    return row.measured * (0.008 if row.variant.startswith("rv32") else 0.003)


def read_explained() -> Explained:
    """The committed list."""
    with EXPLAINED.open("rb") as file:
        document = tomllib.load(file)
    differences = {
        (group["quantity"], group["variant"], model): difference
        for group in document["explained"]
        for model, difference in group["differences"].items()
    }
    return Explained(frozenset(document["models"]), differences)


def write_explained(rows: Sequence[Row]) -> None:
    """Renew the list for the models and quantities of ``rows``; keep what it says of others."""
    known = read_explained()
    rows = [row for row in rows if row.allowed_percent is None]
    compared = {(row.quantity, row.variant, row.model) for row in rows}
    found = {
        (row.quantity, row.variant, row.model): row.difference
        for row in rows
        if row.quantity in _MAY_DIFFER and row.difference
    }
    kept = {key: value for key, value in known.differences.items() if key not in compared}
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for (quantity, variant, model), difference in (kept | found).items():
        groups.setdefault((quantity, variant), {})[model] = difference
    lines = [
        "# Known differences, predicted minus measured in bytes, one by one.",
        "# Renewed for the models that are compared by: accuracy.py --update-explained",
        "",
        "# Models that are listed where they differ; what is not listed is equal.",
        "models = [",
        *(f'  "{model}",' for model in sorted(known.models | {row.model for row in rows})),
        "]",
    ]
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


def print_summary(rows: Iterable[Row]) -> None:
    """Per variant and quantity, then over all variants: share exact and worst errors.

    ``below`` and ``above`` are the worst bytes under and over the measured number; flash has
    median and worst in percent of it too, signs dropped.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.variant, row.quantity), []).append(row)
    everywhere: dict[str, list[Row]] = {}
    for (_, quantity), group in groups.items():
        everywhere.setdefault(quantity, []).extend(group)
    width = max(21, *(len(variant) + 2 for variant, _ in groups))
    print(
        f"{'variant':{width}}{'quantity':16}{'rows':>6}{'exact':>7}{'share':>9}"
        f"{'below':>8}{'above':>8}{'median':>10}{'worst':>9}"
    )
    last = ""
    for variant, quantity in sorted(
        groups, key=lambda group: (group[0], QUANTITIES.index(group[1]))
    ):
        name = "" if variant == last else variant
        _print_group(f"{name:{width}}", quantity, groups[variant, quantity])
        last = variant
    for quantity in sorted(everywhere, key=QUANTITIES.index):
        name = "all variants" if quantity == min(everywhere, key=QUANTITIES.index) else ""
        _print_group(f"{name:{width}}", quantity, everywhere[quantity])


def _print_group(variant: str, quantity: str, group: Sequence[Row]) -> None:
    differences = [row.difference for row in group if row.difference is not None]
    exact = differences.count(0)
    # Rounded down: only all of them are 100 %.
    share = 1000 * exact // len(group) / 10
    line = (
        f"{variant}{quantity:16}{len(group):>6,}{exact:>7,}{share:>7.1f} %"
        f"{max(0, -min(differences, default=0)):>8,}{max(0, *differences, 0):>8,}"
    )
    if quantity == "flash":
        percents = [abs(row.percent) for row in group]
        line += f"{statistics.median(percents):>8.3f} %{max(percents):>7.3f} %"
    print(line)


def print_rows(rows: Iterable[Row]) -> None:
    """Every row on a line of its own."""
    print(f"{'variant':21}{'model':36}{'quantity':16}{'predicted':>12}{'measured':>12}{'off':>8}")
    for row in rows:
        predicted = "-" if row.predicted is None else f"{row.predicted:,}"
        off = "" if row.difference is None else f"{row.difference:+,}" if row.difference else "0"
        print(
            f"{row.variant:21}{row.model:36}{row.quantity:16}"
            f"{predicted:>12}{row.measured:>12,}{off:>8}"
        )


def print_remarks(rows: Sequence[Row], explained: Explained, missing: set[str]) -> None:
    """What the tables leave out: rows that differ as listed or within their limit, and skips."""
    differing = [row for row in rows if row.quantity in _MAY_DIFFER and row.difference]
    listed = sum(explained.of(row) == row.difference for row in differing)
    unknown = sum(explained.of(row) is None for row in differing)
    if listed:
        print(f"{listed:,} differences of flash or stack are as {EXPLAINED.name} lists them")
    if unknown:
        print(f"{unknown:,} are of models it does not know: they are held to the limits alone")
    if missing:
        print(f"{len(missing):,} models skipped, not there: {', '.join(sorted(missing))}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, metavar="DIR", help="models, NAME.tflite")
    parser.add_argument("--truth", type=Path, metavar="DIR", help="what was measured of them")
    parser.add_argument(
        "--versions", type=Path, metavar="DIR", help="what versions of TFLM took of them"
    )
    parser.add_argument("--esp-nn", type=Path, metavar="FILE", help="arenas by release of esp-nn")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all rows there")
    parser.add_argument("--all", action="store_true", help="print every row, not only the summary")
    parser.add_argument(
        "--update-explained", action="store_true", help=f"renew {EXPLAINED.name} for these models"
    )
    options = parser.parse_args(arguments)
    if (options.models is None) != (options.truth is None):
        parser.error("--models and --truth go together; without them the repository's own are used")
    if options.versions is not None and options.models is None:
        parser.error("--versions goes with --models")
    for folder in filter(None, (options.models, options.truth, options.versions)):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    measured: Iterable[Measurements]
    versions: Iterable[Measured] = ()
    releases: Iterable[tuple[str, str, int]] = ()
    if options.models is None:
        models = Models.of_contents(packed_models())
        measured = [*packed_measurements(), *packed_links()]
        versions, releases = packed(), release_arenas()
    else:
        models, measured = Models.of_folder(options.models), measurements_in(options.truth)
        if options.versions is not None:
            versions = measured_in(options.versions)
        if options.esp_nn is not None:
            releases = release_arenas(options.esp_nn)
    try:
        rows = [
            *compare(models, measured),
            *compare_versions(models, versions),
            *compare_releases(models, releases),
        ]
    except TruthError as error:
        parser.error(str(error))
    if not rows:
        parser.error(f"{options.truth} has no measurement of a model in {options.models}")
    if options.update_explained:
        write_explained(rows)
    explained = read_explained()
    if options.json is not None:
        # Only what was measured for a variant as such: readers look rows up by variant and model.
        kept = [
            asdict(row) for row in rows if row.variant in RUNTIMES and row.allowed_percent is None
        ]
        for row in kept:
            del row["allowed_percent"]
        document = {"rows": kept}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.all:
        print_rows(rows)
        print()
    print_summary(rows)
    print()
    print_remarks(rows, explained, models.missing)
    broken = failures(rows, explained)
    for line in broken:
        print(f"NOT EXPLAINED {line}", file=sys.stderr)
    print(f"{len(rows):,} rows, {len(broken):,} of them not explained")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
