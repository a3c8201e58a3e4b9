"""The rooms of ARCHITECTURE.md and the one way that imports go between them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError
from graphlib import TopologicalSorter
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_tinybudget"

#: A room imports those above it, and none beside or below it.
LAYERS = (
    ("base",),
    ("graph", "runtimes"),
    ("boards", "detection", "footprint", "planning"),
    ("shrinking",),
    ("artifacts", "convert", "results", "speed", "toolchain"),
    ("rollout", "update"),
    ("declaration",),
    ("workspace",),
    ("accelerators", "baseline", "evaluation"),
    ("gate", "report"),
    ("fitting",),
    ("api", "hooks"),
    ("commands", "pytest_plugin"),
    ("__init__", "cli"),
    ("__main__",),
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

#: What a room must not know although it stands above.
MUST_NOT_KNOW = {
    "footprint": {"boards"},
    "detection": {"graph"},
    "shrinking": {"boards"},
    "results": {"boards", "graph"},
    "update": {"boards", "footprint", "graph"},
    "toolchain": {"boards", "declaration", "graph"},
    "artifacts": {"boards"},
    "convert": {"boards"},
    "evaluation": {"boards"},
    "workspace": {"boards", "results"},
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
    "wcwidth": (),
    "yaml": (),
}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def imports(tree: ast.AST, *, at_import: bool = False) -> Iterator[str]:
    """The names that ``tree`` imports, in functions and for types as well.

    ``at_import``: only those that are imported when the module is.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif at_import and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(node.orelse, []), at_import=True)
        elif not (at_import and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            yield from imports(node, at_import=at_import)


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def module_of(name: str) -> str | None:
    """The module of the package that holds what is imported as ``name``."""
    package, _, rest = name.partition(".")
    if package != PACKAGE.name:
        return None
    parent = rest.rpartition(".")[0]
    candidates = (rest, f"{rest}.__init__", parent, f"{parent}.__init__", "__init__")
    return next(each for each in candidates if each in MODULES)


@cache
def imported(module: str) -> frozenset[str]:
    """The package's other modules that ``module`` imports, at whatever time and for types."""
    found = map(module_of, imports(tree_of(module)))
    return frozenset(each for each in found if each not in (None, module))


def imported_rooms(module: str) -> set[str]:
    return set(map(room_of, imported(module))) - {room_of(module)}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    level = LEVELS[room_of(module)]
    for room in imported_rooms(module):
        assert LEVELS[room] < level, f"{module} imports {room}"
    assert not imported_rooms(module) & MUST_NOT_KNOW.get(room_of(module), set())


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({module: imported(module) for module in MODULES}).prepare()


def test_a_circle_is_seen() -> None:
    circle = TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    with pytest.raises(CycleError):
        circle.prepare()
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f(): from c import d"
    )
    assert [*imports(tree)] == ["a", "b", "c.d"]
    assert [*imports(tree, at_import=True)] == ["b"]
    assert module_of("pytest_tinybudget.gate.pipeline.Gate") == "gate.pipeline"
    assert module_of("pytest_tinybudget.artifacts") == "artifacts.__init__"
    assert module_of("pytest_tinybudget.check") == "__init__"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_where_they_are_used(module: str) -> None:
    for name in imports(tree_of(module), at_import=True):
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


def test_only_the_loader_makes_declarations() -> None:
    """What measures one file makes a pair: of a declaration it would need the smallest part."""
    makers = {
        module
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Declaration"
    }
    assert makers == {"declaration.resolve"}
