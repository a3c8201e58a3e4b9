"""Random graphs, shrunk for several boards: outputs equal, no file larger, no arena higher.

The suite tries a few (``test_shrinking.py``), this as many as are asked for, with branches, states,
control flow, shared weights and memory plans of their own: ``python tests/shrink_campaign.py
--graphs 1000 --seed 0``. TFLM's interpreter runs every file and the one that it was made of, and
LiteRT where it takes the model; both come with the extra ``test`` on Linux x86-64.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

from damage import fill
from engines import Engine
from hypothesis import HealthCheck
from hypothesis import Phase
from hypothesis import given
from hypothesis import seed
from hypothesis import settings
from hypothesis import strategies as st
from random_models import calling
from random_models import layered

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.shrinking.interpreters import Interpreters
from pytest_tinybudget.shrinking.shrink import shrink_model


if TYPE_CHECKING:
    from modelmaker import Graph
    from modelmaker import ModelMaker

#: The boards' runtimes; the last is what the interpreter here is.
NAMES = ("m4_cmsisnn", "m55_cmsisnn", "rv32imc_ref", "x86_64_ref")
FIRMWARES = {name: Firmware(RUNTIMES[name]) for name in NAMES}
INPUTS = 2


@dataclass(frozen=True)
class Case:
    """What came of a graph; ``finding`` is empty where all is as it must be."""

    finding: str
    saved_bytes: int = 0
    saved_arena: int = 0
    planned: bool = False
    ran: bool = False
    folded: bool = False


@st.composite
def graphs(draw: st.DrawFn) -> ModelMaker:
    """Graphs of all kinds; weights have values, and some constants are equal."""
    kind = draw(st.integers(0, 4))
    maker = draw(layered(12, offline=kind == 1) if kind else calling())
    chance = random.Random(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):
        add_constants(maker.graphs[0], chance)
    fill(maker, chance)
    for graph in maker.graphs:
        constants = [each for each in graph.tensors if each.data]
        for one, other in pairwise(constants):
            if len(one.data or b"") == len(other.data or b"") and chance.random() < 0.5:
                other.data = one.data
    return maker


def add_constants(graph: Graph, chance: random.Random) -> None:
    """Add to an output what operators compute of constants alone, which may be folded."""
    place = chance.randrange(len(graph.outputs))
    result = graph.outputs[place]
    spec = graph.tensors[result]
    if spec.type not in ("INT8", "FLOAT32") or not spec.shape or result in graph.inputs:
        return
    like = {"scale": spec.scales, "zero_point": 0} if spec.scales else {}
    value = graph.constant((prod(spec.shape),), spec.type, **like)
    for _ in range(chance.randrange(3)):
        if chance.random() < 0.5:
            value = graph.add(value, graph.constant((1,), spec.type, **like))
        else:
            value = graph.concat([graph.split(value, parts=1, axis=0)[0]], axis=0)
    if spec.type == "FLOAT32" and chance.random() < 0.5:
        small = graph.constant(graph.tensors[value].shape, "INT8")
        numbers = graph.tensor(graph.tensors[value].shape, "FLOAT32")
        graph.operator("DEQUANTIZE", (small,), (numbers,))
        value = graph.add(value, numbers)
    shaped = graph.reshape(value, spec.shape)
    graph.outputs[place] = graph.add(result, shaped)


def judged(
    maker: ModelMaker, tflm: Engine, litert: Engine | None, interpreters: Interpreters
) -> Case:
    """Shrink the file of ``maker`` and compare it with that in every way."""
    model = read_model(maker.build(), "model")
    runs = not simulate(model, RUNTIMES["x86_64_ref"]).refusals
    firmwares = FIRMWARES if runs else {}
    try:
        made = shrink_model(model, firmwares, interpreters=interpreters)
    except TinybudgetError as error:
        return Case(f"raised: {error.message}")
    report = made.report
    if made.model.bytes > model.bytes:
        return Case("the file is larger")
    saved = 0
    for name, firmware in firmwares.items():
        before, after = simulate(model, firmware).arena, simulate(made.model, firmware).arena
        if before is None:
            continue
        if after is None or after.required > before.required:
            return Case(f"{name}: the arena is higher")
        saved += before.required - after.required
    finding, ran = "", False
    for engine in (tflm, litert):
        if engine is not None and firmwares and not finding:
            finding, compared = _compared(engine, model, made.model)
            ran = ran or compared
    is_planned, is_folded = report.plan == "written", made.folded > 0
    return Case(finding, report.saved_bytes, saved, is_planned, ran, is_folded)


def _compared(engine: Engine, before: Model, after: Model) -> tuple[str, bool]:
    for number in range(INPUTS):
        one = engine.run(before.content, number)
        if one.status != "ok":
            return "", False
        other = engine.run(after.content, number)
        if other.status != "ok" or repr(one.outputs) != repr(other.outputs):
            return f"outputs differ ({other.status} {other.log[-200:]})", True
    return "", True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    with Engine("tflm") as tflm, Engine("litert") as litert, Interpreters() as interpreters:

        @seed(arguments.seed)
        @settings(
            max_examples=arguments.graphs,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(maker=graphs())
        def campaign(maker: ModelMaker) -> None:
            case = judged(maker, tflm, litert, interpreters)
            counts[case.finding or "as it must be"] += 1
            counts["run"] += case.ran
            counts["with a plan"] += case.planned
            counts["folded"] += case.folded
            counts["bytes saved"] += case.saved_bytes
            counts["arena saved"] += case.saved_arena
            if case.finding:
                print(case.finding, flush=True)

        campaign()
    for name, count in counts.items():
        print(f"{name}: {count:,}")
    findings = {"as it must be", "run", "with a plan", "folded", "bytes saved", "arena saved"}
    return int(bool(set(counts) - findings))


if __name__ == "__main__":
    sys.exit(main())
