"""A job's folder: how a parent process and its workers tell each other what to do and what came.

Files, because they outlive a process that crashes. Each is replaced in one step.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from pytest_tinybudget.convert.sources import Kind


#: An import of a framework or an interpreter that takes longer than this has hung.
IMPORT_SECONDS = 180
#: Of what a job has printed, no more than this is read again.
SHOWN_BYTES = 256 * 1024
#: A job that prints more would fill the disk: it is ended.
LARGEST_LOG_BYTES = 64 * 1024**2


class Job(Struct, frozen=True):
    """What a worker is to do. ``shown`` is what messages call the source; paths are absolute."""

    source: str
    kind: Kind
    shown: str
    root: str
    data_path: str | None
    data_function: tuple[str, str] | None
    custom_objects: str | None
    strip: bool
    per_channel_dense: bool
    activations: Literal["int8", "int16"]
    timeout_seconds: int
    memory_bytes: int
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()


class JobFolder(Struct, frozen=True):
    """The files of one job in ``path``."""

    path: Path

    @property
    def model(self) -> Path:
        """The converted model."""
        return self.path / "model.tflite"

    @property
    def whole(self) -> Path:
        """The same model with the names of tensors, which stripping takes from it."""
        return self.path / "whole.tflite"

    @property
    def log(self) -> Path:
        """All that the job printed."""
        return self.path / "log.txt"

    def printed(self) -> bytes:
        """The end of what the job printed, ``SHOWN_BYTES`` at most, if it got that far."""
        if not self.log.is_file():
            return b""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - SHOWN_BYTES))
            return file.read(SHOWN_BYTES)

    def floods(self) -> bool:
        """Whether the job has printed more than ``LARGEST_LOG_BYTES``."""
        try:
            return self.log.stat().st_size > LARGEST_LOG_BYTES
        except FileNotFoundError:
            return False

    def write_job(self, job: Job) -> None:
        """Say what is to be done."""
        self._write("job.json", json.dumps(asdict(job)))

    def read_job(self) -> Job:
        """What is to be done."""
        plain = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
        if plain["data_function"]:
            plain["data_function"] = tuple(plain["data_function"])
        return Job(**plain)

    def write_started(self, process: int) -> None:
        """Say that the time runs, and which process group to end."""
        self._write("started", str(process))

    def started(self) -> int | None:
        """The process that does the job, once it does."""
        text = self._read("started")
        return int(text) if text else None

    def write_step(self, step: str) -> None:
        """Say what is being done."""
        self._write("step", step)

    def step(self) -> str:
        """What is being done; empty before the first step."""
        return self._read("step") or ""

    def write_result(self, result: dict[str, Any]) -> None:
        """Say what came: the report, or ``{"error": [line, …]}``."""
        self._write("result.json", json.dumps(result))

    def result(self) -> dict[str, Any] | None:
        """What came, ``None`` where the job did not get that far."""
        text = self._read("result.json")
        return dict(json.loads(text)) if text else None

    def write_exit(self, code: int) -> None:
        """Say that the process has ended, with its exit code or minus a signal's number."""
        self._write("exit", str(code))

    def exit(self) -> int | None:
        """How the process ended, ``None`` while it runs."""
        text = self._read("exit")
        return int(text) if text else None

    def _write(self, name: str, text: str) -> None:
        draft = self.path / f"{name}.new"
        draft.write_text(text, encoding="utf-8")
        draft.replace(self.path / name)

    def _read(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
