"""The firmware that a model runs in: its runtime, and where arena and model lie."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.names import Name
from pytest_tinybudget.declaration.schema.sizes import Size
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import ModelStorage
from pytest_tinybudget.runtimes.placement import Placement


#: A runtime's name, or a distribution's and its release: ``zephyr 4.1``.
RUNTIME_PATTERN = r"^[A-Za-z0-9._-]+( +[A-Za-z0-9._~-]+)?$(?!\n)"

_RUNTIME = {"expected": "a runtime's name, or a distribution's and its release (\"zephyr 4.1\")"}


class FixedRuntimeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An engine without a table, at a fixed cost."""

    flash: Size
    stack: Size


RuntimeName = Annotated[str, Meta(pattern=RUNTIME_PATTERN, extra=_RUNTIME)]

RuntimeReference = Annotated[
    RuntimeName | FixedRuntimeTable,
    Meta(
        description="a runtime by name (`tinybudget runtime` lists what is shipped), `project` for "
        "what the project's own files name, or a fixed cost; the board's own when absent",
        examples=["esp-tflite-micro 1.3.3.1"],
    ),
]

Registrations = Annotated[
    Literal["generic", "typed"],
    Meta(description="how the firmware registers operators", examples=["typed"]),
]

Sdk = Annotated[
    Name,
    Meta(
        description="what the firmware is built with: its share of a board's memory is reserved, "
        "and the TFLM that it ships is the board's runtime (arduino, esp-idf, pico-sdk, zephyr, "
        "bare-metal, or another that `tinybudget boards show` lists)",
        examples=["zephyr"],
    ),
]

_ARENA_PLACE = {"expected": '"static", "heap" or "psram"'}

ArenaPlace = Annotated[Placement, Meta(extra=_ARENA_PLACE)]


class SplitPlacementTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An arena of two buffers: persistent data, and buffers that are planned for each inference."""

    persistent: Placement
    non_persistent: Placement


Placed = Annotated[
    ArenaPlace | SplitPlacementTable,
    Meta(description="where the arena goes, one block of which it must fit", examples=["static"]),
]

PlacedModel = Annotated[
    ModelPlacement,
    Meta(description="where the model's bytes lie while it runs", examples=["ram"]),
]

StoredModel = Annotated[
    ModelStorage,
    Meta(
        description="where a model that lies in RAM is read from: the firmware's flash, or "
        "outside of it (an SD card, a file system)",
        examples=["external"],
    ),
]

Stack = Annotated[
    Size, Meta(description="stack, in place of the measured table's", examples=["2 KB"])
]
