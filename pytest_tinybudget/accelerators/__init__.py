"""Accelerators: what a board's NPU, TPU or GPU makes of a model.

An Ethos-U changes the file and so the whole footprint; for an Edge TPU a lint says what may map,
beside the figures of the CPU; on a Jetson memory and time have lower bounds.
"""

from __future__ import annotations

from pytest_tinybudget.accelerators.accelerated import Accelerated
from pytest_tinybudget.accelerators.dispatch import accelerated


__all__ = ["Accelerated", "accelerated"]
