"""The virtual link against real links: bytes of flash, whose they are, what a change would save."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.link import flash_of
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.link import model_parts
from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.footprint.link import what_if
from pytest_tinybudget.footprint.section_graph import decode
from pytest_tinybudget.footprint.section_graph import encode
from pytest_tinybudget.footprint.section_graph import load_graph
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.firmware import Registrations
from pytest_tinybudget.runtimes.runtime import RUNTIMES


_SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
_TRUTH = _SHARED / "tflm" / "truth"
_GRAPHS = files("pytest_tinybudget.runtimes") / "data" / "graphs"
_VARIANTS = sorted(name for name in RUNTIMES if RUNTIMES[name].table == name)

needs_truth = pytest.mark.skipif(not _TRUTH.is_dir(), reason="no measured links beside the clone")


def _model(*operators: str, custom: tuple[str, ...] = (), kind: str = "INT8") -> Model:
    """A model that runs the operators one after the other, all tensors of one type."""
    tensors = tuple(
        Tensor(index, f"t{index}", kind, (4,), None, index, memoryview(b""), False, Quantization())
        for index in range(2)
    )
    nodes = tuple(
        Operator(index, name, 0, name in custom, 1, (0, 0, 0), (1,))
        for index, name in enumerate((*operators, *custom))
    )
    return Model("made", b"x" * 100, 3, "", (Subgraph(0, "", tensors, nodes, (0,), (1,)),))


def _rows(name: str) -> Iterator[dict]:
    with (_TRUTH / name).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _custom(variant: str, operators: list[str]) -> dict[str, bool]:
    known = load_graph(variant).operators
    return {name: known[name].custom for name in operators}


def _errors_percent(variant: str) -> list[float]:
    """Error of the prediction for each operator set that was linked for real."""
    linked = {tuple(row["ops"]): row for row in _rows(f"flash_{variant}.jsonl")}
    errors = []
    for operators, row in linked.items():
        predicted = flash_of(RUNTIMES[variant], _custom(variant, list(operators)))
        real = row["tflm_flash_bytes"]
        errors.append(100 * (predicted - real) / real)
    return errors


@needs_truth
@pytest.mark.parametrize("variant", _VARIANTS)
def test_prediction_is_within_the_promise_for_every_real_link(variant: str) -> None:
    errors = _errors_percent(variant)
    worst, middle = (0.8, 0.3) if variant.startswith("rv32") else (0.3, 0.03)
    assert len(errors) >= 20
    assert max(map(abs, errors)) < worst
    assert median(map(abs, errors)) < middle


@needs_truth
@pytest.mark.parametrize("variant", _VARIANTS)
def test_margin_covers_every_real_link(variant: str) -> None:
    assert -min(_errors_percent(variant)) <= load_graph(variant).margin_percent


@needs_truth
@pytest.mark.parametrize("variant", _VARIANTS)
def test_no_worse_than_the_first_prototype(variant: str) -> None:
    checks = list(_rows(f"graph_check_{variant}.jsonl"))
    ours = [
        abs(flash_of(RUNTIMES[variant], _custom(variant, row["ops"])) - row["real"])
        for row in checks
    ]
    theirs = [abs(row["predicted"] - row["real"]) for row in checks]
    assert max(ours) <= max(theirs)
    assert sum(ours) <= sum(theirs)


@needs_truth
@pytest.mark.parametrize("variant", _VARIANTS)
def test_constants_and_data_agree_by_section(variant: str) -> None:
    graph = load_graph(variant)
    for row in _rows(f"flash_{variant}.jsonl"):
        sizes = sizes_of(graph, _custom(variant, row["ops"]))
        assert abs(sizes["rodata"] - row["net_rodata"]) <= 36
        assert sizes["data"] == row["net_data"]
        assert sizes["exidx"] == row["net_exidx"]


@needs_truth
def test_type_specific_registrations_link_as_measured() -> None:
    for row in _rows("flash_typed_registrations.jsonl"):
        typed = dict(name.split("@") for name in row["ops"] if "@" in name)
        operators = _custom(row["variant"], [name.partition("@")[0] for name in row["ops"]])
        predicted = flash_of(RUNTIMES[row["variant"]], operators, typed)
        assert predicted == pytest.approx(row["typed"], rel=0.001)


@needs_truth
@pytest.mark.parametrize("name", ["mlperf_kws_int8", "mlperf_resnet_int8", "person_detect"])
def test_what_if_typed_agrees_with_the_measured_saving(name: str) -> None:
    measured = {row["model"]: row["saved"] for row in _rows("flash_typed_registrations.jsonl")}
    model = load_model(_SHARED / "models" / f"{name}.tflite")
    savings = {item.change: item.flash_bytes for item in what_if(model, RUNTIMES["m4_cmsisnn"])}
    together = 'each operator for its type only (registrations = "typed")'
    assert savings[together] == pytest.approx(measured[name], abs=100)


@pytest.mark.parametrize("variant", _VARIANTS)
@pytest.mark.parametrize(
    "operators",
    [
        (),
        ("CONV_2D",),
        ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "RESHAPE"),
        ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE", "LOGISTIC"),
    ],
)
@pytest.mark.parametrize("registrations", ["generic", "typed"])
def test_parts_sum_to_the_flash(
    variant: str, operators: tuple[str, ...], registrations: Registrations
) -> None:
    runtime = RUNTIMES[variant]
    linked = link(_model(*operators), Firmware(runtime, registrations))
    assert all(part.bytes > 0 for part in linked.parts)
    if registrations == "generic":
        assert linked.flash == flash_of(runtime, dict.fromkeys(operators, False))
    percent = load_graph(runtime.table).margin_percent
    assert linked.margin_bytes == -(-linked.flash * int(percent * 10) // 1000)


def test_an_operator_pays_for_what_only_it_reaches() -> None:
    names = [part.name for part in link(_model("CONV_2D", "SOFTMAX"), RUNTIMES["m4_ref"]).parts]
    assert "operator CONV_2D" in names
    assert "shared between operators" in names
    assert "libgcc (soft float, division)" in names


def test_without_an_operator_saves_what_linking_again_says() -> None:
    runtime = RUNTIMES["m4_cmsisnn"]
    savings = {item.change: item for item in what_if(_model("CONV_2D", "SOFTMAX"), runtime)}
    whole = flash_of(runtime, {"CONV_2D": False, "SOFTMAX": False})
    assert savings["without SOFTMAX"].flash_bytes == whole - flash_of(runtime, {"CONV_2D": False})
    reference = savings["reference kernels instead of CMSIS-NN"]
    assert reference.note == "slower"
    assert reference.flash_bytes == whole - flash_of(
        RUNTIMES["m4_ref"], {"CONV_2D": False, "SOFTMAX": False}
    )


def test_typed_registration_is_kept_generic_where_types_do_not_match() -> None:
    runtime = RUNTIMES["m4_cmsisnn"]
    floating = _model("ADD", kind="FLOAT32")
    assert link(floating, Firmware(runtime, "typed")) == link(floating, runtime)
    integer = _model("ADD")
    typed = link(integer, Firmware(runtime, "typed"))
    assert typed.flash < link(integer, runtime).flash


def test_unknown_operator_is_named_until_its_cost_is_declared() -> None:
    runtime = RUNTIMES["m4_ref"]
    model = _model("ADD", custom=("MyFilter",))
    (line,) = link(model, runtime).unknown
    assert "MyFilter" in line
    bound = max(part.margin_bytes for part in link(model, runtime).parts)
    lstm = {"UNIDIRECTIONAL_SEQUENCE_LSTM": False}
    assert bound >= flash_of(runtime, lstm) - flash_of(runtime, {}) > 0
    declared = link(model, Firmware(runtime).with_costs({"MyFilter": OperatorCost(flash=3000)}))
    assert declared.unknown == ()
    assert declared.flash == link(model, runtime).flash + 3000
    assert [part.method for part in declared.parts if "MyFilter" in part.name] == ["declared"]


def test_nearest_table_is_estimated_with_its_margin() -> None:
    from msgspec.structs import replace

    runtime = replace(RUNTIMES["m4_ref"], flash_margin_percent=10)
    linked = link(_model("ADD"), runtime)
    assert {part.method for part in linked.parts} == {"estimated"}
    assert linked.margin_bytes == -(-linked.flash // 10)


def test_runtime_without_a_table_says_so() -> None:
    linked = link(_model("ADD"), RUNTIMES["x86_64_ref"])
    assert linked.parts == ()
    assert "x86_64_ref" in linked.unknown[0]
    assert what_if(_model("ADD"), RUNTIMES["x86_64_ref"]) == ()


@pytest.mark.parametrize(
    ("variant", "interpreter"), [("m4_ref", 208), ("rv32imc_ref", 212)], ids=["arm", "rv32"]
)
def test_static_ram_has_interpreter_resolver_and_variables(variant: str, interpreter: int) -> None:
    parts = {part.name: part.bytes for part in link(_model("ADD"), RUNTIMES[variant]).ram_parts}
    assert parts["interpreter"] == interpreter
    assert parts["operator resolver"] == 36 + 12
    with_state = link(_model("VAR_HANDLE"), RUNTIMES[variant]).ram_parts
    assert {part.name: part.bytes for part in with_state}["resource variables"] == 160


def test_model_parts_sum_to_the_file() -> None:
    parts = model_parts(_model("ADD"))
    assert sum(part.bytes for part in parts) == 100
    assert {part.method for part in parts} == {"exact"}


@pytest.mark.parametrize("variant", _VARIANTS)
def test_shipped_tables_are_what_encoding_writes(variant: str) -> None:
    packed = (_GRAPHS / f"{RUNTIMES[variant].table}.json.gz").read_bytes()
    graph = decode(packed, variant)
    again = decode(encode(graph), variant)
    edges = ("targets", "object_targets")
    for name in edges:
        assert list(getattr(again, name)) == list(getattr(graph, name))
    rest = {name: getattr(graph, name) for name in edges}
    assert replace(again, **rest) == graph


def test_table_is_read_from_a_file(tmp_path: Path) -> None:
    table = tmp_path / "mine.json.gz"
    table.write_bytes((_GRAPHS / "m4_ref.json.gz").read_bytes())
    assert load_graph(str(table)).sizes == load_graph("m4_ref").sizes


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00random bytes that are no gzip stream",
        b'{"format": "tinybudget-sections/2"}',
        b'{"format": "tinybudget-sections/1"}',
        b'{"format": "tinybudget-sections/1", "sizes": 3}',
        b"[" * 200_000,
    ],
)
def test_damaged_table_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    table = tmp_path / "mine.json"
    table.write_bytes(content)
    with pytest.raises(TinybudgetError, match="damaged") as raised:
        load_graph(str(table))
    assert "\n" not in str(raised.value)
    assert "mine.json" in str(raised.value)


@pytest.mark.parametrize(
    "name", [each.name for each in _GRAPHS.iterdir() if each.name.endswith(".json.gz")]
)
def test_a_shipped_table_is_sound_as_it_is_read_unchecked(name: str) -> None:
    checked = decode((_GRAPHS / name).read_bytes(), name)
    assert checked.operators
    assert all(roots.nodes for roots in checked.operators.values())


def test_truncated_table_is_damaged() -> None:
    packed = (_GRAPHS / "m4_ref.json.gz").read_bytes()
    for length in range(0, len(packed), 997):
        with pytest.raises(TinybudgetError, match="damaged"):
            decode(packed[:length], "cut")


def test_bomb_is_refused_unread(tmp_path: Path) -> None:
    import zlib

    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join(
        [*(compressor.compress(bytes(1 << 20)) for _ in range(200)), compressor.flush()]
    )
    with pytest.raises(TinybudgetError, match="128 MB"):
        decode(bomb, "bomb")


def test_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(TinybudgetError, match="No such file"):
        load_graph(str(tmp_path / "none.json.gz"))
    with pytest.raises(TinybudgetError, match="no section graph named 'm99'"):
        load_graph("m99")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_table_is_told_or_links(data: st.DataObject) -> None:
    table = json.loads(_small_table())
    path = data.draw(st.sampled_from(sorted(table)))
    hostile = st.one_of(
        st.none(), st.integers(-5, 1 << 70), st.floats(), st.text(max_size=5), st.booleans(),
        st.lists(st.one_of(st.integers(-3, 1 << 40), st.none(), st.text(max_size=2)), max_size=6),
        st.dictionaries(st.text(max_size=8), st.integers(-3, 9), max_size=3),
    )  # fmt: skip
    table[path] = data.draw(hostile)
    try:
        graph = decode(json.dumps(table).encode(), "mutated")
    except TinybudgetError as error:
        told = error
    else:
        sizes = sizes_of(graph, dict.fromkeys(graph.operators, False))
        assert all(isinstance(size, int) for size in sizes.values())
        return
    assert "\n" not in str(told)


def _small_table() -> bytes:
    """A table of four sections with a cycle of references."""
    return json.dumps(
        {
            "format": "tinybudget-sections/1",
            "description": {},
            "margin_percent": 0.3,
            "main": {"base": 10.0},
            "applications": {
                "printf": {"baseline": [3], "main": {"by_count": {"1": 8, "3": 24}}},
            },
            "roots": {
                "core": [0], "builtin": [], "custom": [], "variables": [], "baseline": [],
                "firmware": [], "kept": [3],
            },
            "supersede": [[1, 2]],
            "operators": {"ADD": {"nodes": [1], "custom": False, "typed": {"INT8": [2]}}},
            "sizes": [4, 6, 8, 2],
            "kinds": [0, 0, 1, 3],
            "alignments": [4, 2, 4, 4],
            "edge_counts": [1, 1, 1, 0],
            "edges": [1, 2, 0],
            "objects": [0, 0, 1, 1],
            "object_names": ["a.o", "b.o"],
            "object_origins": ["tflm", "libc"],
            "object_edge_counts": [1, 1],
            "object_edges": [1, 0],
        }
    ).encode()  # fmt: skip


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e300", '"x"', "[]"])
@pytest.mark.parametrize("key", ['"margin_percent": 0.3', '"base": 10.0'])
def test_numbers_out_of_range_are_damage(key: str, number: str) -> None:
    name, _, _ = key.partition(":")
    table = _small_table().decode().replace(key, f"{name}: {number}")
    with pytest.raises(TinybudgetError, match="damaged"):
        decode(table.encode(), "wild")


def test_cyclic_references_end() -> None:
    sizes = sizes_of(decode(_small_table(), "small"), {"ADD": False})
    assert sizes["rodata"] == 8
    assert sizes["init_array"] == 2


def test_edges_may_be_written_by_their_distances() -> None:
    table = json.loads(_small_table())
    table["edge_steps"] = [1, 1, -2]
    del table["edges"]
    plain, stepped = decode(_small_table(), "small"), decode(json.dumps(table).encode(), "small")
    assert list(map(list, stepped.targets)) == list(map(list, plain.targets)) == [[1], [2], [0], []]


@pytest.mark.parametrize("steps", [[1, 1], [1, 1, -3], [1, 1, 9], [1, 1, 0.5], "112", None])
def test_distances_that_lead_nowhere_are_damage(steps: object) -> None:
    table = json.loads(_small_table())
    table["edge_steps"] = steps
    del table["edges"]
    with pytest.raises(TinybudgetError, match="damaged"):
        decode(json.dumps(table).encode(), "wild")


def test_what_an_application_has_anyway_costs_nothing() -> None:
    graph = decode(_small_table(), "small")
    assert sizes_of(graph, {"ADD": False})["init_array"] == 2
    assert sizes_of(graph.within("printf"), {"ADD": False})["init_array"] == 0


@pytest.mark.parametrize(("count", "size"), [(1, 8), (2, 16), (3, 24), (4, 32), (6, 48)])
def test_a_main_by_count_is_on_the_line_between_what_was_measured(count: int, size: int) -> None:
    operators = {f"OP_{index}": False for index in range(count)}
    graph = decode(_small_table(), "small").within("printf")
    assert sizes_of(graph, operators)["text"] - sizes_of(graph, {})["text"] == size - 8


@pytest.mark.parametrize("counted", [{"0": 1}, {"x": 1}, {"1": "x"}, {"1": 1e300}, {"99999": 1}, 3])
def test_sizes_by_count_that_are_none_are_damage(counted: object) -> None:
    table = json.loads(_small_table())
    table["main"] = {"by_count": counted}
    with pytest.raises(TinybudgetError, match="damaged"):
        decode(json.dumps(table).encode(), "wild")
