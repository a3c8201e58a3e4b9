"""Results files read back: strictly, so that a comparison never rests on a damaged file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from functools import partial
from pathlib import Path
from typing import Any
from typing import NoReturn

import msgspec
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.paths import displayed_path
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.footprint.result import MEMORIES
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.results.file import strict_file
from pytest_tinybudget.results.form import Json
from pytest_tinybudget.results.form import form_of
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.types import SCHEMA_VERSION
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Provenance
from pytest_tinybudget.results.types import own_provenance


#: A thousand pairs take some 30 MB; anything larger is another file by mistake.
_LARGEST_BYTES = 256 * 1024**2

_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run and what they belong to.

    ``origin`` names them for people. ``estimator`` is this tool's version and TFLM's commit:
    numbers of another estimator are not comparable. ``provenance`` is what the file says of
    itself, ``None`` where there is none.
    """

    origin: str
    estimator: str
    pairs: tuple[PairResult, ...]
    provenance: Provenance | None = None
    _by_id: dict[str, PairResult] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def find(self, pair_id: str) -> PairResult | None:
        """The pair with this node id."""
        if not self._by_id:
            self._by_id.update((pair.id, pair) for pair in self.pairs)
        return self._by_id.get(pair_id)


def own_results(
    pairs: Iterable[PairResult], origin: str, checkouts: tuple[Checkout, ...] = ()
) -> Results:
    """Results that this process has measured, at the commits of ``checkouts`` where known."""
    ordered = tuple(sorted(pairs, key=lambda pair: pair.id))
    return Results(origin, own_estimator(), ordered, own_provenance(checkouts))


def joined(several: Sequence[Results]) -> Results | None:
    """The baselines of several declarations as one; ``None`` without any.

    Raises:
        TinybudgetError: two of them hold the same pair, or different estimators wrote them.
    """
    if len(several) < 2:
        return several[0] if several else None
    origin = ", ".join(results.origin for results in several)
    if len({results.estimator for results in several}) > 1:
        raise TinybudgetError(f"{origin}: written by different versions of the tool", code="TB500")
    pairs = [pair for results in several for pair in results.pairs]
    if len({pair.id for pair in pairs}) < len(pairs):
        raise TinybudgetError(f"{origin}: more than one of them has the same pair", code="TB500")
    return Results(origin, several[0].estimator, tuple(pairs))


@cache
def own_estimator() -> str:
    """The estimator of this installation, as ``Results`` name it."""
    return _estimator(own_provenance())


def load_results(path: Path) -> Results:
    """The results file at ``path``.

    Raises:
        TinybudgetError: it cannot be read, or is not a results file of this version.
    """
    origin = printable(displayed_path(path))
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise TinybudgetError(f"{origin}: larger than 256 MB, not a results file", code="TB500")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TinybudgetError(f"{origin}: cannot be read: {reason}") from None
    return read_results(content, origin)


def read_results(content: bytes, origin: str) -> Results:
    """The results in ``content``, the bytes of a results file; ``origin`` names it in errors.

    Raises:
        TinybudgetError: one line that says what is wrong and where in the file.
    """
    try:
        document = _document(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _broken(origin, "not UTF-8 text") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}: {error.msg}"
        raise _broken(origin, f"not JSON ({where})") from None
    except RecursionError:
        raise _broken(origin, "not JSON (nested too deeply)") from None
    except ValueError as error:
        raise _broken(origin, str(error)) from None
    _check_version(document, origin)
    try:
        msgspec.convert(document, strict_file())
    except msgspec.ValidationError as error:
        raise _broken(origin, str(error)) from None
    _check_sums(document["pairs"], origin)
    tool, tflm_commit = document["tool"]["version"], document["runtime"]["tflm_commit"]
    variants = document["runtime"].get("variants", ())
    read = partial(_pair, {each["name"]: each for each in variants}, tool, tflm_commit)
    provenance = Provenance(
        tool=printable(tool),
        tflm_commit=printable(tflm_commit),
        checkouts=tuple(map(_checkout, document.get("repositories", ()))),
    )
    return Results(origin, _estimator(provenance), tuple(map(read, document["pairs"])), provenance)


def _estimator(source: Provenance) -> str:
    return f"pytest-tinybudget {source.tool}, TFLM {source.tflm_commit}"


# What is read below has passed the strict check.


def _pair(variants: dict[str, Json], tool: str, tflm_commit: str, stored: Json) -> PairResult:
    """The result of a pair; older files have identities by runtime, and one commit of TFLM."""
    runtime, codes = stored["runtime"], stored.get("codes")
    identity = stored.get("identity") or variants.get(runtime)
    stored["identity"] = identity and {"tflm": tflm_commit, **identity}
    measures = tuple(_measures(stored))
    footprint = None if stored["stack"] is None else _footprint(stored, measures)
    form_of(PairResult).undo(stored)
    if identity:
        stored["identity"]["tool"] = tool
    return replace(
        msgspec.convert(stored, PairResult),
        measures=measures,
        footprint=footprint,
        code=codes[0] if codes and stored["outcome"] == "error" else "",
    )


def _measures(stored: Json) -> Iterator[Measure]:
    for metric, key in RESULT_KEYS.items():
        measure = stored.get(key)
        if measure is not None:
            form_of(Measure).undo(measure)
            yield msgspec.convert({**measure, "metric": metric}, Measure)


def _footprint(stored: Json, measures: tuple[Measure, ...]) -> Footprint:
    """The footprint, whose fields are among those of its pair."""
    form = form_of(Footprint)
    plain = {field.key: stored[field.key] for field in form.fields if field.key in stored}
    form.undo(plain)
    unmeasured: Json = {"runtime": stored["runtime"], "flash_parts": (), "ram_parts": ()}
    parts = {f"{each.metric}_parts": each.parts for each in measures if each.metric in MEMORIES}
    return replace(msgspec.convert({**plain, **unmeasured}, Footprint), **parts)


def _checkout(stored: Json) -> Checkout:
    form_of(Checkout).undo(stored)
    return msgspec.convert(stored, Checkout)


def _document(text: str) -> Any:
    """What ``text`` holds: from msgspec where it takes it, with the errors of ``json.loads``."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return json.loads(text, parse_constant=_no_number)


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a size")


def _check_version(document: Any, origin: str) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION and version is not True:
        raise TinybudgetError(
            f"{origin}: a results file of schema version {version}, expected {SCHEMA_VERSION}: "
            "write it again with this version of pytest-tinybudget",
            code="TB500",
        )


def _check_sums(pairs: list[Json], origin: str) -> None:
    """What a merge conflict or a hand has left inconsistent is no baseline."""
    seen = set()
    for pair in pairs:
        if pair["id"] in seen:
            raise _broken(origin, f"two pairs have the id {pair['id']}")
        seen.add(pair["id"])
        for name in RESULT_KEYS.values():
            measure = pair.get(name)
            if measure is None:
                continue
            used = measure["used"]
            total = sum(part["bytes"] + part["margin"] for part in measure["parts"])
            if total != used or measure["free"] != measure["limit"] - used:
                raise _broken(origin, f"{pair['id']}: the figures of {name} contradict each other")


def _broken(origin: str, reason: str) -> TinybudgetError:
    line = printable(" ".join(reason.split()), limit=_LONGEST_REASON)
    return TinybudgetError(f"{origin}: not a results file: {line}", code="TB500")
