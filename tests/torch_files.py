"""Programs of ``torch.export`` made without torch: as its graph has them, and as ``.pt2`` files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.planning.plan import planned_model
from pytest_tinybudget.planning.torch_graph import exported_network
from pytest_tinybudget.planning.torch_reader import GETITEM


class Program:
    """An exported program, put together node by node."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.nodes: list[Any] = []
        self.inputs = [
            self._add("placeholder", f"in_{number}", shape) for number, shape in enumerate(shapes)
        ]
        self.graph_signature = SimpleNamespace(user_inputs=[each.name for each in self.inputs])
        self.graph_module = SimpleNamespace(graph=SimpleNamespace(nodes=self.nodes))

    def _add(self, op: str, name: str, shape: tuple[int, ...] = (), **more: Any) -> Any:
        node = SimpleNamespace(
            op=op, name=name, args=(), kwargs={}, users={}, target="",
            meta={"val": SimpleNamespace(shape=shape)},
        )  # fmt: skip
        for key, value in more.items():
            setattr(node, key, value)
        self.nodes.append(node)
        return node

    def weights(self, *shape: int) -> Any:
        return self._add("placeholder", f"p_{len(self.nodes)}", shape)

    def call(self, target: str, shape: tuple[int, ...], *args: Any, **kwargs: Any) -> Any:
        node = self._add(
            "call_function", f"n_{len(self.nodes)}", shape, target=f"aten.{target}", args=args,
            kwargs=kwargs,
        )  # fmt: skip
        for each in args[:1] if not isinstance(args[0], list) else args[0]:
            each.users[id(node)] = node
        return node

    def several(self, target: str, shapes: list[tuple[int, ...]], *args: Any) -> list[Any]:
        """A call with several results, each taken by a node of its own."""
        node = self.call(target, (), *args)
        node.meta["val"] = [SimpleNamespace(shape=each) for each in shapes]
        parts = []
        for number, shape in enumerate(shapes):
            name = f"n_{len(self.nodes)}"
            part = self._add("call_function", name, shape, target=GETITEM, args=(node, number))
            node.users[id(part)] = part
            parts.append(part)
        return parts

    def planned(self, *outputs: Any) -> Model:
        last = self._add("output", "output", args=(outputs,))
        for each in outputs:
            each.users[id(last)] = last
        return planned_model(exported_network(self), "module")

    def save(self, path: Path, *outputs: Any, version: int = 8) -> Path:
        """Write what ``torch.export.save`` would, weights apart."""
        path.write_bytes(b"")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}/archive_format", "pt2")
            archive.writestr(
                f"{path.stem}/models/model.json", json.dumps(self.told(outputs, version))
            )
        return path

    def told(self, outputs: Any, version: int) -> dict[str, Any]:
        """The program in JSON."""
        inputs = [each for each in self.nodes if each.op == "placeholder"]
        wanted = {each.name for each in self.inputs}
        specs: list[Any] = [
            {"user_input": {"arg": _tensor(each)}}
            if each.name in wanted
            else {"parameter": {"arg": {"name": each.name}, "parameter_name": each.name}}
            for each in inputs
        ]
        calls = [each for each in self.nodes if each.op == "call_function"]
        values = [each for each in self.nodes if hasattr(each.meta.get("val"), "shape")]
        graph = {
            "inputs": [_tensor(each) for each in inputs],
            "outputs": [_tensor(each) for each in outputs],
            "nodes": [_told(each, calls) for each in calls if each.target != GETITEM],
            "tensor_values": {
                each.name: {"sizes": [{"as_int": size} for size in each.meta["val"].shape]}
                for each in values
            },
        }
        signature = {
            "input_specs": specs,
            "output_specs": [{"user_output": {"arg": _tensor(each)}} for each in outputs],
        }
        return {
            "graph_module": {"graph": graph, "signature": signature},
            "schema_version": {"major": version, "minor": 20},
        }


def _tensor(node: Any) -> dict[str, Any]:
    return {"as_tensor": {"name": node.name}}


def _told(node: Any, calls: list[Any]) -> dict[str, Any]:
    parts = [each for each in calls if each.target == GETITEM and each.args[0] is node]
    results = (
        [{"as_tensors": [{"name": each.name} for each in parts]}] if parts else [_tensor(node)]
    )
    given = [
        {"name": f"a{n}", "arg": _argument(each), "kind": 1} for n, each in enumerate(node.args)
    ]
    given += [{"name": key, "arg": _argument(each), "kind": 2} for key, each in node.kwargs.items()]
    return {
        "target": f"torch.ops.{node.target}",
        "inputs": given,
        "outputs": results,
        "metadata": {"nn_module_stack": "L__self__,,torch.nn.modules.container.Sequential"},
        "name": node.name,
    }


def _argument(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        if value and isinstance(value[0], SimpleNamespace):
            return {"as_tensors": [{"name": each.name} for each in value]}
        return {"as_ints": value}
    if isinstance(value, SimpleNamespace):
        return _tensor(value)
    if value is None:
        return {"as_none": True}
    kinds = {bool: "as_bool", int: "as_int", float: "as_float", str: "as_string"}
    return {kinds[type(value)]: value}
