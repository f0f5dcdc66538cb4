"""What decoding says about files that cannot be labelled."""

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import (
    Corrupt,
    Empty,
    ItemError,
    NotAudio,
    Silent,
    TooLong,
    TooShort,
    Unreadable,
    UnsupportedFormat,
)
from core.ml.audio import decode as decode_module
from core.ml.audio.decode import decode, decode_windows, stream
from tests.support import sounds
from tests.support.memory import peak_kb, reset_peak_kb

MAX_S = 3600


def decode_path(path: Path, max_duration_s: float = MAX_S) -> sounds.Samples:
    with path.open("rb") as file:
        return decode(file, 16_000, max_duration_s=max_duration_s)


def decode_bytes(tmp_path: Path, data: bytes, max_duration_s: float = MAX_S) -> sounds.Samples:
    (tmp_path / "a.mp3").write_bytes(data)
    return decode_path(tmp_path / "a.mp3", max_duration_s)


@pytest.mark.parametrize("kind", sounds.BAD_CONTENTS)
@pytest.mark.parametrize("suffix", ["mp3", "wav"])
def test_bad_files_have_the_code_of_their_content_not_of_their_name(tmp_path, kind, suffix):
    path = sounds.bad_file(kind, tmp_path / f"a.{suffix}")
    with pytest.raises(ItemError) as raised:
        decode_path(path)
    assert raised.value.code == sounds.BAD_FILES[kind]
    with path.open("rb") as file, pytest.raises(ItemError) as raised:
        decode_windows(file, 16_000, 2, 1.0, max_duration_s=MAX_S)
    assert raised.value.code == sounds.BAD_FILES[kind]


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "mp3", "ogg", "opus"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_a_cut_file_is_corrupt(tmp_path, suffix, kept):
    data = sounds.encoded_music(suffix)
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, data[: int(kept * len(data))])


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "ogg", "opus"])
@pytest.mark.parametrize("length", [12, 13, 30, 43])
def test_a_file_cut_in_its_header_is_corrupt(tmp_path, suffix, length):
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, sounds.encoded_music(suffix)[:length])


NO_AUDIO = {
    "a lone frame header": b"\xff\xfb\x90\x00" + b"but then nothing but text " * 100,
    "tagged text": sounds.id3_tag(100) + b"nothing but text " * 100,
    "random": np.random.default_rng(0).bytes(100_000),
    "ones": b"\xff" * 10_000,
    "zeros": bytes(10_000),
    "one byte": b"x",
    "the name of a box": b"Feelfree to read this " * 100,
    "playlist": b"#EXTM3U\nfile:///etc/passwd\n",
    "concatenation": b"ffconcat version 1.0\nfile /etc/passwd\n",
}


@pytest.mark.parametrize("data", NO_AUDIO.values(), ids=NO_AUDIO.keys())
def test_content_that_is_no_audio_is_not_audio(tmp_path, data):
    with pytest.raises(NotAudio):
        decode_bytes(tmp_path, data)


def test_tags_without_audio_are_empty_and_cut_tags_are_corrupt(tmp_path):
    with pytest.raises(Empty):
        decode_bytes(tmp_path, sounds.id3_tag(1000))
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, sounds.id3_tag(1000)[:500])


@pytest.mark.parametrize("size", [300, 800, 2000])
def test_an_mp3_cut_in_its_first_frames_is_corrupt(tmp_path, size):
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, sounds.encoded_music("mp3")[:size])


def test_damage_in_the_middle_is_corrupt(tmp_path):
    data = bytearray(sounds.encoded_music("flac"))
    middle = len(data) // 2
    data[middle : middle + 5000] = bytes(5000)
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, bytes(data))


def test_a_damaged_file_is_corrupt_rather_than_too_short(tmp_path):
    wav = sounds.encode(sounds.tone(440, 2), 16_000, "wav")
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, wav[: len(wav) // 4])


def test_a_little_less_than_promised_is_whole(tmp_path):
    wav = sounds.encode(sounds.tone(440, 10), 16_000, "wav")
    assert len(decode_bytes(tmp_path, wav[: int(0.97 * len(wav))])) == pytest.approx(9.7 * 16_000, abs=100)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_written_to_a_pipe_has_no_length_and_is_decoded(tmp_path, length):
    wav = sounds.encode(sounds.tone(440, 3), 16_000, "wav")
    place = wav.index(b"data") + 4
    assert len(decode_bytes(tmp_path, wav[:place] + struct.pack("<I", length) + wav[place + 4 :])) == 48_000


@pytest.mark.parametrize("duration_s", [0.2, 0.99])
def test_less_than_a_second_is_too_short(tmp_path, duration_s):
    with pytest.raises(TooShort, match="at least 1 s"):
        decode_path(sounds.write(tmp_path / "a.wav", sounds.tone(440, duration_s)))


def test_a_second_is_enough(tmp_path):
    assert len(decode_path(sounds.write(tmp_path / "a.wav", sounds.tone(440, 1)))) == 16_000


def test_faint_sound_is_silent_only_below_80_db(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(sounds.encode(sounds.tone(440, 2, level=0.9e-4), 16_000, "wav", "FLOAT"))
    with pytest.raises(Silent):
        decode_path(path)
    path.write_bytes(sounds.encode(sounds.tone(440, 2, level=1.1e-4), 16_000, "wav", "FLOAT"))
    assert len(decode_path(path)) == 32_000


def test_silence_before_the_music_is_not_silent(tmp_path):
    samples = np.concatenate([np.zeros(12 * 16_000, np.float32), sounds.tone(440, 1)])
    assert len(decode_path(sounds.write(tmp_path / "a.flac", samples))) == 13 * 16_000


def test_silence_is_reported_after_the_last_block(tmp_path):
    path = sounds.bad_file("silent", tmp_path / "a.flac")
    with path.open("rb") as file:
        blocks = stream(file, 16_000, max_duration_s=MAX_S)
        assert not np.any(next(blocks))
        with pytest.raises(Silent):
            list(blocks)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_missing(tmp_path, value):
    samples = sounds.stereo(sounds.tone(440, 2), sounds.tone(440, 2))
    samples[800:1600, 1] = value
    assert len(decode_bytes(tmp_path, sounds.encode(samples, 16_000, "wav", "FLOAT"))) == 32_000 - 800
    samples[::10, 0] = value
    with pytest.raises(Corrupt, match=r"of 2\.00 s \(12\.2 %\)"):
        decode_bytes(tmp_path, sounds.encode(samples, 16_000, "wav", "FLOAT"))


def test_more_channels_than_music_has_are_unsupported(tmp_path):
    samples = np.zeros((32_000, 9), np.float32)
    with pytest.raises(UnsupportedFormat, match="9 channels"):
        decode_bytes(tmp_path, sounds.encode(samples, 16_000, "wav"))


@pytest.mark.parametrize("sample_rate", [3_999, 384_001, 2_000_000_000])
def test_sample_rates_that_music_does_not_have_are_unsupported(tmp_path, sample_rate):
    wav = bytearray(sounds.encode(sounds.tone(440, 2), 16_000, "wav"))
    wav[24:28] = struct.pack("<I", sample_rate)
    with pytest.raises(UnsupportedFormat, match="Hz"):
        decode_bytes(tmp_path, bytes(wav))


class TestTooLong:
    def test_the_limit_is_what_was_decoded(self, tmp_path):
        path = sounds.write(tmp_path / "a.flac", sounds.tone(440, 30))
        assert len(decode_path(path, max_duration_s=30)) == 480_000
        with pytest.raises(TooLong):
            decode_path(path, max_duration_s=29.9)
        with path.open("rb") as file, pytest.raises(TooLong):
            decode_windows(file, 16_000, 3, 1.0, max_duration_s=29.9)

    def test_decoding_stops_there(self, tmp_path):
        path = sounds.write(tmp_path / "a.wav", sounds.tone(440, 300))
        with path.open("rb") as file:
            blocks: list[sounds.Samples] = []
            with pytest.raises(TooLong):
                blocks.extend(stream(file, 16_000, max_duration_s=25))
        assert len(np.concatenate(blocks)) <= 25 * 16_000

    def test_a_decompression_bomb_takes_neither_memory_nor_time(self, tmp_path):
        """Ten minutes of stereo silence are 100 kB of FLAC without a length, and 200 MB of samples."""
        flac = sounds.encode(np.zeros((600 * 44_100, 2), np.float32), 44_100, "flac")
        path = tmp_path / "bomb.flac"
        path.write_bytes(sounds.with_flac_length(flac, 0))
        before_kb, start_s = reset_peak_kb(), time.process_time()
        with path.open("rb") as file, pytest.raises(TooLong):
            decode(file, 16_000, max_duration_s=300)
        assert time.process_time() - start_s < 10
        assert peak_kb() - before_kb < 100 << 10


def test_an_error_of_reading_is_unreadable(tmp_path, monkeypatch):
    path = sounds.write(tmp_path / "a.wav", sounds.tone(440, 2))

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(decode_module, "sniff", fail)
    with pytest.raises(Unreadable):
        decode_path(path)


def test_a_full_disk_is_not_the_fault_of_the_file(tmp_path, monkeypatch):
    path = sounds.write(tmp_path / "a.wav", sounds.tone(440, 2))

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decode_module, "sniff", fail)
    with pytest.raises(OSError, match="No space"):
        decode_path(path)
