"""The firmware that the generated files are for, and what the TFLM in it takes."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.runtimes.distributions import named
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import Registrations
from pytest_tinybudget.runtimes.interface import Interface
from pytest_tinybudget.runtimes.interface import common_interface
from pytest_tinybudget.runtimes.interface import interface_of
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.versions import changes


class Target(Struct, frozen=True):
    """What one set of files is for: one model in one firmware or in several.

    The files are the same for all boards of a model, so that they compile with the TFLM of each.

    Attributes:
        registrations: which kernels are registered.
        placements: where the arena and the model lie.
        interface: what code may say to TFLM.
        first_header: what code includes before TFLM's headers, ``""`` for nothing.
        lines: a line of a comment for each runtime: ``"arduino-tflm 2023-12 (TFLM c12bd762)"``.
        lacking: which of them lacks the method for an operator, by operator.
    """

    registrations: Registrations = "generic"
    placements: Placements = Placements()
    interface: Interface = Interface()
    first_header: str = ""
    lines: tuple[str, ...] = ()
    lacking: dict[str, str] = {}

    def top(self, text: str) -> str:
        """The comment at the top of a file: ``text``, and what the file was made for."""
        lines = [f" * For {line}." for line in self.lines]
        return "\n".join((f"/* {text}", *lines)) + " */"

    def includes(self, *groups: Iterable[str]) -> str:
        """The lines that include headers, each group sorted."""
        first = [f"#include <{self.first_header}>"] if self.first_header else []
        return "\n".join(
            (*first, *(f'#include "{header}"' for group in groups for header in sorted(group)))
        )

    def require_method(self, operator: str, name: str) -> None:
        """Refuse a model whose ``operator`` one of the firmwares cannot register.

        Raises:
            TinybudgetError: its TFLM has no method for it.
        """
        if operator in self.lacking:
            raise TinybudgetError(
                f"{name}: the resolver of {self.lacking[operator]} has no {operator}",
                details=_since(operator),
                code="TB010",
            )

    def require_split_arena(self, name: str) -> None:
        """Refuse an arena in two memories where TFLM takes one.

        Raises:
            TinybudgetError: the TFLM of one of the firmwares is older than the second arena.
        """
        if not self.interface.split_arena:
            raise TinybudgetError(
                f"{name}: an arena in two memories needs a TFLM of July 2022 or newer (60d83223), "
                f"and these files are for {'; '.join(self.lines)}",
                code="TB200",
            )


def target_of(firmwares: Sequence[Firmware]) -> Target:
    """The target of files for all of ``firmwares``, whose placements are those of the model."""
    return _target(tuple(firmwares)) if firmwares else Target()


#: The models of a declaration are for the same boards.
@lru_cache(maxsize=8)
def _target(firmwares: tuple[Firmware, ...]) -> Target:
    typed = all(firmware.registrations == "typed" for firmware in firmwares)
    interface = common_interface([interface_of(each.runtime) for each in firmwares])
    runtimes = [one for each in firmwares for one in each.runtime.one_of or (each.runtime,)]
    return Target(
        "typed" if typed else "generic",
        firmwares[0].placements,
        interface,
        _first_header(runtimes),
        tuple(sorted({line for firmware in firmwares for line in _lines(firmware)})),
        {
            operator: _line(runtime.name, runtime)
            for runtime in runtimes
            for operator in runtime.tflm.version.unregistered
        },
    )


def _first_header(runtimes: Sequence[Runtime]) -> str:
    """The header that all distributions of ``runtimes`` want first; the others have no such."""
    found = [named(runtime.distribution) for runtime in runtimes]
    headers = {each.first_header if each is not None else "" for each in found}
    return headers.pop() if len(headers) == 1 else ""


def _lines(firmware: Firmware) -> Iterator[str]:
    """The runtime, or all releases that it may be."""
    for each in firmware.runtime.one_of:
        yield _line(each.name, each)
    if not firmware.runtime.one_of:
        yield _line(firmware.name, firmware.runtime)


def _line(name: str, runtime: Runtime) -> str:
    commit = runtime.tflm.commit
    version = f"TFLM {commit}" if commit else "TFLM of unknown version"
    return f"{comment_text(name)} ({comment_text(version)})"


def _since(operator: str) -> tuple[str, ...]:
    """When TFLM's resolver got a method for ``operator``, if the history says it."""
    return tuple(
        f"TFLM has had it since {change.commit} of {change.date[:10]}"
        for change in changes("tflm")
        if operator in change.registers
    )
