"""The files for programs: the results file with its schema, and JUnit XML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from report_samples import KB
from report_samples import error
from report_samples import footprint
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.report import junit
from pytest_tinybudget.results import writer


ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "schemas" / "results.schema.json").read_text("utf-8"))
EVERY_KIND = [
    over(),
    pair("vad", outcome="warns", warnings=("close",)),
    pair("fits"),
    refused(),
    error(),
    pair("wish", outcome="unmet"),
    pair("no-arena", footprint=footprint(arena=None)),
    pair("own-runtime", runtime="vendor-fork"),
]


def rendered(*results: Any) -> Any:
    return json.loads(writer.render(results))


# The results file


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_kind_of_result_follows_the_schema() -> None:
    jsonschema.validate(rendered(*EVERY_KIND), SCHEMA)
    jsonschema.validate(rendered(), SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("pairs", 0, "outcome"), "perfect"),
        (("pairs", 0, "flash", "used"), 1.5),
        (("pairs", 0, "flash", "used"), None),
        (("pairs", 0, "arena", "head"), "12 KB"),
        (("pairs", 0, "flash", "parts", 0, "method"), "guessed"),
        (("pairs", 0, "surprise"), 1),
        (("schema_version",), 2),
    ],
)
def test_the_schema_turns_down_what_the_file_never_holds(path: Any, value: Any) -> None:
    content = rendered(over())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


def test_the_schema_describes_every_field() -> None:
    def undescribed(schema: Any, place: str) -> list[str]:
        found = []
        for name, field in schema.get("properties", {}).items():
            if "description" not in field and "$ref" not in field:
                found.append(f"{place}.{name}")
            found += undescribed(field, f"{place}.{name}")
        return found + undescribed(schema.get("items", {}), place) if "items" in schema else found

    definitions = SCHEMA["$defs"].items()
    assert [each for name, schema in definitions for each in undescribed(schema, name)] == []
    assert undescribed(SCHEMA, "") == []


def test_sizes_are_integers_of_bytes() -> None:
    (only,) = rendered(over())["pairs"]
    assert only["flash"]["used"] == 268 * KB + 307
    assert only["flash"]["limit"] == 256 * KB
    assert only["flash"]["free"] == -(12 * KB + 307)
    assert only["ram"]["free"] == 16 * KB
    buffers = only["arena"].pop("buffers")
    assert [buffer["bytes"] for buffer in buffers] == [4000, 8000, 16000, 8000]
    assert only["arena"] == {
        "peak_time": 1,
        "required": 46 * KB,
        "used": 32000 + 4 * KB,
        "head": 32000,
        "tail": 4 * KB,
        "decided_by": "planning",
        "optimum_head": 28000,
        "persistent": [
            {"operator": "CONV_2D", "cause": "per-channel arrays", "bytes": 3 * KB},
            {"operator": "", "cause": "tensor records", "bytes": KB},
        ],
        "split": None,
        "recorded": {"OpData": 640, "TfLiteEvalTensor data": 1200},
    }
    assert only["stack"] == 2 * KB


def test_parts_and_their_margins_add_up_to_what_is_used() -> None:
    (only,) = rendered(over())["pairs"]
    for metric in ("flash", "ram"):
        parts = only[metric]["parts"]
        assert sum(part["bytes"] + part["margin"] for part in parts) == only[metric]["used"]


def test_every_part_says_how_it_was_got() -> None:
    (only,) = rendered(over())["pairs"]
    methods = {part["name"]: part["method"] for part in only["flash"]["parts"]}
    assert methods["model"] == "exact"
    assert methods["runtime core"] == "table"
    assert methods["kernels"] == "estimated"
    assert only["known"] is False


def test_operators_are_counted() -> None:
    (only,) = rendered(over())["pairs"]
    assert only["operators"] == {"CONV_2D": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}


def test_pairs_are_sorted_by_id_whatever_order_they_ran_in() -> None:
    assert writer.render(EVERY_KIND) == writer.render(EVERY_KIND[::-1])
    ids = [each["id"] for each in rendered(*EVERY_KIND)["pairs"]]
    assert ids == sorted(ids)


def test_parts_of_equal_size_keep_one_order() -> None:
    parts = (Part("b", 1, "exact"), Part("a", 1, "exact"))
    orders = [
        writer.render([pair(measures=(measure(parts=each),))]) for each in (parts, parts[::-1])
    ]
    assert orders[0] == orders[1]


def test_the_file_says_what_its_numbers_belong_to() -> None:
    content = rendered(over(), pair("other", runtime="m0plus_ref"))
    assert content["schema_version"] == 1
    assert content["tool"]["name"] == "pytest-tinybudget"
    assert content["runtime"]["tflm_commit"] == "90b983c2"
    names = [variant["name"] for variant in content["runtime"]["variants"]]
    assert names == ["m0plus_ref", "m4_cmsisnn"]


def test_an_unmeasured_pair_has_no_numbers_but_a_reason() -> None:
    (only,) = rendered(error())["pairs"]
    assert (only["flash"], only["ram"], only["arena"], only["stack"]) == (None,) * 4
    assert only["headline"] == error().headline


def test_hostile_names_stay_data_in_the_file() -> None:
    name = 'x"\x1b[31m\u202e\udc80'
    text = writer.render([pair(headline=name)])
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["pairs"][0]["headline"] == name


def test_every_top_level_field_of_a_pair_is_in_the_documentation() -> None:
    documentation = (ROOT / "docs" / "results.md").read_text("utf-8")
    (only,) = rendered(over())["pairs"]
    assert [name for name in only if f"`{name}`" not in documentation] == []


def test_the_documented_example_is_a_results_file() -> None:
    documentation = (ROOT / "docs" / "results.md").read_text("utf-8")
    example = json.loads(documentation.split("```json\n")[1].split("```")[0])
    jsonschema.validate(example, SCHEMA)
    (only,) = example["pairs"]
    for metric in ("flash", "ram"):
        parts = only[metric]["parts"]
        assert sum(part["bytes"] + part["margin"] for part in parts) == only[metric]["used"]


# JUnit XML


def cases(*results: Any) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(junit.render(results))
    return {case.get("classname", ""): case for case in root.iter("testcase")}


def test_each_declaration_is_a_suite_and_each_pair_a_case() -> None:
    other = pair("kws", "esp32", id="other/tinybudget.toml::kws::esp32")
    root = ElementTree.fromstring(junit.render([other, over(), error()]))
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert list(suites) == ["other/tinybudget.toml", "tinybudget.toml"]
    counts = suites["tinybudget.toml"]
    assert [counts.get(key) for key in ("tests", "failures", "errors")] == ["2", "1", "1"]


def test_an_overrun_is_a_failure_and_an_unreadable_model_an_error() -> None:
    found = cases(over(), error(), refused(), pair("wish", outcome="unmet"), pair("fits"))
    kinds = {name: [child.tag for child in case] for name, case in found.items()}
    assert kinds == {
        "kws": ["failure", "system-out"],
        "broken": ["error", "system-out"],
        "hybrid": ["failure", "system-out"],
        "wish": ["failure", "system-out"],
        "fits": ["system-out"],
    }


def test_a_failure_carries_headline_and_breakdown() -> None:
    failure = cases(over())["kws"].find("failure")
    assert failure is not None
    assert failure.get("message") == over().headline
    assert "heaviest layers (weights)" in (failure.text or "")


def test_a_case_points_at_the_line_of_the_declaration() -> None:
    case = cases(over())["kws"]
    assert (case.get("file"), case.get("line")) == ("tinybudget.toml", "12")


def test_a_warning_is_in_the_output_of_a_passing_case() -> None:
    case = cases(pair(outcome="warns", warnings=("RAM above 90 %",)))["kws"]
    assert "RAM above 90 %" in (case.findtext("system-out") or "")


def test_hostile_names_keep_the_xml_well_formed() -> None:
    found = cases(pair(headline="\x1b[31m<&>\x00\ufffe", outcome="over"))
    assert "<&>" in (found["kws"].find("failure").get("message") or "")  # type: ignore[union-attr]


def test_the_same_results_give_the_same_xml() -> None:
    assert junit.render(EVERY_KIND) == junit.render(EVERY_KIND[::-1])
