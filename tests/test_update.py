"""Updates over the air: slots that images must fit, partition tables, and what is sent."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from small_projects import keywords
from small_projects import put

from pytest_tinybudget import cli
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.results.reader import load_results
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.update.delta import delta_bytes
from pytest_tinybudget.update.partitions import Partition
from pytest_tinybudget.update.partitions import load_partitions
from pytest_tinybudget.update.partitions import read_partitions
from pytest_tinybudget.update.payload import Payload
from pytest_tinybudget.update.payload import compressed_bytes
from pytest_tinybudget.update.payload import payload_figures
from pytest_tinybudget.update.settings import UpdateSettings
from pytest_tinybudget.update.settings import parse_link_rate
from pytest_tinybudget.update.slots import Layout
from pytest_tinybudget.update.slots import Overhead
from pytest_tinybudget.update.slots import Slot
from pytest_tinybudget.update.slots import Slots
from pytest_tinybudget.update.slots import slot_figures


KB = 1024


MODEL = keywords(filters=24, blocks=2)

#: Two slots, a data partition without an offset of its own, and a model's.
TABLE = """\
# Name,   Type, SubType, Offset,   Size,   Flags
nvs,      data, nvs,     0x9000,   0x4000,
otadata,  data, ota,     ,         8K,
phy_init, data, phy,     ,         0x1000, encrypted

ota_0,    app,  ota_0,   ,         1500K   # the first slot
ota_1,    0,    0x11,    ,         1M
ota_2,    app,  ota_2,   ,         1M
model,    data, 0x40,    ,         0x40000,
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a model of some KB, and the current directory."""
    put(tmp_path, kws=MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(folder: Path, text: str) -> Declaration:
    path = folder / "tinybudget.toml"
    path.write_text(text, encoding="utf-8")
    return load_declaration(path)


def sensor(slots: str, *, head: str = "", reserved: str = "100 KB", model: str = "") -> str:
    """A model on a board of its own with ``slots``."""
    return (
        f'{head}\n[boards.sensor]\nextends = "arduino-nano-33-ble"\nreserved_flash = "{reserved}"\n'
        f'slots = {{ {slots} }}\n[models.kws]\nsource = "models/kws.tflite"\nboards = ["sensor"]\n'
        f"{model}\n"
    )


def checked(folder: Path, text: str) -> PairResult:
    """The result of the only pair of a declaration."""
    load(folder, text)
    cli.main(["check", "--json", "results.json", "-q"])
    (pair,) = load_results(folder / "results.json").pairs
    return pair


def figure(result: PairResult, name: str) -> Figure:
    (found,) = [each for each in result.figures if each.name == name]
    return found


# Partition tables


def by_name(text: str) -> dict[str, Partition]:
    return {each.name: each for each in read_partitions(text, "partitions.csv")}


def test_offsets_that_are_left_out_are_the_next_aligned_ones() -> None:
    found = by_name(TABLE)
    assert found["otadata"].offset == 0xD000
    assert found["phy_init"].offset == 0xF000
    assert found["ota_0"].offset == 0x10000
    assert found["ota_1"].offset == 0x190000  # 1500 KB end at 0x187000; the next 64 KB
    assert found["model"].offset == found["ota_2"].end == 0x390000


def test_sizes_are_decimal_hexadecimal_or_have_a_unit() -> None:
    found = by_name(TABLE)
    sizes = [found[name].size for name in ("nvs", "otadata", "ota_0", "ota_1", "model")]
    assert sizes == [0x4000, 8 * KB, 1500 * KB, KB * KB, 0x40000]


def test_types_and_subtypes_may_be_numbers() -> None:
    assert [name for name, each in by_name(TABLE).items() if each.is_update_slot] == [
        "ota_0",
        "ota_1",
        "ota_2",
    ]


def test_the_boot_loader_and_the_table_itself_may_be_listed() -> None:
    listed = "boot, bootloader, primary, N/A, N/A\ntable, partition_table, primary, N/A, N/A\n"
    assert by_name(listed + TABLE).keys() == by_name(TABLE).keys()


def test_a_negative_size_is_where_a_partition_ends() -> None:
    assert by_name("nvs, data, nvs, 0x9000, -0x10000")["nvs"].end == 0x10000


def test_windows_line_ends_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "partitions.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    assert load_partitions(path, "partitions.csv") == read_partitions(TABLE, "partitions.csv")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nvs, data, nvs", "1: expected name, type, subtype, offset, size, found 'nvs, data, nvs'"),
        ("nvs, data, nvs, 0x9000, 4K, , more", "1: expected name, type"),
        (", data, nvs, 0x9000, 4K", "1: a partition without a name"),
        ("nvs, date, nvs, 0x9000, 4K", "1: expected type app, data or 0..254, found 'date'"),
        ("nvs, data, nvs, 0x9000, 4KB", "1: expected a size such as 0x10000, 4096, 64K or 1M"),
        ("nvs, data, nvs, 0x9000, ", "1: expected a size"),
        ("nvs, data, nvs, 0x9000, 0", "1: 'nvs' has a size of '0'"),
        ("nvs, data, nvs, 0x9000, 99999M", "1: 'nvs' has a size of '99999M'"),
        ("nvs, data, nvs, 0x9000, -0x100", "1: 'nvs' has a size of '-0x100'"),
        ("app, app, ota_0, 0x11000, 1M", "1: offset '0x11000' of 'app' is not a multiple of 0x10"),
        ("a,data,1,,4K\n\nb,data,1,0x9000,4K", "3: 'b' begins at 0x9000, inside 'a' (0x9000 to"),
        ("a,data,1,,4K\na,data,1,,4K", "2: a second partition 'a', beside line 1"),
        ("\n".join(f"p{n},data,1,,4K" for n in range(96)), "96: more than 95 partitions"),
        ("$NAME, data, \x1b[31m, 0x9000, \x1b[0m", r"1: expected a size"),
    ],
)
def test_a_broken_line_is_named(line: str, error: str) -> None:
    with pytest.raises(TinybudgetError) as raised:
        read_partitions(line, "partitions.csv")
    assert raised.value.message.startswith(f"partitions.csv:{error}")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "declares no partition"),
        (b"# nothing\n", "declares no partition"),
        (b"\xff\xfe\x00", "byte 0 is not UTF-8 text"),
        (b"#" * 300_000, "larger than 256.0 KB"),
    ],
)
def test_what_is_no_partition_table_is_one_line(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "partitions.csv"
    path.write_bytes(content)
    with pytest.raises(TinybudgetError, match=error):
        load_partitions(path, "partitions.csv")


_FIELD = st.one_of(
    st.sampled_from(
        ["nvs", "app", "data", "ota_0", "", "0x10", "-1", "4K", "1M", "0x9000", "017", "#", "٣"]
    ),
    st.text(max_size=12),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(_FIELD, max_size=8).map(",".join), max_size=6).map("\n".join))
def test_whatever_a_table_holds_it_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        found = read_partitions(text, "partitions.csv")
    except TinybudgetError as error:
        found, refusal = (), error.message
    else:
        refusal = "partitions.csv:"
    assert refusal.startswith("partitions.csv:")
    assert refusal.isprintable()
    assert all(before.end <= after.offset for before, after in pairwise(found))
    assert all(each.size > 0 for each in found)


# Slots


def test_a_slot_of_mcuboot_holds_less_than_its_partition() -> None:
    slot = Overhead("mcuboot", "ed25519").slot("slot", 512 * KB)
    assert (slot.around, slot.trailer) == (702, 1584)
    assert slot.capacity == 512 * KB - 702 - 1584


@pytest.mark.parametrize("header", [0, 32])
def test_a_declared_header_takes_the_place_of_the_layouts_own(header: int) -> None:
    own = Overhead("mcuboot").slot("slot", 512 * KB).around
    assert Overhead("mcuboot", header=header).slot("slot", 512 * KB).around == own - 512 + header


@pytest.mark.parametrize(("align", "trailer"), [(1, 432), (4, 1584), (8, 3120), (32, 12448)])
def test_the_trailer_grows_with_what_the_flash_writes_at_once(align: int, trailer: int) -> None:
    assert Overhead("mcuboot", align=align).trailer_bytes(512 * KB) == trailer


def test_the_trailer_records_every_sector_of_a_large_slot() -> None:
    assert Overhead("mcuboot").trailer_bytes(1024 * KB) == 3 * 4 * 256 + 4 * 8 + 16
    assert Overhead("mcuboot").trailer_bytes(1024 * KB + 1) == 3 * 4 * 257 + 4 * 8 + 16


def test_a_signed_image_of_an_esp_ends_at_64_kb() -> None:
    plain, signed = Overhead("esp-idf"), Overhead("esp-idf", "rsa-3072")
    assert plain.slot("ota_0", 1500 * KB).capacity == 1500 * KB - 200
    assert signed.slot("ota_0", 1500 * KB).capacity == 1472 * KB - 200 - 4096


def filled(slots: Slots, firmware: int, model: int = 0, *, estimated: bool = False) -> list[Figure]:
    return list(slot_figures(slots, firmware, model, estimated=estimated))


@pytest.mark.parametrize(
    ("used", "advice"),
    [
        (4 * KB, ""),
        (4 * KB + 1, "firmware slot: 1 B less, or a larger slot"),
        (6 * KB, "firmware slot: 2.0 KB less, or a larger slot"),
    ],
)
def test_a_slot_that_is_too_small_says_by_how_much(used: int, advice: str) -> None:
    slots = Slots("custom", Slot("a slot", 4 * KB, around=0, trailer=0))
    (firmware,) = filled(slots, used)
    assert (firmware.exceeded, firmware.advice) == (bool(advice), advice)


def test_a_slot_says_what_it_holds_and_how_well_that_is_known() -> None:
    firmware = Slot("a slot", 4 * KB, around=0, trailer=0)
    apart = Slots("custom", firmware, Slot("a model slot", 2 * KB, around=0, trailer=0))
    together = filled(Slots("custom", firmware), 3000, 1000)
    assert [(each.basis, each.method) for each in together] == [
        ("application, runtime and model in a slot of 4.0 KB", "measured")
    ]
    assert [(each.high, each.basis, each.method) for each in filled(apart, 3000, 1000)] == [
        (2000, "application and runtime in a slot of 4.0 KB", "measured"),
        (1000, "the model in a model slot of 2.0 KB", "exact"),
    ]
    bounded = filled(apart, 3000, 1000, estimated=True)
    assert [each.method for each in bounded] == ["estimated", "exact"]


def test_an_update_is_written_to_the_models_slot_where_it_has_one() -> None:
    firmware, model = (Slot(name, 4 * KB, around=0, trailer=0) for name in ("firmware", "model"))
    assert Slots("custom", firmware).payload == firmware
    assert Slots("custom", firmware, model).payload == model


@pytest.mark.parametrize("layout", ["esp-idf", "mcuboot"])
def test_the_slot_of_a_model_keeps_its_name(layout: Layout) -> None:
    assert Overhead(layout).model_slot("partition 'model'", 64 * KB).name == "partition 'model'"


def test_a_firmware_that_is_larger_than_its_slot_fails(folder: Path) -> None:
    result = checked(folder, sensor('layout = "mcuboot", size = "128 KB", signature = "ed25519"'))
    assert result.outcome == "over"
    slot = figure(result, "firmware slot")
    footprint = next(measure.used for measure in result.measures if measure.metric == "flash")
    assert slot.high == footprint + 100 * KB
    assert slot.limit == 128 * KB - 702 - 1584
    assert result.headline.startswith("firmware slot over (")
    assert "a slot of 128.0 KB less 702 B header and signature and 1.5 KB trailer" in slot.basis


def test_the_same_firmware_passes_in_a_slot_with_room(folder: Path) -> None:
    result = checked(folder, sensor('layout = "mcuboot", size = "480 KB", signature = "ed25519"'))
    assert result.outcome == "fits"
    assert "firmware slot ok (" in result.headline


def test_a_model_apart_has_a_slot_of_its_own_and_leaves_the_firmwares(folder: Path) -> None:
    linked = checked(folder, sensor('layout = "mcuboot", size = "200 KB"'))
    apart = checked(folder, sensor('layout = "mcuboot", size = "200 KB", model_size = "4 KB"'))
    saved = figure(linked, "firmware slot").high - figure(apart, "firmware slot").high
    assert saved == apart.model_bytes
    model = figure(apart, "model slot")
    assert (model.high, model.limit) == (apart.model_bytes, 4 * KB - 598 - 1584)
    assert apart.headline.startswith("model slot over (")


def test_flash_room_is_what_the_slot_leaves(folder: Path) -> None:
    declaration = load(folder, sensor('layout = "custom", size = "300 KB", trailer = "4 KB"'))
    assert declaration.boards["sensor"].usable_flash == 296 * KB


def test_a_declared_usable_flash_stays(folder: Path) -> None:
    text = sensor('layout = "custom", size = "300 KB"').replace(
        'reserved_flash = "100 KB"', 'reserved_flash = "100 KB"\nusable_flash = "250 KB"'
    )
    assert load(folder, text).boards["sensor"].usable_flash == 250 * KB


def test_a_board_has_the_slots_of_the_board_that_it_extends(folder: Path) -> None:
    text = sensor('layout = "custom", size = "300 KB"')
    declaration = load(folder, f'{text}[boards.second]\nextends = "sensor"\n')
    assert declaration.slots["second"] == declaration.slots["sensor"]
    assert declaration.boards["second"].usable_flash == 300 * KB


DOOR = """\
[boards.door]
extends = "esp32"
reserved_flash = "900 KB"
[boards.door.slots]
layout = "esp-idf"
partition_table = "partitions.csv"
{more}
[models.kws]
source = "models/kws.tflite"
boards = ["door"]
"""


def door(folder: Path, more: str = "", table: str = TABLE) -> Declaration:
    folder.joinpath("partitions.csv").write_text(table, encoding="utf-8")
    return load(folder, DOOR.format(more=more))


def test_the_smallest_update_slot_of_a_partition_table_counts(folder: Path) -> None:
    slots = door(folder).slots["door"]
    assert slots.firmware.name == "partition 'ota_1'"
    assert slots.firmware.capacity == 1024 * KB - 200


def test_a_partition_may_be_named_and_the_model_have_its_own(folder: Path) -> None:
    declaration = door(folder, 'partition = "ota_0"\nmodel_partition = "model"')
    slots = declaration.slots["door"]
    assert slots.firmware.size == 1500 * KB
    assert slots.model is not None
    assert slots.model.capacity == 256 * KB  # plain data, no image of its own
    assert declaration.boards["door"].usable_flash == slots.firmware.capacity + 256 * KB


def test_a_pair_is_held_to_its_partitions(folder: Path) -> None:
    folder.joinpath("partitions.csv").write_text(
        TABLE.replace("0x40000", "0x1000"), encoding="utf-8"
    )
    result = checked(folder, DOOR.format(more='model_partition = "model"'))
    assert figure(result, "model slot").limit == 0x1000
    assert result.outcome == "over"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ('partition = "ota_9"', "unknown partition 'ota_9'; did you mean 'ota_"),
        ('model_partition = "modell"', "unknown partition 'modell'; did you mean 'model'?"),
        ('size = "1 MB"', "'size' is in the partition table: leave it out"),
        ('signature = "ed25519"', "esp-idf has no signature 'ed25519': expected none, ecdsa-p256"),
    ],
)
def test_what_a_partition_table_does_not_have_is_told(folder: Path, more: str, error: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(error)):
        door(folder, more)


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("factory, app, factory, , 1M", "ota_0 to ota_15: nothing can be updated over the air"),
        ("ota_0, app, ota_0, , 5M", "'ota_0' ends at 5.06 MB, beyond the board's flash, 4.00 MB"),
        ("ota_0, app, ota_0, , many", "partitions.csv:1: expected a size"),
    ],
)
def test_a_table_that_cannot_be_is_told_with_the_line(folder: Path, table: str, error: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(error)):
        door(folder, table=table)


def test_a_partition_table_that_is_not_there_is_a_missing_file(folder: Path) -> None:
    with pytest.raises(DeclarationError, match=r"no such file: 'partitions\.csv'"):
        load(folder, DOOR.format(more=""))


@pytest.mark.parametrize(
    ("slots", "error"),
    [
        ('size = "1 MB"', "'layout' is missing"),
        ('layout = "mcuboot"', "'size' is missing, or a 'partition_table'"),
        ('layout = "mcuboot", size = "600 KB"', "2 slots, 1.17 MB in all, are more than the board"),
        ('layout = "mcuboot", size = "1 KB"', "nothing is left of a slot of 1.0 KB"),
        ('layout = "mcuboot", size = "1 KB", count = 0', "expected a whole number, 1 to 16"),
        ('layout = "mcboot", size = "1 KB"', "mcuboot"),
        (
            'layout = "mcuboot", size = "300 KB", model_partition = "model"',
            "'model_partition' names a partition: declare 'partition_table', or give 'model_size'",
        ),
    ],
)
def test_slots_that_cannot_be_are_told(folder: Path, slots: str, error: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(error)):
        load(folder, sensor(slots))


# Payload


def changed(model: bytes, share: float) -> bytes:
    """``model`` with that share of its bytes changed at random."""
    chance = random.Random(1)
    return bytes(chance.randrange(256) if chance.random() < share else byte for byte in model)


def weights(count: int = 60_000) -> bytes:
    """Something that compresses as INT8 weights do."""
    chance = random.Random(2)
    return bytes(int(chance.gauss(0, 25)) & 0xFF for _ in range(count))


def test_weights_compress_to_what_their_spread_allows() -> None:
    assert 0.7 < compressed_bytes(weights()) / 60_000 < 0.9


def test_a_delta_is_small_where_little_changed_and_large_after_a_retrain() -> None:
    model = weights()
    least, most = delta_bytes(model, changed(model, 0.01))
    assert 600 < least < most < 0.06 * len(model)
    least, _ = delta_bytes(model, bytes(reversed(model)))
    assert least > 0.9 * compressed_bytes(model)


def test_nothing_changed_sends_next_to_nothing() -> None:
    least, most = delta_bytes(weights(), weights())
    assert least < most < 300


def test_what_is_unknown_counts_whole() -> None:
    payload = Payload(weights(), around_bytes=700, firmware_bytes=100_000)
    compressed = compressed_bytes(weights())
    assert payload.sizes("raw") == (160_700, 160_700)
    assert payload.sizes("compressed") == (compressed, compressed + 100_700)


def test_a_delta_sends_the_new_signature_but_not_the_firmware() -> None:
    alone = Payload(weights(), deployed=weights())
    linked = Payload(weights(), 700, 100_000, weights())
    assert linked.sizes("delta")[1] == alone.sizes("delta")[1] + 700


@pytest.mark.parametrize(
    ("text", "bits_per_second"),
    [
        ("5 kbit/s", 5000),
        ("300bit/s", 300),
        ("1.5 Mbit/s", 1_500_000),
        ("20 kB/s", 160_000),
    ],
)
def test_link_rates(text: str, bits_per_second: float) -> None:
    assert parse_link_rate(text) == bits_per_second


@pytest.mark.parametrize("text", ["5", "0 kbit/s", "fast", "5 kbps", "-1 kbit/s", "5 kbit/s\n\n;"])
def test_what_is_no_link_rate_is_refused(folder: Path, text: str) -> None:
    text = text.replace("\n", "\\n")
    with pytest.raises(DeclarationError, match="rate such as"):
        load(folder, _update(f'link_rate = "{text}"') + f"\n{KWS}")


def _update(*lines: str) -> str:
    return "\n".join(("[update]", *lines))


def test_airtime_is_what_is_sent_at_the_links_rate() -> None:
    terms = UpdateSettings("raw", link_rate=8000)
    airtime = list(payload_figures(Payload(b"x" * 5000), terms, None))[-1]
    assert (airtime.name, airtime.unit, airtime.high) == ("airtime", "s", 5.0)


KWS = '[models.kws]\nsource = "models/kws.tflite"\nboards = ["esp32"]\n'


def test_nothing_is_compressed_unless_it_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lzma.compress", pytest.fail)
    names = [each.name for each in checked(folder, KWS).figures]
    assert not [name for name in names if name.startswith(("update", "airtime"))]


def test_the_budget_counts_what_is_compressed(folder: Path) -> None:
    model = (folder / "models" / "kws.tflite").read_bytes()
    size = compressed_bytes(model)
    fits = checked(folder, f"{KWS}budget = {{ update = {size} }}")
    over = checked(folder, f"{KWS}budget = {{ update = {size - 1} }}")
    assert (fits.outcome, over.outcome) == ("fits", "over")
    assert figure(fits, "update raw").high == len(model)
    assert figure(fits, "update raw").limit is None
    assert over.headline.startswith("update compressed over (")


def test_the_budget_counts_the_delta_where_that_is_sent(folder: Path) -> None:
    put(folder, kws_v1=MODEL)
    head = _update('send = "delta"', 'link_rate = "5 kbit/s"')
    result = checked(
        folder, f'{head}\n{KWS}deployed = "models/kws_v1.tflite"\nbudget = {{ update = "1 KB" }}'
    )
    assert result.outcome == "fits"
    assert figure(result, "update delta").limit == 1024
    assert figure(result, "update compressed").limit is None
    assert "update delta at 5,000 bit/s" in figure(result, "airtime").basis


def test_the_first_release_is_sent_whole_although_deltas_are_declared(folder: Path) -> None:
    head = _update('send = "delta"')
    result = checked(folder, f"{head}\n{KWS}budget = {{ update = 100 }}")
    assert figure(result, "update compressed").limit == 100
    assert result.outcome == "over"
    assert "where a delta can be sent, declare the 'deployed' model" in result.reasons


def test_made_up_weights_of_a_planned_model_count_whole(folder: Path) -> None:
    planned = (
        '[models.plan]\nboards = ["esp32"]\ninput_shape = [64]\n'
        'layers = [{ type = "dense", units = 64 }]\nbudget = { update = "4 KB" }\n'
    )
    result = checked(folder, planned)
    assert figure(result, "update compressed").high == result.model_bytes
    assert result.outcome == "over"


def test_a_budget_in_the_defaults_is_every_models(folder: Path) -> None:
    result = checked(folder, f'[defaults]\nbudget = {{ update = "1 KB" }}\n{KWS}')
    assert figure(result, "update compressed").limit == 1024


def test_a_model_that_is_linked_in_sends_the_firmware_with_it(folder: Path) -> None:
    slots = 'layout = "mcuboot", size = "300 KB"'
    linked = checked(folder, sensor(slots, head=_update()))
    apart = checked(folder, sensor(f'{slots}, model_size = "32 KB"', head=_update()))
    firmware = figure(linked, "firmware slot").high
    assert figure(linked, "update raw").high == (firmware or 0) + 598
    assert figure(apart, "update raw").high == apart.model_bytes + 598


def test_a_group_is_one_firmware_in_one_slot(folder: Path) -> None:
    put(folder, vad=keywords(filters=16))
    group = (
        '[models.vad]\nsource = "models/vad.tflite"\nboards = ["sensor"]\n'
        '[groups.all]\nmodels = ["kws", "vad"]\n'
    )
    load(folder, sensor('layout = "custom", size = "150 KB"', model=group))
    cli.main(["check", "--json", "results.json", "-q"])
    pairs = load_results(folder / "results.json").pairs
    kws, together = (
        next(each for each in pairs if each.model == name) for name in ("kws", "groups.all")
    )
    whole = figure(together, "firmware slot")
    assert (whole.high or 0) > (figure(kws, "firmware slot").high or 0)
    assert together.headline.startswith("firmware slot over (")


def test_a_group_has_no_update_of_its_own(folder: Path) -> None:
    text = f'{KWS}[groups.all]\nmodels = ["kws"]\nbudget = {{ update = "1 KB" }}\n'
    with pytest.raises(DeclarationError, match="is a budget of models: a group is not sent"):
        load(folder, text)
