"""A job's folder: the files by which a parent process and its workers exchange job and result.

They are files because they outlive a process that ends early. Each is replaced in one step.
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
#: At most so much of what a job has printed is read again, bytes.
SHOWN_BYTES = 256 * 1024
#: A job that prints more is ended, so that it does not fill the disk, bytes.
LARGEST_LOG_BYTES = 64 * 1024**2


class Job(Struct, frozen=True):
    """What a worker is to do. Messages call the source ``shown``; paths are absolute."""

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
    onnx_command: tuple[str, ...] = ()
    #: Whether to convert it without TensorFlow, as far as that is known.
    planned: bool = False


class JobFolder(Struct, frozen=True):
    """The files of one job in ``path``."""

    path: Path

    @property
    def model(self) -> Path:
        """The converted model."""
        return self.path / "model.tflite"

    @property
    def whole(self) -> Path:
        """The converted model before stripping, with the names of its tensors."""
        return self.path / "whole.tflite"

    @property
    def log(self) -> Path:
        """All that the job printed."""
        return self.path / "log.txt"

    def printed(self) -> bytes:
        """The end of what the job printed, at most ``SHOWN_BYTES``; may be empty."""
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
        """Write the job."""
        self._write("job.json", json.dumps(asdict(job)))

    def read_job(self) -> Job:
        """Read the job."""
        plain = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
        if plain["data_function"]:
            plain["data_function"] = tuple(plain["data_function"])
        return Job(**plain)

    def write_started(self, process: int) -> None:
        """Note the start of the job, from which its time counts, and its process group."""
        self._write("started", str(process))

    def started(self) -> int | None:
        """The process that does the job; ``None`` before it starts."""
        text = self._read("started")
        return int(text) if text else None

    def write_step(self, step: str) -> None:
        """Note the step that the job is at."""
        self._write("step", step)

    def step(self) -> str:
        """The step that the job is at; empty before the first."""
        return self._read("step") or ""

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the result: the report, ``{"error": [line, …]}``, or ``{"unplanned": reason}``."""
        self._write("result.json", json.dumps(result))

    def result(self) -> dict[str, Any] | None:
        """The result; ``None`` where the job has not come that far."""
        text = self._read("result.json")
        return dict(json.loads(text)) if text else None

    def write_exit(self, code: int) -> None:
        """Note the end of the process: its exit code, or the negative number of a signal."""
        self._write("exit", str(code))

    def exit(self) -> int | None:
        """The exit code that ``write_exit`` noted; ``None`` while the process runs."""
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
