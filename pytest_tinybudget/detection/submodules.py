"""Git submodules: addresses of ``.gitmodules``, and the commits that the index has of them."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path

from pytest_tinybudget.base.git import GitError
from pytest_tinybudget.base.git import git_output
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.ini import line_of
from pytest_tinybudget.detection.ini import parse_ini
from pytest_tinybudget.detection.products import at_address


FILE = ".gitmodules"
#: How git's index marks a submodule.
_MODE = "160000"


class Submodules:
    """The submodules of a repository, by the paths that they have in it.

    Raises:
        UnreadableError: it is no file of them.
    """

    def __init__(self, text: str) -> None:
        parser = parse_ini(text)
        lines = text.splitlines()
        self._entries: dict[str, tuple[str, int]] = {}
        for section in parser.sections():
            path = (parser.get(section, "path", fallback="") or "").strip().strip('"')
            address = (parser.get(section, "url", fallback="") or "").strip().strip('"')
            if section.startswith("submodule") and path:
                line = line_of(lines, section, address)
                self._entries[path] = (address, line)

    @property
    def paths(self) -> frozenset[str]:
        """Where they lie."""
        return frozenset(self._entries)

    def findings(self, commits: Mapping[str, str]) -> Iterator[Finding]:
        """Those that are TFLM or its kernels; ``commits`` are the index's, by path."""
        for path, (address, line) in self._entries.items():
            known = at_address(address)
            if known is not None:
                commit = commits.get(path, "")
                yield Finding(
                    known.product,
                    FILE,
                    line,
                    "lock" if commit else "any",
                    commit,
                    origin=known.origin,
                    scope=path,
                )


def commits_of(root: Path, paths: frozenset[str]) -> dict[str, str]:
    """The commits that the index of the repository at ``root`` has of its submodules, by path.

    Empty without git, or where ``root`` is not the top of a repository.
    """
    if not paths:
        return {}
    try:
        # A hook of the repository (fsmonitor) is not ours to run.
        listed = git_output(root, "-c", "core.fsmonitor=false", "ls-files", "--stage", "-z")
    except GitError:
        return {}
    found = {}
    for entry in listed.decode("utf-8", "surrogateescape").split("\0"):
        kind, _, path = entry.partition("\t")
        mode, _, rest = kind.partition(" ")
        if mode == _MODE and path in paths:
            found[path] = rest.partition(" ")[0]
    return found
