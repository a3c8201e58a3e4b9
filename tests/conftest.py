"""Shared by all tests: pytester, and small projects with real models and a declaration."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from collections.abc import Generator
from importlib.util import find_spec
from typing import Any

import pytest
from modelmaker import ModelMaker


pytest_plugins = ["pytester"]

needs_xdist = pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")


#: What a test runs must not write into the summary of the CI job that runs the tests.
OF_CI = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_BASE_REF")


def pytest_configure() -> None:
    """Set what all tests and the processes that they start share."""
    for variable in OF_CI:
        os.environ.pop(variable, None)
    # Tests start the package hundreds of times. Without bytecode each start compiles all of it, and
    # each run of the tests rewrites all of their assertions.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep what was collected out of the garbage collector's sight.

    These are half a million objects that live as long as the run: each full collection would go
    through all of them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker of ``-n`` a run of files, and what is left to the first that has none.

    Dealt out one by one, as is the default, tests of a module would have its fixtures made in each
    worker.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def keyword_model(filters: int = 8) -> bytes:
    """A small INT8 convolutional network: more filters, more RAM and flash."""
    maker = ModelMaker()
    graph = maker.graph("kws")
    image = graph.input((1, 16, 16, 1), name="spectrogram")
    hidden = graph.conv2d(image, filters=filters, activation="RELU")
    graph.output(graph.softmax(graph.dense(graph.pool(hidden), units=4)))
    return maker.build()


def dense_model() -> bytes:
    """A two-layer INT8 dense network."""
    maker = ModelMaker()
    graph = maker.graph("vad")
    graph.output(graph.dense(graph.dense(graph.input((1, 32)), units=16), units=2))
    return maker.build()


def summary_line(outcome: str, node_id: str, reason: str) -> str:
    """A line of pytest's short summary; from pytest 9 on it repeats the first line of our text."""
    return f"{outcome} {node_id}" + (f" - {reason}" if pytest.version_tuple >= (9, 0) else "")


#: A project with two models, one of them for two boards.
DECLARATION = """\
schema = 1

[models.kws]
source = "models/kws.tflite"
boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]

[models.vad]
source = "models/vad.tflite"
boards = ["arduino-nano-33-ble"]
"""


@pytest.fixture
def project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.Pytester]:
    """Makes a project: ``project(declaration, models={name: bytes})``; kws and vad unless given."""
    # Other plugins of the development environment cost each run more than ours.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:benchmark")

    def make(declaration: str = DECLARATION, **models: bytes) -> pytest.Pytester:
        pytester.path.joinpath("tinybudget.toml").write_text(declaration, encoding="utf-8")
        folder = pytester.mkdir("models")
        for name, content in (models or {"kws": keyword_model(), "vad": dense_model()}).items():
            folder.joinpath(f"{name}.tflite").write_bytes(content)
        return pytester

    return make
