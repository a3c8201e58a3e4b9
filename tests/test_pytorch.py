"""PyTorch programs (``torch.export``) to INT8 by litert-torch, and modules given as they are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_tinybudget
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.convert import requirements
from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import check_source
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model


is_there = all(map(find_spec, ("torch", "litert_torch")))
needs_torch = pytest.mark.skipif(not is_there, reason="needs the extra [pytorch]")

if is_there:
    import torch
    from torch import nn

#: What torch and its packages warn of when they are imported or export a model.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
]

BOARD = "raspberry-pi-pico"


@pytest.fixture(scope="module")
def converter() -> Iterator[Converter]:
    made = Converter(None)
    yield made
    made.close()


def vision(padding: int = 0) -> Any:
    """A convolution with a stride, and a head; images of 3 channels."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, padding), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2),
    ).eval()  # fmt: skip


def save(path: Path, module: Any, *inputs: Any, **options: Any) -> Path:
    torch.export.save(torch.export.export(module, inputs, **options), path)
    return path


def convert(converter: Converter, path: Path, **settings: Any) -> Converted:
    wanted = Conversion(path.parent, **{"representative_data": "random", **settings})
    return converter.convert(Request(path, path.name, wanted))


def failure(converter: Converter, path: Path, **settings: Any) -> ConversionError:
    with pytest.raises(ConversionError) as error:
        convert(converter, path, **settings)
    return error.value


def graph(converted: Converted) -> Model:
    return read_model(converted.content, "it")


# What a source is


def test_a_program_is_recognized_and_what_is_none_is_refused(tmp_path: Path):
    path = tmp_path / "kws.pt2"
    path.write_bytes(b"no archive at all")

    assert kind_of(path) == "torch"
    with pytest.raises(ConversionError, match=r"kws.pt2: not a program of torch.export") as error:
        check_source(path, "torch", "kws.pt2")
    assert "torch.export.save(torch.export.export(model.eval(), example)" in error.value.details[0]


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        (("kws/models/model.json", "kws/data/weights/weight_0"), ""),
        (("serialized_exported_program.json",), ""),  # torch 2.4
        (("kws/data.pkl", "kws/data/0"), "(what torch.save or torch.jit.save writes holds none)"),
    ],
)
def test_an_archive_is_a_program_or_is_refused_without_torch(
    tmp_path: Path, members: tuple[str, ...], fault: str
):
    path = tmp_path / "kws.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, b"{}")

    if not fault:
        check_source(path, "torch", "kws.pt2")
        return
    with pytest.raises(ConversionError) as error:
        check_source(path, "torch", "kws.pt2")
    assert error.value.message == f"kws.pt2: not a program of torch.export {fault}"


@pytest.mark.parametrize("missing", ["torch", "litert_torch"])
def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == missing else name)

    error = requirements.missing_packages("torch", "kws.pt2", Conversion(Path()))

    assert error is not None
    assert error.message == (
        'kws.pt2: PyTorch sources need more packages: pip install "pytest-tinybudget[pytorch]"'
    )
    assert error.code == "TB103"


# What comes out


@needs_torch
def test_images_come_with_their_channels_last_and_names_are_dropped(
    converter: Converter, tmp_path: Path
):
    converted = convert(converter, save(tmp_path / "v.pt2", vision(), torch.zeros(1, 3, 12, 10)))

    main = graph(converted).main
    assert [main.tensors[index].shape for index in main.inputs] == [(1, 12, 10, 3)]
    assert "TRANSPOSE" not in [each.name for each in main.operators]
    assert {main.tensors[index].type for index in (*main.inputs, *main.outputs)} == {"INT8"}
    assert not any(tensor.name for tensor in main.tensors)
    assert "stripped" in converted.settings
    assert "litert-torch" in converted.settings
    assert max(each["relative_error"] for each in converted.drift) < 0.2


@needs_torch
def test_data_is_taken_with_channels_first_by_the_names_of_the_model(
    converter: Converter, tmp_path: Path
):
    class Both(nn.Module):
        def forward(self, picture: Any, numbers: Any) -> Any:
            return picture.mean((2, 3)) + numbers

    path = save(tmp_path / "two.pt2", Both().eval(), torch.zeros(1, 3, 6, 4), torch.zeros(1, 3))
    random = np.random.default_rng(0)
    first = random.standard_normal((8, 3, 6, 4)).astype(np.float32)
    numbers = 5 + random.standard_normal((8, 3)).astype(np.float32)
    np.savez(tmp_path / "first.npz", numbers=numbers, picture=first)
    np.savez(tmp_path / "last.npz", numbers=numbers, picture=np.moveaxis(first, 1, -1))
    np.savez(tmp_path / "wrong.npz", numbers=numbers, image=first)

    made = convert(converter, path, representative_data="first.npz")

    main = graph(made).main
    assert [main.tensors[index].shape for index in main.inputs] == [(1, 6, 4, 3), (1, 3)]
    scales = [main.tensors[index].quantization.scales[0] for index in main.inputs]
    assert scales[0] == pytest.approx(np.ptp(first) / 255, rel=0.05)
    assert made.content == convert(converter, path, representative_data="last.npz").content
    assert failure(converter, path, representative_data="wrong.npz").message == (
        "two.pt2: representative data: the model's inputs are picture, numbers; the data has "
        "numbers, image"
    )


@needs_torch
def test_an_open_batch_becomes_one(converter: Converter, tmp_path: Path):
    batch = torch.export.Dim("batch", min=1, max=64)
    path = save(
        tmp_path / "open.pt2", vision(), torch.zeros(4, 3, 12, 10), dynamic_shapes=({0: batch},)
    )

    main = graph(convert(converter, path)).main

    assert [main.tensors[index].shape for index in main.inputs] == [(1, 12, 10, 3)]
    assert [main.tensors[index].shape for index in main.outputs] == [(1, 2)]


@needs_torch
def test_a_fixed_batch_is_refused(converter: Converter, tmp_path: Path):
    path = save(tmp_path / "four.pt2", vision(), torch.zeros(4, 3, 12, 10))

    assert failure(converter, path).message == (
        "four.pt2: input 'input' has the fixed batch 4, expected 1 or None"
    )


class Scaled(nn.Module if is_there else object):  # type: ignore[misc]
    """Numbers times a factor."""

    def forward(self, values: Any, factor: Any) -> Any:
        return torch.relu(values) * factor


class First(nn.Module if is_there else object):  # type: ignore[misc]
    """The first of its inputs."""

    def forward(self, values: Any, spare: Any) -> Any:
        return torch.relu(values)


@needs_torch
def test_inputs_that_no_microcontroller_gives_are_refused(converter: Converter, tmp_path: Path):
    one = torch.ones(1, 4)
    paths = [
        save(tmp_path / "flag.pt2", Scaled().eval(), one, 3),
        save(tmp_path / "double.pt2", Scaled().eval(), one.double(), one.double() + 1),
        save(tmp_path / "spare.pt2", First().eval(), one, torch.zeros(1, 4)),
    ]

    errors = [failure(converter, path) for path in paths]

    assert [error.message for error in errors] == [
        "flag.pt2: its input 3 is no tensor: a microcontroller gives it none",
        "double.pt2: its input 'values' is float64, expected float32",
        "spare.pt2: its input 'spare' is read by no layer",
    ]
    assert [error.details[0] for error in errors] == [
        "export the program with tensors alone, and what is constant in the module",
        "export the model after model.float(), with a float32 example",
        "export the program without it",
    ]


@needs_torch
def test_an_operator_that_litert_torch_lacks_is_told_with_the_ways_out(
    converter: Converter, tmp_path: Path
):
    class Inverse(nn.Module):
        def forward(self, matrix: Any) -> Any:
            return torch.linalg.inv(matrix)

    error = failure(converter, save(tmp_path / "i.pt2", Inverse().eval(), torch.eye(4)[None]))

    assert error.message.startswith("i.pt2: litert-torch does not convert it: ")
    assert "export the model as .onnx" in error.details[0]


# What its layers cost


@needs_torch
def test_a_padding_that_costs_a_map_is_told_with_the_one_that_does_not(
    converter: Converter, tmp_path: Path
):
    padded = convert(converter, save(tmp_path / "p.pt2", vision(1), torch.zeros(1, 3, 12, 10)))
    asymmetric = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), vision(0)).eval()
    same = convert(converter, save(tmp_path / "s.pt2", asymmetric, torch.zeros(1, 3, 12, 10)))

    assert [each.name for each in graph(padded).main.operators][:2] == ["PAD", "CONV_2D"]
    assert any("'0' 504 B" in note for note in padded.notes)  # 3 x 14 x 12
    assert any("nn.ZeroPad2d((0, 1, 0, 1)) before it and padding=0" in note
               for note in padded.notes)  # fmt: skip
    # What the note says is so: no PAD, and as many outputs.
    assert graph(same).main.operators[0].name == "CONV_2D"
    assert not any("PAD" in note for note in same.notes)
    shapes = [read_model(each.content, "it").main.operators for each in (padded, same)]
    assert len(shapes[0]) == len(shapes[1]) + 1


@needs_torch
def test_a_padding_by_its_name_and_an_elu_are_converted(converter: Converter, tmp_path: Path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.ELU(), nn.Conv2d(4, 2, 3, 2))
    path = save(tmp_path / "e.pt2", module.eval(), torch.zeros(1, 3, 8, 8))

    converted = convert(converter, path)

    names = [each.name for each in graph(converted).main.operators]
    assert "SELECT_V2" in names
    assert "SELECT" not in names
    assert not any("PAD" in note for note in converted.notes)


@needs_torch
def test_transposes_that_are_left_are_counted_with_their_layers(
    converter: Converter, tmp_path: Path
):
    class Series(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv1d(3, 4, 3)

        def forward(self, series: Any) -> Any:
            return self.first(series).mean(2)

    path = save(tmp_path / "series.pt2", Series().eval(), torch.zeros(1, 3, 16))
    converted = convert(converter, path)

    left = [each.name for each in graph(converted).main.operators].count("TRANSPOSE")
    (note,) = (note for note in converted.notes if "TRANSPOSE" in note)
    assert left >= 1
    assert note.startswith(f"litert-torch left {left} TRANSPOSE, a copy each: #")
    assert note.endswith("#1 before 'first', #3 behind 'first'")


# What is refused before it is converted


def recurrent(kind: str, *, whole: bool) -> Any:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, kind)(3, 4, batch_first=True)

        def forward(self, series: Any) -> Any:
            states, last = self.cell(series)
            if whole:
                return states[:, -1]
            return last[0][-1] if kind == "LSTM" else last[-1]

    return Recurrent().eval()


@needs_torch
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_recurrent_layer_whose_steps_are_joined_is_refused(
    converter: Converter, tmp_path: Path, kind: str
):
    path = save(tmp_path / "r.pt2", recurrent(kind, whole=True), torch.zeros(1, 12, 3))

    error = failure(converter, path)

    assert error.message == (
        f"r.pt2: {kind} 'cell': litert-torch unrolls it and joins its 12 steps by one "
        "CONCATENATION, of which TFLM takes 10 inputs"
    )
    assert error.details[0].startswith("take the last state: _, ")


@needs_torch
def test_a_recurrent_layer_of_which_the_last_state_is_taken_is_unrolled_with_a_warning(
    converter: Converter, tmp_path: Path
):
    path = save(tmp_path / "r.pt2", recurrent("LSTM", whole=False), torch.zeros(1, 12, 3))

    converted = convert(converter, path)

    assert any("LSTM 'cell' is unrolled, 12 steps" in each for each in converted.warnings)
    assert len(graph(converted).main.operators) > 12


@needs_torch
def test_gelu_is_refused_by_layer(converter: Converter, tmp_path: Path):
    module = nn.Sequential(nn.Linear(4, 4), nn.GELU()).eval()

    error = failure(converter, save(tmp_path / "g.pt2", module, torch.zeros(1, 4)))

    assert error.message == "g.pt2: '1' is GELU, which TFLM lacks"


@needs_torch
def test_a_program_in_training_mode_is_refused(converter: Converter, tmp_path: Path):
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()

    error = failure(converter, save(tmp_path / "t.pt2", module, torch.zeros(2, 4)))

    assert error.message == "t.pt2: '1' is in training mode, in which it takes other numbers"


# A module as it is


@needs_torch
def test_a_module_is_checked_as_it_is_and_stays_in_its_modes():
    module = nn.Sequential(vision(), nn.Dropout()).train()
    module[0].eval()
    modes = [each.training for each in module.modules()]

    result = pytest_tinybudget.check(
        module,
        board=BOARD,
        example_inputs=(torch.zeros(1, 3, 12, 10),),
        representative_data=np.random.default_rng(0).random((8, 3, 12, 10), np.float32),
    )

    assert not result.failed, result.headline
    assert result.model == "Sequential"
    assert [each.training for each in module.modules()] == modes


@needs_torch
def test_a_module_without_example_inputs_is_told_what_to_give():
    with pytest.raises(TinybudgetError, match=r"Sequential is a torch.nn.Module: give example_inp"):
        pytest_tinybudget.check(vision(), board=BOARD, representative_data="random")


@needs_torch
def test_a_module_that_cannot_be_exported_says_why():
    class Broken(nn.Module):
        def forward(self, values: Any) -> Any:
            raise KeyError("no such word")

    with pytest.raises(TinybudgetError, match="Broken cannot be exported: KeyError"):
        pytest_tinybudget.check(
            Broken(), board=BOARD, example_inputs=torch.zeros(1, 4), representative_data="random"
        )


def test_example_inputs_are_for_modules_alone(tmp_path: Path):
    with pytest.raises(TinybudgetError, match=r"example_inputs is for a torch.nn.Module, not"):
        pytest_tinybudget.check(tmp_path / "kws.tflite", board=BOARD, example_inputs=(1,))


@needs_torch
def test_a_module_is_planned_without_a_conversion_and_held_to_one_where_there_is_data():
    module, example = vision(1), (torch.zeros(1, 3, 12, 10),)

    planned = pytest_tinybudget.check(module, board=BOARD, example_inputs=example, plan=True)
    assert planned.model == "Sequential"
    assert planned.warnings[-1] == (
        "planned, not converted: flash and arena are those of the converted file, which has no "
        "names"
    )
    converted = pytest_tinybudget.check(
        module, board=BOARD, example_inputs=example, plan=True, representative_data="random"
    )
    assert any(each.startswith("plan: equal to the conversion") for each in converted.notes)
    assert planned.footprint is not None
    assert converted.footprint is not None
    arenas = [each.arena for each in (planned.footprint, converted.footprint)]
    assert len({(each.required, each.head, each.tail) for each in arenas if each}) == 1
    assert planned.model_bytes == converted.model_bytes


@needs_torch
def test_a_module_that_is_not_planned_says_why():
    with pytest.raises(TinybudgetError) as caught:
        pytest_tinybudget.check(
            nn.Sequential(nn.Linear(4, 4), nn.GELU()).eval(),
            board=BOARD,
            example_inputs=torch.zeros(1, 4),
            plan=True,
        )
    assert caught.value.details[-1] == "nor is it planned: layer 1: not planned: aten.gelu.default"
