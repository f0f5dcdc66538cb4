"""Formats that need ffmpeg: with it they are decoded, without it they are unsupported."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from core.audio.decode import decode, decode_windows, stream
from core.errors import Corrupt, Empty, TooLong, UnsupportedFormat
from tests import sounds

MAX_S = 3600
ADPCM = "IMA_ADPCM"

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def convert(path: Path, samples: sounds.Samples, sample_rate: int, *options: str) -> Path:
    """Audio as a file of the format that the path's suffix names, made by ffmpeg."""
    wav = sounds.write(path.with_suffix(".src.wav"), samples, sample_rate)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(wav), *options, str(path)]
    subprocess.run(command, check=True)
    return path


def decode_path(path: Path, max_duration_s: float = MAX_S) -> sounds.Samples:
    with path.open("rb") as file:
        return decode(file, 16_000, max_duration_s=max_duration_s)


def children() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


@pytest.mark.parametrize(
    "start",
    [
        b"\0\0\0\x20ftypM4A ",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"\x1a\x45\xdf\xa3" + bytes(20),
    ],
    ids=["mp4", "asf", "matroska"],
)
def test_without_ffmpeg_they_are_unsupported(tmp_path, monkeypatch, start):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.mp3").write_bytes(start + bytes(2000))
    with pytest.raises(UnsupportedFormat, match="ffmpeg"):
        decode_path(tmp_path / "a.mp3")
    with (tmp_path / "a.mp3").open("rb") as file, pytest.raises(UnsupportedFormat):
        decode_windows(file, 16_000, 2, 1.0, max_duration_s=MAX_S)


def test_compressed_wav_never_reaches_libsndfile(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.wav").write_bytes(sounds.encode(sounds.tone(440, 2), 16_000, "wav", ADPCM))
    with pytest.raises(UnsupportedFormat):
        decode_path(tmp_path / "a.wav")


@pytest.mark.parametrize("kind", ["truncated_flac", "truncated_wav", "huge_header"])
def test_a_damaged_file_is_corrupt_without_ffmpeg_too(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Corrupt):
        decode_path(sounds.bad_file(kind, tmp_path / "a.wav"))


@needs_ffmpeg
class TestWithFFmpeg:
    @pytest.mark.parametrize("suffix", ["m4a", "aac", "wma", "mka"])
    def test_they_are_decoded_whatever_the_name(self, tmp_path, suffix):
        samples = sounds.stereo(sounds.tone(1_000, 5, 44_100), sounds.tone(1_000, 5, 44_100))
        path = convert(tmp_path / f"a.{suffix}", samples, 44_100)
        decoded = decode_path(path.rename(tmp_path / "a.mp3"))
        assert len(decoded) == pytest.approx(5 * 16_000, abs=2500)
        middle = decoded[32_000:48_000]
        assert np.argmax(np.abs(np.fft.rfft(middle))) == 1_000
        assert middle.max() == pytest.approx(0.3, abs=0.02)

    def test_compressed_wav_is_decoded(self, tmp_path):
        (tmp_path / "a.wav").write_bytes(sounds.encode(sounds.tone(440, 2), 16_000, "wav", ADPCM))
        decoded = decode_path(tmp_path / "a.wav")
        np.testing.assert_allclose(decoded[1_000:32_000], sounds.tone(440, 2)[1_000:], atol=0.01)

    def test_windows_are_cut_from_the_whole_track(self, tmp_path):
        path = convert(tmp_path / "a.m4a", sounds.noise(20), 16_000)
        whole = decode_path(path)
        with path.open("rb") as file:
            windows, duration_s = decode_windows(file, 16_000, 2, 3.0, max_duration_s=MAX_S)
        assert duration_s == len(whole) / 16_000
        start = round(0.75 * len(whole) - 1.5 * 16_000)
        np.testing.assert_array_equal(windows[1], whole[start : start + 48_000])

    @pytest.mark.parametrize("options", [[], ["-movflags", "+faststart"]], ids=["index last", "index first"])
    def test_a_cut_file_is_corrupt(self, tmp_path, options):
        path = convert(tmp_path / "a.m4a", sounds.noise(20), 16_000, *options)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(Corrupt):
            decode_path(path)

    def test_a_cut_wma_is_corrupt(self, tmp_path):
        path = convert(tmp_path / "a.wma", sounds.noise(20, 44_100), 44_100)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(Corrupt):
            decode_path(path)

    def test_garbage_behind_the_magic_is_corrupt(self, tmp_path):
        (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + np.random.default_rng(0).bytes(5000))
        with pytest.raises(Corrupt):
            decode_path(tmp_path / "a.m4a")

    def test_a_film_without_sound_is_empty(self, tmp_path):
        path = tmp_path / "a.mp4"
        source = ["-f", "lavfi", "-i", "color=size=16x16:duration=2", "-c:v", "mpeg4"]
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *source, str(path)], check=True)
        with pytest.raises(Empty):
            decode_path(path)

    def test_too_long_is_told_and_the_process_has_ended(self, tmp_path):
        path = convert(tmp_path / "a.m4a", sounds.noise(20), 16_000)
        before = children()
        with pytest.raises(TooLong):
            decode_path(path, max_duration_s=10)
        assert children() == before

    def test_leaving_a_stream_early_ends_the_process(self, tmp_path):
        path = convert(tmp_path / "a.m4a", sounds.noise(60), 16_000)
        before = children()
        with path.open("rb") as file:
            blocks = stream(file, 16_000, max_duration_s=MAX_S)
            next(blocks)
            assert len(children()) == len(before) + 1
            blocks.close()
            assert children() == before

    def test_a_process_that_hangs_is_ended(self, tmp_path, monkeypatch):
        program = tmp_path / "ffmpeg"
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr("core.audio.ffmpeg._STALL_S", 0.2)
        (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
        before = children()
        with pytest.raises(Corrupt, match="time"):
            decode_path(tmp_path / "a.m4a")
        assert children() == before

    def test_a_process_that_fails_halfway_is_corrupt_although_samples_came(self, tmp_path, monkeypatch):
        path = convert(tmp_path / "a.aac", sounds.noise(20), 16_000)
        program = tmp_path / "ffmpeg"
        program.write_text(f'#!/bin/sh\n{shutil.which("ffmpeg")} "$@"\nexit 1\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        with pytest.raises(Corrupt):
            decode_path(path)

    def test_a_film_with_a_shorter_sound_track_is_whole(self, tmp_path):
        path, sound = tmp_path / "a.mp4", sounds.write(tmp_path / "a.wav", sounds.tone(440, 3))
        picture = ["-f", "lavfi", "-i", "color=size=16x16:duration=6", "-c:v", "mpeg4"]
        command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(sound), *picture, str(path)]
        subprocess.run(command, check=True)
        assert len(decode_path(path)) == pytest.approx(48_000, abs=2500)

    def test_a_flood_of_messages_neither_blocks_nor_fills_memory(self, tmp_path, monkeypatch):
        program = tmp_path / "ffmpeg"
        program.write_text("#!/bin/sh\nhead -c 20000000 /dev/zero >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
        with pytest.raises(Corrupt):
            decode_path(tmp_path / "a.m4a")

    def test_a_reference_inside_a_container_reaches_no_other_file(self, tmp_path):
        """ffmpeg must be given the demuxer and only the descriptor, never a name or a list of protocols."""
        from core.audio.ffmpeg import _arguments

        arguments = _arguments("ffmpeg", "mov", 10)
        assert arguments[arguments.index("-protocol_whitelist") + 1] == "file"
        assert arguments[arguments.index("-f") + 1] == "mov"
        assert arguments[arguments.index("-i") + 1] == "file:/dev/fd/0"
        assert arguments.index("-f") < arguments.index("-i")
