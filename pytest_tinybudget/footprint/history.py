"""Versions that nobody measured: all states of the history that such a version may be in.

A version whose date is known lies between two known ones. One of no known date, as a fork is, and
one older or newer than all known ones may be as any of them. Between two known versions, every
change that the history has makes a state of its own, so that what came and went counts as well. A
model is measured in each state that may differ for it: which these are shows in what its rules ask
for while it is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.structs import STRUCTS
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Change
from pytest_tinybudget.runtimes.versions import Library
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.runtimes.versions import made_with
from pytest_tinybudget.runtimes.versions import version


#: Libraries whose versions are commits, with a history that the rules know.
_CMSIS_NN: Library = "cmsis-nn"


class Bracket(Struct, frozen=True):
    """What a version may be.

    Attributes:
        states: the newest first, the known versions at both ends included.
        is_narrow: whether these are but the two known versions around it and what lies between.
    """

    states: tuple[Version, ...]
    is_narrow: bool

    @property
    def ends(self) -> tuple[str, str]:
        """The names of the oldest and of the newest state."""
        return self.states[-1].name, self.states[0].name


class Candidate(Struct, frozen=True):
    """A state that a runtime may be in.

    Attributes:
        name: what a range calls it.
        runtime: the runtime in that state.
        lost: the changes that it does not have, and the candidate before it has: those that
            concern the models.
    """

    name: str
    runtime: Runtime
    lost: tuple[Change, ...]


def is_open(runtime: Runtime) -> bool:
    """Whether the version of TFLM or of CMSIS-NN is none that the rules hold for."""
    return not runtime.tflm.is_known or _has_open_kernels(runtime.kernels)


def settled(runtime: Runtime) -> Runtime:
    """``runtime`` with the CMSIS-NN that upstream's make files name, where nobody names another."""
    kernels = runtime.kernels
    if kernels.library != _CMSIS_NN or kernels.version.name or runtime.tflm == _NEWEST:
        return runtime
    name = made_with(runtime.tflm.version.name)
    if not name:
        return runtime
    return replace(runtime, kernels=replace(kernels, version=known(_CMSIS_NN)[name]))


_NEWEST = Tflm()


@cache
def bracket(library: Library, of: Version) -> Bracket:
    """The states that a version may be in which is not known itself."""
    listed = tuple(known(library).values())
    newer = [each for each in listed if each.date >= of.date]
    older = [each for each in listed if each.date <= of.date]
    if of.date and newer and older:
        return Bracket(_between(library, older[0], newer[-1]), is_narrow=True)
    return Bracket(_between(library, listed[-1], listed[0]), is_narrow=False)


def _between(library: Library, older: Version, newer: Version) -> tuple[Version, ...]:
    """All states from ``newer`` back to ``older``; what is not known itself is named by what
    made an end to it.
    """
    history = [each for each in changes(library) if older.date < each.date <= newer.date]
    dates = sorted({each.date for each in history}, reverse=True)
    states = [newer]
    for date, before in zip(dates, [*dates, older.date][1:], strict=True):
        change = next(each for each in history if each.date == date)
        state = version(f"before {change.commit}", before, changes(library))
        lasting = [each for each in known(library).values() if before <= each.date < date]
        states.append(lasting[0] if lasting else state)
    return tuple(states)


class _Asked:
    """Names of changes. A value that has it can be a key: each is equal to itself alone."""

    def __init__(self) -> None:
        self.names: set[str] = set()


class _Watched(Version, frozen=True):
    """A version that keeps in mind which changes it was asked for."""

    asked: _Asked = field(default_factory=_Asked)

    def has(self, change: str) -> bool:
        self.asked.names.add(change)
        return Version.has(self, change)


def _watched(state: Version) -> _Watched:
    """``state``, with a change more that it lacks: of what lacks none nothing need be asked."""
    found = _Watched(*(getattr(state, name) for name in Version.__struct_fields__))
    return replace(found, lacks=found.lacks | {""})


def as_its_date_says(runtime: Runtime) -> Runtime:
    """``runtime`` in the state of its date; in the newest where that is not known."""
    tflm = runtime.tflm
    if not tflm.is_known and not bracket("tflm", tflm.version).is_narrow:
        tflm = replace(tflm, version=_NEWEST.version)
    kernels = runtime.kernels
    if kernels.library == _CMSIS_NN:
        kernels = replace(kernels, version=_kernel_states(runtime)[0] or kernels.version)
    return replace(runtime, tflm=tflm, kernels=kernels)


def explore(
    runtime: Runtime, models: Iterable[Model], measure: Callable[[Candidate], int]
) -> list[list[tuple[Candidate, int]]]:
    """Measure the states that ``runtime`` may be in, as far as they may differ for ``models``.

    ``measure`` gives the bytes that decide, 0 where the models do not run. In each list that is
    returned, the states of one library follow each other, the newest first, with their bytes. Where
    nothing narrows down the versions of both TFLM and CMSIS-NN, not all pairs are measured, but all
    versions of each with the hungriest of the other.
    """
    walk = _Walk(runtime, _Content.of(models), measure)
    flag, build = next(iter(_builds(runtime.tflm)))
    states, kernels = possible_versions(build), _kernel_states(runtime)
    if _is_narrow(runtime):
        walk.over_tflm(build, flag, kernels[0])
        for candidate, _ in walk.found[0] if len(kernels) > 1 else ():
            walk.over_kernels(candidate.runtime.tflm, flag)
    else:
        walk.over_kernels(replace(build, version=states[0]), flag)
        _, hungriest = walk.hungriest()
        walk.over_tflm(build, flag, hungriest)
        tflm, _ = walk.hungriest()
        walk.over_kernels(tflm, flag)
    walk.least_of_other_builds()
    return walk.found


class _Walk:
    """Walks through states, and keeps what was measured."""

    def __init__(
        self, runtime: Runtime, content: _Content, measure: Callable[[Candidate], int]
    ) -> None:
        self.found: list[list[tuple[Candidate, int]]] = []
        self._runtime = runtime
        self._content = content
        self._measure = measure
        self._kernels = _kernel_states(runtime)

    def over_tflm(self, build: Tflm, flag: str, kernels: Version | None) -> None:
        """All states of TFLM with one version of the kernels."""
        self.found.append([])
        for state, lost in _differing("tflm", possible_versions(build), self._content):
            self._visit(replace(build, version=state), flag, kernels, lost)

    def over_kernels(self, tflm: Tflm, flag: str) -> None:
        """All versions of the kernels with one state of TFLM."""
        self.found.append([])
        if self._kernels == (None,):
            self._visit(tflm, flag, None, ())
            return
        states = [state for state in self._kernels if state is not None]
        for state, lost in _differing(_CMSIS_NN, states, self._content):
            self._visit(tflm, flag, state, lost)

    def hungriest(self) -> tuple[Tflm, Version | None]:
        """TFLM and CMSIS-NN of the state that needs most so far."""
        runtime = max((each for walk in self.found for each in walk), key=_size)[0].runtime
        is_cmsis_nn = runtime.kernels.library == _CMSIS_NN
        return runtime.tflm, runtime.kernels.version if is_cmsis_nn else None

    def least_of_other_builds(self) -> None:
        """The state that needs least, built otherwise: what a build adds is the same in all."""
        builds = list(_builds(self._runtime.tflm))[1:]
        running = [each for walk in self.found for each in walk if each[1]]
        if not builds or not running:
            return
        runtime = min(running, key=_size)[0].runtime
        kernels = runtime.kernels.version if runtime.kernels.library == _CMSIS_NN else None
        for flag, build in builds:
            self.found.append([])
            self._visit(replace(build, version=runtime.tflm.version), flag, kernels, ())

    def _visit(
        self, tflm: Tflm, flag: str, kernels: Version | None, lost: tuple[Change, ...]
    ) -> None:
        name, runtime = f"TFLM {tflm.version.name}{flag}", replace(self._runtime, tflm=tflm)
        if kernels is not None:
            runtime = replace(runtime, kernels=replace(runtime.kernels, version=kernels))
            name += f", CMSIS-NN {kernels.name}" if len(self._kernels) > 1 else ""
        candidate = Candidate(name, runtime, lost)
        self.found[-1].append((candidate, self._measure(candidate)))


def _size(measured: tuple[Candidate, int]) -> int:
    return measured[1]


#: So many commits are named; more would hide what the line says.
_COMMITS_TOLD = 6


def said_of(runtime: Runtime, found: Sequence[Sequence[tuple[Candidate, int]]]) -> str:
    """What a version lies between, and the commits between that moved what was measured."""
    moved = {
        f"{change.commit} ({change.date[:10]})": None
        for walk in found
        for (_, newer), (candidate, older) in pairwise(walk)
        if newer != older and newer and older
        for change in candidate.lost
    }
    told = ", ".join(list(moved)[:_COMMITS_TOLD])
    if len(moved) > _COMMITS_TOLD:
        told += f" and {len(moved) - _COMMITS_TOLD} more"
    what, of, around = _open_library(runtime)
    older_end, newer_end = around.ends
    if around.is_narrow:
        text = f"{what} {of.name} of {of.date[:10]} lies between {older_end} and {newer_end}"
    elif of.name:
        text = f"{what} {of.name} is not known, it may be any from {older_end} to {newer_end}"
    else:
        text = f"nobody says which {what} it is, of {older_end} to {newer_end}"
    arena = f"what moves the arena: {told}" if moved else "no change between moves the arena"
    return f"{text}; {arena}"


def _open_library(runtime: Runtime) -> tuple[str, Version, Bracket]:
    tflm, kernels = runtime.tflm.version, runtime.kernels.version
    if not runtime.tflm.is_known:
        return "TFLM", tflm, bracket("tflm", tflm)
    return "CMSIS-NN", kernels, bracket(_CMSIS_NN, kernels)


def _builds(tflm: Tflm) -> Iterator[tuple[str, Tflm]]:
    """How TFLM may be built: both ways where nobody says it."""
    if not tflm.is_known and (tflm.any_build or not tflm.version.name):
        larger = replace(tflm, static_memory=False, log_strings=True)
        yield " without TF_LITE_STATIC_MEMORY", larger
        tflm = replace(tflm, static_memory=True)
    yield "", tflm


def possible_versions(tflm: Tflm) -> tuple[Version, ...]:
    """The versions that ``tflm`` may be, the newest first: one where it is known."""
    return (tflm.version,) if tflm.is_known else bracket("tflm", tflm.version).states


def _kernel_states(runtime: Runtime) -> tuple[Version | None, ...]:
    """The versions of CMSIS-NN that may go with it; ``None`` for the one of another library."""
    kernels, tflm = runtime.kernels, runtime.tflm
    if kernels.library != _CMSIS_NN:
        return (None,)
    if kernels.version.name in known(_CMSIS_NN):
        return (kernels.version,)
    around = bracket("tflm", tflm.version)
    if kernels.version.name or not around.is_narrow:
        return bracket(_CMSIS_NN, kernels.version).states
    older, newer = (known(_CMSIS_NN)[made_with(name)] for name in around.ends)
    return _between(_CMSIS_NN, older, newer)


def _is_narrow(runtime: Runtime) -> bool:
    """Whether there are so few states that all pairs of both libraries can be measured."""
    return runtime.tflm.is_known or bracket("tflm", runtime.tflm.version).is_narrow


def _has_open_kernels(kernels: Kernels) -> bool:
    name = kernels.version.name
    return kernels.library == _CMSIS_NN and bool(name) and name not in known(_CMSIS_NN)


def _differing(
    library: Library, states: Iterable[Version], content: _Content
) -> Iterator[tuple[Version, tuple[Change, ...]]]:
    """The ``states`` that may differ from the one before, with the changes that they lost.

    That one is measured in between, and was asked for what matters.
    """
    by_name = {each.name: each for each in changes(library)}
    last: _Watched | None = None
    for state in states:
        lost: tuple[Change, ...] = ()
        if last is not None:
            missing = [by_name[name] for name in state.lacks - last.lacks if name]
            lost = tuple(each for each in missing if content.meets(each, last.asked.names))
            if not lost:
                continue
        last = _watched(state)
        yield last, tuple(sorted(lost, key=lambda each: each.date, reverse=True))


class _Content(Struct, frozen=True):
    """What of models decides which changes concern them."""

    operators: frozenset[str]
    types: frozenset[str]

    @classmethod
    def of(cls, models: Iterable[Model]) -> _Content:
        graphs = [graph for model in models for graph in model.subgraphs]
        return cls(
            frozenset(each.name for graph in graphs for each in graph.operators),
            frozenset(each.type for graph in graphs for each in graph.tensors),
        )

    def meets(self, change: Change, asked: Collection[str]) -> bool:
        """Whether ``change`` may matter where the rules have ``asked`` for these."""
        return (
            change.name in asked
            or not self.operators.isdisjoint(change.registers)
            or not self.types.isdisjoint(change.types)
            or any(self._has(of) for of in (*change.kernels, *change.before))
        )

    def _has(self, of: str) -> bool:
        """Whether ``of``, as in ``Change.before``, is of TFLM's own or of one of the operators."""
        what = of.partition(", ")[0]
        operator, _, kind = what.rpartition(" ")
        if kind in ("parameters", "data"):
            return operator in self.operators
        return what in self.operators or what in STRUCTS
