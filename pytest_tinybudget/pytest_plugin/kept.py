"""Verdicts of earlier runs in a pytest run: whether they may be taken, of what state, and kept.

Imported by every run with a declaration, so it imports nothing heavy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from pytest_tinybudget.base.code_state import WHOLE_PACKAGE
from pytest_tinybudget.base.code_state import code_stamps
from pytest_tinybudget.detection.state import state_of as project_state
from pytest_tinybudget.gate.kept_verdicts import KeptDeclaration
from pytest_tinybudget.gate.kept_verdicts import KeptModel
from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
from pytest_tinybudget.gate.kept_verdicts import earlier_verdicts
from pytest_tinybudget.gate.kept_verdicts import is_plain
from pytest_tinybudget.gate.kept_verdicts import kept_model
from pytest_tinybudget.gate.kept_verdicts import stamped_again
from pytest_tinybudget.gate.kept_verdicts import state_of
from pytest_tinybudget.gate.kept_verdicts import table_key
from pytest_tinybudget.pytest_plugin.asked import details_wanted
from pytest_tinybudget.pytest_plugin.asked import verbosity_of
from pytest_tinybudget.pytest_plugin.settings import RESULTS_ATTRIBUTE
from pytest_tinybudget.pytest_plugin.settings import in_worker
from pytest_tinybudget.pytest_plugin.settings import path_setting
from pytest_tinybudget.pytest_plugin.settings import setting


if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.gate.artifacts import Artifacts
    from pytest_tinybudget.results.types import PairResult


#: Whose the names of C files are, by folder and name, over all declarations of a run.
_Claims = dict[tuple[Path, str], str]
_CLAIMS = pytest.StashKey[_Claims]()
_CODE = pytest.StashKey[str]()


def may_keep(config: pytest.Config) -> bool:
    """Whether this run may take verdicts of earlier ones, and keep its own.

    Not where it shows more of a pair than was kept, is compared with a base, measures otherwise
    than the built-in way, or is one of several processes.
    """
    anew = ("tinybudget_no_cache", "tinybudget_verify", "tinybudget_require_base")
    hook = config.hook
    return not (
        in_worker(config)
        or any(setting(config, name) for name in anew)
        or details_wanted(config)
        or hook.pytest_tinybudget_boards.get_hookimpls()
        or hook.pytest_tinybudget_estimator.get_hookimpls()
    )


def claims_of(config: pytest.Config) -> _Claims:
    """Whose the names of C files are in this run."""
    return config.stash.setdefault(_CLAIMS, {})


def results_of(
    report: pytest.CollectReport | pytest.TestReport,
) -> Sequence[PairResult | KeptVerdict]:
    """The results on ``report``, of this process or another."""
    results: tuple[PairResult | KeptVerdict, ...] = getattr(report, RESULTS_ATTRIBUTE, ())
    return results


def all_kept(results: Iterable[PairResult | KeptVerdict]) -> bool:
    """Whether all ``results`` are of earlier runs."""
    return all(isinstance(each, KeptVerdict) for each in results)


class Seen:
    """A declaration of this run as it was when it was collected, and what is kept of it."""

    def __init__(self, config: pytest.Config, path: Path, file: str) -> None:
        self.path = path
        self._file = file
        self._config = config
        self._content = b""
        self._state = ""
        self.kept: KeptDeclaration | None = None
        with suppress(OSError):
            if may_keep(config):
                self._content = path.read_bytes()
                self._state = self._state_now() or ""
        if self._state:
            self.kept = self._claimed(earlier_verdicts().of(path, self._state))

    def _state_now(self) -> str | None:
        config, project = self._config, project_state(self.path.parent)
        if project is None:
            return None
        if _CODE not in config.stash:
            config.stash[_CODE] = code_stamps(WHOLE_PACKAGE)
        rules = (setting(config, f"tinybudget_{name}") for name in ("strict", "informational"))
        paths = (self.path, config.rootpath, Path.cwd())  # which are in texts
        parts = (*map(str, (*paths, *rules)), self._file, _artifacts(config), sys.version)
        return state_of(self._content, (*parts, config.stash[_CODE], project))

    def _claimed(self, kept: KeptDeclaration | None) -> KeptDeclaration | None:
        """``kept``, whose names of C files are now taken, if they are not another's.

        A declaration is wrong where a model's file is missing.
        """
        if kept is None or not all(each.is_there() for each in kept.models):
            return None
        claims = claims_of(self._config)
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
        folder: Path,
    ) -> dict[str, str]:
        """Keep what passed of ``declared``; the results as JSON that are kept now, by id."""
        if not (self._state and self._is_plain() and self._state_now() == self._state):
            return {}
        before = {each.name: each for each in self.kept.models} if self.kept else {}
        models = [
            _of_model(name, list(pairs), before.get(name), results, artifacts, folder)
            for name, pairs in groupby(declared, key=lambda each: each.name)
        ]
        earlier_verdicts().keep(self.path, self._state, models)
        return {
            f"{self._file}::{model['name']}::{target}": text
            for model in models
            for target, (_, text) in model["verdicts"].items()
        }

    def keep_times(self) -> None:
        """Keep the times of C files that were too young to go by them."""
        if self.kept is None or not any(each.looked_at for each in self.kept.models):
            return
        with suppress(OSError):
            models = [stamped_again(each) for each in self.kept.models]
            earlier_verdicts().keep(self.path, self._state, models)

    def _is_plain(self) -> bool:
        from pytest_tinybudget.declaration.toml import parse

        with suppress(OSError, ValueError):
            if self.path.read_bytes() == self._content:
                return is_plain(parse(self._content.decode("utf-8-sig")))
        return False


def _of_model(
    name: str,
    pairs: Sequence[Declared],
    before: KeptModel | None,
    results: Mapping[str, PairResult | KeptVerdict],
    artifacts: Artifacts,
    folder: Path,
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
    claim = claimed_by(on_boards[0], folder) if on_boards else None
    source = on_boards[0].model.source if on_boards else None
    nothing = kept_model(name, lines, source=source, claim=claim)
    if not fresh:
        return dict(before.plain) if before else nothing
    of_file = next(each for each in on_boards if each.target in fresh)
    files = artifacts.written(of_file, folder)
    hashes = {each.model_sha256 for each in fresh.values()}
    verdicts = {
        target: (each.outcome, msgspec.json.encode(each).decode())
        for target, each in fresh.items()
        if each.outcome in ("fits", "warns") and not each.accepted  # an agreement ends
    }
    if not (verdicts and files and len(hashes) == 1):
        return nothing
    (sha256,) = hashes
    if before is not None and before.plain["sha256"] == sha256:
        kept = before.plain["verdicts"].items()
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


def shown_key(config: pytest.Config, results: Mapping[str, str]) -> str:
    """The key of the table that this run shows of ``results``, JSON by id."""
    width = config.get_terminal_writer().fullwidth
    how = (str(width), str(sys.stdout.encoding), str(verbosity_of(config)))
    return table_key(results.items(), (*how, config.stash.get(_CODE, "")))


def _artifacts(config: pytest.Config) -> str:
    """The folder of C files that the run names, else empty."""
    return str(path_setting(config, "tinybudget_artifacts") or "")
