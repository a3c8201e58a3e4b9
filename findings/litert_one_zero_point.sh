#!/usr/bin/env bash
# LiteRT refuses weights with a scale for each channel and one zero point; TFLM takes them.
#
# The schema says nothing of how many zero points there must be, and TFLM's source says that "zero
# point arrays for weights can be reduced to a single value", of which it makes one for each channel.
# One would expect that such a file, 8 bytes a channel smaller, runs in both. LiteRT reads no tensor
# of it: the model does not load. The other way round, nobody looks at what the scales of a bias say
# where weights have a scale for each channel: both give the same outputs with any. It bites whoever
# makes files smaller for microcontrollers and checks them with LiteRT, and whoever trusts the scale
# of a bias that a viewer shows.
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
from tflite_micro.python.tflite_micro import runtime

CHANNELS = 8
SCALES = [0.01 * (1 + channel) for channel in range(CHANNELS)]
IMAGE = np.arange(-18, 18, dtype=np.int8).reshape(1, 6, 6, 1)


def tensor(name, shape, kind, buffer, scales, zero_points):
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale, made.quantization.zeroPoint = scales, [0] * zero_points
    return made


def buffer(values, kind):
    made = schema.BufferT()
    if values is not None:
        made.data = np.frombuffer(np.array(values, kind).tobytes(), np.uint8)
    return made


def convolution(zero_points, bias_scales):
    """One CONV_2D of 3 x 3, a scale for each of its channels."""
    weights = np.random.default_rng(0).integers(-100, 100, CHANNELS * 9)
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("image", [1, 6, 6, 1], schema.TensorType.INT8, 0, [0.05], 1),
        tensor("weights", [CHANNELS, 3, 3, 1], schema.TensorType.INT8, 1, SCALES, zero_points),
        tensor("bias", [CHANNELS], schema.TensorType.INT32, 2, bias_scales, CHANNELS),
        tensor("result", [1, 6, 6, CHANNELS], schema.TensorType.INT8, 0, [0.5], 1),
    ]
    graph.inputs, graph.outputs = [0], [3]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    operator.builtinOptions = schema.Conv2DOptionsT()
    operator.builtinOptions.strideH = operator.builtinOptions.strideW = 1
    graph.operators = [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 3
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [
        buffer(None, None), buffer(weights, np.int8), buffer(range(0, 800, 100), np.int32),
    ]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def by_lite(content):
    lite = Interpreter(model_content=content)
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], IMAGE)
    lite.invoke()
    return lite.get_tensor(lite.get_output_details()[0]["index"])


def by_micro(content):
    micro = runtime.Interpreter.from_bytes(content, arena_size=50_000)
    micro.set_input(IMAGE, 0)
    micro.invoke()
    return micro.get_output(0)


def refusal(content):
    try:
        by_lite(content)
    except (RuntimeError, ValueError) as error:
        return str(error).partition(".")[0]
    return ""


true = [0.05 * scale for scale in SCALES]
usual, single = convolution(CHANNELS, true), convolution(1, true)
other = convolution(CHANNELS, SCALES)  # the bias has the scales of the weights
refused = refusal(single)
micro_same = np.array_equal(by_micro(usual), by_micro(single))
bias_same = [np.array_equal(run(usual), run(other)) for run in (by_lite, by_micro)]
print("ai-edge-litert", version("ai-edge-litert"), "with one zero point:", refused or "runs")
print("tflite-micro", version("tflite-micro"), "with one zero point: same outputs,", micro_same)
print("with other scales of the bias: same outputs,", *bias_same)
as_told = "zero_point" in refused and micro_same and all(bias_same)
sys.exit(0 if as_told else "the behavior has changed")
PYTHON

environment/bin/python compare.py 2>errors || { cat errors >&2; exit 1; }
echo "LiteRT wants a zero point for each scale, TFLM one"
