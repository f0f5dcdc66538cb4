"""Relabelling from stored embeddings opens no file; audio without a stored embedding is decoded."""

from hashlib import sha256
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select, update

from core.services.changes import delete_library
from core.store.embeddings import find_embeddings
from core.store.registry import resolve_model
from core.store.session import transaction
from core.store.tables import Embedding, Model, Prediction
from tests.integration.workers.music import Music
from tests.support.builders import (
    EMBEDDING_SIZE,
    LABELS,
    make_analysed_track,
    make_encoder,
    make_library,
    make_model,
)
from tests.support.worker import StubTagger, work_off
from workers import analysis
from workers.sweeper import Sweeper

PATHS = [f"{number}.mp3" for number in range(4)]


class Head(StubTagger):
    """Its first score is the first number of the embedding."""

    def relabel(self, embeddings: np.ndarray) -> np.ndarray:
        assert embeddings.shape[1] == EMBEDDING_SIZE
        assert embeddings.dtype == np.float32
        return np.repeat(embeddings[:, :1], len(LABELS), axis=1)


@pytest.fixture
def head(music: Music, tagger: StubTagger, monkeypatch: pytest.MonkeyPatch) -> Head:
    """A head on the default model's embeddings; the library is labelled by the default model."""
    music.add(*PATHS)
    music.label()
    with transaction(music.sessions) as session:
        encoder_id = resolve_model(session, "default").encoder_id
        make_model(session, alias=None, name="head", kind="transfer", sha256="h", encoder_id=encoder_id)
    stub = Head()
    monkeypatch.setattr("workers.analysis.get_tagger", lambda model, threads: stub)
    return stub


def of_head(music: Music) -> list[Prediction]:
    with music.sessions() as session:
        model_id = resolve_model(session, "head").id
    return [found for found in music.predictions() if found.model_id == model_id]


def test_a_known_embedding_is_labelled_without_opening_its_file(music, head, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("workers.examining.open_beneath", never)
    job_id = music.label(model="head")
    assert music.outcomes(job_id) == dict.fromkeys(PATHS, "done")
    assert head.analysed == []
    with music.sessions() as session:
        first = {
            embedding.content_hash: embedding.vector[0] for embedding in session.scalars(select(Embedding))
        }
    for found in of_head(music):
        assert found.scores[0] == pytest.approx(first[found.content_hash])
        assert (found.coverage, found.duration_s) == ("full", 60.0)
    assert music.outcomes(music.label(model="head")) == dict.fromkeys(PATHS, "skipped")


def test_new_and_changed_files_are_analysed_and_all_keep_their_order(music, head):
    music.add("0a.mp3")
    (music.root / "2.mp3").write_bytes(b"another song")
    job_id = music.label(model="head")
    assert music.outcomes(job_id) == dict.fromkeys(["0.mp3", "0a.mp3", "1.mp3", "2.mp3", "3.mp3"], "done")
    assert len(head.analysed) == 2


def test_a_few_windows_are_not_enough_where_the_whole_track_is_asked_for(music, head):
    with transaction(music.sessions) as session:
        session.execute(update(Embedding).values(coverage="windows:2"))
    music.label(model="head")
    assert len(head.analysed) == len(PATHS)
    with transaction(music.sessions) as session:
        make_model(session, alias=None, name="second", kind="transfer")
    music.label(model="second", coverage={"windows": 3})
    assert len(head.analysed) == len(PATHS)


def test_force_hears_everything_again(music, head):
    music.label(model="head", force=True)
    assert len(head.analysed) == len(PATHS)


def test_the_embedding_of_another_encoder_says_nothing(music, head):
    with transaction(music.sessions) as session:
        other = make_encoder(session, "other")
        session.execute(update(Model).where(Model.name == "head").values(encoder_id=other.id))
    music.label(model="head")
    assert len(head.analysed) == len(PATHS)


def test_an_embedding_deleted_in_the_meantime_is_computed_again(music, head, monkeypatch):
    monkeypatch.setattr("workers.relabelling.find_embeddings", lambda *_: {})
    monkeypatch.setattr("workers.analysis.find_embeddings", lambda *_: {})
    job_id: UUID = music.submit(model="head")
    work_off(music.sessions, job_id)
    assert len(head.analysed) == len(PATHS)


def test_an_embedding_that_is_removed_before_the_result_is_written_is_computed_again(
    music, head, monkeypatch, process_settings
):
    """The head knows the audio from a library that is deleted and swept while its copy is labelled."""
    with transaction(music.sessions) as session:
        model = resolve_model(session, "default")
        elsewhere = make_library(session, name="elsewhere")
        make_analysed_track(session, elsewhere, model, "x.mp3", content_hash=sha256(b"one song").digest())
    music.add("copy.mp3", content=b"one song")
    look_up = find_embeddings

    def removed_after_it(session, *arguments):
        found = look_up(session, *arguments)
        if found:
            with transaction(music.sessions) as other:
                delete_library(other, "elsewhere")
            Sweeper(music.sessions, process_settings).sweep(60)
        return found

    monkeypatch.setattr(analysis, "find_embeddings", removed_after_it)
    assert music.outcomes(music.label(model="head"))["copy.mp3"] == "done"
    assert len(head.analysed) == 1
    with music.sessions() as session:
        assert set(session.scalars(select(Embedding.content_hash))) == {
            found.content_hash for found in of_head(music)
        }


def test_missing_audio_is_stored_and_reported_by_every_model(music, head):
    music.add("damaged.mp3", content=b"damaged")
    music.label()
    with music.sessions() as session:
        embedding = session.scalars(select(Embedding).where(Embedding.warnings != [])).one()
    music.label(model="head")
    found = {each.content_hash: each.warnings for each in of_head(music)}
    assert found.pop(embedding.content_hash) == embedding.warnings == ["Some of it is missing."]
    assert not any(found.values())
    assert len(found) == len(PATHS)
