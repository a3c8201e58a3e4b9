"""The structs of a result are the one definition of the results file: writer, reader, schema."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import report_samples as samples
from msgspec.structs import replace

import pytest_tinybudget
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.cli import main
from pytest_tinybudget.footprint.result import FloatPart
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import SplitArena
from pytest_tinybudget.results import types
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.form import form_of
from pytest_tinybudget.results.json_schema import json_schema
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Placed
from pytest_tinybudget.results.types import own_provenance
from pytest_tinybudget.results.types import tool_version
from pytest_tinybudget.shrinking.report import Arenas
from pytest_tinybudget.shrinking.report import FilePart
from pytest_tinybudget.shrinking.report import Proof
from pytest_tinybudget.shrinking.report import ProofRun
from pytest_tinybudget.shrinking.report import ShrinkReport


ROOT = Path(__file__).parents[1]

#: Fields that are newer than the first files of schema version 1, which are read all the same.
NEWER = {
    "$.pairs[].drift",
    "$.pairs[].informational",
    "$.pairs[].accepted[].approved_by",
    "$.repositories",
    "$.runtime.variants",
    "$.runtime.variants[].tflm",
    "$.runtime.variants[].kernels_version",
    "$.runtime.variants[].cores",
    "$.runtime.variants[].distribution",
    "$.pairs[].flashed",
    "$.pairs[].float_parts",
    "$.pairs[].risky",
    "$.pairs[].notes",
    "$.pairs[].refusals[].right_since",
    "$.pairs[].refusals[].by_history",
    "$.runtime.variants[].by_history",
    "$.pairs[].identity.by_history",
    "$.pairs[].figures",
    "$.pairs[].figures[].limit",
    "$.pairs[].figures[].at_least",
    "$.pairs[].figures[].interpreter",
    "$.pairs[].figures[].cross_check",
    "$.pairs[].figures[].cross_checked_by",
    "$.pairs[].figures[].advice",
    "$.pairs[].savings[].margin",
    "$.pairs[].shrunk",
    "$.pairs[].shrunk.least_bytes",
    "$.pairs[].shrunk.parts",
    "$.pairs[].shrunk.arenas",
    "$.pairs[].shrunk.arenas[].planned",
    "$.pairs[].shrunk.plan",
    "$.pairs[].shrunk.dropped",
    "$.pairs[].shrunk.reordered",
    "$.pairs[].shrunk.notes",
    "$.pairs[].shrunk.unchanged",
    "$.pairs[].shrunk.proof",
    "$.pairs[].shrunk.proof.runs",
    "$.pairs[].shrunk.proof.runs[].invocations",
    "$.pairs[].shrunk.proof.runs[].why_not",
    "$.pairs[].shrunk.proof.samples",
    "$.pairs[].shrunk.proof.samples_unused",
    "$.pairs[].waste",
    *(
        f"$.pairs[].waste[].{name}"
        for name in (
            "least_bytes",
            "parts",
            "arenas",
            "plan",
            "dropped",
            "reordered",
            "notes",
            "unchanged",
            "proof",
            "proof.runs",
            "proof.samples",
            "proof.samples_unused",
        )
    ),
    "$.pairs[].kind",
    "$.pairs[].codes",
    "$.pairs[].placed",
    "$.pairs[].placed.name",
    "$.pairs[].growth_unchecked",
    "$.pairs[].arrays",
    "$.pairs[].arrays[].name",
    "$.pairs[].identity",
    "$.pairs[].identity.tflm",
    "$.pairs[].identity.kernels_version",
    "$.pairs[].identity.distribution",
    "$.pairs[].identity.cores",
    "$.pairs[].psram",
    "$.pairs[].arena_size",
    "$.pairs[].persistent_arena",
    "$.pairs[].non_persistent_arena",
    "$.pairs[].arena.persistent",
    "$.pairs[].arena.split",
    # Readers compute these again.
    "$.pairs[].known",
    "$.pairs[].operators",
}


def full() -> PairResult:
    """A pair that has something in every field."""
    arena = samples.footprint().arena
    assert arena is not None
    split = replace(arena, split=SplitArena(4096, 43008))
    until = datetime.date(2030, 1, 31)
    return samples.over(
        footprint=samples.footprint(
            arena=split,
            refusals=(Refusal("prepare", "CONV_2D", 0, 0, "why"),),
            unknown=("CUSTOM",),
            risky=("SOFTMAX",),
            not_int8=("input",),
            float_parts=(FloatPart("ELU #2", "act/Elu", 1, 6400, 16),),
            savings=(replace(samples.footprint().savings[0], parts=(("its own code", 3174),)),),
        ),
        identity=replace(samples.IDENTITY, tool=tool_version()),
        warnings=("close",),
        notes=("good to know",),
        accepted=(Acceptance("flash", 300 * 1024, "agreed", until),),
        grown=("flash",),
        figures=(Figure("latency", "s", 0.25, 3.0, "estimated", "cycles", 2.0),),
        placed=Placed("static", "SRAM", 5000, -4),
        arrays=(Placed("psram", "PSRAM", 9000, 8, "model"),),
        shrunk=ShrinkReport(
            model="kws",
            bytes_before=2000,
            bytes_after=1500,
            least_bytes=1000,
            parts=(FilePart("names and descriptions", 500, 0),),
            arenas=(Arenas("esp32", 4096, 4000, planned=True),),
            plan="written",
            dropped=("1 x RESHAPE whose readers ask for no shape",),
            notes=("no one file is best for all boards",),
            proof=Proof((ProofRun("TFLM", 8), ProofRun("LiteRT", why_not="it does not run"))),
        ),
        waste=(ShrinkReport("kws", 2000, 1500, parts=(FilePart("layout", 500, 0),)),),
        measures=(
            *samples.over().measures,
            *(samples.measure(metric) for metric in ("psram", "arena", "persistent_arena")),
            samples.measure("non_persistent_arena"),
        ),
    )


def content() -> Any:
    checkout = Checkout(".", "a" * 40, "b" * 40, "HEAD")
    return json.loads(writer.render([full()], own_provenance((checkout,))))


def places(node: Any, path: str = "$") -> Iterator[tuple[str, Any, Any]]:
    """Every field: its path, the object or list that holds it, its key."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        here = f"{path}[{key}]" if isinstance(node, list) else f"{path}.{key}"
        if isinstance(node, dict):
            yield here, node, key
        if isinstance(value, (dict, list)):
            yield from places(value, here)


def is_free(path: str) -> bool:
    """Whether the keys at this place are names, not fields."""
    return bool(re.search(r"\.(recorded|operators|savings\[\d+\]\.parts)\.", path))


def refused(file: Any) -> str:
    with pytest.raises(TinybudgetError) as raised:
        read_results(json.dumps(file).encode(), "x.json")
    return str(raised.value)


def test_the_schema_in_the_repository_is_that_of_the_code_which_a_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``tinybudget schema --results -o schemas/results.schema.json`` writes it."""
    stored = (ROOT / "schemas" / "results.schema.json").read_text("utf-8")
    assert stored == json.dumps(json_schema(), indent=2) + "\n"
    assert main(["schema", "--results"]) == 0
    assert capsys.readouterr().out == stored


def test_a_pair_with_every_field_follows_the_schema_and_survives_the_file() -> None:
    file = content()
    jsonschema.validate(file, json_schema())
    read = read_results(json.dumps(file).encode(), "x")
    assert json.loads(writer.render(read.pairs, read.provenance)) == file
    (only,) = read.pairs
    original = full()
    for name in PairResult.__struct_fields__:
        if name not in ("measures", "footprint"):
            assert getattr(only, name) == getattr(original, name), name
    assert [each.metric for each in only.measures] == [
        "flash",
        "ram",
        "psram",
        "arena",
        "persistent_arena",
        "non_persistent_arena",
    ]


def test_the_fields_that_a_pair_of_the_file_is_made_of_have_different_names() -> None:
    parts = (form_of(PairResult).strict_fields(), form_of(Footprint).strict_fields())
    names = [name for part in parts for name, *_ in part] + list(RESULT_KEYS.values())
    assert sorted(names) == sorted(set(names))
    assert sorted(names) == sorted(json_schema()["$defs"]["pair"]["properties"])


def test_a_missing_field_is_told_unless_it_is_newer_than_the_format() -> None:
    told, read = set(), set()
    for path, holder, key in list(places(file := content())):
        if is_free(path) or path == "$.schema_version":
            continue
        general = re.sub(r"\[\d+\]", "[]", path)
        value = holder.pop(key)
        parent = path.removesuffix(f".{key}")
        if general in NEWER:
            read_results(json.dumps(file).encode(), "x.json")
            read.add(general)
        else:
            missing = f"Object missing required field `{key}`"
            where = f" - at `{parent}`" if parent != "$" else ""
            assert missing + re.sub(r"\[(\D)", r".\1", where) in refused(file), path
            told.add(general)
        holder[key] = value
    assert read == NEWER
    assert len(told) > 90, "every object of the file was looked at"


def test_a_wrong_value_is_told_with_its_path_what_was_expected_and_what_found() -> None:
    for path, holder, key in list(places(file := content())):
        value = holder[key]
        holder[key] = 5 if isinstance(value, str) else "x" if value is not None else [5]
        line = refused(file)
        assert "\n" not in line
        at = re.sub(r"\.(recorded|operators|parts)\.[^.\[]+$", r".\1[...]", path)
        if path == "$.schema_version":
            assert "Invalid value" in line or "Expected" in line
        else:
            assert re.search(r"Expected `.+`, got `|Invalid enum value", line), (path, line)
            assert f"at `{at}`" in line, (path, line)
        holder[key] = value


def test_every_field_is_in_the_documentation() -> None:
    documentation = (ROOT / "docs" / "results.md").read_text("utf-8")
    definitions = json_schema()["$defs"].values()
    names = {name for each in (json_schema(), *definitions) for name in each["properties"]}
    assert sorted(name for name in names if f"`{name}`" not in documentation) == []


# A new field is one line


_NEW = {
    "class PairResult(": "results/types.py",
    "class Measure(": "results/types.py",
    "class Figure(": "results/types.py",
    "class Identity(": "results/types.py",
    "class Part(": "footprint/result.py",
    "class Arena(": "footprint/result.py",
    "class Layer(": "footprint/result.py",
    "class Footprint(": "footprint/result.py",
}

#: Run with the package that has the new line: a pair with the new field set, written and read.
_PROGRAM = """
import json, sys
import report_samples as samples
from msgspec.structs import replace
from pytest_tinybudget.results import types
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.form import form_of
from pytest_tinybudget.results.json_schema import json_schema
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import Figure

part = replace(samples.FLASH_PARTS[0], extra_cycles=4)
footprint = samples.footprint(flash_parts=(part,), ram_parts=())
footprint = replace(
    footprint,
    more_cycles=1,
    arena=replace(footprint.arena, extra_cycles=2),
    layers=tuple(replace(each, extra_cycles=3) for each in footprint.layers),
)
pair = samples.pair(
    extra_cycles=5,
    footprint=footprint,
    identity=replace(samples.IDENTITY, extra_cycles=6),
    figures=(Figure("latency", "s", 1, 2, "estimated", "x", extra_cycles=7),),
    measures=(samples.measure(used=part.bytes, parts=(part,), extra_cycles=8),),
)
text = writer.render([pair])
read = read_results(text.encode(), "new")
old = json.loads(text.replace("extra_cycles", "of_a_later_version"))
print(json.dumps({
    "again": writer.render(read.pairs, read.provenance) == text,
    "file": json.loads(text),
    "old": read_results(json.dumps(old).encode(), "old").pairs[0].extra_cycles,
    "schema": json_schema(),
}))
"""


def test_a_new_field_is_one_line_and_is_written_read_checked_and_in_the_schema(
    tmp_path: Path,
) -> None:
    package = tmp_path / "pytest_tinybudget"
    shutil.copytree(
        Path(pytest_tinybudget.__file__).parent,
        package,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    line = '    extra_cycles: Annotated[int, about("What it costs, cycles.", least=0)] = 0\n'
    for head, name in _NEW.items():
        # A pair of the file has the fields of its footprint among its own.
        new = line.replace("extra", "more") if head == "class Footprint(" else line
        source = (package / name).read_text("utf-8")
        rest = source.index(head)
        # After the last field of the struct: where its first property or the next class is.
        end = re.compile(r"\n\n    @property|\n\n\n").search(source, rest)
        assert end is not None
        changed = source[: end.start() + 1] + new + source[end.start() + 1 :]
        (package / name).write_text(changed, "utf-8")
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parent)))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (pair,) = found["file"]["pairs"]
    assert (pair["extra_cycles"], pair["more_cycles"]) == (5, 1)
    assert pair["arena"]["extra_cycles"] == 2
    assert {each["extra_cycles"] for each in pair["layers"]} == {3}
    assert pair["flash"]["parts"][0]["extra_cycles"] == 4
    assert pair["identity"]["extra_cycles"] == 6
    assert pair["figures"][0]["extra_cycles"] == 7
    assert pair["flash"]["extra_cycles"] == 8
    assert found["again"], "all of it is read back"
    assert found["old"] == 0, "a file without the new field is read"
    jsonschema.validate(found["file"], found["schema"])
    described = {
        name
        for name, each in found["schema"]["$defs"].items()
        if each["properties"].get("extra_cycles", {}).get("description") == "What it costs, cycles."
    }
    assert described == {
        "arena",
        "figure",
        "identity",
        "layer",
        "measure",
        "pair",
        "part",
        "variant",
    }
    pair["flash"]["extra_cycles"] = -1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found["file"], found["schema"])


def test_the_tools_version_is_the_installed_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(types, "PACKAGE", tmp_path / "pytest_tinybudget")
    assert tool_version.__wrapped__() == metadata.version("pytest-tinybudget")
    (tmp_path / "pytest_tinybudget-1.2.4.dev5.dist-info").mkdir()
    assert tool_version.__wrapped__() == "1.2.4.dev5"
