"""From a request to a checked INT8 model: out of the cache, or made by a worker."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.folders import temporary_folder
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.fingerprint import fingerprint
from pytest_tinybudget.convert.fingerprint import versions
from pytest_tinybudget.convert.onnx2tf import NAME
from pytest_tinybudget.convert.quantizers import QUANTIZERS
from pytest_tinybudget.convert.quantizers import quantizer_name
from pytest_tinybudget.convert.refusals import refusal
from pytest_tinybudget.convert.requirements import can_plan
from pytest_tinybudget.convert.requirements import missing_packages
from pytest_tinybudget.convert.settings import RANDOM
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.settings import stripped_text
from pytest_tinybudget.convert.sources import Backend
from pytest_tinybudget.convert.sources import backend_of
from pytest_tinybudget.convert.sources import by_quantizer
from pytest_tinybudget.convert.sources import check_source
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.graph.locations import is_c_source


if TYPE_CHECKING:
    from pytest_tinybudget.convert.files import Job
    from pytest_tinybudget.convert.files import JobFolder
    from pytest_tinybudget.convert.server import Server


#: The packages that make the file.
_CONVERTERS = (
    "tensorflow",
    "tensorflow-cpu",
    *(name for name, _ in QUANTIZERS),
    NAME,
    "litert-torch",
)

#: Called with the model and the step of its conversion, to show progress.
Progress = Callable[[str, str], None]


class Request(Struct, frozen=True):
    """A model to be converted. Messages call its source ``shown``."""

    source: Path
    shown: str
    settings: Conversion


class Converted(Struct, frozen=True):
    """An INT8 model, and what its conversion reports.

    ``content`` is the file. ``warnings`` make a passing pair a warning, ``notes`` do not. ``drift``
    compares each output with the float model's (``worker/drift.py``). ``settings`` says in words
    how the file was made. ``cached`` is true where the cache had it.
    """

    content: bytes
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    drift: tuple[dict[str, Any], ...]
    settings: str
    cached: bool


class _Task(Struct, frozen=True):
    """A request with the key of its result, which depends on the source's content."""

    key: str
    request: Request


@dataclass(slots=True)
class Converter:
    """Converts models. A run has one: it keeps the servers and, without a cache, the results."""

    cache: Cache | None
    progress: Progress = lambda _model, _step: None
    _kept: dict[str, Converted | ConversionError] = field(default_factory=dict, repr=False)
    #: Why a Keras model needs TensorFlow, by the key of its result.
    _unplanned: dict[str, str] = field(default_factory=dict, repr=False)
    _servers: dict[Backend, Server] = field(default_factory=dict, repr=False)
    _home: Path | None = field(default=None, repr=False)
    _open: ExitStack = field(default_factory=ExitStack, repr=False)

    def convert(self, request: Request) -> Converted:
        """The INT8 model of ``request``.

        Raises:
            ConversionError: it cannot be converted, or what came is not full-integer TF Lite.
        """
        task = _task(self._on_disk(request))
        self._fulfill([task])
        kept = self._kept[task.key]
        if isinstance(kept, ConversionError):
            raise kept.with_traceback(None)
        return kept

    def prepare(self, requests: Iterable[Request]) -> None:
        """Convert ``requests`` side by side. An error is raised later, by ``convert``."""
        tasks = []
        for request in requests:
            with suppress(TinybudgetError):  # ``convert`` meets it again
                tasks.append(_task(self._on_disk(request)))
        self._fulfill(tasks)

    def has(self, request: Request) -> bool:
        """Whether the result of ``request`` is kept, or it fails before anything is converted."""
        try:
            return not self._missing([_task(self._on_disk(request))])
        except TinybudgetError:
            return True

    def close(self) -> None:
        """End the servers and remove their folder."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        self._open.close()
        self._home = None

    def _on_disk(self, request: Request) -> Request:
        """``request`` with a file that converters read: of a C source, the bytes of its array.

        Raises:
            ModelError: the source holds no model.
            ConversionError: temporary files cannot be written.
        """
        if not is_c_source(request.source):
            return request
        from pytest_tinybudget.graph.tflite import load_content

        content = load_content(request.source, request.shown)
        try:
            file = self._folder() / f"{hashlib.sha256(content).hexdigest()}.tflite"
            file.write_bytes(content)
        except OSError as error:
            raise _no_room(request, error) from None
        return replace(request, source=file)

    def _fulfill(self, tasks: Sequence[_Task]) -> None:
        """Put the results of ``tasks`` into ``_kept``: from the cache, or by converting."""
        missing = self._missing(tasks)
        if not missing:
            return
        with ExitStack() as stack:
            if self.cache is not None:
                stack.enter_context(self.cache.locked([task.key for task in missing]))
                missing = self._missing(missing)  # another process may have made it meanwhile
            for backend in get_args(Backend):
                self._make([task for task in missing if self._backend(task) == backend])

    def _missing(self, tasks: Iterable[_Task]) -> list[_Task]:
        """The ``tasks`` without a result, neither in ``_kept`` nor in the cache."""
        missing = {}
        for task in tasks:
            if task.key in self._kept:
                continue
            root = task.request.settings.root
            entry = self.cache.get(task.key, root) if self.cache is not None else None
            if entry is not None:
                self._kept[task.key] = _failed_before(entry, task.request) or _told(
                    entry, task.request, cached=True
                )
            else:
                missing[task.key] = task
        return list(missing.values())

    def _make(self, tasks: Sequence[_Task]) -> None:
        refused = {
            task.key: _refusal(task.request, self._unplanned.get(task.key, "")) for task in tasks
        }
        self._kept.update({key: error for key, error in refused.items() if error is not None})
        tasks = [task for task in tasks if task.key not in self._kept]
        if not tasks:
            return
        try:
            self._run(tasks)
        except OSError as error:
            for task in tasks:
                self._kept[task.key] = _no_room(task.request, error)

    def _run(self, tasks: Sequence[_Task]) -> None:
        """Let a worker convert ``tasks``, all of one backend, and keep the results."""
        from pytest_tinybudget.convert.files import JobFolder

        backend = self._backend(tasks[0])
        ready = [
            (
                task,
                replace(job_of(task.request), planned=backend == "plan"),
                JobFolder(Path(tempfile.mkdtemp(dir=self._folder()))),
            )
            for task in tasks
        ]
        server = self._server(backend)
        server.run([(job, folder) for _, job, folder in ready], self._on_step)
        for task, job, folder in ready:
            self._finish(task, job, folder)
            shutil.rmtree(folder.path, ignore_errors=True)

    def _on_step(self, job: Job, step: str) -> None:
        self.progress(job.shown, step)

    def _backend(self, task: _Task) -> Backend:
        kind = kind_of(task.request.source)
        is_planned = kind == "keras" and can_plan() and task.key not in self._unplanned
        return "plan" if is_planned else backend_of(kind)

    def _finish(self, task: _Task, job: Job, folder: JobFolder) -> None:
        if job.planned and (reason := _unplanned(folder)):
            self._unplanned[task.key] = reason
            return
        try:
            self._keep(task, self._finished(job, folder))
        except ConversionError as error:
            error.log = folder.printed()
            self._kept[task.key] = error
            if self.cache is not None and _is_the_models(folder, error):
                self.cache.put(task.key, _failure(error, job, folder))

    def _finished(self, job: Job, folder: JobFolder) -> Entry:
        from pytest_tinybudget.convert.postcheck import check_converted
        from pytest_tinybudget.convert.server import outcome

        report = outcome(job, folder)
        whole = folder.whole.read_bytes()
        check_converted(whole, job.shown, job.activations)
        report = {**report, "source": job.shown, "planned": job.planned}
        if job.strip:  # the names of layers are gone
            report["notes"] = [*report["notes"], *_float_layers(whole, job.shown)]
        return Entry(folder.model.read_bytes(), report)

    def _keep(self, task: _Task, entry: Entry) -> None:
        if reason := self._unplanned.get(task.key):
            entry.report["notes"] = [*entry.report["notes"], f"converted by TensorFlow: {reason}"]
        doubt = self.cache.put(task.key, entry) if self.cache is not None else ""
        told = _told(entry, task.request, cached=False)
        self._kept[task.key] = replace(told, notes=(*told.notes, *filter(None, [doubt])))

    def _server(self, backend: Backend) -> Server:
        from pytest_tinybudget.convert.server import Server

        if backend not in self._servers:
            home = self._folder() / backend
            home.mkdir()
            self._servers[backend] = Server(backend, home)
        return self._servers[backend]

    def _folder(self) -> Path:
        if self._home is None:
            self._home = self._open.enter_context(temporary_folder())
        return self._home


def _is_the_models(folder: JobFolder, error: ConversionError) -> bool:
    """Whether a failure lies in the model or its data, and would come again.

    One that ended the process, took too long or too much memory may be the machine's; one while
    code of the project runs may be that code's.
    """
    result = folder.result()
    if result is None:
        return False
    return "error" not in result or bool(result.get("lasting"))


def _failure(error: ConversionError, job: Job, folder: JobFolder) -> Entry:
    """A failure as the cache keeps it, in place of a model."""
    report = {
        "error": [error.message, *error.details],
        "code": error.code,
        "source": job.shown,
        "read": (folder.result() or {}).get("read", {}),
    }
    return Entry(error.log, report)


def _failed_before(entry: Entry, request: Request) -> ConversionError | None:
    """The failure that ``entry`` keeps, told of the source as it is called now."""
    if "error" not in entry.report:
        return None
    first, *rest = entry.report["error"]
    first = first.replace(entry.report["source"], request.shown, 1)
    details = (*rest, "it failed so before, and nothing has changed (--no-cache tries again)")
    return ConversionError(first, details=details, log=entry.content, code=entry.report["code"])


def _float_layers(content: bytes, shown: str) -> list[str]:
    """The parts that stayed float, a note each."""
    from pytest_tinybudget.footprint.float_parts import float_parts
    from pytest_tinybudget.graph.tflite import read_model

    return [f"stayed float: {part.text}" for part in float_parts(read_model(content, shown))]


def _no_room(request: Request, error: OSError) -> ConversionError:
    text = f"{request.shown}: not converted, temporary files cannot be written"
    return ConversionError(f"{text}: {error.strerror or error}", code="TB102")


def _task(request: Request) -> _Task:
    """``request`` with the key of its result.

    Raises:
        ConversionError: source or data cannot be read, or no data is declared.
    """
    settings, shown = request.settings, request.shown
    kind = kind_of(request.source)
    check_source(request.source, kind, shown)
    if settings.representative_data is None:
        raise ConversionError(
            f"{shown}: needs 'representative_data' to be converted to INT8",
            details=(
                "some of the samples that it was trained with, exactly as it was given them:",
                '  representative_data = "data/calibration.npz"',
                "or, where only sizes count:",
                f'  representative_data = "{RANDOM}"',
            ),
        )
    data = settings.data_path
    if data is not None and not data.exists():
        raise ConversionError(
            f"{shown}: representative_data: no such file: {settings.representative_data!r}"
        )
    try:
        return _Task(fingerprint(request.source, kind, settings), request)
    except OSError as error:
        raise ConversionError(f"{error.filename}: cannot be read: {error.strerror}") from None


def _refusal(request: Request, unplanned: str) -> ConversionError | None:
    """Why no worker is asked: packages are missing, or TFLM would refuse what it made."""
    kind = kind_of(request.source)
    return missing_packages(kind, request.shown, request.settings, unplanned) or refusal(
        request.source, kind, request.shown, request.settings
    )


def _unplanned(folder: JobFolder) -> str:
    """Why a model is not converted without TensorFlow; empty where it is, or its data is wrong."""
    result = folder.result()
    if result is None:
        return "the conversion without it ended early"
    return str(result.get("unplanned", ""))


def job_of(request: Request) -> Job:
    """The job for a worker that fulfills ``request``."""
    from pytest_tinybudget.convert.files import Job

    settings = request.settings
    return Job(
        source=str(request.source.absolute()),
        kind=kind_of(request.source),
        shown=request.shown,
        root=str(settings.root.absolute()),
        data_path=None if settings.data_path is None else str(settings.data_path.absolute()),
        data_function=settings.data_function,
        custom_objects=settings.custom_objects,
        strip=drops_names(request),
        per_channel_dense=settings.scales_per_channel,
        activations=settings.activations,
        timeout_seconds=settings.timeout_seconds,
        memory_bytes=settings.memory_bytes,
        input_shapes=settings.input_shapes,
        onnx_command=settings.onnx_command,
    )


def drops_names(request: Request) -> bool:
    """Whether names are left out: litert-torch's take more than some models' weights."""
    return request.settings.strip or kind_of(request.source) == "torch"


def _told(entry: Entry, request: Request, *, cached: bool) -> Converted:
    """A cache entry as reports show it."""
    report = entry.report
    drift = tuple(report["drift"])
    warnings = [*report["warnings"], *_broken(drift)]
    notes = list(report["notes"])
    if request.settings.representative_data == RANDOM:
        warnings.append(
            "converted with random data: flash and RAM hold, outputs and accuracy do not"
        )
    else:
        notes += map(_drift_text, drift)
    if request.settings.per_channel_dense is False and _is_dense_per_channel(entry, request):
        warnings.append(
            f"per_channel_dense = false is not done for a {request.source.suffix}: "
            f"{quantizer_name()} has given each output of a dense layer its scale"
        )
    if report["stripped_bytes"]:
        notes.append(stripped_text(report["stripped_bytes"]))
    return Converted(
        entry.content, tuple(warnings), tuple(notes), drift, _settings_text(entry, request), cached
    )


def _is_dense_per_channel(entry: Entry, request: Request) -> bool:
    """Whether a dense layer gets a scale for each output from a converter without the option."""
    if not by_quantizer(kind_of(request.source)):
        return False
    from pytest_tinybudget.graph.dense import per_tensor_dense
    from pytest_tinybudget.graph.tflite import read_model

    return per_tensor_dense(read_model(entry.content, request.shown)) is not None


def _settings_text(entry: Entry, request: Request) -> str:
    """The settings that decide how large the converted file is, in words."""
    settings, kind = request.settings, kind_of(request.source)
    packages = versions(kind, settings)
    converters = ("ai-edge-litert",) if entry.report.get("planned") else _CONVERTERS
    per_channel = settings.scales_per_channel or by_quantizer(kind)  # the quantizer's recipes
    told = [
        settings.activations,
        f"dense layers per {'channel' if per_channel else 'tensor'}",
        "stripped" if drops_names(request) else "",
        *(f"{name} {packages[name]}" for name in converters if name in packages),
    ]
    return ", ".join(filter(None, told))


def _broken(drift: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"the INT8 model's output {printable(each['output'])} is {each['broken']}"
        for each in drift
        if each["broken"]
    ]


def _drift_text(each: dict[str, Any]) -> str:
    return (
        f"INT8 against float, output {printable(each['output'])}: "
        f"{each['relative_error']:.1%} error, at most {each['max_error']:.3g} "
        f"of {each['float_min']:.3g} to {each['float_max']:.3g}"
    )
