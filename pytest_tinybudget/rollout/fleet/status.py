"""The status of a fleet: its versions, devices, rollout, and the next command."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.rollout.fleet.rollouts import Action
from pytest_tinybudget.rollout.fleet.rollouts import Counts
from pytest_tinybudget.rollout.fleet.rollouts import Rollout
from pytest_tinybudget.rollout.fleet.rollouts import counted
from pytest_tinybudget.rollout.fleet.rollouts import latest
from pytest_tinybudget.rollout.fleet.store import Store


class Decided(Struct, frozen=True):
    """A decision with the results that it was based on. ``at`` is in seconds since 1970.

    ``reach`` is how many devices may have the update after it; ``failed`` includes silent ones.
    """

    rollout: int
    at: int
    action: Action
    by_hand: bool
    reason: str
    succeeded: int
    failed: int
    reach: int


class Status(Struct, frozen=True):
    """A fleet now. ``versions`` are (version, devices), most devices first, ``None`` unknown.

    ``counts`` are of the devices within the reach of ``rollout``, the newest one.
    """

    devices: int
    online: int
    offline: int
    updating: int
    versions: tuple[tuple[str | None, int], ...]
    rollout: Rollout | None
    counts: Counts | None
    last: Decided | None

    @property
    def next_command(self) -> str | None:
        """The ``tinybudget fleet`` command that continues the rollout; ``None`` where none does."""
        if self.rollout is None:
            return "start --version VERSION" if self.devices else "register ID ..."
        if self.rollout.state == "halted":
            return "resume" if self.rollout.undoes else "rollback"
        if self.rollout.state == "running" and self.counts is not None:
            if self.counts.waiting:
                return "next"
            return "report --from FILE" if self.counts.updating else "advance"
        return None


def status(store: Store) -> Status:
    """The fleet as it is now, in one consistent view."""
    with store.reading() as connection:
        rollout = latest(connection)
        updating = _updating(connection, rollout)
        devices, online = connection.execute(
            "SELECT COUNT(*), COALESCE(SUM(online), 0) FROM devices"
        ).fetchone()
        counts = counted(store, rollout) if rollout else None
        last = next(decided(connection, most=1), None)
        versions = _versions(connection)
    return Status(
        devices=devices,
        online=online - updating[1],
        offline=devices - online - (updating[0] - updating[1]),
        updating=updating[0],
        versions=versions,
        rollout=rollout,
        counts=counts,
        last=last,
    )


def decided(connection: sqlite3.Connection, *, most: int = -1) -> Iterator[Decided]:
    """The decisions, newest first."""
    rows = connection.execute(
        """SELECT rollout, at, action, by_hand, reason, succeeded, failed, reach
        FROM decisions ORDER BY number DESC LIMIT ?""",
        (most,),
    )
    return (
        Decided(rollout, at, action, bool(by_hand), *rest)
        for rollout, at, action, by_hand, *rest in rows
    )


def _updating(connection: sqlite3.Connection, rollout: Rollout | None) -> tuple[int, int]:
    """Numbers of devices that are handed out, and of those that last reported as online."""
    if rollout is None:
        return 0, 0
    both: tuple[int, int] = connection.execute(
        """SELECT COUNT(*), COALESCE(SUM(online), 0)
        FROM updates JOIN devices ON number = device
        WHERE rollout = ? AND state = 'claimed'""",
        (rollout.number,),
    ).fetchone()
    return both


def _versions(connection: sqlite3.Connection) -> tuple[tuple[str | None, int], ...]:
    return tuple(
        connection.execute(
            """SELECT version, SUM(devices) AS devices
            FROM (SELECT image, COUNT(*) AS devices FROM devices GROUP BY image)
            LEFT JOIN images ON number = image
            GROUP BY version ORDER BY devices DESC, version"""
        )
    )
