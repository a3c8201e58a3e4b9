"""Takes into a layer what follows it: constant factors, constant summands, and a ReLU.

TensorFlow's converter does so. onnx2tf 2 leaves the batch normalization of a dense layer as MUL and
ADD, and the ReLU of a 1-D convolution as an operator: each takes code, flash and another map in the
arena.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from msgspec import Struct

from pytest_tinybudget.convert.worker.editing import add_constant
from pytest_tinybudget.convert.worker.editing import code_of
from pytest_tinybudget.convert.worker.editing import drop_unused_tensors


if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Of the operators with constant weights, the axis of these that has an entry for each output.
_OUTPUT_AXES = {"FULLY_CONNECTED": 0, "CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
#: Operators that end with an activation, and the operators that are one.
_ACTIVATED = (*_OUTPUT_AXES, "ADD", "SUB", "MUL")
_ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1")


def fused(model: Any, schema: ModuleType) -> None:
    """Fuse what follows the layers of ``model``'s main graph.

    Args:
        model: in the object form of TF Lite's schema; it is changed.
        schema: the module generated from the schema.
    """
    graph = model.subgraphs[0]
    fuser = _Fuser(model, graph, schema)
    for operator in list(graph.operators):
        fuser.fuse(operator)
    drop_unused_tensors(model, graph)


class _Fuser(Struct):
    model: Any
    graph: Any
    schema: ModuleType

    def fuse(self, operator: Any) -> None:
        """Take into ``operator`` all that can be, one follower after the other."""
        while self._activation(operator) == self.schema.ActivationFunctionType.NONE:
            follower = self._follower(operator)
            if follower is None or not self._take(operator, follower):
                return
            operator.outputs = follower.outputs
            self.graph.operators.remove(follower)

    def _take(self, operator: Any, follower: Any) -> bool:
        """Change ``operator`` so that it does what ``follower`` did; false where it cannot."""
        kind, name = self._name(follower), self._name(operator)
        if kind in _ACTIVATIONS and name in _ACTIVATED:
            activation = getattr(self.schema.ActivationFunctionType, kind)
            operator.builtinOptions.fusedActivationFunction = activation
            return True
        if kind not in ("MUL", "ADD") or name not in _OUTPUT_AXES:
            return False
        weights = self._values(operator.inputs[1])
        constant = self._constant_of(operator, follower)
        if weights is None or constant is None or follower.builtinOptions is None:
            return False
        bias = self._bias(operator, len(constant))
        if bias is None:
            return False
        self._change(operator, weights, bias, constant, is_factor=kind == "MUL")
        activation = follower.builtinOptions.fusedActivationFunction
        operator.builtinOptions.fusedActivationFunction = activation
        return True

    def _change(
        self,
        operator: Any,
        weights: NDArray[Any],
        bias: NDArray[Any],
        constant: NDArray[Any],
        *,
        is_factor: bool,
    ) -> None:
        given = list(map(int, operator.inputs))
        if is_factor:
            axis = _OUTPUT_AXES[self._name(operator)]
            by_output = [-1 if each == axis else 1 for each in range(weights.ndim)]
            given[1] = self._added(weights * constant.reshape(by_output), given[1])
        bias = bias * constant if is_factor else bias + constant
        operator.inputs = [*given[:2], self._added(bias, given[1])]

    def _follower(self, operator: Any) -> Any:
        """The one operator that reads what ``operator`` makes; ``None`` where others do too."""
        if len(operator.outputs) != 1:
            return None
        made = int(operator.outputs[0])
        readers = [each for each in self.graph.operators if made in map(int, each.inputs)]
        if len(readers) != 1 or made in map(int, self.graph.outputs):
            return None
        made_shape, shape = (
            list(self.graph.tensors[int(each.outputs[0])].shape) for each in (operator, readers[0])
        )
        return readers[0] if made_shape == shape else None

    def _constant_of(self, operator: Any, follower: Any) -> NDArray[Any] | None:
        """The number for each output of ``operator`` that ``follower`` adds or multiplies by.

        ``None`` where it has another form, or one of them is no number to be scaled by.
        """
        made = int(operator.outputs[0])
        others = [int(index) for index in follower.inputs if int(index) != made]
        values = self._values(others[0]) if len(others) == 1 else None
        count = int(self.graph.tensors[made].shape[-1])
        if values is None or values.size not in (1, count) or not np.isfinite(values).all():
            return None
        if values.size > 1 and values.shape[-1] != count:
            return None
        is_zeroed = self._name(follower) == "MUL" and not values.all()
        return None if is_zeroed else np.broadcast_to(values.ravel(), (count,))

    def _bias(self, operator: Any, count: int) -> NDArray[Any] | None:
        """The bias of ``operator``, zeros where it has none; ``None`` where it is computed."""
        if len(operator.inputs) < 3 or int(operator.inputs[2]) < 0:
            return np.zeros(count, np.float32)
        return self._values(operator.inputs[2])

    def _values(self, index: int) -> NDArray[Any] | None:
        """The numbers of a constant float tensor; ``None`` where it is none."""
        tensor = self.graph.tensors[int(index)]
        data = self.model.buffers[tensor.buffer].data
        if data is None or not len(data) or tensor.type != self.schema.TensorType.FLOAT32:
            return None
        return np.frombuffer(bytes(data), np.float32).reshape(tuple(tensor.shape))

    def _added(self, values: NDArray[Any], like: int) -> int:
        """A new constant tensor; its name begins as that of the tensor ``like``."""
        name = bytes(self.graph.tensors[like].name or b"")
        unlike = f"/fused{len(self.graph.tensors)}".encode()  # the quantizer takes no name twice
        kind = self.schema.TensorType.FLOAT32
        values = np.ascontiguousarray(values, np.float32)
        return add_constant(self.model, self.graph, values, kind, name + unlike, self.schema)

    def _name(self, operator: Any) -> str:
        code = code_of(self.model, operator)
        codes, known = self.schema.BuiltinOperator, (*_ACTIVATED, *_ACTIVATIONS)
        return next((each for each in known if getattr(codes, each) == code), "")

    def _activation(self, operator: Any) -> int:
        """The activation that ``operator`` ends with; -1 where it has none to set."""
        activation = getattr(operator.builtinOptions, "fusedActivationFunction", None)
        return -1 if activation is None else int(activation)
