"""``tinybudget fleet``: stages, claims, results, halts and rollbacks, each as its user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import dense_model

from pytest_tinybudget import cli


PAGE = Path(__file__).parents[1] / "docs" / "fleet.md"
SHA256 = "ab" * 32

Fleet = Callable[..., str]


class Ended:
    """What a command said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs ``tinybudget fleet`` with arguments and, given ``stdin``, input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            code = cli.main(["fleet", *arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def fleet(ended: Callable[..., Ended]) -> Fleet:
    """The same, for commands that succeed: their output."""

    def run(*arguments: str, stdin: str = "") -> str:
        done = ended(*arguments, stdin=stdin)
        assert done.code == 0, done.err
        return done.out

    return run


def register(fleet: Fleet, count: int, version: str = "1.1.0") -> None:
    lines = "".join(f"device-{number:03d}\n" for number in range(count))
    fleet("register", "--from", "-", "--version", version, stdin=f"device\n{lines}")


def taken(fleet: Fleet, *options: str) -> list[str]:
    """The devices that ``next`` hands out."""
    return [row["device"] for row in csv.DictReader(io.StringIO(fleet("next", *options)))]


def report(fleet: Fleet, devices: Iterable[str], result: str = "ok", version: str = "") -> None:
    lines = "".join(f"{device},{result},{version}\n" for device in devices)
    fleet("report", "--from", "-", stdin=f"device,result,version\n{lines}")


def status(fleet: Fleet) -> Any:
    return json.loads(fleet("status", "--json"))


def versions(fleet: Fleet) -> dict[str | None, int]:
    return {each["version"]: each["devices"] for each in status(fleet)["versions"]}


# Devices


def test_devices_come_from_arguments_csv_and_json_lines(fleet: Fleet) -> None:
    assert (
        fleet("register", "a", "b", "--hardware", "pico")
        == "2 devices registered, 0 known before\n"
    )
    fleet("register", "--from", "-", stdin="device,hardware,version\nc,esp32,1.0\n")
    fleet("register", "--from", "-", stdin='{"device": "d", "version": "1.0"}\n\n{"device": "a"}\n')
    listed = [json.loads(line) for line in fleet("list", "--json").splitlines()]
    assert [(each["id"], each["hardware"], each["version"]) for each in listed] == [
        ("a", "pico", None), ("b", "pico", None), ("c", "esp32", "1.0"), ("d", "", "1.0")
    ]  # fmt: skip


def test_registering_a_list_of_yesterday_undoes_no_update(fleet: Fleet) -> None:
    fleet("register", "a", "--version", "1.0")
    fleet("seen", "a", "--version", "1.1")
    assert "0 devices registered, 1 known" in fleet("register", "a", "--version", "1.0")
    assert versions(fleet) == {"1.1": 1}


def test_a_file_with_one_bad_line_registers_nothing(fleet: Fleet, ended: Any) -> None:
    fleet("register", "a")
    done = ended("register", "--from", "-", stdin="device\nb\nc\x07\n")
    assert done.code == 2
    assert "stdin:3: device 'c\\x07'" in done.err
    assert status(fleet)["devices"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "stdin: empty"),
        ("devise\na\n", "stdin:1: unknown column 'devise'; did you mean 'device'?"),
        ("hardware\npico\n", "stdin:1: no column 'device'"),
        ("device,version\na\n", "stdin:2: 1 cells, the header has 2"),
        ("\ndevice\n\nb,c\n", "stdin:4: 2 cells"),
        ('device\n"a\n', "not CSV"),
        ("device,device\na,b\n", "a column twice"),
        ("device,sha256,version\na,xyz,1\n", "stdin:2: sha256 'xyz': expected 64 hexadecimal"),
        (f"device,sha256\na,{SHA256}\n", "line 2: 'a' has a sha256 without a version"),
        ('{"device": 1.5}\n', "stdin:1: device: expected a string"),
        ('{"device": "a"}\n[]\n', "stdin:2: not a JSON object"),
        ('{"version": "1"}\n', "stdin:1: no device"),
        (f"device\n{'x' * 201}\n", "expected 1 to 200 printable characters"),
    ],
)
def test_wrong_lines_are_told_with_their_place(ended: Any, text: str, said: str) -> None:
    done = ended("register", "--from", "-", stdin=text)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_an_unknown_device_is_told_with_the_nearest(fleet: Fleet, ended: Any) -> None:
    register(fleet, 3)
    done = ended("seen", "divice-001")
    assert done.code == 2
    assert "unknown device 'divice-001'; did you mean 'device-001'" in done.err


def test_list_selects_by_state_and_version_and_says_that_there_are_more(
    fleet: Fleet, ended: Any
) -> None:
    register(fleet, 60)
    fleet("seen", "device-007", "--offline")
    assert fleet("list", "--state", "offline").splitlines()[1].split()[0] == "device-007"
    assert "and more" in fleet("list")
    assert len(fleet("list", "-n", "5").splitlines()) == 7
    assert "did you mean 'offline'" in ended("list", "--state", "ofline").err


# Stages


def test_stages_are_percentages_rounded_up_and_always_the_same_devices(
    fleet: Fleet, tmp_path: Path
) -> None:
    register(fleet, 101)
    fleet("start", "--version", "1.2.0", "--stages", "1,10,100")
    first = taken(fleet)
    assert len(first) == 2
    report(fleet, first)
    fleet("advance")
    second = taken(fleet)
    assert len(second) == 11 - 2
    # Another file with the same devices, registered in another order.
    (tmp_path / "fleet.sqlite").unlink()
    lines = "".join(f"device-{number:03d}\n" for number in reversed(range(101)))
    fleet("register", "--from", "-", "--version", "1.1.0", stdin=f"device\n{lines}")
    fleet("start", "--version", "1.2.0", "--stages", "1,10,100")
    assert taken(fleet) == first
    # A different rollout takes others first.
    fleet("halt")
    fleet("start", "--version", "1.3.0", "--stages", "10,100")
    assert set(taken(fleet)[:2]) != set(first)


def test_devices_that_run_the_version_and_other_hardware_are_left_alone(
    fleet: Fleet, ended: Any
) -> None:
    fleet("register", "new", "--hardware", "pico", "--version", "1.2.0")
    fleet("register", "old", "--hardware", "pico", "--version", "1.1.0")
    fleet("register", "other", "--hardware", "esp32", "--version", "1.1.0")
    assert "unknown hardware 'pcio'; did you mean 'pico'" in ended(
        "start", "--version", "1.2.0", "--hardware", "pcio"
    ).err  # fmt: skip
    fleet("start", "--version", "1.2.0", "--hardware", "pico", "--stages", "100")
    assert taken(fleet) == ["old"]
    report(fleet, ["old"], version="1.2.0")
    assert fleet("advance").startswith("complete")
    done = ended("start", "--version", "1.2.0", "--hardware", "pico")
    assert "all 2 run 1.2.0 already" in done.err


def test_offline_devices_hold_nobody_up_and_come_when_they_are_seen(fleet: Fleet) -> None:
    register(fleet, 4)
    fleet("seen", "device-001", "device-002", "--offline")
    fleet("start", "--version", "1.2.0", "--stages", "100")
    assert sorted(taken(fleet)) == ["device-000", "device-003"]
    fleet("seen", "device-001")
    assert taken(fleet) == ["device-001"]
    report(fleet, ["device-000", "device-001", "device-003"])
    assert "1 offline were left out" in fleet("advance")
    fleet("start", "--version", "1.2.0")
    fleet("seen", "device-002")
    assert taken(fleet) == ["device-002"]


def test_a_stage_whose_devices_are_all_offline_takes_more(fleet: Fleet) -> None:
    register(fleet, 10)
    fleet("seen", *(f"device-{number:03d}" for number in range(10)), "--offline")
    fleet("start", "--version", "1.2.0", "--stages", "10,100", "--minimum-devices", "3")
    assert "offline" in fleet("advance")
    assert status(fleet)["rollout"]["reach"] == 6


def test_a_device_that_got_the_version_elsewhere_is_not_handed_out(fleet: Fleet) -> None:
    register(fleet, 3)
    fleet("start", "--version", "1.2.0", "--stages", "100")
    fleet("seen", "device-001", "--version", "1.2.0")
    assert sorted(taken(fleet)) == ["device-000", "device-002"]


def test_the_policy_is_the_declarations_unless_options_change_it(
    fleet: Fleet, ended: Any, tmp_path: Path
) -> None:
    register(fleet, 100)
    declaration = tmp_path / "tinybudget.toml"
    model = '[models.kws]\nsource = "kws.tflite"\nboards = ["raspberry-pi-pico"]\n'
    (tmp_path / "kws.tflite").write_bytes(dense_model())
    declaration.write_text(f'{model}[rollout]\nstages = ["5%", "100%"]\nwindow = "6 h"\n')
    fleet("start", "--version", "1.2.0", "--window-hours", "12")
    policy = status(fleet)["rollout"]["policy"]
    assert (policy["stages"], policy["window_hours"]) == ([5, 100], 12)
    fleet("halt")
    declaration.write_text(model)
    done = ended("start", "--version", "1.3.0", "--declaration", "tinybudget.toml")
    assert "declares no [rollout]" in done.err
    assert "stages ends at 50 %" in ended("start", "--version", "1.3.0", "--stages", "1,50").err


# Results


def test_the_same_result_counts_once_and_a_contradiction_is_refused(
    fleet: Fleet, ended: Any
) -> None:
    register(fleet, 3)
    fleet("start", "--version", "1.2.0", "--stages", "100")
    taken(fleet)
    assert fleet("report", "device-000", "ok") == "1 result recorded\n"
    assert fleet("report", "device-000", "ok") == "0 results recorded, 1 known before\n"
    assert "recorded as ok, which failed contradicts" in ended("report", "device-000", "failed").err
    text = "device,result\ndevice-001,ok\ndevice-000,failed\nghost,ok\ndevice-001,failed\n"
    done = ended("report", "--from", "-", stdin=text)
    assert done.code == 2
    assert "3 results refused; 1 result recorded: line 3: 'device-000'" in done.err
    assert "line 4: unknown device 'ghost'" in done.err
    assert "line 5: 'device-001' is recorded as ok" in done.err
    assert status(fleet)["counts"]["succeeded"] == 2


def test_results_of_devices_that_were_not_handed_out_are_refused(fleet: Fleet, ended: Any) -> None:
    register(fleet, 50)
    fleet("start", "--version", "1.2.0", "--stages", "2,100")
    (first,) = taken(fleet)
    other = next(f"device-{n:03d}" for n in range(50) if f"device-{n:03d}" != first)
    assert "was not handed out" in ended("report", other, "ok").err
    assert "unknown result 'fail'; did you mean 'failed'" in ended("report", first, "fail").err


def test_a_late_result_of_an_older_rollout_is_not_taken_for_the_newer_one(
    fleet: Fleet, ended: Any
) -> None:
    fleet("register", "a", "--version", "1.1.0")
    fleet("start", "--version", "1.2.0", "--stages", "100")
    taken(fleet)
    fleet("halt")
    fleet("start", "--version", "1.3.0", "--stages", "100")
    taken(fleet)
    done = ended("report", "--from", "-", stdin="device,result,rollout\na,ok,1\n")
    assert "a newer rollout has begun" in done.err
    assert status(fleet)["counts"]["updating"] == 1


def test_ok_with_another_version_or_hash_has_failed(fleet: Fleet) -> None:
    register(fleet, 3)
    fleet("start", "--version", "1.2.0", "--sha256", SHA256, "--stages", "100")
    taken(fleet)
    fleet("report", "device-000", "ok", "--version", "1.1.0")
    fleet("report", "device-001", "ok", "--version", "1.2.0", "--sha256", "cd" * 32)
    fleet("report", "device-002", "ok", "--version", "1.2.0", "--sha256", SHA256.upper())
    counts = status(fleet)["counts"]
    assert (counts["succeeded"], counts["failed"]) == (1, 2)


def test_what_was_handed_out_is_printed_again_for_its_worker(fleet: Fleet) -> None:
    register(fleet, 4)
    fleet("start", "--version", "1.2.0", "--stages", "100")
    one, two = taken(fleet, "-n", "2", "--worker", "one"), taken(fleet, "--worker", "two")
    report(fleet, one[:1])
    assert taken(fleet, "--again", "--worker", "one") == one[1:]
    assert taken(fleet, "--again") == [one[1], *two]
    assert taken(fleet) == []


# Decisions


def start_bad(fleet: Fleet, *options: str) -> list[str]:
    """A rollout of which every device fails but keeps the new version; the first ten devices."""
    register(fleet, 100)
    fleet("start", "--version", "1.2.0", "--stages", "10,100", *options)
    devices = taken(fleet)
    report(fleet, devices, "failed", "1.2.0")
    return devices


def test_a_bad_release_is_halted_and_rolled_back_at_once(fleet: Fleet, ended: Any) -> None:
    devices = start_bad(fleet)
    done = ended("advance")
    assert done.code == 1
    assert done.out.startswith("halt: 10 of 10 devices failed")
    back = taken(fleet)
    assert back == devices
    assert versions(fleet) == {"1.1.0": 90, "1.2.0": 10}
    report(fleet, back, version="1.1.0")
    assert fleet("advance").startswith("complete: 10 of 10 devices are back")
    assert versions(fleet) == {"1.1.0": 100}
    assert fleet("verify").startswith("PASS  rollback 2 (of rollout 1)")


def test_a_halted_rollout_hands_out_nothing_and_resume_accepts_its_failures(
    fleet: Fleet, ended: Any
) -> None:
    start_bad(fleet, "--no-rollback")
    assert ended("advance").code == 1
    for command in ("next", "advance"):
        done = ended(command)
        assert done.code == 1
        assert "rollout 1 (1.2.0) is halted; go on with" in done.err
    fleet("resume")
    assert fleet("advance").startswith("continue")
    rest = taken(fleet)
    assert len(rest) == 90
    report(fleet, rest)
    assert fleet("advance").startswith("complete: 0 of 90")


def test_results_come_in_while_a_rollout_is_halted_by_hand(fleet: Fleet) -> None:
    register(fleet, 10)
    fleet("start", "--version", "1.2.0", "--stages", "100")
    devices = taken(fleet)
    fleet("halt", "--reason", "smoke")
    report(fleet, devices)
    fleet("resume")
    assert fleet("advance").startswith("complete: 0 of 10")
    assert "smoke" in fleet("history")


def test_a_rollback_takes_every_device_that_may_have_the_version(fleet: Fleet, ended: Any) -> None:
    register(fleet, 5)
    fleet("register", "unknown-before")
    fleet("start", "--version", "1.2.0", "--stages", "100")
    taken(fleet)
    report(fleet, ["device-000", "unknown-before"])
    report(fleet, ["device-001"], "failed")  # keeps what it had
    report(fleet, ["device-002"], "failed", "1.2.0")  # has it, and fails
    fleet("rollback")
    back = taken(fleet)
    assert sorted(back) == ["device-000", "device-002", "device-003", "device-004"]
    report(fleet, ["device-000", "device-003", "device-004"], version="1.1.0")
    report(fleet, ["device-002"], "failed", "1.2.0")
    assert ended("advance").code == 1
    assert "is complete, not halted" in ended("resume").err
    fleet("rollback")
    assert taken(fleet) == ["device-002"]
    report(fleet, ["device-002"], version="1.1.0")
    assert fleet("advance").startswith("complete: 1 of 1")
    assert "none to go back" in ended("rollback").err


def test_devices_that_stay_silent_beyond_the_window_have_failed(
    fleet: Fleet, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    register(fleet, 100)
    fleet("start", "--version", "1.2.0", "--stages", "10,100", "--window-hours", "2")
    taken(fleet)
    now += 7100
    assert fleet("advance").startswith("hold: waiting for 10")
    now += 200
    done = ended("advance")
    assert done.code == 1
    assert done.out.startswith("halt: 10 of 10")


def test_the_same_hold_is_written_down_once(fleet: Fleet) -> None:
    register(fleet, 10)
    fleet("start", "--version", "1.2.0", "--stages", "100")
    for _ in range(3):
        assert fleet("advance").startswith("hold")
    actions = [json.loads(line)["action"] for line in fleet("history", "--json").splitlines()]
    assert actions == ["start", "hold"]


def test_only_one_rollout_runs(fleet: Fleet, ended: Any) -> None:
    register(fleet, 2)
    fleet("start", "--version", "1.2.0")
    done = ended("start", "--version", "1.3.0")
    assert "rollout 1 (1.2.0) is running; end it first" in done.err


# Verification


def test_verification_wants_every_device_to_say_what_it_runs(fleet: Fleet, ended: Any) -> None:
    register(fleet, 3)
    fleet("start", "--version", "1.2.0", "--stages", "100")
    report(fleet, taken(fleet))
    done = ended("verify")
    assert done.code == 1
    assert "3 reported ok but no version" in done.out
    text = "device,version\ndevice-000,1.2.0\ndevice-001,1.2.0\ndevice-002,1.1.0\n"
    fleet("seen", "--from", "-", stdin=text)
    done = ended("verify")
    assert done.code == 1
    assert "device-002: runs 1.1.0, expected 1.2.0" in done.out
    told = json.loads(ended("verify", "--json").out)
    assert told["others"] == [{"device": "device-002", "expected": "1.2.0", "runs": "1.1.0"}]
    fleet("seen", "device-002", "--version", "1.2.0")
    assert fleet("verify").startswith("PASS")


# The file


def test_files_that_are_no_fleet_are_one_line_and_stay_as_they_are(
    ended: Any, tmp_path: Path
) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be one" * 50)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    (tmp_path / "empty.db").touch()
    before = {path: path.read_bytes() for path in tmp_path.glob("*.db")}
    for name, command, said in [
        ("text.db", "register", "not a fleet's file, nor any SQLite file"),
        ("other.db", "register", "a database of another program, not a fleet"),
        ("empty.db", "status", "an empty file; a fleet starts with"),
        ("missing.db", "status", "no such file; a fleet starts with"),
        (".", "register", "cannot be opened"),
        ("no/folder.db", "register", "cannot be opened"),
    ]:
        done = ended(command, *(["a"] if command == "register" else []), "--db", name)
        assert done.code == 2, name
        assert said in done.err
        assert done.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in tmp_path.glob("*.db")}


def test_a_file_of_another_version_is_refused(fleet: Fleet, ended: Any, tmp_path: Path) -> None:
    fleet("register", "a")
    with closing(sqlite3.connect(tmp_path / "fleet.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 7")
    done = ended("status")
    assert "made by another version of tinybudget (schema 7, this one has 1)" in done.err


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE updates SET state = 'failed' WHERE state = 'ok'",
        "UPDATE updates SET state = 'waiting', claimed = NULL WHERE state = 'claimed'",
        "UPDATE updates SET state = 'claimed', claimed = 1 WHERE state = 'waiting'",
        "DELETE FROM updates",
        "INSERT INTO updates (rollout, rank, device, target) VALUES (1, 11, 1, 1)",
        "UPDATE rollouts SET reach = 1",
        "UPDATE rollouts SET reach = 11",
        "INSERT INTO rollouts VALUES (2, NULL, 1, NULL, '', 1, 1, 'running', 0, 0, 1)",
        "INSERT INTO devices (id) VALUES ('device-001')",
        "INSERT INTO images (version, sha256) VALUES ('1', 'xyz')",
    ],
)
def test_the_file_itself_refuses_what_must_never_be(
    fleet: Fleet, tmp_path: Path, statement: str
) -> None:
    register(fleet, 10)
    fleet("start", "--version", "1.2.0", "--stages", "50,100")
    report(fleet, taken(fleet)[:2])
    with (
        closing(sqlite3.connect(tmp_path / "fleet.sqlite")) as connection,
        pytest.raises(sqlite3.IntegrityError),
    ):
        connection.execute(statement)


# What is printed


def test_status_fits_a_narrow_terminal_without_unicode(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(fleet, 30)
    fleet("start", "--version", "1.2.0-" + "x" * 80, "--stages", "10,100")
    report(fleet, taken(fleet))
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("pytest_tinybudget.report.layout.encodable", lambda encoding: False)
    out = fleet("status")
    assert out.isascii()
    assert "#######." in out
    assert all(len(line) <= 40 for line in out.splitlines() if "x" * 80 not in line)


@pytest.mark.parametrize(
    "command",
    [
        *("register", "list", "seen", "start", "next", "report", "advance", "verify"),
        *("halt", "resume", "rollback", "status", "history"),
    ],
)
def test_help_teaches_with_an_example(ended: Any, command: str) -> None:
    done = ended(command, "--help")
    assert done.code == 0
    assert f"example:\n  tinybudget fleet {command}" in done.out


# The page


def session() -> list[str]:
    """The commands of the page's session."""
    (block,) = re.findall(r"<!-- session -->\n```console\n(.*?)```", _page(), re.DOTALL)
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def _page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_session_of_the_page_is_what_is_printed(tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", _page(), re.DOTALL)
    (tmp_path / "update.py").write_text(script, encoding="utf-8")
    devices = "".join(f"sensor-{number:03d},pico\n" for number in range(100))
    (tmp_path / "devices.csv").write_text(f"device,hardware\n{devices}", encoding="utf-8")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("python", ""), ("tinybudget", "-m pytest_tinybudget ")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n')
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "90",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }
    printed = ""
    for command in session():
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        output = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-11-22 21:00", done.stdout)
        printed += f"$ {command}\n" + "".join(f"{line.rstrip()}\n" for line in output.splitlines())
    page, marker = _page(), "<!-- session -->\n```console\n"
    shown = page.partition(marker)[2].partition("```")[0]
    if os.environ.get("TINYBUDGET_UPDATE_DOCS"):
        PAGE.write_text(page.replace(marker + shown, marker + printed), encoding="utf-8")
    else:
        assert shown == printed


def test_the_page_has_every_command(ended: Any) -> None:
    usage = ended("--help").out
    commands = set(re.findall(r"^    (\w+) +[a-z]", usage, re.MULTILINE))
    rows = re.findall(r"^\| (`.*?) \|", _page(), re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`(\w+)", row)}
    assert len(commands) == 13
    assert commands <= named
