#!/usr/bin/env bash
# TensorFlow's converter writes infinite scales behind a ReLU that lets nothing through, with INT16 activations.
#
# In calibration such a layer gives 0 for every sample, so its range is empty. With INT8 activations the
# converter gives it a usable scale. With INT16 activations and INT8 weights the layer gets a scale of about
# 3.6e-43, and the weights of the layer behind it one of infinity: no error, no warning. One would expect the
# scale that INT8 gets, or an error. It bites small models (squeeze-and-excite of two units) and calibration
# data of few samples: LiteRT and TFLM refuse or miscompute the file, and only the scales tell why.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check "tensorflow-cpu==2.21.0"

cat > convert.py <<'PYTHON'
import math
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

chance = np.random.default_rng(0)
first = tf.constant(chance.normal(0, 0.5, (8, 4)), tf.float32)
second = tf.constant(chance.normal(0, 0.5, (4, 3)), tf.float32)
shift = tf.constant([-100.0] * 4)  # nothing passes the ReLU


@tf.function(input_signature=[tf.TensorSpec((1, 8), tf.float32)])
def model(values):
    hidden = tf.nn.relu(tf.matmul(values, first) + shift)
    return tf.matmul(hidden, second) + tf.constant([1.0, 2.0, 3.0])


def scales(kind):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([model.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [kind]
    converter.representative_dataset = lambda: (
        [chance.normal(0, 1, (1, 8)).astype("float32")] for _ in range(8)
    )
    made = schema.ModelT.InitFromPackedBuf(converter.convert(), 0)
    found = [
        float(scale)
        for tensor in made.subgraphs[0].tensors
        if tensor.quantization is not None and tensor.quantization.scale is not None
        for scale in tensor.quantization.scale
    ]
    return min(found), max(found)


operators = tf.lite.OpsSet
print("TensorFlow", tf.__version__)
print("expected: all scales are usable numbers, as in the INT8 file")
int8 = scales(operators.TFLITE_BUILTINS_INT8)
int16 = scales(operators.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8)
print(f"INT8 activations: scales from {int8[0]:.2g} to {int8[1]:.2g}")
print(f"INT16 activations: scales from {int16[0]:.2g} to {int16[1]:.2g}")
same = math.isfinite(int8[1]) and int8[0] > 1e-12 and math.isinf(int16[1]) and int16[0] < 1e-40
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
environment/bin/python convert.py
