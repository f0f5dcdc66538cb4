"""Damaged files follow one rule: what can be decoded is, and what is missing is reported, or is too much."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from core.errors import Corrupt, ItemError
from core.ml.audio.sandbox import Sandbox
from core.ml.audio.source import Decoded
from tests.support import damages, sounds

RATE = 16_000
MAX_S = 3600
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "2000000"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(Sandbox()) as made:
        yield made


def decode(sandbox: Sandbox, path: Path, data: bytes) -> tuple[sounds.Samples, Decoded]:
    path.write_bytes(data)
    blocks: list[sounds.Samples] = []
    with path.open("rb") as file:
        found = sandbox.stream(file, RATE, max_duration_s=MAX_S)
        while True:
            try:
                blocks.append(next(found))
            except StopIteration as stop:
                return np.concatenate(blocks), stop.value


@pytest.mark.parametrize("number", range(len(damages.FORMATS) * len(damages.DAMAGES)))
def test_the_rule_is_the_same_in_every_format(sandbox, tmp_path, number):
    damaged = damages.make(number, seed=1, duration_s=6)
    outcome: Decoded | ItemError
    try:
        samples, outcome = decode(sandbox, tmp_path / f"a.{damaged.suffix}", damaged.data)
        assert outcome.duration_s == len(samples) / RATE
    except ItemError as error:
        outcome = error
    assert damages.untruth(damaged, outcome) is None, damaged.name
    assert len(sandbox._idle) == 1


@pytest.mark.parametrize("name", damages.FORMATS)
def test_whole_files_have_no_warnings(sandbox, tmp_path, name):
    samples, track = decode(sandbox, tmp_path / "a", damages.sound(name, 6))
    assert len(samples) / RATE == pytest.approx(6, abs=0.1)
    assert track.warnings == ()


def test_sound_behind_a_hole_is_where_it_was(sandbox, tmp_path):
    """One frame of FLAC less, and then the rest, sample by sample."""
    music = sounds.noise(20)
    whole = bytearray(sounds.encode(music, RATE, "flac"))
    middle = len(whole) // 2
    whole[middle : middle + 8] = bytes(8)
    samples, track = decode(sandbox, tmp_path / "a", bytes(whole))
    lost = len(music) - len(samples)
    assert damages.missing_s(track.warnings[0]) == pytest.approx(lost / RATE, abs=0.006)
    assert 0 < lost <= 4096
    np.testing.assert_allclose(samples[-100_000:], music[-100_000:], atol=1e-4)


@pytest.mark.parametrize(("kept", "is_usable"), [(0.97, True), (0.9, False)])
@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "mp3"])
def test_a_cut_is_a_warning_or_an_error_by_its_length(sandbox, tmp_path, suffix, kept, is_usable):
    data = sounds.encode(sounds.noise(10, 44_100), 44_100, suffix)
    data = data[: int(kept * len(data))]
    if is_usable:
        samples, track = decode(sandbox, tmp_path / "a", data)
        assert damages.missing_s(track.warnings[0]) == pytest.approx(10 - len(samples) / RATE, abs=0.1)
        assert len(samples) / RATE == pytest.approx(9.7, abs=0.2)
    else:
        with pytest.raises(Corrupt, match=r"s of 10\.\d\d s \(1\d\.\d %\) cannot be decoded"):
            decode(sandbox, tmp_path / "a", data)


def test_ten_seconds_are_too_much_however_long_the_track(sandbox, tmp_path):
    data = sounds.encode(sounds.noise(400), RATE, "wav")
    with pytest.raises(Corrupt, match=r"12\.00 s of 400\.00 s \(3\.0 %\)"):
        decode(sandbox, tmp_path / "a", data[: int(0.97 * len(data))])


@pytest.mark.parametrize("name", ["aac", "fragments"])
def test_cut_files_that_state_no_length_are_labelled_with_what_is_known(sandbox, tmp_path, name):
    container, options = ("adts", None) if name == "aac" else ("ipod", FRAGMENTS)
    data = sounds.encode_av(sounds.noise(20, 44_100), 44_100, container, "aac", options)
    samples, track = decode(sandbox, tmp_path / "a", data[: len(data) // 2])
    assert len(samples) / RATE == pytest.approx(10, abs=0.3)
    (warning,) = track.warnings
    assert "is truncated" in warning


@pytest.mark.parametrize("name", ["mp3", "flac", "vorbis", "wav"])
def test_windows_of_a_damaged_file_follow_the_rule(sandbox, tmp_path, name):
    data = damages.sound(name)
    path = tmp_path / "a"
    path.write_bytes(data[: round(0.975 * len(data))])
    with path.open("rb") as file:
        windows, track = sandbox.decode_windows(file, RATE, 2, 1.0, max_duration_s=MAX_S)
    assert [len(window) for window in windows] == [RATE, RATE]
    assert len(track.warnings) == 1
    path.write_bytes(data[: round(0.8 * len(data))])
    if name == "vorbis":
        return  # nothing in it tells how long it was
    with path.open("rb") as file, pytest.raises(Corrupt):
        sandbox.decode_windows(file, RATE, 2, 1.0, max_duration_s=MAX_S)
