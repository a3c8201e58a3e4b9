"""What versions of TFLM took for the project's own models, measured and packed.

A folder of measurements holds ``arena_*.jsonl``: one file a version, one JSON object a line and
model with ``model``, ``status`` (``"ok"`` where the model loaded), ``head``, ``tail`` and
``min_arena16``, the smallest multiple of 16 bytes in which it loaded (absent where that search
ended in a fault). ``versions.json`` beside them says what each file was measured on, an object a
file with the fields of ``Measured``; without it, what is packed here does.

``tests/data/truth/versions.jsonl.gz`` has the lines of the models that this project made
(``gen_…``), a JSON object a version. This script packs it anew::

    python benchmarks/version_truth.py DIR
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import version


PACKED = Path(__file__).parents[1] / "tests" / "data" / "truth" / "versions.jsonl.gz"
OWN_MODELS = "gen_"

#: Head, tail and smallest arena in bytes (0: not found); ``None`` for a model that did not load.
Figures = tuple[int, int, int] | None

#: (Version, model) whose smallest arena is an island: it loads there, in none of some larger
#: ones, and again in what is predicted and more. Before March 2022 a bias for whose quantization
#: there was no room counted as absent, so that a dense layer was prepared in less.
ISLANDS = {("arena_a37043ff_ref", "gen_fc3_i8"), ("arena_bd0df04a_ref", "gen_fc3_i8")}


class Measured(Struct, frozen=True, forbid_unknown_fields=True):
    """What a file was measured on: commits and their dates (ISO, UTC), and how it was built.

    ``cmsis_nn`` is empty for reference kernels. Cortex-M4F in every case.
    """

    name: str
    tflm: str
    date: str
    cmsis_nn: str = ""
    cmsis_nn_date: str = ""
    static_memory: bool = True
    log_strings: bool = False
    figures: dict[str, Figures] = {}

    @property
    def label(self) -> str:
        """``"c12bd762 cmsisnn full"``: full are the structs without TF_LITE_STATIC_MEMORY."""
        kernels = "cmsisnn" if self.cmsis_nn else "ref"
        return f"{self.tflm} {kernels}" + ("" if self.static_memory else " full")

    def runtime(self) -> Runtime:
        """The runtime of that version."""
        runtime = RUNTIMES["m4_cmsisnn" if self.cmsis_nn else "m4_ref"]
        kernels = runtime.kernels
        if self.cmsis_nn:
            library = version(self.cmsis_nn, self.cmsis_nn_date, changes("cmsis-nn"))
            kernels = replace(kernels, version=library)
        tflm = Tflm(
            version(self.tflm, self.date, changes("tflm")),
            static_memory=self.static_memory,
            log_strings=self.log_strings,
        )
        return replace(runtime, tflm=tflm, kernels=kernels)


def measured_in(folder: Path, models: str = "") -> Iterator[Measured]:
    """The measurements of a folder, of models whose names begin with ``models``."""
    names = folder / "versions.json"
    if names.is_file():
        listed = msgspec.json.decode(names.read_bytes(), type=list[Measured])
    else:
        listed = [each for each in packed() if (folder / f"{each.name}.jsonl").is_file()]
    for entry in listed:
        lines = (folder / f"{entry.name}.jsonl").read_text(encoding="utf-8").splitlines()
        records = (json.loads(line) for line in lines if line.strip())
        yield replace(
            entry,
            figures={
                record["model"]: figures_of(record)
                for record in records
                if record["model"].startswith(models)
            },
        )


def figures_of(record: Mapping[str, Any]) -> Figures:
    """The figures of a measured line."""
    if record["status"] != "ok":
        return None
    return record["head"], record["tail"], record.get("min_arena16", 0)


def packed() -> list[Measured]:
    """The measurements that are in the repository."""
    with gzip.open(PACKED) as lines:
        return [msgspec.json.decode(line, type=Measured) for line in lines]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    entries = list(measured_in(options.folder, OWN_MODELS))
    content = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
    with PACKED.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(content)
    print(f"{PACKED.name}: {PACKED.stat().st_size:,} bytes, {len(entries)} versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
