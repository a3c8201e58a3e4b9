"""What a project flashes, read from the files in its repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from pace import soon

from pytest_tinybudget.detection import folders
from pytest_tinybudget.detection import reading
from pytest_tinybudget.detection.detect import detect
from pytest_tinybudget.detection.finding import Detection
from pytest_tinybudget.detection.names import any_pattern
from pytest_tinybudget.detection.names import is_read
from pytest_tinybudget.detection.releases import allowed
from pytest_tinybudget.detection.releases import neighbors


def project(folder: Path, **files: str) -> Path:
    """A project of files by their paths."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def told(found: Detection) -> list[tuple[str, str, str, str]]:
    """What, where, how and for which board."""
    assert not found.problems
    return [(each.what, each.place, each.how, each.board) for each in found.findings]


# ESP-IDF


def test_a_lock_file_names_what_the_last_build_took_and_its_chip(tmp_path: Path) -> None:
    lock = """\
dependencies:
  espressif/esp-nn:
    component_hash: 00ff
    source:
      registry_url: https://components.espressif.com/
      type: service
    version: 1.1.2
  espressif/esp-tflite-micro:
    component_hash: 00fe
    dependencies:
    - name: espressif/esp-nn
      version: ^1.1.0
    source:
      type: service
    version: 1.3.3~1
  idf:
    source:
      type: idf
    version: 5.3.0
target: esp32s3
version: 2.0.0
"""
    assert told(detect(project(tmp_path, **{"dependencies.lock": lock}))) == [
        ("esp-nn 1.1.2", "dependencies.lock:7", "lock", "esp32s3"),
        ("esp-tflite-micro 1.3.3~1", "dependencies.lock:15", "lock", "esp32s3"),
    ]


MANIFEST = """\
dependencies:
  espressif/esp-tflite-micro: "{}"
"""


@pytest.mark.parametrize(
    ("version", "how"),
    [
        ("1.3.1", "exact"),
        ("==1.3.3~1", "exact"),
        ("^1.3.1", "range"),
        ("~1.3", "range"),
        ("1.3", "range"),  # any patch of 1.3
        (">=1.2,<1.4", "range"),
        ("*", "any"),
    ],
)
def test_a_manifest_asks_for_a_version_or_a_range(tmp_path: Path, version: str, how: str) -> None:
    found = detect(project(tmp_path, **{"main/idf_component.yml": MANIFEST.format(version)}))
    (only,) = found.findings
    assert (only.product, only.version, only.how) == ("esp-tflite-micro", version, how)
    assert only.place == "main/idf_component.yml:2"


def test_a_manifest_may_take_a_component_from_git_or_from_a_fork(tmp_path: Path) -> None:
    manifest = """\
dependencies:
  esp-tflite-micro:
    git: https://github.com/espressif/esp-tflite-micro.git
    version: v1.3.1
  esp-nn:
    git: https://github.com/someone/esp-nn.git
  somebody/esp-nn: "1.0.0"
"""
    found = detect(project(tmp_path, **{"components/app/idf_component.yml": manifest}))
    assert [(each.what, each.how, each.line, each.origin) for each in found.findings] == [
        ("esp-tflite-micro v1.3.1", "exact", 4, ""),
        ("esp-nn (any version) of someone/esp-nn", "any", 5, "someone/esp-nn"),
        ("esp-nn 1.0.0 of somebody/esp-nn", "exact", 7, "somebody/esp-nn"),
    ]


def test_a_downloaded_component_says_its_version_and_its_examples_nothing(tmp_path: Path) -> None:
    folder = "managed_components/espressif__esp-tflite-micro"
    found = detect(
        project(
            tmp_path,
            **{
                f"{folder}/idf_component.yml": f"{MANIFEST.format('*')}version: 1.3.5\n",
                f"{folder}/examples/hello/main/idf_component.yml": MANIFEST.format("9.9.9"),
            },
        )
    )
    assert told(found) == [("esp-tflite-micro 1.3.5", f"{folder}/idf_component.yml:3", "lock", "")]


def test_a_copy_among_the_components_counts_and_the_dependency_that_names_it_does_not(
    tmp_path: Path,
) -> None:
    manifest = """\
dependencies:
  espressif/esp-tflite-micro:
    version: "*"
    override_path: ../components/esp-tflite-micro
"""
    folder = "components/esp-tflite-micro"
    found = detect(
        project(
            tmp_path,
            **{
                "main/idf_component.yml": manifest,
                f"{folder}/idf_component.yml": 'version: "1.3.2"\n',
                f"{folder}/tensorflow/lite/micro/micro_interpreter.h": "",
                f"{folder}/examples/hello/main/idf_component.yml": MANIFEST.format("9.9.9"),
            },
        )
    )
    assert told(found) == [("esp-tflite-micro 1.3.2", f"{folder}/idf_component.yml:1", "copy", "")]


def test_the_sdkconfig_names_the_chip_and_plain_kernels(tmp_path: Path) -> None:
    text = '# defaults\nCONFIG_IDF_TARGET="esp32c3"\nCONFIG_NN_ANSI_C=y\n'
    found = detect(project(tmp_path, **{"sdkconfig.defaults": text, "sdkconfig.old": text}))
    assert told(found) == [
        ("built for esp32c3, vectors = ", "sdkconfig.defaults:2", "any", "esp32c3")
    ]


# Zephyr


def test_a_west_manifest_pins_zephyr_and_the_modules_by_remote_url_and_default(
    tmp_path: Path,
) -> None:
    manifest = """\
manifest:
  remotes:
    - name: zephyrproject-rtos
      url-base: https://github.com/zephyrproject-rtos
    - name: arm
      url-base: https://github.com/ARM-software/
  defaults:
    remote: zephyrproject-rtos
    revision: v3.7.0
  projects:
    - name: zephyr
      import:
        name-allowlist: [cmsis, cmsis-nn, tflite-micro]
    - name: tflite-micro
      revision: 8d404de73acf7687831e16d88e86e4f73cfddf9a
    - name: nn
      remote: arm
      repo-path: CMSIS-NN
      revision: main
    - name: tflm
      url: https://github.com/tensorflow/tflite-micro
      revision: 71fba59b
    - name: hal_nordic
  self:
    path: app
"""
    assert told(detect(project(tmp_path, **{"west.yml": manifest}))) == [
        ("zephyr v3.7.0", "west.yml:9", "exact", ""),
        ("zephyr-tflm 8d404de73acf7687831e16d88e86e4f73cfddf9a", "west.yml:15", "exact", ""),
        ("cmsis-nn main", "west.yml:19", "any", ""),
        ("tflite-micro 71fba59b", "west.yml:22", "exact", ""),
    ]


def test_zephyr_without_its_module_of_tflm_brings_none(tmp_path: Path) -> None:
    text = "manifest: {projects: [{name: zephyr, revision: v4.1.0, import: {name-allowlist: %s}}]}"
    assert told(detect(project(tmp_path, **{"west.yml": text % "[cmsis, hal_nordic]"}))) == []
    found = detect(project(tmp_path, **{"west.yml": text % "[cmsis, tflite-micro]"}))
    assert told(found) == [("zephyr v4.1.0", "west.yml:1", "exact", "")]


def test_manifests_of_the_same_repository_are_followed_and_no_others(tmp_path: Path) -> None:
    base = "manifest: {{projects: [{{name: zephyr, revision: {}}}]{}}}\n"
    imports = ", self: {import: [more/, ../outside.yml, /etc/x.yml]}"
    found = detect(
        project(
            tmp_path,
            **{
                "west.yml": base.format("v4.1.0", imports),
                "more/10-tflm.yaml": base.format("v4.2.0", ""),
                "other/x.yaml": base.format("v9.9.9", ""),
            },
        )
    )
    assert [each.version for each in found.findings] == ["v4.2.0", "v4.1.0"]


def test_a_kconfig_fragment_says_that_tflm_is_used_and_which_kernels(tmp_path: Path) -> None:
    found = detect(
        project(
            tmp_path,
            **{
                "prj.conf": "CONFIG_CPP=y\nCONFIG_TENSORFLOW_LITE_MICRO=y\n"
                "#CONFIG_TENSORFLOW_LITE_MICRO_CMSIS_NN_KERNELS=y\nCONFIG_SPEED_OPTIMIZATIONS=y\n",
                "boards/nrf52840dk.conf": "CONFIG_TENSORFLOW_LITE_MICRO_CMSIS_NN_KERNELS=y\n",
                "debug.conf": "CONFIG_LOG=y\n",
            },
        )
    )
    assert [(each.place, each.product, each.board, each.settings) for each in found.findings] == [
        (
            "boards/nrf52840dk.conf:1", "build-flags", "nrf52840dk", (("kernels", "cmsis-nn"),),
        ),
        (
            "prj.conf:2", "zephyr-tflm", "", (("kernels", "reference"), ("optimize", "2")),
        ),
    ]  # fmt: skip


def test_a_module_of_the_project_may_be_a_copy_of_tflm(tmp_path: Path) -> None:
    text = "build:\n  cmake-ext: True\nname: tflite-micro\n"
    found = detect(project(tmp_path, **{"modules/tflm/zephyr/module.yml": text}))
    place = "modules/tflm/zephyr/module.yml:3"
    assert told(found) == [("zephyr-tflm (a copy that names no version)", place, "copy", "")]


# Arduino


def test_a_sketch_has_libraries_and_a_board_in_each_profile(tmp_path: Path) -> None:
    sketch = """\
profiles:
  nano:
    fqbn: arduino:mbed_nano:nano33ble
    platforms:
      - platform: arduino:mbed_nano (4.0.2)
    libraries:
      - ArduinoBLE (1.3.6)
      - Arduino_TensorFlowLite (2.4.0-ALPHA)
  esp:
    fqbn: esp32:esp32:esp32s3:PSRAM=opi
    libraries:
      - dependency: TensorFlowLite_ESP32 (1.0.0)
      - dir: ../library
default_profile: nano
"""
    found = detect(project(tmp_path, **{"wake/sketch.yaml": sketch}))
    assert told(found) == [
        ("Arduino_TensorFlowLite 2.4.0-ALPHA", "wake/sketch.yaml:8", "exact", "nano33ble"),
        ("TensorFlowLite_ESP32 1.0.0", "wake/sketch.yaml:12", "exact", "esp32s3"),
    ]
    assert [each.product for each in found.findings] == ["arduino-tflm", "other"]


def test_a_library_that_lies_in_the_project_is_a_copy_and_one_it_needs_a_range(
    tmp_path: Path,
) -> None:
    found = detect(
        project(
            tmp_path,
            **{
                "libraries/tf/library.properties": "name=Arduino_TensorFlowLite\nversion=2.4.0\n",
                "libraries/tf/src/tensorflow/lite/micro/micro_interpreter.h": "",
                "library.properties": "name=Ours\ndepends=ArduinoBLE,Arduino_TensorFlowLite\n",
            },
        )
    )
    place = "libraries/tf/library.properties:1"
    assert told(found) == [
        ("Arduino_TensorFlowLite 2.4.0", place, "copy", ""),
        ("Arduino_TensorFlowLite (any version)", "library.properties:2", "any", ""),
    ]


# PlatformIO


def test_environments_of_platformio_inherit_extend_and_refer(tmp_path: Path) -> None:
    text = """\
[platformio]
default_envs = nano

[common]
libs =
    ArduinoBLE@^1.3   ; radio
    tanakamasayuki/TensorFlowLite_ESP32@^1.0.0

[env]
framework = arduino

[env:nano]
platform = nordicnrf52
board = nano33ble
build_flags = -D TF_LITE_STATIC_MEMORY -O3
lib_deps =
    # Arduino_Old@1.0
    https://github.com/tensorflow/tflite-micro-arduino-examples.git#7948b85

[env:esp]
board = esp32dev
lib_deps = ${common.libs}

[env:esp-idf]
extends = env:esp
framework = espidf
board = esp32-s3-devkitc-1
lib_deps = espressif/esp-tflite-micro@1.3.1, other/thing
"""
    found = detect(project(tmp_path, **{"platformio.ini": text}))
    assert told(found) == [
        ("TensorFlowLite_ESP32 ^1.0.0".replace("T", "tanakamasayuki/T", 1), "platformio.ini:7",
         "range", "esp32dev"),
        ("arduino-tflm 7948b85", "platformio.ini:18", "exact", "nano33ble"),
        ("espressif/esp-tflite-micro 1.3.1", "platformio.ini:28", "exact", "esp32-s3-devkitc-1"),
    ]  # fmt: skip
    nano = found.findings[1]
    assert nano.settings == (("optimize", "3"), ("static_memory", "true"))
    assert nano.scope == "env:nano"


# CMake


def test_cmake_fetches_by_tag_archive_and_shorthand(tmp_path: Path) -> None:
    text = """\
# FetchContent_Declare(old GIT_REPOSITORY https://github.com/tensorflow/tflite-micro GIT_TAG x)
set(TFLM_TAG 71fba59b)   # of May
FetchContent_Declare(
  tflm
  GIT_REPOSITORY https://github.com/tensorflow/tflite-micro.git
  GIT_TAG "${TFLM_TAG}"
)
ExternalProject_Add(nn URL https://github.com/ARM-software/CMSIS-NN/archive/22080c68.zip)
CPMAddPackage("gh:raspberrypi/pico-tflmicro#dfea53b")
CPMAddPackage(NAME esp-nn GITHUB_REPOSITORY espressif/esp-nn GIT_TAG v1.2.1)
fetchcontent_declare(fork GIT_REPOSITORY git@github.com:someone/tflite-micro.git GIT_TAG main)
FetchContent_Declare(json GIT_REPOSITORY https://github.com/nlohmann/json GIT_TAG v3)
target_compile_definitions(app PRIVATE TF_LITE_STATIC_MEMORY NDEBUG)
"""
    assert told(detect(project(tmp_path, **{"CMakeLists.txt": text}))) == [
        ("tflite-micro 71fba59b", "CMakeLists.txt:6", "exact", ""),
        ("cmsis-nn 22080c68", "CMakeLists.txt:8", "exact", ""),
        ("pico-tflmicro dfea53b", "CMakeLists.txt:9", "exact", ""),
        ("esp-nn v1.2.1", "CMakeLists.txt:10", "exact", ""),
        ("tflite-micro main of someone/tflite-micro", "CMakeLists.txt:11", "any", ""),
        ("static_memory = true", "CMakeLists.txt:13", "any", ""),
    ]


# Submodules


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    done = subprocess.run(
        ["git", *identity, "-C", folder, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


GITMODULES = """\
[submodule "lib/pico-sdk"]
\tpath = lib/pico-sdk
\turl = https://github.com/raspberrypi/pico-sdk
[submodule "lib/pico-tflmicro"]
\tpath = lib/pico-tflmicro
\turl = https://github.com/raspberrypi/pico-tflmicro.git
\tbranch = main
"""


def test_a_submodule_is_at_the_commit_of_the_index(tmp_path: Path) -> None:
    commit = "dfea53b" + "0" * 33
    git(tmp_path, "init", "--quiet")
    project(tmp_path, **{".gitmodules": GITMODULES})
    git(tmp_path, "update-index", "--add", "--cacheinfo", f"160000,{commit},lib/pico-tflmicro")
    found = detect(tmp_path)
    assert told(found) == [(f"pico-tflmicro {commit}", ".gitmodules:6", "lock", "")]


def test_a_submodule_without_an_index_may_be_any_commit(tmp_path: Path) -> None:
    found = detect(project(tmp_path, **{".gitmodules": GITMODULES}))
    assert told(found) == [("pico-tflmicro (any version)", ".gitmodules:6", "any", "")]


def test_what_lies_in_a_submodule_or_another_repository_is_not_the_projects(
    tmp_path: Path,
) -> None:
    project(
        tmp_path,
        **{
            ".gitmodules": GITMODULES,
            "lib/pico-tflmicro/west.yml": "manifest: {projects: [{name: zephyr}]}",
            "modules/x/.git/HEAD": "",
            "modules/x/dependencies.lock": "dependencies: {espressif/esp-nn: {version: 1.0.0}}",
            "build/west.yml": "manifest: {projects: [{name: zephyr}]}",
            ".hidden/west.yml": "manifest: {projects: [{name: zephyr}]}",
        },
    )
    assert detect(tmp_path).looked_at == (".gitmodules",)


# ESPHome


def test_esphome_pins_by_its_least_version_its_requirements_and_its_components(
    tmp_path: Path,
) -> None:
    device = """\
substitutions: {name: speaker}
esphome:
  name: ${name}
  min_version: 2025.5.0
  on_boot:
    then:
      - lambda: !lambda 'return id(x);'
esp32:
  board: esp32-s3-devkitc-1
  framework:
    type: esp-idf
    components:
      - name: espressif/esp-tflite-micro
        ref: 1.3.4
      - espressif/esp-nn@1.1.2
wifi:
  password: !secret wifi
micro_wake_word:
  models:
    - model: okay_nabu
"""
    found = detect(
        project(
            tmp_path,
            **{
                "speaker.yaml": device,
                "lamp.yaml": "esphome:\n  name: lamp\n",
                "small.yaml": "packages:\n  s: !include speaker.yaml\nmicro_wake_word: !remove\n",
                "requirements.txt": "# tools\nesphome==2025.6.1\n",
            },
        )
    )
    board = "esp32-s3-devkitc-1"
    assert told(found) == [
        ("esphome 2025.6.1", "requirements.txt:2", "exact", ""),
        ("esphome >=2025.5.0", "speaker.yaml:4", "range", board),
        ("esp-tflite-micro 1.3.4", "speaker.yaml:14", "exact", board),
        ("esp-nn 1.1.2", "speaker.yaml:15", "exact", board),
    ]


def test_a_micro_wake_word_of_ones_own_is_not_esphomes(tmp_path: Path) -> None:
    device = """\
esp32: {variant: esp32s3}
external_components:
  - source:
      type: git
      url: https://github.com/someone/voice
    components: [micro_wake_word]
micro_wake_word:
  models: []
"""
    component = 'def to_code(config):\n    # ref="9"\n    add_idf_component(\n'
    component += '        name="espressif/esp-tflite-micro",\n        ref="1.3.1",  # ref="9"\n'
    component += '    )\n    # add_idf_component(name="espressif/esp-nn", ref="9")\n'
    component += '    add_idf_component(name="espressif/esp-nn", ref="1.1.2")\n'
    found = detect(
        project(
            tmp_path, **{"voice.yaml": device, "components/micro_wake_word/__init__.py": component}
        )
    )
    assert told(found) == [
        (
            "esp-tflite-micro 1.3.1",
            "components/micro_wake_word/__init__.py:3",
            "exact",
            "",
        ),
        ("esp-nn 1.1.2", "components/micro_wake_word/__init__.py:8", "exact", ""),
        (
            "micro_wake_word (any version) of https://github.com/someone/voice",
            "voice.yaml:3",
            "any",
            "esp32s3",
        ),
    ]


# Copies


def test_sources_of_tflm_in_the_project_are_a_copy_without_a_version(tmp_path: Path) -> None:
    found = detect(
        project(tmp_path, **{"lib/tfmicro/tensorflow/lite/micro/micro_interpreter.h": "// TFLM"})
    )
    place = "lib/tfmicro/tensorflow/lite/micro"
    assert told(found) == [("tflite-micro (a copy that names no version)", place, "copy", "")]


def test_a_copy_is_of_the_distribution_that_its_folder_is_named_after(tmp_path: Path) -> None:
    path = "lib/pico-tflmicro/src/tensorflow/lite/micro"
    found = detect(project(tmp_path, **{f"{path}/micro_interpreter.h": "", "lib/x.c": ""}))
    assert told(found) == [("pico-tflmicro (a copy that names no version)", path, "copy", "")]


# Files of a stranger


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("dependencies.lock", "dependencies: [\n", "dependencies.lock:2: not valid YAML"),
        ("dependencies.lock", "just words", "dependencies.lock: expected the keys"),
        ("west.yml", "projects: []", "west.yml: expected the key 'manifest'"),
        ("west.yml", "[" * 500, "west.yml: not valid YAML: nested too deeply"),
        ("main/idf_component.yml", "a: \t- b\n\tc", "main/idf_component.yml:"),
        ("sketch.yaml", "profiles: &a [*b]", "sketch.yaml:1: not valid YAML"),
        ("platformio.ini", "board = x\n", "platformio.ini:1: expected a [section] first"),
        (".gitmodules", "path = x\n", ".gitmodules:1: expected a [section] first"),
        ("prj.conf", "x" * (reading.LARGEST_BYTES + 1), "prj.conf: larger than 256 KB"),
    ],
)
def test_a_malformed_file_is_one_clear_line_and_the_others_count(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    good = {"sub/dependencies.lock": "dependencies: {espressif/esp-nn: {version: 1.1.2}}"}
    found = detect(project(tmp_path, **{name: text}, **good))
    (only,) = found.problems
    assert f"{only.file}: {only.text}".startswith(problem)
    assert "\n" not in only.text
    assert [each.what for each in found.findings] == ["esp-nn 1.1.2"]


def test_text_that_is_no_utf_8_is_a_problem_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "west.yml").write_bytes(b"manifest:\n  x: \xff\n")
    (only,) = detect(tmp_path).problems
    assert (only.file, only.text) == ("west.yml:2", "not UTF-8 text")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_out_of_the_repository_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "secret.yml"
    outside.write_text("manifest: {projects: [{name: zephyr, revision: v4.1.0}]}")
    root = tmp_path / "repository"
    root.mkdir()
    (root / "west.yml").symlink_to(outside)
    found = detect(root)
    assert not found.findings
    assert [each.text for each in found.problems] == ["a link that leads out of the repository"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_a_pipe_with_the_name_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "west.yml")
    assert detect(tmp_path) == Detection()


def test_an_endless_tree_is_cut_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MOST_FOLDERS", 3)
    monkeypatch.setattr("pytest_tinybudget.detection.detect.MOST_FOLDERS", 3)
    for number in range(6):
        (tmp_path / f"f{number}").mkdir()
    (only,) = detect(tmp_path).problems
    assert only.text == "more than 3 folders: the rest was not looked at"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CMakeLists.txt", "x([[" * 60_000),
        ("CMakeLists.txt", '"' + '\\"' * 120_000),
        ("platformio.ini", "[env:a]\nlib_deps = a" + " " * 200_000 + "("),
        ("platformio.ini", "[env:a]\nlib_deps =\n" + " esp-nn@1.0.0\n" * 15_000),
        ("library.properties", "depends=a" + " " * 200_000 + "("),
        ("components/x/__init__.py", "add_idf_component(" * 14_000),
    ],
)
def test_no_text_takes_long(tmp_path: Path, name: str, text: str) -> None:
    made = project(tmp_path, **{name: text})
    with soon(5):
        detect(made)


def test_more_files_than_a_project_has_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_tinybudget.detection.detect.MOST_FILES", 2)
    files = {f"f{at}/CMakeLists.txt": "" for at in range(4)}
    (only,) = detect(project(tmp_path, **files)).problems
    assert only.text == "too many files: the rest was not looked at"


def test_references_that_multiply_do_not_grow_without_end(tmp_path: Path) -> None:
    sections = [f"[s{at}]\nv = " + f"${{s{at + 1}.v}}" * 50 for at in range(8)]
    text = "\n".join([*sections, "[s8]\nv = xxxxxxxxxx", "[env:a]\nlib_deps = ${s0.v}\n"])
    assert told(detect(project(tmp_path, **{"platformio.ini": text}))) == []


# Releases


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("*", ["1.2.0", "1.3.3", "1.3.3.1", "1.4.0"]),
        ("1.3.3", ["1.3.3"]),
        ("1.3.3~1", ["1.3.3.1"]),
        ("1.3", ["1.3.3", "1.3.3.1"]),
        ("~1.3.3", ["1.3.3", "1.3.3.1"]),
        ("^1.3.3~1", ["1.3.3.1", "1.4.0"]),
        (">=1.2,<1.3.3", ["1.2.0"]),
        (">1.3", ["1.4.0"]),
        ("<=1.3", ["1.2.0", "1.3.3", "1.3.3.1"]),
        ("!=1.3", ["1.2.0", "1.4.0"]),
        ("~=1.2", ["1.2.0", "1.3.3", "1.3.3.1", "1.4.0"]),
        ("^0", []),
        ("latest", None),
    ],
)
def test_constraints_are_read_as_the_registries_read_them(
    constraint: str, expected: list[str] | None
) -> None:
    found = allowed(constraint, ["1.2.0", "1.3.3", "1.3.3.1", "1.4.0"])
    assert found == (None if expected is None else tuple(expected))


def test_a_version_that_is_no_release_lies_between_two() -> None:
    releases = ["1.4.0", "1.3.8", "1.3.7", "1.3.5"]
    assert neighbors("1.3.6", releases) == ("1.3.7", "1.3.5")
    assert neighbors("2.0.0", releases) == ("1.4.0",)
    assert neighbors("1.0.0", releases) == ("1.3.5",)
    assert neighbors("main", releases) == ()


@settings(max_examples=150, deadline=None)
@given(st.from_regex(any_pattern(), fullmatch=True) | st.text(alphabet="west.yml/", max_size=12))
def test_whatever_a_pattern_matches_is_read(path: str) -> None:
    assert is_read(path) == (any_pattern().match(path) is not None)
