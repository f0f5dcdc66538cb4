"""Damaged audio files, made from seeds, and what is right to say of each.

Every file starts as sound of known length, so that `untruth` can tell what an outcome hides or makes up.
"""

import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import soundfile as sf

from core.errors import ItemError
from core.ml.audio.damage import MAX_MISSING_SHARE
from core.ml.audio.source import Decoded
from tests.support import sounds

RATE = 44_100
FORMATS = ("mp3", "flac", "vorbis", "opus", "aac", "m4a", "wav")
_ACCURACY_S = 0.1
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
    junk_s: float  # how long junk within the samples would sound, where nothing tells it from them


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
    """Some bits, one here and one there, after the headers."""
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
        junk_s=_MOST_JUNK_BYTES / (4 * RATE) if (format_name, damage) == ("wav", junk_between) else 0.0,
    )


def missing_s(sentence: str) -> float:
    """The seconds that a warning or an error says are missing."""
    found = re.search(r": ([\d.]+) s of [\d.]+ s \([\d.]+ %\)", sentence)
    return float(found[1]) if found else 0.0


def untruth(damaged: Damaged, decoded: Decoded | ItemError) -> str | None:
    """What is wrong with an outcome, by the rule for damage; None: it is true."""
    if isinstance(decoded, ItemError):
        if decoded.code != "corrupt" or not damaged.touched_share:
            return f"{decoded.code}: {decoded.detail}"
        is_unreadable = "index" in decoded.detail or "headers" in decoded.detail
        too_much = missing_s(decoded.detail) > MAX_MISSING_SHARE * damaged.length_s * 0.9
        is_short = not damaged.states_length and damaged.touched_share > MAX_MISSING_SHARE
        if is_unreadable or too_much or is_short:
            return None
        return f"too little is missing: {decoded.detail}"
    reported_s = sum(map(missing_s, decoded.warnings))
    total_s = decoded.duration_s + reported_s
    if reported_s > MAX_MISSING_SHARE * total_s + 0.01:
        return f"labelled although {reported_s:.2f} s are missing"
    if damaged.states_length and total_s < damaged.length_s - _ACCURACY_S:
        return f"{damaged.length_s - total_s:.2f} s are missing without a word"
    if decoded.duration_s > damaged.length_s + _ACCURACY_S + damaged.junk_s:
        return f"{decoded.duration_s - damaged.length_s:.2f} s of junk are taken for sound"
    if not damaged.touched_share and (
        decoded.warnings or abs(decoded.duration_s - damaged.length_s) > _ACCURACY_S
    ):
        return f"nothing is missing, but {decoded}"
    return None


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
