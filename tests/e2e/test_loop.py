"""The loop from music to labels to corrections to a better model, through REST alone; corrections stand."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import RunningStack
from tests.support import sounds
from tests.support.processes import POOL_CHILD, children_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TRACKS, CORRECTED, REVIEWERS, ASKED = 60, 40, 2, 4  # ASKED: tracks at a time
NAME = "loop"


@pytest.fixture
def library(running: RunningStack, tmp_path: Path) -> str:
    """Chords and noises, named by what they are, and a label set of one's own for them."""
    for number in range(TRACKS):
        kind = kind_of_number(number)
        samples = sounds.noise(4, seed=number, level=0.005 if kind == "chord" else 0.1)
        if kind == "chord":
            samples = samples + sounds.chord([110 + 3 * number, 165 + 4 * number], 4)
        sounds.write(tmp_path / f"{kind} {number:02}.wav", samples)
    running.add_library(NAME, tmp_path)
    labels = [{"label": label, "facet": "sound"} for label in ("chord", "noise")]
    label_set = {"name": NAME, "labels": labels, "exclusive": True}
    assert running.http.post("/label-sets", json=label_set).status_code == 201
    return NAME


def kind_of_number(number: int) -> str:
    return "chord" if number % 3 else "noise"


def kind_of(path: str) -> str:
    return path.split()[0]


def tracks_of(running: RunningStack, library: str) -> list[dict[str, Any]]:
    found = running.http.get("/tracks", params={"library": library, "limit": 1000}).raise_for_status().json()
    tracks: list[dict[str, Any]] = found["items"]
    return tracks


def assert_corrections_stand(running: RunningStack, library: str, corrected: set[str]) -> None:
    """In the list of tracks, and in the answer about one of them."""
    tracks = {track["id"]: track for track in tracks_of(running, library)}
    assert len(tracks) == TRACKS
    for track_id in corrected:
        assert_corrected(tracks[track_id])
    one = min(corrected)
    assert_corrected(running.http.get(f"/tracks/{one}").raise_for_status().json())
    assert {track_id for track_id, track in tracks.items() if track["corrections"]} == corrected


def assert_corrected(shown: dict[str, Any]) -> None:
    kind = kind_of(shown["path"])
    given = [label for label in shown["labels"] if label["source"] == "corrected"]
    assert given == [{"label": kind, "score": 1.0, "source": "corrected"}], shown
    assert shown["corrections"] == {kind: "yes"}


def assert_results_stand(running: RunningStack, job_id: str, corrected: set[str], model: str) -> None:
    results = running.http.get(f"/jobs/{job_id}/results").raise_for_status().json()
    assert len(results) == TRACKS
    assert {result["model"] for result in results} == {model}
    for result in results:
        if result["track_id"] in corrected:
            assert_corrected(result)


def review(running: RunningStack, library: str, kill: Callable[[], None]) -> list[str]:
    """Answer the questions of one of the reviewers; the ids of the tracks that were asked about."""
    asked: list[str] = []
    for batch in range(CORRECTED // REVIEWERS // ASKED):
        if batch == 1:
            kill()
        query = f"strategy=margin&library={library}&n={ASKED}&model=musicnn-msd"
        questions = running.http.get(f"/review?{query}").raise_for_status().json()["items"]
        assert len(questions) == ASKED
        for question in questions:
            track = question["track"]
            asked.append(track["id"])
            said = {"labels": {kind_of(track["path"]): "yes"}}
            running.http.put(f"/tracks/{track['id']}/labels", json=said).raise_for_status()
    return asked


def review_together(running: RunningStack, library: str) -> set[str]:
    """Two people correct at once, and the workers that label the library meanwhile are killed."""

    def kill() -> None:
        for child in children_of(running.process("worker-batch"), POOL_CHILD):
            child.kill()

    with ThreadPoolExecutor(REVIEWERS) as pool:
        reviewers = [pool.submit(review, running, library, kill) for _ in range(REVIEWERS)]
        asked = [track_id for each in reviewers for track_id in each.result()]
    assert len(asked) == len(set(asked)) == CORRECTED, Counter(asked)
    return set(asked)


def submit_training(running: RunningStack, library: str) -> str:
    dataset = {"kind": "corrections", "library": library, "label_set": NAME}
    experiment = {"experiment_name": NAME, "dataset": dataset, "model": {"kind": "transfer"}}
    body = {"kind": "training", "params": {"experiment": experiment}}
    response = running.http.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def test_corrections_stand_through_training_preview_promotion_and_rollback(
    running: RunningStack, library: str
) -> None:
    http = running.http
    labelled = running.wait_for_end(running.submit(library, model="musicnn-msd"))
    assert labelled["progress"]["done"] == TRACKS, labelled

    again = running.submit(library, model="musicnn-msd", force=True)
    running.wait_for_outcomes(again, 1)
    corrected = review_together(running, library)
    assert running.wait_for_end(again)["progress"]["done"] == TRACKS
    assert_corrections_stand(running, library, corrected)
    assert_results_stand(running, again, corrected, "musicnn-msd@1")

    trained = running.wait_for_end(submit_training(running, library))
    assert trained["state"] == "succeeded", trained
    assert trained["result"]["model"] == f"{NAME}@1"
    assert_corrections_stand(running, library, corrected)

    wanted = {"against": "musicnn-msd", "library": library}
    answer = http.post(f"/models/{NAME}/preview", json=wanted, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    preview = answer.json()
    assert (preview["tracks"], preview["compared"], preview["corrected"]) == (TRACKS, TRACKS, CORRECTED)
    assert preview["left_out"] == {}
    assert preview["corrections"]["tracks"] == CORRECTED
    assert preview["corrections"]["trained_on_corrections"] == {"model": True, "against": False}
    assert_corrections_stand(running, library, corrected)
    compared = http.get("/models/compare", params={"models": f"{NAME},musicnn-msd"}).raise_for_status().json()
    assert compared["only"][f"{NAME}@1"] == ["chord", "noise"]
    assert compared["models"][0]["tracks"] == {"all": CORRECTED}

    promoted = http.post(f"/models/{NAME}/promote", json={}).raise_for_status().json()
    assert promoted["aliases"] == ["default"]
    relabelling = running.submit(library)
    relabelled = running.wait_for_end(relabelling)
    assert (relabelled["state"], relabelled["progress"]["done"]) == ("succeeded", TRACKS)
    assert_corrections_stand(running, library, corrected)
    assert_results_stand(running, relabelling, corrected, f"{NAME}@1")
    served = Counter(label["label"] for track in tracks_of(running, library) for label in track["labels"])
    foretold = {each["label"]: each["gained"] + each["kept"] for each in preview["labels"]}
    assert served == Counter({label: count for label, count in foretold.items() if count})
    right = sum(
        track["labels"][0]["label"] == kind_of(track["path"]) for track in tracks_of(running, library)
    )
    assert right >= 0.95 * TRACKS

    back = http.post("/models/rollback").raise_for_status().json()
    assert (back["name"], back["aliases"]) == ("musicnn-msd", ["default"])
    assert_corrections_stand(running, library, corrected)
