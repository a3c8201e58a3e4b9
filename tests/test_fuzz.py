"""Every format that strangers may hand in, some thousand mutated files of it a run.

``fuzzing.py`` says what is looked for; the nightly job does the same with far more.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from campaigns import rare
from fuzz_targets import TARGETS
from fuzzing import Target
from fuzzing import mutated_bytes
from fuzzing import require_plain
from fuzzing import run
from modelmaker import ModelMaker

from pytest_tinybudget.base.errors import TinybudgetError


#: Inputs for each format; models cost most, and matter most.
_MODELS, _OTHERS = 1200, 250


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("tflite", _MODELS // 20),
        rare(("tflite", _MODELS)),
        *((name, _OTHERS // 2) for name in TARGETS if name != "tflite"),
        *(rare((name, _OTHERS)) for name in TARGETS if name != "tflite"),
    ],
)
def test_mutated_files_are_read_or_refused_in_one_line(
    name: str, count: int, tmp_path: Path
) -> None:
    target = TARGETS[name](tmp_path)
    if not target.corpus:
        pytest.skip("what makes such files is not installed")
    tally = run(target, count, "in each run")
    assert [finding.what for finding in tally.findings] == []
    assert tally.read > 0, "some mutated files are still sound"
    if name != "image":  # there a refusal is a finding of the check
        assert tally.refused > 0, "some mutated files are damaged"


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    for content in dict.fromkeys(target.corpus):
        target.read(content)


# Models made to cost more than they weigh, all the way to the reports


def _huge(shape: tuple[int, ...], *, name: str = "ABS") -> ModelMaker:
    """A small file whose tensors would fill any memory."""
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary(name, graph.input(shape, "FLOAT32")))
    return maker


def _many_tensors() -> ModelMaker:
    """Every operator's output stays alive to the end: the planner's worst case."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 4, 4, 1))
    graph.output(*(graph.unary("ABS", image) for _ in range(300)))
    return maker


def _many_calls() -> ModelMaker:
    maker = ModelMaker()
    main = maker.graph()
    for index in range(300):
        main.operator("CALL_ONCE", (), (), {"init_subgraph_index": 1 + index})
        maker.graph("").operator("MY_OP", (), ())
    return maker


def _shared_names() -> ModelMaker:
    """One long name, which a writer stores once, of all tensors."""
    maker = ModelMaker()
    graph = maker.graph()
    value = graph.input((1, 4), name="n" * 20_000)
    for _ in range(200):
        value = graph.unary("ABS", value)
    for tensor in graph.tensors:
        tensor.name = "n" * 20_000
    graph.output(value)
    return maker


_COSTLY = {
    "overflowing product": lambda: _huge((2**31 - 1,) * 6),
    "just below 2**31": lambda: _huge((2**29 - 1,)),
    "a hundred dimensions": lambda: _huge((2,) * 100),
    "zero among huge": lambda: _huge((2**31 - 1, 0, 2**31 - 1)),
    "many tensors": _many_tensors,
    "many calls": _many_calls,
    "shared names": _shared_names,
}


@pytest.mark.parametrize("name", _COSTLY)
def test_a_model_made_to_cost_is_measured_or_refused_soon(name: str, tmp_path: Path) -> None:
    content = _COSTLY[name]().build()
    whole_way = TARGETS["tflite"](tmp_path).read
    target = Target(name, [content], whole_way, lambda same, _chance: same)
    assert [finding.what for finding in run(target, 3, "").findings] == []


# The harness itself


def _found(read: object, tmp_path: Path) -> list[str]:
    target = Target("harness", [b"a file"], read, mutated_bytes)  # type: ignore[arg-type]
    return [finding.what for finding in run(target, 3, "harness").findings]


def _hang(_content: bytes) -> None:
    try:
        while True:
            pass
    except Exception:  # as a careless handler would
        return


def _eat(_content: bytes) -> None:
    bytearray(4 * 1024**3)


def _two_lines(_content: bytes) -> None:
    raise TinybudgetError("first\nsecond")


def _escape(_content: bytes) -> None:
    raise TinybudgetError("a \x1b[31mred\x1b[0m word")


def _index(_content: bytes) -> None:
    [][0]


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (_hang, "HangError: more than"),
        (_eat, "MemoryError"),
        (_two_lines, "unprintable message"),
        (_escape, "unprintable message"),
        (_index, "IndexError: list index out of range"),
    ],
)
def test_the_harness_finds_what_must_not_be(
    read: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if read in (_hang, _eat) and not Path("/proc/self/statm").exists():
        pytest.skip("no limits on a process there")
    monkeypatch.setattr("fuzzing.SECONDS", 0.2)
    found = _found(read, tmp_path)
    assert len(found) == 3
    assert all(what.startswith(said) for what in found)


def _slow(_content: bytes) -> None:
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass


@pytest.mark.parametrize(("slowness", "found"), [(1.0, 3), (30.0, 0)])
def test_the_harness_gives_a_slow_machine_the_time_it_needs(
    slowness: float, found: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("no limits on a process there")
    monkeypatch.setattr("fuzzing.SECONDS", 0.1)
    monkeypatch.setattr("fuzzing.slowness", lambda: slowness)
    assert len(_found(_slow, tmp_path)) == found


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202e", "a\rb", "\u2028", "\x00", "\ufeff"])
def test_the_harness_sees_what_a_report_must_not_hold(text: str) -> None:
    with pytest.raises(AssertionError, match="report with"):
        require_plain(f"line\n{text}")
