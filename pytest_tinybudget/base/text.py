"""Names from model files and declarations: safe to show, safe to compile."""

from __future__ import annotations

import json
import string
from functools import lru_cache


_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)

#: What names of models, boards and groups are made of, and TOML keys that need no quotes.
_OF_NAMES = _ALPHANUMERIC | frozenset("._-")
_OF_BARE_KEYS = _ALPHANUMERIC | frozenset("_-")

#: Keywords of C11 and C++20 and alternative operators: no constant may be called so.
_C_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t
    char16_t char32_t class co_await co_return co_yield compl concept const const_cast
    consteval constexpr constinit continue decltype default delete do double dynamic_cast
    else enum explicit export extern false float for friend goto if inline int long main
    mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
    public register reinterpret_cast requires restrict return short signed sizeof static
    static_assert static_cast struct switch template this thread_local throw true try
    typedef typeid typename typeof union unsigned using virtual void volatile wchar_t while
    xor xor_eq
"""


def printable(text: str, *, limit: int = 200) -> str:
    """``text`` fit for a terminal or a report, on one line.

    Control characters, escape sequences, line ends, bidirectional overrides and other invisible
    characters become visible escapes (``\\x1b``, ``\\u202e``); more than ``limit`` characters
    are cut with an ellipsis.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def is_valid_name(name: str) -> bool:
    """Whether ``name`` may name a model, board or group: letters, digits, ``.``, ``_``, ``-``."""
    return bool(name) and _OF_NAMES.issuperset(name)


def toml_key(name: str) -> str:
    """``name`` as a key in TOML, in quotes where it needs them."""
    return name if name and _OF_BARE_KEYS.issuperset(name) else json.dumps(printable(name))


@lru_cache(maxsize=256)
def c_identifier(name: str) -> str:
    """A C and C++ identifier made of ``name``: the same for the same name, never reserved.

    Different names may give the same identifier (``a-b`` and ``a.b``).
    """
    letters = (character if character in _ALPHANUMERIC else " " for character in name)
    identifier = "_".join("".join(letters).split())
    if not identifier:
        return "model"
    if identifier[0].isdigit():
        return f"model_{identifier}"
    return f"{identifier}_" if identifier in _C_KEYWORDS.split() else identifier
