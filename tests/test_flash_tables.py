"""Which section graph stands for a runtime, and its margin where none is of the same build."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import section_graphs
from msgspec.structs import replace
from test_link import _model
from truth import link_records
from truth import packed_links

from pytest_tinybudget.footprint.link import RESOURCE_VARIABLES
from pytest_tinybudget.footprint.link import flash_of
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.link import other_flags
from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.footprint.link import unmeasured_main_of
from pytest_tinybudget.footprint.link import what_if
from pytest_tinybudget.footprint.section_graph import load_graph
from pytest_tinybudget.footprint.stack import stack_part
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.runtimes import tables as runtimes_tables
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.distributions import find_distribution
from pytest_tinybudget.runtimes.fingerprint import fingerprint
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tables import _choice
from pytest_tinybudget.runtimes.tables import _content
from pytest_tinybudget.runtimes.tables import _of_runtime
from pytest_tinybudget.runtimes.tables import choose_table
from pytest_tinybudget.runtimes.tables import section_graph_path
from pytest_tinybudget.runtimes.tables import tables
from pytest_tinybudget.runtimes.versions import find_version


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no measured links beside the clone")

GRAPHS = files("pytest_tinybudget.runtimes") / "data" / "graphs"
M4 = RUNTIMES["m4_cmsisnn"]


def built(runtime: Runtime, *, log_strings: bool | None = None, **changes: Any) -> Runtime:
    """``runtime`` with other flags."""
    if log_strings is not None:
        changes["tflm"] = replace(runtime.tflm, log_strings=log_strings)
    return replace(runtime, **changes)


def of_distribution(table: str) -> Runtime:
    """A runtime of the very build that the table called ``table`` is of."""
    row = tables()[table]
    near = next(
        each
        for each in RUNTIMES.values()
        if each.cores[0].name == row.core and each.kernels.library == row.kernels
    )
    return built(
        near,
        distribution=row.built_from,
        optimize=row.optimize,
        app_libc=row.app_libc,
        log_strings=row.log_strings,
    )


OF_DISTRIBUTIONS = sorted(name for name in tables() if name not in RUNTIMES)


def test_every_shipped_section_graph_has_a_row_and_every_row_a_graph() -> None:
    shipped = {path.name for path in GRAPHS.iterdir() if path.name.endswith(".json.gz")}
    assert shipped == {section_graph_path(name).name for name in tables()}


@pytest.mark.parametrize("name", OF_DISTRIBUTIONS)
def test_a_distributions_build_has_its_own_table(name: str) -> None:
    choice = choose_table(of_distribution(name))
    assert (choice.name, choice.differences) == (name, ())


@pytest.mark.parametrize("name", OF_DISTRIBUTIONS)
def test_what_real_firmware_has_otherwise_widens_the_margin_and_says_why(name: str) -> None:
    parts = link(_model("CONV_2D"), of_distribution(name)).parts
    margins = {part.name: part for part in parts if part.name.startswith("margin: ")}
    assert "margin: another compiler" in margins
    assert ("margin: paths in log strings" in margins) == tables()[name].log_strings
    assert all(margin.margin_bytes and margin.note for margin in margins.values())
    assert {part.method for part in parts} == {"estimated"}


def test_an_application_with_printf_pays_less_than_an_empty_program() -> None:
    operators = {"CONV_2D": False, "SOFTMAX": False}
    bare, app = of_distribution("zephyr_m4f_bare"), of_distribution("zephyr_m4f_app")
    assert 6_900 < flash_of(bare, operators) - flash_of(app, operators) < 8_300


#: Boards whose distribution has no table of their core: the table that stands, and the least that
#: its margin for the core must be, bytes and percent, by what was measured of both cores.
OTHER_CORES = {
    "Arduino on the Portenta": ("arduino_m4f_app", "m7_cmsisnn", 1_280, 0.0),
    "Zephyr on M0+": ("zephyr_m4f_app", "m0plus_cmsisnn", 4_798, 14.7),
    "Zephyr on M55": ("zephyr_m4f_app", "m55_cmsisnn", 408, 0.0),
    "Zephyr on RISC-V": ("zephyr_m4f_app", "rv32imc_ref", 11_182, 19.0),
    "pico-sdk on RP2350": ("pico_m0plus_sdk", "m33_cmsisnn", 15_284, 0.0),
    "pico-sdk on RP2350, -Os": ("pico_m0plus_os_sdk", "m33_cmsisnn", 3_552, 0),
}  # fmt: skip


@pytest.mark.parametrize("board", OTHER_CORES)
def test_a_core_without_a_table_takes_the_nearest_with_an_upward_margin(board: str) -> None:
    like, on, least_bytes, least_percent = OTHER_CORES[board]
    build = of_distribution(like)
    core = RUNTIMES[on]
    runtime = replace(build, cores=core.cores, kernels=core.kernels, table=core.table)
    assert choose_table(runtime).name == like
    model = _model("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX")
    linked = link(model, runtime)
    (margin,) = (part for part in linked.parts if part.name == "margin: another core")
    assert linked.flash == link(model, build).flash
    assert margin.margin_bytes >= least_bytes + linked.flash * least_percent / 100
    assert "operator sets" in margin.note
    assert {part.method for part in linked.parts} == {"estimated"}


def test_the_size_of_main_is_by_count_where_the_compiler_inlines_the_registrations() -> None:
    main = load_graph("pico_m0plus_sdk").main
    measured = dict(main.by_count)
    assert measured[14] > measured[22] > measured[1]
    graph = of_distribution("pico_m0plus_sdk")
    names = [name for name, each in load_graph("pico_m0plus_sdk").operators.items()]
    sizes = {count: link(_model(*names[:count]), graph) for count in (14, 17, 22, 30)}
    margins = {
        count: [part for part in linked.parts if part.name == "margin: resolver and main"]
        for count, linked in sizes.items()
    }
    assert [count for count, found in margins.items() if found] == [17, 30]
    for count in (17, 30):
        (margin,) = margins[count]
        assert margin.method == "estimated"
        assert f"not known for {count} operators" in margin.note
        assert margin.margin_bytes > 2_000


@pytest.mark.parametrize("name", tables())
def test_a_row_says_what_its_graph_is(name: str) -> None:
    table = tables()[name]
    assert table.margin_percent == load_graph(name).margin_percent
    assert table.core in CORES
    assert table.kernels in LIBRARIES
    assert table.links >= 20
    assert all(aside.percent >= 0 and aside.bytes >= 0 for aside in table.asides)


@pytest.mark.parametrize("name", [name for name in RUNTIMES if RUNTIMES[name].table == name])
def test_a_runtime_with_a_table_of_its_own_has_no_other(name: str) -> None:
    choice = choose_table(RUNTIMES[name])
    assert (choice.name, choice.differences) == (name, ())
    parts = link(_model("CONV_2D"), RUNTIMES[name]).parts
    assert {part.method for part in parts} == {"table"}


LINKS = {group.variant: list(group.records) for group in packed_links()}


def errors_percent(table: str, links: Sequence[Mapping[str, Any]]) -> list[float]:
    """How far what ``table`` counts is off from each of ``links``, in percent of the link."""
    graph, errors = load_graph(table), []
    for link_ in links:
        sizes = sizes_of(graph, {name: graph.operators[name].custom for name in link_["ops"]})
        flash = sum(size for kind, size in sizes.items() if kind != "bss")
        errors.append(100 * (flash / link_["bytes"] - 1))
    return errors


#: The worst errors in percent over all links of a build, a third of which is not here.
WORST_OF_ALL = {
    "arduino_m4f_app": 0.55, "arduino_m4f_bare": 0.40, "arduino_m4f_strip_app": 0.52,
    "arduino_m4f_strip_bare": 0.29, "pico_m0plus_bare": 0.61, "pico_m0plus_sdk": 0.62,
    "zephyr_m33_app": 0.39, "zephyr_m4f_app": 0.74, "zephyr_m4f_bare": 0.53,
}  # fmt: skip


def is_counted(table: str, operators: Sequence[str]) -> bool:
    """Whether real links showed the size of ``main`` for so many operators."""
    return unmeasured_main_of(load_graph(table), dict.fromkeys(operators, False)) == 0


@pytest.mark.parametrize("name", LINKS)
def test_a_table_is_held_to_real_links_and_its_margin_covers_them(name: str) -> None:
    errors = errors_percent(name, [each for each in LINKS[name] if is_counted(name, each["ops"])])
    assert len(errors) == tables()[name].links
    assert median(map(abs, errors)) <= 0.1
    assert max(map(abs, errors)) <= tables()[name].margin_percent < 1
    # A margin is no wider than the links ask for.
    worst = WORST_OF_ALL.get(name, max(map(abs, errors)))
    assert tables()[name].margin_percent < worst + 0.1


@pytest.mark.parametrize("name", LINKS)
def test_initialized_data_is_that_of_the_real_links(name: str) -> None:
    graph = load_graph(name)
    # The ESP32-S3's empty program has four bytes of padding that its links do not have.
    padding = 4 if name == "esp32s3_espnn" else 0
    for each in LINKS[name]:
        sizes = sizes_of(graph, {name: graph.operators[name].custom for name in each["ops"]})
        assert sizes["data"] == each["data"] + padding, each["ops"]


@pytest.mark.parametrize("name", [name for name in LINKS if load_graph(name).main.by_count])
def test_where_main_was_not_measured_its_bound_covers_the_real_link(name: str) -> None:
    links = [each for each in LINKS[name] if not is_counted(name, each["ops"])]
    assert [len(each["ops"]) for each in links] == [112]
    for each in links:
        linked = link(_model(*each["ops"]), of_distribution(name))
        (bound,) = (part for part in linked.parts if part.name == "margin: resolver and main")
        assert linked.flash < 1.02 * each["bytes"]
        assert linked.flash + bound.margin_bytes > each["bytes"]


@pytest.mark.parametrize("without", ["its table", "its distribution"])
@pytest.mark.parametrize("name", LINKS)
def test_what_the_nearest_other_table_counts_at_most_is_never_below_the_real_link(
    name: str, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Margins of differences are held to builds that have tables, each as if it had none."""
    row = tables()[name]
    others = tuple(
        table
        for table in tables().values()
        if table.name != name and (without == "its table" or table.distribution != row.distribution)
    )
    if not any(CORES[table.core].family == CORES[row.core].family for table in others):
        pytest.skip("no other table is of its family of cores")
    runtime = of_distribution(name)
    monkeypatch.setattr(runtimes_tables, "_content", lambda: replace(_content(), tables=others))
    choose_table.cache_clear()
    try:
        assert choose_table(runtime).differences
        operators = load_graph(name).operators
        for each in LINKS[name]:
            custom = tuple(one for one in each["ops"] if operators[one].custom)
            builtin = (one for one in each["ops"] if one not in custom)
            linked = link(_model(*builtin, custom=custom), runtime)
            assert linked.flash + linked.margin_bytes >= each["bytes"], each["ops"]
    finally:
        choose_table.cache_clear()


@needs_shared
@pytest.mark.parametrize("name", LINKS)
def test_the_links_in_the_repository_are_those_that_were_measured(name: str) -> None:
    files = {"esp32_espnn_strip": "espnn/flash_esp32_espnn_strip_ndebug.jsonl"}
    if name.startswith(("arduino", "pico", "zephyr")):
        files[name] = f"distributions/flash_{name}.jsonl"
    path = SHARED / "tflm" / files.get(name, f"truth/flash_{name}.jsonl")
    if not path.is_file():
        pytest.skip(f"{path.name} is not at hand")

    def in_order(links: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return sorted(links, key=lambda each: (each["ops"], each["bytes"]))

    assert in_order(LINKS[name]) == in_order(link_records(path))


ESP32, S3 = RUNTIMES["esp32_espnn"], RUNTIMES["esp32s3_espnn"]


def test_an_esp32_counts_with_the_table_of_its_component_as_it_builds_itself() -> None:
    assert (ESP32.optimize, ESP32.app_libc, ESP32.tflm.log_strings) == ("3", "esp-idf", True)
    for runtime, name in ((ESP32, "esp32_espnn"), (S3, "esp32s3_espnn")):
        choice = choose_table(runtime)
        assert (choice.name, choice.differences) == (name, ())


def test_another_tflm_than_the_component_s_is_another_release() -> None:
    older = built(ESP32, log_strings=True)
    older = replace(older, tflm=replace(older.tflm, version=find_version("tflm", "10ebaab9")))
    for runtime in (older, built(ESP32, distribution="esp-tflite-micro 1.3.3.1")):
        choice = choose_table(runtime)
        assert choice.name == "esp32_espnn"
        assert [each.of for each in choice.differences] == ["release"]
    named = built(ESP32, distribution="esp-tflite-micro 1.4.0")
    assert choose_table(named) == choose_table(ESP32)


def test_log_strings_choose_the_table() -> None:
    model = _model("CONV_2D", "FULLY_CONNECTED", "SOFTMAX")
    stripped = built(ESP32, log_strings=False)
    assert choose_table(stripped).name == "esp32_espnn_strip"
    assert choose_table(stripped).differences == ()
    assert 0.5 < link(model, stripped).flash / link(model, ESP32).flash < 0.77
    # No link of a stripped ESP32-S3 was measured: it is the ESP32's, and what its kernels add.
    on_the_s3 = link(model, built(S3, log_strings=False))
    assert choose_table(built(S3, log_strings=False)).name == "esp32_espnn_strip"
    assert on_the_s3.flash == link(model, stripped).flash
    assert on_the_s3.margin_bytes > 20_424


def test_a_compiler_that_the_table_is_not_of_is_a_margin_with_its_reason() -> None:
    linked = link(_model("CONV_2D"), ESP32)
    margins = {part.name: part for part in linked.parts if part.name.startswith("margin: ")}
    assert sorted(margins) == ["margin: another compiler", "margin: paths in log strings"]
    margin = margins["margin: another compiler"]
    assert "GCC 16.1" in margin.note
    assert 0.071 * linked.flash < margin.margin_bytes < 0.074 * linked.flash


@pytest.mark.parametrize("core", ["RV32IMC", "RV32IMAC", "Xtensa LX7"])
def test_a_chip_of_another_core_counts_more_than_the_esp32_and_says_why(core: str) -> None:
    model = _model("CONV_2D", "SOFTMAX")
    runtime = ESP32.for_core(core)
    assert runtime.core.name == core
    linked = link(model, runtime)
    assert linked.flash == link(model, ESP32).flash
    margin = next(part for part in linked.parts if part.name == "margin: another core")
    assert margin.note
    assert margin.margin_bytes > 0.09 * linked.flash + (2_000 if core.startswith("RV") else 0)
    assert {part.method for part in linked.parts} == {"estimated"}


def test_what_a_risc_v_chip_may_add_covers_the_links_for_rv32imc_and_is_no_wild_guess() -> None:
    path = Path(__file__).parent / "data" / "truth" / "esp_nn_rv32imc_links.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        links = [json.loads(line) for line in lines]
    choice, graph = choose_table(ESP32.for_core("RV32IMC")), load_graph("esp32_espnn")
    (core,) = choice.differences
    off = []
    for each in links:
        sizes = sizes_of(graph, {name: graph.operators[name].custom for name in each["ops"]})
        flash = sum(size for kind, size in sizes.items() if kind != "bss")
        most = flash * (1 + core.percent / 100) + core.bytes
        least = flash * (1 - core.below_percent / 100)
        if not least <= each["bytes"] <= most <= 1.17 * each["bytes"] + core.bytes:
            off.append((each, flash))
    assert len(links) == 114
    assert not off


def test_a_distribution_on_a_risc_v_chip_counts_what_the_chip_may_add() -> None:
    release = find_distribution("esp-tflite-micro 1.4.0")
    for core, differences in (("Xtensa LX6", []), ("RV32IMC", ["core"]), ("RV32IMAC", ["core"])):
        runtime = release.on(core)
        assert runtime is not None
        choice = choose_table(runtime)
        assert choice.name == "esp32_espnn"
        assert [each.of for each in choice.differences] == differences


def test_the_esp32_p4_s_vector_kernels_come_on_top() -> None:
    model = _model("CONV_2D", "SOFTMAX")
    p4, c6 = RUNTIMES["esp32p4_espnn"], ESP32.for_core("RV32IMAC")
    assert link(model, p4).margin_bytes - link(model, c6).margin_bytes >= 25_000


def test_a_runtime_for_several_cores_is_looked_at_on_the_nearest() -> None:
    assert ESP32.for_core("Xtensa LX6") == ESP32
    assert ESP32.for_core("RV32IMAFC with vectors").core.name == "RV32IMAC"
    assert ESP32.for_core("Cortex-M4F") == ESP32
    assert M4.for_core("Cortex-M7F") == M4
    # Memory is laid out alike on all of them.
    assert ESP32.for_core("RV32IMC").abi == ESP32.abi


def test_the_esp32_s_stack_is_still_that_of_another_core() -> None:
    model = _model("CONV_2D")
    for runtime in (ESP32, ESP32.for_core("RV32IMC"), S3, RUNTIMES["esp32p4_espnn"]):
        assert stack_part(model, runtime).method == "estimated"


def test_other_flags_are_changes_that_would_save_flash() -> None:
    model = _model("CONV_2D", "FULLY_CONNECTED", "SOFTMAX")
    pico = of_distribution("pico_m0plus_sdk")
    savings = {item.change: item for item in what_if(model, pico)}
    now = link(model, pico).flash
    silent = savings["no log strings (TF_LITE_STRIP_ERROR_STRINGS)"]
    assert silent.flash_bytes == now - link(model, of_distribution("pico_m0plus_strip_sdk")).flash
    small = savings["optimized for size (-Os)"]
    assert (small.flash_bytes, small.note) == (
        now - link(model, of_distribution("pico_m0plus_os_sdk")).flash, "slower",
    )  # fmt: skip
    typed = {item.change for item in what_if(model, Firmware(pico, "typed"))}
    assert "no log strings (TF_LITE_STRIP_ERROR_STRINGS)" in typed


@pytest.mark.parametrize("table", ["pico_m0plus_sdk", "arduino_m4f_app", "zephyr_m4f_app"])
def test_what_a_change_saves_is_what_a_limit_counts(table: str) -> None:
    """The table of savings and the advice on a failure then say the same of one change."""
    model, runtime = _model("CONV_2D", "FULLY_CONNECTED", "SOFTMAX"), of_distribution(table)

    def counted(firmware: Firmware | Runtime) -> int:
        linked = link(model, firmware)
        return linked.flash + linked.margin_bytes

    savings = {item.change: item.counted_bytes for item in what_if(model, runtime)}
    changed = {
        f"{each.change} ({each.how})": each.applied(runtime) for each in other_flags(runtime)
    }
    firmwares: dict[str, Firmware | Runtime] = {
        **changed,
        'each operator for its type only (registrations = "typed")': Firmware(runtime, "typed"),
    }
    assert savings.keys() >= firmwares.keys()
    for change, firmware in firmwares.items():
        assert savings[change] == counted(runtime) - counted(firmware)


@pytest.mark.parametrize("name", ["m4_cmsisnn", "zephyr_m4f_strip_app"])
def test_flags_that_are_off_already_are_no_change(name: str) -> None:
    runtime = RUNTIMES.get(name) or of_distribution(name)
    changes = [item.change for item in what_if(_model("CONV_2D"), runtime)]
    assert not [change for change in changes if "log strings" in change or "(-Os)" in change]


def test_a_build_without_a_table_is_no_change() -> None:
    """Zephyr on Cortex-M33F without log strings was not linked: nobody knows what it would save."""
    changes = [
        item.change for item in what_if(_model("CONV_2D"), of_distribution("zephyr_m33_app"))
    ]
    assert not [change for change in changes if "log strings" in change]


#: Flash of real links of the operators of five public models: Arduino, Zephyr, pico-sdk.
PUBLIC_MODELS = {
    "hello_world_int8": (29_960, 43_040, 62_606),
    "mlperf_kws_int8": (61_124, 99_852, 118_846),
    "person_detect": (56_184, 83_980, 106_318),
    "mlperf_resnet_int8": (57_888, 91_960, 115_222),
    "mww_okay_nabu": (70_216, 109_240, 144_582),
}


@needs_shared
@pytest.mark.parametrize("model", PUBLIC_MODELS)
def test_the_flash_of_public_models_is_that_of_their_real_links(model: str) -> None:
    content = load_model(SHARED / "models" / f"{model}.tflite")
    for name, real in zip(
        ("arduino_m4f_app", "zephyr_m4f_app", "pico_m0plus_sdk"), PUBLIC_MODELS[model], strict=True
    ):
        assert link(content, of_distribution(name)).flash == pytest.approx(real, rel=0.0025)


@needs_shared
def test_packing_the_graphs_of_distributions_again_gives_those_that_are_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = SHARED / "tflm" / "distributions"
    assert section_graphs.main(["--graphs", str(measured), "--output", str(tmp_path)]) == 0
    printed = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:-1]}
    assert printed == {name for name in OF_DISTRIBUTIONS if "espnn" not in name}
    packed = {path.name: gzip.decompress(path.read_bytes()) for path in tmp_path.iterdir()}
    assert len(packed) == len(section_graphs.GRAPHS)
    for name, content in packed.items():
        # What compression makes of it depends on the zlib that Python has.
        assert content == gzip.decompress(GRAPHS.joinpath(name).read_bytes()), name


@needs_shared
@pytest.mark.parametrize("name", [name for name in OF_DISTRIBUTIONS if "espnn" not in name])
def test_static_ram_is_that_of_the_real_links(name: str) -> None:
    """Interpreter, resolver and static objects; the links have 20 to 64 bytes of their own main."""
    row = tables()[name]
    runtime = find_distribution(row.built_from).on(row.core)
    assert runtime is not None
    operators = load_graph(name).operators
    path = SHARED / "tflm" / "distributions" / f"flash_{name}.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        real = json.loads(line)
        custom = tuple(each for each in real["ops"] if operators[each].custom)
        model = _model(*(each for each in real["ops"] if each not in custom), custom=custom)
        of_its_build = replace(
            built(runtime, log_strings=row.log_strings),
            optimize=row.optimize,
            app_libc=row.app_libc,
        )
        parts = link(model, of_its_build).ram_parts
        static = sum(part.bytes for part in parts if part.name != RESOURCE_VARIABLES)
        assert 20 <= real["net_bss"] + real["net_data"] - static <= 64


def test_a_runtime_without_tables_has_none() -> None:
    assert choose_table(RUNTIMES["x86_64_ref"]).name == ""


def test_log_strings_that_no_table_of_the_core_has_add_their_measured_worst() -> None:
    model = _model("CONV_2D", "SOFTMAX")
    m7 = RUNTIMES["m7_ref"]
    plain, logging = link(model, m7), link(model, built(m7, log_strings=True))
    assert plain.flash == logging.flash
    (margin,) = (part for part in logging.parts if part.name.startswith("margin: "))
    assert margin.name == "margin: log strings"
    assert margin.method == "estimated"
    assert "operator sets" in margin.note
    assert margin.margin_bytes > 0.27 * plain.flash
    assert logging.margin_bytes == plain.margin_bytes + margin.margin_bytes


def test_no_part_is_a_plain_figure_where_the_table_is_of_another_build() -> None:
    parts = link(_model("ADD"), built(M4, optimize="3")).parts
    assert {part.method for part in parts} == {"estimated"}


def test_margins_of_several_differences_come_one_on_top_of_the_other() -> None:
    model = _model("CONV_2D")
    m7 = RUNTIMES["m7_ref"]

    def margin(**changes: Any) -> int:
        return link(model, built(m7, **changes)).margin_bytes

    alone = margin(optimize="3") + margin(log_strings=True) - margin()
    assert margin(optimize="3", log_strings=True) > alone


def test_less_than_a_table_counts_takes_no_margin_but_is_an_estimate() -> None:
    model = _model("ADD")
    parts = link(model, built(RUNTIMES["m7_ref"], app_libc="printf")).parts
    (margin,) = (part for part in parts if part.name == "margin: libc")
    assert (margin.margin_bytes, margin.note) == (
        0, "the table counts what of libc the application has anyway",
    )  # fmt: skip
    assert {part.method for part in parts} == {"estimated"}


def test_a_boards_own_margin_is_kept_besides() -> None:
    model = _model("CONV_2D")
    logging = built(RUNTIMES["m7_ref"], log_strings=True)
    on_a_board = link(model, logging.with_margin(45))
    (margin,) = (part for part in on_a_board.parts if part.name == "margin: log strings")
    assert on_a_board.margin_bytes - margin.margin_bytes >= 0.45 * on_a_board.flash
    assert on_a_board.margin_bytes > 0.45 * on_a_board.flash + link(model, logging).margin_bytes


def test_a_table_of_another_build_has_another_fingerprint() -> None:
    prints = {
        fingerprint(M4),
        fingerprint(built(M4, optimize="3")),
        fingerprint(built(M4, log_strings=True)),
        fingerprint(built(M4, app_libc="pico-sdk", log_strings=True)),
    }
    assert len(prints) == 4


def test_a_release_counts_with_a_table_of_its_distribution() -> None:
    """Another release's table is nearer than another distribution's, whose kernels are others."""
    having = {(table.distribution, table.core) for table in tables().values()}
    for each in distributions().values():
        for core in each.cores:
            runtime = each.on(core)
            if runtime is None or (each.name, core) not in having:
                continue
            chosen = choose_table(runtime).table
            assert chosen is not None
            assert chosen.distribution == each.name, f"{each.full_name} on {core}"


@pytest.mark.parametrize("name", ["zephyr_m4f_app", "zephyr_m4f_bare", "zephyr_m4f_strip_app"])
def test_arduinos_older_kernels_would_not_count_too_little_for_zephyr(name: str) -> None:
    runtime = of_distribution(name)
    arduino = name.replace("zephyr", "arduino")
    choice = _choice(tables()[arduino], _of_runtime(runtime))
    assert choice is not None
    for operators in (("CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"), ("FULLY_CONNECTED",), ("ADD",)):
        images = [
            flash_of(of_distribution(table), dict.fromkeys(operators, False))
            for table in (arduino, name)
        ]
        counted = images[0] + sum(margin.bytes for margin in choice.margins(images[0]))
        assert counted >= images[1]
