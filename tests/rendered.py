"""C files as bytes, which the product makes in pieces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_tinybudget import artifacts
from pytest_tinybudget.base.files import Content


def whole(files: Mapping[str, Content]) -> dict[str, bytes]:
    """The contents of ``files`` by name."""
    return {name: bytes(content) for name, content in files.items()}


def render(*arguments: Any, **keywords: Any) -> dict[str, bytes]:
    return whole(artifacts.render(*arguments, **keywords))


def render_array(*arguments: Any, **keywords: Any) -> dict[str, bytes]:
    return whole(artifacts.render_array(*arguments, **keywords))
