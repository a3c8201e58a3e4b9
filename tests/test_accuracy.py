"""``benchmarks/accuracy.py``: predictions against truth folders, complete, partial and damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import accuracy
import pytest
from conftest import keyword_model
from msgspec.structs import replace

from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))
VARIANT = "m4_cmsisnn"


class Folders:
    """A models and a truth folder with one model, whose truth is what is predicted."""

    def __init__(self, path: Path) -> None:
        self.models, self.truth, self.json = path / "models", path / "truth", path / "rows.json"
        self.models.mkdir()
        self.truth.mkdir()
        content = keyword_model()
        self.models.joinpath("kws.tflite").write_bytes(content)
        model = read_model(content, "kws")
        arena = simulate(model, RUNTIMES[VARIANT]).arena
        assert arena is not None
        self.arena: dict[str, Any] = {
            "model": "kws", "status": "ok", "arena_used": arena.used, "head": arena.head,
            "tail": arena.tail, "min_arena16": arena.required,
        }  # fmt: skip
        self.flash: dict[str, Any] = {
            "model": "kws", "tflm_flash_bytes": link(model, RUNTIMES[VARIANT]).flash,
        }  # fmt: skip

    def write(self, kind: str, *records: dict[str, Any], variant: str = VARIANT) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in records)
        self.truth.joinpath(f"{kind}_{variant}.jsonl").write_text(lines)

    def run(self, *options: str) -> int:
        folders = ["--models", str(self.models), "--truth", str(self.truth)]
        return accuracy.main([*folders, "--json", str(self.json), *options])

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.json.read_text())["rows"]
        return rows


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_rows_say_what_was_predicted_and_measured(folders: Folders) -> None:
    folders.write("arena", {"sizeof": {}}, folders.arena, {"model": "op:ADD", "status": "x"})
    folders.write("flash", folders.flash)
    assert folders.run() == 0
    assert [row["quantity"] for row in folders.rows()] == [
        "arena_used", "arena_required", "head", "tail", "refused", "flash",
    ]  # fmt: skip
    first = folders.rows()[0]
    assert first == {
        "variant": VARIANT, "model": "kws", "quantity": "arena_used",
        "predicted": first["measured"], "measured": folders.arena["arena_used"],
    }  # fmt: skip


def test_a_version_of_tflm_is_a_variant_of_its_own(folders: Folders) -> None:
    figures = (folders.arena["head"], folders.arena["tail"], folders.arena["min_arena16"])
    newest = accuracy.Measured("arena_new_ref", "90b983c2", "2026-08-20T16:47", cmsis_nn="4ab83cc3")
    newest = replace(newest, cmsis_nn_date="2026-06-17T12:49", figures={"kws": figures})
    models = accuracy.Models.of_folder(folders.models)
    rows = list(accuracy.compare_versions(models, [newest]))
    assert {row.variant for row in rows} == {"90b983c2 cmsisnn"}
    assert [row.quantity for row in rows] == [
        "refused", "arena_used", "head", "tail", "arena_required",
    ]  # fmt: skip
    assert [row.difference for row in rows] == [0] * 5


def test_a_version_that_refuses_a_model_which_is_predicted_to_run_fails(folders: Folders) -> None:
    models = accuracy.Models.of_folder(folders.models)
    old = accuracy.Measured("arena_old", "c12bd762", "2023-03-01T18:37", figures={"kws": None})
    (row,) = accuracy.compare_versions(models, [old])
    assert (row.predicted, row.measured) == (0, 1)
    assert accuracy.failures([row], accuracy.Explained())


def test_an_arena_that_is_16_bytes_off_fails(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.arena["min_arena16"] += 16
    folders.write("arena", folders.arena)
    assert folders.run() == 1
    assert f"NOT EXPLAINED {VARIANT} kws arena_required" in capsys.readouterr().err


@pytest.mark.parametrize(("off", "code"), [(0.002, 0), (0.004, 1)], ids=["within", "beyond"])
def test_flash_of_an_unlisted_model_is_held_to_the_limit(
    folders: Folders, off: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.flash["tflm_flash_bytes"] = round(folders.flash["tflm_flash_bytes"] * (1 + off))
    folders.write("flash", folders.flash)
    assert folders.run() == code
    assert "1 are of models it does not know" in capsys.readouterr().out


def test_flash_of_a_listed_model_must_differ_as_listed() -> None:
    row = accuracy.Row(VARIANT, "kws", "flash", 80_004, 80_000)
    key = ("flash", VARIANT, "kws")
    assert accuracy.failures([row], accuracy.Explained(frozenset({"kws"}), {key: 4})) == []
    assert accuracy.failures([row], accuracy.Explained(frozenset({"kws"}), {key: 8}))
    assert accuracy.failures([row], accuracy.Explained(frozenset({"kws"})))


@pytest.mark.parametrize(("off", "broken"), [(-1, 1), (0, 0), (48, 0)])
def test_a_stack_is_never_below_the_measured_one(off: int, broken: int) -> None:
    row = accuracy.Row(VARIANT, "other", "stack", 800 + off, 800)
    assert len(accuracy.failures([row], accuracy.Explained())) == broken


def test_a_model_that_tflm_refuses_counts_as_refused(folders: Folders) -> None:
    folders.write("arena", {"model": "kws", "status": "AllocateTensors failed"})
    assert folders.run() == 1
    (row,) = folders.rows()
    assert (row["quantity"], row["predicted"], row["measured"]) == ("refused", 0, 1)


def test_a_model_that_cannot_be_read_is_refused(folders: Folders) -> None:
    folders.models.joinpath("text.tflite").write_bytes(b"text")
    folders.write("arena", {"model": "text", "status": "AllocateTensors failed"})
    assert folders.run() == 0


def test_missing_models_and_unknown_variants_are_skipped_and_said(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.write("arena", folders.arena, {"model": "gone", "status": "ok", "arena_used": 1})
    folders.write("flash", folders.flash, variant="z80_ref")
    folders.write("arena", variant="m7_ref")
    assert folders.run() == 0
    shown = capsys.readouterr()
    assert "1 models skipped, not there: gone" in shown.out
    assert "flash_z80_ref.jsonl skipped: there is no runtime z80_ref" in shown.err


def test_every_row_is_printed_on_demand(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.write("arena", folders.arena)
    folders.run()
    assert "kws" not in capsys.readouterr().out
    folders.run("--all")
    shown = capsys.readouterr().out
    assert sum(line.split()[1:2] == ["kws"] for line in shown.split("\n")) == 5


@pytest.mark.parametrize("line", ["{", "[]", '"text"'])
def test_a_damaged_truth_file_is_told_by_line(
    folders: Folders, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders.truth.joinpath("arena_m4_ref.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(SystemExit):
        folders.run()
    assert "arena_m4_ref.jsonl:2: " in capsys.readouterr().err


def test_a_truth_folder_without_a_known_model_is_an_error(folders: Folders) -> None:
    folders.write("arena")
    with pytest.raises(SystemExit):
        folders.run()


@pytest.mark.campaign
@pytest.mark.skipif(not SHARED.joinpath("tflm/truth").is_dir(), reason="no truth folder here")
def test_every_difference_from_the_measured_builds_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    folders = ["--models", str(SHARED / "models"), "--truth", str(SHARED / "tflm/truth")]
    assert accuracy.main([*folders, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert all(
        row["predicted"] == row["measured"]
        for row in rows
        if row["quantity"] not in ("flash", "stack")
    )
