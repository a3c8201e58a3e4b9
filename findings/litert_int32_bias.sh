#!/usr/bin/env bash
# LiteRT reads the INT32 bias of a 16-bit convolution as INT64 where its option does not tell the type.
#
# One would expect that a kernel reads a tensor by the type that the file gives it. LiteRT looks at
# the option quantized_bias_type instead: where a converter leaves it unset, an INT32 bias of a
# CONV_2D with INT16 activations is read as INT64, two values as one. TFLM looks at the tensor. It
# bites whoever measures the accuracy of such a model with LiteRT: the device computes other,
# right outputs.
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


def tensor(name, shape, kind, buffer, scales):
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale, made.quantization.zeroPoint = scales, [0] * len(scales)
    return made


def buffer(values):
    made = schema.BufferT()
    made.data = np.frombuffer(values.tobytes(), np.uint8)
    return made


BIAS = np.array([40, 80, -120, 160], np.int32)


def convolution():
    """One pixel of four channels, each output the input of its channel and a bias."""
    graph = schema.SubGraphT()
    types = schema.TensorType
    graph.tensors = [
        tensor("image", [1, 1, 1, 4], types.INT16, 0, [1.0]),
        tensor("weights", [4, 1, 1, 4], types.INT8, 1, [1.0] * 4),
        tensor("bias", [4], types.INT32, 2, [1.0] * 4),
        tensor("result", [1, 1, 1, 4], types.INT16, 0, [1.0]),
    ]
    graph.tensors[1].quantization.quantizedDimension = 0
    graph.inputs, graph.outputs = [0], [3]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1, 2], [3]
    operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    options = operator.builtinOptions = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = 1
    options.dilationWFactor = options.dilationHFactor = 1
    graph.operators = [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 4
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    # The bias is followed by zeros, so that nothing is read beyond its buffer.
    longer = np.concatenate([BIAS, np.zeros(4, np.int32)])
    model.buffers = [schema.BufferT(), buffer(np.eye(4, dtype=np.int8)), buffer(longer)]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


content = convolution()
image = np.array([1, 2, 3, 4], np.int16).reshape(1, 1, 1, 4)

lite = Interpreter(
    model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
)
lite.allocate_tensors()
lite.set_tensor(lite.get_input_details()[0]["index"], image)
lite.invoke()
by_lite = lite.get_tensor(lite.get_output_details()[0]["index"]).ravel().tolist()

micro = runtime.Interpreter.from_bytes(content, arena_size=50_000)
micro.set_input(image, 0)
micro.invoke()
by_micro = np.ravel(micro.get_output(0)).tolist()

right = (image.ravel() + BIAS).tolist()
print("image", image.ravel().tolist(), "bias", BIAS.tolist(), "so that the sums are", right)
print("ai-edge-litert", version("ai-edge-litert"), by_lite)
print("tflite-micro", version("tflite-micro"), by_micro)
as_told = by_micro == right and by_lite != right
sys.exit(0 if as_told else "the behavior has changed")
PYTHON

environment/bin/python compare.py 2>errors || { cat errors >&2; exit 1; }
echo "LiteRT reads the INT32 bias as INT64"
