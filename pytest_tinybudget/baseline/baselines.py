"""The baselines of a run: one for all pairs, or those that its declarations name."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.once import once
from pytest_tinybudget.baseline.baseline import NO_BASE
from pytest_tinybudget.baseline.baseline import Baseline
from pytest_tinybudget.baseline.baseline import baseline_file
from pytest_tinybudget.results.types import PairResult


class Baselines(Struct, eq=False):
    """Finds the baseline of each pair; every file is read once.

    ``chosen`` takes the place of the declarations' own. One of these need not exist where the run
    writes it, to ``written``.
    """

    chosen: Baseline | None = None
    written: Path | None = None
    _files: dict[Path, Baseline | TinybudgetError] = field(default_factory=dict)

    def find(self, result: PairResult, declared: Path | None) -> tuple[PairResult | None, str]:
        """The base of ``result``, whose declaration names ``declared``, or why there is none.

        Raises:
            TinybudgetError: the declared baseline is missing, or is no results file.
        """
        if self.chosen is not None:
            return self.chosen.find(result)
        if declared is None:
            return None, NO_BASE
        return once(
            self._files, declared, lambda: baseline_file(declared, written=self.written)
        ).find(result)
