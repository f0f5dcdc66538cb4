"""Duplicates are groups of equal or near audio, page by page, without comparing every pair."""

import math
import random

import pytest
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from core.errors import DuplicatesNotMeasured, InvalidCursor, LibraryNotFound
from core.store import duplicates
from core.store.duplicates import DuplicateGroup, DuplicateKind, list_duplicates
from core.store.near_audio import MEASURED
from core.store.registry import _embedding_index_ddl
from core.store.tables import Library, Model, Track
from tests.support.builders import make_library, make_model, make_prediction, make_track

SIZE = 4


@pytest.fixture
def model(session: Session) -> Model:
    """With the encoder for which the limits have been measured."""
    (sha256,) = MEASURED
    model = make_model(session, sha256=sha256, embedding_size=SIZE)
    session.execute(text(_embedding_index_ddl(model)))
    return model


@pytest.fixture
def library(session: Session) -> Library:
    return make_library(session, name="music")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def add_track(
    session: Session, library: Library, model: Model, number: int, path: str, angle: float, **track
):
    """A track with the audio of a number, whose embedding has an angle in radians."""
    duration_s = track.pop("duration_s", 180.0)
    embedding = [math.cos(angle), math.sin(angle), 0.0, 0.0]
    make_prediction(session, model, digest(number), embedding=embedding, duration_s=duration_s)
    return make_track(session, library, path=path, content_hash=digest(number), **track)


def pages(session: Session, kind: DuplicateKind, model: Model, limit: int = 100, library: str | None = None):
    """All groups, page by page, and how many tracks were compared."""
    groups: list[DuplicateGroup] = []
    cursor, compared, count = None, 0, 0
    while True:
        found = list_duplicates(session, kind, model, library=library, cursor=cursor, limit=limit)
        groups += found.page.items
        compared, count, cursor = compared + found.compared, count + 1, found.page.next_cursor
        if cursor is None:
            return groups, compared, count


def paths(groups: list[DuplicateGroup]) -> list[list[str]]:
    return [[track.path for track in group.tracks] for group in groups]


def test_equal_audio_is_a_group_the_largest_file_first(session, library, model):
    add_track(session, library, model, 1, "small.mp3", 0, size=10)
    make_track(session, library, path="large.mp3", content_hash=digest(1), size=20)
    make_track(session, make_library(session, name="other"), path="b.mp3", content_hash=digest(1), size=10)
    make_track(session, library, path="gone.mp3", content_hash=digest(1), missing_at=library.created_at)
    add_track(session, library, model, 2, "alone.mp3", 1)
    make_track(session, library, path="not analysed.mp3")
    groups, compared, _ = pages(session, "exact", model)
    assert (paths(groups), compared) == ([["large.mp3", "small.mp3", "b.mp3"]], 4)
    assert (groups[0].kind, groups[0].count) == ("exact", 3)
    first = groups[0].tracks[0]
    assert (first.library, first.size, first.duration_s, first.kind, first.similarity) == (
        "music",
        20,
        180.0,
        "exact",
        1.0,
    )


def test_a_library_is_searched_by_itself(session, library, model):
    other = make_library(session, name="other")
    for number, where in [(1, library), (2, library)]:
        add_track(session, where, model, number, f"{number}.mp3", number)
    make_track(session, library, path="copy of 1.mp3", content_hash=digest(1))
    make_track(session, other, path="copy of 2.mp3", content_hash=digest(2))
    assert paths(pages(session, "exact", model, library="music")[0]) == [["1.mp3", "copy of 1.mp3"]]
    assert pages(session, "exact", model, library="other")[0] == []
    with pytest.raises(LibraryNotFound):
        list_duplicates(session, "exact", model, library="nope")


def test_encodings_of_a_recording_are_a_group_with_their_copies(session, library, model):
    add_track(session, library, model, 3, "song.flac", 0.0, size=300)
    add_track(session, library, model, 1, "song.mp3", 0.05, size=100, duration_s=180.5)
    make_track(session, library, path="song copy.mp3", content_hash=digest(1), size=100)
    add_track(session, library, model, 2, "live version.mp3", 0.05, duration_s=190)
    add_track(session, library, model, 4, "other song.mp3", 0.9)
    add_track(session, library, model, 5, "gone.mp3", 0.0, missing_at=library.created_at)
    (group,), _, _ = pages(session, "similar", model)
    assert (group.kind, group.count) == ("similar", 3)
    assert [(track.path, track.kind) for track in group.tracks] == [
        ("song.flac", "exact"),
        ("song copy.mp3", "similar"),
        ("song.mp3", "similar"),
    ]
    assert [track.similarity for track in group.tracks] == pytest.approx([1, 0.99875, 0.99875], abs=1e-4)


def test_audio_that_is_near_by_way_of_other_audio_is_in_the_same_group(session, library, model):
    for number, angle in [(2, 0.0), (3, 0.15), (1, 0.3)]:  # each step is within the limit, both are not
        add_track(session, library, model, number, f"{number}.mp3", angle)
    assert paths(pages(session, "similar", model)[0]) == [["1.mp3", "2.mp3", "3.mp3"]]
    assert paths(pages(session, "similar", model, limit=1)[0]) == [["1.mp3", "2.mp3", "3.mp3"]]


def test_only_embeddings_of_the_same_coverage_are_compared(session, library, model):
    add_track(session, library, model, 1, "whole.mp3", 0.0)
    track = add_track(session, library, model, 2, "windows.mp3", 0.0)
    session.execute(
        text("UPDATE embeddings SET coverage = 'windows:5' WHERE content_hash = :hash"),
        {"hash": track.content_hash},
    )
    assert pages(session, "similar", model)[0] == []


@pytest.mark.parametrize("kind", ["exact", "similar"])
@pytest.mark.parametrize("limit", [1, 100])
def test_pages_show_every_group_once_however_little_each_compares(
    session, library, model, monkeypatch, kind, limit
):
    monkeypatch.setattr(duplicates, "TRACKS_PER_PAGE", 7)
    monkeypatch.setattr(duplicates, "AUDIO_PER_PAGE", 4)
    numbers = list(range(16))
    random.Random(0).shuffle(numbers)
    for place in range(8):  # two encodings of eight songs, and a copy of one of each
        one, other = numbers[2 * place : 2 * place + 2]
        add_track(session, library, model, one, f"{place} a", place / 4)
        add_track(session, library, model, other, f"{place} b", place / 4 + 0.01)
        make_track(session, library, path=f"{place} copy", content_hash=digest(one))
    groups, compared, count = pages(session, kind, model, limit)
    assert compared == 24
    assert count >= 4
    names = ["a", "copy"] if kind == "exact" else ["a", "b", "copy"]
    assert sorted(map(sorted, paths(groups))) == sorted([f"{n} {name}" for name in names] for n in range(8))


def test_near_audio_is_not_guessed_for_a_model_that_was_not_measured(session):
    other = make_model(session, name="own")
    with pytest.raises(DuplicatesNotMeasured, match="own@1"):
        list_duplicates(session, "similar", other)
    assert list_duplicates(session, "exact", other).page.items == []


@pytest.mark.parametrize("cursor", ["x", "!", "WyJ6eiJd"])
def test_a_wrong_cursor_is_refused(session, model, cursor):
    with pytest.raises(InvalidCursor):
        list_duplicates(session, "exact", model, cursor=cursor)


def test_a_large_group_states_its_size_and_lists_a_part(session, library, model):
    tracks = [
        {"library_id": library.id, "path": f"{n:03}", "size": n, "mtime_ns": 1, "content_hash": digest(1)}
        for n in range(150)
    ]
    session.execute(insert(Track), tracks)
    (group,), _, _ = pages(session, "exact", model)
    assert (group.count, len(group.tracks), group.tracks[0].path) == (150, 100, "149")
