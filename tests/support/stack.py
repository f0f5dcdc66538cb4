"""Stand-ins for the stack's processes, and ways to look at a stack from outside."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from core.local import Command, Plan, Stack
from core.settings import PROJECT, Settings

GATEWAY = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""
# a worker parent with a child of its own, which both ignore everything but SIGKILL
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
time.sleep(600)
"""
# starts the stack of argv: data folder, port, plan
STARTER = """
import sys, time
from pathlib import Path
from core.local import Plan, local_stack
from core.settings import Settings
settings = Settings(database_url="", broker_url="", data_dir=Path(sys.argv[1]), port=int(sys.argv[2]))
with local_stack(settings, Plan.model_validate_json(sys.argv[3])):
    print("up", flush=True)
    time.sleep(600)
"""


def script(name: str, source: str, *arguments: str, grace_s: float = 0.5) -> Command:
    return Command(name=name, argv=(sys.executable, "-c", source, *arguments), grace_s=grace_s)


def settings_of(data_dir: Path, port: int = 8000) -> Settings:
    return Settings(database_url="", broker_url="", data_dir=data_dir, host="127.0.0.1", port=port)


def external(data_dir: Path, port: int = 8000) -> Settings:
    """Settings with which no server is started."""
    servers = {"database_url": "postgresql://elsewhere", "broker_url": "redis://elsewhere"}
    return settings_of(data_dir, port).model_copy(update=servers)


def plan_of(*services: Command) -> Plan:
    return Plan(services=services)


def install_model(data_dir: Path) -> None:
    """Something that looks like a model until it is loaded."""
    (data_dir / "models" / "some").mkdir(parents=True)
    (data_dir / "models" / "some" / "model.json").touch()


def entries(data_dir: Path) -> dict[str, dict[str, Any]]:
    """`stack.json` by name."""
    with suppress(FileNotFoundError):
        return {entry["name"]: entry for entry in json.loads((data_dir / "stack.json").read_text())}
    return {}


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every running process that belongs to this data folder, found without the stack's bookkeeping."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            named = str(data_dir) in " ".join(process.cmdline())
            ours = process.environ().get("MFA_DATA_DIR") == str(data_dir)
            if (named or ours) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def eventually(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "this never happened"
        time.sleep(0.02)
    return value


def query(stack: Stack, sql: str) -> Any:
    with psycopg.connect(stack.database_url.replace("+psycopg", "")) as connection:
        cursor = connection.execute(sql.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


@contextmanager
def starter(data_dir: Path, plan: Plan, port: int = 8000) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that runs a stack."""
    argv = (sys.executable, "-c", STARTER, str(data_dir), str(port), plan.model_dump_json())
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        try:
            yield process
        finally:
            process.kill()
