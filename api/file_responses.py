"""Answers that are files: whole, in part (RFC 9110, section 14), or not at all when the client has them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.errors import RangeNotSatisfiable, problem_of
from core.services.track_files import TrackFile

CHUNK = 1 << 18  # bytes
# Whoever has a copy asks whether it is still the same.
CACHING = {"Cache-Control": "private, no-cache"}
ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class FileRequest:
    """What a request wants of a file."""

    is_head: bool
    range: str
    if_range: str | None
    if_none_match: str

    def is_known(self, tag: str) -> bool:
        """Whether the client has what this entity tag names, and asks for something newer only."""
        known = [each.strip().removeprefix("W/") for each in self.if_none_match.split(",")]
        return tag in known or known == ["*"]


async def get_file_request(
    request: Request,
    range_: Annotated[
        str, Header(alias="Range", description="`bytes=0-999`: these bytes only; several parts count as all")
    ] = "",
    if_range: Annotated[
        str | None, Header(description="an `ETag` or `Last-Modified`: if it is another now, all bytes")
    ] = None,
    if_none_match: Annotated[str, Header(description="an `ETag`: 304 if it is still the same")] = "",
) -> FileRequest:
    return FileRequest(request.method == "HEAD", range_, if_range, if_none_match)


FileRequestDep = Annotated[FileRequest, Depends(get_file_request)]


def answer_file(wanted: FileRequest, opened: TrackFile) -> Response:
    """The bytes that a GET asks for, or the headers that a HEAD asks for; closes the file in the end."""
    tag, changed = f'"{opened.version}"', formatdate(opened.mtime_ns // 10**9, usegmt=True)
    headers = CACHING | {"ETag": tag, "Last-Modified": changed, "Accept-Ranges": "bytes"}
    if wanted.is_known(tag):
        opened.file.close()
        return Response(status_code=304, headers=headers)
    if wanted.is_head:
        opened.file.close()
        length = {"Content-Length": str(opened.size)}
        return Response(headers=headers | length, media_type=opened.media_type)
    part = None
    if wanted.if_range in (None, tag, changed):
        try:
            part = parse_range(wanted.range, opened.size)
        except RangeNotSatisfiable as error:
            opened.file.close()
            return problem_of(error, {"Content-Range": f"bytes */{opened.size}", "Accept-Ranges": "bytes"})
    if part is None:
        return _FileResponse(opened, 0, opened.size, 200, headers)
    start, end = part
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{opened.size}"
    return _FileResponse(opened, start, end, 206, headers)


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """The bytes [start, end) of a `Range` header; None for all `size` bytes. Raises RangeNotSatisfiable."""
    found = ONE_RANGE.fullmatch(text)
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(f"The file has {size} bytes; none of those that `Range` names.")
    return start, end


class _FileResponse(StreamingResponse):
    """The bytes [start, end) of an open file, which is closed however the answer ends."""

    def __init__(
        self, opened: TrackFile, start: int, end: int, status_code: int, headers: dict[str, str]
    ) -> None:
        self._file = opened.file
        length = {"Content-Length": str(end - start)}
        super().__init__(self._read(start, end), status_code, headers | length, opened.media_type)

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            chunk = os.pread(self._file.fileno(), min(CHUNK, end - start), start)
            if not chunk:  # the connection is closed: the client sees that something is missing
                raise OSError(f"{self._file.name!r:.300} has become shorter while it was sent")
            start += len(chunk)
            yield chunk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
