"""The job of a child process: the models, the data, and how they are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from pytest_tinybudget.convert.files import Job as ConversionJob


_FILE = "evaluation.json"

#: File names in a job's folder.
MODEL, OTHER = "model.tflite", "other.tflite"


class Job(msgspec.Struct, frozen=True):
    """An evaluation. ``shown`` and ``…_shown`` are names for messages; paths are absolute.

    The model is ``MODEL`` in the job's folder. It is compared with ``OTHER`` there, or with the
    float model of ``source``, where ``other_shown`` is not empty. With ``metric`` the model is
    rated by ``labels``, without one the two models' decisions are compared.

    With ``noise`` it is held to the float model by what its own scales explain (``noise.py``), on
    the calibration data of ``source`` where that is given.

    ``channels_first`` says how the data has the model's inputs (``convert/layout.py``).

    ``engine`` runs the model and ``other_engine`` the one to compare with. ``check_engine`` and
    ``other_check_engine`` compute the same for the cross-check, where they are not empty. What
    ``engine`` does not run, ``check_engine`` runs in its place.
    """

    shown: str
    engine: str
    data: str
    data_shown: str
    inputs: tuple[str, ...]
    normalize: tuple[float, float] | None
    output: int
    threshold: float
    labels: str = ""
    metric: str = ""
    noise: bool = False
    tolerance: float | None = None
    other_shown: str = ""
    check_engine: str = ""
    other_engine: str = ""
    other_check_engine: str = ""
    channels_first: tuple[int, ...] = ()
    source: ConversionJob | None = None
    timeout_seconds: int = 0
    memory_bytes: int = 0

    def write(self, folder: Path) -> None:
        """Put the job into its ``folder``."""
        folder.joinpath(_FILE).write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, folder: Path) -> Job:
        """The job in ``folder``."""
        plain: dict[str, Any] = json.loads(folder.joinpath(_FILE).read_text(encoding="utf-8"))
        if plain["source"] is not None:
            plain["source"] = ConversionJob(**plain["source"])
        return cls(**plain)
