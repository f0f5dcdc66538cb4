"""Download large archives: what was interrupted goes on, and what was altered is thrown away."""

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
_TRIES = 5  # in a row that bring nothing new
_OTHER_ANSWERS = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth asking again


def fetch(archives: Iterable[Archive], folder: Path, on_progress: OnProgress | None = None) -> None:
    """Download, verify and unpack archives into `folder`; what is there already is not done again."""
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
    """The verified archive in `folder`. Until then it is a `.part` file, from which the next call goes on."""
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
    """The first part of a file, and the mark by which the server knows the file it is of."""

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
    """Ask until all is there; give up after several tries in a row that brought nothing."""
    fruitless, best, reason = 0, part.size, ""
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        while fruitless < _TRIES:
            try:
                if _download_piece(client, url, part, on_progress):
                    return
                reason = "the connection was closed too early"
            except httpx.TransportError as error:
                reason = repr(error)
            fruitless = 0 if part.size > best else fruitless + 1
            best = max(best, part.size)
            if fruitless:
                time.sleep(pause_s * fruitless)
    raise DownloadFailed(
        f"{url} cannot be downloaded: {reason}. Start again to go on from {part.size} bytes."
    )


def _download_piece(
    client: httpx.Client, url: str, part: _Unfinished, on_progress: OnProgress | None
) -> bool:
    """Append what one answer brings; whether the file is complete now."""
    headers = {"Accept-Encoding": "identity"}
    if part.size and part.mark:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.mark}
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _is_whole(answer, part)
        if answer.status_code in _OTHER_ANSWERS:
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
            check_space(part.path.parent, total - part.size + total)  # the rest, and about as much unpacked
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
    """What it means that there is nothing behind our part: all is there, or the file has become another."""
    if answer.headers.get("Content-Range") == f"bytes */{part.size}":
        return True
    part.discard()
    return False


def _continues(answer: httpx.Response, size: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {size}-")


def _mark_of(answer: httpx.Response) -> str:
    """A mark that names exactly this content; weak ones do not."""
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
