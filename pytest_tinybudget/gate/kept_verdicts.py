"""Verdicts that outlive a run: a pair that passed passes while nothing that decides it changed.

What decides is the text of the declaration, the contents of the model's file and of the files that
say what is flashed, this package's code and tables, and how the run was asked; beside these, the C
files must be as they were written. Only what is known to depend on nothing else is kept: a
declaration with keys that name further files or dates is judged anew in each run.

This module imports nothing heavy: a run in which nothing changed imports little else.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from base64 import b64decode
from base64 import b64encode
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.base.cache_folder import default_folder
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import file_digest
from pytest_tinybudget.base.files import keep_below
from pytest_tinybudget.base.files import write_file


if TYPE_CHECKING:
    from pytest_tinybudget.results.types import PairResult


#: The form of the files below; another one is another state.
_FORM = "3"
#: The most that is kept, bytes; what was written longest ago goes first.
LIMIT_BYTES = 32 * 1024**2
#: The most pairs of a declaration that is kept: a file of 15 MB.
MOST_PAIRS = 50_000
_SUFFIX = ".verdicts"
_TABLE = ".table"

#: The keys of a declaration on which a verdict depends by their text alone.
_TABLES = frozenset({"schema", "defaults", "models", "groups", "boards"})
_OF_MODELS = frozenset(
    {
        *("source", "boards", "budget", "warn_at", "message", "require_int8", "strict", "sdk"),
        *("registrations", "runtime", "stack", "placement", "placement_model", "storage_model"),
        *("artifacts", "informational"),
    }
)
_OF_BOARDS = frozenset(
    {
        *("extends", "name", "mcu", "core", "clock_mhz", "flash", "ram", "usable_flash", "notes"),
        *("largest_ram", "largest_heap", "psram", "sdk", "reserved_flash", "reserved_ram"),
        *("runtime",),
    }
)
_WILDCARDS = frozenset("*?[")
#: A SHA-256 in hexadecimal.
_DIGEST_BYTES = 64
#: Results of forty boards differ little: the quickest level of zlib leaves a tenth of them.
_LEVEL = 1
#: Younger than this, a file may change again without a new time, seconds.
_SETTLED_SECONDS = 2.0


class KeptVerdict:
    """The result of a pair that passed, as it was kept; what is asked of it is read when asked."""

    __slots__ = ("_model", "_result", "_target", "id", "outcome")

    #: What failed is not kept.
    failed = False

    def __init__(self, pair_id: str, outcome: str, model: KeptModel, target: str) -> None:
        self.id = pair_id
        self.outcome = outcome
        self._model = model
        self._target = target
        self._result: PairResult | None = None

    @property
    def digest(self) -> str:
        """A hash of the results of its model, this one among them."""
        return self._model.digest

    @property
    def result(self) -> PairResult:
        """The result as it was."""
        if self._result is None:
            import msgspec

            from pytest_tinybudget.results.types import PairResult

            text = _unpacked(self._model.packed)[self._target]
            self._result = msgspec.json.decode(text, type=PairResult)
        return self._result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.result, name)


class KeptModel:
    """A model or group of a kept declaration: its pairs in their order, and what must be as it was.

    Attributes:
        name: the model's, as node ids have it.
        pairs: target and line of each; also of those whose verdicts are not kept.
        packed: the results as JSON by target, compressed: those of forty boards differ little.
        digest: a hash of these.
        claim: folder and name that its C files take; ``None`` without any.
    """

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self.plain = plain
        self.name: str = plain["name"]
        self.pairs: list[tuple[str, int]] = [(target, line) for target, line in plain["pairs"]]
        claim = plain["claim"]
        self.claim: tuple[Path, str] | None = (Path(claim[0]), claim[1]) if claim else None
        self._outcomes: dict[str, str] = plain["outcomes"]
        self.packed: str = plain["results"]
        self.digest: str = plain["digest"]
        #: Whether the C files were looked at because they were too young to go by their times.
        self.looked_at = False

    def is_there(self) -> bool:
        """Whether there is a model's file at its place; of a group nothing is asked."""
        source = self.plain["source"]
        return source is None or Path(source).is_file()

    def is_current(self) -> bool:
        """Whether the model's file and its C files are those that the verdicts are of."""
        if not self._outcomes:
            return False
        with suppress(OSError):
            found = file_digest(Path(self.plain["source"])).hex()
            if found == str(self.plain["sha256"]):
                return all(self._is_there(stamp) for stamp in self.plain["files"])
        return False

    def has(self, target: str) -> bool:
        """Whether the verdict of a pair is kept."""
        return target in self._outcomes

    @property
    def verdicts(self) -> dict[str, tuple[str, str]]:
        """Outcome and JSON of each verdict, by target."""
        texts = _unpacked(self.packed)
        return {target: (outcome, texts[target]) for target, outcome in self._outcomes.items()}

    def verdict(self, file: str, target: str) -> KeptVerdict | None:
        """The verdict of a pair, if it is kept."""
        outcome = self._outcomes.get(target)
        if outcome is None:
            return None
        return KeptVerdict(f"{file}::{self.name}::{target}", outcome, self, target)

    def _is_there(self, stamp: list[Any]) -> bool:
        path, settled, digest, *times = stamp
        if _times(path) != times:
            return False
        if settled:
            return True
        self.looked_at = True
        return file_digest(Path(path)).hex() == str(digest)


class KeptDeclaration:
    """What is kept of a declaration in one state of all that it depends on."""

    def __init__(self, state: str, plain: Mapping[str, Any]) -> None:
        self.state = state
        self.models = [KeptModel(each) for each in plain["models"]]


class KeptVerdicts:
    """Verdicts in ``folder``, which need not exist, and is made when something is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, name: str, state: str) -> KeptDeclaration | None:
        """What is kept under ``name``, a declaration's path, if it is of this ``state``."""
        plain = _read(self._path(name))
        with suppress(KeyError, TypeError, ValueError):
            if isinstance(plain, dict) and plain["state"] == state:
                return KeptDeclaration(state, plain)
        return None

    def keep(self, name: str, state: str, models: Iterable[dict[str, Any]], pairs: int) -> None:
        """Keep ``models`` of so many ``pairs``, as ``kept_model`` makes them, under ``name``.

        A model is made when it is written, so that there is one at a time in memory.
        """
        if pairs <= MOST_PAIRS:
            self._write(self._path(name), _declaration(state, models))

    def table(self, key: str) -> list[tuple[str, list[str]]] | None:
        """Lines with their markup, as they were shown of results with this key."""
        plain = _read(self.folder / f"{key}{_TABLE}")
        return plain if isinstance(plain, list) else None

    def keep_table(self, key: str, lines: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Keep what is shown of results with ``key``."""
        self._write(self.folder / f"{key}{_TABLE}", (_as_json(list(lines)),))

    def size(self) -> tuple[int, int]:
        """Of how many declarations verdicts are kept, and the bytes of all that is."""
        declarations = total = 0
        for path in self._files():
            with suppress(OSError):
                total += path.stat().st_size
                declarations += path.suffix == _SUFFIX
        return declarations, total

    def clear(self) -> int:
        """Remove what is kept; of how many declarations that was."""
        removed = 0
        for path in self._files():
            with suppress(OSError):
                path.unlink()
                removed += path.suffix == _SUFFIX
        return removed

    def _path(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(os.fsencode(name)).hexdigest()}{_SUFFIX}"

    def _files(self) -> list[Path]:
        try:
            names = [each.path for each in os.scandir(self.folder)]
        except OSError:
            return []
        return [Path(name) for name in names if name.endswith((_SUFFIX, _TABLE))]

    def _write(self, path: Path, pieces: Iterable[bytes]) -> None:
        with suppress(TinybudgetError):
            write_file(path, _with_digest(pieces))
            keep_below(self._files(), LIMIT_BYTES)


def earlier_verdicts() -> KeptVerdicts:
    """The verdicts of earlier runs, beside the conversions that are kept."""
    return KeptVerdicts(default_folder() / "verdicts")


def state_of(content: bytes, parts: Iterable[str]) -> str:
    """A hash of the declaration's text and of all else that decides about all of its pairs."""
    digest = hashlib.sha256(hashlib.sha256(content).digest())
    for part in (_FORM, *parts):
        digest.update(b"\0" + part.encode(errors="surrogateescape"))
    return digest.hexdigest()


def is_plain(document: Mapping[str, Any]) -> bool:
    """Whether the verdicts of a declaration, parsed, depend on its text and its models alone.

    A model's source with wildcards depends on the names in folders, and keys that are not listed
    here may name files, dates or programs.
    """
    if not document.keys() <= _TABLES:
        return False
    models = document.get("models", {}).values()
    if not all(each.keys() <= _OF_MODELS for each in (document.get("defaults", {}), *models)):
        return False
    if not all(each.keys() <= _OF_BOARDS for each in document.get("boards", {}).values()):
        return False
    return all(_WILDCARDS.isdisjoint(each.get("source", "*")) for each in models)


def kept_model(
    name: str,
    pairs: Iterable[tuple[str, int]],
    *,
    source: Path | None = None,
    sha256: str = "",
    claim: tuple[Path, str] | None = None,
    files: Iterable[Path] = (),
    verdicts: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """A model with its ``pairs`` (target and line), and outcome and JSON of those that passed.

    ``source`` is the model's file with its ``sha256``; ``files`` are the C files that were written.

    Raises:
        OSError: one of ``files`` is not there.
    """
    found = dict(verdicts or {})
    members = (f"{json.dumps(target)}:{text}" for target, (_, text) in found.items())
    texts = f"{{{','.join(members)}}}".encode()
    return {
        "name": name,
        "pairs": list(pairs),
        "source": source and str(source),
        "sha256": sha256,
        "claim": claim and (str(claim[0]), claim[1]),
        "files": [_stamp(path) for path in files],
        "outcomes": {target: outcome for target, (outcome, _) in found.items()},
        "results": b64encode(zlib.compress(texts, _LEVEL)).decode("ascii"),
        "digest": hashlib.sha256(texts).hexdigest(),
    }


@lru_cache(maxsize=2)
def _unpacked(packed: str) -> dict[str, str]:
    """The results of a model as JSON, by target; asked for one pair after the other."""
    import msgspec

    members = msgspec.json.decode(
        zlib.decompress(b64decode(packed)), type=dict[str, msgspec.Raw], strict=True
    )
    return {target: bytes(text).decode() for target, text in members.items()}


def stamped_again(model: KeptModel) -> dict[str, Any]:
    """``model`` with the times of its C files as they are now, which were looked at.

    Raises:
        OSError: one of them is no longer there.
    """
    return {**model.plain, "files": [_stamp(Path(each[0])) for each in model.plain["files"]]}


def table_key(verdicts: Iterable[tuple[str, str]], parts: Iterable[str]) -> str:
    """The key of a table of results (id and a hash of each), as it is shown in one way."""
    digest = hashlib.sha256()
    for part in (*parts, *(text for pair in sorted(verdicts) for text in pair)):
        digest.update(b"\0" + part.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _stamp(path: Path) -> list[Any]:
    """Path, whether its times tell of every change from now on, contents, size and times."""
    times = _times(str(path))
    settled = time.time() - times[2] / 1e9 > _SETTLED_SECONDS
    return [str(path), settled, "" if settled else file_digest(path).hex(), *times]


def _times(path: str) -> list[int]:
    """Size and times of a file; a link in its place is another one."""
    found = os.lstat(path)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _declaration(state: str, models: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """The file of a declaration in pieces, a model each."""
    yield b'{"state":%b,"models":[' % _as_json(state)
    separator = b""
    for each in models:
        yield separator + _as_json(each)
        separator = b","
    yield b"]}"


def _with_digest(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """``pieces``, and a hash of them behind."""
    digest = hashlib.sha256()
    for each in pieces:
        digest.update(each)
        yield each
    yield digest.hexdigest().encode()


def _as_json(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def _read(path: Path) -> object:
    """What a file holds; ``None`` where it is damaged or not there."""
    with suppress(OSError, ValueError):
        content = path.read_bytes()
        body = content[:-_DIGEST_BYTES]
        if hashlib.sha256(body).hexdigest().encode() == content[-_DIGEST_BYTES:]:
            found: object = json.loads(body)
            return found
    return None


def as_results(results: Iterable[PairResult | KeptVerdict]) -> tuple[PairResult, ...]:
    """``results`` with those that were kept as they were."""
    return tuple(each.result if isinstance(each, KeptVerdict) else each for each in results)
