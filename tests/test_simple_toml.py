"""The reader of simple TOML: whatever it reads, the library reads the same; it tells no error."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import pytest
from campaigns import rare

from pytest_tinybudget.declaration.positions import key_lines
from pytest_tinybudget.declaration.simple import read_simple


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]

SIMPLE = """\
# Two models, \u00e9ach on its board.
schema = 1
[defaults]
boards = ["arduino-nano-33-ble", "esp32"] # a comment\t
strict = true
[models.kws]
source = "kws.tflite"
budget = { flash = "200 KB", ram = "" }
boards = [
    "esp32", # the first
    "raspberry-pi-pico",
]
[models.kws.golden]
samples = 4
[models]
[runtime.ops.MY_OP]
persistent = 0
"""

#: What is put together to texts, simple ones and others.
PIECES = (
    *("a", "b", "a.b", "[", "[[", "]", "]]", "=", " = ", '"', '"x"', "'y'", '"""', "{", "}", ","),
    *("\n", "\r\n", "\r", " ", "\t", "#", "# c", "1", "0", "01", "1_0", "-1", "+1", "1.5", "0x1"),
    *("true", "inf", "[a]\n", "[a.b]\n", "[b]\n", "a = 1\n", 'b = "q"\n', "c = [1, 2]\n", "-"),
    *("d = { x = 1 }\n", "\\", "\x7f", "\x00", "\u00e9", "\u00a0", ".", "1979-05-27", "\ufeff"),
    *('[ "a", "b" ]', "9" * 19, "9" * 18),
)


def is_read_as_by_the_library(text: str) -> bool:
    """Whether ``text`` is simple; the library then reads the same, and the same lines are found."""
    found = read_simple(text)
    if found is None:
        return False
    document, lines = found
    assert repr(document) == repr(tomllib.loads(text))  # types and order as well
    assert lines == key_lines(text)
    return True


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_texts_numbers_and_lists_are_read_with_their_lines(end: str) -> None:
    found = read_simple(SIMPLE.replace("\n", end))
    assert found is not None
    document, lines = found
    assert document["defaults"] == {"boards": ["arduino-nano-33-ble", "esp32"], "strict": True}
    assert document["models"]["kws"]["budget"] == {"flash": "200 KB", "ram": ""}
    assert lines["models", "kws", "boards", "1"] == 11
    assert lines["models", "kws", "golden"] == 13
    assert lines["models",] == 15
    assert is_read_as_by_the_library(SIMPLE.replace("\n", end))


@pytest.mark.parametrize(
    "text",
    [
        *("a = 'x'", 'a = """x"""', '"a" = 1', "a.b = 1", 'a = "\\n"', "a = 1.5", "a = -1"),
        *("[[a]]", "[ a ]", "a = 1979-05-27", "a = 0x1", "a = inf", f"a = {'9' * 19}", "a = {}"),
        *("a = 1\na = 2", "[a]\n[a]", "[a]\nb = 1\n[a.b]", "a = { b = 1 }\n[a.c]", "[a]\n[a[b]"),
        *("a = { b = 1, }", "a = 01", "a", "a =", "a = [1 2]", "a = [1", 'a = "x', "a = 1 b = 2"),
        *("a = 1\r", "# \x00", "# \x7f", 'a = "\t"'),
    ],
    ids=repr,
)
def test_what_is_not_simple_or_is_wrong_is_left_to_the_library(text: str) -> None:
    assert read_simple(text) is None


def test_lists_that_are_nested_too_deeply_are_left_to_the_library() -> None:
    assert read_simple("a = " + "[" * 100_000) is None


def test_most_declarations_of_the_documentation_are_simple() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = [
        block
        for page in pages
        for block in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    ]
    simple = sum(map(is_read_as_by_the_library, texts))
    assert simple > len(texts) * 0.8


@pytest.mark.parametrize(("seed", "count"), [(1, 3_000), rare((2, 300_000))])
def test_whatever_is_read_is_what_the_library_reads(seed: int, count: int) -> None:
    numbers = random.Random(seed)
    simple = 0
    for _ in range(count):
        simple += is_read_as_by_the_library(
            "".join(numbers.choices(PIECES, k=numbers.randint(1, 14)))
        )
        at = numbers.randrange(len(SIMPLE))
        end = at + numbers.randint(0, 5)
        changed = SIMPLE[:at] + numbers.choice(PIECES) * numbers.randint(0, 2) + SIMPLE[end:]
        simple += is_read_as_by_the_library(changed)
    assert simple > count / 5
