"""Names and text that are safe inside generated C: identifiers, comments, string literals."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_tinybudget.errors import TinybudgetError


_LONGEST_IDENTIFIER = 100
_LONGEST_COMMENT = 80


def c_identifier(name: str) -> str:
    """``name`` as a part of C identifiers and file names: letters, digits, single underscores.

    Runs of other characters become one underscore (C++ reserves two in a row), and a leading
    digit gets ``m_`` before it: ``"person-detect.v2"`` gives ``"person_detect_v2"``.

    Raises:
        TinybudgetError: nothing is left of the name, or it is too long for a file name.
    """
    identifier = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    if not identifier:
        raise TinybudgetError(f"no C identifier can be made of the model name {name!r}")
    if len(identifier) > _LONGEST_IDENTIFIER:
        raise TinybudgetError(
            f"model name too long for generated files: {len(identifier)} characters, "
            f"at most {_LONGEST_IDENTIFIER}"
        )
    return f"m_{identifier}" if identifier[0].isdigit() else identifier


def c_identifiers(names: Iterable[str]) -> dict[str, str]:
    """``c_identifier`` of each name.

    Raises:
        TinybudgetError: two names would write the same files (case counts for nothing, since
            some file systems ignore it).
    """
    identifiers: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in names:
        identifier = c_identifier(name)
        owner = owners.setdefault(identifier.lower(), name)
        if owner != name:
            raise TinybudgetError(
                f"models {owner!r} and {name!r} would both write {identifier}_model_data.h: "
                "rename one of them"
            )
        identifiers[name] = identifier
    return identifiers


def comment_text(text: str) -> str:
    """``text`` for a C comment: nothing in it can end, nest or continue a comment."""
    safe = re.sub(r"[^A-Za-z0-9_ .,:;/@=()+-]", "_", text)
    return safe if len(safe) <= _LONGEST_COMMENT else safe[: _LONGEST_COMMENT - 3] + "..."


def string_literal(text: str) -> str:
    """``text`` as a C string literal with the same UTF-8 bytes."""
    plain = re.compile(rb'[^ -~]|["\\?]')
    octal = plain.sub(lambda match: b"\\%03o" % match[0][0], text.encode("utf-8"))
    return f'"{octal.decode("ascii")}"'
