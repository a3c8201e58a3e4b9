"""Images of ESP chips: laid out as ``esptool elf2image`` does, and held to slots with that size."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

import pytest
from campaigns import every
from campaigns import rare
from elf_maker import RISCV
from elf_maker import XTENSA
from elf_maker import ElfSection
from elf_maker import ElfSymbol
from elf_maker import make_elf
from msgspec.structs import replace
from small_projects import keywords
from small_projects import put

from pytest_tinybudget import cli
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.results.reader import load_results
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.update.esp_image import SecurePad
from pytest_tinybudget.update.esp_image import bounds
from pytest_tinybudget.update.esp_image import changed_image
from pytest_tinybudget.update.esp_image import image_of
from pytest_tinybudget.update.esp_image import model_change
from pytest_tinybudget.update.esp_image import read_application


KB = 1024
PAGE = 64 * KB
SIGNED: dict[SecurePad, int] = {"": 0, "1": 68, "2": 4096}
MODEL = keywords(filters=24, blocks=2)


class Esp(NamedTuple):
    """A chip, and where ESP-IDF's linker scripts put constants, code, data and code in RAM."""

    mcu: str
    machine: int
    constants: int
    code: int
    data: int
    fast_code: int


ESPS = {
    "esp32": Esp("ESP32", XTENSA, 0x3F400020, 0x400D0020, 0x3FFB0000, 0x40080000),
    "esp32s2": Esp("ESP32-S2", XTENSA, 0x3F000020, 0x40080020, 0x3FFB0000, 0x40024000),
    "esp32s3": Esp("ESP32-S3", XTENSA, 0x3C000020, 0x42000020, 0x3FC90000, 0x40374000),
    "esp32c3": Esp("ESP32-C3", RISCV, 0x3C000020, 0x42000020, 0x3FC90000, 0x40380000),
    "esp32c6": Esp("ESP32-C6", RISCV, 0x42200020, 0x42000020, 0x40810000, 0x40800000),
    "esp32p4": Esp("ESP32-P4", RISCV, 0x40200020, 0x40000020, 0x4FF80000, 0x4FF00000),
}


def description(page_power: int = 0) -> bytes:
    """``esp_app_desc_t``, which may name the page's size."""
    content = bytearray((0xABCD5432).to_bytes(4, "little").ljust(256, b"\0"))
    content[180] = page_power
    return bytes(content)


def application(
    chip: str,
    constants: bytes,
    code: int,
    *,
    data: int = 0,
    fast_code: int = 0,
    page_power: int = 0,
    symbols: Sequence[tuple[str, int, int]] = (),
) -> bytes:
    """An ELF as ESP-IDF links it; ``symbols`` are name, offset in ``constants``, and size."""
    esp = ESPS[chip]
    described = description(page_power)
    start = esp.constants + len(described)
    sections = [
        ElfSection(".iram0.text", esp.fast_code, b"\1" * fast_code),
        ElfSection(".dram0.data", esp.data, b"\2" * data),
        ElfSection(".flash.appdesc", esp.constants, described),
        ElfSection(".flash.rodata", start, constants),
        ElfSection(".flash.text", esp.code, b"\4" * code),
    ]
    named = [ElfSymbol(name, start + offset, size) for name, offset, size in symbols]
    return make_elf(esp.machine, sections, named)


def elf2image(elf: bytes, chip: str, pad: SecurePad = "") -> bytes:
    """What esptool makes of ``elf``, not signed yet."""
    pytest.importorskip("esptool")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from esptool.cmds import elf2image as convert
        from esptool.logger import log
    log.set_verbosity("silent")
    more = {"": {}, "1": {"secure_pad": True}, "2": {"secure_pad_v2": True}}[pad]
    made = convert(elf, chip, **more)
    assert isinstance(made, bytes)
    return made


def real_size(elf: bytes, chip: str, pad: SecurePad = "") -> int:
    """Bytes of esptool's image with the signature that espsecure adds."""
    return len(elf2image(elf, chip, pad)) + SIGNED[pad]


def read(folder: Path, elf: bytes, chip: str) -> Any:
    path = folder / "app.elf"
    path.write_bytes(elf)
    return read_application(path, "app.elf", ESPS[chip].mcu, ())


def near_a_page(random_: random.Random) -> int:
    """A size, often one that ends a segment about a page's end."""
    return random_.choice((random_.randrange(300, 200_000), PAGE + random_.randrange(-400, 80)))


@pytest.mark.parametrize("chip", every(3, ESPS))
def test_an_image_is_as_large_as_esptools_to_the_byte(chip: str, tmp_path: Path) -> None:
    random_ = random.Random(chip)
    for _ in range(40):
        elf = application(
            chip,
            b"\3" * near_a_page(random_),
            near_a_page(random_),
            data=random_.choice((0, 5, random_.randrange(1, 30_000))),
            fast_code=random_.choice((0, 1_001, random_.randrange(1, 120_000))),
            page_power=random_.choice((0, 13, 14, 15, 16)) if chip == "esp32c6" else 0,
        )
        found = read(tmp_path, elf, chip)
        pads: tuple[SecurePad, ...] = ("", "1", "2") if chip == "esp32" else ("", "2")
        for pad in pads:
            image = image_of(found.sections, found.chip, found.page, pad)
            real = elf2image(elf, chip, pad)
            assert (image.bytes, image.segments) == (len(real) + SIGNED[pad], real[1])
            whole = bounds(sum(each.size for each in found.sections), pad, found.page)
            assert whole.least <= image.bytes <= whole.most


@pytest.mark.parametrize("chip", every(3, ESPS))
@pytest.mark.parametrize("pad", ["", rare("2")])
def test_the_image_with_another_model_and_other_code_lies_in_its_range(
    chip: str, pad: SecurePad, tmp_path: Path
) -> None:
    random_ = random.Random(f"{chip}{pad}")
    for _ in range(25):
        before, behind = random_.randrange(90_000) // 16 * 16, random_.randrange(30_000)
        code, alignment = random_.randrange(100, 140_000), random_.choice((4, 8, 16))
        loaded = {"fast_code": random_.choice((0, 40_000, 90_000)), "data": 9_000}
        old = random_.randrange(8, 120_000)
        new = random_.choice((old + random_.randrange(1, 2_000), random_.randrange(8, 200_000)))
        more = random_.choice((0, random_.randrange(60_000)))
        constants = random_.choice((0, more, random_.randrange(more + 1)))

        def linked(model: int, constants: int = 0, code: int = code) -> bytes:
            content = bytes(before) + b"\0\0\0\0TFL3".ljust(model, b"\7")  # noqa: B023
            content += bytes(-len(content) % alignment) + bytes(behind + constants)  # noqa: B023
            arrays = [("g_kws_model_data", before, model)]  # noqa: B023
            return application(chip, content, code, symbols=arrays, **loaded)  # noqa: B023

        elf = read(tmp_path, linked(old), chip)
        change = model_change(elf.models, [bytes(new)])
        change = replace(change, least_code=more, most_code=more)
        image = changed_image(elf, change, pad)
        real = real_size(linked(new, constants, code + more - constants), chip, pad)
        assert image.least <= real <= image.most


def test_a_model_of_the_same_size_gives_the_same_image(tmp_path: Path) -> None:
    model = b"\0\0\0\0TFL3".ljust(5_001, b"\7")
    elf = application("esp32s3", model, 70_000, symbols=[("g_kws_model_data", 0, len(model))])
    found = read(tmp_path, elf, "esp32s3")
    assert found.models == (model,)
    image = changed_image(found, model_change(found.models, [bytes(5_001)]), "")
    assert image.least == image.most == real_size(elf, "esp32s3")


def test_a_thousand_bytes_of_model_can_cost_a_page(tmp_path: Path) -> None:
    """Nothing is loaded into RAM that could fill the page before the code."""
    small, large = (application("esp32c3", bytes(PAGE - 256 - size), 70_000) for size in (1_000, 0))
    found = [read(tmp_path, elf, "esp32c3") for elf in (small, large)]
    images = [image_of(each.sections, each.chip, each.page) for each in found]
    assert images[1].bytes - images[0].bytes == PAGE
    assert [image.bytes for image in images] == [
        real_size(elf, "esp32c3") for elf in (small, large)
    ]


LINK = """
ENTRY(main)
SECTIONS {
  .flash.appdesc 0x3c000020 : { KEEP(*(.rodata_desc)) }
  .flash.rodata : ALIGN(16) { *(.rodata .rodata.* .srodata .srodata.*) }
  .dram0.data 0x3fc90000 : { *(.data .data.* .sdata .sdata.*) }
  .flash.text 0x42000020 : { *(.text .text.*) }
  /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) *(.riscv.attributes) }
}
"""
SOURCE = """
__attribute__((section(".rodata_desc")))
const unsigned char desc[256] = {{0x32, 0x54, 0xcd, 0xab}};
const char before[] = "something of the application";
__attribute__((aligned(16)))
const unsigned char g_kws_model_data[{size}] = {{0, 0, 0, 0, 'T', 'F', 'L', '3'}};
const char behind[40001] = "and something behind";
int counter = 3;
int main(void) {{ return before[counter] + behind[counter] + g_kws_model_data[counter] + desc[0]; }}
"""


def test_a_firmware_linked_with_another_model_has_the_size_that_the_first_one_told(
    tmp_path: Path,
) -> None:
    compiler = shutil.which("riscv64-unknown-elf-gcc")
    if compiler is None:
        pytest.skip("riscv64-unknown-elf-gcc is not installed")
    (tmp_path / "app.ld").write_text(LINK)

    def built(size: int) -> bytes:
        (tmp_path / "app.c").write_text(SOURCE.format(size=size))
        subprocess.run(
            [compiler, "-march=rv32imc", "-mabi=ilp32", "-nostdlib", "-O1", "-T", "app.ld",
             "app.c", "-o", "built.elf"],
            cwd=tmp_path, check=True, timeout=60, capture_output=True,
        )  # fmt: skip
        return (tmp_path / "built.elf").read_bytes()

    elf = read(tmp_path, built(20_000), "esp32c3")
    for size in (19_001, 20_016, 25_100, 25_260, 25_300, 26_000, 90_500, 91_003):
        image = changed_image(elf, model_change(elf.models, [bytes(size)]), "")
        real = real_size(built(size), "esp32c3")
        assert image.least <= real <= image.most
        if (size - 20_000) % 16 == 0:
            assert image.least == image.most


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"no ELF", "app.elf: not a sound ELF file"),
        (make_elf(40, [ElfSection(".text", 0x1000, b"code")]), "neither Xtensa nor 32-bit RISC-V"),
        (
            make_elf(XTENSA, [ElfSection(".text", 0x400D0020, b"code")]),
            "no section .flash.text where ESP32 maps flash",
        ),
        (application("esp32s3", bytes(300), 300), "no section .flash.text where ESP32 maps flash"),
    ],
)
def test_what_is_no_application_of_the_chip_is_one_line(
    content: bytes, error: str, tmp_path: Path
) -> None:
    with pytest.raises(TinybudgetError, match=re.escape(error)) as raised:
        read(tmp_path, content, "esp32")
    assert raised.value.message.isprintable()


def test_two_mapped_segments_in_one_page_are_refused_as_esptool_does(tmp_path: Path) -> None:
    sections = [
        ElfSection(".flash.rodata", 0x3F400020, bytes(64)),
        ElfSection(".flash.other", 0x3F400200, bytes(64)),
        ElfSection(".flash.text", 0x400D0020, bytes(64)),
    ]
    elf = make_elf(XTENSA, sections)
    found = read(tmp_path, elf, "esp32")
    with pytest.raises(TinybudgetError, match="lies in the page of"):
        image_of(found.sections, found.chip)
    with pytest.raises(Exception, match="lands in same 64 KB"):
        elf2image(elf, "esp32")


# The gate


def checked(folder: Path, slots: str, *, reserved: str = "400 KB", more: str = "") -> PairResult:
    """The result of a model on an ESP32-S3 with ``slots``."""
    put(folder, kws=MODEL)
    declared = f"slots = {{ {slots} }}" if slots else ""
    (folder / "tinybudget.toml").write_text(
        f'{more}\n[boards.door]\nextends = "esp32-s3-devkitc-1"\nreserved_flash = "{reserved}"\n'
        f'{declared}\n[models.kws]\nsource = "models/kws.tflite"\nboards = ["door"]\n'
    )
    cli.main(["check", "--json", "results.json", "-q"])
    (pair,) = load_results(folder / "results.json").pairs
    return pair


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def figure(result: PairResult, name: str) -> Figure:
    (found,) = [each for each in result.figures if each.name == name]
    assert found.low is not None
    assert found.high is not None
    return found


def firmware(model: bytes = MODEL, *, code: int = 300_000, fast_code: int = 60_000) -> bytes:
    content = bytes(4_096) + model + bytes(90_000)
    symbols = [("g_kws_model_data", 4_096, len(model)), ("_ZN6tflite16MicroInterpreterE", 0, 4)]
    return application("esp32s3", content, code, fast_code=fast_code, symbols=symbols)


def test_a_slot_that_the_contents_fit_and_the_pages_may_not_is_over(folder: Path) -> None:
    roomy = checked(folder, 'layout = "esp-idf", size = "1 MB"')
    whole = figure(roomy, "firmware slot")
    (flash,) = [each for each in roomy.measures if each.metric == "flash"]
    contents = flash.used + 400 * KB
    assert not roomy.failed
    assert whole.low <= contents + 100
    assert PAGE < whole.high - contents < PAGE + 400
    assert whole.limit == 1024 * KB
    tight = checked(folder, f'layout = "esp-idf", size = "{contents + 30_000} B"')
    assert tight.outcome == "over"
    assert "up to 64.0 KB of it fill pages of flash" in figure(tight, "firmware slot").basis
    assert 'it may fit: elf = "build/app.elf" in [boards.NAME.slots]' in " ".join(tight.reasons)


def test_the_firmwares_elf_says_what_its_image_takes(folder: Path) -> None:
    elf = firmware()
    (folder / "app.elf").write_bytes(elf)
    size = real_size(elf, "esp32s3")
    slots = 'layout = "esp-idf", elf = "app.elf", size = "{} B"'
    fits, over = (
        checked(folder, slots.format(each), reserved="300 KB") for each in (size, size - 1)
    )
    slot = figure(fits, "firmware slot")
    assert (slot.low, slot.high, slot.limit) == (size, size, size)
    assert "laid out by app.elf as elf2image does" in slot.basis
    assert (fits.failed, over.failed) == (False, True)
    assert over.headline.startswith("firmware slot over (")


def test_another_model_is_counted_in_the_elf_of_the_last_one(folder: Path) -> None:
    before = keywords(filters=16, blocks=2)
    (folder / "app.elf").write_bytes(firmware(before))
    result = checked(folder, 'layout = "esp-idf", elf = "app.elf", size = "1 MB"')
    slot = figure(result, "firmware slot")
    assert slot.low <= real_size(firmware(), "esp32s3") <= slot.high
    assert slot.high - slot.low <= 48


def test_operators_that_the_elf_lacks_are_a_range(folder: Path) -> None:
    (folder / "app.elf").write_bytes(firmware(keywords(filters=24, blocks=2, logistic=True)))
    slot = figure(
        checked(folder, 'layout = "esp-idf", elf = "app.elf", size = "1 MB"'), "firmware slot"
    )
    assert slot.method == "estimated"
    assert slot.high > slot.low


def test_an_elf_without_the_model_counts_tflm_and_model_on_top(folder: Path) -> None:
    alone = application("esp32s3", bytes(90_000), 300_000, fast_code=60_000)
    (folder / "app.elf").write_bytes(alone)
    result = checked(folder, 'layout = "esp-idf", elf = "app.elf", size = "1 MB"')
    (flash,) = [each for each in result.measures if each.metric == "flash"]
    slot = figure(result, "firmware slot")
    assert slot.high >= real_size(alone, "esp32s3") + flash.used - PAGE
    assert slot.low > real_size(alone, "esp32s3")


def test_a_signed_image_ends_with_a_page_and_its_signature(folder: Path) -> None:
    elf = firmware()
    (folder / "app.elf").write_bytes(elf)
    slots = 'layout = "esp-idf", elf = "app.elf", size = "1 MB", signature = "rsa-3072"'
    slot = figure(checked(folder, slots), "firmware slot")
    assert slot.high == real_size(elf, "esp32s3", "2")
    assert (slot.high - 4096) % PAGE == 0


def test_usable_flash_of_an_esp_board_is_held_to_the_image_where_that_decides(folder: Path) -> None:
    roomy = checked(folder, "", reserved="700 KB")
    assert [each for each in roomy.figures if each.name == "firmware image"] == []
    (flash,) = [each for each in roomy.measures if each.metric == "flash"]
    left = 1024 * KB - flash.used
    over = checked(folder, "", reserved=f"{left - 20_000} B")
    assert over.outcome == "over"
    image = figure(over, "firmware image")
    assert image.limit == 1024 * KB
    assert image.low <= 1024 * KB < image.high


def test_what_is_sent_raw_has_the_pages_of_the_image(folder: Path) -> None:
    elf = firmware()
    (folder / "app.elf").write_bytes(elf)
    slots = 'layout = "esp-idf", {}size = "1 MB"'
    update = "[update]\n"
    known = checked(folder, slots.format('elf = "app.elf", '), more=update)
    ranged = checked(folder, slots.format(""), more=update)
    assert figure(known, "update raw").high == real_size(elf, "esp32s3")
    raw, slot = figure(ranged, "update raw"), figure(ranged, "firmware slot")
    assert (raw.low, raw.high) == (slot.low, slot.high)


@pytest.mark.parametrize(
    ("slots", "error"),
    [
        ('layout = "mcuboot", size = "1 MB", elf = "app.elf"', "is for layout 'esp-idf'"),
        ('layout = "esp-idf", size = "1 MB", elf = "ap.elf"', "no such file: 'ap.elf'"),
        ('layout = "esp-idf", size = "1 MB", model_symbol = "m"', "'elf' is missing"),
    ],
)
def test_an_elf_that_cannot_be_is_told(folder: Path, slots: str, error: str) -> None:
    put(folder, kws=MODEL)
    (folder / "app.elf").write_bytes(firmware())
    path = folder / "tinybudget.toml"
    path.write_text(
        f'[boards.door]\nextends = "esp32-s3-devkitc-1"\nslots = {{ {slots} }}\n'
        '[models.kws]\nsource = "models/kws.tflite"\nboards = ["door"]\n'
    )
    with pytest.raises(DeclarationError, match=re.escape(error)):
        load_declaration(path)


def test_an_elf_is_of_a_board_whose_chip_is_known(folder: Path) -> None:
    put(folder, kws=MODEL)
    (folder / "app.elf").write_bytes(firmware())
    path = folder / "tinybudget.toml"
    path.write_text(
        '[boards.door]\nextends = "arduino-nano-33-ble"\n'
        'slots = { layout = "esp-idf", size = "300 KB", elf = "app.elf" }\n'
        '[models.kws]\nsource = "models/kws.tflite"\nboards = ["door"]\n'
    )
    with pytest.raises(DeclarationError, match=re.escape("needs 'mcu' in [boards.door], one of")):
        load_declaration(path)


def test_an_array_that_the_elf_does_not_have_is_an_error_of_the_pair(folder: Path) -> None:
    (folder / "app.elf").write_bytes(firmware())
    result = checked(
        folder, 'layout = "esp-idf", size = "1 MB", elf = "app.elf", model_symbol = "g_other"'
    )
    assert result.outcome == "error"
    assert "app.elf has no such object" in result.headline
