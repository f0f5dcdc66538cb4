"""Hashes and tags of a file."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

COVER_BYTES = 160_000  # most of a cover as it is shown
TAGS_VERSION = 1  # of the tag reader; tags read by an older version are read again
NOT_READ = 0  # version of tags to be read by the next analysis

_BLOCK_BYTES, _PROGRESS_BYTES = 1 << 20, 16 << 20
WITHOUT_PACKETS = b"mfa file 1\0"  # in front of the hash of a file whose audio cannot be hashed


@dataclass(frozen=True)
class TagReading:
    """The tags of a file by name, JSON-safe, and an error if some of them cannot be read."""

    tags: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    is_provisional: bool = False  # the reader itself failed, so another attempt may succeed


def file_hash(file: BinaryIO, on_progress: Callable[[], None] = lambda: None) -> bytes:
    """SHA-256 of the whole file (32 bytes); does not change the file's position.

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
    """Substitute for the content hash of a file whose audio cannot be hashed, distinct from its file hash."""
    return hashlib.sha256(WITHOUT_PACKETS + file_hash).digest()
