"""``tinybudget package``: a model as a signed update image with a manifest, and their check."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import MODEL_HELP
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_shape_option
from pytest_tinybudget.commands.options import given_model
from pytest_tinybudget.commands.options import require_runnable
from pytest_tinybudget.graph.locations import model_name


if TYPE_CHECKING:
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.declaration import Declaration
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.update.manifest import PackagedFootprint
    from pytest_tinybudget.update.signing import Placement
    from pytest_tinybudget.update.slots import Slots


_FAILED = 1


def add_commands(subparsers: Subparsers) -> None:
    """Add ``package``."""
    parser = add_command(
        subparsers,
        "package",
        "write a model as an update image with a manifest, or verify one",
        details="The image is MCUboot's, made by its imgtool (extra [mcuboot]). Keys are yours: "
        "their path is\nhanded on, and they are never copied. A board of a tinybudget.toml with "
        "[boards.NAME.slots]\nsays where the model goes; else say it with --slot-size. Sizes are "
        '"256 KB", bytes, or 0x40000.',
        example="tinybudget package models/kws.tflite --version 1.2.0 --slot-size 256KB -o dist\n"
        "tinybudget package --verify dist/kws-1.2.0.bin --manifest dist/kws-1.2.0.json",
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", type=Path, help=MODEL_HELP)
    parser.add_argument("--version", metavar="X.Y.Z", help="its version, such as 1.2.0 or 1.2.0+7")
    parser.add_argument("--board", metavar="ID", help="a board of --declaration or the catalog")
    add_shape_option(parser)
    parser.add_argument(
        "--declaration",
        metavar="FILE",
        type=Path,
        help="where boards and their slots are declared (default: tinybudget.toml, if there)",
    )
    parser.add_argument(
        "--key",
        metavar="PEM",
        type=Path,
        help="sign with this key; with --verify, check against it",
    )
    parser.add_argument("--slot-size", metavar="SIZE", help="size of the slot, trailer included")
    parser.add_argument("--header-size", metavar="SIZE", help="of the image (default: 512)")
    parser.add_argument(
        "--align",
        type=int,
        choices=(1, 2, 4, 8, 16, 32),
        help="smallest number of bytes that the flash writes (default: 4)",
    )
    parser.add_argument(
        "--flash-offset", metavar="SIZE", help="where the slot begins, from the flash's start"
    )
    parser.add_argument(
        "--flash-base", metavar="ADDRESS", default="0", help="address of the flash, in hex files"
    )
    parser.add_argument(
        "--sector-size",
        metavar="SIZE",
        default="4096",
        help="what is erased at once (default: 4096)",
    )
    parser.add_argument(
        "--format",
        choices=("bin", "hex", "uf2"),
        default="bin",
        help="of the image: plain, Intel HEX, or for ESP boards UF2 (by esptool)",
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path(), help="folder (default: here)"
    )
    parser.add_argument("--verify", metavar="IMAGE", type=Path, help="check this image instead")
    parser.add_argument("--manifest", metavar="FILE", type=Path, help="what it is checked against")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Package ``arguments.model``, or verify an image: 1 where it is not what it should be.

    Raises:
        TinybudgetError: model, version, slot, key or manifest are wrong, or a tool is missing.
    """
    if arguments.verify is not None:
        return _verify(arguments)
    for value, name in ((arguments.model, "MODEL"), (arguments.version, "--version X.Y.Z")):
        if value is None:
            raise TinybudgetError(f"package needs {name} (or --verify IMAGE --manifest FILE)")
    return _package(arguments)


def _verify(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.update.manifest import load_manifest
    from pytest_tinybudget.update.package import findings

    path: Path = arguments.verify
    if arguments.manifest is None:
        raise TinybudgetError("--verify needs --manifest FILE, which package wrote")
    manifest = load_manifest(arguments.manifest)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TinybudgetError(f"{path}: cannot be read: {error.strerror}") from error
    failed = False
    for finding in findings(content, manifest, arguments.key):
        print("ok  " if finding.ok else "FAIL", finding.text)
        failed = failed or not finding.ok
    return _FAILED if failed else 0


def _package(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.artifacts import write
    from pytest_tinybudget.update.image import parse_version
    from pytest_tinybudget.update.image import read_image
    from pytest_tinybudget.update.manifest import Manifest
    from pytest_tinybudget.update.manifest import PackagedImage
    from pytest_tinybudget.update.manifest import PackagedModel
    from pytest_tinybudget.update.manifest import render_manifest
    from pytest_tinybudget.update.package import check_offset
    from pytest_tinybudget.update.package import encode
    from pytest_tinybudget.update.signing import imgtool_version
    from pytest_tinybudget.update.signing import sign

    version = parse_version(arguments.version)
    declaration = _declaration(arguments)
    board = _board(arguments, declaration)
    slots = declaration.slots.get(board.id) if declaration and board else None
    placement = _placement(arguments, slots)
    sector = _size(arguments, "sector_size", least=1)
    base, offset = _size(arguments, "flash_base"), _offset(arguments)
    if offset is not None:
        check_offset(
            offset, slot=placement.slot, sector=sector, flash=board.flash if board else None
        )
    elif arguments.format != "bin":
        raise TinybudgetError(f"--format {arguments.format} needs --flash-offset: where it goes")
    model = given_model(arguments, arguments.model)
    signed = sign(model.content, version, placement, arguments.key)
    image = read_image(signed)
    address, chip = base + (offset or 0), _chip(arguments, board)
    content = encode(signed, arguments.format, address, chip)
    name = f"{model_name(arguments.model)}-{version}"
    file = f"{name}.{arguments.format}"
    manifest = Manifest(
        schema_version=1,
        version=str(version),
        board=board.id if board else "",
        model=PackagedModel(
            arguments.model.name, hashlib.sha256(model.content).hexdigest(), model.bytes
        ),
        image=PackagedImage(
            file=file,
            format=arguments.format,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            image_bytes=image.size,
            header_bytes=image.header_bytes,
            trailer_bytes=placement.trailer,
            slot_bytes=placement.slot,
            align=placement.align,
            sector_bytes=sector,
            signature=image.signature,
            flash_offset=offset,
            flash_base=base,
        ),
        tools={"imgtool": imgtool_version(), "pytest-tinybudget": _own_version()},
        footprint=_footprint(arguments, model, board, declaration) if board else None,
    )
    files = {file: content, f"{name}.json": render_manifest(manifest)}
    for path in write(arguments.output, files):
        print(path)
    return 0


def _own_version() -> str:
    from importlib.metadata import version

    return version("pytest-tinybudget")


def _declaration(arguments: argparse.Namespace) -> Declaration | None:
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.declaration import load_declaration

    if arguments.declaration is not None:
        return load_declaration(arguments.declaration)
    path = Path(FILE_NAME)
    return load_declaration(path) if arguments.board and path.is_file() else None


def _board(arguments: argparse.Namespace, declaration: Declaration | None) -> Board | None:
    from pytest_tinybudget.boards import catalog
    from pytest_tinybudget.boards import find_board

    if arguments.board is None:
        return None
    return find_board(arguments.board, {**catalog(), **(declaration.boards if declaration else {})})


def _placement(arguments: argparse.Namespace, slots: Slots | None) -> Placement:
    """Where the image goes: as told, else as the board's slots."""
    from pytest_tinybudget.update.package import check_header
    from pytest_tinybudget.update.signing import Placement
    from pytest_tinybudget.update.slots import DEFAULT_ALIGN
    from pytest_tinybudget.update.slots import Overhead

    align = arguments.align or (slots.align if slots else DEFAULT_ALIGN)
    overhead = Overhead("mcuboot", align=align)
    header = _size(arguments, "header_size") if arguments.header_size else None
    if header is None:
        header = slots.header if slots and slots.layout == "mcuboot" else overhead.header_bytes
    check_header(header)
    slot = _slot_size(arguments, slots)
    trailer = overhead.trailer_bytes(slot)
    if slots and slots.model and not arguments.slot_size:
        trailer = max(trailer, slots.model.trailer)
    return Placement(slot, header, align, overhead.sectors(slot), trailer)


def _slot_size(arguments: argparse.Namespace, slots: Slots | None) -> int:
    if arguments.slot_size:
        return _size(arguments, "slot_size", least=1)
    if slots is None:
        raise TinybudgetError(
            "where does the model go? give --slot-size, or --board with a board whose slots are "
            "declared: [boards.NAME.slots]"
        )
    if slots.model is None:
        raise TinybudgetError(
            f"{arguments.board} has no slot for a model apart: declare model_partition or "
            "model_size in its slots, or give --slot-size"
        )
    return slots.model.size


def _offset(arguments: argparse.Namespace) -> int | None:
    return None if arguments.flash_offset is None else _size(arguments, "flash_offset")


def _size(arguments: argparse.Namespace, name: str, *, least: int = 0) -> int:
    """Bytes of the option ``name``: a size, or a hexadecimal number."""
    from pytest_tinybudget.base.units import parse_size

    text, option = getattr(arguments, name), f"--{name.replace('_', '-')}"
    try:
        hexadecimal = text[:2].lower() == "0x" and len(text) <= 10
        size = int(text, 16) if hexadecimal else parse_size(text)
    except ValueError:
        size = -1
    if size < least:
        raise TinybudgetError(f"{option} {text!r}: expected a size such as 256KB, 4096 or 0x1000")
    return size


def _chip(arguments: argparse.Namespace, board: Board | None) -> str:
    """esptool's name of the board's chip, where a UF2 file is asked for."""
    if arguments.format != "uf2":
        return ""
    if board is None or not board.mcu.upper().startswith("ESP32"):
        raise TinybudgetError(
            "--format uf2 is for ESP boards: name one with --board, or convert the .bin with your "
            "board's own tool (picotool uf2 convert, uf2conv.py)"
        )
    return board.mcu.lower().replace("-", "")


def _kind(board: Board) -> str:
    """What accelerator the board has, if any: the file was made for it already."""
    from pytest_tinybudget.boards.accelerator import find_accelerator

    return find_accelerator(board.accelerator).kind if board.accelerator else ""


def _footprint(
    arguments: argparse.Namespace, model: Model, board: Board, declaration: Declaration | None
) -> PackagedFootprint:
    """What the model takes on the board, with the declaration's runtimes where there is one."""
    from pytest_tinybudget.declaration.pairs import project_of
    from pytest_tinybudget.declaration.single import pair_of
    from pytest_tinybudget.runtimes.fingerprint import fingerprint
    from pytest_tinybudget.update.manifest import PackagedFootprint
    from pytest_tinybudget.workspace import Workspace

    pair = pair_of(arguments.model, board=board)
    if declaration is not None:
        declared = replace(pair.model, operators=declaration.operators)
        pair = replace(pair, project=project_of(declaration), model=declared)
    firmware = pair.firmware
    found = Workspace().footprint(model, firmware.beside(_kind(board)))
    require_runnable(found, arguments.model.as_posix())
    return PackagedFootprint(
        runtime=found.runtime,
        table=fingerprint(firmware.runtime),
        flash=found.flash,
        ram=found.ram,
        arena=found.arena.required if found.arena else None,
    )
