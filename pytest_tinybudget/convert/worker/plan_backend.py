"""Converts Keras models whose graph is known (``planning/``) to full-integer TF Lite.

Keras and TensorFlow are not imported: the plan gets the weights of the ``.keras`` file, runs as a
float model in LiteRT on the calibration data, and is quantized as TensorFlow's converter does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.worker.backend import Sample
from pytest_tinybudget.convert.worker.constants import fold
from pytest_tinybudget.convert.worker.constants import initial_constants
from pytest_tinybudget.convert.worker.integers import Range
from pytest_tinybudget.convert.worker.integers import Scales
from pytest_tinybudget.convert.worker.integers import quantized_graph
from pytest_tinybudget.convert.worker.keras_weights import config_of
from pytest_tinybudget.convert.worker.keras_weights import stored_layers
from pytest_tinybudget.convert.worker.norms import norm_doubts
from pytest_tinybudget.convert.worker.problem import InputSpec
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.planning.emit import Emitter
from pytest_tinybudget.planning.emit import quantized
from pytest_tinybudget.planning.emit import with_biases
from pytest_tinybudget.planning.file import tables_of
from pytest_tinybudget.planning.keras_config import network_of
from pytest_tinybudget.planning.lowering import Lowering
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import ordered
from pytest_tinybudget.planning.passes import simplified


#: Layers whose operators are planned, but not what their tensors hold.
_UNKNOWN = frozenset({"lstm", "layer_norm"})
#: Operators whose kernels may write their result over an operand of theirs.
_IN_PLACE = frozenset({"ADD", "SUB", "MUL", "DIV"})
_MERGES = _IN_PLACE | {"MAXIMUM", "MINIMUM"}
#: Dimensions of a tensor of channels alone.
_FLAT = 2


def load(job: Job, custom: ModuleType | None) -> PlannedModel:
    """The float model of ``job``.

    Raises:
        NotPlannedError: a part of it is not known: TensorFlow has to convert it.
    """
    if custom is not None or job.input_shapes or job.activations != "int8":
        raise NotPlannedError("not planned: custom objects, input shapes or 16-bit activations")
    path = Path(job.source)
    config = config_of(path)
    network = network_of(config, per_channel_dense=job.per_channel_dense)
    kinds = {layer.name: layer.type for layer in network.layers}
    for layer in network.layers:
        before = {kinds.get(name, "") for name in layer.inputs}
        if reason := _unknown(layer) or _unknown_behind(layer, before):
            raise NotPlannedError(f"layer {layer.name}: not planned: {reason}")
    try:
        return PlannedModel(network, job.shown, stored_layers(path, config))
    except ModelError as error:
        raise NotPlannedError(error.message) from error


def _unknown(layer: Layer) -> str:
    """What of a layer is planned for its size alone; empty where all of it is known."""
    if layer.type in _UNKNOWN:
        return "the numbers in its operators"
    if layer.type.startswith("cropping") and not all(after for _, after in layer.amount):
        return "a cropping that leaves an end as it is"
    kernel, dilation = (
        (each, each) if isinstance(each, int) else each for each in (layer.kernel, layer.dilation)
    )
    if max(dilation) > 1 and 1 in kernel and "conv" in layer.type:
        return "a dilation of a kernel with an extent of 1"
    return ""


def _unknown_behind(layer: Layer, before: Set[str]) -> str:
    """What of a layer is not known behind layers of the types ``before``; empty where all is."""
    scales = before & {"batch_norm", "rescaling"}
    if layer.type == "multi_head_attention" and scales:
        return "a normalization that all of its dense layers may take in"
    if layer.type in ("batch_norm", "rescaling") and before & {"upsampling1d", "upsampling2d"}:
        return "a normalization that may move before what repeats its input"
    if layer.type in ("conv1d", "separable_conv1d") and layer.size == 1 and layer.bias:
        return "a bias of one channel, which may stay an operator of its own"
    return ""


def _refuse_points(nodes: Sequence[Node]) -> None:
    """Refuse merges of maps of one position, which the converter may take for constants' shapes.

    Raises:
        NotPlannedError: there is one.
    """
    for node in nodes:
        shape = node.output.shape
        merges = node.op in _MERGES and len(list(node.values())) > 1
        if merges and len(shape) > _FLAT and prod(shape[:-1]) == 1:
            raise NotPlannedError(f"layer {node.label}: not planned: a merge of one position")


class PlannedModel:
    """A network with its weights."""

    schema: ModuleType = schema_py_generated

    def __init__(self, network: Network, shown: str, stored: Mapping[str, Any]) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self._network, self._shown, self._stored = network, shown, stored
        low = Lowering(network, shown)
        constants = initial_constants(low.nodes, network.layers, stored)
        self._inputs, self._outputs = low.inputs, low.outputs
        self._nodes = simplified(ordered(low.nodes, low.inputs), low.outputs)
        _refuse_points(self._nodes)
        with_biases(self._nodes)
        self._constants = fold(self._nodes, constants)
        self.inputs = [InputSpec(each.input_name, each.shape, "float32") for each in low.inputs]
        self._emitter = Emitter(self._nodes, self._inputs, "float", network.per_channel_dense)
        graph = self._emitter.subgraph(self._outputs, shown)
        tensors = list(graph.tensors)
        for key, values in self._constants.items():
            index = self._emitter.indices[key]
            tensors[index] = replace(tensors[index], data=memoryview(values.tobytes()))
        self._content = _file(replace(graph, tensors=tuple(tensors)))
        self._graph = graph
        self._float = self.interpreter(self._content)
        self._float.allocate_tensors()

    def doubts(self, samples: Sequence[Sample]) -> list[str]:
        """Signs that the data differs from the training data, a line each.

        The mean and the variance that the first batch normalization has learned are all that a
        trained model remembers of its data.
        """
        for number, layer in enumerate(self._network.layers):
            stored = self._stored[layer.name]
            if layer.type != "batch_norm" or "/" in layer.name or not np.any(stored.variables[2]):
                continue
            before = replace(
                self._network, layers=self._network.layers[:number], outputs=layer.inputs
            )
            if layer.inputs[0] in (each.name for each in self.inputs):
                place = [each.name for each in self.inputs].index(layer.inputs[0])
                found = [sample[place] for sample in samples]
            else:
                partial = PlannedModel(before, self._shown, self._stored)
                found = [partial.run(sample)[0] for sample in samples]
            return norm_doubts(layer.name, np.concatenate(found), *stored.variables[2:])
        return []

    def run(self, sample: Sample) -> list[Any]:
        """The float model's outputs for one sample."""
        self._invoke(self._float, sample)
        return [self._float.get_tensor(each["index"]) for each in self._float.get_output_details()]

    def _invoke(self, interpreter: Any, sample: Sample) -> None:
        for detail, values in zip(interpreter.get_input_details(), sample, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()

    def interpreter(self, content: bytes) -> Any:
        """An interpreter without delegates."""
        return Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )

    def convert(self, samples: Sequence[Sample], job: Job) -> bytes:
        """Full-integer TF Lite.

        Raises:
            NotPlannedError: what the converter would make is not known.
        """
        ranges = self._ranges(samples)
        nodes = quantized(self._nodes, self._inputs, "int8", self._shown)
        for node in nodes:  # what is requantized, or computed in float in between, has its range
            for value in (*node.values(), node.output):
                ranges.setdefault(id(value), (0.0, 0.0))
        emitter = Emitter(nodes, self._inputs, "int8", self._network.per_channel_dense)
        graph = emitter.subgraph(self._outputs, self._shown)
        scales = Scales(nodes, self._inputs, ranges)
        return _file(quantized_graph(emitter, graph, nodes, self._constants, scales))

    def _ranges(self, samples: Sequence[Sample]) -> dict[int, Range]:
        """The least and the largest number of each value on all samples, by ``id``."""
        observer = Interpreter(
            model_content=self._content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        observer.allocate_tensors()
        values = [*self._inputs, *(node.output for node in self._nodes)]
        found: dict[int, Range] = {}
        for sample in samples:
            self._invoke(observer, sample)
            for value in values:
                numbers = observer.get_tensor(self._emitter.indices[id(value)])
                low, high = found.get(id(value), (np.inf, -np.inf))
                found[id(value)] = (
                    min(low, float(numbers.min())),
                    max(high, float(numbers.max())),
                )
        self._overwrite(found)
        return found

    def _overwrite(self, found: dict[int, Range]) -> None:
        """Ranges as TensorFlow's calibrator sees them.

        It looks at operands after a kernel has run too, and a sum may be where its operand was.
        """
        users: dict[int, int] = {}
        for node in self._nodes:
            for each in node.values():
                users[id(each)] = users.get(id(each), 0) + 1
        kept = {id(each) for each in (*self._inputs, *self._outputs)}
        for node in self._nodes:
            if node.op not in _IN_PLACE:
                continue
            for each in node.values():
                if (
                    users[id(each)] == 1
                    and each.shape == node.output.shape
                    and id(each) not in kept
                    and id(node.output) not in kept
                ):
                    (low, high), (least, most) = found[id(each)], found[id(node.output)]
                    found[id(each)] = min(low, least), max(high, most)
                    break


def _file(graph: Subgraph) -> bytes:
    return put_together(tables_of(graph, named=True))
