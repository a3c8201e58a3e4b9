"""The results of shards as those of one run: what several machines measured, each a part."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import own_estimator
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Provenance
from pytest_tinybudget.results.types import own_provenance


def merge(shards: Sequence[Results]) -> tuple[PairResult, ...]:
    """All pairs of ``shards``, sorted by id; a pair that several have alike counts once.

    Raises:
        TinybudgetError: another version of the tool or of TFLM wrote one of them, or two have
            different results for a pair. Every such pair is told, a line each.
    """
    _require_one_estimator(shards)
    pairs: dict[str, PairResult] = {}
    origins: dict[str, str] = {}
    conflicts = []
    for shard in shards:
        for pair in shard.pairs:
            first = pairs.setdefault(pair.id, pair)
            origin = origins.setdefault(pair.id, shard.origin)
            if first != pair:
                conflicts.append(
                    f"{origin} and {shard.origin} differ in {printable(pair.id)}: "
                    f"{', '.join(_differences(first, pair))}"
                )
    if conflicts:
        raise TinybudgetError(conflicts[0], details=tuple(conflicts[1:]), code="TB500")
    return tuple(sorted(pairs.values(), key=lambda pair: pair.id))


def merged_provenance(shards: Sequence[Results]) -> Provenance:
    """Where the results of ``shards`` come from: what two of them say otherwise is left out."""
    found: dict[str, Checkout] = {}
    conflicts = set()
    for shard in shards:
        for each in shard.provenance.checkouts if shard.provenance else ():
            if found.setdefault(each.folder, each) != each:
                conflicts.add(each.folder)
    return own_provenance(tuple(found[each] for each in sorted(found.keys() - conflicts)))


def _require_one_estimator(shards: Sequence[Results]) -> None:
    """What is merged is written anew, so it must be this installation's own."""
    first = shards[0]
    for shard in shards:
        if shard.estimator != first.estimator:
            raise TinybudgetError(
                f"{first.origin} is of {first.estimator}, and {shard.origin} of "
                f"{shard.estimator}: their numbers do not belong together",
                code="TB500",
            )
    if first.estimator != own_estimator():
        raise TinybudgetError(
            f"{first.origin} is of {first.estimator}, and this is {own_estimator()}: "
            "merge with the version that measured",
            code="TB500",
        )


def _differences(first: PairResult, second: PairResult) -> Iterator[str]:
    """What tells two results of a pair apart: the sizes where they differ, else the fields."""
    if first.model_sha256 != second.model_sha256:
        yield "the model file"
    sizes = [{each.metric: each.used for each in pair.measures} for pair in (first, second)]
    for metric in sorted(sizes[0].keys() | sizes[1].keys()):
        one, other = (size.get(metric, "none") for size in sizes)
        if one != other:
            yield f"{metric} {one} and {other}"
    told = {"model_sha256", "measures", "footprint"}
    for name in PairResult.__struct_fields__:
        if name not in told and getattr(first, name) != getattr(second, name):
            yield name
    if first.footprint != second.footprint and first.measures == second.measures:
        yield "the layout of memory"
