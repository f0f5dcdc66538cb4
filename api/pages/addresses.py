"""Relative addresses: pages work wherever a proxy serves them, and need not know where that is."""

from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse


def path_of(request: Request) -> str:
    """Of a page below the address of the server, as it stands in the address line, without leading slash."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("ascii", "replace")
    return path.removeprefix(request.scope.get("root_path", "")).removeprefix("/")


def root_of(request: Request) -> str:
    """What leads from a page to the address of the server: `./` or some `../`."""
    return "../" * path_of(request).count("/") or "./"


def address_of(request: Request) -> str:
    """Path and query of a page, relative to the address of the server."""
    query = request.url.query
    return path_of(request) + (f"?{query}" if query else "")


def with_query(request: Request, **changes: str | None) -> str:
    """This page with other parameters in its query; None removes one."""
    pairs = [(name, value) for name, value in parse_qsl(request.url.query) if name not in changes]
    pairs += [(name, value) for name, value in changes.items() if value is not None]
    return f"?{urlencode(pairs)}"


def redirect(request: Request, address: str) -> RedirectResponse:
    """Lead to an address below that of the server, after a form or in place of a page."""
    return RedirectResponse(root_of(request) + address, 303)


def is_own(address: str) -> bool:
    """Whether an address that somebody has sent leads to a page of this server, relative to its own address.

    Browsers take backslashes for slashes and drop control characters, so neither may occur.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    is_plain = address.isascii() and address.isprintable() and "\\" not in address and ".." not in address
    return is_plain and not parts.scheme and not parts.netloc and not address.startswith("/")
