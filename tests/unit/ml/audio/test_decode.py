"""What decoding gives for sound files: the samples."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from core.ml.audio.decode import decode, decode_windows, stream
from tests.support import sounds

MAX_S = 3600
LOSSY = {"mp3": 44_100, "ogg": 44_100, "opus": 48_000}


def one_shot(path: Path, sample_rate: int) -> sounds.Samples:
    samples, source_rate = sf.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    resampled: sounds.Samples = soxr.resample(mono, source_rate, sample_rate, quality="HQ")
    return resampled.clip(-1, 1)


def music(duration_s: float, sample_rate: int) -> sounds.Samples:
    left = sounds.tone(440, duration_s, sample_rate) + sounds.noise(duration_s, sample_rate)
    return sounds.stereo(left, sounds.tone(660, duration_s, sample_rate, level=0.6))


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "mp3", "ogg", "opus"])
def test_streaming_gives_the_same_samples_as_resampling_in_one_go(tmp_path, suffix):
    source_rate = LOSSY.get(suffix, 44_100)
    path = sounds.write(tmp_path / f"a.{suffix}", music(12.3, source_rate), source_rate)
    with path.open("rb") as file:
        samples = decode(file, 16_000, max_duration_s=MAX_S)
    assert samples.dtype == np.float32
    # the Opus specification lets decoders differ: here another one is compared
    atol = 1e-2 if suffix == "opus" else 1e-5
    np.testing.assert_allclose(samples, one_shot(path, 16_000), atol=atol)


def test_blocks_are_about_ten_seconds_long(tmp_path):
    path = sounds.write(tmp_path / "a.wav", music(33, 44_100), 44_100)
    with path.open("rb") as file:
        lengths = [len(block) for block in stream(file, 16_000, max_duration_s=MAX_S)]
    assert max(lengths) <= 10.1 * 16_000
    assert sum(lengths) == 33 * 16_000


def test_audio_at_the_wanted_rate_is_not_changed(tmp_path):
    tone = sounds.tone(440, 2)
    (tmp_path / "a.wav").write_bytes(sounds.encode(tone, 16_000, "wav", "FLOAT"))
    with (tmp_path / "a.wav").open("rb") as file:
        np.testing.assert_array_equal(decode(file, 16_000, max_duration_s=MAX_S), tone)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_channels_are_averaged(tmp_path, channels):
    tones = np.stack([sounds.tone(110 * (index + 1), 2) for index in range(channels)], axis=1)
    (tmp_path / "a.wav").write_bytes(sounds.encode(tones, 16_000, "wav", "FLOAT"))
    with (tmp_path / "a.wav").open("rb") as file:
        np.testing.assert_allclose(decode(file, 16_000, max_duration_s=MAX_S), tones.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("sample_rate", [4_000, 8_000, 11_025, 22_050, 96_000, 192_000, 384_000])
def test_a_tone_keeps_its_pitch_and_length_from_any_rate(tmp_path, sample_rate):
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1_000, 2, sample_rate), sample_rate)
    with path.open("rb") as file:
        samples = decode(file, 16_000, max_duration_s=MAX_S)
    assert len(samples) == 32_000
    assert np.argmax(np.abs(np.fft.rfft(samples))) == 2_000  # half a hertz per bin


def test_values_beyond_full_scale_are_clipped(tmp_path):
    (tmp_path / "a.wav").write_bytes(
        sounds.encode(sounds.tone(440, 2, 44_100, level=3), 44_100, "wav", "FLOAT")
    )
    with (tmp_path / "a.wav").open("rb") as file:
        samples = decode(file, 16_000, max_duration_s=MAX_S)
    assert samples.max() == 1
    assert samples.min() == -1


def test_the_position_of_the_file_stays_and_it_can_be_decoded_again(tmp_path):
    path = sounds.write(tmp_path / "a.flac", sounds.tone(440, 2))
    with path.open("rb") as file:
        file.seek(7)
        first = decode(file, 16_000, max_duration_s=MAX_S)
        assert file.tell() == 7
        np.testing.assert_array_equal(decode(file, 16_000, max_duration_s=MAX_S), first)
        assert file.read() == path.read_bytes()[7:]


def test_a_stream_that_is_left_early_gives_the_file_back(tmp_path):
    path = sounds.write(tmp_path / "a.wav", sounds.tone(440, 30))
    with path.open("rb") as file:
        blocks = stream(file, 16_000, max_duration_s=MAX_S)
        next(blocks)
        blocks.close()
        assert file.read() == path.read_bytes()


class TestWindows:
    @pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus"])
    @pytest.mark.parametrize("sample_rate", [16_000, 22_050])
    def test_seeking_gives_the_samples_of_the_whole_track(self, tmp_path, suffix, sample_rate):
        source_rate = LOSSY.get(suffix, 44_100)
        path = sounds.write(tmp_path / f"a.{suffix}", music(15, source_rate), source_rate)
        with path.open("rb") as file:
            whole = decode(file, sample_rate, max_duration_s=MAX_S)
            windows, track = decode_windows(file, sample_rate, 3, 3.0, max_duration_s=MAX_S)
        assert track.duration_s == pytest.approx(15, abs=0.01)
        assert [len(window) for window in windows] == [3 * sample_rate] * 3
        for window, middle_s in zip(windows, (2.5, 7.5, 12.5), strict=True):
            start = round((middle_s - 1.5) * sample_rate)
            np.testing.assert_allclose(window, whole[start : start + len(window)], atol=1e-5)

    def test_a_track_too_short_for_them_is_covered_wholly(self, tmp_path):
        path = sounds.write(tmp_path / "a.wav", sounds.noise(10))
        with path.open("rb") as file:
            windows, track = decode_windows(file, 16_000, 5, 4.0, max_duration_s=MAX_S)
            whole = decode(file, 16_000, max_duration_s=MAX_S)
        assert track.duration_s == 10
        for window, start_s in zip(windows, (0, 3, 6), strict=True):
            np.testing.assert_array_equal(window, whole[start_s * 16_000 : (start_s + 4) * 16_000])

    def test_a_track_shorter_than_one_window_is_one_shorter_window(self, tmp_path):
        path = sounds.write(tmp_path / "a.wav", sounds.noise(3))
        with path.open("rb") as file:
            windows, track = decode_windows(file, 16_000, 3, 10.0, max_duration_s=MAX_S)
        assert [len(window) for window in windows] == [3 * 16_000]
        assert track.duration_s == 3

    def test_a_flac_without_a_length_is_decoded_to_its_end(self, tmp_path):
        path = tmp_path / "a.flac"
        path.write_bytes(sounds.with_flac_length(sounds.encode(sounds.noise(30), 16_000, "flac"), 0))
        with path.open("rb") as file:
            whole = decode(file, 16_000, max_duration_s=MAX_S)
            windows, track = decode_windows(file, 16_000, 3, 4.0, max_duration_s=MAX_S)
        assert track.duration_s == 30
        assert len(whole) == 30 * 16_000
        np.testing.assert_array_equal(windows[1], whole[13 * 16_000 : 17 * 16_000])

    def test_silence_in_every_window_of_a_track_that_sounds_elsewhere_is_no_error(self, tmp_path):
        samples = np.zeros(30 * 16_000, np.float32)
        samples[: 2 * 16_000] = sounds.tone(440, 2)
        path = sounds.write(tmp_path / "a.wav", samples)
        with path.open("rb") as file:
            windows, _ = decode_windows(file, 16_000, 2, 2.0, max_duration_s=MAX_S)
        assert not np.any(windows)


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return sounds.encode(sounds.noise(8, 44_100), 44_100, "mp3")


class TestMP3:
    def decoded(self, path: Path, data: bytes) -> sounds.Samples:
        path.write_bytes(data)
        with path.open("rb") as file:
            return decode(file, 16_000, max_duration_s=MAX_S)

    @pytest.mark.parametrize(
        "front",
        [sounds.id3_tag(100), sounds.id3_tag(3_000_000), sounds.id3_tag(50) * 2, bytes(1000), b"junk" * 2000,
         sounds.id3_tag(50) + bytes(700)],
        ids=["tag", "cover art", "two tags", "zeros", "junk", "tag and zeros"],
    )  # fmt: skip
    def test_what_lies_before_the_first_frame_is_skipped(self, tmp_path, mp3, front):
        plain = self.decoded(tmp_path / "plain.mp3", mp3)
        np.testing.assert_array_equal(self.decoded(tmp_path / "a.mp3", front + mp3), plain)

    @pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"APETAGEX" + bytes(900)], ids=["ID3v1", "APE"])
    def test_tags_behind_the_last_frame_are_skipped(self, tmp_path, mp3, tail):
        samples = self.decoded(tmp_path / "a.mp3", mp3 + tail)
        assert len(samples) == pytest.approx(8 * 16_000, abs=2000)

    def test_a_variable_bit_rate_without_a_frame_count_is_decoded_to_its_end(self, tmp_path, mp3):
        """Its quiet start makes decoders underestimate or overestimate the length by far."""
        quiet_then_loud = np.concatenate([np.zeros(44_100, np.float32), sounds.noise(20, 44_100, level=0.5)])
        uncounted = without_first_frame(sounds.encode(quiet_then_loud, 44_100, "mp3"))
        path = tmp_path / "a.mp3"
        samples = self.decoded(path, uncounted)
        assert len(samples) == pytest.approx(21 * 16_000, abs=2000)
        with path.open("rb") as file:
            windows, track = decode_windows(file, 16_000, 3, 3.0, max_duration_s=MAX_S)
        assert track.duration_s == pytest.approx(21, abs=0.1)
        start = round((2.5 * track.duration_s / 3 - 1.5) * 16_000)
        np.testing.assert_allclose(windows[2], samples[start : start + 48_000], atol=1e-4)


def without_first_frame(mp3: bytes) -> bytes:
    """Cut off the frame that counts the others (MPEG-1, layer III)."""
    bitrate = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[(mp3[2] >> 4) - 1]
    length = 144_000 * bitrate // 44_100 + (mp3[2] >> 1 & 1)
    assert b"Xing" in mp3[:length] or b"Info" in mp3[:length]
    assert mp3[length] == 0xFF
    return mp3[length:]


def test_opus_with_a_tag_that_is_no_utf_8_is_read(tmp_path):
    data = sounds.encode_av(sounds.tone(440, 3, 48_000), 48_000, "ogg", "libopus", title=b"Caf\xe9")
    assert b"title=Caf\xe9" in data
    (tmp_path / "a.opus").write_bytes(data)
    with (tmp_path / "a.opus").open("rb") as file:
        assert len(decode(file, 16_000, max_duration_s=MAX_S)) == pytest.approx(48_000, abs=200)


def test_ogg_behind_leftovers_of_no_importance_is_read(tmp_path):
    data = sounds.encoded_music("ogg")
    (tmp_path / "a.ogg").write_bytes(data + b"TAG" + bytes(125))
    with (tmp_path / "a.ogg").open("rb") as file:
        assert len(decode(file, 16_000, max_duration_s=MAX_S)) == 64_000


def test_bytes_in_memory_are_not_a_file():
    with pytest.raises(io.UnsupportedOperation):
        decode(io.BytesIO(sounds.encoded_music("wav")), 16_000, max_duration_s=MAX_S)
