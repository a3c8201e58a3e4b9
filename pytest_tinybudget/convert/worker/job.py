"""One job in a child process: load, check the data, convert, compare, and write the result."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.files import JobFolder
from pytest_tinybudget.convert.settings import FIRST_STEP
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.planning.network import NotPlannedError


if TYPE_CHECKING:
    from pytest_tinybudget.convert.worker.backend import Sample
    from pytest_tinybudget.convert.worker.backend import Trained


def run(folder: JobFolder) -> None:
    """Do the job in ``folder`` and write its result or its error there."""
    job = folder.read_job()
    try:
        folder.write_result(_convert(job, folder))
    except WorkerError as error:
        lines = [f"{job.shown}: {error.lines[0]}", *error.lines[1:]]
        folder.write_result({"error": lines, "lasting": _is_lasting(job)})
    except NotPlannedError as error:
        folder.write_result({"unplanned": error.message})
    except MemoryError:
        traceback.print_exc()
        folder.write_result({"error": [f"{job.shown}: {folder.step()}: {_out_of_memory(job)}"]})
    except Exception as error:  # frameworks raise anything; the log has the whole
        traceback.print_exc()
        told = f"{folder.step()}: {first_line(error)}"
        if job.planned:
            folder.write_result({"unplanned": told})
        else:
            folder.write_result({"error": [f"{job.shown}: {told}"]})


def _is_lasting(job: Job) -> bool:
    """Whether a failure would come again until the source, the data or a package changes.

    Not where code of the project or a command of another environment has a hand in it.
    """
    own_code = job.custom_objects or job.data_function
    return not own_code and job.kind in ("keras", "h5", "saved_model", "tflite")


def _out_of_memory(job: Job) -> str:
    return (
        f"needs more than the {job.memory_bytes >> 20} MB of memory that a conversion may take"
        " (conversion_memory)"
    )


def _convert(job: Job, folder: JobFolder) -> dict[str, Any]:
    from pytest_tinybudget.convert.worker.drift import NotRunError
    from pytest_tinybudget.convert.worker.drift import drift
    from pytest_tinybudget.convert.worker.lstm_scales import with_lstm_scales
    from pytest_tinybudget.convert.worker.repack import repack
    from pytest_tinybudget.graph.tflite import read_model
    from pytest_tinybudget.shrinking.strip import strip

    read = watch_files(Path(job.root)) if job.custom_objects or job.data_function else None
    folder.write_step(FIRST_STEP)
    trained = load(job)
    folder.write_step("reading representative data")
    samples, notes = calibration_samples(job, trained)
    is_given = job.data_path is not None or job.data_function is not None
    warnings = [*trained.warnings, *(trained.doubts(samples) if is_given else [])]
    folder.write_step("converting")
    content = with_lstm_scales(trained.convert(samples, job), trained.schema)
    folder.write_step("comparing with the float model")
    drifts: list[dict[str, Any]] = []
    try:
        drifts = drift(trained, content, samples)
    except NotRunError as error:
        warnings.append(
            f"the INT8 model's outputs were not compared with the float model's: {error}"
        )
    if job.planned and any(each["broken"] for each in drifts):
        raise NotPlannedError("not planned: its INT8 outputs are unlike the float model's")
    whole = repack(content, trained.schema)
    packed = strip(read_model(whole, job.shown)).model.content if job.strip else whole
    folder.whole.write_bytes(whole)
    folder.model.write_bytes(packed)
    return {
        "warnings": warnings,
        "notes": [*trained.notes, *notes],
        "drift": drifts,
        "samples": len(samples),
        "stripped_bytes": len(whole) - len(packed),
        "read": read() if read else {},
    }


def load(job: Job) -> Trained:
    """Load the float model of ``job``, with its own layers from the project.

    Raises:
        WorkerError: it cannot be loaded.
    """
    custom = _imported(job.custom_objects, "custom_objects") if job.custom_objects else None
    trained: Trained = _loader(job)(job, custom)
    return trained


def calibration_samples(job: Job, trained: Trained) -> tuple[Sequence[Sample], list[str]]:
    """The samples that ``trained`` is calibrated with, and notes on them.

    Raises:
        WorkerError: the data cannot be read or does not fit the model.
    """
    from pytest_tinybudget.convert.worker.representative import samples_of

    function = _data_function(job) if job.data_function else None
    return samples_of(job, trained.inputs, function)


def _loader(job: Job) -> Callable[[Job, ModuleType | None], Any]:
    if job.planned:
        from pytest_tinybudget.convert.worker import plan_backend

        return plan_backend.load
    if job.kind == "tflite":
        from pytest_tinybudget.convert.worker import quantizer_backend

        return quantizer_backend.load
    if job.kind == "torch":
        from pytest_tinybudget.convert.worker import torch_backend

        return torch_backend.load
    if job.kind == "onnx":
        from pytest_tinybudget.convert.worker import onnx_source

        return onnx_source.load
    from pytest_tinybudget.convert.worker import tensorflow_backend

    return tensorflow_backend.load


def _imported(name: str, key: str) -> ModuleType:
    """Import a module of the project."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise WorkerError(
                f"{key}: there is no module {name!r} beside the declaration"
            ) from None
        raise WorkerError(f"{key}: {name} cannot be imported: {first_line(error)}") from error
    except Exception as error:
        raise WorkerError(f"{key}: {name} cannot be imported: {first_line(error)}") from error


def _data_function(job: Job) -> Callable[[], Any]:
    assert job.data_function is not None
    module_name, name = job.data_function
    function = getattr(_imported(module_name, "representative_data"), name, None)
    if not callable(function):
        raise WorkerError(f"representative_data: {module_name} has no function {name!r}")
    return function  # type: ignore[no-any-return]


def watch_files(root: Path) -> Callable[[], dict[str, str]]:
    """Let code of the project run from ``root``; what it has read, by name with hashes, so far."""
    from pytest_tinybudget.base.files import file_digest

    sys.path.insert(0, str(root))
    os.chdir(root)
    sys.dont_write_bytecode = True
    opened: set[Path] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        if not set("wax").intersection(arguments[1] or ""):
            opened.add(Path(os.fsdecode(arguments[0])).absolute())

    sys.addaudithook(note)

    def read() -> dict[str, str]:
        modules = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        paths = {*opened, *(Path(file).absolute() for file in modules if file)}
        inside = [path for path in paths if path.is_relative_to(root) and path.is_file()]
        return {
            path.relative_to(root).as_posix(): file_digest(path).hex()
            for path in sorted(inside)
            if "__pycache__" not in path.parts and "site-packages" not in path.parts
        }

    return read
