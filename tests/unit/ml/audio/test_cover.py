"""The pictures in audio files: small, re-encoded, and only where there is a usable one."""

import base64
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from mutagen.aiff import AIFF
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, ID3
from mutagen.oggvorbis import OggVorbis

from core.library.content import COVER_BYTES
from core.ml.audio import cover
from core.ml.audio.sandbox import read_cover
from tests.support.sounds import SAMPLE_RATE, encode, tone


def draw(codec: str, width: int, height: int) -> bytes:
    """Red to the left, green to the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 1] = 255
    form = "rgb24" if codec == "png" else "yuvj420p"
    encoder = cover._encoder(codec, width, height, form, 2)
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=form)
    frame.pts, frame.time_base = 0, Fraction(1, 1)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def as_picture(data: bytes, mime: str) -> Any:
    picture: Any = cast(Any, Picture)()
    picture.data, picture.mime, picture.type = data, mime, 3
    return picture


def into_id3(path: Path, data: bytes, mime: str) -> None:
    tags: Any = cast(Any, ID3)()
    tags.add(cast(Any, APIC)(encoding=3, mime=mime, type=3, desc="front", data=data))
    tags.save(path)


def into_aiff(path: Path, data: bytes, mime: str) -> None:
    file: Any = cast(Any, AIFF)(path)
    file.add_tags()
    file.tags.add(cast(Any, APIC)(encoding=3, mime=mime, type=3, desc="front", data=data))
    file.save()


def into_flac(path: Path, data: bytes, mime: str) -> None:
    file: Any = cast(Any, FLAC)(path)
    file.add_picture(as_picture(data, mime))
    file.save()


def into_ogg(path: Path, data: bytes, mime: str) -> None:
    file: Any = cast(Any, OggVorbis)(path)
    file["metadata_block_picture"] = [base64.b64encode(as_picture(data, mime).write()).decode()]
    file.save()


WRITERS = {"mp3": into_id3, "aiff": into_aiff, "flac": into_flac, "ogg": into_ogg}


def make(folder: Path, suffix: str, data: bytes, mime: str) -> Path:
    path = folder / f"song.{suffix}"
    path.write_bytes(encode(tone(220, 1), SAMPLE_RATE, suffix))
    write: Callable[[Path, bytes, str], None] = WRITERS[suffix]
    write(path, data, mime)
    return path


def pixels_of(jpeg: bytes) -> np.ndarray:
    with av.open(io.BytesIO(jpeg), "r") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(
    ("codec", "mime", "size", "shown"),
    [("png", "image/png", (960, 640), (480, 320)), ("mjpeg", "image/jpeg", (100, 300), (100, 300))],
)
def test_the_cover_of_every_format_is_found_and_made_small(tmp_path, suffix, codec, mime, size, shown):
    path = make(tmp_path, suffix, draw(codec, *size), mime)
    with path.open("rb") as file:
        jpeg = read_cover(file)
    assert jpeg is not None
    assert len(jpeg) <= COVER_BYTES
    found = pixels_of(jpeg)
    assert found.shape == (shown[1], shown[0], 3)
    assert found[5, 5].tolist() == pytest.approx([255, 0, 0], abs=12)
    assert found[-5, -5].tolist() == pytest.approx([0, 255, 0], abs=12)


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"", "image/png"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "image/png"),
        (b"\xff\xd8\xff<script>alert(1)</script>", "image/jpeg"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "image/svg+xml"),
        (b"<html><script>alert(1)</script>", "text/html"),
    ],
)
def test_what_is_no_picture_is_not_passed_on(tmp_path, data, mime):
    path = make(tmp_path, "mp3", data, mime)
    with path.open("rb") as file:
        assert read_cover(file) is None


def test_a_picture_of_too_many_pixels_is_left_out(tmp_path):
    path = make(tmp_path, "flac", draw("png", 64, 64), "image/png")
    data = bytearray(path.read_bytes())
    place = data.index(b"IHDR") + 4
    data[place : place + 8] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    with path.open("rb") as file:
        assert read_cover(file) is None


def test_nothing_of_the_bytes_of_a_picture_but_its_pixels_is_passed_on(tmp_path):
    drawn = draw("mjpeg", 64, 64)
    comment = b"<script>alert(1)</script>"
    data = drawn[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + drawn[2:] + comment
    path = make(tmp_path, "mp3", data, "image/jpeg")
    with path.open("rb") as file:
        jpeg = read_cover(file)
    assert jpeg is not None
    assert comment not in jpeg


def test_a_picture_that_stays_large_is_written_more_coarsely(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, "rgb24")
    fine = cover._encode(frame)
    assert fine is not None
    monkeypatch.setattr(cover, "COVER_BYTES", len(fine) - 1)
    coarse = cover._encode(frame)
    assert coarse is not None
    assert len(coarse) < len(fine)
    monkeypatch.setattr(cover, "COVER_BYTES", 1000)
    assert cover._encode(frame) is None


def test_files_without_a_cover_or_without_audio_have_none(tmp_path):
    plain = tmp_path / "plain.wav"
    plain.write_bytes(encode(tone(220, 1), SAMPLE_RATE, "wav"))
    text = tmp_path / "text.mp3"
    text.write_text("no audio")
    for path in (plain, text):
        with path.open("rb") as file:
            assert read_cover(file) is None
