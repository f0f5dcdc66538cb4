"""Nearest tracks by the cosine of their embeddings."""

import random

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from core.errors import TrackNotAnalysed
from core.store.near_audio import MEASURED, Limits, near_neighbours
from core.store.registry import EMBEDDING_INDEX_PREFIX, _embedding_index_ddl
from core.store.similarity import nearest_of_each, nearest_recordings, nearest_tracks
from core.store.tables import Embedding, Library, Model, Track
from tests.support.builders import make_analysed_track, make_library, make_model, make_prediction, make_track
from tests.support.query_plans import explain

SIZE = 4


@pytest.fixture
def library(session: Session) -> Library:
    return make_library(session, name="music")


@pytest.fixture
def model(session: Session) -> Model:
    model = make_model(session, embedding_size=SIZE)
    session.execute(text(_embedding_index_ddl(model)))
    return model


def test_the_nearest_come_first_whatever_their_length(session, library, model):
    wanted = make_analysed_track(session, library, model, "wanted", embedding=[1.0, 0.0, 0.0, 0.0])
    for path, embedding in [
        ("far", [0.0, 1.0, 0.0, 0.0]),
        ("near and long", [50.0, 5.0, 0.0, 0.0]),
        ("opposite", [-1.0, 0.0, 0.0, 0.0]),
        ("same direction", [0.01, 0.0, 0.0, 0.0]),
    ]:
        make_analysed_track(session, library, model, path, embedding=embedding)
    found = nearest_tracks(session, wanted.id, model, 10)
    assert [track.path for track in found] == ["same direction", "near and long", "far", "opposite"]
    assert [track.similarity for track in found] == pytest.approx([1, 0.99504, 0, -1], abs=1e-4)
    assert len(nearest_tracks(session, wanted.id, model, 2)) == 2


def test_missing_tracks_other_libraries_and_other_models_are_left_out(session, library, model):
    wanted = make_analysed_track(session, library, model, "wanted")
    make_analysed_track(session, library, model, "here")
    make_analysed_track(session, library, model, "gone", missing_at=library.created_at)
    make_analysed_track(session, make_library(session, name="other"), model, "elsewhere")
    other = make_model(session, name="other", alias=None, sha256="o")
    make_analysed_track(session, library, other, "analysed by another")
    assert {track.path for track in nearest_tracks(session, wanted.id, model, 10)} == {"here", "elsewhere"}
    here = nearest_tracks(session, wanted.id, model, 10, library="music")
    assert [(track.library, track.path) for track in here] == [("music", "here")]


def test_a_copy_of_a_track_is_its_nearest(session, library, model):
    wanted = make_analysed_track(session, library, model, "wanted")
    make_track(session, library, path="copy", content_hash=wanted.content_hash)
    (copy,) = nearest_tracks(session, wanted.id, model, 10)
    assert copy.path == "copy"
    assert copy.similarity == pytest.approx(1)


def recordings(session: Session, track: Track, model: Model, limit: int = 10) -> list[str]:
    return [near.path for near in nearest_recordings(session, track.id, model, limit)]


def test_equal_audio_is_one_recording_for_every_model(session, library, model):
    wanted = make_analysed_track(session, library, model, "wanted")
    make_track(session, library, path="copy", content_hash=wanted.content_hash)
    near = make_analysed_track(session, library, model, "near", embedding=[1.0, 0.01, 0.0, 0.0])
    make_track(session, library, path="another near", content_hash=near.content_hash)
    make_analysed_track(session, library, model, "far", embedding=[0.0, 1.0, 0.0, 0.0])
    assert recordings(session, wanted, model) == ["another near", "far"]


@pytest.fixture
def musicnn(session: Session) -> Model:
    """A model with the encoder for which the limits have been measured."""
    (sha256,) = MEASURED
    model = make_model(session, name="musicnn", alias=None, sha256=sha256, embedding_size=SIZE)
    session.execute(text(_embedding_index_ddl(model)))
    return model


def test_encodings_of_a_recording_are_one_answer(session, library, musicnn):
    def add_track(path: str, *embedding: float, duration_s: float = 180.0) -> Track:
        digest = path.encode().ljust(32, b" ")
        make_prediction(session, musicnn, digest, embedding=list(embedding), duration_s=duration_s)
        return make_track(session, library, path=path, content_hash=digest)

    wanted = add_track("wanted", 1.0, 0.0, 0.0, 0.0)
    add_track("wanted again", 1.0, 0.01, 0.0, 0.0, duration_s=180.4)
    add_track("longer mix", 1.0, 0.02, 0.0, 0.0, duration_s=200.0)
    add_track("song", 1.0, 0.5, 0.0, 0.0)
    add_track("song again", 1.0, 0.51, 0.0, 0.0)
    add_track("other song", 1.0, 0.9, 0.0, 0.0)
    assert recordings(session, wanted, musicnn) == ["longer mix", "song", "other song"]
    assert recordings(session, wanted, musicnn, 2) == ["longer mix", "song"]
    assert len(nearest_tracks(session, wanted.id, musicnn, 10)) == 5


def test_as_many_recordings_as_asked_for_are_found_behind_many_duplicates(session, library, musicnn):
    wanted = make_analysed_track(session, library, musicnn, "wanted")
    for number in range(30):
        make_analysed_track(
            session, library, musicnn, f"copy {number}", embedding=[1.0, number / 1e4, 0.0, 0.0]
        )
    for number, embedding in enumerate([[1.0, 1.0, 0.0, 0.0], [1.0, 3.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]):
        make_analysed_track(session, library, musicnn, f"song {number}", embedding=embedding)
    assert recordings(session, wanted, musicnn, 3) == ["song 0", "song 1", "song 2"]


def without_number(path: str) -> str:
    """The path without the number of a copy: copies are equally near within the accuracy of the index."""
    return path.rstrip("0123456789").rstrip()


def test_the_neighbours_of_many_tracks_are_different_recordings(session, library, model, musicnn):
    """However many copies of a neighbour there are, in every encoding."""
    song = make_analysed_track(session, library, musicnn, "song", embedding=[1.0, 0.0, 0.0, 0.0])
    other = make_analysed_track(session, library, musicnn, "other", embedding=[0.0, 1.0, 0.0, 0.0])
    for number in range(30):
        embedding = [0.5, 1.0, number / 1e4, 0.0]
        make_analysed_track(session, library, musicnn, f"hit {number}", embedding=embedding)
    make_track(session, library, path="a copy", content_hash=other.content_hash)
    make_analysed_track(session, library, musicnn, "third", embedding=[0.3, 0.2, 1.0, 0.0])
    found = nearest_of_each(session, [song.id, other.id], musicnn, library.id, 3)
    expected = {song.id: ["hit", "third", "a copy"], other.id: ["hit", "third", "song"]}
    assert {
        track_id: [without_number(each.path) for each in near] for track_id, near in found.items()
    } == expected
    for track_id, paths in expected.items():
        one_by_one = nearest_recordings(session, track_id, musicnn, 3, library.name)
        assert [without_number(each.path) for each in one_by_one] == paths
    unmeasured = make_analysed_track(session, library, model, "unmeasured", embedding=[1.0, 0.0, 0.0, 0.0])
    nearest = make_analysed_track(session, library, model, "near", embedding=[1.0, 0.1, 0.0, 0.0])
    make_track(session, library, path="near again", content_hash=nearest.content_hash)
    make_analysed_track(session, library, model, "far", embedding=[0.0, 0.0, 0.0, 1.0])
    only = nearest_of_each(session, [unmeasured.id], model, library.id, 2)[unmeasured.id]
    assert [each.path for each in only] == ["near", "far"]


def test_a_head_finds_neighbours_by_the_embeddings_of_its_backbone(session, library, model):
    wanted = make_analysed_track(session, library, model, "wanted")
    make_analysed_track(session, library, model, "near")
    head = make_model(session, name="head", alias=None, sha256="h", encoder_id=model.encoder_id)
    assert [track.path for track in nearest_tracks(session, wanted.id, head, 10)] == ["near"]


def test_a_track_that_the_model_has_not_analysed_has_no_neighbours(session, library, model):
    with pytest.raises(TrackNotAnalysed):
        nearest_tracks(session, make_track(session, library).id, model, 10)


@pytest.fixture
def many(session: Session, library: Library, model: Model) -> Track:
    """A library large enough for the index to pay; one of its tracks. Every tenth lies in another library."""
    other = make_library(session, name="other")
    dice = random.Random(0)
    hashes = [number.to_bytes(32, "big") for number in range(3000)]
    embeddings = [
        {
            "content_hash": digest,
            "encoder_id": model.encoder_id,
            "coverage": "full",
            "duration_s": 1.0,
            "vector": [dice.gauss(0, 1) for _ in range(SIZE)],
        }
        for digest in hashes
    ]
    session.execute(insert(Embedding), embeddings)
    tracks = [
        {
            "library_id": library.id if number % 10 else other.id,
            "path": f"{number}",
            "size": 1,
            "mtime_ns": 1,
            "content_hash": digest,
        }
        for number, digest in enumerate(hashes)
    ]
    session.execute(insert(Track), tracks)
    session.execute(text("ANALYZE tracks, embeddings, libraries"))
    return session.query(Track).filter_by(path="1").one()


def test_neighbours_come_from_the_index_of_the_model(session, model, many):
    hashes = list(session.scalars(select(Track.content_hash).limit(20)))
    for call in (
        lambda: nearest_tracks(session, many.id, model, 10),
        lambda: nearest_recordings(session, many.id, model, 10),
        lambda: nearest_of_each(session, [many.id], model, many.library_id, 10),
        lambda: near_neighbours(session, hashes, model, Limits(0.02, 1.5), []),
    ):
        assert f"Index Scan using {EMBEDDING_INDEX_PREFIX}{model.encoder_id}" in explain(session, call)


def test_a_filter_that_leaves_few_still_finds_as_many_as_asked_for(session, model, many):
    for find in (nearest_tracks, nearest_recordings):
        found = find(session, many.id, model, 50, library="other")
        assert len(found) == 50
        assert [track.similarity for track in found] == sorted(
            (track.similarity for track in found), reverse=True
        )


def test_the_index_finds_what_a_full_comparison_finds(session, model, many):
    found = {track.path for track in nearest_tracks(session, many.id, model, 10)}
    session.execute(text("SET LOCAL enable_indexscan = off"))
    assert len(found & {track.path for track in nearest_tracks(session, many.id, model, 10)}) >= 9
