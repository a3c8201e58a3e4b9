"""What ``tinybudget inspect`` prints of a model and a footprint made by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from modelmaker import ModelMaker
from msgspec.structs import replace
from report_samples import footprint
from report_samples import layer

from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import Saving
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.report.inspection import Inspection
from pytest_tinybudget.report.inspection import render
from pytest_tinybudget.report.inspection import render_json
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import cells


def model(input_name: str = "image") -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 3), name=input_name)
    graph.output(graph.softmax(graph.dense(graph.conv2d(image, filters=4), units=10)))
    return read_model(maker.build(), "kws")


def inspection(source: Model | None = None, **changes: Any) -> Inspection:
    savings = (Saving("without SOFTMAX", 3174), Saving("typed", 9626))
    return Inspection(source or model(), "0" * 64, footprint(**changes), savings)


def text(found: Inspection, style: Style = PLAIN, verbosity: int = 0) -> str:
    return "\n".join(line.text for line in render(found, style, verbosity=verbosity))


def test_the_model_comes_first_with_its_size_in_bytes() -> None:
    lines = text(inspection()).split("\n")
    assert lines[0] == "kws"
    assert f"{model().bytes:,} B" in lines[1]


def test_inputs_and_outputs_show_type_shape_and_quantization() -> None:
    found = text(inspection())
    assert "  input   int8 1x8x8x3  image" in found
    assert "scale 0.03125, zero point 0" in found
    assert "scale 0.00390625, zero point -128" in found


def test_operators_are_counted_with_their_versions() -> None:
    assert "  1 x  CONV_2D          version " in text(inspection())


def test_the_arena_says_what_decides_it_and_how_much_is_gaps() -> None:
    found = text(inspection())
    assert "  required  47,104 B  the smallest that works" in found
    assert "required is set by the planner" in found
    assert "4,000 B of the head are gaps: 28,000 B are alive at once" in found


def test_a_head_without_gaps_is_said_to_be_the_best() -> None:
    arena = footprint().arena
    assert arena is not None
    tight = replace(arena, optimum_head=arena.head)
    assert "no plan has a smaller head: 32,000 B are alive at once" in text(inspection(arena=tight))


def test_the_tail_by_category_adds_up_when_everything_is_asked_for() -> None:
    arena = footprint().arena
    assert arena is not None
    rows = [line for line in text(inspection(), verbosity=1).split("\n") if "of the tail" in line]
    sizes = [int(row.split(" B")[0].replace(",", "")) for row in rows]
    assert sum(sizes) == arena.tail
    assert "of the tail" not in text(inspection())


def test_a_model_refused_before_planning_has_no_arena_and_says_why() -> None:
    refusal = Refusal("prepare", "CONV_2D", 1, 2, "hybrid models are not supported")
    found = text(inspection(arena=None, refusals=(refusal,)))
    assert "  - CONV_2D #2 of subgraph 1 (AllocateTensors() fails): hybrid models" in found
    assert "RAM besides the arena:" in found
    assert "tensor arena\n" not in found
    assert found.split("\n").count("layers") == 1


def test_long_lists_are_counted_unless_everything_is_asked_for() -> None:
    names = tuple(f"tensor{number} (FLOAT32)" for number in range(9))
    found = inspection(not_int8=names)
    assert "tensor4 (FLOAT32)\n  - and 4 more" in text(found)
    assert "tensor8 (FLOAT32)" in text(found, verbosity=1)


def test_what_is_bounded_is_named() -> None:
    found = text(inspection(unknown=("MY_OP #0: no rule for this operator",)))
    assert "bounded, not known\n  - MY_OP #0: no rule for this operator" in found


def test_the_tensor_that_lowers_the_peak_first_is_named() -> None:
    arena = footprint().arena
    assert arena is not None
    found = replace(inspection(), relief=(arena.buffers[2], 8000))
    assert "  half of big would lower the head by 7.8 KB, more than any other" in text(found)
    assert "would lower the head" not in text(inspection())


def test_savings_come_largest_first() -> None:
    found = text(inspection())
    assert found.index("-9.4 KB  typed") < found.index("-3.1 KB  without SOFTMAX")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_tables_fit_the_terminal(width: int) -> None:
    layers = tuple(layer(number, name="a/very/long/name/" * 9) for number in range(3))
    lines = render(inspection(model("input/" * 30), layers=layers), Style(width), verbosity=1)
    tables = [line.text for line in lines if "name/" in line.text or "input/" in line.text]
    assert tables
    assert [line for line in tables if cells(line) > width] == []


def test_hostile_names_cannot_drive_the_terminal() -> None:
    found = text(inspection(model("\x1b]0;owned\x07\n"), not_int8=("\x1b[2J",)), verbosity=1)
    assert not any(character in found for character in "\x1b\x07")


def test_json_holds_the_same_figures() -> None:
    found = inspection()
    content = json.loads(render_json(found))
    assert content["flash"]["used"] == found.footprint.flash
    assert content["arena"]["required"] == 47104
    saving = {"change": "without SOFTMAX", "flash": 3174, "margin": 0, "note": "", "parts": {}}
    assert content["savings"][1] == saving
    (only,) = content["model"]["inputs"]
    assert (only["name"], only["type"], only["shape"]) == ("image", "INT8", [1, 8, 8, 3])
    assert only["quantization"] == {"scales": [0.03125], "zero_points": [0], "dimension": 0}


def test_json_is_the_same_every_time() -> None:
    assert render_json(inspection()) == render_json(inspection())


def test_json_stays_json_when_a_scale_is_not_a_number() -> None:
    source = model()
    (graph,) = source.subgraphs
    odd = replace(graph.tensors[0], quantization=Quantization((float("nan"),), (0,)))
    graph = replace(graph, tensors=(odd, *graph.tensors[1:]))
    content = json.loads(
        render_json(inspection(replace(source, subgraphs=(graph,)))),
        parse_constant=pytest.fail,
    )
    assert content["model"]["inputs"][0]["quantization"]["scales"] == [None]
