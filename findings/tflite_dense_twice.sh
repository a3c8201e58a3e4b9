#!/usr/bin/env bash
# TensorFlow's converter computes a dense layer twice where one user of it takes a ReLU and another does not.
#
# It fuses the ReLU into the layer before it without asking who else takes that layer, which then stays for the
# others. One would expect one FULLY_CONNECTED and a RELU: a ReLU costs next to nothing. It bites gates, residual
# blocks and models with two heads on a microcontroller: the multiplications of the layer double, and nothing is
# printed. Its weights are stored once, so that the size of the file does not tell.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check "tensorflow-cpu==2.21.0"

cat > convert.py <<'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

chance = np.random.default_rng(0)
weights = tf.constant(chance.normal(0, 0.5, (64, 32)), tf.float32)
bias = tf.constant(chance.normal(0, 0.5, 32), tf.float32)
behind = tf.constant(chance.normal(0, 0.5, (32, 4)), tf.float32)


@tf.function(input_signature=[tf.TensorSpec((1, 64), tf.float32)])
def shared(values):
    hidden = tf.matmul(values, weights) + bias
    return tf.matmul(tf.nn.relu(hidden), behind), tf.tanh(hidden)


@tf.function(input_signature=[tf.TensorSpec((1, 64), tf.float32)])
def alone(values):
    hidden = tf.matmul(values, weights) + bias
    return tf.matmul(tf.nn.relu(hidden), behind)


def names(function):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    content = converter.convert()
    made = schema.ModelT.InitFromPackedBuf(content, 0)
    by_code = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    codes = [max(each.builtinCode, each.deprecatedBuiltinCode) for each in made.operatorCodes]
    return [by_code[codes[each.opcodeIndex]] for each in made.subgraphs[0].operators], len(content)


print("TensorFlow", tf.__version__)
print("expected: a layer whose result is used with and without a ReLU is computed once")
one, small = names(alone)
both, large = names(shared)
print(f"ReLU alone:    {' '.join(one)} ({small:,} B)")
print(f"ReLU and tanh: {' '.join(both)} ({large:,} B)")
same = (
    one.count("FULLY_CONNECTED") == 2
    and both.count("FULLY_CONNECTED") == 3
    and "RELU" not in both
    and large - small < 64 * 32 * 4
)
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
environment/bin/python convert.py
