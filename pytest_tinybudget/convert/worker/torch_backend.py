"""Has litert-torch make a float ``.tflite`` of a program of ``torch.export``, and loads that."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import litert_torch
import numpy as np
import torch
from torch.utils import _pytree

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.layout import CHANNELS_FIRST
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.convert.worker.problem import require_known
from pytest_tinybudget.convert.worker.problem import static_shape
from pytest_tinybudget.convert.worker.quantizer_backend import LiteRTModel
from pytest_tinybudget.convert.worker.quantizer_backend import prepared
from pytest_tinybudget.convert.worker.torch_layers import layers_of
from pytest_tinybudget.convert.worker.torch_layers import notes_of
from pytest_tinybudget.convert.worker.torch_layers import refuse
from pytest_tinybudget.convert.worker.torch_layers import transposes
from pytest_tinybudget.convert.worker.torch_layers import warnings_of
from pytest_tinybudget.graph.tflite import read_model


#: How litert-torch names an argument's tensor.
_ARGUMENT = re.compile(r"args_(\d+)")
#: What may lie between PyTorch and LiteRT, of how much the outputs vary: both compute in float.
_ALIKE_SHARE = 0.01


def load(job: Job, custom: ModuleType | None) -> LiteRTModel:
    """The float model of ``job`` as litert-torch makes it. ``custom`` is not used.

    Raises:
        WorkerError: it cannot be loaded or converted, or TFLM would refuse what came of it.
    """
    program = _loaded(job)
    graph = program.graph_module.graph
    refuse(graph)
    names, samples = _inputs(program, job)
    module = _ChannelsLast(program)
    content = _converted(module, samples)
    float_model = read_model(content, job.shown)
    made = prepared(content)
    order = _order(float_model, len(names))
    model = LiteRTModel(
        made, names=[names[index] for index in order], channels_first=CHANNELS_FIRST["torch"]
    )
    model.warnings = [*warnings_of(graph), *_unlike(module, samples, model, order)]
    model.notes = [*notes_of(graph), *transposes(float_model, layers_of(float_model, graph))]
    return model


def _loaded(job: Job) -> Any:
    torch.set_num_threads(1)
    try:
        return torch.export.load(job.source)
    except Exception as error:
        raise WorkerError(
            f"torch {torch.__version__} does not load it: {first_line(error)}",
            "it must come from torch.export.save(torch.export.export(model.eval(), example), path)",
        ) from error


def _inputs(program: Any, job: Job) -> tuple[list[str], list[Any]]:
    """The names of the program's inputs, and an example of each with its channels last.

    Raises:
        WorkerError: one is no tensor, not read, not in float32, or its shape is not fixed.
    """
    nodes = [node for node in program.graph_module.graph.nodes if node.op == "placeholder"]
    values = {node.name: node.meta.get("val") for node in nodes}
    read = {node.name for node in nodes if node.users}
    names = list(program.graph_signature.user_inputs)
    declared = dict(job.input_shapes)
    require_known(declared, [name for name in names if isinstance(name, str)])
    samples = []
    for name in names:
        value = values.get(name) if isinstance(name, str) else None
        if not isinstance(value, torch.Tensor):
            raise WorkerError(
                f"its input {name!r} is no tensor: a microcontroller gives it none",
                "export the program with tensors alone, and what is constant in the module",
            )
        if value.dtype.is_floating_point and value.dtype != torch.float32:
            raise WorkerError(
                f"its input {name!r} is {str(value.dtype).removeprefix('torch.')}, expected "
                "float32",
                "export the model after model.float(), with a float32 example",
            )
        if name not in read:
            raise WorkerError(
                f"its input {name!r} is read by no layer", "export the program without it"
            )
        extents = tuple(each if isinstance(each, int) else None for each in value.shape)
        shape = static_shape(name, extents, declared.get(name))
        sample = _example(shape, value.dtype)
        is_turned = len(shape) in CHANNELS_FIRST["torch"]
        samples.append(torch.movedim(sample, 1, -1).contiguous() if is_turned else sample)
    return names, samples


def _example(shape: tuple[int, ...], dtype: Any) -> Any:
    if dtype.is_floating_point:
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return torch.zeros(shape, dtype=dtype)


class _ChannelsLast(torch.nn.Module):
    """The program with inputs of four dimensions as TFLM has them: channels last."""

    def __init__(self, program: Any) -> None:
        super().__init__()
        self.wrapped = program.module()
        self._form = program.call_spec.in_spec
        self.training = False  # a program's module cannot be asked for another mode

    def forward(self, *tensors: Any) -> Any:
        turned = [
            torch.movedim(each, -1, 1) if each.ndim in CHANNELS_FIRST["torch"] else each
            for each in tensors
        ]
        arguments, named = _pytree.tree_unflatten(turned, self._form)
        return self.wrapped(*arguments, **named)


def _converted(module: Any, samples: Sequence[Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float.tflite"
        try:
            litert_torch.convert(module, tuple(samples)).export(str(file))
        except MemoryError:
            raise
        except Exception as error:
            raise WorkerError(
                f"litert-torch does not convert it: {first_line(error)}",
                "put another layer in the place of the one that it names, here or in the log; or "
                "export the model as .onnx, which another tool converts",
            ) from error
        if not file.is_file():
            raise WorkerError("litert-torch wrote no file")
        return file.read_bytes()


def _order(model: Any, count: int) -> list[int]:
    """Which of the program's inputs each input of the file is."""
    found = [_ARGUMENT.search(model.main.tensors[index].name) for index in model.main.inputs]
    order = [int(each[1]) for each in found if each is not None]
    if sorted(order) != list(range(count)):
        raise WorkerError(
            f"litert-torch left {len(model.main.inputs)} of its {count} inputs: some are not used"
        )
    return order


def _unlike(
    module: Any, samples: Sequence[Any], model: LiteRTModel, order: Sequence[int]
) -> list[str]:
    """A warning where the float file computes something else than PyTorch does."""
    with torch.no_grad():
        outputs = [
            each for each in _pytree.tree_leaves(module(*samples)) if isinstance(each, torch.Tensor)
        ]
    given = [samples[index].numpy() for index in order]
    typed = [values.astype(spec.dtype) for values, spec in zip(given, model.inputs, strict=True)]
    found = model.run(typed)
    if len(found) != len(outputs):
        return [f"litert-torch made {len(found)} outputs of {len(outputs)}"]
    told = []
    for index, (ours, theirs) in enumerate(zip(found, outputs, strict=True)):
        expected = theirs.detach().numpy().astype(np.float64)
        spread = float(np.abs(expected).max()) or 1.0
        if ours.shape != expected.shape:
            told.append(f"litert-torch made output {index} of the shape {ours.shape}")
        elif (share := float(np.abs(ours - expected).max()) / spread) > _ALIKE_SHARE:
            told.append(f"litert-torch's float output {index} is {share:.0%} from PyTorch's")
    return told
