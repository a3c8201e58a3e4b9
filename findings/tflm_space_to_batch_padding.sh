#!/usr/bin/env bash
# TFLM does not pad a quantized SPACE_TO_BATCH_ND with the zero point, TF Lite does.
#
# One would expect that padding stands for the real number 0 in both interpreters, so that a border
# holds the zero point of the tensor. TFLM's kernel never sets the number that it fills with: the
# border holds what lay in memory, the stored number 0 in an arena of zeros, which is another real
# number wherever the zero point is not 0. It bites whoever converts a dilated
# convolution with an open batch: the converter then writes it as blocks of a batch, the model loads
# and runs on a microcontroller without a word, and computes something else. At batch 1 the converter
# folds the blocks away.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check \
    "tflite-micro==0.dev20261023182759" "ai-edge-litert==2.3.0"

cat > compare.py <<'PYTHON'
import sys
from importlib.metadata import version

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.interpreter import OpResolverType
from tflite_micro.python.tflite_micro import runtime

ZERO_POINT = 5


def tensor(name, shape, kind, buffer):
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
    if kind == schema.TensorType.INT8:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [0.05], [ZERO_POINT]
    return made


def buffer(values=None):
    made = schema.BufferT()
    if values is not None:
        made.data = np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)
    return made


def blocks_of_a_batch():
    """One operator: 6 x 6 pixels, padded by 2 all around, as four images of 5 x 5."""
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("image", [1, 6, 6, 1], schema.TensorType.INT8, 0),
        tensor("blocks", [2], schema.TensorType.INT32, 1),
        tensor("paddings", [2, 2], schema.TensorType.INT32, 2),
        tensor("result", [4, 5, 5, 1], schema.TensorType.INT8, 0),
    ]
    graph.inputs, graph.outputs = [0], [3]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    graph.operators = [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SPACE_TO_BATCH_ND
    code.version = 2
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [buffer(), buffer([2, 2]), buffer([2, 2, 2, 2])]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


content = blocks_of_a_batch()
image = np.arange(40, 76, dtype=np.int8).reshape(1, 6, 6, 1)

lite = Interpreter(
    model_content=content,
    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
)
lite.allocate_tensors()
lite.set_tensor(lite.get_input_details()[0]["index"], image)
lite.invoke()
by_lite = lite.get_tensor(lite.get_output_details()[0]["index"])

micro = runtime.Interpreter.from_bytes(content, arena_size=50_000)
micro.set_input(image, 0)
micro.invoke()
by_micro = micro.get_output(0)

border = by_lite != by_micro
print("ai-edge-litert", version("ai-edge-litert"), "borders hold", set(by_lite[border].tolist()))
print("tflite-micro", version("tflite-micro"), "borders hold", set(by_micro[border].tolist()))
print("the zero point is", ZERO_POINT)
as_told = set(by_lite[border].tolist()) == {ZERO_POINT} and ZERO_POINT not in by_micro[border]
sys.exit(0 if as_told else "the behavior has changed")
PYTHON

environment/bin/python compare.py 2>errors || { cat errors >&2; exit 1; }
echo "TFLM does not pad with the zero point"
