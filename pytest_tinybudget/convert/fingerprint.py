"""The key of a conversion's result in the cache: one hash of all that went into it.

It is computed without a framework.

Two saves of the same Keras model differ in a date and share their fingerprint. Tool versions and
the CPU's vector units count, because another converter gives another file and another CPU another
last bit (3 of 6 models differed in a scale or a weight without AVX-512).
"""

from __future__ import annotations

import hashlib
import platform
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from pathlib import Path

from msgspec.structs import asdict

from pytest_tinybudget.base.files import file_digest
from pytest_tinybudget.convert.onnx2tf import NAME
from pytest_tinybudget.convert.onnx2tf import version_of
from pytest_tinybudget.convert.quantizers import quantizer_name
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import Kind
from pytest_tinybudget.convert.sources import by_quantizer
from pytest_tinybudget.convert.sources import weights_beside


#: Raise it when a change here makes another file of the same model.
REVISION = 12

#: With what converts Keras models without TensorFlow: a model decides by itself which it needs.
_TENSORFLOW = (
    "tensorflow", "tensorflow-cpu", "keras", "tf_keras", "numpy", "h5py", "ai-edge-litert",
)  # fmt: skip
_QUANTIZER = ("ai-edge-litert", "numpy")
_TORCH = ("torch", "litert-torch", "litert-converter")

#: CPU features that choose other kernels in TensorFlow's calibration, as Linux names them.
_FEATURES = ("sse4_1", "avx", "fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8",
             "asimd", "asimddp", "i8mm", "bf16", "sve")  # fmt: skip

#: Settings that change no byte of the result.
_NOT_IN_THE_RESULT = ("root", "timeout_seconds", "memory_bytes", "onnx_command", "plan")

_CHUNK_BYTES = 1 << 20


def fingerprint(source: Path, kind: Kind, settings: Conversion) -> str:
    """The hash under which the conversion of ``source`` is kept, in hexadecimal.

    Raises:
        OSError: source or data cannot be read.
    """
    digest = hashlib.sha256()
    for part in _parts(source, kind, settings):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _parts(source: Path, kind: Kind, settings: Conversion) -> Iterator[bytes]:
    yield f"{REVISION} {kind}".encode()
    yield from (repr(item).encode() for item in versions(kind, settings).items())
    yield machine().encode()
    declared = asdict(settings)
    if not settings.input_shapes:
        del declared["input_shapes"]
    yield from (
        repr(item).encode() for item in declared.items() if item[0] not in _NOT_IN_THE_RESULT
    )
    yield from _archive_parts(source) if kind == "keras" else _file_parts(source)
    for file in weights_beside(source) if kind == "onnx" else ():
        yield file.as_posix().encode("utf-8", "surrogateescape")
        yield file_digest(source.parent / file)
    if settings.data_path is not None:
        yield from _file_parts(settings.data_path)


def _archive_parts(path: Path) -> Iterator[bytes]:
    """The members of a ``.keras`` file that make the model: ``metadata.json`` holds a date."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name != "metadata.json":
                digest = hashlib.sha256()
                with archive.open(name) as member:
                    while chunk := member.read(_CHUNK_BYTES):
                        digest.update(chunk)
                yield name.encode("utf-8", "surrogateescape")
                yield digest.digest()


def _file_parts(path: Path) -> Iterator[bytes]:
    """A file's contents, or those of all files of a folder with their names."""
    if not path.is_dir():
        yield file_digest(path)
        return
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        yield file.relative_to(path).as_posix().encode("utf-8", "surrogateescape")
        yield file_digest(file)


def versions(kind: Kind, settings: Conversion) -> dict[str, str]:
    """Versions of what converts sources of this kind, by package; of the command for ONNX too."""
    found = _installed(kind)
    if kind == "onnx":
        return {**found, NAME: version_of(settings.onnx_command, settings.root)}
    return found


@cache
def _installed(kind: Kind) -> dict[str, str]:
    packages = (quantizer_name(), *_QUANTIZER) if by_quantizer(kind) else _TENSORFLOW
    if kind == "torch":
        packages = (*_TORCH, *packages)
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@cache
def machine() -> str:
    """Processor type and the features of it that change a converter's arithmetic."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split("\n")
    except OSError:
        return f"{platform.system()} {platform.machine()} {platform.processor()}"
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    present = [feature for feature in _FEATURES if feature in flags.split()]
    return " ".join((platform.system(), platform.machine(), *present))
