"""Runs a model and its shrunken file side by side, and compares every byte that comes out.

The interpreters are TFLM's (the package ``tflite-micro``, the extra ``verify``) and LiteRT (the
package ``ai-edge-litert``), each where it is installed (``interpreters.py``).
"""

from __future__ import annotations

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.errors import not_verified
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.state import keeps_state
from pytest_tinybudget.shrinking.interpreters import Answer
from pytest_tinybudget.shrinking.interpreters import Interpreters
from pytest_tinybudget.shrinking.interpreters import Job
from pytest_tinybudget.shrinking.interpreters import Samples
from pytest_tinybudget.shrinking.interpreters import installed
from pytest_tinybudget.shrinking.report import Proof
from pytest_tinybudget.shrinking.report import ProofRun


#: On how many random inputs the files are compared, and on how many samples at most.
INPUTS = 8
#: How often all of them are given to a model with a state, without a reset.
_ROUNDS_WITH_STATE = 3


class DiffersError(TinybudgetError):
    """The shrunken file does not answer as the file that it was made of."""

    default_code = "TB310"


class Proving(Struct, frozen=True):
    """A proof on its way; ``job`` is ``None`` where no interpreter is installed."""

    before: Model
    interpreters: Interpreters
    job: Job | None

    def result(self) -> Proof:
        """The proof, once it is there.

        Raises:
            DiffersError: an output differs, or only the file before runs.
            TinybudgetError: temporary files cannot be written.
        """
        if self.job is None:
            return Proof()
        try:
            answers = self.interpreters.answers(self.job)
        except OSError as error:
            raise not_verified(self.before.name, error) from None
        runs, samples, unused = [], 0, ""
        for name, answer in answers.items():
            runs.append(_run_of(self.before.name, name, answer))
            if answer.what == "same":
                _, samples, unused = answer.details
        return Proof(tuple(runs), samples, unused)


def proving(
    before: Model, after: Model, interpreters: Interpreters, samples: Samples | None = None
) -> Proving:
    """Begin to run both files on random inputs, and on ``samples``.

    Raises:
        TinybudgetError: temporary files cannot be written.
    """
    if not installed():
        return Proving(before, interpreters, None)
    rounds = _ROUNDS_WITH_STATE if keeps_state(before) else 1
    try:
        job = interpreters.compare(before, after, runs=INPUTS, rounds=rounds, samples=samples)
    except OSError as error:
        raise not_verified(before.name, error) from None
    return Proving(before, interpreters, job)


def prove(
    before: Model,
    after: Model,
    *,
    samples: Samples | None = None,
    interpreters: Interpreters | None = None,
) -> Proof:
    """Run both files on random inputs, and on ``samples``, and compare their outputs.

    Raises:
        DiffersError: an output differs, or only the file before runs.
        TinybudgetError: temporary files cannot be written.
    """
    if interpreters is not None:
        return proving(before, after, interpreters, samples).result()
    with Interpreters() as own:
        return proving(before, after, own, samples).result()


def _run_of(model: str, name: str, answer: Answer) -> ProofRun:
    """What one interpreter found.

    Raises:
        DiffersError: an output differs, or only the file before runs.
    """
    if answer.what == "differs":
        number, output = answer.details
        raise DiffersError(
            f"{model}: shrunken, output {output} differs in {name}'s interpreter "
            f"(invocation {number}): nothing is written",
        )
    if answer.what == "same":
        return ProofRun(name, answer.details[0])
    if answer.after:
        raise DiffersError(
            f"{model}: shrunken, it does not run in {name}'s interpreter "
            f"({answer.reason}): nothing is written",
        )
    return ProofRun(name, why_not=f"it does not run the model ({answer.reason})")
