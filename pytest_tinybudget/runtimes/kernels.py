"""Kernel libraries: their names, how to recognize their code, and how they were built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.runtimes.versions import Version


#: Espressif's chips with a vector unit that esp-nn has kernels for, ``""`` for none.
Vectors = Literal["", "esp32s3", "esp32p4"]

#: The names of libraries in declarations: the keys of ``LIBRARIES``.
LibraryName = Literal["reference", "cmsis-nn", "esp-nn"]

#: Accelerators that TFLM has a kernel for, ``""`` for none.
HandsOverTo = Literal["", "ethos-u", "edge-tpu"]

#: Parts of an instruction set that kernels may be built for.
Extension = Literal["dsp", "mve", "vectors"]


class KernelLibrary(Struct, frozen=True):
    """A library of kernels that takes the place of TFLM's own.

    The operator rules say what memory its kernels request: ``op_data`` takes the layouts by
    library. If a rule does not mention a library, its kernels request the same as TFLM's own.

    Attributes:
        name: what users write (``kernels = "cmsis-nn"``).
        short: its part of a runtime's id.
        label: what people call it.
        functions: how the names of its convolutions start; ``""`` for TFLM's own kernels.
        members: how the names of its archives' members start, where that tells whose they are.
        extensions: the extensions that its builds differ in.
        timed_with: the extension that published times of it are of, if any.
        families: the families of cores that its makers build it for; empty for all.
    """

    name: LibraryName
    short: str
    label: str
    functions: str = ""
    members: str = ""
    extensions: tuple[Extension, ...] = ()
    timed_with: Extension | Literal[""] = ""
    families: tuple[str, ...] = ()


#: All libraries by name. A new one needs a name above, a row here, and its kernels' requests.
LIBRARIES: dict[LibraryName, KernelLibrary] = {
    library.name: library
    for library in (
        KernelLibrary("reference", "ref", "the reference kernels"),
        KernelLibrary(
            "cmsis-nn", "cmsisnn", "CMSIS-NN", functions="arm_convolve_", members="arm_",
            extensions=("dsp", "mve"), timed_with="dsp",
        ),
        KernelLibrary(
            "esp-nn", "espnn", "esp-nn", functions="esp_nn_", extensions=("vectors",),
            families=("Xtensa", "RISC-V"),
        ),
    )
}  # fmt: skip


class Kernels(Struct, frozen=True, repr_omit_defaults=True):
    """A build of a kernel library, as far as memory depends on it.

    Attributes:
        library: a name in ``LIBRARIES``.
        dsp: built for Arm's DSP extension.
        mve: built for Arm's Helium (MVE).
        vectors: the Espressif chip whose vector unit the kernels are written for, ``""`` for
            kernels in plain C.
        version: the library's release. Where it has no name, or one that is not known, what
            each known release would ask for is looked at, and the largest arena counts.
        releases: those that it may be where nobody has said which, as a distribution allows
            them (names of ``known``); empty for any.
        hands_over_to: the kind of accelerator that one of the kernels hands a model to, ``""`` for
            none.
    """

    library: LibraryName
    dsp: bool = False
    mve: bool = False
    vectors: Vectors = ""
    version: Version = Version()
    releases: tuple[str, ...] = ()
    hands_over_to: HandsOverTo = ""

    @property
    def label(self) -> str:
        """``"CMSIS-NN with DSP"``."""
        label = LIBRARIES[self.library].label.removeprefix("the ")
        extension = "MVE" if self.mve else "DSP" if self.dsp else ""
        return f"{label} with {extension}" if extension else label


def library_of(functions: Mapping[str, object]) -> KernelLibrary:
    """The library whose kernels a program has, by its functions' names; else TFLM's own."""
    return next(
        (
            library
            for library in LIBRARIES.values()
            if library.functions and any(name.startswith(library.functions) for name in functions)
        ),
        LIBRARIES["reference"],
    )
