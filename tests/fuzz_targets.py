"""What ``fuzzing.py`` fuzzes: for each format sound files, and the way that a file goes.

A target is made with a folder of its own, where readers that take paths find their file.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuzzing import Target
from fuzzing import mutated_bytes
from fuzzing import mutated_text
from fuzzing import require_plain
from keras_files import CONV
from keras_files import DENSE
from keras_files import keras_file
from modelmaker import ModelMaker
from msgspec.structs import replace
from torch_files import Program

from pytest_tinybudget import artifacts
from pytest_tinybudget.accelerators.coral import lint
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.boards.describe import describe
from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.sources import check_source
from pytest_tinybudget.convert.worker.problem import InputSpec
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs as declared_pairs
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.section_graph import decode
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.closing import closed
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning.keras_config import read_keras
from pytest_tinybudget.planning.plan import planned_model
from pytest_tinybudget.planning.torch_archive import read_program
from pytest_tinybudget.report import codequality
from pytest_tinybudget.report import csv
from pytest_tinybudget.report import diff_text
from pytest_tinybudget.report import github
from pytest_tinybudget.report import html
from pytest_tinybudget.report import inspection
from pytest_tinybudget.report import junit
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report import openmetrics
from pytest_tinybudget.report import story
from pytest_tinybudget.report import summary
from pytest_tinybudget.report import terminal
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.shrinking.shrink import shrink_model
from pytest_tinybudget.workspace import Workspace


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))

#: Larger models are mostly weights, which no mutation of interest hits.
_LARGEST_MODEL_BYTES = 100_000


# Models


def small_model() -> bytes:
    """Convolution, dense, softmax, metadata, signature: about 3 KB."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 3))
    features = graph.pool(graph.conv2d(image, filters=8))
    scores = graph.softmax(graph.dense(features, units=4, per_channel=True))
    graph.output(scores)
    maker.offline_plan([-1] * len(graph.tensors))
    maker.signature("serve", {"image": image}, {"scores": scores})
    return maker.build()


def control_model() -> bytes:
    """Subgraphs that call each other, an LSTM, a custom operator."""
    maker = ModelMaker()
    main, called = maker.graph(), maker.graph()
    main.operator("CALL_ONCE", (), (), {"init_subgraph_index": 1})
    main.output(main.lstm(main.input((1, 4, 6)), units=3))
    handle = called.tensor((), "RESOURCE")
    called.operator("VAR_HANDLE", (), (handle,), {"container": "c", "shared_name": "name"})
    called.operator("MY_OP", (handle,), (), custom_options=b"abc")
    return maker.build()


def open_model() -> bytes:
    """Of any size, with a reshape to what is computed from its shape."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 1, 1, 3), shape_signature=(-1, -1, -1, 3))
    features = graph.pool(graph.conv2d(image, filters=2))
    shape = graph.tensor((4,), "INT32")
    graph.operator("SHAPE", (features,), (shape,), {"out_type": "INT32"})
    again = graph.tensor((1, 1, 1, 2), shape_signature=(-1, -1, -1, 2))
    graph.operator("RESHAPE", (features, shape), (again,), {"new_shape": []})
    graph.output(graph.logistic(again))
    maker.signature("serve", {"image": image}, {"scores": graph.outputs[0]})
    return maker.build()


def models() -> list[bytes]:
    """Made models, those of the examples, of a package, and where they are at hand real ones."""
    files = [*ROOT.glob("examples/*/models/*.tflite"), *SHARED.glob("models/*.tflite")]
    try:
        import pymicro_wakeword
    except ImportError:
        pass
    else:
        files += (Path(pymicro_wakeword.__file__).parent / "models").glob("*.tflite")
    small = (file for file in sorted(files) if file.stat().st_size <= _LARGEST_MODEL_BYTES)
    return [
        *[small_model(), control_model(), open_model()] * 10,
        *(file.read_bytes() for file in small),
    ]


_MODEL_DECLARATION = """\
[update]
link_rate = "50 kbit/s"
[defaults]
require_int8 = "warn"
[models.fuzz]
source = "fuzz.tflite"
boards = ["arduino-nano-33-ble", "esp32-s3-devkitc-1", "raspberry-pi-pico", "own"]
message = "as declared"
[models.tight]
source = "fuzz.tflite"
boards = ["arduino-nano-33-ble"]
strip = true
budget = { flash = "30 KB", ram = "3 KB", latency = "1 ms", energy = "1 uJ", update = "1 KB" }
[runtime.ops.MY_OP]
flash = "1 KB"
[boards.own]
extends = "nucleo-f767zi"
slots = { layout = "mcuboot", size = "320 KB", signature = "ed25519", model_size = "64 KB" }
"""


class _WholeWay:
    """A model from its file to every report, as the gate goes it; boards take turns."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "fuzz.tflite"
        self._file.write_bytes(small_model())
        declared = folder / "tinybudget.toml"
        declared.write_text(_MODEL_DECLARATION, encoding="utf-8")
        found = declared_pairs("tinybudget.toml", load_declaration(declared))
        self._pairs = [pair for pair in found if isinstance(pair, Pair)]
        sound = (Gate(Workspace(cached=False)).check(pair) for pair in self._pairs)
        self._base = Results("base", own_results((), "").estimator, tuple(sound))

    def __call__(self, content: bytes) -> None:
        turn = zlib.crc32(content)
        pair = self._pairs[turn % len(self._pairs)]
        model = read_model(content, "fuzz")
        self._file.write_bytes(content)
        result = Gate(Workspace(cached=False)).check(pair)
        reports(result, self._base, turn)
        if turn % 3 == 0:
            for line in story.render(result, describe(pair.board)):
                require_plain(line.text)
        if result.footprint is not None:
            self._beside(pair, model, result, turn)

    def _beside(self, pair: Pair, model: Any, result: PairResult, turn: int) -> None:
        """What other commands make of the model."""
        assert result.footprint is not None
        require_plain("\n".join(lint(model).lines()))
        with suppress(TinybudgetError):
            set_to = closed(model, {"image": (1, 8, 8, 3)} if turn & 1 else {}, whole=True)
            measure(set_to, RUNTIMES["m4_cmsisnn"])
        if turn % 3 == 1:
            measure(model, RUNTIMES["rv32imc_ref" if turn & 1 else "m55_cmsisnn"])
            _inspect(model, result, result.footprint)
        elif turn % 3 == 2 and result.outcome != "refused":
            files = artifacts.render(
                model,
                name=pair.model.artifact_name,
                footprints=[result.footprint],
                firmwares=[pair.firmware],
                language="c" if turn & 1 else "c++",
            )
            for name, text in files.items():
                if not name.endswith(".tflite"):
                    require_plain(bytes(text).decode("ascii"))


def _inspect(model: Any, result: PairResult, footprint: Footprint) -> None:
    shrunk = shrink_model(model, {"m4_ref": Firmware(RUNTIMES["m4_ref"])})
    assert shrunk.model.bytes <= model.bytes
    shown = inspection.Inspection(
        model, result.model_sha256, footprint, (), result.measures, shrunk=shrunk.report
    )
    for line in inspection.render(shown, verbosity=2):
        require_plain(line.text)
    json.loads(inspection.render_json(shown))
    if footprint.arena is not None:
        require_plain(inspection.render_svg(shown))


#: Every report of a result, compared with others where a report shows that.
_REPORTS: tuple[Callable[[PairResult, Comparison], str], ...] = (
    lambda result, _: terminal.failure(result),
    lambda result, _: "\n".join(line.text for line in summary.summary([result], verbosity=2)),
    lambda _, compared: "\n".join(line.text for line in diff_text.comparison_lines(compared)),
    lambda result, _: "\n".join(github.annotation_lines([result])),
    lambda result, compared: markdown.render([result], compared),
    lambda result, compared: html.render([result], compared),
    lambda result, compared: csv.render([result], compared).replace("\r\n", "\n"),
    lambda result, _: junit.render([result]).replace("\t", " "),
    lambda result, _: openmetrics.render([result]),
    lambda result, _: codequality.render([result]),
    lambda result, _: _read_back(result),
)


def reports(result: PairResult, base: Results, turn: int) -> None:
    """Three of the reports of ``result``: which, ``turn`` says."""
    compared = compare(base, own_results([result], "head"))
    for number in range(3):
        require_plain(_REPORTS[(turn + 4 * number) % len(_REPORTS)](result, compared))


def _read_back(result: PairResult) -> str:
    text = writer.render([result])
    stored = read_results(text.encode("ascii"), "results.json")
    if writer.render(stored.pairs) != text:
        raise AssertionError("results read back differ")
    return text


def _tflite(folder: Path) -> Target:
    from test_strange_models import altered
    from test_strange_models import branches
    from test_strange_models import calls
    from test_strange_models import convolutions

    def mutate(content: bytes, chance: random.Random) -> bytes:
        # A file that is sound to the reader gets further than most that were damaged.
        if chance.random() < 0.7:
            return mutated_bytes(content, chance)
        make = chance.choice((convolutions, branches, calls))
        return altered(make(chance.choice(("INT8", "FLOAT32", "INT16"))), chance).build()

    return Target("tflite", models(), _WholeWay(folder), mutate)


# Text that people and tools write


#: Files that declarations of the examples and the docs name.
_NAMED_FILES = ("kws", "vad", "kws_v1", "digits", "digits_v1", "digits_float", "alarm", "machine")

_TOML_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _declaration(folder: Path) -> Target:
    """Declarations of the examples, and those of the docs: they show every key."""
    project = folder / "project"
    for models_folder in (project / "models", folder / "quickstart" / "models"):
        models_folder.mkdir(parents=True)
        for name in _NAMED_FILES:
            (models_folder / f"{name}.tflite").write_bytes(small_model())
    (project / "fuzz.tflite").write_bytes(small_model())
    (project / "partitions.csv").write_bytes(_PARTITIONS)
    for name in ("quickstart/digits_held_out.npz", "project/held_out.npz"):
        (folder / name).write_bytes(b"PK")
    path = project / "tinybudget.toml"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        list(declared_pairs("tinybudget.toml", load_declaration(path)))

    texts = [_MODEL_DECLARATION]
    texts += (file.read_text("utf-8") for file in ROOT.glob("examples/*/tinybudget.toml"))
    for page in sorted(ROOT.glob("docs/*.md")):
        blocks = _TOML_BLOCK.findall(page.read_text("utf-8"))
        texts += (block if "[models." in block else _MODELS_HEAD + block for block in blocks)
    return Target("declaration", _sound(read, texts), read, mutated_text)


_MODELS_HEAD = '[models.kws]\nsource = "models/kws.tflite"\nboards = ["esp32"]\n'


def _sound(read: Callable[[bytes], None], texts: list[str]) -> list[bytes]:
    """Those of ``texts`` that ``read`` takes."""
    found = []
    for text in texts:
        with suppress(TinybudgetError):
            read(text.encode("utf-8"))
            found.append(text.encode("utf-8"))
    return found


def _results(folder: Path) -> Target:
    whole_way = _WholeWay(folder)
    sound = whole_way._base
    failing = [replace(pair, reasons=("smaller",), warnings=("w",)) for pair in sound.pairs]
    corpus = [writer.render([each]).encode("ascii") for each in (*sound.pairs[:2], *failing[-1:])]

    def read(content: bytes) -> None:
        for pair in read_results(content, "results.json").pairs[:4]:
            reports(pair, sound, zlib.crc32(content))

    return Target("results", corpus, read, mutated_text)


_PARTITIONS = b"""# Name, Type, SubType, Offset, Size, Flags
nvs, data, nvs, 0x9000, 0x4000,
otadata, data, ota, , 8K
ota_0, app, ota_0, , 1500K
ota_1, app, 0x11, , 1M,
model, 0x40, 0x00, , 0x40000, encrypted
"""


def _partitions(folder: Path) -> Target:
    from pytest_tinybudget.update.partitions import load_partitions
    from pytest_tinybudget.update.slots import partition_named

    path = folder / "partitions.csv"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        found = load_partitions(path, "partitions.csv")
        partition_named(found, None, "partitions.csv", "slots")
        require_plain("\n".join(each.name for each in found))

    return Target("partitions", [_PARTITIONS], read, mutated_text)


def _devices(folder: Path) -> Target:
    from pytest_tinybudget.report.fleet import device_lines
    from pytest_tinybudget.rollout.fleet.devices import DEVICE_COLUMNS
    from pytest_tinybudget.rollout.fleet.devices import listed
    from pytest_tinybudget.rollout.fleet.devices import register
    from pytest_tinybudget.rollout.fleet.records import records
    from pytest_tinybudget.rollout.fleet.store import opened

    source, database = folder / "devices", folder / "fleet.db"
    table = "device,hardware,version,sha256\n" + "".join(
        f"pump-{number},rev{number % 3},1.{number}.0,{number:064x}\n" for number in range(20)
    )
    lines = "".join(
        json.dumps({"device": f"d{number}", "version": "1.0", "hardware": "a"}) + "\n"
        for number in range(20)
    )

    def read(content: bytes) -> None:
        source.write_bytes(content)
        for file in folder.glob("fleet.db*"):
            file.unlink()
        with opened(database, lambda: 0.0, create=True) as store:
            store.connection.execute("PRAGMA synchronous = OFF")
            register(store, records(str(source), DEVICE_COLUMNS))
            for line in device_lines(list(listed(store))):
                require_plain(line.text)

    return Target("devices", [table.encode(), lines.encode()], read, mutated_text)


def _c_source(_folder: Path) -> Target:
    """Models as arrays in C: the files that are written here, and other spellings of them."""
    from test_c_source import SOURCES
    from test_c_source import TEXTS

    from pytest_tinybudget.graph.c_source import models_in

    def read(content: bytes) -> None:
        for array in models_in(content, "model.cc"):
            require_plain(f"{array.name} {array.line}")
            with suppress(TinybudgetError):
                read_model(array.content, array.name)

    written = artifacts.render_array(read_model(small_model(), "fuzz"), "fuzz")
    corpus = [bytes(content) for name, content in written.items() if name.endswith(".cc")]
    texts = (text.encode() for text in (*SOURCES.values(), *TEXTS.values()))
    return Target("c_source", [*corpus, *texts], read, mutated_text)


# What tools make


def _table(folder: Path) -> Target:
    packed = sorted(
        (ROOT / "pytest_tinybudget/runtimes/data/graphs").glob("*.json.gz"),
        key=lambda file: file.stat().st_size,
    )
    corpus = [_cut_graph(gzip.decompress(packed[0].read_bytes()))]
    model = read_model(small_model(), "fuzz")
    path = folder / "table.json.gz"

    def read(content: bytes) -> None:
        graph = decode(content, "table.json.gz")
        path.write_bytes(content)
        runtime = replace(RUNTIMES["m4_cmsisnn"], graph=str(path))
        sizes_of(graph, {"CONV_2D": False, "SOFTMAX": False})
        link(model, runtime)

    def mutate(content: bytes, chance: random.Random) -> bytes:
        if chance.random() < 0.3:
            return mutated_bytes(gzip.compress(content, 1), chance)
        text = mutated_text(content, chance)
        return gzip.compress(text, 1) if chance.random() < 0.7 else text

    return Target("table", corpus, read, mutate)


def _cut_graph(content: bytes) -> bytes:
    """A real table with the operators of the model alone, so that an input costs milliseconds."""
    from pytest_tinybudget.footprint.section_graph import encode
    from pytest_tinybudget.toolchain.runtime_build import _pruned

    graph = decode(content, "whole")
    wanted = {name: graph.operators[name] for name in ("CONV_2D", "SOFTMAX", "RESHAPE")}
    return gzip.decompress(encode(_pruned(replace(graph, operators=wanted))[0]))


_C_SOURCE = r"""
const unsigned char model[] = "\x1c\0\0\0TFL3 a model of no weights";
const char *const names[] = {"INT8", "quantized"};
int values[40] = {1, 2, 3}; static int arena[500]; int common;
__attribute__((weak)) int hook(int x) { return x + 1; }
__attribute__((constructor)) static void begin(void) { common = hook(arena[3]); }
int core_entry(int x) { return names[x & 1][0] + values[x] + hook(x) + model[x]; }
int main(void) { return core_entry(common); }
"""
_LINKER_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 256K
         RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 64K }
SECTIONS {
  .text : { *(.text*) *(.rodata*) KEEP(*(.init_array*)) } > FLASH
  .data : { *(.data*) } > RAM AT> FLASH
  .bss (NOLOAD) : { *(.bss*) *(COMMON) } > RAM
  /DISCARD/ : { *(.ARM*) *(.comment) *(.note*) *(.eh_frame*) }
}
"""
_COMPILERS = {
    "arm-none-eabi-": ("-mcpu=cortex-m4", "-mthumb"),
    "riscv64-unknown-elf-": ("-march=rv32imc", "-mabi=ilp32"),
}


def _compiled(folder: Path) -> dict[str, list[bytes]]:
    """Objects, archives, firmware and maps of the compilers at hand."""
    found: dict[str, list[bytes]] = {"object": [], "archive": [], "firmware": [], "map": []}
    (folder / "link.ld").write_text(_LINKER_SCRIPT)
    for prefix, flags in _COMPILERS.items():
        if shutil.which(f"{prefix}gcc") is None:
            continue
        for name in ("main", "other"):
            renamed = _C_SOURCE if name == "main" else _C_SOURCE.replace(" main(", " other(")
            (folder / f"{name}.c").write_text(renamed)
        steps: tuple[tuple[str, ...], ...] = (
            ("gcc", *flags, "-Os", "-ffunction-sections", "-fdata-sections", "-c", "main.c"),
            ("gcc", *flags, "-O1", "-g", "-c", "other.c"),
            ("ar", "rcs", "lib.a", "main.o", "other.o"),
            ("gcc", *flags, "-nostdlib", "-T", "link.ld", "-Wl,-e,main", "-Wl,-Map=out.map",
             "main.o", "-o", "out.elf"),
        )  # fmt: skip
        (folder / "lib.a").unlink(missing_ok=True)
        for tool, *arguments in steps:
            command = [f"{prefix}{tool}", *arguments]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        for kind, name in zip(found, ("main.o", "lib.a", "out.elf", "out.map"), strict=True):
            found[kind].append((folder / name).read_bytes())
        found["object"].append((folder / "other.o").read_bytes())
    return found


def _firmware(folder: Path) -> Target:
    from pytest_tinybudget.toolchain.firmware import calibrate
    from pytest_tinybudget.toolchain.firmware import read_firmware

    path = folder / "fuzzed.elf"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        calibrate(read_firmware(path), runtime_flash=100)

    return Target("firmware", _compiled(folder)["firmware"], read, mutated_bytes)


def _esp_application(folder: Path) -> Target:
    """ELF files as ESP-IDF links them, and the image that esptool would make of each."""
    from test_esp_image import application

    from pytest_tinybudget.update.esp_image import changed_image
    from pytest_tinybudget.update.esp_image import model_change
    from pytest_tinybudget.update.esp_image import read_application

    path = folder / "fuzzed.elf"
    model = b"\0\0\0\0TFL3".ljust(900, b"\7")

    def read(content: bytes) -> None:
        path.write_bytes(content)
        elf = read_application(path, "fuzzed.elf", "ESP32-C6", ())
        changed_image(elf, model_change(elf.models, [bytes(1_500)]), "2")

    corpus = [
        application("esp32c6", model, 900, data=50, fast_code=300, page_power=power, symbols=arrays)
        for power, arrays in ((0, [("g_kws_model_data", 0, 900)]), (14, []))
    ]
    return Target("esp", corpus, read, mutated_bytes)


def _debug_information(folder: Path) -> Target:
    """Firmware with structs of TFLM's names, in the forms of debug information."""
    from struct_source import core_source

    from pytest_tinybudget.runtimes.tflm import Tflm
    from pytest_tinybudget.toolchain.reading import read_runtime

    (folder / "micro_allocator.cc").write_text(
        core_source(Tflm(), only=("TfLiteTensor", "GreedyMemoryPlanner", "CONV_2D"))
        + "int main() { return sizeof(one_TfLiteTensor); }\n"
    )
    path, corpus = folder / "fuzzed.elf", []
    for prefix, flags in _COMPILERS.items():
        if shutil.which(f"{prefix}g++") is None:
            continue
        for form in ("-gdwarf-2", "-gdwarf-4 -fdebug-types-section", "-gdwarf-5", "-g -gz"):
            command = [f"{prefix}g++", *flags, *form.split(), "-nostdlib", "-Wl,-e,main"]
            subprocess.run(
                [*command, "micro_allocator.cc", "-o", path.name],
                cwd=folder, check=True, capture_output=True,
            )  # fmt: skip
            corpus.append(path.read_bytes())

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_runtime(path)

    return Target("debug information", corpus, read, mutated_bytes)


def _serial_log(folder: Path) -> Target:
    from pytest_tinybudget.toolchain.serial_log import read_log

    path = folder / "fuzzed.txt"
    text = (
        "I (30) app: arena_used_bytes: 22820\nArena: 22,820 of 30720 bytes used\n"
        "[RecordingMicroAllocator] Arena allocation total 9568 bytes\n"
        "[RecordingMicroAllocator] Arena allocation head 7744 bytes\n"
        "[RecordingMicroAllocator] 'NodeAndRegistration struct' used 392 bytes with alignment\n"
    )

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_log(path)

    return Target("serial log", [text.encode()], read, mutated_text)


def _archive(folder: Path) -> Target:
    from pytest_tinybudget.toolchain.runtime_build import build_runtime

    path = folder / "fuzzed.a"
    compiled = _compiled(folder)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        build_runtime("fuzzed", [path], core=["core_entry"], baseline=())

    corpus = [*compiled["object"], *compiled["archive"]]
    return Target("archive", corpus, read, mutated_bytes)


def _linker_map(folder: Path) -> Target:
    from pytest_tinybudget.toolchain.linker_map import read_regions
    from pytest_tinybudget.toolchain.linker_map import read_section_sizes
    from pytest_tinybudget.toolchain.linker_map import read_symbol_names

    path = folder / "fuzzed.map"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_section_sizes(path)
        read_symbol_names(path)
        read_regions(path)

    return Target("map", _compiled(folder)["map"], read, mutated_text)


def _manifest(folder: Path) -> Target:
    from pytest_tinybudget.update.manifest import load_manifest
    from pytest_tinybudget.update.package import findings

    image = _signed(folder)
    path = folder / "fuzz-1.2.0.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        for finding in findings(image, load_manifest(path), None):
            require_plain(finding.text)

    return Target("manifest", [path.read_bytes()] if image else [], read, mutated_text)


def _image(folder: Path) -> Target:
    from pytest_tinybudget.update.manifest import load_manifest
    from pytest_tinybudget.update.package import encode
    from pytest_tinybudget.update.package import findings

    image = _signed(folder)
    if not image:
        return Target("image", [], len, mutated_bytes)
    plain = load_manifest(folder / "fuzz-1.2.0.json")
    as_hex = replace_format(plain, "hex")
    encoded = encode(image, "hex", 0x8000, "")

    def read(content: bytes) -> None:
        is_hex = content[:1] == b":"
        for finding in findings(content, as_hex if is_hex else plain, None):
            require_plain(finding.text)

    def mutate(content: bytes, chance: random.Random) -> bytes:
        mutated = mutated_text if content is encoded else mutated_bytes
        return mutated(content, chance)

    return Target("image", [image, image, encoded], read, mutate)


def replace_format(manifest: Any, file_format: str) -> Any:
    """``manifest`` of the same image in another file format."""
    import msgspec

    image = msgspec.structs.replace(manifest.image, format=file_format)
    return msgspec.structs.replace(manifest, image=image)


def _signed(folder: Path) -> bytes:
    """The image that ``package`` makes of a small model, its manifest beside; empty: no imgtool."""
    from pytest_tinybudget.cli import main

    (folder / "fuzz.tflite").write_bytes(small_model())
    arguments = [str(folder / "fuzz.tflite"), "--version", "1.2.0", "--slot-size", "64KB"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        code = main(["package", *arguments, "--flash-offset", "0x8000", "-o", str(folder)])
    return (folder / "fuzz-1.2.0.bin").read_bytes() if code == 0 else b""


# Data and networks


_JOB = Job(
    source="kws.keras",
    kind="keras",
    shown="kws.keras",
    root=".",
    data_path=None,
    data_function=None,
    custom_objects=None,
    strip=False,
    per_channel_dense=True,
    activations="int8",
    timeout_seconds=60,
    memory_bytes=1 << 30,
)


def _arrays(folder: Path) -> Target:
    import numpy as np

    from pytest_tinybudget.convert.worker.representative import samples_of

    array = np.random.default_rng(0).random((5, 4, 4, 1), np.float32)
    files = []
    for save in (np.savez, np.savez_compressed):
        packed = io.BytesIO()
        save(packed, image=array)
        files.append(packed.getvalue())
    plain = io.BytesIO()
    np.save(plain, array)
    inputs = [InputSpec("image", (1, 4, 4, 1), "float32")]

    def read(content: bytes) -> None:
        path = folder / ("data.npy" if content[:1] == b"\x93" else "data.npz")
        path.write_bytes(content)
        samples_of(replace(_JOB, data_path=str(path)), inputs, None)

    return Target("arrays", [plain.getvalue(), *files], read, mutated_bytes)


def _keras(folder: Path) -> Target:
    """The config in a ``.keras`` file: mutated, and in a file that is mutated."""
    path = keras_file(folder, CONV, ("Flatten", {}), DENSE)
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(500))
    packed = path.read_bytes()

    def read(content: bytes) -> None:
        path.write_bytes(content)
        if not content.startswith(b"PK"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("config.json", content)
        planned_model(read_keras(path), "fuzz")
        check_source(path, "keras", "fuzz.keras")

    return Target("keras", [packed, config], read, mutated_bytes)


def _torch(folder: Path) -> Target:
    """The program in a ``.pt2`` file: mutated, and as a file that is mutated."""
    made = Program((1, 3, 8, 8))
    weights = made.weights(4, 3, 3, 3), made.weights(4)
    maps = made.call("conv2d.default", (1, 4, 8, 8), made.inputs[0], *weights, [1, 1], [1, 1])
    pool = made.call("max_pool2d.default", (1, 4, 4, 4), maps, [2, 2], [2, 2])
    path = made.save(folder / "fuzz.pt2", pool)
    seeds = [path.read_bytes(), json.dumps(made.told([pool], 8)).encode()]

    def read(content: bytes) -> None:
        path.write_bytes(content)
        if not content.startswith(b"PK"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("fuzz/models/model.json", content)
        check_source(path, "torch", "fuzz.pt2")
        planned_model(read_program(path), "fuzz")

    return Target("torch", seeds, read, mutated_bytes)


# What a project flashes


_PROJECT_FILES = {
    "dependencies.lock": """\
dependencies:
  espressif/esp-tflite-micro: {source: {type: service}, version: 1.3.3~1}
  espressif/esp-nn: {source: {git: "https://github.com/espressif/esp-nn.git"}, version: 0a1b2c3}
target: esp32s3
""",
    "main/idf_component.yml": """\
version: "1.0.0"
dependencies:
  espressif/esp-tflite-micro: {version: "^1.3.1", rules: [{if: "target in [esp32]"}]}
  esp-nn: {git: "https://github.com/espressif/esp-nn.git", version: v1.1.0}
""",
    "west.yml": """\
manifest:
  remotes: [{name: zephyr, url-base: "https://github.com/zephyrproject-rtos"}]
  defaults: {remote: zephyr, revision: v3.7.0}
  projects:
    - name: zephyr
      import: {name-allowlist: [cmsis-nn, tflite-micro]}
    - {name: tflite-micro, revision: 8d404de7}
  self: {path: app, import: [more/x.yml]}
""",
    "zephyr/module.yml": "name: tflite-micro\nbuild: {cmake-ext: True}\n",
    "prj.conf": "CONFIG_TENSORFLOW_LITE_MICRO=y\nCONFIG_SPEED_OPTIMIZATIONS=y\n",
    "sdkconfig": 'CONFIG_IDF_TARGET="esp32s3"\nCONFIG_NN_ANSI_C=y\n',
    "library.properties": "name=Arduino_TensorFlowLite\nversion=2.4.0\ndepends=A,B (>=1)\n",
    "sketch.yaml": """\
profiles:
  nano:
    fqbn: arduino:mbed_nano:nano33ble
    libraries: [Arduino_TensorFlowLite (2.4.0-ALPHA), {dependency: X (1.0)}]
""",
    "platformio.ini": """\
[common]
libs = esp-nn@^1.1
[env:a]
extends = common
board = nano33ble
build_flags = -D TF_LITE_STATIC_MEMORY -O3
lib_deps = ${common.libs}
    https://github.com/raspberrypi/pico-tflmicro.git#dfea53b
""",
    "CMakeLists.txt": """\
set(TAG 71fba59b) # of May
FetchContent_Declare(tflm
  GIT_REPOSITORY "https://github.com/tensorflow/tflite-micro" GIT_TAG ${TAG})
CPMAddPackage("gh:raspberrypi/pico-tflmicro#dfea53b") #[[ a comment ]]
target_compile_definitions(app PRIVATE TF_LITE_STATIC_MEMORY [[a b]])
""",
    ".gitmodules": """\
[submodule "lib/tflm"]
\tpath = lib/tflm
\turl = https://github.com/tensorflow/tflite-micro.git
""",
    "device.yaml": """\
esphome: {name: x, min_version: 2025.5.0}
esp32: {board: esp32dev, framework: {components: [{name: espressif/esp-nn, ref: 1.1.2}]}}
micro_wake_word:
  models: [{model: okay_nabu}]
external_components: [{source: github://a/b, components: [x]}]
""",
    "requirements.txt": "esphome==2025.6.1\n",
    "components/x/__init__.py": 'add_idf_component(name="espressif/esp-nn", ref="1.1.2")\n',
}


def _project(folder: Path) -> Target:
    """A file of each kind, which is told by its first line: its path in the project."""
    from pytest_tinybudget.detection.detect import detect
    from pytest_tinybudget.detection.flashed import flashed

    corpus = [f"{path}\n{text}".encode() for path, text in _PROJECT_FILES.items()]

    def read(content: bytes) -> None:
        name, _, text = content.partition(b"\n")
        path = folder / "project" / name.decode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        try:
            found = detect(folder / "project")
        finally:
            path.unlink()
        for core in ("Cortex-M4F", "Xtensa LX7 with vectors"):
            named = flashed(found, core)
            for line in (named.places, named.runtime.name, *named.notes) if named else ():
                require_plain(line)
        for problem in found.problems:
            assert "\n" not in problem.text
            raise TinybudgetError(problem.text)

    def mutate(content: bytes, chance: random.Random) -> bytes:
        name, _, text = content.partition(b"\n")
        return name + b"\n" + mutated_text(text, chance)

    return Target("project", corpus, read, mutate)


def _onnx(folder: Path) -> Target:
    from test_onnx import onnx_model

    from pytest_tinybudget.convert.onnx_file import read_onnx

    path = folder / "model.onnx"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        model = read_onnx(path)
        if model is None:
            raise TinybudgetError("no model is found in it")
        assert all(len(each.op_type) <= len(content) for each in model.nodes)

    corpus = [onnx_model(("Conv", "first"), ("LSTM", "/body/cell")), onnx_model(("Relu", ""))]
    return Target("onnx", corpus, read, mutated_bytes)


TARGETS: dict[str, Callable[[Path], Target]] = {
    "tflite": _tflite,
    "c_source": _c_source,
    "declaration": _declaration,
    "results": _results,
    "partitions": _partitions,
    "devices": _devices,
    "table": _table,
    "firmware": _firmware,
    "esp": _esp_application,
    "debug": _debug_information,
    "serial_log": _serial_log,
    "archive": _archive,
    "map": _linker_map,
    "manifest": _manifest,
    "image": _image,
    "arrays": _arrays,
    "keras": _keras,
    "torch": _torch,
    "onnx": _onnx,
    "project": _project,
}
