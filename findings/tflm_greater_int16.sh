#!/usr/bin/env bash
# TFLM's GREATER takes INT16 and finds no value greater than another.
#
# One would expect that a kernel that takes a type compares its values, as TF Lite does. TFLM's
# GREATER runs INT16 since March 2025, but its Prepare computes the multipliers of both sides for
# INT8 alone: INT16 values are compared by numbers that nothing set, all 0 in an arena of zeros. It
# bites whoever converts a model with 16-bit activations and a comparison, a mask or a threshold:
# the model loads and runs on a microcontroller without a word, and each comparison is false.
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


def tensor(name, kind):
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, [1, 4], kind, 0
    if kind == schema.TensorType.INT16:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [0.05], [0]
    return made


def comparison():
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("first", schema.TensorType.INT16),
        tensor("second", schema.TensorType.INT16),
        tensor("result", schema.TensorType.BOOL),
    ]
    graph.inputs, graph.outputs = [0, 1], [2]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1], [2]
    graph.operators = [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.GREATER
    code.version = 2
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


content = comparison()
first = np.array([[1000, -1000, 5, 300]], np.int16)
second = np.array([[-1000, 1000, 5, 200]], np.int16)

lite = Interpreter(
    model_content=content,
    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
)
lite.allocate_tensors()
for details, values in zip(lite.get_input_details(), (first, second)):
    lite.set_tensor(details["index"], values)
lite.invoke()
by_lite = lite.get_tensor(lite.get_output_details()[0]["index"]).ravel().tolist()

micro = runtime.Interpreter.from_bytes(content, arena_size=50_000)
micro.set_input(first, 0)
micro.set_input(second, 1)
micro.invoke()
by_micro = [bool(each) for each in np.ravel(micro.get_output(0))]

print("first", first.ravel().tolist(), "second", second.ravel().tolist())
print("ai-edge-litert", version("ai-edge-litert"), by_lite)
print("tflite-micro", version("tflite-micro"), by_micro)
as_told = by_lite == [True, False, False, True] and by_micro == [False] * 4
sys.exit(0 if as_told else "the behavior has changed")
PYTHON

environment/bin/python compare.py 2>errors || { cat errors >&2; exit 1; }
echo "TFLM's GREATER of INT16 is always false"
