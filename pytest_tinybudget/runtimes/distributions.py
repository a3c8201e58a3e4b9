"""Distributions: TFLM as people get it, each release with its commit, its kernels and its flags.

``data/distributions.json`` has a row for each release, with where the facts come from and what was
measured of it. A distribution is source code: which runtime it makes depends on the core that it is
built for (``Distribution.on``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.abi import Core
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.kernels import LibraryName
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import AppLibc
from pytest_tinybudget.runtimes.runtime import Optimize
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.stand_ins import stand_ins
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import find_version
from pytest_tinybudget.runtimes.versions import known


#: What people flash that take TFLM from its own repository.
UPSTREAM = "tflite-micro"

#: How far the flash of kernels in another family's instructions may lie above a table's.
_OTHER_FAMILY_MARGIN_PERCENT = 100.0


class Distribution(Struct, frozen=True):
    """A release of a distribution.

    Attributes:
        name: the distribution's.
        release: as its makers call it: a version, a commit, or a month where there is neither.
        date: of the release, ISO.
        tflm: upstream's commit with the same files.
        tflm_date: of that commit, ISO, UTC.
        kernels: the kernel library by family of cores.
        cores: names of cores that it is built for, the usual one first.
        static_memory: whether it is built with TF_LITE_STATIC_MEMORY.
        log_strings: whether the texts of errors are in the firmware.
        optimize: the compiler's level (``"s"``, ``"2"``, ``"3"``); empty as upstream's make files.
        app_libc: what of the C library the application has anyway.
        title: what it is, in words.
        also: other names of the release: commits, tags.
        newest: whether it is the newest release of the distribution.
        takes: the other distribution whose sources it takes, by its full name.
        same_since: the first of upstream's commits with the same files.
        same_until: the last of them.
        kernels_versions: the libraries' versions that go with it, where it fixes them.
        kernels_since: the oldest release of a library that it takes, where it takes several.
        notes: what else is to be known.
        measured_ram: of which models its arena was measured; empty for none.
        measured_flash: of which links its flash was measured; empty for none.
        sources: where each kind of fact comes from.
        first_header: what code includes before TFLM's headers, since the build finds them by it;
            empty for none.
    """

    name: str
    release: str
    date: str
    tflm: str
    tflm_date: str
    kernels: Mapping[str, LibraryName]
    cores: tuple[str, ...]
    static_memory: bool
    log_strings: bool
    optimize: Optimize
    app_libc: AppLibc
    title: str
    also: tuple[str, ...] = ()
    newest: bool = False
    takes: str = ""
    same_since: str = ""
    same_until: str = ""
    kernels_versions: Mapping[LibraryName, str] = {}
    kernels_since: str = ""
    notes: str = ""
    measured_ram: str = ""
    measured_flash: str = ""
    sources: Mapping[str, str] = {}
    first_header: str = ""

    @property
    def full_name(self) -> str:
        """What users write and results show: ``"arduino-tflm 2023-12"``."""
        return f"{self.name} {self.release}"

    @property
    def esp_nn_releases(self) -> tuple[str, ...]:
        """The releases of esp-nn that a build may have, the newest first; empty where it names one.

        ESP-IDF's component manager takes the newest that there is on the day of the first build,
        so none older than the newest of the day when the release came out. A
        ``dependencies.lock`` from before may hold an older one.
        """
        if not self.kernels_since:
            return ()
        versions = known("esp-nn")
        releases = tuple(versions)  # the newest first
        allowed = releases[: releases.index(self.kernels_since) + 1]
        older = [name for name in allowed if versions[name].date[: len(self.date)] < self.date]
        return allowed[: allowed.index(older[0]) + 1] if older else allowed

    @property
    def built_from(self) -> str:
        """As ``Runtime.distribution`` has it: whose sources they are, empty for upstream's own."""
        return "" if self.name == UPSTREAM else self.takes or self.full_name

    def on(self, core: str) -> Runtime | None:
        """The runtime that it makes for ``core``; ``None`` where it is not built for that."""
        return _runtimes(self.full_name).get(core)

    @property
    def usual(self) -> Runtime:
        """The runtime that it makes for its usual core."""
        return _runtimes(self.full_name)[self.cores[0]]


class _Release(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the data file: releases with the same code, the newest first."""

    releases: tuple[str, ...]
    date: str
    tflm: str = ""
    tflm_date: str = ""
    takes: str = ""
    also: tuple[str, ...] = ()
    same_since: str = ""
    same_until: str = ""
    kernels_versions: dict[LibraryName, str] = {}
    kernels_since: str = ""
    static_memory: bool | None = None
    notes: str = ""
    measured_ram: str = ""
    measured_flash: str = ""


class _Family(Struct, frozen=True, forbid_unknown_fields=True):
    """A distribution in the data file, with what holds for its releases."""

    title: str
    cores: tuple[str, ...]
    kernels: dict[str, LibraryName]
    static_memory: bool
    log_strings: bool
    optimize: Optimize
    app_libc: AppLibc
    sources: dict[str, str]
    releases: tuple[_Release, ...]
    first_header: str = ""


@cache
def distributions() -> Mapping[str, Distribution]:
    """Every release by its full name, distributions as in the data file, newest releases first."""
    file = Path(__file__).parent / "data" / "distributions.json"
    families = msgspec.json.decode(file.read_bytes(), type=dict[str, _Family])
    found: dict[str, Distribution] = {}
    for name, family in families.items():
        for each in _releases(name, family):
            # What another distribution says of the sources that this one takes stands there.
            source = found.get(each.takes)
            found[each.full_name] = each if source is None else _taking(each, source)
    return found


def _releases(name: str, family: _Family) -> Iterator[Distribution]:
    cores = tuple(_cores(family.cores))
    for row in family.releases:
        for release in row.releases:
            yield Distribution(
                name=name,
                release=release,
                date=row.date,
                tflm=row.tflm,
                tflm_date=row.tflm_date,
                kernels=family.kernels,
                cores=cores,
                static_memory=(
                    family.static_memory if row.static_memory is None else row.static_memory
                ),
                log_strings=family.log_strings,
                optimize=family.optimize,
                app_libc=family.app_libc,
                title=family.title,
                also=row.also if release == row.releases[0] else (),
                newest=release == family.releases[0].releases[0],
                takes=row.takes,
                same_since=row.same_since,
                same_until=row.same_until,
                kernels_versions=row.kernels_versions,
                kernels_since=row.kernels_since,
                notes=row.notes,
                measured_ram=row.measured_ram,
                measured_flash=row.measured_flash,
                sources=family.sources,
                first_header=family.first_header,
            )


def _taking(distribution: Distribution, source: Distribution) -> Distribution:
    """``distribution`` with what ``source`` says of the sources."""
    return replace(
        distribution,
        tflm=source.tflm,
        tflm_date=source.tflm_date,
        same_since=source.same_since,
        same_until=source.same_until,
        kernels_since="" if distribution.kernels_versions else source.kernels_since,
        measured_ram=source.measured_ram,
        measured_flash=source.measured_flash,
    )


def _cores(names: tuple[str, ...]) -> Iterator[str]:
    """The cores of the data file's list, in which a family stands for all of its cores."""
    for name in names:
        if name in CORES:
            yield name
        else:
            of_family = (core for core in CORES.values() if core.family == name)
            # The core that most boards have comes first.
            yield from sorted((core.name for core in of_family), key=lambda core: core != _USUAL)


_USUAL = "Cortex-M4F"


@cache
def _also_called() -> Mapping[str, str]:
    """Full names by the other names of releases."""
    return {
        f"{each.name} {other}": each.full_name
        for each in distributions().values()
        for other in each.also
    }


@cache
def first_releases_since(date: str) -> Mapping[str, str]:
    """The first release that has what TFLM had at ``date`` (ISO, UTC): full names by distribution.

    Upstream's own commits and those that take another distribution's sources are left out.
    """
    found: dict[str, str] = {}
    for each in distributions().values():  # the newest first
        if each.name != UPSTREAM and not each.takes and each.tflm_date >= date:
            found[each.name] = each.full_name
    return found


def named(name: str) -> Distribution | None:
    """The release called ``name``, ``None`` where none is.

    Case and the number of blanks do not matter; a commit may be longer than in the data file.
    """
    words = name.casefold().split()
    if len(words) != 2:
        return None
    wanted = " ".join(words)
    found = distributions().get(_also_called().get(wanted, wanted))
    return found or _by_commit(*words)


def _by_commit(name: str, commit: str) -> Distribution | None:
    """The release whose commit ``commit`` is, in full or abbreviated as Git does."""
    if re.fullmatch("[0-9a-f]{7,40}", commit) is None:
        return None
    for each in distributions().values():
        known = [other for other in (each.release, *each.also) if re.fullmatch("[0-9a-f]+", other)]
        if each.name == name and any(
            commit.startswith(other) or other.startswith(commit) for other in known
        ):
            return each
    return None


def runtime_called(name: str, core: str = "") -> Runtime:
    """The shipped runtime called ``name``, or what the release of that name makes for ``core``.

    Without a core, or where the release is not built for it, for its usual core.

    Raises:
        TinybudgetError: there is no such runtime; names the nearest.
    """
    if name in RUNTIMES:
        return RUNTIMES[name].for_core(core)
    distribution = named(name)
    if distribution is None:
        raise TinybudgetError(f"unknown runtime {name!r}{_offers(name)}", code="TB101")
    return distribution.on(core) or distribution.usual


def find_distribution(name: str) -> Distribution:
    """The release called ``name``: ``"arduino-tflm 2023-12"``.

    Raises:
        TinybudgetError: there is none; names the nearest.
    """
    found = named(name)
    if found is None:
        raise TinybudgetError(f"unknown distribution {name!r}{_offers(name)}", code="TB101")
    return found


def _offers(name: str) -> str:
    offers = nearest_names(name)
    return f"; did you mean {', '.join(map(repr, offers))}?" if offers else ""


def nearest_names(name: str) -> list[str]:
    """Names of runtimes like ``name``, best first: of the distribution that it begins with."""
    first, *others = name.casefold().split() or [""]
    of_its_name = [each.full_name for each in distributions().values() if each.name == first]
    if of_its_name:
        # Without a release it is no more like one than another: the newest are offered.
        return (nearest(name, of_its_name) if others else []) or of_its_name[:3]
    return nearest(name, (*RUNTIMES, *distributions()))


@cache
def _runtimes(full_name: str) -> Mapping[str, Runtime]:
    """The runtimes that a release makes, by core."""
    distribution = distributions()[full_name]
    found = ((core, _runtime(distribution, CORES[core])) for core in distribution.cores)
    return {core: runtime for core, runtime in found if runtime is not None}


def _runtime(distribution: Distribution, core: Core) -> Runtime | None:
    """What the release makes for ``core``: a shipped runtime with its versions and flags."""
    if distribution.name == UPSTREAM:
        base: Runtime | None = RUNTIMES[stand_ins()[core.name].runtime]
    else:
        base = base_for(core, distribution.kernels[core.family])
    base = base and base.for_core(core.name)
    if base is None or distribution.full_name == f"{UPSTREAM} {TFLM_COMMIT}":
        return base
    return replace(
        base,
        label=distribution.full_name,
        distribution=distribution.built_from,
        tflm=Tflm(
            find_version("tflm", distribution.tflm),
            static_memory=distribution.static_memory,
            log_strings=distribution.log_strings,
        ),
        kernels=_kernels(distribution, base.kernels),
        optimize=distribution.optimize,
        app_libc=distribution.app_libc,
    )


def _kernels(distribution: Distribution, kernels: Kernels) -> Kernels:
    """``kernels`` in the version of the release, or in those that it allows."""
    library = kernels.library
    if library == "reference":
        return kernels
    name = distribution.kernels_versions.get(library, "")
    if library == "esp-nn":
        version = known(library).get(name, Version())
        return replace(kernels, version=version, releases=distribution.esp_nn_releases)
    return replace(kernels, version=find_version(library, name))


@lru_cache(maxsize=256)
def taken_for_granted(runtime: Runtime) -> str:
    """What a runtime's distribution lets one suppose of its kernels, in a line; empty for nothing.

    That is one release of esp-nn on a vector unit, where its kernels differ from release to release
    and nobody named one.
    """
    kernels = runtime.kernels
    if runtime.one_of or not kernels.vectors or kernels.version.name:
        return ""
    if len(kernels.releases) != 1:
        return ""
    found = distributions()
    distribution = found.get(runtime.label) or found.get(runtime.distribution)
    if distribution is None or kernels.releases != distribution.esp_nn_releases:
        return ""
    return (
        f"esp-nn {kernels.releases[0]} is counted, the newest when {distribution.full_name} came"
        f" out ({distribution.date}), as ESP-IDF's component manager takes it; where"
        " dependencies.lock has another, name that: esp_nn in [runtime.NAME]"
    )


def base_for(core: Core, library: LibraryName) -> Runtime | None:
    """The shipped runtime for ``core`` with the kernels of ``library``, or the nearest there is.

    ``None`` where the library is for no core of that kind.
    """
    having = [each for each in RUNTIMES.values() if each.kernels.library == library]
    stand_in = RUNTIMES[stand_ins()[core.name].runtime]
    for each in (*(each for each in having if core in each.cores), stand_in):
        if each in having:
            return each
    # None of its family was measured with these kernels: they lie in memory as on any core with
    # the same layout of data, and the flash is a stranger's.
    alike = [each for each in having if each.abi == core.abi]
    if not alike:
        return None
    return replace(alike[0].with_margin(_OTHER_FAMILY_MARGIN_PERCENT), cores=(core,))


class _Sdk(Struct, frozen=True, forbid_unknown_fields=True):
    """``data/sdks.json``: what TFLM an SDK's users take, and under which names boards know it.

    ``distributions`` are tried in their order, for the first that is built for a core;
    ``reserves`` likewise, for the first whose share of a board's memory is known.
    """

    distributions: tuple[str, ...]
    reserves: tuple[str, ...]


@cache
def sdks() -> Mapping[str, _Sdk]:
    """What is known of each SDK, by the name that declarations have (``"esp-idf"``)."""
    file = Path(__file__).parent / "data" / "sdks.json"
    return msgspec.json.decode(file.read_bytes(), type=dict[str, _Sdk])


def runtime_of_sdk(core: str, sdk: str) -> str:
    """The name of what ``sdk`` ships today for ``core``; empty where it ships none for that.

    For upstream's own sources it is that of the core's shipped runtime (``"m4_cmsisnn"``).
    """
    for name in sdks()[sdk].distributions if sdk in sdks() else ():
        newest = _newest(name)
        if core in newest.cores:
            return stand_ins()[core].runtime if name == UPSTREAM else newest.full_name
    return ""


@cache
def _newest(name: str) -> Distribution:
    return next(each for each in distributions().values() if each.name == name)


def default_runtime(core: str, sdk: str) -> str:
    """The name of the runtime of a board with ``core`` whose usual SDK is ``sdk``.

    The one place that decides it: what the SDK ships today, else upstream's own sources.
    """
    return runtime_of_sdk(core, sdk) or stand_ins()[core].runtime
