"""Damaged audio files, made from seeds, and what is right to say of each.

Every file starts as sound of known length. `Damaged.left_s` is how much of it any decoder could still give
at most, which is what tells whether it may be labelled.
"""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import soundfile as sf

from tests import sounds

RATE = 44_100
FORMATS = ("mp3", "flac", "vorbis", "opus", "aac", "m4a", "wav")
# Junk that no decoder may take for audio or for the end of the file.
_MOST_JUNK_BYTES = 30_000


@dataclass(frozen=True)
class Damaged:
    name: str  # format and kind of damage
    suffix: str
    data: bytes
    length_s: float  # of the undamaged audio
    touched_share: float  # of the file's bytes that are changed or gone, at most
    states_length: bool  # whether the format tells how long the audio should be


@cache
def sound(format_name: str, duration_s: float = 12.0, seed: int = 0) -> bytes:
    """A whole file of music-like sound, (T, 2)."""
    rate = 48_000 if format_name == "opus" else RATE
    samples = sounds.stereo(
        sounds.chord([131, 165, 196], duration_s, rate) + sounds.noise(duration_s, rate, seed, 0.05),
        sounds.chord([131, 220, 247], duration_s, rate) + sounds.noise(duration_s, rate, seed + 1, 0.05),
    )
    if format_name in ("aac", "m4a"):
        return sounds.encode_av(samples, rate, {"aac": "adts", "m4a": "ipod"}[format_name], "aac")
    container, subtype = {
        "vorbis": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "mp3": ("MP3", None),
        "flac": ("FLAC", None), "wav": ("WAV", None),
    }[format_name]  # fmt: skip
    buffer = io.BytesIO()
    with sf.SoundFile(buffer, "w", rate, 2, format=container, subtype=subtype) as file:
        for start in range(0, len(samples), 4096):  # libsndfile overflows its stack on long blocks of Vorbis
            file.write(samples[start : start + 4096])
    return buffer.getvalue()


def flip(data: bytes, chance: random.Random) -> tuple[bytes, float]:
    """Some bits, one here and one there, behind the headers."""
    damaged = bytearray(data)
    count = chance.randint(1, 3)
    for _ in range(count):
        damaged[chance.randrange(_head(data), len(data))] ^= 1 << chance.randrange(8)
    return bytes(damaged), count * 4500 / len(data)


def hole(data: bytes, chance: random.Random) -> tuple[bytes, float]:
    """A stretch of bytes that is zero or random, as a bad sector leaves it."""
    length = chance.choice((512, 2048, 4096, len(data) // 10, len(data) // 3))
    start = chance.randrange(_head(data), len(data) - length)
    filling = bytes(length) if chance.random() < 0.5 else chance.randbytes(length)
    return data[:start] + filling + data[start + length :], length / len(data)


def lack(data: bytes, chance: random.Random) -> tuple[bytes, float]:
    """A stretch of bytes that is gone."""
    length = chance.choice((512, 2048, 4096, len(data) // 10, len(data) // 3))
    start = chance.randrange(_head(data), len(data) - length)
    return data[:start] + data[start + length :], length / len(data)


def cut(data: bytes, chance: random.Random) -> tuple[bytes, float]:
    """The end is gone."""
    kept = chance.choice((0.99, 0.97, 0.9, 0.5, 0.2))
    return data[: round(kept * len(data))], 1 - kept


def junk_in_front(data: bytes, chance: random.Random) -> tuple[bytes, float]:
    return _junk(chance) + data, 0.0


def junk_behind(data: bytes, chance: random.Random) -> tuple[bytes, float]:
    return data + _junk(chance), 0.0


def junk_between(data: bytes, chance: random.Random) -> tuple[bytes, float]:
    at = chance.randrange(_head(data), len(data))
    junk = _junk(chance)
    return data[:at] + junk + data[at:], 4500 / len(data)


DAMAGES: tuple[Callable[[bytes, random.Random], tuple[bytes, float]], ...] = (
    flip, hole, lack, cut, junk_in_front, junk_behind, junk_between,
)  # fmt: skip


def make(number: int, seed: int, duration_s: float = 12.0) -> Damaged:
    """A file; of numbers in a row, every format meets every kind of damage in turn."""
    chance = random.Random(f"{seed}:{number}")
    format_name = FORMATS[number % len(FORMATS)]
    damage = DAMAGES[number // len(FORMATS) % len(DAMAGES)]
    data, touched_share = damage(sound(format_name, duration_s), chance)
    return Damaged(
        f"{format_name} {damage.__name__}",
        {"vorbis": "ogg"}.get(format_name, format_name),
        data,
        duration_s,
        touched_share,
        states_length=format_name in ("mp3", "flac", "m4a", "wav"),
    )


def _head(data: bytes) -> int:
    """Where the audio begins: what describes it is damaged elsewhere."""
    if data[:4] == b"OggS":
        return 8192 if b"vorbis" in data[:64] else 512
    if data[4:8] == b"ftyp":
        return data.index(b"mdat") + 4
    return 256


def _junk(chance: random.Random) -> bytes:
    length = chance.randrange(1, _MOST_JUNK_BYTES)
    return bytes(length) if chance.random() < 0.3 else chance.randbytes(length)
