"""Footprints that are kept from run to run: taken only where all that decides them is the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import dense_model
from conftest import keyword_model
from msgspec.structs import replace

from pytest_tinybudget.base import code_state
from pytest_tinybudget.base.code_state import PACKAGE
from pytest_tinybudget.cli import main
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Estimate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace
from pytest_tinybudget.workspace import earlier_footprints
from pytest_tinybudget.workspace.kept_footprints import _ROOMS
from pytest_tinybudget.workspace.kept_footprints import KeptFootprints
from pytest_tinybudget.workspace.kept_footprints import shrink


FIRMWARE = Firmware(RUNTIMES["m4_cmsisnn"])
DECLARATION = """\
schema = 1
[models.kws]
source = "kws.tflite"
boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]
"""


def model(content: bytes = b"") -> Model:
    return read_model(content or keyword_model(), "kws")


def measured_again(
    folder: Path, firmware: Firmware = FIRMWARE, content: bytes = b"", what: str = ""
) -> bool:
    """Whether a new run measures the model, or takes what is kept."""
    made = []

    def make() -> Estimate:
        made.append(True)
        return Estimate(measure(model(content), firmware), linked=True)

    code_state._files_of.cache_clear()  # another run is another process
    kept = KeptFootprints(folder)
    found = kept.get(model(content), firmware, what, make)
    assert found.footprint == measure(model(content), firmware)
    kept.close()
    return bool(made)


def test_a_second_run_takes_what_the_first_one_measured(tmp_path: Path) -> None:
    assert measured_again(tmp_path)
    assert not measured_again(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        replace(FIRMWARE, registrations="typed"),
        replace(FIRMWARE, runtime=RUNTIMES["m0plus_cmsisnn"]),
        replace(FIRMWARE, stack=3000),
        replace(FIRMWARE, placements=Placements(arena="heap")),
        replace(FIRMWARE, label="mine"),
        replace(FIRMWARE, not_typed=frozenset({("CONV_2D", "INT8")})),
    ],
    ids=["registrations", "runtime", "stack", "placements", "label", "not_typed"],
)
def test_other_firmware_is_measured_for_itself(tmp_path: Path, other: Firmware) -> None:
    assert measured_again(tmp_path)
    assert measured_again(tmp_path, other)
    assert not measured_again(tmp_path)
    assert not measured_again(tmp_path, other)


def test_a_changed_model_is_measured_anew(tmp_path: Path) -> None:
    assert measured_again(tmp_path)
    assert measured_again(tmp_path, content=keyword_model(filters=16))


def test_another_question_is_answered_for_itself(tmp_path: Path) -> None:
    assert measured_again(tmp_path)
    assert measured_again(tmp_path, what="savings")


@pytest.mark.parametrize("change", ["content", "name"])
def test_changed_code_of_the_package_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    package = tmp_path / "package"
    rule = package / "footprint" / "rule.py"
    rule.parent.mkdir(parents=True)
    rule.write_text("bytes = 4")
    monkeypatch.setattr("pytest_tinybudget.base.code_state.PACKAGE", package)
    monkeypatch.setattr("pytest_tinybudget.workspace.kept_footprints._ROOMS", ("footprint",))
    assert measured_again(tmp_path / "cache")
    assert not measured_again(tmp_path / "cache")
    if change == "content":
        before = rule.stat()
        rule.write_text("bytes = 8")  # of the same size, and as old as the other
        os.utime(rule, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        rule.rename(rule.with_name("kernel.py"))
    assert measured_again(tmp_path / "cache")


def test_the_same_code_in_a_fresh_environment_takes_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pytest_tinybudget.workspace.kept_footprints._ROOMS", ("footprint",))
    for name in ("first", "second"):
        rule = tmp_path / name / "footprint" / "rule.py"
        rule.parent.mkdir(parents=True)
        rule.write_text("bytes = 4")
        monkeypatch.setattr("pytest_tinybudget.base.code_state.PACKAGE", tmp_path / name)
        assert measured_again(tmp_path / "cache") == (name == "first")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a package, as an installer leaves it; the record is older than nothing of it."""
    monkeypatch.setattr("pytest_tinybudget.workspace.kept_footprints._ROOMS", ("footprint",))
    rule = tmp_path / "pytest_tinybudget" / "footprint" / "rule.py"
    monkeypatch.setattr(code_state, "PACKAGE", rule.parents[1])
    rule.parent.mkdir(parents=True)
    rule.write_text("bytes = 4")
    record(rule, "sha256=four")
    return rule


def record(rule: Path, digest: str) -> None:
    path = rule.parents[2] / "pytest_tinybudget-1.0.dist-info" / "RECORD"
    path.parent.mkdir(exist_ok=True)
    rows = (
        f"pytest_tinybudget/footprint/rule.py,{digest},9",
        "pytest_tinybudget/footprint/__pycache__/rule.cpython-313.pyc,,",
        "pytest_tinybudget/footprints.py,sha256=other,5",
    )
    while True:  # until the clock of the file system has moved on
        path.write_text("\n".join(rows))
        if path.stat().st_ctime_ns > rule.stat().st_ctime_ns:
            return


def test_what_an_installer_recorded_stands_for_the_files(installed: Path, tmp_path: Path) -> None:
    assert measured_again(tmp_path / "cache")
    record(installed, "sha256=four")  # installed again
    assert not measured_again(tmp_path / "cache")
    record(installed, "sha256=eight")
    assert measured_again(tmp_path / "cache")


@pytest.mark.parametrize("change", ["content", "new file", "no file", "two records"])
def test_what_changed_since_it_was_installed_is_read(
    installed: Path, tmp_path: Path, change: str
) -> None:
    assert measured_again(tmp_path / "cache")
    if change == "content":
        before = installed.stat()
        installed.write_text("bytes = 8")  # of the same size, and as old as the other
        os.utime(installed, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "new file":
        installed.with_name("kernel.py").touch()
    elif change == "no file":
        installed.rename(installed.parents[2] / "kernel.py")
    else:
        (tmp_path / "pytest_tinybudget-2.0.dist-info").mkdir()
        (tmp_path / "pytest_tinybudget-2.0.dist-info" / "RECORD").touch()
    assert measured_again(tmp_path / "cache")
    assert not measured_again(tmp_path / "cache")


def test_a_users_own_table_counts_by_its_content(tmp_path: Path) -> None:
    table = tmp_path / "own.json"
    table.write_text("one")
    own = replace(FIRMWARE, runtime=replace(FIRMWARE.runtime, graph=str(table)))

    def made_anew() -> bool:
        made = []
        kept = KeptFootprints(tmp_path / "cache")
        estimate = Estimate(measure(model(), FIRMWARE), linked=True)
        kept.get(model(), own, "", lambda: made.append(True) or estimate)
        kept.close()
        return bool(made)

    assert made_anew()
    assert not made_anew()
    table.write_text("two")
    assert made_anew()


@pytest.mark.parametrize("damage", ["cut", "flipped", "another model's", "empty"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, damage: str) -> None:
    assert measured_again(tmp_path)
    (path,) = tmp_path.glob("*.footprints")
    content = path.read_bytes()
    if damage == "another model's":
        assert measured_again(tmp_path, content=dense_model())
        (other,) = set(tmp_path.glob("*.footprints")) - {path}
        content = other.read_bytes()
    changes = {"cut": content[:-9], "flipped": content[:-1] + b"\xff", "empty": b""}
    path.write_bytes(changes.get(damage, content))
    assert measured_again(tmp_path)
    assert not measured_again(tmp_path)


def test_a_folder_that_cannot_be_made_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    assert measured_again(tmp_path / "file" / "cache")
    assert measured_again(tmp_path / "file" / "cache")


def test_the_files_written_longest_ago_go_above_the_limit(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "older", "oldest")):
        path = tmp_path / f"{name}.footprints"
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    shrink(tmp_path, 250)
    assert {path.stem for path in tmp_path.iterdir()} == {"new", "older"}


def test_models_that_are_only_tried_are_not_kept(tmp_path: Path) -> None:
    workspace = Workspace(kept=KeptFootprints(tmp_path))
    with workspace.trial():
        workspace.footprint(model(), FIRMWARE)
    workspace.close()
    assert not list(tmp_path.glob("*.footprints"))


def test_what_another_estimator_says_is_asked_each_time(tmp_path: Path) -> None:
    answer = measure(model(), FIRMWARE)
    for flash in (1000, 2000):
        other = replace(answer, runtime=f"engine {flash}")
        workspace = Workspace(estimator=lambda *_, o=other: o, kept=KeptFootprints(tmp_path))
        assert workspace.footprint(model(), FIRMWARE).runtime == f"engine {flash}"
        workspace.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, the working directory, with a cache of its own."""
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    folder.joinpath("kws.tflite").write_bytes(keyword_model())
    folder.joinpath("tinybudget.toml").write_text(DECLARATION)
    monkeypatch.chdir(folder)
    return folder


def checked(*options: str) -> list[object]:
    assert main(["check", "-q", "--json", "results.json", *options]) == 0
    pairs: list[object] = json.loads(Path("results.json").read_text("utf-8"))["pairs"]
    return pairs


@pytest.mark.usefixtures("folder")
def test_a_check_with_kept_footprints_has_the_same_results(monkeypatch: pytest.MonkeyPatch) -> None:
    first = checked("--no-cache")
    assert earlier_footprints().size() == (0, 0)
    assert checked() == first
    assert earlier_footprints().size()[0] == 1

    def measured(*_: object) -> None:
        raise AssertionError("measured, though it was kept")

    monkeypatch.setattr("pytest_tinybudget.footprint.measure.measure", measured)
    assert checked() == first


@pytest.mark.usefixtures("folder")
def test_the_cache_command_counts_and_clears_footprints(capsys: pytest.CaptureFixture[str]) -> None:
    checked()
    capsys.readouterr()
    assert main(["cache", "size"]) == 0
    assert "the footprints of 1 models" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "and the footprints of 1 models" in capsys.readouterr().out
    assert earlier_footprints().size() == (0, 0)


def test_a_second_run_of_pytest_passes_with_the_same_results(
    project: Callable[..., pytest.Pytester], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))
    made = project()
    found = []
    for name in ("first.json", "second.json"):
        assert made.runpytest_subprocess("--tinybudget", f"--tinybudget-json={name}").ret == 0
        found.append(json.loads(made.path.joinpath(name).read_text("utf-8"))["pairs"])
    assert found[0] == found[1]
    assert len(list((tmp_path / "cache" / "footprints").glob("*.footprints"))) == 2


def test_all_code_that_a_footprint_needs_counts_as_its_code() -> None:
    needed = {
        line.split(".")[1]
        for path in PACKAGE.joinpath("footprint").rglob("*.py")
        for line in path.read_text("utf-8").split()
        if line.startswith("pytest_tinybudget.")
    }
    assert needed
    assert needed <= set(_ROOMS)
