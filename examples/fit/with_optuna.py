"""A search with Optuna: sizes that do not fit the board are not trained.

``pip install pytest-tinybudget optuna tensorflow-cpu`` and ``python with_optuna.py``.
"""

from __future__ import annotations

from typing import Any

import optuna

from pytest_tinybudget import fit


BOARDS = ["raspberry-pi-pico", "esp32"]
BUDGET = {"ram": "12 KB", "flash": "200 KB"}
SHAPE, CLASSES = (12, 12, 1), 3


def plan(width: int, depth: int) -> dict[str, Any]:
    """The network that ``keras_model`` makes, as layers."""
    pair = [
        {"type": "depthwise_conv2d", "padding": "same", "activation": "relu"},
        {"type": "conv2d", "filters": width, "kernel": 1, "activation": "relu"},
    ]
    return {
        "input_shape": list(SHAPE),
        "layers": [
            {"type": "conv2d", "filters": width, "padding": "same", "activation": "relu"},
            {"repeat": depth, "block": pair},
            {"type": "global_average_pool2d"},
            {"type": "dense", "units": CLASSES},
        ],
    }


def missed(width: int, depth: int) -> float:
    """How far the network misses the tightest limit of any board; 0 where it fits all of them."""
    (candidate,) = fit(plan(width, depth), boards=BOARDS, budget=BUDGET).candidates
    if all(on.fits for on in candidate.boards):
        return 0.0
    # A network that TFLM refuses takes no share of a limit, and must not count as one that fits.
    return max(1.0, *(on.share for on in candidate.boards))


def objective(trial: optuna.Trial) -> float:
    """The accuracy of a trained network; 0 for one that was not worth it."""
    width = trial.suggest_int("width", 4, 64, step=4)
    depth = trial.suggest_int("depth", 1, 4)
    beyond = missed(width, depth)
    trial.set_constraint("fits", beyond)
    return 0.0 if beyond else accuracy(width, depth)


def search(trials: int) -> optuna.Study:
    """The study after so many trials."""
    sampler = optuna.samplers.TPESampler(seed=1)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def accuracy(width: int, depth: int) -> float:
    """Train it on noisy lines; the share of others whose direction it tells."""
    import keras

    model = keras_model(width, depth)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(*lines(300, seed=1), epochs=4, verbose=0)
    return float(model.evaluate(*lines(100, seed=2), verbose=0)[1])


def keras_model(width: int, depth: int) -> Any:
    """The network, to be trained."""
    import keras

    layers = keras.layers
    body = [layers.Conv2D(width, 3, padding="same", activation="relu")]
    for _ in range(depth):
        body.append(layers.DepthwiseConv2D(3, padding="same", activation="relu"))
        body.append(layers.Conv2D(width, 1, activation="relu"))
    body += [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)]
    return keras.Sequential([keras.Input(SHAPE), *body])


def lines(count: int, seed: int) -> tuple[Any, Any]:
    """Pictures of horizontal, vertical and diagonal lines, and which of these each is."""
    import numpy as np

    rng = np.random.default_rng(seed)
    size = SHAPE[0]
    pictures = rng.normal(0, 0.2, (count, *SHAPE)).astype("float32")
    kinds, places = rng.integers(CLASSES, size=count), rng.integers(size, size=count)
    for picture, kind, place in zip(pictures, kinds, places, strict=True):
        for step in range(size):
            row, column = ((place, step), (step, place), (step, (place + step) % size))[kind]
            picture[row, column] += 1
    return pictures, kinds


if __name__ == "__main__":
    found = search(trials=30)
    print(f"best: {found.best_params}, accuracy {found.best_value:.2f}")
    spared = sum(trial.value == 0 for trial in found.trials)
    print(f"{len(found.trials)} trials, {spared} of them not trained: they would not fit")
