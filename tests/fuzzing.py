"""Files of every format that strangers may hand in, mutated and read: a harness for all of them.

An input is read, or refused in one line without control characters, soon and in little memory;
anything else is a finding. The nightly job: ``python tests/fuzzing.py --files 200000``.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import random
import re
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from types import FrameType

from pace import slowness

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.convert.worker.problem import WorkerError


#: Processor time for one input, and address space beyond what the process has at the start.
SECONDS = 2.0
MEMORY_BYTES = 1024**3

_LONGEST_MESSAGE = 2000
_INTEGERS = (0, 1, 2, 4, 8, 127, 128, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_NUMBERS = (
    *("0", "-1", "1", "0.5", "-0.0", "1e308", "1e999", "nan", "inf", "true", "null", '""', "[]"),
    *("{}", str(2**31), str(2**53), str(2**64), "9" * 400, "1_0", "0x10", "'1 GB'", "1970-01-01"),
)
_HOSTILE = (
    *("\x1b[31m", "\u202e", "\x00", "\r", "\n", "*/", "\\\n", "::error::", "<b>", "=1+1", "../"),
    *("[" * 3000, "{" * 3000, '"', "'", ",", ":", "#", "%0A", "\ud7ff", "\ufeff", "é" * 300),
)
_TOKEN = re.compile(r"-?\d+(?:\.\d+)?|\"[^\"\n]*\"|\b[a-z_]+\b")


class HangError(BaseException):
    """An input took its time; no handler of the code under test may catch it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that was neither read nor refused as it should be."""

    what: str
    content: bytes
    trace: str = ""


@dataclass(slots=True)
class Target:
    """A format: sound files, what reads one (and does all that comes after), how to damage one.

    ``read`` takes a file's content; it raises what users see, or returns where all went well.
    """

    name: str
    corpus: Sequence[bytes]
    read: Callable[[bytes], object]
    mutate: Callable[[bytes, random.Random], bytes]


@dataclass(slots=True)
class Tally:
    """What came of the inputs of one target; ``slowest`` in seconds of processor time."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """How many there were."""
        return self.read + self.refused + len(self.findings)


def run(
    target: Target, files: int, seed: str, *, until: float = float("inf"), most_findings: int = 20
) -> Tally:
    """Mutate and read ``files`` inputs, fewer where the clock passes ``until`` (monotonic)."""
    chance, tally = random.Random(f"{target.name} {seed}"), Tally()
    with _memory_bounded():
        for _ in range(files):
            content = target.mutate(chance.choice(target.corpus), chance)
            started = time.process_time()
            _try(target, content, tally)
            tally.slowest = max(tally.slowest, time.process_time() - started)
            if time.monotonic() > until or len(tally.findings) >= most_findings:
                break
    return tally


def _try(target: Target, content: bytes, tally: Tally, seconds: float = 0.0) -> None:
    """Read ``content`` and count what comes of it.

    An input that takes too long gets a second chance, as much longer as the machine is slower now.
    """
    try:
        with _time_bounded(seconds or SECONDS):
            target.read(content)
    except HangError as error:
        if seconds:
            tally.findings.append(Finding(f"HangError: {error}", content, traceback.format_exc()))
        else:
            _try(target, content, tally, SECONDS * slowness())
    except (TinybudgetError, WorkerError) as error:
        problem = _message_problem(error)
        if problem:
            tally.findings.append(Finding(problem, content, traceback.format_exc()))
        else:
            tally.refused += 1
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever else it is, it is what is looked for
        text = f"{type(error).__name__}: {str(error)[:200]}"
        tally.findings.append(Finding(text, content, traceback.format_exc()))
    else:
        tally.read += 1


def _message_problem(error: TinybudgetError | WorkerError) -> str:
    """What is wrong with the text of a refusal."""
    lines = error.lines if isinstance(error, WorkerError) else (error.message, *error.details)
    for line in lines:
        if not line.isprintable():
            return f"unprintable message: {line[:200]!r}"
        if len(line) > _LONGEST_MESSAGE:
            return f"message of {len(line)} characters: {line[:200]!r}"
    return ""


def require_plain(text: str) -> None:
    """Fail where a report holds characters that a terminal or an editor acts upon."""
    for line in text.split("\n"):
        if not line.isprintable():
            found = next(each for each in line if not each.isprintable())
            raise AssertionError(f"report with {found!r} in {line[:200]!r}")


@contextmanager
def _time_bounded(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise HangError(f"more than {seconds:.1f} s")

    # Python drops what is raised while a callback of its garbage collection runs.
    callbacks, gc.callbacks[:] = gc.callbacks[:], []
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        gc.callbacks[:] = callbacks


@contextmanager
def _memory_bounded() -> Iterator[None]:
    """Inside, the process gets no more than ``MEMORY_BYTES`` on top; where a system says so."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, limits[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


# Mutations


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """``content`` with bits flipped, words rewritten, parts cut, repeated or copied elsewhere."""
    damaged = bytearray(content)
    words = _likely_fields(content)
    for _ in range(chance.choice((1, 1, 1, 1, 2, 4))):
        if len(damaged) < 8:
            break
        position = chance.choice(words) if words and chance.random() < 0.5 else None
        if position is None or position > len(damaged) - 4:
            position = chance.randrange(len(damaged))
        _damage(damaged, position, chance)
    return bytes(damaged)


def _damage(damaged: bytearray, position: int, chance: random.Random) -> None:
    length = chance.choice((1, 2, 4, 8, 32, 200))
    match chance.randrange(9):
        case 0:
            damaged[position] ^= 1 << chance.randrange(8)
        case 1:
            damaged[position] = chance.randrange(256)
        case 2 | 3:
            word = struct.pack("<I", chance.choice(_INTEGERS))
            damaged[position : position + 4] = word[: len(damaged) - position]
        case 4:
            if position + 4 <= len(damaged):
                (word_value,) = struct.unpack_from("<I", damaged, position)
                near = (word_value + chance.choice((-64, -4, -1, 1, 4, 64))) % 2**32
                struct.pack_into("<I", damaged, position, near)
        case 5:
            source = chance.randrange(len(damaged)) & ~3
            part = damaged[source : source + 4]
            damaged[position : position + len(part)] = part
        case 6:
            del damaged[position : position + length]
        case 7:
            source = chance.randrange(len(damaged))
            damaged[position:position] = damaged[source : source + length]
        case _:
            if chance.random() < 0.2:
                del damaged[position:]
            else:
                source = chance.randrange(len(damaged))
                part = damaged[source : source + length]
                damaged[position : position + len(part)] = part


_fields: dict[bytes, list[int]] = {}


def _likely_fields(content: bytes) -> list[int]:
    """Words that may be offsets, lengths or small numbers, rather than weights or code."""
    if content not in _fields:
        usable = len(content) & ~3
        limit = max(256, min(len(content), 1 << 20))
        _fields[content] = [
            4 * index
            for index, (word,) in enumerate(struct.iter_unpack("<I", content[:usable]))
            if 0 < word < limit or word > 2**32 - limit
        ]
    return _fields[content]


def mutated_text(content: bytes, chance: random.Random) -> bytes:
    """``content`` with tokens replaced, lines moved, hostile text put in; sometimes raw bytes."""
    if chance.random() < 0.15:
        return mutated_bytes(content, chance)
    text = content.decode("utf-8", "replace")
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if not text:
            break
        text = _reworded(text, chance) if chance.random() < 0.6 else _rearranged(text, chance)
    return text.encode("utf-8", "replace")


def _reworded(text: str, chance: random.Random) -> str:
    """``text`` with a token replaced by an extreme, a hostile or another token of it."""
    start = chance.randrange(len(text))
    found = _TOKEN.search(text, start) or _TOKEN.search(text)
    if found is None:
        return text + chance.choice(_HOSTILE)
    other = _TOKEN.search(text, chance.randrange(len(text)))
    new = chance.choice(
        (chance.choice(_NUMBERS), chance.choice(_HOSTILE), other[0] if other else "", "")
    )
    if found[0].startswith('"') and chance.random() < 0.6:
        new = f'"{found[0][1:-1]}{new}"'
    return text[: found.start()] + new + text[found.end() :]


def _rearranged(text: str, chance: random.Random) -> str:
    """``text`` with a line or a piece removed, repeated or moved."""
    if chance.random() < 0.3:
        position = chance.randrange(len(text))
        return text[:position] + chance.choice(_HOSTILE) + text[position:]
    lines = text.split("\n") if chance.random() < 0.7 else list(re.split(r"(?<=[,{}\[\]])", text))
    position, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[position]
        case 1:
            lines.insert(position, lines[other])
        case 2:
            lines[position], lines[other] = lines[other], lines[position]
        case _:
            lines[position] = lines[position][: len(lines[position]) // 2]
    return ("\n" if text.count("\n") >= len(lines) - 2 else "").join(lines)


# The nightly job


def main() -> int:
    """Fuzz the formats that are asked for; 1 where there are findings, which are kept as files."""
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000, help="mutated models")
    parser.add_argument("--others", type=int, default=20_000, help="inputs of each other format")
    parser.add_argument("--minutes", type=float, default=120, help="stop after these")
    parser.add_argument("--only", choices=sorted(TARGETS), action="append", help="these formats")
    parser.add_argument("--seed", default=time.strftime("%Y-%m-%d"), help="default: the date")
    parser.add_argument(
        "--keep", type=Path, default=Path("build/fuzzing"), help="folder for findings"
    )
    arguments = parser.parse_args()
    until, failed = time.monotonic() + 60 * arguments.minutes, False
    print(f"seed {arguments.seed}")
    for name in arguments.only or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            target = TARGETS[name](Path(folder))
            if not target.corpus:
                print(f"{name}: no sound files here to begin with")
                continue
            files = arguments.files if name == "tflite" else arguments.others
            started = time.monotonic()
            tally = run(target, files, arguments.seed, until=until)
        print(
            f"{name}: {tally.inputs:,} inputs in {time.monotonic() - started:.0f} s: "
            f"{tally.read:,} read, {tally.refused:,} refused, {len(tally.findings)} findings; "
            f"slowest {tally.slowest:.2f} s",
            flush=True,
        )
        for finding in tally.findings:
            failed = True
            _keep(arguments.keep, name, finding)
    return int(failed)


def _keep(folder: Path, name: str, finding: Finding) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}-{hashlib.sha256(finding.content).hexdigest()[:12]}"
    (folder / stem).write_bytes(finding.content)
    (folder / f"{stem}.txt").write_text(f"{finding.what}\n\n{finding.trace}", encoding="utf-8")
    print(f"  {stem}: {finding.what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
