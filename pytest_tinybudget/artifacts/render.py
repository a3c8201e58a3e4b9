"""All files of one model, by name."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tinybudget.artifacts.array import Language
from pytest_tinybudget.artifacts.array import render_array
from pytest_tinybudget.artifacts.resolver import Registrations
from pytest_tinybudget.artifacts.resolver import render_resolver
from pytest_tinybudget.artifacts.settings import render_settings
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.placement import Placements


def render(
    model: Model,
    *,
    name: str,
    footprints: Sequence[Footprint] = (),
    registrations: Registrations = "generic",
    language: Language = "c++",
    placements: Placements | None = None,
) -> dict[str, bytes]:
    """The firmware's files for ``model``: contents by file name, the same bytes every time.

    ``NAME_model_data.h`` and ``.cc`` (``.c`` with ``language="c"``; above 1 MB also ``.S`` and the
    ``.tflite`` that it includes), ``NAME_model_settings.h``, ``NAME_op_resolver.h`` (C++), with
    NAME the ``c_identifier`` of ``name``. ``footprints`` are the model's on each runtime that it is
    built for: the arena and stack of the constants are the largest among them. ``placements`` says
    where the model lies.

    Raises:
        TinybudgetError: a scale is not finite, or TFLM's resolver lacks one of the operators
            (``render_array`` works for such a model too).
    """
    return {
        **render_array(model, name, language, placements),
        **render_settings(model, name, footprints),
        **render_resolver(model, name, registrations),
    }
