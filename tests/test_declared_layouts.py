"""``[runtime.NAME.layouts]``: structs of a fork take the place of the version's."""

from __future__ import annotations

from pathlib import Path

import pytest
from modelmaker import ModelMaker

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.abi import is_layout
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES


def model() -> bytes:
    (graph := (maker := ModelMaker()).graph()).output(
        graph.conv2d(graph.input((1, 8, 8, 8)), filters=4)
    )
    return maker.build()


def declared(folder: Path, layouts: str) -> tuple[Model, Firmware]:
    folder.joinpath("conv.tflite").write_bytes(model())
    folder.joinpath("tinybudget.toml").write_text(
        '[models.conv]\nsource = "conv.tflite"\nboards = ["arduino-nano-33-ble"]\n'
        'runtime = "fork"\n[runtime.fork]\nextends = "m4_ref"\ntflm = "90b983c2"\n'
        f"[runtime.fork.layouts]\n{layouts}"
    )
    (pair,) = pairs("tinybudget.toml", load_declaration(folder / "tinybudget.toml"))
    return read_model(model(), "conv"), pair.firmware


def tail(content: Model, firmware: Firmware) -> int:
    arena = simulate(content, firmware).arena
    assert arena is not None
    return arena.tail


@pytest.mark.parametrize(
    ("layouts", "more"),
    [
        ("", 0),
        ('TfLiteTensor = "e 2p (2i) e p 3p i 2b (ep) 2p"', 2 * 32),
        ('NodeAndRegistration = "(7p i p b) p"', 16),  # 12, and padding
        ('"CONV_2D data" = "30i"', 64),  # 120 bytes for 56, aligned to 16
        ('"CONV_2D parameters" = "e2ie2ie 8i"', 32),
        ('"FULLY_CONNECTED data" = "99i"', 0),
    ],
)
def test_a_declared_layout_moves_what_is_made_of_it(
    layouts: str, more: int, tmp_path: Path
) -> None:
    content, firmware = declared(tmp_path, layouts)
    assert tail(content, firmware) == tail(content, Firmware(RUNTIMES["m4_ref"])) + more


@pytest.mark.parametrize(
    ("layouts", "line"),
    [
        ('TfLiteTenso = "p"', "did you mean 'TfLiteTensor'"),
        ('"CONV_3D data" = "p"', "no struct of TFLM"),
        ('TfLiteTensor = "3z"', "expected member codes"),
        ('TfLiteTensor = "(p"', "expected member codes"),
    ],
)
def test_a_wrong_layout_is_told_with_its_place(layouts: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(TinybudgetError) as raised:
        declared(tmp_path, layouts)
    told = "\n".join([str(raised.value), *raised.value.details])
    assert line in told
    assert "tinybudget.toml:9" in told


@pytest.mark.parametrize("text", ["b", "e 2p (2i) e p 3p i 2b (ep) 2p", "8(9i3b)", "((p))i"])
def test_a_layout_is_codes_counts_and_parentheses(text: str) -> None:
    assert is_layout(text)


@pytest.mark.parametrize(
    "text", ["", " ", "()", "p)", "(p", "3", "0i", "p,i", "99999i", "60000(60000i)", "((((((((("]
)
def test_what_is_no_layout_is_none(text: str) -> None:
    assert not is_layout(text)
