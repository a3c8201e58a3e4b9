"""All files of one model, by name."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence
from typing import Literal

from pytest_tinybudget.artifacts.array import Language
from pytest_tinybudget.artifacts.array import render_array
from pytest_tinybudget.artifacts.array import render_file
from pytest_tinybudget.artifacts.interpreter import render_interpreter
from pytest_tinybudget.artifacts.resolver import render_resolver
from pytest_tinybudget.artifacts.settings import render_settings
from pytest_tinybudget.artifacts.target import target_of
from pytest_tinybudget.base.files import Content
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.firmware import Firmware


#: What may be asked for of a model: the firmware's files, the model's own, or golden vectors, which
#: are made from what an interpreter gave (``golden.py``).
Kind = Literal["c", "tflite", "golden"]


def render(
    model: Model,
    *,
    name: str,
    firmwares: Sequence[Firmware] = (),
    footprints: Sequence[Footprint] = (),
    language: Language = "c++",
    kinds: Collection[Kind] = frozenset[Kind](("c",)),
) -> dict[str, Content]:
    """The firmware's files for ``model``: contents by file name, the same bytes every time.

    ``NAME_model_data.h`` and ``.cc`` (``.c`` with ``language="c"``; above 1 MB also ``.S`` and the
    ``.tflite`` that it includes), ``NAME_model_settings.h``, ``NAME_op_resolver.h`` and
    ``NAME_interpreter.h`` (C++), with NAME the ``c_identifier`` of ``name``.

    Args:
        model: What the files are of.
        name: The model's name, any text.
        firmwares: All that the model is built into: the code compiles with the TFLM of each, with
            the newest where there is none. Registrations and placements are theirs.
        footprints: The model's in these: the arena and stack of the constants are the largest
            among them.
        language: Of the array.
        kinds: ``"c"`` for all of these, ``"tflite"`` for the model's own file, whatever its size.

    Raises:
        TinybudgetError: a scale is not finite, or the TFLM of a firmware lacks one of the
            operators or the arena's form (``render_array`` works for such a model too).
    """
    target = target_of(firmwares)
    own: dict[str, Content] = {**render_file(model, name)} if "tflite" in kinds else {}
    if "c" not in kinds:
        return own
    return {
        **own,
        **render_array(model, name, language, target.placements),
        **render_settings(model, name, footprints, target),
        **render_resolver(model, name, target),
        **render_interpreter(model, name, target),
    }
