"""ONNX sources: onnx2tf as a command of its own, held to a stand-in and, where it is there, to it.

``TINYBUDGET_ONNX2TF`` names the real command, in whose environment the package onnx is.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from modelmaker import ModelMaker

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.cli import main
from pytest_tinybudget.convert import onnx2tf
from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.fingerprint import fingerprint
from pytest_tinybudget.convert.layout import channels_last
from pytest_tinybudget.convert.layout import source_shape
from pytest_tinybudget.convert.onnx_file import OnnxInput
from pytest_tinybudget.convert.onnx_file import read_onnx
from pytest_tinybudget.convert.quantizers import installed_quantizer
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import check_source
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.convert.worker.torch_layers import transposes
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.graph.tflite import read_model


pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="the stand-in is a script with a first line"
)

needs_quantizer = pytest.mark.skipif(installed_quantizer() is None, reason="needs litert-quantizer")
REAL = os.environ.get("TINYBUDGET_ONNX2TF", "")
needs_onnx2tf = pytest.mark.skipif(not REAL, reason="TINYBUDGET_ONNX2TF names no onnx2tf")

#: How every stand-in begins: it knows its version, its input and its folder.
HEAD = """
import os, pathlib, subprocess, sys, time
if "-V" in sys.argv:
    print("a line of a framework\\n1.29.24")
    raise SystemExit
source = pathlib.Path(sys.argv[sys.argv.index("-i") + 1])
made = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
here = pathlib.Path({here!r})

def write():
    made.mkdir()
    (made / (source.stem + "_float32.tflite")).write_bytes((here / "float.tflite").read_bytes())
"""


NO_FIXED_SHAPE = (
    "input 'image' has no fixed shape, (None, 3, None, 6): a microcontroller's memory is planned "
    "ahead; build the model with fixed extents, or declare input_shapes = { image = [1, 3, …, 6] }"
)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    onnx2tf._version.cache_clear()
    yield
    onnx2tf._version.cache_clear()


def float_model(name: str = "serving_default_image:0") -> bytes:
    """What onnx2tf makes of a network for images of 3 channels: channels last."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 6, 3), "FLOAT32", name=name)
    hidden = graph.mean(graph.conv2d(image, filters=4), axes=(1, 2), keep_dims=False)
    graph.output(graph.dense(hidden, units=2))
    return maker.build()


def field(number: int, content: bytes | str | int) -> bytes:
    """A field of a message of Protocol Buffers: bytes, text, or a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    head, rest = value & 0x7F, value >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def onnx_model(
    *nodes: tuple[str, str],
    inputs: Mapping[str, Sequence[int | str]] = MappingProxyType({"image": ("batch", 3, 8, 6)}),
    weights: str = "",
    opset: int = 13,
    kind: int = 1,
) -> bytes:
    """An ONNX model of nodes, a type and a name each, with a weight, which may be in a file."""
    written = [field(1, field(1, "x") + field(3, name) + field(4, kind)) for kind, name in nodes]
    place = field(13, field(1, "location") + field(2, weights)) if weights else b""
    weight = field(5, field(8, "kernel") + field(9, b"\xff" * 40) + place)
    shapes = {**inputs, "kernel": (4,)}
    given = [field(11, value(name, shape, kind)) for name, shape in shapes.items()]
    graph = b"".join([*written, weight, *given])
    others = field(8, field(1, "com.acme") + field(2, 99))
    return field(1, 7) + field(7, graph) + field(8, field(2, opset)) + others


def value(name: str, shape: Sequence[int | str], kind: int) -> bytes:
    """A value with its type (1 is float, 11 double), and an extent or a name a dimension."""
    dims = [field(1, field(1 if isinstance(each, int) else 2, each)) for each in shape]
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, b"".join(dims))))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with an ONNX model, its data with channels first, and what is made of the model."""
    folder = tmp_path / "project"
    folder.mkdir()
    folder.joinpath("kws.onnx").write_bytes(onnx_model(("Conv", "first")))
    folder.joinpath("float.tflite").write_bytes(float_model())
    data = np.random.default_rng(0).standard_normal((8, 3, 8, 6)).astype(np.float32)
    np.savez(folder / "kws.npz", image=data)
    return folder


def command(project: Path, body: str = "write()", name: str = "onnx2tf") -> Path:
    """A stand-in for onnx2tf that does ``body``."""
    path = project / "bin" / name
    path.parent.mkdir(exist_ok=True)
    head = HEAD.format(here=str(project))
    path.write_text(f"#!{sys.executable}\n{head}\n{textwrap.dedent(body)}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def settings(project: Path, **more: object) -> Conversion:
    given = {"representative_data": "kws.npz", "onnx_command": ("bin/onnx2tf",), **more}
    return Conversion(project, **given)  # type: ignore[arg-type]


def convert(project: Path, cache: Cache | None = None, **more: object) -> Converted:
    converter = Converter(cache)
    try:
        return converter.convert(
            Request(project / "kws.onnx", "kws.onnx", settings(project, **more))
        )
    finally:
        converter.close()


def failure(project: Path, **more: object) -> ConversionError:
    with pytest.raises(ConversionError) as error:
        convert(project, **more)
    return error.value


# What is told before the command runs


@needs_quantizer
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_recurrent_layer_is_refused_before_the_command_runs(project: Path, kind: str):
    (project / "kws.onnx").write_bytes(onnx_model(("Transpose", ""), (kind, "/body/cell")))
    command(project, "(here / 'ran').touch(); write()")

    error = failure(project)

    assert error.message == (
        f"kws.onnx: {kind} /body/cell: onnx2tf 1.29.24 makes nothing that TFLM runs of it"
    )
    assert any(".keras" in line for line in error.details)
    assert any(".pt2" in line for line in error.details)
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [b"no ONNX at all", onnx_model(("LSTM", "cell"))[:-60], b"\x3a\xff\xff\x7f", b"\x08\x07"],
)
def test_a_file_that_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "kws.onnx"
    path.write_bytes(content)

    assert read_onnx(path) is None
    with pytest.raises(ConversionError, match=r"kws.onnx: not an ONNX model: its bytes are no"):
        check_source(path, "onnx", "kws.onnx")


def test_a_model_is_read_past_its_weights(tmp_path: Path):
    path = tmp_path / "kws.onnx"
    path.write_bytes(onnx_model(("Conv", "first"), ("Relu", ""), weights="kws.bin"))

    model = read_onnx(path)

    assert model is not None
    assert [(each.op_type, each.name) for each in model.nodes] == [("Conv", "first"), ("Relu", "")]
    assert model.inputs == (OnnxInput("image", (None, 3, 8, 6)),)  # the weight is none
    assert model.weight_files == ("kws.bin",)
    assert model.opset == 13


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("gone.bin", "its weights are in 'gone.bin', and there is no such file beside it"),
        ("../gone.bin", "its weights are in '../gone.bin', which is not below its folder"),
    ],
)
def test_weights_that_are_not_there_are_named(project: Path, file: str, fault: str):
    (project / "kws.onnx").write_bytes(onnx_model(("Conv", ""), weights=file))

    assert failure(project).message == f"kws.onnx: {fault}"


# The command


@needs_quantizer
def test_without_the_command_the_way_to_it_is_said(project: Path):
    error = failure(project, onnx_command=("onnx2tf-nowhere",))

    assert error.message == (
        "kws.onnx: ONNX sources need the command 'onnx2tf-nowhere', which is not found"
    )
    assert error.code == "TB103"
    assert "  [convert.onnx]" in error.details
    assert '  command = ".venv-onnx/bin/onnx2tf"' in error.details


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("bin", "is not found"),
        ("./bin", "is a folder"),
        ("./kws.npz", "is a file that may not be executed"),
        ("sh -c x", 'is not found: arguments go into a list, command = ["sh", "-c", "x"]'),
    ],
)
def test_why_a_command_cannot_be_run_is_said(project: Path, program: str, fault: str):
    command(project)

    assert onnx2tf.unfound((program,), project) == fault
    assert onnx2tf.unfound(("bin/onnx2tf",), project) == ""


@needs_quantizer
@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("1.28.8", "is version 1.28.8: 1.29 or newer is needed"),
        ("3.0.1", "is version 3.0.1: nothing is known of 3 and newer"),
        ("no number", "does not tell its version"),
    ],
)
def test_a_version_that_was_not_run_is_refused(project: Path, version: str, fault: str):
    path = command(project)
    path.write_text(path.read_text().replace("1.29.24", version))

    assert failure(project).message == f"kws.onnx: the command 'bin/onnx2tf' {fault}"


def test_the_version_is_read_from_what_is_installed_beside_the_command(project: Path):
    command(project, "raise SystemExit('it was asked')").write_text("#!/bin/false\n")
    libraries = project / "lib" / "python3.12" / "site-packages"
    libraries.joinpath("onnx2tf-2.6.9.dist-info").mkdir(parents=True)

    assert onnx2tf.version_of(("bin/onnx2tf",), project) == "2.6.9"


def test_a_command_with_arguments_is_asked_for_its_version(project: Path):
    path = command(project)

    assert onnx2tf.version_of((sys.executable, str(path)), project) == "1.29.24"


def declaration(project: Path, text: str) -> tuple[str, ...]:
    path = project / "tinybudget.toml"
    head = 'schema = 1\n[models.kws]\nsource = "kws.onnx"\nboards = ["esp32"]\n'
    path.write_text(f'{head}representative_data = "kws.npz"\n{text}', encoding="utf-8")
    return load_declaration(path).models["kws"].conversion.onnx_command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("onnx2tf",)),
        ("[convert.onnx]\ncommand = '.venv/bin/onnx2tf'", (".venv/bin/onnx2tf",)),
        ("[convert.onnx]\ncommand = ['uvx', 'onnx2tf']", ("uvx", "onnx2tf")),
    ],
)
def test_the_declaration_names_the_command(project: Path, text: str, expected: tuple[str, ...]):
    assert declaration(project, text) == expected


@needs_quantizer
def test_a_declared_source_is_converted_for_its_verdict(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    command(project)
    declaration(project, '[convert.onnx]\ncommand = "bin/onnx2tf"')
    monkeypatch.chdir(project)

    code = main(["check", "--no-cache", "-v"])

    told = capsys.readouterr().out
    assert code == 0, told
    assert "INT8 against float, output" in told


# What it makes


@needs_quantizer
def test_its_float_file_is_quantized_here(project: Path):
    command(project)

    converted = convert(project)

    main = read_model(converted.content, "it").main
    assert {main.tensors[index].type for index in (*main.inputs, *main.outputs)} == {"INT8"}
    assert [each.name for each in main.operators] == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    assert converted.settings.endswith(", onnx2tf 1.29.24")
    assert not converted.warnings


@needs_quantizer
def test_data_with_channels_first_or_last_calibrates_alike(project: Path):
    command(project)
    first = convert(project).content
    data = np.load(project / "kws.npz")["image"]

    np.savez(project / "last.npz", image=np.moveaxis(data, 1, -1))
    np.savez(project / "wrong.npz", image=np.swapaxes(data, 1, 2))

    assert convert(project, representative_data="last.npz").content == first
    assert failure(project, representative_data="wrong.npz").message == (
        "kws.onnx: representative data for 'image': shape (8, 8, 3, 6), expected (samples, 3, 8, 6)"
    )


def test_channels_are_moved_to_the_end_at_the_ranks_that_have_them_first():
    image = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)

    turned = channels_last(image, (1, 4, 5, 3), (4,))
    assert turned.shape == (2, 4, 5, 3)
    assert turned[1, 2, 3, 0] == image[1, 0, 2, 3]
    assert channels_last(image, (1, 4, 5, 3), ()) is image
    assert channels_last(image, (1, 3, 4, 5), (4,)) is image  # it is last already
    assert source_shape((1, 4, 5, 3), (4,)) == (1, 3, 4, 5)
    same = np.arange(8).reshape(1, 2, 2, 2)
    assert channels_last(same, (1, 2, 2, 2), (4,))[0, 0, 1, 0] == same[0, 0, 0, 1]


@needs_quantizer
def test_the_source_stays_as_it_is_and_its_weights_go_along(project: Path):
    project.joinpath("kws.onnx.data").write_bytes(b"weights")
    project.joinpath("parts").mkdir()
    project.joinpath("parts", "rest.bin").write_bytes(b"more")
    model = onnx_model(("Conv", ""), weights="parts/rest.bin")
    project.joinpath("kws.onnx").write_bytes(model)
    command(
        project,
        """
        assert source.parent != here
        assert (source.parent / "kws.onnx.data").read_bytes() == b"weights"
        assert (source.parent / "parts" / "rest.bin").read_bytes() == b"more"
        source.write_bytes(b"simplified")
        write()
        """,
    )

    convert(project)

    assert project.joinpath("kws.onnx").read_bytes() == model


@needs_quantizer
def test_declared_shapes_are_handed_on_and_else_the_batch_is_one(project: Path):
    command(project, "(here / 'told').write_text(' '.join(sys.argv)); write()")

    convert(project)
    told = project.joinpath("told").read_text()
    inputs = {"image": ("batch", 3, "height", 6), "gain": ("batch", 1)}
    project.joinpath("kws.onnx").write_bytes(onnx_model(("Conv", ""), inputs=inputs))
    convert(project, input_shapes=(("image", (1, 3, 8, 6)),))

    assert told.endswith(" -n -b 1")
    assert project.joinpath("told").read_text().endswith(" -n -ois image:1,3,8,6 gain:1,1")


@needs_quantizer
def test_a_model_in_float64_is_refused_before_the_command_runs(project: Path):
    (project / "kws.onnx").write_bytes(onnx_model(("Conv", ""), kind=11))
    command(project, "(here / 'ran').touch()")

    error = failure(project)

    assert error.message == "kws.onnx: its input 'image' is float64, expected float32"
    assert error.details[0] == "save the model in float32"
    assert not (project / "ran").exists()


@needs_quantizer
@pytest.mark.parametrize(
    ("shape", "declared", "fault"),
    [
        (("batch", 3, "height", 6), (), NO_FIXED_SHAPE),
        ((4, 3, 8, 6), (), "input 'image' has the fixed batch 4, expected 1 or None"),
        (
            ("batch", 3, "height", 6),
            (("picture", (1, 3, 8, 6)),),
            "input_shapes: no input 'picture'; there is image",
        ),
    ],
)
def test_a_shape_that_is_not_fixed_is_refused_before_the_command_runs(
    project: Path, shape: tuple[int | str, ...], declared: tuple[object, ...], fault: str
):
    (project / "kws.onnx").write_bytes(onnx_model(("Conv", ""), inputs={"image": shape}))
    command(project, "(here / 'ran').touch()")

    assert failure(project, input_shapes=declared).message == f"kws.onnx: {fault}"
    assert not (project / "ran").exists()


def test_a_tflite_called_onnx_is_a_tflite(project: Path):
    project.joinpath("renamed.onnx").write_bytes(float_model())

    assert kind_of(project / "renamed.onnx") == "tflite"
    assert kind_of(project / "kws.onnx") == "onnx"


# What goes wrong


@needs_quantizer
def test_no_file_is_an_error_although_the_command_says_nothing(project: Path):
    command(project, "made.mkdir()")

    error = failure(project)

    assert error.message == (
        "kws.onnx: onnx2tf 1.29.24 wrote no float .tflite, although it ended without an error"
    )


@needs_quantizer
def test_the_cause_is_the_last_error_that_it_printed(project: Path):
    command(
        project,
        r"""
        print("\x1b[31mERROR:\x1b[0m The trace log is below.")
        print("ValueError: these layers do not fit")
        print("ERROR: see the manual")
        raise SystemExit(1)
        """,
    )

    error = failure(project)

    assert error.message == (
        "kws.onnx: onnx2tf 1.29.24 ended with exit code 1: ValueError: these layers do not fit"
    )
    assert b"see the manual" in error.log


@needs_quantizer
def test_an_error_is_told_with_what_caused_it_and_an_old_opset(project: Path):
    (project / "kws.onnx").write_bytes(onnx_model(("Conv", ""), opset=5))
    command(
        project,
        """
        try:
            raise KeyError("Twist")
        except KeyError as error:
            raise RuntimeError("lowering failed.") from error
        """,
    )

    error = failure(project)

    assert error.message == (
        "kws.onnx: onnx2tf 1.29.24 ended with exit code 1: RuntimeError: lowering failed., caused "
        "by KeyError: 'Twist'"
    )
    assert error.details[0].startswith("its opset is 5: save it with 7 or newer (torch.onnx.ex")


@needs_quantizer
@pytest.mark.parametrize(
    ("name", "kind", "fault", "advice"),
    [
        (
            "ONNX_TWIST",
            "FLOAT32",
            "ONNX_TWIST #0 (layer head/mean) is a custom operator",
            "LiteRT cannot run it for the calibration: put standard layers in its place",
        ),
        (
            "MEAN",
            "FLOAT64",
            "it computes in float64 (tensor 'image')",
            "save the model in float32",
        ),
    ],
)
def test_what_litert_cannot_run_is_told_with_the_way_out(
    project: Path, name: str, kind: str, fault: str, advice: str
):
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4), kind, name="image")
    result = graph.tensor((1,), kind, name="head/mean")
    axis = graph.constant((1,), values=(1,))
    graph.operator(name, (source, axis), (result,))
    graph.output(result)
    project.joinpath("float.tflite").write_bytes(maker.build())
    command(project)

    error = failure(project)

    assert error.message == f"kws.onnx: {fault}"
    assert error.details[0] == advice


@needs_quantizer
def test_an_operator_that_only_tensorflow_has_is_named(project: Path):
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4), "FLOAT32")
    result = graph.tensor((1, 4), "FLOAT32", name="head/mean")
    graph.operator("FlexMean", (source,), (result,))
    graph.output(result)
    project.joinpath("float.tflite").write_bytes(maker.build())
    command(project)

    assert failure(project).message == (
        "kws.onnx: onnx2tf left FlexMean #0 (layer head/mean) to TensorFlow, and TFLM has no such "
        "operator"
    )


@needs_quantizer
def test_a_command_that_hangs_is_ended_with_all_that_it_started(project: Path):
    command(
        project,
        """
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (here / "child").write_text(str(child.pid))
        time.sleep(600)
        """,
    )

    error = failure(project, timeout_seconds=3)

    assert error.message == "kws.onnx: not converted after 3 s, at loading (conversion_timeout)"
    child = int(project.joinpath("child").read_text())
    deadline = time.monotonic() + 60
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@needs_quantizer
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_a_command_that_takes_too_much_memory_fails(project: Path):
    command(project, "bytearray(3 << 30); write()")

    error = failure(project, memory_bytes=512 << 20)

    assert error.message == "kws.onnx: onnx2tf 1.29.24 ended with exit code 1: MemoryError"
    assert error.details == ("it may take 512 MB of memory (conversion_memory)",)


# What it may not


@needs_quantizer
@pytest.mark.skipif(
    sys.platform != "linux"
    or subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode != 0,
    reason="no network namespaces for this user",
)
def test_the_command_has_no_network(project: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        command(
            project,
            f"""
            import socket
            try:
                socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 5)
            except OSError:
                write()
            """,
        )
        assert convert(project).content


@needs_quantizer
def test_the_command_sees_no_secret_and_only_a_proxy_that_leads_nowhere(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TOKEN_OF_A_CLOUD", "secret")
    monkeypatch.setenv("NO_PROXY", "*")
    command(
        project,
        """
        assert "TOKEN_OF_A_CLOUD" not in os.environ and "PYTHONPATH" not in os.environ
        assert os.environ["https_proxy"] == os.environ["HTTP_PROXY"] == "http://127.0.0.1:9"
        assert not os.environ["no_proxy"] and not os.environ["NO_PROXY"]
        assert os.environ["PATH"].startswith(str(here / "bin"))
        write()
        """,
    )

    assert convert(project).content


# The cache


def test_the_key_follows_model_weights_and_version_but_not_the_place_of_the_command(project: Path):
    path = command(project)

    def key(**more: object) -> str:
        onnx2tf._version.cache_clear()
        return fingerprint(project / "kws.onnx", "onnx", settings(project, **more))

    before = key()
    command(project, name="other")
    assert key(onnx_command=("bin/other",)) == before
    project.joinpath("kws.onnx.data").write_bytes(b"weights")
    with_weights = key()
    path.write_text(path.read_text().replace("1.29.24", "2.6.9"))
    assert len({before, with_weights, key()}) == 3


@needs_quantizer
def test_a_conversion_is_kept(project: Path, tmp_path: Path):
    path = command(project)
    cache = Cache(tmp_path / "cache")
    made = convert(project, cache)
    path.write_text(path.read_text().replace("write()\n", "raise SystemExit(1)\n"))

    again = convert(project, cache)

    assert again.cached
    assert again.content == made.content


# The real tool

MAKE = """
import numpy as np, onnx, sys
from onnx import TensorProto, helper, numpy_helper
random = np.random.default_rng(0)
weights = {
    "kernel": random.standard_normal((4, 3, 3, 3)), "bias": random.standard_normal(4),
    "matrix": random.standard_normal((4, 2)),
}
nodes = [
    helper.make_node("Conv", ["image", "kernel", "bias"], ["maps"], pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["maps"], ["active"]),
    helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
    helper.make_node("Flatten", ["pooled"], ["flat"]),
    helper.make_node("MatMul", ["flat", "matrix"], ["scores"]),
]
value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
graph = helper.make_graph(
    nodes, "kws", [value("image", ["batch", 3, 8, 6])], [value("scores", ["batch", 2])],
    [numpy_helper.from_array(each.astype(np.float32), name) for name, each in weights.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.save(model, sys.argv[1])
"""


@needs_quantizer
@needs_onnx2tf
def test_onnx2tf_itself_converts_an_image_network_without_a_network(project: Path):
    python = Path(REAL).parent / "python"
    subprocess.run([python, "-c", MAKE, project / "kws.onnx"], check=True, timeout=120)

    converted = convert(project, onnx_command=(REAL,))

    main = read_model(converted.content, "it").main
    assert [main.tensors[index].shape for index in main.inputs] == [(1, 8, 6, 3)]
    assert [main.tensors[index].shape for index in main.outputs] == [(1, 2)]
    assert {main.tensors[index].type for index in (*main.inputs, *main.outputs)} == {"INT8"}
    assert f"onnx2tf {onnx2tf.version_of((REAL,), project)}" in converted.settings
    assert max(each["relative_error"] for each in converted.drift) < 0.1


def test_transposes_that_onnx2tf_left_are_counted_with_their_place() -> None:
    graph = (maker := ModelMaker()).graph()
    image = graph.input((1, 2, 4, 4), "FLOAT32")
    order = graph.constant((4,), values=(0, 2, 3, 1))
    turned = graph.tensor((1, 4, 4, 2), "FLOAT32")
    graph.operator("TRANSPOSE", (image, order), (turned,), {})
    graph.output(graph.conv2d(turned, filters=3))

    told = transposes(read_model(maker.build(), "m"), {}, "onnx2tf")

    assert told == ["onnx2tf left 1 TRANSPOSE, a copy each: #0 before CONV_2D #1"]
    graph = (maker := ModelMaker()).graph()
    graph.output(graph.conv2d(graph.input((1, 4, 4, 2), "FLOAT32"), filters=3))
    assert transposes(read_model(maker.build(), "m"), {}, "onnx2tf") == []
