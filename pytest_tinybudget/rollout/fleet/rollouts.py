"""Rollouts of a fleet: starts them, advances them as the policy decides, halts and undoes them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.rollout.decision import Decision
from pytest_tinybudget.rollout.decision import decide
from pytest_tinybudget.rollout.fleet.devices import image_number
from pytest_tinybudget.rollout.fleet.store import Store
from pytest_tinybudget.rollout.policy import Policy


Action = Literal["start", "continue", "hold", "halt", "resume", "rollback", "complete"]
State = Literal["running", "halted", "complete"]


class HaltedError(TinybudgetError):
    """The rollout is halted. It continues only by ``resume`` or ``rollback``."""


class Rollout(Struct, frozen=True):
    """An update of the fleet to ``version``, or a rollback that ``undoes`` one.

    ``reach`` is how many of its ``devices`` may have the update so far. ``version`` and ``sha256``
    are ``None`` for a rollback, which returns each device to its own previous version. The accepted
    results are those before a resume: the test does not count them again.
    """

    number: int
    undoes: int | None
    version: str | None
    sha256: str | None
    hardware: str | None
    policy: Policy
    devices: int
    reach: int
    state: State
    accepted_succeeded: int
    accepted_failed: int
    started: int

    @property
    def name(self) -> str:
        """The rollout's name in messages."""
        if self.undoes is not None:
            return f"rollback {self.number} (of rollout {self.undoes})"
        return f"rollout {self.number} ({self.version})"

    @property
    def stages(self) -> tuple[int, ...]:
        """The number of devices that have the update after each stage."""
        return (self.devices,) if self.undoes else self.policy.stage_devices(self.devices)


class Counts(Struct, frozen=True):
    """The number of devices within a rollout's reach by state. Each device has one state.

    ``waiting`` devices can be handed out, ``offline`` ones cannot. ``there`` got the version
    another way. ``updating`` and ``silent`` ones are handed out, the silent for longer than the
    policy's window. ``unanswered`` ones were handed out when another rollout began.
    """

    waiting: int
    offline: int
    there: int
    updating: int
    silent: int
    succeeded: int
    failed: int
    unanswered: int

    @property
    def open(self) -> int:
        """The number of devices whose result is awaited."""
        return self.waiting + self.updating


class Step(Struct, frozen=True):
    """A decision, and ``rollout`` as it is after the decision.

    ``acceptable`` is true where the success rate is at least the policy's minimum.
    """

    rollout: Rollout
    action: Action
    reason: str
    acceptable: bool = True


def latest(connection: sqlite3.Connection) -> Rollout | None:
    """The newest rollout, which is the only one that can continue; ``None`` before the first."""
    row = connection.execute(
        """SELECT rollouts.number, undoes, version, NULLIF(sha256, ''), hardware, policy, devices,
            reach, state, accepted_succeeded, accepted_failed, started
        FROM rollouts LEFT JOIN images ON images.number = image
        ORDER BY rollouts.number DESC LIMIT 1"""
    ).fetchone()
    if row is None:
        return None
    number, undoes, version, sha256, hardware, policy, *rest = row
    return Rollout(number, undoes, version, sha256, hardware, _policy(policy), *rest)


def newest(connection: sqlite3.Connection) -> Rollout:
    """The newest rollout.

    Raises:
        TinybudgetError: there is none.
    """
    rollout = latest(connection)
    if rollout is None:
        raise TinybudgetError("no rollout yet; start one: tinybudget fleet start --version VERSION")
    return rollout


def start(
    store: Store, version: str, policy: Policy, *, sha256: str = "", hardware: str | None = None
) -> Rollout:
    """Start to update every device that does not run ``version``, of ``hardware`` where given.

    Devices are ordered by a hash of the rollout and their id. That order is fair, and the same on
    every computer.

    Raises:
        TinybudgetError: another rollout is running, or no device needs the version.
    """
    connection = store.connection
    connection.create_function("place", 1, _place, deterministic=True)
    with store.writing():
        _refuse_while_running(latest(connection))
        _close_claims(store)
        image = image_number(connection, version, sha256)
        number = _next_number(connection)
        connection.execute(
            """CREATE TEMP TABLE members AS
            SELECT ROW_NUMBER() OVER (ORDER BY place(:seed || id), id) AS rank, number AS device
            FROM main.devices
            WHERE (:hardware IS NULL OR hardware = :hardware) AND NOT EXISTS (
                SELECT 1 FROM same_images
                WHERE same_images.image = devices.image AND target = :image)""",
            {"seed": f"{number}:{version}:", "hardware": hardware, "image": image},
        )
        (devices,) = connection.execute("SELECT COUNT(*) FROM members").fetchone()
        if not devices:
            raise _nobody(connection, version, hardware)
        reach = policy.stage_devices(devices)[0]
        _insert_rollout(store, policy, devices, reach, image=image, hardware=hardware)
        connection.execute(
            """INSERT INTO updates (rollout, rank, device, target)
            SELECT ?, rank, device, ? FROM members ORDER BY rank""",
            (number, image),
        )
        connection.execute("DROP TABLE members")
        rollout = newest(connection)
        _record(store, rollout, "start", f"{devices:,} devices are not on {version}", by_hand=True)
    return rollout


def advance(store: Store) -> Step:
    """Decide by the policy whether the newest rollout continues, and act on it.

    A halt starts the rollback where the policy says so.

    Raises:
        TinybudgetError: it is not running.
    """
    with store.writing() as connection:
        rollout = newest(connection)
        if rollout.state != "running":
            raise not_running(rollout)
        counts = counted(store, rollout)
        if rollout.undoes is not None:
            return _advance_rollback(store, rollout, counts)
        succeeded = max(0, counts.succeeded - rollout.accepted_succeeded)
        failed = max(0, counts.failed + counts.silent - rollout.accepted_failed)
        devices = succeeded + failed + counts.open
        acceptable = failed <= rollout.policy.tolerated_failures(devices)
        decision = _decision(rollout.policy, counts, succeeded, failed)
        if decision.action == "halt":
            return Step(_halt(store, rollout, decision.reason), "halt", decision.reason, False)
        action: Action = decision.action
        reach = _next_reach(rollout, decision)
        if reach == rollout.reach == rollout.devices and not counts.open:
            action = "complete"
            connection.execute(
                "UPDATE rollouts SET state = 'complete' WHERE number = ?", (rollout.number,)
            )
        connection.execute(
            "UPDATE rollouts SET reach = ? WHERE number = ?", (reach, rollout.number)
        )
        reason = decision.reason
        if counts.offline and action == "complete":
            reason += f"; {counts.offline:,} offline were left out"
        _record(store, rollout, action, reason)
        return Step(newest(connection), action, reason, acceptable)


def halt(store: Store, reason: str) -> Rollout:
    """Hand out no more devices. Results of those that are handed out still count.

    Raises:
        TinybudgetError: nothing is running.
    """
    with store.writing() as connection:
        rollout = newest(connection)
        if rollout.state != "running":
            raise not_running(rollout)
        _set_state(connection, rollout, "halted")
        _record(store, rollout, "halt", reason, by_hand=True)
        return newest(connection)


def resume(store: Store) -> Rollout:
    """Continue a halted rollout. Where the policy halted it, the test ignores results so far.

    Raises:
        TinybudgetError: the newest rollout is not halted.
    """
    with store.writing() as connection:
        rollout = newest(connection)
        if rollout.state != "halted":
            raise TinybudgetError(f"{rollout.name} is {rollout.state}, not halted")
        (by_hand,) = connection.execute(
            """SELECT by_hand FROM decisions WHERE rollout = ? AND action = 'halt'
            ORDER BY number DESC LIMIT 1""",
            (rollout.number,),
        ).fetchone()
        reason = "halted by hand before"
        if not by_hand:
            counts = counted(store, rollout)
            failed = counts.failed + counts.silent
            connection.execute(
                "UPDATE rollouts SET accepted_succeeded = ?, accepted_failed = ? WHERE number = ?",
                (counts.succeeded, failed, rollout.number),
            )
            reason = f"{failed:,} failures so far are accepted by hand"
        _set_state(connection, rollout, "running")
        _record(store, rollout, "resume", reason, by_hand=True)
        return newest(connection)


def rollback(store: Store) -> Rollout:
    """Start to return devices to what they ran before the newest update.

    That concerns every device with a known previous version that has the new one, or may have it
    because its result is missing. After a rollback has ended, another one concerns the devices that
    the first did not return.

    Raises:
        TinybudgetError: A rollback is running, or there is no device to return.
    """
    with store.writing() as connection:
        rollout = newest(connection)
        if rollout.undoes is not None:
            _refuse_while_running(rollout)
        elif rollout.state == "running":
            _set_state(connection, rollout, "halted")
            _record(store, rollout, "halt", "to roll back", by_hand=True)
        undone = rollout.undoes or rollout.number
        if not _begin_rollback(store, undone, rollout.policy, by_hand=True):
            raise TinybudgetError(f"no device has the version of rollout {undone}: none to go back")
        return newest(connection)


def counted(store: Store, rollout: Rollout) -> Counts:
    """The number of devices within reach of ``rollout``, by state."""
    waiting, offline, there = store.connection.execute(
        """SELECT
            COUNT(*) FILTER (WHERE online AND NOT there),
            COUNT(*) FILTER (WHERE NOT online AND NOT there),
            COUNT(*) FILTER (WHERE there)
        FROM waiting_devices WHERE rollout = ? AND rank <= ?""",
        (rollout.number, rollout.reach),
    ).fetchone()
    return Counts(waiting, offline, there, *_handed_out(store, rollout))


def _handed_out(store: Store, rollout: Rollout) -> tuple[int, int, int, int, int]:
    """Numbers of devices that update, are silent, succeeded, failed, and are unanswered."""
    silent_since = store.seconds() - int(rollout.policy.window_hours * 3600)
    counts: tuple[int, int, int, int, int] = store.connection.execute(
        """SELECT
            COUNT(*) FILTER (WHERE state = 'claimed' AND claimed > :since),
            COUNT(*) FILTER (WHERE state = 'claimed' AND claimed <= :since),
            COUNT(*) FILTER (WHERE state = 'ok'),
            COUNT(*) FILTER (WHERE state = 'failed'),
            COUNT(*) FILTER (WHERE state = 'unanswered')
        FROM updates WHERE rollout = :rollout AND rank <= :reach""",
        {"since": silent_since, "rollout": rollout.number, "reach": rollout.reach},
    ).fetchone()
    return counts


def _decision(policy: Policy, counts: Counts, succeeded: int, failed: int) -> Decision:
    devices = succeeded + failed + counts.open
    if devices:
        return decide(policy, succeeded, failed, devices)
    if counts.offline:
        reason = f"the {counts.offline:,} devices of the stage are offline"
        return Decision("hold", reason, policy.minimum_devices)
    return Decision("continue", "no device of the stage is left to judge")


def _next_reach(rollout: Rollout, decision: Decision) -> int:
    if decision.action == "continue":
        return next((size for size in rollout.stages if size > rollout.reach), rollout.devices)
    return min(rollout.reach + decision.more_devices, rollout.devices)


def _advance_rollback(store: Store, rollout: Rollout, counts: Counts) -> Step:
    """Advance a rollback. It has no stages and is complete when no result is awaited."""
    failed = counts.failed + counts.silent
    reason = f"{counts.succeeded:,} of {rollout.devices:,} devices are back, {failed:,} failed"
    if counts.offline:
        reason += f", {counts.offline:,} are offline"
    action: Action = "hold" if counts.open else "complete"
    if action == "complete":
        _set_state(store.connection, rollout, "complete")
    else:
        reason = f"waiting for {counts.open:,}; {reason}"
    _record(store, rollout, action, reason)
    return Step(newest(store.connection), action, reason, not failed)


def _halt(store: Store, rollout: Rollout, reason: str) -> Rollout:
    _set_state(store.connection, rollout, "halted")
    _record(store, rollout, "halt", reason)
    if rollout.policy.rollback:
        _begin_rollback(store, rollout.number, rollout.policy, by_hand=False)
    return newest(store.connection)


def _begin_rollback(store: Store, undone: int, policy: Policy, *, by_hand: bool) -> int:
    """Add a rollback of the rollout ``undone``. Returns its number of devices."""
    connection = store.connection
    connection.execute(
        """CREATE TEMP TABLE members AS
        SELECT ROW_NUMBER() OVER (ORDER BY rank) AS rank, device, previous
        FROM main.updates JOIN devices ON devices.number = device
        WHERE rollout = :undone AND previous IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM same_images
                WHERE image = previous AND same_images.target = updates.target)
            AND (state IN ('claimed', 'unanswered') OR state IN ('ok', 'failed') AND EXISTS (
                SELECT 1 FROM same_images WHERE same_images.image = devices.image
                AND same_images.target = updates.target))
            AND NOT EXISTS (
                SELECT 1 FROM main.updates AS back JOIN rollouts ON number = back.rollout
                WHERE undoes = :undone AND back.device = updates.device AND back.state = 'ok')""",
        {"undone": undone},
    )
    _close_claims(store)
    (devices,) = connection.execute("SELECT COUNT(*) FROM members").fetchone()
    if devices:
        number = _insert_rollout(store, policy, devices, devices, undoes=undone)
        connection.execute(
            """INSERT INTO updates (rollout, rank, device, target)
            SELECT ?, rank, device, previous FROM members ORDER BY rank""",
            (number,),
        )
        reason = f"{devices:,} devices go back to what they ran before rollout {undone}"
        _record(store, newest(connection), "rollback", reason, by_hand=by_hand)
    connection.execute("DROP TABLE members")
    return int(devices)


def _insert_rollout(
    store: Store,
    policy: Policy,
    devices: int,
    reach: int,
    *,
    undoes: int | None = None,
    image: int | None = None,
    hardware: str | None = None,
) -> int:
    number = _next_number(store.connection)
    store.connection.execute(
        """INSERT INTO rollouts
            (number, undoes, image, hardware, policy, devices, reach, state, started)
        VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?)""",
        (
            *(number, undoes, image, hardware),
            *(json.dumps(asdict(policy)), devices, reach, store.seconds()),
        ),
    )
    return number


def _close_claims(store: Store) -> None:
    """Stop waiting for results of the rollout before, because another one begins."""
    store.connection.execute(
        "UPDATE updates SET state = 'unanswered', finished = ? WHERE state = 'claimed'",
        (store.seconds(),),
    )


def _record(
    store: Store, rollout: Rollout, action: Action, reason: str, *, by_hand: bool = False
) -> None:
    """Note a decision, unless it repeats the last one, as holds often do."""
    _, silent, succeeded, failed, _ = _handed_out(store, rollout)
    (reach,) = store.connection.execute(
        "SELECT reach FROM rollouts WHERE number = ?", (rollout.number,)
    ).fetchone()
    row = (rollout.number, action, by_hand, reason, succeeded, failed + silent, reach)
    last = store.connection.execute(
        """SELECT rollout, action, by_hand, reason, succeeded, failed, reach FROM decisions
        ORDER BY number DESC LIMIT 1"""
    ).fetchone()
    if row != last:
        store.connection.execute(
            """INSERT INTO decisions
                (rollout, action, by_hand, reason, succeeded, failed, reach, at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (*row, store.seconds()),
        )


def _set_state(connection: sqlite3.Connection, rollout: Rollout, state: State) -> None:
    connection.execute("UPDATE rollouts SET state = ? WHERE number = ?", (state, rollout.number))


def _next_number(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM rollouts").fetchone()
    return int(number)


def _refuse_while_running(rollout: Rollout | None) -> None:
    if rollout is not None and rollout.state == "running":
        raise TinybudgetError(
            f"{rollout.name} is running; end it first: tinybudget fleet advance, or fleet halt"
        )


def not_running(rollout: Rollout) -> TinybudgetError:
    """The error for a command that needs a running rollout."""
    if rollout.state == "halted":
        return HaltedError(
            f"{rollout.name} is halted; go on with: tinybudget fleet resume, or fleet rollback"
        )
    return TinybudgetError(f"{rollout.name} is complete; nothing is running")


def _nobody(connection: sqlite3.Connection, version: str, hardware: str | None) -> TinybudgetError:
    (devices,) = connection.execute(
        "SELECT COUNT(*) FROM devices WHERE ? IS NULL OR hardware = ?", (hardware, hardware)
    ).fetchone()
    if devices:
        return TinybudgetError(f"no device to update: all {devices:,} run {version} already")
    if hardware is None:
        return TinybudgetError("no devices yet; register some: tinybudget fleet register ID ...")
    known = [row[0] for row in connection.execute("SELECT DISTINCT hardware FROM devices")]
    return unknown("hardware", hardware, known)


def _policy(text: str) -> Policy:
    """The policy as it was when the rollout started."""
    fields = json.loads(text)
    return Policy(**{**fields, "stages": tuple(fields["stages"])})


def _place(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
