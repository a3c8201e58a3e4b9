"""Recognizes the kind of a source by name and first bytes, and refuses what is unsafe to open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pytest_tinybudget.base.lfs import IS_A_POINTER
from pytest_tinybudget.base.lfs import POINTER
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.settings import SAVED_MODEL_FILE
from pytest_tinybudget.convert.settings import Conversion


#: ``keras``: Keras 3 archive; ``h5``: HDF5, Keras 3 or older; ``saved_model``: folder;
#: ``tflite``: float TF Lite; ``onnx``: ONNX;
#: ``torch``: a program of ``torch.export``.
Kind = Literal["keras", "h5", "saved_model", "tflite", "onnx", "torch"]
#: What a worker imports: ``plan`` for Keras models whose graph is known without TensorFlow,
#: ``tensorflow`` for all others and SavedModels, ``torch`` for PyTorch, ``quantizer`` for the rest;
#: ``worker/`` has a module ``…_backend`` for each. One behind another does what that one cannot.
Backend = Literal["plan", "tensorflow", "quantizer", "torch"]

_SUFFIXES: dict[str, Kind] = {
    ".keras": "keras",
    ".h5": "h5",
    ".hdf5": "h5",
    ".tflite": "tflite",
    ".onnx": "onnx",
    ".pt2": "torch",
}
_TFLITE_START = b"\0\0\0\0TFL3"
_ZIP_START = b"PK\x03\x04"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_EXPORT = (
    "write one where the model is: "
    'torch.export.save(torch.export.export(model.eval(), example), "kws.pt2")'
)

#: What can be planned, and that in words.
_PLANNED: frozenset[Kind] = frozenset({"keras", "torch"})
ONLY_PLANNED = "only a .keras or a .pt2 file tells its layers"

#: Absolute names, or with "..": Keras never writes them, and unpacking might follow them.
_LEADS_OUT = r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)"

#: The largest description of a network, bytes. Real ones have kilobytes.
_MAX_CONFIG_BYTES = 64 * 1024**2
#: The largest archive, bytes. No microcontroller holds the weights of a larger one.
_MAX_ARCHIVE_BYTES = 2 * 1024**3


def kind_of(path: Path) -> Kind:
    """The kind of the source at ``path``; TF Lite where nothing else is recognized."""
    if (path / SAVED_MODEL_FILE).is_file():
        return "saved_model"
    kind = _SUFFIXES.get(path.suffix.lower(), "tflite")
    return "tflite" if kind in ("onnx", "torch") and _is_tflite(path) else kind


def _is_tflite(path: Path) -> bool:
    """Whether a file with another format's name is TF Lite: a model is what its bytes say."""
    try:
        with path.open("rb") as opened:
            return opened.read(len(_TFLITE_START))[4:] == _TFLITE_START[4:]
    except OSError:
        return False


def tells_layers(kind: Kind) -> bool:
    """Whether a source of this kind can be planned: its layers are read without a framework."""
    return kind in _PLANNED


def by_quantizer(kind: Kind) -> bool:
    """Whether the quantizer makes the INT8 file, of a float ``.tflite`` at hand or made first."""
    return backend_of(kind) != "tensorflow"


def backend_of(kind: Kind) -> Backend:
    """What a worker imports to convert a source of this kind."""
    if kind == "torch":
        return "torch"
    return "quantizer" if kind in ("tflite", "onnx") else "tensorflow"


def converts(path: Path, settings: Conversion) -> bool:
    """Whether the model at ``path`` has to be converted before it can be measured.

    A ``.tflite`` is taken as it is, unless representative data is declared and its inputs or
    outputs are float.
    """
    if kind_of(path) != "tflite":
        return True
    return settings.representative_data is not None and _is_float(path)


def _is_float(path: Path) -> bool:
    from pytest_tinybudget.base.errors import ModelError
    from pytest_tinybudget.graph.tflite import load_model

    try:
        main = load_model(path).main
    except ModelError:
        return False  # whoever reads it next says what is wrong with it
    return any(main.tensors[index].type == "FLOAT32" for index in (*main.inputs, *main.outputs))


def check_source(path: Path, kind: Kind, shown: str) -> None:
    """Refuse a damaged or unreasonable source before a framework is started.

    Raises:
        ConversionError: missing, empty, not what its name says, or unreasonably large.
    """
    if path.name.endswith(".weights.h5"):
        from pytest_tinybudget.graph.foreign import foreign_words

        raise ConversionError(f"{shown}: {foreign_words(path)}")
    file = path / SAVED_MODEL_FILE if kind == "saved_model" else path
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(len(POINTER))
    except OSError as error:
        raise ConversionError(f"{shown}: cannot be read: {error.strerror}") from None
    if size == 0:
        raise ConversionError(f"{shown}: is empty")
    if start == POINTER:
        raise ConversionError(f"{shown}: {IS_A_POINTER}")
    if kind == "keras":
        _check_archive(path, shown)
    elif kind == "torch":
        _check_program(path, start, shown)
    elif kind == "onnx":
        _check_onnx(path, shown)
    elif kind == "h5" and not start.startswith(_HDF5_SIGNATURE):
        begins = start[: len(_HDF5_SIGNATURE)]
        raise ConversionError(f"{shown}: not an HDF5 file (its first bytes are {begins!r})")


def _check_program(path: Path, start: bytes, shown: str) -> None:
    """Refuse what torch.save and torch.jit.save write: pickles, and no program in JSON."""
    import zipfile

    fault = "no ZIP archive"
    if start.startswith(_ZIP_START):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            fault = printable(str(error), limit=80)
        else:
            if any(name.endswith(".json") for name in names):
                return
            fault = "what torch.save or torch.jit.save writes holds none"
    raise ConversionError(
        f"{shown}: not a program of torch.export ({fault})",
        details=(_EXPORT,),
    )


def _check_onnx(path: Path, shown: str) -> None:
    from pytest_tinybudget.convert.onnx_file import read_onnx

    model = read_onnx(path)
    if model is None:
        raise ConversionError(
            f"{shown}: not an ONNX model: its bytes are no such message",
            details=('PyTorch writes one by torch.onnx.export(model.eval(), example, "kws.onnx")',),
        )
    for name in model.weight_files:
        told = printable(name, limit=80)
        if re.search(_LEADS_OUT, name):
            raise ConversionError(
                f"{shown}: its weights are in {told!r}, which is not below its folder",
                details=("save the model with its weights in it, or beside it",),
            )
        if not (path.parent / name).is_file():
            raise ConversionError(
                f"{shown}: its weights are in {told!r}, and there is no such file beside it",
                details=("put it there, or save the model again with its weights in it",),
            )


def weights_beside(source: Path) -> list[Path]:
    """The files below an ONNX model's folder that hold its weights, relative to that.

    They are those that the model names, and those whose name begins with its own.
    """
    from pytest_tinybudget.convert.onnx_file import read_onnx

    model = read_onnx(source)
    named = [] if model is None else model.weight_files
    beside = [
        file.name
        for file in source.parent.iterdir()
        if file.name.startswith((f"{source.name}.", f"{source.name}_")) and file.is_file()
    ]
    return sorted({Path(name) for name in (*named, *beside)})


def _check_archive(path: Path, shown: str) -> None:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ConversionError(f"{shown}: not a .keras archive: {error}") from None
    sizes = {member.filename: member.file_size for member in members}
    if len(sizes) < len(members):
        raise ConversionError(f"{shown}: not a .keras archive: it has a member twice")
    for name in sizes:
        if re.search(_LEADS_OUT, name):
            told = printable(name, limit=60)
            raise ConversionError(f"{shown}: its member {told!r} leads out of the archive")
    if "config.json" not in sizes:
        raise ConversionError(f"{shown}: not a .keras archive: it has no config.json")
    for size, limit, what in (
        (sizes["config.json"], _MAX_CONFIG_BYTES, "its config.json"),
        (sum(sizes.values()), _MAX_ARCHIVE_BYTES, "it"),
    ):
        if size > limit:
            raise ConversionError(
                f"{shown}: {what} would unpack to {size:,} bytes (at most {limit:,})"
            )
