"""Limits of request bodies, held while the bytes arrive: whatever `Content-Length` says, also chunked."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import CLOSE, BodyTooLarge, BodyTooSlow, problem_of
from core.errors import MFAError

IDLE_S = 30.0  # the longest pause in a body
MIN_RATE = 20_000  # bytes per second; whoever sends less for longer than the longest pause is given up
LINGER_S = 2.0  # how long the rest of a refused body is thrown away
MB = 1_000_000


class BodyLimit:
    """Answers 413 (or 408) itself; the route then sees its client disconnect."""

    def __init__(self, app: ASGIApp, limit: int, by_path: Mapping[str, int], idle_s: float = IDLE_S) -> None:
        self.app = app
        self.limit = limit  # bytes
        self.by_path = by_path
        self.idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = LimitedBody(scope, receive, send, self.by_path.get(scope["path"], self.limit), self.idle_s)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > body.limit:
            await body.refuse(body.too_large())
        else:
            await self.app(scope, body.receive, body.send)


class LimitedBody:
    """The body of one request and the response to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int, idle_s: float) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.limit, self.idle_s = limit, idle_s
        self.size = 0
        self.waited_s = 0.0  # for the client
        headers = Headers(scope=scope)
        self.complete = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        self.started = self.refused = False

    def too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The request body is larger than {self.limit:,} bytes.")

    async def receive(self) -> Message:
        if self.refused:
            return {"type": "http.disconnect"}
        if self.complete:
            return await self._receive()
        patience_s = min(self.idle_s, self.idle_s + self.size / MIN_RATE - self.waited_s)
        began = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), patience_s)
        except TimeoutError:
            return await self.refuse(BodyTooSlow())
        self.waited_s += time.monotonic() - began
        self.size += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        return await self.refuse(self.too_large()) if self.size > self.limit else message

    async def refuse(self, error: MFAError) -> Message:
        """Answer, and tell the route that its client is gone."""
        if not self.started:
            await problem_of(error, CLOSE)(self.scope, self._receive, self._respond)
        self.refused = True
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Pass on what the route answers, unless the request has been refused meanwhile."""
        if not self.refused:
            self.started = True
            await self._respond(message)

    async def _respond(self, message: Message) -> None:
        """A response that ends before its request's body does must linger.

        Closing a connection on which bytes are still coming in destroys the answer on its way.
        """
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if self.complete or not is_last:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            await asyncio.wait_for(self._drain(), LINGER_S)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        while not self.complete:
            self.complete = not (await self._receive()).get("more_body", False)
