"""The audio hash identifies the encoded audio, whatever container holds it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mutagen
import pytest
from mutagen.id3 import APIC, ID3, TIT2

from core.library.tag_blocks import trailing_tags_start
from core.ml.audio.sandbox import Sandbox
from tests.support import sounds
from tests.support.tagging import ape, chunk, id3, id3v1, remux, text_frame, with_chunks

AAC = ("adts", "aac")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(Sandbox()) as made:
        yield made


@pytest.fixture
def digest(sandbox: Sandbox, tmp_path: Path) -> Any:
    def hashed(content: bytes) -> bytes:
        path = tmp_path / "file"
        path.write_bytes(content)
        with path.open("rb") as file:
            found = sandbox.hash_audio(file)
        assert found is not None
        return found

    return hashed


SONG = text_frame("TIT2", b"\0Song", 3)


def test_tags_around_mp3_are_no_part_of_it(digest):
    audio = sounds.encoded_music("mp3")
    plain = digest(audio)
    lyrics = b"LYRICSBEGININD0000210"
    lyrics += b"%06d" % len(lyrics) + b"LYRICS200"
    for front in (b"", id3(3, SONG), id3(4, bytes(5000)) + id3(3, SONG)):
        for after in (
            b"",
            id3v1("Song"),
            ape(Title="Song") + id3v1("Song"),
            ape(Title="x") + lyrics + id3v1("y"),
        ):
            assert digest(front + audio + after) == plain


def test_tags_around_flac_are_no_part_of_it(digest):
    audio = sounds.encoded_music("flac")
    assert digest(id3(3, SONG) + audio + ape(Title="Song") + id3v1("Song")) == digest(audio)


@pytest.mark.parametrize(
    ("suffix", "containers"),
    [
        ("mp3", ["matroska", "mp3"]),
        ("flac", ["matroska", "ogg", "flac"]),
        ("ogg", ["matroska", "ogg"]),
        ("opus", ["matroska", "webm"]),
        ("wav", ["matroska", "mov"]),
    ],
)
def test_other_containers_hold_the_same_audio(digest, suffix, containers):
    audio = sounds.encoded_music(suffix)
    for container in containers:
        assert digest(remux(audio, container, title="Song")) == digest(audio), container


def test_frames_of_aac_are_the_same_with_headers_and_without(digest):
    audio = sounds.encode_av(sounds.noise(2, 44_100), 44_100, "ipod", "aac")
    for container in ("mp4", "matroska", "mov"):
        assert digest(remux(audio, container)) == digest(audio), container
    bare = sounds.encode_av(sounds.noise(2, 44_100), 44_100, "adts", "aac")
    assert digest(bare) == digest(audio)
    assert digest(id3(3, SONG) + bare + id3v1("Song")) == digest(audio)


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus", "wav", "aiff"])
def test_what_mutagen_writes_changes_nothing(digest, tmp_path, suffix):
    path = tmp_path / f"song.{suffix}"
    path.write_bytes(sounds.encoded_music(suffix))
    plain = digest(path.read_bytes())
    if suffix in ("wav", "aiff", "mp3"):
        file = mutagen.File(path)
        if file.tags is None:
            file.add_tags()
        file.tags.add(TIT2(encoding=3, text=["Song"]))  # type: ignore[no-untyped-call]
        file.tags.add(APIC(mime="image/jpeg", data=bytes(100_000)))  # type: ignore[no-untyped-call]
        assert isinstance(file.tags, ID3)
    else:
        file = mutagen.File(path)
        file["title"] = ["Song", "Other song"]
        file["comment"] = ["x" * 100_000]
    file.save()
    assert path.read_bytes() != sounds.encoded_music(suffix)
    assert digest(path.read_bytes()) == plain


def test_other_audio_has_another_hash(digest):
    samples = sounds.noise(2)
    suffixes = ("wav", "flac", "mp3", "ogg", "opus", "aiff")
    found = [digest(sounds.encode(samples, 16_000, suffix)) for suffix in suffixes]
    found.append(digest(sounds.encode(samples, 22_050, "wav")))
    found.append(digest(sounds.encode(samples * 0.9, 16_000, "wav")))
    stereo = sounds.stereo(samples[::2], samples[1::2])
    found.append(digest(sounds.encode(stereo, 16_000, "wav")))
    assert len(set(found)) == len(found)


def test_a_file_that_cannot_be_demuxed_has_the_hash_of_its_bytes(digest):
    """But without the tags around it."""
    junk = bytes(range(256)) * 20
    assert digest(id3(3, SONG) + junk + id3v1("Song")) == digest(junk) != digest(junk[1:])
    assert len(digest(b"")) == 32


def test_a_picture_is_not_the_audio(digest):
    audio = sounds.encoded_music("wav")
    tag = id3(3, text_frame("APIC", b"\0image/png\0\3\0" + bytes(1000), 3))
    assert digest(with_chunks(audio, chunk(b"id3 ", tag))) == digest(audio)


def test_a_large_file_is_hashed_while_it_reports_progress(sandbox, tmp_path):
    path = tmp_path / "long.wav"
    samples = 150_000_000  # bytes of them are zero and lie nowhere
    head = sounds.encode(sounds.noise(1), 44_100, "wav")
    path.write_bytes(head[:40] + (samples & 0xFFFFFFFF).to_bytes(4, "little") + head[44:])
    with path.open("r+b") as file:
        file.truncate(44 + samples)
    calls: list[int] = []
    with path.open("rb") as file:
        assert sandbox.hash_audio(file, lambda: calls.append(1)) is not None
        assert file.tell() == 0
    assert len(calls) >= 5


@pytest.mark.parametrize(
    ("tags", "is_found"),
    [
        (b"", True),
        (id3v1("Song"), True),
        (b"TAG+".ljust(227, b"\0") + id3v1("Song"), True),
        (ape(Title="Song"), True),
        (ape(Title="Song")[32:], False),  # states a header that is not there
        (b"LYRICSBEGIN a song LYRICSEND".replace(b" LYRICSEND", b"000000LYRICSEND"), True),
        (b"000099LYRICS200", False),
    ],
)
def test_the_end_of_the_audio(tmp_path, tags, is_found):
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * 1000 + tags)
    with path.open("rb") as file:
        start = trailing_tags_start(file.fileno(), 1000 + len(tags))
    assert (start == 1000) is is_found or (not is_found and start != 1000)


def test_all_that_is_decoded_of_joined_files_is_hashed(digest):
    first = sounds.noise(2, seed=1)
    for suffix in ("wav", "flac", "ogg"):
        files = [
            sounds.encode(samples, sounds.SAMPLE_RATE, suffix) for samples in (first, sounds.noise(1), -first)
        ]
        joined = {files[0], files[0] + files[1], files[0] + files[2]}
        assert len({digest(content) for content in joined}) == 3, suffix


def test_the_stated_size_of_a_wav_does_not_limit_the_hash(digest):
    samples = sounds.tone(440, 4) + sounds.noise(4, level=0.01)
    other = samples.copy()
    other[3 * sounds.SAMPLE_RATE :] *= -1
    wav, other_wav = (sounds.encode(audio, sounds.SAMPLE_RATE, "wav") for audio in (samples, other))
    size_at = wav.index(b"data") + 4
    for stated in (0, len(samples)):
        stale, other_stale = (
            content[:size_at] + stated.to_bytes(4, "little") + content[size_at + 4 :]
            for content in (wav, other_wav)
        )
        assert digest(stale) == digest(wav)
        assert digest(other_stale) == digest(other_wav) != digest(wav)
