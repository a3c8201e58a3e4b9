"""Files and names that want to do harm, through every command: shown escaped, or refused in a line.

The reports one by one have such tests of their own; here a hostile project goes the whole way.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import every
from fuzzing import require_plain
from modelmaker import ModelMaker

from pytest_tinybudget import cli
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.processes import environment
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.sources import check_source
from pytest_tinybudget.footprint.section_graph import decode
from pytest_tinybudget.report.escape import csv_cell
from pytest_tinybudget.update.manifest import load_manifest


#: What names may hold, and after it what must be seen of it nowhere as it is.
TEXTS = {
    "terminal escape": "a\x1b[31mred\x1b[0m\x07",
    "control characters": "a\x00b\x08c\x7f\x9b",
    "line ends": "a\nb\r\nc\u2028d\x85e",
    "bidirectional": "\u202egnp.exe\u2066x\u2069\u200f",
    "end of comment": "*/ int injected; /* //\\",
    "continued line": "x \\\nint injected;",
    "trigraph": "??/\nint injected;",
    "workflow command": "\n::error::injected\n##[error]injected",
    "set-output": "%0A::set-output name=x::y",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>\"'",
    "svg": "]]></text><script>alert(1)</script>",
    "markdown": "](http://evil.example) @octocat **bold** `code` | cell |\n# heading",
    "formula": '=HYPERLINK("http://evil.example")',
    "format": "{0} %s %n ${HOME} $(id) `id`",
    "long": "x" * 100_000,
}

BOARD = "arduino-nano-33-ble"


def hostile_model(text: str) -> bytes:
    """Every text that a model file has is ``text``."""
    maker = ModelMaker(description=text)
    graph = maker.graph(text)
    image = graph.input((1, 8, 8, 3), name=text)
    filtered = graph.tensor((1, 8, 8, 3), "INT8", name=text)
    graph.operator(text, (image,), (filtered,), custom_options=b"")
    scores = graph.softmax(graph.dense(graph.conv2d(filtered, filters=4), units=10))
    graph.output(scores)
    maker.metadata[text] = text.encode()
    maker.signature(text, {text: image}, {text: scores})
    return maker.build()


def own(operator: str) -> str:
    """The option that states what the firmware's own kernel of ``operator`` takes."""
    return f"--op={operator}=0,0,1KB"


def declare(folder: Path, *, more: str = "", message: str = "") -> None:
    said = f"message = {json.dumps(message)}\n" if message else ""
    (folder / "tinybudget.toml").write_text(
        f'[models.kws]\nsource = "kws.tflite"\nboards = ["{BOARD}"]\n{said}'
        f'budget = {{ flash = "30 KB", ram = "2 KB" }}\n{more}',
        encoding="utf-8",
    )


@pytest.fixture(params=every(3, TEXTS))
def text(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project in the current folder whose model and message are hostile."""
    monkeypatch.chdir(tmp_path)
    found = TEXTS[request.param]
    (tmp_path / "kws.tflite").write_bytes(hostile_model(found))
    visible = "".join(character for character in found if character.isprintable())[:500]
    key = json.dumps(found).replace("\x7f", "\\u007f")
    declare(tmp_path, message=visible, more=f'[runtime.ops.{key}]\nflash = "1 KB"\n')
    return found


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def require_harmless(shown: str) -> None:
    """Neither a terminal nor the log of a CI job may act upon ``shown``."""
    require_plain(shown)
    for line in shown.split("\n"):
        assert not re.match(r"\s*(::|##\[)", line), line[:200]


@pytest.mark.parametrize(
    "command",
    [
        ("check", "-vv"),
        ("check", "-q"),
        ("explain", f"tinybudget.toml::kws::{BOARD}"),
        ("inspect", "kws.tflite", "--board", BOARD),
        ("carray", "kws.tflite", "--board", BOARD),
        ("inspect", "kws.tflite", "--json"),
        ("inspect", "kws.tflite", "--edge-tpu"),
        ("compare", "kws.tflite", "kws.tflite"),
        ("doctor",),
    ],
    ids=lambda command: " ".join(command[:1] + command[2:3]),
)
def test_no_command_prints_what_a_terminal_acts_upon(
    command: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "120")
        try:
            cli.main(list(command))
        except SystemExit as usage:
            pytest.fail(f"not a command: {usage}")
    shown = said(capsys)
    require_harmless(shown)
    assert "--json" in command or len(shown) < 50_000, "a long name must not fill a log"


@pytest.fixture
def results(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A results file of the hostile project beside it."""
    assert cli.main(["check", "--json", "results.json", "-q"]) == 1
    capsys.readouterr()
    return text


def report(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["report", "results.json", "--format", name]) == 0
    return capsys.readouterr().out


def test_every_report_file_is_plain(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("html", "markdown", "json", "openmetrics", "gitlab-codequality"):
        require_plain(report(name, capsys))
    require_plain(report("csv", capsys).replace("\r\n", "\n"))
    require_plain(report("junit", capsys).replace("\t", " "))


def test_pages_and_tables_hold_no_markup_of_a_name(
    results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = report("html", capsys)
    assert "<script>alert" not in page
    assert "<img" not in page
    table = report("markdown", capsys)
    assert "<script" not in table
    assert "](http" not in table
    assert "@octocat" not in table


def test_no_cell_is_a_formula(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    for row in csv.reader(io.StringIO(report("csv", capsys))):
        for cell in row:
            assert not re.match(r"[=+@\t\r]|-\D", cell), cell


@pytest.mark.parametrize("formula", ["=1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_what_a_spreadsheet_would_compute_is_text(formula: str) -> None:
    assert csv_cell(formula)[0] not in "=+-@\t\r\n"


def test_xml_of_names_is_well_formed(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    ET.fromstring(report("junit", capsys))
    assert cli.main(["inspect", "kws.tflite", "--svg", "arena.svg"]) in (0, 2)
    if Path("arena.svg").exists():
        tags = {each.tag.rpartition("}")[2] for each in ET.parse("arena.svg").iter()}
        assert not tags & {"script", "image", "foreignObject", "a"}


def test_github_gets_its_own_commands_only(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    assert cli.main(["check", "-q"]) == 1
    shown = said(capsys)
    require_plain(shown)
    commands = [line for line in shown.split("\n") if re.match(r"\s*(::|##\[)", line)]
    assert commands
    for command in commands:
        assert re.match(r"::(error|warning) (file=tinybudget\.toml,line=\d+,)?title=", command)
    require_plain((tmp_path / "summary.md").read_text("utf-8"))
    for line in (tmp_path / "output").read_text("utf-8").split("\n"):
        assert re.fullmatch(r"([a-z_]+=\w+)?", line)


@pytest.mark.parametrize("compiler", ["gcc", "arm-none-eabi-gcc"])
def test_c_files_compile_and_hold_nothing_but_data(
    compiler: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    assert cli.main(["carray", "kws.tflite", "-o", "out", "--language", "c", own(text)]) == 0
    folder = tmp_path / "out"
    headers = "".join(f'#include "{file.name}"\n' for file in sorted(folder.glob("*_model_*.h")))
    (folder / "all.c").write_text(headers)
    warnings = ("-std=c11", "-trigraphs", "-Wall", "-Wextra", "-Werror", "-Wcomment")
    for source in ("kws_model_data.c", "all.c"):
        command = [compiler, *warnings, "-c", source, "-o", f"{source}.o"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"injected" not in (folder / f"{source}.o").read_bytes().replace(text.encode(), b"")
    for file in folder.glob("*.h"):
        require_plain(file.read_text("ascii"))


# Names of files and folders


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
@pytest.mark.parametrize(
    "name", ["a\x1b[31m", "a\nb", "\u202eb", "::error::x", "<b>", "=1+1", "*", "a'b\"c", "é \\"]
)
def test_a_file_may_be_called_anything(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.tflite").write_bytes(hostile_model("plain"))
    assert cli.main(["inspect", f"{name}.tflite"]) == 0
    assert cli.main(["carray", f"{name}.tflite", "-o", "out", own("plain")]) == 0
    (tmp_path / f"{name}.tflite").write_bytes(b"no model")
    assert cli.main(["inspect", f"{name}.tflite"]) == 2
    (tmp_path / "tinybudget.toml").write_text(f'[defaults]\nboards = ["{BOARD}"]\n'
        '[models.all]\nsource = "*.tflite"\n', encoding="utf-8")  # fmt: skip
    assert cli.main(["check"]) == 2
    require_harmless(said(capsys))
    assert all(re.fullmatch(r"\w+\.(h|cc)", file.name) for file in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "section", ["../kws", "a/b", "a\\b", "C:kws", ".. ", "a\x00b", "\u202e", "kws\n::error::x", "*"]
)
def test_a_model_is_not_called_a_path_or_a_command(
    section: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kws.tflite").write_bytes(hostile_model("plain"))
    (tmp_path / "tinybudget.toml").write_text(
        f'[models.{json.dumps(section)}]\nsource = "kws.tflite"\nboards = ["{BOARD}"]\n'
    )
    assert cli.main(["check", "--artifacts", "out"]) == 2
    require_harmless(said(capsys))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\evil"])
def test_artifacts_are_not_named_out_of_their_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kws.tflite").write_bytes(hostile_model("plain"))
    declare(tmp_path)
    declared = (tmp_path / "tinybudget.toml").read_text()
    (tmp_path / "tinybudget.toml").write_text(
        declared.replace("budget", f"artifacts = {json.dumps(name)}\nbudget")
    )
    assert cli.main(["check"]) == 2
    assert "artifacts" in said(capsys)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.fixture
def precious(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file outside of the project's folder, unchanged at the end."""
    if os.name == "nt":
        pytest.skip("symbolic links need rights there")
    path = tmp_path / "precious"
    path.write_bytes(b"precious")
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    (project / "kws.tflite").write_bytes(hostile_model("plain"))
    declare(project, more='[runtime.ops.plain]\nflash = "1 KB"\n')
    yield path
    assert path.read_bytes() == b"precious"


def test_artifacts_replace_links_and_follow_none(precious: Path) -> None:
    out = Path("out")
    out.mkdir()
    for name in ("kws_model_data.h", "kws_model_data.cc", "kws_model_settings.h"):
        (out / name).symlink_to(precious)
    assert cli.main(["check", "--artifacts", "out"]) == 1
    assert b"kws" in (out / "kws_model_data.h").read_bytes()
    assert not [file for file in out.iterdir() if file.is_symlink()]


def test_a_package_replaces_links_and_follows_none(precious: Path) -> None:
    pytest.importorskip("intelhex")
    for name in ("kws-1.0.0.bin", "kws-1.0.0.json"):
        Path(name).symlink_to(precious)
    arguments = ["kws.tflite", "--version", "1.0.0", "--slot-size", "64KB"]
    if cli.main(["package", *arguments, "-o", "."]) == 0:
        assert not Path("kws-1.0.0.bin").is_symlink()


def test_a_manifest_names_no_file_to_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"schema_version": 1, "image": {"file": "../../etc/passwd"}}')
    with pytest.raises(TinybudgetError, match="no manifest of an update image"):
        load_manifest(path)


def test_a_fleet_is_not_made_of_another_programs_file(
    precious: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("fleet.sqlite").symlink_to(precious)
    Path("devices.csv").write_text("device\npump\n")
    assert cli.main(["fleet", "register", "--from", "devices.csv"]) == 2
    assert said(capsys).count("\n") == 1


@pytest.mark.parametrize("text", [TEXTS[name] for name in TEXTS if name != "long"])
def test_a_fleet_takes_no_device_that_a_terminal_acts_upon(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [{"device": text, "version": "1.0"}, {"device": "b", "version": text}]
    Path("devices.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code = cli.main(["fleet", "register", "--from", "devices.jsonl"])
    assert code == (0 if text.isprintable() else 2)
    if code == 0:
        for command in (["list"], ["status"], ["history"]):
            assert cli.main(["fleet", *command]) in (0, 2)
    require_harmless(said(capsys))


@pytest.mark.parametrize("path", ["../partitions.csv", "/dev/zero", "loop", ".", "/dev/stdin"])
def test_a_partition_table_elsewhere_is_read_as_one_or_refused(
    path: str, precious: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("loop").symlink_to("loop")
    Path("../partitions.csv").write_text("\x1b[31m, ::error::, a, b, c\n")
    slots = f'slots = {{ layout = "esp-idf", partition_table = {json.dumps(path)} }}'
    declare(Path(), more=f'[boards.own]\nextends = "esp32"\n{slots}\n')
    assert cli.main(["check"]) == 2
    require_harmless(said(capsys))


@pytest.mark.parametrize("pattern", ["/**/*.tflite", "../**/*.tflite", "*/*/*/*/*.tflite"])
def test_a_glob_does_not_search_the_disk(
    pattern: str, precious: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(Path())
    text = Path("tinybudget.toml").read_text().replace("kws.tflite", pattern)
    Path("tinybudget.toml").write_text(text)
    assert cli.main(["check"]) == 2
    assert "models.kws.source: " in said(capsys)


def test_a_glob_goes_through_no_circle_of_links(precious: Path) -> None:
    for name in ("a", "b", "c"):
        Path(name).symlink_to(".")
    Path("tinybudget.toml").write_text(
        f'[models.all]\nsource = "**/*.tflite"\nboards = ["{BOARD}"]\n'
    )
    assert cli.main(["check", "-q"]) in (0, 1)


# Archives, arrays and tables that promise too much


def keras(path: Path, members: dict[str, bytes], **claimed: int) -> Path:
    """A ``.keras`` archive; a member may claim another size in the archive's directory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for info in archive.infolist():
            info.file_size = claimed.get(info.filename.replace(".", "_"), info.file_size)
    return path


def test_a_keras_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = keras(tmp_path / "a.keras", {"config.json": b"{}" + bytes(70 * 1024**2)})
    assert bomb.stat().st_size < 200_000
    with pytest.raises(ConversionError, match=r"its config\.json would unpack to 73,400,322 bytes"):
        check_source(bomb, "keras", "a.keras")
    members = {"config.json": b"{}", "model.weights.h5": b"x"}
    bomb = keras(tmp_path / "b.keras", members, model_weights_h5=3 * 10**9)
    with pytest.raises(ConversionError, match="it would unpack to"):
        check_source(bomb, "keras", "b.keras")


@pytest.mark.parametrize("member", ["../evil", "/etc/evil", "a/../../evil", "a\\..\\..\\evil"])
def test_a_keras_member_that_leads_out_is_refused(member: str, tmp_path: Path) -> None:
    path = keras(tmp_path / "a.keras", {"config.json": b"{}", member: b"x"})
    with pytest.raises(ConversionError, match="leads out of the archive"):
        check_source(path, "keras", "a.keras")


def test_a_keras_member_shown_twice_is_refused(tmp_path: Path) -> None:
    path = keras(tmp_path / "a.keras", {"config.json": b"{}"})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", b"{}")
    with pytest.raises(ConversionError, match="a member twice"):
        check_source(path, "keras", "a.keras")


@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
def test_a_header_that_promises_373_gib_takes_no_memory(name: str, tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    from pytest_tinybudget.convert.worker.arrays import arrays_in
    from pytest_tinybudget.convert.worker.problem import WorkerError

    header = io.BytesIO()
    promised = {"descr": "<f4", "fortran_order": False, "shape": (10**11,)}
    np.lib.format.write_array_header_1_0(header, promised)
    (tmp_path / "data.npy").write_bytes(header.getvalue() + bytes(64))
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.write(tmp_path / "data.npy", "data.npy")
    with pytest.raises(WorkerError, match="400,000,000,000 bytes, but 64 bytes follow"):
        arrays_in(tmp_path / name, "held-out data")


def test_a_header_that_is_gigabytes_itself_takes_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    from pytest_tinybudget.convert.worker.arrays import arrays_in
    from pytest_tinybudget.convert.worker.problem import WorkerError

    (tmp_path / "data.npy").write_bytes(b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b"{}")
    with pytest.raises(WorkerError, match="promises a header of 4,294,967,295 bytes"):
        arrays_in(tmp_path / "data.npy", "held-out data")


def test_pickled_arrays_are_refused_unread(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    from pytest_tinybudget.convert.worker.arrays import arrays_in
    from pytest_tinybudget.convert.worker.problem import WorkerError

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    np.save(tmp_path / "data.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "data.npz", x=np.array([Evil()], dtype=object))
    for name in ("data.npy", "data.npz"):
        with pytest.raises(WorkerError, match="holds Python objects"):
            arrays_in(tmp_path / name, "held-out data")
    assert not (tmp_path / "ran").exists()


def gzip_of(content: bytes, times: int) -> bytes:
    compressor = zlib.compressobj(9, wbits=31)
    parts = [compressor.compress(content) for _ in range(times)]
    return b"".join(parts) + compressor.flush()


def test_a_table_that_is_a_bomb_is_refused() -> None:
    bomb = gzip_of(b" " * 1024**2, 300)
    assert len(bomb) < 1024**2
    with pytest.raises(TinybudgetError, match="unpacks to more than 128 MB"):
        decode(bomb, "table.json.gz")


# Processes that handle what strangers wrote


SECRETS = ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
           "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PYPI_TOKEN", "HF_TOKEN", "SSH_AUTH_SOCK",
           "GOOGLE_APPLICATION_CREDENTIALS", "CI_JOB_TOKEN", "PASSWORD")  # fmt: skip


def test_a_worker_gets_no_secret(tmp_path: Path) -> None:
    given = {**os.environ, **dict.fromkeys(SECRETS, "secret")}
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(given, tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert "secret" not in seen.values()
    assert not set(SECRETS) & set(seen)
    assert seen["HOME"] == str(tmp_path), "files of the user, such as ~/.aws, are not found by name"


@pytest.mark.parametrize("tool", ["imgtool", "esptool", "ethosu.vela"])
def test_a_tool_gets_no_secret(tool: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pytest_tinybudget.accelerators import vela
    from pytest_tinybudget.boards.accelerator import VelaOptions
    from pytest_tinybudget.graph.tflite import read_model
    from pytest_tinybudget.update import signing
    from pytest_tinybudget.update.image import parse_version

    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    package, _, submodule = tool.partition(".")
    tmp_path.joinpath(package).mkdir()
    tmp_path.joinpath(package, "__init__.py").write_text("")
    tells = "import os\nopen(__file__ + '.env', 'w').write(' '.join(os.environ))\nimgtool = print"
    for module in ("__main__", "main", submodule or "other"):
        tmp_path.joinpath(package, f"{module}.py").write_text(tells)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(signing, "installed_version", lambda _: "9")
    monkeypatch.setattr(vela.metadata, "version", lambda _: "9")
    model = read_model(hostile_model("plain"), "kws")

    placement = signing.Placement(slot=65536, header=32, align=4, sectors=128, trailer=0)
    calls: dict[str, Callable[[], object]] = {
        "imgtool": lambda: signing.sign(model.content, parse_version("1.0.0"), placement, None),
        "esptool": lambda: signing.to_uf2(model.content, 0, "esp32s3"),
        "ethosu.vela": lambda: vela.compile_model(model, "ethos-u55-128", VelaOptions()),
    }

    with pytest.raises(TinybudgetError):
        calls[tool]()

    (told,) = tmp_path.joinpath(package).glob("*.env")
    seen = set(told.read_text().split())
    assert "PATH" in seen
    assert not seen & set(SECRETS)


def test_the_interpreter_of_verify_gets_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pytest_tinybudget.gate import cross_check
    from pytest_tinybudget.graph.tflite import read_model

    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numpy.py").write_text("raise SystemExit('the project took over')")
    script = "import os, sys\nimport numpy\nsys.exit(' '.join(sorted(os.environ)))"
    monkeypatch.setattr(cross_check, "_CHILD", script)
    monkeypatch.setattr(cross_check, "require_interpreter", lambda: None)
    failure = cross_check.cross_check(read_model(hostile_model("plain"), "kws")).failure
    assert "PATH" in failure
    assert not set(SECRETS) & set(failure.split())
