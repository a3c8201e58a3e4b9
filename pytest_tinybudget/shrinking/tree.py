"""A model's tables as they are changed when it is shrunk: each table once for each place.

In a file one table may stand in several places. Changed there, it would change in all of them, so
shrinking works on a copy in which no two places share a table. Vectors of numbers stay shared, and
are replaced, never changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import Vector
from pytest_tinybudget.graph.tables import fields_of


#: Options that name a subgraph by its number, in any operator that the schema knows.
_CALLS = ("subgraph_index", "subgraph")


def copied(table: Table) -> Table:
    """``table`` with copies of all tables that it leads to."""
    return Table(table.kind, {name: _copied(value) for name, value in table.values.items()})


def _copied(value: Any) -> Any:
    if isinstance(value, Vector):
        return Vector([copied(each) for each in value.tables])
    return copied(value) if isinstance(value, Table) else value


def numbers(value: Any) -> tuple[int, ...]:
    """The entries of a vector of 32-bit integers; none where it is absent."""
    if not isinstance(value, Leaf):
        return ()
    return struct.unpack(f"<{value.count}i", value.content)


def leaf_of(values: Sequence[int]) -> Leaf:
    """A vector of 32-bit integers."""
    return Leaf(len(values), struct.pack(f"<{len(values)}i", *values))


def renumber(table: Table, name: str, places: Mapping[int, int]) -> None:
    """Replace the numbers of a vector by those in ``places``, -1 by itself."""
    if name in table.values:
        old = numbers(table.values[name])
        table.values[name] = leaf_of([places[each] if each != -1 else -1 for each in old])


def set_vector(owner: Table, name: str, tables: Iterable[Table]) -> None:
    """Make ``tables`` the vector ``name``; leave that out where there are none."""
    found = list(tables)
    if found:
        owner.values[name] = Vector(found)
    else:
        owner.drop(name)


def options_of(operator: Table) -> Table | None:
    """The table of an operator's builtin options."""
    found = operator.values.get("builtin_options") or operator.values.get("builtin_options_2")
    return found if isinstance(found, Table) else None


def calls(operator: Table) -> dict[str, int]:
    """The subgraphs that an operator calls, by the name of the option that says so."""
    options = options_of(operator)
    if options is None:
        return {}
    named = [name for name, _ in fields_of(options.kind) if name and name.endswith(_CALLS)]
    return {name: options.values.get(name, 0) for name in named}


def calls_unknown(operator: Table) -> bool:
    """Whether an operator calls subgraphs in a way that cannot be renumbered here."""
    options = options_of(operator)
    return options is not None and options.kind in ("StablehloCaseOptions", "CallOptions")
