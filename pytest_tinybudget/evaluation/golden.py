"""Golden vectors: what TFLM's own interpreter gives for random or given inputs."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import msgspec

from pytest_tinybudget.artifacts.golden import Golden
from pytest_tinybudget.artifacts.golden import Values
from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.cache import Entry
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import file_digest
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.declaration.declared import GoldenRequest
from pytest_tinybudget.evaluation.operators import arena_bytes
from pytest_tinybudget.graph.model import Model


#: Increase this when the same model and request give other vectors.
_REVISION = 1

#: What the interpreter may take for all samples.
TIME_LIMIT_SECONDS = 120
_WORKER = "pytest_tinybudget.evaluation.worker.golden"


def golden_vectors(
    model: Model, name: str, *, samples: int, seed: int, data: Path | None, tolerance: int
) -> Golden:
    """Run ``model`` on ``samples`` inputs in a child process.

    Raises:
        TinybudgetError: the interpreter is missing or does not run the model, or ``data`` is not
            for its inputs.
    """
    from pytest_tinybudget.base.folders import temporary_folder
    from pytest_tinybudget.base.processes import module
    from pytest_tinybudget.base.processes import run

    if importlib.util.find_spec("tflite_micro") is None:
        raise TinybudgetError(
            "golden vectors need TFLM's interpreter: pip install 'pytest-tinybudget[verify]'",
            code="TB103",
        )
    given = str(data.absolute()) if data else ""
    arguments = [str(arena_bytes(model)), str(samples), str(seed), given]
    try:
        with temporary_folder() as folder:
            (folder / "model.tflite").write_bytes(model.content)
            child = run(module(_WORKER), arguments, folder, TIME_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise TinybudgetError(
            f"{model.name}: no golden vectors: not done after {TIME_LIMIT_SECONDS} s"
        ) from None
    except OSError as error:
        raise TinybudgetError(
            f"{model.name}: no golden vectors, temporary files cannot be written: "
            f"{error.strerror or error}",
            code="TB102",
        ) from None
    lines = child.stdout.decode("utf-8", "replace").splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if "error" in told:
        raise TinybudgetError(f"{data}: {printable(told['error'])}")
    if "outputs" not in told:
        raise TinybudgetError(
            f"{model.name}: no golden vectors: TFLM's interpreter does not run it "
            f"({_last_line(child)})",
            code="TB010",
        )
    inputs, outputs = told["inputs"], told["outputs"]
    what = f"the first {len(outputs[0])} samples of {data.name}" if data else f"random, seed {seed}"
    return Golden(
        name=name,
        sha256=model.sha256,
        origin=(
            f"Outputs: tflite-micro {version('tflite-micro')}, reference kernels",
            f"Inputs: {what}",
        ),
        inputs=_values(model, model.main.inputs, inputs),
        outputs=_values(model, model.main.outputs, outputs),
        tolerance=tolerance,
    )


def kept_vectors(model: Model, name: str, asked: GoldenRequest, cache: Cache | None) -> Golden:
    """The vectors that a declaration asks for: from the cache where it has them, else made.

    Raises:
        TinybudgetError: as ``golden_vectors``; ``data`` cannot be read.
    """

    def made() -> Golden:
        return golden_vectors(
            model,
            name,
            samples=asked.samples,
            seed=asked.seed,
            data=asked.data,
            tolerance=asked.tolerance,
        )

    if cache is None or importlib.util.find_spec("tflite_micro") is None:
        return made()
    data = file_digest(asked.data).hex() if asked.data else ""
    parts = (_REVISION, name, model.sha256, asked.samples, asked.seed, data, asked.tolerance,
             version("tflite-micro"))  # fmt: skip
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    kept = cache.get(key, Path())
    if kept is not None:
        return msgspec.json.decode(kept.content, type=Golden)
    golden = made()
    cache.put(key, Entry(msgspec.json.encode(golden), {"source": f"{name}, golden vectors"}))
    return golden


def _values(
    model: Model, indices: tuple[int, ...], contents: list[list[str]]
) -> tuple[Values, ...]:
    tensors = [model.main.tensors[index] for index in indices]
    return tuple(
        Values(tensor.name, tensor.type, tuple(map(bytes.fromhex, samples)))
        for tensor, samples in zip(tensors, contents, strict=True)
    )


def _last_line(child: subprocess.CompletedProcess[bytes]) -> str:
    if child.returncode < 0:
        from pytest_tinybudget.base.processes import signal_name

        return f"ended by {signal_name(-child.returncode)}"
    text = child.stderr.decode("utf-8", "replace").strip()
    return printable(text.rpartition("\n")[2]) or f"exit code {child.returncode}"
