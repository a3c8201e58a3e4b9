#!/usr/bin/env bash
# TensorFlow's calibration gives the first operand of a sum the range of the sum as well.
#
# The converter quantizes a tensor by the least and the largest number that it had in calibration, so
# one would expect the scale of a convolution in a residual block to be its own range by 255. LiteRT's
# kernel of ADD writes its result over an operand that nobody else reads, and the calibrator looks at
# operands again after a kernel has run: it then sees the sum. The operand's scale comes out several
# times too coarse where the other branch is larger. It bites whoever converts residual networks
# (two bits of the shortcut's eight are lost at a factor of four), and whoever computes the ranges
# himself and wonders why his scales differ from the converter's in these tensors alone.
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

chance = np.random.default_rng(0)
small, large = (
    tf.constant(chance.normal(0, size, (1, 1, 4, 4)), tf.float32) for size in (0.1, 1.0)
)
last = tf.constant(chance.normal(size=(1, 1, 4, 4)), tf.float32)


@tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 4), tf.float32)])
def block(image):
    """A small branch and a large one, their sum, and a layer behind it."""
    branches = [tf.nn.conv2d(image, weights, 1, "SAME") for weights in (small, large)]
    return tf.nn.conv2d(branches[0] + branches[1], last, 1, "SAME")


samples = [chance.normal(size=(1, 8, 8, 4)).astype(np.float32) for _ in range(20)]
converter = tf.lite.TFLiteConverter.from_concrete_functions([block.get_concrete_function()])
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.representative_dataset = lambda: ([sample] for sample in samples)
lite = tf.lite.Interpreter(model_content=converter.convert())
lite.allocate_tensors()
(add,) = (each for each in lite._get_ops_details() if each["op_name"] == "ADD")
tensors = {each["index"]: each for each in lite.get_tensor_details()}
ranges = sorted(255 * tensors[index]["quantization"][0] for index in add["inputs"])

branches = [[tf.nn.conv2d(each, w, 1, "SAME").numpy() for each in samples] for w in (small, large)]
true = sorted(float(np.max(each) - np.min(each)) for each in branches)
sums = [one + other for one, other in zip(*branches)]
both = float(max(np.max(sums), np.max(branches[0])) - min(np.min(sums), np.min(branches[0])))
print("tensorflow", tf.__version__)
print("ranges of the operands:", *(f"{each:.3f}" for each in true))
print("ranges by their scales:", *(f"{each:.3f}" for each in ranges))
print(f"range of the small operand and the sum together: {both:.3f}")
wrong = min(abs(each / both - 1) for each in ranges) < 0.01 and min(ranges) > 2 * min(true)
sys.exit(0 if wrong else "the behavior has changed")
PYTHON

environment/bin/python compare.py 2>errors || { cat errors >&2; exit 1; }
echo "an operand of a sum is quantized by the range of the sum"
