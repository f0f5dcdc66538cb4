"""What is known of the content of a file."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

# Of the code that reads tags. Tracks whose tags were read by an older version are read again.
TAGS_VERSION = 1
NOT_READ = 0  # the version of what is to be read again by the next analysis

_BLOCK_BYTES, _PROGRESS_BYTES = 1 << 20, 16 << 20
_WITHOUT_PACKETS = b"mfa file 1\0"


@dataclass(frozen=True)
class TagReading:
    """The tags of a file by name, JSON-safe, and why some or all of them cannot be read, if so."""

    tags: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    is_provisional: bool = False  # the reader failed as a whole, which another attempt may not


def file_hash(file: BinaryIO, on_progress: Callable[[], None] = lambda: None) -> bytes:
    """SHA-256 of the whole file (32 bytes); the file's position stays as it was.

    `on_progress` is called every 16 MB.
    """
    descriptor = file.fileno()
    digest = hashlib.sha256()
    offset = 0
    while block := os.pread(descriptor, _BLOCK_BYTES, offset):
        digest.update(block)
        offset += len(block)
        if offset % _PROGRESS_BYTES == 0:
            on_progress()
    return digest.digest()


def identity_without_audio(file_hash: bytes) -> bytes:
    """The content hash of a file whose audio no helper can hash: that of its bytes, but never equal to it."""
    return hashlib.sha256(_WITHOUT_PACKETS + file_hash).digest()
