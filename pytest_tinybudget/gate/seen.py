"""A declaration, or a model that is named itself, as a run finds it, and what is kept of it.

Imported by every run that may take verdicts of earlier ones, so it imports nothing heavy.
"""

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.detection.state import state_of as project_state
from pytest_tinybudget.gate.kept_verdicts import KeptDeclaration
from pytest_tinybudget.gate.kept_verdicts import KeptModel
from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
from pytest_tinybudget.gate.kept_verdicts import earlier_verdicts
from pytest_tinybudget.gate.kept_verdicts import is_plain
from pytest_tinybudget.gate.kept_verdicts import kept_model
from pytest_tinybudget.gate.kept_verdicts import stamped_again
from pytest_tinybudget.gate.kept_verdicts import state_of


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.gate.artifacts import Artifacts
    from pytest_tinybudget.results.types import PairResult


#: Whose the names of C files are, by folder and name, over all declarations of a run.
Claims = dict[tuple[Path, str], str]


class Seen:
    """A declaration of this run as it was when it was found, and what is kept of it.

    ``file`` is its name in ids, and ``asked`` all that decides about it beside its text, its models
    and the files around it; nothing is kept without. ``claims`` are the run's.
    """

    def __init__(
        self,
        path: Path,
        file: str,
        asked: Sequence[str] | None = None,
        claims: Claims | None = None,
    ) -> None:
        self.path = path
        self._file = file
        self._asked = asked or ()
        self._claims = {} if claims is None else claims
        self._content = b""
        self._state = ""
        self.kept: KeptDeclaration | None = None
        with suppress(OSError):
            if asked is not None:
                self._content = self._read()
                self._state = self._state_now() or ""
        if self._state:
            self.kept = self._claimed(earlier_verdicts().of(self._key, self._state))

    @property
    def _key(self) -> str:
        """Whose verdicts they are, one state of which is kept."""
        return str(self.path)

    def _read(self) -> bytes:
        return self.path.read_bytes()

    def _state_now(self) -> str | None:
        projects = []
        for folder in self._folders():
            project = project_state(folder)
            if project is None:
                return None
            projects.append(project)
        return state_of(self._content, (*self._asked, sys.version, *projects))

    def _folders(self) -> Sequence[Path]:
        """Where the projects lie whose files may say what is flashed."""
        return (self.path.parent,)

    def _claimed(self, kept: KeptDeclaration | None) -> KeptDeclaration | None:
        """``kept``, whose names of C files are now taken, if they are not another's.

        A declaration is wrong where a model's file is missing.
        """
        if kept is None or not all(each.is_there() for each in kept.models):
            return None
        claims = self._claims
        mine = {each.claim: f"{self._file}::{each.name}" for each in kept.models if each.claim}
        if any(claims.get(claim, owner) != owner for claim, owner in mine.items()):
            return None  # which is told when the declaration is read
        claims.update(mine)
        return kept

    def keep(
        self,
        declared: Sequence[Declared],
        results: Mapping[str, PairResult | KeptVerdict],
        artifacts: Artifacts,
        folder: Path | None,
    ) -> dict[str, str]:
        """Keep what passed of ``declared``; a hash of what is kept now, by id.

        ``folder`` is that of the C files, ``None`` where none are written.
        """
        if not (self._state and self._is_plain() and self._state_now() == self._state):
            return {}
        before = {each.name: each for each in self.kept.models} if self.kept else {}
        kept: dict[str, str] = {}

        def models() -> Iterator[dict[str, Any]]:
            for name, group in groupby(declared, key=lambda each: each.name):
                pairs = list(group)
                model = _of_model(name, pairs, before.get(name), results, artifacts, folder)
                outcomes, digest = model["outcomes"], model["digest"]
                ids = [each.id for each in pairs if each.target in outcomes]
                # The texts that the results have already.
                kept.update({results[key].id if key in results else key: digest for key in ids})
                yield model

        earlier_verdicts().keep(self._key, self._state, models(), len(declared))
        return kept

    def keep_times(self) -> None:
        """Keep the times of C files that were too young to go by them."""
        if self.kept is None or not any(each.looked_at for each in self.kept.models):
            return
        with suppress(OSError):
            pairs = sum(len(each.pairs) for each in self.kept.models)
            models = map(stamped_again, self.kept.models)
            earlier_verdicts().keep(self._key, self._state, models, pairs)

    def _is_plain(self) -> bool:
        from pytest_tinybudget.declaration.toml import parse

        with suppress(OSError, ValueError):
            if self._read() == self._content:
                return is_plain(parse(self._content.removeprefix(BOM_UTF8).decode()))
        return False


class SeenModel(Seen):
    """A model that a command names itself, without a declaration."""

    @property
    def _key(self) -> str:
        return "\0".join((str(self.path), *self._asked))

    def _folders(self) -> Sequence[Path]:
        """Here, wherever the model lies: the project is that of the command."""
        return (Path.cwd(),)

    def _read(self) -> bytes:
        return b""  # its content is held to that of each verdict

    def _is_plain(self) -> bool:
        return True


def _of_model(
    name: str,
    pairs: Sequence[Declared],
    before: KeptModel | None,
    results: Mapping[str, PairResult | KeptVerdict],
    artifacts: Artifacts,
    folder: Path | None,
) -> dict[str, Any]:
    """What is kept of a model: what passed now, and what is kept of the same file."""
    import msgspec

    from pytest_tinybudget.declaration.pairs import Pair
    from pytest_tinybudget.gate.artifacts import claimed_by

    lines = [(each.target, each.location.line) for each in pairs]
    on_boards = [each for each in pairs if isinstance(each, Pair)]
    fresh = {}
    for pair in on_boards:
        result = results.get(pair.id)
        if not (pair.board.accelerator or result is None or isinstance(result, KeptVerdict)):
            fresh[pair.target] = result
    claim = claimed_by(on_boards[0], folder) if on_boards and folder else None
    source = on_boards[0].model.source if on_boards else None
    nothing = kept_model(name, lines, source=source, claim=claim)
    if not fresh:
        return dict(before.plain) if before else nothing
    of_file = next(each for each in on_boards if each.target in fresh)
    files = artifacts.written(of_file, folder) if folder else ()
    hashes = {each.model_sha256 for each in fresh.values()}
    verdicts: dict[str, tuple[str, str]] = {
        target: (each.outcome, msgspec.json.encode(each).decode())
        for target, each in fresh.items()
        if each.outcome in ("fits", "warns") and not each.accepted  # an agreement ends
    }
    if not (verdicts and (files or folder is None) and len(hashes) == 1):
        return nothing
    (sha256,) = hashes
    if before is not None and before.plain["sha256"] == sha256:
        kept = before.verdicts.items()
        verdicts = {**{key: each for key, each in kept if key not in fresh}, **verdicts}
    try:
        return kept_model(
            name,
            lines,
            source=source,
            sha256=sha256,
            claim=claim,
            files=files,
            verdicts=verdicts,
        )
    except OSError:
        return nothing
