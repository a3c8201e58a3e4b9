"""What travels between the processes of a run: results, with the reports of their tests.

They come with the reports of the tests that made them, also from pytest-xdist's workers, so that
those of a worker that crashes later are not lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
from pytest_tinybudget.gate.kept_verdicts import as_results
from pytest_tinybudget.pytest_plugin import terminal
from pytest_tinybudget.pytest_plugin.asked import PROPERTY_READERS
from pytest_tinybudget.pytest_plugin.settings import PROPERTIES
from pytest_tinybudget.pytest_plugin.settings import RESULTS_ATTRIBUTE
from pytest_tinybudget.pytest_plugin.settings import in_worker
from pytest_tinybudget.pytest_plugin.worker_files import attach_files
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import PairResult


_READERS = pytest.StashKey[bool]()

#: pytest-xdist receives each worker's reports in a thread of its own, and msgspec crashes where two
#: threads ask for the same type first.
_UNPACKING = Lock()


def attach(
    item: pytest.Item, report: pytest.TestReport, found: Iterable[PairResult | KeptVerdict]
) -> None:
    """Send what was ``found`` with ``report``, and sizes where a file has the item's properties.

    The report of a pair that could not be measured says so, without a word of pytest's.
    """
    results = as_results(found)
    if report.when == "setup" and report.failed and results[0].outcome == "error":
        report.longrepr = terminal.failure_text(item.config, results[0])
    setattr(report, RESULTS_ATTRIBUTE, results)
    attach_files(report, item.config)
    if _has_property_readers(item.config):
        attached = item.stash.setdefault(PROPERTIES, [])
        for result in results:
            properties = list(_properties(result))
            item.user_properties.extend(properties)
            attached.extend(properties)


def _has_property_readers(config: pytest.Config) -> bool:
    """Whether a file of this run has the properties of tests."""
    if _READERS not in config.stash:
        found = any(config.getoption(option, None) for option in PROPERTY_READERS)
        config.stash[_READERS] = found
    return config.stash[_READERS]


def detach(item: pytest.Item) -> None:
    """Take from ``item`` the properties of its run before, and no other's.

    pytest never empties them, so that those of tests that are run again would pile up.
    """
    for each in item.stash[PROPERTIES]:
        if each in item.user_properties:
            item.user_properties.remove(each)
    del item.stash[PROPERTIES]


def pack(sent: dict[str, Any], config: pytest.Config) -> None:
    """Make the results in ``sent``, a report as a mapping, plain data.

    From a worker they go as JSON in one piece: pytest-xdist sends bytes as they are, and everything
    else value by value.
    """
    encode = msgspec.json.encode if in_worker(config) else msgspec.to_builtins
    sent[RESULTS_ATTRIBUTE] = encode(as_results(sent[RESULTS_ATTRIBUTE]))


def unpack(report: object) -> None:
    """Undo ``pack`` on the report that was made from the mapping."""
    plain = getattr(report, RESULTS_ATTRIBUTE)
    with _UNPACKING:
        results = (
            msgspec.json.decode(plain, type=tuple[PairResult, ...])
            if isinstance(plain, bytes)
            else msgspec.convert(plain, tuple[PairResult, ...])
        )
    setattr(report, RESULTS_ATTRIBUTE, tuple(map(_with_shared_identity, results)))


def _with_shared_identity(result: PairResult) -> PairResult:
    """``result`` with the one identity that all of its runtime have: pairs may be thousands."""
    identity = result.identity
    return result if identity is None else replace(result, identity=_shared(identity))


@lru_cache(maxsize=1024)
def _shared(identity: Identity) -> Identity:
    return identity


def _properties(result: PairResult) -> Iterator[tuple[str, object]]:
    facts: dict[str, object] = {
        "model": result.model,
        "board": result.board,
        "runtime": result.runtime,
        "outcome": result.outcome,
        "model_bytes": result.model_bytes,
        "model_sha256": result.model_sha256,
    }
    for measure in result.measures:
        for name in ("used", "limit", "free"):
            facts[f"{RESULT_KEYS[measure.metric]}_{name}"] = getattr(measure, name)
    if result.footprint is not None and result.footprint.arena is not None:
        for name in ("required", "used", "head", "tail"):
            facts[f"arena_{name}"] = getattr(result.footprint.arena, name)
    return (_property(name, value) for name, value in facts.items())


@lru_cache(maxsize=4096, typed=True)
def _property(name: str, value: object) -> tuple[str, object]:
    """Pairs have most of them in common, and pytest keeps those of every test."""
    return f"tinybudget.{name}", value
