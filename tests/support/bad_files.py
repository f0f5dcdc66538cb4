"""A library in which many files are damaged: certain ones beyond use, others perhaps."""

import random
from collections.abc import Callable
from pathlib import Path

from tests.support import sounds
from tests.support.bombs import wav

DURATION_S = 3.2
RATE = 16_000
_AV = {"m4a": ("mp4", "aac"), "aac": ("adts", "aac"), "wma": ("asf", "wmav2")}
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "aiff", *_AV)
# what a damaged file may end in; also None: one that still decodes is labelled
STABLE_CODES = {
    "corrupt", "empty", "not_audio", "silent", "too_complex", "too_long", "too_short", "unsupported_format",
}  # fmt: skip


def music(suffix: str, seed: int) -> bytes:
    """Sound of which no two seeds have the same."""
    samples = sounds.chord([131 + seed % 997, 165 + 2 * (seed % 499)], DURATION_S)
    samples = samples + sounds.noise(DURATION_S, seed=seed, level=0.02)
    if suffix in _AV:
        return sounds.encode_av(samples, RATE, *_AV[suffix])
    return sounds.encode(samples, RATE, suffix)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: round(len(data) * chance.uniform(0.3, 0.7))]


def _splice(data: bytes, chance: random.Random) -> bytes:
    """Half of a song, then something else."""
    return _cut(data, chance) + chance.randbytes(len(data) // 2)


def _claim_more(data: bytes, chance: random.Random) -> bytes:
    if data[:4] == b"fLaC":
        return sounds.with_flac_length(data, chance.randrange(1 << 20, 1 << 36))
    return wav(sample_rate=RATE, claimed_bytes=chance.randrange(1 << 20, 1 << 30), data=data)


def _renamed(_: bytes, chance: random.Random) -> bytes:
    return b"".join(chance.choice((b"lorem ", b"ipsum ", b"dolor\n")) for _ in range(3000))


def _nothing(_: bytes, chance: random.Random) -> bytes:
    return sounds.id3_tag(chance.randrange(1 << 16))


# how to ruin a file, the formats that this certainly ruins, and the code it ends in
RUINS: tuple[tuple[Callable[[bytes, random.Random], bytes], tuple[str, ...], str], ...] = (
    (_cut, ("wav", "flac", "mp3", "ogg", "opus", "aiff", "m4a", "wma"), "corrupt"),
    (_splice, ("flac", "mp3"), "corrupt"),
    (_claim_more, ("wav", "flac"), "corrupt"),
    (_renamed, FORMATS, "not_audio"),
    (_nothing, ("mp3", "flac"), "empty"),
)


def _flip(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 40)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _flip_head(data: bytes, chance: random.Random) -> bytes:
    return _flip(data[:256], chance) + data[256:]


def _drop(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randrange(1, 4000) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start, length = chance.randrange(len(data)), chance.randrange(1, 4000)
    return data[: start + length] + data[start:]


def _lie(data: bytes, chance: random.Random) -> bytes:
    """A number in the header that says something else."""
    at = chance.randrange(4, 128)
    return data[:at] + chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")) + data[at + 4 :]


FUZZES = (_cut, _splice, _flip, _flip_head, _drop, _repeat, _lie)


def make_library(root: Path, good: int, ruined: int, fuzzed: int, seed: int) -> dict[str, set[str | None]]:
    """Fill a folder; the file names with the codes that they may end in, None for labels."""
    chance = random.Random(seed)
    honest: dict[str, set[str | None]] = {}
    ways = [(ruin, suffix, code) for ruin, suffixes, code in RUINS for suffix in suffixes]
    for index in range(good + ruined + fuzzed):
        suffix = FORMATS[index % len(FORMATS)]
        codes: set[str | None]
        if index < good:
            data, codes = music(suffix, index), {None}
        elif index < good + ruined:
            ruin, suffix, code = ways[index % len(ways)]
            data, codes = ruin(music(suffix, index), chance), {code}
        else:
            data, codes = chance.choice(FUZZES)(music(suffix, index), chance), {None, *STABLE_CODES}
        name = f"{chance.randrange(1 << 32):08x} {index}.{suffix}"
        (root / name).write_bytes(data)
        honest[name] = codes
    return honest
