"""Makes models smaller without training them: leaves out what TFLM never reads."""

from __future__ import annotations

from pytest_tinybudget.shrink.strip import Stripped
from pytest_tinybudget.shrink.strip import strip


__all__ = ["Stripped", "strip"]
