"""Sentences of the command line."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from api import schemas
from api.client.display import duration_of, labels_of, megabytes_of, tenths_of, time_left
from api.client.http import Client, Refused, Unreachable
from api.client.label import summary
from api.client.preview import show_warnings
from api.client.progress import ACTIVITIES, activity_of, follow, progress_of, reading_of
from core.output.tables import tsv_value, words_of
from core.states import Activity

START = datetime(2026, 1, 1, tzinfo=UTC)


def progress(**overrides: object) -> schemas.Progress:
    values = {
        "total": 10,
        "done": 4,
        "failed": 0,
        "skipped": 0,
        "percent": 40.0,
        "rate_per_s": 2.0,
        "eta_s": 3.0,
    }
    return schemas.Progress.model_validate(values | overrides)


def job(**overrides: object) -> schemas.Job:
    values = {
        "id": UUID(int=1),
        "kind": "analysis",
        "state": "running",
        "progress": progress(),
        "created_at": START,
        "started_at": START,
        "finished_at": None,
        "params": {},
        "result": None,
        "error": None,
    }
    return schemas.Job.model_validate(values | overrides)


def ended(**counts: object) -> schemas.Job:
    return job(state="succeeded", finished_at=START + timedelta(seconds=10), progress=progress(**counts))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({}, "4 of 10, 2.0 tracks/s, 3 s left"),
        ({"rate_per_s": 0.02}, "4 of 10, 50 s per track, 3 s left"),
        ({"percent": None, "skipped": 2}, "listing: 10 found, 6 done"),
        ({"rate_per_s": None, "eta_s": None, "failed": 1}, "5 of 10, 1 failed"),
    ],
)
def test_progress_in_words(overrides, text):
    assert progress_of(job(progress=progress(**overrides))) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7799, "2 h 9 min"),
        (86399.6, "1 d"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations_in_words(seconds, text):
    assert duration_of(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "3 s left"),
        (59.7, "1 min left"),
        (890, "15 min left"),
        (3599, "1 h left"),
        (7799, "2 h 10 min left"),
    ],
)
def test_the_time_that_is_left_is_an_estimate(seconds, text):
    assert time_left(seconds) == text


def test_seconds_and_megabytes_have_one_decimal_for_people_and_all_through_a_pipe():
    assert words_of([tenths_of(184.3456), None, megabytes_of(2_348_000)]) == ["184.3", "-", "2.3"]
    assert tsv_value(tenths_of(184.3456)) == "184.3456"


def test_a_note_on_several_models_is_told_once(capsys):
    models: Any = [
        SimpleNamespace(model="a@1", warnings=["Few tracks.", "Old."]),
        SimpleNamespace(model="b@1", warnings=["Few tracks."]),
    ]
    show_warnings(models)
    assert capsys.readouterr().out.splitlines() == [
        "Note on a@1 and b@1: Few tracks.",
        "Note on a@1: Old.",
    ]


def test_only_the_top_labels_are_shown():
    labels = [schemas.Label(label=f"l{n}", score=0.9 - n / 10) for n in range(5)]
    said = schemas.Prediction(labels=labels, duration_s=1, model="m@1")
    assert labels_of(said) == "l0 0.90, l1 0.80, l2 0.70"
    assert labels_of(said.model_copy(update={"labels": []})) == "no label"


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "4 tracks labelled in 10.0 s, 3 min 20 s of audio, 20 times real time."),
        (
            {"failed": 1},
            "4 tracks labelled, 1 not labelled in 10.0 s, 3 min 20 s of audio, 20 times real time.",
        ),
        ({"skipped": 5}, "4 tracks labelled, 5 known already in 10.0 s, 3 min 20 s of audio."),
    ],
)
def test_a_job_is_summed_up_without_counting_what_took_no_time(counts, text):
    assert summary(ended(**counts), 200) == text


def test_a_training_first_reads_its_tracks():
    assert reading_of(progress()) == "reading the tracks"
    assert reading_of(progress(tracks_read=3, tracks_to_read=9)) == "reading the tracks: 3 of 9"


def test_a_training_says_what_it_does_between_its_epochs():
    scoring = schemas.CurrentActivity(name=Activity.SCORING, done=12, total=40)
    assert activity_of(progress(activity=scoring)) == "scoring the held-out tracks: 12 of 40"
    writing = schemas.CurrentActivity(name=Activity.WRITING, done=0, total=None)
    assert activity_of(progress(activity=writing)) == "writing the model"
    assert set(ACTIVITIES) == set(Activity)


class FlakyClient(Client):
    """Answers a job that ends, after some errors."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def get_job(self, job_id: UUID) -> schemas.Job:
        if self.errors:
            raise self.errors.pop(0)
        return ended()


def refusal(status: int) -> Refused:
    return Refused(schemas.Problem(type="t", title="t", status=status, detail="no"))


def test_following_a_job_survives_a_gateway_that_restarts(monkeypatch):
    monkeypatch.setattr("api.client.progress.LOOK_EVERY_S", 0)
    client = FlakyClient(Unreachable("gone"), refusal(503), Unreachable("gone"))
    assert follow(client, job()).state == "succeeded"


def test_following_a_job_gives_up_on_what_waiting_does_not_help(monkeypatch):
    monkeypatch.setattr("api.client.progress.LOOK_EVERY_S", 0)
    with pytest.raises(Refused):
        follow(FlakyClient(refusal(404)), job())
    monkeypatch.setattr("api.client.progress.PATIENCE_S", 0)
    with pytest.raises(Unreachable):
        follow(FlakyClient(Unreachable("gone")), job())
