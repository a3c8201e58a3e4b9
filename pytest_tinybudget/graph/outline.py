"""What of a model decides its sizes: all but the names of its tensors and the contents of weights.

Variants of a network, trained on other data or exported under another name, have one outline in
common. What is found out about the outline holds for all of them, because the outline has nothing
else to look at: a name is a marker that betrays itself in a text, and contents that are left out
raise an error where they are read.
"""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Mapping
from typing import NoReturn
from typing import cast

from msgspec.structs import replace

from pytest_tinybudget.graph.model import NO_BYTES
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


#: In the name of every tensor of an outline, and in no text about it that holds for all variants.
MARKER = "~"

#: Longer contents are weights. Those of tensors without a scale are shapes, axes and paddings.
_LONGEST_VALUE_BYTES = 256
_LONGEST_QUANTIZED_BYTES = 2
#: Metadata that decides where tensors lie.
_READ_METADATA = "OfflineMemoryAllocation"


class UnreadError(Exception):
    """Something depends on contents that an outline leaves out."""


class _Unread:
    """Contents of which only the length is known."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getattr__(self, name: str) -> NoReturn:
        raise UnreadError(name)

    def _fail(self, *_: object) -> NoReturn:
        raise UnreadError

    __getitem__ = __iter__ = __bytes__ = __contains__ = __eq__ = __hash__ = _fail


class _NoContent(_Unread):
    """The file of an outline, of which nothing is known."""

    def __len__(self) -> NoReturn:
        raise UnreadError


def outline_key(model: Model) -> Hashable:
    """What the outline of ``model`` is equal in to those of its variants."""
    return (
        tuple(
            (
                tuple(map(_tensor_key, graph.tensors)),
                tuple(map(_operator_key, graph.operators)),
                graph.inputs,
                graph.outputs,
            )
            for graph in model.subgraphs
        ),
        tuple((name, bytes(content)) for name, content in _metadata(model).items()),
    )


def outline(model: Model) -> Model:
    """The outline of ``model`` as a model, which any two models with one ``outline_key`` share.

    What reads contents that are left out gets an ``UnreadError``, or a ``TypeError`` where it
    wants a buffer.
    """
    return Model(
        name=MARKER,
        content=cast("bytes", _NoContent(0)),
        schema_version=model.schema_version,
        description="",
        subgraphs=tuple(map(_outlined_graph, model.subgraphs)),
        metadata=_metadata(model),
    )


def names_of(model: Model) -> tuple[str, ...]:
    """The names of all tensors, which an outline leaves out."""
    return tuple([tensor.name for graph in model.subgraphs for tensor in graph.tensors])


def _tensor_key(tensor: Tensor) -> Hashable:
    return (
        tensor.type,
        tensor.shape,
        tensor.shape_signature,
        tensor.buffer,
        tensor.is_variable,
        tensor.quantization,
        tensor.sparse,
        tensor.external,
        bool(tensor.name),
        bytes(tensor.data) if _is_read(tensor) else len(tensor.data),
    )


def _operator_key(operator: Operator) -> Hashable:
    return (
        operator.name,
        operator.builtin_code,
        operator.is_custom,
        operator.version,
        operator.inputs,
        operator.outputs,
        operator.intermediates,
        tuple(operator.options.items()),
        bytes(operator.custom_options),
    )


def _outlined_graph(graph: Subgraph) -> Subgraph:
    tensors = tuple(_outlined(graph.index, each) for each in graph.tensors)
    return replace(graph, name="", tensors=tensors)


def _outlined(graph: int, tensor: Tensor) -> Tensor:
    name = f"{MARKER}{graph}.{tensor.index}" if tensor.name else ""
    if _is_read(tensor):
        return replace(tensor, name=name)
    return replace(tensor, name=name, data=cast("memoryview", _Unread(len(tensor.data))))


def _is_read(tensor: Tensor) -> bool:
    is_quantized = bool(tensor.quantization.scales)
    longest = _LONGEST_QUANTIZED_BYTES if is_quantized else _LONGEST_VALUE_BYTES
    return len(tensor.data) <= longest


def _metadata(model: Model) -> Mapping[str, memoryview]:
    """All entries by name, with the contents of those that are read."""
    return {
        name: content if name == _READ_METADATA else NO_BYTES
        for name, content in model.metadata.items()
    }
