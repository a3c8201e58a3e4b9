"""Shrinks declared models, proves the result, and keeps it on disk from run to run.

The models of a run are shrunk and proven by one child process, which imports the interpreters and
runs the models while this process goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.shrinking.interpreters import ARRAYS
from pytest_tinybudget.shrinking.interpreters import Interpreters
from pytest_tinybudget.shrinking.interpreters import Samples
from pytest_tinybudget.shrinking.interpreters import installed
from pytest_tinybudget.shrinking.interpreters import samples_at
from pytest_tinybudget.shrinking.options import ShrinkRequest
from pytest_tinybudget.shrinking.report import ShrinkReport


if TYPE_CHECKING:
    from pytest_tinybudget.shrinking.shrink import Shrinking


#: To be raised when the same model and request give other bytes or other words.
_REVISION = 3

#: A smaller model, and what that saves.
Shrunken = tuple[Model, ShrinkReport]


class Begun(Struct, frozen=True, eq=False):
    """A model that is shrunk, proven or not yet: ``found`` where it was in the cache."""

    model: Model
    request: ShrinkRequest
    cache: Cache | None
    key: str
    found: Shrunken | None = None
    shrinking: Shrinking | None = None

    @property
    def unproven(self) -> Model | None:
        """The smaller model, where its proof is on its way."""
        on_its_way = self.shrinking is not None and self.shrinking.proving is not None
        return self.shrinking.made.model if self.shrinking and on_its_way else None

    def result(self) -> Shrunken:
        """The smaller model, once its proof is there, and kept for the next run.

        Raises:
            DiffersError: the shrunken file does not answer as the model does.
            TinybudgetError: temporary files cannot be written.
        """
        if self.found is not None:
            return self.found
        assert self.shrinking is not None
        made = self.shrinking.result()
        report = made.report
        if self.request.no_plan:
            note = f"no memory plan: {self.request.no_plan}"
            report = msgspec.structs.replace(report, notes=(*report.notes, note))
        if self.cache:
            kept = {
                "shrunk": msgspec.to_builtins(report),
                "source": f"{self.model.name} (shrunk)",
            }
            self.cache.put(self.key, Entry(made.model.content, kept))
        return made.model, report


def begin(
    model: Model,
    request: ShrinkRequest,
    cache: Cache | None,
    conversion: Conversion,
    interpreters: Callable[[], Interpreters],
) -> Begun:
    """Begin to shrink ``model``; it is taken from ``cache`` where it was made before.

    The representative data of ``conversion`` are among the inputs of the proof. ``interpreters``
    run it; they are asked for where there is something to run.

    Raises:
        ModelError: the shrunken file would not be the same model, which is a fault of ours.
        TinybudgetError: temporary files cannot be written.
    """
    samples = _samples(conversion)
    key = _key(model, request, samples)
    entry = cache.get(key, Path()) if cache else None
    if entry is not None:
        report = msgspec.convert(entry.report["shrunk"], ShrinkReport)
        found = (read_model(entry.content, model.name), report)
        return Begun(model, request, cache, key, found)
    runs = interpreters()
    runs.start_quietly()  # before what follows is imported
    from pytest_tinybudget.shrinking.shrink import shrinking

    begun = shrinking(
        model, dict(request.firmwares), request.options, interpreters=runs, samples=samples
    )
    return Begun(model, request, cache, key, shrinking=begun)


def _samples(conversion: Conversion) -> Samples | None:
    """The representative data in any form that a conversion takes; ``None`` where there are none.

    A path that holds no arrays is none of ours to complain about: nothing is converted with it.
    """
    if conversion.data_function is not None:
        return Samples(function=(conversion.root, *conversion.data_function))
    path = conversion.data_path
    if path is None or not (path.is_dir() or (path.suffix in ARRAYS and path.is_file())):
        return None
    found = samples_at(path)
    return found if found.paths else None


def _key(model: Model, request: ShrinkRequest, samples: Samples | None) -> str:
    """Of all that decides the file and the proof, with which interpreters there are."""
    function = samples and samples.function
    settings = repr((_REVISION, model.name, request, installed(), function and function[1:]))
    digest = hashlib.sha256(settings.encode())
    digest.update(hashlib.sha256(model.content).digest())
    for path in samples.paths if samples else ():
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
