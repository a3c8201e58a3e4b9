"""Runtimes of your own, and operators that the tables do not know."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.firmware import RuntimeName
from pytest_tinybudget.declaration.schema.names import Text
from pytest_tinybudget.declaration.schema.sizes import Size
from pytest_tinybudget.runtimes.kernels import LibraryName
from pytest_tinybudget.runtimes.kernels import Vectors
from pytest_tinybudget.runtimes.runtime import AppLibc
from pytest_tinybudget.runtimes.runtime import Optimize


class RuntimeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A runtime of your own: a shipped one with changes, or a fixed cost (flash and stack)."""

    extends: RuntimeName | None = None
    table: Text | None = None
    tflm: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9a-fA-F]{7,40}$",
                extra={"expected": "a commit of tflite-micro, 7 to 40 hexadecimal digits"},
            ),
        ]
        | None
    ) = None
    tflm_date: (
        Annotated[
            str,
            Meta(
                pattern="^20[0-9]{2}-[01][0-9]-[0-3][0-9]$",
                extra={"expected": "the day of the commit, YYYY-MM-DD"},
            ),
        ]
        | None
    ) = None
    static_memory: bool | None = None
    log_strings: bool | None = None
    optimize: (
        Annotated[
            Optimize,
            Meta(extra={"expected": '"s", "2", "3", or "" as TFLM\'s own make files do it'}),
        ]
        | None
    ) = None
    app_libc: AppLibc | None = None
    cmsis_nn: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9a-fA-F]{7,40}$",
                extra={"expected": "a commit of CMSIS-NN, 7 to 40 hexadecimal digits"},
            ),
        ]
        | None
    ) = None
    esp_nn: Text | None = None
    core: Text | None = None
    kernels: LibraryName | None = None
    dsp: bool | None = None
    mve: bool | None = None
    vectors: Vectors | None = None
    enum_bytes: Literal[1, 2, 4] | None = None
    pointer_bytes: Literal[4, 8] | None = None
    layouts: dict[str, Text] | None = None
    flash: Size | None = None
    stack: Size | None = None


class OperatorTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator that the tables do not know costs."""

    persistent: Size = 0
    scratch: Size = 0
    flash: Size = 0
