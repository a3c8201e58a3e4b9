"""Lists the releases that a firmware may be built with, where its runtime does not say which.

A model is then measured for each of them, and the largest arena counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pytest_tinybudget.footprint.history import settled
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Library
from pytest_tinybudget.runtimes.versions import known


#: The library whose releases differ in what they ask for.
RELEASED: Library = "esp-nn"


def possible_runtimes(runtime: Runtime) -> Mapping[str, Runtime]:
    """The runtimes that ``runtime`` may stand for, by a name that tells them apart.

    One entry where nothing is open. Of releases that differ in nothing that an arena depends on,
    the first stands for all.
    """
    if runtime.one_of:
        return {
            ", ".join(filter(None, (each.name, name))): one
            for each in releases_of(runtime)
            for name, one in possible_runtimes(each).items()
        }
    runtime = settled(runtime)
    return {
        run: replace(runtime, kernels=kernels)
        for run, kernels in _possible_kernels(runtime.kernels).items()
    }


def releases_of(runtime: Runtime) -> tuple[Runtime, ...]:
    """Those of ``runtime.one_of`` that differ in what an arena depends on."""
    found: dict[tuple[Tflm, Kernels], Runtime] = {}
    for each in runtime.one_of:
        found.setdefault((each.tflm, each.kernels), each)
    return tuple(found.values())


def _possible_kernels(kernels: Kernels) -> Mapping[str, Kernels]:
    """What the kernel library may be: each run of its releases that ask for the same."""
    if not is_open(kernels):
        return {"": kernels}
    from pytest_tinybudget.footprint.operators.esp_nn import runs

    found = known(RELEASED)
    return {
        f"{RELEASED} {run}": replace(kernels, version=found[release])
        for release, run in runs(kernels.vectors, kernels.releases).items()
    }


def is_open(kernels: Kernels) -> bool:
    """Whether ``kernels`` may be any of several releases that ask for different buffers."""
    return bool(kernels.vectors) and kernels.version.name not in known(RELEASED)


def open_range(kernels: Kernels) -> str:
    """The releases that ``kernels`` may be (``"1.1.1 to 1.2.3"``); empty for just one."""
    if not is_open(kernels):
        return ""
    from pytest_tinybudget.footprint.operators.esp_nn import possible_releases
    from pytest_tinybudget.footprint.operators.esp_nn import span

    return span(possible_releases(kernels.vectors, kernels.releases))
