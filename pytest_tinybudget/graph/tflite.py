"""Reads ``.tflite`` files into the typed graph. An inconsistent file is a ``ModelError``."""

from __future__ import annotations

import stat
from collections.abc import Callable
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import NoReturn

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.lfs import IS_A_POINTER
from pytest_tinybudget.base.lfs import POINTER
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.graph.calls import check_calls
from pytest_tinybudget.graph.flatbuffer import SCALAR_CODES
from pytest_tinybudget.graph.flatbuffer import FlatBuffer
from pytest_tinybudget.graph.flatbuffer import quoted
from pytest_tinybudget.graph.locations import ASSEMBLER_SUFFIXES
from pytest_tinybudget.graph.locations import C_SUFFIXES
from pytest_tinybudget.graph.locations import MAX_FILE_BYTES
from pytest_tinybudget.graph.locations import SEPARATOR
from pytest_tinybudget.graph.locations import file_and_array
from pytest_tinybudget.graph.locations import model_name
from pytest_tinybudget.graph.model import NO_BYTES
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import OptionValue
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Signature
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.schema import load_schema


#: The only schema version that TFLM accepts.
SCHEMA_VERSION = 3
#: Tensors with more elements are refused: no address space of a microcontroller holds them.
MAX_ELEMENTS = 2**40
#: Tensors with more dimensions are refused: TFLM's RuntimeShape holds 6.
MAX_RANK = 16

#: The metadata of weights packed for look-up tables that only special builds of TFLM unpack.
COMPRESSION_METADATA = "COMPRESSION_METADATA"
#: What is said of a model that has it.
COMPRESSED = (
    "the model is compressed for a TFLM built with USE_TFLM_COMPRESSION, which was not measured:"
    " compress it again with the tools of tflite-micro 2026, which insert TFLM_DECODE operators, or"
    " leave it uncompressed"
)

_IDENTIFIER = b"TFL3"
_NO_QUANTIZATION = Quantization()
#: Tables of the union ``QuantizationDetails``, which say more than scale and zero point.
_DETAILS = {1: "a custom method", 2: "blocks"}
#: Types of options whose value in the table is taken as it is.
_PLAIN = frozenset(SCALAR_CODES)


def load_model(path: Path, shown: str = "") -> Model:
    """Read the file at ``path``. The model's name is the file's stem, or the array's name.

    In a C or C++ file it is the array that holds a model; ``FILE::ARRAY`` names one of several.
    Messages call the file ``shown`` instead of ``path`` where it is given.

    Raises:
        ModelError: missing, no regular file, too large, or not a sound TF Lite model.
    """
    label = printable(shown or path.as_posix())
    content = load_content(path, label)
    return _Reader(content, label).model(model_name(path))


def load_content(path: Path, label: str) -> bytes:
    """The bytes of the model at ``path``, as ``load_model`` finds them, not checked yet.

    Raises:
        ModelError: missing, no regular file, too large, or a source file without a model.
    """
    file, array = file_and_array(path)
    content = _content(file, label)
    _refuse_foreign(file, label, content)
    is_text = file.suffix.lower() in C_SUFFIXES | ASSEMBLER_SUFFIXES
    # A model may have any name.
    if not is_text or content[4:8] == _IDENTIFIER or content.startswith(POINTER):
        return content
    from pytest_tinybudget.graph import c_source

    if file.suffix.lower() in ASSEMBLER_SUFFIXES:
        raise ModelError(f"{label}: {c_source.assembler_words(content)}")
    return c_source.model_bytes(content, label.partition(SEPARATOR)[0], array)


def _refuse_foreign(path: Path, label: str, content: bytes = b"") -> None:
    """Raise an error for a model file of another format, which says how it becomes a source."""
    if content[4:8] == _IDENTIFIER or content.startswith(POINTER):
        return
    from pytest_tinybudget.graph.foreign import foreign_words

    words = foreign_words(path, content[:8])
    if words:
        raise ModelError(f"{label}: {words}")


def _content(path: Path, label: str) -> bytes:
    try:
        # Checked before it is opened: opening a pipe would wait for its writer.
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            _refuse_foreign(path, label)
            raise ModelError(f"{label}: is a directory, expected a .tflite file")
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{label}: is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            _refuse_foreign(path, label)
            raise ModelError(
                f"{label}: {status.st_size:,} bytes are more than any microcontroller's flash"
                f" (the limit is {MAX_FILE_BYTES:,})"
            )
        with path.open("rb") as file:
            return file.read(status.st_size)
    except FileNotFoundError:
        raise ModelError(f"{label}: no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{label}: cannot be read: {reason}") from None


def read_model(content: bytes, name: str) -> Model:
    """The model in ``content``, called ``name`` (in messages too).

    Raises:
        ModelError: not a sound TF Lite model; the message names the byte, tensor or operator.
    """
    return _Reader(content, printable(name)).model(name)


class _Reader:
    """Reads one file. Methods follow the schema's tables."""

    def __init__(self, content: bytes, label: str) -> None:
        self.flat = FlatBuffer(content, label)
        self.fail: Callable[[str], NoReturn] = self.flat.fail
        self.schema = load_schema()
        self.tables = self.schema.tables
        self.types = self.schema.enums["TensorType"]
        self.buffers: list[memoryview] = []
        self.external: set[int] = set()
        self.compressed = False
        self.codes: list[tuple[str, int, bool, int]] = []
        self.quantizations: dict[int, Quantization] = {0: _NO_QUANTIZATION}

    def model(self, name: str) -> Model:
        flat = self.flat
        self._check_identifier()
        (
            version, operator_codes, subgraphs, description, buffers, _,
            metadata, signatures, _, _,
        ) = flat.row(flat.root(), self.tables["Model"])  # fmt: skip
        if version != SCHEMA_VERSION:
            self.fail(f"schema version {version} is not supported (expected {SCHEMA_VERSION})")
        self._read_buffers(buffers)
        found = self._metadata(metadata)
        self.compressed = COMPRESSION_METADATA in found
        self.codes = [self._operator_code(position) for position in flat.tables(operator_codes)]
        graphs = tuple(
            self._subgraph(index, position) for index, position in enumerate(flat.tables(subgraphs))
        )
        if not graphs:
            self.fail("has no subgraphs")
        if not graphs[0].operators:
            self.fail("has no operators")
        check_calls(graphs, self.fail)
        return Model(
            name=name,
            content=flat.content,
            schema_version=version,
            description=flat.string(description),
            subgraphs=graphs,
            metadata=found,
            signatures=tuple(
                self._signature(position, graphs) for position in flat.tables(signatures)
            ),
            external_buffers=tuple(sorted(self.external)),
            # Last, when every string has been read.
            strings_bytes=flat.strings_bytes,
        )

    def _check_identifier(self) -> None:
        content = self.flat.content
        if not content:
            self.fail("is empty")
        if len(content) < 8:
            self.fail(f"not a TF Lite file (only {len(content)} bytes)")
        if content.startswith(POINTER):
            self.fail(IS_A_POINTER)
        if content[4:8] != _IDENTIFIER:
            self.fail(
                "not a TF Lite file (expected the identifier TFL3 at byte 4,"
                f" found {quoted(content[4:8])})"
            )

    def _read_buffers(self, position: int) -> None:
        kind = self.tables["Buffer"]
        for index, buffer in enumerate(self.flat.tables(position)):
            data, offset, _ = self.flat.row(buffer, kind)
            self.buffers.append(self.flat.blob(data))
            if offset > 1:
                self.external.add(index)

    def _operator_code(self, position: int) -> tuple[str, int, bool, int]:
        """Name, builtin code, whether custom, version."""
        deprecated_code, custom_code, version, builtin_code = self.flat.row(
            position, self.tables["OperatorCode"]
        )
        code = max(deprecated_code, builtin_code)
        if not 0 <= code < len(self.schema.operators):
            self.fail(f"builtin operator code {code} is not in the TF Lite schema")
        name = self.schema.operators[code]
        if name != "CUSTOM":
            return name, code, False, version
        custom_name = self.flat.string(custom_code)
        if not custom_name:
            self.fail("a custom operator has no name (custom_code)")
        return custom_name, code, True, version

    def _subgraph(self, index: int, position: int) -> Subgraph:
        flat = self.flat
        tensors, inputs, outputs, operators, name, _ = flat.row(position, self.tables["SubGraph"])
        where = f"subgraph {index}"
        all_tensors = tuple(
            self._tensor(number, tensor) for number, tensor in enumerate(flat.tables(tensors))
        )
        count = len(all_tensors)
        return Subgraph(
            index=index,
            name=flat.string(name),
            tensors=all_tensors,
            operators=tuple(
                self._operator(number, operator, count)
                for number, operator in enumerate(flat.tables(operators))
            ),
            inputs=self._indices(inputs, 0, count, where, "input"),
            outputs=self._indices(outputs, 0, count, where, "output"),
        )

    def _tensor(self, index: int, position: int) -> Tensor:
        flat = self.flat
        (
            shape_at, type_number, buffer, name_at, quantization, is_variable, sparsity,
            signature_at, _, _, external,
        ) = flat.row(position, self.tables["Tensor"])  # fmt: skip
        name = flat.string(name_at)
        if not 0 <= type_number < len(self.types):
            self.fail(f"tensor {index} '{printable(name)}' has the unknown type {type_number}")
        if not 0 <= buffer < max(len(self.buffers), 1):
            self.fail(
                f"tensor {index} '{printable(name)}' refers to buffer {buffer},"
                f" {_there_are(len(self.buffers))}"
            )
        data = self.buffers[buffer] if self.buffers else NO_BYTES
        tensor = Tensor(
            index=index,
            name=name,
            type=self.types[type_number],
            shape=flat.vector(shape_at, "i"),
            shape_signature=flat.vector(signature_at, "i") if signature_at else None,
            buffer=buffer,
            data=data,
            is_variable=is_variable,
            quantization=self._quantization(quantization),
            sparse=bool(sparsity),
            external=bool(external) or buffer in self.external,
        )
        self._check_size(tensor)
        return tensor

    def _check_size(self, tensor: Tensor) -> None:
        """Refuse shapes that no memory holds, and constants that do not fill their shape."""
        if len(tensor.shape) > MAX_RANK:
            self.fail(
                f"tensor {tensor.index} '{printable(tensor.name)}' has {len(tensor.shape):,}"
                f" dimensions (the limit is {MAX_RANK})"
            )
        if tensor.shape and (min(tensor.shape) < 0 or prod(tensor.shape) > MAX_ELEMENTS):
            self.fail(
                f"tensor {tensor.index} '{printable(tensor.name)}' has the impossible shape"
                f" {list(tensor.shape)}"
            )
        stored = len(tensor.data)
        if stored and not tensor.sparse and TYPE_BITS[tensor.type] and stored < tensor.bytes:
            self.fail(
                f"tensor {tensor.index} '{printable(tensor.name)}' ({tensor.type}"
                f" {list(tensor.shape)}) needs {tensor.bytes:,} bytes of data,"
                f" its buffer {tensor.buffer} has {stored:,}"
                + (f": {COMPRESSED}" if self.compressed else "")
            )

    def _quantization(self, position: int) -> Quantization:
        known = self.quantizations.get(position)
        if known is None:
            _, _, scales, zero_points, details_type, details, dimension = self.flat.row(
                position, self.tables["QuantizationParameters"]
            )
            known = self.quantizations[position] = Quantization(
                scales=self.flat.vector(scales, "f"),
                zero_points=self.flat.vector(zero_points, "q"),
                dimension=dimension,
                details=_DETAILS.get(details_type, "an unknown method") if details else "",
            )
        return known

    def _operator(self, index: int, position: int, tensors: int) -> Operator:
        flat = self.flat
        (
            code, inputs, outputs, union_type, union, custom_options, _, _, intermediates,
            large_offset, _, union_2_type, union_2, _,
        ) = flat.row(position, self.tables["Operator"])  # fmt: skip
        if code >= len(self.codes):
            self.fail(f"operator #{index} has operator code {code}, {_there_are(len(self.codes))}")
        name, builtin_code, is_custom, version = self.codes[code]
        where = f"operator #{index} {printable(name)}"
        if large_offset > 1:
            self.fail(f"{where} keeps its options outside the flatbuffer")
        return Operator(
            index=index,
            name=name,
            builtin_code=builtin_code,
            is_custom=is_custom,
            version=version,
            inputs=self._indices(inputs, -1, tensors, where, "input"),
            outputs=self._indices(outputs, 0, tensors, where, "output"),
            intermediates=self._indices(intermediates, -1, tensors, where, "intermediate"),
            options={}
            if is_custom
            else self._options(name, where, (union_type, union), (union_2_type, union_2)),
            custom_options=flat.blob(custom_options),
        )

    def _options(
        self, operator: str, where: str, first: tuple[int, int], second: tuple[int, int]
    ) -> Mapping[str, OptionValue]:
        """The operator's options; all defaults where the file leaves them out."""
        expected = self.schema.operator_options.get(operator)
        if expected is None or not self.schema.options[expected].fields:
            return {}
        kind = self.schema.options[expected]
        for (number, position), names in (
            (first, self.schema.builtin_options),
            (second, self.schema.builtin_options_2),
        ):
            if not number or not position:
                continue
            if number >= len(names) or names[number] != expected:
                found = names[number] if number < len(names) else f"options of type {number}"
                self.fail(f"{where} carries {found}, expected {expected}")
            row = self.flat.row(position, kind.table)
            break
        else:
            row = kind.table.defaults
        return {
            name: value if type_name in _PLAIN else self._option(type_name, value, where)
            for (name, type_name), value in zip(kind.fields, row, strict=True)
            if name
        }

    def _option(self, type_name: str, value: int, where: str) -> OptionValue:
        """An enumeration by name, or the vector or string that the option refers to."""
        names = self.schema.enums.get(type_name)
        if names is not None:
            if not 0 <= value < len(names):
                self.fail(f"{where} has the unknown {type_name} {value}")
            return names[value]
        if type_name.startswith("["):
            return self.flat.vector(value, SCALAR_CODES[type_name[1:-1]])
        return self.flat.string(value)

    def _indices(
        self, position: int, least: int, tensors: int, where: str, role: str
    ) -> tuple[int, ...]:
        """A vector of tensor indices, checked to lie in [least, tensors)."""
        indices = self.flat.vector(position, "i")
        if indices and (min(indices) < least or max(indices) >= tensors):
            wrong = next(index for index in indices if not least <= index < tensors)
            self.fail(f"{where} has tensor {wrong} as {role}, {_there_are(tensors)}")
        return indices

    def _metadata(self, position: int) -> dict[str, memoryview]:
        """By name; as in TFLM, the last of several with one name counts."""
        found = {}
        for entry in self.flat.tables(position):
            name_at, buffer = self.flat.row(entry, self.tables["Metadata"])
            name = self.flat.string(name_at)
            if buffer >= len(self.buffers):
                self.fail(
                    f"metadata '{printable(name)}' refers to buffer {buffer},"
                    f" {_there_are(len(self.buffers))}"
                )
            found[name] = self.buffers[buffer]
        return found

    def _signature(self, position: int, graphs: tuple[Subgraph, ...]) -> Signature:
        inputs, outputs, key_at, _, subgraph = self.flat.row(position, self.tables["SignatureDef"])
        key = self.flat.string(key_at)
        if subgraph >= len(graphs):
            self.fail(
                f"signature '{printable(key)}' is for subgraph {subgraph},"
                f" {_there_are(len(graphs))}"
            )
        tensors = len(graphs[subgraph].tensors)
        return Signature(
            key=key,
            subgraph=subgraph,
            inputs=self._tensor_map(inputs, tensors, key),
            outputs=self._tensor_map(outputs, tensors, key),
        )

    def _tensor_map(self, position: int, tensors: int, key: str) -> dict[str, int]:
        named = {}
        for entry in self.flat.tables(position):
            name_at, index = self.flat.row(entry, self.tables["TensorMap"])
            name = self.flat.string(name_at)
            if index >= tensors:
                self.fail(
                    f"signature '{printable(key)}' binds '{printable(name)}' to tensor {index},"
                    f" {_there_are(tensors)}"
                )
            named[name] = index
        return named


def _there_are(count: int) -> str:
    return "there is 1" if count == 1 else f"there are {count}"
