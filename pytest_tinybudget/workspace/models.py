"""The models of a run: each file read, converted and stripped once."""

from __future__ import annotations

import os
from collections.abc import Hashable
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.once import once
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.sources import converts
from pytest_tinybudget.graph.locations import model_name
from pytest_tinybudget.graph.model import Model


if TYPE_CHECKING:
    from pytest_tinybudget.base.cache import Cache
    from pytest_tinybudget.convert.converter import Converted
    from pytest_tinybudget.convert.converter import Converter
    from pytest_tinybudget.convert.converter import Progress
    from pytest_tinybudget.convert.converter import Request
    from pytest_tinybudget.convert.settings import Conversion
    from pytest_tinybudget.declaration import DeclaredModel
    from pytest_tinybudget.planning.network import LayerList
    from pytest_tinybudget.planning.network import Network
    from pytest_tinybudget.shrinking.interpreters import Interpreters
    from pytest_tinybudget.shrinking.options import ShrinkRequest
    from pytest_tinybudget.shrinking.report import ShrinkReport
    from pytest_tinybudget.workspace.plans import Plan
    from pytest_tinybudget.workspace.shrunken import Begun


#: So many models are shrunk ahead of the pairs that ask for them: while they are proven, this
#: process goes on.
_AHEAD = 8
#: The largest file of a plan: its zeros are written, hashed and searched like any model's weights.
_MOST_PLANNED_BYTES = 128 * 1024**2


class _File(Struct, frozen=True, cache_hash=True):
    """What decides the content of a model's file."""

    source: Path
    conversion: Conversion
    planned: LayerList | Network | None
    shrink: ShrinkRequest | None


class Models(Struct, eq=False):
    """Reads and converts models, and keeps them until they are dropped.

    ``cached`` is whether conversions are kept on disk, from run to run; ``progress`` is told of
    their steps.
    """

    cached: bool = True
    progress: Progress | None = None
    _graphs: dict[Hashable, Model | TinybudgetError] = field(default_factory=dict)
    #: Models as they are in their files, by these: a base commit has most of them in common.
    _loaded: dict[Hashable, Model | TinybudgetError] = field(default_factory=dict)
    _conversions: dict[Hashable, Converted | TinybudgetError | None] = field(default_factory=dict)
    _plans: dict[Hashable, Plan] = field(default_factory=dict)
    _shrunken: dict[Hashable, ShrinkReport] = field(default_factory=dict)
    #: Models that are shrunk ahead of the pairs that ask for them, and those that will be.
    _begun: dict[Hashable, Begun] = field(default_factory=dict)
    _to_begin: dict[Hashable, DeclaredModel] = field(default_factory=dict)
    _interpreters: Interpreters | None = None
    #: How many bytes stripping left out of files that were not converted here.
    _stripped: dict[Hashable, int] = field(default_factory=dict)
    _converter: Converter | None = None
    #: The model that was asked for last, and its file: pairs come one model after the other.
    _last: tuple[DeclaredModel, _File] | None = None

    def graph(self, declared: DeclaredModel) -> Model:
        """The graph of a declared model, its file read once.

        Raises:
            TinybudgetError: it cannot be read or converted.
        """
        return once(self._graphs, self._file(declared), lambda: self._read(declared))

    def conversion(self, declared: DeclaredModel) -> Converted | None:
        """How a declared model was converted to INT8; ``None`` where its file is taken as it is.

        Raises:
            TinybudgetError: it cannot be converted.
        """

        def convert() -> Converted | None:
            if not self._is_converted(declared):
                return None
            try:
                return self._converting().convert(_request(declared))
            except ConversionError as error:
                plan = self.plan(declared)
                if plan is None or plan.model is not None:
                    raise
                details = (*error.details, f"nor is it planned: {plan.why_not}")
                raise ConversionError(
                    error.message, details=details, log=error.log, code=error.code
                ) from None

        return once(self._conversions, self._file(declared), convert)

    def plan(self, declared: DeclaredModel) -> Plan | None:
        """What a declared file is by its layers, unconverted; ``None`` where no plan is asked."""
        if not declared.conversion.plan or not _has_to_be_converted(declared):
            return None
        key = self._file(declared)
        if key not in self._plans:
            from pytest_tinybudget.workspace.plans import plan_of

            self._plans[key] = plan_of(declared.source, declared.name, declared.conversion)
        return self._plans[key]

    def is_planned(self, declared: DeclaredModel) -> bool:
        """Whether ``graph`` gives a plan: its layers are declared, or it is not converted here."""
        if declared.planned is not None:
            return True
        plan = self.plan(declared)
        if plan is None or plan.model is None:
            return False
        from pytest_tinybudget.workspace.plans import why_not_converted

        return bool(why_not_converted(declared))

    def awaits_conversion(self, declared: DeclaredModel) -> bool:
        """Whether a model has yet to be converted, and is not kept from an earlier run."""
        if not self._is_converted(declared) or self._file(declared) in self._conversions:
            return False
        return not self._converting().has(_request(declared))

    def stripped_bytes(self, declared: DeclaredModel) -> int:
        """How many bytes ``strip`` left out of a file that was not converted here."""
        return self._stripped.get(self._file(declared), 0)

    def shrink_report(self, declared: DeclaredModel) -> ShrinkReport | None:
        """What shrinking did to a model that was read; ``None`` where it is not shrunk."""
        return self._shrunken.get(self._file(declared))

    def prepare(self, declared: Iterable[DeclaredModel], *, ahead: bool = True) -> None:
        """Convert those that need it side by side; what fails is raised when they are read.

        With ``ahead``, shrinking begins as well, of the first few, and of the next as these are
        read.
        """
        models = list(declared)
        requests = {_request(each): None for each in models if self._is_converted(each)}
        if requests:
            self._converting().prepare(requests)
        if ahead:
            shrunk = [each for each in models if each.shrink and not self.is_planned(each)]
            self._to_begin.update({self._file(each): each for each in shrunk})
            self._begin_ahead()

    def drop(self, declared: DeclaredModel) -> Model | None:
        """Keep a model no longer; the one that was kept."""
        key = self._file(declared)
        graph = self._graphs.pop(key, None)
        self._loaded.pop(_place_of(declared), None)
        self._conversions.pop(key, None)
        self._stripped.pop(key, None)
        self._shrunken.pop(key, None)
        self._begun.pop(key, None)
        self._plans.pop(key, None)
        return graph if isinstance(graph, Model) else None

    def kept(self) -> tuple[set[Hashable], ...]:
        """What is kept now, for ``drop_all_but``."""
        return set(self._graphs), set(self._conversions), set(self._loaded)

    def drop_all_but(self, kept: tuple[set[Hashable], ...]) -> None:
        """Keep nothing that was made after ``kept``."""
        for key in set(self._loaded) - kept[2]:
            del self._loaded[key]
        for key in set(self._graphs) - kept[0]:
            del self._graphs[key]
            self._shrunken.pop(key, None)
        for key in set(self._conversions) - kept[1]:
            del self._conversions[key]

    def cache(self) -> Cache | None:
        """Where made files are kept on disk, if they are."""
        from pytest_tinybudget.base.cache import Cache
        from pytest_tinybudget.base.cache import limit_bytes
        from pytest_tinybudget.base.cache_folder import default_folder

        return Cache(default_folder(), limit_bytes()) if self.cached else None

    def close(self) -> None:
        """End the processes that convert and run models."""
        if self._converter is not None:
            self._converter.close()
        if self._interpreters is not None:
            self._interpreters.close()
            self._interpreters = None

    def _read(self, declared: DeclaredModel) -> Model:
        if declared.shrink is None or self.is_planned(declared):  # whose weights are not known
            return self._as_declared(declared)
        key = self._file(declared)
        self._to_begin.pop(key, None)
        begun = self._begun.pop(key, None) or self._begin(declared)
        self._begin_ahead()
        made, report = begun.result()
        self._shrunken[key] = report
        return made

    def unproven(self, declared: DeclaredModel) -> Model | None:
        """The smaller model whose proof is on its way; ``None`` where it is there, or not begun.

        Only for what is done meanwhile: ``graph`` has the model once it is proven.
        """
        begun = self._begun.get(self._file(declared))
        return begun.unproven if begun else None

    def _begin_ahead(self) -> None:
        """Begin to shrink the next models; what fails is raised when they are read."""
        while self._to_begin and len(self._begun) < _AHEAD:
            key = next(iter(self._to_begin))
            declared = self._to_begin.pop(key)
            if key not in self._graphs and key not in self._begun:
                with suppress(TinybudgetError):
                    self._begun[key] = self._begin(declared)

    def _begin(self, declared: DeclaredModel) -> Begun:
        from pytest_tinybudget.workspace.shrunken import begin

        assert declared.shrink is not None
        model = self._as_declared(declared)
        return begin(model, declared.shrink, self.cache(), declared.conversion, self._running)

    def _running(self) -> Interpreters:
        from pytest_tinybudget.shrinking.interpreters import Interpreters

        if self._interpreters is None:
            self._interpreters = Interpreters()
        return self._interpreters

    def _as_declared(self, declared: DeclaredModel) -> Model:
        """The model's file as it was converted, stripped and given its shapes."""
        from pytest_tinybudget.graph.tflite import load_model
        from pytest_tinybudget.graph.tflite import read_model

        if declared.planned is not None:
            from pytest_tinybudget.planning import Network
            from pytest_tinybudget.planning import planned_model

            network = declared.planned
            is_file = not (isinstance(network, Network) and network.traced)
            planned = planned_model(network, declared.name, named=is_file)
            if planned.bytes > _MOST_PLANNED_BYTES:
                raise ModelError(
                    f"{declared.name}: the plan's file has {format_size(planned.bytes)}, more than "
                    f"any board's flash; at most {format_size(_MOST_PLANNED_BYTES)} are measured"
                )
            return self._stripped_model(declared, planned)
        plan = self.plan(declared)
        if plan is not None and plan.model is not None and self.is_planned(declared):
            return plan.model
        converted = self.conversion(declared)
        if converted is not None:  # stripped with the conversion
            return read_model(converted.content, model_name(declared.source))
        loaded = once(
            self._loaded,
            _place_of(declared),
            lambda: load_model(declared.source, declared.declared_source),
        )
        return self._ready(declared, loaded)

    def _ready(self, declared: DeclaredModel, model: Model) -> Model:
        """``model`` at its declared shapes, stripped where that is declared."""
        from pytest_tinybudget.graph.closing import closed

        closed_model = closed(model, dict(declared.conversion.input_shapes))
        return self._stripped_model(declared, closed_model)

    def _stripped_model(self, declared: DeclaredModel, model: Model) -> Model:
        """``model``, stripped where that is declared."""
        if not declared.conversion.strip:
            return model
        from pytest_tinybudget.shrinking.strip import strip

        stripped = strip(model)
        self._stripped[self._file(declared)] = stripped.saved_bytes
        return stripped.model

    def _is_converted(self, declared: DeclaredModel) -> bool:
        return _has_to_be_converted(declared) and not self.is_planned(declared)

    def _file(self, declared: DeclaredModel) -> _File:
        if self._last is None or self._last[0] is not declared:
            file = _File(declared.source, declared.conversion, declared.planned, declared.shrink)
            self._last = declared, file
        return self._last[1]

    def _converting(self) -> Converter:
        from pytest_tinybudget.convert.converter import Converter

        if self._converter is None:
            progress = self.progress or (lambda _model, _step: None)
            self._converter = Converter(self.cache(), progress)
        return self._converter


def _has_to_be_converted(declared: DeclaredModel) -> bool:
    return declared.planned is None and converts(declared.source, declared.conversion)


def _place_of(declared: DeclaredModel) -> Hashable:
    """Where a model's file is, links followed, and what messages call it."""
    return os.path.realpath(declared.source), declared.declared_source


def _request(declared: DeclaredModel) -> Request:
    from pytest_tinybudget.convert.converter import Request

    return Request(declared.source, declared.declared_source, declared.conversion)
