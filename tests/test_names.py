"""Names in messages and in generated C."""

from __future__ import annotations

import pytest

from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.base.text import is_valid_name
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("conv2d/weights", "conv2d/weights"),
        ("größe 大きさ", "größe 大きさ"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\r\nlines\t", r"two\r\nlines\t"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("half\ud800", r"half\ud800"),
        ("nul\x00", r"nul\x00"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_names_are_cut() -> None:
    assert printable("x" * 300, limit=10) == "xxxxxxxxx…"
    assert printable("x" * 10, limit=10) == "x" * 10


@pytest.mark.parametrize("name", ["kws", "arduino-nano-33-ble", "v1.2_int8", "7"])
def test_valid_names(name: str) -> None:
    assert is_valid_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "kws\n", "größe", "a::b"])
def test_invalid_names(name: str) -> None:
    assert not is_valid_name(name)


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("kws", "kws"),
        ("person-detect.v2", "person_detect_v2"),
        ("7segments", "model_7segments"),
        ("_private__name_", "private_name"),
        ("class", "class_"),
        ("größe", "gr_e"),
        ("日本", "model"),
        ("", "model"),
    ],
)
def test_c_identifiers_compile(name: str, identifier: str) -> None:
    assert c_identifier(name) == identifier


@pytest.mark.parametrize(
    ("name", "key"),
    [("AcmeFilter", "AcmeFilter"), ("a.b", '"a.b"'), ('a"b', r'"a\"b"'), ("", '""')],
)
def test_keys_are_quoted_where_toml_needs_it(name: str, key: str) -> None:
    assert toml_key(name) == key
