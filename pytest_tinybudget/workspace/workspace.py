"""The workspace of a run: what a model is and what it takes, made once and kept.

Pairs of one model share what depends on the model and the runtime alone, however many boards there
are.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeVar

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.once import once
from pytest_tinybudget.footprint.result import Estimate
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.workspace.models import Models


if TYPE_CHECKING:
    from pytest_tinybudget.base.cache import Cache
    from pytest_tinybudget.convert.converter import Converted
    from pytest_tinybudget.convert.converter import Progress
    from pytest_tinybudget.declaration import DeclaredModel
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.footprint.alike import Alike
    from pytest_tinybudget.footprint.arena import Simulation
    from pytest_tinybudget.runtimes.firmware import Firmware
    from pytest_tinybudget.shrinking.report import ShrinkReport
    from pytest_tinybudget.workspace.kept_footprints import KeptFootprints
    from pytest_tinybudget.workspace.plans import Plan
    from pytest_tinybudget.workspace.shared_footprints import SharedFootprints


_Value = TypeVar("_Value")

#: Of how many finished models the measurements are kept.
_MEASUREMENTS_KEPT = 16

#: Another estimator: ``None`` leaves the model to the built-in one.
Estimator = Callable[[Model, Runtime], Footprint | None]


class _Measurements(Struct, gc=False):
    """What was measured of one model, or the error that came of it, by what was asked.

    ``answers`` are another estimator's by runtime, ``None`` where it leaves the model to us.
    """

    kept: dict[object, Any] = {}
    answers: dict[Runtime, Footprint | None] = {}


class Workspace(Struct, eq=False):
    """The models of one run and what they take: whatever was made is kept for the next pair.

    ``estimator`` is asked before the built-in one. ``cached`` is whether conversions are kept on
    disk; ``progress`` is told of their steps. With ``shared``, other processes of the same run
    are asked for footprints; with ``kept``, those of earlier runs are taken.
    """

    estimator: Estimator | None = None
    cached: bool = True
    progress: Progress | None = None
    shared: SharedFootprints | None = None
    kept: KeptFootprints | None = None
    _trying: bool = False
    _models: Models = field(default_factory=Models)
    _alike: Alike | None = None
    _measured: dict[str, _Measurements] = field(default_factory=dict)
    #: SHA-256 of finished models, the first of them first.
    _finished: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._models = Models(self.cached, self.progress)

    def model(self, declared: DeclaredModel) -> Model:
        """The graph of a declared model, its file read once.

        Raises:
            TinybudgetError: it cannot be read or converted.
        """
        return self._models.graph(declared)

    def conversion(self, declared: DeclaredModel) -> Converted | None:
        """How a declared model was converted to INT8; ``None`` where its file is taken as it is.

        Raises:
            TinybudgetError: it cannot be converted.
        """
        return self._models.conversion(declared)

    def plan(self, declared: DeclaredModel) -> Plan | None:
        """What a declared file is by its layers, unconverted; ``None`` where no plan is asked."""
        return self._models.plan(declared)

    def is_planned(self, declared: DeclaredModel) -> bool:
        """Whether ``model`` gives a plan: nobody has the file that it stands for."""
        return self._models.is_planned(declared)

    def awaits_conversion(self, declared: DeclaredModel) -> bool:
        """Whether a model has yet to be converted, and is not kept from an earlier run."""
        return self._models.awaits_conversion(declared)

    def stripped_bytes(self, declared: DeclaredModel) -> int:
        """How many bytes ``strip`` left out of a file that was not converted here."""
        return self._models.stripped_bytes(declared)

    def shrink_report(self, declared: DeclaredModel) -> ShrinkReport | None:
        """What shrinking did to a model that was read; ``None`` where it is not shrunk."""
        return self._models.shrink_report(declared)

    def prepare(self, selected: Iterable[Declared]) -> None:
        """Convert what ``selected`` will need, side by side; each pair tells what fails.

        Models are shrunk ahead, but where other processes of the run may do the same.
        """
        pairs = list(selected)
        # The pairs of a model name one and the same.
        models = {id(model): model for each in pairs for model in each.models}.values()
        self._models.prepare(models, ahead=self.shared is None)
        self._measure_meanwhile(pairs)

    def _measure_meanwhile(self, pairs: Iterable[Declared]) -> None:
        """Measure models that are shrunk and not proven yet, while the proof runs."""
        from pytest_tinybudget.declaration.pairs import Pair

        for pair in pairs:
            if isinstance(pair, Pair) and not pair.board.accelerator:
                model = self._models.unproven(pair.model)
                if model is not None:
                    with suppress(TinybudgetError):  # the pair meets it again
                        self.footprint(model, pair.firmware)

    def forget(self, selected: Iterable[Declared]) -> None:
        """Drop the models of ``selected``, which are finished.

        The measurements of the last few are kept. A model that is asked for again, as by a plugin
        that shuffles tests, is read again, and measured again where that was dropped.
        """
        # The pairs of a model name one and the same.
        declared = {id(model): model for each in selected for model in each.models}
        for finished in declared.values():
            model = self._models.drop(finished)
            if model is not None:
                self._finished.pop(model.sha256, None)
                self._finished[model.sha256] = None
                if self.kept is not None:
                    self.kept.keep(model.sha256)
        while len(self._finished) > _MEASUREMENTS_KEPT:
            sha256 = next(iter(self._finished))
            del self._finished[sha256]
            self._measured.pop(sha256, None)

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Drop, at the end, all models that were made meanwhile: nobody will ask for them again."""
        models, measured, trying = self._models.kept(), set(self._measured), self._trying
        self._trying = True
        try:
            yield
        finally:
            self._trying = trying
            self._models.drop_all_but(models)
            for sha256 in set(self._measured) - measured:
                del self._measured[sha256]

    def close(self) -> None:
        """End the processes that convert models, and write the footprints that are kept."""
        self._models.close()
        if self.kept is not None:
            self.kept.close()

    def cache(self) -> Cache | None:
        """Where made files are kept on disk, if they are."""
        return self._models.cache()

    def once(self, model: Model, key: object, make: Callable[[], _Value]) -> _Value:
        """What ``make`` finds out about ``model``, made once for ``key``.

        Raises:
            TinybudgetError: ``make`` raised it, now or before.
        """
        kept: dict[object, _Value | TinybudgetError] = self._measurements(model).kept
        return once(kept, key, make)

    def footprint(self, model: Model, firmware: Firmware, *, details: bool = False) -> Footprint:
        """The footprint of ``model`` in ``firmware``, by the estimator that takes it.

        Only with ``details`` it says what changes of the firmware would save.

        Raises:
            TinybudgetError: the runtime's tables are missing or damaged, or another estimator
                cannot say what a split arena takes.
        """
        found = self._shared(model, firmware, "", lambda: self._estimate(model, firmware))
        if found.linked:
            self._answers(model).setdefault(
                firmware.named_runtime, None
            )  # perhaps in another process
        if details and found.linked:
            found = self._shared(
                model,
                firmware,
                "savings",
                lambda: self._kept(
                    model, firmware, "savings", lambda: _with_savings(found, model, firmware)
                ),
            )
        return found.footprint

    def _estimate(self, model: Model, firmware: Firmware) -> Estimate:
        from pytest_tinybudget.footprint.layout import laid_out

        answers, named = self._answers(model), firmware.named_runtime
        if named not in answers:
            answers[named] = self.estimator(model, named) if self.estimator else None
        other = answers[named]
        if other is not None:
            return Estimate(laid_out(other, firmware.placements), linked=False)
        return self._kept(model, firmware, "", lambda: self._measure(model, firmware))

    def _measure(self, model: Model, firmware: Firmware) -> Estimate:
        from pytest_tinybudget.footprint.measure import measure

        alike = self._alike_models()
        footprint = alike.footprint(model, firmware)
        if footprint is None:
            simulation = self._simulation(model, firmware)
            code = alike.code(model, firmware, simulation)
            footprint = measure(model, firmware, simulation, code)
        return Estimate(footprint, linked=firmware.fixed is None)

    def _simulation(self, model: Model, firmware: Firmware) -> Simulation:
        """The arena, which many runtimes have in common."""
        from pytest_tinybudget.footprint.arena import arena_key

        key = ("arena", arena_key(firmware))
        return self.once(model, key, lambda: self._alike_models().simulation(model, firmware))

    def _alike_models(self) -> Alike:
        from pytest_tinybudget.footprint.alike import Alike

        if self._alike is None:
            self._alike = Alike()
        return self._alike

    def _shared(
        self, model: Model, firmware: Firmware, what: str, make: Callable[[], Estimate]
    ) -> Estimate:
        """What ``make`` estimates, once in all processes of the run."""
        shared, key = self.shared, (firmware, what)
        if shared is None:
            return self.once(model, key, make)
        return self.once(model, key, lambda: shared.get(repr((model.sha256, *key)), make))

    def _kept(
        self, model: Model, firmware: Firmware, what: str, make: Callable[[], Estimate]
    ) -> Estimate:
        """What ``make`` estimates, or an earlier run; of models that are only tried, made now."""
        if self.kept is None or self._trying:
            return make()
        return self.kept.get(model, firmware, what, make)

    def _measurements(self, model: Model) -> _Measurements:
        found = self._measured.get(model.sha256)
        if found is None:
            found = self._measured[model.sha256] = _Measurements()
        return found

    def _answers(self, model: Model) -> dict[Runtime, Footprint | None]:
        return self._measurements(model).answers


def _with_savings(found: Estimate, model: Model, firmware: Firmware) -> Estimate:
    from pytest_tinybudget.footprint.link import what_if

    changes = what_if(model, firmware)
    return replace(found, footprint=replace(found.footprint, savings=changes))
