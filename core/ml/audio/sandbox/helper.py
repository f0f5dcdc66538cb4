"""The helper process: decodes files, and reads their tags, by the descriptors that it receives.

Started as `python -m core.ml.audio.sandbox.helper SOCKET MEMORY` with two open descriptors: a packet socket
(JSON messages; a request carries a file descriptor) and the shared memory for samples. It has no settings or
secrets.
"""

import base64
import codecs
import io
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import soundfile as sf

from core.errors import ItemError, TooComplex, Unreadable
from core.library.tags import read_tags
from core.ml.audio import decode
from core.ml.audio.cover import check_codecs, read_cover
from core.ml.audio.metadata import AudioContainer
from core.ml.audio.packets import audio_hash
from core.ml.audio.pyav import open_av
from core.ml.audio.sandbox import ring
from core.ml.audio.sandbox.limits import die_with_parent, lock_down
from core.ml.audio.sniff import Format
from core.ml.audio.source import Samples
from core.ml.audio.stopwatch import Stopwatch

_REQUEST_BYTES = 4096
# Every encoding that tags may use, loaded in advance: Python would load each on first use.
_ENCODINGS = (
    *("ascii", "latin-1", "cp1252", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"),
    *("utf-32", "utf-32-le", "utf-32-be", "mac-roman", "raw_unicode_escape", "unicode_escape"),
)
_TRACE_CHARACTERS = 4000

Answer = dict[str, Any]


@dataclass
class ReplyChannel:
    """The connection to the worker."""

    socket: socket.socket
    slots: Samples
    sent: int = 0
    unread: int = 0

    def send(self, answer: Answer) -> None:
        self.socket.send(json.dumps(answer, ensure_ascii=False).encode(errors="replace"))

    def send_samples(self, samples: Samples) -> None:
        """Send samples (T,) in as many slots as needed; blocks while all slots are unread."""
        for start in range(0, len(samples), ring.SLOT_SAMPLES):
            if self.unread == ring.SLOTS:
                self._wait_for_reader()
            part = samples[start : start + ring.SLOT_SAMPLES]
            slot = self.sent % ring.SLOTS
            self.slots[slot, : len(part)] = part
            has_more = start + len(part) < len(samples)
            self.send({"slot": slot, "samples": len(part), "has_more": has_more})
            self.sent += 1
            self.unread += 1

    def _wait_for_reader(self) -> None:
        if not self.socket.recv(_REQUEST_BYTES):
            sys.exit()
        self.unread -= 1


def stream(file: BinaryIO, channel: ReplyChannel, clock: Stopwatch, **options: Any) -> Answer:
    blocks = decode.stream(file, resampling=clock, **options)
    while True:
        try:
            channel.send_samples(next(blocks))
        except StopIteration as stop:
            return asdict(stop.value)


def windows(file: BinaryIO, channel: ReplyChannel, clock: Stopwatch, **options: Any) -> Answer:
    found, decoded = decode.decode_windows(
        file,
        resampling=clock,
        on_progress=lambda decoded_s: channel.send({"decoded_s": decoded_s}),
        **options,
    )
    for window in found:
        channel.send_samples(window)
    return asdict(decoded)


def tags(file: BinaryIO, _channel: ReplyChannel, _clock: Stopwatch) -> Answer:
    reading = read_tags(file, AudioContainer(file.fileno()))
    return {"tags": reading.tags, "problem": reading.error}


def content(file: BinaryIO, channel: ReplyChannel, _clock: Stopwatch) -> Answer:
    digest = audio_hash(file.fileno(), lambda done: channel.send({"read_bytes": done}))
    return {"content": digest.hex()}


def cover(file: BinaryIO, _channel: ReplyChannel, _clock: Stopwatch) -> Answer:
    jpeg = read_cover(file.fileno())
    return {"jpeg": None if jpeg is None else base64.b64encode(jpeg).decode()}


HANDLERS: dict[str, Callable[..., Answer]] = {
    "stream": stream,
    "windows": windows,
    "tags": tags,
    "content": content,
    "cover": cover,
}


def main() -> None:
    connection, slots = socket.socket(fileno=int(sys.argv[1])), ring.attach(int(sys.argv[2]))
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):  # handled by the worker, which ends this process
        signal.signal(number, signal.SIG_IGN)
    _load_everything()
    silence = os.open(os.devnull, os.O_WRONLY)  # suppresses messages of decoders about files
    os.dup2(silence, 2)
    os.close(silence)
    ReplyChannel(connection, slots).send({"lacking": lock_down()})
    _serve(connection, slots)


def _serve(connection: socket.socket, slots: Samples) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 1)
        if not message:
            return
        if descriptors:  # otherwise a late acknowledgement of samples
            channel = ReplyChannel(connection, slots)
            with open(descriptors[0], "rb") as file:
                answer = _answer(file, channel, json.loads(message))
            channel.send(answer)


def _answer(file: BinaryIO, channel: ReplyChannel, request: dict[str, Any]) -> Answer:
    clock, start = Stopwatch(), time.process_time()
    try:
        answer = HANDLERS[request.pop("do")](file, channel, clock, **request)
    except ItemError as error:
        answer = _failure(error)
    except MemoryError:
        answer = _failure(TooComplex("Decoding the file takes too much memory."))
    except OSError as error:  # this process's own limits, not the machine's
        answer = _failure(Unreadable(f"The file cannot be read: {error.strerror}."))
    except Exception:
        answer = {"unexpected": traceback.format_exc()[-_TRACE_CHARACTERS:]}
    return answer | {"end": True, "cpu_s": time.process_time() - start, "resample_s": clock.seconds}


def _failure(error: ItemError) -> Answer:
    return {"error": error.code, "detail": error.detail}


def _load_everything() -> None:
    """Use every library once, because files cannot be opened after `lock_down`."""
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)
    try:
        raise ItemError
    except ItemError:
        traceback.format_exc()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44_100)
        sound.writeframes(bytes(range(256)) * 64)
    buffer.seek(0)
    with sf.SoundFile(buffer) as sound_file:
        sound_file.read()
    with tempfile.TemporaryFile() as file:
        file.write(buffer.getvalue())
        file.flush()
        read_tags(file, AudioContainer(file.fileno()))
        audio_hash(file.fileno())
        read_cover(file.fileno())
        check_codecs()
        with suppress(ItemError):
            list(decode.stream(file, 16_000, max_duration_s=60))
        with open_av(file.fileno(), Format("wav", decoder="av")) as source:
            list(source.blocks)


if __name__ == "__main__":
    main()
