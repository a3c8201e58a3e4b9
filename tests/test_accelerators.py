"""Boards with an accelerator: what Vela makes of a model, what may map to an Edge TPU, a Jetson."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from campaigns import rare
from conftest import dense_model
from conftest import keyword_model
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget import cli
from pytest_tinybudget.accelerators import vela
from pytest_tinybudget.accelerators.coral import lint
from pytest_tinybudget.accelerators.ethos_u import _share
from pytest_tinybudget.accelerators.jetson import latency_bound
from pytest_tinybudget.accelerators.jetson import peak_activation_bytes
from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.accelerator import VelaOptions
from pytest_tinybudget.boards.accelerator import accelerators
from pytest_tinybudget.boards.accelerator import find_accelerator
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.results.reader import load_results
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))

needs_vela = pytest.mark.skipif(
    importlib.util.find_spec("ethosu") is None, reason="needs the extra [ethosu]"
)

U55 = """
[boards.own]
extends = "grove-vision-ai-v2"
accelerator = "ethos-u55-128"
reserved_flash = "0 B"
reserved_ram = "0 B"
"""
CHOSEN = """
[boards.own.vela]
system_config = "Ethos_U55_High_End_Embedded"
memory_mode = "Shared_Sram"
"""


def float_model() -> bytes:
    maker = ModelMaker()
    graph = maker.graph("float")
    graph.output(graph.dense(graph.input((1, 32), "FLOAT32"), units=16))
    return maker.build()


def with_cpu_operator() -> bytes:
    """A model with an operator that no Ethos-U runs."""
    maker = ModelMaker()
    graph = maker.graph("cpu")
    hidden = graph.conv2d(graph.input((1, 8, 8, 1)), filters=4)
    graph.output(graph.unary("L2_NORMALIZATION", hidden))
    return maker.build()


def compiled_by_hand(*, cpu: bool) -> bytes:
    """A file of the shape that Vela writes; with ``cpu`` an operator follows on the CPU."""
    maker = ModelMaker()
    graph = maker.graph("npu")
    stream = graph.tensor((64,), "UINT8", name="command_stream", data=bytes(64))
    weights = graph.tensor((32,), "UINT8", name="read_only", data=bytes(32))
    scratch = graph.tensor((512,), "UINT8", name="scratch")
    image, result = graph.input((1, 8, 8, 1)), graph.tensor((1, 8, 8, 2))
    inputs = (stream, weights, scratch, scratch, image)
    graph.operator("ethos-u", inputs, (result,), custom_options=b"\x01\x04\x01")
    graph.output(graph.tanh(result) if cpu else result)
    maker.offline_plan((-1, -1, 0, 0, 256, *((-1,) if cpu else ())))
    return maker.build()


def model_of(content: bytes) -> Model:
    return read_model(content, "kws")


def check(folder: Path, board: str, content: bytes, model: str = "") -> PairResult:
    """The result of one model on the board ``own`` of the declared ``board``."""
    folder.joinpath("kws.tflite").write_bytes(content)
    text = f'[models.kws]\nsource = "kws.tflite"\nboards = ["own"]\n{model}\n{board}'
    folder.joinpath("tinybudget.toml").write_text(text, encoding="utf-8")
    (pair,) = pairs("tinybudget.toml", load_declaration(folder / "tinybudget.toml"))
    assert isinstance(pair, Pair)
    return Gate(Workspace(cached=False)).check(pair)


def parts(result: PairResult, metric: str) -> dict[str, tuple[int, str]]:
    (measure,) = (each for each in result.measures if each.metric == metric)
    return {part.name: (part.bytes, part.method) for part in measure.parts}


def test_every_accelerator_has_a_source_and_a_peak_of_its_own_kind() -> None:
    for accelerator in accelerators().values():
        assert accelerator.source
        if accelerator.kind == "jetson":
            assert accelerator.memory_bytes > 0
            assert accelerator.tops or accelerator.gflops
            assert bool(accelerator.gflops) == bool(accelerator.float_type)


@needs_vela
def test_the_accelerators_of_vela_are_known() -> None:
    from ethosu.vela.architecture_features import Accelerator

    ours = {each.id for each in accelerators().values() if each.kind == "ethos-u"}
    assert ours == set(Accelerator.member_list())


def test_an_unknown_accelerator_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TinybudgetError) as error:
        check(tmp_path, U55.replace("u55-128", "u55-12"), dense_model())
    text = str(error.value)
    assert "boards.own.accelerator: unknown accelerator 'ethos-u55-12'" in text
    assert "'ethos-u55-128'" in text


def test_options_of_vela_are_for_an_ethos_u(tmp_path: Path) -> None:
    board = '[boards.own]\nextends = "esp32"\n[boards.own.vela]\noptimise = "Size"\n'
    with pytest.raises(TinybudgetError, match=r"boards\.own\.vela: is for boards with an Ethos-U"):
        check(tmp_path, board, dense_model())


def test_a_module_is_no_part_of_a_microcontroller_board(tmp_path: Path) -> None:
    board = '[boards.own]\nextends = "esp32"\naccelerator = "jetson-nano"\n'
    with pytest.raises(TinybudgetError, match="is a module with a memory of its own"):
        check(tmp_path, board, dense_model())


def test_an_ethos_u_is_no_part_of_a_module(tmp_path: Path) -> None:
    jetson = '[boards.module]\naccelerator = "jetson-nano"\n'
    board = '[boards.own]\nextends = "module"\naccelerator = "ethos-u55-128"\n'
    with pytest.raises(TinybudgetError, match="is beside the core of a microcontroller"):
        check(tmp_path, jetson + board, dense_model())


@pytest.mark.parametrize(("cpu", "required", "used"), [(False, 976, 964), (True, 1040, 1028)])
def test_the_arena_of_a_compiled_model_is_the_devices(cpu: bool, required: int, used: int) -> None:
    """Measured on an emulated Cortex-M4 with a driver that does nothing."""
    runtime = RUNTIMES["m4_ref"]
    runtime = runtime.beside("ethos-u")
    arena = simulate(model_of(compiled_by_hand(cpu=cpu)), runtime).arena
    assert arena is not None
    assert (arena.required, arena.used) == (required, used)
    assert arena.optimum_head <= arena.head


def test_other_runtimes_refuse_a_compiled_model() -> None:
    (refusal,) = simulate(model_of(compiled_by_hand(cpu=False)), RUNTIMES["m4_ref"]).refusals
    assert refusal.reason.startswith("compiled for an Ethos-U NPU")


@needs_vela
def test_a_pair_on_an_ethos_u_is_what_vela_makes_of_it(tmp_path: Path) -> None:
    result = check(tmp_path, U55 + CHOSEN, keyword_model())
    assert (result.outcome, result.warnings) == ("fits", ())
    assert re.fullmatch(
        r"vela [\d.]+, ethos-u55-128, Ethos_U55_High_End_Embedded, Shared_Sram, Performance",
        result.conversion,
    )
    compiled = vela.compile_model(model_of(keyword_model()), "ethos-u55-128", VelaOptions())
    flash, ram = parts(result, "flash"), parts(result, "ram")
    own = [size for name, (size, _) in flash.items() if name.startswith("model")]
    assert sum(own) == compiled.model.bytes != len(keyword_model())
    assert flash["operator ethos-u"][1] == flash["Ethos-U driver"][1] == "estimated"
    size, method = ram["arena: activations and scratch"]
    assert size >= compiled.sram_bytes
    assert method == "exact"
    assert f"{len(keyword_model()):,} B in, {compiled.model.bytes:,} B out" in result.notes[0]
    (latency,) = result.figures
    assert latency.low == compiled.seconds
    assert latency.basis.startswith("Vela's estimate at 500 MHz")


@needs_vela
def test_an_ethos_u_has_no_budget_of_energy_to_pass(tmp_path: Path) -> None:
    model = 'budget = { latency = "100 ms", energy = "1 mJ" }'
    result = check(tmp_path, U55 + CHOSEN, keyword_model(), model)
    assert result.outcome == "unmet"
    assert result.headline.startswith("energy unknown (at most 1.00 mJ)")
    assert "latency ok" in result.headline


@needs_vela
def test_operators_on_the_cpu_are_told_and_leave_the_time_unknown(tmp_path: Path) -> None:
    result = check(tmp_path, U55 + CHOSEN, with_cpu_operator())
    assert result.warnings == (
        "not on the Ethos-U but on the CPU: 1 of the model's 2 operators: L2_NORMALIZATION",
    )
    assert result.figures[0].low is None
    assert "the CPU's part is not known" in result.figures[0].basis


def test_the_share_of_the_cpu_counts_the_models_own_operators_not_those_of_vela() -> None:
    model = model_of(with_cpu_operator())
    told = _share(model, ["L2_NORMALIZATION", "MUL", "MUL"])
    assert told == "1 of the model's 2 operators: L2_NORMALIZATION; and by Vela: MUL (2)"
    assert _share(model, ["MUL"]) == "0 of the model's 2 operators; and by Vela: MUL"


def chain(filters: int = 16) -> bytes:
    """Convolutions whose activations are much larger than their weights."""
    maker = ModelMaker()
    graph = maker.graph("chain")
    hidden = graph.input((1, 48, 48, 1))
    for _ in range(4):
        hidden = graph.conv2d(hidden, filters=filters, activation="RELU")
    graph.output(graph.dense(graph.pool(hidden), units=4))
    return maker.build()


def declared_options(folder: Path, board: str, model: str = "") -> Pair:
    """The pair of ``chain`` on ``board``."""
    folder.joinpath("kws.tflite").write_bytes(chain())
    text = f'[models.kws]\nsource = "kws.tflite"\nboards = ["own"]\n{model}\n{board}'
    folder.joinpath("tinybudget.toml").write_text(text, encoding="utf-8")
    (pair,) = pairs("tinybudget.toml", load_declaration(folder / "tinybudget.toml"))
    assert isinstance(pair, Pair)
    return pair


def used(result: PairResult, metric: str) -> int:
    (found,) = (each.used for each in result.measures if each.metric == metric)
    return found


SIZE = CHOSEN + 'optimise = "Size"\n'


@needs_vela
def test_a_pair_that_fails_tells_what_the_other_optimization_makes_of_it(tmp_path: Path) -> None:
    tight = 'budget = { ram = "30 KB" }'
    over = Gate().check(declared_options(tmp_path, U55 + CHOSEN, tight))
    after = Gate().check(declared_options(tmp_path, U55 + SIZE, tight))
    assert over.failed
    (line,) = (each for each in over.reasons if each.startswith("optimise"))
    flash, ram = (used(after, metric) - used(over, metric) for metric in ("flash", "ram"))
    assert flash > 0 > ram
    assert line.startswith('optimise = "Size" in [boards.own.vela] makes of this model flash ')
    assert f"flash {format_size(used(after, 'flash'))} ({format_size(flash)} more)" in line
    assert f"RAM {format_size(used(after, 'ram'))} ({format_size(-ram)} less)" in line
    assert re.search(r"Vela's time [\d.]+ ms \([\d.]+ ms (more|less)\)", line)
    end = f", which is not enough: {after.headline}" if after.failed else ": then it fits"
    assert line.endswith(end)


@needs_vela
def test_where_size_is_declared_the_other_one_makes_the_file_smaller(tmp_path: Path) -> None:
    flash = used(Gate().check(declared_options(tmp_path, U55 + CHOSEN)), "flash")
    budget = f'budget = {{ flash = "{flash} B" }}'
    over = Gate().check(declared_options(tmp_path, U55 + SIZE, budget))
    assert over.failed
    (line,) = (each for each in over.reasons if each.startswith('optimise = "Performance"'))
    assert line.endswith(": then it fits")
    assert not Gate().check(declared_options(tmp_path, U55 + CHOSEN, budget)).failed


@needs_vela
@pytest.mark.parametrize("accelerator", ["u65-256", rare("u85-256")])
def test_an_optimization_that_changes_nothing_is_told_as_such(
    accelerator: str, tmp_path: Path
) -> None:
    board = U55.replace("u55-128", accelerator)
    over = Gate().check(declared_options(tmp_path, board, 'budget = { ram = "1 KB" }'))
    (line,) = (each for each in over.reasons if each.startswith("optimise"))
    assert line.startswith(
        'optimise = "Size" in [boards.own.vela] changes nothing for this model: flash '
    )


@needs_vela
def test_the_other_optimization_of_a_pair_that_passes_is_measured_where_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared_options(tmp_path, U55 + CHOSEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))
    calls = []
    run = vela._call
    monkeypatch.setattr(vela, "_call", lambda *given: calls.append(given[1]) or run(*given))
    assert cli.main(["check", "--no-cache"]) == 0
    assert len(calls) == 1
    assert "optimise" not in capsys.readouterr().out
    assert cli.main(["check", "--no-cache", "--json", "results.json"]) == 0
    assert len(calls) == 3
    (pair,) = load_results(Path("results.json")).pairs
    assert sum('optimise = "Size"' in note for note in pair.notes) == 1
    assert cli.main(["check", "-v"]) == cli.main(["check", "-v"]) == 0
    assert len(calls) == 5  # kept in the cache


@needs_vela
@pytest.mark.parametrize("accelerator", ["ethos-u55-128", rare("ethos-u65-256"), "ethos-u85-256"])
@pytest.mark.parametrize("optimise", ["Performance", rare("Size")])
def test_file_and_sram_are_those_that_vela_itself_tells(
    accelerator: str, optimise: Literal["Performance", "Size"], tmp_path: Path
) -> None:
    """Vela as a user runs it, beside ours."""
    (tmp_path / "chain.tflite").write_bytes(chain())
    command = [
        sys.executable, "-m", "ethosu.vela", "chain.tflite", "--output-dir=out",
        f"--accelerator-config={accelerator}", f"--optimise={optimise}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    ours = vela.compile_model(model_of(chain()), accelerator, VelaOptions(optimise=optimise))
    assert ours.model.content == (tmp_path / "out" / "chain_vela.tflite").read_bytes()
    told = re.search(r"Total SRAM used\s+([\d.]+) KiB", done.stdout)
    assert told is not None
    assert f"{ours.sram_bytes / 1024:.2f}" == told[1]


@needs_vela
def test_what_vela_chose_by_itself_is_a_warning(tmp_path: Path) -> None:
    result = check(tmp_path, U55, keyword_model())
    (warning,) = result.warnings
    assert warning.startswith('Vela chose system_config = "Ethos_U55_High_End_Embedded"')
    assert 'memory_mode = "Shared_Sram"' in warning


@needs_vela
def test_weights_and_arena_in_dram_count_as_ram(tmp_path: Path) -> None:
    result = check(tmp_path, U55.replace("u55-128", "u65-256"), keyword_model())
    ram = parts(result, "ram")
    flash = parts(result, "flash")
    compiled = sum(size for name, (size, _) in flash.items() if name.startswith("model"))
    assert ram["model: copied to RAM"] == (compiled, "estimated")
    assert ram["Ethos-U fast scratch"][0] > 0
    assert any("weights and arena in DRAM" in warning for warning in result.warnings)


@needs_vela
def test_weights_in_sram_count_as_ram(tmp_path: Path) -> None:
    mode = CHOSEN.replace("Shared_Sram", "Sram_Only") + 'config = "Arm/vela.ini"\n'
    result = check(tmp_path, U55 + mode, keyword_model())
    assert "model: copied to RAM" in parts(result, "ram")


@needs_vela
def test_kernel_and_driver_can_be_declared(tmp_path: Path) -> None:
    declared = '[runtime.ops.ethos-u]\nflash = "3 KB"\n'
    flash = parts(check(tmp_path, U55 + CHOSEN + declared, keyword_model()), "flash")
    assert flash["operator ethos-u"] == (3072, "declared")
    assert "Ethos-U driver" not in flash


@needs_vela
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (float_model(), "Vela leaves all of it to the CPU"),
        (compiled_by_hand(cpu=False), "compiled by Vela already"),
    ],
)
def test_what_vela_passes_over_in_silence_is_an_error(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    result = check(tmp_path, U55 + CHOSEN, content)
    assert result.outcome == "error"
    assert reason in result.headline


@needs_vela
@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            "os.kill(os.getpid(), signal.SIGABRT)",
            "crashed with signal 6: the file may be malformed",
        ),
        ("sys.exit('Error: no such operator')", "failed: Error: no such operator"),
    ],
)
def test_a_vela_that_ends_is_an_error_of_one_line(
    end: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stand-in for Vela, which ends itself."""
    monkeypatch.setattr(vela, "module", lambda _name: f"import os, signal, sys; {end}")
    with pytest.raises(TinybudgetError) as error:
        vela.compile_model(model_of(keyword_model()), "ethos-u55-128", VelaOptions())
    assert error.value.message == f"kws: Vela {said}"


@needs_vela
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (VelaOptions(timeout_s=0.01), r"Vela was not done after 0.01 s"),
        (VelaOptions(system_config="Nowhere"), r"Vela failed: .*System_Config.Nowhere"),
        (VelaOptions(config="nowhere.ini"), r"Vela failed: .*nowhere.ini"),
    ],
)
def test_vela_failing_is_told_in_its_words(options: VelaOptions, reason: str) -> None:
    with pytest.raises(TinybudgetError, match=reason):
        vela.compile_model(model_of(keyword_model()), "ethos-u55-128", options)


@needs_vela
def test_the_same_model_and_options_are_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, model = Cache(tmp_path), model_of(keyword_model())
    first = vela.compile_model(model, "ethos-u55-128", VelaOptions(), cache)

    def never(*_: object) -> str:
        raise AssertionError("compiled again")

    monkeypatch.setattr(vela, "_call", never)
    again = vela.compile_model(model, "ethos-u55-128", VelaOptions(timeout_s=60), cache)
    assert again.model.content == first.model.content
    assert replace(again, model=first.model) == first
    with pytest.raises(AssertionError, match="compiled again"):
        vela.compile_model(model, "ethos-u55-256", VelaOptions(), cache)


@pytest.mark.parametrize(
    ("newest", "advice"),
    [
        ((3, 99), "pip install 'pytest-tinybudget[ethosu]'"),
        ((3, 9), "pip install 'pytest-tinybudget[ethosu]' with Python 3.13 or older"),
    ],
)
def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: tuple[int, int], advice: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(vela, "_NEWEST_PYTHON", newest)
    result = check(tmp_path, U55, keyword_model())
    assert result.outcome == "error"
    assert result.headline.endswith(f": {advice}")


@needs_vela
def test_the_firmware_gets_the_compiled_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = U55 + CHOSEN
    check(tmp_path, board, keyword_model())
    out = tmp_path / "out"
    arguments = ["check", str(tmp_path), "--artifacts", str(out), "--no-cache"]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    names = {path.name for path in out.iterdir()}
    assert "kws_own_model_data.cc" in names
    assert "kws_model_data.cc" not in names
    assert "AddEthosU" in (out / "kws_own_op_resolver.h").read_text()


@needs_vela
@pytest.mark.parametrize("smaller", ["strip = true", "shrink = true"])
def test_what_vela_writes_is_made_smaller_as_well(tmp_path: Path, smaller: str) -> None:
    board, sizes = U55 + CHOSEN, []
    for key in ("", smaller):
        result = check(tmp_path, board, keyword_model(), key)
        sizes.append(
            sum(size for name, (size, _) in parts(result, "flash").items() if "model:" in name)
        )
        assert result.footprint is not None
        assert result.footprint.arena is not None
        sizes.append(result.footprint.arena.required)
    whole, arena, small, same_arena = sizes
    assert small < whole
    assert same_arena == arena


def test_a_group_on_an_accelerator_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("kws.tflite").write_bytes(keyword_model())
    text = '[models.kws]\nsource = "kws.tflite"\nboards = ["esp32"]\n'
    text += '[groups.all]\nmodels = ["kws"]\nboards = ["own"]\n'
    tmp_path.joinpath("tinybudget.toml").write_text(text + U55, encoding="utf-8")
    declared = pairs("tinybudget.toml", load_declaration(tmp_path / "tinybudget.toml"))
    (pair,) = (each for each in declared if isinstance(each, GroupPair))
    result = Gate().check(pair)
    assert result.outcome == "error"
    assert "declare its models for the board one by one" in result.headline


@needs_vela
@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="no ../shared")
def test_person_detection_is_as_published() -> None:
    """Measured with Vela 5.2: 300,568 B in, 240,496 B out, 72.7 KiB, 0.71 ms at 500 MHz."""
    model = load_model(SHARED / "models" / "person_detect.tflite", "person_detect.tflite")
    found = vela.compile_model(model, "ethos-u55-128", VelaOptions())
    if found.version != "5.2.0":
        pytest.skip(f"measured with Vela 5.2.0, not {found.version}")
    assert (model.bytes, found.model.bytes, found.sram_bytes) == (300_568, 240_496, 74_480)
    assert round(found.seconds * 1e3, 2) == 0.71
    assert found.clock_hz == 500e6
    assert not found.cpu_operators


EDGE_TPU = '[boards.own]\nextends = "teensy-4-1"\naccelerator = "edge-tpu"\n'


def lint_lines(content: bytes) -> list[str]:
    return list(lint(model_of(content)).lines())


def small(make: Callable[[ModelMaker], None]) -> bytes:
    maker = ModelMaker()
    make(maker)
    return maker.build()


def test_a_model_within_the_documented_rules_may_map() -> None:
    first, *rest = lint_lines(keyword_model())
    assert first == "Edge TPU: may map"
    assert rest[-1] == "  by the documented rules; only Coral's compiler knows"
    assert not any("maps" in line for line in (first, *rest))


def test_a_conversion_without_an_input_takes_no_float() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.tensor((1, 4), "INT8")
    graph.operator("QUANTIZE", (), (result,), {})
    graph.output(result)
    assert lint(model_of(maker.build())).operators == 1


def test_a_float_model_would_not_map() -> None:
    found = lint(model_of(float_model()))
    assert found.verdict == "would not map"
    assert found.findings[0].reason == "FLOAT32, expected 8 bits (full INT8)"


def test_what_comes_before_the_first_broken_rule_may_map() -> None:
    found = lint(model_of(with_last("ABS")))
    assert (found.verdict, found.mapped, found.operators) == ("may map in part", 1, 2)
    assert list(found.reasons()) == ["ABS #1: no operation of the Edge TPU"]


def with_last(name: str) -> bytes:
    def make(maker: ModelMaker) -> None:
        graph = maker.graph("part")
        graph.output(graph.unary(name, graph.conv2d(graph.input((1, 8, 8, 1)), filters=4)))

    return small(make)


def _batch(maker: ModelMaker) -> None:
    graph = maker.graph("batch")
    graph.output(graph.conv2d(graph.input((2, 8, 8, 1)), filters=4))


def _dilated(maker: ModelMaker) -> None:
    graph = maker.graph("dilated")
    graph.output(graph.conv2d(graph.input((1, 8, 8, 1)), filters=4, dilation=(1, 2)))


def _wide_softmax(maker: ModelMaker) -> None:
    graph = maker.graph("softmax")
    graph.output(graph.softmax(graph.input((4, 4))))


def _fused_pool(maker: ModelMaker) -> None:
    graph = maker.graph("pool")
    graph.output(graph.pool(graph.input((1, 8, 8, 4)), activation="RELU"))


def _computed_weights(maker: ModelMaker) -> None:
    graph = maker.graph("computed")
    weights, result = graph.input((4, 8)), graph.tensor((1, 4))
    graph.operator("FULLY_CONNECTED", (graph.input((1, 8)), weights, -1), (result,))
    graph.output(result)


def _mean_over_batch(maker: ModelMaker) -> None:
    graph = maker.graph("mean")
    graph.output(graph.mean(graph.input((1, 8, 8, 4)), axes=(0, 1)))


def _strided(maker: ModelMaker) -> None:
    graph = maker.graph("strided")
    source = graph.input((1, 8, 8, 4))
    ends = [graph.constant((4,), values=values) for values in ((0,) * 4, (1, 8, 8, 4))]
    strides, result = graph.constant((4,), values=(1, 2, 2, 1)), graph.tensor((1, 4, 4, 4))
    graph.operator("STRIDED_SLICE", (source, *ends, strides), (result,))
    graph.output(result)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_batch, "only the three innermost may exceed 1"),
        (_dilated, "supported with: the same dilation in x and y"),
        (_wide_softmax, "supported with: an input of one dimension, at most 16,000 elements"),
        (_fused_pool, "supported with: no fused activation"),
        (_computed_weights, "is computed, expected a constant"),
        (_mean_over_batch, "supported with: not over the batch"),
        (_strided, "supported with: strides of 1, no ellipsis and no new axis"),
    ],
)
def test_a_documented_limitation_is_told(make: Callable[[ModelMaker], None], reason: str) -> None:
    found = lint(model_of(small(make)))
    assert found.verdict == "would not map"
    assert reason in found.findings[0].reason


def test_parameters_beyond_the_memory_on_the_chip_are_told() -> None:
    found = replace(lint(model_of(dense_model())), parameters_bytes=9 * 2**20)
    assert found.cache_text() == (
        "parameters: 9.00 MB, 1.00 MB more than the 8.00 MB on the chip: sent at every run"
    )


def test_a_pair_beside_an_edge_tpu_has_the_cpus_figures_and_the_verdict(tmp_path: Path) -> None:
    plain = check(tmp_path, EDGE_TPU.replace('accelerator = "edge-tpu"', ""), keyword_model())
    result = check(tmp_path, EDGE_TPU, keyword_model())
    assert [each.used for each in result.measures] == [each.used for each in plain.measures]
    assert result.outcome == "fits"
    assert result.notes[0] == "Edge TPU: may map"
    assert result.figures == ()
    warned = check(tmp_path, EDGE_TPU, with_last("ABS"))
    assert warned.outcome == "warns"
    assert warned.warnings[0].startswith("Edge TPU: may map in part (1 of 2 operators")


def test_the_page_shows_what_inspect_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "accelerators.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```console\n\$ tinybudget (.+?)\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(ROOT)
    assert cli.main(shown[0].split()) == 0
    assert capsys.readouterr().out == shown[1]


def test_the_declaration_of_the_page_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "accelerators.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "person.tflite").write_bytes(keyword_model())
    (tmp_path / "tinybudget.toml").write_text(text, encoding="utf-8")
    boards = load_declaration(tmp_path / "tinybudget.toml").boards
    assert [board.accelerator for board in boards.values()] == ["ethos-u55-64", "jetson-orin-nano"]
    assert boards["eye"].vela.memory_mode == "Shared_Sram"


JETSON = '[boards.own]\naccelerator = "jetson-orin-nano"\n'


def test_activations_count_while_they_are_needed() -> None:
    def make(maker: ModelMaker) -> None:
        graph = maker.graph("chain")
        hidden = graph.conv2d(graph.input((1, 8, 8, 1)), filters=4)
        graph.output(graph.conv2d(hidden, filters=2))

    # 64 and 256 bytes together, then 256 and 128.
    assert peak_activation_bytes(model_of(small(make))) == 256 + 128


def test_a_jetson_holds_model_and_activations_and_says_what_is_missing(tmp_path: Path) -> None:
    result = check(tmp_path, JETSON, keyword_model())
    assert result.outcome == "warns"
    assert result.warnings[0].startswith("only model and activations are counted")
    assert [each.metric for each in result.measures] == ["ram"]
    assert parts(result, "ram")["model file"] == (len(keyword_model()), "exact")
    reserved = check(tmp_path, JETSON + 'reserved_ram = "4096 MB"\n', keyword_model())
    assert reserved.outcome == "fits"
    full = check(tmp_path, JETSON + 'ram = "4 KB"\nreserved_ram = "1 B"\n', keyword_model())
    assert full.outcome == "over"


def test_tops_and_gflops_are_not_mixed() -> None:
    int8, floats = model_of(dense_model()), model_of(float_model())
    nano, xavier = find_accelerator("jetson-nano"), find_accelerator("jetson-xavier-nx")
    assert "no TOPS are published" in latency_bound(int8, nano).basis
    assert "GFLOPS" not in latency_bound(int8, nano).basis
    assert "no GFLOPS are published" in latency_bound(floats, xavier).basis
    assert "512 floating-point MACs at 472 GFLOPS (FP16)" in latency_bound(floats, nano).basis


def test_the_bound_is_the_longer_of_computing_and_of_reading_weights() -> None:
    device = replace(find_accelerator("jetson-nano"), gflops=1e-6, bandwidth_gb_s=1.0)
    assert latency_bound(model_of(float_model()), device).low == pytest.approx(1024 / 1e3)
    slow = replace(device, gflops=472, bandwidth_gb_s=1e-9)
    weights = sum(len(tensor.data) for tensor in model_of(float_model()).main.tensors)
    assert latency_bound(model_of(float_model()), slow).low == pytest.approx(weights)


def test_a_sparse_peak_is_told_as_one() -> None:
    basis = latency_bound(model_of(dense_model()), find_accelerator("jetson-agx-orin")).basis
    assert "275 TOPS, which counts structured sparsity" in basis


def test_a_lower_bound_never_passes_a_budget_but_may_break_it(tmp_path: Path) -> None:
    within = check(tmp_path, JETSON, keyword_model(), 'budget = { latency = "100 ms" }')
    assert within.outcome == "unmet"
    assert within.headline.startswith("latency unknown (at most 100 ms)")
    beyond = check(tmp_path, JETSON, keyword_model(), 'budget = { latency = "0.001 ns" }')
    assert beyond.outcome == "over"


def test_a_budget_of_flash_holds_the_file_on_a_jetson(tmp_path: Path) -> None:
    result = check(tmp_path, JETSON, keyword_model(), 'budget = { flash = "1 KB" }')
    assert result.outcome == "over"
    assert result.headline.startswith("model file over (3.9 KB, at most 1.0 KB)")
