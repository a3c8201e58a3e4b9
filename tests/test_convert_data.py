"""Representative data: what reaches a converter, and what is told instead. No framework needed."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.worker.problem import InputSpec
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import static_shape
from pytest_tinybudget.convert.worker.representative import MAX_SAMPLES
from pytest_tinybudget.convert.worker.representative import samples_of


IMAGE = InputSpec("image", (1, 4, 4, 1), "float32")
SOUND = InputSpec("sound", (1, 6), "float32")


def job(path: Path | None) -> Job:
    return Job(
        source="kws.keras",
        kind="keras",
        shown="kws.keras",
        root=".",
        data_path=None if path is None else str(path),
        data_function=None,
        custom_objects=None,
        strip=False,
        per_channel_dense=True,
        activations="int8",
        timeout_seconds=60,
        memory_bytes=1 << 30,
    )


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((count, 4, 4, 1), np.float32)


def read(path: Path | None, *inputs: InputSpec) -> list[list[np.ndarray]]:
    samples, _ = samples_of(job(path), inputs or (IMAGE,), None)
    return samples


def called(function: Callable[[], Any], *inputs: InputSpec) -> list[list[np.ndarray]]:
    samples, _ = samples_of(job(None), inputs or (IMAGE,), function)
    return samples


def refusal(path: Path, *inputs: InputSpec) -> str:
    with pytest.raises(WorkerError) as caught:
        read(path, *inputs)
    return str(caught.value)


def saved(folder: Path, array: np.ndarray, name: str = "data.npy") -> Path:
    np.save(folder / name, array, allow_pickle=array.dtype == object)
    return folder / name


# What is accepted


def test_an_array_gives_a_sample_a_row(tmp_path: Path):
    samples = read(saved(tmp_path, images(5)))

    assert len(samples) == 5
    assert samples[3][0].shape == (1, 4, 4, 1)
    assert np.array_equal(samples[3][0][0], images(5)[3])


def test_an_archive_with_one_array_needs_no_name(tmp_path: Path):
    np.savez(tmp_path / "data.npz", whatever=images())

    assert len(read(tmp_path / "data.npz")) == 5


def test_several_inputs_are_matched_by_name_or_by_place(tmp_path: Path):
    sounds = np.ones((5, 6), np.float32) * np.arange(6, dtype=np.float32)
    np.savez(tmp_path / "named.npz", sound=sounds, image=images())
    np.savez(tmp_path / "placed.npz", images(), sounds)

    for name in ("named.npz", "placed.npz"):
        (image, sound) = read(tmp_path / name, IMAGE, SOUND)[0]
        assert (image.shape, sound.shape) == ((1, 4, 4, 1), (1, 6))


def test_an_input_is_matched_by_its_tensors_name_or_by_its_signatures(tmp_path: Path):
    image = InputSpec("serving_default_image:0", IMAGE.shape, "float32", aliases=("image",))
    sound = InputSpec("serving_default_sound:0", SOUND.shape, "float32", aliases=("sound",))
    sounds = np.ones((5, 6), np.float32) * np.arange(6, dtype=np.float32)
    np.savez(tmp_path / "signature.npz", sound=sounds, image=images())
    mixed = {"serving_default_sound:0": sounds, "image": images()}
    np.savez(tmp_path / "mixed.npz", **mixed)

    for name in ("signature.npz", "mixed.npz"):
        (first, second) = read(tmp_path / name, sound, image)[0]
        assert (first.shape, second.shape) == ((1, 6), (1, 4, 4, 1))


def test_an_array_for_each_of_an_inputs_two_names_is_refused_with_both(tmp_path: Path):
    image = InputSpec("serving_default_image:0", IMAGE.shape, "float32", aliases=("image",))
    np.savez(tmp_path / "twice.npz", **{"image": images(), "serving_default_image:0": images()})

    told = refusal(tmp_path / "twice.npz", image)
    assert "serving_default_image:0 or image; the data has image, serving_default_image:0" in told


def test_a_folder_has_a_sample_or_several_in_each_file(tmp_path: Path):
    saved(tmp_path, images(1)[0], "a.npy")
    saved(tmp_path, images(3), "b.npy")

    assert len(read(tmp_path)) == 4


def test_double_precision_becomes_the_inputs_type(tmp_path: Path):
    assert read(saved(tmp_path, images().astype(np.float64)))[0][0].dtype == np.float32


def test_many_samples_are_thinned_out_evenly(tmp_path: Path):
    samples, notes = samples_of(job(saved(tmp_path, images(1100))), [IMAGE], None)

    assert len(samples) == 367 <= MAX_SAMPLES
    assert notes == ["calibrated with 367 of 1100 samples, evenly spread"]
    assert np.array_equal(samples[-1][0][0], images(1100)[1098])


@pytest.mark.parametrize(
    "function",
    [
        lambda: images(),
        lambda: {"image": images()},
        lambda: list(images()),
        lambda: ([image[None]] for image in images()),
        lambda: ({"image": image[None]} for image in images()),
    ],
    ids=["array", "arrays by name", "samples", "lists with batch", "by name with batch"],
)
def test_a_function_may_give_what_it_likes(function: Callable[[], Any]):
    assert [sample[0].shape for sample in called(function)] == [(1, 4, 4, 1)] * 5


def test_random_data_is_the_same_each_time():
    first, second = read(None), read(None)

    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


# What is told


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (images(0), "for 'image': holds no samples"),
        (images(5)[..., 0], "shape (5, 4, 4), expected (samples, 4, 4, 1)"),
        (images(1)[0], "the first axis must be the sample: (samples, 4, 4, 1), not (4, 4, 1)"),
        (np.zeros((5, 8, 8, 1), np.float32), "shape (5, 8, 8, 1), expected (samples, 4, 4, 1)"),
        (np.float32(1.0), "shape (), expected (samples, 4, 4, 1)"),
        (images().astype(np.uint8), "uint8, expected float32: prepare it exactly as for training"),
        (np.full((5, 4, 4, 1), np.nan, np.float32), "NaN in 5 of 5 samples, first in sample 0"),
        (np.where(np.arange(5)[:, None, None, None] == 2, np.nan, images()),
         "NaN in 1 of 5 samples, first in sample 2"),
        (np.where(np.arange(5)[:, None, None, None] == 4, -np.inf, images()),
         "infinity in 1 of 5 samples, first in sample 4"),
        (np.full((5, 4, 4, 1), 0.25, np.float32), "every number is 0.25"),
        (np.array([{}] * 5, dtype=object), "holds Python objects, expected numbers"),
    ],
    ids=["empty", "no channels", "no samples axis", "wrong size", "a number", "bytes", "all NaN",
         "some NaN", "infinity", "constant", "pickle"],
)  # fmt: skip
def test_data_that_would_give_another_model(tmp_path: Path, array: np.ndarray, said: str):
    assert said in refusal(saved(tmp_path, np.asarray(array)))


def test_names_that_the_model_does_not_have(tmp_path: Path):
    np.savez(tmp_path / "data.npz", picture=images(), noise=images())

    message = refusal(tmp_path / "data.npz", IMAGE, SOUND)
    assert "the model's inputs are image, sound; the data has picture, noise" in message


def test_unequal_counts(tmp_path: Path):
    sounds = np.random.default_rng(0).random((7, 6), np.float32)
    np.savez(tmp_path / "data.npz", image=images(5), sound=sounds)

    message = refusal(tmp_path / "data.npz", IMAGE, SOUND)
    assert "5 samples for 'image', but 7 for 'sound'" in message


def test_a_header_that_promises_more_than_the_file_has(tmp_path: Path):
    path = saved(tmp_path, images(5))
    path.write_bytes(path.read_bytes().replace(b"(5, 4, 4, 1)", b"(9**9,4,4,1)"))
    assert "data.npy" in refusal(path)

    path = saved(tmp_path, images(5))
    path.write_bytes(path.read_bytes().replace(b"(5, 4, 4, 1)", b"(9, 4, 4, 1)"))
    assert "says it has the shape (9, 4, 4, 1), 576 bytes, but 320 bytes follow" in refusal(path)


def test_a_cut_file(tmp_path: Path):
    path = saved(tmp_path, images(5))
    path.write_bytes(path.read_bytes()[:-40])

    assert "says it has the shape (5, 4, 4, 1), 320 bytes, but 280 bytes follow" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no numbers", b"PK\x03\x04" * 9])
@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
def test_what_is_no_array_file(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)

    assert refusal(tmp_path / name).startswith(f"representative data: {name}")


def test_an_archive_with_something_else_in_it(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")

    assert refusal(tmp_path / "data.npz").startswith("representative data: data.npz")


def test_a_folder_without_arrays(tmp_path: Path):
    assert "no .npy or .npz file in the folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (list, "the function gives no samples"),
        (lambda: 1 / 0, "the function failed: ZeroDivisionError: division by zero"),
        (lambda: None, "the function failed: TypeError"),
        (lambda: [[images(1), images(1)]], "samples have 2 arrays, the model 1 inputs"),
    ],
)
def test_functions_that_give_nothing_useful(function: Callable[[], Any], said: str):
    with pytest.raises(WorkerError) as caught:
        called(function)
    assert said in str(caught.value)


# Shapes of inputs


def test_the_batch_becomes_one():
    assert static_shape("image", (None, 4, 4, 1)) == (1, 4, 4, 1)
    assert static_shape("image", (1, 4)) == (1, 4)


@pytest.mark.parametrize(
    ("shape", "said"),
    [((None, None, 4), "has no fixed shape"), ((32, 4), "has the fixed batch 32")],
)
def test_shapes_that_no_device_can_plan_for(shape: tuple[int | None, ...], said: str):
    with pytest.raises(WorkerError) as caught:
        static_shape("image", shape)
    assert said in str(caught.value)
