#!/usr/bin/env bash
# TensorFlow's interpreter takes an INT8 divisor whose byte is 0 for a division by zero.
#
# A quantized number is (byte - zero point) x scale, so one would expect a divisor of 0 to be the one
# whose byte is the zero point. TensorFlow's DIV looks for bytes of 0 instead: with zero point -128 and
# scale 1/64 it refuses the divisor 2.0, and divides by 0.0 without a word. LiteRT's package looks for
# the zero point. TF Lite Micro's kernel looks for nothing, and divides by 2.0 rightly. It bites whoever
# converts a model that divides by a tensor and then tries the INT8 file in tf.lite.Interpreter: about
# one in three small networks of a / (b + 0.5) failed on its own calibration data.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check \
    "tensorflow-cpu==2.21.0" "ai-edge-litert==2.3.0" "flatbuffers==25.12.19"

cat > divide.py <<'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter


def file_with(byte, zero_point):
    """A model that divides four INT8 numbers by a constant of this byte, scale 1/64."""
    model = schema.ModelT()
    model.version = 3
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DIV
    model.operatorCodes = [code]
    constant = schema.BufferT()
    constant.data = np.full(4, byte, np.int8).view(np.uint8)
    model.buffers = [schema.BufferT(), constant, schema.BufferT(), schema.BufferT()]
    tensors = []
    for number, (scale, zero) in enumerate(((1 / 32, 0), (1 / 64, zero_point), (1 / 16, 0))):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = [1, 4], schema.TensorType.INT8, f"t{number}"
        tensor.buffer = 1 if number == 1 else 2 + number // 2
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
        tensors.append(tensor)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.DivOptions
    operator.builtinOptions = schema.DivOptionsT()
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs, graph.operators = tensors, [0], [2], [operator]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def divided(kind, content):
    interpreter = kind(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.full((1, 4), 64, np.int8))
    try:
        interpreter.invoke()
    except RuntimeError as error:
        return f"refused: {str(error).split('(DIV)')[0].strip()}"
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return f"2.0 / divisor = {result.ravel()[0] / 16}"


print("tensorflow", tf.__version__)
seen = {}
for byte, zero_point in ((0, -128), (-128, -128), (64, 0)):
    for name, kind in (("tensorflow", tf.lite.Interpreter), ("litert", Interpreter)):
        seen[name, byte] = divided(kind, file_with(byte, zero_point))
        real = (byte - zero_point) / 64
        print(f"divisor {real} (byte {byte}, zero point {zero_point}), {name}: {seen[name, byte]}")
refused = {key for key, told in seen.items() if told.startswith("refused")}
sys.exit(0 if refused == {("tensorflow", 0), ("litert", -128)} else "the behavior has changed")
PYTHON

environment/bin/python divide.py 2>errors || { cat errors >&2; exit 1; }
echo "TensorFlow refuses a divisor of 2.0 whose byte is 0, and divides by 0.0"
