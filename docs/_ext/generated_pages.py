"""Pages that are made from code, and the repository's own pages, when the site is built.

A page under ``reference/`` or ``project/`` holds one line, ``<!-- generated: NAME -->``; its text
comes from the function of that name here, so that the reference cannot differ from the program.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget import hooks as hook_specifications
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.cli import command_line_parser
from pytest_tinybudget.declaration.json_schema import json_schema
from pytest_tinybudget.pytest_plugin import plugin
from pytest_tinybudget.results.json_schema import json_schema as results_schema


if TYPE_CHECKING:
    from sphinx.application import Sphinx


ROOT = Path(__file__).parents[2]

_MARK = re.compile(r"<!-- generated: (\w+) -->")
_ROOT_PAGES = ("README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _replace)
    return {"parallel_read_safe": True}


def _replace(_app: Sphinx, page: str, source: list[str]) -> None:
    mark = _MARK.search(source[0])
    if mark is not None:
        source[0] = _PAGES[mark[1]]()
    source[0] = _site_links(source[0], "../" * page.count("/"))


def _site_links(text: str, up: str) -> str:
    """Links to the repository's own pages as links within the site."""
    for name in _ROOT_PAGES:
        text = text.replace(f"](../{name}.md", f"]({up}project/{name.lower()}.md")
    return text.replace("](../schemas/results.schema.json)", f"]({up}reference/results.md)")


def _root_page(name: str) -> str:
    """A page of the repository's root, with its links as seen from ``project/``."""
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](../", text)
    for other in _ROOT_PAGES:
        text = text.replace(f"]({other}.md", f"]({other.lower()}.md")
    elsewhere = "examples|changelog|schemas|LICENSE|NOTICE"
    return re.sub(rf"\[([^\]]+)\]\((?:{elsewhere})[^)]*\)", r"\1", text)


# The declaration, from its schema


def declaration() -> str:
    schema = json_schema()
    definitions = schema["$defs"]
    lines = ["# Keys of `tinybudget.toml`", "", "Made from the schema that the loader checks with."]
    for name, section in schema["properties"].items():
        lines += ["", f"## `{name}`", ""]
        lines += _section(name, section, definitions)
    return "\n".join(lines) + "\n"


def _section(name: str, section: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    if "description" in section:
        yield section["description"]
    table = section.get("additionalProperties", section)
    title = f"[{name}.NAME]" if "additionalProperties" in section else f"[{name}]"
    yield from _table(title, _resolved(table, definitions), definitions, 3)
    for key, nested in section.get("properties", {}).items():
        inner = nested.get("additionalProperties", nested)
        yield from _table(f"[{name}.{key}.NAME]", _resolved(inner, definitions), definitions, 3)


def _table(
    title: str, table: dict[str, Any], definitions: dict[str, Any], level: int
) -> Iterator[str]:
    properties = table.get("properties")
    if not properties:
        return
    yield from ("", f"{'#' * level} `{title}`", "", table.get("description", ""), "")
    yield "| key | takes | means | example |"
    yield "|---|---|---|---|"
    nested = []
    for key, node in properties.items():
        shape = _resolved(node, definitions)
        example = next(iter(node.get("examples", shape.get("examples", []))), None)
        shown = f"`{_toml(example)}`" if example is not None else ""
        means = node.get("description", shape.get("description", ""))
        yield f"| `{key}` | {_type(node, definitions)} | {_cell(means)} | {_cell(shown)} |"
        nested += [(key, inner) for inner in _inner_tables(node, definitions)]
    for key, inner in nested:
        yield from _table(f"{title.strip('[]')}.{key}", inner, definitions, min(level + 1, 5))


def _inner_tables(node: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for each in (node, *node.get("anyOf", ()), node.get("items", {})):
        shape = _resolved(each, definitions)
        if shape.get("properties"):
            yield shape


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return definitions[reference.rpartition("/")[2]] if reference else node


def _type(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    node = {**_resolved(node, definitions), **node}
    if "anyOf" in node:
        return ", or ".join(dict.fromkeys(_type(each, definitions) for each in node["anyOf"]))
    if "enum" in node:
        return ", ".join(f"`{_toml(value)}`" for value in node["enum"])
    if "const" in node:
        return f"`{_toml(node['const'])}`"
    if node.get("type") == "array":
        return f"list of {_type(node.get('items', {}), definitions)}"
    names = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    return names.get(node.get("type", ""), node.get("type", "table")).replace("object", "table")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# The command line, from its parser


def command_line() -> str:
    lines = ["# Every command and option", "", "What `tinybudget COMMAND --help` prints."]
    for name, parser in _commands(command_line_parser(), "tinybudget"):
        lines += ["", f"## `{name}`", "", "```text", parser.format_help().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _commands(
    parser: argparse.ArgumentParser, name: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from _commands(inner, f"{name} {word}")


# pytest's options and ini values, from the plugin


def pytest_options() -> str:
    recorded = _Options()
    plugin.pytest_addoption(recorded)  # type: ignore[arg-type]
    lines = ["# Options and ini values of pytest", "", "| option | ini value | does |"]
    lines.append("|---|---|---|")
    for name, takes, text in recorded.options:
        ini = name.removeprefix("--").replace("-", "_")
        value = f"={takes}" if takes else ""
        known = f"`{ini}`" if ini in recorded.ini else ""
        lines.append(f"| `{name}{value}` | {known} | {_cell(text)} |")
    return "\n".join(lines) + "\n"


class _Options:
    """Takes the place of pytest's parser and notes what the plugin adds."""

    def __init__(self) -> None:
        self.options: list[tuple[str, str, str]] = []
        self.ini: list[str] = []

    def getgroup(self, *_: object) -> _Options:
        return self

    def addoption(self, name: str, *, help: str, metavar: str = "", **_: object) -> None:  # noqa: A002
        self.options.append((name, metavar, help))

    def addini(self, name: str, *_: object, **__: object) -> None:
        self.ini.append(name)


# Hooks, results, boards


def hooks() -> str:
    lines = ["# Hooks", "", "Examples: [hooks for other plugins](../hooks.md)."]
    for name, hook in vars(hook_specifications).items():
        if name.startswith("pytest_tinybudget_") and callable(hook):
            signature = f"def {name}{inspect.signature(hook)}".replace("'", "")
            lines += ["", f"## `{name}`", "", "```python", signature, "```", ""]
            lines.append(re.sub(r"``([^`]+)``", r"`\1`", inspect.getdoc(hook) or ""))
    return "\n".join(lines) + "\n"


def results() -> str:
    schema = results_schema()
    definitions = schema["$defs"]
    lines = ["# Fields of the results file", "", schema["description"]]
    lines += _fields("the file", schema, definitions)
    for name, shape in definitions.items():
        lines += _fields(name, shape, definitions)
    return "\n".join(lines) + "\n"


def _fields(name: str, shape: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    if "properties" not in shape:
        return
    yield from ("", f"## {name}", "", shape.get("description", ""), "")
    yield from ("| field | is | means |", "|---|---|---|")
    for field, node in shape["properties"].items():
        means = node.get("description", _resolved(node, definitions).get("description", ""))
        yield f"| `{field}` | {_field_type(node, definitions)} | {_cell(means)} |"


def _field_type(node: dict[str, Any], definitions: dict[str, Any]) -> str:
    reference = node.get("$ref", "").rpartition("/")[2]
    if reference and "properties" in definitions[reference]:
        return f"[{reference}](#{reference})"
    if "anyOf" in node:
        return " or ".join(_field_type(each, definitions) for each in node["anyOf"])
    if node.get("type") == "array":
        return f"list of {_field_type(node.get('items', {}), definitions)}"
    return _type(node, definitions)


def boards() -> str:
    lines = ["# The boards of the catalog", ""]
    lines += ["| id | board | core | flash | RAM | source |", "|---|---|---|---|---|---|"]
    for board in sorted(catalog().values(), key=lambda board: board.id):
        flash, ram = format_size(board.usable_flash), format_size(board.usable_ram)
        name = board.name + ("" if board.verified else " (not verified)")
        lines.append(
            f"| `{board.id}` | {_cell(name)} | {board.core} | {flash} | {ram} "
            f"| {_cell(board.source)} |"
        )
    return "\n".join(lines) + "\n"


_PAGES: dict[str, Callable[[], str]] = {
    "declaration": declaration,
    "command_line": command_line,
    "pytest_options": pytest_options,
    "hooks": hooks,
    "results": results,
    "boards": boards,
    **{name.lower(): (lambda name=name: _root_page(name)) for name in _ROOT_PAGES},
}
