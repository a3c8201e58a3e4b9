"""TFLM: a version, and how it is built, as far as memory depends on it."""

from __future__ import annotations

from msgspec import Struct

from pytest_tinybudget.runtimes.structs import ADDED_BY_COMPRESSION
from pytest_tinybudget.runtimes.structs import STRUCTS
from pytest_tinybudget.runtimes.structs import WITHOUT_STATIC_MEMORY
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import known


#: The TFLM commit that the operator rules and tables were read from and measured on.
TFLM_COMMIT = "90b983c2"
_NEWEST = Version(TFLM_COMMIT, date="2026-08-20T16:47")
#: The ``tflite-micro`` package that the x86-64 runtime stands for: a build of a later commit,
#: with compression. Its one known difference is FULLY_CONNECTED's parameters, 16 bytes longer.
PACKAGE_VERSION = "tflite-micro 0.dev20261023182759"


class Tflm(Struct, frozen=True, repr_omit_defaults=True):
    """A version and build of TFLM, as far as memory depends on it.

    Attributes:
        version: its name is upstream's commit, empty where it is not known.
        static_memory: whether it is built with TF_LITE_STATIC_MEMORY, which makes structs
            smaller: TFLM's own make does, Zephyr's module does not.
        log_strings: whether it keeps its log strings: TFLM's own release builds strip them
            (TF_LITE_STRIP_ERROR_STRINGS). The arena depends on it in versions of 2022 alone.
        compression: whether it is built with USE_TFLM_COMPRESSION (compressed constant tensors),
            which makes structs larger.
        recording_allocator: whether firmware uses RecordingMicroAllocator, which is itself larger.
        variables_in_arena: whether resource variables' slots lie in the arena (else they have an
            arena of their own).
        any_build: whether nobody has said how it is built, with TF_LITE_STATIC_MEMORY or without.
            Counts where the version is not known either.
        layouts: C layouts that the user has declared, of what ``Change.before`` names: those of a
            fork, read off its firmware. They hold whatever the version says.
    """

    version: Version = _NEWEST
    static_memory: bool = True
    log_strings: bool = False
    compression: bool = False
    recording_allocator: bool = False
    variables_in_arena: bool = False
    any_build: bool = False
    layouts: tuple[tuple[str, str], ...] = ()

    @property
    def commit(self) -> str:
        """Upstream's commit, ``""`` where it is not known."""
        return self.version.name

    @property
    def is_known(self) -> bool:
        """Whether the operator rules hold for this version."""
        name = self.version.name
        return name in (TFLM_COMMIT, PACKAGE_VERSION) or name in known("tflm")

    def has(self, change: str) -> bool:
        """Whether a change of TFLM's history is in it, by the name in ``data/versions``."""
        return not self.version.lacks or self.version.has(change)

    def runs(self, operator: str, library: str, type_: str) -> bool:
        """Whether an operator's kernel of a library takes this type, where the newest does."""
        return self.version.runs(operator, library, type_)

    def layout(self, of: str, newest: str) -> str:
        """The C layout of an operator's struct in this version (``Change.before``)."""
        return self._declared(of.partition(", ")[0]) or self.version.layout(of, newest)

    def parameters(self, operator: str, newest: str) -> str:
        """The C layout of an operator's builtin parameters; ``newest`` is the newest version's."""
        if self.layouts:
            return self.layout(f"{operator} parameters", newest)
        return self.version.parameters(operator, newest)

    @property
    def has_other_layouts(self) -> bool:
        """Whether any struct differs from the newest version's."""
        return bool(self.version.layouts or self.layouts)

    def _declared(self, of: str) -> str:
        return next((layout for name, layout in self.layouts if name == of), "")

    def struct(self, name: str) -> str:
        """The C layout of one of TFLM's own structs (``structs.py``) in this version and build."""
        declared = self._declared(name)
        if declared:
            return declared
        if not self.static_memory and name in WITHOUT_STATIC_MEMORY:
            layout = WITHOUT_STATIC_MEMORY[name]  # the same in all versions
        else:
            layout = self.version.layout(name, STRUCTS[name])
        if self.log_strings:
            layout = self.version.layout(f"{name}, log strings", layout)
        return layout + ADDED_BY_COMPRESSION.get(name, "") if self.compression else layout
