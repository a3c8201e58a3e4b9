"""Shrinks declared models, proves the result, and keeps it on disk from run to run."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import msgspec

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.shrinking.options import ShrinkRequest
from pytest_tinybudget.shrinking.proof import PACKAGES
from pytest_tinybudget.shrinking.report import ShrinkReport


#: To be raised when the same model and request give other bytes or other words.
_REVISION = 1
#: Samples that the proof runs besides random ones, where representative data are such a file.
_ARRAYS = frozenset({".npz", ".npy"})


def shrunken(
    model: Model, request: ShrinkRequest, cache: Cache | None, samples: Path | None = None
) -> tuple[Model, ShrinkReport]:
    """``model``, smaller, and what that saves; taken from ``cache`` where it was made before.

    ``samples`` are representative data, which count where they are a file of arrays.

    Raises:
        DiffersError: the shrunken file does not answer as the model does.
        TinybudgetError: temporary files cannot be written.
    """
    if samples is not None and not (samples.suffix in _ARRAYS and samples.is_file()):
        samples = None
    key = _key(model, request, samples)
    entry = cache.get(key, Path()) if cache else None
    if entry is not None:
        report = msgspec.convert(entry.report["shrunk"], ShrinkReport)
        return read_model(entry.content, model.name), report
    from pytest_tinybudget.shrinking.shrink import proven
    from pytest_tinybudget.shrinking.shrink import shrink_model

    made = shrink_model(model, dict(request.firmwares), request.options)
    made = proven(made, model, samples=samples)
    report = made.report
    if request.no_plan:
        note = f"no memory plan: {request.no_plan}"
        report = msgspec.structs.replace(report, notes=(*report.notes, note))
    if cache:
        kept = {"shrunk": msgspec.to_builtins(report), "source": f"{model.name} (shrunk)"}
        cache.put(key, Entry(made.model.content, kept))
    return made.model, report


def _key(model: Model, request: ShrinkRequest, samples: Path | None) -> str:
    """Of all that decides the file and the proof, with which interpreters there are."""
    interpreters = [name for name in PACKAGES.values() if importlib.util.find_spec(name)]
    settings = repr((_REVISION, model.name, request, interpreters))
    digest = hashlib.sha256(settings.encode())
    digest.update(hashlib.sha256(model.content).digest())
    if samples is not None:
        digest.update(hashlib.sha256(samples.read_bytes()).digest())
    return digest.hexdigest()
