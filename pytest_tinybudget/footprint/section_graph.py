"""Section graphs: what a linker would see of a runtime, kept as a table.

One graph has every input section of a runtime (TFLM, kernel library, C and C++ libraries) with
its size, alignment and references, and for each operator the sections that registering it pulls
in. Made by ``tinybudget runtime build`` from archives; walked by ``link``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from functools import cached_property
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any
from typing import cast

import msgspec
from msgspec import Struct
from msgspec import field
from msgspec.structs import asdict
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.lazy_mapping import LazyMapping
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.runtimes.tables import section_graph_path
from pytest_tinybudget.runtimes.tables import tables


FORMAT = "tinybudget-sections/1"
#: What reading a table that is none raises, wherever the first thing is amiss.
_DAMAGE = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError),
    msgspec.DecodeError,
)

#: Output sections in which nodes are placed; all but ``bss`` take flash, ``data`` and ``bss`` RAM.
KINDS = ("text", "rodata", "exidx", "init_array", "data", "bss")

_MAXIMUM_PACKED_BYTES = 16 * 1024**2
_MAXIMUM_BYTES = 128 * 1024**2
_MAXIMUM_SECTION_BYTES = 1 << 32
_MAXIMUM_OPERATORS = 1000


class OperatorRoots(Struct, frozen=True, gc=False):
    """Sections that registering one operator refers to; ``typed`` by ``"INT8"`` and the like."""

    nodes: tuple[int, ...]
    custom: bool
    typed: Mapping[str, tuple[int, ...]]


class MainModel(Struct, frozen=True):
    """The firmware's own ``main`` and its resolver calls, bytes of code, as a linear model.

    ``one_builtin`` and ``one_custom`` correct for the resolver of exactly one operator, which
    the compiler specializes; ``empty_main`` is what the baseline's ``main`` takes. Linker
    scripts put ``main`` first in ``.text``, so it shifts all that is aligned behind it.
    ``rodata`` are its constants, with the padding that they cause.

    A compiler that puts the registrations into ``main`` itself, as GCC does at ``-O3``, makes
    it grow otherwise: ``by_count`` has its size by the number of operators, in their order,
    where that was measured. It takes the place of ``base`` and ``per_builtin``. ``most`` is
    what it may take at most: the same where real links showed it, more for other counts.
    """

    base: float = 0.0
    per_builtin: float = 0.0
    per_custom: float = 0.0
    variables: float = 0.0
    one_builtin: float = 0.0
    one_custom: float = 0.0
    empty_main: float = 0.0
    rodata: float = 0.0
    by_count: tuple[tuple[int, float], ...] = ()
    most: tuple[tuple[int, float], ...] = ()


class Application(Struct, frozen=True):
    """What an application around TFLM has anyway: ``baseline`` nodes, and its ``main``."""

    baseline: tuple[int, ...]
    main: MainModel


class SectionGraph(Struct, frozen=True, dict=True):
    """A runtime's sections. A node is an input section (or one mergeable string), in link order.

    ``sizes`` and ``alignments`` are in bytes, ``kinds`` index ``KINDS``, ``targets`` are the
    nodes that a node refers to, ``objects`` the archive member it came from (−1: merged
    constants). ``object_origins`` says whose code a member is (``"tflm"``, ``"libm"``, …).
    ``supersede`` has pairs of nodes of which the second replaces the first once its member is
    linked, or reached if it is a merged constant (of which the first is the ending).
    ``firmware`` are the nodes of the probe's own ``main`` object, ``kept`` those that linker
    scripts keep as soon as their member is linked. ``applications`` are other empty programs that
    the same sections were linked with: what they have costs nothing (``within``).
    """

    name: str
    description: Mapping[str, Any]
    sizes: Sequence[int]
    kinds: Sequence[int]
    alignments: Sequence[int]
    targets: Sequence[Sequence[int]]
    objects: Sequence[int]
    object_names: Sequence[str]
    object_origins: Sequence[str]
    object_targets: Sequence[Sequence[int]]
    operators: Mapping[str, OperatorRoots]
    core: tuple[int, ...]
    core_builtin: tuple[int, ...]
    core_custom: tuple[int, ...]
    core_variables: tuple[int, ...]
    baseline: tuple[int, ...]
    firmware: frozenset[int]
    main: MainModel
    supersede: tuple[tuple[int, int], ...]
    margin_percent: float
    kept: tuple[int, ...] = ()
    applications: Mapping[str, Application] = field(default_factory=dict)

    @cached_property
    def walked(self) -> dict[object, Any]:
        """What ``link`` has found in it already: many models use the same operators."""
        return {}

    def within(self, application: str) -> SectionGraph:
        """The same sections in the firmware of ``application``, of ``applications``."""
        around = self.applications[application]
        return replace(self, baseline=around.baseline, main=around.main)


def load_graph(table: str) -> SectionGraph:
    """The section graph ``table``: a packaged one by name, or a file that ends in ``.json[.gz]``.

    Kept for the life of the process; reading one costs about two milliseconds.

    Raises:
        TinybudgetError: no such table, or the file is damaged.
    """
    if table.endswith((".json", ".json.gz")):
        path = Path(table)
        try:
            stamp = path.stat()
        except OSError as error:
            raise TinybudgetError(f"runtime table {table}: {error.strerror}") from error
        return _load_file(table, stamp.st_mtime_ns, stamp.st_size)
    return _load_packaged(table)


@cache
def _load_packaged(name: str) -> SectionGraph:
    try:
        packed = section_graph_path(name).read_bytes()
    except OSError as error:
        raise TinybudgetError(f"no section graph named {name!r} in the package") from error
    # What is shipped is sound (``tests/test_link.py``): checking it takes longer than the link.
    graph, row = _graph(msgspec.json.decode(_unpack(packed)), name), tables().get(name)
    if row is None:
        return graph
    graph = replace(graph, margin_percent=row.margin_percent)
    return graph.within(row.application) if row.application else graph


@lru_cache(maxsize=8)
def _load_file(path: str, _modified_ns: int, size: int) -> SectionGraph:
    if size > _MAXIMUM_PACKED_BYTES:
        raise TinybudgetError(f"runtime table {path}: {size:,} B is too large for a table")
    try:
        packed = Path(path).read_bytes()
    except OSError as error:
        raise TinybudgetError(f"runtime table {path}: {error.strerror}") from error
    return decode(packed, path)


def decode(packed: bytes, origin: str) -> SectionGraph:
    """The graph in ``packed`` (JSON, gzipped or not); ``origin`` names it in errors.

    Raises:
        TinybudgetError: not a section graph, or one whose numbers contradict each other.
    """
    try:
        table = msgspec.json.decode(_unpack(packed))
        _require_sound(table)
        return _graph(table, origin)
    except _DAMAGE as error:
        reason = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise TinybudgetError(
            f"runtime table {origin} is damaged ({printable(reason)}); "
            "expected a file made by 'tinybudget runtime build'"
        ) from error


def _unpack(packed: bytes) -> bytes:
    if packed[:2] != b"\x1f\x8b":
        return packed
    decompressor = zlib.decompressobj(wbits=31)
    try:
        content = decompressor.decompress(packed, _MAXIMUM_BYTES)
    except zlib.error as error:
        raise ValueError("not valid gzip") from error
    if not decompressor.eof:
        raise ValueError("truncated, or unpacks to more than 128 MB")
    return content


def _require_sound(table: dict[str, Any]) -> None:
    """Every number of ``table`` is one that the others allow.

    Raises:
        ValueError: one is not.
        KeyError: a part is missing.
        TypeError: a part has another type.
        AttributeError: a part has another type.
    """
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    sizes, kinds = table["sizes"], table["kinds"]
    alignments, objects = table["alignments"], table["objects"]
    count, object_count = len(sizes), len(table["object_names"])
    for column in (sizes, kinds, alignments, objects):
        _require(len(column) == count, "columns of different length")
    _require(len(table["object_origins"]) == object_count, "columns of different length")
    _require_integers(sizes, 0, _MAXIMUM_SECTION_BYTES, "section size")
    _require_integers(kinds, 0, len(KINDS), "kind")
    _require_integers(alignments, 1, 1 << 20, "alignment")
    _require_integers(objects, -1, object_count, "archive member")
    _require(
        all(value & (value - 1) == 0 for value in set(alignments)),
        "an alignment is no power of two",
    )
    _require_rows(table, "edge", count)
    _require_rows(table, "object_edge", object_count)
    _require(all("custom" in each for each in table["operators"].values()), "missing 'custom'")
    for ids in _all_nodes(table):
        _require_integers(ids, 0, count, "section number")


def _require_rows(table: dict[str, Any], kind: str, count: int) -> None:
    """There are ``count`` rows of targets, each of which is one of these rows."""
    counts, steps = table[f"{kind}_counts"], table.get(f"{kind}_steps")
    if steps is not None:
        _require_integers(steps, -_MAXIMUM_SECTION_BYTES, _MAXIMUM_SECTION_BYTES, "step")
    flat = _edges(table, kind)
    _require(len(counts) == count, "edge counts do not match")
    _require_integers(counts, 0, len(flat) + 1, "edge count")
    _require_integers(flat, 0, count, "edge")
    _require(sum(counts) == len(flat), "edge counts do not match")


def _all_nodes(table: dict[str, Any]) -> Iterator[Any]:
    """Every list of sections in ``table``."""
    for entry in table["operators"].values():
        yield entry["nodes"]
        yield from entry.get("typed", {}).values()
    roots = table["roots"]
    for part in ("core", "builtin", "custom", "variables", "baseline", "firmware"):
        yield roots[part]
    yield from table["supersede"]
    yield roots.get("kept", [])
    for application in table.get("applications", {}).values():
        yield application["baseline"]


def _graph(table: dict[str, Any], name: str) -> SectionGraph:
    """The graph of a sound ``table``; the roots of an operator are made when they are asked for."""
    roots = table["roots"]
    return SectionGraph(
        name=name,
        description=dict(table["description"]),
        sizes=table["sizes"],
        kinds=table["kinds"],
        alignments=table["alignments"],
        targets=_Rows(table["edge_counts"], _edges(table, "edge")),
        objects=table["objects"],
        object_names=table["object_names"],
        object_origins=[str(origin) for origin in table["object_origins"]],
        object_targets=_Rows(table["object_edge_counts"], _edges(table, "object_edge")),
        operators=LazyMapping(table["operators"], _operator_roots),
        core=tuple(roots["core"]),
        core_builtin=tuple(roots["builtin"]),
        core_custom=tuple(roots["custom"]),
        core_variables=tuple(roots["variables"]),
        baseline=tuple(roots["baseline"]),
        firmware=frozenset(roots["firmware"]),
        main=_main_model(table["main"]),
        supersede=tuple(cast("tuple[int, int]", tuple(pair)) for pair in table["supersede"]),
        margin_percent=max(0.0, _bounded(table["margin_percent"])),
        kept=tuple(roots.get("kept", [])),
        applications={
            application: Application(tuple(entry["baseline"]), _main_model(entry["main"]))
            for application, entry in table.get("applications", {}).items()
        },
    )


def _operator_roots(_name: str, entry: dict[str, Any]) -> OperatorRoots:
    typed = {kind: tuple(ids) for kind, ids in entry.get("typed", {}).items()}
    return OperatorRoots(tuple(entry["nodes"]), bool(entry["custom"]), typed)


def _main_model(entry: dict[str, Any]) -> MainModel:
    linear: dict[str, Any] = {
        key: _bounded(value) for key, value in entry.items() if key not in _COUNTED
    }
    by_count, most = (_counted(entry.get(key, {})) for key in _COUNTED)
    return replace(MainModel(**linear), by_count=by_count, most=most)


#: The fields of ``MainModel`` that are by count.
_COUNTED = ("by_count", "most")


def _counted(entry: dict[str, Any]) -> tuple[tuple[int, float], ...]:
    counted = {int(count): _bounded(size) for count, size in entry.items()}
    _require(all(0 < count < _MAXIMUM_OPERATORS for count in counted), "a count is out of range")
    return tuple(sorted(counted.items()))


def _edges(table: dict[str, Any], kind: str) -> list[int]:
    """All targets in a row: as such (``edges``), or each by its distance from the one before."""
    steps = table.get(f"{kind}_steps")
    if steps is None:
        edges: list[int] = table[f"{kind}s"]
        return edges
    return list(accumulate(steps))


class _Rows(Sequence[Sequence[int]]):
    """Adjacency in its flat form; rows are cut when asked: a model needs few of the thousands."""

    __slots__ = ("_flat", "_starts")

    def __init__(self, counts: Iterable[int], flat: Sequence[int]) -> None:
        self._flat = flat
        self._starts = tuple(accumulate(counts, initial=0))

    def __getitem__(self, row: Any) -> Any:
        return self._flat[self._starts[row] : self._starts[row + 1]]

    def __len__(self) -> int:
        return len(self._starts) - 1


def _require_integers(values: Any, low: int, high: int, what: str) -> None:
    """Every value is an integer in ``range(low, high)``."""
    if not isinstance(values, list):
        raise ValueError(f"{what}s are no list")
    if values:
        _require(set(map(type, values)) == {int}, f"a {what} is no integer")
        _require(min(values) >= low and max(values) < high, f"a {what} is out of range")


def _bounded(value: Any) -> float:
    number = float(value)
    _require(abs(number) < _MAXIMUM_SECTION_BYTES, f"{number} is out of range")
    return number


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


def encode(graph: SectionGraph) -> bytes:
    """``graph`` as a gzipped table, the same bytes for the same graph."""
    table = {
        "format": FORMAT,
        "description": dict(graph.description),
        "margin_percent": graph.margin_percent,
        "main": _main_entry(graph.main),
        "applications": {
            name: {"baseline": each.baseline, "main": _main_entry(each.main)}
            for name, each in graph.applications.items()
        },
        "roots": {
            "core": graph.core,
            "builtin": graph.core_builtin,
            "custom": graph.core_custom,
            "variables": graph.core_variables,
            "baseline": graph.baseline,
            "firmware": sorted(graph.firmware),
            "kept": graph.kept,
        },
        "supersede": graph.supersede,
        "operators": {
            name: {"nodes": roots.nodes, "custom": roots.custom}
            | ({"typed": dict(roots.typed)} if roots.typed else {})
            for name, roots in sorted(graph.operators.items())
        },
        "sizes": list(graph.sizes),
        "kinds": list(graph.kinds),
        "alignments": list(graph.alignments),
        "edge_counts": [len(row) for row in graph.targets],
        "edge_steps": _steps(graph.targets),
        "objects": list(graph.objects),
        "object_names": list(graph.object_names),
        "object_origins": list(graph.object_origins),
        "object_edge_counts": [len(row) for row in graph.object_targets],
        "object_edge_steps": _steps(graph.object_targets),
    }
    content = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    compressor = zlib.compressobj(9, wbits=31)
    return compressor.compress(content) + compressor.flush()


def _main_entry(main: MainModel) -> dict[str, Any]:
    entry: dict[str, Any] = asdict(main)
    counted = {key: dict(entry.pop(key)) for key in _COUNTED}
    return entry | {key: sizes for key, sizes in counted.items() if sizes}


def _steps(rows: Iterable[Sequence[int]]) -> list[int]:
    """All targets in a row, each row in order, by their distance: that packs a quarter smaller."""
    flat = [target for row in rows for target in sorted(row)]
    return [target - last for last, target in zip([0, *flat], flat, strict=False)]
