"""The generated code by version of TFLM: it compiles with each, or is refused in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from campaigns import every
from modelmaker import Graph
from modelmaker import ModelMaker
from msgspec.structs import replace
from rendered import render
from rendered import render_array
from test_artifacts import ARM
from test_artifacts import ERAS
from test_artifacts import classifier
from test_artifacts import compile_c
from test_artifacts import compiler_or_skip
from test_artifacts import footprint
from test_artifacts import write_headers
from tflm_headers import headers_of

from pytest_tinybudget.artifacts import write
from pytest_tinybudget.artifacts.interpreter import render_interpreter
from pytest_tinybudget.artifacts.resolver import render_resolver
from pytest_tinybudget.artifacts.settings import render_settings
from pytest_tinybudget.artifacts.target import Target
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.link import typed_for
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.gate.artifacts import Artifacts
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.distributions import find_distribution
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.interface import Interface
from pytest_tinybudget.runtimes.interface import common_interface
from pytest_tinybudget.runtimes.interface import interface_at
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.workspace import Workspace


NEWEST = ERAS[-1]
#: The last day of each type of registration, and of the error reporter, with one of the next.
CHANGES = [
    ("2022-06-07", "2023-03-01"), ("2023-03-01", "2023-03-20"), ("2023-03-20", "2023-06-01"),
    ("2023-06-01", "2023-10-01"),
]  # fmt: skip


def model_with(add: Callable[[Graph, int], int]) -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(add(graph, graph.input((1, 8))))
    return read_model(maker.build(), "model")


def streaming() -> Model:
    """A model with a resource variable."""

    def add(graph: Graph, source: int) -> int:
        handle = graph.tensor((), "RESOURCE")
        graph.operator("VAR_HANDLE", (), (handle,), options={"container": "", "shared_name": "s"})
        return graph.softmax(source)

    return model_with(add)


def code(model: Model, interface: Interface, **of_target: object) -> dict[str, bytes]:
    """All files but the constants, for a TFLM of this interface."""
    target = replace(Target(interface=interface), **of_target)
    return {
        **render_array(model, "kws", placements=target.placements),
        **render_resolver(model, "kws", target),
        **render_interpreter(model, "kws", target),
    }


def compile_use(folder: Path, date: str, files: dict[str, bytes], use: str) -> None:
    """Compile ``use`` with ``files`` and the headers of a TFLM of ``date``; warnings fail."""
    write_headers(folder, headers_of(date))
    write(folder, files)
    source = folder / "use.cc"
    source.write_text(f'#include "kws_interpreter.h"\n{use}\n', encoding="utf-8")
    compile_c(ARM, source, "-std=c++11", "-fno-threadsafe-statics", f"-I{folder}")


USE = """
alignas(16) static std::uint8_t arena[1024];
TfLiteStatus start() {
  static kws_model::OpResolver resolver;
  if (kws_model::RegisterOperators(resolver) != kTfLiteOk) return kTfLiteError;
  static kws_model::Interpreter interpreter(resolver, arena, sizeof(arena));
  return interpreter.AllocateTensors();
}
"""
USE_CUSTOM = """
static REGISTRATION mine;
TfLiteStatus start(kws_model::OpResolver& resolver) {
  return kws_model::RegisterOperators(resolver, &mine);
}
"""
USE_SPLIT = """
alignas(16) static std::uint8_t one[512];
alignas(16) static std::uint8_t other[512];
kws_model::Interpreter& make(const kws_model::OpResolver& resolver) {
  static kws_model::Interpreter made(resolver, one, sizeof(one), other, sizeof(other));
  return made;
}
"""
USE_VARIABLES = """
alignas(16) static std::uint8_t arena[1024];
kws_model::Interpreter& make(
    const kws_model::OpResolver& resolver, tflite::MicroResourceVariables* variables) {
  static kws_model::Interpreter made(resolver, arena, sizeof(arena), variables);
  return made;
}
"""


def registration_at(date: str) -> str:
    return re.sub(r"const |\*", "", interface_at(date).registration)


# One version


@pytest.mark.parametrize("date", every(4, ERAS))
@pytest.mark.parametrize("choice", ["generic", "typed"])
def test_the_code_compiles_with_the_tflm_that_it_is_for(
    choice: str, date: str, tmp_path: Path
) -> None:
    compiler_or_skip(ARM)
    files = code(classifier(), interface_at(date), registrations=choice)
    compile_use(tmp_path, date, files, USE)


@pytest.mark.parametrize("date", every(4, ERAS))
def test_a_custom_operator_is_handed_in_with_the_type_of_its_tflm(
    date: str, tmp_path: Path
) -> None:
    compiler_or_skip(ARM)
    files = code(classifier(custom="MY_OP"), interface_at(date))
    use = USE_CUSTOM.replace("REGISTRATION", registration_at(date))
    compile_use(tmp_path, date, files, use)


@pytest.mark.parametrize(("older", "newer"), every(4, CHANGES))
def test_the_code_of_one_version_does_not_compile_with_the_next(
    older: str, newer: str, tmp_path: Path
) -> None:
    """Otherwise the tests here would prove nothing."""
    compiler_or_skip(ARM)
    model = classifier(custom="MY_OP")
    use = USE_CUSTOM.replace("REGISTRATION", registration_at(older))
    with pytest.raises(AssertionError, match=r"error: "):
        compile_use(tmp_path, older, code(model, interface_at(newer)), use)


@pytest.mark.parametrize("date", every(4, [date for date in ERAS if date > "2022-07-01"]))
def test_the_interpreter_takes_two_arenas_where_the_declaration_has_two(
    date: str, tmp_path: Path
) -> None:
    compiler_or_skip(ARM)
    files = code(classifier(), interface_at(date), placements=Placements(SplitPlacement()))
    compile_use(tmp_path, date, files, USE_SPLIT)


def test_two_arenas_are_refused_where_tflm_takes_one() -> None:
    with pytest.raises(
        TinybudgetError, match=r"^kws: an arena in two memories needs a TFLM of July 2022"
    ):
        code(classifier(), interface_at("2022-06-07"), placements=Placements(SplitPlacement()))


@pytest.mark.parametrize("date", every(4, [date for date in ERAS if date > "2021-09-07"]))
def test_the_interpreter_takes_the_slots_of_resource_variables(date: str, tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    compile_use(tmp_path, date, code(streaming(), interface_at(date)), USE_VARIABLES)


@pytest.mark.parametrize("date", every(4, ERAS))
def test_the_firmware_in_the_docs_compiles_with_every_version(date: str, tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    page = (Path(__file__).parents[1] / "docs" / "artifacts.md").read_text(encoding="utf-8")
    source = tmp_path / "firmware.cc"
    source.write_text(page.partition("```cpp\n")[2].partition("```")[0], encoding="utf-8")
    write_headers(tmp_path, headers_of(date))
    model, target = classifier(), Target(interface=interface_at(date))
    footprints = [footprint("m4_ref", required=2048, used=2036)]
    write(tmp_path, code(model, target.interface))
    write(tmp_path, render_settings(model, "kws", footprints, target))
    compile_c(ARM, source, "-std=c++11", "-fno-threadsafe-statics", f"-I{tmp_path}")


@pytest.mark.parametrize(
    "name", every(4, {each.tflm: each.full_name for each in distributions().values()}.values())
)
def test_the_code_for_a_distribution_compiles_with_the_tflm_that_it_ships(
    name: str, tmp_path: Path
) -> None:
    compiler_or_skip(ARM)
    distribution = find_distribution(name)
    runtime = distribution.usual
    files = render(classifier(), name="kws", firmwares=[Firmware(runtime, "typed")])
    said = f" * For {runtime.name} (TFLM {distribution.tflm})."
    assert said.encode() in files["kws_op_resolver.h"]
    if distribution.first_header:
        (tmp_path / distribution.first_header).touch()
    compile_use(tmp_path, distribution.tflm_date, files, USE)


def test_code_for_arduino_includes_first_what_the_ide_finds_the_library_by() -> None:
    arduino = Firmware(find_distribution("arduino-tflm 2023-12").usual)
    resolver = render(classifier(), name="kws", firmwares=[arduino])["kws_op_resolver.h"]
    includes = re.findall(r"#include (.+)", resolver.decode())
    assert includes[0] == "<TensorFlowLite.h>"
    # A board that has no such header has the same files.
    both = [arduino, Firmware(find_distribution("zephyr 4.4").usual)]
    files = render(classifier(), name="kws", firmwares=both)
    assert b"TensorFlowLite" not in files["kws_op_resolver.h"] + files["kws_interpreter.h"]


# Several versions, and unknown ones


@pytest.mark.parametrize("date", every(4, ERAS))
def test_code_for_boards_with_different_versions_compiles_with_each(
    date: str, tmp_path: Path
) -> None:
    compiler_or_skip(ARM)
    interface = common_interface([interface_at(each) for each in ERAS])
    files = code(classifier(custom="MY_OP"), interface, registrations="typed")
    reporter = ", reporter);" if date < "2022-09-19" else ");"
    use = USE_CUSTOM.replace("REGISTRATION", registration_at(date))
    use += f"""
    alignas(16) static std::uint8_t arena[1024];
    kws_model::Interpreter& make(
        const kws_model::OpResolver& resolver, tflite::ErrorReporter* reporter) {{
      static kws_model::Interpreter made(resolver, arena, sizeof(arena){reporter}
      (void)reporter;
      return made;
    }}
    """
    compile_use(tmp_path, date, files, use)


def test_code_for_several_versions_registers_for_one_type_what_all_of_them_can() -> None:
    dates = ("2022-06-07", NEWEST)
    interface = common_interface([interface_at(date) for date in dates])
    model = model_with(lambda graph, source: graph.softmax(graph.dense(source, units=4)))
    old = code(model, interface_at("2022-05-01"), registrations="typed")
    both = code(model, interface, registrations="typed")
    new = code(model, Interface(), registrations="typed")
    assert both["kws_op_resolver.h"] == new["kws_op_resolver.h"]
    assert b"AddSoftmax()" in old["kws_op_resolver.h"]
    assert (
        b"AddFullyConnected(tflite::Register_FULLY_CONNECTED_INT8())" in (old["kws_op_resolver.h"])
    )


@pytest.mark.parametrize("date", every(4, ERAS))
def test_code_for_a_tflm_of_unknown_version_compiles_with_each(date: str, tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    unknown = replace(RUNTIMES["m4_ref"], tflm=Tflm(Version("")))
    files = render(classifier(custom="MY_OP"), name="kws", firmwares=[Firmware(unknown)])
    assert b" * For m4_ref (TFLM of unknown version)." in files["kws_op_resolver.h"]
    use = USE_CUSTOM.replace("REGISTRATION", registration_at(date))
    compile_use(tmp_path, date, files, use)


# What the files say


def test_carray_writes_for_the_runtime_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "kws.tflite"
    model.write_bytes(model_with(lambda graph, source: graph.softmax(source)).content)
    arguments = ["carray", str(model), "-o", str(tmp_path), "--runtime", "arduino-tflm 2022-06"]
    assert main(arguments) == 0
    capsys.readouterr()
    written = (tmp_path / "kws_interpreter.h").read_text(encoding="utf-8")
    assert " * For arduino-tflm 2022-06 (TFLM 87fb33be)." in written
    assert "tflite::GetMicroErrorReporter()" in written


def test_carray_and_inspect_take_a_board_and_what_is_flashed_onto_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a release would always be measured on its usual core."""
    model = tmp_path / "kws.tflite"
    model.write_bytes(model_with(lambda graph, source: graph.softmax(source)).content)
    both = ["--board", "esp32-s3-devkitc-1", "--runtime", "esp-tflite-micro 1.3.5"]
    assert main(["carray", str(model), "-o", str(tmp_path), *both]) == 0
    settings = (tmp_path / "kws_model_settings.h").read_text(encoding="utf-8")
    assert " * For esp-tflite-micro 1.3.5 (TFLM b8c7ecc1)." in settings
    capsys.readouterr()
    assert main(["inspect", str(model), *both, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert f"_TENSOR_ARENA_SIZE {found['arena']['required']}\n" in settings
    wrong = ["--board", "esp32", "--runtime", "m4_ref"]
    assert main(["carray", str(model), "-o", str(tmp_path), *wrong]) == 2
    assert "runtime 'm4_ref' does not run on esp32" in capsys.readouterr().err


def test_a_run_writes_one_set_of_files_for_boards_with_different_versions(tmp_path: Path) -> None:
    model = model_with(lambda graph, source: graph.softmax(source))
    (tmp_path / "kws.tflite").write_bytes(model.content)
    declaration = tmp_path / "tinybudget.toml"
    declaration.write_text(
        """
        [models.kws]
        source = "kws.tflite"
        boards = ["old", "raspberry-pi-pico"]
        [boards.old]
        extends = "arduino-nano-33-ble"
        runtime = "arduino-tflm 2022-06"
        """,
        encoding="utf-8",
    )
    (old, pico) = pairs("tinybudget.toml", load_declaration(declaration))
    assert isinstance(old, Pair)
    assert isinstance(pico, Pair)
    artifacts = Artifacts()
    written = artifacts.write_c_files(old, tmp_path / "out", Workspace(cached=False))
    again = artifacts.write_c_files(pico, tmp_path / "out", Workspace(cached=False))
    assert written == again
    text = (tmp_path / "out" / "kws_interpreter.h").read_text(encoding="utf-8")
    assert " * For arduino-tflm 2022-06 (TFLM 87fb33be)." in text
    assert f" * For {pico.firmware.name} (TFLM {pico.firmware.runtime.tflm.commit})." in text
    assert "More... more" in text


def test_code_and_constants_name_the_runtimes_that_they_are_for() -> None:
    firmwares = [Firmware(RUNTIMES[name]) for name in ("m7_cmsisnn", "m4_cmsisnn")]
    files = render(classifier(), name="kws", firmwares=firmwares)
    commit = RUNTIMES["m4_ref"].tflm_commit
    said = f" * For m4_cmsisnn (TFLM {commit}).\n * For m7_cmsisnn (TFLM {commit}). */\n"
    for name in ("kws_op_resolver.h", "kws_interpreter.h", "kws_model_settings.h"):
        assert said in files[name].decode(), name


def test_an_operator_that_the_version_lacks_is_an_error_that_says_since_when_there_is_one() -> None:
    old = Version("c12bd762", unregistered=frozenset({"SOFTMAX"}))
    runtime = replace(RUNTIMES["m4_cmsisnn"], tflm=Tflm(old), label="old")
    with pytest.raises(
        TinybudgetError, match=r"^kws: the resolver of old \(TFLM c12bd762\) has no SOFTMAX$"
    ):
        render(classifier(), name="kws", firmwares=[Firmware(runtime)])


def test_a_custom_operator_that_the_version_lacks_is_handed_in_by_the_firmware() -> None:
    old = Version("c12bd762", unregistered=frozenset({"SignalRfft"}))
    runtime = replace(RUNTIMES["m4_cmsisnn"], tflm=Tflm(old))
    files = render(classifier(custom="SignalRfft"), name="kws", firmwares=[Firmware(runtime)])
    assert b'AddCustom("SignalRfft", custom_1)' in files["kws_op_resolver.h"]


def test_flash_counts_no_registration_for_one_type_that_the_version_lacks() -> None:
    """The link and the generated code agree, also where the table is another version's."""
    runtime = RUNTIMES["m4_cmsisnn"]
    assert set(typed_for(classifier(), runtime)) == {"CONV_2D", "FULLY_CONNECTED", "SOFTMAX"}
    old = replace(runtime, tflm=Tflm(Version("old", date="2022-04-01")))
    assert set(typed_for(classifier(), old)) == {"CONV_2D", "FULLY_CONNECTED"}
    files = render(classifier(), name="kws", firmwares=[Firmware(old, "typed")])
    assert b"AddSoftmax()" in files["kws_op_resolver.h"]


def test_flash_of_each_board_is_that_of_the_code_that_all_boards_share(tmp_path: Path) -> None:
    """The old library has no typed softmax, so that the code for both registers the generic one."""
    (tmp_path / "kws.tflite").write_bytes(classifier().content)
    text = """
        [models.kws]
        source = "kws.tflite"
        registrations = "typed"
        boards = ["raspberry-pi-pico", "old"]
        [boards.old]
        extends = "arduino-nano-33-ble"
        runtime = "early"
        [runtime.early]
        extends = "m4_cmsisnn"
        tflm = "05b427e1"
        """
    (tmp_path / "tinybudget.toml").write_text(text, encoding="utf-8")
    both, _ = pairs("tinybudget.toml", load_declaration(tmp_path / "tinybudget.toml"))
    assert isinstance(both, Pair)
    alone = replace(both, model=replace(both.model, boards=(both.board,)))
    typed = [set(typed_for(classifier(), each.firmware)) for each in (alone, both)]
    assert typed == [{"CONV_2D", "FULLY_CONNECTED", "SOFTMAX"}, {"FULLY_CONNECTED"}]
    flash = [link(classifier(), each.firmware).flash for each in (alone, both)]
    assert flash[0] < flash[1]
    files = Artifacts().write_c_files(both, tmp_path / "out", Workspace(cached=False))
    (resolver,) = [path for path in files if path.name.endswith("op_resolver.h")]
    called = re.findall(r"resolver\.(\w+\(.*\)) !=", resolver.read_text(encoding="utf-8"))
    assert called == [
        "AddConv2D()",
        "AddFullyConnected(tflite::Register_FULLY_CONNECTED_INT8())",
        "AddSoftmax()",
    ]


def test_code_for_one_of_several_releases_compiles_with_each(tmp_path: Path) -> None:
    """As ``runtime = "project"`` gives it, where a manifest allows a range."""
    compiler_or_skip(ARM)
    names = ("arduino-tflm 2022-06", "arduino-tflm 2023-12")
    one_of = tuple(find_distribution(name).usual for name in names)
    runtime = replace(one_of[1], label="project", one_of=one_of)
    files = render(classifier(), name="kws", firmwares=[Firmware(runtime)])
    resolver = files["kws_op_resolver.h"]
    assert resolver.startswith(
        b"/* kws: the operators that the model uses. Written by pytest-tinybudget, do not edit.\n"
        b" * For arduino-tflm 2022-06 (TFLM 87fb33be).\n"
        b" * For arduino-tflm 2023-12 (TFLM c12bd762)."
    )
    for name in names:
        distribution = find_distribution(name)
        folder = tmp_path / name.replace(" ", "_")
        folder.mkdir()
        (folder / "TensorFlowLite.h").touch()
        more = ", tflite::GetMicroErrorReporter()" if name.endswith("06") else ""
        header = "micro/micro_error_reporter.h" if more else "micro/micro_interpreter.h"
        use = f'#include "tensorflow/lite/{header}"\n' + USE.replace(
            "sizeof(arena))", f"sizeof(arena){more})"
        )
        compile_use(folder, distribution.tflm_date, files, use)


def test_code_for_a_commit_that_is_not_known_compiles_with_each_version() -> None:
    runtime = replace(RUNTIMES["m4_ref"], tflm=Tflm(Version("0123456789")))
    files = render(classifier(), name="kws", firmwares=[Firmware(runtime)])
    assert b"More... more" in files["kws_interpreter.h"]


def test_a_board_that_refuses_the_model_does_not_keep_the_others_from_their_files(
    tmp_path: Path,
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("LOG_SOFTMAX", graph.input((1, 8), "FLOAT32")))
    model = read_model(maker.build(), "model")
    (tmp_path / "kws.tflite").write_bytes(model.content)
    (tmp_path / "tinybudget.toml").write_text(
        """
        [models.kws]
        source = "kws.tflite"
        boards = ["old", "raspberry-pi-pico"]
        [boards.old]
        extends = "arduino-nano-33-ble"
        runtime = "arduino-tflm 2022-06"
        """,
        encoding="utf-8",
    )
    old, pico = pairs("tinybudget.toml", load_declaration(tmp_path / "tinybudget.toml"))
    gate = Gate(Workspace(cached=False))
    results = [gate.check(each, artifacts=tmp_path / "out") for each in (old, pico)]
    assert [result.outcome for result in results] == ["refused", "warns"]  # it is a float model
    resolver = (tmp_path / "out" / "kws_op_resolver.h").read_text(encoding="utf-8")
    assert "AddLogSoftmax()" in resolver
    assert "arduino" not in resolver


# The data


def test_every_registration_for_one_type_has_a_date_or_was_always_there() -> None:
    first = interface_at("2021-04-09T18:17")
    table = {(entry.operator, kind) for entry in registrations().values() for kind in entry.types}
    assert table - first.not_typed == {("FULLY_CONNECTED", "INT8")}
    assert first.not_typed <= table | {("UNIDIRECTIONAL_SEQUENCE_LSTM", "INT8")}
    assert interface_at(NEWEST) == Interface()
