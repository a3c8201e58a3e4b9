"""Trained models to INT8 TF Lite: converted once, isolated, checked, and kept by content.

``Converter`` is the face of the room. TensorFlow and numpy are only ever imported by the processes
of ``worker/``; this side starts them, checks what they made, and keeps it in the cache.
"""

from __future__ import annotations

from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import converts


__all__ = ["Conversion", "Converted", "Converter", "Request", "converts"]
