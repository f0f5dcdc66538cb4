"""Around every request: its id, how long it took, and the answer when nothing else answers."""

import logging
import time
from uuid import uuid4

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Internal, problem_of

log = logging.getLogger(__name__)


def make_durations(registry: CollectorRegistry) -> Histogram:
    return Histogram(
        "mfa_request_duration_seconds",
        "Time until the whole response was sent",
        ("method", "route", "status"),
        registry=registry,
    )


class RequestLog:
    """The outermost layer; no error passes it."""

    def __init__(self, app: ASGIApp, durations: Histogram) -> None:
        self.app = app
        self.durations = durations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started, status = uuid4().hex, time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            if not status:
                await problem_of(Internal())(scope, receive, send_with_id)
        # Only what a route has matched: a client must not be able to invent label values.
        known = scope.get("route")
        labels = (scope["method"], getattr(known, "path", "")) if known else ("none", "none")
        self.durations.labels(*labels, status).observe(time.perf_counter() - started)
