"""Accelerators: what a board's NPU, TPU or GPU makes of a model.

For an Ethos-U the model is compiled, which changes the whole footprint. For an Edge TPU a lint says
which operators may map, beside the figures of the CPU. For a Jetson there are lower bounds of
memory and time.
"""

from __future__ import annotations

from pytest_tinybudget.accelerators.accelerated import Accelerated
from pytest_tinybudget.accelerators.dispatch import accelerated


__all__ = ["Accelerated", "accelerated"]
