"""Findings as a runtime: which releases of which distribution a project's files allow on a core."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.detection.finding import FLAGS
from pytest_tinybudget.detection.finding import Detection
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.finding import How
from pytest_tinybudget.detection.releases import allowed
from pytest_tinybudget.detection.releases import before
from pytest_tinybudget.detection.releases import neighbors
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.distributions import UPSTREAM
from pytest_tinybudget.runtimes.distributions import Distribution
from pytest_tinybudget.runtimes.distributions import base_for
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.distributions import named
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.runtime import Optimize
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import find_version
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.runtimes.versions import version as version_at


#: The distribution that each product brings.
_DISTRIBUTIONS = {
    "tflite-micro": UPSTREAM,
    "esp-tflite-micro": "esp-tflite-micro",
    "esphome": "esphome",
    "pico-tflmicro": "pico-tflmicro",
    "arduino-tflm": "arduino-tflm",
    "zephyr": "zephyr",
    "zephyr-tflm": "zephyr",
}
#: Products that another one pins, unless the project pins them itself.
_PINNED_BY = {"esphome": "esp-tflite-micro", "zephyr": "zephyr-tflm"}
#: What says most of the firmware comes first. A copy is what is compiled, whatever else is asked
#: for; a lock is what the last build took.
_STRENGTH: tuple[How, ...] = ("copy", "lock", "exact", "range", "any")
#: In every version of the library, so that it tells none.
_NO_VERSION = {"arduino-tflm": "2.4.0-ALPHA"}
#: ``zephyr-v4.1.0``, ``v4.1.0`` and ``4.1.0`` are release 4.1, ``2025.6.1`` is 2025.6.
_BY_MINOR = re.compile(r"(?:zephyr-)?v?(?P<release>\d+\.\d+)(?:\.\d+)?\Z")
_MINOR = ("zephyr", "esphome")
_SHORT = 8
#: The places that a text names.
_MOST_PLACES = 3

#: How well a board as a file writes it fits: 2 this very one, 1 perhaps, 0 another one.
Likeness = Callable[[str], int]


class Flashed(Struct, frozen=True):
    """What a project flashes onto a board.

    Attributes:
        runtime: its name is the release's, or a range of them where several are allowed
            (``Runtime.one_of``).
        findings: what said so, the strongest first.
        notes: what else is to be known, a line each.
        warnings: where a release counts that the files do not allow, a line each.
    """

    runtime: Runtime
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def places(self) -> str:
        """``"dependencies.lock:26"``: where the release is named, several after each other."""
        named = [each.place for each in self.findings if each.product in _DISTRIBUTIONS]
        places = list(dict.fromkeys(named))
        more = [f"{len(places) - _MOST_PLACES} more"] if len(places) > _MOST_PLACES else []
        return ", ".join([*places[:_MOST_PLACES], *more])


class _Choice(Struct, frozen=True):
    """Releases of a distribution, what named them, and what was unclear."""

    releases: tuple[Distribution, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Release(Struct, frozen=True):
    """The releases that one finding allows, and what is unclear of it.

    It ``is_beyond`` where it is newer or older than all that are known: then its TFLM has no known
    version, and it is built as the newest.
    """

    releases: Sequence[Distribution]
    note: str = ""
    is_beyond: bool = False


def flashed(
    detection: Detection, core: str, folder: str = "", likeness: Likeness = lambda _: 1
) -> Flashed | None:
    """What the files say of a board with ``core``; ``None`` where they name nothing for it.

    ``folder`` is that of the declaration, relative to what was searched: what lies in it or below
    counts, else what lies in the nearest folder above.
    """
    found = [each for each in detection.findings if _concerns(each, core)]
    near = _nearest(_of_board(found, likeness), folder)
    carriers = _unpinned([each for each in near if each.product in _DISTRIBUTIONS])
    choices = [
        _choice(name, [each for each in carriers if _DISTRIBUTIONS[each.product] == name], core)
        for name in dict.fromkeys(_DISTRIBUTIONS[each.product] for each in carriers)
    ]
    runtimes = [
        runtime
        for choice in choices
        for release in choice.releases
        for runtime in _runtimes(release, choice.findings, near, core)
    ]
    if not runtimes:
        return None
    beside = [each for each in near if each.product in ("esp-nn", "cmsis-nn", FLAGS)]
    findings = [finding for choice in choices for finding in choice.findings]
    used = [each for each in beside if _matters(each, runtimes)]
    notes = tuple(note for choice in choices for note in choice.notes)
    warnings = tuple(warning for choice in choices for warning in choice.warnings)
    return Flashed(_together(runtimes, choices), (*findings, *used), notes, warnings)


def _concerns(finding: Finding, core: str) -> bool:
    """Whether a finding may be of firmware for ``core``: of a fork nothing is known."""
    if finding.origin:
        return False
    name = _DISTRIBUTIONS.get(finding.product)
    return name is None or any(each.on(core) for each in _releases_of(name))


def _releases_of(name: str) -> list[Distribution]:
    return [each for each in distributions().values() if each.name == name]


def _of_board(findings: Sequence[Finding], likeness: Likeness) -> list[Finding]:
    """Those that are not of another board; of a file that names this one, only its own."""
    likes = {board: likeness(board) for board in {each.board for each in findings if each.board}}
    named_in = {each.file for each in findings if likes.get(each.board) == 2}
    return [
        each
        for each in findings
        if not each.board or likes[each.board] > (1 if each.file in named_in else 0)
    ]


def _nearest(findings: Sequence[Finding], folder: str) -> list[Finding]:
    """Those in or below ``folder``; else, from the nearest folder above that has TFLM."""
    while True:
        prefix = f"{folder}/" if folder else ""
        below = [each for each in findings if each.file.startswith(prefix)]
        if not folder or any(each.product in _DISTRIBUTIONS for each in below):
            return below
        folder = folder.rpartition("/")[0]


def _unpinned(carriers: Sequence[Finding]) -> list[Finding]:
    """Without what only pins a product that the project pins itself."""
    own = {each.product for each in carriers if each.how != "any"}
    users = {each.product for each in carriers}
    return [
        each
        for each in carriers
        if _PINNED_BY.get(each.product) not in own
        # Kconfig says that the module is used, and the manifest of Zephyr which one.
        and not (each.product == "zephyr-tflm" and each.how == "any" and "zephyr" in users)
    ]


def _choice(name: str, findings: Sequence[Finding], core: str) -> _Choice:
    """The releases of a distribution that the strongest of ``findings`` allow."""
    releases = [each for each in _releases_of(name) if each.on(core)]
    by_strength = sorted(findings, key=lambda each: _STRENGTH.index(each.how))
    strongest = [each for each in by_strength if each.how == by_strength[0].how]
    chosen: dict[str, Distribution] = {}
    notes: list[str] = []
    warnings: list[str] = []
    for each in strongest:
        found = _allowed(name, each, releases)
        chosen.update((release.full_name, release) for release in found.releases)
        if found.note:
            (warnings if found.is_beyond else notes).append(found.note)
    outdated = strongest[0].how == "lock" and [
        each
        for each in by_strength
        if each.how in ("exact", "range")
        and not chosen.keys() & {one.full_name for one in _allowed(name, each, releases).releases}
    ]
    for each in outdated or ():
        strongest.append(each)
        asked = _allowed(name, each, releases).releases
        chosen.update((release.full_name, release) for release in asked)
        notes.append(
            f"{each.place} asks for {printable(each.version)}, which {strongest[0].place} is not: "
            "the next build takes another"
        )
    in_order = [each for each in releases if each.full_name in chosen]
    extra = [each for full_name, each in chosen.items() if each not in in_order]
    return _Choice((*in_order, *extra), tuple(strongest), tuple(notes), tuple(warnings))


def _allowed(name: str, finding: Finding, releases: Sequence[Distribution]) -> _Release:
    """The releases that a finding allows."""
    version = finding.version
    if finding.how == "any" or not version:
        return _Release(releases, f"{finding.place} names no version: every release counts")
    if version == _NO_VERSION.get(name):
        return _Release(releases, f"{finding.place}: every commit of the library says {version}")
    by_release = {each.release: each for each in releases}
    if finding.how == "range":
        met = allowed(version, by_release)
        if met:
            return _Release([by_release[each] for each in met])
        told = "cannot be understood" if met is None else "is met by no release that is known"
        return _nearest_to(_near(version, by_release), releases, finding, version, told)
    cleaned = _cleaned(name, version)
    shown = printable(version, limit=2 * _SHORT)
    exact = named(f"{name} {cleaned}")
    if exact is not None and exact in releases:
        return _Release([exact])
    if name == UPSTREAM:
        return _Release([_upstream(version, finding.date, releases)])
    if finding.date:
        around = _around(finding.date, releases)
        told = "counts as the releases around"
        if len(around) == 1:
            told = _beyond(is_newer=around[0].date <= finding.date)
        return _nearest_to(around, releases, finding, f"{shown} of {finding.date[:10]}", told)
    # Commits may be digits alone.
    numbers = neighbors(cleaned, list(by_release)) if "." in cleaned else ()
    between = [by_release[each] for each in numbers]
    told = "lies between releases that are known" if between else "is none that is known"
    if len(between) == 1:
        told = _beyond(is_newer=before(between[0].release, cleaned))
    return _nearest_to(between, releases, finding, shown, told)


def _beyond(*, is_newer: bool) -> str:
    return f"is {'newer' if is_newer else 'older'} than every release that is known"


def _nearest_to(
    near: Sequence[Distribution],
    releases: Sequence[Distribution],
    finding: Finding,
    version: str,
    told: str,
) -> _Release:
    """The known releases next to one that is not known, and all where it is next to none."""
    note = f"{finding.place}: {printable(version)} {told}"
    if len(near) != 1:
        return _Release(near or releases, note)
    # Its TFLM is none that is known: it is bounded by all of them where it is measured.
    unknown = printable(version, limit=2 * _SHORT)
    beyond = replace(near[0], release=unknown, tflm=unknown, tflm_date="", newest=False)
    bound = "the largest arena of all known versions counts"
    return _Release([beyond], f"{note}: {bound}", is_beyond=True)


def _near(version: str, by_release: dict[str, Distribution]) -> list[Distribution]:
    first = re.search(r"\d[\d.~]*", version)
    near = neighbors(first[0], list(by_release)) if first else ()
    return [by_release[each] for each in near]


def _around(date: str, releases: Sequence[Distribution]) -> list[Distribution]:
    """The release before a commit of ``date`` and the one after it."""
    older = [each for each in releases if each.date <= date]
    newer = [each for each in releases if each.date > date]
    return [*newer[-1:], *older[:1]]


def _cleaned(name: str, version: str) -> str:
    """A version as the data of the distribution has it."""
    version = version.removeprefix("==").strip()
    minor = _BY_MINOR.match(version) if name in _MINOR else None
    if minor is not None:
        return minor["release"]
    return version.removeprefix("v").replace("~", ".")


def _upstream(version: str, date: str, releases: Sequence[Distribution]) -> Distribution:
    """A commit of TFLM itself; one that nobody measured is bounded where it is measured."""
    commit = printable(version[:_SHORT])
    return replace(
        releases[0],
        release=commit,
        tflm=commit,
        tflm_date=date,
        kernels_versions={},
        newest=False,
    )


# From releases to runtimes


def _runtimes(
    release: Distribution, findings: Sequence[Finding], near: Sequence[Finding], core: str
) -> Iterator[Runtime]:
    """What a release is on ``core``, as the project builds it.

    TFLM's own sources have no build of their own in a project: where nothing says whether
    structs are small, or whose kernels run, either may be.
    """
    runtime = _built(release, core)
    if runtime is None:
        return
    settings = dict(_settings(release.name, findings, near))
    for flags in _open_flags(release.name, settings, near, runtime):
        changed = _with_settings(runtime, {**settings, **flags}, core)
        changed = replace(changed, kernels=_pinned(changed.kernels, near))
        words = _OF_FLAGS.get(flags.get("static_memory", ""), "")
        kernels = f", {LIBRARIES[changed.kernels.library].label}" if "kernels" in flags else ""
        yield replace(changed, label=f"{release.full_name}{words}{kernels}")


_OF_FLAGS = {"false": " without TF_LITE_STATIC_MEMORY"}


def _built(release: Distribution, core: str) -> Runtime | None:
    if release.full_name in distributions():
        return release.on(core)
    newest = next(each for each in _releases_of(release.name))
    runtime = newest.on(core)
    if runtime is None:
        return None
    version = find_version("tflm", release.tflm)
    if not version.date and release.tflm_date:
        version = version_at(release.tflm, release.tflm_date, changes("tflm"))
    return replace(runtime, tflm=replace(runtime.tflm, version=version), label=release.full_name)


def _settings(
    name: str, findings: Sequence[Finding], near: Sequence[Finding]
) -> Iterator[tuple[str, str]]:
    """The settings of the build, the weakest first.

    What an application's CMake defines is for the application, and for TFLM where that is built
    with it, from sources of its own.
    """
    flags = [each for each in near if each.product == FLAGS]
    cmake = [each for each in flags if each.file.endswith((".cmake", "CMakeLists.txt"))]
    uses = [each for each in near if each.product == "zephyr-tflm" and name == "zephyr"]
    others = [each for each in flags if each not in cmake]
    for each in (*(cmake if name == UPSTREAM else ()), *uses, *others, *findings):
        yield from each.settings


def _open_flags(
    name: str, settings: dict[str, str], near: Sequence[Finding], runtime: Runtime
) -> Iterator[dict[str, str]]:
    """What may be either way: nothing, for a distribution with a build of its own."""
    if name != UPSTREAM:
        yield {}
        return
    arm = runtime.kernels.library == "cmsis-nn"
    has_library = any(each.product == "cmsis-nn" for each in near)
    libraries: list[dict[str, str]] = [{}]
    if "kernels" not in settings and arm:
        libraries = [{"kernels": "cmsis-nn"}]
        libraries += [] if has_library else [{"kernels": "reference"}]
    for library in libraries:
        yield library
        if "static_memory" not in settings:
            yield {**library, "static_memory": "false"}


def _with_settings(runtime: Runtime, settings: dict[str, str], core: str) -> Runtime:
    tflm, kernels = runtime.tflm, runtime.kernels
    for key in ("static_memory", "log_strings"):
        if key in settings:
            tflm = replace(tflm, **{key: settings[key] == "true"})
    library = next((each for each in LIBRARIES if each == settings.get("kernels")), kernels.library)
    if library != kernels.library:
        base = base_for(CORES[core], library)
        kernels = kernels if base is None else base.kernels
    if "vectors" in settings:
        kernels = replace(kernels, vectors="")
    levels: dict[str, Optimize] = {"s": "s", "2": "2", "3": "3"}
    optimize = levels.get(settings.get("optimize", ""), runtime.optimize)
    return replace(runtime, tflm=tflm, kernels=kernels, optimize=optimize)


def _pinned(kernels: Kernels, near: Sequence[Finding]) -> Kernels:
    """``kernels`` in the release that the project pins, or those that it allows."""
    pins = [each for each in near if each.product == kernels.library and each.version]
    pins.sort(key=lambda each: _STRENGTH.index(each.how))
    if not pins or pins[0].how == "any" or kernels.library == "reference":
        return kernels
    version = pins[0].version.removeprefix("==").removeprefix("v")
    if kernels.library == "cmsis-nn":
        return replace(kernels, version=find_version("cmsis-nn", version[:_SHORT]))
    releases = tuple(known("esp-nn"))
    if version in releases:
        return replace(kernels, version=known("esp-nn")[version], releases=())
    met = allowed(version, releases) or neighbors(version, releases)
    both = tuple(each for each in met if each in (kernels.releases or met))
    return replace(kernels, version=find_version("esp-nn", ""), releases=both or met)


def _matters(finding: Finding, runtimes: Iterable[Runtime]) -> bool:
    """Whether a finding beside TFLM says something of the runtimes that were made."""
    libraries = {each.kernels.library for each in runtimes}
    return finding.product in libraries if finding.product != FLAGS else bool(finding.settings)


def _together(runtimes: Sequence[Runtime], choices: Sequence[_Choice]) -> Runtime:
    """One runtime for all that are allowed."""
    distinct = {each.name: each for each in runtimes}
    if len(distinct) == 1:
        return runtimes[0]
    name = " or ".join(_span(choice.releases) for choice in choices if choice.releases)
    return replace(runtimes[0], label=name, one_of=tuple(distinct.values()))


def _span(releases: Sequence[Distribution]) -> str:
    """``"zephyr 4.1 to 4.4"``: releases are in order, the newest first."""
    first, last = releases[-1], releases[0]
    if first == last:
        return first.full_name
    return f"{first.full_name} to {last.release}"
