"""Names from model files and declarations: safe to show, safe to compile."""

from __future__ import annotations

import json
import re
from functools import lru_cache


#: What models, boards and groups may be called.
_VALID_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")

#: TOML keys that need no quotes.
_BARE_KEY = r"[A-Za-z0-9_-]+\Z"

#: Keywords of C11 and C++20 and alternative operators: no constant may be called so.
_C_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
        alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t
        char16_t char32_t class co_await co_return co_yield compl concept const const_cast
        consteval constexpr constinit continue decltype default delete do double dynamic_cast
        else enum explicit export extern false float for friend goto if inline int long main
        mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
        public register reinterpret_cast requires restrict return short signed sizeof static
        static_assert static_cast struct switch template this thread_local throw true try
        typedef typeid typename typeof union unsigned using virtual void volatile wchar_t while
        xor xor_eq
        """,
    )
)


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
    return _VALID_NAME.match(name) is not None


def toml_key(name: str) -> str:
    """``name`` as a key in TOML, in quotes where it needs them."""
    return name if re.match(_BARE_KEY, name) else json.dumps(printable(name))


@lru_cache(maxsize=256)
def c_identifier(name: str) -> str:
    """A C and C++ identifier made of ``name``: the same for the same name, never reserved.

    Different names may give the same identifier (``a-b`` and ``a.b``).
    """
    identifier = re.sub(r"[^A-Za-z0-9]+|_+", "_", name).strip("_")
    identifier = re.sub(r"__+", "_", identifier)
    if not identifier:
        return "model"
    if identifier[0].isdigit():
        return f"model_{identifier}"
    return f"{identifier}_" if identifier in _C_KEYWORDS else identifier
