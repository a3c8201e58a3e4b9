"""Text from models and declarations that is safe inside generated C."""

from __future__ import annotations

import re
import string


_LONGEST_COMMENT = 200
_SAFE = frozenset(string.ascii_letters + string.digits + "_ .,:;/@#=()+-")


def comment_text(text: str) -> str:
    """``text`` for a C comment: nothing in it can end, nest or continue a comment."""
    safe = "".join(character if character in _SAFE else "_" for character in text)
    return safe if len(safe) <= _LONGEST_COMMENT else safe[: _LONGEST_COMMENT - 3] + "..."


def string_literal(text: str) -> str:
    """``text`` as a C string literal with the same UTF-8 bytes."""
    special = re.compile(rb'[^ -~]|["\\?]')
    octal = special.sub(lambda match: b"\\%03o" % match[0][0], text.encode("utf-8"))
    return f'"{octal.decode("ascii")}"'
