"""Finds a model in a C or C++ source file: the array that holds it is known by its content.

An array is a model where its bytes 4 to 8 are the identifier of TF Lite, whatever it is called.
The text is read as a compiler reads it, as far as an array of constants needs that: comments,
spliced lines, literals, ``#if 0``. Nothing is expanded, so a macro as an element is refused.

Files of megabytes are usual, so positions are found and elements parsed by what runs in C: each
way to write an element (there are few hundred) is parsed once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.graph.locations import MAX_FILE_BYTES
from pytest_tinybudget.graph.locations import SEPARATOR


#: Limits of braces and of models in one file: beyond them it is not read as a source.
_MOST_BRACES, _MOST_MODELS = 200_000, 100
#: The longest declaration of an array, characters up to its first element.
_LONGEST_DECLARATION = 2000
#: The deepest indentation of a directive, characters.
_LONGEST_INDENT = 200

_IDENTIFIER = b"TFL3"
_IDENTIFIER_END = 8
_CHUNK_BYTES = 1 << 20
_MOST_SPELLINGS = 1 << 16
_LONGEST_SHOWN = 40
_SPACE = b" \t\r\n\v\f"

_SPLICE = re.compile(rb"\\\r?\n")
_ONE_SPACE = bytes(0x20 if byte in _SPACE else byte for byte in range(256))
_BLANK = bytes(byte if byte in b"\r\n" else 0x20 for byte in range(256))
#: Where a comment, a string or a character begins; a comment to the end of its line is whole.
_MARK = re.compile(rb"//[^\n]*|/\*|\"|'")
_CHARACTER = re.compile(rb"'(\\[^\n]|\\x[0-9a-fA-F]{1,8}|\\[0-7]{1,3}|[^'\\\n])'")
_PREFIX = re.compile(rb"(?<![A-Za-z0-9_])(u8|u|U|L)\Z")
_RAW_PREFIX = re.compile(rb"(?<![A-Za-z0-9_])(u8|u|U|L)?R\Z")
_DIGITS_BEFORE = re.compile(rb"(?<![A-Za-z0-9_])[0-9][0-9A-Za-z_']*\Z")
_RAW = re.compile(rb'"([^ ()\\\t\v\f\n"]{0,16})\(')
_DIRECTIVE = re.compile(rb"#[ \t]*([a-z]+)([^\n]*)")
_ATTRIBUTE = re.compile(rb"\[\[[^\[\]]*\]\]")
_PARENTHESES = re.compile(rb"\([^()]*\)")
_BRACKETED = re.compile(rb"(?<!\w)([A-Za-z_]\w*)\s*\[([^\[\]]*)\]\s*(\[)?")
_TEMPLATE = re.compile(rb"\barray\s*<([^<>,]*),([^<>]*)>\s*(?:const\s+)?([A-Za-z_]\w*)")
_WIDE = re.compile(rb"\bu?int(16|32|64)_t\b")
_OTHER_TYPE = re.compile(rb"\b(float|double|bool|struct|enum|int|long|short|wchar_t)\b")
_ELEMENT = re.compile(
    rb"(?:\(\s*[A-Za-z_][\w\s]*\)\s*)?([+-]?)\s*"
    rb"(?:0[xX]([0-9a-fA-F']+)|0[bB]([01']+)|(0[0-7']*)|([1-9][0-9']*))[uUlLzZ]{0,3}"
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]+)|([0-7]{1,3})|(.))", re.DOTALL)
#: What generators write beside an array: ``model_tflite_len``, ``g_model_data_size``.
_LENGTH = re.compile(rb"(?<!\w)(\w{1,200})_(len|length|size)\s*=\s*([0-9]{1,12})(?!\w)")
_SIMPLE = {
    b"n": 10, b"t": 9, b"r": 13, b"a": 7, b"b": 8, b"f": 12, b"v": 11,
    b"\\": 92, b"'": 39, b'"': 34, b"?": 63, b"e": 27,
}  # fmt: skip
#: Of ``.incbin "file"``, ``#embed "file"`` and ``#include "file"``.
_FILE_NAME = re.compile(rb"[\"<]([^\">\n]{1,200})[\">]")
_INCBIN = re.compile(rb"incbin[^\"\n]{0,100}\"([^\"\\\n]{1,200})", re.IGNORECASE)


class CArray(Struct, frozen=True):
    """A model in a source file: the array's name, its line (from 1) and its bytes."""

    name: str
    line: int
    content: bytes


def assembler_words(source: bytes) -> str:
    """The message for assembler, which is not read: where the model is instead."""
    found = _INCBIN.search(source)
    where = f": its .incbin takes {_shown(found[1])!r}, give that file" if found else ""
    return f"is assembler, which is not read{where}"


def model_bytes(source: bytes, label: str, name: str = "") -> bytes:
    """The model in the text ``source``: its only one, or the array called ``name``.

    Raises:
        ModelError: there is none, there are several and no name, or an array is wrong.
    """
    found = models_in(source, label)
    if name:
        chosen = [array for array in found if array.name == name]
        if not chosen:
            text = f"{label}: no model is called {printable(name)!r}{_offer(name, found)}"
            raise ModelError(text, code="TB101")
        found = chosen
    if len({array.content for array in found}) > 1:
        told = ", ".join(f"{array.name} (line {array.line})" for array in found[:8])
        if name:
            raise ModelError(f"{label}: several arrays have that name: {told}")
        raise ModelError(
            f"{label}: holds {len(found)} models: {told}; name one: "
            f"{printable(Path(label).name)}{SEPARATOR}{found[0].name}"
        )
    return found[0].content


def _offer(name: str, found: Sequence[CArray]) -> str:
    names = [array.name for array in found]
    offers = nearest(name, names) or names[:3]
    return f"; did you mean {', '.join(map(repr, offers))}?"


def models_in(source: bytes, label: str) -> list[CArray]:
    """Every model in the text ``source``, in its order.

    Raises:
        ModelError: there is none, or an array that begins as a model is wrong.
    """
    return _Source(source, label).models()


class _Initializer(Struct, frozen=True):
    """An array's declaration: ``start`` is its first element; ``size`` is 0 where none is told."""

    name: str
    at: int
    start: int
    width: int
    size: int
    is_text: bool


class _Source:
    """One text: ``code`` is as long as ``text``, without comments, directives and literals."""

    def __init__(self, source: bytes, label: str) -> None:
        self.label = label
        if source[:2] in (b"\xff\xfe", b"\xfe\xff"):
            self.fail(0, "is UTF-16 text, which no compiler of a firmware reads: save it as UTF-8")
        self.splices = [match.end() for match in _SPLICE.finditer(source)]
        self.text = _SPLICE.sub(b"", source) if self.splices else source
        self.strings: list[tuple[int, int]] = []
        self.line_end = 0  # of the line that the last string began in
        self.directives: list[tuple[int, str, bytes]] = []
        self.code = self._without_directives(self._without_literals())

    def fail(self, position: int, text: str) -> NoReturn:
        place = f"{self.label}:{self.line(position)}" if position else self.label
        raise ModelError(f"{place}: {text}")

    def line(self, position: int) -> int:
        """The line (from 1) of a position in ``text``."""
        newlines = self.text.count(b"\n", 0, position)
        # Each splice took two or three bytes away before what follows it.
        gone = [end - 2 * (index + 1) for index, end in enumerate(self.splices)]
        return 1 + newlines + bisect_right(gone, position)

    # The text as a compiler sees it.

    def _without_literals(self) -> bytes:
        """The text with comments and strings blanked and characters as numbers."""
        pieces: list[bytes] = []
        text, kept = self.text, 0
        found = _MARK.search(text)
        while found is not None:
            at, end = found.span()
            if text.startswith(b"//", at):
                instead: bytes | None = b" " * (end - at)
            else:
                at, end, instead = self._literal(at)
            if instead is not None:
                pieces += (text[kept:at], instead)
                kept = end
            found = _MARK.search(text, end)
        return b"".join((*pieces, text[kept:]))

    def _literal(self, at: int) -> tuple[int, int, bytes | None]:
        """Start and end of what begins at ``at``, and what stands in its place, as long as it."""
        text = self.text
        if text.startswith(b"/*", at):
            closed = text.find(b"*/", at + 2)
            end = len(text) if closed < 0 else closed + 2
            return at, end, text[at:end].translate(_BLANK)
        before = text[max(0, at - 20) : at]
        if text.startswith(b'"', at):
            return self._string(at, before)
        if _DIGITS_BEFORE.search(before):
            return at, at + 1, None  # separates digits: 1'000
        found = _CHARACTER.match(text, at)
        if found is None:
            return at, at + 1, None
        value, prefix = _character(found[1]), _PREFIX.search(before)
        start = at - (len(prefix[1]) if prefix else 0)
        return start, found.end(), str(value).encode().ljust(found.end() - start)

    def _string(self, at: int, before: bytes) -> tuple[int, int, bytes | None]:
        text = self.text
        raw = _RAW.match(text, at) if _RAW_PREFIX.search(before) else None
        if raw is not None:
            closing = b")" + raw[1] + b'"'
            closed = text.find(closing, raw.end())
            end = len(text) if closed < 0 else closed + len(closing)
            return at, end, text[at:end].translate(_BLANK)
        if at >= self.line_end:
            found = text.find(b"\n", at)
            self.line_end = len(text) if found < 0 else found
        end = text.find(b'"', at + 1, self.line_end)
        while end > 0 and _is_escaped(text, end):
            end = text.find(b'"', end + 1, self.line_end)
        if end < 0:  # not closed: nothing more of the line is looked at
            return at, self.line_end, None
        self.strings.append((at, end + 1))
        return at, end + 1, b'"' + b" " * (end - at - 1) + b'"'

    def _without_directives(self, code: bytes) -> bytes:
        """``code`` without lines that begin with ``#``, and without what ``#if 0`` leaves out."""
        pieces, kept, at = [], 0, code.find(b"#")
        conditions: list[bool | None] = []
        left_out = 0  # how many of the conditions are false here
        while at >= 0:
            least = max(0, at - _LONGEST_INDENT)
            line = max(code.rfind(b"\n", least, at) + 1, least)
            found, end = _DIRECTIVE.match(code, at), at + 1
            if found is not None and not code[line:at].strip(_SPACE):
                end = found.end()
                name = found[1].decode("ascii")
                self.directives.append((at, name, self.text[at:end]))
                pieces.append(code[kept:at].translate(_BLANK) if left_out else code[kept:at])
                pieces.append(code[at:end].translate(_BLANK))
                kept = end
                left_out += _enter(conditions, name, found[2].strip(_SPACE))
            at = code.find(b"#", end)
        return b"".join((*pieces, code[kept:]))

    # Arrays in it.

    def models(self) -> list[CArray]:
        """The whole content of every array that begins as a model does."""
        chosen, looked_at = [], 0
        included: tuple[int, str] | None = None
        for each in self._initializers():
            looked_at += 1
            included = included or self._included(each)
            if self._head(each)[4:_IDENTIFIER_END] == _IDENTIFIER:
                chosen.append(each)
        if len(chosen) > _MOST_MODELS:
            self.fail(chosen[_MOST_MODELS].at, f"more than {_MOST_MODELS} models in one file")
        if not chosen:
            self._fail_without(included, looked_at)
        lengths = self._lengths(chosen)
        return [self._whole(each, lengths) for each in chosen]

    def _fail_without(self, included: tuple[int, str] | None, arrays: int) -> NoReturn:
        """Raise the error that there is no model, with what the text tells about where it is."""
        if included is not None:
            self.fail(*included)
        text = "holds no model: no array has the identifier TFL3 at byte 4"
        found = _INCBIN.search(self.text)
        if found is not None:
            self.fail(found.start(), f"{text}; .incbin takes {_shown(found[1])!r}, give that file")
        told = {0: "it has no array", 1: "one was looked at"}
        self.fail(0, f"{text} ({told.get(arrays, f'{arrays:,} were looked at')})")

    def _initializers(self) -> Iterator[_Initializer]:
        """What may initialize an array of bytes."""
        code, looked_at = self.code, 0
        at = code.find(b"{")
        while at >= 0:
            start, looked_at = at + 1, looked_at + 1
            if looked_at > _MOST_BRACES:
                self.fail(at, "more braces than the source of a model has")
            found = self._declared(at, is_text=False)
            if found is not None:
                yield found
                closed = code.find(b"}", start)
                start = len(code) if closed < 0 else closed
            at = code.find(b"{", start)
        last = -1
        for at, end in self.strings:
            follows = last >= 0 and not code[last:at].strip(_SPACE)
            last = end
            if not follows and code[at : at + 1] == b'"':
                found = self._declared(at, is_text=True)
                if found is not None:
                    yield found

    def _declared(self, at: int, *, is_text: bool) -> _Initializer | None:
        """The array whose initializer begins at ``at``; ``None`` where that is something else."""
        code = self.code
        window = code[max(0, at - _LONGEST_DECLARATION) : at]
        first = 1 + max(window.rfind(mark) for mark in (b";", b"{", b"}"))
        words = window[first:].strip(_SPACE)
        assigned = words.endswith(b"=")
        if is_text and not assigned:
            return None
        words = _ATTRIBUTE.sub(b" ", words.rstrip(b"=" + _SPACE))
        for _ in range(4):
            words = _PARENTHESES.sub(b" ", words)
        named = _BRACKETED.search(words)
        if named is not None:
            name, size, types = named[1], named[2], words[: named.start()]
            if named[3]:
                return None  # of two dimensions
        else:
            named = _TEMPLATE.search(words)
            if named is None:
                return None
            name, size, types = named[3], named[2], named[1]
        wide = _WIDE.search(types)
        if _OTHER_TYPE.search(types):
            return None
        start = at if is_text else at + 1
        if not is_text:  # std::array's inner braces
            inner = code[start : start + _LONGEST_INDENT].lstrip(_SPACE)
            if inner.startswith(b"{"):
                start = code.find(b"{", start) + 1
        told = _value(size.strip(_SPACE))
        return _Initializer(
            name=name.decode("ascii", "replace"),
            at=at,
            start=start,
            width=int(wide[1]) // 8 if wide else 1,
            size=max(0, told or 0),
            is_text=is_text,
        )

    def _included(self, each: _Initializer) -> tuple[int, str] | None:
        """The message for an array whose elements are in another file."""
        end = self.code.find(b"}", each.start)
        if each.is_text or end < 0 or self.code[each.start : end].strip(_SPACE):
            return None
        for at, name, line in self.directives:
            if each.start <= at < end and name in ("include", "embed"):
                file = _FILE_NAME.search(line)
                told = f" {_shown(file[1])!r}" if file else " another file"
                return at, f"{each.name}: its elements are in{told}: give that file"
        return None

    def _head(self, each: _Initializer) -> bytes:
        """The first bytes of an array, as many as can be read."""
        if each.is_text:
            return self._text_content(each, at_most=_LONGEST_DECLARATION)
        content = b""
        for token in self.code[each.start : each.start + _LONGEST_DECLARATION].split(b",", 9)[:8]:
            part = _bytes_of(token, each.width)
            if part is None:
                break
            content += part
        return content

    def _lengths(self, arrays: Sequence[_Initializer]) -> dict[bytes, tuple[int, bytes, int]]:
        """Lengths that variables state of arrays: position, name and bytes, by the array's name."""
        found: dict[bytes, tuple[int, bytes, int]] = {}
        at = 0
        for start, end in (*map(self._span, arrays), (len(self.code), 0)):
            for each in _LENGTH.finditer(self.code, at, max(at, start)):
                name = each[1] + b"_" + each[2]
                found.setdefault(each[1], (each.start(), name, int(each[3])))
            at = max(at, end)
        return found

    def _span(self, each: _Initializer) -> tuple[int, int]:
        end = self.code.find(b";" if each.is_text else b"}", each.start)
        return each.at, len(self.code) if end < 0 else end

    def _whole(self, each: _Initializer, lengths: Mapping[bytes, tuple[int, bytes, int]]) -> CArray:
        content = self._text_content(each) if each.is_text else self._elements(each)
        count, size = len(content), each.size * each.width
        if size and count > size:
            text = f"declared with {each.size:,} elements, but has {count // each.width:,}"
            self.fail(each.at, f"{each.name}: {text}")
        if size > MAX_FILE_BYTES:
            self.fail(each.at, f"{each.name}: {size:,} bytes are more than any flash holds")
        at, name, told = lengths.get(each.name.encode(), (0, b"", count))
        # A text takes one more, which is its end.
        if told not in (count, size or count, count + each.is_text):
            text = f"{_shown(name)} says {told:,} bytes, but the array holds {count:,}"
            self.fail(at, f"{each.name}: {text}: is it cut off?")
        # As in C, elements that are not written are zero.
        return CArray(each.name, self.line(each.at), content + bytes(max(0, size - count)))

    def _elements(self, each: _Initializer) -> bytes:
        """The bytes of a list of numbers, a chunk of the text at a time."""
        code, parts = self.code, []
        end = code.find(b"}", each.start)
        if end < 0:
            self.fail(each.at, f"{each.name}: the array has no end ('}}' is missing)")
        spellings: dict[bytes, bytes | None] = {}
        at = each.start
        while at < end:
            cut = code.find(b",", min(at + _CHUNK_BYTES, end), end)
            cut = end if cut < 0 else cut
            chunk = code[at:cut]
            content = None
            if each.width == 1:
                content = _plain_hex(chunk, is_last=cut == end)
            if content is None:
                tokens = chunk.split(b",")
                if cut == end and not tokens[-1].strip(_SPACE):
                    tokens.pop()  # after a last comma
                for token in set(tokens).difference(spellings):
                    spellings[token] = _bytes_of(token, each.width)
                    if spellings[token] is None:
                        self._fail_at_element(each, at, tokens, token)
                content = b"".join(map(spellings.__getitem__, tokens))  # type: ignore[arg-type]
                if len(spellings) > _MOST_SPELLINGS:
                    spellings.clear()
            parts.append(content)
            at = cut + 1
        return b"".join(parts)

    def _fail_at_element(
        self, each: _Initializer, at: int, tokens: Sequence[bytes], token: bytes
    ) -> NoReturn:
        before = tokens[: tokens.index(token)]
        position = at + sum(map(len, before)) + len(before)
        position += len(token) - len(token.lstrip(_SPACE))
        shown = _shown(token.strip(_SPACE)) or "nothing"
        most = (1 << (8 * each.width)) - 1
        self.fail(
            position,
            f"{each.name}: expected numbers from 0 to {most:,} as elements, found {shown!r}",
        )

    def _text_content(self, each: _Initializer, at_most: int = 0) -> bytes:
        """The bytes of string literals side by side, without the zero that C adds."""
        parts, read = [], 0
        index = bisect_right(self.strings, (each.at, 0))
        last = each.at
        for start, end in self.strings[index:]:
            if self.code[last:start].strip(_SPACE):
                break
            stop = min(end - 1, start + 1 + at_most) if at_most else end - 1
            parts.append(self._unescaped(each, self.text[start + 1 : stop], start))
            last, read = end, read + stop - start
            if at_most and read > at_most:
                break
        return b"".join(parts)

    def _unescaped(self, each: _Initializer, literal: bytes, at: int) -> bytes:
        if literal[:1] == b"\\" and len(literal) % 4 == 0:
            columns = literal[::4], literal[1::4]
            count = len(literal) // 4
            if columns == (b"\\" * count, b"x" * count):
                try:
                    return bytes.fromhex(literal.replace(b"\\x", b"").decode("ascii"))
                except ValueError:
                    pass
        spellings: dict[bytes, bytes] = {}

        def value(found: re.Match[bytes]) -> bytes:
            if found[0] not in spellings:
                number = _escaped(found)
                if number is None:
                    shown = _shown(found[0])
                    self.fail(at, f"{each.name}: {shown!r} in a string is no byte")
                spellings[found[0]] = bytes((number,))
            return spellings[found[0]]

        return _ESCAPE.sub(value, literal)


def _plain_hex(chunk: bytes, *, is_last: bool) -> bytes | None:
    """The bytes of ``0x1c, 0x00, ...`` as generators write it; ``None`` for any other spelling.

    Elements are then five characters apart, and their digits two strided copies.
    """
    if not 0 <= chunk.count(b",") + 1 - chunk.count(b"0x") <= is_last:
        return None
    flat = chunk.translate(_ONE_SPACE)
    while b"  " in flat:
        flat = flat.replace(b"  ", b" ")
    flat = flat.replace(b", ", b",").strip(b" ")
    if is_last:
        flat = flat.removesuffix(b",")
    count = (len(flat) + 1) // 5
    if len(flat) != 5 * count - 1 or flat[4::5] != b"," * (count - 1):
        return None
    if flat[::5] != b"0" * count or flat[1::5] != b"x" * count:
        return None
    digits = bytearray(2 * count)
    digits[::2], digits[1::2] = flat[2::5], flat[3::5]
    if b" " in digits:  # which fromhex would skip
        return None
    try:
        content: bytes = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    return content


def _is_escaped(text: bytes, at: int) -> bool:
    """Whether an odd number of backslashes stands before ``at``."""
    first = at
    while first > 0 and text[first - 1] == 0x5C:
        first -= 1
    return (at - first) % 2 == 1


def _enter(conditions: list[bool | None], name: str, condition: bytes) -> int:
    """Update the stack of ``conditions``; returns how many more of them are false now.

    ``None`` is a condition that nobody knows here: both of its sides are looked at.
    """
    if name in ("if", "ifdef", "ifndef"):
        known = {b"0": False, b"1": True}.get(condition) if name == "if" else None
        conditions.append(known)
        return int(known is False)
    if not conditions:
        return 0
    if name == "endif":
        return -int(conditions.pop() is False)
    if name in ("else", "elif"):
        before = conditions[-1]
        # After a true side all others are left out; after a false one the next is looked at.
        conditions[-1] = False if before is True else None
        return int(before is True) - int(before is False)
    return 0


def _character(inside: bytes) -> int:
    found = _ESCAPE.fullmatch(inside)
    if found is None:
        return inside[0]
    value = _escaped(found)
    return 256 if value is None else value  # no byte, said where an element is one


def _escaped(found: re.Match[bytes]) -> int | None:
    """The byte of an escape sequence; ``None`` where it is none."""
    if found[1] is not None:
        value: int | None = int(found[1], 16)
    elif found[2] is not None:
        value = int(found[2], 8)
    else:
        value = _SIMPLE.get(found[3])
    return value if value is not None and value < 256 else None


def _value(token: bytes) -> int | None:
    """A number as C writes it; ``None`` where ``token`` is none."""
    found = _ELEMENT.fullmatch(token)
    if found is None or len(token) > _LONGEST_SHOWN:
        return None
    for digits, base in zip(found.groups()[1:], (16, 2, 8, 10), strict=True):
        if digits is not None:
            plain = digits.replace(b"'", b"")
            value = int(plain, base) if plain else 0
            return -value if found[1] == b"-" else value
    return None


def _bytes_of(token: bytes, width: int) -> bytes | None:
    """An element of ``width`` bytes as a microcontroller keeps it, the lowest byte first."""
    value, most = _value(token.strip(_SPACE)), 1 << (8 * width)
    if value is None or not -most // 2 <= value < most:
        return None
    return (value % most).to_bytes(width, "little")


def _shown(token: bytes) -> str:
    text = printable(token[:_LONGEST_SHOWN].decode("utf-8", "replace"))
    return text + ("..." if len(token) > _LONGEST_SHOWN else "")
