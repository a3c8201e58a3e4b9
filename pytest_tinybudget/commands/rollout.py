"""``tinybudget rollout``: what a staged rollout does, simulated, planned and exported."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import declared_rollout
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.commands.waiting import waiting


if TYPE_CHECKING:
    from pytest_tinybudget.rollout.policy import Policy
    from pytest_tinybudget.rollout.simulation import Outcome

_RATES = "1,2,5,10,20"
_RUNS, _MOST_RUNS, _MOST_DEVICES = 20_000, 10_000_000, 10**8


def add_commands(subparsers: Subparsers) -> None:
    """Add ``rollout`` and its commands."""
    rollout = add_command(
        subparsers,
        "rollout",
        "simulate and plan a staged rollout, or export it to hawkBit or AWS IoT Jobs",
        details="The policy is [rollout] in tinybudget.toml, or its defaults where there is none.",
        example="tinybudget rollout simulate --fleet 100\n"
        "tinybudget rollout plan --devices 5000\n"
        "tinybudget rollout export hawkbit --devices 5000 --name kws-2 --filter 'name==kws-*' "
        "--distribution-set 6",
    )
    commands = rollout.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_simulate(commands)
    _add_plan(commands)
    export = add_command(
        commands,
        "export",
        "write the plan for a rollout engine",
        example="tinybudget rollout export aws-iot --help",
    )
    engines = export.add_subparsers(title="engines", metavar="ENGINE", required=True)
    _add_hawkbit(engines)
    _add_aws_iot(engines)


def _add_simulate(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "simulate",
        "simulate the policy beside the naive rule, over fleet sizes and failure rates",
        details="Each cell is the share of rollouts halted, the mean number of devices that got\n"
        "the release, and the mean number of windows waited. The naive rule halts wherever a\n"
        "stage is below the minimum success rate.",
        example="tinybudget rollout simulate --fleet 100 --rates 1,10 --table",
    )
    _add_file(parser)
    parser.add_argument(
        "--fleet",
        type=_count(_MOST_DEVICES),
        action="append",
        metavar="N",
        help="devices of the fleet, may be given again (default: the declared fleets)",
    )
    parser.add_argument(
        "--rates",
        type=_percentages,
        default=_percentages(_RATES),
        metavar="P,P,...",
        help=f"true failure rates in percent (default: {_RATES})",
    )
    parser.add_argument(
        "--runs",
        type=_count(_MOST_RUNS),
        default=_RUNS,
        metavar="N",
        help=f"rollouts simulated for each cell (default: {_RUNS:,})",
    )
    parser.add_argument(
        "--seed", type=_count(2**31), default=8, metavar="N", help="of the random numbers"
    )
    parser.add_argument("--table", action="store_true", help="print Markdown tables")
    parser.set_defaults(run=simulate)


def _add_plan(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "plan",
        "show each stage's devices, and from how many failures it holds or halts",
        example="tinybudget rollout plan --devices 5000",
    )
    _add_file(parser)
    _add_devices(parser)
    parser.set_defaults(run=plan)


def _add_hawkbit(engines: Subparsers) -> None:
    parser = add_command(
        engines,
        "hawkbit",
        "the body of hawkBit's POST /rest/v1/rollouts",
        details="A group a stage; percentages are of the devices that remain. hawkBit pauses, it\n"
        "does not roll back: that is a rollout of the distribution set before.",
        example="tinybudget rollout export hawkbit --devices 5000 --name kws-2 "
        "--filter 'name==kws-*' --distribution-set 6 -o rollout.json",
    )
    _add_file(parser)
    _add_devices(parser)
    parser.add_argument("--name", required=True, help="name of the rollout")
    parser.add_argument("--filter", required=True, metavar="RSQL", help="which targets")
    parser.add_argument(
        "--distribution-set", required=True, type=_count(2**63 - 1), metavar="ID", help="what"
    )
    _add_output(parser)
    parser.set_defaults(run=export_hawkbit)


def _add_aws_iot(engines: Subparsers) -> None:
    parser = add_command(
        engines,
        "aws-iot",
        "the inputs of AWS IoT's CreateJob, one for each stage",
        details="A job a stage, for a static thing group that you make: GROUP-stage-1 and so on,\n"
        "each with the devices that the stage adds. Create a job when the one before goes on.",
        example="tinybudget rollout export aws-iot --devices 5000 --job-id kws-2 "
        "--group-arn arn:aws:iot:eu-west-1:123456789012:thinggroup/kws "
        "--document job.json -o jobs.json",
    )
    _add_file(parser)
    _add_devices(parser)
    parser.add_argument("--job-id", required=True, metavar="ID", help="-stage-1 is appended")
    parser.add_argument(
        "--group-arn", required=True, metavar="ARN", help="thing group, -stage-1 is appended"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--document", type=Path, metavar="FILE", help="job document, JSON")
    source.add_argument("--document-source", metavar="URL", help="S3 address of the job document")
    parser.add_argument(
        "--per-minute", type=_count(1000), metavar="N", help="devices told in a minute at most"
    )
    _add_output(parser)
    parser.set_defaults(run=export_aws_iot)


def simulate(arguments: argparse.Namespace) -> int:
    """Print what the policy and the naive rule come to.

    Raises:
        TinybudgetError: the declaration is wrong.
    """
    settings = declared_rollout(arguments.file)
    for fleet_devices in arguments.fleet or settings.fleets:
        with waiting(f"simulating rollouts on {fleet_devices:,} devices"):
            rows = list(_rows(settings.policy, fleet_devices, arguments))
        worst = 0.0
        cells = [["rule", *(f"{rate:g} % fail" for rate in arguments.rates)]]
        for rule, outcomes in rows:
            cells.append([rule, *map(_cell, outcomes)])
            for outcome in outcomes:
                low, high = outcome.halted_range_percent
                worst = max(worst, high - outcome.halted_percent, outcome.halted_percent - low)
        error = f"within {math.ceil(10 * worst) / 10:g} points (99.9 %)"
        print(
            f"{fleet_devices:,} devices, {arguments.runs:,} rollouts a cell: share halted, {error} "
            "/ mean devices exposed / mean windows\n"
        )
        print("\n".join(_markdown(cells) if arguments.table else _aligned(cells)) + "\n")
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Print the stages.

    Raises:
        TinybudgetError: the declaration is wrong.
    """
    from pytest_tinybudget.rollout.decision import halting_failures

    policy = declared_rollout(arguments.file).policy
    cells = [["stage", "devices", "new", "holds from", "halts from"]]
    before = 0
    for number, devices in enumerate(policy.stage_devices(arguments.devices), 1):
        holds, halts = policy.tolerated_failures(devices) + 1, halting_failures(policy, devices)
        cells.append(
            [
                str(number),
                f"{devices:,}",
                f"{devices - before:,}",
                "-" if holds >= halts else _failures(holds),
                "-" if halts > devices else _failures(halts),
            ]
        )
        before = devices
    print("\n".join(_aligned(cells)))
    print(
        f"\nfailures of all stages together; a device silent for {policy.window_hours:g} h after "
        f"its update has failed; a halt {'rolls back' if policy.rollback else 'does not roll back'}"
    )
    return 0


def export_hawkbit(arguments: argparse.Namespace) -> int:
    """Write the rollout for hawkBit.

    Raises:
        TinybudgetError: the declaration is wrong, hawkBit cannot do it, or a file not written.
    """
    from pytest_tinybudget.rollout import hawkbit

    body = hawkbit.rollout(
        declared_rollout(arguments.file).policy,
        arguments.devices,
        name=arguments.name,
        target_filter=arguments.filter,
        distribution_set=arguments.distribution_set,
    )
    write_output(arguments.output, json.dumps(body, indent=2) + "\n")
    return 0


def export_aws_iot(arguments: argparse.Namespace) -> int:
    """Write the jobs for AWS IoT.

    Raises:
        TinybudgetError: the declaration is wrong, AWS IoT would not take it, or a file cannot be
            read or written.
    """
    from pytest_tinybudget.rollout import aws_iot

    jobs = aws_iot.jobs(
        declared_rollout(arguments.file).policy,
        arguments.devices,
        job_id=arguments.job_id,
        group_arn=arguments.group_arn,
        document="" if arguments.document is None else _job_document(arguments.document),
        document_source=arguments.document_source or "",
        per_minute=arguments.per_minute,
    )
    write_output(arguments.output, json.dumps(jobs, indent=2) + "\n")
    return 0


def _rows(
    policy: Policy, fleet_devices: int, arguments: argparse.Namespace
) -> Iterator[tuple[str, list[Outcome]]]:
    """Each rule with its outcomes: the naive one, the policy's, and the exact test."""
    from pytest_tinybudget.rollout import simulation

    exact = replace(policy, test="exact")
    rules = [("naive", policy, simulation.simulate_naive)]
    rules.extend((each.test, each, simulation.simulate) for each in dict.fromkeys((policy, exact)))
    for rule, each, function in rules:
        yield (
            rule,
            [
                function(each, fleet_devices, rate, arguments.runs, arguments.seed)
                for rate in arguments.rates
            ],
        )


def _cell(outcome: Outcome) -> str:
    exposed = f"{outcome.exposed_mean:,.0f}"
    return f"{outcome.halted_percent:.1f} % / {exposed} / {outcome.looks_mean:.1f}"


def _aligned(cells: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *padded))


def _markdown(cells: list[list[str]]) -> Iterator[str]:
    for index, row in enumerate(cells):
        yield f"| {' | '.join(row)} |"
        if index == 0:
            yield "|---" * len(row) + "|"


def _failures(count: int) -> str:
    return "1 failure" if count == 1 else f"{count:,} failures"


def _job_document(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except OSError as error:
        raise TinybudgetError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TinybudgetError(f"{path}: expected a job document in JSON: {error}") from None
    return text


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="declaration (default: tinybudget.toml)"
    )


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--devices",
        required=True,
        type=_count(_MOST_DEVICES),
        metavar="N",
        help="devices of the fleet",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", default="-", metavar="PATH", help="write it there (default: stdout)"
    )


def _count(most: int) -> Callable[[str], int]:
    """A parser of whole numbers from 1 to ``most``."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from 1 to {most:,}, got {text!r}"
            )
        return int(text)

    return parse


def _percentages(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 <= rate <= 100 for rate in rates):
        raise argparse.ArgumentTypeError(f"expected percentages such as 1,2,10, got {text!r}")
    return rates
