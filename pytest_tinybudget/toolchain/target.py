"""What code was compiled for: core, kernel library and C ABI, as its build attributes and the
names of its functions tell them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping

from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.abi import Core
from pytest_tinybudget.runtimes.kernels import KernelLibrary
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.kernels import Vectors
from pytest_tinybudget.runtimes.kernels import library_of
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime


#: Tags of Arm's build attributes ("Addenda to, and Errata in, the ABI for the Arm Architecture").
_TAG_ARCHITECTURE, _TAG_FPU, _TAG_ENUM_SIZE, _TAG_DSP, _TAG_MVE = 6, 10, 26, 46, 48
_ARCHITECTURE_V7E_M = 13
#: Cores by architecture, without and with an FPU; of the architectures that have several, those
#: with the FPU of Armv8 (FPv5) are set apart.
_ARM_CORES = {
    10: ("Cortex-M3", "Cortex-M3"),
    11: ("Cortex-M0+", "Cortex-M0+"),
    12: ("Cortex-M0+", "Cortex-M0+"),
    _ARCHITECTURE_V7E_M: ("Cortex-M4", "Cortex-M4F"),
    16: ("Cortex-M23", "Cortex-M23"),
    17: ("Cortex-M33", "Cortex-M33F"),
    21: ("Cortex-M55", "Cortex-M55"),
}
_FPU_OF_ARMV8 = 7
#: What esp-nn's functions for a vector unit end in, and the core that has it.
_VECTOR_CORES: dict[Vectors, str] = {
    "esp32s3": "Xtensa LX7 with vectors",
    "esp32p4": "RV32IMAFC with vectors",
}
#: The cores of RISC-V by their extensions, the largest first.
_RISCV_CORES = {"imafc": "RV32IMAFC", "imac": "RV32IMAC", "imc": "RV32IMC"}
_SHORT_ENUMS = 1

#: Families of cores by the machine that ELF files name.
FAMILIES = {"EM_ARM": "Arm", "EM_RISCV": "RISC-V", "EM_XTENSA": "Xtensa", "EM_X86_64": "x86-64"}


def kernels_of(functions: Mapping[str, object], attributes: Mapping[int, int]) -> Kernels:
    """The kernel library and its extensions, as far as functions and build attributes tell."""
    dsp = attributes.get(_TAG_ARCHITECTURE) == _ARCHITECTURE_V7E_M or bool(attributes.get(_TAG_DSP))
    mve = bool(attributes.get(_TAG_MVE))
    library = library_of(functions)
    return Kernels(
        library.name,
        dsp="dsp" in library.extensions and (dsp or mve),
        mve="mve" in library.extensions and mve,
        vectors=_vectors(functions, library) if "vectors" in library.extensions else "",
    )


def _vectors(functions: Iterable[str], library: KernelLibrary) -> Vectors:
    """The chip whose vector unit the library's functions are for, by the ends of their names."""
    ours = [name for name in functions if name.startswith(library.functions)]
    return next(
        (chip for chip in _VECTOR_CORES if any(name.endswith(f"_{chip}") for name in ours)), ""
    )


def core_of(attributes: Mapping[int, int], kernels: Kernels, architecture: str = "") -> str:
    """The core that the code was built for, ``""`` where nothing tells.

    ``architecture`` is RISC-V's instruction set, as its attributes write it.
    """
    if kernels.vectors:
        return _VECTOR_CORES[kernels.vectors]
    if architecture:
        return _riscv_core(architecture)
    number, fpu = attributes.get(_TAG_ARCHITECTURE, 0), attributes.get(_TAG_FPU, 0)
    if number == _ARCHITECTURE_V7E_M and fpu >= _FPU_OF_ARMV8:
        return "Cortex-M7F"
    return _ARM_CORES.get(number, ("", ""))[fpu > 0]


def _riscv_core(architecture: str) -> str:
    match = re.match(r"rv32i", architecture)
    if match is None:
        return ""
    letters = {part[0] for part in architecture.removeprefix("rv32").split("_") if part}
    # Without versions the letters stand in a row.
    if "_" not in architecture:
        letters = set(architecture.removeprefix("rv32"))
    return next((core for needs, core in _RISCV_CORES.items() if set(needs) <= letters), "")


def enum_bytes_of(attributes: Iterable[Mapping[int, int]]) -> int:
    """The width of enumerations: Arm objects say it, other ABIs have four bytes."""
    sizes = {each.get(_TAG_ENUM_SIZE) for each in attributes}
    return 1 if _SHORT_ENUMS in sizes else 4


def nearest_runtime(machine: str, core: str, kernels: Kernels) -> Runtime:
    """The shipped runtime most like what was read: it stands for what files do not tell.

    Of those for its family (by the machine that ELF files name) the one with the same kernels,
    for the core or the nearest.
    """
    family = FAMILIES.get(machine, "RISC-V")
    own = CORES.get(core)
    of_its_family = [
        runtime
        for runtime in RUNTIMES.values()
        if any(each.family == family for each in runtime.cores)
    ]

    def likeness(runtime: Runtime) -> tuple[bool, bool, bool, int]:
        shared = max(_in_common(own, each) for each in runtime.cores) if own else 0
        runs = own is None or any(own.runs_code_for(each) for each in runtime.cores)
        return (
            runtime.kernels.library == kernels.library,
            runtime.kernels == kernels,
            runs,
            shared,
        )

    return max(of_its_family, key=likeness)


def _in_common(one: Core, other: Core) -> int:
    return len({*one.extensions} & {*other.extensions})
