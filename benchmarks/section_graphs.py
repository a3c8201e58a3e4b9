"""Packs the section graphs of distributions into tables that are shipped, and holds them to links.

A measured graph (``NAME.json.gz``) lists what a linker sees of a distribution's archives; the real
links of the same build are in ``flash_NAME.jsonl``. ::

    python benchmarks/section_graphs.py --graphs DIR --output pytest_tinybudget/runtimes/data/graphs

writes a table for each graph, and prints for each what its links show: the median and the worst
error, and both again with the constants of ``main`` fitted to one half of the links and held to the
other. An application that has printf and its kin anyway (``NAME_app``) is no table of its own: it
is the empty program's (``NAME_bare``) with another baseline.

Nothing is fitted to a set of operators. The slopes of ``main`` come with the graph. What is fitted
here is two constants an application: the padding of its constants, and the resolver of exactly
one operator, both the median over the links.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.footprint.section_graph import Application
from pytest_tinybudget.footprint.section_graph import MainModel
from pytest_tinybudget.footprint.section_graph import OperatorRoots
from pytest_tinybudget.footprint.section_graph import SectionGraph
from pytest_tinybudget.footprint.section_graph import encode


#: The shipped graphs: the measured one, and the one of the same build in another application.
GRAPHS: Mapping[str, tuple[str, str]] = {
    "arduino_m4f": ("arduino_m4f_bare", "arduino_m4f_app"),
    "arduino_m4f_strip": ("arduino_m4f_strip_bare", "arduino_m4f_strip_app"),
    "zephyr_m4f": ("zephyr_m4f_bare", "zephyr_m4f_app"),
    "zephyr_m4f_strip": ("zephyr_m4f_strip_bare", "zephyr_m4f_strip_app"),
    "zephyr_m33": ("zephyr_m33_bare", "zephyr_m33_app"),
    "pico_m0plus_bare": ("pico_m0plus_bare", ""),
    "pico_m0plus_os_bare": ("pico_m0plus_os_bare", ""),
    "pico_m0plus_strip_bare": ("pico_m0plus_strip_bare", ""),
    "pico_m0plus_sdk": ("pico_m0plus_sdk", ""),
    "pico_m0plus_os_sdk": ("pico_m0plus_os_sdk", ""),
    "pico_m0plus_strip_sdk": ("pico_m0plus_strip_sdk", ""),
}
#: What rows of ``tables.json`` call the second application.
APPLICATION = "printf"
#: GCC at -O3 puts each registration into main, which then grows by so many bytes an operator, until
#: somewhere between 15 and 21 operators it stops: there main is smaller again, and grows by the
#: calls. Links show the sizes up to 14 operators and of 21 and 22.
_GROWTH_AT_O3 = 950.0
_INLINED_TO, _COUNTED_TO = 20, 22
#: The size of such a function with log strings, by the number of operators, compiled alone by the
#: same compiler from pico-tflmicro's headers: 36 bytes less than in the links for 22 operators.
_COMPILED_ALONE = {22: 5064, 24: 5512, 30: 6872, 40: 9092, 60: 12432, 90: 10696, 96: 10472}

Links = Sequence[Mapping[str, Any]]


def read_graph(path: Path) -> tuple[SectionGraph, Mapping[str, Any]]:
    """A measured graph, and the file that it is from."""
    with gzip.open(path) as file:
        content: dict[str, Any] = json.load(file)
    nodes, objects = content["nodes"], content["objects"]
    graph = SectionGraph(
        name=content["variant"],
        description={key: content[key] for key in ("tflm", "compiler", "cflags")},
        sizes=[node[1] for node in nodes],
        kinds=[node[2] for node in nodes],
        alignments=[max(1, node[3]) for node in nodes],
        targets=content["edges"],
        objects=content["node_obj"],
        object_names=["" for _ in objects],
        object_origins=[_origin(label) for label in objects],
        object_targets=content["obj_edges"],
        operators={
            name: OperatorRoots(
                tuple(entry["nodes"]),
                entry["custom"],
                {kind: tuple(ids) for kind, ids in entry["typed"].items()},
            )
            for name, entry in content["ops"].items()
        },
        core=tuple(content["core"]),
        core_builtin=tuple(content["core_builtin"]),
        core_custom=tuple(content["core_custom"]),
        core_variables=tuple(content["core_variables"]),
        baseline=tuple(content["baseline"]),
        firmware=frozenset(),
        main=main_of(content),
        supersede=tuple((small, big) for small, big in content["supersede"]),
        margin_percent=0.0,
        kept=tuple(content["kept"]),
    )
    return graph, content


def _origin(label: str) -> str:
    """Whose code an archive's member or an object is."""
    archive = label.partition("(")[0].removesuffix(".a")
    known = ("libgcc", "libstdc++", "libc", "libm")
    return next((name for name in known if archive.split("_")[0] == name), "runtime")


def main_of(content: Mapping[str, Any]) -> MainModel:
    """The model of ``main``: by count where the file has that, else linear."""
    linear = {key: value for key, value in content["main"].items() if not key.startswith("bss")}
    counted = content.get("main_by_count")
    if counted is None:
        return MainModel(**linear)
    return MainModel(
        per_custom=counted["per_custom_more"],
        variables=counted["variables_more"],
        rodata=counted["rodata"],
        by_count=tuple(sorted((int(count), size) for count, size in counted["text"].items())),
    )


def bounded(graph: SectionGraph) -> SectionGraph:
    """``graph`` with ``main`` for more operators than links have, and what it may take at most.

    Beyond the links it is the size of a function compiled alone, at most that and what inlining
    took before it stopped.
    """
    measured = dict(graph.main.by_count)
    if not measured:
        return graph
    last = max(count for count in measured if count < _INLINED_TO)
    inlined = measured[last] + _GROWTH_AT_O3 * (_INLINED_TO - last)
    compiled = {
        count: round(size * measured[_COUNTED_TO] / _COMPILED_ALONE[_COUNTED_TO])
        for count, size in _COMPILED_ALONE.items()
        if count > _COUNTED_TO
    }
    by_count = measured | compiled
    most = measured | {last + 1: measured[last] + _GROWTH_AT_O3, _INLINED_TO: inlined}
    most |= {_COUNTED_TO + 1: inlined + measured[_COUNTED_TO]}
    most |= {count: inlined + max(compiled.values()) for count in (40, 200)}
    main = replace(
        graph.main, by_count=tuple(sorted(by_count.items())), most=tuple(sorted(most.items()))
    )
    return replace(graph, main=main)


def with_application(graph: SectionGraph, content: Mapping[str, Any], path: Path) -> SectionGraph:
    """``graph`` with the application of the graph at ``path`` besides.

    Sections of the libraries that the other graph has no more belong to the application, with
    the constants that they refer to.
    """
    other, other_content = read_graph(path)
    left = Counter(node[0] for node in other_content["nodes"])
    baseline = set()
    for index, (name, *_) in enumerate(content["nodes"]):
        if left[name] > 0:
            left[name] -= 1
        elif not name.startswith("constant#"):
            baseline.add(index)
    pending = list(baseline)
    while pending:
        for target in graph.targets[pending.pop()]:
            if target not in baseline:
                baseline.add(target)
                pending.append(target)
    around = Application(tuple(sorted(baseline)), other.main)
    return replace(graph, applications={**graph.applications, APPLICATION: around})


def predicted(graph: SectionGraph, link: Mapping[str, Any]) -> int:
    """Bytes of flash that ``graph`` gives for the operators of a real link."""
    operators = {name: graph.operators[name].custom for name in link["ops"]}
    sizes = sizes_of(graph, operators)
    return sum(size for kind, size in sizes.items() if kind != "bss")


def fitted(graph: SectionGraph, links: Links) -> SectionGraph:
    """``graph`` with the two constants of ``main``, by the medians over ``links``."""
    several = [link for link in links if len(link["ops"]) > 1]
    shift = _median_error(graph, several)
    main = replace(graph.main, rodata=graph.main.rodata - shift)
    graph = replace(graph, main=main)
    alone = _median_error(graph, [link for link in links if len(link["ops"]) == 1])
    main = replace(main, one_builtin=main.one_builtin - alone)
    return replace(graph, main=main)


def _median_error(graph: SectionGraph, links: Links) -> float:
    errors = [predicted(graph, link) - int(link["tflm_flash_bytes"]) for link in links]
    return statistics.median(errors)


def errors_percent(graph: SectionGraph, links: Iterable[Mapping[str, Any]]) -> list[float]:
    """The error of each link in percent, signed."""
    return [
        100 * (predicted(graph, link) / link["tflm_flash_bytes"] - 1)
        for link in links
        if len(link["ops"]) <= _COUNTED_TO or not graph.main.by_count
    ]


def cross_fitted(graph: SectionGraph, links: Links) -> list[float]:
    """The errors of each half of ``links`` with the constants fitted to the other."""
    halves = links[::2], links[1::2]
    found: list[float] = []
    for fit, held in (halves, halves[::-1]):
        found += errors_percent(fitted(graph, fit), held)
    return found


def links_of(folder: Path, name: str) -> Links:
    """The real links of a build, one an operator set."""
    lines = (folder / f"flash_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def report(name: str, graph: SectionGraph, links: Links, *, fit: bool) -> None:
    errors = errors_percent(graph, links)
    held = cross_fitted(graph, links) if fit else errors
    print(
        f"{name:24}{len(errors):5}{_both(errors)}{_both(held)}"
        f"{min(errors):+9.2f} % under{max(errors):+7.2f} % over"
    )


def _both(errors: Sequence[float]) -> str:
    sizes = [abs(error) for error in errors]
    return f"{statistics.median(sizes):9.3f} %{max(sizes):7.2f} %"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--graphs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write the tables there")
    options = parser.parse_args(arguments)
    print(f"{'table':24}{'links':>5}{'median':>11}{'worst':>9}{'cross-fitted':>20}")
    total = 0
    for name, (bare, app) in GRAPHS.items():
        graph, content = read_graph(options.graphs / f"{bare}.json.gz")
        links = links_of(options.graphs, bare)
        graph = bounded(graph)
        report(bare, graph, links, fit=False)
        if app:
            graph = with_application(graph, content, options.graphs / f"{app}.json.gz")
            links = links_of(options.graphs, app)
            within = fitted(graph.within(APPLICATION), links)
            report(app, within, links, fit=True)
            around = Application(within.baseline, within.main)
            graph = replace(graph, applications={APPLICATION: around})
        packed = encode(graph)
        total += len(packed)
        if options.output is not None:
            (options.output / f"{name}.json.gz").write_bytes(packed)
    print(f"{total:,} bytes packed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
