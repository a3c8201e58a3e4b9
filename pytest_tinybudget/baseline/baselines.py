"""The baselines of a run: one for all pairs, or those that its declarations name."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.once import once
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.base import MeasureAll
    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.boards.board import Board


class Baselines(Struct, eq=False):
    """Finds the baseline of each pair; every file is read once.

    ``chosen`` takes the place of the declarations' own. One of these need not exist where the run
    writes it, to ``written``. ``boards`` are those that declarations may name, the catalog's unless
    given. ``is_base`` is for results that are a base themselves: these are held to none.
    """

    chosen: Baseline | None = None
    written: Path | None = None
    boards: Callable[[], Mapping[str, Board]] | None = None
    is_base: bool = False
    _since: dict[tuple[Path, str], Baseline | TinybudgetError] = field(default_factory=dict)
    _files: dict[Path, Baseline | TinybudgetError] = field(default_factory=dict)

    @classmethod
    def for_base(cls) -> Baselines:
        """Those of a base, which is held to nothing."""
        from pytest_tinybudget.baseline.baseline import Baseline

        return cls(chosen=Baseline(), is_base=True)

    def since(
        self, result: PairResult, declaration: Path, revision: str, measure: MeasureAll
    ) -> tuple[PairResult | None, str, str]:
        """What ``result`` was at the commit ``revision``, how that is called, or why nobody knows.

        The file ``declaration`` is measured as it was there, once for all of its pairs.

        Raises:
            TinybudgetError: there is no such commit.
        """
        if self.is_base:
            return None, "", ""
        from pytest_tinybudget.baseline.base import at_revision

        boards = self.boards() if self.boards is not None else None
        baseline = once(
            self._since,
            (declaration, revision),
            lambda: at_revision(declaration, revision, boards, measure),
        )
        inside = result.id.partition("::")[2]
        found, why = baseline.find(replace(result, id=f"{declaration.name}::{inside}"))
        return found, baseline.results.origin if baseline.results else "", why

    def find(self, result: PairResult, declared: Path | None) -> tuple[PairResult | None, str]:
        """The base of ``result``, whose declaration names ``declared``, or why there is none.

        Raises:
            TinybudgetError: the declared baseline is missing, or is no results file.
        """
        if self.chosen is not None:
            return self.chosen.find(result)
        if declared is None:
            from pytest_tinybudget.baseline.baseline import NO_BASE

            return None, NO_BASE
        from pytest_tinybudget.baseline.baseline import baseline_file

        return once(
            self._files, declared, lambda: baseline_file(declared, written=self.written)
        ).find(result)
