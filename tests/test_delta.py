"""Deltas: the sizes that detools makes, over a grid of what changes between two models."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from campaigns import every
from campaigns import rare
from conftest import DECLARATION

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.update.delta import delta_bytes
from pytest_tinybudget.update.payload import Payload
from pytest_tinybudget.update.payload import payload_figures
from pytest_tinybudget.update.settings import InPlace
from pytest_tinybudget.update.settings import UpdateSettings


SHARES = (0.001, 0.01, 0.1, 0.3, 0.45, 0.5, 0.55, 0.6, 0.8, 1.0)

KINDS = ("one step", "trained again", "one layer", "moved")

#: Bytes of detools 0.53.0 (liblzma 5, Linux on x86-64) for ``pair(20_000, kind, share)``.
MEASURED: dict[tuple[str, float], int] = {
    ("one step", 0.001): 166,
    ("one step", 0.01): 534,
    ("one step", 0.1): 2_069,
    ("one step", 0.3): 3_858,
    ("one step", 0.45): 4_466,
    ("one step", 0.5): 13_186,
    ("one step", 0.55): 18_354,
    ("one step", 0.6): 18_315,
    ("one step", 0.8): 18_301,
    ("one step", 1.0): 18_313,
    ("trained again", 0.001): 162,
    ("trained again", 0.01): 614,
    ("trained again", 0.1): 3_222,
    ("trained again", 0.3): 7_598,
    ("trained again", 0.45): 9_169,
    ("trained again", 0.5): 9_984,
    ("trained again", 0.55): 18_389,
    ("trained again", 0.6): 18_434,
    ("trained again", 0.8): 18_462,
    ("trained again", 1.0): 18_504,
    ("one layer", 0.001): 115,
    ("one layer", 0.01): 302,
    ("one layer", 0.1): 2_038,
    ("one layer", 0.3): 5_913,
    ("one layer", 0.45): 13_787,
    ("one layer", 0.5): 13_776,
    ("one layer", 0.55): 13_801,
    ("one layer", 0.6): 13_772,
    ("one layer", 0.8): 18_336,
    ("one layer", 1.0): 18_274,
    ("moved", 0.001): 119,
    ("moved", 0.01): 303,
    ("moved", 0.1): 1_962,
    ("moved", 0.3): 5_606,
    ("moved", 0.45): 8_332,
    ("moved", 0.5): 9_254,
    ("moved", 0.55): 10_171,
    ("moved", 0.6): 11_084,
    ("moved", 0.8): 14_728,
    ("moved", 1.0): 18_393,
}


def _weight(chance: random.Random) -> int:
    return max(-127, min(127, round(chance.gauss(0, 35))))


def pair(count: int, kind: str, share: float) -> tuple[bytes, bytes]:
    """A file of ``count`` weights, and what becomes of it when ``share`` of them changes."""
    chance = random.Random(f"{count} {kind} {share}")
    head = bytes(chance.randrange(40) for _ in range(1500))
    old = [_weight(chance) for _ in range(count)]
    new, changed = list(old), max(1, int(share * count))
    if kind == "one layer":
        start = count // 4 if count // 4 + changed <= count else 0
        new[start : start + changed] = [_weight(chance) for _ in range(changed)]
    elif kind == "moved":
        new[count // 3 : count // 3] = [_weight(chance) for _ in range(changed)]
    else:
        for place in chance.sample(range(count), changed):
            step = chance.choice((-1, 1)) if kind == "one step" else round(chance.gauss(0, 12))
            new[place] = max(-127, min(127, new[place] + step))
    return tuple(head + bytes(each & 0xFF for each in weights) for weights in (old, new))  # type: ignore[return-value]


def made_by_detools(old: bytes, new: bytes, in_place: InPlace | None = None) -> int:
    detools = pytest.importorskip("detools")
    settings = {}
    if in_place is not None:
        memory, segment = in_place.memory, in_place.segment
        settings = {"patch_type": "in-place", "memory_size": memory, "segment_size": segment}
    patch = io.BytesIO()
    detools.create_patch(io.BytesIO(old), io.BytesIO(new), patch, **settings)
    return patch.tell()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [300, 4000, rare(20_000)])
def test_what_detools_makes_is_in_the_stated_range(count: int, kind: str) -> None:
    for share in SHARES:
        old, new = pair(count, kind, share)
        least, most = delta_bytes(old, new)
        assert least <= made_by_detools(old, new) <= most, f"{share:%} of {count} weights"
        assert most - least <= 0.021 * most + 66


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("free", [2, rare(4), rare(16)])
def test_what_detools_makes_in_place_is_in_the_stated_range(kind: str, free: int) -> None:
    for share in SHARES:
        old, new = pair(12_000, kind, share)
        segments = -(-max(len(old), len(new)) // 1024) + free
        in_place = InPlace(segments * 1024, 1024)
        least, most = delta_bytes(old, new, in_place)
        assert least <= made_by_detools(old, new, in_place) <= most, f"{share:%}"


def random_pair(chance: random.Random) -> tuple[bytes, bytes]:
    """Weights of one of four distributions, and what one of nine kinds of change makes of them."""

    def weight() -> int:
        return (
            max(-127, min(127, round(chance.gauss(0, 35)))),
            max(-127, min(127, round(chance.gauss(0, 4)))),
            chance.choice((0, 0, 0, 0, round(chance.gauss(0, 30)))),
            chance.randrange(-128, 128),
        )[distribution]

    count, distribution = int(10 ** chance.uniform(1.5, 4.3)), chance.randrange(4)
    head = bytes(chance.randrange(40) for _ in range(chance.choice((0, 300, 1500))))
    old = [weight() for _ in range(count)]
    new, kind = list(old), chance.randrange(9)
    changed = max(1, int(chance.choice((0.0005, *SHARES, 0.05, 0.2, 0.4)) * count))
    start = chance.randrange(count - changed + 1)
    if kind == 0:
        for place in chance.sample(range(count), changed):
            new[place] += chance.choice((-1, 1))
    elif kind == 1:
        for place in chance.sample(range(count), changed):
            new[place] += round(chance.gauss(0, 12))
    elif kind == 2:
        new[start : start + changed] = [weight() for _ in range(changed)]
    elif kind == 3:
        new[start:start] = [weight() for _ in range(changed)]
    elif kind == 4:
        del new[start : start + changed]
    elif kind == 5:
        new = new[start:] + new[:start]
    elif kind == 6:
        for _ in range(max(1, 10 * changed // count)):
            place = chance.randrange(count)
            block = slice(place, place + count // 10 + 1)
            new[block] = [weight() for _ in new[block]]
    elif kind == 7:
        rows = [new[row : row + count // 16 + 1] for row in range(0, count, count // 16 + 1)]
        chance.shuffle(rows)
        new = [each for row in rows for each in row]
    else:
        for place in chance.sample(range(count), changed):
            new[place] = 0
    return tuple(head + bytes(each & 0xFF for each in weights) for weights in (old, new))  # type: ignore[return-value]


@pytest.mark.campaign
@pytest.mark.parametrize("first", range(0, 600, 100))
def test_random_pairs_are_in_the_stated_range(first: int) -> None:
    for seed in range(first, first + 100):
        chance = random.Random(seed)
        old, new = random_pair(chance)
        in_place = None
        if chance.random() < 0.3:
            segment = chance.choice((256, 512, 1024, 4096))
            segments = -(-max(len(old), len(new)) // segment) + chance.choice((0, 1, 2, 4, 8, 16))
            in_place = InPlace(segments * segment, segment)
        least, most = delta_bytes(old, new, in_place)
        assert least <= made_by_detools(old, new, in_place) <= most, f"seed {seed}, {in_place}"


def test_content_of_many_equal_bytes_is_in_the_range_of_what_was_measured() -> None:
    chance = random.Random(0)

    def sparse(count: int) -> bytes:
        return bytes(chance.choice((0, 0, 0, 0, chance.randrange(256))) for _ in range(count))

    old = sparse(4000)
    least, most = delta_bytes(old, old[:1500] + sparse(2000) + old[1500:])
    assert least <= 1_259 <= most  # detools 0.53.0


@pytest.mark.parametrize(("key", "size"), every(5, MEASURED.items()), ids=str)
def test_the_range_holds_what_was_measured(key: tuple[str, float], size: int) -> None:
    least, most = delta_bytes(*pair(20_000, *key))
    assert least <= size <= most


def test_a_delta_jumps_to_the_whole_file_where_less_than_half_of_it_stays() -> None:
    below, above = (delta_bytes(*pair(20_000, "one step", share)) for share in (0.45, 0.6))
    assert below[1] < 5_000
    assert above[0] > 17_000


def test_a_changed_byte_costs_segments_where_memory_in_place_is_tight() -> None:
    old, _ = pair(32_768 - 1500, "one step", 0.001)
    new = old[:-5] + bytes([old[-5] ^ 1]) + old[-4:]
    segments = len(old) // 4096
    roomy, tight = (
        delta_bytes(old, new, InPlace((segments + free) * 4096, 4096)) for free in (8, 0)
    )
    assert roomy[1] < 250
    assert tight[0] > 3_000


def test_a_model_larger_than_the_memory_for_deltas_in_place_is_over() -> None:
    old, new = pair(4000, "one step", 0.1)
    payload = Payload(new, deployed=old, in_place=InPlace(4096, 4096))
    figures = list(
        payload_figures(payload, UpdateSettings("delta", in_place=payload.in_place), None)
    )
    (room,) = (each for each in figures if each.name == "update in place")
    assert (room.high, room.limit) == (len(new), 4096)
    assert "in_place_memory" in room.advice


def _declared(folder: Path, update: str) -> UpdateSettings | None:
    path = folder / "tinybudget.toml"
    path.write_text(f"[update]\n{update}\n\n{DECLARATION}")
    return load_declaration(path).update


@pytest.mark.parametrize(
    ("update", "told"),
    [
        ('in_place_memory = "10 KB"', "expected a multiple of the segment's 4.0 KB"),
        ('in_place_segment = "1 KB"', "'in_place_memory' is missing"),
        ('in_place_memory = "8 KB"\nin_place_segment = 0', "in_place_segment"),
    ],
)
def test_what_no_delta_in_place_can_have_is_refused(tmp_path: Path, update: str, told: str) -> None:
    with pytest.raises(TinybudgetError) as error:
        _declared(tmp_path, update)
    assert told in error.value.full_text
