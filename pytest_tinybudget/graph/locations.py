"""Where a model is: a file of its own, or an array in a C or C++ source (``FILE::ARRAY``)."""

from __future__ import annotations

from pathlib import Path


#: Sources and headers of C, C++ and Arduino, and what such files include.
C_SUFFIXES = frozenset(
    {".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".inc", ".inl", ".ino"}
)

#: Assembler, which can only include a model.
ASSEMBLER_SUFFIXES = frozenset({".s", ".asm"})

#: Suffixes of models that are measured as they are, or converted.
_SUFFIXES = frozenset({".tflite", ".lite", ".keras", ".h5", ".hdf5", ".onnx", ".pt2"})

#: Larger files are refused before they are read: no microcontroller maps as much flash.
MAX_FILE_BYTES = 256 * 1024**2

#: Separates a file from the array in it, as pytest separates the parts of a node id.
SEPARATOR = "::"


def is_c_source(path: Path) -> bool:
    """Whether ``path``, with or without the name of an array, is looked at for arrays."""
    file, _ = file_and_array(path)
    return file.suffix.lower() in C_SUFFIXES


def file_and_array(path: Path) -> tuple[Path, str]:
    """The file and the array of ``FILE::ARRAY``; an empty name where there is none."""
    name, separator, array = path.name.partition(SEPARATOR)
    if not separator or Path(name).suffix.lower() not in C_SUFFIXES:
        return path, ""
    return path.with_name(name), array


def model_name(path: Path) -> str:
    """What the model at ``path`` is called: the array of ``FILE::ARRAY``, or the file's stem."""
    file, array = file_and_array(path)
    return array or file.stem


def is_model_name(path: Path) -> bool:
    """Whether a file of this name is a model, of whatever kind, and not a declaration."""
    from pytest_tinybudget.graph.foreign import is_foreign

    file, _ = file_and_array(path)
    suffix = file.suffix.lower()
    return suffix in _SUFFIXES or suffix in C_SUFFIXES | ASSEMBLER_SUFFIXES or is_foreign(file)


def holds_model(path: Path) -> bool:
    """Whether the file or folder ``path``, whatever its name, is a TF Lite model or SavedModel."""
    try:
        if path.is_dir():
            return (path / "saved_model.pb").is_file()
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(8)[4:] == b"TFL3"
    except (OSError, ValueError):
        return False
