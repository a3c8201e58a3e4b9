"""Runs an evaluation, or takes its result out of the cache: kept by all that it depends on."""

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
from pytest_tinybudget.evaluation.interpreters import Interpreter
from pytest_tinybudget.evaluation.interpreters import interpreter_for
from pytest_tinybudget.evaluation.job import MODEL
from pytest_tinybudget.evaluation.job import OTHER
from pytest_tinybudget.evaluation.job import Job
from pytest_tinybudget.graph.model import Model


if TYPE_CHECKING:
    from pytest_tinybudget.convert.converter import Request
    from pytest_tinybudget.convert.settings import Conversion


#: To be raised when the same models and data give other results.
_REVISION = 1

#: What names files for people, and what changes no result.
_NOT_IN_THE_RESULT = ("shown", "data", "data_shown", "other_shown", "source", "timeout_seconds",
                      "memory_bytes")  # fmt: skip


class Other(Struct, frozen=True):
    """What a model is compared with: another ``model``, or the float model of a ``source``."""

    shown: str
    model: Model | None = None
    source: Request | None = None


class Question(Struct, frozen=True):
    """What is to be found out about ``model``, which messages call ``shown``.

    With ``metric`` it is rated by ``labels``, without one its decisions are compared with the
    ``other`` model's. ``limits`` has the time and memory of a conversion.
    """

    model: Model
    shown: str
    data: HeldOut
    limits: Conversion
    labels: str = ""
    metric: str = ""
    tolerance: float | None = None
    other: Other | None = None


class Answer(Struct, frozen=True):
    """``facts`` as the worker tells them, found by the interpreter called ``interpreter``.

    ``doubt`` is why they are not kept, where they should be and cannot.
    """

    facts: dict[str, Any]
    interpreter: str
    doubt: str = ""


def answer(question: Question, cache: Cache | None) -> Answer:
    """What is found out, in a child process or before.

    Raises:
        TinybudgetError: no interpreter is installed, the data does not fit the model, or a model
            cannot be run.
    """
    other = question.other
    models = [question.model, *([other.model] if other and other.model else [])]
    interpreter = interpreter_for(*models)
    job = _job(question, interpreter)
    if cache is None:
        return Answer(_evaluated(question, job), interpreter.title)
    key, root = _key(question, job, interpreter), question.limits.root
    kept, doubt = cache.get(key, root), ""
    if kept is None:
        with cache.locked([key]):
            kept = cache.get(key, root)  # another process may have made it meanwhile
            if kept is None:
                facts = _evaluated(question, job)
                kept = Entry(b"", {**facts, "source": f"{question.shown}, evaluated"})
                doubt = cache.put(key, kept)
    return Answer(kept.report, interpreter.title, doubt)


def _job(question: Question, interpreter: Interpreter) -> Job:
    from pytest_tinybudget.convert.converter import job_of

    data, other = question.data, question.other
    return Job(
        shown=question.shown,
        engine=interpreter.name,
        data=str(data.path.absolute()),
        data_shown=data.shown,
        inputs=data.inputs,
        normalize=data.normalize,
        output=data.output,
        threshold=data.threshold,
        labels=question.labels,
        metric=question.metric,
        tolerance=question.tolerance,
        other_shown=other.shown if other else "",
        source=job_of(other.source) if other and other.source else None,
        timeout_seconds=question.limits.timeout_seconds,
        memory_bytes=question.limits.memory_bytes,
    )


def _evaluated(question: Question, job: Job) -> dict[str, Any]:
    from pytest_tinybudget.convert.files import JobFolder
    from pytest_tinybudget.evaluation.child import run

    try:
        with temporary_folder() as folder:
            folder.joinpath(MODEL).write_bytes(question.model.content)
            if question.other and question.other.model:
                folder.joinpath(OTHER).write_bytes(question.other.model.content)
            return run(job, JobFolder(folder))
    except OSError as error:
        raise TinybudgetError(
            f"{question.shown}: not evaluated, temporary files cannot be written: "
            f"{error.strerror or error}",
            code="TB102",
        ) from None


def _key(question: Question, job: Job, interpreter: Interpreter) -> str:
    """The hash of all that the result depends on."""
    digest = hashlib.sha256()
    for part in _parts(question, job, interpreter):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _parts(question: Question, job: Job, interpreter: Interpreter) -> Iterator[bytes]:
    yield f"evaluation {_REVISION} {interpreter.title} {machine()}".encode()
    settings = asdict(replace(job, source=None))
    yield repr([item for item in settings.items() if item[0] not in _NOT_IN_THE_RESULT]).encode()
    yield hashlib.sha256(question.model.content).digest()
    try:
        yield file_digest(question.data.path)
        if question.other and question.other.source:
            source = question.other.source
            yield fingerprint(source.source, kind_of(source.source), source.settings).encode()
    except OSError as error:
        raise TinybudgetError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if question.other and question.other.model:
        yield hashlib.sha256(question.other.model.content).digest()
