"""Packages a model as an update image: its place in flash, file formats, and the check."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.update.image import HEADER_FIELDS_BYTES
from pytest_tinybudget.update.image import LARGEST_HEADER_BYTES
from pytest_tinybudget.update.image import UpdateImage
from pytest_tinybudget.update.image import read_image
from pytest_tinybudget.update.manifest import Manifest
from pytest_tinybudget.update.signing import imgtool_version
from pytest_tinybudget.update.signing import signature_problem
from pytest_tinybudget.update.signing import to_uf2


#: TFLM reads a model in place, at a multiple of so many bytes.
MODEL_ALIGNMENT = 16
#: Bytes of a flash sector, the unit of erasing. Most external flashes have this size.
DEFAULT_SECTOR_BYTES = 4096
#: The largest span of a hex file, bytes: more than any flash of the catalog.
_LARGEST_SPAN_BYTES = 128 * 1024**2


class Finding(Struct, frozen=True):
    """The result of one check. ``text`` says what was found."""

    ok: bool
    text: str


def check_header(header: int) -> None:
    """Check that the model behind a header of this size can be read in place.

    Raises:
        TinybudgetError: It is too small, too large, or no multiple of 16.
    """
    if not HEADER_FIELDS_BYTES <= header <= LARGEST_HEADER_BYTES or header % MODEL_ALIGNMENT:
        raise TinybudgetError(
            f"header size {header}: expected a multiple of {MODEL_ALIGNMENT}, as TFLM needs the "
            f"model aligned, from {HEADER_FIELDS_BYTES} to {LARGEST_HEADER_BYTES}"
        )


def check_offset(offset: int, *, slot: int, sector: int, flash: int | None) -> None:
    """Check that a slot may begin at ``offset`` bytes from the start of the flash.

    Raises:
        TinybudgetError: a sector would be shared, or the slot ends outside the flash.
    """
    if offset % sector:
        raise TinybudgetError(
            f"flash offset {offset:#x} is not a multiple of the sector, {sector:#x}: erasing "
            "the slot would erase what is before it"
        )
    if slot % sector:
        raise TinybudgetError(
            f"a slot of {format_size(slot, exact=True)} is no multiple of the sector, {sector:#x}: "
            "erasing it would erase what is behind it"
        )
    if flash is not None and offset + slot > flash:
        raise TinybudgetError(
            f"a slot of {format_size(slot)} at flash offset {offset:#x} ends at "
            f"{offset + slot:#x}, beyond the board's flash of {format_size(flash)}"
        )


def encode(image: bytes, file_format: str, address: int, chip: str) -> bytes:
    """``image`` as the content of a ``"bin"``, ``"hex"`` or ``"uf2"`` file for ``address``.

    Raises:
        TinybudgetError: the tool for the format is missing, or has no such ``chip``.
    """
    if file_format == "hex":
        from intelhex import IntelHex

        file, text = IntelHex(), io.StringIO()
        file.frombytes(image, offset=address)
        file.write_hex_file(text, eolstyle="native")
        return text.getvalue().encode("ascii")
    if file_format == "uf2":
        return to_uf2(image, address, chip)
    return image


def decode_hex(content: bytes) -> tuple[int, bytes]:
    """Address and bytes of an Intel HEX file.

    Raises:
        TinybudgetError: it is none, or has gaps, or the library for it is missing.
    """
    imgtool_version()  # brings intelhex
    from intelhex import IntelHex
    from intelhex import IntelHexError

    file = IntelHex()
    try:
        file.loadhex(io.StringIO(content.decode("ascii")))
    except (IntelHexError, ValueError) as error:
        raise TinybudgetError(f"no Intel HEX file: {error}") from error
    if len(file) == 0 or len(file.segments()) > 1 or len(file) > _LARGEST_SPAN_BYTES:
        raise TinybudgetError("no Intel HEX file of one image: expected one block of data")
    return int(file.minaddr()), bytes(file.tobinarray())


def findings(content: bytes, manifest: Manifest, key: Path | None) -> Iterator[Finding]:
    """The checks that a device makes before it uses an image, in order.

    ``content`` is the file that ``manifest`` describes. With ``key``, a public key, the signature
    is checked too. The list ends with the first finding that makes further checks pointless.
    """
    wanted = manifest.image
    yield _same("sha256 of the file", hashlib.sha256(content).hexdigest(), wanted.sha256)
    if wanted.format == "uf2":
        yield Finding(True, "the image in a UF2 file is not looked into")
        return
    address = None
    try:
        if wanted.format == "hex":
            address, content = decode_hex(content)
        image = read_image(content)
    except TinybudgetError as error:
        yield Finding(False, error.message)
        return
    yield Finding(True, "header and records are whole")
    yield from _in_the_image(image, manifest)
    if key is not None:
        problem = signature_problem(content, key)
        yield Finding(not problem, f"signature: {problem or 'made by the owner of the key'}")
    yield from _in_the_slot(image, manifest, address)


def _in_the_image(image: UpdateImage, manifest: Manifest) -> Iterator[Finding]:
    yield _same(f"{image.hash_name} record", image.found_digest.hex(), image.digest.hex())
    yield _same("version", str(image.version), manifest.version)
    yield _same("header size", str(image.header_bytes), str(manifest.image.header_bytes))
    yield _same(
        "sha256 of the model", hashlib.sha256(image.body).hexdigest(), manifest.model.sha256
    )
    yield _same("signature", image.signature, manifest.image.signature)


def _in_the_slot(image: UpdateImage, manifest: Manifest, address: int | None) -> Iterator[Finding]:
    wanted = manifest.image
    taken = image.size + wanted.trailer_bytes
    yield Finding(
        taken <= wanted.slot_bytes,
        f"image and trailer: {taken:,} of {wanted.slot_bytes:,} B of the slot",
    )
    if wanted.flash_offset is None:
        return
    try:
        check_offset(
            wanted.flash_offset, slot=wanted.slot_bytes, sector=wanted.sector_bytes, flash=None
        )
        yield Finding(True, f"flash offset: {wanted.flash_offset:#x}, aligned to the sector")
    except TinybudgetError as error:
        yield Finding(False, error.message)
    if address is not None:
        expected = wanted.flash_base + wanted.flash_offset
        yield _same("address in the hex file", hex(address), hex(expected))


def _same(what: str, found: str, expected: str) -> Finding:
    if found == expected:
        return Finding(True, f"{what}: {found}")
    return Finding(False, f"{what}: {found}, expected {printable(expected)}")
