"""Long work is told on stderr, quick work is not."""

from __future__ import annotations

import io
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_tinybudget.commands import waiting as waits
from pytest_tinybudget.commands.waiting import waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_PATIENCE", 0.02)
    monkeypatch.setattr(waits, "_EACH", 0.02)


def until(stream: io.StringIO, pattern: str) -> None:
    """Wait until ``stream`` holds it: what is shown depends on when another thread runs."""
    for _ in range(3000):
        if re.search(pattern, stream.getvalue()):
            return
        time.sleep(0.01)
    raise AssertionError(stream.getvalue())


def test_quick_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())

    with waiting("measuring") as wait:
        wait.told("more")

    assert stream.getvalue() == ""


@pytest.mark.usefixtures("hasty")
def test_without_a_terminal_each_word_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())

    with waiting("measuring") as wait:
        until(stream, "measuring")
        wait.converting("kws.keras", "calibrating")
        until(stream, "kws")

    lines = stream.getvalue().splitlines()
    assert lines[0] == "tinybudget: measuring (0 s)"
    assert lines[-1] == "tinybudget: converting kws.keras: calibrating (0 s)"
    assert "\x1b" not in stream.getvalue()


@pytest.mark.usefixtures("hasty")
def test_on_a_terminal_it_is_one_line_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal())

    with waiting("measuring"):
        until(stream, "measuring")

    assert stream.getvalue().endswith("\r\x1b[K")
    assert "\n" not in stream.getvalue()


@pytest.mark.usefixtures("hasty")
def test_the_line_goes_before_an_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal())

    def work() -> None:
        with waiting("measuring"):
            until(stream, "measuring")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()

    assert stream.getvalue().endswith("\r\x1b[K")


@pytest.mark.usefixtures("hasty")
def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())

    with waiting("measuring", quiet=True):
        time.sleep(0.1)

    assert stream.getvalue() == ""


@pytest.mark.usefixtures("hasty")
def test_of_many_pairs_the_one_that_is_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    pairs: list[Any] = [SimpleNamespace(id=f"tinybudget.toml::{name}") for name in ("a", "b")]

    with waiting("measuring") as wait:
        for pair in wait.measuring(pairs):
            number = pairs.index(pair) + 1
            until(stream, f"measuring {pair.id}: {number} of 2 ")
