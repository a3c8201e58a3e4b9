"""Update images by MCUboot's own imgtool: packaged, verified, refused; the page that shows it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from campaigns import every
from campaigns import rare
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from small_projects import keywords

from pytest_tinybudget import cli
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.update.image import parse_version
from pytest_tinybudget.update.image import read_image
from pytest_tinybudget.update.slots import Overhead


pytest.importorskip("imgtool")

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "updates.md"
MODEL = keywords(filters=24, blocks=2)
KB = 1024
SIGNATURES = ("ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072")
#: Signed as well, though slots do not count it.
P384 = "ecdsa-p384"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of each kind, and the public half of it, in PEM format."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.hazmat.primitives.serialization import PublicFormat
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    folder = tmp_path_factory.mktemp("keys")
    for kind in (*SIGNATURES, P384):
        path = folder / f"{kind}.pem"
        imgtool("keygen", "--type", kind, "--key", str(path))
        public = load_pem_private_key(path.read_bytes(), None).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        folder.joinpath(f"{kind}.pub.pem").write_bytes(pem)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with ``kws.tflite``."""
    tmp_path.joinpath("kws.tflite").write_bytes(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imgtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from imgtool.main import imgtool; imgtool()", *arguments]
    return subprocess.run(call, capture_output=True, text=True, check=True, timeout=60)


def package(*more: str, version: str = "1.2.0", slot: str = "128KB") -> int:
    """The exit code of ``tinybudget package`` for ``kws.tflite``, written to ``dist``."""
    placed = ["--slot-size", slot] if slot else []
    return cli.main(["package", "kws.tflite", "--version", version, "-o", "dist", *placed, *more])


def verify(*more: str, image: str = "dist/kws-1.2.0.bin") -> int:
    return cli.main(["package", "--verify", image, "--manifest", "dist/kws-1.2.0.json", *more])


def manifest() -> Any:
    return json.loads(Path("dist/kws-1.2.0.json").read_bytes())


def failures(printed: str) -> list[str]:
    return [line[5:] for line in printed.splitlines() if line.startswith("FAIL")]


# What is written


def test_an_image_holds_the_model_behind_its_header(folder: Path) -> None:
    assert package() == 0
    content = Path("dist/kws-1.2.0.bin").read_bytes()
    image = read_image(content)
    assert content[512 : 512 + len(MODEL)] == image.body == MODEL
    assert (str(image.version), image.header_bytes, image.signature) == ("1.2.0", 512, "none")
    assert image.size == len(content)


def test_the_manifest_describes_model_image_and_tools(folder: Path) -> None:
    package("--board", "arduino-nano-33-ble")
    written = manifest()
    content = Path("dist/kws-1.2.0.bin").read_bytes()
    assert written["model"] == {
        "name": "kws.tflite",
        "bytes": len(MODEL),
        "sha256": hashlib.sha256(MODEL).hexdigest(),
    }
    assert written["image"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert written["image"]["slot_bytes"] == 128 * KB
    assert written["footprint"]["flash"] > len(MODEL)
    assert set(written["tools"]) == {"imgtool", "pytest-tinybudget"}


@pytest.mark.parametrize("kind", ["none", "ed25519"])
def test_the_same_inputs_give_the_same_bytes(folder: Path, keys: Path, kind: str) -> None:
    written = []
    for _ in range(2):
        package(*([] if kind == "none" else ["--key", str(keys / f"{kind}.pem")]))
        written.append([path.read_bytes() for path in sorted(Path("dist").iterdir())])
        shutil.rmtree("dist")
    assert written[0] == written[1]


@pytest.mark.parametrize("kind", every(2, [*SIGNATURES, P384]))
def test_imgtool_and_verify_accept_what_was_signed(folder: Path, keys: Path, kind: str) -> None:
    assert package("--key", str(keys / f"{kind}.pem")) == 0
    assert manifest()["image"]["signature"] == kind
    done = imgtool("verify", "--key", str(keys / f"{kind}.pem"), "dist/kws-1.2.0.bin")
    assert "correctly validated" in done.stdout
    assert verify("--key", str(keys / f"{kind}.pub.pem")) == 0


@pytest.mark.parametrize("kind", every(2, ["none", *SIGNATURES]))
def test_what_slots_count_around_an_image_is_never_less_than_imgtool_takes(
    folder: Path, keys: Path, kind: Any
) -> None:
    package(*([] if kind == "none" else ["--key", str(keys / f"{kind}.pem")]))
    taken = Path("dist/kws-1.2.0.bin").stat().st_size - len(MODEL)
    counted = Overhead("mcuboot", kind).slot("slot", 128 * KB).around
    assert (
        taken <= counted <= taken + 46 + 3
    )  # optional records; an ECDSA signature's length varies


@pytest.mark.parametrize("align", every(4, [1, 4, 8, 16, 32]))
def test_the_trailer_is_the_one_that_imgtool_keeps_free(folder: Path, align: int) -> None:
    slot = 1024 * KB
    package("--align", str(align), slot="1MB")
    image = manifest()["image"]
    room = Overhead("mcuboot", align=align).trailer_bytes(slot)
    assert image["trailer_bytes"] == room
    exact = image["image_bytes"] + room
    assert package("--align", str(align), slot=f"{_smallest_slot(exact, align)}B") == 0
    assert package("--align", str(align), slot=f"{_smallest_slot(exact, align) - 1}B") == 2


def _smallest_slot(exact: int, align: int) -> int:
    """The image with the trailer of a small slot: that of 128 sectors."""
    small = Overhead("mcuboot", align=align)
    return exact - small.trailer_bytes(1024 * KB) + small.trailer_bytes(64 * KB)


def test_keys_leave_no_trace(folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = keys / "ed25519.pem"
    package("--key", str(key))
    secret = "".join(key.read_text("ascii").splitlines()[1:-1])
    printed = capsys.readouterr()
    assert sorted(path.name for path in Path("dist").iterdir()) == [
        "kws-1.2.0.bin",
        "kws-1.2.0.json",
    ]
    for text in (printed.out, printed.err, Path("dist/kws-1.2.0.json").read_text("ascii")):
        assert secret not in text
        assert str(keys) not in text


def test_intel_hex_has_the_image_at_its_address(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from intelhex import IntelHex

    more = ["--flash-offset", "0x80000", "--flash-base", "0x08000000"]
    assert package("--format", "hex", *more) == 0
    file = IntelHex("dist/kws-1.2.0.hex")
    assert file.minaddr() == 0x08080000
    assert read_image(file.tobinstr()).body == MODEL
    assert verify(image="dist/kws-1.2.0.hex") == 0
    assert "ok   address in the hex file: 0x8080000" in capsys.readouterr().out


def test_uf2_is_made_by_esptool_for_esp_boards(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("esptool")
    more = ["--format", "uf2", "--flash-offset", "0x10000"]
    assert package(*more, "--board", "esp32-s3-devkitc-1") == 0
    content = Path("dist/kws-1.2.0.uf2").read_bytes()
    assert content[:4] == b"UF2\n"
    assert verify(image="dist/kws-1.2.0.uf2") == 0
    capsys.readouterr()
    assert package(*more, "--board", "raspberry-pi-pico") == 2
    assert "picotool uf2 convert" in capsys.readouterr().err


SENSOR = """\
[boards.sensor]
extends = "arduino-nano-33-ble"
slots = { layout = "mcuboot", size = "320 KB", align = 8, header = 1024, model_size = "128 KB" }
[boards.linked]
extends = "arduino-nano-33-ble"
slots = { layout = "mcuboot", size = "320 KB" }
[models.kws]
source = "kws.tflite"
boards = ["sensor"]
"""


def test_the_slot_is_the_boards_where_it_is_declared(folder: Path) -> None:
    folder.joinpath("tinybudget.toml").write_text(SENSOR, encoding="utf-8")
    assert package("--board", "sensor", slot="") == 0
    image = manifest()["image"]
    assert (image["slot_bytes"], image["header_bytes"], image["align"]) == (128 * KB, 1024, 8)
    assert manifest()["footprint"]["runtime"] == "arduino-tflm 2023-12"


def test_a_declared_trailer_is_kept_free_as_well(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = SENSOR.replace("align = 8", 'trailer = "126 KB"')
    folder.joinpath("tinybudget.toml").write_text(declared, encoding="utf-8")
    assert package("--board", "sensor", slot="") == 2
    assert one_line(capsys, "and its trailer, 126.0 KB, do not fit the slot of 128.0 KB")


# What is refused, in one line


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"version": "1.256.0"}, "version '1.256.0': minor is more than 255"),
        ({"version": "1.2.70000"}, "revision is more than 65535"),
        ({"version": "1.2.0+4294967296"}, "build is more than 4294967295"),
        ({"version": "v1.2"}, "expected MAJOR.MINOR.REVISION+BUILD"),
        ({"version": "1.02"}, "minor begins with a zero"),
        ({"version": "٣.2"}, "expected MAJOR"),
        ({"slot": "4KB"}, "do not fit the slot of 4.0 KB: over by"),
        ({"slot": ""}, "where does the model go? give --slot-size"),
        ({"slot": "much"}, "--slot-size 'much': expected a size"),
        ({"slot": "0"}, "--slot-size '0': expected a size"),
        ({"slot": "-1"}, "--slot-size '-1': expected a size"),
    ],
)
def test_wrong_versions_and_slots_are_one_line(
    folder: Path, more: dict[str, str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert package(**more) == 2
    assert one_line(capsys, error)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["--header-size", "500"], "header size 500: expected a multiple of 16"),
        (["--header-size", "16"], "from 32 to 65535"),
        (["--header-size", "1MB"], "from 32 to 65535"),
        (["--flash-offset", "0x80010"], "is not a multiple of the sector, 0x1000"),
        (["--flash-offset", "0x1000", "--sector-size", "3000"], "is not a multiple of the sector"),
        (["--flash-offset", "0", "--sector-size", "96KB"], "is no multiple of the sector, 0x18000"),
        (["--flash-offset", "zero"], "--flash-offset 'zero': expected a size"),
        (
            ["--flash-offset", "0xF0000", "--board", "arduino-nano-33-ble"],
            "ends at 0x110000, beyond the board's flash of 1.00 MB",
        ),
        (["--format", "hex"], "--format hex needs --flash-offset"),
        (["--board", "arduino"], "unknown board 'arduino'; did you mean"),
        (["--key", "missing.pem"], "no such key file: missing.pem"),
        (["--key", "kws.tflite"], "kws.tflite is no key in PEM format"),
        (["--declaration", "missing.toml"], "missing.toml"),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(
    folder: Path, more: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert package(*more) == 2
    assert one_line(capsys, error)
    assert not Path("dist").exists()


def one_line(capsys: pytest.CaptureFixture[str], error: str) -> bool:
    printed = capsys.readouterr().err
    assert printed.startswith("tinybudget: "), printed
    assert printed.count("\n") == 1, printed
    assert error in printed
    return True


def test_a_public_key_cannot_sign(
    folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in SIGNATURES:
        assert package("--key", str(keys / f"{kind}.pub.pem")) == 2
        assert one_line(capsys, "is a public key: signing needs the private one")


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(
    folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((keys / "ed25519.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    Path("locked.pem").write_bytes(locked)
    assert package("--key", "locked.pem") == 2
    assert one_line(capsys, "locked.pem has a passphrase")


def test_a_board_whose_model_is_linked_in_has_no_slot_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.joinpath("tinybudget.toml").write_text(SENSOR, encoding="utf-8")
    assert package("--board", "linked", slot="") == 2
    assert one_line(capsys, "linked has no slot for a model apart: declare model_partition")


def test_what_is_no_model_is_not_packaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.joinpath("kws.tflite").write_bytes(b"nothing of the kind")
    assert package() == 2
    assert one_line(capsys, "kws.tflite")


def test_without_imgtool_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert package() == 2
    assert one_line(capsys, "pip install 'pytest-tinybudget[mcuboot]'")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "package needs MODEL"),
        (["kws.tflite"], "package needs --version X.Y.Z"),
        (["--verify", "kws.tflite"], "--verify needs --manifest FILE"),
        (["--verify", "kws.tflite", "--manifest", "missing.json"], "missing.json: cannot be read"),
        (["--verify", "kws.tflite", "--manifest", "kws.tflite"], "no manifest of an update image"),
        (["missing.tflite", "--version", "1", "--slot-size", "1MB"], "missing.tflite"),
    ],
)
def test_what_is_missing_is_one_line(
    folder: Path, arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["package", *arguments]) == 2
    assert one_line(capsys, error)


# What verify finds


def change(offset: int, value: int | None = None) -> None:
    """Flip a byte of the image, from its end where ``offset`` is negative."""
    path = Path("dist/kws-1.2.0.bin")
    content = bytearray(path.read_bytes())
    content[offset] = content[offset] ^ 0x55 if value is None else value
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("offset", "finding"),
    [
        (0, "no update image: magic"),
        rare((21, "version: 1.")),
        rare((600, "sha256 record: ")),
        (600, "sha256 of the model: "),
        (-1, "signature: "),
    ],
)
def test_every_changed_byte_is_found(
    folder: Path, keys: Path, offset: int, finding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    package("--key", str(keys / "ed25519.pem"))
    change(offset)
    assert verify("--key", str(keys / "ed25519.pub.pem")) == 1
    found = failures(capsys.readouterr().out)
    assert found[0].startswith("sha256 of the file: ")
    assert any(text.startswith(finding) for text in found)


def test_the_key_of_somebody_else_is_found(
    folder: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package("--key", str(keys / "ed25519.pem"))
    assert verify("--key", str(keys / "ecdsa-p256.pub.pem")) == 1
    (found,) = failures(capsys.readouterr().out)
    assert found.startswith("signature: ")


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b":00000001FF\n", "no Intel HEX file of one image"),
        (b":0100000001FE\n:01100000EF00\n:00000001FF\n", "no Intel HEX file of one image"),
        (b":0100000001FF\n", "no Intel HEX file: "),
        (b"\xff", "no Intel HEX file: "),
    ],
)
def test_a_damaged_hex_file_is_refused_in_one_line(
    folder: Path, content: bytes, finding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    package("--format", "hex", "--flash-offset", "0")
    Path("dist/kws-1.2.0.hex").write_bytes(content)
    assert verify(image="dist/kws-1.2.0.hex") == 1
    assert failures(capsys.readouterr().out)[-1].startswith(finding)


def test_a_manifest_of_a_smaller_slot_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package()
    path = Path("dist/kws-1.2.0.json")
    written = manifest()
    written["image"]["slot_bytes"] = written["image"]["image_bytes"]
    path.write_text(json.dumps(written), encoding="utf-8")
    assert verify() == 1
    (found,) = failures(capsys.readouterr().out)
    assert found.startswith("image and trailer: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sector_bytes", 0),
        rare(("sector_bytes", 10**30)),
        rare(("flash_offset", -4096)),
        ("format", "elf"),
        rare(("bytes", "1")),
        ("header_bytes", None),
    ],
)
def test_a_manifest_that_cannot_be_is_one_line(
    folder: Path, name: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    package("--flash-offset", "0")
    written = manifest()
    written["image"][name] = value
    Path("dist/kws-1.2.0.json").write_text(json.dumps(written), encoding="utf-8")
    assert verify() == 2
    assert one_line(capsys, "kws-1.2.0.json: no manifest of an update image: ")


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b"9" * 5000, b"{}"])
def test_what_is_no_manifest_is_one_line(
    folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.joinpath("manifest.json").write_bytes(content)
    assert cli.main(["package", "--verify", "kws.tflite", "--manifest", "manifest.json"]) == 2
    assert one_line(capsys, "manifest.json: no manifest of an update image: ")


def test_a_tool_that_hangs_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pytest_tinybudget.update.signing.TIME_LIMIT_SECONDS", 0.01)
    assert package() == 2
    assert one_line(capsys, "a tool was not done after 0.01 s")


@pytest.mark.parametrize("kept", every(3, [0, 10, 31, 32, 600, -100, -1]))
def test_a_truncated_image_is_refused_in_one_line(
    folder: Path, kept: int, capsys: pytest.CaptureFixture[str]
) -> None:
    package()
    path = Path("dist/kws-1.2.0.bin")
    path.write_bytes(path.read_bytes()[:kept])
    assert verify() == 1
    assert len(failures(capsys.readouterr().out)) == 2


def image_of(body: bytes, header: int, size: int, protected: int, records: bytes) -> bytes:
    fields = struct.pack("<IIHHIIBBHII", 0x96F3B83D, 0, header, protected, size, 0, 1, 2, 0, 0, 0)
    return fields + body + records


@settings(max_examples=300, deadline=None)
@given(
    body=st.binary(max_size=64),
    header=st.integers(0, 80),
    size=st.integers(0, 2**32 - 1) | st.integers(0, 80),
    protected=st.integers(0, 40),
    records=st.builds(
        lambda magic, size, rest: struct.pack("<HH", magic, size) + rest,
        st.sampled_from([0x6907, 0x6908, 0]),
        st.integers(0, 80),
        st.binary(max_size=64),
    ),
)
def test_whatever_an_image_holds_it_is_read_or_refused_in_one_line(
    body: bytes, header: int, size: int, protected: int, records: bytes
) -> None:
    content = image_of(body, header, size, protected, records)
    try:
        found = read_image(content)
    except TinybudgetError as error:
        message = error.message
    else:
        message = "update image"
        assert found.size <= len(content)
    assert "update image" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "shown"), [("1", "1.0.0"), ("1.2", "1.2.0"), ("255.255.65535+4294967295", None)]
)
def test_later_parts_of_a_version_may_be_left_out(text: str, shown: str | None) -> None:
    assert str(parse_version(text)) == (shown or text)


# The page

_BLOCK = re.MULTILINE | re.DOTALL
_TOML = re.compile(r"^```toml\n(.*?)^```$", _BLOCK)


def outputs(folder: Path) -> dict[str, str]:
    """What the page's commands print today, by the name of the block that shows it."""
    texts = PAGE.read_text(encoding="utf-8")
    folder.joinpath("tinybudget.toml").write_text(_TOML.findall(texts)[0], encoding="utf-8")
    (shell,) = re.findall(r"^```sh\n(.*?)^```$", texts, _BLOCK)
    commands = ["tinybudget check", *shell.splitlines()]
    slots, _, verified = (run(command, folder) for command in commands)
    headline = slots.splitlines()[1]
    besides = slots.partition("besides flash and RAM:\n")[2].partition("\n\n")[0]
    bullets = re.findall(r"^  - \w+ slot .*(?:\n    .*)*", besides, re.MULTILINE)
    manifests = (folder / "dist" / "kws-1.2.0.json").read_text(encoding="ascii")
    tools = r'("(?:imgtool|pytest-tinybudget)": )"[^"]+"'  # of today; the page is of any day
    return {
        "slots": "\n".join((headline, "", *bullets, "")),
        "verify": verified,
        "manifest": re.sub(tools, r'\1"…"', manifests),
    }


def run(command: str, folder: Path) -> str:
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tinybudget", *shlex.split(command)[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == (1 if command == "tinybudget check" else 0), done.stderr
    return done.stdout


@pytest.mark.parametrize("block", _TOML.findall(PAGE.read_text(encoding="utf-8")))
def test_declarations_of_the_page_load(tmp_path: Path, block: str) -> None:
    tmp_path.joinpath("models").mkdir()
    tmp_path.joinpath("models", "kws.tflite").write_bytes(MODEL)
    table = re.search(r"^```text\n(# Name.*?)^```$", PAGE.read_text("utf-8"), _BLOCK)
    assert table is not None
    tmp_path.joinpath("partitions.csv").write_text(table[1], encoding="utf-8")
    tmp_path.joinpath("build").mkdir()
    tmp_path.joinpath("build", "door.elf").write_bytes(b"")  # read when a pair is measured
    tmp_path.joinpath("tinybudget.toml").write_text(block, encoding="utf-8")
    assert load_declaration(tmp_path / "tinybudget.toml").models


def test_the_page_shows_what_its_commands_print(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    example = ROOT / "examples" / "quickstart" / "models" / "alarm.tflite"
    shutil.copy(example, models / "kws.tflite")
    today = outputs(tmp_path)
    page = PAGE.read_text(encoding="utf-8")

    def renewed(match: re.Match[str]) -> str:
        return f"{match['head']}{today[match['name']]}```"

    shown = r"(?P<head><!-- output: (?P<name>\w+) -->\n```\w+\n).*?^```"
    current = re.sub(shown, renewed, page, flags=_BLOCK)
    if os.environ.get("TINYBUDGET_UPDATE_DOCS"):
        PAGE.write_text(current, encoding="utf-8")
    else:
        assert page == current
