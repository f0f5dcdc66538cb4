"""Downloads large archives: resumes interrupted downloads and verifies checksums."""

import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.ml.datasets.errors import DownloadFailed, WrongChecksum
from core.ml.datasets.fma_archives import Archive
from core.ml.datasets.unzip import OnProgress, check_space, unpack

_BLOCK_BYTES = 1 << 20
_TIMEOUT = httpx.Timeout(30.0)
_MAX_ATTEMPTS = 5  # successive ones without progress
_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def fetch(archives: Iterable[Archive], folder: Path, on_progress: OnProgress | None = None) -> None:
    """Download, verify and unpack archives into `folder`, unless they are there already."""
    for archive in archives:
        done = folder / f".{archive.name}.{archive.sha1}"
        if done.exists():
            continue
        path = download(archive, folder, on_progress)
        unpack(path, folder, on_progress)
        done.touch()
        path.unlink()


def download(
    archive: Archive, folder: Path, on_progress: OnProgress | None = None, pause_s: float = 2.0
) -> Path:
    """The verified archive in `folder`. A `.part` file of an interrupted download is resumed.

    Raises DownloadFailed, WrongChecksum or NotEnoughSpace.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / archive.name
    if path.exists() and _sha1(path, on_progress) == archive.sha1:
        return path
    unfinished = _Unfinished(folder / f"{archive.name}.part", folder / f"{archive.name}.part.etag")
    _download_in_pieces(archive.url, unfinished, on_progress, pause_s)
    if (found := _sha1(unfinished.path, on_progress)) != archive.sha1:
        unfinished.discard()
        raise WrongChecksum(
            f"{archive.name} has the SHA-1 {found} instead of {archive.sha1}; it has been deleted."
        )
    os.replace(unfinished.path, path)
    unfinished.discard()
    return path


@dataclass(frozen=True)
class _Unfinished:
    """The downloaded part of a file, and the validator (ETag or date) of the complete file."""

    path: Path
    mark_path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def mark(self) -> str:
        return self.mark_path.read_text() if self.mark_path.exists() else ""

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.mark_path.unlink(missing_ok=True)

    def begin(self, mark: str) -> None:
        self.path.write_bytes(b"")
        self.mark_path.write_text(mark)


def _download_in_pieces(url: str, part: _Unfinished, on_progress: OnProgress | None, pause_s: float) -> None:
    """Request pieces until the file is complete; gives up after several attempts without progress."""
    failures, best, reason = 0, part.size, ""
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        while failures < _MAX_ATTEMPTS:
            try:
                if _download_piece(client, url, part, on_progress):
                    return
                reason = "the connection was closed too early"
            except httpx.TransportError as error:
                reason = repr(error)
            failures = 0 if part.size > best else failures + 1
            best = max(best, part.size)
            if failures:
                time.sleep(pause_s * failures)
    raise DownloadFailed(
        f"{url} cannot be downloaded: {reason}. Run it again to resume at {part.size} bytes."
    )


def _download_piece(
    client: httpx.Client, url: str, part: _Unfinished, on_progress: OnProgress | None
) -> bool:
    """Append the body of one response; returns whether the file is complete."""
    headers = {"Accept-Encoding": "identity"}
    if part.size and part.mark:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.mark}
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _is_whole(answer, part)
        if answer.status_code in _RETRIED_STATUS:
            raise httpx.RemoteProtocolError(f"the server answers {answer.status_code}")
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise DownloadFailed(f"{url} cannot be downloaded: the server answers {answer.status_code}.")
        if answer.status_code == httpx.codes.OK:
            part.begin(_mark_of(answer))
        elif not _continues(answer, part.size):
            part.discard()
            return False
        total = _total(answer, part.size)
        if total is not None:
            check_space(part.path.parent, total - part.size + total)  # the rest, and the unpacked files
        _append(answer, part, total, on_progress)
    return total is None or part.size == total


def _append(
    answer: httpx.Response, part: _Unfinished, total: int | None, on_progress: OnProgress | None
) -> None:
    done = part.size
    with part.path.open("ab") as file:
        for block in answer.iter_raw():
            file.write(block)
            done += len(block)
            if on_progress is not None:
                on_progress(f"downloading {part.path.stem}", done, total or done)


def _is_whole(answer: httpx.Response, part: _Unfinished) -> bool:
    """Whether a 416 response means that the download is complete; else the file on the server changed."""
    if answer.headers.get("Content-Range") == f"bytes */{part.size}":
        return True
    part.discard()
    return False


def _continues(answer: httpx.Response, size: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {size}-")


def _mark_of(answer: httpx.Response) -> str:
    """A strong validator of the content: the ETag, unless it is weak, or the modification date."""
    etag = str(answer.headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(answer.headers.get("Last-Modified", ""))


def _total(answer: httpx.Response, size: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return size + int(length) if length.isdecimal() else None


def _sha1(path: Path, on_progress: OnProgress | None) -> str:
    digest, done, total = hashlib.sha1(usedforsecurity=False), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            if on_progress is not None:
                on_progress(f"verifying {path.stem}", done, total)
    return digest.hexdigest()
