"""A whole library through REST, Celery and Postgres, good files and bad ones."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import RunningStack
from tests.e2e.rows import assert_nothing_lost_or_doubled
from tests.e2e.waiting import wait_for
from tests.support import sounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KINDS = (
    "empty",
    "text",
    "truncated_flac",
    "no_samples",
    "huge_header",
    "silent",
    "too_short",
    "directory",
    "forbidden",
    "vanishing",
)
BAD_OF_A_KIND = 2
GOOD = 120


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound files in four formats, and bad ones among them."""
    root = tmp_path_factory.mktemp("library")
    for folder in range(4):
        (root / f"artist {folder}").mkdir()
    for index in range(GOOD):
        suffix = ("wav", "flac", "mp3", "ogg")[index % 4]
        samples = sounds.chord([110 + index, 165 + 2 * index], 3.2) + sounds.noise(
            3.2, seed=index, level=0.02
        )
        sounds.write(root / f"artist {index % 4}" / f"{index:03d}.{suffix}", samples.astype(np.float32))
    for kind in KINDS:
        for index in range(BAD_OF_A_KIND):
            # the vanishing ones come last, so that they are still to come when the listing is complete
            name = f"zz vanishing {index}.mp3" if kind == "vanishing" else f"bad {kind} {index}.mp3"
            sounds.bad_file(kind, root / "artist 3" / name)
    return root


def test_bad_files_cost_items_and_never_the_job(running: RunningStack, library: Path) -> None:
    running.add_library("mixed", library)
    job_id = running.submit("mixed")
    wait_for(lambda: running.job(job_id)["progress"]["total"] or None, 30)
    for vanishing in (library / "artist 3").glob("zz vanishing *"):
        vanishing.unlink()

    job = running.wait_for_end(job_id, timeout_s=240)

    assert job["state"] == "succeeded"
    assert job["progress"]["done"] == GOOD
    assert job["progress"]["failed"] == len(KINDS) * BAD_OF_A_KIND
    items = running.http.get(f"/jobs/{job_id}/items?state=failed&limit=500").json()["items"]
    codes = {Path(item["path"]).name: item["error"]["code"] for item in items}
    assert len(codes) == len(KINDS) * BAD_OF_A_KIND
    for name, code in codes.items():
        kind = next(kind for kind in KINDS if kind in name)
        assert code == sounds.BAD_FILES[kind], name
    assert_nothing_lost_or_doubled(running.sessions, job_id, GOOD + len(items))


def test_an_unchanged_library_is_skipped_and_retry_runs_the_failed_only(
    running: RunningStack, library: Path
) -> None:
    job_id = running.submit("mixed")
    job = running.wait_for_end(job_id)
    assert job["progress"]["skipped"] == GOOD
    assert job["progress"]["done"] == 0

    for path in (library / "artist 3").glob("bad forbidden *"):
        os.chmod(path, 0o600)
    retried = running.http.post(f"/jobs/{job_id}/retry").raise_for_status().json()
    job = running.wait_for_end(retried["id"])

    assert job["progress"]["total"] == (len(KINDS) - 1) * BAD_OF_A_KIND
    assert job["progress"]["done"] + job["progress"]["skipped"] == BAD_OF_A_KIND


def test_a_cancelled_job_stops_and_keeps_its_results(running: RunningStack, library: Path) -> None:
    job_id = running.submit("mixed", force=True)
    running.wait_for_outcomes(job_id, 8)

    cancelled = running.http.post(f"/jobs/{job_id}/cancel")
    assert cancelled.status_code == 202
    assert cancelled.json()["state"] in ("cancelling", "cancelled")

    job = running.wait_for_end(job_id, timeout_s=15)
    assert job["state"] == "cancelled"
    done = job["progress"]["done"]
    assert 0 < done < GOOD
    assert len(running.http.get(f"/jobs/{job_id}/results").json()) == done
    assert running.http.post(f"/jobs/{job_id}/cancel").status_code == 202
    time.sleep(2)  # long enough for a worker that had not stopped to write again
    assert running.job(job_id)["progress"]["done"] == done
