"""A fleet for the terminal: versions with bars, the rollout and its results, decisions, devices."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import bar
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.rollout.fleet.devices import Device
from pytest_tinybudget.rollout.fleet.rollouts import Counts
from pytest_tinybudget.rollout.fleet.rollouts import Rollout
from pytest_tinybudget.rollout.fleet.status import Decided
from pytest_tinybudget.rollout.fleet.status import Status
from pytest_tinybudget.rollout.fleet.updates import Verified


_UNKNOWN = "(unknown)"
_LEAST_BAR, _MOST_BAR, _OTHER_COLUMNS = 8, 40, 40
#: More versions, or devices with the wrong one, are counted and not named.
_MOST_ROWS = 20

_STATE_MARKUP = {"running": ("bold",), "halted": ("bold", "red"), "complete": ("bold", "green")}


def status_lines(status: Status, style: Style = PLAIN) -> list[Line]:
    """Every version with its share of the fleet, then the newest rollout."""
    of_state = f"{status.online:,} online, {status.offline:,} offline, {status.updating:,} updating"
    head = f"{_devices(status.devices)}: {of_state}"
    lines = [Line(text, ("bold",)) for text in wrapped(head, style)]
    if status.versions:
        lines += [Line(""), *_version_lines(status, style)]
    if status.rollout is not None and status.counts is not None:
        lines += [Line(""), *_rollout_lines(status.rollout, status.counts, style)]
    if status.last is not None:
        text = f"last decision: {status.last.action}: {status.last.reason}"
        lines += [Line(part) for part in wrapped(text, style, indent="    ", start="  ")]
    if status.next_command is not None:
        lines += [Line(""), Line(f"next: tinybudget fleet {status.next_command}")]
    return lines


def history_lines(decisions: Sequence[Decided], style: Style = PLAIN) -> list[Line]:
    """Each decision with its reason below, in the order given."""
    rows = [["when (UTC)", "rollout", "decision", "ok", "failed", "reach"]]
    rows += [
        [
            _when(each.at),
            str(each.rollout),
            f"{each.action}{', by hand' if each.by_hand else ''}",
            *(f"{number:,}" for number in (each.succeeded, each.failed, each.reach)),
        ]
        for each in decisions
    ]
    align: tuple[Align, ...] = ("left", "right", "left", "right", "right", "right")
    head, *shown = columns(rows, align, style, flexible=2, drop=(5, 4, 3))
    lines = [head]
    for row, each in zip(shown, decisions, strict=True):
        lines += [row, *wrapped(each.reason, style, indent="    ")]
    return [Line(text) for text in lines]


def device_lines(devices: Sequence[Device], style: Style = PLAIN) -> list[Line]:
    """A line for each device."""
    rows = [["device", "hardware", "version", "state", "last seen (UTC)"]]
    rows += [
        [
            each.id,
            each.hardware or "-",
            each.version or _UNKNOWN,
            each.state,
            "never" if each.seen is None else _when(each.seen),
        ]
        for each in devices
    ]
    return [Line(text) for text in columns(rows, ("left",) * 5, style, flexible=0, drop=(1, 4))]


def verified_lines(verified: Verified, style: Style = PLAIN) -> list[Line]:
    """How many devices run what they should, and the first that do not."""
    lines = [
        f"{_devices(verified.confirmed)} confirmed what {_they(verified.confirmed)} should run"
    ]
    if verified.untold:
        lines.append(
            f"{verified.untold:,} reported ok but no version: unconfirmed; "
            "tell it with: tinybudget fleet seen ID --version VERSION"
        )
    if verified.awaited:
        lines.append(f"{verified.awaited:,} handed out, no result yet")
    for device, expected, version in verified.others[:_MOST_ROWS]:
        lines.append(f"{device}: runs {version or _UNKNOWN}, expected {expected}")
    if len(verified.others) > _MOST_ROWS:
        lines.append(f"and {len(verified.others) - _MOST_ROWS:,} more run another version")
    outcome = "PASS" if verified.passed else "FAIL"
    markup = ("bold", "green" if verified.passed else "red")
    head = Line(f"{outcome}  {verified.rollout.name}", markup)
    return [head, *(Line(part) for text in lines for part in wrapped(text, style, indent="  "))]


def _version_lines(status: Status, style: Style) -> list[Line]:
    width = max(_LEAST_BAR, min(_MOST_BAR, style.width - _OTHER_COLUMNS))
    rows = [["version", "devices", "share", ""]]
    rows += [
        [version or _UNKNOWN, f"{devices:,}", _percent(devices, status.devices),
         bar(devices / status.devices, width, style)]
        for version, devices in status.versions[:_MOST_ROWS]
    ]  # fmt: skip
    lines = columns(rows, ("left", "right", "right", "left"), style, flexible=0, drop=(2,))
    if len(status.versions) > _MOST_ROWS:
        lines.append(f"and {len(status.versions) - _MOST_ROWS} more versions")
    return [Line(text) for text in lines]


def _rollout_lines(rollout: Rollout, counts: Counts, style: Style) -> list[Line]:
    reach = f"{rollout.reach:,} of {_devices(rollout.devices)}"
    stage = ""
    if rollout.undoes is None:
        number = sum(size < rollout.reach for size in rollout.stages) + 1
        stage = f", stage {number} of {len(rollout.stages)}"
    head = f"{rollout.name}: {rollout.state}{stage}, {reach} within reach"
    parts = {
        "ok": counts.succeeded,
        "failed": counts.failed,
        "silent": counts.silent,
        "updating": counts.updating,
        "waiting": counts.waiting,
        "offline": counts.offline,
        "there already": counts.there,
        "unanswered": counts.unanswered,
    }
    text = ", ".join(f"{number:,} {name}" for name, number in parts.items() if number)
    return [
        *(Line(part, _STATE_MARKUP[rollout.state]) for part in wrapped(head, style)),
        *(Line(part) for part in wrapped(text, style, indent="  ")),
    ]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count:,} devices"


def _they(count: int) -> str:
    return "it" if count == 1 else "they"


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
