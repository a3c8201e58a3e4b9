"""The examples of searches: what does not fit is not trained, and the page shows their code.

KerasTuner's needs TensorFlow and is really run where these are; Optuna's trains nothing here.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_tinybudget import check
from pytest_tinybudget import fit


ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "fit"
needs_tuner = pytest.mark.skipif(
    not all(map(find_spec, ("tensorflow", "keras_tuner", "tensorboard", "optuna"))),
    reason="needs tensorflow, keras_tuner, tensorboard and optuna",
)


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in ("with_optuna", "with_keras_tuner"):
        sys.modules.pop(name, None)


@pytest.fixture
def with_optuna(examples: None) -> Any:
    optuna = pytest.importorskip("optuna", minversion="5.0")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return importlib.import_module("with_optuna")


def test_optuna_trains_what_fits_alone_and_prefers_it(
    with_optuna: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[int, int]] = []

    def accuracy(width: int, depth: int) -> float:
        trained.append((width, depth))
        return width * depth / 1000

    monkeypatch.setattr(with_optuna, "accuracy", accuracy)
    study = with_optuna.search(trials=25)
    assert 0 < len(trained) < len(study.trials) == 25
    assert all(with_optuna.missed(*sizes) == 0 for sizes in trained)
    refused = [each for each in study.trials if each.value == 0]
    assert all(with_optuna.missed(**each.params) > 1 for each in refused)
    assert study.best_value == max(width * depth / 1000 for width, depth in trained)
    # What does not fit teaches the sampler: of its own choices, the last 10, most do.
    assert sum(each.value > 0 for each in study.trials[-10:]) > 5


def test_the_constraint_is_the_limit_that_is_missed_most(with_optuna: Any) -> None:
    (candidate,) = fit(
        with_optuna.plan(64, 4), boards=with_optuna.BOARDS, budget=with_optuna.BUDGET
    ).candidates
    shares = [on.ram / (12 * 1024) for on in candidate.boards]
    assert with_optuna.missed(64, 4) == pytest.approx(max(shares))
    assert with_optuna.missed(8, 1) == 0


def test_what_tflm_refuses_misses_the_constraint(
    with_optuna: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No 16-bit layer norm runs on TFLM: it takes no share of a limit, and must not be trained.
    layers = [{"type": "dense", "units": 4}, {"type": "layer_norm"}]
    refused = {"input_shape": [8], "layers": layers, "activations": "int16"}
    monkeypatch.setattr(with_optuna, "plan", lambda width, depth: refused)
    assert with_optuna.missed(4, 1) == 1


@pytest.mark.tensorflow
@needs_tuner
@pytest.mark.filterwarnings("ignore")
def test_keras_tuner_trains_what_fits_alone(examples: None, tmp_path: Path) -> None:
    tuner = importlib.import_module("with_keras_tuner").search(trials=6, folder=str(tmp_path))
    missed = importlib.import_module("with_optuna").missed
    trials = list(tuner.oracle.trials.values())
    assert len(trials) == 6
    for trial in trials:
        fits = missed(**trial.hyperparameters.values) == 0
        assert trial.status == ("COMPLETED" if fits else "FAILED")
        assert (trial.score is not None) == fits
        assert fits or "over by" in trial.message
    assert {trial.status for trial in trials} == {"COMPLETED", "FAILED"}


@pytest.mark.tensorflow
@needs_tuner
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("width", "depth"), [(8, 1), (20, 3)])
def test_the_layers_of_the_example_are_its_keras_model(
    with_optuna: Any, width: int, depth: int
) -> None:
    (candidate,) = fit(with_optuna.plan(width, depth), boards=with_optuna.BOARDS).candidates
    model = with_optuna.keras_model(width, depth)
    assert model.count_params() == candidate.parameters
    for on in candidate.boards:
        result = check(model, board=on.board, plan=True)
        ram = next(each.used for each in result.measures if each.metric == "ram")
        assert ram == on.ram


def test_the_page_shows_code_of_the_examples() -> None:
    page = (ROOT / "docs" / "fit.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    code = "\n".join((EXAMPLES / f"with_{name}.py").read_text("utf-8")
                     for name in ("optuna", "keras_tuner"))  # fmt: skip
    parts = [part for block in blocks for part in re.split(r"\n\n+(?=\w)", block.strip())]
    assert len(parts) >= 4
    for part in parts:
        assert part in code
