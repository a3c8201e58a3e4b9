"""``python -m pytest_tinybudget.evaluation.worker FOLDER`` does the job described in FOLDER."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.base.confinement import end_with_parent
from pytest_tinybudget.base.confinement import limit_resources
from pytest_tinybudget.convert.files import IMPORT_SECONDS
from pytest_tinybudget.convert.files import JobFolder
from pytest_tinybudget.convert.sources import backend_of
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.evaluation.interpreters import MODULES
from pytest_tinybudget.evaluation.job import MODEL
from pytest_tinybudget.evaluation.job import OTHER
from pytest_tinybudget.evaluation.job import Job


if TYPE_CHECKING:
    from pytest_tinybudget.evaluation.worker.data import HeldOut
    from pytest_tinybudget.evaluation.worker.engines import Array
    from pytest_tinybudget.evaluation.worker.engines import Engine


def main(folder: JobFolder) -> None:
    """Do the job in ``folder`` and write its result, or what went wrong, there."""
    end_with_parent(IMPORT_SECONDS)
    job = Job.read(folder.path)
    try:
        folder.write_result(_evaluate(job, folder))
    except WorkerError as error:
        folder.write_result({"error": list(error.lines)})
    except MemoryError:
        text = f"{job.shown}: {folder.step()}: needs more than {job.memory_bytes >> 20} MB"
        folder.write_result({"error": [f"{text} of memory (conversion_memory)"]})
    except Exception as error:  # frameworks raise any exception; the log has all of it
        traceback.print_exc()
        folder.write_result({"error": [f"{job.shown}: {folder.step()}: {first_line(error)}"]})


def _evaluate(job: Job, folder: JobFolder) -> dict[str, Any]:
    from pytest_tinybudget.evaluation.worker.data import HeldOut
    from pytest_tinybudget.evaluation.worker.engines import with_names

    folder.write_step("importing the interpreter")
    _import(job)
    limit_resources(job.memory_bytes, job.timeout_seconds)
    if job.noise:
        return {**_against_float(job, folder), "refused": "", "other_refused": ""}
    folder.write_step("loading")
    content = folder.path.joinpath(MODEL).read_bytes()
    model, refused = _loaded(job.engine, job.check_engine, content, job.shown)
    other, read, other_refused = _other(job, folder) if job.other_shown else (None, {}, "")
    folder.write_step("reading the held-out data")
    inputs = model.inputs
    if job.source is not None and other is not None:
        inputs = with_names(inputs, other.inputs)
    data = HeldOut(job, inputs)
    folder.write_step(f"running {job.shown}")
    try:
        outputs = _outputs(job, job.shown, model, data)
    except RuntimeError as error:  # TFLM's way to say that an operator failed
        if refused or not job.check_engine:
            raise
        refused = f"does not run it: {first_line(error)}"
        model = _engine(job.check_engine, content, job.shown)
        outputs = _outputs(job, job.shown, model, data)
    others = None
    if other is not None:
        folder.write_step(f"running {job.other_shown}")
        others = _outputs(job, job.other_shown, other, data)
    folder.write_step("comparing")
    told: dict[str, Any] = {"count": data.count, "warnings": data.notes, "read": read}
    told.update(refused=refused, other_refused=other_refused, fresh=model.is_fresh)
    told.update(_figures(job, data, outputs, others))
    if job.check_engine and not refused:
        folder.write_step(f"cross-checking {job.shown}")
        told["check"] = _cross_check(job, folder, data, others)
    return told


def _against_float(job: Job, folder: JobFolder) -> dict[str, Any]:
    """How far the model lies from the float one, and how far its scales explain."""
    from pytest_tinybudget.evaluation.operators import arena_bytes
    from pytest_tinybudget.evaluation.worker.data import HeldOut
    from pytest_tinybudget.evaluation.worker.noise import against_float
    from pytest_tinybudget.graph.tflite import read_model

    content = folder.path.joinpath(MODEL).read_bytes()
    folder.write_step(f"loading {job.other_shown}")
    read = {}
    if job.source is not None:
        from pytest_tinybudget.convert.worker.job import calibration_samples
        from pytest_tinybudget.convert.worker.job import load
        from pytest_tinybudget.convert.worker.job import watch_files

        own_code = job.source.custom_objects or job.source.data_function
        watched = watch_files(Path(job.source.root)) if own_code else None
        trained = load(job.source)
        samples, _ = calibration_samples(job.source, trained)
        theirs, other = samples, trained.float_file()
        read = watched() if watched else {}
    else:
        other = folder.path.joinpath(OTHER).read_bytes()
        inputs = _engine(job.other_engine, other, job.other_shown).inputs
        mine = _engine(job.engine, content, job.shown).inputs
        data = HeldOut(job, mine)
        samples = list(zip(*data.inputs_of(mine), strict=True))
        theirs = list(zip(*data.inputs_of(inputs), strict=True))
    folder.write_step("comparing with the float model")
    room = arena_bytes(read_model(content, job.shown))
    return {**against_float(content, other, samples, theirs, room), "read": read}


def _loaded(name: str, second: str, content: bytes, shown: str) -> tuple[Engine, str]:
    """A model in the interpreter ``name``; in ``second``, and why, if it does not load there.

    Raises:
        WorkerError: neither takes it.
    """
    try:
        return _engine(name, content, shown), ""
    except WorkerError as error:
        if not second:
            raise
        _, _, reason = error.lines[0].partition(": the interpreter ")
        return _engine(second, content, shown), reason


def _engine(name: str, content: bytes, shown: str) -> Engine:
    from pytest_tinybudget.evaluation.worker.engines import engine

    return engine(name, content, shown)


def _figures(job: Job, data: HeldOut, outputs: Array, others: Array | None) -> dict[str, Any]:
    """The job's figures from what the model gave, and what the one to compare with gave."""
    from pytest_tinybudget.evaluation.worker import metrics

    if not job.metric:
        assert others is not None
        return metrics.alike(job, outputs, others)
    labels = data.labels()
    mine = metrics.rated(job, outputs, labels)
    told: dict[str, Any] = {"value": mine.value, "interval": mine.interval}
    if job.metric in ("accuracy", "top_5"):
        assert mine.scores is not None
        told["hits"] = int(mine.scores.sum())
    if job.metric == "accuracy":
        classes = metrics.class_labels(job, outputs, labels)
        told["weakest"] = metrics.weakest_class(outputs, classes, job.threshold)
    if others is not None:
        told.update(metrics.drop(job, mine, metrics.rated(job, others, labels)))
    return told


def _cross_check(
    job: Job, folder: JobFolder, data: HeldOut, others: Array | None
) -> dict[str, Any]:
    """The same figures by the interpreter that checks.

    ``why_not`` says why it does not run a model; there are no figures then.
    """
    try:
        content = folder.path.joinpath(MODEL).read_bytes()
        checked = _outputs(job, job.shown, _engine(job.check_engine, content, job.shown), data)
        if job.other_check_engine:
            content = folder.path.joinpath(OTHER).read_bytes()
            engine = _engine(job.other_check_engine, content, job.other_shown)
            others = _outputs(job, job.other_shown, engine, data)
    except (WorkerError, RuntimeError, ValueError) as error:
        return {"why_not": first_line(error)}
    figures = _figures(job, data, checked, others)
    return {name: figures[name] for name in ("value", "drop") if name in figures}


def _import(job: Job) -> None:
    """Import the interpreters and the converter before the rest of the job is limited."""
    engines = (job.engine, job.check_engine, job.other_engine, job.other_check_engine)
    for name in dict.fromkeys(filter(None, engines)):
        import_module(MODULES[name])
    if job.source is not None:
        backend = backend_of(job.source.kind)
        import_module(f"pytest_tinybudget.convert.worker.{backend}_backend")


def _other(job: Job, folder: JobFolder) -> tuple[Engine, dict[str, str], str]:
    """The model to compare with, the project's files that were read to load it, and a refusal."""
    from pytest_tinybudget.evaluation.worker.engines import Trained

    if job.source is None:
        content = folder.path.joinpath(OTHER).read_bytes()
        engine, refused = _loaded(
            job.other_engine, job.other_check_engine, content, job.other_shown
        )
        return engine, {}, refused
    from pytest_tinybudget.convert.worker.job import load
    from pytest_tinybudget.convert.worker.job import watch_files

    read = watch_files(Path(job.source.root)) if job.source.custom_objects else None
    trained = Trained(load(job.source))
    return trained, read() if read else {}, ""


def _outputs(job: Job, shown: str, engine: Engine, data: HeldOut) -> Array:
    """The chosen output of each sample, flat: shape (samples, numbers).

    Raises:
        WorkerError: the data does not fit the model's inputs, or there is no such output.
    """
    import numpy as np

    inputs = data.inputs_of(engine.inputs)
    wanted = [values.shape[1:] for values in inputs]
    found = [tensor.sample_shape for tensor in engine.inputs]
    if wanted != found:
        raise WorkerError(
            f"{shown} takes {', '.join(map(str, found))}, but the data is for "
            f"{', '.join(map(str, wanted))}"
        )
    rows = []
    for index in range(data.count):
        outputs = engine.run([values[index] for values in inputs])
        if job.output >= len(outputs):
            raise WorkerError(f"{shown} has {len(outputs)} outputs: output = {job.output} is none")
        rows.append(outputs[job.output].reshape(-1))
    return np.stack(rows)


if __name__ == "__main__":
    main(JobFolder(Path(sys.argv[1])))
