"""``tinybudget merge``: results files of shards become those of the run that was divided."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_projects import BOARD
from small_projects import KWS
from small_projects import declare
from small_projects import keywords
from small_projects import put
from small_projects import run


VAD = f"tinybudget.toml::vad::{BOARD}"
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models, the results of both and those of each alone."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=keywords(), vad=keywords(filters=16, name="vad"))
    declare(tmp_path, models=("kws", "vad"))
    assert run("check", "-q", "--json", "all.json") == 0
    for model in ("kws", "vad"):
        assert run("check", "-q", f"tinybudget.toml::{model}", "--json", f"{model}.json") == 0
    return tmp_path


def change(path: Path, edit: Callable[[Any], object]) -> None:
    """Edit a results file as JSON."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def refusal(capsys: pytest.CaptureFixture[str], *files: str) -> list[str]:
    """The lines that refuse to merge ``files``, without the code that the first ends with."""
    capsys.readouterr()
    assert run("merge", *files, "-o", "merged.json") == 2
    assert not Path("merged.json").exists()
    return [re.sub(r" \[TB\d+\]$", "", line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    "files",
    [
        ("kws.json", "vad.json"),
        ("vad.json", "kws.json"),
        ("kws.json", "all.json", "vad.json"),
        ("all.json",),
    ],
    ids=["in order", "out of order", "overlapping alike", "one"],
)
def test_merged_shards_are_the_bytes_of_the_whole_run(shards: Path, files: tuple[str, ...]) -> None:
    assert run("merge", *files, "-o", "merged.json") == 0
    assert shards.joinpath("merged.json").read_bytes() == shards.joinpath("all.json").read_bytes()


def test_the_summary_and_the_page_have_all_pairs(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("merge", "kws.json", "vad.json", "--html", "all.html", "--junit-xml", "all.xml") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 pairs: 2 fit"
    for name in ("all.html", "all.xml"):
        text = shards.joinpath(name).read_text(encoding="utf-8")
        assert "kws" in text
        assert "vad" in text


def test_a_pair_that_fails_in_one_shard_fails_the_whole(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(shards, '[models.vad.budget]\nram = "1 KB"\n', models=("kws", "vad"))
    assert run("check", "-q", "tinybudget.toml::vad", "--json", "vad.json") == 1
    capsys.readouterr()
    assert run("merge", "kws.json", "vad.json") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"FAIL vad on {BOARD}"
    assert lines[-1] == "2 pairs: 1 over budget, 1 fit"


def test_a_pair_without_a_measurement_has_the_exit_code_of_check(shards: Path) -> None:
    shards.joinpath("models", "vad.tflite").write_bytes(b"no model")
    assert run("check", "-q", "tinybudget.toml::vad", "--json", "vad.json") == 2
    assert run("merge", "-q", "kws.json", "vad.json", "-o", "merged.json") == 2
    assert len(json.loads(shards.joinpath("merged.json").read_text())["pairs"]) == 2


def test_versions_of_the_tool_are_not_mixed(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(shards / "vad.json", lambda file: file["tool"].update(version="0.0.1"))
    (line,) = refusal(capsys, "kws.json", "vad.json")
    assert line.startswith("tinybudget: kws.json is of pytest-tinybudget ")
    assert "and vad.json of pytest-tinybudget 0.0.1, TFLM " in line


def test_commits_of_tflm_are_not_mixed(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(shards / "kws.json", lambda file: file["runtime"].update(tflm_commit="0123abcd"))
    (line,) = refusal(capsys, "kws.json", "vad.json")
    assert "kws.json is of pytest-tinybudget" in line
    assert "TFLM 0123abcd, and vad.json of" in line


def test_what_another_version_measured_is_not_written_under_this_ones_name(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("kws", "vad"):
        change(shards / f"{name}.json", lambda file: file["tool"].update(version="0.0.1"))
    (line,) = refusal(capsys, "kws.json", "vad.json")
    assert line.endswith(": merge with the version that measured")


def test_pairs_that_differ_are_told_all_at_once_with_both_files(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def grow(file: Any) -> None:
        for pair in file["pairs"]:
            pair["ram"]["used"] += 16
            pair["ram"]["free"] -= 16
            pair["ram"]["parts"][0]["bytes"] += 16

    used = [pair["ram"]["used"] for pair in json.loads(Path("all.json").read_text())["pairs"]]
    change(shards / "all.json", grow)
    assert refusal(capsys, "kws.json", "vad.json", "all.json") == [
        f"tinybudget: kws.json and all.json differ in {KWS}: ram {used[0]} and {used[0] + 16}",
        f"vad.json and all.json differ in {VAD}: ram {used[1]} and {used[1] + 16}",
    ]


def test_shards_of_two_states_of_a_model_do_not_merge(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(shards, kws=keywords(filters=24))
    assert run("check", "-q", "tinybudget.toml::kws", "--json", "later.json") == 0
    (line,) = refusal(capsys, "kws.json", "later.json")
    assert line.startswith(f"tinybudget: kws.json and later.json differ in {KWS}: the model file, ")


def test_a_file_that_is_no_results_file_is_named(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards.joinpath("vad.json").write_text("[]")
    (line,) = refusal(capsys, "kws.json", "vad.json")
    assert line.startswith("tinybudget: vad.json: not a results file")


def test_changes_are_shown_against_a_baseline(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(shards, kws=keywords(filters=24))
    assert run("check", "-q", "tinybudget.toml::kws", "--json", "kws.json") == 0
    capsys.readouterr()
    assert run("merge", "kws.json", "vad.json", "--baseline", "all.json") == 0
    assert "1 changed, 1 unchanged" in capsys.readouterr().out


def test_the_documented_matrix_divides_and_merges(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workflow of the docs, each of its tinybudget commands run as the matrix would."""
    page = DOCS.joinpath("parallel.md").read_text(encoding="utf-8")
    workflow = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    jobs = workflow["jobs"]
    for index, model in enumerate(("kws", "vad"), start=1):
        monkeypatch.setenv("SELECTION", model)
        commands = [step["run"] for step in jobs["budgets"]["steps"] if "--tinybudget" in str(step)]
        (command,) = commands
        divided = f"-k {model}"  # pytest-split would choose these
        line = command.replace("--splits 2 --group ${{ matrix.group }}", divided)
        line = line.replace("${{ matrix.group }}", str(index))
        assert "$" not in line
        subprocess.run([sys.executable, "-m", *line.split()], check=True, capture_output=True)
    merges = [step["run"] for step in jobs["report"]["steps"] if "merge" in str(step.get("run"))]
    arguments = merges[0].split()
    files = [str(path) for path in sorted(shards.glob(arguments[2]))]
    assert arguments[:2] == ["tinybudget", "merge"]
    assert len(files) == 2
    assert run("merge", *files, *arguments[3:]) == 0
    merged = shards / arguments[arguments.index("-o") + 1]
    assert merged.read_bytes() == shards.joinpath("all.json").read_bytes()
