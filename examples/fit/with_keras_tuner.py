"""A search with KerasTuner: models that do not fit the board are not trained.

``pip install pytest-tinybudget keras-tuner tensorboard tensorflow-cpu optuna``, then
``python with_keras_tuner.py``.
"""

from __future__ import annotations

import tempfile
from typing import Any

import keras
import keras_tuner

# The network and the data are those of the other example.
from with_optuna import BOARDS
from with_optuna import BUDGET
from with_optuna import keras_model
from with_optuna import lines

from pytest_tinybudget import check


def build(hp: keras_tuner.HyperParameters) -> Any:
    """A model to be trained.

    Raises:
        FailedTrialError: it does not fit a board; the message says by how much.
    """
    model = keras_model(hp.Int("width", 4, 64, step=4), hp.Int("depth", 1, 4))
    for board in BOARDS:
        # Planned from its layers: a model without its weights takes what it will take with them.
        result = check(model, board=board, budget=BUDGET, plan=True)
        if result.failed:
            raise keras_tuner.errors.FailedTrialError(f"{board}: {result.headline}")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def search(trials: int, folder: str) -> keras_tuner.Tuner:
    """The tuner after so many trials, which writes its files into ``folder``."""
    tuner = keras_tuner.RandomSearch(
        build,
        objective="val_accuracy",
        max_trials=trials,
        # Of models that do not fit there may be any number in a row.
        max_consecutive_failed_trials=trials,
        seed=1,
        directory=folder,
    )
    tuner.search(*lines(300, seed=1), validation_data=lines(100, seed=2), epochs=4, verbose=0)
    return tuner


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        found = search(trials=20, folder=name)
        best = found.oracle.get_best_trials()[0]
        print(f"best: {best.hyperparameters.values}, accuracy {best.score:.2f}")
        spared = [each for each in found.oracle.trials.values() if each.status != "COMPLETED"]
        print(f"{len(found.oracle.trials)} trials, {len(spared)} of them not trained")
