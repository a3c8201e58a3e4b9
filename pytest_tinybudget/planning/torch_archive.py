"""The network of a ``.pt2`` file, from the graph in its archive: torch is not imported.

``torch.export.save`` writes the program as JSON beside the weights. What it holds is defined by
``torch/_export/serde/schema.yaml`` of torch, whose major version changes with each change that a
reader of another version would not understand.
"""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.planning.archives import UNREADABLE
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.torch_graph import network_of_nodes
from pytest_tinybudget.planning.torch_reader import GETITEM
from pytest_tinybudget.planning.torch_reader import Other


#: Where torch writes the program, below a folder that has the file's name.
_PROGRAM = "/models/model.json"
#: The version of the schema that is read; its second number adds what may be left out.
_MAJOR = 8
#: The largest program, bytes. Real ones have kilobytes: weights are other members.
_MAX_BYTES = 64 * 1024**2
#: What a program raises whose arguments are none that torch would write.
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
#: The most numbers in a tensor. No microcontroller holds as many.
_MOST = 2**28
#: Arguments of these kinds are their values.
_PLAIN: dict[str, Any] = {
    "as_int": int, "as_ints": list[int], "as_float": float, "as_floats": list[float],
    "as_bool": bool, "as_bools": list[bool], "as_string": str,
}  # fmt: skip
_KEYWORD = 2


class _Version(Struct, frozen=True):
    major: int
    minor: int = 0


class _Extent(Struct, frozen=True):
    """``as_int`` where it is fixed."""

    as_int: int | None = None


class _Meta(Struct, frozen=True):
    sizes: list[_Extent]


class _Given(Struct, frozen=True):
    """``arg`` has one key, its kind."""

    name: str
    arg: dict[str, Any]
    kind: int | None = None


class _Node(Struct, frozen=True):
    target: str
    inputs: list[_Given]
    outputs: list[dict[str, Any]]
    metadata: dict[str, str] = {}
    name: str | None = None


class _Graph(Struct, frozen=True):
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    nodes: list[_Node]
    tensor_values: dict[str, _Meta]


class _Signature(Struct, frozen=True):
    input_specs: list[dict[str, Any]]
    output_specs: list[dict[str, Any]]


class _Module(Struct, frozen=True):
    graph: _Graph
    signature: _Signature


class _Program(Struct, frozen=True):
    graph_module: _Module
    schema_version: _Version


class _Value(Struct, frozen=True):
    """Stands for a tensor: ``shape`` has ``None`` where an extent is open."""

    shape: tuple[int | None, ...]


class _Call(Struct, eq=False):
    """A node of the graph, as ``torch.fx`` has them."""

    op: str
    name: str
    target: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    meta: dict[str, Any] = msgspec.field(default_factory=dict)
    users: dict[int, _Call] = msgspec.field(default_factory=dict)


def read_program(path: Path) -> Network:
    """The network of a file of ``torch.export.save``.

    Raises:
        NotPlannedError: it is none of a version that is read, or a node's conversion is not known.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [each for each in archive.infolist() if each.filename.endswith(_PROGRAM)]
            if len(found) != 1:
                raise _unread(path, f"it has no {_PROGRAM[1:]}, as torch 2.13 writes it")
            if found[0].file_size > _MAX_BYTES:
                raise _unread(path, "its program is too large")
            content = archive.read(found[0])
        program = msgspec.json.decode(content, type=_Program)
    except (*UNREADABLE, msgspec.DecodeError) as error:
        raise _unread(path, printable(str(error), limit=120)) from None
    if program.schema_version.major != _MAJOR:
        version = f"{program.schema_version.major}.{program.schema_version.minor}"
        raise _unread(path, f"its program is of the schema {version}, known is {_MAJOR}")
    try:
        return _Reader(program).network()
    except (*_FAULTS, msgspec.MsgspecError) as error:
        raise _unread(path, f"a program that is not understood: {printable(str(error))}") from None


def _unread(path: Path, why: str) -> NotPlannedError:
    return NotPlannedError(f"{path.name}: not planned: {why}")


class _Reader:
    def __init__(self, program: _Program) -> None:
        self.graph, self.signature = program.graph_module.graph, program.graph_module.signature
        self.nodes: list[_Call] = []
        self.names: dict[str, _Call] = {}

    def network(self) -> Network:
        """The network of the graph."""
        for each in self.graph.inputs:
            self.add(_Call("placeholder", _name_of(each)))
        for node in self.graph.nodes:
            self.call(node)
        outputs = [
            self.tensor(_name_of(value))
            for value, spec in zip(self.graph.outputs, self.signature.output_specs, strict=False)
            if "user_output" in spec
        ]
        if len(outputs) != len(self.graph.outputs):
            raise NotPlannedError("not planned: a program that changes its buffers")
        last = _Call("output", "output", args=(tuple(outputs),))
        for output in outputs:
            output.users[id(last)] = last
        self.nodes.append(last)
        return network_of_nodes(self.nodes, _user_inputs(self.signature))

    def add(self, call: _Call) -> None:
        """Add a node that gives one tensor, or none."""
        if call.name in self.graph.tensor_values:
            call.meta["val"] = self.value(call.name)
        self.nodes.append(call)
        self.names[call.name] = call

    def value(self, name: str) -> _Value:
        """What stands for a tensor of this name.

        Raises:
            NotPlannedError: it is larger than any that a microcontroller holds.
        """
        shape = tuple(each.as_int for each in self.graph.tensor_values[name].sizes)
        most = max(prod(each or 1 for each in shape), *(each or 0 for each in shape), 0)
        if most > _MOST or any((each or 0) < 0 for each in shape):
            raise NotPlannedError(f"not planned: a tensor of the shape {list(shape)}")
        return _Value(shape)

    def tensor(self, name: Any) -> _Call:
        """The node that gives a tensor."""
        if name not in self.names:
            raise NotPlannedError(f"not planned: there is no tensor {printable(str(name))!r}")
        return self.names[name]

    def call(self, node: _Node) -> None:
        """Add a node, and one for each of its results where they are several."""
        given = [(each, self.argument(each)) for each in node.inputs]
        results = [name for each in node.outputs for name in _results(each)]
        call = _Call(
            "call_function",
            results[0] if len(results) == 1 else node.name or f"{'_'.join(results)}_of",
            node.target.removeprefix("torch.ops."),
            tuple(value for each, value in given if each.kind != _KEYWORD),
            {each.name: value for each, value in given if each.kind == _KEYWORD},
            {"nn_module_stack": _stack(node.metadata.get("nn_module_stack", ""))},
        )
        for _, value in given:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, _Call):
                    each.users[id(call)] = call
        self.add(call)
        if len(results) > 1:
            call.meta["val"] = [self.value(name) for name in results]
            for number, name in enumerate(results):
                part = _Call("call_function", name, GETITEM, (call, number), meta=dict(call.meta))
                call.users[id(part)] = part
                self.add(part)

    def argument(self, given: _Given) -> Any:
        """The value of an argument: tensors are the nodes that give them, other kinds ``Other``."""
        for kind, value in given.arg.items():
            if kind in _PLAIN:
                return msgspec.convert(value, _PLAIN[kind])
            if kind == "as_none":
                return None
            if kind == "as_tensor":
                return self.tensor(_field(value))
            if kind == "as_tensors" and isinstance(value, list):
                return [self.tensor(_field(each)) for each in value]
        return Other(given.name)


def _field(value: Any) -> Any:
    """The name in a reference to a tensor."""
    return value.get("name") if isinstance(value, dict) else None


def _name_of(value: dict[str, Any]) -> str:
    """The name of a tensor that goes into or comes out of the program; empty for other values."""
    return str(_field(value.get("as_tensor")) or "")


def _results(value: dict[str, Any]) -> list[str]:
    """The names of a node's results."""
    several = value.get("as_tensors")
    if isinstance(several, list):
        return [str(_field(each)) for each in several]
    return [_name_of(value)]


def _user_inputs(signature: _Signature) -> list[str]:
    found = [each["user_input"] for each in signature.input_specs if "user_input" in each]
    return [_name_of(each.get("arg", {})) if isinstance(each, dict) else "" for each in found]


def _stack(text: str) -> dict[str, tuple[str, str]]:
    """The modules that a node is in, the innermost last: ``key,path,type`` of each."""
    parts = [each.split(",") for each in text.split(";") if each.count(",") > 1]
    return {key: (path, ",".join(kind)) for key, path, *kind in parts}
