"""Runtimes: TFLM, a kernel library and a core, with the measured tables that go with them."""

from __future__ import annotations

from typing import Literal
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.abi import Core
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.kernels import HandsOverTo
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.tflm import PACKAGE_VERSION
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Version


#: How GCC optimizes TFLM and the firmware: ``-Os``, ``-O2``, ``-O3``, or as TFLM's own make does it
#: (its core ``-Os``, its kernels ``-O2``).
Optimize = Literal["", "s", "2", "3"]

#: What of libc the application has anyway, so that TFLM does not pay for it: nothing; printf with
#: its kin, malloc, memory and string functions; what the runtime of pico-sdk or ESP-IDF has.
AppLibc = Literal["none", "printf", "pico-sdk", "esp-idf"]


class Runtime(Struct, frozen=True):
    """What a model runs on: TFLM, kernels, and the core that both are built for.

    Attributes:
        cores: those that its code was built for: several where one table stands for all. Data
            is laid out as on the first.
        kernels: the kernel library.
        table: names the stack table (``data/stack``) that stands for it, and the section graph
            (``data/graphs``) where no other is nearer (``tables.py``); empty where there are none.
        tflm: the version of TFLM and how it is built.
        distribution: the name and release of what its sources came with, such as
            ``"zephyr 4.4"``; empty where that is TFLM itself.
        optimize: how the compiler optimizes it, which flash alone depends on.
        app_libc: what of libc the application has anyway, which flash alone depends on.
        flash_margin_percent: 0 where the table was made for this very core and kernel library,
            else how far the truth may lie above what the table gives.
        graph: path of a section graph that the user built (``[runtime.NAME] table``). It takes
            the place of the table's for flash, while ``table`` still gives the stack.
        label: what the user calls it, where it is no shipped one.
        about: what it is, where core and kernels do not say it.
        one_of: what it may be, where nobody has said which release it is, by names that differ:
            the one that asks for most counts. It is itself as the first of them then.
    """

    cores: tuple[Core, ...]
    kernels: Kernels
    table: str
    tflm: Tflm = Tflm()
    distribution: str = ""
    optimize: Optimize = ""
    app_libc: AppLibc = "none"
    flash_margin_percent: float = 0.0
    graph: str = ""
    label: str = ""
    about: str = ""
    one_of: tuple[Runtime, ...] = ()

    @property
    def id(self) -> str:
        """``"m4_cmsisnn"``: core and kernels. Nothing reads them out of it again."""
        return f"{self.cores[0].short}_{LIBRARIES[self.kernels.library].short}"

    @property
    def name(self) -> str:
        """What users write and results show."""
        return self.label or self.id

    @property
    def description(self) -> str:
        """``"Cortex-M4F, CMSIS-NN with DSP"``."""
        return self.about or f"{self.cores[0].name}, {self.kernels.label}"

    @property
    def abi(self) -> Abi:
        """The layout of C data in its code."""
        return self.cores[0].abi

    @property
    def built_from(self) -> str:
        """What its sources came with: a distribution, or TFLM itself with its commit."""
        return self.distribution or f"tflite-micro {self.tflm.commit}".rstrip()

    @property
    def tflm_commit(self) -> str:
        """The TFLM commit that its numbers belong to, ``""`` where it is not known."""
        return self.tflm.commit

    def with_margin(self, percent: float) -> Runtime:
        """The same on a core that was not measured itself: flash margin ``percent`` at least."""
        one_of = tuple(each.with_margin(percent) for each in self.one_of)
        if percent <= self.flash_margin_percent and one_of == self.one_of:
            return self
        margin = max(percent, self.flash_margin_percent)
        return replace(self, flash_margin_percent=margin, one_of=one_of)

    def beside(self, kind: str) -> Runtime:
        """The same with the kernel that hands over to an accelerator of ``kind``, if it has one."""
        hands_over_to = next((each for each in get_args(HandsOverTo) if each == kind), "")
        one_of = tuple(each.beside(kind) for each in self.one_of)
        kernels = replace(self.kernels, hands_over_to=hands_over_to)
        return replace(self, kernels=kernels, one_of=one_of)


_REFERENCE = Kernels("reference")
_CMSIS_PLAIN = Kernels("cmsis-nn")
_CMSIS_DSP = Kernels("cmsis-nn", dsp=True)
_CMSIS_MVE = Kernels("cmsis-nn", dsp=True, mve=True)
#: Runtime and esp-nn kernels were published with 114,579 B (mcufit-bench), where the RV32 table
#: gives 57,604 B for the same kind of models.
_ESP_NN_FLASH_MARGIN_PERCENT = 100.0


def _measured(core: str, kernels: Kernels) -> Runtime:
    """A runtime whose own tables are shipped."""
    runtime = Runtime((CORES[core],), kernels, "")
    return replace(runtime, table=runtime.id)


def _espressif(about: str, kernels: Kernels, *cores: str) -> Runtime:
    """A runtime of Espressif's chips: no table of esp-nn's kernels is known."""
    built_for = tuple(CORES[core] for core in cores)
    margin = _ESP_NN_FLASH_MARGIN_PERCENT
    return Runtime(built_for, kernels, "rv32imc_ref", flash_margin_percent=margin, about=about)


RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        _measured("Cortex-M0+", _REFERENCE),
        _measured("Cortex-M0+", _CMSIS_PLAIN),
        _measured("Cortex-M4F", _REFERENCE),
        _measured("Cortex-M4F", _CMSIS_DSP),
        _measured("Cortex-M7F", _REFERENCE),
        _measured("Cortex-M7F", _CMSIS_DSP),
        _measured("Cortex-M33F", _CMSIS_DSP),
        _measured("Cortex-M55", _CMSIS_MVE),
        _measured("RV32IMC", _REFERENCE),
        _espressif(
            "ESP32 and kin, esp-nn in plain C", Kernels("esp-nn"),
            "Xtensa LX6", "Xtensa LX7", "RV32IMC", "RV32IMAC",
        ),
        _espressif(
            "ESP32-S3, esp-nn on its vector unit", Kernels("esp-nn", vectors="esp32s3"),
            "Xtensa LX7 with vectors",
        ),
        _espressif(
            "ESP32-P4, esp-nn on its vector unit", Kernels("esp-nn", vectors="esp32p4"),
            "RV32IMAFC with vectors",
        ),
        Runtime(
            (CORES["x86-64"],), _REFERENCE, "",
            Tflm(
                Version(PACKAGE_VERSION, layouts=(("FULLY_CONNECTED parameters", "2e2be2p"),)),
                compression=True, recording_allocator=True, variables_in_arena=True,
            ),
            about="x86-64, reference kernels (the tflite-micro package)",
        ),
    )
}  # fmt: skip
