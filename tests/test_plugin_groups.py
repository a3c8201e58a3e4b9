"""Several models on one board: ``[groups.NAME]``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Literal
from typing import get_args

import pytest
from conftest import keyword_model
from conftest import summary_line
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.arena import simulate_multitenant
from pytest_tinybudget.footprint.link import RESOURCE_VARIABLES
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import GroupArena
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.gate.groups import combine
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import FixedCost
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.runtime import RUNTIMES


Project = Callable[..., pytest.Pytester]

GROUP = "tinybudget.toml::groups.both::arduino-nano-33-ble"

DECLARATION = """\
schema = 1

[defaults]
boards = ["arduino-nano-33-ble"]

[models.a]
source = "models/a.tflite"

[models.b]
source = "models/b.tflite"

[groups.both]
models = ["a", "b"]
arena = "ARENA"
"""


def results(project: Project, arena: str, **models: bytes) -> dict[str, dict[str, Any]]:
    """Pairs of the results file by the name of model or group."""
    pytester = project(DECLARATION.replace("ARENA", arena), **models)
    pytester.runpytest("--tinybudget", "--tinybudget-json=results.json")
    pairs = json.loads(pytester.path.joinpath("results.json").read_text())["pairs"]
    return {pair["id"].split("::")[1]: pair for pair in pairs}


def parts(pair: dict[str, Any], metric: str) -> dict[str, int]:
    return {part["name"]: part["bytes"] for part in pair[metric]["parts"]}


def test_flash_holds_every_model_and_the_runtime_once(project: Project) -> None:
    pairs = results(project, "max", a=keyword_model(8), b=keyword_model(16))
    alone = [pairs[name]["flash"]["used"] - pairs[name]["model"]["bytes"] for name in "ab"]
    assert alone[0] == alone[1]  # the same operators
    both = pairs["groups.both"]
    models = sum(pairs[name]["model"]["bytes"] for name in "ab")
    assert both["flash"]["used"] == models + alone[0]
    assert both["model"]["bytes"] == models


def test_different_operators_are_all_linked(project: Project) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.logistic(graph.input((1, 16))))
    pairs = results(project, "max", a=keyword_model(), b=maker.build())
    assert {"operator CONV_2D", "operator LOGISTIC"} <= set(parts(pairs["groups.both"], "flash"))


def test_a_shared_arena_is_the_largest_and_the_stack_the_deepest(project: Project) -> None:
    pairs = results(project, "max", a=keyword_model(8), b=keyword_model(32))
    found = parts(pairs["groups.both"], "ram")
    assert found["arena shared by all"] == pairs["b"]["arena"]["required"]
    assert found["stack"] == max(parts(pairs[name], "ram")["stack"] for name in "ab")


def test_an_arena_each_is_the_sum(project: Project) -> None:
    pairs = results(project, "sum", a=keyword_model(8), b=keyword_model(32))
    found = parts(pairs["groups.both"], "ram")
    assert found["arena of a"] == pairs["a"]["arena"]["required"]
    assert found["arena of b"] == pairs["b"]["arena"]["required"]


def test_interpreters_on_one_allocator_take_more_than_one_and_less_than_all(
    project: Project,
) -> None:
    pairs = results(project, "multitenant", a=keyword_model(8), b=keyword_model(32))
    required = [pairs[name]["arena"]["required"] for name in "ab"]
    both = pairs["groups.both"]
    assert max(required) < both["arena"]["required"] < sum(required)
    in_arena = [size for name, size in parts(both, "ram").items() if name.startswith("arena: ")]
    assert sum(in_arena) == both["arena"]["required"]


def test_every_model_has_its_interpreter(project: Project) -> None:
    pairs = results(project, "max", a=keyword_model(8), b=keyword_model(32))
    one = parts(pairs["a"], "ram")["interpreter"]
    assert parts(pairs["groups.both"], "ram")["2 interpreters"] == 2 * one


def test_a_group_never_takes_less_than_one_of_its_models(project: Project) -> None:
    pairs = results(project, "max", a=keyword_model(8), b=keyword_model(32))
    for metric in ("flash", "ram"):
        largest = max(pairs[name][metric]["used"] for name in "ab")
        assert pairs["groups.both"][metric]["used"] >= largest


def test_a_group_fails_by_its_own_budget(project: Project) -> None:
    declaration = DECLARATION.replace("ARENA", "sum") + 'budget = { ram = "4 KB" }\n'
    result = project(declaration, a=keyword_model(), b=keyword_model(16)).runpytest("--tinybudget")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "RAM over by *",
            "*arduino-nano-33-ble itself has room*",
            "edit tinybudget.toml:15",
            summary_line("FAILED", GROUP, "RAM over by *"),
        ]
    )


def test_a_group_with_a_model_that_cannot_be_read_is_an_error(project: Project) -> None:
    declaration = DECLARATION.replace("ARENA", "max")
    result = project(declaration, a=keyword_model(), b=b"text").runpytest("--tinybudget")
    result.assert_outcomes(passed=1, errors=2)


def test_models_of_different_runtimes_cannot_share_a_firmware(project: Project) -> None:
    declaration = DECLARATION.replace("ARENA", "max").replace(
        "[models.b]", '[models.b]\nruntime = "m4_ref"'
    )
    result = project(declaration, a=keyword_model(), b=keyword_model()).runpytest("--tinybudget")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*different runtimes: arduino-tflm 2023-12, m4_ref"])
    assert "Traceback" not in result.stdout.str()


RUNTIME = RUNTIMES["m4_cmsisnn"]

KEYWORDS = {name: read_model(keyword_model(), name) for name in ("a", "b")}


def group(
    *footprints: Footprint,
    models: Mapping[str, Model] = KEYWORDS,
    arena: GroupArena = "max",
    registrations: Literal["generic", "typed"] = "generic",
    costs: Mapping[str, OperatorCost] | None = None,
    fixed: FixedCost | None = None,
) -> Footprint:
    """What ``models`` take together, which take ``footprints`` alone."""
    firmware = Firmware(RUNTIME, registrations, fixed=fixed).with_costs(costs or {})
    return combine(models, footprints, firmware, arena=arena)


def test_a_group_is_as_little_known_as_its_least_known_model() -> None:
    """What is estimated, unknown or refused in one model is so in the group, by its name."""
    exact = measure(KEYWORDS["a"], RUNTIME)
    arena = [part for part in exact.ram_parts if part.name.startswith("arena")]
    others = [part for part in exact.ram_parts if not part.name.startswith("arena")]
    guessed = replace(
        exact,
        ram_parts=(*(replace(part, method="estimated") for part in arena), *others),
        unknown=("its filter",),
        not_int8=("its input",),
    )
    refused = replace(
        exact, arena=None, refusals=(Refusal("load", "CONV_2D", 0, 0, "unsupported"),)
    )
    for shared in get_args(GroupArena):
        methods = [
            {part.method for part in whole.ram_parts if part.name.startswith("arena")}
            for whole in (group(exact, exact, arena=shared), group(exact, guessed, arena=shared))
        ]
        assert methods[0] == {"exact"}
        assert "estimated" in methods[1]
    whole = group(exact, guessed)
    assert (whole.unknown, whole.not_int8) == (("b: its filter",), ("b: its input",))
    assert [each.reason for each in group(exact, refused).refusals] == ["b: unsupported"]
    with pytest.raises(TinybudgetError, match=r"^b was measured without an arena"):
        group(exact, replace(exact, arena=None))


def test_one_block_of_ram_has_to_hold_the_arena_of_the_largest_model() -> None:
    small, large = (measure(read_model(keyword_model(size), "b"), RUNTIME) for size in (8, 32))
    for pair in ((small, large), (large, small)):
        whole = group(*pair)
        assert (whole.arena, whole.layers) == (large.arena, large.layers)
    (shared,) = (part for part in whole.ram_parts if part.name == "arena shared by all")
    assert shared.note == "that of a; each model is set up again before it runs"


def test_a_group_with_a_model_that_is_refused_claims_no_arena() -> None:
    exact = measure(KEYWORDS["a"], RUNTIME)
    refused = replace(exact, refusals=(Refusal("invoke", "CONV_2D", 0, 0, "unsupported"),))
    whole = group(exact, refused)
    assert (whole.arena, whole.layers) == (None, ())
    unplanned = group(exact, replace(refused, arena=None), arena="sum")
    assert [part.bytes for part in unplanned.ram_parts if part.name == "arena of b"] == [0]


def test_a_declared_runtime_is_there_once_and_has_no_objects_of_its_own() -> None:
    fixed = FixedCost(flash=40_000, stack=2048)
    alone = measure(KEYWORDS["a"], Firmware(RUNTIME, fixed=fixed))
    whole = group(alone, alone, fixed=fixed)
    assert whole.flash_parts[2:] == (Part("runtime", 40_000, "declared"),)
    assert [part.name for part in whole.ram_parts] == ["arena shared by all", "stack"]


def test_a_group_registers_kernels_as_its_models_do() -> None:
    alone = measure(KEYWORDS["a"], Firmware(RUNTIME, "typed"))
    whole = group(alone, alone, registrations="typed")
    assert whole.flash == alone.flash + len(KEYWORDS["b"].content)


@pytest.mark.parametrize(("having", "expected"), [(2, [320]), (1, [160]), (0, [])])
def test_models_keep_their_own_resource_variables(having: int, expected: list[int]) -> None:
    """Equal names, as of two wake words of one architecture, are two models' variables."""
    none = measure(KEYWORDS["a"], RUNTIME)
    some = replace(none, ram_parts=(*none.ram_parts, Part(RESOURCE_VARIABLES, 160, "exact")))
    whole = group(*[some] * having, *[none] * (2 - having))
    found = [part.bytes for part in whole.ram_parts if part.name == RESOURCE_VARIABLES]
    assert found == expected


def test_a_group_of_one_model_takes_what_the_model_does() -> None:
    alone = measure(KEYWORDS["a"], RUNTIME)
    whole = group(alone, models={"a": KEYWORDS["a"]})
    assert (whole.flash, whole.ram) == (alone.flash, alone.ram)


def filtered() -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.tensor((1, 64))
    graph.operator("AcmeFilter", (graph.input((1, 64)),), (result,), {}, custom_options=b"\0")
    graph.output(result)
    return read_model(maker.build(), "filtered")


@pytest.mark.parametrize("arena", get_args(GroupArena))
def test_what_an_operator_is_stated_to_cost_counts_in_a_group(arena: GroupArena) -> None:
    costs = {"AcmeFilter": OperatorCost(persistent=2000, scratch=5000, flash=3000)}
    models = {"a": KEYWORDS["a"], "b": filtered()}
    firmware = Firmware(RUNTIME).with_costs(costs)
    alone = [measure(model, firmware) for model in models.values()]
    whole = group(*alone, models=models, arena=arena, costs=costs)
    assert [part.bytes for part in whole.flash_parts if "AcmeFilter" in part.name] == [3000]
    if arena == "multitenant":
        assert whole.arena == simulate_multitenant(models.values(), firmware)


def test_models_of_another_estimator_cannot_share_an_allocator() -> None:
    exact = measure(KEYWORDS["a"], RUNTIME)
    assert exact.arena is not None
    other = replace(exact, arena=replace(exact.arena, required=exact.arena.required + 16))
    refusal = (
        "another estimator measured b, and cannot say what it takes of an allocator that "
        'models share: arena = "sum" gives each its own'
    )
    with pytest.raises(TinybudgetError, match=f"^{re.escape(refusal)}$"):
        group(exact, other, arena="multitenant")
    assert group(exact, other).arena == other.arena
