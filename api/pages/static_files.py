"""Style sheets and scripts. Their address changes with their content, so browsers keep them for ever."""

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from api.pages.policy import HEADERS
from core.errors import NotFound

router = APIRouter(prefix="/static", include_in_schema=False)

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"


@cache
def digest() -> str:
    """Of all files together: scripts import each other by relative addresses, below the same digest."""
    content = hashlib.sha256()
    for path in sorted(FOLDER.iterdir()):
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]


@router.get("/{version}/{name}", response_class=FileResponse)
async def get_static_file(version: str, name: str) -> FileResponse:
    """A page of another version may still ask for its files; it gets those of now, not to be kept."""
    path = FOLDER / name
    if path.suffix not in TYPES or not path.is_file() or path.parent != FOLDER:
        raise NotFound("There is no such file here.")
    caching = FOR_EVER if version == digest() else "no-cache"
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS | {"Cache-Control": caching})
