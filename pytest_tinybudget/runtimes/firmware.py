"""The firmware that a model is measured in: all that decides its sizes, besides the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.runtime import Runtime


#: Which kernels the firmware registers: ``Register_CONV_2D()``, or ``Register_CONV_2D_INT8()``
#: wherever all uses of an operator in the model have that type.
Registrations = Literal["generic", "typed"]


class OperatorCost(Struct, frozen=True, gc=False):
    """The declared bytes of an operator without a rule."""

    persistent: int = 0
    scratch: int = 0
    flash: int = 0


class FixedCost(Struct, frozen=True, gc=False):
    """A runtime without tables: its flash (the model apart) and its stack, bytes, as declared."""

    flash: int
    stack: int


class Firmware(Struct, frozen=True, cache_hash=True):
    """A runtime with the settings of a firmware. Equal values give equal sizes.

    A footprint depends only on the model and on this value, which is hashable: it is the key of
    every cache of footprints.

    Attributes:
        runtime: TFLM, kernels and core.
        registrations: which kernels are registered.
        not_typed: registrations for one type, such as ``("CONV_2D", "INT8")``, that the code does
            not use although this runtime has them: it is compiled for another runtime as well.
        costs: what operators without a rule take, sorted by operator (``with_costs``).
        fixed: takes the place of the section graph and the stack table. The arena is still
            simulated with ``runtime``.
        stack: the measured stack in bytes; takes the place of the stack table alone.
        placements: which memories arena and model lie in.
        label: what the user calls it, where that is not the name of ``runtime``: a fixed cost
            has a name of its own.
    """

    runtime: Runtime
    registrations: Registrations = "generic"
    costs: tuple[tuple[str, OperatorCost], ...] = ()
    fixed: FixedCost | None = None
    stack: int | None = None
    placements: Placements = Placements()
    label: str = ""
    not_typed: frozenset[tuple[str, str]] = frozenset()

    @property
    def name(self) -> str:
        """The name that results show."""
        return self.label or self.runtime.name

    @property
    def named_runtime(self) -> Runtime:
        """The runtime under the name that results show."""
        return replace(self.runtime, label=self.label) if self.label else self.runtime

    @property
    def kernels(self) -> Kernels | None:
        """The kernels that run; ``None`` for a fixed cost, of which nothing else is known."""
        return self.runtime.kernels if self.fixed is None else None

    def cost_of(self, operator: str) -> OperatorCost | None:
        """The declared cost of ``operator``, if any."""
        return next((cost for name, cost in self.costs if name == operator), None)

    def with_costs(self, costs: Mapping[str, OperatorCost]) -> Firmware:
        """The same firmware with other costs, by operator."""
        return replace(self, costs=tuple(sorted(costs.items(), key=lambda item: item[0])))

    def beside(self, kind: str) -> Firmware:
        """The same firmware with the kernel for an accelerator of ``kind``, if there is one."""
        return replace(self, runtime=self.runtime.beside(kind))


def as_firmware(firmware: Firmware | Runtime) -> Firmware:
    """``firmware``; a runtime is taken as a firmware with default settings."""
    return Firmware(firmware) if isinstance(firmware, Runtime) else firmware
