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
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Version


#: How GCC optimizes TFLM and the firmware: ``-Os``, ``-O2``, ``-O3``, or as TFLM's own make does it
#: (its core ``-Os``, its kernels ``-O2``).
Optimize = Literal["", "s", "2", "3"]

#: What of libc the application has anyway, so that TFLM does not pay for it: nothing; printf with
#: its kin, malloc, memory and string functions; what the runtime of pico-sdk or ESP-IDF has.
AppLibc = Literal["none", "printf", "pico-sdk", "esp-idf"]


class Runtime(Struct, frozen=True, cache_hash=True):
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
        on: the one of ``cores`` whose flash is looked at (``for_core``); empty for the first.
        component: whose build its flash is of, where TFLM's own make does not build it, with the
            release that is the nearest to its TFLM.
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
    on: str = ""
    component: str = ""

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
    def core(self) -> Core:
        """The core whose flash is looked at."""
        return next((core for core in self.cores if core.name == self.on), self.cores[0])

    @property
    def built_from(self) -> str:
        """What its sources came with: a distribution, or TFLM itself with its commit."""
        if self.distribution or (self.component and self.tflm.commit == TFLM_COMMIT):
            return self.distribution or self.component
        return f"{self.component.partition(' ')[0] or 'tflite-micro'} {self.tflm.commit}".rstrip()

    @property
    def tflm_commit(self) -> str:
        """The TFLM commit that its numbers belong to, ``""`` where it is not known."""
        return self.tflm.commit

    def for_core(self, name: str) -> Runtime:
        """The same on the core ``name``: of those that it is built for, the nearest one counts."""
        core = CORES.get(name)
        if core is None or len(self.cores) == 1:
            return self
        run = [each for each in self.cores if core.runs_code_for(each)]
        if not run:
            return self
        nearest = max(run, key=lambda each: len(each.extensions))
        one_of = tuple(each.for_core(name) for each in self.one_of)
        return replace(self, on="" if nearest is self.cores[0] else nearest.name, one_of=one_of)

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


def _measured(core: str, kernels: Kernels) -> Runtime:
    """A runtime whose own tables are shipped."""
    runtime = Runtime((CORES[core],), kernels, "")
    return replace(runtime, table=runtime.id)


def _espressif(about: str, kernels: Kernels, *cores: str) -> Runtime:
    """A runtime of Espressif's chips, built as esp-tflite-micro builds itself.

    The stack is that of another core: no stack table of Xtensa is known.
    """
    return Runtime(
        tuple(CORES[core] for core in cores), kernels, "rv32imc_ref", Tflm(log_strings=True),
        optimize="3", app_libc="esp-idf", about=about, component="esp-tflite-micro 1.4.0",
    )  # fmt: skip


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
