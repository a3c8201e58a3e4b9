"""Runs an evaluation, or takes its result from the cache, by a key of all that it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from msgspec.structs import replace

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import file_digest
from pytest_tinybudget.base.folders import temporary_folder
from pytest_tinybudget.convert.fingerprint import fingerprint
from pytest_tinybudget.convert.fingerprint import machine
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.declaration.held_out import HeldOut
from pytest_tinybudget.evaluation.interpreters import Choice
from pytest_tinybudget.evaluation.interpreters import choice_for
from pytest_tinybudget.evaluation.job import MODEL
from pytest_tinybudget.evaluation.job import OTHER
from pytest_tinybudget.evaluation.job import Job
from pytest_tinybudget.graph.model import Model


if TYPE_CHECKING:
    from pytest_tinybudget.convert.converter import Request
    from pytest_tinybudget.convert.settings import Conversion


#: Increase this when the same models and data give other results.
_REVISION = 4

#: Fields that do not change the result, such as names for messages.
_NOT_IN_THE_RESULT = ("shown", "data", "data_shown", "other_shown", "source", "timeout_seconds",
                      "memory_bytes")  # fmt: skip


class ReferenceModel(Struct, frozen=True):
    """The model to compare with.

    Attributes:
        shown: its name in messages.
        model: the model, where it is a ``.tflite`` file.
        source: what the float model is made from, where it is not.
    """

    shown: str
    model: Model | None = None
    source: Request | None = None


class EvaluationRequest(Struct, frozen=True):
    """A question about a model: its accuracy, or its agreement with another one.

    Attributes:
        model: the model.
        shown: its name in messages.
        data: the held-out samples; ``None`` for the calibration data of ``reference``'s source.
        limits: time and memory that the evaluation may take, as for a conversion.
        labels: the array of ``data`` that a ``metric`` compares with.
        metric: what rates the model; without one, its decisions are compared with those of
            ``reference``.
        noise: whether the question is how far its outputs lie from those of ``reference``.
        tolerance: how far outputs may lie apart and still agree.
        reference: what the model is compared with.
        channels_first: how the data has the model's inputs (``convert/layout.py``).
    """

    model: Model
    shown: str
    data: HeldOut | None
    limits: Conversion
    labels: str = ""
    metric: str = ""
    noise: bool = False
    tolerance: float | None = None
    reference: ReferenceModel | None = None
    channels_first: tuple[int, ...] = ()


class EvaluationResult(Struct, frozen=True):
    """The answer.

    Attributes:
        facts: figures by name, as ``evaluation/worker/`` returns them.
        choice: the interpreter that ran the model, and the one that checked it.
        reference: the same of the model to compare with; ``None`` where a framework ran that, or
            nothing was compared.
        doubt: why the facts could not be written to the cache; empty if they were.
    """

    facts: dict[str, Any]
    choice: Choice
    reference: Choice | None = None
    doubt: str = ""

    @property
    def interpreter(self) -> str:
        """Title of the interpreter whose figures count."""
        return self.choice.first.title


def evaluate(request: EvaluationRequest, cache: Cache | None) -> EvaluationResult:
    """Run the model on the data in a child process, or take the result from the cache.

    Raises:
        TinybudgetError: no interpreter is installed, the data does not fit the model, or a model
            cannot be run.
    """
    other = request.reference.model if request.reference else None
    choice = choice_for(request.model)
    reference = None if other is None else choice_for(other)
    job = _job(request, choice, reference)
    if cache is None:
        return _answered(_evaluated(request, job), choice, reference)
    key, root = _key(request, job, choice, reference), request.limits.root
    kept, doubt = cache.get(key, root), ""
    if kept is None:
        with cache.locked([key]):
            kept = cache.get(key, root)  # another process may have written it by now
            if kept is None:
                facts = _evaluated(request, job)
                kept = Entry(b"", {**facts, "source": f"{request.shown}, evaluated"})
                doubt = cache.put(key, kept)
    return _answered(kept.report, choice, reference, doubt)


def _answered(
    facts: dict[str, Any], choice: Choice, reference: Choice | None, doubt: str = ""
) -> EvaluationResult:
    if facts["refused"]:
        choice = choice.without_first(f"{choice.first.title} {facts['refused']}")
    if facts["other_refused"] and reference is not None:
        reference = reference.without_first(f"{reference.first.title} {facts['other_refused']}")
    return EvaluationResult(facts, choice, reference, doubt)


def _job(request: EvaluationRequest, choice: Choice, reference: Choice | None) -> Job:
    from pytest_tinybudget.convert.converter import job_of

    data, other = request.data, request.reference
    return Job(
        shown=request.shown,
        engine=choice.first.name,
        check_engine=choice.second.name if choice.second and not request.noise else "",
        other_engine=reference.first.name if reference else "",
        other_check_engine=reference.second.name if reference and reference.second else "",
        data=str(data.path.absolute()) if data else "",
        data_shown=data.shown if data else "",
        inputs=data.inputs if data else (),
        normalize=data.normalize if data else None,
        output=data.output if data else 0,
        threshold=data.threshold if data else 0.0,
        labels=request.labels,
        metric=request.metric,
        noise=request.noise,
        tolerance=request.tolerance,
        other_shown=other.shown if other else "",
        channels_first=request.channels_first,
        source=job_of(other.source) if other and other.source else None,
        timeout_seconds=request.limits.timeout_seconds,
        memory_bytes=request.limits.memory_bytes,
    )


def _evaluated(request: EvaluationRequest, job: Job) -> dict[str, Any]:
    """The facts; of the interpreter that checks where the other one crashes."""
    from pytest_tinybudget.evaluation.child import InterpreterCrashError

    try:
        return _run(request, job)
    except InterpreterCrashError as error:
        if not job.check_engine:
            raise
        alone = replace(
            job,
            engine=job.check_engine,
            check_engine="",
            other_engine=job.other_check_engine or job.other_engine,
            other_check_engine="",
        )
        return {**_run(request, alone), "refused": error.how.removeprefix("the interpreter ")}


def _run(request: EvaluationRequest, job: Job) -> dict[str, Any]:
    from pytest_tinybudget.convert.files import JobFolder
    from pytest_tinybudget.evaluation.child import run

    try:
        with temporary_folder() as folder:
            folder.joinpath(MODEL).write_bytes(request.model.content)
            if request.reference and request.reference.model:
                folder.joinpath(OTHER).write_bytes(request.reference.model.content)
            return run(job, JobFolder(folder))
    except OSError as error:
        raise TinybudgetError(
            f"{request.shown}: not evaluated, temporary files cannot be written: "
            f"{error.strerror or error}",
            code="TB102",
        ) from None


def _key(request: EvaluationRequest, job: Job, choice: Choice, reference: Choice | None) -> str:
    """The hash of all that the result depends on."""
    digest = hashlib.sha256()
    for part in _parts(request, job, choice, reference):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _parts(
    request: EvaluationRequest, job: Job, choice: Choice, reference: Choice | None
) -> Iterator[bytes]:
    interpreters = [
        each.title
        for one in filter(None, (choice, reference))
        for each in filter(None, (one.first, one.second))
    ]
    yield f"evaluation {_REVISION} {interpreters} {machine()}".encode()
    settings = asdict(replace(job, source=None))
    yield repr([item for item in settings.items() if item[0] not in _NOT_IN_THE_RESULT]).encode()
    yield hashlib.sha256(request.model.content).digest()
    try:
        if request.data:
            yield file_digest(request.data.path)
        if request.reference and request.reference.source:
            source = request.reference.source
            yield fingerprint(source.source, kind_of(source.source), source.settings).encode()
    except OSError as error:
        raise TinybudgetError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if request.reference and request.reference.model:
        yield hashlib.sha256(request.reference.model.content).digest()
