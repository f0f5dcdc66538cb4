"""Files made to cost much cost little, end in an honest code, and neither read nor call anything else."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.bombs import BOMBS, PLAYLIST_PORT
from tests.support.decoding_cost import measure

pytestmark = pytest.mark.slow

CPU_S = 20.0
PEAK_KB = 1 << 20


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Where the playlists point to."""
    with socket.create_server(("127.0.0.1", PLAYLIST_PORT)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.parametrize(
    ("name", "windows"), [*((name, None) for name in BOMBS), *((name, 8) for name in BOMBS if "hour" in name)]
)
def test_a_bomb_costs_little(tmp_path, listener, name, windows):
    make, codes = BOMBS[name]
    path = tmp_path / "a.mp3"
    path.write_bytes(make())
    cost = measure(path, windows)
    assert cost.code in codes
    assert cost.cpu_s < CPU_S
    assert cost.peak_kb < PEAK_KB
    with pytest.raises(BlockingIOError):  # nobody has called
        listener.accept()
