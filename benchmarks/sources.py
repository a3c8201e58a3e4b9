"""Arena, flash and file of a folder's models, by each way from a source to INT8.

``python benchmarks/sources.py FOLDER SUFFIX [--tensorflow] [--strip] [--onnx2tf COMMAND]``, where
FOLDER is what ``keras_models.py`` or ``torch_models.py`` has written and SUFFIX is ``.keras``,
``.tflite``, ``.pt2`` or ``.onnx``. Where TFLM's interpreter is installed each model runs in it
(``--verify``); the error is the INT8 model's in LiteRT against the float model, of how much the
float output varies, the worst output's. ``--tensorflow`` lets TensorFlow convert all Keras models.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any


_DECLARATION = """
schema = 1

[defaults]
boards = ["raspberry-pi-pico"]
runtime = "tflite-micro 90b983c2"
strip = {strip}
{onnx}
[models.{name}]
source = {source}
representative_data = {data}
"""

_WITH_TENSORFLOW = (
    "import sys; import pytest_tinybudget.convert.converter as c; c.can_plan = lambda: False; "
    "from pytest_tinybudget.cli import main; sys.exit(main(sys.argv[1:]))"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("suffix")
    parser.add_argument("--tensorflow", action="store_true")
    parser.add_argument("--strip", action="store_true")
    parser.add_argument("--onnx2tf")
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args(arguments)
    for source in sorted(given.folder.glob(f"*{given.suffix}")):
        if not given.only or source.stem in given.only:
            print(f"{source.stem:18} {_row(source.absolute(), given)}", flush=True)
    return 0


def _row(source: Path, given: argparse.Namespace) -> str:
    command = given.onnx2tf
    onnx = "" if command is None else f"[convert.onnx]\ncommand = {json.dumps(command)}\n"
    text = _DECLARATION.format(
        strip=str(given.strip).lower(),
        onnx=onnx,
        name=source.stem,
        source=json.dumps(str(source)),
        data=json.dumps(str(source.with_suffix(".npz"))),
    )
    program = ("-c", _WITH_TENSORFLOW) if given.tensorflow else ("-m", "pytest_tinybudget")
    verify = ("--verify",) if find_spec("tflite_micro") is not None else ()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tinybudget.toml"
        path.write_text(text, encoding="utf-8")
        results = Path(folder) / "results.json"
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *program, "check", str(path), "--no-cache", *verify,
             "--json", str(results)],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        took = time.perf_counter() - begun
        if not results.is_file():
            return f"no result: {done.stdout[-300:]}{done.stderr[-300:]}"
        (pair,) = json.loads(results.read_text(encoding="utf-8"))["pairs"]
    return f"{_told(pair)}  {took:.1f} s"


def _told(pair: dict[str, Any]) -> str:
    if pair["outcome"] == "error" or pair["arena"] is None:
        return "; ".join(["error: " + pair["headline"], *pair["reasons"]])
    sizes = pair["arena"]["required"], pair["flash"]["used"], pair["model"]["bytes"]
    errors = [
        note.partition(": ")[2].partition(" error")[0]
        for note in pair["notes"]
        if note.startswith("INT8 against float")
    ]
    shown = " / ".join(f"{each:,}" for each in sizes)
    by = "; ".join(note for note in pair["notes"] if note.startswith("converted by"))
    return f"{shown}  {pair['outcome']}, {max(errors, default='no')} error  {by}"


if __name__ == "__main__":
    sys.exit(main())
