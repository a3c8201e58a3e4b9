"""``extends``: defaults and boards that several declarations share, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import load_declaration


KB = 1024

SHARED = """
[defaults]
boards = ["doorbell"]
budget = { flash = "300 KB", ram = "64 KB" }
warn_at = "80%"
message = "ask #memory"
strip = true

[boards.doorbell]
extends = "arduino-nano-33-ble"
reserved_flash = "50 KB"
runtime = { flash = "20 KB", stack = "2 KB" }
slots = { layout = "esp-idf", partition_table = "partitions.csv" }
"""
PARTITIONS = (
    "nvs,data,nvs,0x9000,16K\notadata,data,ota,0xd000,8K\n"
    "ota_0,app,ota_0,0x10000,384K\nota_1,app,ota_1,,384K\n"
)
TEAM = """
extends = "../shared.toml"

[models.kws]
source = "kws.tflite"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with ``shared.toml`` and the declaration of one team in ``team``."""
    team = tmp_path / "team"
    team.mkdir()
    (team / "kws.tflite").write_bytes(b"")
    (tmp_path / "partitions.csv").write_text(PARTITIONS, encoding="utf-8")
    (tmp_path / "shared.toml").write_text(SHARED, encoding="utf-8")
    return tmp_path


def load(project: Path, text: str) -> Declaration:
    declaration = project / "team" / "tinybudget.toml"
    declaration.write_text(text, encoding="utf-8")
    return load_declaration(declaration)


def refusal(project: Path, text: str) -> str:
    """All that is said of a declaration that cannot be loaded."""
    with pytest.raises(DeclarationError) as refused:
        load(project, text)
    return "\n".join([refused.value.message, *refused.value.details])


def test_defaults_and_boards_are_inherited(project: Path) -> None:
    declaration = load(project, TEAM)

    kws = declaration.models["kws"]
    (board,) = kws.boards
    assert (board.id, board.reserved_flash) == ("doorbell", 50 * KB)
    # By the partition table that lies beside shared.toml, less what ESP-IDF puts around an image.
    assert 383 * KB < board.usable_flash < 384 * KB
    assert declaration.boards["doorbell"] is board
    assert declaration.slots["doorbell"].room == board.usable_flash
    assert declaration.firmware_for(kws, board).fixed is not None
    assert (kws.budget.flash, kws.budget.ram) == (300 * KB, 64 * KB)
    assert (kws.warn_at_percent, kws.message, kws.conversion.strip) == (80, "ask #memory", True)


def test_what_a_declaration_says_itself_comes_first(project: Path) -> None:
    defaults = '\n[defaults]\nwarn_at = "95%"\nbudget = { ram = "32 KB" }\n'
    kws = load(project, TEAM + defaults).models["kws"]

    assert (kws.budget.flash, kws.budget.ram) == (300 * KB, 32 * KB)
    assert (kws.warn_at_percent, kws.message) == (95, "ask #memory")


def test_modules_and_data_of_a_conversion_are_the_declarations_own(project: Path) -> None:
    (project / "team" / "kws.npz").write_bytes(b"")
    kws = load(project, TEAM + 'representative_data = "kws.npz"\n').models["kws"]

    assert kws.conversion.strip
    assert kws.conversion.data_path == project / "team" / "kws.npz"


def test_own_boards_start_from_shared_ones(project: Path) -> None:
    own = '\n[boards.camera]\nextends = "doorbell"\nreserved_flash = "100 KB"\n'
    declaration = load(project, TEAM + 'boards = ["camera"]\n' + own)

    (board,) = declaration.models["kws"].boards
    assert board.reserved_flash == 100 * KB
    assert board.usable_flash == declaration.boards["doorbell"].usable_flash < 384 * KB
    assert set(declaration.boards) == {"doorbell", "camera"}


def test_a_shared_file_may_extend_another(project: Path) -> None:
    (project / "firm.toml").write_text('extends = "shared.toml"\n[defaults]\nstrict = true\n')
    kws = load(project, TEAM.replace("shared", "firm")).models["kws"]

    assert (kws.strict, kws.warn_at_percent) == (True, 80)


def test_lines_are_those_of_the_declaration(project: Path) -> None:
    declaration = load(project, TEAM)

    assert declaration.line_of("models", "kws") == 4
    assert ("defaults",) not in declaration.lines


def test_a_missing_file_is_told_with_the_nearest(project: Path) -> None:
    told = refusal(project, TEAM.replace("shared", "shard"))

    assert "team/tinybudget.toml:2: extends: no such file: '../shard.toml'" in told
    assert "did you mean 'shared.toml'?" in told


def test_a_folder_is_no_file(project: Path) -> None:
    told = refusal(project, TEAM.replace("/shared.toml", ""))

    assert "tinybudget.toml:2: extends: '..' is a folder; expected a file" in told
    assert ".tflite" not in told


def test_a_shared_board_cannot_be_declared_again(project: Path) -> None:
    told = refusal(project, TEAM + '[boards.doorbell]\nextends = "esp32"\n')

    assert "boards.doorbell: is a board of the extended file: choose another name" in told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[defaults]\nwarn_at = "110%"\n', ":2: defaults.warn_at: expected a percentage"),
        ('[defaults]\nboards = ["esp23"]\n', ":2: defaults.boards[0]: unknown board 'esp23'"),
        ("[defaults\n", ":1:10: not valid TOML"),
        ('[models.a]\nlayers = []\nboards = ["esp32"]\n', ":2: models.a.layers: "),
        (
            '[models.a]\nsource = "a.tflite"\n',
            ":1: models: does not belong in a file that is extended",
        ),
        ('[runtime.a]\nextends = "m4_ref"\n', ":1: runtime: does not belong"),
        ("[rollout]\n", ":1: rollout: does not belong"),
        ('[runtime.ops.A]\nflash = "1 KB"\n', ":1: runtime.ops: does not belong"),
        ('[defaults]\nartifacts = "out"\n', ":2: defaults.artifacts: names what each declaration"),
        (
            '[defaults]\nrepresentative_data = "random"\n',
            ":2: defaults.representative_data: names what each declaration",
        ),
    ],
)
def test_what_is_wrong_in_a_shared_file_is_told_with_its_name_and_line(
    project: Path, text: str, expected: str
) -> None:
    (project / "shared.toml").write_text(text, encoding="utf-8")

    assert f"shared.toml{expected}" in refusal(project, TEAM)


def test_which_files_are_written_is_inherited_and_the_folder_is_not(project: Path) -> None:
    (project / "shared.toml").write_text('[defaults]\nartifacts = ["tflite"]\n', encoding="utf-8")
    declaration = load(project, TEAM + 'boards = ["esp32"]\n')
    assert declaration.artifacts is None
    assert [each.artifact_kinds for each in declaration.models.values()] == [("tflite",)]


def test_files_that_extend_each_other_are_a_circle(project: Path) -> None:
    (project / "shared.toml").write_text('extends = "team/tinybudget.toml"\n', encoding="utf-8")

    told = refusal(project, TEAM)

    assert "shared.toml:1: extends: 'team/tinybudget.toml' extends this file in turn" in told


def test_a_very_long_chain_is_refused(project: Path) -> None:
    for number in range(60):
        text = f'extends = "s{number + 1}.toml"\n'
        (project / f"s{number}.toml").write_text(text, encoding="utf-8")
    (project / "s60.toml").write_text("", encoding="utf-8")

    assert "more than 20 files extend each other" in refusal(project, TEAM.replace("shared", "s0"))
