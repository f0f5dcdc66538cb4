"""Streams in a row, foreign bytes around them, and headers that are wrong."""

import io
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from core.errors import Corrupt
from core.ml.audio.sandbox import Sandbox
from tests.support import sounds
from tests.support.bombs import signed
from tests.unit.ml.audio.test_damage import MAX_S, RATE, decode

ID3V1 = (b"TAG" + b"t" * 30).ljust(127, b"\0") + bytes([17])
_APE_FIELDS = struct.pack("<III", 2000, 32 + 40, 1)
APE = (
    b"APETAGEX"
    + _APE_FIELDS
    + struct.pack("<I8x", 5 << 29)
    + bytes(40)
    + b"APETAGEX"
    + _APE_FIELDS
    + struct.pack("<I8x", 1 << 31)
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(Sandbox()) as made:
        yield made


def tone(frequency_hz: float, rate: int = 44_100, duration_s: float = 3, channels: int = 1) -> sounds.Samples:
    samples = sounds.tone(frequency_hz, duration_s, rate)
    return samples if channels == 1 else sounds.stereo(samples, samples)


def pitch_hz(samples: sounds.Samples) -> float:
    """Of the loudest partial of the middle second."""
    middle = samples[len(samples) // 2 - RATE // 2 :][:RATE]
    return float(np.argmax(np.abs(np.fft.rfft(middle))))


def check_two_songs(sandbox: Sandbox, path: Path, data: bytes) -> None:
    samples, track = decode(sandbox, path, data)
    assert len(samples) / RATE == pytest.approx(6, abs=0.15)
    assert track.warnings == ()
    assert pitch_hz(samples[: 3 * RATE]) == pytest.approx(440, abs=2)
    assert pitch_hz(samples[3 * RATE :]) == pytest.approx(1000, abs=2)
    with path.open("rb") as file:
        windows, by_windows = sandbox.decode_windows(file, RATE, 2, 1.0, max_duration_s=MAX_S)
    assert by_windows.duration_s == pytest.approx(track.duration_s, abs=0.01)
    assert pitch_hz(windows[1]) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus", "flac", "wav"])
def test_files_joined_end_to_end_are_decoded_wholly(sandbox, tmp_path, suffix):
    rate = 48_000 if suffix == "opus" else 44_100
    parts = [sounds.encode(tone(pitch, rate), rate, suffix) for pitch in (440, 1000)]
    check_two_songs(sandbox, tmp_path / "a", b"".join(parts))


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "wav"])
def test_sample_rate_and_channels_may_change_between_them(sandbox, tmp_path, suffix):
    first = sounds.encode(tone(440, 44_100, channels=2), 44_100, suffix)
    check_two_songs(sandbox, tmp_path / "a", first + sounds.encode(tone(1000, 32_000), 32_000, suffix))


def test_bare_aac_frames_may_change_in_mid_stream(sandbox, tmp_path):
    first = sounds.encode_av(tone(440, channels=2), 44_100, "adts", "aac")
    check_two_songs(
        sandbox, tmp_path / "a", first + sounds.encode_av(tone(1000, 32_000), 32_000, "adts", "aac")
    )


@pytest.mark.parametrize("tail_s", [1, 3])
def test_a_link_that_cannot_be_decoded_is_missing(sandbox, tmp_path, tail_s):
    """Its codec headers are damaged; the checksums of its pages are right."""
    head = sounds.encode(tone(440, RATE, 30), RATE, "ogg")
    tail = sounds.encode(tone(440, RATE, tail_s), RATE, "ogg").split(b"OggS")
    place = tail[2].find(b"\x05vorbis")
    tail[2] = tail[2][: place + 8] + bytes(52) + tail[2][place + 60 :]
    tail[2] = signed(b"OggS" + tail[2])[4:]
    if tail_s == 1:
        samples, track = decode(sandbox, tmp_path / "a", head + b"OggS".join(tail))
        assert len(samples) / RATE == pytest.approx(30, abs=0.1)
        assert "1.0" in track.warnings[0]
    else:
        with pytest.raises(Corrupt, match=r"s of 3\d\.\d+ s"):
            decode(sandbox, tmp_path / "a", head + b"OggS".join(tail))


def test_flac_in_ogg_may_be_chained(sandbox, tmp_path):
    parts = [in_ogg(sounds.encode(tone(pitch), 44_100, "flac")) for pitch in (440, 1000)]
    check_two_songs(sandbox, tmp_path / "a", b"".join(parts))


def in_ogg(flac: bytes) -> bytes:
    """The same frames in another container."""
    written = io.BytesIO()
    with av.open(io.BytesIO(flac), "r", "flac") as source, av.open(written, "w", "ogg") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return written.getvalue()


def test_a_cover_between_two_songs_is_no_damage(sandbox, tmp_path):
    parts = [sounds.encode(tone(pitch), 44_100, "mp3") for pitch in (440, 1000)]
    check_two_songs(
        sandbox, tmp_path / "a", sounds.id3_tag(10) + parts[0] + ID3V1 + sounds.id3_tag(300_000) + parts[1]
    )


@pytest.fixture(scope="module")
def songs() -> dict[str, bytes]:
    encoded = {suffix: sounds.encode(tone(440), 44_100, suffix) for suffix in ("mp3", "flac", "ogg", "wav")}
    return encoded | {"aac": sounds.encode_av(tone(440), 44_100, "adts", "aac")}


AROUND = {
    "ID3v1 after": (b"", ID3V1),
    "APEv2 after": (b"", APE),
    "ID3v2 in front, ID3v1 after": (sounds.id3_tag(5000), ID3V1),
    "two tags in front": (sounds.id3_tag(5000) + sounds.id3_tag(20), b""),
    "plain size": (b"ID3\3\0\0" + struct.pack(">I", 300_000) + bytes(300_000), b""),
    "size beyond its content": (b"ID3\3\0\0\0\0\x40\0TIT2\0\0\0\x03\0\0\0ab" + bytes(50), b""),
    "size beyond the file": (b"ID3\3\0\0\x7f\x7f\x7f\x7f" + bytes(500), b""),
    "junk of 2 MB in front": (np.random.default_rng(0).bytes(2_000_000), b""),
    "zeros after": (b"", bytes(50_000)),
    "junk after": (b"", np.random.default_rng(1).bytes(5000)),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "wav", "aac"])
def test_what_lies_around_the_audio_is_left_out(sandbox, tmp_path, songs, suffix, around):
    front, tail = AROUND[around]
    plain, _ = decode(sandbox, tmp_path / "plain", songs[suffix])
    samples, track = decode(sandbox, tmp_path / "a", front + songs[suffix] + tail)
    assert abs(len(samples) - len(plain)) <= 0.05 * RATE
    assert track.warnings == ()
    assert pitch_hz(samples) == pytest.approx(440, abs=1)


def test_a_capture_that_begins_and_ends_inside_of_a_frame(sandbox, tmp_path, songs):
    samples, track = decode(sandbox, tmp_path / "a", songs["aac"][300:-100])
    assert len(samples) / RATE == pytest.approx(3, abs=0.15)
    assert len(track.warnings) <= 1


def riff(samples: bytes, riff_size: int, data_size: int, extra: bytes = b"") -> bytes:
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    chunks = b"WAVE" + b"fmt " + struct.pack("<I", 16) + fmt + extra + b"data" + struct.pack("<I", data_size)
    return b"RIFF" + struct.pack("<I", riff_size) + chunks + samples


SIZES = {
    "zero": (0, 0), "open": (0xFFFFFFFF, 0xFFFFFFFF), "too small": (36 + 32_000, 32_000),
    "too small, RIFF right": (36 + 96_000, 32_000), "zero with tags": (0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_a_wav_with_wrong_sizes_is_decoded_to_its_end(sandbox, tmp_path, name):
    values = (tone(440, RATE) * 32767).astype("<i2").tobytes()
    tail = ID3V1 if "tags" in name else b""
    samples, track = decode(sandbox, tmp_path / "a", riff(values, *SIZES[name]) + tail)
    assert len(samples) == 3 * RATE
    assert track.warnings == ()
    np.testing.assert_allclose(samples, tone(440, RATE), atol=1e-4)


def test_a_wav_whose_highest_bytes_come_first(sandbox, tmp_path):
    values = (tone(440, RATE) * 32767).astype(">i2").tobytes()
    fmt = struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    head = b"WAVEfmt " + struct.pack(">I", 16) + fmt + b"data" + struct.pack(">I", len(values))
    data = b"RIFX" + struct.pack(">I", 36 + len(values)) + head + values
    samples, track = decode(sandbox, tmp_path / "a", data)
    np.testing.assert_allclose(samples, tone(440, RATE), atol=1e-4)
    assert track.warnings == ()
    _, track = decode(sandbox, tmp_path / "a", data[:-2000])
    assert len(track.warnings) == 1


def test_a_chunk_of_odd_length_without_its_padding(sandbox, tmp_path):
    values = (tone(440, RATE) * 32767).astype("<i2").tobytes()
    odd = b"LIST" + struct.pack("<I", 5) + b"INFOx"
    samples, _ = decode(sandbox, tmp_path / "a", riff(values, 36 + len(odd) + len(values), len(values), odd))
    assert len(samples) == 3 * RATE


def test_an_aiff_whose_counts_are_zero(sandbox, tmp_path):
    data = bytearray(sounds.encode(tone(440, RATE), RATE, "aiff"))
    at = data.index(b"COMM") + 10
    data[at : at + 4] = bytes(4)
    at = data.index(b"SSND") + 4
    data[at : at + 4] = bytes(4)
    samples, track = decode(sandbox, tmp_path / "a", bytes(data))
    assert abs(len(samples) - 3 * RATE) <= 4
    assert track.warnings == ()


def stale(suffix: str, samples: sounds.Samples, stated: int) -> bytes:
    """A file of 16-bit samples (T,) whose headers count `stated` of them."""
    order = "<" if suffix == "wav" else ">"
    values = (samples * 32767).astype(f"{order}i2").tobytes()
    if suffix == "wav":
        return riff(values, 36 + 2 * stated, 2 * stated)
    if suffix == "aiff":
        data = bytearray(sounds.encode(samples, RATE, "aiff"))
        at = data.index(b"COMM") + 10
        data[at : at + 4] = struct.pack(">I", stated)
        at = data.index(b"SSND") + 4
        data[at : at + 4] = struct.pack(">I", 8 + 2 * stated)
        return bytes(data)
    fmt = struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    head = b"WAVEfmt " + struct.pack(">I", 16) + fmt + b"data" + struct.pack(">I", 2 * stated)
    return b"RIFX" + struct.pack(">I", 36 + 2 * stated) + head + values


SILENCE = np.zeros(6 * RATE // 5, np.float32)
PARTS: dict[str, tuple[sounds.Samples, ...]] = {
    "the same": (tone(440, RATE), tone(440, RATE)), "silence": (tone(440, RATE), SILENCE, tone(440, RATE)),
    "louder": (sounds.tone(440, 3, RATE, 0.01), tone(440, RATE)),
    "silence first": (SILENCE, SILENCE, tone(440, RATE)),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["wav", "rifx", "aiff"])
def test_samples_behind_the_stated_end_are_decoded(sandbox, tmp_path, suffix):
    for name, parts in PARTS.items():
        whole: sounds.Samples = np.concatenate(parts)
        samples, track = decode(sandbox, tmp_path / "a", stale(suffix, whole, len(parts[0])))
        assert abs(len(samples) - len(whole)) <= 4, name
        np.testing.assert_allclose(samples[: len(whole)], whole[: len(samples)], atol=1e-4)
        assert track.warnings == ()
    for stated in (0, 0x7FFFFFE0):
        if suffix == "rifx":
            samples, track = decode(sandbox, tmp_path / "a", stale(suffix, whole, stated))
            assert (len(samples), track.warnings) == (len(whole), ())


@pytest.mark.parametrize("suffix", ["wav", "rifx", "aiff"])
def test_other_bytes_behind_the_stated_end_are_counted(sandbox, tmp_path, suffix):
    whole = stale(suffix, tone(440, RATE), 3 * RATE)
    junk = np.random.default_rng(0).bytes(100_000)
    for after in (junk, bytes(100_000) + junk, b"a letter, not a song. " * 4545):
        samples, track = decode(sandbox, tmp_path / "a", whole + after + ID3V1)
        assert len(samples) == 3 * RATE
        (warning,) = track.warnings
        assert abs(int(warning.split()[0]) - len(after)) <= 1
        with (tmp_path / "a").open("rb") as file:
            _, by_windows = sandbox.decode_windows(file, RATE, 2, 1.0, max_duration_s=MAX_S)
        assert by_windows.warnings == track.warnings
    _, track = decode(sandbox, tmp_path / "a", whole + bytes(100_000))
    assert track.warnings == ()


class TestCancellingChannels:
    def decoded(
        self, sandbox: Sandbox, path: Path, left: sounds.Samples, right: sounds.Samples
    ) -> sounds.Samples:
        return decode(sandbox, path, sounds.encode(sounds.stereo(left, right), RATE, "wav", "FLOAT"))[0]

    def test_one_of_them_is_taken(self, sandbox, tmp_path):
        mono = sounds.noise(12)
        np.testing.assert_array_equal(self.decoded(sandbox, tmp_path / "a", mono, -mono), mono)

    def test_the_louder_one_is_taken(self, sandbox, tmp_path):
        mono = sounds.noise(3)
        louder = -mono * np.float32(1.05)
        np.testing.assert_array_equal(self.decoded(sandbox, tmp_path / "a", mono, louder), louder)

    def test_channels_that_differ_are_averaged(self, sandbox, tmp_path):
        left, right = sounds.noise(3), sounds.noise(3, seed=1)
        decoded = self.decoded(sandbox, tmp_path / "a", left, right)
        np.testing.assert_allclose(decoded, (left + right) / 2, atol=1e-7)

    def test_a_single_channel_that_sounds_is_averaged_with_the_silent_ones(self, sandbox, tmp_path):
        samples = np.zeros((3 * RATE, 8), np.float32)
        samples[:, 5] = sounds.noise(3)
        decoded, _ = decode(sandbox, tmp_path / "a", sounds.encode(samples, RATE, "wav", "FLOAT"))
        np.testing.assert_allclose(decoded, samples[:, 5] / 8, atol=1e-7)


def test_a_flac_longer_than_its_header_says_is_decoded_to_its_end(sandbox, tmp_path):
    flac = sounds.encode(tone(1000, duration_s=8), 44_100, "flac")
    path = tmp_path / "song.flac"
    samples, track = decode(sandbox, path, sounds.with_flac_length(flac, 4 * 44_100))
    assert len(samples) / RATE == pytest.approx(8, abs=0.01)
    assert track.warnings == ()
    assert pitch_hz(samples[6 * RATE :]) == pytest.approx(1000, abs=2)
    with path.open("rb") as file:
        _, by_windows = sandbox.decode_windows(file, RATE, 2, 1.0, max_duration_s=MAX_S)
    assert by_windows.duration_s == pytest.approx(8, abs=0.01)


def test_impossible_sizes_at_the_end_or_in_64_bits_are_no_damage(sandbox, tmp_path):
    samples = tone(1000)
    m4a = sounds.encode_av(samples, 44_100, "ipod", "aac") + b"\0\0\0\1free" + b"\xff" * 8
    wav = sounds.encode(samples, 44_100, "wav")
    ds64 = b"ds64" + struct.pack("<I", 28) + b"\xff" * 24 + bytes(4)
    data_at = wav.index(b"data")
    rf64 = b"RF64" + b"\xff" * 4 + b"WAVE" + ds64 + wav[12 : data_at + 4] + b"\xff" * 4 + wav[data_at + 8 :]
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    fragmented = sounds.encode_av(samples, 44_100, "mp4", "aac", fragments) + m4a[-16:]
    for data in (m4a, rf64, fragmented):
        decoded, track = decode(sandbox, tmp_path / "song", data)
        assert len(decoded) / RATE == pytest.approx(3, abs=0.1)
        assert track.warnings == ()


def test_a_wrong_count_of_mp3_frames_is_no_damage_where_all_bytes_are_there(sandbox, tmp_path):
    mp3 = bytearray(sounds.encode(tone(1000, duration_s=8), 44_100, "mp3"))
    count_at = max(mp3.find(b"Xing"), mp3.find(b"Info")) + 8
    count = int.from_bytes(mp3[count_at : count_at + 4], "big")
    for stated in (2 * count, 0xFFFFFFFF):
        mp3[count_at : count_at + 4] = stated.to_bytes(4, "big")
        samples, track = decode(sandbox, tmp_path / "a", bytes(mp3))
        assert len(samples) / RATE == pytest.approx(8, abs=0.1)
        assert track.warnings == ()
        with pytest.raises(Corrupt):
            decode(sandbox, tmp_path / "a", bytes(mp3[: len(mp3) // 2]))
