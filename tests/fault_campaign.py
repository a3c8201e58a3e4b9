"""A program for ``test_faults.py``: a command killed at every step of its writing.

``fault_campaign.py FOLDER MODE COMMAND…`` runs COMMAND in copies of FOLDER, in processes forked
from this one, and ends it with SIGKILL before its Nth opening, renaming or removal of a file
(``steps``), or as soon as a file grows beyond N bytes, in the middle of a write (``bytes``). After
each kill every file holds what it held before or what it should, and the command, started once
more, comes to its end with the same files. Prints how many kills there were.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path

from pytest_tinybudget import cli


#: Nothing here takes longer; a lock that a dead process had kept would.
SECONDS = 60
#: In the middle of the first write, of a longer one, of the longest.
BYTES = (0, 1, 100, 1000, 2000, 4000, 10_000, 30_000)

_STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.utime", "os.chmod"}

Files = dict[str, bytes]


def campaign(folder: Path, mode: str, command: list[str]) -> int:
    """How often ``command`` was killed in copies of ``folder``."""
    old = files(folder)
    new = whole(folder, command)
    kills = 0
    for number in count(1) if mode == "steps" else BYTES:
        copy = folder.with_name(f"{folder.name}-{mode}-{number}")
        shutil.copytree(folder, copy)
        weapon = at_step(number) if mode == "steps" else beyond_bytes(number)
        killed = os.WIFSIGNALED(forked(copy, command, weapon))
        check(files(copy), old, new)
        if killed:
            kills += 1
            assert not os.WIFSIGNALED(forked(copy, command)), f"{number}: the next run hangs"
        assert without_drafts(files(copy)) == new, f"{number}: other files than in one go"
        shutil.rmtree(copy)
        if not killed and mode == "steps":
            break
    return kills


def whole(folder: Path, command: list[str]) -> Files:
    """What ``command`` leaves when nobody kills it; run here, so that nothing is imported again."""
    copy = folder.with_name(f"{folder.name}-whole")
    shutil.copytree(folder, copy)
    enter(copy)
    with redirect_stdout(StringIO()):
        assert run(command) < 2, "the command itself fails"
    found = files(copy)
    assert without_drafts(found) == found, "drafts are left although nobody was killed"
    shutil.rmtree(copy)
    return found


def check(found: Files, old: Files, new: Files) -> None:
    """That nothing is torn."""
    for name, content in without_drafts(found).items():
        assert content in (old.get(name), new.get(name)), f"{name} is torn"
    assert old.keys() <= found.keys(), "a file is gone"


def without_drafts(found: Files) -> Files:
    """Whoever is killed leaves a draft; it has a name that nobody reads."""
    return {name: held for name, held in found.items() if not Path(name).name.startswith(".")}


def files(folder: Path) -> Files:
    """Contents by name; a lock has none."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "locks"
    }


def forked(folder: Path, command: list[str], weapon: Callable[[], None] = lambda: None) -> int:
    """The status of a process that runs ``command`` in ``folder``."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    enter(folder)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    signal.alarm(SECONDS)
    code = 3
    try:
        weapon()
        code = run(command)
    finally:
        os._exit(code)


def enter(folder: Path) -> None:
    """Make ``folder`` the working directory, with a cache of its own."""
    os.chdir(folder)
    os.environ["TINYBUDGET_CACHE"] = str(folder / "cache")


def run(command: list[str]) -> int:
    """The command line, or the cache by itself."""
    if command == ["keep"]:
        return keep()
    return cli.main(command)


def keep() -> int:
    """Keep a conversion, as two processes at once would: under a lock."""
    from pytest_tinybudget.base.cache import Cache
    from pytest_tinybudget.base.cache import Entry

    cache, key = Cache(Path("cache").absolute(), limit=60_000), "ab" * 32
    with cache.locked([key]):
        kept = cache.get(key, Path())
        if kept is None:
            cache.put(key, Entry(bytes(50_000), {"source": "kws.keras"}))
        else:
            assert kept.content == bytes(50_000)
    return 0


def at_step(number: int) -> Callable[[], None]:
    """Kills before the file operation of this number."""

    def arm() -> None:
        left = [number]

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if event not in _STEPS or (event == "open" and not _writes(arguments)):
                return
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)

    return arm


def _writes(arguments: tuple[object, ...]) -> bool:
    """Of the arguments of ``open``: path, mode, flags."""
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def beyond_bytes(number: int) -> Callable[[], None]:
    """Kills in the middle of a write: what fits has been written."""

    def arm() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    return arm


if __name__ == "__main__":
    print(campaign(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
