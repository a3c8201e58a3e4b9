"""``tinybudget fleet``: devices, staged rollouts and their results, kept in one SQLite file."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import to_builtins
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_color_option
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import declared_rollout
from pytest_tinybudget.commands.options import told_as_json


if TYPE_CHECKING:
    from pytest_tinybudget.report.console import Color
    from pytest_tinybudget.report.console import Console
    from pytest_tinybudget.rollout.fleet.records import Record
    from pytest_tinybudget.rollout.fleet.rollouts import Rollout
    from pytest_tinybudget.rollout.fleet.store import Store
    from pytest_tinybudget.rollout.policy import Policy


_FILE = "fleet.sqlite"
_WAIT_S = 60.0
_MOST_LISTED = 50
#: Columns of ``fleet next``; ``report`` knows them and reads only device and rollout.
_NEXT_COLUMNS = ("rollout", "device", "hardware", "from", "to", "to_sha256")

_FROM_FILE = "CSV with a header or JSON lines; - for stdin"


def add_commands(subparsers: Subparsers) -> None:
    """Add ``fleet`` and its commands."""
    fleet = add_command(
        subparsers,
        "fleet",
        "update a fleet of devices in stages, and keep its state in a file",
        details="The state is one SQLite file. A command that is killed has done all of its work\n"
        "or none of it, and no device is given out twice, by however many processes. You\n"
        "bring the update to the devices: 'next' says which are due, 'report' takes the\n"
        "results.",
        example="tinybudget fleet register --from devices.csv --version 1.1.0\n"
        "tinybudget fleet start --version 1.2.0\n"
        "tinybudget fleet next > batch.csv      # update these, then:\n"
        "tinybudget fleet report --from results.csv\n"
        "tinybudget fleet advance               # on, hold, or halt",
    )
    commands = fleet.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_register(commands)
    _add_list(commands)
    _add_seen(commands)
    _add_start(commands)
    _add_next(commands)
    _add_report(commands)
    _add_advance(commands)
    _add_verify(commands)
    _add_halt(commands)
    _add_resume(commands)
    _add_rollback(commands)
    _add_status(commands)
    _add_history(commands)


# Parsers


def _add_register(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "register",
        "add devices, or tell what is new about known ones",
        details="Makes the file where there is none. A file has the columns device, hardware, "
        "version and\nsha256, of which only device is needed; all of it is taken, or nothing.\n"
        "A known device keeps the version that it has: tell another one with fleet seen.",
        example="tinybudget fleet register kitchen hall --hardware pico --version 1.1.0\n"
        "tinybudget fleet register --from devices.csv",
        run=_register,
    )
    _add_devices(parser)
    parser.add_argument("--hardware", metavar="NAME", help="of devices that name none")
    parser.add_argument("--version", metavar="VERSION", help="what they run, where none is named")


def _add_list(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "list",
        "list devices",
        details=f"The first {_MOST_LISTED} unless told otherwise; --json prints all, a line each.",
        example="tinybudget fleet list --state offline\n"
        "tinybudget fleet list --version 1.1.0 --json",
        run=_list,
    )
    parser.add_argument("--state", metavar="STATE", help="only online, offline or updating ones")
    parser.add_argument("--version", metavar="VERSION", help="only those that run it")
    parser.add_argument("-n", "--most", type=int, metavar="N", help="at most N devices")
    add_json_option(parser, "a JSON object a line")


def _add_seen(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "seen",
        "record that devices are online, and what they run",
        details="Offline devices are not given out; a device that is seen is online again.",
        example="tinybudget fleet seen kitchen --version 1.2.0\n"
        "tinybudget fleet seen hall --offline",
        run=_seen,
    )
    _add_devices(parser)
    parser.add_argument("--offline", action="store_true", help="they cannot be reached")
    parser.add_argument("--version", metavar="VERSION", help="what the devices said they run")
    parser.add_argument("--sha256", metavar="HEX", help="and the hash of it that they told")


def _add_start(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "start",
        "start to bring a version to all devices that do not run it",
        details="Devices come in the order of a hash of rollout and id, offline ones too: they\n"
        "are given out once they are seen. The policy is the declaration's [rollout];\n"
        "options come first.",
        example="tinybudget fleet start --version 1.2.0 --package build/kws-1.2.0.json\n"
        "tinybudget fleet start --version 1.2.0 --stages 1,10,50,100 --hardware pico",
        run=_start,
    )
    parser.add_argument("--version", metavar="VERSION", help="what devices are to run")
    package = parser.add_mutually_exclusive_group()
    package.add_argument("--sha256", metavar="HEX", help="the hash that devices must tell")
    package.add_argument(
        "--package",
        type=Path,
        metavar="FILE",
        help="take version and hash of a manifest (.json), or the hash of any other file",
    )
    parser.add_argument("--hardware", metavar="NAME", help="only devices of this hardware")
    policy = parser.add_argument_group("policy")
    policy.add_argument(
        "--declaration",
        type=Path,
        metavar="FILE",
        help="take [rollout] of this file (default: tinybudget.toml, if it exists)",
    )
    policy.add_argument("--stages", metavar="P,P,...", help="percentages of the devices, up to 100")
    policy.add_argument("--minimum-success", type=float, metavar="PERCENT")
    policy.add_argument("--minimum-devices", type=int, metavar="N", help="results a stage needs")
    policy.add_argument("--window-hours", type=float, metavar="H", help="silence that is a failure")
    policy.add_argument(
        "--no-rollback", action="store_true", help="a halt leaves devices as they are"
    )


def _add_next(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "next",
        "give out the devices that are to be updated now",
        details="Prints CSV: rollout, device, hardware, from, to, to_sha256. They are recorded "
        "as given\nout first, and no other process gets them. After a crash, --again prints "
        "those without a\nresult once more: ask such a device what it runs before it is updated.",
        example="tinybudget fleet next -n 100 --worker gateway-1 > batch.csv\n"
        "tinybudget fleet next --again --worker gateway-1",
        run=_next,
    )
    parser.add_argument("-n", "--most", type=int, metavar="N", help="at most N devices")
    parser.add_argument("--worker", metavar="NAME", help="who gets them")
    parser.add_argument("--again", action="store_true", help="those given out, without a result")
    add_json_option(parser, "a JSON object a line")


def _add_report(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "report",
        "take the results of devices that were given out",
        details="A result is ok or failed. Repeating a result changes nothing; a contradicting\n"
        "one is refused. A file has the columns device, result, version, sha256, detail\n"
        "and rollout. A device that reports ok with a wrong version has failed.",
        example="tinybudget fleet report kitchen ok --version 1.2.0\n"
        "tinybudget fleet report --from results.csv",
        run=_report,
    )
    parser.add_argument("device", nargs="?", metavar="ID", help="a device")
    parser.add_argument("result", nargs="?", metavar="ok|failed", help="its result")
    parser.add_argument("--from", dest="source", metavar="FILE", help=_FROM_FILE)
    parser.add_argument("--version", metavar="VERSION", help="what the device says it runs")
    parser.add_argument("--sha256", metavar="HEX", help="and the hash of it that it tells")
    parser.add_argument("--detail", metavar="TEXT", help="why it failed")


def _add_advance(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "advance",
        "decide by the policy: on to the next stage, hold, or halt",
        details="Call it as often as you like, from cron for example. Exit code 1 says that the "
        "rollout was\nhalted, or ended below the minimum success rate.",
        example="tinybudget fleet advance",
        run=_advance,
    )
    add_json_option(parser)


def _add_verify(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "verify",
        "check that updated devices report the version that they should run",
        details="Exit code 1: a device runs another version, or reported ok without a version.",
        example="tinybudget fleet verify",
        run=_verify,
    )
    add_json_option(parser)


def _add_halt(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "halt",
        "give out no more devices",
        details="Results of devices that are out still count.",
        example='tinybudget fleet halt --reason "battery drain in the field"',
        run=_halt,
    )
    parser.add_argument("--reason", default="by hand", metavar="TEXT", help="for the history")


def _add_resume(commands: Subparsers) -> None:
    _command(
        commands,
        "resume",
        "let a halted rollout go on",
        details="Where the policy halted it, the failures so far are accepted: only results from "
        "now on\ndecide.",
        example="tinybudget fleet resume",
        run=_resume,
    )


def _add_rollback(commands: Subparsers) -> None:
    _command(
        commands,
        "rollback",
        "bring devices back to what they ran before the newest rollout",
        details="A rollback is an operation like a rollout, of one stage: next, report, verify "
        "and\nadvance work the same. Once it has ended, rollback again tries those that failed.",
        example="tinybudget fleet rollback\ntinybudget fleet next",
        run=_rollback,
    )


def _add_status(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "status",
        "show versions with their shares, and how the rollout goes",
        example="tinybudget fleet status\ntinybudget fleet status --json",
        run=_status,
    )
    add_json_option(parser)
    add_color_option(parser)


def _add_history(commands: Subparsers) -> None:
    parser = _command(
        commands,
        "history",
        "show the decisions, with what they saw",
        example="tinybudget fleet history",
        run=_history,
    )
    parser.add_argument("-n", "--most", type=int, metavar="N", help="the newest N decisions")
    add_json_option(parser, "a JSON object a line")


def _command(
    commands: Subparsers,
    name: str,
    summary: str,
    *,
    details: str = "",
    example: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = add_command(commands, name, summary, details=details, example=example)
    parser.add_argument(
        "--db",
        type=Path,
        default=Path(_FILE),
        metavar="FILE",
        help=f"the fleet's file (default: {_FILE})",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=_WAIT_S,
        metavar="S",
        help=f"seconds to wait for another process (default: {_WAIT_S:g})",
    )
    parser.set_defaults(run=partial(_run, run))
    return parser


def _run(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; that the rollout is halted is no wrong input, and its exit code is 1."""
    from pytest_tinybudget.rollout.fleet.rollouts import HaltedError

    try:
        return run(arguments)
    except HaltedError as error:
        print(f"tinybudget: {error}", file=sys.stderr)
        return 1


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("devices", nargs="*", metavar="ID", help="devices")
    parser.add_argument("--from", dest="source", metavar="FILE", help=_FROM_FILE)


# Commands


def _register(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.devices import DEVICE_COLUMNS
    from pytest_tinybudget.rollout.fleet.devices import register

    devices = _named_devices(arguments, DEVICE_COLUMNS)
    with _opened(arguments, create=True) as store:
        new, known = register(
            store,
            devices,
            hardware=_checked("hardware", arguments.hardware),
            version=_checked("version", arguments.version),
        )
    print(f"{_devices(new)} registered, {known:,} known before")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.base.suggest import unknown
    from pytest_tinybudget.report.fleet import device_lines
    from pytest_tinybudget.rollout.fleet.devices import STATES
    from pytest_tinybudget.rollout.fleet.devices import listed

    if arguments.state not in (None, *STATES):
        error = unknown("state", arguments.state, STATES)
        raise TinybudgetError(f"--state: {error.message}; expected {', '.join(STATES)}")
    most = None if arguments.most is None else _most(arguments)
    with _opened(arguments) as store:
        if arguments.json:
            found = listed(store, state=arguments.state, version=arguments.version)
            if _told_as_json_lines(arguments, map(to_builtins, islice(found, most))):
                return 0
        found = listed(store, state=arguments.state, version=arguments.version)
        shown = list(islice(found, most or _MOST_LISTED))
        more = next(found, None) is not None
    console = _console()
    console.print(device_lines(shown, console.style))
    if more:
        print(f"and more; -n N or --json shows them ({len(shown)} are shown)")
    return 0


def _seen(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.devices import SEEN_COLUMNS
    from pytest_tinybudget.rollout.fleet.devices import seen

    devices = _named_devices(arguments, SEEN_COLUMNS)
    with _opened(arguments) as store:
        count = seen(store, devices, online=not arguments.offline)
    print(f"{_devices(count)} {'offline' if arguments.offline else 'seen'}")
    return 0


def _start(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.rollouts import start

    version, sha256 = _image(arguments)
    policy = _policy(arguments)
    with _opened(arguments) as store:
        rollout = start(store, version, policy, sha256=sha256, hardware=arguments.hardware)
    stages = ", ".join(f"{size:,}" for size in rollout.stages)
    print(f"{rollout.name} started: {_devices(rollout.devices)}, in stages up to {stages}")
    print("next: tinybudget fleet next")
    return 0


def _next(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.updates import claim
    from pytest_tinybudget.rollout.fleet.updates import claimed

    with _opened(arguments) as store:
        if arguments.again:
            updates = claimed(store, worker=arguments.worker)
        else:
            most = None if arguments.most is None else _most(arguments)
            updates = claim(store, most=most, worker=arguments.worker or "")
        if arguments.json == "-":
            _told_as_json_lines(arguments, map(_next_record, updates))
            return 0
        rows = list(updates) if arguments.json else updates
        if arguments.json:
            _told_as_json_lines(arguments, map(_next_record, rows))
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_NEXT_COLUMNS)
        writer.writerows(rows)
    return 0


def _next_record(update: tuple[object, ...]) -> dict[str, object]:
    return dict(zip(_NEXT_COLUMNS, update, strict=True))


def _report(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.updates import report

    with _opened(arguments) as store:
        reported = report(store, _results(arguments))
    if reported.refused:
        kept = f"; {_results_of(reported.new)} recorded" if reported.new else ""
        more = reported.refused - len(reported.reasons)
        raise TinybudgetError(
            f"{_results_of(reported.refused)} refused{kept}: {reported.reasons[0]}",
            details=(*reported.reasons[1:], *((f"and {more:,} more",) if more else ())),
        )
    again = f", {reported.known:,} known before" if reported.known else ""
    print(f"{_results_of(reported.new)} recorded{again}")
    return 0


def _advance(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.rollouts import advance

    with _opened(arguments) as store:
        step = advance(store)
    rolls_back = step.action == "halt" and step.rollout.undoes is not None
    record = {"action": step.action, "reason": step.reason, "rollout": _record(step.rollout)}
    if not _told_as_json(arguments, record):
        print(f"{step.action}: {step.reason}")
        if rolls_back:
            print(f"{_devices(step.rollout.devices)} go back: tinybudget fleet next")
        elif step.action in ("continue", "hold"):
            reach, devices = step.rollout.reach, step.rollout.devices
            print(f"{reach:,} of {_devices(devices)} within reach: tinybudget fleet next")
    ended = step.action in ("halt", "complete")
    return 1 if ended and not step.acceptable else 0


def _verify(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.report.fleet import verified_lines
    from pytest_tinybudget.rollout.fleet.updates import verify

    with _opened(arguments) as store:
        verified = verify(store)
    names = ("device", "expected", "runs")
    record = {
        "passed": verified.passed,
        "rollout": verified.rollout.number,
        "confirmed": verified.confirmed,
        "unconfirmed": verified.untold,
        "awaited": verified.awaited,
        "others": [dict(zip(names, other, strict=True)) for other in verified.others],
    }
    if not _told_as_json(arguments, record):
        console = _console()
        console.print(verified_lines(verified, console.style))
    return 0 if verified.passed else 1


def _halt(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.rollouts import halt

    with _opened(arguments) as store:
        rollout = halt(store, arguments.reason)
    print(f"{rollout.name} halted; go on with: tinybudget fleet resume, or fleet rollback")
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.rollouts import resume

    with _opened(arguments) as store:
        rollout = resume(store)
    print(f"{rollout.name} goes on: tinybudget fleet next, then fleet advance")
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.rollout.fleet.rollouts import rollback

    with _opened(arguments) as store:
        rollout = rollback(store)
    print(f"{rollout.name} started: {_devices(rollout.devices)} go back: tinybudget fleet next")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.report.fleet import status_lines
    from pytest_tinybudget.rollout.fleet.status import status

    with _opened(arguments) as store:
        now = status(store)
    record = {
        "devices": now.devices,
        "online": now.online,
        "offline": now.offline,
        "updating": now.updating,
        "versions": [{"version": name, "devices": count} for name, count in now.versions],
        "rollout": now.rollout and _record(now.rollout),
        "counts": now.counts and to_builtins(now.counts),
        "last_decision": now.last and to_builtins(now.last),
    }
    if not _told_as_json(arguments, record):
        console = _console(arguments.color)
        console.print(status_lines(now, console.style))
    return 0


def _history(arguments: argparse.Namespace) -> int:
    from pytest_tinybudget.report.fleet import history_lines
    from pytest_tinybudget.rollout.fleet.status import decided

    with _opened(arguments) as store:
        decisions = list(decided(store.connection, most=_most(arguments)))[::-1]
    if arguments.json and _told_as_json_lines(arguments, map(to_builtins, decisions)):
        return 0
    console = _console()
    console.print(history_lines(decisions, console.style))
    return 0


# What commands share


def _opened(
    arguments: argparse.Namespace, *, create: bool = False
) -> AbstractContextManager[Store]:
    from pytest_tinybudget.rollout.fleet.store import opened

    if not 0 <= arguments.wait <= 86400:
        raise TinybudgetError(f"--wait: expected 0 to 86400 seconds, got {arguments.wait:g}")
    return opened(arguments.db, time.time, create=create, wait_s=arguments.wait)


def _named_devices(arguments: argparse.Namespace, columns: tuple[str, ...]) -> Iterator[Record]:
    """The devices that arguments name, or those of ``--from``."""
    from pytest_tinybudget.rollout.fleet.records import Record
    from pytest_tinybudget.rollout.fleet.records import checked
    from pytest_tinybudget.rollout.fleet.records import records

    if bool(arguments.devices) == (arguments.source is not None):
        raise TinybudgetError("name devices, or a file of them with --from FILE (- for stdin)")
    if arguments.source is not None:
        return records(arguments.source, columns)
    version = _checked("version", arguments.version)
    sha256 = _checked("sha256", getattr(arguments, "sha256", None))
    return (
        Record(number, checked("device", device), version=version, sha256=sha256)
        for number, device in enumerate(arguments.devices, 1)
    )


def _results(arguments: argparse.Namespace) -> Iterable[Record]:
    """The one result that arguments give, or those of ``--from``."""
    from pytest_tinybudget.rollout.fleet.records import Record
    from pytest_tinybudget.rollout.fleet.records import checked
    from pytest_tinybudget.rollout.fleet.records import records
    from pytest_tinybudget.rollout.fleet.updates import REPORT_COLUMNS

    given = (arguments.device is not None, arguments.result is not None)
    if arguments.source is not None and given == (False, False):
        return records(arguments.source, REPORT_COLUMNS)
    if arguments.source is not None or given != (True, True):
        raise TinybudgetError(
            "give a device and its result (ok or failed), or a file of them with --from FILE"
        )
    told = {
        name: _checked(name, getattr(arguments, name)) for name in ("version", "sha256", "detail")
    }
    return [Record(0, checked("device", arguments.device), result=arguments.result, **told)]


def _image(arguments: argparse.Namespace) -> tuple[str, str]:
    """Version and hash that a rollout brings; the hash is ``""`` where none is given."""
    version, sha256 = _checked("version", arguments.version), arguments.sha256
    package = arguments.package
    if package is not None and package.suffix == ".json":
        from pytest_tinybudget.update.manifest import load_manifest

        manifest = load_manifest(package)
        if version not in ("", manifest.version):
            raise TinybudgetError(f"{package}: is version {manifest.version}, not {version}")
        version, sha256 = manifest.version, manifest.image.sha256
    elif package is not None:
        sha256 = _file_hash(package)
    if not version:
        raise TinybudgetError("no version; give --version, or the manifest of a package: --package")
    return version, _checked("sha256", sha256)


def _file_hash(path: Path) -> str:
    import hashlib

    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TinybudgetError(f"{path}: cannot be read: {error.strerror}") from error


def _policy(arguments: argparse.Namespace) -> Policy:
    """The policy of the declaration, or the default one, with what options change."""
    changes = {
        "stages": arguments.stages and _stages(arguments.stages),
        "minimum_success_percent": arguments.minimum_success,
        "minimum_devices": arguments.minimum_devices,
        "window_hours": arguments.window_hours,
        "rollback": False if arguments.no_rollback else None,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(declared_rollout(arguments.declaration).policy, **given)


def _stages(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise TinybudgetError(f"--stages {text!r}: expected percentages such as 1,10,100") from None


def _checked(column: str, value: str | None) -> str:
    """The option's value, ``""`` where it is not given."""
    from pytest_tinybudget.rollout.fleet.records import checked

    return "" if value is None else checked(column, value)


def _most(arguments: argparse.Namespace) -> int:
    """``-n``; -1 is all."""
    if arguments.most is None:
        return -1
    if arguments.most < 1:
        raise TinybudgetError(f"-n: expected a number above 0, got {arguments.most}")
    return int(arguments.most)


def _record(rollout: Rollout) -> dict[str, object]:
    return {**to_builtins(rollout), "stages": rollout.stages}


def _console(color: Color = "auto") -> Console:
    from pytest_tinybudget.report.console import Console

    return Console(sys.stdout, color)


def _told_as_json(arguments: argparse.Namespace, value: object) -> bool:
    """Write ``value`` where ``--json`` says, if it is given; whether it is all that is printed."""
    if not arguments.json:
        return False
    return told_as_json(arguments, json.dumps(value, indent=2) + "\n")


def _told_as_json_lines(arguments: argparse.Namespace, values: Iterable[object]) -> bool:
    """Write a line for each of ``values`` where ``--json`` says; whether stdout got them."""
    lines = (f"{json.dumps(value)}\n" for value in values)
    if arguments.json != "-":
        return told_as_json(arguments, "".join(lines))
    sys.stdout.writelines(lines)
    return True


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count:,} devices"


def _results_of(count: int) -> str:
    return "1 result" if count == 1 else f"{count:,} results"
