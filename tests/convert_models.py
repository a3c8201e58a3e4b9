"""Makes the trained models that the conversion tests start from: ``convert_models.py FOLDER``.

Run in a process of its own, because it imports TensorFlow.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf


layers = keras.layers


class Scale(layers.Layer):
    """A layer that Keras does not know; the test's ``own_layers`` module has it as well."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        return inputs * self.factor


class Subclassed(keras.Model):
    """A model without ``keras.Input``; the test's ``own_layers`` module has it as well."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.hidden = layers.Dense(4, activation="relu")
        self.scores = layers.Dense(2)

    def call(self, inputs):
        return self.scores(self.hidden(inputs))


class Signatures(tf.Module):
    """Functions of one matrix, with a fixed batch and with an open one."""

    def __init__(self):
        self.factors = tf.Variable(tf.ones((8, 3)))

    @tf.function(input_signature=[tf.TensorSpec((32, 8), tf.float32, name="x")])
    def fixed(self, x):
        return {"y": x @ self.factors}

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="x")])
    def opened(self, x):
        return {"y": x @ self.factors}


class Trained(tf.Module):
    """What tfmot (tensorflow_model_optimization) leaves in a SavedModel."""

    def __init__(self):
        self.factors = tf.Variable(np.linspace(-1, 1, 24).reshape(8, 3).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="x")])
    def with_ranges(self, x):
        ranged = tf.quantization.fake_quant_with_min_max_args
        product = ranged(x, -2, 2) @ ranged(self.factors, -1, 1, narrow_range=True)
        return {"y": ranged(product, -12, 12)}

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="x")])
    def pruned(self, x):
        with tf.name_scope("prune_low_magnitude_dense"):
            self.factors.assign(self.factors * 1)
        return {"y": x @ self.factors}


class Filled(layers.Layer):
    """FILL, with a shape that the graph knows or one that depends on the input's values."""

    def __init__(self, *, fixed, **keywords):
        super().__init__(**keywords)
        self.fixed = fixed

    def call(self, inputs):
        largest = tf.reduce_max(inputs)
        rows = 1 if self.fixed else tf.cast(largest, tf.int32) * 0 + 1
        return tf.fill((rows, 6), largest)


def image_model(*more, shape=(12, 12, 1)):
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(4, 3, activation="relu"),
            *more,
            layers.Flatten(),
            # A bias of zeros would be left out.
            layers.Dense(3, activation="softmax", bias_initializer="ones"),
        ]
    )


def normed():
    """A model that was trained with numbers from 0 to 1."""
    model = keras.Sequential(
        [keras.Input((12, 12, 1)), layers.Conv2D(4, 3), layers.BatchNormalization()]
    )
    model.compile("sgd", "mse")
    images = np.random.default_rng(1).random((64, 12, 12, 1), np.float32)
    model.layers[-1].momentum = 0.5
    model.fit(images, np.zeros((64, 10, 10, 4)), epochs=4, verbose=0)
    return model


def keras_models():
    image = keras.Input((6,), name="zeta")
    sound = keras.Input((4,), name="alpha")
    joined = layers.Concatenate()([layers.Dense(3)(image), layers.Dense(3)(sound)])
    steps = keras.Input((8, 4))
    few = keras.Input((4, 2))
    beside = [layers.LSTM(3)(few), layers.Dense(5)(layers.Flatten()(few))]
    beside.append(layers.Dense(2)(layers.Flatten()(few)))
    return {
        "dense": keras.Sequential([keras.Input((8,)), layers.Dense(16), layers.Dense(2)]),
        "conv1d": keras.Sequential(
            [keras.Input((16, 3)), layers.Conv1D(4, 3), layers.GlobalAveragePooling1D()]
        ),
        "conv2d": image_model(layers.MaxPooling2D()),
        "dilated": keras.Sequential(
            [keras.Input((12, 12, 1)), layers.Conv2D(4, 3, dilation_rate=2, padding="same")]
        ),
        "depthwise": image_model(layers.DepthwiseConv2D(3), layers.BatchNormalization()),
        "two_inputs": keras.Model([image, sound], [layers.Dense(2)(joined), joined]),
        "residual": keras.Model(
            steps, layers.Add()([layers.Conv1D(4, 3, padding="same")(steps), steps])
        ),
        "normed": normed(),
        "nested": keras.Sequential(
            [keras.Input((8, 4)), keras.Sequential([layers.LSTM(4)]), layers.Dense(2)]
        ),
        "masked": keras.Sequential([keras.Input((4, 2)), layers.Masking(), layers.LSTM(3)]),
        "both_ways": keras.Sequential([keras.Input((4, 2)), layers.Bidirectional(layers.LSTM(3))]),
        "both_ways_steps": keras.Sequential(
            [
                keras.Input((4, 2)),
                layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
                layers.Bidirectional(layers.LSTM(2), merge_mode="sum"),
            ]
        ),
        "beside": keras.Model(few, layers.Dense(2)(layers.Concatenate()(beside))),
        "backwards": keras.Sequential([keras.Input((4, 2)), layers.LSTM(3, go_backwards=True)]),
        "lstm": keras.Sequential([keras.Input((8, 4)), layers.LSTM(6), layers.Dense(3)]),
        "lstms": keras.Sequential(
            [
                keras.Input((8, 4)),
                layers.LSTM(6, return_sequences=True),
                layers.LSTM(5),
                layers.Dense(3),
            ]
        ),
        "gru": keras.Sequential([keras.Input((6, 4)), layers.GRU(5), layers.Dense(3)]),
        "gelu": image_model(layers.Activation(lambda x: tf.nn.gelu(x, approximate=True))),
        "upsampled": keras.Sequential([keras.Input((6, 3)), layers.UpSampling1D(2)]),
        "dynamic": keras.Sequential([keras.Input((None, 4), name="steps"), layers.Conv1D(2, 3)]),
        "lambda": keras.Sequential([keras.Input((8,)), layers.Lambda(lambda x: x * 2)]),
        "embedding": keras.Sequential(
            [keras.Input((5,), dtype="int32"), layers.Embedding(10, 4), layers.Flatten()]
        ),
        "filled": keras.Sequential([keras.Input((6,)), Filled(fixed=True)]),
        "filled_at_will": keras.Sequential(
            [keras.Input((6,)), Filled(fixed=False), layers.Dense(2)]
        ),
        "own_layer": keras.Sequential([keras.Input((8,)), layers.Dense(4), Scale()]),
    }


def write(folder: Path) -> None:
    keras.utils.set_random_seed(7)
    models = keras_models()
    steps = np.random.default_rng(5).standard_normal((12, 4, 2)).astype(np.float32)
    np.save(folder / "steps.npy", steps)
    for name in ("backwards", "both_ways", "both_ways_steps", "beside"):
        np.save(folder / f"{name}_float.npy", models[name](steps, training=False))
    exported = ("gelu", "filled", "filled_at_will")
    for name, model in models.items():
        if name in exported:
            model.export(folder / name, verbose=False)
        else:
            model.save(folder / f"{name}.keras")
    models["lstm"].export(folder / "lstm", verbose=False)
    models["conv2d"].save(folder / "conv2d.h5")
    models["lambda"].save(folder / "lambda.h5")
    models["upsampled"].save(folder / "upsampled.h5")
    models["conv2d"].export(folder / "conv2d", verbose=False)
    models["dilated"].save(folder / "dilated.h5")
    models["dilated"].export(folder / "dilated", verbose=False)
    float_tflite(models["dilated"], folder / "dilated.tflite")
    old_depthwise(models["depthwise"], folder / "old_depthwise.h5")
    float_tflite(models["conv2d"], folder / "float.tflite")
    wide = keras.Sequential([keras.Input((256,)), layers.Dense(1200), layers.Dense(2)])
    float_tflite(wide, folder / "wide.tflite")
    for name in ("conv1d", "two_inputs"):
        models[name].export(folder / f"{name}.tflite", format="litert", verbose=False)
    pieces = (layers.LayerNormalization(), layers.LeakyReLU(), layers.GroupNormalization(2))
    islands = image_model(*pieces, layers.Activation("elu"))
    islands.export(folder / "islands.tflite", format="litert", verbose=False)
    separable = keras.Sequential(
        [
            keras.Input((16, 3)),
            layers.SeparableConv1D(4, 3),
            layers.Flatten(),
            layers.Dense(2, bias_initializer="ones"),
        ]
    )
    separable.export(folder / "separable1d.tflite", format="litert", verbose=False)
    numbers = np.random.default_rng(0)
    inputs = {"zeta": numbers.random((24, 6)), "alpha": numbers.random((24, 4))}
    np.savez(folder / "two_inputs.npz", **inputs)
    np.savez(folder / "image.npz", numbers.random((24, 12, 12, 1), np.float32))
    dated(folder / "conv2d.keras", folder / "conv2d_again.keras")
    refused_until_saved_otherwise(folder)


def refused_until_saved_otherwise(folder: Path) -> None:
    """Models that need a step before they convert, and what that step makes of them."""
    dense = keras.Sequential([keras.Input((8,)), layers.Dense(16), layers.Dense(2)])
    scores = dense.outputs[0]
    keras.Model(dense.inputs, keras.ops.argmax(scores, axis=-1)).save(folder / "argmax.keras")
    keras.Model(dense.inputs, scores).save(folder / "argmax_followed.keras")
    dense.save(folder / "quantized_followed.keras")
    dense.quantize("int8")
    dense.save(folder / "quantized.keras")
    keras.mixed_precision.set_global_policy("mixed_float16")
    mixed = image_model()
    keras.mixed_precision.set_global_policy("float32")
    mixed.save(folder / "mixed.keras")
    copy = keras.models.clone_model(
        mixed,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), "dtype": "float32"}
        ),
    )
    copy.set_weights(mixed.get_weights())
    copy.save(folder / "mixed_followed.keras")
    model = Subclassed()
    model(np.zeros((32, 8), np.float32))
    model.save(folder / "subclassed.keras")
    module = Signatures()
    tf.saved_model.save(module, folder / "batch", signatures=module.fixed)
    tf.saved_model.save(module, folder / "batch_followed", signatures=module.opened)
    both = {"infer": module.opened, "train": module.fixed}
    tf.saved_model.save(module, folder / "signatures", signatures=both)
    loaded = tf.saved_model.load(folder / "signatures")
    trained = Trained()
    tf.saved_model.save(trained, folder / "with_ranges", signatures=trained.with_ranges)
    tf.saved_model.save(trained, folder / "pruned", signatures=trained.pruned)
    one = loaded.signatures["infer"]
    tf.saved_model.save(loaded, folder / "signatures_followed", signatures=one)


def old_depthwise(model, path: Path) -> None:
    """As Keras 2 wrote it: ``groups=1`` in the layer."""
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"]["groups"] = 1
        file.attrs["model_config"] = json.dumps(config)


def float_tflite(model, path: Path) -> None:
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def dated(source: Path, path: Path) -> None:
    """The same model saved at another time."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = content.replace(b'"date_saved": "', b'"date_saved": "1999-')
            new.writestr(name, content)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
