"""Synthesised audio, and every kind of file that cannot be labelled."""

import io
import os
import struct
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile as sf
from av.audio.stream import AudioStream

Samples = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000
_CONTAINERS = {
    "opus": ("OGG", "OPUS"),
    "ogg": ("OGG", "VORBIS"),
    "oga": ("OGG", "VORBIS"),
    "aif": ("AIFF", None),
}


def tone(
    frequency_hz: float, duration_s: float, sample_rate: int = SAMPLE_RATE, level: float = 0.3
) -> Samples:
    """A sine wave, (T,)."""
    time_s = np.arange(round(duration_s * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def noise(duration_s: float, sample_rate: int = SAMPLE_RATE, seed: int = 0, level: float = 0.1) -> Samples:
    """White noise, (T,); the same for the same seed."""
    generator = np.random.default_rng(seed)
    return generator.uniform(-level, level, round(duration_s * sample_rate)).astype(np.float32)


def chord(frequencies_hz: Sequence[float], duration_s: float, sample_rate: int = SAMPLE_RATE) -> Samples:
    """Several sine waves at once, (T,)."""
    level = 0.5 / len(frequencies_hz)
    return sum(
        (tone(frequency, duration_s, sample_rate, level) for frequency in frequencies_hz),
        start=np.zeros(round(duration_s * sample_rate), np.float32),
    )


def stereo(left: Samples, right: Samples) -> Samples:
    """Two channels of the same length, (T, 2)."""
    return np.stack([left, right], axis=1)


def encode(samples: Samples, sample_rate: int, suffix: str, subtype: str | None = None) -> bytes:
    """Audio (T,) or (T, C) as a file's bytes: wav, flac, ogg, opus (48 kHz and its parts only), mp3, aiff."""
    container, default_subtype = _CONTAINERS.get(suffix, (suffix.upper(), None))
    buffer = io.BytesIO()
    sf.write(buffer, samples, sample_rate, format=container, subtype=subtype or default_subtype)
    return buffer.getvalue()


def encode_av(
    samples: Samples,
    sample_rate: int,
    container: str,
    codec: str,
    options: dict[str, str] | None = None,
    title: bytes = b"",
) -> bytes:
    """Audio (T,) or (T, C) as a file's bytes, by FFmpeg's names of container and codec; `title` as it is."""
    with (
        tempfile.NamedTemporaryFile() as file,
        av.open(file.name, "w", container, options, metadata_encoding="latin-1") as output,
    ):
        if title:
            output.metadata["title"] = title.decode("latin-1")
        stream = output.add_stream(codec, rate=sample_rate, layout="mono" if samples.ndim == 1 else "stereo")
        assert isinstance(stream, AudioStream)
        stream.bit_rate = 128_000
        values = np.ascontiguousarray(np.atleast_2d(samples.T))
        frame = av.AudioFrame.from_ndarray(values, format="fltp", layout=stream.layout.name)
        frame.sample_rate = sample_rate
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        output.close()
        return Path(file.name).read_bytes()


def write(path: Path, samples: Samples, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write audio in the format that the path's suffix names."""
    path.write_bytes(encode(samples, sample_rate, path.suffix[1:].lower()))
    return path


def bad_file(kind: str, path: Path) -> Path:
    """Make a file of a kind of `BAD_FILES` at `path`, whose suffix may be any audio suffix.

    A `vanishing` file is sound: it is up to the test to delete it once it has been listed. A `forbidden`
    one can be read by root all the same.
    """
    if kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    else:
        path.write_bytes(_CONTENTS[kind]())
    if kind == "forbidden":
        path.chmod(0)
    return path


@cache
def encoded_music(suffix: str) -> bytes:
    """Four seconds of something that sounds, cheap to make many files of."""
    return encode(chord([220, 277.2, 329.6], 4) + noise(4, level=0.01), SAMPLE_RATE, suffix)


def with_flac_length(flac: bytes, samples: int) -> bytes:
    """The same FLAC file whose STREAMINFO claims another number of samples (36 bits)."""
    return (
        flac[:21]
        + bytes([flac[21] & 0xF0 | samples >> 32])
        + (samples & 0xFFFFFFFF).to_bytes(4, "big")
        + flac[26:]
    )


def id3_tag(body_bytes: int) -> bytes:
    """An ID3v2.3 tag that is nothing but padding."""
    length = bytes(body_bytes >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + length + bytes(body_bytes)


def _half(suffix: str) -> bytes:
    data = encoded_music(suffix)
    return data[: len(data) // 2]


def _text() -> bytes:
    return b"Not a song but a letter that somebody has renamed.\n" * 200


def _short() -> bytes:
    return encode(tone(440, 0.2), SAMPLE_RATE, "wav")


def _silence() -> bytes:
    return encode(np.zeros(3 * SAMPLE_RATE, np.float32), SAMPLE_RATE, "flac")


def _no_samples() -> bytes:
    return encode(np.zeros(0, np.float32), SAMPLE_RATE, "wav")


def _not_a_number() -> bytes:
    samples = tone(440, 2)
    samples[::10] = np.nan
    return encode(samples, SAMPLE_RATE, "wav", "FLOAT")


_CONTENTS: dict[str, Callable[[], bytes]] = {
    "empty": bytes,
    "text": _text,
    "truncated_flac": lambda: _half("flac"),
    "truncated_wav": lambda: _half("wav"),
    "truncated_mp3": lambda: _half("mp3"),
    "truncated_ogg": lambda: _half("ogg"),
    "no_samples": _no_samples,
    "huge_header": lambda: with_flac_length(encoded_music("flac"), (1 << 36) - 1),
    "not_a_number": _not_a_number,
    "silent": _silence,
    "too_short": _short,
    "forbidden": lambda: encoded_music("wav"),
    "vanishing": lambda: encoded_music("wav"),
}

# kind -> the code of the error that it must end in
BAD_FILES: dict[str, str] = {
    "empty": "empty",
    "text": "not_audio",
    "truncated_flac": "corrupt",
    "truncated_wav": "corrupt",
    "truncated_mp3": "corrupt",
    "truncated_ogg": "corrupt",
    "no_samples": "empty",
    "huge_header": "corrupt",
    "not_a_number": "corrupt",
    "silent": "silent",
    "too_short": "too_short",
    "directory": "not_a_file",
    "link": "outside_library",
    "forbidden": "unreadable",
    "vanishing": "disappeared",
}

# kinds whose content is at fault, so that they are bad for whoever reads them, from wherever
BAD_CONTENTS = [kind for kind in BAD_FILES if kind in _CONTENTS and kind not in ("forbidden", "vanishing")]

# root may read everything
PERMISSIONS_HOLD = os.geteuid() != 0


DSD64_RATE = 2_822_400


def bits_of_tone(frequency_hz: float, duration_s: float, level: float = 0.4) -> npt.NDArray[np.uint8]:
    """A sine wave as one-bit samples at `DSD64_RATE`, (T,): a sigma-delta modulator of first order."""
    time_s = np.arange(round(duration_s * DSD64_RATE)) / DSD64_RATE
    density = (1 + level * np.sin(2 * np.pi * frequency_hz * time_s)) / 2
    return np.diff(np.floor(np.cumsum(density)), prepend=0).astype(np.uint8)


def dsf(bits: npt.NDArray[np.uint8]) -> bytes:
    """One-bit samples (T,) as a DSF file of one channel, the first sample in the lowest bit."""
    data = np.packbits(bits, bitorder="little").tobytes()
    data += bytes(-len(data) % 4096)
    fields = (52, 1, 0, 1, 1, DSD64_RATE, 1, len(bits), 4096, 0)
    chunks = (
        b"fmt " + struct.pack("<QIIIIIIQII", *fields) + b"data" + struct.pack("<Q", 12 + len(data)) + data
    )
    return b"DSD " + struct.pack("<QQQ", 28, 28 + len(chunks), 0) + chunks


def dsdiff(bits: npt.NDArray[np.uint8]) -> bytes:
    """One-bit samples (T,) as a DSDIFF file of one channel, the first sample in the highest bit."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack(">Q", len(body)) + body + bytes(len(body) % 2)

    described = chunk(b"FS  ", struct.pack(">I", DSD64_RATE)) + chunk(b"CHNL", b"\0\1C   ")
    described += chunk(b"CMPR", b"DSD \x0enot compressed\0")
    body = b"DSD " + chunk(b"FVER", b"\1\5\0\0") + chunk(b"PROP", b"SND " + described)
    return chunk(b"FRM8", body + chunk(b"DSD ", np.packbits(bits).tobytes()))
