"""Makes the example's models from the quickstart's: float, INT8, and one that was trained less.

Not needed to run the example; it needs what ``quickstart/train_models.py`` needs.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any


HERE = Path(__file__).parent
QUICKSTART = HERE.parent / "quickstart" / "train_models.py"
#: The deployed model was trained this often, the quickstart's 40 times.
FEWER_EPOCHS = 12


def quickstart() -> ModuleType:
    """The script that trains the quickstart's models."""
    spec = importlib.util.spec_from_file_location("train_models", QUICKSTART)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def float_model(tensorflow: Any, model: Any) -> bytes:
    """The trained model as float TF Lite, what it is before quantisation."""
    return bytes(tensorflow.lite.TFLiteConverter.from_keras_model(model).convert())


def main() -> None:
    """Train twice, convert, and write the models."""
    import tensorflow

    training = quickstart()
    fit = training._fit

    def trained(epochs: int | None) -> tuple[Any, Any]:
        """The model and calibration data; ``epochs`` instead of the script's own number."""
        tensorflow.keras.utils.set_random_seed(training.SEED)
        if epochs is not None:
            training._fit = lambda *arguments, **_: fit(*arguments, epochs=epochs)
        return training.train_digits(tensorflow.keras)

    (HERE / "models").mkdir(exist_ok=True)
    model, calibration = trained(None)
    content = {
        "digits": training.convert(tensorflow, model, calibration),
        "digits_float": float_model(tensorflow, model),
        "digits_v1": training.convert(tensorflow, *trained(FEWER_EPOCHS)),
    }
    for name, each in content.items():
        (HERE / "models" / f"{name}.tflite").write_bytes(each)
        print(f"{name}: {len(each)} bytes")


if __name__ == "__main__":
    main()
