"""Recognizes model files of other formats and says how each becomes a source for this tool."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pytest_tinybudget.base.text import printable


_PYTORCH = (
    "save the model as a program, torch.export.save(torch.export.export(model.eval(), example), "
    '"kws.pt2"), and declare that'
)
_TENSORFLOW = (
    "declare the folder of a SavedModel, which holds saved_model.pb; make a .tflite of a frozen "
    "graph with tf.compat.v1.lite.TFLiteConverter.from_frozen_graph"
)
_RETRAIN = "load them into the model that they belong to, save that, and declare what was saved"

#: By suffix: what the file is, and what to do with it.
_BY_SUFFIX = {
    ".ort": ("an ONNX Runtime model", "declare the .onnx that it was made of"),
    ".pt": ("a PyTorch file", _PYTORCH),
    ".pth": ("a PyTorch file", _PYTORCH),
    ".ptl": ("a PyTorch Mobile model", _PYTORCH),
    ".pte": ("an ExecuTorch program", f"take the PyTorch model that it was made of: {_PYTORCH}"),
    ".ckpt": ("a checkpoint: weights without a graph", _RETRAIN),
    ".safetensors": ("weights without a graph", _RETRAIN),
    ".npz": ("arrays, no model", "declare it as representative_data or held-out data"),
    ".pb": (
        "a TensorFlow graph",
        _TENSORFLOW,
    ),
    ".pbtxt": ("a TensorFlow graph as text", "declare the folder of a SavedModel"),
    ".mlmodel": ("a Core ML model", "declare the model that it was converted from"),
    ".mlpackage": ("a Core ML model", "declare the model that it was converted from"),
    ".gguf": ("a language model for llama.cpp", "TFLM has no operators for it"),
    ".pkl": ("a Python pickle", "it is never opened: save the model as .keras or .tflite"),
    ".pickle": ("a Python pickle", "it is never opened: save the model as .keras or .tflite"),
    ".joblib": ("a Python pickle", "it is never opened: save the model as .keras or .tflite"),
}
#: Formats that the gate converts. A command that reads a file as it is cannot take them.
_DECLARE = "declare it with representative_data, and tinybudget check converts and measures it"
_CONVERTED = {
    ".keras": f"is a Keras model: {_DECLARE}",
    ".h5": f"is a Keras model: {_DECLARE}",
    ".hdf5": f"is a Keras model: {_DECLARE}",
    ".pt2": f"is a PyTorch program (torch.export): {_DECLARE} (with litert-torch)",
    ".onnx": f"is an ONNX model: {_DECLARE} (with onnx2tf)",
}
_PARTS_OF_SAVED_MODEL = ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb")
_TENSORFLOW_JS = ("model.json",)

_ZIP, _GZIP, _HDF5 = b"PK\x03\x04", b"\x1f\x8b", b"\x89HDF\r\n\x1a\n"
#: So many members of an archive are looked at, by their names.
_MOST_MEMBERS = 10_000


def is_foreign(path: Path) -> bool:
    """Whether the name of ``path`` is that of a model file of another kind."""
    return path.suffix.lower() in _BY_SUFFIX or path.name in _TENSORFLOW_JS


def foreign_words(path: Path, start: bytes = b"") -> str:
    """What a file is, by its name and first bytes, and how it becomes a source; empty: unknown."""
    if path.name in _PARTS_OF_SAVED_MODEL:
        return f"is part of a SavedModel: give its folder, {printable(path.parent.as_posix())}"
    if path.name in _TENSORFLOW_JS:
        return "is no .tflite: of TensorFlow.js, declare the Keras model that it was made of"
    if path.name.endswith(".weights.h5"):
        return f"is weights without a graph: {_RETRAIN}"
    if path.suffix.lower() in _CONVERTED:
        return _CONVERTED[path.suffix.lower()]
    if path.is_dir() and (path / "saved_model.pb").is_file():
        return f"is a SavedModel: {_DECLARE}"
    if path.suffix.lower() in _BY_SUFFIX:
        what, advice = _BY_SUFFIX[path.suffix.lower()]
        return f"is {what}: {advice}"
    if start.startswith(_ZIP):
        return _archive_words(path)
    if start.startswith(_GZIP):
        return "is compressed by gzip: unpack it (gunzip)"
    if start.startswith(_HDF5):
        return "is an HDF5 file: a Keras model of that kind is called .h5"
    return ""


def _archive_words(path: Path) -> str:
    """What a ZIP archive holds, by the names in it: nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MOST_MEMBERS]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return "is a damaged ZIP archive"
    models = sorted(name for name in names if name.lower().endswith(".tflite"))
    if models:
        return f"is a ZIP archive: unpack it and give {printable(models[0], limit=100)!r}"
    if "config.json" in names and "metadata.json" in names:
        return "is a Keras archive: such a file is called .keras"
    if any(name.endswith("/data.pkl") for name in names):
        return f"is a PyTorch file: {_PYTORCH}"
    return "is a ZIP archive without a .tflite in it"
