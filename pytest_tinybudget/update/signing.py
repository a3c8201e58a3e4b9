"""Runs MCUboot's ``imgtool`` and Espressif's ``esptool`` in child processes.

The tools get the path of the user's key; this package never opens it. A tool's failure, which may
be a traceback, becomes one line.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.folders import temporary_folder
from pytest_tinybudget.base.processes import module
from pytest_tinybudget.base.processes import run
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.update.image import Version


#: Seconds that a call of a tool may take; imgtool needs 0.15.
TIME_LIMIT_SECONDS = 60

_IMGTOOL = "from imgtool.main import imgtool; imgtool(prog_name='imgtool')"
_TOO_LARGE = re.compile(
    r"Image size \(0x([0-9a-f]+)\) \+ trailer \(0x([0-9a-f]+)\) exceeds requested size"
)


class Placement(Struct, frozen=True):
    """The slot for an image. All sizes are bytes.

    ``slot`` is its size, ``align`` the write size of the flash, ``header`` precedes the model, and
    the ``trailer`` at the end records the swap of ``sectors`` sectors.
    """

    slot: int
    header: int
    align: int
    sectors: int
    trailer: int

    def check(self, image: int, trailer: int) -> None:
        """Check that an image of these bytes fits the slot with its trailer.

        Raises:
            TinybudgetError: it does not.
        """
        over = image + trailer - self.slot
        if over > 0:
            raise TinybudgetError(
                f"the image, {format_size(image)}, and its trailer, {format_size(trailer)}, do "
                f"not fit the slot of {format_size(self.slot)}: over by {format_size(over)}"
            )


def imgtool_version() -> str:
    """The version of the installed imgtool.

    Raises:
        TinybudgetError: it is not installed.
    """
    if importlib.util.find_spec("imgtool") is None:
        raise TinybudgetError(
            "update images are made by MCUboot's imgtool: pip install 'pytest-tinybudget[mcuboot]'",
            code="TB103",
        )
    return installed_version("imgtool")


def sign(model: bytes, version: Version, placement: Placement, key: Path | None) -> bytes:
    """``model`` as an update image, signed with ``key`` (a PEM file) where one is given.

    Raises:
        TinybudgetError: imgtool is missing or refuses, or the image does not fit the slot.
    """
    imgtool_version()
    with temporary_folder() as folder:
        source, target = Path(folder, "model.bin"), Path(folder, "image.bin")
        source.write_bytes(model)
        options = {
            "--version": f"{version.major}.{version.minor}.{version.revision}+{version.build}",
            "--header-size": placement.header,
            "--slot-size": placement.slot,
            "--align": placement.align,
            "--max-sectors": placement.sectors,
        }
        done = _run(
            _IMGTOOL,
            [
                "sign",
                "--pad-header",
                *(text for name, value in options.items() for text in (name, str(value))),
                *_key_option(key),
                str(source),
                str(target),
            ],
            folder,
        )
        too_large = _TOO_LARGE.search(done.stderr.decode("utf-8", "replace"))
        if too_large:
            placement.check(*(int(digits, 16) for digits in too_large.groups()))
        if done.returncode or not target.is_file():
            raise TinybudgetError(f"imgtool cannot sign the model: {_reason(done, key)}")
        signed = target.read_bytes()
    placement.check(len(signed), placement.trailer)
    return signed


def signature_problem(image: bytes, key: Path) -> str:
    """What is wrong with the signature of ``image`` by the public (or whole) ``key``; may be empty.

    Raises:
        TinybudgetError: imgtool is missing.
    """
    imgtool_version()
    with temporary_folder() as folder:
        path = Path(folder, "image.bin")
        path.write_bytes(image)
        done = _run(_IMGTOOL, ["verify", *_key_option(key), str(path)], folder)
    return _reason(done, key) if done.returncode else ""


def to_uf2(image: bytes, address: int, chip: str) -> bytes:
    """``image`` for ``address`` as a UF2 file for an ESP ``chip`` (``"esp32s3"``), by esptool.

    Raises:
        TinybudgetError: esptool is missing or refuses.
    """
    if importlib.util.find_spec("esptool") is None:
        raise TinybudgetError("UF2 files are made by esptool: pip install esptool", code="TB103")
    with temporary_folder() as folder:
        source, target = Path(folder, "image.bin"), Path(folder, "image.uf2")
        source.write_bytes(image)
        merge = ["merge-bin", "--format", "uf2", "-o", str(target), hex(address), str(source)]
        done = _run(module("esptool"), ["--chip", chip, *merge], folder)
        if done.returncode or not target.is_file():
            raise TinybudgetError(f"esptool makes no UF2 file: {_reason(done, None)}")
        return target.read_bytes()


def _key_option(key: Path | None) -> tuple[str, ...]:
    if key is None:
        return ()
    if not key.is_file():
        raise TinybudgetError(f"no such key file: {printable(str(key))}")
    return "--key", str(key.absolute())


def _run(code: str, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a tool, without a terminal on which it could ask for a passphrase."""
    try:
        return run(code, arguments, folder, TIME_LIMIT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise TinybudgetError(f"a tool was not done after {TIME_LIMIT_SECONDS} s") from error


def _reason(done: subprocess.CompletedProcess[bytes], key: Path | None) -> str:
    """The last line that a tool printed, in plain words where its meaning is known."""
    text = (done.stderr or done.stdout).decode("utf-8", "replace")
    said = [line.strip() for line in text.split("\n") if line.strip()]
    last = said[-1] if said else f"exit code {done.returncode}"
    shown = printable(str(key))
    if last.startswith(("EOFError", "Aborted!")):
        return f"{shown} has a passphrase, which cannot be asked for here: give a key without one"
    if "public-only" in last or (last.startswith("AttributeError") and "Public" in last):
        return f"{shown} is a public key: signing needs the private one"
    if "deserialize key" in last or "PEM" in last:
        return f"{shown} is no key in PEM format"
    return printable(last.removeprefix("Error: "), limit=300)
