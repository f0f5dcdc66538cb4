"""Damaged files, and decoders that die at them, cost items: no worker, and no neighbour.

`pytest tests/e2e/test_bad_files.py --bad-files 1000 --log-cli-level WARNING` takes three thousand files.
"""

import logging
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import OPEN_STATES, RunningStack
from tests.e2e.rows import assert_nothing_lost_or_doubled
from tests.e2e.waiting import wait_for
from tests.support import sounds
from tests.support.bad_files import make_library
from tests.support.memory import peak_kb
from tests.support.processes import DECODER, POOL_CHILD, children_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

log = logging.getLogger(__name__)

SEED = 20_261
HELPER_PEAK_KB, WORKER_PEAK_KB = 1 << 20, 3 << 20


def workers(running: RunningStack) -> list[psutil.Process]:
    return children_of(running.process("worker-batch"), POOL_CHILD)


def helpers(running: RunningStack) -> list[psutil.Process]:
    return [helper for worker in workers(running) for helper in children_of(worker, DECODER)]


def helper_at(running: RunningStack, name: str) -> psutil.Process | None:
    """The helper that has this file open."""
    for helper in helpers(running):
        with suppress(OSError, psutil.Error):
            folder = f"/proc/{helper.pid}/fd"
            links = [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
            if any(link.endswith(f"/{name}") for link in links):
                return helper
    return None


def outcomes(running: RunningStack, job_id: str) -> dict[str, str | None]:
    """File name -> code, None for a label."""
    found: dict[str, str | None] = {}
    cursor = ""
    while True:
        page = running.http.get(f"/jobs/{job_id}/items?limit=500{cursor}").raise_for_status().json()
        for item in page["items"]:
            found[Path(item["path"]).name] = item["error"]["code"] if item["error"] else None
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_damaged_files_cost_items_only(
    running: RunningStack, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ruined: int = request.config.getoption("--bad-files")
    good, fuzzed = 2 * ruined, ruined // 4
    honest = make_library(tmp_path, good, ruined, fuzzed, SEED)
    running.add_library("damaged", tmp_path)
    before = workers(running)

    job_id = running.submit("damaged")
    job = running.wait_for_end(job_id, timeout_s=60 + ruined)

    assert job["state"] == "succeeded"
    ends = outcomes(running, job_id)
    assert {name: code for name, code in ends.items() if code not in honest[name]} == {}
    assert len(ends) == len(honest)
    assert sum(codes == {None} for codes in honest.values()) == good
    assert_nothing_lost_or_doubled(running.sessions, job_id, len(honest))
    assert [worker.pid for worker in workers(running)] == [worker.pid for worker in before]
    peaks = [peak_kb(helper.pid) for helper in helpers(running)], [peak_kb(worker.pid) for worker in before]
    assert max(peaks[0]) < HELPER_PEAK_KB
    assert max(peaks[1]) < WORKER_PEAK_KB
    fuzz = Counter(ends[name] or "labelled" for name, codes in honest.items() if len(codes) > 1)
    log.warning("%d good, %d ruined, %d fuzzed: %s", good, ruined, fuzzed, dict(fuzz))
    log.warning("peaks in kB of helpers %s, of workers %s; %s", *peaks, job)


def test_a_file_that_kills_its_decoder_twice_is_left_alone(running: RunningStack, tmp_path: Path) -> None:
    """The helper at `poison.flac` is killed whenever it is seen there."""
    for index in range(30):
        sounds.write(tmp_path / f"{index:02d}.wav", sounds.noise(4, seed=1000 + index))
    poison = sounds.encode(sounds.noise(400, 44_100, seed=7), 44_100, "flac")
    (tmp_path / "15 poison.flac").write_bytes(poison)
    running.add_library("poisoned", tmp_path)
    before = workers(running)
    job_id = running.submit("poisoned")
    killed: set[int] = set()

    def kill_or_end() -> dict[str, Any] | None:
        if (helper := helper_at(running, "15 poison.flac")) is not None:
            helper.kill()
            killed.add(helper.pid)
        job = running.job(job_id)
        return job if job["state"] not in OPEN_STATES else None

    job = wait_for(kill_or_end, 120, every_s=0.01)

    assert len(killed) >= 2, "one for each try at decoding, perhaps another for its tags"
    assert job["progress"]["done"] == 30
    assert {name: code for name, code in outcomes(running, job_id).items() if code} == {
        "15 poison.flac": "undecodable"
    }
    assert [worker.pid for worker in workers(running)] == [worker.pid for worker in before]
