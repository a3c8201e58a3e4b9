"""Runs Vela, Arm's compiler for the Ethos-U, in a process of its own, and reads what it reports.

Vela is the package ``ethos-u-vela`` (the extra ``ethosu``). Some files crash it, and for a float
model it does nothing without a message. Both are reported as errors.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.folders import temporary_folder
from pytest_tinybudget.base.processes import module
from pytest_tinybudget.base.processes import run
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.boards.accelerator import VelaOptions
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.tflite import read_model


#: The custom operator that stands for what the NPU runs.
NPU_OPERATOR = "ethos-u"

_PACKAGE = "ethos-u-vela"
#: The last Python that Vela has packages for; the extra omits it for newer ones.
_NEWEST_PYTHON = (3, 13)
_LONGEST_LINE = 200
#: A line of what ``--verbose-config`` prints: ``"   axi0_port = Sram"``.
_SETTING = re.compile(r"^\s+(\w+) = (.+)$", re.MULTILINE)
#: Vela warns that it treats constants in SRAM as if flash were as fast.
_CONSTANTS_IN_SRAM = "Changing const_mem_area from Sram "


class Compiled(Struct, frozen=True):
    """A model that Vela compiled for one accelerator.

    ``model`` is the compiled ``.tflite``. ``sram_bytes`` and ``dram_bytes`` are what it reports
    of these memories, ``seconds`` its estimate of what the NPU takes for an inference at
    ``clock_hz``. ``constants_in`` and ``arena_in`` are memories of the system configuration
    (``"Sram"``, ``"OffChipFlash"``).
    """

    model: Model
    version: str
    system_config: str
    memory_mode: str
    constants_in: str
    arena_in: str
    sram_bytes: int
    dram_bytes: int
    seconds: float
    clock_hz: float

    @property
    def npu_calls(self) -> int:
        """How often the firmware hands a part of the model to the NPU."""
        return sum(operator.name == NPU_OPERATOR for operator in self._operators())

    @property
    def cpu_operators(self) -> tuple[str, ...]:
        """The operators that stay on the CPU: all that the compiled file has besides the NPU's.

        Vela's own list of layers holds the last subgraph only.
        """
        return tuple(item.name for item in self._operators() if item.name != NPU_OPERATOR)

    def _operators(self) -> Iterator[Operator]:
        return (operator for graph in self.model.subgraphs for operator in graph.operators)


def compile_model(
    model: Model, accelerator: str, options: VelaOptions, cache: Cache | None = None
) -> Compiled:
    """``model`` compiled for ``accelerator`` (``"ethos-u55-128"``), kept in ``cache``.

    Raises:
        TinybudgetError: Vela is not installed, fails, crashes or takes too long, or leaves the
            whole model to the CPU.
    """
    version = _installed_version()
    if any(each.name == NPU_OPERATOR for graph in model.subgraphs for each in graph.operators):
        raise ConversionError(
            f"{model.name}: it was compiled by Vela already; the board's accelerator is compiled "
            "for here: give the model as it was before"
        )
    key = _key(model, accelerator, options, version)
    entry = cache.get(key, Path()) if cache else None
    if entry is None:
        try:
            entry = _run(model, accelerator, options, version)
        except OSError as error:
            raise TinybudgetError(
                f"{model.name}: Vela not run, temporary files cannot be written: "
                f"{error.strerror or error}",
                code="TB102",
            ) from None
        if cache:
            cache.put(key, entry)
    compiled = _compiled(entry, model.name)
    if not compiled.npu_calls:
        raise ConversionError(
            f"{model.name}: Vela leaves all of it to the CPU: no operator of it runs on the "
            f"{accelerator}; a float model must be converted to INT8 first"
        )
    return compiled


def _installed_version() -> str:
    if importlib.util.find_spec("ethosu") is None:
        limit = "" if sys.version_info[:2] <= _NEWEST_PYTHON else " with Python 3.13 or older"
        raise TinybudgetError(
            "a board with an Ethos-U needs Arm's compiler Vela: "
            f"pip install 'pytest-tinybudget[ethosu]'{limit}",
            code="TB103",
        )
    return metadata.version(_PACKAGE)


def _key(model: Model, accelerator: str, options: VelaOptions, version: str) -> str:
    config = Path(options.config)
    own = config.read_bytes() if options.config and config.is_file() else b""
    settings = {**asdict(options), "timeout_s": 0, "accelerator": accelerator, "vela": version}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for content in (own, model.content):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _run(model: Model, accelerator: str, options: VelaOptions, version: str) -> Entry:
    """Compile in a temporary folder; returns the cache entry that ``_compiled`` reads."""
    with temporary_folder() as folder:
        (folder / "model.tflite").write_bytes(model.content)
        printed = _call(model, _arguments(accelerator, options), folder, options.timeout_s)
        output = folder / "output"
        try:
            report = _report(printed, output)
            content = (output / "model_vela.tflite").read_bytes()
        except (OSError, KeyError, ValueError):
            raise ConversionError(
                f"{model.name}: Vela {version} ended without an error and without its reports"
            ) from None
    return Entry(content, {**report, "version": version, "source": f"{model.name} ({accelerator})"})


def _arguments(accelerator: str, options: VelaOptions) -> list[str]:
    arguments = [
        "model.tflite",
        "--output-dir=output",
        f"--accelerator-config={accelerator}",
        f"--optimise={options.optimise}",
        "--verbose-config",
    ]
    for option, value in (
        ("config", options.config),
        ("system-config", options.system_config),
        ("memory-mode", options.memory_mode),
        ("arena-cache-size", options.arena_cache_size),
    ):
        if value not in ("", None):
            arguments.append(f"--{option}={value}")
    return arguments


def _call(model: Model, arguments: list[str], folder: Path, timeout_s: float) -> str:
    """What Vela prints; an error of one line where it fails."""
    try:
        child = run(module("ethosu.vela"), arguments, folder, timeout_s)
    except subprocess.TimeoutExpired:
        raise ConversionError(
            f"{model.name}: Vela was not done after {timeout_s:g} s (vela.timeout)"
        ) from None
    if child.returncode:
        raise ConversionError(f"{model.name}: Vela {_failure(child)}")
    return child.stdout.decode("utf-8", "replace")


def _failure(child: subprocess.CompletedProcess[bytes]) -> str:
    text = child.stderr.decode("utf-8", "replace") + child.stdout.decode("utf-8", "replace")
    if child.returncode < 0:
        return f"crashed with signal {-child.returncode}: the file may be malformed"
    lines = [line for line in child.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in text.splitlines() if "rror: " in line] or lines[-1:]
    said = printable(errors[-1].strip(), limit=_LONGEST_LINE) if errors else ""
    return f"failed: {said}" if said else f"failed with exit code {child.returncode}"


def _report(printed: str, output: Path) -> dict[str, Any]:
    """The figures of Vela's summary and of the configuration that it prints."""
    (summary,) = output.glob("*_summary_*.csv")
    (row,) = csv.DictReader(summary.read_text("utf-8").splitlines())
    settings = dict(_SETTING.findall(printed))
    memories = {"Axi0": settings["axi0_port"], "Axi1": settings["axi1_port"]}
    constants_in = memories[settings["const_mem_area"]]
    return {
        "system_config": row["system_config"],
        "memory_mode": row["memory_mode"],
        "constants_in": "Sram" if _CONSTANTS_IN_SRAM in printed else constants_in,
        "arena_in": memories[settings["arena_mem_area"]],
        "sram_bytes": round(float(row["sram_memory_used"]) * 1024),
        "dram_bytes": round(float(row["dram_memory_used"]) * 1024),
        "seconds": float(row["inference_time"]),
        "clock_hz": float(row["core_clock"]),
    }


def _compiled(entry: Entry, name: str) -> Compiled:
    known: dict[str, Any] = {name: entry.report.get(name) for name in Compiled.__struct_fields__}
    return Compiled(**{**known, "model": read_model(entry.content, name)})
