"""``tinybudget schema``: the JSON Schema of a declaration, for editors, and of files it writes."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.declaration import declaration_schema


def add_commands(subparsers: Subparsers) -> None:
    """Add ``schema``."""
    parser = add_command(
        subparsers,
        "schema",
        "print the JSON Schema of tinybudget.toml, for editors",
        details="With it, an editor with a TOML language server completes keys and marks\n"
        "mistakes. --results prints the schema of results files, --fit that of what fit\n"
        "--json writes.",
        example="tinybudget schema -o .tinybudget.schema.json",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="write to FILE (default: print)"
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--results", action="store_true", help="the schema of results files")
    kinds.add_argument("--fit", action="store_true", help="the schema of what fit --json writes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the schema.

    Raises:
        TinybudgetError: the file cannot be written.
    """
    schema = declaration_schema()
    if arguments.results:
        schema = _results_schema()
    if arguments.fit:
        schema = _fit_schema()
    write_output(arguments.output, json.dumps(schema, indent=2) + "\n")
    return 0


def _results_schema() -> dict[str, Any]:
    from pytest_tinybudget.results.json_schema import json_schema

    return json_schema()


def _fit_schema() -> dict[str, Any]:
    from pytest_tinybudget.fitting.result import json_schema

    return json_schema()
