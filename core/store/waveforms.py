"""Waveforms: one per piece of audio."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.store.tables import Track, Waveform


class NewWaveform(Protocol):
    """What is stored of a waveform; see the table."""

    @property
    def duration_s(self) -> float: ...

    @property
    def bin_s(self) -> float: ...

    @property
    def peaks(self) -> bytes: ...

    @property
    def rms(self) -> bytes: ...


@dataclass(frozen=True)
class Levels:
    """Levels of equal parts of the whole duration, from 0 to 255."""

    duration_s: float
    peaks: list[int]
    rms: list[int]


def save_waveforms(session: Session, waveforms: Mapping[bytes, NewWaveform]) -> None:
    """Write waveforms by content hash; equal audio has an equal one, so one that is there already stays."""
    if not waveforms:
        return
    rows = [
        {
            "content_hash": content_hash,
            "duration_s": found.duration_s,
            "bin_s": found.bin_s,
            "peaks": found.peaks,
            "rms": found.rms,
        }
        # A fixed order, so that two workers that find copies of the same files do not deadlock.
        for content_hash, found in sorted(waveforms.items())
    ]
    session.execute(insert(Waveform).on_conflict_do_nothing(), rows)


def hold_audio(session: Session, content_hash: bytes) -> bool:
    """Keep one track with this audio until the transaction ends; whether there is any."""
    track = select(Track.id).where(Track.content_hash == content_hash).limit(1)
    return session.scalar(track.with_for_update(read=True, key_share=True)) is not None


def find_levels(session: Session, content_hash: bytes, bins: int) -> Levels | None:
    """The levels of a piece of audio in `bins` parts; None if its waveform is not stored."""
    row = session.get(Waveform, content_hash)
    if row is None:
        return None
    return Levels(
        row.duration_s,
        [max(part) for part in _parts(row.peaks, row, bins)],
        [_mean_square_root(part) for part in _parts(row.rms, row, bins)],
    )


def _parts(levels: bytes, row: Waveform, bins: int) -> list[bytes]:
    """The stored bins that each of `bins` equal parts of the duration touches, at least one each."""
    per_part = row.duration_s / row.bin_s / bins
    last = len(levels) - 1
    # A part that ends where a bin begins does not touch it, despite rounding.
    starts = [min(last, int(part * per_part + 1e-4)) for part in range(bins)]
    ends = [math.ceil((part + 1) * per_part - 1e-4) for part in range(bins)]
    return [levels[start : max(start + 1, end)] for start, end in zip(starts, ends, strict=True)]


def _mean_square_root(levels: Sequence[int]) -> int:
    return round(math.sqrt(sum(level * level for level in levels) / len(levels)))
