"""Problems as pages, for those who ask for HTML: whatever answers one, a route, the router or a limit."""

from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import MEDIA_TYPE
from api.pages.addresses import address_of, redirect
from api.pages.rendering import render
from api.schemas import Problem

MACHINE_PATHS = ("/api/", "/healthz", "/readyz", "/metrics", "/static/", "/openapi.json")


class ProblemPages:
    """Replaces problems by pages; leads who is not logged in to the page where one logs in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _wants_page(scope):
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def convert(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                page = _make_page(Request(scope), Problem.model_validate_json(body))
                page.raw_headers += _kept_headers(start)
                await page(scope, receive, send)

        await self.app(scope, receive, convert)


def _wants_page(scope: Scope) -> bool:
    accepted = Headers(scope=scope).get("accept", "")
    return "text/html" in accepted and not scope["path"].startswith(MACHINE_PATHS)


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type") == MEDIA_TYPE


def _kept_headers(start: Message) -> list[tuple[bytes, bytes]]:
    """All but those that describe the body; the challenge would make a browser ask for a password itself."""
    replaced = (b"content-type", b"content-length", b"www-authenticate")
    return [(name, value) for name, value in start["headers"] if name.lower() not in replaced]


def _make_page(request: Request, problem: Problem) -> Response:
    if problem.status == 401:
        back = address_of(request) if request.method == "GET" else ""
        return redirect(request, f"login?{urlencode({'next': back})}" if back else "login")
    return render(request, "problem.html", None, problem.status, problem=problem)
