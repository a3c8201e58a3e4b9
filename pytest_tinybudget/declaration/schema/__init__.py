"""The shape of ``tinybudget.toml``: keys, types and their descriptions, as msgspec structs.

The one definition that both validation (``validate``) and the JSON Schema for editors read. What
the documentation says of each key, and a valid example, is in ``data/keys.toml`` (``keys``), and
for a type that several tables have in its ``Meta``.

To make all types takes longer than to read most declarations. So ``document`` has the sections that
every declaration has, and names the types of their keys as text, such as ``schema.sizes.Size``.
A module of this package is imported when a type in it is asked for: where a declaration has the key
(``present``), or for messages and the JSON Schema, which take all. In the other modules annotations
are evaluated: as text, msgspec would compile each of them anew.
"""

from importlib import import_module
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """The module ``name`` of this package, for the annotations of ``document``."""
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
