"""An operator's whole campaign on a small fleet, killed at a step; a program for crash tests.

``fleet_campaign.py FOLDER MODE STEP``: runs the campaign in FOLDER from wherever it stands, again
and again in new folders, and kills it at a multiple of STEP that grows by one each time: SQL
statements (``statements``), instructions of SQLite's machine (``instructions``), or bytes of the
largest file, which tears a write (``bytes``). After each kill the state must be sound, and the
campaign, started once more, must come to its end. Prints how many kills there were.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from pytest_tinybudget.rollout.fleet import rollouts
from pytest_tinybudget.rollout.fleet import updates
from pytest_tinybudget.rollout.fleet.devices import register
from pytest_tinybudget.rollout.fleet.records import Record
from pytest_tinybudget.rollout.fleet.store import Store
from pytest_tinybudget.rollout.fleet.store import opened
from pytest_tinybudget.rollout.policy import Policy


DEVICES = tuple(f"device-{number:02d}" for number in range(12))
#: It fails to take the new version, and keeps the old one.
BROKEN = "device-07"
OLD, NEW = "1.1.0", "1.2.0"
POLICY = Policy(stages=(20, 100), minimum_success_percent=60, bad_failure_percent=50)

#: What devices did, a line each time one was written to; what was acknowledged to the operator.
DEVICE_LOG, ACKNOWLEDGED = "devices.log", "acknowledged.log"


def campaign(folder: Path, watch: Callable[[sqlite3.Connection], None]) -> None:
    """Update the fleet in stages, then bring it back; goes on from wherever it stands."""
    with opened(folder / "fleet.sqlite", lambda: 1_000_000.0, create=True) as store:
        watch(store.connection)
        register(store, (Record(i, device, version=OLD) for i, device in enumerate(DEVICES)))
        if rollouts.latest(store.connection) is None:
            rollouts.start(store, NEW, POLICY)
        work(store, folder)
        if rollouts.newest(store.connection).undoes is None:
            rollouts.rollback(store)
            work(store, folder)


def work(store: Store, folder: Path) -> None:
    """Take devices, write to them, report, advance, until the newest rollout is complete."""
    while rollouts.newest(store.connection).state == "running":
        batch = list(updates.claimed(store)) or list(updates.claim(store, most=6))
        if not batch:
            rollouts.advance(store)
            continue
        results = [
            Record(line, update.device, result=write(folder, update))
            for line, update in enumerate(batch)
        ]
        updates.report(store, results)
        for record, update in zip(results, batch, strict=True):
            append(folder / ACKNOWLEDGED, f"{update.rollout} {record.device} {record.result}")


def write(folder: Path, update: updates.Update) -> str:
    """Bring a device to its version, unless it says that this was tried; its result."""
    line = f"{update.device} {update.to_version}"
    if line not in lines(folder / DEVICE_LOG):
        append(folder / DEVICE_LOG, line)
    return "failed" if (update.device, update.to_version) == (BROKEN, NEW) else "ok"


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def check(folder: Path, *, ended: bool) -> None:
    """The state is sound: nothing lost, nothing twice; at the end everyone is where they belong."""
    log = lines(folder / DEVICE_LOG)
    assert len(set(log)) == len(log), f"a device was written to twice: {log}"
    connection = sqlite3.connect(folder / "fleet.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    if not connection.execute("SELECT name FROM sqlite_master").fetchall():
        assert not log
        assert not ended
        return
    rows = connection.execute(
        """SELECT rollout, id, updates.state, version FROM updates
        JOIN devices ON devices.number = device JOIN images ON images.number = target"""
    ).fetchall()
    out = {f"{device} {version}" for _, device, state, version in rows if state != "waiting"}
    assert set(log) <= out, "a device was written to that is not down as handed out"
    recorded = {f"{rollout} {device} {state}" for rollout, device, state, _ in rows}
    assert set(lines(folder / ACKNOWLEDGED)) <= recorded, "a result is lost"
    if ended:
        states = [state for rollout, _, state, _ in rows if rollout == 1]
        assert sorted(states) == ["failed", *["ok"] * (len(DEVICES) - 1)]
        assert [state for rollout, _, state, _ in rows if rollout == 2] == ["ok"] * 11
        versions = connection.execute(
            "SELECT DISTINCT version FROM devices JOIN images ON images.number = image"
        ).fetchall()
        assert versions == [(OLD,)]
    connection.close()


def killer(mode: str, limit: int) -> Callable[[sqlite3.Connection], None]:
    """What kills this process at step ``limit``, given the campaign's connection."""
    seen = 0

    def step(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(connection: sqlite3.Connection) -> None:
        if mode == "statements":
            connection.set_trace_callback(step)
        elif mode == "instructions":
            connection.set_progress_handler(step, 1)
        else:
            # The kernel writes up to the limit and then kills: a torn write.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return watch


def in_child(folder: Path, watch: Callable[[sqlite3.Connection], None]) -> int:
    """Run the campaign in a process of its own; the signal that killed it, 0 if none did."""
    child = os.fork()
    if not child:
        code = 1
        try:
            campaign(folder, watch)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the campaign failed"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main() -> None:
    root, mode, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    kills = 0
    while True:
        folder = root / f"{mode}-{kills}"
        folder.mkdir()
        killed = in_child(folder, killer(mode, (kills + 1) * step))
        check(folder, ended=not killed)
        if not killed:
            break
        kills += 1
        assert in_child(folder, lambda _: None) == 0
        check(folder, ended=True)
    print(kills)


if __name__ == "__main__":
    main()
