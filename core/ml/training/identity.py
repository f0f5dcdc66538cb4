"""Audio hash and credits of a file, cached until the file changes, so that it need not be opened again."""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from core.atomic_write import atomic_write
from core.errors import Unreadable, is_machine_fault
from core.library.content import TAGS_VERSION, file_hash, identity_without_audio
from core.ml.audio.sandbox import hash_audio
from core.ml.datasets.credits import Credits, read_credits
from core.ml.datasets.paths import status_of_audio

log = logging.getLogger(__name__)

# A file changed more recently may change again within the resolution of its timestamp.
SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Identity:
    content: str  # hex hash of the audio
    credits: Credits


def known_identity(
    source: Path, root: Path | None, cache_dir: Path, contents: Mapping[Path, str]
) -> Identity | None:
    """What is known of a file without opening it; None if nothing is.

    `contents` are hashes that the caller knows: such a file need not exist, and its credits are not looked
    up. Raises ItemError for another file that is missing.
    """
    if source in contents:
        return Identity(contents[source], Credits())
    return recall(status_of_audio(source, root), cache_dir)


def recall(status: os.stat_result, cache_dir: Path) -> Identity | None:
    """The cached identity of the file with this status; None if there is none or it is invalid."""
    try:
        found = json.loads(_place(status, cache_dir).read_bytes())
        if re.fullmatch("[0-9a-f]{64}", found["content"]):
            return Identity(found["content"], Credits(**found["credits"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def identify(file: BinaryIO, cache_dir: Path) -> Identity:
    """Read the whole file and cache its identity. Raises Unreadable if the disk cannot read it.

    Where its audio could not be hashed, the substitute is not cached: the next reader tries again.
    """
    try:
        before = os.fstat(file.fileno())
        audio = hash_audio(file)
        content = audio or identity_without_audio(file_hash(file))
        credits, tags_error = read_credits(file)
        after = os.fstat(file.fileno())
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise Unreadable(f"The file cannot be read: {error.strerror}.") from error
    if tags_error is not None:
        log.warning("the tags of %.300r cannot all be read: %s", str(file.name), tags_error)
    found = Identity(content.hex(), credits)
    if audio is not None and _key(before) == _key(after):
        remember(after, found, cache_dir)
    return found


def remember(status: os.stat_result, identity: Identity, cache_dir: Path) -> None:
    """Cache the identity of the file with this status, unless it was changed just now and may be again."""
    if time.time_ns() - status.st_ctime_ns >= SETTLED_NS:
        with atomic_write(_place(status, cache_dir)) as note:
            note.write(json.dumps(asdict(identity)).encode())


def check_unchanged(before: os.stat_result, after: os.stat_result) -> None:
    """Raise Unreadable if the file was written while it was read."""
    if _key(before) != _key(after):
        raise Unreadable("The file was changed while it was read.")


def _key(status: os.stat_result) -> str:
    """Key of a file's status. The change time cannot be set, so an edited or replaced file gets another key.

    It includes the version of the tag reader.
    """
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.sha256(repr((TAGS_VERSION, *numbers)).encode()).hexdigest()


def _place(status: os.stat_result, cache_dir: Path) -> Path:
    key = _key(status)
    return cache_dir / "files" / key[:2] / f"{key}.json"
