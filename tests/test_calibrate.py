"""``tinybudget calibrate``: what a firmware takes besides model, arena and TFLM, from its ELF."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import keyword_model

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.cli import main
from pytest_tinybudget.toolchain.firmware import calibrate
from pytest_tinybudget.toolchain.firmware import read_firmware
from pytest_tinybudget.toolchain.linker_map import read_regions
from pytest_tinybudget.toolchain.linker_map import read_section_sizes


pytest.importorskip("elftools")

_GCC = "arm-none-eabi-gcc"
_FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-Os", "-nostdlib")
needs_gcc = pytest.mark.skipif(shutil.which(_GCC) is None, reason=f"{_GCC} is not installed")

_MODEL = b"\x1c\0\0\0TFL3" + bytes(range(200)) * 5
_SOURCE = """
const unsigned char g_kws_model_data[] __attribute__((aligned(16))) = {%(model)s};
const unsigned g_kws_model_data_len = sizeof g_kws_model_data;
static unsigned char tensor_arena[6000] __attribute__((aligned(16)));
static unsigned char command_interpreter[700];
static unsigned char static_interpreter[208] __attribute__((aligned(8)));
int settings[50] = {1, 2, 3};
static int counters[25];
__attribute__((section(".ramfunc"), noinline)) int fast(int x) { return x * counters[x & 7]; }
int _ZN6tflite3fooEv(void) { return 7; }
void Reset(void) {
  for (volatile int i = 0;; ++i) {
    counters[i & 15] += g_kws_model_data[i] + settings[i & 31] + tensor_arena[i];
    command_interpreter[i & 511] += i;
    tensor_arena[i & 255] = fast(i) + static_interpreter[i & 127];
    static_interpreter[i & 127] = _ZN6tflite3fooEv() + g_kws_model_data_len;
  }
}
"""
_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 256K
         RAM (xrw) : ORIGIN = 0x20000000, LENGTH = 64K }
_Min_Heap_Size = 0x200; _Min_Stack_Size = 0x400;
ENTRY(Reset)
SECTIONS {
  .text : { *(.text*) *(.rodata*) } > FLASH
  .data : { *(.data*) *(.ramfunc*) . = ALIGN(4); } > RAM AT> FLASH
  .bss (NOLOAD) : { *(.bss*) *(COMMON) . = ALIGN(8); } > RAM
  ._user_heap_stack (NOLOAD) : { . = . + _Min_Heap_Size + _Min_Stack_Size; . = ALIGN(8); } > RAM
  /DISCARD/ : { *(.ARM*) *(.comment) }
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A folder with firmware.elf and firmware.map, and what the linker says each region holds."""
    if shutil.which(_GCC) is None:
        pytest.skip(f"{_GCC} is not installed")
    folder = tmp_path_factory.mktemp("calibrate")
    (folder / "main.c").write_text(_SOURCE % {"model": ",".join(map(str, _MODEL))})
    (folder / "link.ld").write_text(_SCRIPT)
    done = subprocess.run(
        [_GCC, *_FLAGS, "main.c", "-T", "link.ld", "-o", "firmware.elf",
         "-Wl,--print-memory-usage", "-Wl,-Map=firmware.map"],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    usage = re.findall(r"(\w+):\s+(\d+) (B|KB)", done.stdout)
    return folder, {name: int(size) * (1024 if unit == "KB" else 1) for name, size, unit in usage}


@pytest.mark.parametrize("with_map", [False, True])
def test_totals_are_what_the_linker_prints(
    built: tuple[Path, dict[str, int]], with_map: bool
) -> None:
    folder, usage = built
    regions = read_regions(folder / "firmware.map") if with_map else ()
    found = calibrate(read_firmware(folder / "firmware.elf"), regions)
    held = {item.memory: item.bytes for item in found.items if item.what.startswith("in ")}
    assert held == {"flash": usage["FLASH"], "ram": usage["RAM"]}


def test_model_arena_and_interpreter_are_taken_off(built: tuple[Path, dict[str, int]]) -> None:
    folder, usage = built
    found = calibrate(read_firmware(folder / "firmware.elf"))
    assert found.reserved_flash == usage["FLASH"] - len(_MODEL)
    assert found.reserved_ram == usage["RAM"] - 6000 - 208
    assert any("TFLM's own code stays counted" in note for note in found.notes)
    assert any("_Min_Stack_Size = 1,024 B" in note for note in found.notes)


def test_tflm_is_taken_off_where_the_firmware_has_it(built: tuple[Path, dict[str, int]]) -> None:
    folder, usage = built
    firmware = read_firmware(folder / "firmware.elf")
    found = calibrate(firmware, model=_MODEL, runtime_flash=100)
    assert found.reserved_flash == usage["FLASH"] - len(_MODEL) - 100
    more_than_there_is = calibrate(firmware, model=_MODEL, runtime_flash=10_000_000)
    assert more_than_there_is.reserved_flash == 0


def test_initialized_data_counts_in_flash_and_ram(built: tuple[Path, dict[str, int]]) -> None:
    folder, _ = built
    firmware = read_firmware(folder / "firmware.elf")
    before = calibrate(firmware)
    named = calibrate(firmware, arena_symbols=["tensor_arena", "settings"])
    assert before.reserved_flash - named.reserved_flash == 200
    assert before.reserved_ram - named.reserved_ram == 200


def test_stripped_firmware_is_searched_for_the_model(built: tuple[Path, dict[str, int]]) -> None:
    folder, usage = built
    shutil.copy(folder / "firmware.elf", folder / "stripped.elf")
    subprocess.run(["arm-none-eabi-strip", "stripped.elf"], cwd=folder, check=True)
    found = calibrate(read_firmware(folder / "stripped.elf"), model=_MODEL, runtime_flash=100)
    assert found.reserved_flash == usage["FLASH"] - len(_MODEL)
    assert found.reserved_ram == usage["RAM"]
    assert any("no tensor arena found" in note for note in found.notes)


def test_other_model_is_an_error(built: tuple[Path, dict[str, int]]) -> None:
    firmware = read_firmware(built[0] / "firmware.elf")
    with pytest.raises(TinybudgetError, match="does not hold this model's bytes"):
        calibrate(firmware, model=_MODEL[::-1])
    with pytest.raises(TinybudgetError, match="--arena-symbol nothing"):
        calibrate(firmware, arena_symbols=["nothing"])


def test_command_writes_into_the_declaration_and_keeps_its_layout(
    built: tuple[Path, dict[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tomlkit")
    folder, usage = built
    declaration = tmp_path / "tinybudget.toml"
    before = (
        "schema = 1\n# boards of ours\n[boards.doorbell]   # revision 3\n"
        'extends = "arduino-nano-33-ble"\nreserved_flash = "1 KB"  # guessed\n\n'
        '[models.kws]\nsource = "kws.tflite"   # the model\n'
    )
    declaration.write_text(before)
    command = ["calibrate", "--elf", str(folder / "firmware.elf"), "--write", str(declaration)]
    assert main([*command, "--board", "doorbell"]) == 0
    flash, ram = usage["FLASH"] - len(_MODEL), usage["RAM"] - 6208
    shown = capsys.readouterr().out
    assert f'reserved_flash = "{flash} B"' in shown
    after = declaration.read_text()
    assert f'reserved_ram = "{ram} B"' in after
    lines = [line for line in before.splitlines() if "guessed" not in line]
    assert [line for line in after.splitlines() if "reserved" not in line] == lines
    assert f'reserved_flash = "{flash} B"  # guessed' in after
    assert [path.name for path in tmp_path.iterdir()] == ["tinybudget.toml"]


def test_a_model_is_checked_against_the_room_that_calibration_left(
    built: tuple[Path, dict[str, int]], tmp_path: Path
) -> None:
    pytest.importorskip("tomlkit")
    folder, usage = built
    declaration = tmp_path / "tinybudget.toml"
    declaration.write_text(
        '[boards.doorbell]\nextends = "arduino-nano-33-ble"\n'
        '[models.kws]\nsource = "kws.tflite"\nboards = ["doorbell"]\n'
    )
    tmp_path.joinpath("kws.tflite").write_bytes(keyword_model())
    command = ["calibrate", "--elf", str(folder / "firmware.elf"), "--write", str(declaration)]
    assert main([*command, "--board", "doorbell"]) == 0
    results = tmp_path / "results.json"
    assert main(["check", str(tmp_path), "--json", str(results)]) == 0
    (pair,) = json.loads(results.read_text())["pairs"]
    board = catalog()["arduino-nano-33-ble"]
    assert pair["flash"]["limit"] == board.usable_flash - (usage["FLASH"] - len(_MODEL))
    assert pair["ram"]["limit"] == board.usable_ram - (usage["RAM"] - 6208)


def test_command_refuses_an_undeclared_board(
    built: tuple[Path, dict[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tomlkit")
    declaration = tmp_path / "tinybudget.toml"
    declaration.write_text("schema = 1\n")
    command = ["calibrate", "--elf", str(built[0] / "firmware.elf"), "--write", str(declaration)]
    assert main([*command, "--board", "doorbell"]) == 2
    assert "no [boards.doorbell]" in capsys.readouterr().err
    assert main(command) == 2
    assert "--board NAME" in capsys.readouterr().err
    assert declaration.read_text() == "schema = 1\n"


def test_map_tells_section_sizes(built: tuple[Path, dict[str, int]]) -> None:
    sizes = read_section_sizes(built[0] / "firmware.map")
    assert len(_MODEL) < next(size for (_, name), size in sizes.items() if name == ".rodata") + 200


@pytest.mark.parametrize("reader", [read_regions, read_section_sizes])
def test_other_files_are_no_map(tmp_path: Path, reader: object) -> None:
    other = tmp_path / "firmware.map"
    other.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(TinybudgetError, match="GNU ld's map"):
        reader(other)  # type: ignore[operator]


def test_missing_pyelftools_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(b"\x7fELF")
    for name in [name for name in sys.modules if name.partition(".")[0] == "elftools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "elftools", None)
    with pytest.raises(TinybudgetError, match=re.escape("pip install 'pytest-tinybudget[elf]'")):
        read_firmware(image)


def _header(**changes: int) -> bytes:
    """The header of a 32-bit Arm executable with one program header."""
    fields = {
        "type": 2, "machine": 40, "version": 1, "entry": 0, "phoff": 52, "shoff": 0, "flags": 0,
        "ehsize": 52, "phentsize": 32, "phnum": 1, "shentsize": 40, "shnum": 0, "shstrndx": 0,
    } | changes  # fmt: skip
    packed = struct.pack("<HHIIIIIHHHHHH", *fields.values())
    return b"\x7fELF\x01\x01\x01" + bytes(9) + packed


def _segment(offset: int, file_bytes: int, memory_bytes: int) -> bytes:
    return struct.pack("<8I", 1, offset, 0x1000, 0x1000, file_bytes, memory_bytes, 5, 4)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF",
        b"\x7fELF\x01\x01\x01" + bytes(9),
        b"MZ" + bytes(300),
        _header(phnum=0),
        _header(phnum=65000),
        _header(phoff=1 << 30) + _segment(0, 4, 4),
        _header(shoff=84, shnum=60000) + _segment(0, 4, 4),
        _header(shoff=84, shnum=0) + _segment(0, 4, 4) + b"\xff" * 40,
        _header() + _segment(0, 1 << 30, 1 << 30),
        _header() + _segment(0, 80, 4),
        _header(type=1) + _segment(0, 4, 4),
    ],
)
def test_damaged_elf_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(content)
    with pytest.raises(TinybudgetError) as raised:
        read_firmware(image)
    assert "firmware.elf" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_smallest_firmware_reads(tmp_path: Path) -> None:
    image = tmp_path / "firmware.elf"
    image.write_bytes(_header() + _segment(52, 16, 16))
    found = calibrate(read_firmware(image))
    assert (found.reserved_flash, found.reserved_ram) == (16, 0)


def test_xtensa_needs_the_map_to_tell_ram_from_flash(tmp_path: Path) -> None:
    image, link_map = tmp_path / "firmware.elf", tmp_path / "firmware.map"
    image.write_bytes(_header(machine=94) + _segment(52, 16, 16))
    firmware = read_firmware(image)
    with pytest.raises(TinybudgetError, match="--map"):
        calibrate(firmware)
    link_map.write_text(
        "Memory Configuration\n\nName  Origin  Length  Attributes\n"
        "iram0_0_seg      0x00001000         0x00001000         xr\n"
        "drom0_0_seg      0x3f400020         0x003fffe0         r\n"
        "*default*        0x00000000         0xffffffff\n\nLinker script and memory map\n"
    )
    found = calibrate(firmware, read_regions(link_map))
    assert (found.reserved_flash, found.reserved_ram) == (16, 16)


def test_mutated_firmware_is_read_or_told(
    built: tuple[Path, dict[str, int]], tmp_path: Path
) -> None:
    sound = (built[0] / "firmware.elf").read_bytes()
    image = tmp_path / "mutated.elf"
    chance = random.Random(7)
    told = 0
    for _ in range(120):
        content = bytearray(sound)
        for _ in range(chance.randrange(1, 6)):
            position = chance.choice([chance.randrange(len(content)), chance.randrange(0x100)])
            content[position] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
        image.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
        try:
            found = calibrate(read_firmware(image))
        except TinybudgetError:
            told += 1
        else:
            assert found.reserved_flash >= 0
    assert told > 30
