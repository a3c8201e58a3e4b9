"""The ratchet: budgets are lowered to what is used, and nothing else in the file changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_projects import BOARD
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget import check
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.gate.tighten import Margin


DECLARATION = f"""\
# budgets of the doorbell
schema = 1

[defaults]   # for all
boards = [ "{BOARD}" ]
budget = {{ flash = "200 KB", ram="48 KB" }} # shared

# the keyword model
[models.kws]
source = 'models/kws.tflite'
budget.flash = '100 KB'  # ask before raising

[models.vad]
source = "models/vad.tflite"
message = "kept" # as it is
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=keywords(filters=24), vad=keywords(filters=8))
    write(tmp_path, DECLARATION)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "tinybudget.toml").write_bytes(text.encode())


def read(folder: Path) -> str:
    return (folder / "tinybudget.toml").read_bytes().decode()


def budgets(folder: Path) -> dict[str, tuple[int | None, int | None]]:
    models = load_declaration(folder / "tinybudget.toml").models
    return {name: (model.budget.flash, model.budget.ram) for name, model in models.items()}


def used(folder: Path, model: str) -> dict[str, int]:
    result = check(folder / "models" / f"{model}.tflite", board=BOARD)
    return {measure.metric: measure.used for measure in result.measures}


def with_margin(size: int) -> int:
    """Whole KB of ``size`` and 5 %."""
    return -(-size * 105 // (100 * 1024))


def test_budgets_fall_to_what_is_used_and_only_their_values_change(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tighten", "--margin", "0%") == 0
    old, new = DECLARATION.splitlines(), read(project).splitlines()
    assert [line for line, other in zip(old, new, strict=True) if line == other] == [
        line for number, line in enumerate(old, 1) if number not in (6, 11)
    ]
    kws, vad = used(project, "kws"), used(project, "vad")
    ram = -(-max(kws["ram"], vad["ram"]) // 16) * 16
    shared, own = -(-vad["flash"] // 1024), -(-kws["flash"] // 1024)
    assert new[5] == f'budget = {{ flash = "{shared} KB", ram="{ram} B" }} # shared'
    assert new[10] == f"budget.flash = '{own} KB'  # ask before raising"
    said = capsys.readouterr().out
    assert f"tinybudget.toml:11: models.kws.budget.flash is now {own}.0 KB" in said


def test_everything_still_fits_and_a_second_run_changes_nothing(project: Path) -> None:
    run("tighten")
    once = read(project)
    assert run("check", "-q") == 0
    run("tighten")
    assert read(project) == once


def test_a_shared_budget_is_as_large_as_its_largest_model_needs(project: Path) -> None:
    run("tighten", "--margin", "0%")
    assert run("check", "-q") == 0
    ram = {name: budget[1] for name, budget in budgets(project).items()}
    assert ram["kws"] == ram["vad"]
    assert ram["kws"] is not None
    assert ram["kws"] > 9000


def test_a_dry_run_says_it_and_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("tighten", "--dry-run")
    assert read(project) == DECLARATION
    assert "models.kws.budget.flash could be" in capsys.readouterr().out


def test_no_budget_is_raised_or_added(project: Path) -> None:
    text = DECLARATION.replace("100 KB", "10 KB").replace("48 KB", "1 KB").replace("200 KB", "9 KB")
    write(project, text)
    assert run("tighten") == 0
    assert read(project) == text


def test_a_budget_of_a_model_that_cannot_be_measured_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "models" / "vad.tflite").write_bytes(b"damaged")
    run("tighten")
    assert read(project).splitlines()[5] == DECLARATION.splitlines()[5]
    assert f"budget.flash = '{with_margin(used(project, 'kws')['flash'])} KB'" in read(project)
    assert "defaults.budget.ram stays: vad on" in capsys.readouterr().out


def test_windows_line_ends_and_a_byte_order_mark_stay(project: Path) -> None:
    write(project, "\ufeff" + DECLARATION.replace("\n", "\r\n"))
    run("tighten")
    text = read(project)
    assert text.startswith("\ufeff# budgets")
    assert text.count("\r\n") == text.count("\n") == DECLARATION.count("\n")
    assert budgets(project)["kws"][0] == with_margin(used(project, "kws")["flash"]) * 1024


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_linked_declaration_stays_a_link(project: Path) -> None:
    (project / "tinybudget.toml").rename(project / "real.toml")
    (project / "tinybudget.toml").symlink_to("real.toml")
    run("tighten")
    assert (project / "tinybudget.toml").is_symlink()
    assert "'100 KB'" not in (project / "real.toml").read_text("utf-8")


def test_groups_and_quoted_names_are_tightened_too(project: Path) -> None:
    text = DECLARATION.replace("[models.vad]", '[models."vad.v2"]')
    text += '\n[groups.both]\nmodels = ["kws", "vad.v2"]\nbudget = { flash = "1 MB" }\n'
    write(project, text.replace('message = "kept"', 'budget = { ram = "1 MB" }'))
    run("tighten", "--margin", "1 KB")
    declaration = load_declaration(project / "tinybudget.toml")
    group = declaration.groups["both"].budget.flash
    assert group is not None
    assert used(project, "kws")["flash"] < group < 100 * 1024
    assert (
        declaration.models["vad.v2"].budget.ram == -(-used(project, "vad")["ram"] // 16) * 16 + 1024
    )


@pytest.mark.parametrize("margin", ["", "lots", "-1%", "5 %%", "99999%"])
def test_a_wrong_margin_is_told_with_what_is_right(margin: str) -> None:
    with pytest.raises(TinybudgetError, match="such as '5%' or '2 KB'"):
        Margin.parsed(margin)


@pytest.mark.parametrize(
    ("margin", "used", "wanted"),
    [("5%", 1000, 1050), ("5%", 1001, 1052), ("0%", 7, 7), ("2 KB", 1000, 3048), ("2.5%", 1, 2)],
)
def test_a_margin_is_rounded_up_to_whole_bytes(margin: str, used: int, wanted: int) -> None:
    assert Margin.parsed(margin).above(used) == wanted


def test_a_single_pair_cannot_be_tightened(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tighten", "tinybudget.toml::kws") == 2
    assert "a budget may hold many pairs" in capsys.readouterr().err
