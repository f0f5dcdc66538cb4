"""What was deleted is removed in pieces, whenever the process dies; what somebody still refers to stays."""

import shutil
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session

from core.errors import ModelBeingDeleted, ResultDeleted
from core.ml.audio import waveform
from core.ml.training.cache_paths import EMBEDDINGS, cache_path
from core.services import sweep
from core.services.changes import change_library, delete_job, delete_library, delete_model, delete_run
from core.settings import Settings
from core.states import JobState
from core.store.base import Base
from core.store.predictions import find_coverages, hold_predictions
from core.store.registry import register_artifact, resolve_model
from core.store.session import SessionFactory, transaction
from core.store.tables import (
    Embedding,
    Encoder,
    Epoch,
    Job,
    JobItem,
    JobUnit,
    Library,
    Model,
    Prediction,
    PredictionLabel,
    Run,
    Study,
    Track,
    Trial,
    Waveform,
)
from core.store.waveforms import save_waveforms
from tests.integration.workers.music import Music
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_prediction,
    make_run,
    make_track,
)
from workers import analysis
from workers import sweeper as sweeper_module
from workers.register import register
from workers.sweeper import Sweeper

ENDED: dict[str, Any] = {"state": JobState.SUCCEEDED, "unit": {"state": "done"}}
CARD = """{"name": "mine", "version": 1, "labels": ["a"], "thresholds": [0.5], "metrics": {},
    "weights_sha256": "w", "provenance": {}, "model": {"kind": "musicnn"}}"""


@pytest.fixture
def db(clean_database: SessionFactory) -> SessionFactory:
    return clean_database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = Settings(database_url="", broker_url="", data_dir=tmp_path / "swept")
    for folder in (data.models_dir, data.training_dir, data.uploads_dir, data.studies_dir):
        folder.mkdir(parents=True)
    return data


@pytest.fixture
def sweeper(db: SessionFactory, settings: Settings) -> Sweeper:
    return Sweeper(db, settings)


def count(db: SessionFactory, *tables: type[Base]) -> list[int]:
    """Rows, also of those that are marked."""
    with db() as session:
        return [
            session.scalar(select(func.count()).select_from(table), execution_options=sweep.WITH_DELETED) or 0
            for table in tables
        ]


def audio_of(track: Track) -> bytes:
    assert track.content_hash is not None
    return track.content_hash


def fill(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"x")
    return path


def is_swept(db: SessionFactory) -> bool:
    with db() as session:
        return not any(sweep.count_marked(session).values())


class Killed(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> list[sweep.Swept]:
    """Every second piece dies right before its commit or right after it; all pieces that were committed."""
    piece, committed, calls = Sweeper._piece, [], iter(range(10_000))

    def dying(self: Sweeper, work: Callable[[Session], sweep.Swept]) -> sweep.Swept:
        turn = 0

        def half(session: Session) -> sweep.Swept:
            nonlocal turn
            swept = work(session)
            turn = next(calls) % 4 if swept else 0
            if turn == 1:
                raise Killed
            return swept

        swept = piece(self, half)
        committed.append(swept)
        if turn == 3:
            raise Killed
        return swept

    monkeypatch.setattr(Sweeper, "_piece", dying)
    return committed


def sweep_however_often_it_dies(sweeper: Sweeper) -> int:
    for deaths in range(500):
        try:
            sweeper.sweep(60)
        except Killed:
            continue
        return deaths
    raise AssertionError("it never came to an end")


def test_a_library_goes_in_pieces_and_shared_audio_stays(db, sweeper, settings, deadly, monkeypatch):
    monkeypatch.setattr(sweep, "PIECE", 8)
    for function in ("sweep_units", "sweep_tracks", "sweep_library"):
        monkeypatch.setattr(sweep, function, _in_small_pieces(getattr(sweep, function)))
    with transaction(db) as session:
        model = make_model(session)
        home, other = make_library(session, name="home"), make_library(session)
        tracks = [make_analysed_track(session, home, model, f"{number}.mp3") for number in range(20)]
        save_waveforms(
            session, {audio_of(track): waveform.Waveform(1.0, 1.0, b"1", b"1") for track in tracks}
        )
        shared, uploaded = tracks[0], tracks[1]
        make_track(session, other, content_hash=shared.content_hash, missing_at="2026-01-01T00:00:00Z")
        result = {"content_hash": audio_of(uploaded).hex()}
        make_job(session, **ENDED, kind="predict", model_id=model.id, result=result)
        for _ in range(3):
            make_finished_job(session, home, model, tracks)
    features = settings.cache_dir / "log-mel" / "1" / "config"
    for track in tracks:
        name = audio_of(track).hex()
        fill(cache_path(features, name).parent, f"{name}.npy")
    with transaction(db) as session:
        delete_library(session, "home")
    assert sweep_however_often_it_dies(sweeper) > 5
    assert max(sum(swept.values()) for swept in deadly) <= 4 * 8  # rows of several tables go together
    assert is_swept(db)
    assert count(db, Library, Track, JobItem, Job, JobUnit) == [1, 1, 0, 4, 7]
    kept = {audio_of(shared), audio_of(uploaded)}
    with db() as session:
        assert set(session.scalars(select(Prediction.content_hash))) == kept
        assert set(session.scalars(select(PredictionLabel.content_hash))) == kept
        assert set(session.scalars(select(Embedding.content_hash))) == kept
        assert set(session.scalars(select(Waveform.content_hash))) == kept
        assert set(session.scalars(select(Job.library_id))) == {None}
    # A death right after a commit leaves cached files: they go with their version.
    assert {file.stem for file in features.rglob("*.npy")} >= {digest.hex() for digest in kept}


def _in_small_pieces(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **named: function(*arguments, limit=8, **named)


@pytest.mark.parametrize("is_training", [False, True])
def test_cached_features_go_after_the_commit_unless_a_training_may_read_them(
    db, sweeper, settings, monkeypatch, is_training
):
    with transaction(db) as session:
        model, home = make_model(session), make_library(session, name="home")
        track = make_analysed_track(session, home, model, "a.mp3")
        if is_training:
            make_run(session)
        delete_library(session, "home")
    cached = cache_path(settings.cache_dir / "log-mel" / "1" / "config", audio_of(track).hex())
    fill(cached.parent, cached.name)
    unlink = sweeper_module._unlink

    def unlink_outside_of_transactions(file: Path) -> bool:
        assert file != cached or count(db, Track, Prediction) == [0, 0]
        return unlink(file)

    monkeypatch.setattr(sweeper_module, "_unlink", unlink_outside_of_transactions)
    sweeper.sweep(60)
    assert count(db, Track, Prediction) == [0, 0]
    assert cached.exists() == is_training


def test_a_job_goes_with_its_files_and_the_prediction_of_its_upload(db, sweeper, settings, deadly):
    with transaction(db) as session:
        model = make_model(session)
        prediction = make_prediction(session, model)
        jobs = [
            make_job(session, **ENDED, kind="predict", result={"content_hash": prediction.content_hash.hex()})
            for _ in range(2)
        ]
        training = make_run(session)
        session.execute(text("UPDATE job_units SET state = 'cancelled' WHERE kind = 'train'"))
        session.execute(text("UPDATE jobs SET state = 'cancelled' WHERE kind = 'training'"))
    fill(settings.uploads_dir, str(jobs[0].id))
    fill(settings.training_dir / str(training.id), "model/checkpoint", "trial-1/a")
    outside = fill(settings.data_dir / "outside", "kept")
    (settings.training_dir / str(training.id) / "link").symlink_to(outside)
    with transaction(db) as session:
        for job_id in (jobs[0].id, training.id):
            delete_job(session, job_id)
    sweep_however_often_it_dies(sweeper)
    assert is_swept(db)
    assert count(db, Job, JobUnit, Run, Prediction) == [1, 1, 1, 1]  # the other job refers to it
    assert [*settings.uploads_dir.iterdir(), *settings.training_dir.iterdir()] == []
    assert (outside / "kept").exists()
    with transaction(db) as session:
        delete_job(session, jobs[1].id)
    sweep_however_often_it_dies(sweeper)
    assert count(db, Job, Prediction, PredictionLabel, Embedding) == [0, 0, 0, 0]


def test_a_model_goes_with_its_predictions_its_files_and_its_encoder(
    db, sweeper, settings, deadly, monkeypatch
):
    monkeypatch.setattr(sweeper_module, "FILES_BETWEEN_LOOKS", 1)
    folder = fill(settings.models_dir / "mine-1", "model.safetensors")
    (folder / "model.json").write_text(CARD)
    with transaction(db) as session:
        library, kept = make_library(session), make_model(session)
        mine = register_artifact(session, folder)
        tracks = [make_track(session, library, content_hash=bytes([number]) * 32) for number in range(5)]
        for track in tracks:
            for model in (kept, mine):
                size = model.embedding_size
                scores = [0.9] * len(model.labels)
                make_prediction(session, model, track.content_hash, scores=scores, embedding=[1.0] * size)
        make_finished_job(session, library, mine, tracks)
        make_run(session, "mine", model_id=mine.id)
        session.execute(text("UPDATE jobs SET state = 'running' WHERE kind = 'training'"))
        session.execute(text("UPDATE jobs SET state = 'succeeded' WHERE kind = 'training'"))
        sha256 = session.get_one(Encoder, mine.encoder_id).sha256
    cached = fill(settings.cache_dir / EMBEDDINGS / "1" / sha256[:16], "00/a.npy", "01/b.npy")
    with transaction(db) as session:
        delete_model(session, "mine@1")
    with pytest.raises(ModelBeingDeleted), transaction(db) as session:
        register_artifact(session, folder)
    with transaction(db) as session:
        assert register(session, folder) is None  # a start meanwhile does not fail
    for _ in range(30):
        try:
            sweeper.sweep(0)  # a file at a time
        except Killed:
            continue
    assert is_swept(db)
    assert not folder.exists()
    assert not cached.exists()
    assert list(settings.models_dir.iterdir()) == []
    assert count(db, Model, Encoder, Prediction, PredictionLabel, Embedding) == [1, 1, 5, 15, 5]
    with db() as session:
        assert set(session.scalars(select(Job.model_id))) == {None}
        assert session.scalars(select(Run.model_id)).one() is None
        index = text("SELECT to_regclass(:name)")
        name = f"ix_embeddings_vector_encoder_{mine.encoder_id}"
        assert session.scalar(index, {"name": name}) is None
        assert resolve_model(session, "default").name == kept.name


@pytest.mark.parametrize("place_of", ["outside", "shared", "unreachable"])
def test_only_a_models_own_folder_is_removed(db, sweeper, settings, tmp_path, place_of, caplog):
    parent = tmp_path if place_of == "outside" else settings.models_dir
    folder = fill(parent / "mine-1", "model.json")
    with transaction(db) as session:
        make_model(session)
        make_model(session, alias=None, name="mine", artifact_url=folder.as_uri())
        if place_of == "shared":
            make_model(session, alias=None, name="other", artifact_url=folder.as_uri())
        delete_model(session, "mine@1")
    if place_of == "unreachable":
        shutil.move(settings.models_dir, tmp_path / "unmounted")
        folder = tmp_path / "unmounted" / "mine-1"
    sweeper.sweep(60)
    assert (folder / "model.json").exists()
    assert is_swept(db) == (place_of != "unreachable")
    assert ("mine-1" in caplog.text) == (place_of != "shared")


def test_a_run_goes_with_its_epochs_and_leaves_the_checkpoints_of_a_job_that_may_be_retried(
    db, sweeper, settings, deadly
):
    with transaction(db) as session:
        run = make_run(session)
        session.add_all(Epoch(run_id=run.id, fold=0, epoch=epoch, metrics={}) for epoch in range(1, 4))
        session.execute(text("UPDATE jobs SET state = 'cancelled'"))
    folder = fill(settings.training_dir / str(run.id), "model/checkpoint")
    with transaction(db) as session:
        delete_run(session, run.id)
    sweep_however_often_it_dies(sweeper)
    assert count(db, Run, Epoch, Job) == [0, 0, 1]
    assert folder.exists()


def test_a_study_goes_with_its_trials_and_their_curves(db, sweeper, settings, deadly):
    with transaction(db) as session:
        gone, kept = Study(name="gone", config={}), Study(name="kept", config={})
        session.add_all([gone, kept])
        session.flush()
        for study in (gone, kept):
            for number in range(3):
                trial = Trial(study_id=study.id, number=number)
                session.add(trial)
                session.flush()
                session.add_all(Epoch(run_id=trial.id, fold=0, epoch=epoch, metrics={}) for epoch in (1, 2))
    for study in (gone, kept):
        fill(settings.studies_dir / str(study.id), "history.png")
    with transaction(db) as session:
        session.execute(text("UPDATE studies SET deleted_at = now() WHERE name = 'gone'"))
    sweep_however_often_it_dies(sweeper)
    assert is_swept(db)
    assert count(db, Study, Trial, Epoch) == [1, 3, 6]
    assert [folder.name for folder in settings.studies_dir.iterdir()] == [str(kept.id)]


def test_a_result_that_is_used_again_meanwhile_is_kept_or_missed(db, sweeper):
    """Whoever skips a track because of a result holds that result: it is not removed behind his back."""
    with transaction(db) as session:
        model, home, other = make_model(session), make_library(session, name="home"), make_library(session)
        track = make_analysed_track(session, home, model, "a.mp3")
        delete_library(session, "home")
    sweeping = threading.Thread(target=sweeper.sweep, args=(60,))
    with transaction(db) as session:
        hold_predictions(session, [audio_of(track)], model.id)
        sweeping.start()
        sweeping.join(0.3)
        assert sweeping.is_alive()
        copy = make_track(session, other, content_hash=track.content_hash)
    sweeping.join()
    assert count(db, Library, Track, Prediction) == [1, 1, 1]
    with transaction(db) as session:
        delete_library(session, other.name)
    sweeper.sweep(60)
    assert count(db, Library, Track, Prediction) == [0, 0, 0]
    with pytest.raises(ResultDeleted), transaction(db) as session:
        hold_predictions(session, [audio_of(copy)], model.id)


def test_a_result_that_another_model_adds_while_audio_is_forgotten_stays(db, sweeper):
    """It is committed with its track after the sweep has looked for references and before it deletes."""
    with transaction(db) as session:
        first = make_model(session)
        second = make_model(session, alias=None, name="second", sha256="1" * 64)
        other = make_library(session)
        track = make_analysed_track(session, make_library(session, name="home"), first, "a.mp3")
        copy = make_track(session, other)
        delete_library(session, "home")
    digest, engine = audio_of(track), db.kw["bind"]

    with db() as labelling:
        make_prediction(labelling, second, digest)
        labelling.get_one(Track, copy.id).content_hash = digest
        labelling.flush()

        def commit_first(_connection, _cursor, statement: str, *_: object) -> None:
            if statement.startswith("DELETE FROM prediction_labels"):
                labelling.commit()

        event.listen(engine, "before_cursor_execute", commit_first)
        try:
            sweeper.sweep(60)
        finally:
            event.remove(engine, "before_cursor_execute", commit_first)
    with db() as session:
        assert session.scalars(select(Track.content_hash)).all() == [digest]
        assert session.scalars(select(Prediction.model_id)).all() == [second.id]
        assert set(session.scalars(select(PredictionLabel.model_id))) == {second.id}
        assert session.scalars(select(Embedding.encoder_id)).all() == [second.encoder_id]


def test_a_track_whose_known_result_is_removed_meanwhile_is_analysed_again(
    music: Music, tagger, sweeper, monkeypatch
):
    music.add("a.mp3", content=b"one song")
    with transaction(music.sessions) as session:
        elsewhere = make_library(session, name="elsewhere")
        model = resolve_model(session, "default")
        digest = sha256(b"one song").digest()
        make_analysed_track(session, elsewhere, model, "copy.mp3", content_hash=digest)
    look_up = find_coverages

    def removed_after_it(session: Session, *arguments: Any) -> dict[bytes, str]:
        found = look_up(session, *arguments)
        if found:
            with transaction(music.sessions) as other:
                delete_library(other, "elsewhere")
            sweeper.sweep(60)
        return found

    monkeypatch.setattr(analysis, "find_coverages", removed_after_it)
    assert music.outcomes(music.label()) == {"a.mp3": "done"}
    assert len(music.predictions()) == 1


def test_what_cannot_be_removed_keeps_nothing_else(db, sweeper, settings, monkeypatch, caplog):
    with transaction(db) as session:
        stuck = make_job(session, **ENDED)
        make_library(session, name="home")
        delete_job(session, stuck.id)
        delete_library(session, "home")
    folder = fill(settings.training_dir / str(stuck.id), "checkpoint")

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        sweeper.sweep(60)
    assert "Permission denied" in caplog.text
    assert count(db, Job, Library) == [1, 0]
    sweeper.sweep(60)
    assert not folder.exists()
    assert is_swept(db)


def test_two_dispatchers_do_not_sweep_at_a_time(db, sweeper):
    with transaction(db) as session:
        make_library(session, name="home")
        delete_library(session, "home")
    with transaction(db) as session:
        assert sweep.may_sweep(session)
        sweeper.sweep(0)
        assert not is_swept(db)
    sweeper.sweep(0)
    assert is_swept(db)


def test_a_collection_that_moved_costs_no_analysis(music: Music, tagger, tmp_path):
    music.add("a.mp3", "b/c.mp3")
    first = music.label()
    before = [music.track(path).id for path in ("a.mp3", "b/c.mp3")]
    count = len(music.predictions())
    moved = tmp_path / "elsewhere"
    shutil.move(music.root, moved)
    with transaction(music.sessions) as session:
        change_library(session, "music", None, str(moved))
    again = music.label()
    assert set(music.outcomes(first).values()) == {"done"}
    assert set(music.outcomes(again).values()) == {"skipped"}
    assert [music.track(path).id for path in ("a.mp3", "b/c.mp3")] == before
    assert len(music.predictions()) == count
