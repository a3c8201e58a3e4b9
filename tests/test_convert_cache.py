"""The cache of conversions, fingerprints, sources and the check of what converters make."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import zipfile
from importlib.util import find_spec
from importlib.util import module_from_spec
from multiprocessing.synchronize import Event
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import dense_model
from conftest import keyword_model
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.base.cache import limit_bytes
from pytest_tinybudget.base.cache_folder import default_folder
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.processes import environment
from pytest_tinybudget.cli import main
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.fingerprint import fingerprint
from pytest_tinybudget.convert.postcheck import check_converted
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import check_source
from pytest_tinybudget.convert.sources import converts
from pytest_tinybudget.convert.sources import kind_of


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"

REPORT = {"warnings": [], "notes": [], "drift": [], "stripped_bytes": 0, "source": "kws.keras"}
KEY = "ab" + "0" * 62


def keras_file(path: Path, weights: bytes = b"weights", date: str = "2026-01-01") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", f'{{"date_saved": "{date}"}}')
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", weights)
    return path


# The cache


def test_what_was_put_is_got(tmp_path: Path):
    Cache(tmp_path).put(KEY, Entry(b"model\nbytes", REPORT))

    assert Cache(tmp_path).get(KEY, tmp_path) == Entry(b"model\nbytes", REPORT)
    assert Cache(tmp_path).get("cd" * 32, tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:-1] + b"?",
        lambda content: b"",
        lambda content: content[10:],
        lambda content: b"{}\n" + content,
    ],
    ids=["cut", "changed", "emptied", "headless", "other header"],
)
def test_a_damaged_entry_is_gone(tmp_path: Path, damage):
    cache = Cache(tmp_path)
    cache.put(KEY, Entry(b"model", REPORT))
    (file,) = tmp_path.rglob("*.int8")
    file.write_bytes(damage(file.read_bytes()))

    assert cache.get(KEY, tmp_path) is None
    assert not file.exists()


def test_an_entry_counts_while_the_files_its_code_has_read_are_the_same(tmp_path: Path):
    from pytest_tinybudget.base.files import file_digest

    data = tmp_path / "data.csv"
    data.write_text("1,2,3")
    cache = Cache(tmp_path / "cache")
    report = {**REPORT, "read": {"data.csv": file_digest(data).hex()}}
    cache.put(KEY, Entry(b"model", report))

    assert cache.get(KEY, tmp_path) is not None
    data.write_text("1,2,4")
    assert cache.get(KEY, tmp_path) is None
    data.unlink()
    assert cache.get(KEY, tmp_path) is None


def test_the_longest_unused_go_first(tmp_path: Path):
    cache = Cache(tmp_path, limit=3500)
    keys = [f"{number:02}" * 32 for number in range(4)]
    for age, key in enumerate(keys[:3]):
        cache.put(key, Entry(bytes(800), REPORT))
        os.utime(next(tmp_path.rglob(f"{key}.int8")), (1000 + age, 1000 + age))
    cache.get(keys[0], tmp_path)  # used just now

    cache.put(keys[3], Entry(bytes(800), REPORT))

    kept = {entry.key for entry in cache.entries()}
    assert keys[0] in kept
    assert keys[3] in kept
    assert keys[1] not in kept


def test_a_folder_that_cannot_be_written_is_told_and_locks_nobody_out(tmp_path: Path):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")

    with cache.locked([KEY]):
        told = cache.put(KEY, Entry(b"model", REPORT))
    assert told.startswith("not kept: the conversion cache ")
    assert "TINYBUDGET_CACHE names another folder" in told


def hold(folder: Path, key: str, begun: Event, leaving: Event) -> None:
    with Cache(folder).locked([key]):
        begun.set()
        time.sleep(0.6)
        leaving.set()


def test_a_lock_keeps_other_processes_out(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    begun, leaving = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, KEY, begun, leaving))
    other.start()
    assert begun.wait(60)
    with Cache(tmp_path).locked(["ff" * 32, KEY]):
        assert leaving.is_set()
    other.join()


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("win32", {"LOCALAPPDATA": "/users/ann/local"}, "/users/ann/local/pytest-tinybudget"),
        ("win32", {}, "/home/ann/AppData/Local/pytest-tinybudget"),
        ("darwin", {}, "/home/ann/Library/Caches/pytest-tinybudget"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/pytest-tinybudget"),
        ("linux", {}, "/home/ann/.cache/pytest-tinybudget"),
        ("linux", {"TINYBUDGET_CACHE": "~/mine"}, "/home/ann/mine"),
    ],
)
def test_each_system_has_its_folder(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], folder: str
):
    for name in ("LOCALAPPDATA", "XDG_CACHE_HOME", "TINYBUDGET_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ann", "USERPROFILE": "/home/ann", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)

    assert default_folder() == Path(folder)


def test_a_lock_of_windows_is_tried_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[int] = []

    def locking(_: int, mode: int, size: int) -> None:
        assert size == 1
        calls.append(mode)
        if len(calls) < 3:
            raise OSError(36, "Resource deadlock avoided")

    fake = SimpleNamespace(LK_NBLCK=2, LK_UNLCK=0, locking=locking)
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = find_spec("pytest_tinybudget.base.locks")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    exec(compile(Path(spec.origin or "").read_text("utf-8"), "locks", "exec"), vars(module))

    with module.locked(tmp_path / "lock"):
        assert calls == [2, 2, 2]
    assert calls == [2, 2, 2, 0]


def test_the_limit_is_a_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TINYBUDGET_CACHE_LIMIT", "2 MB")
    assert limit_bytes() == 2 * 1024**2
    monkeypatch.setenv("TINYBUDGET_CACHE_LIMIT", "plenty")
    with pytest.raises(TinybudgetError, match="TINYBUDGET_CACHE_LIMIT: "):
        limit_bytes()


def test_the_command_lists_measures_and_clears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path))
    Cache(tmp_path).put(KEY, Entry(b"model", REPORT))

    assert main(["cache", "list"]) == 0
    assert "kws.keras" in capsys.readouterr().out
    assert main(["cache", "size"]) == 0
    assert capsys.readouterr().out.startswith("1 conversions, ")
    assert main(["cache", "clear"]) == 0
    assert main(["cache", "size"]) == 0
    assert "0 conversions, 0 B" in capsys.readouterr().out


# Fingerprints


def test_the_date_in_a_keras_file_does_not_count(tmp_path: Path):
    first = keras_file(tmp_path / "a.keras")
    again = keras_file(tmp_path / "b.keras", date="2026-02-02")
    other = keras_file(tmp_path / "c.keras", weights=b"others")
    settings = Conversion(tmp_path, "random")

    prints = [fingerprint(path, "keras", settings) for path in (first, again, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"strip": True}, True),
        ({"per_channel_dense": False}, True),
        ({"activations": "int16"}, True),
        ({"custom_objects": "layers"}, True),
        ({"representative_data": "data:samples"}, True),
        ({"timeout_seconds": 7}, False),
        ({"memory_bytes": 7}, False),
    ],
)
def test_settings_count_when_they_change_the_result(
    tmp_path: Path, change: dict[str, object], counts: bool
):
    model, settings = keras_file(tmp_path / "a.keras"), Conversion(tmp_path, "random")

    one, other = (
        fingerprint(model, "keras", each) for each in (settings, replace(settings, **change))
    )
    assert (one != other) is counts


def test_data_counts_wherever_it_lies(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"1")
    model, settings = keras_file(tmp_path / "a.keras"), Conversion(tmp_path, "data")
    first = fingerprint(model, "keras", settings)

    (folder / "b.npy").write_bytes(b"2")
    second = fingerprint(model, "keras", settings)
    (folder / "b.npy").rename(folder / "c.npy")
    assert len({first, second, fingerprint(model, "keras", settings)}) == 3


# Sources


def test_a_source_is_known_by_its_name(tmp_path: Path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")

    names = ("a.keras", "a.H5", "a.hdf5", "a.tflite", "saved")
    kinds = [kind_of(tmp_path / name) for name in names]
    assert kinds == ["keras", "h5", "h5", "tflite", "saved_model"]


def test_a_tflite_is_taken_as_it_is_unless_it_is_float_and_has_data(tmp_path: Path):
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8), type="FLOAT32"), units=2))
    (tmp_path / "float.tflite").write_bytes(maker.build())
    (tmp_path / "int8.tflite").write_bytes(dense_model())
    (tmp_path / "noise.tflite").write_bytes(b"noise")
    data, none = Conversion(tmp_path, "random"), Conversion(tmp_path)

    assert converts(tmp_path / "float.tflite", data)
    assert not converts(tmp_path / "float.tflite", none)
    assert not converts(tmp_path / "int8.tflite", data)
    assert not converts(tmp_path / "noise.tflite", data)
    assert converts(tmp_path / "a.keras", none)


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(65 << 20))


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("empty.keras", lambda path: path.write_bytes(b""), "is empty"),
        ("text.keras", lambda path: path.write_bytes(b"hello"), "not a .keras archive"),
        ("zip.keras", lambda path: zipfile.ZipFile(path, "w").close(), "it has no config.json"),
        ("bomb.keras", bomb, "its config.json would unpack to 68,157,440 bytes"),
        (
            "lfs.keras",
            lambda path: path.write_bytes(LFS_POINTER),
            "checkout with lfs: true",
        ),
        ("lfs.onnx", lambda path: path.write_bytes(LFS_POINTER), "is a Git LFS pointer, not the"),
        ("text.h5", lambda path: path.write_bytes(b"hello"), "not an HDF5 file"),
        ("gone.h5", lambda path: None, "cannot be read: No such file"),
    ],
)
def test_what_no_framework_is_started_for(tmp_path: Path, name: str, write, said: str):
    path = tmp_path / name
    write(path)

    with pytest.raises(ConversionError) as caught:
        check_source(path, kind_of(path), name)
    assert caught.value.message.startswith(f"{name}: ")
    assert said in caught.value.message


def test_without_data_the_error_says_what_to_declare(tmp_path: Path):
    source = keras_file(tmp_path / "kws.keras")

    with pytest.raises(ConversionError) as caught:
        Converter(None).convert(Request(source, "kws.keras", Conversion(tmp_path)))
    assert "needs 'representative_data'" in caught.value.message
    assert any('representative_data = "random"' in line for line in caught.value.details)


def test_without_the_framework_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pytest_tinybudget.convert.requirements.find_spec", lambda name: None)
    source = keras_file(tmp_path / "kws.keras")

    with pytest.raises(ConversionError) as caught:
        Converter(None).convert(Request(source, "kws.keras", Conversion(tmp_path, "random")))
    assert 'pip install "pytest-tinybudget[tensorflow]"' in caught.value.message


def test_a_worker_gets_no_secrets():
    given = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "GITHUB_TOKEN": "y", "LANG": "C"}

    passed = environment(given, Path("/home"))
    assert {"PATH", "LANG"} <= set(passed)
    assert not {"AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"} & set(passed)


# What a converter has made


def test_int8_passes_the_check():
    check_converted(keyword_model(), "kws", "int8")


def test_int8_is_not_int16():
    with pytest.raises(ConversionError, match=r"input 0 '.*' is INT8, expected INT16"):
        check_converted(keyword_model(), "kws", "int16")


def refusal_of(maker: ModelMaker) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        check_converted(maker.build(), "kws", "int8")
    return caught.value


def test_a_float_model_is_named_with_everything_that_is_float():
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8), type="FLOAT32"), units=2))

    error = refusal_of(maker)
    assert "is FLOAT32, expected INT8" in error.message
    assert any("FULLY_CONNECTED #0" in line and "FLOAT32" in line for line in error.details)
