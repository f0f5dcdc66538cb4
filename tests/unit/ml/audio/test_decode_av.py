"""Formats that libsndfile does not know."""

import io
import os
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from core.errors import Corrupt, Empty, TooLong, Unreadable, UnsupportedFormat
from core.library.window import Window
from core.ml.audio.decode import decode, decode_windows, stream
from core.ml.audio.pyav import open_container
from tests.support import sounds

MAX_S = 3600
RATE = 44_100
FASTSTART = {"movflags": "+faststart"}

# name -> FFmpeg's container and codec
FORMATS = {
    "m4a": ("ipod", "aac"),
    "alac": ("ipod", "alac"),
    "aac": ("adts", "aac"),
    "wma": ("asf", "wmav2"),
    "mka": ("matroska", "aac"),
    "adpcm wav": ("wav", "adpcm_ms"),
    "adpcm aiff": ("aiff", "adpcm_ima_qt"),
}


def decode_bytes(tmp_path: Path, data: bytes, max_duration_s: float = MAX_S) -> sounds.Samples:
    (tmp_path / "a.mp3").write_bytes(data)
    with (tmp_path / "a.mp3").open("rb") as file:
        return decode(file, 16_000, max_duration_s=max_duration_s)


def noise(name: str, options: dict[str, str] | None = None) -> bytes:
    return sounds.encode_av(sounds.noise(20, RATE), RATE, *FORMATS[name], options)


def film(samples: sounds.Samples | None = None) -> bytes:
    """Six seconds of black, with the sound in front."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", "mp4") as output:
        picture = output.add_stream("mpeg4", rate=5)
        assert isinstance(picture, VideoStream)
        picture.width = picture.height = 16
        picture.pix_fmt = "yuv420p"
        sound = output.add_stream("aac", rate=RATE, layout="mono")
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
        for _ in range(30):
            output.mux(picture.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(picture.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_they_are_decoded_whatever_the_name(tmp_path, name):
    tone = sounds.tone(1_000, 5, RATE)
    decoded = decode_bytes(tmp_path, sounds.encode_av(sounds.stereo(tone, tone), RATE, *FORMATS[name]))
    assert len(decoded) == pytest.approx(5 * 16_000, abs=2500)
    middle = decoded[32_000:48_000]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 1_000
    assert middle.max() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
def test_values_of_every_type_keep_their_level_and_channels(tmp_path, codec):
    left, right = sounds.tone(440, 2), sounds.tone(660, 2, level=0.5)
    data = sounds.encode_av(sounds.stereo(left, right), 16_000, "matroska", codec)
    np.testing.assert_allclose(decode_bytes(tmp_path, data), (left + right) / 2, atol=0.01)


def test_a_lossless_track_keeps_its_values(tmp_path):
    tone = sounds.tone(440, 2)
    decoded = decode_bytes(tmp_path, sounds.encode_av(tone, 16_000, "ipod", "alac"))
    np.testing.assert_allclose(decoded, tone, atol=1e-4)


def test_tags_before_bare_aac_frames_are_skipped(tmp_path):
    plain, tagged = noise("aac"), sounds.id3_tag(3_000_000) + noise("aac") + b"TAG" + bytes(125)
    np.testing.assert_array_equal(decode_bytes(tmp_path, tagged), decode_bytes(tmp_path, plain))


def test_windows_are_cut_from_the_whole_track(tmp_path):
    whole = decode_bytes(tmp_path, noise("m4a"))
    with (tmp_path / "a.mp3").open("rb") as file:
        windows, track = decode_windows(file, 16_000, 2, 3.0, max_duration_s=MAX_S)
    assert track.duration_s == len(whole) / 16_000
    start = round(0.75 * len(whole) - 1.5 * 16_000)
    np.testing.assert_array_equal(windows[1], whole[start : start + 48_000])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("m4a", {}),
        ("m4a", FASTSTART),
        ("alac", FASTSTART),
        ("wma", {}),
        ("mka", {}),
        ("adpcm wav", {}),
    ],
)
def test_a_cut_file_is_corrupt(tmp_path, name, options):
    data = noise(name, options)
    assert len(decode_bytes(tmp_path, data)) == pytest.approx(20 * 16_000, abs=2500)
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, data[: len(data) // 2])


def test_garbage_behind_the_magic_is_corrupt(tmp_path):
    with pytest.raises(Corrupt):
        decode_bytes(tmp_path, b"\0\0\0\x20ftypM4A " + np.random.default_rng(0).bytes(5000))


def test_an_unknown_codec_is_unsupported(tmp_path):
    data = noise("mka")
    assert data.count(b"A_AAC") == 1
    with pytest.raises(UnsupportedFormat):
        decode_bytes(tmp_path, data.replace(b"A_AAC", b"A_XYZ"))


def test_a_film_without_sound_is_empty(tmp_path):
    with pytest.raises(Empty):
        decode_bytes(tmp_path, film())


def test_a_film_with_a_shorter_sound_track_is_whole(tmp_path):
    assert len(decode_bytes(tmp_path, film(sounds.tone(440, 3, RATE)))) == pytest.approx(48_000, abs=2500)


def test_too_long_audio_is_reported(tmp_path):
    with pytest.raises(TooLong):
        decode_bytes(tmp_path, noise("m4a"), max_duration_s=10)


def test_leaving_a_stream_early_closes_what_was_opened_and_keeps_the_position(tmp_path):
    (tmp_path / "a.m4a").write_bytes(noise("m4a"))
    with (tmp_path / "a.m4a").open("rb") as file:
        file.seek(7)
        before = os.listdir("/proc/self/fd")
        blocks = stream(file, 16_000, max_duration_s=MAX_S)
        next(blocks)
        blocks.close()
        assert os.listdir("/proc/self/fd") == before
        assert file.tell() == 7


def test_an_error_of_reading_halfway_is_unreadable_not_corrupt(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(noise("m4a", FASTSTART))

    def read(descriptor: int, length: int, offset: int, pread=os.pread) -> bytes:
        if offset > 100_000:
            raise OSError(5, "Input/output error")
        data: bytes = pread(descriptor, length, offset)
        return data

    monkeypatch.setattr(os, "pread", read)
    with (tmp_path / "a.m4a").open("rb") as file, pytest.raises(Unreadable):
        decode(file, 16_000, max_duration_s=MAX_S)


def test_what_a_container_refers_to_is_not_opened(tmp_path, monkeypatch):
    """Even a demuxer that does nothing but open other files opens none."""
    monkeypatch.chdir(tmp_path)
    Path("other.m4a").write_bytes(noise("m4a"))
    Path("list").write_bytes(b"ffconcat version 1.0\nfile other.m4a\n")
    with open("list", "rb") as file:
        with pytest.raises(Corrupt):
            open_container(Window(file.fileno()), "concat")
        monkeypatch.setattr("core.ml.audio.pyav._OPTIONS", {})
        open_container(Window(file.fileno()), "concat").close()  # the other file is what it would have opened
