"""Random graphs, every second one damaged, before TFLM's own interpreter and before this package.

What the interpreter refuses, fails on or does not survive must be refused here; what it computes
as LiteRT computes it must not be. The suite tries a few (``test_trust.py``), this all of them:
``python tests/damage_campaign.py --graphs 2000 --seed 0``. It needs both
interpreters, which the extra ``test`` has on Linux x86-64. An endless loop is the model's own
business.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from damage import damaged
from damage import fill
from engines import Engine
from engines import Run
from engines import alike
from hypothesis import HealthCheck
from hypothesis import Phase
from hypothesis import given
from hypothesis import seed
from hypothesis import settings
from hypothesis import strategies as st
from random_models import calling
from random_models import layered

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


if TYPE_CHECKING:
    from modelmaker import ModelMaker

_OTHERWISE = "passed here, TFLM computes otherwise than LiteRT"
#: What numpy calls types.
_DTYPES = {
    "FLOAT32": "float32", "INT8": "int8", "UINT8": "uint8", "INT16": "int16", "INT32": "int32",
    "INT64": "int64", "BOOL": "bool_",
}  # fmt: skip

#: Further inputs for a model that is refused here and run by TFLM.
OTHER_INPUTS = 2


@dataclass(frozen=True)
class Case:
    """A model, what was damaged in it (``""``: nothing), and what came of it.

    ``finding`` is empty where this package and the interpreter agree.
    """

    number: int
    content: bytes
    damage: str
    refused: str
    micro: str
    finding: str = ""


def graphs(count: int, number: int) -> list[ModelMaker]:
    """``count`` random graphs, those of ``number`` (the generator's seed)."""
    found: list[ModelMaker] = []

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(maker=st.one_of(layered(), layered(), layered(), layered(), calling()))
    def collect(maker: ModelMaker) -> None:
        found.append(maker)

    while len(found) < count:
        collect()
        collect = seed(number + len(found))(collect)
    return found[:count]


def refusal(content: bytes) -> tuple[str, bool]:
    """Why this package refuses a model for the runtime that the interpreter is, or nothing.

    And whether the interpreter can say more: what would end it, or what nothing defines, is not
    given to it.
    """
    try:
        simulation = simulate(read_model(content, "model"), RUNTIMES["x86_64_ref"])
    except ModelError as error:
        return error.message, False
    refusals = simulation.refusals
    if not refusals:
        return "", True
    first = refusals[0]
    told = f"{first.stage}: {first.operator} #{first.index}: {first.reason}"
    return told, not any(each.ends or each.stage == "undefined" for each in refusals)


def campaign(count: int, number: int) -> Iterator[Case]:
    """Every graph, judged."""
    with Engine("tflm") as micro, Engine("litert") as lite:
        for index, maker in enumerate(graphs(count, number)):
            chance = random.Random(f"{number} {index}")
            fill(maker, chance)
            content, damage = damaged(maker, chance) if index % 2 else (maker.build(), "")
            refused, worth = refusal(content)
            ran = micro.run(content, index) if worth else Run("not asked")
            finding = ""
            if ran.status == "ok":
                runs = [(ran, lite.run(content, index))]
                if refused:
                    # Inputs by which a wrong result shows that the first do not tell.
                    seeds = range(index + 1, index + OTHER_INPUTS + 1)
                    runs += [(micro.run(content, each), lite.run(content, each)) for each in seeds]
                finding = _wrong(content, refused, damage, runs)
                if finding == _OTHERWISE and not _otherwise_anew(content, index):
                    finding = ""
            elif ran.status not in ("timeout", "not asked") and not refused:
                finding = f"passed here, TFLM: {ran.status}: {ran.log.strip()[-300:]}"
            yield Case(index, content, damage, refused, ran.status, finding)


def _wrong(content: bytes, refused: str, damage: str, runs: list[tuple[Run, Run]]) -> str:
    """What is wrong with an answer about a model that the interpreter runs.

    LiteRT says what is right; where it refuses a damaged file, the file is wrong in itself, and
    outputs that are the same for all inputs tell nothing. Where tensors have another size or type
    than LiteRT's, TFLM reads or writes beyond them, or bits as what they are not, and is right by
    luck alone.
    """
    lite = runs[0][1]
    right = all(other.status == "ok" and alike(one, other) for one, other in runs)
    if not refused:
        wrong = lite.status == "ok" and not right
        return _OTHERWISE if wrong else ""
    if not damage:
        return f"refused here, TFLM runs it: {refused}"
    if right and _as_in_the_file(content, lite) and telling(runs):
        return f"refused here, TFLM runs it as LiteRT does: {refused}"
    return ""


def _otherwise_anew(content: bytes, seed: int) -> bool:
    """Whether results differ in processes that have run nothing before, too."""
    with Engine("tflm") as micro, Engine("litert") as lite:
        return not alike(micro.run(content, seed), lite.run(content, seed))


def telling(runs: list[tuple[Run, Run]]) -> bool:
    """Whether every output, and every tensor on the way there, has more than one value in ``runs``.

    What is read in a wrong order from equal values, as from ``x - x``, comes out right.
    """
    outputs = zip(*(micro.outputs for micro, _ in runs), strict=True)
    computed = zip(*(lite.ranges for _, lite in runs), strict=True)
    return all(
        len({value for values in each for value in values}) > 1 for each in (*outputs, *computed)
    )


def _as_in_the_file(content: bytes, lite: Run) -> bool:
    """Whether LiteRT's tensors have the size and type that the file gives them."""
    try:
        graphs = read_model(content, "model").subgraphs
    except ModelError:
        return False
    return all(
        tensor.elements == count and kind in ("", _DTYPES.get(tensor.type, kind))
        for graph, found in zip(graphs, lite.tensors, strict=True)
        for tensor, (count, kind) in zip(graph.tensors, found, strict=True)
    )


def main() -> int:
    """Print what was found, and how many cases agreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the models of findings")
    arguments = parser.parse_args()
    tally: Counter[str] = Counter()
    for case in campaign(arguments.graphs, arguments.seed):
        half = "damaged" if case.damage else "whole"
        tally[f"{half}: TFLM {case.micro}, {'refused' if case.refused else 'passed'} here"] += 1
        if case.finding:
            tally["FINDING " + case.finding[:33]] += 1
            print(f"#{case.number} {case.damage or 'whole'}\n    {case.finding}", flush=True)
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / f"{case.number}.tflite").write_bytes(case.content)
    print("\n".join(f"{count:6} {what}" for what, count in sorted(tally.items())))
    return int(any(what.startswith("FINDING") for what in tally))


if __name__ == "__main__":
    sys.exit(main())
