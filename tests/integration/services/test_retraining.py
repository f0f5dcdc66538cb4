"""Models are trained again after so many corrected tracks: once, and not in a loop when it fails."""

from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.config.experiment import parse_experiment
from core.errors import (
    Invalid,
    LibraryNotFound,
    ModelNotFound,
    RetrainingAtWork,
    RetrainingNotFound,
)
from core.jobs.kinds import SubmissionContext
from core.services.retraining import (
    find_enabled,
    get_retraining,
    list_retrainings,
    look_ahead,
    retrain_if_due,
    retrained,
    serving_model,
    set_up,
    train_now,
    turn_off,
)
from core.states import JobState, Verdict
from core.store.correction_changes import NewCorrection, undo_change, write_corrections
from core.store.session import SessionFactory, transaction
from core.store.tables import CorrectionChange, Job, Library, Model, Run, Track
from tests.support.builders import make_library, make_model, make_run, make_track

EXPERIMENT: dict[str, Any] = {
    "experiment_name": "mine",
    "dataset": {"kind": "corrections", "library": "music"},
    "model": {"kind": "transfer"},
}
DATA = Path("unused")


def make_served(session: Session, **experiment: Any) -> Model:
    """A trained model that serves, on a library `music` of five tracks."""
    library = make_library(session, name="music")
    for number in range(5):
        make_track(session, library, path=f"{number}.mp3", content_hash=bytes([number]) * 32)
    make_model(session, name="musicnn-msd", alias=None, artifact_url="file:///models/musicnn-msd-1")
    model = make_model(session, name="mine", sha256="1" * 64)
    config = parse_experiment(EXPERIMENT | experiment).model_dump(mode="json")
    run = make_run(session, config=config, model_id=model.id)
    job = session.get_one(Job, run.id)
    job.params, job.library_id = {"experiment": config}, library.id
    run.library_id = library.id
    run.created_at -= timedelta(hours=1)
    session.flush()
    return model


def say(session: Session, *numbers: int, verdict: Verdict | None = Verdict.YES, label: str = "rock") -> Any:
    said = [NewCorrection(bytes([number]) * 32, label, verdict) for number in numbers]
    written = write_corrections(session, said, author="local", origin="track")
    return written.change_id


def jobs(session: Session) -> list[Job]:
    return list(session.scalars(select(Job).where(Job.params.has_key("compare_with"))))


def test_a_training_is_submitted_once_enough_tracks_are_corrected(session):
    make_served(session)
    row = set_up(session, "mine", 3, None, "me")
    assert (row.library and row.library.name, row.corrected) == ("music", 0)
    assert row.serving is not None
    assert row.serving.version == 1
    assert find_enabled(session) == ["mine"]
    say(session, 0, 1)
    say(session, 1, label="jazz")
    say(session, 2, verdict=Verdict.UNSURE)
    undo_change(session, say(session, 3), "me")
    assert get_retraining(session, "mine").corrected == 2
    assert retrain_if_due(session, "mine", DATA) is None
    say(session, 4, verdict=Verdict.NO)
    job = retrain_if_due(session, "mine", DATA)
    assert job is not None
    assert (job.owner, job.params["compare_with"]) == ("me", "mine@1")
    assert job.params["experiment"]["dataset"]["library"] == "music"
    assert job.params["experiment"]["split"]["folds"] == 5
    assert session.get_one(Run, job.id).model_id is None
    assert get_retraining(session, "mine").corrected == 0
    assert retrain_if_due(session, "mine", DATA) is None
    assert len(jobs(session)) == 1


def test_what_was_corrected_before_the_training_or_elsewhere_does_not_count(session):
    make_served(session)
    make_track(session, make_library(session), content_hash=b"e" * 32)
    say(session, 0, 1)
    session.execute(
        update(CorrectionChange).values(created_at=CorrectionChange.created_at - timedelta(days=1))
    )
    set_up(session, "mine", 1, None, "me")
    write_corrections(session, [NewCorrection(b"e" * 32, "rock", Verdict.YES)], author="me", origin="track")
    assert retrain_if_due(session, "mine", DATA) is None


def test_only_tracks_of_the_folder_of_the_training_count(session):
    make_served(session, dataset=EXPERIMENT["dataset"] | {"path": "jazz"})
    library = session.scalars(select(Library)).one()
    make_track(session, library, path="jazz/a.mp3", content_hash=bytes([9]) * 32)
    assert set_up(session, "mine", 9, None, "me").corrected == 0
    say(session, 0, 9)
    assert get_retraining(session, "mine").corrected == 1


def test_a_failed_training_is_shown_and_the_next_waits_for_as_many_more_corrections(session):
    make_served(session)
    set_up(session, "mine", 2, None, "me")
    say(session, 0, 1)
    job = retrain_if_due(session, "mine", DATA)
    assert job is not None
    say(session, 2, 3)
    session.execute(
        update(CorrectionChange).values(created_at=CorrectionChange.created_at + timedelta(days=1))
    )
    assert retrain_if_due(session, "mine", DATA) is None  # one is open
    for state in (JobState.RUNNING, JobState.FAILED):
        job.state, job.error_code = state, "unusable_dataset"
        session.flush()
    assert retrain_if_due(session, "mine", DATA) is not None
    assert len(jobs(session)) == 2


def test_what_keeps_a_job_from_being_made_is_stored_and_not_tried_in_a_loop(session):
    make_served(session, model={"kind": "transfer", "backbone": "gone-1"})
    set_up(session, "mine", 1, None, "me")
    say(session, 0)
    assert retrain_if_due(session, "mine", DATA) is None
    row = get_retraining(session, "mine")
    assert row.retraining.error_code == "invalid_config"
    assert "gone-1" in str(row.retraining.error_detail)
    assert row.corrected == 0
    assert row.job is None


def test_only_one_of_several_callers_submits_a_job(clean_database: SessionFactory):
    with transaction(clean_database) as session:
        make_served(session)
        set_up(session, "mine", 1, None, "me")
    with transaction(clean_database) as session:
        say(session, 0)
    start, found = Barrier(4), []

    def call() -> None:
        start.wait()
        with transaction(clean_database) as session:
            found.append(retrain_if_due(session, "mine", DATA))

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(job is not None for job in found) == 1
    with clean_database() as session:
        assert len(jobs(session)) == 1


def test_it_can_be_turned_off_and_what_cannot_be_trained_again_is_refused(session):
    make_served(session)
    with pytest.raises(RetrainingNotFound):
        turn_off(session, "mine")
    for reference in ("default", "mine@1"):
        with pytest.raises(Invalid, match="by their name, mine"):
            set_up(session, reference, 1, "music", "me")
    set_up(session, "mine", 1, "music", "me")
    turn_off(session, "mine")
    say(session, 0)
    assert retrain_if_due(session, "mine", DATA) is None
    assert [row.retraining.enabled for row in list_retrainings(session)] == [False]
    with pytest.raises(Invalid, match="not trained here"):
        set_up(session, "musicnn-msd", 1, None, "me")
    with pytest.raises(ModelNotFound):
        set_up(session, "nope", 1, None, "me")
    with pytest.raises(LibraryNotFound):
        set_up(session, "mine", 1, "nope", "me")
    session.execute(update(Run).values(library_id=None))
    with pytest.raises(Invalid, match="name the `library`"):
        set_up(session, "mine", 1, None, "me")


def test_a_deleted_library_trains_nothing_and_is_shown(session):
    make_served(session)
    set_up(session, "mine", 1, None, "me")
    say(session, 0)
    session.scalars(select(Library)).one().deleted_at = session.scalars(select(Track)).first().seen_at
    session.flush()
    row = get_retraining(session, "mine")
    assert (row.library, row.corrected) == (None, None)
    assert row.obstacle is not None
    assert row.obstacle.code == "library_not_found"
    assert retrain_if_due(session, "mine", DATA) is None


def test_the_dataset_is_that_of_the_last_training_with_what_people_said_since():
    def dataset(config: dict[str, Any], *, is_own: bool = True) -> dict[str, Any]:
        experiment = parse_experiment(EXPERIMENT | {"dataset": config})
        return retrained(experiment, "new name", is_own=is_own).dataset.model_dump(exclude_defaults=True)

    tags = {"kind": "library", "library": "music", "path": "jazz"}
    alone = {"library": "new name"}
    assert dataset(tags) == {"library": "new name", "path": "jazz", "corrections": True}
    assert dataset(tags, is_own=False) == alone
    assert dataset({"kind": "folder", "root": "/music"}, is_own=False) == alone
    frozen = {"kind": "corrections", "library": "music", "label_set": "mine", "labels": ["a", "b"]}
    assert dataset(frozen) == alone | {"label_set": "mine"}
    own = {"kind": "corrections", "library": "music", "labels": ["a", "b"]}
    assert dataset(own) == alone | {"labels": ("a", "b")}


def end(session: Session, job: Job, state: JobState) -> None:
    for each in (JobState.RUNNING, state):
        job.state = each
        session.flush()


def test_a_retry_takes_the_place_of_the_training_that_failed(session):
    make_served(session)
    set_up(session, "mine", 1, None, "me")
    say(session, 0)
    failed = retrain_if_due(session, "mine", DATA)
    assert failed is not None
    end(session, failed, JobState.FAILED)
    retry = make_run(session)
    again = session.get_one(Job, retry.id)
    again.retry_of = failed.id
    say(session, 1)
    session.execute(update(CorrectionChange).values(created_at=func.now() + timedelta(minutes=1)))
    newest = get_retraining(session, "mine").job
    assert newest is not None
    assert newest.id == again.id
    assert retrain_if_due(session, "mine", DATA) is None  # the retry is open
    end(session, again, JobState.SUCCEEDED)
    assert retrain_if_due(session, "mine", DATA) is not None


def test_setting_it_up_again_forgets_a_failure_and_nothing_else(session):
    make_served(session)
    set_up(session, "mine", 1, None, "me")
    say(session, 0)
    job = retrain_if_due(session, "mine", DATA)
    assert job is not None
    assert set_up(session, "mine", 1, None, "me").job is job
    end(session, job, JobState.FAILED)
    row = set_up(session, "mine", 1, None, "me")
    assert (row.job, row.retraining.tried_at, row.corrected) == (None, None, 1)
    assert retrain_if_due(session, "mine", DATA) is not None


def test_an_offer_that_nobody_promoted_does_not_serve(session):
    old = make_served(session)
    make_model(session, name="mine", version=2, alias=None, offer={"against": "mine@1"})
    make_model(session, name="other", sha256="2" * 64)  # the default model
    assert set_up(session, "mine", 1, None, "me").serving is old
    new = make_model(session, name="mine", version=3, alias=None)
    assert serving_model(session, "mine") is new


def test_a_renamed_library_is_that_of_the_training_also_once_its_job_has_been_deleted(session):
    make_served(session, dataset={"kind": "library", "library": "music"})
    set_up(session, "mine", 1, None, "me")
    say(session, 0)
    session.scalars(select(Library)).one().name = "songs"
    session.execute(update(Run).values(job_id=None))
    session.flush()
    job = retrain_if_due(session, "mine", DATA)
    assert job is not None
    assert job.params["experiment"]["dataset"]["kind"] == "library"


def test_a_version_with_other_thresholds_is_of_the_training_also_once_its_source_is_gone(session):
    source = make_served(session)
    make_model(session, name="mine", version=2, sha256=source.sha256)
    session.execute(update(Run).values(model_id=None))
    assert set_up(session, "mine", 1, None, "me").corrected == 0
    session.execute(update(Run).values(weights_sha256=None))
    obstacle = get_retraining(session, "mine").obstacle
    assert obstacle is not None
    assert obstacle.code == "run_not_found"


def test_two_that_set_it_up_at_once_both_succeed(clean_database: SessionFactory):
    with transaction(clean_database) as session:
        make_served(session)
    start, errors = Barrier(4), []

    def call() -> None:
        start.wait()
        try:
            with transaction(clean_database) as session:
                set_up(session, "mine", 1, None, "me")
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_training_is_asked_for_without_setting_anything_up(session):
    make_served(session)
    say(session, 1, 2)
    assert look_ahead(session, "mine").corrected == 2
    assert list_retrainings(session) == []
    job = train_now(session, "mine", SubmissionContext("dora")).job
    assert (job.owner, job.params["compare_with"]) == ("dora", "mine@1")
    assert find_enabled(session) == []
    ahead = look_ahead(session, "mine")
    assert (ahead.corrected, ahead.is_open, ahead.job) == (0, True, job)
    with pytest.raises(RetrainingAtWork):
        train_now(session, "mine", SubmissionContext("dora"))
    job.state = JobState.FAILED
    session.flush()
    assert train_now(session, "mine", SubmissionContext("dora")).job.id != job.id


def test_a_training_that_is_asked_for_counts_for_the_automatic_ones(session):
    make_served(session)
    set_up(session, "mine", 2, None, "local")
    say(session, 1, 2)
    job = train_now(session, "mine", SubmissionContext("dora")).job
    assert retrain_if_due(session, "mine", DATA) is None
    job.state = JobState.FAILED
    session.flush()
    assert retrain_if_due(session, "mine", DATA) is None
    assert get_retraining(session, "mine").retraining.owner == "local"


def test_what_was_not_trained_here_cannot_be_trained_again(session):
    make_served(session)
    for name, error in (("musicnn-msd", Invalid), ("mine@1", Invalid), ("nope", ModelNotFound)):
        with pytest.raises(error):
            train_now(session, name, SubmissionContext("dora"))
    assert list_retrainings(session) == []


def test_of_two_who_ask_at_once_one_gets_the_training(clean_database: SessionFactory):
    with transaction(clean_database) as session:
        make_served(session)
        say(session, 1)
    both, found = Barrier(2), []

    def ask() -> None:
        both.wait()
        try:
            with transaction(clean_database) as session:
                train_now(session, "mine", SubmissionContext("dora"))
        except RetrainingAtWork:
            found.append("refused")
        else:
            found.append("submitted")

    threads = [Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["refused", "submitted"]
