"""``tinybudget runtime`` and ``runtime show``: the runtimes that may be named, and their facts."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import runtime_named
from pytest_tinybudget.commands.options import told_as_json


if TYPE_CHECKING:
    from pytest_tinybudget.report.layout import Align
    from pytest_tinybudget.runtimes.distributions import Distribution
    from pytest_tinybudget.runtimes.runtime import Runtime


_HEAD = ("RUNTIME", "DATE", "TFLM", "KERNELS", "FLAGS", "MEASURED")
_NAME, _DATE, _TFLM, _KERNELS, _FLAGS, _MEASURED = range(len(_HEAD))
_LABEL_CELLS = 17


def add_show(subparsers: Subparsers) -> None:
    """Add ``runtime show``."""
    parser = add_command(
        subparsers,
        "show",
        "what is known of a runtime, with the source of each fact",
        example='tinybudget runtime show "zephyr 4.1"\ntinybudget runtime show m4_cmsisnn',
    )
    parser.add_argument("name", nargs="+", metavar="NAME", help="as 'tinybudget runtime' lists it")
    add_json_option(parser)
    parser.set_defaults(run=show)


def run_list(arguments: argparse.Namespace) -> int:
    """List every distribution and every shipped runtime."""
    from pytest_tinybudget.runtimes.distributions import distributions
    from pytest_tinybudget.runtimes.runtime import RUNTIMES

    if arguments.json:
        records = [_record(each) for each in distributions().values()]
        shipped = [_runtime_record(name, each) for name, each in RUNTIMES.items()]
        text = json.dumps({"distributions": records, "runtimes": shipped}, indent=2) + "\n"
        if told_as_json(arguments, text):
            return 0
    sys.stdout.writelines(f"{line}\n" for line in _listing(distributions().values()))
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print all that is known of one.

    Raises:
        TinybudgetError: there is no such runtime.
    """
    from pytest_tinybudget.runtimes.distributions import named

    name = " ".join(arguments.name)
    distribution = named(name)
    if distribution is None:
        runtime = runtime_named(name)
        record, described = _runtime_record(name, runtime), _described_runtime(runtime)
    else:
        record, described = _record(distribution), _described(distribution)
    if arguments.json and told_as_json(arguments, json.dumps(record, indent=2) + "\n"):
        return 0
    sys.stdout.writelines(f"{line}\n" for line in _wrapped(described))
    return 0


def _listing(releases: Iterable[Distribution]) -> list[str]:
    """A row for releases of the same code, then what stands for a core of upstream."""
    from pytest_tinybudget.report.console import Console
    from pytest_tinybudget.report.layout import columns
    from pytest_tinybudget.report.layout import wrapped
    from pytest_tinybudget.runtimes.distributions import UPSTREAM
    from pytest_tinybudget.runtimes.runtime import RUNTIMES
    from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT

    style = Console(sys.stdout).style
    rows = [_HEAD, *(_row(list(group)) for _, group in groupby(releases, key=_code))]
    align: list[Align] = ["left"] * len(_HEAD)
    # People copy the name into a declaration, and find theirs by the date.
    drop = (_KERNELS, _FLAGS, _MEASURED)
    lines = columns(rows, align, style, flexible=_NAME, drop=drop, whole_names=True)
    missing = [_HEAD[each].lower() for each in drop if _HEAD[each] not in lines[0].split()]
    narrow = f" A wider terminal shows {' and '.join(missing)} as well." if missing else ""
    ours = ", ".join(name for name, each in RUNTIMES.items() if each.tflm_commit == TFLM_COMMIT)
    notes = (
        f"{UPSTREAM} {TFLM_COMMIT} on a core has a name of its own: {ours}. "
        "Large structs: built without TF_LITE_STATIC_MEMORY. Measured: the arena (RAM) and links "
        "(flash) of the release or of upstream's commit; 'tinybudget runtime show NAME' says of "
        f"what, and prints the source of each fact.{narrow}"
    )
    return [*lines, *wrapped(notes, style)]


def _code(distribution: Distribution) -> tuple[str, ...]:
    versions = ",".join(distribution.kernels_versions.values())
    return (distribution.name, distribution.date, distribution.tflm, versions)


def _row(releases: list[Distribution]) -> tuple[str, ...]:
    first = releases[0]
    return (
        f"{first.name} {_span([each.release for each in releases])}",
        first.date,
        first.tflm,
        kernels_text(first).removesuffix(", reference kernels, esp-nn"),
        flags_text(first),
        measured_text(first),
    )


def _span(names: list[str]) -> str:
    """``"4.1, 4.2, 4.3"``; of many the first and the last."""
    return ", ".join(names) if len(names) <= 3 else f"{names[-1]} to {names[0]}"


def flags_text(distribution: Distribution) -> str:
    """``"-Os, log strings, large structs"``."""
    parts = (
        f"-O{distribution.optimize}" if distribution.optimize else "upstream's",
        "log strings" if distribution.log_strings else "",
        "" if distribution.static_memory else "large structs",
    )
    return ", ".join(filter(None, parts))


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def measured_text(distribution: Distribution) -> str:
    """``"RAM, flash"``, or that nothing was measured."""
    parts = (("RAM", distribution.measured_ram), ("flash", distribution.measured_flash))
    return ", ".join(name for name, measured in parts if measured) or "not measured"


def kernels_text(distribution: Distribution) -> str:
    """``"CMSIS-NN 22080c68"``, ``"esp-nn 1.2.3 or newer"``."""
    from pytest_tinybudget.runtimes.kernels import LIBRARIES

    parts = []
    for library in dict.fromkeys(distribution.kernels.values()):
        label = LIBRARIES[library].label.removeprefix("the ")
        version = distribution.kernels_versions.get(library, "")
        if not version and library == "esp-nn" and distribution.kernels_since:
            version = f"{distribution.esp_nn_releases[-1]} or newer"
        parts.append(f"{label} {version}".rstrip())
    return ", ".join(parts)


def _described(distribution: Distribution) -> Iterator[tuple[str, str]]:
    from pytest_tinybudget.runtimes.versions import BY_HISTORY
    from pytest_tinybudget.runtimes.versions import find_version

    span = [each for each in (distribution.same_since, distribution.same_until) if each]
    same = f", the same files as {' and '.join(span)}" if span else ""
    yield distribution.full_name, distribution.title
    yield "also", ", ".join(f"{distribution.name} {each}" for each in distribution.also)
    yield "date", distribution.date
    read = f" ({BY_HISTORY})" if find_version("tflm", distribution.tflm).by_history else ""
    yield "TFLM", f"{distribution.tflm} of {distribution.tflm_date[:10]}{read}{same}"
    yield "sources of", distribution.takes
    yield "kernels", kernels_text(distribution)
    yield "cores", ", ".join(distribution.cores)
    yield "static memory", f"{_yes(distribution.static_memory)} (TF_LITE_STATIC_MEMORY)"
    yield "log strings", _yes(distribution.log_strings)
    yield "optimized", f"-O{distribution.optimize}" if distribution.optimize else "as upstream"
    yield "app's libc", distribution.app_libc
    yield "notes", distribution.notes
    yield "RAM", distribution.measured_ram or "not measured"
    yield "flash", distribution.measured_flash or "not measured"
    for fact, source in distribution.sources.items():
        yield f"source, {fact.replace('_', ' ')}", source


def _described_runtime(runtime: Runtime) -> Iterator[tuple[str, str]]:
    yield runtime.name, runtime.description
    yield "TFLM", runtime.tflm_commit
    yield "kernels", runtime.kernels.label
    yield "cores", ", ".join(core.name for core in runtime.cores)
    yield "static memory", _yes(runtime.tflm.static_memory)
    yield "log strings", _yes(runtime.tflm.log_strings)


def _wrapped(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The first pair as a title, the others below it as labels and texts."""
    from pytest_tinybudget.report.console import Console

    width = max(Console(sys.stdout).style.width, 2 * _LABEL_CELLS)
    (name, title), *rest = pairs
    yield from textwrap.wrap(f"{name}: {title}", width)
    for label, text in rest:
        if text:
            line = f"  {label + ':':<{_LABEL_CELLS - 2}} {text}"
            yield from textwrap.wrap(
                line, width, subsequent_indent=" " * (_LABEL_CELLS + 1), break_on_hyphens=False
            )


def _record(distribution: Distribution) -> dict[str, object]:
    """A release as JSON has it; what is not known is null."""
    from pytest_tinybudget.runtimes.versions import find_version

    return {
        "name": distribution.full_name,
        "also": [f"{distribution.name} {each}" for each in distribution.also],
        "title": distribution.title,
        "date": distribution.date,
        "tflm": {
            "commit": distribution.tflm,
            "date": distribution.tflm_date,
            "same_since": distribution.same_since or None,
            "same_until": distribution.same_until or None,
            "by_history": find_version("tflm", distribution.tflm).by_history,
        },
        "takes": distribution.takes or None,
        "kernels": {
            library: distribution.kernels_versions.get(library)
            for library in dict.fromkeys(distribution.kernels.values())
        },
        "kernels_since": distribution.kernels_since or None,
        "cores": list(distribution.cores),
        "static_memory": distribution.static_memory,
        "log_strings": distribution.log_strings,
        "optimize": distribution.optimize,
        "app_libc": distribution.app_libc,
        "notes": distribution.notes or None,
        "measured_ram": distribution.measured_ram or None,
        "measured_flash": distribution.measured_flash or None,
        "sources": dict(distribution.sources),
    }


def _runtime_record(name: str, runtime: Runtime) -> dict[str, object]:
    return {
        "name": name,
        "description": runtime.description,
        "tflm": runtime.tflm_commit,
        "kernels": runtime.kernels.library,
        "cores": [core.name for core in runtime.cores],
    }
