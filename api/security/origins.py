"""Where a write comes from that no API key vouches for.

A browser sends cookies, and reaches this machine's own servers, also for pages of other sites. It says which
page a request comes from, in headers that no page can set: `Sec-Fetch-Site` over https and to this machine,
`Origin` with every write. Programs send neither.
"""

from urllib.parse import urlsplit

from fastapi import Request

from core.errors import Forbidden

SAFE = ("GET", "HEAD", "OPTIONS")
FOREIGN = "A page of another site sent this request; it is refused."
UNNAMED = "A write with a session needs the header `Origin` or `Sec-Fetch-Site`; programs send an API key."


def check_origin(request: Request, *, has_cookie: bool) -> None:
    """Refuse a write that a page of another site makes a browser send. Raises Forbidden."""
    if request.method in SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        is_own = site in ("same-origin", "none")  # none: the person asked for it, not a page
    elif origin is not None:
        # A proxy may have changed `Host`. A form cannot set `X-Forwarded-Host`, and a script not unasked.
        hosts = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
        is_own = _host_of(origin) in hosts
    elif has_cookie:
        raise Forbidden(UNNAMED)
    else:
        return
    if not is_own:
        raise Forbidden(FOREIGN)


def _host_of(origin: str) -> str:
    """Host and port as browsers write them in `Host`; an opaque origin is that of no host."""
    try:
        return urlsplit(origin).netloc or "none"
    except ValueError:
        return "none"
