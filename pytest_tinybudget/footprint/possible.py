"""The versions that a firmware may be built with, where its runtime does not say which.

What a model takes is then looked at for each of them, and the largest arena counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pytest_tinybudget.footprint.operators.esp_nn import RELEASES
from pytest_tinybudget.footprint.runtime import Runtime


def possible_runtimes(runtime: Runtime) -> Mapping[str, Runtime]:
    """What ``runtime`` may be in detail, by the name that tells one from the other.

    One entry where nothing is open.
    """
    kernels = runtime.kernels
    if kernels.version or not kernels.vectors:
        return {"": runtime}
    return {
        f"esp-nn {run}": replace(runtime, kernels=replace(kernels, version=release))
        for release, run in RELEASES[kernels.vectors].items()
    }
