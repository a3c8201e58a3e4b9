"""Modules of the package are found and read in fewer steps, and are what Python makes of them."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pytest_tinybudget.base.imports import QuickImports


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules of the package can be imported from."""
    import pytest_tinybudget

    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "__init__.py").write_text("NAME = 'package'\n")
    monkeypatch.setattr(pytest_tinybudget, "__path__", [str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    QuickImports.enter()
    yield tmp_path / "quick"
    QuickImports.leave()
    for name in [each for each in sys.modules if each.startswith("pytest_tinybudget.quick")]:
        del sys.modules[name]
    vars(pytest_tinybudget).pop("quick", None)


def imported(package: Path, name: str = "module") -> ModuleType:
    """The module as a new process has it."""
    sys.modules.pop(f"pytest_tinybudget.quick.{name}", None)
    importlib.invalidate_caches()
    return importlib.import_module(f"pytest_tinybudget.quick.{name}")


def test_a_module_is_as_python_makes_it(package: Path) -> None:
    source = package / "module.py"
    source.write_text("def f():\n    return __name__\n")
    for _ in ("compiled now", "compiled before"):
        module = imported(package)
        assert module.f() == module.__name__ == "pytest_tinybudget.quick.module"
        assert module.__file__ == module.f.__code__.co_filename == str(source)
        assert module.__cached__ == importlib.util.cache_from_source(source)
        assert Path(module.__cached__).is_file()
        assert module.__package__ == "pytest_tinybudget.quick"
        assert module.__spec__.parent == "pytest_tinybudget.quick"
        assert module.__loader__.get_source(module.__name__) == source.read_text()


def test_a_package_has_a_path(package: Path) -> None:
    (package / "module.py").write_text("from pytest_tinybudget.quick import NAME\n")
    assert imported(package).NAME == "package"
    quick = sys.modules["pytest_tinybudget.quick"]
    assert list(quick.__path__) == [str(package)]
    assert quick.__package__ == "pytest_tinybudget.quick"


@pytest.mark.parametrize("change", ["time", "size", "damaged", "cut", "another version", "moved"])
def test_compiled_code_is_taken_only_if_it_is_of_the_source(package: Path, change: str) -> None:
    source, rest = package / "module.py", "def f(): pass\n"
    source.write_text("VALUE = 1\n" + rest)
    compiled = Path(imported(package).__cached__)
    content, before = compiled.read_bytes(), source.stat()
    if change == "moved":  # it names another file in tracebacks
        py_compile.compile(str(source), cfile=str(compiled), dfile="elsewhere.py")
        assert imported(package).f.__code__.co_filename == str(source)
        return
    source.write_text(("VALUE = 22\n" if change == "size" else "VALUE = 2\n") + rest)
    moment = before.st_mtime_ns + (2_000_000_000 if change == "time" else 0)
    os.utime(source, ns=(moment, moment))
    if change == "damaged":
        compiled.write_bytes(content[:16] + b"\xff" * 8)
    elif change == "cut":
        compiled.write_bytes(content[:10])
    elif change == "another version":
        compiled.write_bytes(b"\0\0\0\0" + content[4:])
    if change == "damaged":  # as Python itself says it
        with pytest.raises((EOFError, ValueError, TypeError)):
            imported(package)
        return
    assert (22 if change == "size" else 2) == imported(package).VALUE


def test_a_module_that_is_not_there_is_told_as_python_tells_it(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'pytest_tinybudget\.quick\.x'"):
        imported(package, "x")


@pytest.mark.parametrize("name", ["json", "pytest_tinybudgets.module"])
def test_other_packages_are_left_to_python(name: str) -> None:
    assert QuickImports.find_spec(name, ["folder"]) is None
