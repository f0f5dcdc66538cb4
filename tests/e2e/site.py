"""docker/compose.yml without Docker: its commands run by hand with its environment, without privileges."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from core.local import valkey
from core.local.command import free_port
from core.settings import PROJECT, get_settings
from tests.support.compose import DOCKER, foreign_modules, image_environment, load

NOBODY = 65534
WARM_SHUTDOWN = "worker: Warm shutdown (MainProcess)"
ROLE = "deployed"
DOCKERFILES = {"mfa-api:local": "api.Dockerfile", "mfa-worker:local": "worker.Dockerfile"}
SERVERS = ("postgres", "valkey")


class Site:
    """Folders and servers that stand in for volumes, secrets and networks; call `close` at the end."""

    def __init__(self, root: Path, server_url: str) -> None:
        self.root = root
        one_each = {"MFA_WORKER_PROCESSES": "1", "MFA_TRIAL_PROCESSES": "1"}
        self.services = load(MFA_MUSIC="/music", **one_each)["services"]
        self.started: set[str] = set()
        self.port, self.broker_port = free_port(), free_port()
        self.foreign = {"mfa-api:local": foreign_modules(), "mfa-worker:local": foreign_modules("worker")}
        for name in ("data", "music", "logs", "valkey"):
            (root / name).mkdir()
        self._make_secrets(server_url)
        hand_over(root)
        self._running = ExitStack()

    def _make_secrets(self, server_url: str) -> None:
        """What `make secrets` makes, with the addresses that servers have here."""
        secrets = self.root / "secrets"
        subprocess.run(("sh", str(DOCKER / "make-secrets.sh"), str(secrets)), check=True)
        self.passwords = [
            (secrets / "postgres_password").read_text().strip(),
            (secrets / "valkey_conf").read_text().split()[1],
        ]
        server = make_url(server_url)
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{self.passwords[0]}'"))
            connection.execute(text(f"CREATE DATABASE {ROLE} OWNER {ROLE}"))
        engine.dispose()
        address = f"//{ROLE}:{self.passwords[0]}@{server.host}:{server.port}/{ROLE}"
        self.rewrite("mfa_database_url", r"//mfa:.*@postgres:5432/mfa", address)
        self.rewrite("mfa_broker_url", "@valkey:6379", f"@127.0.0.1:{self.broker_port}")
        self.database_url = (secrets / "mfa_database_url").read_text().strip()

    def rewrite(self, secret: str, container: str, here: str) -> None:
        path = self.root / "secrets" / secret
        content, count = re.subn(container, here, path.read_text())
        assert count == 1
        path.write_text(content)

    def here(self, part: str, host: str) -> str:
        """A part of a command or environment as it must be outside of a container."""
        folders = {"/run/secrets": "secrets", "/data": "data", "/music": "music"}
        for inside, name in folders.items():
            if part == inside or part.startswith(f"{inside}/"):
                return str(self.root / name) + part.removeprefix(inside)
        if part == "/app" or part.startswith("/app/"):
            return str(PROJECT) + part.removeprefix("/app")
        known = {"/opt/models": str(get_settings().models_dir.resolve()), "8000": str(self.port)}
        return known.get(part, part).replace("%h", host)

    def start(self, service: str, host: str = "here") -> subprocess.Popen[bytes]:
        """A process of one of our services."""
        environment = self.environment_of(service, host)
        python, flag, *arguments = (self.here(part, host) for part in self.services[service]["command"])
        assert (python, flag) == ("python", "-m")
        # The gateway must still believe that others can reach it; this test must not let them.
        arguments = [part if part != "0.0.0.0" else "127.0.0.1" for part in arguments]
        self.started.add(service)
        return self.run((*self.as_image(service), *arguments), environment, f"{service}-{host}")

    def environment_of(self, service: str, host: str) -> dict[str, str]:
        spec = self.services[service]
        variables = image_environment(DOCKERFILES[spec["image"]]) | spec["environment"]
        return {name: self.here(value, host) for name, value in variables.items()}

    def as_image(self, service: str) -> tuple[str, ...]:
        """Runs a module with nothing installed but what the service's image holds."""
        absent = self.foreign[self.services[service]["image"]]
        return (sys.executable, "-m", "tests.e2e.without", ",".join(absent))

    def start_broker(self) -> None:
        """The Compose file's Valkey, with its password."""
        shell, script, *entrypoint = self.services["valkey"]["entrypoint"]
        command = [*entrypoint[:-1], *self.services["valkey"]["command"]]
        argv = [shell, str(DOCKER / script.lstrip("/")), *(self.here(part, "") for part in command)]
        argv[argv.index("valkey-server")] = str(valkey.binary())
        argv[argv.index("--dir") + 1] = str(self.root / "valkey")
        self.run((*argv, "--port", str(self.broker_port), "--bind", "127.0.0.1"), {}, "valkey")

    def run(self, argv: tuple[str, ...], environment: dict[str, str], log: str) -> subprocess.Popen[bytes]:
        with (self.root / "logs" / log).open("ab") as output:
            process = subprocess.Popen(
                (*as_nobody(), *argv),
                env=environment | {"PATH": os.environ["PATH"]},
                cwd=PROJECT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.callback(end, process)
        return process

    def ask(self, *module: str, **variables: str) -> str:
        """What a module prints that is run by hand in the gateway's container."""
        environment = self.environment_of("gateway", "here") | variables | {"PATH": os.environ["PATH"]}
        arguments = (self.here(part, "here") for part in module)
        argv = (*as_nobody(), *self.as_image("gateway"), *arguments)
        answer = subprocess.run(argv, env=environment, cwd=PROJECT, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def log_of(self, name: str) -> str | None:
        """What a process has written, None as long as that is nothing."""
        return (self.root / "logs" / name).read_text() or None

    def lines(self) -> list[dict[str, Any]]:
        """Every line that one of our processes has written; Celery tells of its end past all logging."""
        ours = [path for path in (self.root / "logs").iterdir() if path.name != "valkey"]
        written = [line for path in ours for line in path.read_text().splitlines()]
        return [json.loads(line) for line in written if line not in ("", WARM_SHUTDOWN)]

    def close(self) -> None:
        self._running.close()


def hand_over(root: Path) -> None:
    """Give a folder to the user of the containers."""
    root.chmod(0o755)
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            shutil.chown(path, NOBODY, NOBODY)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of it, with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@cache
def as_nobody() -> tuple[str, ...]:
    """What goes before a command of root's so that it runs as nobody; nothing when we are not root.

    An interpreter in root's home, which nobody may enter, needs the right to read besides.
    """
    if os.geteuid() != 0:
        return ()
    drop = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    plain = (*drop, "--bounding-set=-all")
    which = "import sys; sys.stdout.write(sys.base_prefix)"
    tried = subprocess.run((*plain, sys.executable, "-c", which), capture_output=True, text=True)
    if tried.stdout == sys.base_prefix:
        return plain
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return (*drop, *reading, "--bounding-set=-all,+dac_read_search")
