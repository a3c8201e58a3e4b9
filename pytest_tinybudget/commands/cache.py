"""``tinybudget cache``: the conversions that are kept, their size, and an empty cache."""

from __future__ import annotations

import argparse
import time

from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command


def add_commands(subparsers: Subparsers) -> None:
    """Add ``cache``."""
    parser = add_command(
        subparsers,
        "cache",
        "list, measure or clear the conversions that are kept",
        details="TINYBUDGET_CACHE names another folder, TINYBUDGET_CACHE_LIMIT another limit "
        '("200 MB").',
        example="tinybudget cache list\ntinybudget cache clear",
    )
    parser.add_argument("action", choices=("list", "size", "clear"), help="what to do")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List, measure or clear.

    Raises:
        TinybudgetError: the limit is no size.
    """
    from pytest_tinybudget.base.cache import Cache
    from pytest_tinybudget.base.cache import default_folder
    from pytest_tinybudget.base.cache import limit_bytes
    from pytest_tinybudget.base.text import printable
    from pytest_tinybudget.base.units import format_size

    cache = Cache(default_folder(), limit_bytes())
    if arguments.action == "clear":
        print(f"removed {cache.clear()} conversions from {cache.folder}")
        return 0
    entries = cache.entries()
    if arguments.action == "list":
        for entry in reversed(entries):
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
            print(f"{entry.key[:12]}  {used}  {format_size(entry.bytes):>9}  "
                  f"{printable(entry.source) or '(damaged)'}")  # fmt: skip
    total = format_size(sum(entry.bytes for entry in entries))
    limit = format_size(cache.limit)
    print(f"{len(entries)} conversions, {total} of at most {limit}, in {cache.folder}")
    return 0
