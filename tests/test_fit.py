"""``fit``: how large a model may be. What it says of a candidate is what the gate says of it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import html5lib
import jsonschema
import pytest

from pytest_tinybudget import TinybudgetError
from pytest_tinybudget import fit
from pytest_tinybudget import measure
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration.single import pair_of
from pytest_tinybudget.fitting import render
from pytest_tinybudget.fitting.page import _mark
from pytest_tinybudget.fitting.page import _scale
from pytest_tinybudget.fitting.result import json_schema
from pytest_tinybudget.fitting.space import _numbered
from pytest_tinybudget.fitting.space import choices
from pytest_tinybudget.fitting.space import chosen_layers
from pytest_tinybudget.fitting.space import count
from pytest_tinybudget.fitting.space import plan_of
from pytest_tinybudget.fitting.space import ranges
from pytest_tinybudget.footprint.measure import measure as footprint_of
from pytest_tinybudget.planning import planned_model


BOARDS = ("arduino-nano-33-ble", "raspberry-pi-pico")
EXAMPLE = Path(__file__).parents[1] / "examples" / "fit" / "plan.toml"
WIDTHS = {"from": 8, "to": 32, "step": 8}


def plan(**changed: Any) -> dict[str, Any]:
    """A small convolutional net with a free width and a free number of units."""
    return {
        "input_shape": [16, 16, 1],
        "layers": [
            {"type": "conv2d", "filters": "width", "padding": "same", "activation": "relu"},
            {"type": "depthwise_conv2d", "padding": "same"},
            {"type": "conv2d", "filters": "width", "kernel": 1},
            {"type": "max_pool2d"},
            {"type": "dense", "units": {"from": 2, "to": 6, "step": 4}},
        ],
        "free": {"width": WIDTHS},
        "boards": list(BOARDS),
        **changed,
    }


DECLARATION = """\
schema = 1
[models.kws]
boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]
budget = {{ ram = "16 KB" }}
input_shape = [16, 16, 1]
layers = [
  {{ type = "conv2d", filters = {width}, padding = "same", activation = "relu" }},
  {{ type = "depthwise_conv2d", padding = "same" }},
  {{ type = "conv2d", filters = {width}, kernel = 1 }},
  {{ type = "max_pool2d" }},
  {{ type = "dense", units = 6 }},
]
"""


@pytest.mark.parametrize("width", [8, 24, 32])
def test_a_candidate_takes_what_the_gate_says_of_its_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tinybudget.toml").write_text(DECLARATION.format(width=width))
    main(["check", "-q", "--json", "results.json"])
    found = fit(plan(budget={"ram": "16 KB"}))
    (candidate,) = (
        each for each in found.candidates if each.chosen == {"width": width, "layers[4].units": 6}
    )
    for pair, on in zip(
        json.loads(Path("results.json").read_text())["pairs"], candidate.boards, strict=True
    ):
        assert on.board == pair["board"]["id"]
        assert on.fits == (pair["outcome"] in ("fits", "warns"))
        assert on.ram == pair["ram"]["used"]
        assert on.flash == pair["flash"]["used"]
        said = f"names in the trained file may take up to {format_size(candidate.names)} more flash"
        assert said in json.dumps(pair)


@pytest.mark.parametrize("numbers", ["int8", "int16", "float"])
def test_candidates_of_other_numbers_take_what_the_gate_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: str
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f'{DECLARATION.format(width=16)}activations = "{numbers}"\n'
    Path("tinybudget.toml").write_text(text)
    main(["check", "-q", "--json", "results.json"])
    pairs = json.loads(Path("results.json").read_text())["pairs"]
    gate = {
        each["board"]["id"]: (each["arena"]["required"], each["flash"]["used"]) for each in pairs
    }
    found = fit(plan(activations=numbers))
    assert found.activations == numbers
    other = fit(plan(), activations=numbers)  # type: ignore[arg-type]
    assert other.candidates == found.candidates
    for candidate in found.candidates:
        if candidate.chosen == {"width": 16, "layers[4].units": 6}:
            assert {on.board: (on.arena, on.flash) for on in candidate.boards} == gate
    told = "all sizes are with activations"
    for report in (render.text(found), render.page(found).lower()):
        assert (told in report) == (numbers != "int8")


def test_tuples_are_a_plan_of_one_candidate() -> None:
    layers = [(1, 8, 3, 3), (8, 16, 3, 3), (4096, 64), (64, 4)]
    footprint = measure(layers, board=BOARDS[1], input_shape=(16, 16, 1))
    assert footprint.arena is not None
    (alone,) = fit(layers, input_shape=(16, 16, 1), boards=BOARDS[1:]).candidates
    (on,) = alone.boards
    assert (on.arena, on.ram) == (footprint.arena.required, footprint.ram)
    (candidate,) = fit(layers, input_shape=(16, 16, 1), boards=BOARDS).candidates
    whole = fit({"input_shape": (16, 16, 1), "layers": layers, "boards": BOARDS})
    assert whole.candidates == (candidate,)
    assert fit([(64, 4)], boards=BOARDS).candidates[0].parameters == 64 * 4 + 4


def test_tables_of_layers_are_measured_as_a_candidate_is() -> None:
    layers = [
        {"type": "conv2d", "filters": 8, "kernel": (3, 1), "name": "a"},
        {"type": "conv2d", "filters": 8, "kernel": 1, "name": "b"},
        {"type": "add", "inputs": ("a", "b")},
        {"type": "dense", "units": 4},
    ]
    footprint = measure(layers, board=BOARDS[1], input_shape=(16, 16, 1))
    (candidate,) = fit(layers, boards=BOARDS[1:], input_shape=(16, 16, 1)).candidates
    (on,) = candidate.boards
    assert footprint.arena is not None
    assert (on.arena, on.ram) == (footprint.arena.required, footprint.ram)


@pytest.mark.parametrize(
    ("layers", "shape", "said"),
    [
        ([{"type": "dense", "unit": 4}], (4,), r"model: layers\[0\].unit: unknown key 'unit' in "),
        ([{"type": "dense", "units": 4}], None, "model: layers take an input_shape"),
        ([{"type": "conv2d"}], (4, 4, 1), r"model: layers\[0\]: a conv2d needs 'filters'"),
        ([{"type": "conv2d", "filters": 2}], (4,), "model: layer conv2d_0: expects"),
        ([{"type": "softmax"}, (4, 4)], (4,), "layer 0 .* expected"),
    ],
)
def test_tables_that_are_no_layers_are_one_line(layers: Any, shape: Any, said: str) -> None:
    with pytest.raises(TinybudgetError, match=said):
        measure(layers, board="esp32", input_shape=shape)


@pytest.mark.parametrize(
    ("layers", "shape", "said"),
    [
        ([(1, 8, 3, 3)], None, "give input_shape"),
        ([(1, 8, 3, 3), (9, 4)], (4, 4, 1), r"layer 1 \(9, 4\) takes 9 inputs"),
        ([("width", 4)], (4,), "expected \\(inputs, outputs\\)"),
        ([(4, 4), {"type": "softmax"}], (4,), "layer 1 .* expected"),
    ],
)
def test_tuples_that_are_no_plan_are_one_line(layers: Any, shape: Any, said: str) -> None:
    with pytest.raises(TinybudgetError, match=said):
        fit(layers, input_shape=shape, boards=BOARDS)


def test_the_free_sizes_are_all_combinations_and_a_name_is_one_number_in_all_places() -> None:
    read = plan_of(plan(), "plan")
    found = list(choices(read, 1000))
    assert count(read) == len(found) == 8
    assert {each["width"] for each in found} == {8, 16, 24, 32}
    layers = chosen_layers(read, {"width": 24, "layers[4].units": 6})
    assert [layer.size for layer in layers.layers] == [24, 1, 24, 1, 6]


def test_a_block_repeats_its_layers_one_after_another() -> None:
    block = {
        "block": [{"type": "depthwise_conv2d"}, {"type": "conv2d", "filters": 4}],
        "repeat": {"from": 1, "to": 3},
    }
    read = plan_of(plan(layers=[block]), "plan")
    layers = chosen_layers(read, {"layers[0].repeat": 2}).layers
    assert [each.type for each in layers] == ["depthwise_conv2d", "conv2d"] * 2


def test_every_layer_of_a_declaration_may_be_in_a_plan_and_have_free_numbers() -> None:
    sizes = {"from": 1, "to": 3, "step": 2}
    layers = [
        {"type": "conv2d", "filters": 4, "kernel": [sizes, 1], "bias": False},
        {"type": "batch_norm"},
        {"type": "activation", "activation": "relu6", "name": "a"},
        {"type": "separable_conv2d", "filters": "width", "padding": "same", "dilation": 2},
        {"type": "zero_padding2d", "amount": [sizes, 1]},
        {"type": "upsampling2d"},
        {"type": "global_average_pool2d"},
        {"type": "dense", "units": 3, "output": True},
        {"type": "dense", "units": sizes, "inputs": ["a"], "name": "b", "output": True},
    ]
    read = plan_of(plan(layers=layers), "plan")
    assert count(read) == 2 * 4 * 2 * 2
    chosen = {
        "width": 8, "layers[0].kernel[0]": 3, "layers[4].amount[0]": 1, "layers[8].units": 3
    }  # fmt: skip
    assert chosen in list(choices(read, 1000))
    made = chosen_layers(read, chosen)
    assert made.layers[0].kernel == (3, 1)
    assert made.layers[4].amount == ((1, 1), (1, 1))
    assert made.outputs == ("dense_7", "b")
    found = fit(plan(layers=layers), most=6)
    assert len(found.candidates) == 6
    assert not found.impossible


def test_names_in_a_block_count_for_each_time_anew() -> None:
    block = [
        {"type": "conv2d", "filters": "width", "padding": "same", "name": "start"},
        {"type": "depthwise_conv2d", "padding": "same", "name": "inner"},
        {"type": "add", "inputs": ["start", "inner"]},
    ]
    layers = [
        {"block": block, "repeat": {"from": 1, "to": 3}},
        {"type": "concatenate", "inputs": ["start", "inner"]},
    ]
    read = plan_of(plan(layers=layers), "plan")
    made = chosen_layers(read, {"width": 8, "layers[0].repeat": 3}).layers
    assert [each.name for each in made] == [
        "start_1", "inner_1", "", "start_2", "inner_2", "", "start", "inner", "", "",
    ]  # fmt: skip
    assert [each.inputs for each in made if each.type == "add"] == [
        ("start_1", "inner_1"), ("start_2", "inner_2"), ("start", "inner"),
    ]  # fmt: skip
    found = fit(plan(layers=layers))
    assert len(found.candidates) == 12
    macs = {tuple(each.chosen.values()): each.macs for each in found.candidates}
    assert macs[8, 1] < macs[8, 2]


def test_too_many_choices_are_sampled_evenly_and_the_same_each_time() -> None:
    read = plan_of(plan(free={"width": {"from": 1, "to": 1000}}), "plan")
    found = list(choices(read, 10))
    assert len(found) == 10
    assert found == list(choices(read, 10))
    widths = [each["width"] for each in found]
    assert (widths[0], widths[-1]) == (1, 1000)
    # In each share of a tenth of all 2,000 choices, which are two for each width, lies one.
    assert [(width - 1) // 100 for width in widths] == list(range(10))


def test_a_sample_of_the_choices_has_all_values_of_every_range() -> None:
    """Also of ranges whose sizes divide the distance between two of the sample."""
    free = {name: {"from": 1, "to": 10} for name in ("a", "b", "c", "d")}
    layers = [{"type": "dense", "units": name} for name in free]
    found = list(choices(plan_of(plan(layers=layers, free=free), "plan"), 100))
    assert len({tuple(each.values()) for each in found}) == 100
    for name in free:
        counts = Counter(each[name] for each in found)
        assert set(counts) == set(range(1, 11))
        assert max(counts.values()) <= 2 * 100 / 10


def test_every_combination_is_reached_by_its_number() -> None:
    read = plan_of(plan(), "plan")
    found = list(choices(read, 8))
    assert [_numbered(ranges(read), number) for number in range(8)] == found


def test_parameters_are_those_that_training_sets() -> None:
    layers = [
        {"type": "conv2d", "filters": 4},  # 4 * 3 * 3 + 4
        {"type": "depthwise_conv2d"},  # 3 * 3 * 4 + 4
        {"type": "global_average_pool2d"},  # goes over two axes
        {"type": "dense", "units": 5},  # 4 * 5 + 5
    ]
    (candidate,) = fit(plan(layers=layers, free={})).candidates
    assert candidate.parameters == 40 + 40 + 25


def test_no_candidate_of_the_front_is_beaten_and_every_other_one_is() -> None:
    found = fit(plan(budget={"ram": "16 KB"}))
    for place, board in enumerate(BOARDS):
        front = found.front[board]
        assert front
        points = {
            index: (-each.parameters, each.boards[place].arena, each.macs)
            for index, each in enumerate(found.candidates)
            if each.boards[place].fits
        }
        for index, point in points.items():
            beaten = any(
                other != point and all(a <= b for a, b in zip(other, point, strict=True))
                for other in points.values()
            )
            assert beaten == (index not in front)


def test_the_limit_that_decides_is_named_with_the_layer_of_the_peak() -> None:
    (nano, _) = fit(plan(budget={"ram": "16 KB"})).decides
    assert nano.metric == "ram"
    assert 0 < nano.failed == nano.measured - nano.fitting
    assert nano.layer == 1
    assert nano.text.startswith("RAM decides at layer 1 (DEPTHWISE_CONV_2D depthwise_conv2d_1): ")


def test_the_layer_of_the_peak_is_where_the_arena_ends_though_more_is_alive_elsewhere() -> None:
    # The planner leaves a gap below the last output; layer 1 has more alive and ends lower.
    layers = [{"type": "conv2d", "filters": each, "kernel": 1} for each in (8, 5, 3, 8)]
    net = {"input_shape": [8, 8, 1], "layers": layers, "boards": ["raspberry-pi-pico"]}
    model = planned_model(chosen_layers(plan_of(net, "plan"), {}), "plan")
    footprint = footprint_of(model, pair_of("plan.tflite", board="raspberry-pi-pico").firmware)
    assert max(footprint.layers, key=lambda each: each.live_bytes).index == 1
    found = fit(net, budget={"ram": 2000})
    assert found.decides[0].text.startswith("RAM decides at layer 3 (CONV_2D conv2d_3): ")
    layers[3]["filters"] = 4
    (before,), (after,) = found.candidates, fit(net).candidates
    assert after.boards[0].arena < before.boards[0].arena
    assert (before.boards[0].peak_layer, after.boards[0].peak_layer) == (3, 1)


def test_a_refusal_that_decides_is_told_with_its_reason() -> None:
    layers = [{"type": "dense", "units": {"from": 2, "to": 4}}, {"type": "layer_norm"}]
    found = fit(plan(layers=layers, input_shape=[8]), boards=["esp32"], activations="int16")
    (decides,) = found.decides
    (reason,) = {each.boards[0].reason for each in found.candidates}
    assert decides.text == f"TFLM's refusal decides: 0 of 3 fit, 3 do not for it: {reason}"


def test_flash_decides_without_a_layer() -> None:
    nano = fit(plan(budget={"flash": "1 KB"})).decides[0]
    assert (nano.metric, nano.layer, nano.fitting) == ("flash", -1, 0)


def test_all_that_fits_says_what_the_fullest_is_nearest_to() -> None:
    nano = fit(plan()).decides[0]
    assert nano.fitting == nano.measured == 8
    assert "all 8 fit, the fullest takes " in nano.text


def test_a_latency_that_nobody_knows_counts_as_missed() -> None:
    found = fit(plan(budget={"latency": "10 s"}), boards=["stm32f746g-discovery"])
    assert {each.boards[0].seconds for each in found.candidates} == {None}
    assert found.front == {"stm32f746g-discovery": ()}
    (decides,) = found.decides
    assert decides.text == (
        "latency decides: 0 of 8 fit, 8 do not for it: nobody has measured such a board"
    )
    assert {each.boards[0].tightest for each in found.candidates} == {"latency"}
    both = fit(plan(budget={"latency": "10 s", "ram": "1 KB"}), boards=["stm32f746g-discovery"])
    assert both.decides[0].text.startswith("RAM decides at layer ")


@pytest.mark.parametrize("budget", [{"latency": "5 ms"}, {"latency": "5 ms", "ram": "8 KB"}])
def test_the_reason_is_the_headline_of_the_gate_with_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: dict[str, str]
) -> None:
    boards = ["arduino-nano-33-ble", "stm32f746g-discovery"]
    found = fit(plan(budget=budget), boards=boards)
    wanted = {"width": 24, "layers[4].units": 6}
    (candidate,) = [each for each in found.candidates if each.chosen == wanted]
    monkeypatch.chdir(tmp_path)
    text = DECLARATION.format(width=24).replace(BOARDS[1], boards[1])
    limits = ", ".join(f'{name} = "{limit}"' for name, limit in budget.items())
    Path("tinybudget.toml").write_text(text.replace('ram = "16 KB"', limits))
    main(["check", "-q", "--json", "results.json"])
    pairs = json.loads(Path("results.json").read_text())["pairs"]
    gate = {each["board"]["id"]: each["headline"] for each in pairs}
    assert {on.board: on.reason for on in candidate.boards} == gate
    assert all("latency " in reason for reason in gate.values())


def test_choices_that_are_no_network_are_counted_with_the_first_reason() -> None:
    layers = [{"type": "conv2d", "filters": 4, "kernel": {"from": 15, "to": 20}}]
    found = fit(plan(layers=layers))
    assert (len(found.candidates), found.impossible) == (2, 4)
    assert "window is larger than" in found.why_impossible


LAYER = {"type": "conv2d", "filters": 4}
INPUT = {"type": "input", "name": "state", "shape": [4]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": [{"type": "conv2"}]}, r"layers\[0\].type: .* did you mean 'conv2d'"),
        ({"layers": [{**LAYER, "kernel_size": 3}]}, r"layers\[0\].kernel_size: .*mean 'kernel'"),
        ({"layers": [{**LAYER, "activation": "relo"}]}, r"layers\[0\].activation: .*mean 'relu'"),
        (
            {"layers": [{**LAYER, "filters": {"from": 1, "to": 4, "steps": 2}}]},
            r"plan: layers\[0\].filters.steps: unknown key 'steps' .* did you mean 'step'",
        ),
        ({"layers": [{**LAYER, "filters": {"from": 1}}]}, r"\[0\].filters: 'to' is missing"),
        ({"layers": [{**LAYER, "filters": {"from": 0, "to": 4}}]}, "from 1 to 65536, found 0"),
        ({"layers": [{**LAYER, "filters": True}]}, "from 1 to 65536, found true"),
        ({"layers": [{**LAYER, "kernel": [3]}]}, r"kernel: .* list of 2 elements"),
        ({"layers": [{**LAYER, "padding": "causal"}]}, "only conv1d and separable_conv1d can be"),
        ({"layers": [{"type": "flatten", "sequences": True}]}, "a flatten has no 'sequences'"),
        ({"layers": [{**LAYER, "alpha": 0.5}]}, "alpha: is the slope of a leaky_relu"),
        ({"layers": [{"type": "upsampling2d", "amount": [0, 1]}]}, "repeats once or more"),
        ({"layers": [3]}, r"layers\[0\]: expected a table, found 3"),
        ({"layers": [{"block": []}]}, r"layers\[0\].block: expected a list of layers"),
        ({"layers": [{"block": [{"block": [LAYER]}]}]}, r"block\[0\]: a block in a block"),
        ({"layers": [{"block": [LAYER], "repeats": 2}]}, "'repeats' .* did you mean 'rep"),
        ({"layers": [{**LAYER, "repeat": -1}]}, r"\[0\].repeat: expected .* found -1"),
        ({"layers": [{**LAYER, "repeat": 10**9}]}, "are up to 1,000,000,000 .* at most 10,000"),
        ({"layers": [{"type": "reshape"}]}, "a reshape needs 'shape'"),
        ({"layers": [{"type": "input"}]}, "an input needs 'shape'"),
        ({"layers": [{**INPUT, "output": True}, LAYER]}, "an input has no 'output'"),
        ({"layers": [{**INPUT, "inputs": ["x"]}, LAYER]}, "an input has no 'inputs'"),
        ({"layers": [{**LAYER, "kernel_size": 3}]}, "unknown key 'kernel_size' .* mean 'kernel'"),
        (
            {"layers": [{**LAYER, "pool_size": 2}]},
            "key 'pool_size' .* mean 'kernel'",
        ),
        ({"layers": [{"type": "relu"}]}, 'found "relu"; did you mean .activation'),
        ({"layers": [{"type": "Linear"}]}, 'found "Linear"; did you mean .dense'),
        ({"layers": [{"type": "dense"}]}, r"layers\[0\]: a dense needs 'units'"),
        ({"layers": [{"type": "dense", "units": 2, "kernel": 3}]}, "a dense has no 'kernel'"),
        ({"layers": [{"type": "dense", "units": "widht"}]}, r"no range in \[free\]; .*'width'"),
        ({"free": {"width": {"from": 8, "to": 4}}}, "free.width: from 8 is above to 4"),
        ({"free": {"width": {"from": 1, "to": 10**19}}}, r"free.width.to: expected .* 65536"),
        ({"free": {"width": {"from": 1, "to": 60_000}}}, "are 60,000 values, at most 10,000"),
        ({"free": {"width": 8}}, "free.width: expected a table, found 8"),
        ({"free": {"width": WIDTHS, "arena": WIDTHS}}, "free.arena: the reports have a column"),
        ({"input_shape": [16, "height", 1]}, r"input_shape\[1\]: 'height' is no range in \[free\]"),
        ({"input_shape": [2, 2, 2, 2]}, "input_shape: expected a list of 1 to 3 elements"),
        ({"boards": []}, "a plan needs boards"),
        ({"boards": ["pica"]}, "pica"),
        ({"boards": ["pico", "raspberry-pi-pico"]}, "raspberry-pi-pico is named 2 times"),
        ({"budget": {"rom": "1 KB"}}, "budget.rom: unknown key 'rom'"),
        ({"budget": {"ram": "64 XB"}}, "budget.ram: expected a size"),
        ({"budget": {"energy": "1 mJ"}}, "budget.energy: fit knows flash, ram"),
        ({"sizes": 3}, "plan: sizes: unknown key 'sizes'"),
        ({"board": ["esp32"]}, "plan: board: unknown key 'board' .* did you mean 'boards'"),
        ({"activations": "int61"}, "plan: activations: .* did you mean 'int16'"),
    ],
)
def test_a_wrong_plan_is_one_line_that_says_where(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(TinybudgetError, match=message) as caught:
        fit(plan(**changed))
    first = caught.value.message.partition("\n")[0]
    assert "$" not in first
    assert "`" not in first


def test_all_mistakes_of_a_plan_are_told_with_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        'boards = ["esp32"]\n'
        "input_shape = [16, { from = 8, to = 4 }, 1]\n"
        "layers = [\n"
        '  { type = "conv2d", filter = 8 },\n'
        '  { repeat = "depht", block = [\n'
        '    { type = "dense", units = "width" },\n'
        "  ] },\n"
        "]\n"
        "[free]\n"
        "depth = { from = 1, to = 3 }\n"
    )
    assert main(["fit", str(path)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(str(path))]
    places = [line.removeprefix(f"{path}:").partition(": ")[0] for line in lines]
    assert places == ["2", "4", "5", "6"]


def test_a_plan_none_of_whose_choices_is_a_network_is_wrong() -> None:
    layers = [{"type": "conv2d", "filters": 4, "kernel": {"from": 17, "to": 20}}]
    with pytest.raises(
        TinybudgetError, match=r"none of 4 choices is a network, the first: .*window"
    ):
        fit(plan(layers=layers))
    layers = [{"type": "conv2d", "filters": 4, "inputs": ["stme"]}]
    with pytest.raises(TinybudgetError, match=r"the choice is no network: .* no layer 'stme'"):
        fit(plan(layers=layers))


def test_a_plan_too_large_to_be_counted_is_no_network() -> None:
    layers = [{"type": "dense", "units": 65536}, {"type": "dense", "units": 65536}]
    with pytest.raises(
        TinybudgetError, match=r"dense_1: .* has 4,29\d,\d+,\d+ weights, at most 134,217,728"
    ):
        fit(plan(layers=layers, input_shape=[1]))
    with pytest.raises(
        TinybudgetError, match=r"the input: .* has 12,884,901,888 values, at most 2,147"
    ):
        fit(plan(layers=[LAYER], input_shape=[65536, 65536, 3]))


def test_an_unknown_figure_names_the_nearest() -> None:
    with pytest.raises(TinybudgetError, match="did you mean 'parameters'"):
        fit(plan(), maximize=["parameter"])
    with pytest.raises(TinybudgetError, match="'xyz': figures are arena, ram, flash, macs, "):
        fit(plan(), minimize=["xyz"])


def test_the_csv_has_a_row_for_each_candidate_on_each_board() -> None:
    found = fit(plan())
    rows = list(csv.DictReader(io.StringIO(render.as_csv(found))))
    assert len(rows) == 16
    first, on = rows[0], found.candidates[0].boards[0]
    assert (first["board"], first["width"], first["arena"]) == (on.board, "8", str(on.arena))
    assert {row["on_front"] for row in rows} <= {"true", "false"}


def test_the_page_plots_every_candidate_of_each_board() -> None:
    page = render.page(fit(plan()))
    assert page.count(' r="3"><title>') == 16
    assert page.count("<section>") == 2


def test_the_page_tells_what_fits_what_is_beaten_and_what_does_not_fit() -> None:
    found = fit(plan(budget={"ram": "12 KB"}), boards=[BOARDS[0]], minimize=["arena"])
    page = render.page(found)
    (front,) = found.front.values()
    fitting = sum(each.boards[0].fits for each in found.candidates)
    kinds = ("front", "fits", "over")
    dots = [page.count(f'<circle class="{kind}" cx="') for kind in kinds]
    in_keys = [
        page.count(f'<circle class="{kind}" cx="5" cy="5"') for kind in ("front", "fits", "over")
    ]
    plotted = [dot - key for dot, key in zip(dots, in_keys, strict=True)]
    assert plotted == [len(front), fitting - len(front), 8 - fitting]
    assert in_keys == [int(count > 0) for count in plotted]


def test_the_page_is_html_that_loads_nothing_and_escapes_names() -> None:
    name = "<script>alert(1)</script>"
    layers = [{"type": "conv2d", "filters": name}]
    page = render.page(fit(plan(layers=layers, free={name: WIDTHS})))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "content=\"default-src 'none'; style-src" in page
    html5lib.HTMLParser(strict=True).parse(page)


def test_marks_of_an_axis_are_short_numbers() -> None:
    marks = [_mark(each) for each in (0, 250, 20_000, 999_999, 1_000_000, 2_500_000)]
    assert marks == ["0", "250", "20,000", "999,999", "1 M", "2.5 M"]


def test_one_candidate_is_told_as_one() -> None:
    found = fit([(1, 8, 3, 3), (2048, 4)], input_shape=(16, 16, 1), boards=["esp32"])
    assert "1 candidate of 1 measured" in render.text(found)
    assert "<p>1 candidate of 1 measured.</p>" in render.page(found)


@pytest.mark.parametrize(
    ("most", "end", "marks"),
    [
        (47.2, 50, 6),
        (97_932, 100_000, 6),
        (1, 1, 2),
        (3, 3, 4),
        (12, 15, 4),
        (0.4, 1, 2),
        (250, 250, 6),
    ],
)
def test_an_axis_ends_at_a_round_number(most: float, end: float, marks: int) -> None:
    found, places = _scale(most)
    assert (found, len(places)) == (end, marks)
    assert places[0] == 0
    assert places[-1] == end


def test_the_command_tells_and_writes_what_fit_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = ["--json", "f.json", "--csv", "f.csv", "--html", "f.html"]
    assert main(["fit", str(EXAMPLE), "--most", "20", "--board", "pico", *outputs]) == 0
    told = capsys.readouterr().out
    assert told.startswith("raspberry-pi-pico: RAM decides at layer 1 ")
    assert "20 candidates of 80 measured" in told
    written = json.loads(Path("f.json").read_text("utf-8"))
    jsonschema.validate(written, json_schema())
    assert written["schema"] == 1
    assert len(written["candidates"]) == 20
    assert len(Path("f.csv").read_text("utf-8").splitlines()) == 21
    assert Path("f.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_the_schema_in_the_repository_is_that_of_the_code_which_a_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``tinybudget schema --fit -o schemas/fit.schema.json`` writes it."""
    stored = (EXAMPLE.parents[2] / "schemas" / "fit.schema.json").read_text("utf-8")
    assert stored == json.dumps(json_schema(), indent=2) + "\n"
    assert main(["schema", "--fit"]) == 0
    assert capsys.readouterr().out == stored


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"boards": ["stm32f746g-discovery"]},
        {"layers": [{"type": "conv2d", "filters": 4, "kernel": {"from": 15, "to": 20}}]},
        {"budget": {"ram": "1 KB"}},
    ],
)
def test_whatever_is_found_follows_the_schema(changed: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(render.as_json(fit(plan(**changed)))), json_schema())


def test_the_schema_knows_every_field_and_no_other() -> None:
    written = json.loads(render.as_json(fit(plan())))
    for broken in ({**written, "more": 1}, {k: v for k, v in written.items() if k != "front"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, json_schema())


def test_a_declaration_and_a_plan_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tinybudget.toml").write_text(DECLARATION.format(width=8))
    assert main(["fit", "tinybudget.toml"]) == 2
    assert "tinybudget.toml: is a declaration: fit takes a plan" in capsys.readouterr().err
    Path("plan.toml").write_text(EXAMPLE.read_text("utf-8"))
    assert main(["check", "plan.toml"]) == 2
    assert "plan.toml: is a plan, for tinybudget fit" in capsys.readouterr().err


def test_the_command_ends_with_1_where_nothing_fits(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", str(EXAMPLE), "--most", "3", "--board", "pico", "--budget", "ram=1KB"]
    assert main(arguments) == 1
    assert "0 of 3 fit" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"layers = [", b"\xff", b"boards = []\ninput_shape = [1]"])
def test_a_plan_that_cannot_be_read_is_told_with_its_place_and_exit_code_2(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    assert main(["fit", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tinybudget: {path}:")
    assert error.count(str(path)) == 1


def test_no_report_takes_the_place_of_the_plan_or_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, model = tmp_path / "plan.toml", tmp_path / "model.tflite"
    path.write_text(EXAMPLE.read_text())
    model.write_bytes(b"weights")
    for given in (
        [f"--csv={path}"],
        [f"--json={model}"],
        [f"--csv={tmp_path}/a", f"--html={tmp_path}/a"],
    ):
        assert main(["fit", str(path), *given]) == 2
    told = capsys.readouterr().err
    assert told.count("a report would take its place") == 2
    assert "only one report can go to" in told
    assert path.read_text() == EXAMPLE.read_text()
    assert model.read_bytes() == b"weights"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.tflite", "plan.toml"]


def test_optuna_prefers_what_fits_with_the_constraint_of_the_docs() -> None:
    optuna = pytest.importorskip("optuna", minversion="5.0")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    limit = 16 * 1024

    def objective(trial: Any) -> float:
        width = trial.suggest_int("width", 8, 64, step=8)
        layers = [{"type": "conv2d", "filters": width}, {"type": "dense", "units": 4}]
        (candidate,) = fit(plan(layers=layers, free={}, boards=[BOARDS[0]])).candidates
        over = max(0, candidate.boards[0].ram - limit)
        trial.set_constraint("over", over)
        trial.set_user_attr("over", over)
        return float(candidate.parameters)

    sampler = optuna.samplers.TPESampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=12)
    assert study.best_trial.user_attrs["over"] == 0
    assert any(trial.user_attrs["over"] for trial in study.trials)
