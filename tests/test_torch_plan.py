"""PyTorch modules planned from the graph of ``torch.export``.

The graphs here are made by hand, of nodes with what the reader asks of those of torch.fx; those of
torch itself are in ``test_pytorch.py`` and ``benchmarks/torch_plans.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning.beside import read_beside
from pytest_tinybudget.planning.beside import write_beside
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.plan import planned_model
from pytest_tinybudget.planning.torch_graph import exported_network
from pytest_tinybudget.runtimes.runtime import RUNTIMES


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

    def planned(self, *outputs: Any) -> Model:
        self._add("output", "output", args=(outputs,))
        return planned_model(exported_network(self), "module")


def shown(model: Model) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.name, model.main.tensors[each.outputs[0]].shape) for each in model.main.operators]


def head(program: Program, maps: Any, channels: int) -> Any:
    pool = program.call("adaptive_avg_pool2d.default", (1, channels, 1, 1), maps, [1, 1])
    row = program.call("flatten.using_ints", (1, channels), pool, 1)
    dense = program.call("linear.default", (1, 3), row, program.weights(3, channels))
    return program.call("softmax.int", (1, 3), dense, 1)


def test_layers_become_the_operators_that_litert_torch_makes_channels_last() -> None:
    made = Program((1, 1, 12, 10))
    maps = made.call("conv2d.default", (1, 8, 6, 5), made.inputs[0], made.weights(8, 1, 3, 3), None,
                     [2, 2], [1, 1])  # fmt: skip
    norm = made.call("batch_norm.default", (1, 8, 6, 5), maps, made.weights(8), made.weights(8),
                     None, None, False, 0.1, 1e-5, False)  # fmt: skip
    active = made.call("relu.default", (1, 8, 6, 5), norm)
    second = made.call("conv2d.default", (1, 8, 6, 5), active, made.weights(8, 8, 3, 3), None,
                       [1, 1], [1, 1])  # fmt: skip
    both = made.call("add.Tensor", (1, 8, 6, 5), second, active)
    model = made.planned(head(made, both, 8))

    assert shown(model) == [
        ("PAD", (1, 14, 12, 1)),
        # One channel in is a depthwise convolution.
        ("DEPTHWISE_CONV_2D", (1, 6, 5, 8)),
        ("CONV_2D", (1, 6, 5, 8)),
        ("ADD", (1, 6, 5, 8)),
        ("MEAN", (1, 8)),
        ("FULLY_CONNECTED", (1, 3)),
        ("SOFTMAX", (1, 3)),
    ]
    assert [each.options.get("padding") for each in model.main.operators[1:3]] == ["VALID", "SAME"]
    assert model.main.operators[1].options["fused_activation_function"] == "RELU"
    assert all(not each.name for each in read_model(model.content, "x").main.tensors)
    assert model.bytes == len(model.content)
    assert not measure(model, RUNTIMES["m4_cmsisnn"]).refusals


def test_an_image_that_becomes_a_row_is_turned_first() -> None:
    made = Program((1, 3, 4, 2))
    row = made.call("view.default", (1, 24), made.inputs[0], [1, 24])
    model = made.planned(made.call("linear.default", (1, 5), row, made.weights(5, 24), None))
    assert shown(model)[:2] == [("TRANSPOSE", (1, 3, 4, 2)), ("RESHAPE", (1, 24))]


def test_branches_stay_in_the_order_of_the_program() -> None:
    made = Program((1, 2, 4, 4), (1, 3))
    image, row = made.inputs
    one = made.call("mean.dim", (1, 2), image, [2, 3])
    other = made.call("linear.default", (1, 2), row, made.weights(2, 3), made.weights(2))
    both = made.call("cat.default", (1, 4), [one, other], 1)
    model = made.planned(both, other)
    assert [name for name, _ in shown(model)] == ["MEAN", "FULLY_CONNECTED", "CONCATENATION"]
    shapes = [model.main.tensors[each].shape for each in model.main.inputs]
    assert shapes == [(1, 4, 4, 2), (1, 3)]
    assert len(model.main.outputs) == 2


def test_an_image_that_is_an_output_has_its_channels_first_again() -> None:
    made = Program((1, 3, 4, 2))
    model = made.planned(made.call("relu.default", (1, 3, 4, 2), made.inputs[0]))
    assert shown(model) == [("RELU", (1, 4, 2, 3)), ("TRANSPOSE", (1, 3, 4, 2))]


def unknown(
    target: str, *more: Any, shape: tuple[int, ...] = (1, 2, 4, 4)
) -> Callable[[], Program]:
    def build() -> Program:
        made = Program((1, 2, 4, 4))
        made.call(target, shape, made.inputs[0], *more)
        return made

    return build


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (unknown("gelu.default"), "layer n_1: not planned: aten.gelu.default"),
        (unknown("hardtanh.default", -1, 1), "values kept from -1 to 1"),
        (unknown("max_pool2d.default", [2, 2], [2, 2], [1, 1]), "a max pool with padding"),
        (unknown("avg_pool2d.default", [2, 2], [2, 2], [0, 0], True), "ceil_mode"),
        (unknown("adaptive_avg_pool2d.default", [2, 2]), "to another size than 1"),
        (unknown("mean.dim", [1]), r"a mean over \[1\]"),
        (unknown("softmax.int", 1), "a softmax of another dimension"),
        (unknown("add.Tensor", 1.0), "arithmetic with a number"),
        (unknown("pad.default", [1, 1]), "padding that is not zeros"),
        (unknown("relu.default", shape=(1, 2, 4)), "a tensor of the shape"),
        (unknown("view.default", [1, 4, 2, 4], shape=(1, 4, 2, 4)), "a change of shape"),
        (lambda: Program((1, 6, 128)), "a tensor of the shape"),
        (lambda: Program((4, 6)), "a tensor of the shape"),
        (lambda: Program((1, 6)), "nothing is computed"),
    ],
)
def test_what_is_not_known_is_named(build: Callable[[], Program], said: str) -> None:
    with pytest.raises(NotPlannedError, match=said):
        exported_network(build())


def test_groups_and_training_are_not_planned() -> None:
    made = Program((1, 4, 8, 8))
    made.call("conv2d.default", (1, 4, 6, 6), made.inputs[0], made.weights(4, 2, 3, 3), None,
              [1, 1], [0, 0], [1, 1], 2)  # fmt: skip
    with pytest.raises(NotPlannedError, match="2 groups of 4 channels"):
        exported_network(made)
    made = Program((1, 4, 8, 8))
    made.call("batch_norm.default", (1, 4, 8, 8), made.inputs[0], made.weights(4), made.weights(4),
              None, None, True)  # fmt: skip
    with pytest.raises(NotPlannedError, match="in training mode"):
        exported_network(made)


def test_a_batch_norm_is_planned_where_it_becomes_part_of_a_layer() -> None:
    made = Program((1, 4, 8, 8))
    made.call("batch_norm.default", (1, 4, 8, 8), made.inputs[0], made.weights(4), made.weights(4),
              None, None, False)  # fmt: skip
    with pytest.raises(NotPlannedError, match="not right behind a convolution or a Linear"):
        exported_network(made)


def test_the_plan_lies_beside_the_program_or_why_there_is_none(tmp_path: Path) -> None:
    made = Program((1, 8))
    made.call("relu.default", (1, 8), made.inputs[0])
    path = tmp_path / "kws.pt2"
    assert read_beside(path) is None
    write_beside(path, made)
    assert read_beside(path) == exported_network(made)
    write_beside(path, unknown("gelu.default")())
    with pytest.raises(NotPlannedError, match=r"aten.gelu.default"):
        read_beside(path)
