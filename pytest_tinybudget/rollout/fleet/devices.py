"""Registers and lists devices. Input is staged first and then taken over in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.rollout.fleet.records import Record
from pytest_tinybudget.rollout.fleet.store import Store


DEVICE_COLUMNS = ("device", "hardware", "version", "sha256")
SEEN_COLUMNS = ("device", "version", "sha256")

#: States of a device. It is updating while it is handed out, whatever it reported last.
STATES = ("online", "offline", "updating")

#: In larger fleets an unknown id is compared with so many neighbors on both sides.
_MOST_COMPARED, _NEIGHBORS = 2000, 1000


class Device(Struct, frozen=True):
    """A device as it is listed. ``seen`` is in seconds since 1970."""

    id: str
    hardware: str
    version: str | None
    sha256: str | None
    state: str
    seen: int | None


def register(
    store: Store,
    devices: Iterable[Record],
    *,
    hardware: str = "",
    version: str = "",
) -> tuple[int, int]:
    """Add ``devices`` (``DEVICE_COLUMNS``), all or none. Returns the numbers of new and known ones.

    ``hardware`` and ``version`` count for devices that name none. A known device gets the hardware
    of the list, but its version only where it had none: registering an old list again must not undo
    an update.
    """
    connection = store.connection
    stage(store, devices)
    with store.writing():
        (before,) = connection.execute("SELECT COUNT(*) FROM devices").fetchone()
        if version:
            connection.execute("UPDATE incoming SET version = ? WHERE version IS NULL", (version,))
        add_images(connection)
        connection.execute(
            """INSERT INTO devices (id, hardware, image)
            SELECT device, COALESCE(incoming.hardware, ?), images.number FROM incoming
            LEFT JOIN images ON images.version = incoming.version
                AND images.sha256 = COALESCE(incoming.sha256, '')
            WHERE true ORDER BY device, line
            ON CONFLICT (id) DO UPDATE SET
                hardware = COALESCE(NULLIF(excluded.hardware, ''), hardware),
                image = COALESCE(image, excluded.image)""",
            (hardware,),
        )
        (after,) = connection.execute("SELECT COUNT(*) FROM devices").fetchone()
        (lines,) = connection.execute("SELECT COUNT(*) FROM incoming").fetchone()
    return after - before, lines - (after - before)


def seen(store: Store, devices: Iterable[Record], *, online: bool = True) -> int:
    """Note that ``devices`` (``SEEN_COLUMNS``) reported, or are offline. Returns how many.

    A version that a device reports is the version that it runs.

    Raises:
        TinybudgetError: One is not registered; then none is noted.
    """
    connection = store.connection
    stage(store, devices)
    with store.writing():
        refuse_unknown(connection)
        add_images(connection)
        connection.execute(
            """UPDATE devices SET
                online = :online,
                seen = CASE WHEN :online THEN :now ELSE seen END,
                image = COALESCE(new.image, devices.image),
                told = CASE WHEN new.image IS NULL THEN told ELSE 1 END
            FROM (SELECT device, MAX(line), images.number AS image FROM incoming
                LEFT JOIN images ON images.version = incoming.version
                    AND images.sha256 = COALESCE(incoming.sha256, '')
                GROUP BY device) AS new
            WHERE devices.id = new.device""",
            {"online": online, "now": store.seconds()},
        )
        (count,) = connection.execute("SELECT COUNT(DISTINCT device) FROM incoming").fetchone()
    return int(count)


def listed(
    store: Store, *, state: str | None = None, version: str | None = None
) -> Iterator[Device]:
    """Devices in the order of their ids; only those of ``state`` and ``version`` where given."""
    rows = store.connection.execute(
        """SELECT id, hardware, version, NULLIF(sha256, ''), state, seen
        FROM listed_devices
        WHERE (:state IS NULL OR state = :state) AND (:version IS NULL OR version = :version)
        ORDER BY id""",
        {"state": state, "version": version},
    )
    return (Device(*row) for row in rows)


def stage(store: Store, records: Iterable[Record]) -> None:
    """Fill the temporary table ``incoming``. The fleet's file is not locked meanwhile."""
    connection = store.connection
    connection.execute("DROP TABLE IF EXISTS incoming")
    connection.execute(
        """CREATE TEMP TABLE incoming (line INTEGER PRIMARY KEY, device TEXT NOT NULL,
        hardware TEXT, version TEXT, sha256 TEXT, result TEXT, detail TEXT, rollout TEXT)"""
    )
    with store.reading():
        connection.executemany(
            """INSERT INTO incoming VALUES (?, ?, NULLIF(?, ''), NULLIF(?, ''), NULLIF(?, ''),
            NULLIF(?, ''), NULLIF(?, ''), NULLIF(?, ''))""",
            records,
        )


def add_images(connection: sqlite3.Connection) -> None:
    """Add an image for every new version in ``incoming``.

    Raises:
        TinybudgetError: a line has a hash and no version.
    """
    bare = connection.execute(
        "SELECT line, device FROM incoming WHERE version IS NULL AND sha256 IS NOT NULL"
    ).fetchone()
    if bare:
        raise TinybudgetError(f"line {bare[0]}: {bare[1]!r} has a sha256 without a version")
    connection.execute(
        """INSERT OR IGNORE INTO images (version, sha256)
        SELECT DISTINCT version, COALESCE(sha256, '') FROM incoming WHERE version IS NOT NULL"""
    )


def image_number(connection: sqlite3.Connection, version: str, sha256: str) -> int:
    """The image of this version and hash (``""`` where unknown), made where it is new."""
    row = (version, sha256)
    connection.execute("INSERT OR IGNORE INTO images (version, sha256) VALUES (?, ?)", row)
    (number,) = connection.execute(
        "SELECT number FROM images WHERE version = ? AND sha256 = ?", row
    ).fetchone()
    return int(number)


def refuse_unknown(connection: sqlite3.Connection) -> None:
    """Raise for the first device in ``incoming`` that is not registered.

    Raises:
        TinybudgetError: there is one.
    """
    found = connection.execute(
        """SELECT line, device FROM incoming
        WHERE device NOT IN (SELECT id FROM devices) ORDER BY line LIMIT 1"""
    ).fetchone()
    if found:
        raise unknown_device(connection, found[1])


def unknown_device(connection: sqlite3.Connection, device: str) -> TinybudgetError:
    """The error for an id that is not registered, with the nearest registered ones."""
    (devices,) = connection.execute("SELECT COUNT(*) FROM devices").fetchone()
    if devices <= _MOST_COMPARED:
        return unknown(
            "device", device, (row[0] for row in connection.execute("SELECT id FROM devices"))
        )
    after = connection.execute(
        "SELECT id FROM devices WHERE id >= ? ORDER BY id LIMIT ?", (device, _NEIGHBORS)
    )
    before = connection.execute(
        "SELECT id FROM devices WHERE id < ? ORDER BY id DESC LIMIT ?", (device, _NEIGHBORS)
    )
    around = [row[0] for row in (*after, *before)]
    return unknown("device", device, around)
