"""Checks before the stack starts."""

import errno
import shutil
import socket
import tempfile
from pathlib import Path

from core.errors import NoDiskSpace
from core.local.errors import AddressNotUsable, DataDirNotWritable, ModelMissing, PortInUse

MB = 1_000_000


def check_data_dir(data_dir: Path, min_free_mb: int) -> None:
    """Check that the data folder can be created, is writable and has as much free space as jobs need."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        free_mb = shutil.disk_usage(data_dir).free // MB
        if free_mb < min_free_mb:
            raise NoDiskSpace(
                f"Only {free_mb} MB are free where {data_dir} is, and {min_free_mb} MB are needed "
                "(MFA_MIN_FREE_MB); make room or set MFA_DATA_DIR to another disk."
            )
        with tempfile.TemporaryFile(dir=data_dir, buffering=0) as probe:
            probe.write(b"\0")  # a quota shows only when something is written
    except OSError as error:
        raise DataDirNotWritable(
            f"{data_dir} cannot be written to ({error.strerror}); set MFA_DATA_DIR to a folder of yours."
        ) from error


def check_address(host: str, port: int) -> None:
    """Check that the gateway can listen on `host:port`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} of {host} is in use; stop what uses it or set MFA_PORT to another one."
            ) from error
        raise AddressNotUsable(
            f"The gateway cannot listen on {host}:{port} ({error.strerror}); set MFA_HOST and MFA_PORT."
        ) from error


def check_model(models_dir: Path) -> None:
    """Check that a model is installed."""
    if not any(models_dir.glob("*/model.json")):
        raise ModelMissing(f"There is no model in {models_dir}: run `make setup`.")
