"""The devices of a rollout: hands each out once, takes its result once, and verifies it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.rollout.fleet.devices import add_images
from pytest_tinybudget.rollout.fleet.devices import stage
from pytest_tinybudget.rollout.fleet.devices import unknown_device
from pytest_tinybudget.rollout.fleet.records import Record
from pytest_tinybudget.rollout.fleet.rollouts import Rollout
from pytest_tinybudget.rollout.fleet.rollouts import newest
from pytest_tinybudget.rollout.fleet.rollouts import not_running
from pytest_tinybudget.rollout.fleet.store import Store


REPORT_COLUMNS = ("device", "result", "version", "sha256", "detail", "rollout")
RESULTS = ("ok", "failed")

#: At most so many refused results are explained one by one.
_MOST_REFUSALS = 10


class Update(NamedTuple):
    """A device that is handed out, and its versions before and after; ``None``: unknown."""

    rollout: int
    device: str
    hardware: str
    from_version: str | None
    to_version: str
    to_sha256: str | None


class Reported(Struct, frozen=True):
    """Numbers of new, known and refused results. ``reasons`` explains the first refusals."""

    new: int
    known: int
    refused: int
    reasons: tuple[str, ...]


class Verified(Struct, frozen=True):
    """Whether updated devices run what they should.

    ``confirmed`` reported the expected version, ``untold`` reported none. ``others`` lists device,
    expected version and reported version.
    """

    rollout: Rollout
    confirmed: int
    untold: int
    awaited: int
    others: tuple[tuple[str, str, str], ...]

    @property
    def passed(self) -> bool:
        """Whether every device that reported success has confirmed what it runs."""
        return not self.untold and not self.others


def claim(store: Store, *, most: int | None = None, worker: str = "") -> Iterator[Update]:
    """Hand out up to ``most`` devices of the newest rollout that wait within its reach.

    They are stored as handed out before this returns, so no other process gets them.

    Raises:
        TinybudgetError: there is no rollout, or it is not running.
    """
    connection = store.connection
    connection.execute("DROP TABLE IF EXISTS claims")
    connection.execute("CREATE TEMP TABLE claims (rank INTEGER PRIMARY KEY)")
    with store.writing():
        rollout = newest(connection)
        if rollout.state != "running":
            raise not_running(rollout)
        connection.execute(
            """INSERT INTO claims SELECT rank FROM waiting_devices
            WHERE rollout = ? AND rank <= ? AND online AND NOT there ORDER BY rank LIMIT ?""",
            (rollout.number, rollout.reach, -1 if most is None else most),
        )
        connection.execute(
            """UPDATE updates SET state = 'claimed', worker = ?, claimed = ?,
                previous = (SELECT image FROM devices WHERE number = device)
            WHERE rollout = ? AND rank IN (SELECT rank FROM claims)""",
            (worker, store.seconds(), rollout.number),
        )
    rows = connection.execute(
        """SELECT rollout, id, hardware, from_version, to_version, to_sha256 FROM handed_out
        WHERE rollout = ? AND rank IN (SELECT rank FROM claims) ORDER BY rank""",
        (rollout.number,),
    )
    return map(Update._make, rows)


def claimed(store: Store, *, worker: str | None = None) -> Iterator[Update]:
    """Devices that are handed out and have no result: the caller may have stopped midway."""
    rollout = newest(store.connection)
    rows = store.connection.execute(
        """SELECT rollout, id, hardware, from_version, to_version, to_sha256 FROM handed_out
        WHERE rollout = :rollout AND state = 'claimed' AND (:worker IS NULL OR worker = :worker)
        ORDER BY rank""",
        {"rollout": rollout.number, "worker": worker},
    )
    return map(Update._make, rows)


def report(store: Store, results: Iterable[Record]) -> Reported:
    """Take ``results`` (``REPORT_COLUMNS``) of devices that were handed out.

    A repeated result changes nothing; one that contradicts an earlier one is refused. A device that
    reports ``ok`` with a wrong version or hash has failed. A result counts for the newest rollout
    unless it names another.

    Raises:
        TinybudgetError: A line has no valid result; then none is taken.
    """
    connection = store.connection
    stage(store, map(_with_result, results))
    with store.writing():
        rollout = newest(connection)
        add_images(connection)
        _match(connection, rollout)
        new = connection.execute(
            """UPDATE updates SET state = result, finished = ?, detail = results.detail
            FROM results
            WHERE updates.rollout = results.rollout AND updates.rank = results.rank AND first""",
            (store.seconds(),),
        ).rowcount
        connection.execute(
            """UPDATE devices SET online = 1, seen = ?,
                image = CASE WHEN results.image IS NOT NULL THEN results.image
                    WHEN result = 'ok' THEN target ELSE devices.image END,
                told = CASE WHEN results.image IS NOT NULL THEN 1
                    WHEN result = 'ok' THEN 0 ELSE told END
            FROM results WHERE number = results.device AND first""",
            (store.seconds(),),
        )
        refused = _refused(connection)
        (lines,) = connection.execute("SELECT COUNT(*) FROM results").fetchone()
        connection.execute("DROP TABLE results")
        reasons = tuple(_reason(connection, *row) for row in refused[:_MOST_REFUSALS])
    return Reported(new, lines - new - len(refused), len(refused), reasons)


def verify(store: Store) -> Verified:
    """Compare what updated devices of the newest rollout run with what they should run.

    Raises:
        TinybudgetError: there is no rollout.
    """
    with store.reading() as connection:
        rollout = newest(connection)
        confirmed, untold, awaited, wrong = connection.execute(
            """SELECT
                COALESCE(SUM(devices) FILTER (WHERE state = 'ok' AND same AND told), 0),
                COALESCE(SUM(devices) FILTER (WHERE state = 'ok' AND same AND NOT told), 0),
                COALESCE(SUM(devices) FILTER (WHERE state = 'claimed'), 0),
                COALESCE(SUM(devices) FILTER (WHERE state = 'ok' AND NOT same), 0)
            FROM outcomes WHERE rollout = ?""",
            (rollout.number,),
        ).fetchone()
        others = (
            wrong
            and connection.execute(
                """SELECT id, expected.version, COALESCE(runs.version, '')
            FROM outcomes JOIN updates USING (rollout, state, target)
            JOIN devices ON devices.number = device
                AND devices.image IS outcomes.image AND devices.told = outcomes.told
            JOIN images AS expected ON expected.number = target
            LEFT JOIN images AS runs ON runs.number = devices.image
            WHERE rollout = ? AND state = 'ok' AND NOT same ORDER BY id""",
                (rollout.number,),
            ).fetchall()
        )
    return Verified(rollout, confirmed, untold, awaited, tuple(others or ()))


def _with_result(record: Record) -> Record:
    if not record.result:
        raise TinybudgetError(f"{_place(record.line)}no result; expected ok or failed")
    if record.result not in RESULTS:
        error = unknown("result", record.result, RESULTS)
        raise TinybudgetError(f"{_place(record.line)}{error.message}; expected ok or failed")
    if record.rollout and not record.rollout.isdecimal():
        raise TinybudgetError(f"{_place(record.line)}rollout {record.rollout!r}: expected a number")
    return record


def _place(line: int) -> str:
    return f"line {line}: " if line else ""


def _match(connection: sqlite3.Connection, rollout: Rollout) -> None:
    """Make the table ``results``: each line of ``incoming`` with the update that it belongs to.

    Its column ``first`` is true for the first result of a device that was handed out.
    """
    connection.execute(
        """CREATE TEMP TABLE results AS
        WITH matched AS (
            SELECT line, incoming.device AS id, devices.number AS device, updates.rollout, rank,
                target, images.number AS image, updates.state, result, incoming.detail,
                incoming.version, images.number IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM same_images WHERE same_images.image = images.number
                    AND same_images.target = updates.target) AS wrong
            FROM incoming
            LEFT JOIN devices ON devices.id = incoming.device
            LEFT JOIN updates ON updates.device = devices.number
                AND updates.rollout = COALESCE(CAST(incoming.rollout AS INTEGER), ?)
            LEFT JOIN images ON images.version = incoming.version
                AND images.sha256 = COALESCE(incoming.sha256, ''))
        SELECT line, id, device, rollout, rank, target, image,
            state = 'claimed' AND ROW_NUMBER() OVER (
                PARTITION BY rollout, rank ORDER BY line) = 1 AS first,
            CASE WHEN wrong THEN 'failed' ELSE result END AS result,
            CASE WHEN wrong AND result = 'ok' THEN 'runs ' || version ELSE detail END AS detail
        FROM matched""",
        (rollout.number,),
    )


def _refused(connection: sqlite3.Connection) -> list[tuple[int, str, int | None, str | None, str]]:
    """Line, id, device, state and result of lines that differ from the recorded state."""
    return connection.execute(
        """SELECT line, id, results.device, state, result
        FROM results LEFT JOIN updates
            ON updates.rollout = results.rollout AND updates.rank = results.rank
        WHERE state IS NOT result ORDER BY line"""
    ).fetchall()


def _reason(
    connection: sqlite3.Connection,
    line: int,
    device: str,
    number: int | None,
    state: str | None,
    result: str,
) -> str:
    if number is None:
        why = unknown_device(connection, device).message
    elif state is None:
        why = f"{device!r} is not in this rollout"
    elif state == "waiting":
        why = f"{device!r} was not handed out (tinybudget fleet next)"
    elif state == "unanswered":
        why = f"{device!r}: a newer rollout has begun since; tell what it runs with fleet seen"
    else:
        why = f"{device!r} is recorded as {state}, which {result} contradicts"
    return f"{_place(line)}{why}"
