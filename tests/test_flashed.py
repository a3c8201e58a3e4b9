"""What a project flashes as a runtime: one release, or several of which the hungriest counts."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget import api
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.detection.detect import LOOKED_FOR
from pytest_tinybudget.detection.detect import detect
from pytest_tinybudget.detection.flashed import Flashed
from pytest_tinybudget.detection.flashed import flashed
from pytest_tinybudget.detection.names import PATTERNS
from pytest_tinybudget.detection.names import SUBMODULES
from pytest_tinybudget.detection.names import any_to_read
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.fingerprint import fingerprint
from pytest_tinybudget.runtimes.runtime import Runtime


# One of several releases


def dense_file(*, per_channel: bool = False) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4, per_channel=per_channel))
    return maker.build()


def dense(*, per_channel: bool = False) -> Model:
    return read_model(dense_file(per_channel=per_channel), "dense")


def one_of(*names: str, core: str = "Cortex-M4F") -> Runtime:
    runtimes = tuple(runtime_called(name, core) for name in names)
    return replace(runtimes[0], label="several", one_of=runtimes)


def test_of_several_releases_the_one_that_asks_for_most_counts_and_the_range_is_said() -> None:
    names = ("zephyr 4.4", "arduino-tflm 2022-06", "tflite-micro 90b983c2")
    each = [measure(dense(), runtime_called(name, "Cortex-M4F")) for name in names]
    found = measure(dense(), one_of(*names))
    arenas = [one.arena.required for one in each if one.arena is not None]
    assert found.arena is not None
    assert len(set(arenas)) > 1
    assert found.arena.required == max(arenas)
    assert found.flash == max(one.flash for one in each)
    assert not found.known
    assert (
        f"arena: of several the most is {max(arenas):,} B (zephyr 4.4), "
        f"the least {min(arenas):,} B (arduino-tflm 2022-06)"
    ) in found.unknown
    assert any(line.startswith("flash: of several the most is ") for line in found.unknown)


def test_releases_that_ask_for_the_same_leave_an_arena_as_it_is() -> None:
    names = ("zephyr 4.3", "zephyr 4.2", "zephyr 4.1")
    found = measure(dense(), one_of(*names))
    alone = measure(dense(), runtime_called(names[0], "Cortex-M4F"))
    assert (found.arena, found.flash, found.unknown) == (alone.arena, alone.flash, alone.unknown)


def test_what_one_of_several_releases_refuses_is_refused() -> None:
    found = measure(dense(per_channel=True), one_of("zephyr 4.4", "zephyr 4.0"))
    assert found.refusals
    assert "zephyr 4.0 refuses it; what else the project may take does not" in found.unknown


def test_several_releases_are_another_runtime_than_each_of_them() -> None:
    one, two = runtime_called("zephyr 4.4"), runtime_called("zephyr 4.0")
    several = one_of("zephyr 4.4", "zephyr 4.0")
    assert len({fingerprint(each) for each in (one, two, several)}) == 3
    assert several.with_margin(45).one_of[1].flash_margin_percent == 45


def git(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    done = subprocess.run(
        ["git", *identity, "-C", folder, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout.strip()


# From files to a runtime


S3 = "Xtensa LX7 with vectors"
M4 = "Cortex-M4F"
LOCK = "dependencies: {espressif/esp-tflite-micro: {version: %s}, espressif/esp-nn: {version: %s}}"
MANIFEST = "dependencies: {espressif/esp-tflite-micro: '%s'}"
WEST = "manifest: {projects: [{name: zephyr, revision: %s}]}"


def project(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def found_in(tmp_path: Path, core: str, folder: str = "", **files: str) -> Flashed:
    found = flashed(detect(project(tmp_path, **files)), core, folder)
    assert found is not None
    return found


def names(found: Flashed) -> list[str]:
    return [each.name for each in found.runtime.one_of] or [found.runtime.name]


def test_a_lock_decides_release_and_kernels(tmp_path: Path) -> None:
    found = found_in(tmp_path, S3, **{"dependencies.lock": LOCK % ("1.3.3~1", "1.1.2")})
    assert found.runtime.name == "esp-tflite-micro 1.3.3.1"
    assert found.runtime.kernels.version.name == "1.1.2"
    assert found.runtime.tflm == runtime_called("esp-tflite-micro 1.3.3.1", S3).tflm
    assert found.places == "dependencies.lock:1"
    assert [each.product for each in found.findings] == ["esp-tflite-micro", "esp-nn"]


def test_a_range_is_all_releases_that_it_allows(tmp_path: Path) -> None:
    found = found_in(tmp_path, S3, **{"main/idf_component.yml": MANIFEST % "~1.3.3"})
    assert found.runtime.name == "esp-tflite-micro 1.3.3 to 1.3.8"
    assert names(found) == [
        f"esp-tflite-micro 1.3.{patch}" for patch in ("8", "7", "5", "4", "3.1", "3")
    ]


def test_a_lock_that_its_manifest_has_left_behind_counts_beside_what_is_asked_for(
    tmp_path: Path,
) -> None:
    files = {
        "dependencies.lock": LOCK % ("1.3.1", "1.1.0"),
        "main/idf_component.yml": MANIFEST % "1.3.4",
    }
    found = found_in(tmp_path, S3, **files)
    assert names(found) == ["esp-tflite-micro 1.3.4", "esp-tflite-micro 1.3.1"]
    (note,) = found.notes
    assert note == (
        "main/idf_component.yml:1 asks for 1.3.4, which dependencies.lock:1 is not: the next "
        "build takes another"
    )


def test_a_version_between_releases_is_both_of_them(tmp_path: Path) -> None:
    found = found_in(tmp_path, S3, **{"main/idf_component.yml": MANIFEST % "1.3.6"})
    assert names(found) == ["esp-tflite-micro 1.3.7", "esp-tflite-micro 1.3.5"]
    assert found.notes == ("main/idf_component.yml:1: 1.3.6 lies between releases that are known",)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("9.9.9", "9.9.9 is newer than every release that is known"),
        ("0.1.0", "0.1.0 is older than every release that is known"),
    ],
)
def test_a_version_beyond_all_that_are_known_is_a_warning(
    tmp_path: Path, version: str, told: str
) -> None:
    found = found_in(tmp_path, S3, **{"dependencies.lock": LOCK % (version, "1.1.2")})
    assert found.runtime.name == f"esp-tflite-micro {version}"
    assert found.notes == ()
    assert found.warnings == (
        f"dependencies.lock:1: {told}: the largest arena of all known versions counts",
    )
    (result,) = checked(tmp_path, 'runtime = "project"')
    assert found.warnings[0] in result.warnings
    assert result.outcome == "warns"
    assert result.footprint is not None
    arena = [part for part in result.footprint.ram_parts if part.name.startswith("arena")]
    assert {part.method for part in arena} == {"estimated"}
    (newest,) = checked(tmp_path, 'runtime = "esp-tflite-micro 1.4.0"')
    assert newest.footprint is not None
    assert result.footprint.ram >= newest.footprint.ram
    assert not result.footprint.known, "strict refuses it"


def test_a_range_beyond_all_that_are_known_is_a_warning(tmp_path: Path) -> None:
    found = found_in(tmp_path, S3, **{"main/idf_component.yml": MANIFEST % ">=9.0"})
    (warning,) = found.warnings
    assert warning == (
        "main/idf_component.yml:1: >=9.0 is met by no release that is known: "
        "the largest arena of all known versions counts"
    )


def test_where_nothing_is_left_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": "dependencies: [1, 2"})
    with pytest.raises(
        DeclarationError, match=r"dependencies\.lock:\d+ is not read: not valid YAML"
    ):
        checked(tmp_path, 'runtime = "project"')


def test_a_file_that_cannot_be_read_is_a_note_where_others_decide(tmp_path: Path) -> None:
    files = {
        "dependencies.lock": "dependencies: [1, 2",
        "main/idf_component.yml": MANIFEST % "1.3.4",
    }
    project(tmp_path, **files)
    (result,) = checked(tmp_path, 'runtime = "project"')
    assert result.runtime == "esp-tflite-micro 1.3.4"
    (note,) = (line for line in result.notes if "is not read" in line)
    assert note.startswith("dependencies.lock:")


def test_a_commit_that_nobody_knows_may_be_any_release(tmp_path: Path) -> None:
    text = "FetchContent_Declare(t GIT_REPOSITORY https://github.com/raspberrypi/pico-tflmicro"
    text += " GIT_TAG 7722147216)"
    found = found_in(tmp_path, "Cortex-M0+", **{"CMakeLists.txt": text})
    assert names(found)[0] == "pico-tflmicro dfea53b"
    assert len(names(found)) > 5
    assert found.notes == ("CMakeLists.txt:1: 7722147216 is none that is known",)


def test_zephyrs_manifest_pins_and_its_kconfig_chooses_kernels_and_optimization(
    tmp_path: Path,
) -> None:
    prj = "CONFIG_TENSORFLOW_LITE_MICRO=y\nCONFIG_SPEED_OPTIMIZATIONS=y\n"
    found = found_in(tmp_path, M4, **{"west.yml": WEST % "v4.1.0", "prj.conf": prj})
    assert found.runtime.name == "zephyr 4.1"
    assert found.runtime.kernels.library == "reference"
    assert found.runtime.optimize == "2"
    assert not found.runtime.tflm.static_memory
    cmsis = f"{prj}CONFIG_TENSORFLOW_LITE_MICRO_CMSIS_NN_KERNELS=y\n"
    found = found_in(tmp_path, M4, **{"prj.conf": cmsis})
    assert found.runtime.kernels == runtime_called("zephyr 4.1", M4).kernels


def test_a_module_of_its_own_takes_the_place_of_what_zephyr_pins(tmp_path: Path) -> None:
    module = "https://github.com/zephyrproject-rtos/tflite-micro"
    text = f"manifest: {{projects: [{{name: zephyr, revision: v4.3.0}}, {{name: t, url: '{module}',"
    found = found_in(tmp_path, M4, **{"west.yml": f"{text} revision: zephyr-v3.6.0}}]}}"})
    assert found.runtime.name == "zephyr 3.6"


def test_esphome_pins_unless_the_device_names_a_component(tmp_path: Path) -> None:
    device = "esphome: {min_version: 2026.5.0}\nesp32: {variant: esp32s3%s}\nmicro_wake_word:\n"
    found = found_in(tmp_path, S3, **{"v.yaml": device % ""})
    assert found.runtime.name == "esphome 2026.5"
    own = ", framework: {components: [{name: espressif/esp-tflite-micro, ref: 1.3.4}]}"
    found = found_in(tmp_path, S3, **{"v.yaml": device % own})
    assert found.runtime.name == "esp-tflite-micro 1.3.4"


def test_the_arduino_library_names_no_version_and_build_flags_count(tmp_path: Path) -> None:
    text = "[env:a]\nboard = nano33ble\nbuild_flags = -DTF_LITE_STATIC_MEMORY\nlib_deps ="
    found = found_in(tmp_path, M4, **{"platformio.ini": f"{text} Arduino_TensorFlowLite"})
    assert found.runtime.name == "arduino-tflm 2022-06 to 2023-12"
    assert all(each.tflm.static_memory for each in found.runtime.one_of)
    plain = found_in(
        tmp_path, M4, **{"platformio.ini": "[env:a]\nlib_deps = Arduino_TensorFlowLite"}
    )
    assert not plain.runtime.tflm.static_memory


def test_tflms_own_sources_may_be_built_either_way_unless_a_file_says(tmp_path: Path) -> None:
    fetch = "FetchContent_Declare(t GIT_REPOSITORY https://github.com/tensorflow/tflite-micro "
    fetch += "GIT_TAG 71fba59b)\n"
    found = found_in(tmp_path, M4, **{"CMakeLists.txt": fetch})
    assert names(found) == [
        "tflite-micro 71fba59b, CMSIS-NN",
        "tflite-micro 71fba59b without TF_LITE_STATIC_MEMORY, CMSIS-NN",
        "tflite-micro 71fba59b, the reference kernels",
        "tflite-micro 71fba59b without TF_LITE_STATIC_MEMORY, the reference kernels",
    ]
    said = f"{fetch}target_compile_definitions(tflm PUBLIC TF_LITE_STATIC_MEMORY CMSIS_NN)\n"
    found = found_in(tmp_path, M4, **{"CMakeLists.txt": said})
    assert names(found) == ["tflite-micro 71fba59b"]
    assert found.runtime.tflm == runtime_called("tflite-micro 71fba59b", M4).tflm


def test_a_core_that_a_distribution_is_not_built_for_is_not_its(tmp_path: Path) -> None:
    files = {"dependencies.lock": LOCK % ("1.3.1", "1.1.0"), "west.yml": WEST % "v4.4.0"}
    assert found_in(tmp_path, M4, **files).runtime.name == "zephyr 4.4"
    assert flashed(detect(tmp_path), "Hexagon") is None


def test_what_is_nearest_to_the_declaration_counts(tmp_path: Path) -> None:
    files = {
        "a/dependencies.lock": LOCK % ("1.3.1", "1.1.0"),
        "b/dependencies.lock": LOCK % ("1.3.4", "1.1.2"),
    }
    assert found_in(tmp_path, S3, "b", **files).runtime.name == "esp-tflite-micro 1.3.4"
    assert found_in(tmp_path, S3, "a/tests", **files).runtime.name == "esp-tflite-micro 1.3.1"
    assert names(found_in(tmp_path, S3, **files)) == [
        "esp-tflite-micro 1.3.4", "esp-tflite-micro 1.3.1",
    ]  # fmt: skip


def test_of_environments_for_boards_the_one_of_the_board_counts(tmp_path: Path) -> None:
    text = "[env:a]\nboard = esp32dev\nlib_deps = espressif/esp-tflite-micro@1.3.1\n"
    text += "[env:b]\nboard = nano33ble\nlib_deps = espressif/esp-tflite-micro@1.3.4\n"
    detection = detect(project(tmp_path, **{"platformio.ini": text}))
    likes = {"esp32dev": 2, "nano33ble": 0}
    found = flashed(detection, S3, likeness=likes.__getitem__)
    assert found is not None
    assert found.runtime.name == "esp-tflite-micro 1.3.1"


def test_a_fork_says_nothing(tmp_path: Path) -> None:
    files = {"dependencies.lock": "dependencies: {someone/esp-tflite-micro: {version: 1.3.1}}"}
    assert flashed(detect(project(tmp_path, **files)), S3) is None


def submodule_of(folder: Path, repository: str) -> tuple[Path, str]:
    """A project with a submodule at a commit of June 2024, checked out."""
    modules = project(
        folder,
        **{
            ".gitmodules": '[submodule "lib/t"]\n\tpath = lib/t\n'
            f"\turl = https://github.com/{repository}\n",
            "lib/t/README": "",
        },
    )
    git(modules / "lib/t", "init", "--quiet")
    git(modules / "lib/t", "add", ".")
    environment = {**os.environ, "GIT_COMMITTER_DATE": "2024-06-01T12:00:00+0200"}
    git(modules / "lib/t", "commit", "--quiet", "-m", "x", environment=environment)
    commit = git(modules / "lib/t", "rev-parse", "HEAD")
    git(modules, "init", "--quiet")
    git(modules, "update-index", "--add", "--cacheinfo", f"160000,{commit},lib/t")
    return modules, commit


def test_a_submodule_that_is_checked_out_is_dated_by_its_commit(tmp_path: Path) -> None:
    modules, _ = submodule_of(tmp_path, "raspberrypi/pico-tflmicro")
    detection = detect(modules)
    assert [each.date for each in detection.findings] == ["2024-06-01T10:00"]
    found = flashed(detection, "Cortex-M0+")
    assert found is not None
    assert names(found) == ["pico-tflmicro dfea53b", "pico-tflmicro 03cbb1e"]
    (note,) = found.notes
    assert note.endswith("of 2024-06-01 counts as the releases around")


def test_a_commit_of_tflm_that_nobody_measured_is_bounded_by_those_around_its_date(
    tmp_path: Path,
) -> None:
    modules, commit = submodule_of(tmp_path, "tensorflow/tflite-micro")
    found = flashed(detect(modules), "RV32IMC")
    assert found is not None
    assert found.runtime.tflm.version.name == commit[:8]
    assert found.runtime.tflm.version.date == "2024-06-01T10:00"
    assert not found.runtime.tflm.is_known
    footprint = measure(dense(), found.runtime)
    assert footprint.arena is not None
    assert footprint.unknown
    known = runtime_called("tflite-micro 71fba59b", "RV32IMC")
    least = measure(dense(), known).arena
    assert least is not None
    assert footprint.arena.required >= least.required


# runtime = "project"


DECLARED = """\
[defaults]
boards = ["esp32-s3-devkitc-1"]
%s
[models.kws]
source = "kws.tflite"
"""


def checked(tmp_path: Path, defaults: str, *, per_channel: bool = False) -> list[PairResult]:
    (tmp_path / "kws.tflite").write_bytes(dense_file(per_channel=per_channel))
    (tmp_path / "tinybudget.toml").write_text(DECLARED % defaults)
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    return [Gate().check(pair) for pair in pairs("tinybudget.toml", declaration)]


def test_runtime_project_takes_what_the_files_name(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.3~1", "1.1.2")})
    (result,) = checked(tmp_path, 'runtime = "project"')
    assert result.runtime == "esp-tflite-micro 1.3.3.1"
    assert result.flashed == (
        "esp-tflite-micro 1.3.3~1 (dependencies.lock:1)",
        "esp-nn 1.1.2 (dependencies.lock:1)",
    )
    assert result.identity is not None
    assert result.identity.kernels_version == "1.1.2"
    assert (
        f"the project flashes esp-tflite-micro 1.3.3.1: {', '.join(result.flashed)}" in result.notes
    )


def test_a_board_and_a_model_may_take_it_as_well(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.3~1", "1.1.2")})
    (tmp_path / "kws.tflite").write_bytes(dense_file())
    (tmp_path / "tinybudget.toml").write_text(
        '[models.kws]\nsource = "kws.tflite"\nboards = ["own", "esp32"]\n'
        '[models.other]\nsource = "kws.tflite"\nboards = ["esp32"]\nruntime = "project"\n'
        '[boards.own]\nextends = "esp32-s3-devkitc-1"\nruntime = "project"\n'
    )
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    found = [each for each in pairs("tinybudget.toml", declaration) if isinstance(each, Pair)]
    names = [each.firmware.runtime.name for each in found]
    assert names[0] == names[2] == "esp-tflite-micro 1.3.3.1"
    assert names[1] != names[0]


def test_a_range_is_measured_and_its_upper_end_counts(tmp_path: Path) -> None:
    project(tmp_path, **{"main/idf_component.yml": MANIFEST % "~1.3.0"})
    (result,) = checked(tmp_path, 'runtime = "project"', per_channel=True)
    assert result.runtime == "esp-tflite-micro 1.3.0 to 1.3.8"
    assert result.outcome == "refused"
    (result,) = checked(tmp_path, 'runtime = "project"')
    assert result.outcome in ("fits", "warns")
    assert result.runtime_text.startswith(
        "esp-tflite-micro 1.3.0 to 1.3.8 (TFLM 8a1fe96c to 35b20c5c), ESP32-S3, esp-nn"
    )


def test_an_error_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    project(
        tmp_path, **{"west.yml": WEST % "v4.1.0", "platformio.ini": "[env:a]\nlib_deps = tfmicro"}
    )
    (tmp_path / "west.yml").unlink()
    with pytest.raises(DeclarationError) as raised:
        checked(tmp_path, 'runtime = "project"')
    text = str(raised.value)
    assert "tinybudget.toml:3" in text
    assert "the project's files name no TFLM for esp32-s3-devkitc-1 (Xtensa LX7" in text
    assert "tfmicro (any version) (platformio.ini:2)" in text
    assert "not for it, or not known: tfmicro (any version) (platformio.ini:2)" in text
    looked_for = text.splitlines()[2:]
    assert looked_for[0].strip().startswith("looked for .gitmodules, dependencies.lock")
    assert all(len(line) <= 80 for line in looked_for[: len(LOOKED_FOR)])


def test_a_shared_file_leaves_the_project_to_the_declaration_that_extends_it(
    tmp_path: Path,
) -> None:
    shared = tmp_path / "shared"
    project(shared, **{"budgets.toml": '[defaults]\nruntime = "project"\n'})
    firmware = project(
        tmp_path / "firmware",
        **{"dependencies.lock": LOCK % ("1.3.4", "1.1.2"), ".git/HEAD": ""},
    )
    (firmware / "kws.tflite").write_bytes(dense_file())
    (firmware / "tinybudget.toml").write_text(
        'extends = "../shared/budgets.toml"\n' + DECLARED % ""
    )
    declaration = load_declaration(firmware / "tinybudget.toml")
    (pair,) = pairs("tinybudget.toml", declaration)
    assert isinstance(pair, Pair)
    assert pair.firmware.runtime.name == "esp-tflite-micro 1.3.4"


def test_the_project_cannot_be_the_name_of_a_runtime_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="is the name of a shipped runtime"):
        checked(tmp_path, '[runtime.project]\nextends = "m4_cmsisnn"')


def test_python_and_the_command_line_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.4", "1.1.2")})
    Path("kws.tflite").write_bytes(dense_file())
    board = find_board("esp32-s3-devkitc-1")
    found = api.check("kws.tflite", board=board, runtime="project")
    assert found.runtime == "esp-tflite-micro 1.3.4"
    arguments = ["check", "kws.tflite", "--board", board.id, "--runtime", "project"]
    assert main(arguments) == 0
    assert "esp-tflite-micro 1.3.4" in capsys.readouterr().out
    assert main(["inspect", "kws.tflite", "--runtime", "project"]) == 2
    assert "is what is flashed onto a board" in capsys.readouterr().err


# A declared runtime that the files contradict


def test_a_contradiction_is_a_warning_with_the_difference_in_bytes(tmp_path: Path) -> None:
    project(tmp_path, **{"west.yml": WEST % "v4.1.0"})
    text = DECLARED.replace("esp32-s3-devkitc-1", "arduino-nano-33-ble")
    (tmp_path / "kws.tflite").write_bytes(dense_file())

    def result_with(runtime: str) -> PairResult:
        (tmp_path / "tinybudget.toml").write_text(text % f'runtime = "{runtime}"')
        declaration = load_declaration(tmp_path / "tinybudget.toml")
        (pair,) = pairs("tinybudget.toml", declaration)
        return Gate().check(pair)

    declared, real = result_with("m4_cmsisnn"), result_with("project")
    assert declared.footprint is not None
    assert real.footprint is not None
    ram = real.footprint.ram - declared.footprint.ram
    flash = real.footprint.flash - declared.footprint.flash
    assert ram > 0
    warning = (
        "the project's files name zephyr 4.1 (west.yml:1), and the declared runtime is m4_cmsisnn: "
        f"what they name takes {ram:+,} B of RAM and {flash:+,} B of flash; "
        'runtime = "project" counts what they name'
    )
    assert warning in declared.warnings
    assert declared.outcome == "warns"
    assert not any("the project's files" in line for line in result_with("zephyr 4.1").warnings)
    assert not any("the project's files" in line for line in real.warnings)
    (tmp_path / "prj.conf").write_text("CONFIG_TENSORFLOW_LITE_MICRO=y\n")
    (same_name,) = result_with("zephyr 4.1").warnings
    assert same_name.startswith(
        "the project's files name zephyr 4.1, reference kernels (west.yml:1), and the declared "
        "runtime is zephyr 4.1, CMSIS-NN with DSP"
    )


def test_a_contradiction_that_is_a_refusal_says_so(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.1", "1.1.0")})
    (result,) = checked(tmp_path, 'runtime = "esp-tflite-micro 1.3.4"', per_channel=True)
    (warning,) = (line for line in result.warnings if line.startswith("the project's files"))
    assert "with what they name, TFLM refuses FULLY_CONNECTED" in warning


def test_an_sdk_that_the_files_contradict_is_one_too(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.1", "1.1.0")})
    (result,) = checked(tmp_path, 'sdk = "esphome"')
    assert any("name esp-tflite-micro 1.3.1 (dependencies.lock:1)" in w for w in result.warnings)


def test_a_board_at_its_default_is_compared_with_the_projects_files(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.1", "1.1.0")})
    (result,) = checked(tmp_path, "")
    assert result.outcome == "warns"
    (warning,) = (each for each in result.warnings if "project's files" in each)
    assert warning.startswith(
        "the project's files name esp-tflite-micro 1.3.1 (dependencies.lock:1), and the default "
        "of esp32-s3-devkitc-1 is esp-tflite-micro 1.4.0: what they name takes "
    )
    assert re.search(r"takes [+±-][\d,]+ B of RAM and [+±-][\d,]+ B of flash", warning)
    assert warning.endswith('runtime = "project" counts what they name')


def test_a_board_at_its_default_that_the_files_name_as_well_has_no_warning(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.4.0", "1.1.2")})
    (result,) = checked(tmp_path, "")
    assert not any("project's files" in each for each in result.warnings)


def test_an_own_board_with_an_sdk_alone_is_compared_with_the_projects_files(
    tmp_path: Path,
) -> None:
    project(tmp_path, **{"west.yml": WEST % "v4.1.0"})
    (tmp_path / "kws.tflite").write_bytes(dense_file())
    (tmp_path / "tinybudget.toml").write_text(
        '[boards.own]\nextends = "arduino-nano-33-ble"\nsdk = "zephyr"\n'
        '[models.kws]\nsource = "kws.tflite"\nboards = ["own"]\n'
    )
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    (result,) = (Gate().check(pair) for pair in pairs("tinybudget.toml", declaration))
    (warning,) = (each for each in result.warnings if "project's files" in each)
    assert "name zephyr 4.1 (west.yml:" in warning
    assert "and the default of own is zephyr 4.4: what they name takes " in warning


def test_a_project_without_such_files_is_looked_through_by_names_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, **{"main.c": "int main(void) { return 0; }\n", "README.md": "# A model\n"})

    def walked(*_: object) -> None:
        raise AssertionError("walked")

    monkeypatch.setattr("pytest_tinybudget.detection.detect.detect", walked)
    (result,) = checked(tmp_path, "")
    assert result.outcome in ("fits", "warns")


@pytest.mark.parametrize(
    "name", [*PATTERNS, "tensorflow/lite/micro/micro_interpreter.h", SUBMODULES]
)
def test_a_file_of_any_format_is_seen_by_its_name(tmp_path: Path, name: str) -> None:
    assert not any_to_read(tmp_path)
    written = {
        "ESPHome's YAML": "device.yaml",
        "components/*/__init__.py": "components/a/__init__.py",
    }
    name = written.get(name, name)
    folder = "" if name == SUBMODULES else "firmware/"
    path = tmp_path / f"{folder}{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert any_to_read(tmp_path)


# A pin that changes


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A commit with esp-tflite-micro 1.3.1, and a change to 1.3.4 that is not committed."""
    monkeypatch.chdir(tmp_path)
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.1", "1.1.1")})
    (tmp_path / "kws.tflite").write_bytes(dense_file())
    (tmp_path / "tinybudget.toml").write_text(DECLARED % 'runtime = "project"')
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "base")
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.4", "1.1.1")})
    return tmp_path


CAUSE = (
    "esp-tflite-micro 1.3.1 → esp-tflite-micro 1.3.4: esp-tflite-micro 1.3.4 (dependencies.lock:1)"
)


def test_diff_names_the_pin_that_changed_as_the_cause_with_the_bytes(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--base", "HEAD"]) == 0
    out = capsys.readouterr().out
    assert f"  runtime: {CAUSE}" in " ".join(out.split()).replace("runtime: esp", "  runtime: esp")
    assert "not comparable" not in out
    assert main(["diff", "--base", "HEAD", "--format", "json"]) == 0
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert change["status"] == "changed"
    assert change["causes"]["runtime"] == {
        "before": "esp-tflite-micro 1.3.1",
        "after": "esp-tflite-micro 1.3.4",
        "pins": ["esp-tflite-micro 1.3.4 (dependencies.lock:1)"],
    }
    (ram,) = (each for each in change["deltas"] if each["metric"] == "ram")
    assert ram["bytes"] == ram["used"] - ram["base_used"]


def test_the_comment_and_the_page_name_it_as_well(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--base", "HEAD", "--json", "r.json"]) == 0
    capsys.readouterr()
    assert main(["diff", "--base", "HEAD", "--format", "markdown"]) == 0
    assert f"runtime: {CAUSE.partition(':')[0]}" in capsys.readouterr().out.replace("\\", "")


def test_growth_by_a_pin_is_growth(repository: Path) -> None:
    text = DECLARED % 'runtime = "project"\nmax_increase = { bytes = 0 }'
    (repository / "tinybudget.toml").write_text(text)
    git(repository, "commit", "--quiet", "-m", "budget", "tinybudget.toml")
    project(repository, **{"dependencies.lock": LOCK % ("1.3.1", "1.2.3")})
    assert main(["check", "--base", "HEAD", "--json", "r.json"]) in (0, 1)
    (pair,) = json.loads(Path("r.json").read_text())["pairs"]
    assert pair["growth_unchecked"] == ""


def test_a_pin_that_only_moved_in_its_file_is_no_change(repository: Path) -> None:
    lock = LOCK % ("1.3.1", "1.1.1")
    project(repository, **{"dependencies.lock": f"# moved\n\n{lock}"})
    assert main(["diff", "--base", "HEAD", "--format", "json"]) == 0


# init and doctor


def written_by_init(folder: Path, *arguments: str) -> str:
    (folder / "kws.tflite").write_bytes(dense_file())
    assert main(["init", str(folder), *arguments]) == 0
    return (folder / "tinybudget.toml").read_text()


def test_init_takes_board_and_runtime_from_the_projects_files_and_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = f"{LOCK % ('1.3.3~1', '1.1.2')}\ntarget: esp32s3\n"
    text = written_by_init(project(tmp_path, **{"dependencies.lock": lock}))
    assert 'boards = ["esp32-s3-devkitc-1"]\n' in text
    line = 'runtime = "project"              # esp-tflite-micro 1.3.3.1, by dependencies.lock:1\n'
    assert line in text
    assert "sdk =" not in text
    out = capsys.readouterr().out
    assert "board esp32-s3-devkitc-1: dependencies.lock:1 names esp32s3" in out
    assert "runtime esp-tflite-micro 1.3.3.1: dependencies.lock:1" in out
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    (pair,) = pairs("tinybudget.toml", declaration)
    assert Gate().check(pair).runtime == "esp-tflite-micro 1.3.3.1"


def test_init_chooses_the_sdk_that_brings_what_is_flashed(tmp_path: Path) -> None:
    sketch = (
        "profiles: {a: {fqbn: 'arduino:mbed_rp2040:pico', libraries: [Arduino_TensorFlowLite]}}"
    )
    files = {"west.yml": WEST % "v4.1.0", "boards/rpi_pico.conf": ""}
    files["boards/rpi_pico.conf"] = "CONFIG_TENSORFLOW_LITE_MICRO_CMSIS_NN_KERNELS=y\n"
    text = written_by_init(project(tmp_path, **files))
    assert 'boards = ["raspberry-pi-pico"]' in text
    assert "zephyr 4.1, by west.yml:1" in text
    assert 'sdk = "zephyr"' in text or "# What zephyr takes of raspberry-pi-pico" in text
    other = project(tmp_path / "other", **{"sketch.yaml": sketch, ".git/HEAD": ""})
    text = written_by_init(other)
    assert "arduino-tflm 2022-06 to 2023-12, by sketch.yaml:1" in text
    assert 'sdk = "arduino"' in text, "its usual one is the pico-sdk"


def test_init_without_a_word_of_tflm_is_as_before(tmp_path: Path) -> None:
    text = written_by_init(tmp_path)
    assert "runtime" not in text
    assert 'boards = ["arduino-nano-33-ble"]\nwarn_at' in text


def test_init_on_a_board_that_is_named_still_takes_what_is_flashed(tmp_path: Path) -> None:
    project(tmp_path, **{"dependencies.lock": LOCK % ("1.3.4", "1.1.2")})
    text = written_by_init(tmp_path, "--board", "esp32")
    assert 'boards = ["esp32"]\nruntime = "project"' in text


def test_doctor_lists_what_it_found_what_it_could_not_read_and_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(
        tmp_path,
        **{"dependencies.lock": LOCK % ("1.3.1", "1.1.0"), "sub/west.yml": "x"},
    )
    (tmp_path / "kws.tflite").write_bytes(dense_file())
    (tmp_path / "tinybudget.toml").write_text(DECLARED % "")
    assert main(["doctor", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = [(each["name"], each["text"]) for each in rows if each["topic"] == "what is flashed"]
    assert found == [
        ("dependencies.lock:1", "esp-tflite-micro 1.3.1"),
        ("dependencies.lock:1", "esp-nn 1.1.0"),
        ("sub/west.yml", "not read: expected the key 'manifest'"),
    ]
    (other,) = (each for each in rows if "counted for" in each["text"])
    assert other["text"].endswith(
        "the project's files name esp-tflite-micro 1.3.1 (dependencies.lock:1)"
    )
    assert other["advice"] == 'runtime = "project" counts that'
    (tmp_path / "tinybudget.toml").write_text(DECLARED % 'runtime = "project"')
    assert main(["doctor", str(tmp_path)]) == 0
    assert "counted for" not in capsys.readouterr().out


def test_doctor_says_what_it_looked_for_where_nothing_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(index for index, line in enumerate(lines) if line.endswith("no file names TFLM"))
    told = lines[place + 1 : place + 1 + len(LOOKED_FOR)]
    assert told[0].strip().startswith("looked for .gitmodules, dependencies.lock")
    assert "components/*/__init__.py" in told[-1]
    assert all(len(line) <= 80 for line in told)
