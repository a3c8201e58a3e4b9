"""Whether the packages that a conversion needs are installed, without importing them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.onnx2tf import REQUIREMENT
from pytest_tinybudget.convert.onnx2tf import unfound
from pytest_tinybudget.convert.onnx2tf import unsuited
from pytest_tinybudget.convert.onnx2tf import version_of
from pytest_tinybudget.convert.quantizers import installed_quantizer
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import Kind
from pytest_tinybudget.convert.sources import by_quantizer


#: Neither tensorflow-cpu nor tensorflow has a release for a newer Python.
_NEWEST_PYTHON = (3, 13)


def can_plan() -> bool:
    """Whether the packages are there that convert Keras models whose graph is known."""
    return all(find_spec(each) is not None for each in ("h5py", "ai_edge_litert", "flatbuffers"))


def missing_packages(
    kind: Kind, shown: str, settings: Conversion, unplanned: str = ""
) -> ConversionError | None:
    """The message for a source whose framework is missing, with the command that installs it.

    ``unplanned`` is why a Keras model needs TensorFlow, where that has turned out.
    """
    if kind == "torch":
        modules = ("torch", "litert_torch")
        is_there = installed_quantizer() is not None and all(map(find_spec, modules))
        extra, what = "pytorch", "PyTorch sources"
    elif by_quantizer(kind):
        is_there = installed_quantizer() is not None
        extra, what = "quantize", "ONNX sources" if kind == "onnx" else "a float .tflite"
    else:
        is_planned = kind == "keras" and not unplanned and can_plan()
        is_there = is_planned or find_spec("tensorflow") is not None
        extra, what = "tensorflow", "Keras and SavedModel sources"
    if is_there:
        return _missing_command(shown, settings) if kind == "onnx" else None
    details = []
    if unplanned:
        details.append(f"without TensorFlow it is not converted: {unplanned}")
    elif kind == "keras":
        details.append(
            "models of the usual layers need no TensorFlow: pip install "
            '"pytest-tinybudget[quantize]"'
        )
    if not by_quantizer(kind) and sys.version_info[:2] > _NEWEST_PYTHON:
        details.append(
            "TensorFlow has no release for this Python: use 3.13 or older, or convert elsewhere "
            "and declare the .tflite"
        )
    return ConversionError(
        f'{shown}: {what} need more packages: pip install "pytest-tinybudget[{extra}]"',
        details=tuple(details),
        code="TB103",
    )


def _missing_command(shown: str, settings: Conversion) -> ConversionError | None:
    """The message for an ONNX source where onnx2tf is not there, or not one that is known."""
    command, root = settings.onnx_command, settings.root
    if missing := unfound(command, root):
        text = f"{shown}: ONNX sources need the command {command[0]!r}, which {missing}"
    elif fault := unsuited(version_of(command, root)):
        text = f"{shown}: the command {command[0]!r} {fault}"
    else:
        return None
    return ConversionError(
        text,
        details=(
            "give it an environment of its own, since its packages exclude ours:",
            f'  python -m venv .venv-onnx && .venv-onnx/bin/pip install "{REQUIREMENT}"',
            "and declare it:",
            "  [convert.onnx]",
            '  command = ".venv-onnx/bin/onnx2tf"',
        ),
        code="TB103",
    )
