"""What a firmware's own ``main`` and its resolver take, read off measured section graphs.

``tinybudget runtime build`` is given archives, and ``main`` is in none of them. ::

    python benchmarks/own_main.py --graphs DIR --output pytest_tinybudget/toolchain/data/main.json

writes a row for each kind of build (family of cores, level of optimization, log strings, whether
the application has printf), and prints how the links of every build of that kind fare with the
row's ``main`` in the place of their own: the row's build is one of them, the others are held out.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from section_graphs import bounded
from section_graphs import links_of
from section_graphs import predicted
from section_graphs import read_graph

from pytest_tinybudget.footprint.section_graph import KINDS
from pytest_tinybudget.footprint.section_graph import SectionGraph
from pytest_tinybudget.toolchain.own_main import OwnMain
from pytest_tinybudget.toolchain.own_main import code_bytes


#: The build that a row is read off, and those that its links are held to as well.
ROWS: Mapping[str, tuple[str, str, bool, bool, tuple[str, ...]]] = {
    "arduino_m4f_bare": ("Arm", "s", True, False,
                         ("zephyr_m4f_bare", "zephyr_m33_bare", "pico_m0plus_os_bare")),
    "arduino_m4f_app": ("Arm", "s", True, True,
                        ("zephyr_m4f_app", "zephyr_m33_app", "pico_m0plus_os_sdk")),
    "arduino_m4f_strip_bare": ("Arm", "s", False, False, ("zephyr_m4f_strip_bare",)),
    "arduino_m4f_strip_app": ("Arm", "s", False, True, ("zephyr_m4f_strip_app",)),
    "pico_m0plus_bare": ("Arm", "3", True, False, ("pico_m0plus_sdk",)),
    "pico_m0plus_strip_bare": ("Arm", "3", False, False, ("pico_m0plus_strip_sdk",)),
    "esp32_espnn": ("Xtensa", "3", True, True, ("esp32s3_espnn",)),
    "esp32_espnn_strip": ("Xtensa", "3", False, True, ()),
}  # fmt: skip
_TEXT, _RODATA = KINDS.index("text"), KINDS.index("rodata")
#: The object of main in those links.
_OBJECT = "set_all.o"
#: The largest number of operators whose main was measured at -O3.
_COUNTED_TO = 22


def own_main(name: str, folder: Path) -> OwnMain:
    """What the build called ``name`` has in its own object."""
    family, optimize, log_strings, application, _ = ROWS.get(name) or ("", "", False, False, ())
    graph, content = read_graph(folder / f"{name}.json.gz")
    return read_main(name, graph, content, (family, optimize, log_strings, application))


def read_main(
    name: str,
    graph: SectionGraph,
    content: Mapping[str, Any],
    kind: tuple[str, str, bool, bool],
) -> OwnMain:
    number = content["objects"].index(_OBJECT)
    own = {node for node, member in enumerate(graph.objects) if member == number}
    always = _reached(graph, graph.core) & own
    builtin = (_reached(graph, graph.core_builtin) & own) - always
    custom = (_reached(graph, graph.core_custom) & own) - always - builtin
    others = [node for node in graph.core if node not in own]
    others += [node for entry in graph.operators.values() for node in entry.nodes]
    constants = _reached(graph, always | builtin | custom) - _reached(graph, others) - own

    def size(nodes: Iterable[int], kind: int) -> int:
        return sum(graph.sizes[node] for node in nodes if graph.kinds[node] == kind)

    main = bounded(graph).main
    if not main.by_count and not main.per_custom:  # no custom operator was linked there
        main = msgspec.structs.replace(main, per_custom=main.per_builtin)
    family, optimize, log_strings, application = kind
    return OwnMain(
        name=name,
        family=family,
        optimize=optimize,
        log_strings=log_strings,
        application=application,
        margin_percent=0.0,
        text=(size(always, _TEXT), size(builtin, _TEXT), size(custom, _TEXT)),
        rodata=size(always, _RODATA) + size(constants, _RODATA),
        main=main,
    )


def _reached(graph: SectionGraph, roots: Iterable[int]) -> set[int]:
    found = set(roots)
    pending = list(found)
    while pending:
        for target in graph.targets[pending.pop()]:
            if target not in found:
                found.add(target)
                pending.append(target)
    return found


def errors_percent(
    name: str, with_main: OwnMain, folder: Path, links: Path | None = None
) -> list[float]:
    """The errors of a build's links with another ``main``, in percent, signed.

    The graph lies in ``folder``, the links there or in ``links``.
    """
    graph, content = read_graph(folder / f"{name}.json.gz")
    own = read_main(name, graph, content, ("", "", False, False))
    found = []
    for link in links_of(links or folder, name):
        operators = {each: graph.operators[each].custom for each in link["ops"]}
        if len(operators) > _COUNTED_TO and graph.main.by_count:
            continue
        other = code_bytes(with_main, operators) - code_bytes(own, operators)
        found.append(100 * ((predicted(graph, link) + other) / link["tflm_flash_bytes"] - 1))
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--graphs", type=Path, required=True, metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the rows there")
    options = parser.parse_args(arguments)
    rows = []
    for name, (*_, held) in ROWS.items():
        row = own_main(name, options.graphs)
        worst = 0.0
        for build in (name, *held):
            if not (options.graphs / f"flash_{build}.jsonl").exists():
                continue
            errors = errors_percent(build, row, options.graphs)
            worst = max(worst, -min(errors))
            print(f"{name:24}{build:24}{_told(errors)}")
        rows.append(msgspec.structs.replace(row, margin_percent=_upwards(worst)))
    if options.output is not None:
        text = json.dumps(msgspec.to_builtins(rows), indent=1)
        options.output.write_text(text + "\n", encoding="utf-8")
    return 0


def _told(errors: Sequence[float]) -> str:
    median = statistics.median(errors)
    return f"{len(errors):5} links{min(errors):+7.2f} % {median:+7.2f} % {max(errors):+7.2f} %"


def _upwards(percent: float) -> float:
    """To the next tenth; no table showed less than 0.3."""
    return max(0.3, -(-percent * 10 // 1) / 10)


if __name__ == "__main__":
    raise SystemExit(main())
