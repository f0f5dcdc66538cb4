"""Tags are read in the sandbox from every format and encoding, made harmless, and never lost in silence."""

import errno
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import av
import mutagen
import pytest
from av.audio.stream import AudioStream
from mutagen.asf import ASF
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm

from core.library.content import TagReading
from core.library.tags import read_tags
from core.library.window import Window
from core.ml.audio.metadata import AudioContainer
from core.ml.audio.sandbox import Sandbox
from tests.support import sounds
from tests.support.tagging import (
    ape,
    chunk,
    encoded,
    flac,
    id3,
    id3v1,
    picture_comment,
    remux,
    synchsafe,
    text_frame,
    vorbis_comments,
    with_chunks,
)

SONG = {"title": "Größe 曲", "artist": "Çelik", "genre": ["Rock", "Pop"]}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with closing(Sandbox("tests.support.importing_helper")) as made:
        yield made


@pytest.fixture
def read(sandbox: Sandbox, tmp_path: Path) -> Any:
    """Read the tags of a file with this content in a helper; every reading would tell of a late import."""

    def reading(content: bytes) -> TagReading:
        path = tmp_path / "file"
        path.write_bytes(content)
        with path.open("rb") as file:
            return sandbox.read_tags(file)

    return reading


def mp3(*tags: bytes, behind: bytes = b"") -> bytes:
    return b"".join(tags) + sounds.encoded_music("mp3") + behind


def saved(tmp_path: Path, content: bytes, kind: Any, tags: dict[str, Any]) -> bytes:
    """Tags written by mutagen."""
    path = tmp_path / "saved"
    path.write_bytes(content)
    file = kind(path)
    if file.tags is None:
        file.add_tags()
    for key, value in tags.items():
        file[key] = value
    file.save()
    return path.read_bytes()


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-be", "utf-8"])
def test_every_text_encoding_of_id3(read, version, encoding):
    title = "Größe 曲" if encoding != "latin-1" else "Größe"
    frames = [
        text_frame("TIT2", encoded(title, encoding), version),
        text_frame("TCON", encoded("Rock\0Pop", encoding), version),
    ]
    assert read(mp3(id3(version, *frames))) == TagReading({"title": title, "genre": ["Rock", "Pop"]})


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_version_22(read, encoding):
    frames = [
        text_frame("TT2", encoded("Größe", encoding), 2),
        text_frame("TP1", encoded("Çelik\0", encoding), 2),
        text_frame("TCO", encoded("(13)Pop ", encoding), 2),
        text_frame("TYE", encoded("1999", encoding), 2),
    ]
    found = {"title": "Größe", "artist": "Çelik", "genre": ["Pop"], "date": "1999"}
    assert read(mp3(id3(2, *frames))) == TagReading(found)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_byte_order_mark(read, codec):
    assert read(mp3(id3(3, text_frame("TIT2", b"\1" + "Größe".encode(codec), 3)))).tags == {"title": "Größe"}


@pytest.mark.parametrize(
    ("data", "title"),
    [
        (b"Don\x92t \x96 2\x80", "Don\u2019t \u2013 2\u20ac"),  # Windows-1252, as most programs mean it
        (b"Gr\xf6\xdfe", "Größe"),
        ("Größe 曲".encode(), "Größe 曲"),  # UTF-8 that is marked as Latin-1
    ],
)
def test_latin_1_is_what_programs_mean_by_it(read, data, title):
    assert read(mp3(id3(3, text_frame("TIT2", b"\0" + data, 3)))) == TagReading({"title": title})
    v1 = (b"TAG" + data).ljust(127, b"\0") + b"\xff"
    assert read(mp3(behind=v1)) == TagReading({"title": title})


def test_a_character_that_the_end_of_a_field_of_id3v1_cuts_off_does_not_spoil_the_others(read):
    v1 = b"TAG" + ("x" + "é" * 15).encode()[:30] + bytes(94) + b"\xff"
    assert read(mp3(behind=v1)) == TagReading({"title": "x" + "é" * 14})


def test_texts_become_one_line_and_keep_their_joiners(read):
    title = "one\r\ntwo\tthree \u0645\u06cc\u200c\u062e \U0001f468\u200d\U0001f3a4\u202e"
    shown = "one two three \u0645\u06cc\u200c\u062e \U0001f468\u200d\U0001f3a4"
    assert read(mp3(id3(4, text_frame("TIT2", encoded(title, "utf-8"), 4)))) == TagReading({"title": shown})


def test_several_artists_are_all_kept_and_several_dates_are_one(read):
    comments = (b"ARTIST=One", b"ARTIST=Two", b"artist=One", b"DATE=1999-12-31", b"YEAR=1999")
    assert read(flac(vorbis_comments(*comments))) == TagReading({"artist": "One; Two", "date": "1999-12-31"})


def test_what_a_limit_cuts_is_reported(read):
    comments = (b"TITLE=" + b"x" * 501, *(b"GENRE=%d" % number for number in range(21)))
    tags, error = (reading := read(flac(vorbis_comments(*comments)))).tags, reading.error
    assert (len(tags["title"]), len(tags["genre"])) == (500, 20)
    assert error is not None
    assert "title is cut after 500 characters" in error
    assert "only the first 20 values of genre are kept" in error


def test_every_value_of_utf_16_may_have_a_mark_of_its_own(read):
    values = b"\1" + "Rock".encode("utf-16") + b"\0\0" + "Pop".encode("utf-16")
    assert read(mp3(id3(4, text_frame("TCON", values, 4)))).tags == {"genre": ["Rock", "Pop"]}


@pytest.mark.parametrize(
    ("text", "genre"),
    [
        ("(17)", ["Rock"]),
        ("17", ["Rock"]),
        ("(4)Eurodisco", ["Disco", "Eurodisco"]),
        ("(17)(39)", ["Rock", "Noise"]),
        ("(RX)", ["Remix"]),
        ("CR", ["Cover"]),
        ("17\0Blues\00079", ["Rock", "Blues", "Hard Rock"]),
        ("Drum & Bass/Jungle", ["Drum & Bass/Jungle"]),
        ("((Live)", ["(Live)"]),
        ("(255)", None),
    ],
)
def test_genres_of_id3_may_be_numbers(read, text, genre):
    tags = read(mp3(id3(4, text_frame("TCON", encoded(text, "utf-8"), 4)))).tags
    assert tags.get("genre") == genre


def test_all_fields_of_id3(read):
    texts = {
        "TALB": "Album", "TPE2": "Band", "TDRC": "1999-12-31", "TRCK": "3/9", "TPOS": "1/2", "TCOM": "Bach",
        "TBPM": "120", "TSRC": "DEUM71900001",
    }  # fmt: skip
    frames = [text_frame(name, encoded(text, "utf-8"), 4) for name, text in texts.items()]
    assert read(mp3(id3(4, *frames))) == TagReading(
        {
            "album": "Album", "albumartist": "Band", "date": "1999-12-31", "tracknumber": "3/9",
            "discnumber": "1/2", "composer": "Bach", "bpm": "120", "isrc": "DEUM71900001",
        }
    )  # fmt: skip


def test_year_and_day_of_version_23(read):
    frames = [text_frame("TYER", b"\0001999", 3), text_frame("TDAT", b"\0003112", 3)]
    assert read(mp3(id3(3, *frames))).tags == {"date": "1999-12-31"}


def test_frame_sizes_of_either_kind(read):
    """iTunes wrote plain sizes into version 2.4, others synchsafe ones into version 2.3."""
    for version in (3, 4):
        long = text_frame("TCOM", b"\0" + b"x" * 300, version, plain_size=True)
        tag = id3(version, long, text_frame("TIT2", b"\0Song", version), bytes(20))
        assert read(mp3(tag)) == TagReading({"composer": "x" * 300, "title": "Song"})


def test_names_of_version_22_within_version_23(read):
    assert read(mp3(id3(3, text_frame("TT2", b"\0Song", 3)))) == TagReading({"title": "Song"})


def test_unsynchronised_tags(read):
    text = b"\1" + "ÿ曲".encode("utf-16")
    stuffed = text.replace(b"\xff", b"\xff\x00")
    frame = text_frame("TIT2", text, 3)
    whole = frame.replace(b"\xff", b"\xff\x00")
    assert read(mp3(id3(3, whole, flags=0x80))).tags == {"title": "ÿ曲"}
    assert read(mp3(id3(4, text_frame("TIT2", stuffed, 4), flags=0x80))).tags == {"title": "ÿ曲"}
    assert read(mp3(id3(4, text_frame("TIT2", stuffed, 4, flags=2)))).tags == {"title": "ÿ曲"}


def test_extended_headers_and_footers(read):
    song = text_frame("TIT2", b"\0Song", 3)
    assert read(mp3(id3(3, (6).to_bytes(4, "big") + bytes(6), song, flags=0x40))).tags == {"title": "Song"}
    song = text_frame("TIT2", b"\0Song", 4)
    assert read(mp3(id3(4, synchsafe(6) + b"\1\0", song, flags=0x40))).tags == {"title": "Song"}
    tag = id3(4, song, flags=0x10)
    assert read(mp3(tag + b"3DI" + tag[3:10])) == TagReading({"title": "Song"})
    assert read(mp3(behind=tag + b"3DI" + tag[3:10])) == TagReading({"title": "Song"})


def test_compressed_frames_are_inflated_so_far_as_needed(read):
    body = zlib.compress(b"\0" + b"A" * 20_000_000, 1)
    frame = text_frame("TIT2", synchsafe(1000) + body, 4, flags=9)
    assert read(mp3(id3(4, frame))) == TagReading(
        {"title": "A" * 500}, "ID3v2: title is cut after 500 characters."
    )
    frame = text_frame("TIT2", (5).to_bytes(4, "big") + zlib.compress(b"\0Song"), 3, flags=0x80)
    assert read(mp3(id3(3, frame))) == TagReading({"title": "Song"})


def test_several_tags_at_once(read):
    """The first one that has a value gives it; ID3v1 cuts off its texts."""
    long = "A title of more than thirty characters"
    v2 = id3(3, text_frame("TIT2", encoded(long, "utf-16"), 3), bytes(100))
    v1 = id3v1(long[:30], "Somebody", 17)
    assert read(mp3(v2, behind=ape(Artist="Someone", Album="One") + v1)) == TagReading(
        {"title": long, "artist": "Someone", "album": "One", "genre": ["Rock"]}
    )
    lyrics = b"LYRICSBEGIN" + b"IND00002" + b"10"
    lyrics += b"%06d" % len(lyrics) + b"LYRICS200"
    assert read(mp3(behind=ape(Artist="Someone") + lyrics + v1)).tags["artist"] == "Someone"
    assert read(mp3(id3(3, text_frame("TIT2", b"\0", 3)), v2)).tags == {"title": long}


def test_id3v1_alone(read):
    assert read(mp3(behind=id3v1("Größe", "Çelik", 17))) == TagReading(
        {"title": "Größe", "artist": "Çelik", "genre": ["Rock"]}
    )


@pytest.mark.parametrize("magic", [b"wvpk", b"MPCK", b"MP+\7", b"MAC "])
def test_ape_tags_are_those_of_its_formats(read, magic):
    """The tags lie behind the audio, whatever that is."""
    tags = ape(Title="Größe 曲", Artist="Çelik", Genre="Rock\0Pop", Year="1999", Track="3/9")
    found = SONG | {"date": "1999", "tracknumber": "3/9"}
    assert read(magic + bytes(2000) + tags + id3v1("Other")) == TagReading(found)
    assert read(mp3(behind=tags)) == TagReading(found)


@pytest.mark.parametrize("name", [b"id3 ", b"ID3 "])
def test_id3_chunks_of_wav(read, name):
    tag = id3(3, text_frame("TIT2", encoded("Größe 曲", "utf-16"), 3), text_frame("TCON", b"\0(17)", 3))
    form = sounds.encoded_music("wav")
    assert read(with_chunks(form, chunk(name, tag))) == TagReading({"title": "Größe 曲", "genre": ["Rock"]})


def test_id3_chunks_of_aiff(read):
    tag = id3(4, text_frame("TIT2", encoded("Größe 曲", "utf-8"), 4))
    form = with_chunks(
        sounds.encoded_music("aiff"), chunk(b"AUTH", b"Someone", ">"), chunk(b"ID3 ", tag, ">"), order=">"
    )
    assert read(form) == TagReading({"title": "Größe 曲", "artist": "Someone"})


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_riff_info(read, encoding):
    texts = {
        b"INAM": "Größe",
        b"IART": "Çelik",
        b"IGNR": "Jazz",
        b"IPRD": "One",
        b"ICRD": "1999",
        b"ITRK": "3",
    }
    info = b"INFO" + b"".join(chunk(name, text.encode(encoding) + b"\0") for name, text in texts.items())
    found = {
        "title": "Größe", "artist": "Çelik", "genre": ["Jazz"], "album": "One", "date": "1999",
        "tracknumber": "3",
    }  # fmt: skip
    form = with_chunks(sounds.encoded_music("wav"), chunk(b"LIST", info))
    assert read(form) == TagReading(found)
    tag = id3(3, text_frame("TIT2", b"\0Song", 3))
    assert read(with_chunks(form, chunk(b"id3 ", tag))) == TagReading(found | {"title": "Song"})


def test_texts_behind_a_chunk_of_odd_length_without_padding(read):
    form = sounds.encoded_music("wav")
    at = form.index(b"data")
    samples = form[at + 8 :] + b"x"
    data = form[8:at] + b"data" + struct.pack("<I", len(samples)) + samples
    data += chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Song\0"))
    assert read(b"RIFF" + struct.pack("<I", len(data)) + data).tags == {"title": "Song"}


def test_dsf_and_dsdiff(read):
    tag = id3(3, text_frame("TIT2", b"\0Song", 3))
    dsf = b"DSD " + (28).to_bytes(8, "little") + bytes(8) + (100).to_bytes(8, "little")
    assert read(dsf.ljust(100, b"\0") + tag) == TagReading({"title": "Song"})
    dff = b"FRM8" + bytes(8) + b"DSD " + b"ID3 " + len(tag).to_bytes(8, "big") + tag
    assert read(dff) == TagReading({"title": "Song"})


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
def test_vorbis_comments(read, tmp_path, suffix):
    tags = {"TITLE": "Größe 曲", "artist": "Çelik", "Genre": ["Rock", "Pop"], "date": "1999"}
    content = saved(tmp_path, sounds.encoded_music(suffix), mutagen.File, tags)
    assert read(content) == TagReading(SONG | {"date": "1999"})


def test_vorbis_comments_of_other_codecs_in_ogg(read):
    tags = {"title": "Größe 曲", "artist": "Çelik", "genre": "Rock"}
    assert read(remux(sounds.encoded_music("flac"), "ogg", **tags)) == TagReading(SONG | {"genre": ["Rock"]})
    speex = ogg_with(vorbis_comments(b"TITLE=Song"), head=b"Speex   " + bytes(72), magic=b"")
    assert read(speex) == TagReading({"title": "Song"})


def test_flac_behind_and_before_other_tags(read):
    content = flac(vorbis_comments("TITLE=Größe 曲".encode()))
    front = id3(3, text_frame("TIT2", b"\0Other", 3), text_frame("TPE1", b"\0Someone", 3))
    found = TagReading({"title": "Größe 曲", "artist": "Someone", "genre": ["Rock"]})
    assert read(front + content + id3v1("Other", "Other", 17)) == found


def test_mp4(read, tmp_path):
    tags = {
        "\xa9nam": "Größe 曲", "\xa9ART": "Çelik", "\xa9gen": ["Rock", "Pop"], "\xa9alb": "One",
        "aART": "Band", "\xa9day": "1999", "trkn": [(3, 9)], "disk": [(1, 0)], "tmpo": [120],
        "----:com.apple.iTunes:ISRC": [MP4FreeForm(b"DEUM71900001")],  # type: ignore[no-untyped-call]
    }  # fmt: skip
    content = saved(tmp_path, sounds.encode_av(sounds.noise(2), 16_000, "ipod", "aac"), MP4, tags)
    found = SONG | {
        "album": "One", "albumartist": "Band", "date": "1999", "tracknumber": "3/9", "discnumber": "1",
        "bpm": "120", "isrc": "DEUM71900001",
    }  # fmt: skip
    assert read(content) == TagReading(found)


def test_genre_numbers_of_mp4(read, tmp_path):
    plain = sounds.encode_av(sounds.noise(2), 16_000, "ipod", "aac")
    content = saved(tmp_path, plain, MP4, {"\xa9gen": "A genre with a long name"})
    old = b"\0\0\0\x1agnre" + b"\0\0\0\x12data" + bytes(8) + (18).to_bytes(2, "big")
    place = content.index(b"\xa9gen") - 4
    length = int.from_bytes(content[place : place + 4], "big")
    # As long as what it replaces, so that no size around it changes.
    padding = (length - len(old)).to_bytes(4, "big") + b"free" + bytes(length - len(old) - 8)
    assert read(content[:place] + old + padding + content[place + length :]).tags == {"genre": ["Rock"]}


@pytest.mark.parametrize("key", ["WM/Year", "date"])
def test_asf(read, tmp_path, key):
    tags = {"Title": "Größe 曲", "Author": "Çelik", "WM/Genre": ["Rock", "Pop"], key: "1999"}
    content = saved(tmp_path, sounds.encode_av(sounds.noise(2), 16_000, "asf", "wmav2"), ASF, tags)
    assert read(content) == TagReading(SONG | {"date": "1999"})


def test_matroska(read):
    found = TagReading(SONG | {"genre": ["Rock"], "date": "1999"})
    tags = {"title": "Größe 曲", "ARTIST": "Çelik", "GENRE": "Rock", "DATE": "1999"}
    assert read(remux(sounds.encoded_music("opus"), "matroska", **tags)) == found


def with_metadata(container: str, codec: str, options: dict[str, str], **metadata: str) -> bytes:
    """Noise in a container with what FFmpeg writes there as metadata."""
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", container, options) as output:
            output.metadata.update(metadata)
            stream = cast(AudioStream, output.add_stream(codec, 16_000, layout="mono"))
            frame = av.AudioFrame.from_ndarray(sounds.noise(2)[None], "fltp", "mono")
            frame.sample_rate = 16_000
            for packet in (*stream.encode(frame), *stream.encode(None)):
                output.mux(packet)
        return Path(file.name).read_bytes()


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("ipod", "aac", {"movflags": "use_metadata_tags"}),
        ("mov", "aac", {}),
        ("caf", "pcm_s16be", {}),
        ("au", "pcm_s16be", {}),
        ("flv", "aac", {}),
    ],
)
def test_tags_that_only_ffmpeg_reads(read, container, codec, options):
    content = with_metadata(container, codec, options, title="Größe 曲")
    assert read(content) == TagReading({"title": "Größe 曲"})


def test_3gp(read):
    content = with_metadata("3gp", "aac", {}, title="Größe 曲", artist="Çelik", album="One", date="1999")
    found = {"title": "Größe 曲", "artist": "Çelik", "album": "One", "date": "1999"}
    assert read(content) == TagReading(found)


def test_texts_of_bw64(read):
    info = b"INFO" + chunk(b"INAM", b"Song")
    form = with_chunks(sounds.encoded_music("wav"), chunk(b"LIST", info))
    ds64 = chunk(b"ds64", (len(form) + 28).to_bytes(8, "little") + bytes(20))
    assert read(b"BW64" + b"\xff" * 4 + b"WAVE" + ds64 + form[12:]) == TagReading({"title": "Song"})


def test_mp4_that_begins_with_a_segment(read, tmp_path):
    plain = sounds.encode_av(sounds.noise(2), 16_000, "ipod", "aac")
    content = saved(tmp_path, plain, MP4, {"\xa9nam": "Song"})
    assert read(content.replace(b"ftyp", b"styp", 1)) == TagReading({"title": "Song"})


@pytest.mark.parametrize("suffix", ["mp3", "flac", "wav", "ogg", "opus", "aiff"])
def test_files_without_tags_have_none(read, suffix):
    assert read(sounds.encoded_music(suffix)) == TagReading()


@pytest.mark.parametrize(
    ("container", "codec"), [("ipod", "aac"), ("adts", "aac"), ("asf", "wmav2"), ("au", "pcm_s16be")]
)
def test_other_files_without_tags_have_none(read, container, codec):
    if container == "au":
        content = sounds.encode(sounds.noise(2), 16_000, "au")
    else:
        content = sounds.encode_av(sounds.noise(2), 16_000, container, codec)
    assert read(content) == TagReading()


@pytest.mark.parametrize("kind", sounds.BAD_CONTENTS)
def test_bad_audio_says_nothing_of_its_tags(read, tmp_path, kind):
    assert read(sounds.bad_file(kind, tmp_path / "a.mp3").read_bytes()) == TagReading()


COVER = 40 << 20
SMALLER = 10 << 20
PICTURE = text_frame("APIC", b"\0image/jpeg\0\3\0" + bytes(COVER), 3)


@pytest.mark.parametrize("kind", ["id3", "unsynchronised", "flac", "ogg", "mp4"])
def test_large_covers_cost_neither_tags_nor_memory(read, sandbox, tmp_path, kind):
    if kind in ("id3", "unsynchronised"):
        flags = 0x80 if kind == "unsynchronised" else 0
        content = mp3(id3(3, PICTURE, text_frame("TIT2", b"\0Song", 3), flags=flags))
    elif kind == "flac":
        content = flac(vorbis_comments(b"TITLE=Song"), *2 * [bytes(SMALLER)])
    elif kind == "ogg":
        content = ogg_with(vorbis_comments(picture_comment(SMALLER), b"TITLE=Song"))
    else:
        plain = sounds.encode_av(sounds.noise(2), 16_000, "ipod", "aac")
        cover = MP4Cover(bytes(SMALLER))  # type: ignore[no-untyped-call]
        content = saved(tmp_path, plain, MP4, {"covr": [cover], "\xa9nam": "Song"})
    sandbox.close()
    assert read(content) == TagReading({"title": "Song"})
    (helper,) = sandbox._idle
    with open(f"/proc/{helper.pid}/status") as status:
        peak_kb = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    assert peak_kb < 450 << 10
    assert helper._cpu_s() < 5


def ogg_with(comments: bytes, head: bytes = b"OpusHead" + bytes(11), magic: bytes = b"OpusTags") -> bytes:
    """The first pages of a stream in Ogg."""
    pages, packet = [], magic + comments
    pages.append((2, bytes([len(head)]), head))
    lacing = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
    for start in range(0, len(lacing), 255):
        part = lacing[start : start + 255]
        pages.append((1 if start else 0, part, packet[start * 255 : start * 255 + sum(part)]))
    return b"".join(
        b"OggS\0" + bytes([flags]) + bytes(8) + b"abcd" + bytes(8) + bytes([len(lacing)]) + lacing + content
        for flags, lacing, content in pages
    )


DAMAGED = {
    "a version from the future": (id3(9, text_frame("TIT2", b"\0Song", 3)), b"", {}, "version 2.9"),
    "a frame that is cut off": (
        id3(3, text_frame("TIT2", b"\0Song", 3), text_frame("TPE1", b"\0Someone", 3)[:-3]),
        b"",
        {"title": "Song"},
        "cut off",
    ),
    "junk between frames": (
        id3(3, text_frame("TIT2", b"\0Song", 3), b"\x01junk \xff" * 4),
        b"",
        {"title": "Song"},
        "not frames",
    ),
    "invalid utf-8": (
        id3(4, text_frame("TIT2", b"\3So\xffng", 4), text_frame("TPE1", b"\3Someone", 4)),
        b"",
        {"title": "So\ufffdng", "artist": "Someone"},
        "TIT2 is not valid UTF-8",
    ),
    "an unknown encoding": (id3(3, text_frame("TIT2", b"\x09Song", 3)), b"", {}, "unknown text encoding"),
    "encryption": (id3(4, text_frame("TIT2", b"\0\0Song", 4, flags=4)), b"", {}, "encrypted"),
    "a compressed frame": (id3(4, text_frame("TIT2", bytes(20), 4, flags=9)), b"", {}, "compressed"),
    "an item of APEv2": (
        b"",
        ape(Title="Song", Artist="Someone").replace(b"\7\0\0\0\0\0\0\0Artist", b"\7\0\1\0\0\0\0\0Artist"),
        {},
        "items is damaged",
    ),
    "one readable tag": (id3(9), id3v1("Song"), {"title": "Song"}, "version 2.9"),
}


@pytest.mark.parametrize(("front", "behind", "tags", "reason"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_tags_are_reported_beside_readable_ones(read, front, behind, tags, reason):
    reading = read(mp3(front, behind=behind))
    assert reading.error is not None
    assert reason in reading.error
    assert {key: value for key, value in reading.tags.items() if key in tags} == tags


SONG_BEHIND_COVER = (
    text_frame("APIC", b"\0image/jpeg\0\3\0" + bytes(4000), 3)
    + text_frame("TIT2", b"\0Song", 3)
    + text_frame("TALB", b"\0" + b"x" * 50, 3)
)


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
@pytest.mark.parametrize("fault", ["plain size", "too long", "far too long", "too long before another"])
def test_sizes_of_id3_that_are_wrong(read, suffix, fault):
    body = SONG_BEHIND_COVER
    size = {
        "plain size": len(body).to_bytes(4, "big"),
        "too long": synchsafe(len(body) + 500),
        "far too long": synchsafe(len(body) + 5_000_000),
        "too long before another": synchsafe(len(body) + 50),
    }[fault]
    assert max(size) < 128
    tag = b"ID3\3\0\0" + size + body
    if fault.endswith("another"):
        tag += id3(3, text_frame("TPE1", b"\0Someone", 3), bytes(100))
    found: dict[str, Any] = {"title": "Song", "album": "x" * 50} | (
        {"artist": "Someone"} if "another" in fault else {}
    )
    if suffix == "flac":
        content, found = flac(vorbis_comments(b"GENRE=Rock")), found | {"genre": ["Rock"]}
    else:
        content = sounds.encoded_music("mp3")
    assert read(tag + content) == TagReading(found)


@pytest.mark.parametrize("junk", [bytes(100), b"junk" * 30])
def test_id3_behind_junk(read, junk):
    first, second = id3(3, text_frame("TIT2", b"\0Song", 3)), id3(4, text_frame("TPE1", b"\0Someone", 4))
    found = TagReading({"title": "Song", "artist": "Someone"})
    for front in (junk + first + second, first + junk + second, first + second + junk):
        assert read(mp3(front)) == found


def test_a_tag_that_is_cut_off(read):
    reading = read(id3(3, text_frame("TIT2", b"\0Song", 3), PICTURE)[:5000])
    assert reading.tags == {"title": "Song"}
    assert "cut off" in str(reading.error)


@pytest.mark.parametrize("length", [3, 20, 27])
def test_damaged_vorbis_comments(read, length):
    comments = vorbis_comments(b"TITLE=Song", b"ARTIST=Someone")
    reading = read(flac(comments[:length]))
    assert "Vorbis comments" in str(reading.error)
    assert reading.tags == ({"title": "Song"} if length >= 26 else {})


def test_a_damaged_mp4(read, tmp_path):
    plain = sounds.encode_av(sounds.noise(2), 16_000, "ipod", "aac")
    content = saved(tmp_path, plain, MP4, {"\xa9nam": "Song", "trkn": [(3, 9)]})
    reading = read(
        content.replace(b"\x08data\0\0\0\0", b"\x08atad\0\0\0\0").replace(
            b"\0\0\0\x20trkn", b"\0\0\xff\x20trkn"
        )
    )
    assert "MP4 tags" in str(reading.error)


def test_control_and_direction_characters_are_taken_out(read):
    comments = vorbis_comments("TITLE=\u202egr\u0007oup\x1b[31m\r\n\ufeff!\u200b".encode())
    assert read(flac(comments)).tags == {"title": "group[31m !"}


def test_long_values_and_long_lists_are_cut(read):
    genres = [f"GENRE=g{index}".encode() for index in range(500)]
    tags = read(flac(vorbis_comments(b"TITLE=" + b"x" * 1_000_000, *genres))).tags
    assert len(tags["title"]) == 500
    assert len(tags["genre"]) == 20


def test_tags_can_always_be_written_as_json(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(flac(vorbis_comments(b"TITLE=<img onerror=x>", b"DATE=no date", b"BPM=fast")))
    with path.open("rb") as file:
        file.seek(5)
        assert json.loads(json.dumps(read_tags(file).tags)) == {
            "title": "<img onerror=x>",
            "date": "no date",
            "bpm": "fast",
        }
        assert (file.tell(), os.lseek(file.fileno(), 0, os.SEEK_CUR)) == (5, 5)


@pytest.mark.parametrize("container", ["mp3", "ipod", "asf", "adts"])
def test_an_error_of_the_disk_is_none_of_the_tags(tmp_path, monkeypatch, container):
    """Behind the first bytes, by which the format is known."""
    codec = {"mp3": "mp3", "ipod": "aac", "asf": "wmav2", "adts": "aac"}[container]
    path = tmp_path / "a"
    path.write_bytes(id3(3, text_frame("TIT2", b"\0A", 3)) if container == "mp3" else b"")
    with path.open("ab") as file:
        file.write(sounds.encode_av(sounds.noise(2, 44_100), 44_100, container, codec))

    def fail(window: Window, offset: int, length: int) -> bytes:
        if offset or length > 12:
            raise OSError(errno.EIO, "Input/output error")
        return at(window, offset, length)

    at = Window.at
    monkeypatch.setattr(Window, "at", fail)
    with path.open("rb") as file, pytest.raises(OSError, match="Input/output"):
        read_tags(file, AudioContainer(file.fileno()))
