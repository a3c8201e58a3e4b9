"""``tinybudget cache``: what is kept of conversions, models and verdicts: its size, or none."""

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
        "list, measure or clear the cache of conversions, footprints and verdicts",
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
    from pytest_tinybudget.base.cache import limit_bytes
    from pytest_tinybudget.base.cache_folder import default_folder
    from pytest_tinybudget.base.text import printable
    from pytest_tinybudget.base.units import format_size
    from pytest_tinybudget.gate.kept_verdicts import earlier_verdicts
    from pytest_tinybudget.workspace import earlier_footprints

    footprints, verdicts = earlier_footprints(), earlier_verdicts()
    cache = Cache(default_folder(), limit_bytes())
    if arguments.action == "clear":
        measured, judged = footprints.clear(), verdicts.clear()
        print(
            f"removed {cache.clear()} conversions and the footprints of {measured} models, and "
            f"the verdicts of {judged} declarations from {cache.folder}"
        )
        return 0
    entries = cache.entries()
    if arguments.action == "list":
        for entry in reversed(entries):
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
            print(f"{entry.key[:12]}  {used}  {format_size(entry.bytes):>9}  "
                  f"{printable(entry.source) or '(damaged)'}")  # fmt: skip
    total = format_size(sum(entry.bytes for entry in entries))
    limit = format_size(cache.limit)
    models, size = footprints.size()
    declarations, taken = verdicts.size()
    print(
        f"{len(entries)} conversions, {total} of at most {limit}, the footprints of {models} "
        f"models, {format_size(size)}, and the verdicts of {declarations} declarations, "
        f"{format_size(taken)}, in {cache.folder}"
    )
    return 0
