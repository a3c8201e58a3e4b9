"""What ``fit`` finds. These structs are its JSON file as well: what they say of their fields is the
file's definition (``base/fields.py``)."""

from __future__ import annotations

from typing import Annotated
from typing import Any
from typing import Literal
from typing import get_args

import msgspec
from msgspec import Struct

from pytest_tinybudget.base.fields import about
from pytest_tinybudget.base.fields import size
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.results.json_schema import DIALECT
from pytest_tinybudget.results.json_schema import closed


#: Of the JSON: a number that grows when a reader would have to change.
SCHEMA = 1

#: What a front may weigh, of a candidate on a board.
Figure = Literal["arena", "ram", "flash", "macs", "parameters", "seconds"]
FIGURES: tuple[Figure, ...] = get_args(Figure)


class OnBoard(Struct, frozen=True, gc=False):
    """A candidate on a board. Sizes are bytes, margins included."""

    board: Annotated[str, about("The board's id.")]
    fits: Annotated[bool, about("Whether it is within every limit.")]
    arena: Annotated[int, size("The smallest arena that works; 0 where there is none.")]
    ram: Annotated[int, size("RAM that it takes; of what TFLM refuses without an arena.")]
    flash: Annotated[int, size("Flash that it takes.")]
    seconds: Annotated[
        float | None,
        about(
            "Upper end of the estimated time of an inference; null where nobody has measured such "
            "a board."
        ),
    ]
    tightest: Annotated[
        str,
        about(
            "The metric that is nearest to its limit or furthest over it; latency too where it is "
            "all that is missed, because nobody knows it; refused: TFLM does not run it."
        ),
    ]
    share: Annotated[
        float,
        about(
            "How much of that limit is taken; 1.0 is all of it. 0 where there is no such number: "
            "where TFLM refuses the model, or nobody knows the latency. It does not fit then."
        ),
    ]
    peak_layer: Annotated[
        int,
        about(
            "The operator, from 0, that runs while the arena is full to its end, of several that "
            "with the most in it; -1 without an arena.",
            least=-1,
        ),
    ]
    peak: Annotated[str, about("That operator in words.")]
    reason: Annotated[str, about("Why it does not fit; empty where it does.")]


class Candidate(Struct, frozen=True):
    """One choice of a plan."""

    chosen: Annotated[
        dict[str, int], about("What was chosen of each range, by its name or its place.")
    ]
    parameters: Annotated[int, about("Numbers that training sets.", least=0)]
    macs: Annotated[int, about("Multiply-accumulates of an inference.", least=0)]
    names: Annotated[
        int,
        size(
            "How much more flash the names in its trained file may take at most; none where the "
            "file is stripped."
        ),
    ]
    boards: Annotated[tuple[OnBoard, ...], about("What it takes on each board.")]


class Decides(Struct, frozen=True):
    """What keeps a plan from being larger on a board."""

    board: Annotated[str, about("The board's id.")]
    measured: Annotated[int, about("How many candidates were measured for it.", least=0)]
    fitting: Annotated[int, about("How many of these fit.", least=0)]
    metric: Annotated[
        str,
        about("What most candidates fail for or, if all fit, what the fullest is nearest to."),
    ]
    failed: Annotated[int, about("How many fail for it.", least=0)]
    layer: Annotated[
        int,
        about("Where the arena is mostly fullest then, for a metric of RAM; else -1.", least=-1),
    ]
    text: Annotated[str, about("All of this in a line.")]


class Fit(Struct, frozen=True):
    """What came of a plan."""

    total: Annotated[int, about("How many choices the plan has.", least=0)]
    impossible: Annotated[int, about("How many of those looked at are no network.", least=0)]
    why_impossible: Annotated[str, about("The first reason why one is none; empty where all are.")]
    maximize: Annotated[tuple[Figure, ...], about("What is weighed, the more the better.")]
    minimize: Annotated[tuple[Figure, ...], about("What is weighed, the less the better.")]
    candidates: Annotated[tuple[Candidate, ...], about("The choices that were measured.")]
    front: Annotated[
        dict[str, tuple[Annotated[int, about("A place in candidates.", least=0)], ...]],
        about(
            "For each board those candidates that fit it and that no other one beats in everything "
            "that is weighed."
        ),
    ]
    decides: Annotated[
        tuple[Decides, ...], about("What keeps the plan from being larger, for each board.")
    ]
    dense_for: Annotated[
        str,
        about(
            "The runtime for which dense layers have one scale each; empty where no board needs "
            "that."
        ),
    ] = ""
    activations: Annotated[Numbers, about("What flows between the operators.")] = "int8"


def said_of_count(found: Fit) -> str:
    """How many candidates were measured, of how many choices, and why the others are none."""
    many = "candidate" if len(found.candidates) == found.total == 1 else "candidates"
    text = f"{len(found.candidates):,} {many} of {found.total:,} measured"
    if found.impossible == 1:
        return f"{text}; 1 is no network: {found.why_impossible}"
    if found.impossible:
        text += f"; {found.impossible:,} are no network, the first: {found.why_impossible}"
    return text


def said_of_names(found: Fit) -> str:
    """What plans leave open of flash."""
    most = max((each.names for each in found.candidates), default=0)
    return (
        f"names in the trained file may take up to {format_size(most)} more flash, and none with "
        "strip = true"
    )


def decider(metric: str) -> str:
    """What decides, as a sentence about it begins."""
    return {"refused": "TFLM's refusal", "ram": "RAM", "psram": "PSRAM"}.get(metric, metric)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of what ``render.as_json`` writes."""
    (reference,), components = msgspec.json.schema_components((Fit,), ref_template="#/$defs/{name}")
    definitions = {name: closed(each) for name, each in sorted(components.items())}
    document = definitions.pop(reference["$ref"].rpartition("/")[2])
    version = {"const": SCHEMA, "description": "Grows when a reader would have to change."}
    document["properties"] = {"schema": version, **document["properties"]}
    document["required"] = sorted(document["properties"])
    title = "What tinybudget fit found"
    return {"$schema": DIALECT, **document, "title": title, "$defs": definitions}
