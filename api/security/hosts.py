"""Who may call a server that asks for no API keys: programs of this machine, but no web page.

Programs elsewhere can forge every header but not their address, which counts because the settings do not
bind the socket: a server may listen on more than they say. A page runs on this machine, but cannot forge
the two headers that give it away: `Host` names the page's own domain even when that domain resolves to this
machine, and `Origin` says where the page came from.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ForeignHost, problem_of
from api.security.access import is_loopback
from core.errors import Forbidden


class LoopbackOnly:
    """Refuses requests that do not come from this machine, or were not addressed to it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # A client behind a proxy of this machine is already the one that `X-Forwarded-For` names.
            # One without an address came through a Unix socket, which may have anybody behind it.
            client = scope.get("client")
            if client is None or not is_loopback(client[0]):
                stranger = Forbidden("This server answers without API keys, so only to its own machine.")
                await problem_of(stranger)(scope, receive, send)
                return
            headers = Headers(scope=scope)
            if not is_loopback(_host_name(f"//{headers.get('host', '')}")):
                await problem_of(ForeignHost())(scope, receive, send)
                return
            if "origin" in headers and not is_loopback(_host_name(headers["origin"])):
                foreign = Forbidden("Web pages of other sites may not use this server.")
                await problem_of(foreign)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
