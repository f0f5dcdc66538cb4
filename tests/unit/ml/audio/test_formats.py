"""Which formats are known by their content, and what is said of those that cannot be decoded."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from core.errors import Corrupt, Empty, NotAudio, UnsupportedFormat
from core.ml.audio.sandbox import Sandbox
from tests.support import sounds
from tests.unit.ml.audio.test_damage import RATE, decode
from tests.unit.ml.audio.test_streams import pitch_hz

# FFmpeg's names of container and codec -> sample rate
ENCODED = {
    ("au", "pcm_s16be"): 44_100, ("au", "pcm_mulaw"): 22_050, ("caf", "pcm_s16le"): 44_100,
    ("caf", "alac"): 44_100,
    ("w64", "pcm_s24le"): 48_000, ("wv", "wavpack"): 44_100, ("tta", "tta"): 44_100, ("ac3", "ac3"): 48_000,
    ("eac3", "eac3"): 48_000, ("amr", "libopencore_amrnb"): 8_000, ("mp2", "mp2"): 44_100,
    ("webm", "libopus"): 48_000, ("matroska", "libmp3lame"): 44_100, ("mov", "alac"): 44_100,
    ("3gp", "libopencore_amrnb"): 8_000, ("wav", "libmp3lame"): 44_100, ("wav", "ac3"): 48_000,
    ("voc", "pcm_u8"): 25_000, ("mpegts", "mp2"): 44_100, ("flv", "libmp3lame"): 44_100,
    ("avi", "libmp3lame"): 44_100, ("aiff", "pcm_s16le"): 44_100, ("rm", "real_144"): 8_000,
    ("asf", "wmav1"): 44_100,
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(Sandbox()) as made:
        yield made


@pytest.mark.parametrize(("container", "codec"), ENCODED)
def test_they_are_decoded_whatever_the_name(sandbox, tmp_path, container, codec):
    rate = ENCODED[container, codec]
    data = sounds.encode_av(sounds.tone(1000, 3, rate), rate, container, codec)
    samples, track = decode(sandbox, tmp_path / "a.txt", data)
    assert len(samples) / RATE == pytest.approx(3, abs=0.1)
    assert track.warnings == ()
    assert pitch_hz(samples) == pytest.approx(1000, abs=2)
    assert np.abs(samples[RATE : 2 * RATE]).max() == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("planar", [True, False])
def test_dsd_becomes_ordinary_samples(sandbox, tmp_path, planar):
    """DSD64 in DSF and DSDIFF: a tone of one bit at 2.8 MHz, without the noise above it."""
    data = sounds.dsf(sounds.bits_of_tone(440, 2)) if planar else sounds.dsdiff(sounds.bits_of_tone(440, 2))
    samples, track = decode(sandbox, tmp_path / "a", data)
    assert len(samples) / RATE == pytest.approx(2, abs=0.02)
    assert track.warnings == ()
    assert pitch_hz(samples) == pytest.approx(440, abs=1)
    assert np.abs(samples[RATE // 2 : RATE]).max() == pytest.approx(0.4, abs=0.05)


def fairplay() -> bytes:
    m4a = sounds.encode_av(sounds.tone(440, 3), RATE, "ipod", "aac")
    at = m4a.rfind(b"mp4a", 0, m4a.rfind(b"esds"))
    return m4a[:at] + b"drms" + m4a[at + 4 :]


UNSUPPORTED = {
    "FairPlay": (fairplay, "FairPlay"),
    "Audible": (lambda: bytes(4) + b"\x57\x90\x75\x36" + bytes(5000), "Audible"),
    "OptimFROG": (lambda: b"OFR \x0f\0\0\0" + bytes(5000), "OptimFROG"),
    "Musepack SV4": (lambda: b"MP+\x04" + bytes(5000), "Musepack"),
    "a module": (lambda: b"Extended Module: song" + bytes(5000), "tracker"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_known_and_cannot_be_decoded_has_its_name(sandbox, tmp_path, name):
    make, words = UNSUPPORTED[name]
    with pytest.raises(UnsupportedFormat, match=words):
        decode(sandbox, tmp_path / "a.mp3", make())


def test_protected_windows_media_is_named(sandbox, tmp_path):
    asf = sounds.encode_av(sounds.tone(440, 3), RATE, "asf", "wmav2")
    guid = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
    with pytest.raises(UnsupportedFormat, match="DRM-protected Windows Media"):
        decode(sandbox, tmp_path / "a.wma", asf[:30] + guid + asf[46:])


OTHER = {
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(5000), "picture"),
    "MIDI": (b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + bytes(500), "MIDI"),
    "an archive": (b"PK\3\4" + bytes(500), "archive"),
    "a playlist": (b"#EXTM3U\nsong.mp3\n", "playlist"),
    "text": (b"Dear reader, " * 1000, "not audio"),
}


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_audio_is_called_so(sandbox, tmp_path, name):
    data, words = OTHER[name]
    with pytest.raises(NotAudio, match=words):
        decode(sandbox, tmp_path / "a.mp3", data)


def test_an_ogg_without_its_beginning_is_damaged_and_not_something_else(sandbox, tmp_path):
    data = sounds.encoded_music("ogg")
    with pytest.raises(Corrupt, match="beginning"):
        decode(sandbox, tmp_path / "a.ogg", data[data.index(b"OggS", 4) :])


def test_a_wav_without_samples_is_empty(sandbox, tmp_path):
    with pytest.raises(Empty):
        decode(sandbox, tmp_path / "a.wav", sounds.encode(np.zeros(0, np.float32), RATE, "wav"))
