"""Converts a float ``.tflite`` to full-integer TF Lite with litert-quantizer.

ai-edge-quantizer, its old name, is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from typing import Literal

import numpy as np
from ai_edge_litert import schema_py_generated
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.quantizers import installed_quantizer
from pytest_tinybudget.convert.quantizers import quantizer_name
from pytest_tinybudget.convert.worker.backend import Sample
from pytest_tinybudget.convert.worker.editing import code_of
from pytest_tinybudget.convert.worker.fusing import fused
from pytest_tinybudget.convert.worker.islands import without_islands
from pytest_tinybudget.convert.worker.matmul import dense_products
from pytest_tinybudget.convert.worker.problem import InputSpec
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.convert.worker.repack import packed
from pytest_tinybudget.convert.worker.reshapes import reshaped
from pytest_tinybudget.convert.worker.roots import inverse_roots
from pytest_tinybudget.graph.closing import closed
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model


_SIGNATURE = "serving_default"


def _quantizer(module: str) -> Any:
    """A module of the quantizer that is installed, whose package has one of two names."""
    found = installed_quantizer()
    assert found is not None  # ``missing_packages`` has looked
    return import_module(f"{found[1]}.{module}")


calibrator = _quantizer("calibrator")
quantizer = _quantizer("quantizer")
recipe = _quantizer("recipe")
qsv_utils = _quantizer("utils.qsv_utils")


def load(job: Job, custom: ModuleType | None) -> LiteRTModel:
    """Load the float model of ``job``. ``custom`` is not used: TF Lite has no classes.

    Raises:
        WorkerError: LiteRT cannot load it.
    """
    try:
        model = closed(load_model(Path(job.source), job.shown), dict(job.input_shapes), whole=True)
    except TinybudgetError as error:
        raise WorkerError(error.message) from error
    return LiteRTModel(prepared(model.content), aliases=model.input_names)


def prepared(content: bytes) -> bytes:
    """``content`` at batch 1, with one signature: its own names, or such as keep the order."""
    schema = schema_py_generated
    read = read_model(content, "model")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    main = model.subgraphs[0]
    for tensor in main.tensors:
        tensor.shapeSignature = None
    _fold_shapes(model)
    reshaped(model, schema)
    dense_products(model, schema)
    inverse_roots(model, schema)
    fused(model, schema)
    signature = schema.SignatureDefT()
    signature.signatureKey = _SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = _named(main.inputs, "input", _in_order(read, "inputs"))
    signature.outputs = _named(main.outputs, "output", _in_order(read, "outputs"))
    model.signatureDefs = [signature]
    return packed(model)


def _fold_shapes(model: Any) -> None:
    """Replace what is computed from shapes alone, which batch 1 makes constant, by constants.

    Converters leave SHAPE, STRIDED_SLICE and PACK where the batch was dynamic; the quantizer would
    make them read float.
    """
    main = model.subgraphs[0]
    known = {
        index
        for index, tensor in enumerate(main.tensors)
        if model.buffers[tensor.buffer].data is not None
    }
    codes = schema_py_generated.BuiltinOperator
    folded: list[Any] = []
    for operator in main.operators:
        inputs = [int(index) for index in operator.inputs if index >= 0]
        is_shape = code_of(model, operator) == codes.SHAPE
        if is_shape or (folded and known.issuperset(inputs) and not _is_float(main, operator)):
            known.update(map(int, operator.outputs))
            folded.append(operator)
    if not folded:
        return
    interpreter = Interpreter(
        model_content=packed(model),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    for operator in folded:
        for index in map(int, operator.outputs):
            buffer = schema_py_generated.BufferT()
            buffer.data = np.frombuffer(interpreter.get_tensor(index).tobytes(), np.uint8)
            model.buffers.append(buffer)
            main.tensors[index].buffer = len(model.buffers) - 1
    main.operators = [operator for operator in main.operators if operator not in folded]


def _is_float(graph: Any, operator: Any) -> bool:
    types = {graph.tensors[int(index)].type for index in operator.outputs}
    return schema_py_generated.TensorType.FLOAT32 in types


def _signed(model: Model, side: Literal["inputs", "outputs"]) -> dict[int, str]:
    """The names that the one signature of the model's main graph gives its tensors."""
    signatures = [each for each in model.signatures if each.subgraph == 0]
    if len(signatures) != 1:
        return {}
    names: Mapping[str, int] = getattr(signatures[0], side)
    return {index: name for name, index in names.items()}


def _in_order(model: Model, side: Literal["inputs", "outputs"]) -> list[str]:
    """The signature's names in the order of the main graph; empty where it has none."""
    names = _signed(model, side)
    indices: tuple[int, ...] = getattr(model.main, side)
    return [names.get(index, "") for index in indices]


def _named(tensors: Sequence[int], kind: str, names: Sequence[str]) -> list[Any]:
    """The signature's entries for ``tensors``: by ``names`` if each has one of its own."""
    own = len(set(names) - {""}) == len(tensors)
    maps = []
    for number, tensor in enumerate(tensors):
        entry = schema_py_generated.TensorMapT()
        entry.name = names[number] if own else f"{kind}_{number:03}"
        entry.tensorIndex = int(tensor)
        maps.append(entry)
    return maps


def _unloaded(content: bytes, error: Exception) -> tuple[str, str]:
    """Why LiteRT does not load ``content``, and what to do."""
    for graph in read_model(content, "model").subgraphs:
        own = [each for each in graph.operators if each.is_custom]
        if own:
            name, layer = own[0].name, graph.tensors[own[0].outputs[0]].name
            text = f"{_shown(name)} #{own[0].index} (layer {_shown(layer)}) is a custom operator"
            return (
                text,
                "LiteRT cannot run it for the calibration: put standard layers in its place",
            )
        doubles = [each for each in graph.tensors if each.type == "FLOAT64"]
        if doubles:
            text = f"it computes in float64 (tensor '{_shown(doubles[0].name)}')"
            return text, "save the model in float32"
    text = f"LiteRT does not load it: {first_line(error)}"
    return text, "TFLM has LiteRT's operators: put another layer in the place of this one"


def _shown(name: str) -> str:
    return printable(name, limit=80)


class LiteRTModel:
    """A float ``.tflite`` in LiteRT's interpreter."""

    schema: ModuleType = schema_py_generated

    def __init__(
        self,
        content: bytes,
        *,
        names: Sequence[str] = (),
        aliases: Sequence[tuple[str, ...]] = (),
        channels_first: tuple[int, ...] = (),
    ) -> None:
        """Load ``content``. ``names`` are those of its inputs in the source that it was made of.

        ``aliases`` are further ones, ``channels_first`` says how data has them (``layout.py``).

        Raises:
            WorkerError: LiteRT cannot load it.
        """
        self._content = content
        try:
            self._float = self.interpreter(content)
            self._float.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise WorkerError(*_unloaded(content, error)) from error
        self.warnings: list[str] = []
        self.notes: list[str] = []
        details = self._float.get_input_details()
        self.inputs = [
            InputSpec(
                name,
                tuple(map(int, detail["shape"])),
                str(detail["dtype"].__name__),
                channels_first,
                known,
            )
            for name, detail, known in zip(
                names or [str(detail["name"]) for detail in details],
                details,
                aliases or [()] * len(details),
                strict=True,
            )
        ]
        read = read_model(content, "model")
        signed = _signed(read, "inputs")
        self._signed = [signed[index] for index in read.main.inputs]

    def doubts(self, samples: Sequence[Sample]) -> list[str]:
        """No signs: a ``.tflite`` does not say what it was trained on."""
        return []

    def run(self, sample: Sample) -> list[Any]:
        """The float model's outputs for one sample."""
        self._float.reset_all_variables()
        for detail, values in zip(self._float.get_input_details(), sample, strict=True):
            self._float.set_tensor(detail["index"], values)
        self._float.invoke()
        outputs = self._float.get_output_details()
        return [self._float.get_tensor(detail["index"]) for detail in outputs]

    def interpreter(self, content: bytes) -> Any:
        """An interpreter without delegates."""
        return Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )

    def float_file(self) -> bytes:
        """The float ``.tflite``, as the quantizer gets it."""
        return self._content

    def convert(self, samples: Sequence[Sample], job: Job) -> bytes:
        """Full-integer TF Lite.

        Raises:
            WorkerError: the quantizer refuses the model.
        """
        rules = recipe.static_wi8_ai16() if job.activations == "int16" else recipe.static_wi8_ai8()
        try:
            made = quantizer.Quantizer(self._content, rules)
            result = made.quantize(
                self._ranges(made, samples), enable_progress_bar=False, enable_progress_report=False
            )
        except MemoryError:
            raise
        except Exception as error:
            raise WorkerError(
                f"{quantizer_name()} does not convert it: {first_line(error)}"
            ) from error
        return without_islands(bytes(result.quantized_model), self.schema)

    def _ranges(self, made: Any, samples: Sequence[Sample]) -> dict[str, Any]:
        """Note the least and the largest value of each tensor; the default is a moving average."""
        observer = calibrator.Calibrator(
            self._content, num_threads=1, qsv_update_func=qsv_utils.min_max_update
        )
        named = [dict(zip(self._signed, sample, strict=True)) for sample in samples]
        observer.calibrate({_SIGNATURE: named}, made._recipe_manager)
        return dict(observer.get_model_qsvs())
