"""``tinybudget doctor``: what it finds well, absent and broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_tinybudget.cli import main
from pytest_tinybudget.commands import doctor


MODELS = Path(__file__).parents[1] / "examples" / "quickstart" / "models"


@pytest.fixture
def findings(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs doctor on a folder with one declaration: exit code, and findings by name."""
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(declaration: str | None) -> tuple[int, dict[str, dict[str, str]]]:
        if declaration is not None:
            (tmp_path / "tinybudget.toml").write_text(declaration, encoding="utf-8")
        code = main(["doctor", "--json"])
        return code, {each["name"]: each for each in json.loads(capsys.readouterr().out)}

    return run


def test_a_good_set_up_is_well(findings) -> None:
    model = (MODELS / "digits.tflite").as_posix()
    code, found = findings(f'[models.kws]\nsource = "{model}"\nboards = ["esp32"]\n')
    assert code == 0
    assert found["tinybudget.toml"]["text"] == "1 model, 1 pair"
    assert found["plugin"]["state"] == "ok"
    assert found["[elf]"]["text"].startswith("runtime read, runtime build, calibrate: pyelftools ")


def test_without_a_declaration_it_says_how_to_begin(findings) -> None:
    code, found = findings(None)
    assert code == 0
    assert "tinybudget init" in found["tinybudget.toml"]["text"]


def test_a_wrong_declaration_is_broken_with_its_mistakes(findings) -> None:
    code, found = findings('[models.kws]\nsource = "none.tflite"\nboards = ["esp23"]\n')
    assert code == 1
    told = found["tinybudget.toml"]
    assert told["state"] == "broken"
    assert "esp32" in told["text"] + told["advice"]


def test_a_keras_source_without_tensorflow_says_what_to_install(
    findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kws.keras").write_bytes(b"PK")
    monkeypatch.setattr("pytest_tinybudget.convert.requirements.find_spec", lambda _name: None)
    code, found = findings('[models.kws]\nsource = "kws.keras"\nboards = ["esp32"]\n')
    assert code == 1
    assert 'pip install "pytest-tinybudget[tensorflow]"' in found["tinybudget.toml"]["text"]


def test_what_is_not_installed_is_absent_with_its_extra(
    findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda _distribution: "")
    _, found = findings(None)
    assert found["[quantize]"]["state"] == "absent"
    assert 'pip install "pytest-tinybudget[quantize]"' in found["[quantize]"]["text"]


def test_a_limit_of_the_cache_that_is_no_size_is_broken(
    findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYBUDGET_CACHE_LIMIT", "lots")
    code, found = findings(None)
    assert code == 1
    assert "TINYBUDGET_CACHE_LIMIT" in found["limit"]["text"]


def test_the_text_ends_with_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("all is well\n")


def test_a_path_that_is_no_folder_is_wrong_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tmp_path / "none")]) == 2
    assert "expected a folder" in capsys.readouterr().err
