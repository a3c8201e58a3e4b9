"""Boards of your own."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.base.units import quantity_pattern
from pytest_tinybudget.declaration.schema.firmware import RuntimeReference
from pytest_tinybudget.declaration.schema.firmware import Sdk
from pytest_tinybudget.declaration.schema.names import Name
from pytest_tinybudget.declaration.schema.names import Text
from pytest_tinybudget.declaration.schema.sizes import Size


class SlotsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How the flash is divided for updates over the air."""

    layout: Literal["mcuboot", "esp-idf", "custom"]
    size: Size | None = None
    count: Annotated[int, Meta(ge=1, le=16, extra={"expected": "a whole number, 1 to 16"})] = 2
    header: Size | None = None
    trailer: Size | None = None
    signature: Literal["none", "ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072"] = "none"
    align: Literal[1, 2, 4, 8, 16, 32] = 4
    partition_table: Text | None = None
    partition: Text | None = None
    model_partition: Text | None = None
    model_size: Size | None = None
    elf: Text | None = None
    model_symbol: Text | None = None


class VelaTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How Vela compiles models for the board's Ethos-U; what is absent is Vela's default."""

    config: Text | None = None
    system_config: Text | None = None
    memory_mode: Text | None = None
    optimise: Literal["Performance", "Size"] | None = None
    arena_cache_size: Size | None = None
    timeout: (
        Annotated[int, Meta(gt=0, le=86400, extra={"expected": "a whole number of seconds"})] | None
    ) = None


class BoardTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An own board: another board with changes, or a complete one (core, flash and ram)."""

    extends: Name | None = None
    name: Text | None = None
    mcu: Text | None = None
    core: Text | None = None
    clock_mhz: Annotated[int, Meta(gt=0, extra={"expected": "a whole number above 0"})] | None = (
        None
    )
    active_power: (
        Annotated[str, Meta(pattern=quantity_pattern("W"), extra={"expected": 'a power ("40 mW")'})]
        | None
    ) = None
    sleep_current: (
        Annotated[
            str, Meta(pattern=quantity_pattern("A"), extra={"expected": 'a current ("5 uA")'})
        ]
        | None
    ) = None
    voltage: (
        Annotated[
            str, Meta(pattern=quantity_pattern("V"), extra={"expected": 'a voltage ("3.3 V")'})
        ]
        | None
    ) = None
    flash: Size | None = None
    ram: Size | None = None
    usable_flash: Size | None = None
    largest_ram: Size | None = None
    largest_heap: Size | None = None
    psram: Size | None = None
    sdk: Sdk | None = None
    reserved_flash: Size | None = None
    reserved_ram: Size | None = None
    runtime: RuntimeReference | None = None
    notes: Text | None = None
    accelerator: Name | None = None
    vela: VelaTable | None = None
    slots: SlotsTable | None = None
