#!/usr/bin/env bash
# TensorFlow's converter gives an INT8 LSTM's output another scale than its hidden state.
#
# The kernels of LiteRT and TFLM write the hidden state of a step and copy it to the output as it is,
# so one would expect both tensors to have one scale and zero point. They have, unless the operator
# behind the LSTM wants its operands alike: where the output goes into a CONCATENATION, the converter
# gives it the range of all that is joined, and leaves the state its own. What comes out is read
# wrongly, without an error. It bites every Keras model that joins an LSTM with something else, and
# every Bidirectional LSTM that is built of two fused ones.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check "tensorflow-cpu==2.21.0"

cat > compare.py <<'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

STEPS, CHANNELS, UNITS = 8, 4, 6
chance = np.random.default_rng(1)


def weights(*shape):
    return tf.constant(chance.normal(0, 0.5, shape), tf.float32)


kernel, recurrent = weights(CHANNELS, 4 * UNITS), weights(UNITS, 4 * UNITS)
bias = weights(4 * UNITS)
beside = weights(STEPS * CHANNELS, 4)


@tf.function(
    autograph=False,
    experimental_attributes={
        "api_implements": "lstm_finding",
        "api_preferred_device": "CPU",
        "time_major": False,
        "go_backwards": False,
    },
)
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


class Module(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((1, STEPS, CHANNELS), tf.float32)])
    def joined(self, steps):
        state = tf.zeros((1, UNITS))
        last, *_ = lstm(steps, state, state, kernel, recurrent, bias)
        flat = tf.reshape(steps, (1, STEPS * CHANNELS))
        return tf.concat([last, tf.matmul(flat, beside)], axis=-1)


module = Module()
samples = [chance.normal(size=(1, STEPS, CHANNELS)).astype(np.float32) for _ in range(40)]
tf.saved_model.save(module, "saved")
converter = tf.lite.TFLiteConverter.from_saved_model("saved")
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.representative_dataset = lambda: ([sample] for sample in samples)
content = converter.convert()


def run(sample):
    kernels = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    lite = tf.lite.Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], sample)
    lite.invoke()
    return lite, lite.get_tensor(lite.get_output_details()[0]["index"])


lite, _ = run(samples[0])
tensors = {each["index"]: each for each in lite.get_tensor_details()}
(operator,) = (
    each for each in lite._get_ops_details() if each["op_name"] == "UNIDIRECTIONAL_SEQUENCE_LSTM"
)
state = tensors[operator["inputs"][18]]["quantization"]
output = tensors[operator["outputs"][0]]["quantization"]
expected = np.array([module.joined(sample)[0, :UNITS] for sample in samples])
found = np.array([run(sample)[1][0, :UNITS] for sample in samples])
error = np.sqrt(np.mean((found - expected) ** 2)) / np.std(expected)
print("tensorflow", tf.__version__)
print("scale and zero point of the hidden state: ", state)
print("scale and zero point of the output:       ", output)
print(f"error of the LSTM's outputs: {error:.0%} of how much they vary")
sys.exit(0 if state != output and error > 0.3 else "the behavior has changed")
PYTHON

environment/bin/python compare.py 2>errors || { cat errors >&2; exit 1; }
echo "an LSTM's output has another scale than the hidden state that is copied to it"
