"""What ``check`` keeps of models that are named themselves, to show it again if nothing changed.

A process that finds all as it was imports little else than this.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.code_state import WHOLE_PACKAGE
from pytest_tinybudget.base.code_state import code_stamps
from pytest_tinybudget.base.paths import relative_path
from pytest_tinybudget.commands.outcome import console_of
from pytest_tinybudget.commands.outcome import table_of
from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
from pytest_tinybudget.gate.kept_verdicts import earlier_verdicts
from pytest_tinybudget.gate.kept_verdicts import table_key
from pytest_tinybudget.gate.seen import SeenModel
from pytest_tinybudget.graph.locations import SEPARATOR
from pytest_tinybudget.report import is_github_step


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.gate.artifacts import Artifacts
    from pytest_tinybudget.results.types import PairResult


#: The options of which the words alone decide. Others name files, show more or convert.
BY_WORDS = frozenset(
    {
        *("activations", "board", "budget", "color", "informational", "input_shape", "op", "paths"),
        *("placement", "placement_model", "quiet", "registrations", "require_int8", "runtime"),
        *("stack", "storage_model", "strict"),
    }
)
#: What the parser adds.
_NO_OPTIONS = frozenset({"run", "whole"})
_SUFFIXES = frozenset({".tflite", ".lite"})


class Earlier:
    """The models of a run of ``check`` as they are found, and what is kept of them."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        options = sorted(
            (name, value)
            for name, value in vars(arguments).items()
            if name not in _NO_OPTIONS and name != "paths"
        )
        #: All that decides about the models beside themselves; paths are in texts.
        self._asked = (str(Path.cwd()), repr(options), code_stamps(WHOLE_PACKAGE))
        files = {relative_path(Path(word), Path()): Path(word) for word in arguments.paths}
        self._models = {
            file: SeenModel(path, file, (*self._asked, file)) for file, path in files.items()
        }

    def show(self) -> bool:
        """Show what was shown of these models, if they and the terminal are as they were."""
        found = {each.id: each.digest for each in self._verdicts()}
        lines = earlier_verdicts().table(self._shown(found)) if found else None
        if lines is None:
            return False
        console = console_of(self._arguments)
        for text, markup in lines:
            console.print_line(text, markup)
        return True

    def keep(
        self, selected: Iterable[Declared], results: Iterable[PairResult], artifacts: Artifacts
    ) -> None:
        """Keep what passed, and what is shown of it if all did."""
        found: dict[str, PairResult | KeptVerdict] = {each.id: each for each in results}
        kept: dict[str, str] = {}
        pairs = list(selected)
        for file, model in self._models.items():
            of_file = [each for each in pairs if each.file == file]
            kept.update(model.keep(of_file, found, artifacts, None))
        if kept.keys() == found.keys():
            table = table_of(self._arguments, list(results))
            shown = [(line.text, line.markup) for line in table]
            earlier_verdicts().keep_table(self._shown(kept), shown)

    def _verdicts(self) -> Sequence[KeptVerdict]:
        """Those of all pairs; empty where one is not kept, or a model changed."""
        verdicts = []
        for file, seen in self._models.items():
            models = seen.kept.models if seen.kept else []
            if not models or not all(each.is_current() for each in models):
                return ()
            found = [each.verdict(file, target) for each in models for target, _ in each.pairs]
            verdicts += [each for each in found if each is not None]
            if len(verdicts) < len(found):
                return ()
        return verdicts

    def _shown(self, verdicts: Mapping[str, str]) -> str:
        console = console_of(self._arguments)
        how = (str(console.width), str(console.stream.encoding), repr(self._arguments.paths))
        return table_key(verdicts.items(), (*how, sys.version, *self._asked))


def earlier_of(arguments: argparse.Namespace) -> Earlier | None:
    """What is kept of a run with ``arguments``; ``None`` for one that is judged anew each time."""
    other = vars(arguments).keys() - BY_WORDS - _NO_OPTIONS
    if any(getattr(arguments, name) for name in other) or is_github_step(os.environ):
        return None
    return Earlier(arguments) if all(map(_is_plain, arguments.paths)) else None


def _is_plain(word: str) -> bool:
    """Whether ``word`` names the file of a model that is measured as it is."""
    path = Path(word)
    return SEPARATOR not in word and path.suffix.lower() in _SUFFIXES and path.is_file()
