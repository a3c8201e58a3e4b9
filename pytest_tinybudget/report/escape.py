"""Text from models and declarations made harmless, with one function for each target.

All go through ``printable`` first, so that line ends, control characters and bidirectional
overrides are visible escapes; what is left is what the target itself would act upon.
"""

from __future__ import annotations

import html as html_module
import re

from pytest_tinybudget.base.text import printable


#: A hostile name may be megabytes long; no report needs more of one text than this.
MOST_CHARACTERS = 500

#: What Markdown may take for markup or a link (also ``www.``), anywhere in a line.
_MARKUP = re.compile(
    r"[#$&*<>@\[\\\]^`|~]|(?<![a-z0-9])_|_(?![a-z0-9])|:(?=\S)|(?<=www)\.|^[-+=]|^\d+(?=[.)])",
    re.IGNORECASE,
)

#: What GitHub and GitLab make a mention, an issue, a snippet or a label of.
_REFERENCE = re.compile(r"(&#(?:64|35|36|38|126);)(?=\w)")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def html(text: str, *, limit: int = MOST_CHARACTERS) -> str:
    """``text`` as the content of an HTML or SVG element, or of a quoted attribute."""
    return html_module.escape(printable(text, limit=limit))


def markdown(text: str, *, limit: int = MOST_CHARACTERS) -> str:
    """``text`` as words of a Markdown line or table cell: no markup, no link, no mention.

    Character references keep Markdown from acting; an empty comment parts a mention's sign from
    its name, because GitHub looks for mentions after character references are resolved.
    """
    return _REFERENCE.sub(r"\1<!-- -->", _as_references(printable(text, limit=limit)))


def markdown_code(text: str, *, limit: int = MOST_CHARACTERS) -> str:
    """``text`` as code in a Markdown line or table cell.

    An element, not backticks: what is in the text cannot end it, neither can a ``|``.
    """
    return f"<code>{_as_references(printable(text, limit=limit))}</code>"


def _as_references(text: str) -> str:
    return _MARKUP.sub(lambda match: "".join(f"&#{ord(each)};" for each in match[0]), text)


def command_message(text: str, *, limit: int = MOST_CHARACTERS) -> str:
    """``text`` as the message of a GitHub workflow command (``::error::MESSAGE``)."""
    return printable(text, limit=limit).replace("%", "%25")


def command_property(text: str, *, limit: int = MOST_CHARACTERS) -> str:
    """``text`` as the value of a property of a GitHub workflow command (``file=VALUE``)."""
    return command_message(text, limit=limit).replace(":", "%3A").replace(",", "%2C")


def openmetrics_label(text: str, *, limit: int = MOST_CHARACTERS) -> str:
    """``text`` as a label's value in OpenMetrics, between double quotes."""
    return printable(text, limit=limit).replace("\\", "\\\\").replace('"', '\\"')


def csv_cell(text: str, *, limit: int = MOST_CHARACTERS) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula; quoting is the writer's."""
    shown = printable(text, limit=limit)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
