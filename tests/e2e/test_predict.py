"""One uploaded file, through the gateway and the interactive worker."""

import httpx
import pytest

from tests.e2e.conftest import RunningStack
from tests.e2e.waiting import wait_for
from tests.support import sounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def upload(running: RunningStack, content: bytes, wait_s: int) -> httpx.Response:
    return running.http.post(
        "/analysis/predict", files={"file": ("song.mp3", content)}, headers={"Prefer": f"wait={wait_s}"}
    )


def test_an_uploaded_mp3_is_labelled_while_the_client_waits(running: RunningStack) -> None:
    answer = upload(running, sounds.encoded_music("mp3"), 60)
    assert answer.status_code == 200
    prediction = answer.json()
    assert prediction["model"] == "musicnn-msd@1"
    assert prediction["labels"][0]["score"] >= 0.1
    assert prediction["duration_s"] == pytest.approx(4, abs=0.1)


def test_a_client_that_does_not_wait_polls_the_job(running: RunningStack) -> None:
    answer = upload(running, sounds.encoded_music("flac"), 0)
    assert answer.status_code == 202
    location = answer.headers["Location"].removeprefix("/api/v1")

    def ended() -> dict[str, object] | None:
        job: dict[str, object] = running.http.get(location).raise_for_status().json()
        return job if job["state"] == "succeeded" else None

    job = wait_for(ended, 60)
    assert job["result"]
    assert not list(running.settings.uploads_dir.iterdir())


def test_an_upload_that_is_no_audio_is_told_so(running: RunningStack) -> None:
    answer = upload(running, b"Not a song but a letter.\n" * 100, 60)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mfa:error:not_audio"
