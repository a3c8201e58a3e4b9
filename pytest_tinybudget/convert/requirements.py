"""Whether the packages that a conversion needs are installed, without importing them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.quantizers import installed_quantizer
from pytest_tinybudget.convert.sources import Kind


#: Neither tensorflow-cpu nor tensorflow has a release for a newer Python.
_NEWEST_PYTHON = (3, 13)


def missing_packages(kind: Kind, shown: str) -> ConversionError | None:
    """The message for a source whose framework is missing, with the command that installs it."""
    if kind == "tflite":
        is_there = installed_quantizer() is not None
        extra, what = "quantize", "a float .tflite"
    else:
        is_there = find_spec("tensorflow") is not None
        extra, what = "tensorflow", "Keras and SavedModel sources"
    if is_there:
        return None
    details = []
    if kind != "tflite" and sys.version_info[:2] > _NEWEST_PYTHON:
        details.append(
            "TensorFlow has no release for this Python: use 3.13 or older, or convert elsewhere "
            "and declare the .tflite"
        )
    return ConversionError(
        f'{shown}: {what} need more packages: pip install "pytest-tinybudget[{extra}]"',
        details=tuple(details),
        code="TB103",
    )
