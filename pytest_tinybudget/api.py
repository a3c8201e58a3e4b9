"""The API: models are checked and measured from Python, with the types of what goes in and out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.convert.live import Data
from pytest_tinybudget.convert.live import Source
from pytest_tinybudget.declaration.settings import ArenaPlace
from pytest_tinybudget.declaration.settings import Limits
from pytest_tinybudget.declaration.settings import MeasuredSettings
from pytest_tinybudget.declaration.settings import OperatorCosts
from pytest_tinybudget.declaration.settings import Settings
from pytest_tinybudget.declaration.settings import Shapes
from pytest_tinybudget.declaration.settings import offers
from pytest_tinybudget.declaration.single import pair_with
from pytest_tinybudget.fitting import Candidate
from pytest_tinybudget.fitting import Decides
from pytest_tinybudget.fitting import Fit
from pytest_tinybudget.fitting import OnBoard
from pytest_tinybudget.fitting import fit
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.gate.shrunken import firmwares_of
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.shrinking.options import Kept
from pytest_tinybudget.shrinking.options import Rewrite
from pytest_tinybudget.shrinking.report import Arenas
from pytest_tinybudget.shrinking.report import FilePart
from pytest_tinybudget.shrinking.report import Proof
from pytest_tinybudget.shrinking.report import ProofRun
from pytest_tinybudget.shrinking.report import ShrinkReport
from pytest_tinybudget.shrinking.report import Shrunk
from pytest_tinybudget.workspace import Workspace


if TYPE_CHECKING:
    from typing_extensions import Unpack


#: What other code may import from here; what else there is may change in any release.
__all__ = [
    "Arena",
    "ArenaPlace",
    "Arenas",
    "Board",
    "Candidate",
    "Data",
    "Decides",
    "DeclarationError",
    "Figure",
    "FilePart",
    "Fit",
    "Footprint",
    "Layer",
    "Limits",
    "Measure",
    "ModelError",
    "OnBoard",
    "OperatorCosts",
    "PairResult",
    "Part",
    "Proof",
    "ProofRun",
    "Shapes",
    "ShrinkReport",
    "Shrunk",
    "Source",
    "TinybudgetError",
    "check",
    "find_board",
    "fit",
    "measure",
    "shrink",
]


@offers(Settings)
def check(
    model: Source,
    *,
    board: str | Board,
    example_inputs: object = None,
    input_shape: Sequence[int] | None = None,
    **settings: Unpack[Settings],
) -> PairResult:
    """Whether a model fits a board, and within a budget.

    The same as a pair in ``tinybudget.toml``. Sizes in the result are bytes;
    ``result.failed`` says whether it does not fit, ``result.headline`` why in one line.

    Args:
        model: the path of a ``.tflite``, ``.keras``, ``.h5``, ``.pt2`` or ``.onnx`` file or of a
            SavedModel, or a ``keras.Model`` or ``torch.nn.Module``. What is no INT8 ``.tflite`` is
            converted (docs/conversion.md). Or layers of a model that is not trained yet: of a
            dense one ``(inputs, outputs)``, of a convolution ``(inputs, outputs, height, width)``;
            or each as a table of ``layers`` of a declaration, ``{"type": "dense", "units": 4}``.
        board: a board's id in the catalog (``tinybudget boards``), or a ``Board``.
        budget: limits besides the board's room, such as ``{"flash": "200 KB", "ram": 49152}``;
            sizes as in ``tinybudget.toml`` (1 KB = 1024 B), or bytes; ``"latency": "100 ms"``
            and ``"energy": "50 uJ"`` as there.
        require_int8: fail (or ``"warn"`` about) a model that is not full INT8.
        strict: fail where a number is a bound instead of the device's own.
        registrations: ``"typed"`` for a firmware that registers ``Register_CONV_2D_INT8()``
            and its like instead of the generic functions.
        placement: where the arena goes: ``"static"``, ``"heap"`` or ``"psram"``; a mapping of
            ``"persistent"`` and ``"non_persistent"`` to these splits it.
        placement_model: where the model's bytes lie: ``"flash"``, ``"ram"`` or ``"psram"``.
        storage_model: where a model in RAM is read from: ``"flash"`` or ``"external"``.
        runtime: a shipped runtime (``tinybudget runtime list``), or ``"project"`` for what the
            files of the project in the working directory name; by default the board's own.
        stack: the stack that was measured, as a size; by default the runtime's table says it.
        representative_data: samples to calibrate a conversion with, as in a declaration, or an
            array (several by the names of the inputs) whose first axis is the sample.
        example_inputs: of a ``torch.nn.Module``, a tensor with batch 1 for each input.
        input_shape: of layers, the shape of their input, without batch.
        custom_objects: module with the model's own layers, such as ``"training.layers"``.
        strip: leave out names, signatures and metadata.
        shrink: measure the model as a smaller file with the same outputs, as ``shrink`` makes it.
        per_channel_dense: a scale for each output of a dense layer (default: with int8).
        activations: type of what flows between operators; ``"float"`` is for layers and plans.
        plan: plan a ``.keras`` or ``.pt2`` file, a ``keras.Model`` or a ``torch.nn.Module`` from
            its layers, without converting it: where there is no ``representative_data`` that is
            the result, else the conversion is held to it. What cannot be planned is converted.
        operators: what kernels of the firmware's own take, by operator, as in
            ``[runtime.ops.NAME]``: ``{"MyOp": {"persistent": "1 KB", "flash": 4096}}``.
        input_shapes: shapes of inputs that the model leaves open, batch included, by name:
            ``{"image": [1, 96, 96, 3]}``.

    Raises:
        TinybudgetError: the model cannot be read or converted, or the board or a setting is wrong.
        TypeError: there is no such setting.
    """
    with (
        closing(Workspace()) as workspace,
        pair_with(model, board, settings, Path(), example_inputs, input_shape) as pair,
    ):
        return Gate(workspace).check_or_raise(pair)


@offers(MeasuredSettings)
def measure(
    model: Source,
    *,
    board: str | Board,
    example_inputs: object = None,
    input_shape: Sequence[int] | None = None,
    **settings: Unpack[MeasuredSettings],
) -> Footprint:
    """What a model takes on a board: flash and RAM in parts, arena, layers.

    All sizes are bytes; each part says by its ``method`` how it was got. The figures are those
    of the TFLM commit ``pytest_tinybudget.runtimes.tflm.TFLM_COMMIT``: the arena is
    simulated allocation by allocation, flash is a virtual link of that TFLM's sections.

    Args:
        model: as for ``check``.
        board: a board's id in the catalog (``tinybudget boards``), or a ``Board``.
        registrations: as for ``check``.
        placement: as for ``check``.
        placement_model: as for ``check``.
        storage_model: as for ``check``.
        runtime: as for ``check``.
        stack: as for ``check``.
        operators: as for ``check``.
        input_shapes: as for ``check``.
        representative_data: as for ``check``.
        example_inputs: as for ``check``.
        input_shape: as for ``check``.
        custom_objects: as for ``check``.
        strip: as for ``check``.
        shrink: as for ``check``.
        per_channel_dense: as for ``check``.
        activations: as for ``check``.
        plan: as for ``check``.

    Raises:
        TinybudgetError: the model cannot be read or converted, or the board or a setting is wrong.
        TypeError: there is no such setting.
    """
    with (
        closing(Workspace()) as workspace,
        pair_with(model, board, settings, Path(), example_inputs, input_shape) as pair,
    ):
        return measurement(pair, workspace, details=True).footprint


def shrink(
    model: bytes | str | Path,
    *,
    boards: Sequence[str | Board] = (),
    keep: Sequence[Kept] = (),
    without: Sequence[Rewrite] = (),
) -> Shrunk:
    """A model as a smaller file with the same outputs, and a memory plan for its boards.

    Where TFLM's interpreter or LiteRT is installed, both files are run side by side, and
    ``result.report.proof`` says so.

    Args:
        model: the bytes of a ``.tflite`` file, or its path.
        boards: ids in the catalog, or a ``Board`` each: a memory plan is written where it makes
            the arena smaller on one of them and larger on none.
        keep: what stays although no interpreter needs it: ``"names"``, ``"signatures"``,
            ``"metadata"``.
        without: changes that are not made: ``"bias-scales"``, ``"equal-constants"``,
            ``"reshapes"``, ``"quantize-pairs"``, ``"unread-operators"``, ``"order"``, ``"plan"``.

    Raises:
        TinybudgetError: the model cannot be read, there is no such board, or an output differs.
    """
    from pytest_tinybudget.graph.tflite import load_model
    from pytest_tinybudget.graph.tflite import read_model
    from pytest_tinybudget.shrinking.interpreters import Interpreters
    from pytest_tinybudget.shrinking.options import shrink_options
    from pytest_tinybudget.shrinking.shrink import shrinking

    options = shrink_options(keep, without)
    given = read_model(model, "model") if isinstance(model, bytes) else load_model(Path(model))
    found = [each if isinstance(each, Board) else find_board(each) for each in boards]
    with Interpreters() as interpreters:
        made = shrinking(given, firmwares_of(found), options, interpreters=interpreters).result()
    return Shrunk(made.model.content, made.report)
