"""Reads MCUboot's image format: a header, the model, and records (TLVs) behind it.

Files may come from anyone, so every offset is checked. MCUboot's ``docs/design.md`` documents the
format.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable


#: Bytes of the header's fields. The rest of its declared size is padding.
HEADER_FIELDS_BYTES = 32
#: The header's size has 16 bits.
LARGEST_HEADER_BYTES = 0xFFFF

_MAGIC = 0x96F3B83D
_HEADER = struct.Struct("<IIHHIIBBHII")
_RECORD = struct.Struct("<HH")
_RECORDS_MAGIC, _PROTECTED_MAGIC = 0x6907, 0x6908
_SHA384 = 0x11
_HASHES = {0x10: "sha256", _SHA384: "sha384", 0x12: "sha512"}
_SIGNATURES = {0x20: "rsa-2048", 0x22: "ecdsa-p256", 0x23: "rsa-3072", 0x24: "ed25519"}

_VERSION = re.compile(
    r"(?P<major>\d+)(?:\.(?P<minor>\d+)(?:\.(?P<revision>\d+)(?:\+(?P<build>\d+))?)?)?"
)
_VERSION_LIMITS = {"major": 0xFF, "minor": 0xFF, "revision": 0xFFFF, "build": 0xFFFFFFFF}


class Version(NamedTuple):
    """A version as an image's header holds it."""

    major: int
    minor: int
    revision: int
    build: int

    def __str__(self) -> str:
        """``"1.2.0"``, ``"1.2.0+7"``."""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.revision}{build}"


def parse_version(text: str) -> Version:
    """The version of ``"1.2.0"`` or ``"1.2.0+7"``, later parts optional.

    Raises:
        TinybudgetError: not a version, or a part does not fit its field of the header.
    """
    match = _VERSION.fullmatch(text)
    if match is None or not text.isascii():
        raise TinybudgetError(
            f"version {printable(text, limit=60)!r}: expected MAJOR.MINOR.REVISION+BUILD, "
            "such as 1.2.0 (later parts may be left out)"
        )
    parts = {}
    for name, limit in _VERSION_LIMITS.items():
        digits = match[name] or "0"
        if len(digits) > 10 or int(digits) > limit:
            shown = printable(text, limit=60)
            raise TinybudgetError(f"version {shown!r}: {name} is more than {limit}")
        if len(digits) > 1 and digits[0] == "0":
            raise TinybudgetError(f"version {text!r}: {name} begins with a zero")
        parts[name] = int(digits)
    return Version(**parts)


class UpdateImage(Struct, frozen=True):
    """An image without the padding of its slot. Sizes are bytes.

    ``header_bytes`` precede ``body``; ``size`` is the whole image with header and records.
    ``digest`` is the hash that a record states, ``found_digest`` the hash of the bytes: MCUboot
    compares them. ``hash_name`` is the kind of hash, ``signature`` that of the signature
    (``"none"`` without one).
    """

    version: Version
    header_bytes: int
    body: bytes
    size: int
    hash_name: str
    digest: bytes
    found_digest: bytes
    signature: str


def read_image(content: bytes) -> UpdateImage:
    """The image that ``content`` begins with.

    Raises:
        TinybudgetError: it is no image, truncated, or its records are not consistent.
    """
    if len(content) < HEADER_FIELDS_BYTES:
        raise TinybudgetError(f"no update image: {len(content)} bytes are less than its header")
    magic, _, header, protected, body, _, *version, _ = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        raise TinybudgetError(f"no update image: magic {magic:#010x}, expected {_MAGIC:#010x}")
    end = header + body
    if header < HEADER_FIELDS_BYTES or end > len(content):
        raise TinybudgetError(
            f"update image: header of {header} and body of {body} bytes in {len(content)} bytes"
        )
    hashed = end
    if protected:
        hashed += _area_bytes(content, end, _PROTECTED_MAGIC)
        if hashed != end + protected:
            raise TinybudgetError("update image: the protected records are not as long as declared")
    size = hashed + _area_bytes(content, hashed, _RECORDS_MAGIC)
    records = list(_records(content, hashed + _RECORD.size, size))
    hashes = [(kind, value) for kind, value in records if kind in _HASHES]
    if not hashes:
        raise TinybudgetError("update image: no record with its hash")
    kind, digest = hashes[0]
    return UpdateImage(
        version=Version(*version),
        header_bytes=header,
        body=content[header:end],
        size=size,
        hash_name=_HASHES[kind],
        digest=digest,
        found_digest=hashlib.new(_HASHES[kind], content[:hashed]).digest(),
        signature=_signature([kind for kind, _ in records]),
    )


def _signature(kinds: list[int]) -> str:
    """The signature's name. The two ECDSA curves share a record type and differ in the hash."""
    name = next((_SIGNATURES[kind] for kind in kinds if kind in _SIGNATURES), "none")
    return "ecdsa-p384" if name == "ecdsa-p256" and _SHA384 in kinds else name


def _area_bytes(content: bytes, offset: int, expected: int) -> int:
    """Length of the records' area at ``offset``, its head included."""
    if offset + _RECORD.size > len(content):
        raise TinybudgetError("update image: ends before its records")
    magic, size = _RECORD.unpack_from(content, offset)
    if magic != expected:
        raise TinybudgetError(
            f"update image: records begin with {magic:#06x}, expected {expected:#06x}"
        )
    if size < _RECORD.size or offset + size > len(content):
        raise TinybudgetError(f"update image: {size} bytes of records do not fit the file")
    return int(size)


def _records(content: bytes, offset: int, end: int) -> Iterator[tuple[int, bytes]]:
    while offset < end:
        if offset + _RECORD.size > end:
            raise TinybudgetError("update image: a record is cut off")
        kind, size = _RECORD.unpack_from(content, offset)
        offset += _RECORD.size
        if offset + size > end:
            raise TinybudgetError(f"update image: record {kind:#06x} of {size} bytes is cut off")
        yield kind, content[offset : offset + size]
        offset += size
