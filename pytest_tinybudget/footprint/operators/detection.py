"""TFLite_Detection_PostProcess: decodes boxes and suppresses overlapping ones."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.custom_options import named
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.graph.model import Tensor


_OP_DATA = "7i 4i 11i 3(2i)"

#: sizeof(float) and of an int; coordinates of a box.
_NUMBER = 4
_COORDINATES = 4


def _prepare(node: Preparation) -> None:
    takes(node, 3, 4)
    boxes, predictions, anchors = (node.temp_input(position) for position in range(3))
    rank_within(node, boxes, 3, 3)
    rank_within(node, predictions, 3, 3)
    rank_within(node, anchors, 2, 2)
    count = boxes.shape[1]
    classes, most = named(node, "num_classes"), named(node, "max_detections")
    node.ensure(most >= 0 and classes >= 0, "its num_classes or max_detections is negative")
    sizes = (
        count,
        count * _COORDINATES * _NUMBER,
        predictions.shape[1] * predictions.shape[2] * _NUMBER,
        count * _NUMBER,
        count * _NUMBER,
        most * count * _NUMBER,
        most * count * _NUMBER,
        count * _NUMBER,
        most * count * _NUMBER,
        max(classes, most) * count * _NUMBER,
        min(count, most) * count * _NUMBER,
    )
    for size_bytes in sizes:
        node.scratch(size_bytes)
    runs_with(node, boxes, "FLOAT32")
    runs_with(node, predictions, "FLOAT32")
    _check_shapes(node, boxes, predictions, classes)


def _check_shapes(node: Preparation, boxes: Tensor, predictions: Tensor, classes: int) -> None:
    batch, count, coordinates = boxes.shape
    background = predictions.shape[2] - classes
    if batch != 1 or coordinates < _COORDINATES:
        node.fails_at_invoke(
            f"'{boxes.name}' is {list(boxes.shape)}, expected [1, {count}, 4 or more]"
        )
    if predictions.shape[:2] != (1, count) or background not in (0, 1):
        node.fails_at_invoke(
            f"'{predictions.name}' is {list(predictions.shape)}, expected [1, {count}, {classes}]"
            " or one class more"
        )


RULES: dict[str, OperatorRule] = {
    "TFLite_Detection_PostProcess": OperatorRule(init=op_data(_OP_DATA), prepare=_prepare),
}
