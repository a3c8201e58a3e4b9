"""What each distribution of TFLM takes for the same six models, and how exact that is.

``docs/which_runtime.md`` and the README show the tables after marks, and a test holds them to it::

    python benchmarks/which_runtime.py            # prints the tables
    python benchmarks/which_runtime.py --write    # writes them into the pages

With a folder of measurements it prints what the arena was measured to be for public models::

    python benchmarks/which_runtime.py --measured DIR --models DIR
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import accuracy
import truth
import version_truth
from msgspec import Struct

from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.distributions import UPSTREAM
from pytest_tinybudget.runtimes.distributions import Distribution
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.distributions import find_distribution
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT


ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "which_runtime.md"
EXAMPLES = ROOT / "examples" / "quickstart" / "models"

#: Column of the table, and the model: one of the examples, or of the packed measurements.
MODELS = {
    "digits": "digits",
    "alarm": "alarm",
    "machine": "machine",
    "net": "gen_net11_pt",
    "float net": "gen_net37_f",
    "upscaling": "gen_tconv_i8",
}
#: Public models of which the arena was measured in many versions.
PUBLIC = (
    "person_detect", "mlperf_kws_int8", "mlperf_ad01_int8", "mww_okay_nabu",
    "micro_speech_quantized", "trained_lstm_int8",
)  # fmt: skip

_WORDS = {
    "resolve": "no operator",
    "prepare": "refused",
    "invoke": "fails",
    "wrong": "wrong",
    "outdated": "wrong",
}


class Row(Struct, frozen=True):
    """Releases of one distribution that take the same: the newest and the oldest."""

    distribution: Distribution
    oldest: Distribution
    core: str
    cells: tuple[str, ...]

    @property
    def name(self) -> str:
        """``"zephyr 4.1 to 4.3"``."""
        newest, oldest = self.distribution, self.oldest
        if newest is oldest:
            return newest.full_name
        return f"{newest.name} {oldest.release} to {newest.release}"

    @property
    def commits(self) -> str:
        """TFLM's commits, the oldest first."""
        return " to ".join(
            f"`{commit}`" for commit in dict.fromkeys((self.oldest.tflm, self.distribution.tflm))
        )


@cache
def models() -> Mapping[str, Model]:
    """The six models by column."""
    packed = truth.packed_models()
    return {
        column: read_model(packed[name], name)
        if name in packed
        else load_model(EXAMPLES / f"{name}.tflite")
        for column, name in MODELS.items()
    }


@cache
def footprint(column: str, runtime: Runtime) -> Footprint:
    return measure(models()[column], Firmware(runtime))


def outcome(found: Footprint) -> str:
    """Why the model does not run rightly, in a word; empty where it does."""
    stages = [refusal.stage for refusal in found.refusals]
    return next((word for stage, word in _WORDS.items() if stage in stages), "")


def arena_cell(found: Footprint, reference: Footprint) -> str:
    """The smallest arena that works, and how much more that is than upstream's newest takes."""
    if outcome(found) or found.arena is None or reference.arena is None:
        return outcome(found)
    return _cell(found.arena.required, reference.arena.required)


def flash_cell(found: Footprint, reference: Footprint) -> str:
    """Flash without the model's file, margins included, and how much more that is."""
    if outcome(found) in ("no operator", "refused"):
        return outcome(found)
    sizes = [
        sum(
            part.bytes + part.margin_bytes
            for part in each.flash_parts
            if not part.name.startswith("model")
        )
        for each in (found, reference)
    ]
    return _cell(*sizes)


def _cell(size: int, reference: int) -> str:
    return f"{size:,}" + (f" ({size - reference:+,})" if size != reference else "")


def rows(cell: Callable[[Footprint, Footprint], str]) -> Iterator[Row]:
    """The distributions, each on its usual core, beside upstream's newest on that core."""
    newest = find_distribution(f"{UPSTREAM} {TFLM_COMMIT}")
    every = list(_on_usual_core(newest, newest, cell))
    every += [
        row
        for each in distributions().values()
        if each.name != UPSTREAM
        for row in _on_usual_core(each, newest, cell)
    ]
    for _, group in groupby(every, key=lambda row: (row.distribution.name, row.cells)):
        same = list(group)
        first, last = same[0], same[-1]
        yield Row(first.distribution, last.distribution, first.core, first.cells)


def _on_usual_core(
    distribution: Distribution, newest: Distribution, cell: Callable[[Footprint, Footprint], str]
) -> Iterator[Row]:
    core = distribution.cores[0]
    reference = newest.on(core)
    assert reference is not None
    cells = tuple(
        cell(footprint(column, distribution.usual), footprint(column, reference))
        for column in MODELS
    )
    yield Row(distribution, distribution, core, cells)


def table(cell: Callable[[Footprint, Footprint], str]) -> str:
    """The Markdown table whose cells ``cell`` makes."""
    lines = [_line(["distribution", "TFLM", "core", *MODELS]), "|---" * (3 + len(MODELS)) + "|"]
    lines += [_line([row.name, row.commits, row.core, *row.cells]) for row in rows(cell)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# How exact that is


class Held(Struct, frozen=True):
    """What the numbers for one distribution are held to.

    ``builds`` are labels of measured builds (``version_truth.py``) whose arenas are its own, and
    ``tables`` how the names of its flash tables begin.
    """

    name: str
    builds: tuple[str, ...]
    tables: tuple[str, ...] = ()


#: In the order of the README.
HELD = (
    Held("TFLM's own, `90b983c2`", ("90b983c2 cmsisnn", "90b983c2 ref"), ("m", "rv32imc")),
    Held("Arduino's library, `2023-12`", ("c12bd762 cmsisnn full",), ("arduino_",)),
    Held("esp-tflite-micro, `1.3.3` to `1.4.0`", ("10ebaab9 ref", "cf8c42a1 ref"), ("esp32",)),
    Held("pico-tflmicro, `dfea53b`", ("10ebaab9 cmsisnn",), ("pico_",)),
    Held("Zephyr's module, `4.4`", ("cf8c42a1 cmsisnn full",), ("zephyr_",)),
)
_ARENA = ("arena_used", "arena_required", "head", "tail", "refused")


def exactness() -> str:
    """The Markdown table of how exact the numbers for each distribution are."""
    models = accuracy.Models.of_contents(truth.packed_models())
    arenas = list(accuracy.compare_versions(models, version_truth.packed()))
    measured = [*truth.packed_measurements(), *truth.packed_links()]
    links = [row for row in accuracy.compare(models, measured) if row.quantity == "flash"]
    named = {build for held in HELD for build in held.builds}
    others = tuple(sorted({row.variant for row in arenas} - named))
    older = Held(f"{len(others)} builds of other versions, 2021 to 2026", others)
    lines = [
        _line(["what is flashed", "arena and outcome", "exact", "flash", "median", "worst"]),
        "|---" * 6 + "|",
    ]
    for held in (*HELD, older):
        arena = [row for row in arenas if row.variant in held.builds and row.quantity in _ARENA]
        exact = sum(row.difference == 0 for row in arena)
        share = f"{1000 * exact // len(arena) / 10:g} %"
        flash = [abs(row.percent) for row in links if _is_of(row.variant, held.tables)]
        sizes = ["–"] * 3
        if flash:
            sizes = [f"{len(flash):,} links", f"{median(flash):.2f} %", f"{max(flash):.2f} %"]
        lines.append(_line([held.name, f"{len(arena):,} numbers", share, *sizes]))
    return "\n".join(lines)


def _is_of(variant: str, tables: tuple[str, ...]) -> bool:
    """Whether links of ``variant`` are of a table whose name begins so; bounds are none."""
    return variant.startswith(tables) and "bound" not in variant


TABLES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    PAGE: {"arena": partial(table, arena_cell), "flash": partial(table, flash_cell)},
    ROOT / "README.md": {"exactness": exactness},
}


def page_with_tables(page: Path) -> str:
    """The text of ``page`` with today's tables after their marks."""
    text = page.read_text(encoding="utf-8")
    for name, made in TABLES[page].items():
        mark = f"<!-- table: {name} -->\n"
        assert text.count(mark) == 1, f"{page.name} lacks {mark.strip()}"
        text = re.sub(rf"({mark})(?:\|[^\n]*\n)*", rf"\g<1>{made()}\n", text)
    return text


# What was measured of public models


class Build(Struct, frozen=True):
    """A measured build: ``arena_used_bytes()`` as it printed it and as predicted, by model."""

    name: str
    measured: Mapping[str, int | None]
    predicted: Mapping[str, int | None]


def builds(folder: Path, sources: Path) -> Iterator[Build]:
    """The builds of ``folder``; ``None`` stands for a model that did not load."""
    for build in version_truth.packed():
        file = folder / f"{build.name}.jsonl"
        if not file.exists():
            continue
        lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        found = {line["model"]: line for line in lines}
        runtime = build.runtime()
        kernels = f"CMSIS-NN {build.cmsis_nn}" if build.cmsis_nn else "reference"
        structs = "" if build.static_memory else ", large structs"
        yield Build(
            f"`{build.tflm}` of {build.date[:10]} | {kernels}{structs}",
            {name: _used(found.get(name, {})) for name in PUBLIC},
            {name: _predicted(_public(sources, name), runtime) for name in PUBLIC},
        )


def _used(line: Mapping[str, Any]) -> int | None:
    used: int | None = line.get("arena_used") if line.get("status") == "ok" else None
    return used


def _predicted(model: Model, runtime: Runtime) -> int | None:
    found = measure(model, Firmware(runtime))
    refused = any(refusal.stage in ("resolve", "prepare") for refusal in found.refusals)
    return None if found.arena is None or refused else found.arena.used


@cache
def _public(sources: Path, name: str) -> Model:
    (path,) = sources.rglob(f"{name}.tflite")
    return load_model(path)


def measured_table(found: Sequence[Build]) -> str:
    """The Markdown table of what was measured."""
    lines = [_line(["TFLM", "kernels", *PUBLIC]), "|---" * (2 + len(PUBLIC)) + "|"]
    for build in found:
        sizes = [build.measured[name] for name in PUBLIC]
        cells = ["refused" if size is None else f"{size:,}" for size in sizes]
        lines.append(_line([build.name, *cells]))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the tables into the pages")
    parser.add_argument("--measured", type=Path, metavar="DIR", help="measurements of versions")
    parser.add_argument("--models", type=Path, metavar="DIR", help="the public models")
    chosen = parser.parse_args(arguments)
    if chosen.measured and chosen.models:
        print(measured_table(list(builds(chosen.measured, chosen.models))))
    elif chosen.write:
        for page in TABLES:
            page.write_text(page_with_tables(page), encoding="utf-8")
    else:
        print("\n\n".join(made() for tables in TABLES.values() for made in tables.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
