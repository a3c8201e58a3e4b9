"""INI files, as PlatformIO and git's configuration have them."""

from __future__ import annotations

import configparser

from pytest_tinybudget.detection.finding import UnreadableError


def parse_ini(text: str) -> configparser.ConfigParser:
    """The sections of an INI text, with values as they stand: what they refer to is not replaced.

    Raises:
        UnreadableError: it is no INI text.
    """
    parser = configparser.ConfigParser(
        interpolation=None,
        strict=False,
        inline_comment_prefixes=("#", ";"),
        default_section="\0",
    )
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        raise UnreadableError("expected a [section] first", error.lineno) from None
    except configparser.ParsingError as error:
        line = error.errors[0][0] if error.errors else 0
        raise UnreadableError("not a valid INI file", line) from None
    except configparser.Error as error:
        raise UnreadableError(f"not a valid INI file: {error.message.splitlines()[0]}") from None
    return parser


def line_of(lines: list[str], section: str, wanted: str) -> int:
    """The first line (from 1) from a section's header on that says ``wanted``, else of all.

    The header's where none says it. Comments do not count.
    """
    header = f"[{section}]"
    start = next((at for at, line in enumerate(lines) if line.strip() == header), 0)
    order = [*range(start, len(lines)), *range(start)] if wanted else []
    return next((at for at in order if _says(lines[at], wanted)), start) + 1


def _says(line: str, wanted: str) -> bool:
    return wanted in line and not line.lstrip().startswith((";", "#"))
