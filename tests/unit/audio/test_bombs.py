"""Files made to cost much cost little, end in an honest code, and neither read nor call anything else."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.audio.sandbox import Sandbox
from core.errors import ItemError
from tests.bombs import BOMBS, PLAYLIST_PORT

pytestmark = pytest.mark.slow

CPU_S = 20.0
PEAK_KB = 1 << 20


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Where the playlists point to."""
    with socket.create_server(("127.0.0.1", PLAYLIST_PORT)) as server:
        server.setblocking(False)
        yield server


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(tmp_path, listener, name):
    make, codes = BOMBS[name]
    path = tmp_path / "a.mp3"
    path.write_bytes(make())
    own_start_s = time.process_time()
    with closing(Sandbox()) as sandbox, path.open("rb") as file:
        sandbox.read_tags(file)
        code = None
        try:
            for block in sandbox.stream(file, 16_000, max_duration_s=4 * 3600):
                assert len(block)
        except ItemError as error:
            code = error.code
        (helper,) = sandbox._idle
        helper_s, peak_kb = helper._cpu_s(), _peak_kb(helper.pid)
    assert code in codes
    assert helper_s + time.process_time() - own_start_s < CPU_S
    assert peak_kb < PEAK_KB
    with pytest.raises(BlockingIOError):  # nobody has called
        listener.accept()


def _peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
