"""The manifest of an update image: the model, the board, the image and the tools that made it.

It holds no times and no paths, so the same inputs give the same bytes. (RSA and ECDSA signatures
are random: a signed image and its hash differ each time.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from typing import Any
from typing import Literal

import msgspec
from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable


#: The largest manifest that is read, bytes. Real ones have 1 KB.
_LARGEST_BYTES = 1024**2

Bytes = Annotated[int, Meta(ge=0, le=2**48)]


class PackagedModel(Struct, frozen=True):
    """The model file."""

    name: str
    sha256: str
    bytes: Bytes


class PackagedImage(Struct, frozen=True):
    """The file that was written, and the image in it; sizes and offset in bytes.

    ``bytes`` and ``sha256`` are the file's, ``image_bytes`` the image's without format.
    """

    file: str
    format: Literal["bin", "hex", "uf2"]
    sha256: str
    bytes: Bytes
    image_bytes: Bytes
    header_bytes: Bytes
    trailer_bytes: Bytes
    slot_bytes: Bytes
    align: Bytes
    sector_bytes: Annotated[int, Meta(ge=1, le=2**48)]
    signature: str
    flash_offset: Bytes | None = None
    flash_base: Bytes = 0


class PackagedFootprint(Struct, frozen=True):
    """What the model takes on the board, bytes."""

    runtime: str
    table: str
    flash: int
    ram: int
    arena: int | None = None


class Manifest(Struct, frozen=True):
    """The whole manifest of an update image."""

    schema_version: Literal[1]
    version: str
    board: str
    model: PackagedModel
    image: PackagedImage
    tools: dict[str, str]
    footprint: PackagedFootprint | None = None


def render_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON, keys sorted."""
    plain: Any = msgspec.to_builtins(manifest)
    return (json.dumps(plain, indent=2, sort_keys=True) + "\n").encode("ascii")


def load_manifest(path: Path) -> Manifest:
    """The manifest in the file ``path``.

    Raises:
        TinybudgetError: it cannot be read, or is no manifest.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise TinybudgetError(f"{path}: no manifest: larger than {_LARGEST_BYTES} bytes")
        return msgspec.json.decode(content, type=Manifest)
    except OSError as error:
        raise TinybudgetError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = printable(str(error))
        raise TinybudgetError(f"{path}: no manifest of an update image: {reason}") from error
