"""Full disks, read-only folders, damaged caches, kill -9, Ctrl-C and converters that go wrong.

Nothing is torn, nothing wrong is used again, nobody is left running, and the exit code says it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from campaigns import every
from campaigns import rare
from conftest import DECLARATION
from conftest import dense_model
from conftest import keyword_model
from modelmaker import ModelMaker

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.base.cache_folder import default_folder
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_file
from pytest_tinybudget.cli import main
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.files import JobFolder
from pytest_tinybudget.convert.quantizers import installed_quantizer
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Check
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.evaluation.interpreters import MODULES
from pytest_tinybudget.gate.cross_check import cross_check
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.workspace import Workspace


if sys.platform != "linux":
    pytest.skip("these faults are made with Linux's means", allow_module_level=True)

import resource


PACKAGE = Path(sys.modules["pytest_tinybudget"].__file__ or "").parent
CAMPAIGN = Path(__file__).with_name("fault_campaign.py")
COMMAND = (sys.executable, "-m", "pytest_tinybudget")
#: A machine with other work takes its time.
SECONDS = 120

BUDGETS = DECLARATION + 'budget = { flash = "200 KB", ram = "100 KB" }\n'
KEY = "ab" + "0" * 62
REPORT = {"warnings": [], "notes": [], "drift": [], "stripped_bytes": 0, "source": "kws.keras"}


@pytest.fixture(autouse=True)
def _one_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of runs a minute apart are the same, byte for byte."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796000000")


@pytest.fixture(autouse=True)
def _whole_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose files cannot grow must write no bytecode: Python may leave it cut."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the processes that are started."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    return temporary


@pytest.fixture
def folder(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two models, results of an earlier run, and a cache of its own."""
    folder = tmp_path / "project"
    folder.joinpath("models").mkdir(parents=True)
    folder.joinpath("models", "kws.tflite").write_bytes(keyword_model())
    folder.joinpath("models", "vad.tflite").write_bytes(dense_model())
    folder.joinpath("tinybudget.toml").write_text(BUDGETS)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))
    return folder


def tinybudget(
    *arguments: str, prefix: tuple[str, ...] = (), **options: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, *COMMAND, *arguments],
        **{"capture_output": True, "text": True, "check": False, "timeout": SECONDS, **options},
    )


def run_command(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# A full disk


def full_after(size: int) -> Callable[[], None]:
    """No file of the process may grow beyond ``size``: the disk is full, whoever is root."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("check --json old.txt", "old.txt"),
        ("check --html old.txt", "old.txt"),
        ("check --junit-xml old.txt", "old.txt"),
        ("check --artifacts c", "c/kws_model_data.h"),
        ("carray models/kws.tflite -o c --name kws", "c/kws_model_data.h"),
        ("merge all/r.json -o old.txt", "old.txt"),
        ("report all/r.json --format markdown -o old.txt", "old.txt"),
        ("history all --svg old.txt", "old.txt"),
        ("inspect models/kws.tflite --svg old.txt", "old.txt"),
        ("schema -o old.txt", "old.txt"),
        ("package models/kws.tflite --version 1.0.0 --slot-size 65536 -o old", "old/kws.bin"),
        ("init --force models", "models/tinybudget.toml"),
        ("tighten", "tinybudget.toml"),
    ],
)
def test_a_full_disk_is_one_line_and_the_old_file_stays(folder: Path, command: str, target: str):
    assert main(["check", "--json", "all/r.json"]) == 0
    if not folder.joinpath(target).exists():
        folder.joinpath(target).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(target).write_text("old")
    before = contents(folder)

    done = tinybudget(*command.split(), preexec_fn=full_after(64))

    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(r"File too large", done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("report", ["json", "html"])
def test_pytest_ends_with_a_usage_error_on_a_full_disk(folder: Path, report: str):
    folder.joinpath("old.txt").write_text("old")
    command = [sys.executable, "-m", "pytest", "--tinybudget", f"--tinybudget-{report}=old.txt"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        capture_output=True, text=True, check=False, timeout=SECONDS, preexec_fn=full_after(64),
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: --tinybudget-{report}: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert folder.joinpath("old.txt").read_text() == "old"


def test_a_disk_that_is_really_full_is_one_line(folder: Path):
    """A file system of 16 KB in a name space of its own, which any user may make."""
    script = (
        "mkdir small && mount -t tmpfs -o size=16k none small && echo old > small/r.json && "
        f"{sys.executable} -m pytest_tinybudget check --html small/r.json; code=$?; "
        "ls -A small; cat small/r.json; exit $code"
    )
    unshare = ["unshare", "--map-root-user", "--mount"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False).returncode
    ):
        pytest.skip("name spaces are not allowed here")
    done = subprocess.run(
        [*unshare, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert "small/r.json: cannot be written: No space left on device" in done.stderr
    assert (done.returncode, done.stdout.split()[-2:]) == (2, ["r.json", "old"])


def test_a_full_stdout_is_one_line(folder: Path):
    with Path("/dev/full").open("w") as full:
        done = tinybudget(
            "check", "--json", "-", capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert "tinybudget: No space left on device [TB102]\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_cache_on_a_full_disk_leaves_nothing(tmp_path: Path):
    code = textwrap.dedent(
        f"""
        from pathlib import Path
        from pytest_tinybudget.base.cache import Cache, Entry
        print(Cache(Path({str(tmp_path)!r})).put({KEY!r}, Entry(bytes(1000), {{}})))
        """
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, preexec_fn=full_after(64)
    )
    assert done.stdout.startswith("not kept: the conversion cache ")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_every_file_is_written_in_a_way_that_is_known():
    """A new place that writes files is to be added here, and to the tests of a full disk."""
    writes = re.compile(
        r"\.write_(?:text|bytes)\(|\.open\(\"[axw]|\bopen\([^)]*\"[axw]b?\"|mkstemp"
    )
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if writes.search(path.read_text(encoding="utf-8"))
    }
    whole = {"base/cache.py", "base/files.py"}
    appended = {"base/locks.py", "report/github.py"}
    temporary = {
        *("base/processes.py", "convert/converter.py", "convert/files.py"),
        "convert/worker/job.py",
        *("evaluation/job.py", "evaluation/measure.py"),
        *("evaluation/operators.py", "evaluation/golden.py"),
        *("update/signing.py", "accelerators/vela.py", "gate/cross_check.py"),
        "baseline/git.py",
        "shrinking/interpreters.py",
        "shrinking/worker.py",
    }
    kernel = {"base/offline.py"}  # names in a namespace of its own
    assert found == whole | appended | temporary | kernel


def test_a_named_file_may_be_a_device_or_a_link_and_keeps_its_mode(tmp_path: Path):
    write_file(Path(os.devnull), b"x")
    assert not Path(os.devnull).is_file()

    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)


# Folders that must not be written


@pytest.fixture
def mortal() -> tuple[str, ...]:
    """What makes a command of root obey the modes of files; nothing for other users."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root writes everywhere, and there is no setpriv")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.parametrize(
    "arguments", ["--json out/r.json", "--html out/r.json", "--artifacts out"], ids=str.split
)
def test_a_read_only_folder_is_one_line(folder: Path, mortal: tuple[str, ...], arguments: str):
    folder.joinpath("out").mkdir()
    folder.joinpath("out", "r.json").write_text("old")
    folder.joinpath("out").chmod(0o555)

    done = tinybudget("check", *arguments.split(), prefix=mortal)

    assert done.returncode == 2
    assert "Permission denied" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert contents(folder / "out") == {"r.json": b"old"}


DECLARED_FOLDER = '[defaults]\nartifacts = "build"\n'


@pytest.mark.parametrize("declared", [DECLARED_FOLDER, ""], ids=["declared", "default"])
@pytest.mark.parametrize(
    "command",
    [
        ("-m", "pytest_tinybudget", "check"),
        ("-m", "pytest", "--tinybudget", "-p", "no:cacheprovider", "-p", "no:xdist"),
        rare(pytest.param(("-m", "pytest", "--tinybudget", "-p", "no:cacheprovider", "-n", "2"))),
    ],
    ids=["check", "pytest", "xdist"],
)
def test_a_read_only_checkout_gets_its_verdicts(
    folder: Path, mortal: tuple[str, ...], command: tuple[str, ...], declared: str
):
    if "-n" in command:
        pytest.importorskip("xdist")
    path = folder / "tinybudget.toml"
    path.write_text(path.read_text().replace("[models", f"{declared}[models", 1))
    before = contents(folder)
    folder.chmod(0o555)

    done = run_command((*mortal, sys.executable, *command))

    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 0, told
    assert "Traceback" not in told
    if declared or "pytest" in command:  # check writes C files only where it is told
        assert "its C files are not there: cannot write to" in told
    assert contents(folder) == before


def test_a_read_only_checkout_is_an_error_where_files_were_asked_for(
    folder: Path, mortal: tuple[str, ...]
):
    folder.chmod(0o555)
    command = ("-m", "pytest", "--tinybudget", "-p", "no:cacheprovider")
    done = run_command((*mortal, sys.executable, *command, "--tinybudget-artifacts", "out"))
    assert done.returncode == 1
    assert "cannot write to" in done.stdout


def test_without_a_home_there_is_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch):
    def unknown(_: object) -> None:
        raise KeyError

    for variable in ("HOME", "XDG_CACHE_HOME", "TINYBUDGET_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert default_folder() == Path("/nonexistent/pytest-tinybudget")


# Entries of the cache


def kept(folder: Path) -> tuple[Cache, Path, bytes]:
    cache = Cache(folder)
    assert cache.put(KEY, Entry(b"model\nbytes", REPORT)) == ""
    (file,) = folder.rglob("*.int8")
    return cache, file, file.read_bytes()


def test_an_entry_that_was_cut_anywhere_is_not_used(tmp_path: Path):
    cache, file, whole = kept(tmp_path)
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert cache.get(KEY, tmp_path) is None, length
    file.write_bytes(whole)
    assert cache.get(KEY, tmp_path) == Entry(b"model\nbytes", REPORT)


def test_an_entry_with_any_bit_flipped_is_not_used(tmp_path: Path):
    cache, file, whole = kept(tmp_path)
    for position in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        file.write_bytes(flipped)
        assert cache.get(KEY, tmp_path) is None, position


def test_an_entry_of_another_key_or_version_is_not_used(tmp_path: Path):
    cache, file, whole = kept(tmp_path)
    other = KEY[:-1] + "1"
    file.with_name(f"{other}.int8").write_bytes(whole)
    assert cache.get(other, tmp_path) is None

    older = {"sha256": "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"}
    file.write_bytes(json.dumps({**older, "report": REPORT}).encode() + b"\nmodel")
    assert cache.get(KEY, tmp_path) is None


def test_drafts_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path):
    cache, file, _ = kept(tmp_path)
    dead, living = file.with_name(f".{KEY}.dead"), file.with_name(f".{KEY}.living")
    for draft in (dead, living):
        draft.write_bytes(b"half")
    os.utime(dead, (0, 0))
    cache.put(KEY, Entry(b"model", REPORT))
    assert not dead.exists()
    assert living.exists()


# kill -9


@pytest.mark.parametrize(
    ("command", "mode", "at_least"),
    [
        rare(("check --json old/r.json --html old/p.html --artifacts old", "steps", 25)),
        ("check --json old/r.json --html old/p.html --artifacts old", "bytes", 6),
        ("tighten", "steps", 2),
        ("tighten", "bytes", 2),
        ("keep", "steps", 5),
        ("keep", "bytes", 8),
    ],
)
def test_whenever_it_is_killed_files_are_old_or_new_and_the_next_run_ends(
    folder: Path, command: str, mode: str, at_least: int
):
    folder.joinpath("old").mkdir()
    for name in ("r.json", "p.html", "kws_model_data.h"):
        folder.joinpath("old", name).write_text("old")
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), str(folder), mode, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= at_least


# Converters and interpreters that go wrong, without TensorFlow

runs_models = pytest.mark.skipif(
    not any(find_spec(module.partition(".")[0]) for module in MODULES.values()),
    reason="needs an interpreter",
)

#: Stands in, in worker processes, for what loads and converts a model.
FAKES = """
import os, signal, subprocess, sys, tempfile, time, types
from pathlib import Path

HERE = Path(__file__).parent

class Hangs:
    def find_spec(self, name, *_):
        if name == "pytest_tinybudget.convert.worker.quantizer_backend":
            go_on()

def run(folder):
    job = folder.read_job()
    folder.write_step("converting")
    behavior = (HERE / "behavior").read_text()
    tempfile.mkdtemp()
    if behavior == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if behavior == "eats":
        try:
            eaten = bytearray(3 << 30)
        except MemoryError:
            folder.write_result({"error": [f"{job.shown}: out of memory"]})
            return
    if behavior in ("sleeps", "floods"):
        go_on()
    with (HERE / "conversions").open("a") as log:
        log.write(f"{job.shown}\\n")
    content = (HERE / "made.tflite").read_bytes()
    folder.whole.write_bytes(content)
    folder.model.write_bytes(content)
    folder.write_result({"warnings": [], "notes": [], "drift": [], "samples": 1,
                         "stripped_bytes": 0, "read": {}})

def go_on(*_):
    if (HERE / "behavior").read_text() == "dies":
        os.kill(os.getpid(), signal.SIGRTMIN + 1)
    while (HERE / "behavior").read_text() == "floods":
        print("x" * 99_999, flush=True)
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    tempfile.mkdtemp()
    draft = HERE / f"pids.{os.getpid()}"
    draft.write_text(f"{os.getpid()} {os.getppid()} {child.pid}")
    draft.rename(HERE / "pids")
    time.sleep(600)

def fake(name, **attributes):
    module = types.ModuleType(f"pytest_tinybudget.{name}")
    vars(module).update(attributes)
    sys.modules[module.__name__] = module

if (HERE / "behavior").read_text() == "imports":
    sys.meta_path.insert(0, Hangs())
else:
    fake("convert.worker.quantizer_backend")
fake("convert.worker.job", run=run)
fake("evaluation.worker.data", HeldOut=go_on)
"""


def float_model() -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8), type="FLOAT32"), units=2))
    return maker.build()


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the fake converter; its file ``behavior`` says what it does."""
    fakes = tmp_path / "fakes"
    fakes.joinpath("litert_quantizer").mkdir(parents=True)
    fakes.joinpath("litert_quantizer", "__init__.py").write_text("")
    fakes.joinpath("sitecustomize.py").write_text(FAKES)
    fakes.joinpath("made.tflite").write_bytes(keyword_model())
    fakes.joinpath("behavior").write_text("converts")
    monkeypatch.setenv("PYTHONPATH", str(fakes))
    monkeypatch.syspath_prepend(str(fakes))
    installed_quantizer.cache_clear()  # asked once a process: here it changes
    yield fakes
    installed_quantizer.cache_clear()


@pytest.fixture
def converted(folder: Path, fakes: Path) -> Path:
    """The project, with a float model that is converted first."""
    folder.joinpath("models", "kws.tflite").write_bytes(float_model())
    text = BUDGETS.replace("[models.vad]", 'representative_data = "random"\n\n[models.vad]')
    folder.joinpath("tinybudget.toml").write_text(text)
    return folder


CHECK = ("check", "--json", "r.json", "--html", "p.html", "--artifacts", "c")


def test_a_conversion_goes_on_without_a_cache_and_says_so(
    converted: Path, tmp_path: Path, mortal: tuple[str, ...]
):
    tmp_path.joinpath("cache").mkdir(mode=0o555)
    done = tinybudget("check", "-v", "--json", "r.json", prefix=mortal)
    assert done.returncode == 0, done.stderr
    notes = json.loads(converted.joinpath("r.json").read_text())["pairs"][0]["notes"]
    assert any(re.match(r"not kept: the conversion cache .*: Permission denied", note)
               for note in notes), notes  # fmt: skip


def test_a_read_only_cache_is_read(
    converted: Path, fakes: Path, tmp_path: Path, mortal: tuple[str, ...]
):
    assert tinybudget("check").returncode == 0
    for path in [tmp_path / "cache", *tmp_path.joinpath("cache").rglob("*")]:
        path.chmod(path.stat().st_mode & 0o555)
    assert tinybudget("check", prefix=mortal).returncode == 0
    assert fakes.joinpath("conversions").read_text().split() == ["models/kws.tflite"]


@pytest.mark.parametrize("name", ["f.tflite", "f.cc"])
def test_temporary_files_that_cannot_be_written_are_one_line(
    folder: Path, fakes: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    def refuse(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ConversionError) as caught:
        convert(folder, name)
    assert caught.value.message == (
        f"{name}: not converted, temporary files cannot be written: No space left on device"
    )


def test_a_verification_without_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    monkeypatch.setattr("pytest_tinybudget.gate.cross_check.require_interpreter", lambda: None)
    with pytest.raises(TinybudgetError, match="kws: not verified, temporary files cannot be"):
        cross_check(read_model(keyword_model(), "kws"))


def test_runs_at_once_write_the_bytes_of_one_and_convert_once(converted: Path, fakes: Path):
    assert tinybudget(*CHECK).returncode == 0
    alone = contents(converted)
    for name in ("r.json", "p.html"):
        converted.joinpath(name).unlink()
    shutil.rmtree(converted / "c")
    shutil.rmtree(os.environ["TINYBUDGET_CACHE"])
    fakes.joinpath("conversions").unlink()

    runs = [subprocess.Popen([*COMMAND, *CHECK], stdout=subprocess.DEVNULL) for _ in range(4)]

    assert [run.wait(SECONDS) for run in runs] == [0, 0, 0, 0]
    assert contents(converted) == alone
    assert fakes.joinpath("conversions").read_text().split() == ["models/kws.tflite"]


def convert(folder: Path, name: str = "f.tflite", **settings: int) -> bytes:
    """A float model, as the file ``name`` or as an array in a C source, converted."""
    model = float_model()
    array = f"alignas(16) const unsigned char model[] = {{{', '.join(map(str, model))}}};"
    (folder / name).write_bytes(model if name.endswith(".tflite") else array.encode())
    converter = Converter(Cache(folder / "cache"))
    request = Request(folder / name, name, Conversion(folder, "random", **settings))
    try:
        return converter.convert(request).content
    finally:
        converter.close()


@pytest.mark.parametrize(
    ("behavior", "settings", "said"),
    [
        ("crashes", {}, r"f\.tflite: the converter crashed \(SIGSEGV\) while converting"),
        ("sleeps", {"timeout_seconds": 1}, "not converted after 1 s, at converting"),
        ("eats", {"memory_bytes": 1 << 30}, "out of memory"),
        ("floods", {}, "printed more than 1 MB while converting"),
    ],
)
def test_a_converter_that_goes_wrong_is_one_line_and_keeps_nothing(
    folder: Path,
    fakes: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    behavior: str,
    settings: dict[str, int],
    said: str,
):
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for module in ("files", "server"):
        monkeypatch.setattr(f"pytest_tinybudget.convert.{module}.LARGEST_LOG_BYTES", 1 << 20)
    fakes.joinpath("behavior").write_text(behavior)

    with pytest.raises(ConversionError, match=said) as caught:
        convert(folder, **settings)

    assert len(caught.value.log) <= 256 * 1024
    assert list(folder.joinpath("cache").rglob("*.int8")) == []
    if fakes.joinpath("pids").exists():
        assert_ended(fakes)
    assert list(temporary.iterdir()) == []
    fakes.joinpath("behavior").write_text("converts")
    assert convert(folder) == keyword_model()
    assert list(temporary.iterdir()) == []


def pids(fakes: Path) -> Iterator[int]:
    """Once it sleeps: the worker, who started it, and whom it has started."""
    deadline = time.monotonic() + SECONDS
    while not fakes.joinpath("pids").exists():
        assert time.monotonic() < deadline, "the worker has not begun"
        time.sleep(0.02)
    yield from map(int, fakes.joinpath("pids").read_text().split())


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def assert_ended(fakes: Path) -> None:
    left = set(pids(fakes)) - {os.getpid()}
    deadline = time.monotonic() + SECONDS
    while left := {pid for pid in left if runs(pid)}:
        assert time.monotonic() < deadline, f"{len(left)} processes are left"
        time.sleep(0.05)


def listens() -> None:
    """Python takes no Ctrl-C where a shell has started it in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


PYTEST = (sys.executable, "-m", "pytest", "--tinybudget")

INTERRUPTED = [
    (COMMAND + CHECK, signal.SIGINT, 130),
    (COMMAND + CHECK, signal.SIGTERM, 143),
    (COMMAND + CHECK, signal.SIGKILL, -9),
    (PYTEST, signal.SIGINT, pytest.ExitCode.INTERRUPTED),
    (PYTEST, signal.SIGTERM, -15),
    (PYTEST, signal.SIGKILL, -9),
]
HOW = ["CLI-INT", "CLI-TERM", "CLI-KILL", "pytest-INT", "pytest-TERM", "pytest-KILL"]


ACCURACY = 'data = "d.npz"\ninputs = "x"\nlabels = "y"\nmin = 0\n'


def declare_accuracy(folder: Path) -> None:
    folder.joinpath("tinybudget.toml").write_text(f"{BUDGETS}[models.vad.accuracy]\n{ACCURACY}")
    folder.joinpath("d.npz").write_bytes(b"never read")


def interrupt(fakes: Path, command: tuple[str, ...], number: int) -> int:
    """The exit code of ``command``, sent a signal as soon as its worker sleeps."""
    run = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=listens
    )
    list(pids(fakes))
    run.send_signal(number)
    _, said = run.communicate(timeout=SECONDS)
    assert "Traceback" not in said
    return run.returncode


def assert_nothing_is_left(temporary: Path, code: int) -> None:
    """Of a run that ended with ``code``: of one that was killed once the next needs a folder."""
    if code < 0:
        assert len(list(temporary.iterdir())) == 1
        code_of_next = (
            "from pytest_tinybudget.base.folders import temporary_folder\n"
            "with temporary_folder(): pass"
        )
        subprocess.run([sys.executable, "-c", code_of_next], check=True, timeout=SECONDS)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("behavior", "command", "number", "code"),
    every(
        5,
        [
            pytest.param(behavior, *how, id=f"{name}-{behavior}")
            for behavior in ("sleeps", "imports")
            for how, name in zip(INTERRUPTED, HOW, strict=True)
        ],
    ),
)
def test_nothing_is_left_of_a_conversion_that_was_interrupted(
    converted: Path,
    fakes: Path,
    tmp_path: Path,
    temporary: Path,
    behavior: str,
    command: tuple[str, ...],
    number: int,
    code: int,
):
    fakes.joinpath("behavior").write_text(behavior)
    before = contents(converted)

    assert interrupt(fakes, command, number) == code

    assert_ended(fakes)
    assert_nothing_is_left(temporary, code)
    after = contents(converted)
    assert {name: after[name] for name in before} == before
    assert list(tmp_path.joinpath("cache").rglob("*.int8")) == []
    fakes.joinpath("behavior").write_text("converts")
    assert tinybudget("check").returncode == 0


@runs_models
@pytest.mark.parametrize(("command", "number", "code"), every(5, INTERRUPTED), ids=HOW)
def test_nothing_is_left_of_an_evaluation_that_was_interrupted(
    folder: Path, fakes: Path, temporary: Path, command: tuple[str, ...], number: int, code: int
):
    fakes.joinpath("behavior").write_text("sleeps")
    declare_accuracy(folder)

    assert interrupt(fakes, command, number) == code

    assert_ended(fakes)
    assert_nothing_is_left(temporary, code)


ETHOS_U = """
[models.kws]
source = "models/kws.tflite"
boards = ["own"]

[boards.own]
extends = "grove-vision-ai-v2"
accelerator = "ethos-u55-128"
reserved_flash = "0 B"
reserved_ram = "0 B"
vela = { system_config = "Ethos_U55_High_End_Embedded", memory_mode = "Shared_Sram" }
"""
PACKAGE_IT = ("package", "models/kws.tflite", "--version", "1.0.0", "--slot-size", "65536")


@pytest.fixture
def tools(fakes: Path) -> Path:
    """The folder of the fakes, with tools that sleep as soon as they are imported."""
    for package, module in (("ethosu", "vela"), ("tflite_micro", "python"), ("imgtool", "main")):
        fakes.joinpath(package).mkdir()
        fakes.joinpath(package, "__init__.py").write_text("")
        sleeps = "import sitecustomize\nsitecustomize.go_on()\n"
        fakes.joinpath(package, f"{module}.py").write_text(sleeps)
    for name in ("ethos-u-vela", "imgtool"):
        folder = fakes / f"{name.replace('-', '_')}-9.dist-info"
        folder.mkdir()
        folder.joinpath("METADATA").write_text(f"Name: {name}\nVersion: 9\n")
    fakes.joinpath("behavior").write_text("sleeps")
    return fakes


@pytest.mark.parametrize(
    ("tool", "command", "number", "code"),
    every(
        4,
        [
            pytest.param(tool, *how, id=f"{tool}-{name}")
            for tool in ("vela", "verify", "imgtool")
            for how, name in zip(INTERRUPTED, HOW, strict=True)
            if (tool, how[0]) != ("imgtool", PYTEST)  # images are made by the command line alone
        ],
    ),
)
def test_nothing_is_left_of_a_tool_that_was_interrupted(
    folder: Path,
    tools: Path,
    temporary: Path,
    tool: str,
    command: tuple[str, ...],
    number: int,
    code: int,
):
    if tool == "vela":
        folder.joinpath("tinybudget.toml").write_text(ETHOS_U)
    elif tool == "verify":
        command += ("--tinybudget-verify",) if command == PYTEST else ("--verify",)
    else:
        command = COMMAND + PACKAGE_IT

    assert interrupt(tools, command, number) == code

    assert_ended(tools)
    assert_nothing_is_left(temporary, code)


@pytest.mark.parametrize(
    ("package", "text", "command"),
    [
        ("ethosu", ETHOS_U, CHECK),
        ("tflite_micro", BUDGETS, ("check", "--verify")),
        ("tflite_micro", f"{BUDGETS}[models.vad.accuracy]\n{ACCURACY}", CHECK),
        ("imgtool", BUDGETS, PACKAGE_IT),
    ],
    ids=["vela", "verify", "evaluation", "imgtool"],
)
def test_nothing_is_left_of_a_run_that_ended(
    folder: Path, temporary: Path, package: str, text: str, command: tuple[str, ...]
):
    pytest.importorskip(package)
    import numpy as np

    folder.joinpath("tinybudget.toml").write_text(text)
    np.savez(folder / "d.npz", x=np.zeros((4, 32), np.float32), y=np.zeros(4, np.int64))
    done = tinybudget(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(temporary.iterdir()) == []


def test_of_what_a_job_prints_the_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pytest_tinybudget.convert.files.LARGEST_LOG_BYTES", 1 << 20)
    job = JobFolder(tmp_path)
    assert (job.floods(), job.printed()) == (False, b"")

    job.log.write_bytes(b"x" * (1 << 20) + b"the end")

    assert job.floods()
    assert job.printed().endswith(b"the end")
    assert len(job.printed()) == 256 * 1024


@runs_models
@pytest.mark.parametrize(
    ("behavior", "said"),
    [
        rare(("floods", "printed more than 1 MB while reading the held-out data")),
        ("dies", "the interpreter crashed (signal 35) while reading the held-out data"),
        rare(
            ("sleeps", "not evaluated after 1 s, at reading the held-out data (conversion_timeout)")
        ),
    ],
)
def test_an_evaluation_that_goes_wrong_is_one_line_and_leaves_nothing(
    folder: Path,
    fakes: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    behavior: str,
    said: str,
):
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr("pytest_tinybudget.evaluation.child.IMPORT_SECONDS", 15)
    for module in ("convert.files", "evaluation.child"):
        monkeypatch.setattr(f"pytest_tinybudget.{module}.LARGEST_LOG_BYTES", 1 << 20)
    fakes.joinpath("behavior").write_text(behavior)
    declare_accuracy(folder)
    with folder.joinpath("tinybudget.toml").open("a") as declaration:
        declaration.write("[defaults]\nconversion_timeout = 1\n")
    (check,) = [
        pair
        for pair in pairs("tinybudget.toml", load_declaration(folder / "tinybudget.toml"))
        if isinstance(pair, Check)
    ]

    result = Gate(Workspace(cached=False)).check(check)

    assert result.outcome == "error"
    assert said in result.headline
    if fakes.joinpath("pids").exists():
        assert_ended(fakes)
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="conversions are not forked here")
def test_conversions_that_end_at_the_same_time_do_not_end_their_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal of the second is handled in the midst of the handling of the first."""
    from pytest_tinybudget.convert.worker.__main__ import _Server

    server, folders = _Server(), []
    for code in (0, 3):
        folder = tmp_path / str(code)
        folder.mkdir()
        child = os.fork()
        if child == 0:
            os._exit(code)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        folders.append(JobFolder(folder))
        server._children[child] = folders[-1]
    wait = os.waitid
    interrupted = []

    def interrupted_wait(*arguments: int) -> object:
        found = wait(*arguments)
        if not interrupted:
            interrupted.append(True)
            server._reap()
        return found

    monkeypatch.setattr(os, "waitid", interrupted_wait)
    server._reap()
    assert [folder.exit() for folder in folders] == [0, 3]
    assert interrupted == [True]
    assert server._children == {}
