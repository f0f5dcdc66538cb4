"""How many requests a caller may make: a token bucket per API key, and per address for everybody else."""

import hashlib
import math
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from fastapi.security.utils import get_authorization_scheme_param
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import TooManyRequests, problem_of
from api.security.cookies import NAME as COOKIE

BURST_S = 10.0  # after this long without requests, a caller has its full burst again
MAX_CALLERS = 10_000  # remembered at a time; the one that was silent for longest goes first
FREE = "/healthz"  # costs nothing, and must not fail because others ask too much


class Buckets:
    """Tokens of each caller: `rate` more per second, up to what comes in `BURST_S`, at least one."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.step_s = 1 / rate
        self.depth_s = max(BURST_S, self.step_s) + 1e-6  # more than rounding adds up to
        self._full_at: OrderedDict[bytes, float] = OrderedDict()  # when a caller's bucket is full again

    def take(self, caller: bytes, now: float) -> float:
        """Take a token; 0, or how many seconds to wait for one that is not there. `now` is in seconds."""
        full_at = max(now, self._full_at.pop(caller, now))
        wait_s = max(0.0, full_at + self.step_s - now - self.depth_s)
        self._full_at[caller] = full_at if wait_s else full_at + self.step_s
        if len(self._full_at) > MAX_CALLERS:
            self._full_at.popitem(last=False)
        return wait_s

    def __contains__(self, caller: bytes) -> bool:
        return caller in self._full_at

    def add(self, caller: bytes) -> None:
        """Give a caller a full bucket, unless it has one."""
        self._full_at.setdefault(caller, 0.0)


class RateLimit:
    """Answers 429 instead of the route.

    Only a key that was valid before has a bucket of its own. All that comes with a wrong one is counted
    against its address, so that keys cannot be tried out, nor buckets invented, any faster.
    """

    def __init__(self, app: ASGIApp, rate: float) -> None:
        self.app = app
        self.buckets = Buckets(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == FREE:
            await self.app(scope, receive, send)
            return
        key = hashlib.sha256(_credential(scope).encode()).digest()
        caller = key if key in self.buckets else _address(scope)
        wait_s = self.buckets.take(caller, time.monotonic())
        if wait_s:
            refusal = TooManyRequests(f"More than {self.buckets.rate:g} requests per second: slow down.")
            await problem_of(refusal, {"Retry-After": str(math.ceil(wait_s))})(scope, receive, send)
            return
        await self.app(scope, receive, send)
        if scope.get("state", {}).get("key_is_valid"):
            self.buckets.add(key)


def _credential(scope: Scope) -> str:
    """The key, or the token of a session, as the routes read it: however it is spelled, its bucket is one."""
    headers = Headers(scope=scope)
    _, key = get_authorization_scheme_param(headers.get("authorization"))
    return key or cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _address(scope: Scope) -> bytes:
    """Of the client; an IPv6 network of 64 bits is one client, as each has that many to itself."""
    client = scope.get("client")
    try:
        address = ip_address(client[0] if client else "")
    except ValueError:
        return b""
    if isinstance(address, IPv6Address):
        return address.packed[:8] if address.ipv4_mapped is None else address.ipv4_mapped.packed
    return address.packed
