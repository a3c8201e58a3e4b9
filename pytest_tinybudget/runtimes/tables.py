"""Where the measured tables lie that are shipped: section graphs (flash) and stack depths."""

from __future__ import annotations

from pathlib import Path


_DATA = Path(__file__).parent / "data"


def section_graph_path(table: str) -> Path:
    """The section graph of the shipped table called ``table`` (gzipped JSON)."""
    return _DATA / "graphs" / f"{table}.json.gz"


def stack_table_path(table: str) -> Path:
    """The stack table called ``table`` (JSON)."""
    return _DATA / "stack" / f"{table}.json"
