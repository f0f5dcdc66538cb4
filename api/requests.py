"""Around every request: its id, how long it took, and the answer when nothing else answers."""

import logging
import time
from urllib.parse import quote
from uuid import uuid4

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Internal, problem_of
from api.routes import API
from core import VERSION

log = logging.getLogger(__name__)

SAFE = ("GET", "HEAD", "OPTIONS")  # polls: they change nothing, and there are too many of them
METHODS = frozenset(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))  # all others are one
MAX_PATH = 200  # characters
JOBS = f"{API}/jobs/"


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
        request_id, started, status, job = uuid4().hex, time.perf_counter(), 0, ""
        asked = (scope["method"], quote(scope["path"])[:MAX_PATH])

        async def send_with_id(message: Message) -> None:
            nonlocal status, job
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"server-version", VERSION.encode()),
                ]
                location = dict(message["headers"]).get(b"location", b"").decode("latin-1")
                job = location.removeprefix(JOBS) if location.startswith(JOBS) else ""
                message["headers"] = [*message["headers"], *own]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s: %s %s failed", request_id, *asked, extra={"request": request_id})
            if not status:
                await problem_of(Internal())(scope, receive, send_with_id)
        took_s = time.perf_counter() - started
        if scope["method"] not in SAFE:
            extra = {"request": request_id, "job": job or scope.get("path_params", {}).get("job_id")}
            log.info("%s %s: %s in %.0f ms", *asked, status, 1000 * took_s, extra=extra)
        # A client must not be able to invent label values. A route is known also when its method is wrong.
        known = scope.get("route")
        method = scope["method"] if scope["method"] in METHODS else "other"
        labels = (method, getattr(known, "path", "")) if known else ("none", "none")
        self.durations.labels(*labels, status).observe(took_s)
