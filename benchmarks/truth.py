"""What was measured on built firmware: a folder of measurements, and the part that is in here.

A folder of measurements holds ``KIND_VARIANT.jsonl``, a JSON object a line and model, where a
variant is a runtime's name and the kind is

* ``arena``: the bytes that the arena took and needed, the stack, and whether the model ran;
* ``flash``: the sections of a real link;
* ``trace``: every allocation in order.

A ``flash`` file may be of sets of operators instead of models (``ops`` without ``model``): real
links that a shipped table, whose name the file then has, is held to.

``tests/data/truth`` has those of the project's own models, so that every clone can compare:
``models.tar.gz`` holds the models, ``measurements.jsonl.gz`` the lines of all kinds and variants.
This script packs both anew and prints what they hold::

    python benchmarks/truth.py --models DIR --truth DIR

``links.jsonl.gz`` has the links of sets of operators, by table. Those of a table are packed by::

    python benchmarks/truth.py --links TABLE=FILE …

``esp_nn_arenas.json`` has the smallest arenas on the ESP32-S3 with releases of esp-nn, a list of
objects with ``model`` and ``versions`` (bytes by release, or by its run, ``"1.0.0-1.1.2"``). Those
of a file are packed by::

    python benchmarks/truth.py --esp-nn FILE

It takes models by the name that only the project's own have (``gen_…``), and never another's. The
same measurements give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


PACKED = Path(__file__).parents[1] / "tests" / "data" / "truth"
#: The models that were generated for this project.
OWN_MODELS = "gen_"
#: What is packed of a measurement, by kind: what predictions are compared with.
FIELDS = {
    "arena": (
        "bytes", "status", "arena_used", "head", "tail", "min_arena16", "stack_alloc",
        "stack_invoke", "recording",
    ),
    "flash": ("ops", "tflm_flash_bytes", "net_rodata", "net_exidx", "net_data"),
    "trace": ("ev",),
}  # fmt: skip
#: Links of sets of operators, by table.
LINKS = "links.jsonl.gz"
#: Smallest arenas on the ESP32-S3, by release of esp-nn.
ESP_NN_ARENAS = "esp_nn_arenas.json"
#: Links with type-specific registrations, of several variants in one file.
TYPED = "flash_typed_registrations.jsonl"


class TruthError(Exception):
    """Measurements cannot be read, or do not fit the models beside them."""


@dataclass(frozen=True)
class Measurements:
    """What was measured in one way on one variant, a record a model.

    ``source`` is the file's name. ``variant`` is empty where each record names its own.
    """

    source: str
    kind: str
    variant: str
    records: Iterable[Mapping[str, Any]]


def measurements_in(folder: Path) -> Iterator[Measurements]:
    """The measurements of a folder, file by file; records are read as they are asked for.

    Raises:
        TruthError: while records are read, a line is no JSON object.
    """
    for path in sorted(path for kind in FIELDS for path in folder.glob(f"{kind}_*.jsonl")):
        kind, _, variant = path.stem.partition("_")
        if path.name == TYPED:
            kind, variant = "typed", ""
        yield Measurements(path.name, kind, variant, _records(path))
        if kind == "flash":
            yield Measurements(path.name, "links", variant, link_records(path))


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are about a model (not ``op:NAME``, a single operator)."""
    for record in _objects(path):
        if not record.get("model", "op:").startswith("op:"):
            yield record | {"model": record["model"].removesuffix(".tflite")}


def link_records(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are about a set of operators: ``ops``, ``bytes`` of flash, of it ``data``."""
    for record in _objects(path):
        if "ops" in record and "model" not in record and "tflm_flash_bytes" in record:
            sizes = {"bytes": "tflm_flash_bytes", "data": "net_data"}
            found = {ours: record[theirs] for ours, theirs in sizes.items() if theirs in record}
            yield {"ops": record["ops"], **found}


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise TruthError(f"{path}:{number}: {error}") from None
            if not isinstance(record, dict):
                raise TruthError(f"{path}:{number}: not an object")
            yield record


def packed_measurements(folder: Path = PACKED) -> list[Measurements]:
    """The measurements that are in the repository, by kind and variant."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with gzip.open(folder / "measurements.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            groups.setdefault((record["kind"], record["variant"]), []).append(record)
    return [
        Measurements(f"{kind}_{variant}.jsonl", kind, variant, records)
        for (kind, variant), records in sorted(groups.items())
    ]


def packed_links(folder: Path = PACKED) -> list[Measurements]:
    """The links of sets of operators that are in the repository, by table."""
    groups: dict[str, list[dict[str, Any]]] = {}
    if not (folder / LINKS).is_file():
        return []
    with gzip.open(folder / LINKS, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            groups.setdefault(record.pop("table"), []).append(record)
    return [Measurements(LINKS, "links", table, records) for table, records in groups.items()]


def pack_links(files: Mapping[str, Path], folder: Path) -> None:
    """Take the links of some tables anew, from a file each; others stay as they are.

    Raises:
        TruthError: a file has no link of a set of operators.
    """
    links = {group.variant: list(group.records) for group in packed_links(folder)}
    for table, path in files.items():
        links[table] = list(link_records(path))
        if not links[table]:
            raise TruthError(f"{path} has no link of a set of operators")
    lines = "".join(
        json.dumps({"table": table, **record}, separators=(",", ":")) + "\n"
        for table in sorted(links)
        for record in sorted(links[table], key=lambda record: (record["ops"], record["bytes"]))
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_gzip(folder / LINKS, lines.encode())


def release_arenas(path: Path = PACKED / ESP_NN_ARENAS) -> Iterator[tuple[str, str, int]]:
    """Model, release of esp-nn and bytes of each arena in ``path``; of a run both its ends.

    Raises:
        TruthError: it is another kind of file.
    """
    try:
        for row in json.loads(path.read_text(encoding="utf-8")):
            for run, size in row["versions"].items():
                for release in dict.fromkeys(run.split("-")):
                    yield row["model"], release, size
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TruthError(f"{path}: no arenas by release ({error})") from None


def pack_release_arenas(path: Path, folder: Path) -> None:
    """Write those of the project's own models to ``folder``.

    Raises:
        TruthError: ``path`` is another kind of file.
    """
    list(release_arenas(path))
    rows = [
        {"model": row["model"], "versions": row["versions"]}
        for row in json.loads(path.read_text(encoding="utf-8"))
        if row["model"].startswith(OWN_MODELS)
    ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ESP_NN_ARENAS).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def packed_models(folder: Path = PACKED) -> dict[str, bytes]:
    """The models that the measurements in the repository are about: contents by name."""
    with tarfile.open(folder / "models.tar.gz", "r:gz") as archive:
        return {
            member.name.removesuffix(".tflite"): content.read()
            for member in archive
            if (content := archive.extractfile(member)) is not None
        }


def pack(models: Mapping[str, bytes], measured: Iterable[Measurements], folder: Path) -> None:
    """Write both files of ``folder`` from the project's own among ``models``.

    Raises:
        TruthError: a record is of a file of another size than the model.
    """
    own = {name: models[name] for name in sorted(models) if name.startswith(OWN_MODELS)}
    rows = []
    for group in measured:
        for record in group.records:
            if group.kind in FIELDS and record["model"] in own:
                size = record.get("bytes", len(own[record["model"]]))
                if size != len(own[record["model"]]):
                    raise TruthError(
                        f"{group.source}: {record['model']} had {size:,} bytes when it was "
                        f"measured, the model here has {len(own[record['model']]):,}"
                    )
                rows.append(_packed_row(group, record))
    # A model's lines of one kind are alike on all variants: side by side they compress best.
    rows.sort(key=lambda row: (row["kind"], row["model"], row["variant"]))
    lines = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    folder.mkdir(parents=True, exist_ok=True)
    _write_gzip(folder / "measurements.jsonl.gz", lines.encode())
    _write_gzip(folder / "models.tar.gz", _archive(own))


def _packed_row(group: Measurements, record: Mapping[str, Any]) -> dict[str, Any]:
    row = {"kind": group.kind, "model": record["model"], "variant": group.variant}
    return row | {name: record[name] for name in FIELDS[group.kind] if name in record}


def _archive(contents: Mapping[str, bytes]) -> bytes:
    """A tar file without times and owners."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{name}.tflite")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _write_gzip(path: Path, content: bytes) -> None:
    """Without name and time, which gzip notes otherwise."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(content)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, metavar="DIR")
    parser.add_argument("--truth", type=Path, metavar="DIR")
    parser.add_argument("--links", action="append", default=[], metavar="TABLE=FILE")
    parser.add_argument("--esp-nn", type=Path, metavar="FILE")
    parser.add_argument("--output", type=Path, default=PACKED, metavar="DIR")
    options = parser.parse_args(arguments)
    alone = options.links or options.esp_nn
    if bool(options.models) != bool(options.truth) or not (options.models or alone):
        parser.error("give --models and --truth, --links, or --esp-nn")
    for folder in filter(None, (options.models, options.truth)):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    files = {
        table: Path(file) for table, _, file in (each.partition("=") for each in options.links)
    }
    try:
        if options.models:
            models = {path.stem: path.read_bytes() for path in options.models.glob("*.tflite")}
            pack(models, measurements_in(options.truth), options.output)
        if files:
            pack_links(files, options.output)
        if options.esp_nn:
            pack_release_arenas(options.esp_nn, options.output)
    except (OSError, TruthError) as error:
        parser.error(str(error))
    for path in sorted(options.output.glob("*.gz")):
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    if options.models:
        print(f"{len(packed_models(options.output)):,} models")
        rows: Counter[str] = Counter()
        for group in packed_measurements(options.output):
            rows[group.kind] += len(list(group.records))
        for kind, count in sorted(rows.items()):
            print(f"{kind}: {count:,} measurements")
    for group in packed_links(options.output):
        print(f"{group.variant}: {len(list(group.records)):,} links")
    return 0


if __name__ == "__main__":
    sys.exit(main())
