#!/usr/bin/env bash
# LiteRT computes an INT8 LSTM wrongly whose cells stay within half of 1.
#
# The converter gives the cell state, in INT16, the power of two that its range needs: 2^-16 where
# cells stay below a half. One would expect LiteRT's kernel to compute with what the converter writes.
# Its TANH has code for 0 to 6 integer bits, 2^-16 asks for -1, and then the result stays unset.
# Every output comes out near the largest value, without an error. It bites whoever checks a small
# or hardly trained LSTM, or the second of two, with LiteRT before it goes to a device: the file is right,
# and TFLM since February 2023 computes it.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check \
    "tensorflow-cpu==2.21.0" "ai-edge-litert==2.3.0"

cat > compare.py <<'PYTHON'
import os
import sys
from importlib.metadata import version

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

STEPS, CHANNELS, UNITS = 8, 4, 6
ATTRIBUTES = {
    "api_implements": "lstm_finding",
    "api_preferred_device": "CPU",
    "time_major": False,
    "go_backwards": False,
}


@tf.function(autograph=False, experimental_attributes=ATTRIBUTES)
def lstm(inputs, hidden, cell, kernel, recurrent, bias):
    """The function that the converter makes one operator of."""
    outputs = []
    for step in range(inputs.shape[1]):
        gates = tf.matmul(inputs[:, step], kernel) + tf.matmul(hidden, recurrent) + bias
        update, forget, candidate, output = tf.split(gates, 4, axis=1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(update) * tf.tanh(candidate)
        hidden = tf.sigmoid(output) * tf.tanh(cell)
        outputs.append(hidden)
    return hidden, tf.stack(outputs, axis=1), hidden, cell, tf.constant(0.0)


def error_at(size):
    """Scale of the cell state and error of the outputs, by the size of the weights."""
    chance = np.random.default_rng(2)
    shapes = (CHANNELS, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)
    weights = [tf.constant(chance.normal(0, size, shape), tf.float32) for shape in shapes]
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((1, STEPS, CHANNELS), tf.float32)])
    def last(steps):
        state = tf.zeros((1, UNITS))
        return lstm(steps, state, state, *weights)[0]

    module.last = last
    samples = [chance.normal(size=(1, STEPS, CHANNELS)).astype(np.float32) for _ in range(40)]
    tf.saved_model.save(module, f"saved{size}")
    converter = tf.lite.TFLiteConverter.from_saved_model(f"saved{size}")
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    content = converter.convert()
    found = []
    for sample in samples:
        lite = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        lite.allocate_tensors()
        lite.set_tensor(lite.get_input_details()[0]["index"], sample)
        lite.invoke()
        found.append(lite.get_tensor(lite.get_output_details()[0]["index"])[0])
    (operator,) = (each for each in lite._get_ops_details() if "LSTM" in each["op_name"])
    tensors = {each["index"]: each for each in lite.get_tensor_details()}
    cell = tensors[operator["inputs"][19]]["quantization"][0]
    expected = np.array([last(sample)[0] for sample in samples])
    return cell, float(np.sqrt(np.mean((np.array(found) - expected) ** 2)) / np.std(expected))


print("tensorflow", tf.__version__, "ai-edge-litert", version("ai-edge-litert"))
small, large = error_at(0.06), error_at(0.5)
for cell, error in (large, small):
    print(f"cells at a scale of 2^{np.log2(cell):g}: error of the outputs {error:.0%} of their spread")
changed = small[0] >= 2.0**-15 or small[1] < 0.5 or large[1] > 0.1
sys.exit("the behavior has changed" if changed else 0)
PYTHON

environment/bin/python compare.py 2>errors || { cat errors >&2; exit 1; }
echo "LiteRT computes an LSTM wrongly whose cells stay within half of 1"
