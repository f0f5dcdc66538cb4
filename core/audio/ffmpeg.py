"""Decode what libsndfile cannot, with an ffmpeg process if one is installed."""

import re
import select
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np

from core.audio.sniff import Format
from core.audio.source import Samples, Source, block_frames, check_layout
from core.errors import Corrupt, Empty, UnsupportedFormat

# A decoder that says nothing for so long hangs: it works hundreds of times faster than the music plays.
_STALL_S = 60
_STDERR_BYTES = 1 << 14
_READ_BYTES = 1 << 16
_AU_HEADER_BYTES = 24
_DURATION = re.compile(rb"Duration: (\d+):(\d\d):(\d\d\.\d+)")
_FILM = re.compile(rb"Video: (?!.*attached pic)")
_DURATION_IS_GUESSED = b"Estimating duration from bitrate"


def is_installed() -> bool:
    return shutil.which("ffmpeg") is not None


@contextmanager
def open_ffmpeg(descriptor: int, form: Format, max_duration_s: float) -> Iterator[Source]:
    """The audio of an open file; the process has ended when the context is left, however that happens."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise UnsupportedFormat
    with _running(_arguments(program, form.demuxer, max_duration_s), descriptor) as (process, pipe, log):
        header = _read(pipe, _AU_HEADER_BYTES)
        if len(header) < _AU_HEADER_BYTES:
            raise Empty("The file holds no audio track.") if b"matches no streams" in log() else Corrupt()
        data_offset, _, _, sample_rate, channels = struct.unpack(">IIIII", header[4:])
        check_layout(sample_rate, channels)
        _read(pipe, data_offset - _AU_HEADER_BYTES)
        blocks = _blocks(process, pipe, sample_rate, channels)
        yield Source(sample_rate, channels, blocks, lambda: form.promised_s or _promised_s(log()))


@contextmanager
def _running(
    arguments: list[str], descriptor: int
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], Callable[[], bytes]]]:
    """A process reading the descriptor, its output, and the first words it has had to say when it has ended.

    Its own session keeps the terminal's signals from it: they would pass for a fault of the file.
    """
    process = subprocess.Popen(
        arguments,
        stdin=descriptor,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    words = bytearray()
    drain = threading.Thread(target=_drain, args=(process.stderr, words), daemon=True)
    drain.start()

    def log() -> bytes:
        drain.join(_STALL_S)
        return bytes(words)

    try:
        yield process, process.stdout, log
    finally:
        process.kill()
        process.wait()
        drain.join()
        process.stdout.close()
        process.stderr.close()


def _arguments(program: str, demuxer: str, max_duration_s: float) -> list[str]:
    """The demuxer is fixed and only files may be opened, so a playlist in disguise reaches nothing.

    The input is the standard input under a name that can be seeked: MP4 may keep its index at the end.
    The output is AU, the simplest header that tells the sample rate and the number of channels.
    """
    quiet = ["-nostdin", "-hide_banner", "-nostats", "-threads", "1"]
    reading = ["-protocol_whitelist", "file", "-f", demuxer, "-t", f"{max_duration_s + 1:.3f}"]
    writing = ["-map", "0:a:0", "-vn", "-sn", "-dn", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    return [program, *quiet, *reading, "-i", "file:/dev/fd/0", *writing]


def _blocks(
    process: subprocess.Popen[bytes], pipe: IO[bytes], sample_rate: int, channels: int
) -> Iterator[Samples]:
    frame_bytes = 4 * channels
    block_bytes = block_frames(sample_rate, channels) * frame_bytes
    while data := _read(pipe, block_bytes):
        whole = len(data) // frame_bytes * channels
        yield np.frombuffer(data, dtype=">f4", count=whole).astype(np.float32).reshape(-1, channels)
    try:
        failed = process.wait(_STALL_S) != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        raise Corrupt


def _read(pipe: IO[bytes], length: int) -> bytearray:
    """`length` bytes, fewer only at the end."""
    data = bytearray()
    while len(data) < length:
        ready, _, _ = select.select([pipe], [], [], _STALL_S)
        if not ready:
            raise Corrupt("The audio could not be decoded in reasonable time.")
        part = pipe.read(min(_READ_BYTES, length - len(data)))
        if not part:
            break
        data += part
    return data


def _drain(pipe: IO[bytes], words: bytearray) -> None:
    """Keep the first words, and let it talk on."""
    while part := pipe.read(_READ_BYTES):
        words += part[: _STDERR_BYTES - len(words)]


def _promised_s(log: bytes) -> float | None:
    """Length of the container; a film's says little about its sound track."""
    match = _DURATION.search(log)
    if match is None or _DURATION_IS_GUESSED in log or _FILM.search(log):
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
