"""The rooms of ARCHITECTURE.md and the one way that imports go between them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_tinybudget"

#: A room imports those above it, and none beside or below it.
LAYERS = (
    ("base",),
    ("graph", "runtimes"),
    ("boards", "footprint", "shrink"),
    ("artifacts", "convert", "results", "speed", "toolchain"),
    ("hooks", "rollout", "update"),
    ("declaration",),
    ("accelerators", "baseline", "evaluation"),
    ("gate", "report"),
    ("api",),
    ("commands", "pytest_plugin"),
    ("__init__", "cli"),
    ("__main__",),
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

#: What a room must not know although it stands above.
MUST_NOT_KNOW = {
    "footprint": {"boards"},
    "results": {"boards", "graph"},
    "update": {"boards", "footprint", "graph"},
    "toolchain": {"boards", "declaration", "graph"},
    "artifacts": {"boards"},
    "convert": {"boards"},
    "evaluation": {"boards"},
}

#: Packages that only these rooms or modules import when they are imported themselves.
HEAVY = {
    "pytest": ("pytest_plugin", "hooks"),
    "_pytest": ("pytest_plugin",),
    "numpy": ("convert.worker", "evaluation.worker", "rollout.simulation"),
    "tensorflow": ("convert.worker",),
    "tflite_micro": (),
    "flatbuffers": ("convert.worker",),
    "elftools": (),
    "tomlkit": (),
}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def imports(tree: ast.AST, *, lazy: bool) -> Iterator[str]:
    """What is imported; ``lazy`` also in functions. Imports for types alone do not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(node.orelse, []), lazy=lazy)
        elif lazy or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(node, lazy=lazy)


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imported_rooms(module: str) -> set[str]:
    """The package's other rooms that ``module`` imports, at whatever time."""
    rooms = set()
    for name in imports(tree_of(module), lazy=True):
        package, _, rest = name.partition(".")
        if package == PACKAGE.name and rest:
            parent = rest.rpartition(".")[0]
            rooms.add(room_of(rest if rest in MODULES or not parent else parent))
    return rooms - {room_of(module)}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    level = LEVELS[room_of(module)]
    for room in imported_rooms(module):
        assert LEVELS[room] < level, f"{module} imports {room}"
    assert not imported_rooms(module) & MUST_NOT_KNOW.get(room_of(module), set())


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_where_they_are_used(module: str) -> None:
    for name in imports(tree_of(module), lazy=False):
        allowed = HEAVY.get(name.partition(".")[0])
        if allowed is not None:
            assert room_of(module) in allowed or module.startswith(allowed), name


def test_every_room_is_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for module in MODULES:
        top = module.partition(".")[0]
        if not top.startswith("__"):
            shown = f"`{top}/`" if (PACKAGE / top).is_dir() else f"`{top}.py`"
            assert shown in text, module
