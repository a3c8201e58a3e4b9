"""Opens and checks a fleet's file, and writes it in transactions that are done wholly or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError


#: The default name of a fleet's file.
DEFAULT_FILE = Path("fleet.sqlite")
#: Seconds to wait for a lock. An import of a million devices holds it for some seconds.
DEFAULT_WAIT_S = 60.0

#: "tbfl" in ASCII: the application id in the header of the SQLite file.
_APPLICATION = int.from_bytes(b"tbfl", "big")
_SCHEMA_VERSION = 1
#: ``UPDATE ... FROM`` (3.33) and what the tests run on.
_OLDEST_SQLITE = (3, 34)
#: Page cache in KiB: it holds most of the indexes of a million devices.
_CACHE_KIB = 128 * 1024

#: SQLite's messages, and what they mean to the user.
_REASONS = {
    "is locked": "in use by another process; waited {wait:g} s for it, try again",
    "not a database": "not a fleet's file, nor any SQLite file; name another with --db",
    "malformed": "damaged; restore it from a backup",
    "disk is full": "the disk is full; nothing of this command was recorded",
    "readonly": "cannot be written: it is read-only",
    "unable to open": "cannot be opened: no such folder, or no right to it",
    "disk I/O error": "cannot be read or written: I/O error; nothing of this command was recorded",
}


class Store(Struct, frozen=True):
    """An open fleet's file. ``now`` returns seconds since 1970; ``wait_s`` is for locks."""

    path: Path
    connection: sqlite3.Connection
    now: Callable[[], float]

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that excludes other writers. All of it is kept, or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        with self._ended():
            yield self.connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction in which every query sees the same state."""
        self.connection.execute("BEGIN")
        with self._ended():
            yield self.connection

    @contextmanager
    def _ended(self) -> Iterator[None]:
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            # SQLite itself has already rolled back after a full disk or an I/O error.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def seconds(self) -> int:
        """The time in whole seconds since 1970, as the file stores it."""
        return int(self.now())


@contextmanager
def opened(
    path: Path,
    now: Callable[[], float],
    *,
    create: bool = False,
    wait_s: float = DEFAULT_WAIT_S,
) -> Iterator[Store]:
    """Open the fleet's file ``path``. With ``create`` it is made where there is none.

    Raises:
        TinybudgetError: there is none, it is another program's or another version's, damaged,
            locked for longer than ``wait_s``, or it cannot be read or written.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise TinybudgetError(
            f"a fleet needs SQLite {oldest} or newer, this Python has {sqlite3.sqlite_version}"
        )
    if not create and not path.exists():
        raise TinybudgetError(
            f"{path}: no such file; a fleet starts with: tinybudget fleet register"
        )
    with _spoken(path, wait_s):
        mode = "rwc" if create else "rw"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=wait_s,
            isolation_level=None,
        )
        try:
            store = Store(path, connection, now)
            _identify(store, create)
            _configure(connection)
            yield store
        finally:
            connection.close()


def _identify(store: Store, create: bool) -> None:
    """Make the tables of a new file. A file of another program is refused before any write."""
    if create and _is_empty(store.connection):
        # Readers then never wait for a writer, and a commit is one write to one file.
        store.connection.execute("PRAGMA journal_mode = WAL")
        with store.writing() as connection:
            # Another process may have been first.
            if _is_empty(connection):
                for statement in _statements():
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    if _is_empty(store.connection):
        raise TinybudgetError(
            f"{store.path}: an empty file; a fleet starts with: tinybudget fleet register"
        )
    if _pragma(store.connection, "application_id") != _APPLICATION:
        raise TinybudgetError(
            f"{store.path}: a database of another program, not a fleet; name another with --db"
        )
    version = _pragma(store.connection, "user_version")
    if version != _SCHEMA_VERSION:
        raise TinybudgetError(
            f"{store.path}: made by another version of tinybudget (schema {version}, this one "
            f"has {_SCHEMA_VERSION}); use the version that made it"
        )


def _configure(connection: sqlite3.Connection) -> None:
    # A commit is on the disk before the command says so.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    return not tables and _pragma(connection, "application_id") == 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _statements() -> Iterator[str]:
    """The schema, a statement at a time: ``executescript`` would commit first."""
    text = files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _spoken(path: Path, wait_s: float) -> Iterator[None]:
    """Turn SQLite's errors about the file into one line for people."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        for said, reason in _REASONS.items():
            if said in str(error):
                raise TinybudgetError(f"{path}: {reason.format(wait=wait_s)}") from error
        raise
