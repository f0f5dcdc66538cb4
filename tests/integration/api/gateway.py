"""A gateway on a real socket, served by a thread of the test's own process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from core.local.command import free_port


@contextmanager
def running(app: FastAPI, uds: Path | None = None) -> Iterator[str]:
    """The address of the app, while it is served; with `uds` at that Unix socket only."""
    port = free_port()
    config = uvicorn.Config(
        app, port=port, uds=str(uds) if uds else None, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def problem_of(response: httpx.Response, status: int) -> str:
    """The error's name; the response must be a problem of that status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in response.text
    prefix, _, name = problem["type"].rpartition(":")
    assert prefix == "urn:mfa:error"
    return str(name)
