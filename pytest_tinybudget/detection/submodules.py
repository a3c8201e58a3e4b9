"""Git submodules: addresses of ``.gitmodules``, and the commits that the index has of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import timezone
from pathlib import Path

from pytest_tinybudget.base.git import GitError
from pytest_tinybudget.base.git import git_output
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.ini import line_of
from pytest_tinybudget.detection.ini import parse_ini
from pytest_tinybudget.detection.products import at_address


FILE = ".gitmodules"
_COMMITTED = re.compile(rb"^committer [^\n]* (\d{1,12}) [+-]\d{4}$", re.MULTILINE)
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

    def findings(self, root: Path, commits: Mapping[str, str]) -> Iterator[Finding]:
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
                    date=_date(root / path, commit) if commit else "",
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


def _date(folder: Path, commit: str) -> str:
    """When ``commit`` was made, ISO, UTC; empty where the submodule in ``folder`` has it not."""
    if not (folder / ".git").exists():
        return ""
    try:
        content = git_output(folder, "cat-file", "commit", commit)
    except GitError:
        return ""
    found = _COMMITTED.search(content)
    try:
        seconds = int(found[1]) if found else 0
        made = datetime.fromtimestamp(seconds, timezone.utc) if found else None
    except (OverflowError, OSError, ValueError):
        return ""
    return made.strftime("%Y-%m-%dT%H:%M") if made else ""
