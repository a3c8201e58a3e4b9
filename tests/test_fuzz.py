"""Every format that strangers may hand in, some thousand mutated files of it a run.

``fuzzing.py`` says what is looked for; the nightly job does the same with far more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_targets import TARGETS
from fuzzing import Target
from fuzzing import mutated_bytes
from fuzzing import require_plain
from fuzzing import run

from pytest_tinybudget.errors import TinybudgetError


#: Inputs for each format; models cost most, and matter most.
_MODELS, _OTHERS = 1200, 250


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_files_are_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    if not target.corpus:
        pytest.skip("what makes such files is not installed")
    tally = run(target, _MODELS if name == "tflite" else _OTHERS, "in each run")
    assert [finding.what for finding in tally.findings] == []
    assert tally.read > 0, "some mutated files are still sound"
    if name != "image":  # there a refusal is a finding of the check
        assert tally.refused > 0, "some mutated files are damaged"


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    for content in dict.fromkeys(target.corpus):
        target.read(content)


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


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202e", "a\rb", "\u2028", "\x00", "\ufeff"])
def test_the_harness_sees_what_a_report_must_not_hold(text: str) -> None:
    with pytest.raises(AssertionError, match="report with"):
        require_plain(f"line\n{text}")
