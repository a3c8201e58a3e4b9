"""What a project flashes as a runtime: one release, or several of which the hungriest counts."""

from __future__ import annotations

from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.fingerprint import fingerprint
from pytest_tinybudget.runtimes.runtime import Runtime


# One of several releases


def dense(*, per_channel: bool = False) -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4, per_channel=per_channel))
    return read_model(maker.build(), "dense")


def one_of(*names: str, core: str = "Cortex-M4F") -> Runtime:
    runtimes = tuple(runtime_called(name, core) for name in names)
    return replace(runtimes[0], label="several", one_of=runtimes)


def test_of_several_releases_the_one_that_asks_for_most_counts_and_the_range_is_said() -> None:
    names = ("zephyr 4.4", "arduino-tflm 2022-06", "tflite-micro 90b983c2")
    each = [measure(dense(), runtime_called(name, "Cortex-M4F")) for name in names]
    found = measure(dense(), one_of(*names))
    arenas = [one.arena.required for one in each if one.arena is not None]
    assert found.arena is not None
    assert len(set(arenas)) > 1
    assert found.arena.required == max(arenas)
    assert found.flash == max(one.flash for one in each)
    assert not found.known
    assert any(line.startswith("arena: counted for ") for line in found.unknown)
    assert any(line.startswith("flash: counted for ") for line in found.unknown)


def test_releases_that_ask_for_the_same_leave_an_arena_as_it_is() -> None:
    names = ("zephyr 4.3", "zephyr 4.2", "zephyr 4.1")
    found = measure(dense(), one_of(*names))
    alone = measure(dense(), runtime_called(names[0], "Cortex-M4F"))
    assert (found.arena, found.flash, found.unknown) == (alone.arena, alone.flash, alone.unknown)


def test_what_one_of_several_releases_refuses_is_refused() -> None:
    found = measure(dense(per_channel=True), one_of("zephyr 4.4", "zephyr 4.0"))
    assert found.refusals
    assert "zephyr 4.0 refuses it; what else the project may take does not" in found.unknown


def test_several_releases_are_another_runtime_than_each_of_them() -> None:
    one, two = runtime_called("zephyr 4.4"), runtime_called("zephyr 4.0")
    several = one_of("zephyr 4.4", "zephyr 4.0")
    assert len({fingerprint(each) for each in (one, two, several)}) == 3
    assert several.with_margin(45).one_of[1].flash_margin_percent == 45
