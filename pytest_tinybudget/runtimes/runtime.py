"""Runtimes: a TFLM version, a kernel library, an ABI, and the measured tables that go with them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.runtimes.abi import ARM
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.abi import ILP32
from pytest_tinybudget.runtimes.abi import X86_64
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.abi import Core


#: The TFLM commit that the operator rules and tables were read from and measured on.
TFLM_COMMIT = "90b983c2"
#: The ``tflite-micro`` package that the x86-64 runtime stands for: a build of a later commit,
#: with compression. Its one known difference is FULLY_CONNECTED's parameters, 16 bytes longer.
PACKAGE_VERSION = "tflite-micro 0.dev20261023182759"


#: Espressif's chips with a vector unit that esp-nn has kernels for, ``""`` for none.
Vectors = Literal["", "esp32s3", "esp32p4"]


class Kernels(Struct, frozen=True, repr_omit_defaults=True):
    """A kernel library and the instruction-set extensions its allocation depends on.

    ``dsp`` and ``mve`` are Arm's extensions; ``vectors`` names the Espressif chip whose vector
    unit the kernels are written for (``""``: kernels in plain C).
    ``version`` is the library's release, ``""`` where it is not known: what any release would
    ask for is then looked at, and the largest arena counts.

    ``compression`` marks builds with USE_TFLM_COMPRESSION (compressed constant tensors), whose
    structs are larger; ``ethos_u`` those with the kernel that hands a model to an Ethos-U, and
    ``edge_tpu`` those with the one for an Edge TPU.
    """

    library: Literal["reference", "cmsis-nn", "esp-nn"]
    dsp: bool = False
    mve: bool = False
    vectors: Vectors = ""
    version: str = ""
    compression: bool = False
    ethos_u: bool = False
    edge_tpu: bool = False


class Tflm(Struct, frozen=True, repr_omit_defaults=True):
    """A version and build of TFLM, as far as memory depends on it.

    ``commit`` is upstream's, ``""`` where it is not known. ``static_memory`` is whether it is
    built with TF_LITE_STATIC_MEMORY, which makes structs smaller: TFLM's own make does,
    Zephyr's module does not. ``any_version`` stands for no version but for all that were
    measured: each operator then asks for the most that one of them asks for.
    """

    commit: str = TFLM_COMMIT
    static_memory: bool = True
    any_version: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the operator rules were read from this version."""
        return self.commit in (TFLM_COMMIT, PACKAGE_VERSION)


class Runtime(Struct, frozen=True):
    """A runtime that footprints are stated for.

    ``cores`` are those that its code was built for: several where one table stands for all.
    ``table`` names the section graph and the stack table (``data/graphs``, ``data/stack``) that
    stand for it; ``flash_margin_percent`` is 0 where the table was made for this very core and
    kernel library, else how far the truth may lie above what the table gives.
    ``graph`` is the path of a section graph that the user built (``[runtime.NAME] table``); it
    takes the place of ``table``'s for flash, while ``table`` still gives the stack.
    """

    name: str
    description: str
    abi: Abi
    kernels: Kernels
    table: str
    cores: tuple[Core, ...]
    flash_margin_percent: float = 0.0
    tflm: Tflm = Tflm()
    graph: str = ""
    #: Whether firmware uses RecordingMicroAllocator, which is itself larger.
    recording_allocator: bool = False
    #: Whether resource variables' slots lie in the arena (else they have an arena of their own).
    variables_in_arena: bool = False
    #: (Operator, C layout) of the parameter structs that differ from those at ``TFLM_COMMIT``.
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def tflm_commit(self) -> str:
        """The TFLM commit that its numbers belong to, ``""`` where it is not known."""
        return self.tflm.commit

    def with_margin(self, percent: float) -> Runtime:
        """The same on a core that was not measured itself: flash margin ``percent`` at least."""
        if percent <= self.flash_margin_percent:
            return self
        return replace(self, flash_margin_percent=percent)

    def beside(self, kind: str) -> Runtime:
        """The same with the kernel that hands over to an accelerator of ``kind``, if it has one."""
        kernels = self.kernels
        ethos_u, edge_tpu = kind == "ethos-u", kind == "edge-tpu"
        return replace(self, kernels=replace(kernels, ethos_u=ethos_u, edge_tpu=edge_tpu))


_REFERENCE = Kernels("reference")
_CMSIS_PLAIN = Kernels("cmsis-nn")
_CMSIS_DSP = Kernels("cmsis-nn", dsp=True)
_CMSIS_MVE = Kernels("cmsis-nn", dsp=True, mve=True)
#: Runtime and esp-nn kernels were published with 114,579 B (mcufit-bench), where the RV32 table
#: gives 57,604 B for the same kind of models.
_ESP_NN_FLASH_MARGIN_PERCENT = 100.0


def _cores(*names: str) -> tuple[Core, ...]:
    return tuple(CORES[name] for name in names)


_M0PLUS, _M4F, _M7F = _cores("Cortex-M0+"), _cores("Cortex-M4F"), _cores("Cortex-M7F")
_M33F, _M55, _RV32IMC = _cores("Cortex-M33F"), _cores("Cortex-M55"), _cores("RV32IMC")

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            "m0plus_ref", "Cortex-M0+, reference kernels", ARM, _REFERENCE, "m0plus_ref", _M0PLUS
        ),
        Runtime(
            "m0plus_cmsisnn", "Cortex-M0+, CMSIS-NN", ARM, _CMSIS_PLAIN, "m0plus_cmsisnn", _M0PLUS
        ),
        Runtime("m4_ref", "Cortex-M4F, reference kernels", ARM, _REFERENCE, "m4_ref", _M4F),
        Runtime("m4_cmsisnn", "Cortex-M4F, CMSIS-NN with DSP", ARM, _CMSIS_DSP, "m4_cmsisnn", _M4F),
        Runtime("m7_ref", "Cortex-M7F, reference kernels", ARM, _REFERENCE, "m7_ref", _M7F),
        Runtime("m7_cmsisnn", "Cortex-M7F, CMSIS-NN with DSP", ARM, _CMSIS_DSP, "m7_cmsisnn", _M7F),
        Runtime(
            "m33_cmsisnn", "Cortex-M33F, CMSIS-NN with DSP", ARM, _CMSIS_DSP, "m33_cmsisnn", _M33F
        ),
        Runtime(
            "m55_cmsisnn", "Cortex-M55, CMSIS-NN with MVE", ARM, _CMSIS_MVE, "m55_cmsisnn", _M55
        ),
        Runtime(
            "rv32imc_ref", "RV32IMC, reference kernels", ILP32, _REFERENCE, "rv32imc_ref", _RV32IMC
        ),
        Runtime(
            "esp32_espnn", "ESP32 and kin, esp-nn in plain C", ILP32, Kernels("esp-nn"),
            "rv32imc_ref", _cores("Xtensa LX6", "Xtensa LX7", "RV32IMC", "RV32IMAC"),
            flash_margin_percent=_ESP_NN_FLASH_MARGIN_PERCENT,
        ),
        Runtime(
            "esp32s3_espnn", "ESP32-S3, esp-nn on its vector unit", ILP32,
            Kernels("esp-nn", vectors="esp32s3"),
            "rv32imc_ref", _cores("Xtensa LX7 with vectors"),
            flash_margin_percent=_ESP_NN_FLASH_MARGIN_PERCENT,
        ),
        Runtime(
            "esp32p4_espnn", "ESP32-P4, esp-nn on its vector unit", ILP32,
            Kernels("esp-nn", vectors="esp32p4"),
            "rv32imc_ref", _cores("RV32IMAFC with vectors"),
            flash_margin_percent=_ESP_NN_FLASH_MARGIN_PERCENT,
        ),
        Runtime(
            "x86_64_ref", "x86-64, reference kernels (the tflite-micro package)", X86_64,
            Kernels("reference", compression=True), "", _cores("x86-64"),
            recording_allocator=True, variables_in_arena=True,
            tflm=Tflm(PACKAGE_VERSION), parameters=(("FULLY_CONNECTED", "2e2be2p"),),
        ),
    )
}  # fmt: skip
