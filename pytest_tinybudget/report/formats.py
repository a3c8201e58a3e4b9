"""The formats that a report can be written in, and where those of other packages come from.

A format is a module with a function ``render`` and an entry in ``FORMATS``. The commands, pytest's
options and the docs take their formats from here. Another package adds one with an entry point of
the group ``pytest_tinybudget.formats`` that names its function (``docs/hooks.md``).

As a hook of pytest does, ``render`` takes those of its arguments that it names: first the results,
then ``comparison`` and ``provenance`` by name.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.paths import hosted_path
from pytest_tinybudget.base.suggest import unknown


if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.baseline.history import History
    from pytest_tinybudget.results.types import PairResult
    from pytest_tinybudget.results.types import Provenance


#: The group of entry points through which another package adds formats.
GROUP = "pytest_tinybudget.formats"


class Format(Struct, frozen=True):
    """A format of this package.

    ``module`` has the function ``render`` and is imported when a report is written; ``needs`` are
    what the function takes by name besides the results: ``comparison`` where it shows changes,
    ``provenance`` where it says which commits and tools the results are of, ``origin`` where it
    also says of which repository and run, ``history`` where it shows how sizes went, ``place``
    where its paths are those of the repository.
    """

    name: str
    module: str
    description: str
    needs: tuple[str, ...] = ()


FORMATS = (
    Format("csv", "csv", "a row for each pair, for spreadsheets", ("comparison",)),
    Format("digest", "digest", "verdict, counts and sizes as JSON, in a few KB", ("comparison",)),
    Format("gitlab-codequality", "codequality", "issues of GitLab's code quality", ("place",)),
    Format("html", "html", "a page with all pairs", ("comparison", "origin", "history")),
    Format(
        "json",
        "json",
        "the results file; with a baseline the changes",
        ("comparison", "provenance"),
    ),
    Format("junit", "junit", "JUnit XML"),
    Format("markdown", "markdown", "tables for a comment", ("comparison",)),
    Format("openmetrics", "openmetrics", "metrics of GitLab and Prometheus"),
    Format("sarif", "sarif", "SARIF 2.1 for code scanning", ("comparison", "place")),
)


class Request(Struct, frozen=True):
    """A report that was asked for as ``FORMAT=PATH``."""

    format: str
    path: str


def requested(text: str, option: str) -> Request:
    """``text``, the value of ``option``, as a request.

    Raises:
        TinybudgetError: it is not of the form ``FORMAT=PATH``, or there is no such format.
    """
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise TinybudgetError(f"{option}: expected FORMAT=PATH, not {text!r}")
    require_format(name)
    return Request(name, path)


def require_format(name: str) -> None:
    """Raise unless there is a format ``name``, before anything is measured for it.

    Raises:
        TinybudgetError: there is none, or several packages have one of this name.
    """
    if name not in _own_names():
        _entry_point(name)


def render(
    name: str,
    results: Sequence[PairResult],
    comparison: Comparison | None = None,
    provenance: Provenance | None = None,
    root: Path = Path(),
    history: History | None = None,
) -> str:
    """``results`` in the format ``name``.

    ``comparison`` is with the baseline, ``provenance`` that of results which were read from a file
    or compared with a commit, ``root`` the folder that their paths are relative to, ``history`` how
    sizes went before.

    Raises:
        TinybudgetError: there is no such format, or its package cannot be imported.
    """
    known: dict[str, object] = {
        "comparison": comparison,
        "provenance": provenance,
        "history": history,
    }
    for each in FORMATS:
        if each.name == name:
            module = import_module(f"pytest_tinybudget.report.{each.module}")
            if "origin" in each.needs:
                from pytest_tinybudget.baseline.origin import origin_of

                known["origin"] = origin_of(provenance, root)
            if "place" in each.needs:
                known["place"] = partial(hosted_path, root)
            text: str = module.render(results, **{need: known[need] for need in each.needs})
            return text
    entry_point = _entry_point(name)
    function = _loaded(entry_point)
    found = function(results, **{need: known[need] for need in _needs(function)})
    if not isinstance(found, str):
        kind = type(found).__name__
        raise TinybudgetError(f"format {name!r} of {_source(entry_point)}: gave {kind}, not a str")
    return found


def _own_names() -> list[str]:
    return [each.name for each in FORMATS]


def _entry_point(name: str) -> EntryPoint:
    """That of another package's format ``name``."""
    from importlib.metadata import entry_points

    others = entry_points(group=GROUP)
    found = [each for each in others if each.name == name]
    if not found:
        raise unknown("format", name, (*_own_names(), *(each.name for each in others)))
    if len({each.value for each in found}) > 1:
        sources = " and ".join(sorted(map(_source, found)))
        raise TinybudgetError(f"format {name!r}: both {sources} have one: uninstall one of them")
    return found[0]


def _loaded(entry_point: EntryPoint) -> Callable[..., object]:
    try:
        function = entry_point.load()
    except (ImportError, AttributeError) as error:
        raise TinybudgetError(
            f"format {entry_point.name!r} of {_source(entry_point)}: "
            f"{entry_point.value} cannot be imported: {error}"
        ) from error
    if not callable(function):
        raise TinybudgetError(
            f"format {entry_point.name!r} of {_source(entry_point)}: {entry_point.value} is no "
            "function"
        )
    return function  # type: ignore[no-any-return]


def _needs(function: Callable[..., object]) -> Iterable[str]:
    from inspect import signature

    return signature(function).parameters.keys() & {"comparison", "provenance"}


def _source(entry_point: EntryPoint) -> str:
    """The package that an entry point comes from, with its version."""
    package = entry_point.dist
    return f"{package.name} {package.version}" if package else entry_point.value
