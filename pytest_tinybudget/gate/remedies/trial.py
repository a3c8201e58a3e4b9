"""Measures and judges changed pairs in the same way as declared ones."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.growth import with_growth
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.judgement import judged
from pytest_tinybudget.gate.measurement import footprint_with
from pytest_tinybudget.gate.measurement import measured
from pytest_tinybudget.gate.remedies.changes import Candidate
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.workspace import Workspace


class Trial(Struct, frozen=True):
    """Measures candidates in ``workspace``; judges them by ``rules`` and against ``base``."""

    workspace: Workspace
    rules: Rules
    base: PairResult | None = None

    def result(self, candidate: Candidate) -> PairResult:
        """The result that ``candidate`` would have.

        Raises:
            TinybudgetError: it cannot be made or measured.
        """
        pair, models = candidate.pair, candidate.loaded(self.workspace.model)
        result = judged(pair, measured(pair, models, self.workspace), self.rules)
        if self.base is None:
            return result
        return with_growth(result, self.base, self.rules.growth(pair))

    def footprint_on(self, candidate: Candidate, board: Board) -> Footprint:
        """The footprint of the unchanged models of ``candidate`` on another board.

        Raises:
            TinybudgetError: it cannot be measured there.
        """
        pair = replace(candidate.pair, board=board)
        return footprint_with(pair, candidate.models, self.workspace)
