"""Tracks by genre: stable pages out of an index."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Session

from core.errors import Invalid, InvalidCursor, LibraryNotFound, TrackNotAnalysed, TrackNotFound
from core.label_scores import LabelScores
from core.library.content import TAGS_VERSION
from core.services.changes import delete_library
from core.services.monitoring import count_unreadable_tags
from core.states import TrackOrder, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.cursor import Page, encode_cursor
from core.store.embeddings import get_vector
from core.store.tables import Library, Model, Prediction, PredictionLabel, Track
from core.store.track_filters import TrackFilter
from core.store.track_pages import list_tracks
from core.store.tracks import AnalysedFile, SeenFile, TrackRow, get_track, save_analysed, upsert_tracks
from tests.support.builders import (
    make_analysed_track,
    make_library,
    make_model,
    make_prediction,
    make_track,
)
from tests.support.query_plans import explain


@pytest.fixture
def library(session: Session) -> Library:
    return make_library(session, name="music")


@pytest.fixture
def model(session: Session) -> Model:
    return make_model(session)


def paths(session: Session, model: Model, order: TrackOrder | None = None, **filters: object) -> list[str]:
    """The paths of all pages of two."""
    found: list[str] = []
    cursor = None
    while True:
        wanted = TrackFilter(**filters)  # type: ignore[arg-type]
        page = list_tracks(session, model, wanted, order=order, cursor=cursor, limit=2)
        assert len(page.items) <= 2
        found += [row.track.path for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_tracks_of_a_genre_come_the_most_certain_first(session, library, model):
    for path, rock in [("c", 0.3), ("a", 0.9), ("d", 0.05), ("b", 0.5)]:
        make_analysed_track(session, library, model, path, scores=[rock, 0.2, 0.2])
    assert paths(session, model, genre="rock") == ["a", "b", "c"]  # d is below the threshold
    for spelling in ("ROCK", "  Rock\u00a0", "\uff32ock\u200b"):
        assert paths(session, model, genre=spelling, min_score=0.5) == ["a", "b"]
    assert sorted(paths(session, model, genre="jazz")) == ["a", "b", "c", "d"]
    assert sorted(paths(session, model)) == ["a", "b", "c", "d"]


def test_tracks_have_all_labels_asked_for_and_none_of_the_others(session, library, model):
    scores = {
        "a": [0.9, 0.6, 0.0],
        "b": [0.8, 0.5, 0.4],
        "c": [0.7, 0.0, 0.5],
        "d": [0.6, 0.9, 0.0],
        "e": [0.0, 0.0, 0.0],
    }
    for path, each in scores.items():
        make_analysed_track(session, library, model, path, scores=each)
    assert paths(session, model, genre="rock", genres_too=("jazz",)) == ["a", "b", "d"]
    assert paths(session, model, genre="rock", not_genres=("ambient",)) == ["a", "d"]
    assert paths(session, model, genre="rock", genres_too=("jazz",), min_score=0.6) == ["a", "d"]
    assert paths(session, model, genre="rock", min_score=0.65, max_score=0.85) == ["b", "c"]
    assert sorted(paths(session, model, not_genres=("rock", "jazz"))) == ["e"]


def test_every_label_may_have_scores_of_its_own(session, library, model):
    scores = {"a": [0.9, 0.05, 0.0], "b": [0.8, 0.5, 0.4], "c": [0.7, 0.09, 0.5], "d": [0.05, 0.9, 0.0]}
    for path, each in scores.items():
        make_analysed_track(session, library, model, path, scores=each)
    rock, little_jazz = LabelScores("ROCK", 0.75), LabelScores("jazz", 0.0, 0.1)
    assert paths(session, model, genre=rock, genres_too=("jazz",)) == ["b"]
    assert paths(session, model, genre=rock, genres_too=(little_jazz,)) == ["a"]
    assert paths(session, model, genre=little_jazz, genres_too=(LabelScores("rock", 0.0),)) == ["c", "a"]
    assert paths(session, model, genre="rock", min_score=0.0, not_genres=(LabelScores("rock", 0.8),)) == [
        "c",
        "d",
    ]
    # The range of one label leaves what is asked of the others as it is.
    assert paths(session, model, genre="jazz", min_score=0.4, genres_too=(rock,)) == ["b"]


def test_tracks_are_listed_by_duration_the_unknown_ones_last(session, library, model):
    durations = {"a": 60.0, "b": 240.0, "c": 60.0, "d": 90.0}
    for path, duration_s in durations.items():
        audio = make_prediction(session, model, duration_s=duration_s).content_hash
        make_track(session, library, path=path, content_hash=audio)
    for path in ("new", "newer"):
        make_track(session, library, path=path)
    listed = paths(session, model, TrackOrder.DURATION)
    assert listed[:2] == ["b", "d"]
    assert (sorted(listed[2:4]), sorted(listed[4:])) == (["a", "c"], ["new", "newer"])
    assert paths(session, model, TrackOrder.DURATION, genre="rock")[:2] == ["b", "d"]
    other = make_model(session, alias=None, version=2)
    assert sorted(paths(session, other, TrackOrder.DURATION)) == ["a", "b", "c", "d", "new", "newer"]


def test_pages_by_duration_lead_on_where_a_duration_has_no_exact_binary_form(session, library, model):
    for path, duration_s in zip("abcdefg", (12.3, 12.3, 12.3, 183.4, 183.4, 183.4, 0.1), strict=True):
        audio = make_prediction(session, model, duration_s=duration_s).content_hash
        make_track(session, library, path=path, content_hash=audio)
    listed = paths(session, model, TrackOrder.DURATION)
    assert ["".join(sorted(listed[start : start + 3])) for start in (0, 3, 6)] == ["def", "abc", "g"]


def test_a_score_below_the_threshold_finds_tracks_by_their_stored_scores(session, library, model):
    scores = {"a": 0.9, "b": 0.1, "c": 0.09, "d": 0.05, "e": 0.05, "f": 0.05, "g": 0.01, "h": 0.0}
    for path, rock in scores.items():
        make_analysed_track(session, library, model, path, scores=[rock, 0.0, 0.5])
    make_track(session, library, path="not analysed")
    assert paths(session, model, genre="rock") == ["a", "b"]
    for least, found in ((0.1, "ab"), (0.09, "abc"), (0.05, "abcdef"), (0.02, "abcdef"), (0.0, "abcdefgh")):
        listed = paths(session, model, genre="rock", min_score=least)
        assert (sorted(listed), listed[:3], listed[6:]) == (list(found), list(found[:3]), list(found[6:]))
        by_path = paths(session, model, TrackOrder.PATH, genre="rock", min_score=least)
        assert by_path == sorted(listed)
        assert sorted(paths(session, model, genre="ambient", genres_too=("rock",), min_score=least)) == [
            path for path in found if least <= 0.5
        ]
    assert sorted(paths(session, model, genre="rock", min_score=0.02, max_score=0.05)) == ["d", "e", "f"]
    assert paths(session, model, genre="jazz", max_score=0.05) == []


def test_what_people_said_outranks_scores_below_the_threshold(session, library, model):
    tracks = {
        path: make_analysed_track(session, library, model, path, scores=[0.05, 0.5, 0.0]) for path in "abc"
    }
    for path, verdict in (("a", Verdict.NO), ("b", Verdict.YES)):
        said = NewCorrection(tracks[path].content_hash or b"", "rock", verdict)
        write_corrections(session, [said], author="me", origin="track")
    assert paths(session, model, genre="rock", min_score=0.02) == ["b", "c"]


def test_of_exclusive_labels_a_track_has_only_that_of_the_highest_score(session, library):
    model = make_model(session, name="exclusive", single_label=True, thresholds=[0.0] * 3)
    for path, rock, jazz in (("a", 0.6, 0.4), ("b", 0.4, 0.5), ("c", 0.45, 0.25), ("d", 0.1, 0.9)):
        make_analysed_track(session, library, model, path, scores=[rock, jazz, 1 - rock - jazz])
    for least, found in ((None, ["a", "c"]), (0.3, ["a", "c"]), (0.5, ["a"])):
        assert paths(session, model, genre="rock", min_score=least) == found


def test_tracks_are_listed_by_path_and_by_date(session, library, model):
    for path, mtime_ns in (("b", 3), ("a", 1), ("d", 2), ("c", 3)):
        make_analysed_track(session, library, model, path, mtime_ns=mtime_ns)
    assert paths(session, model, TrackOrder.PATH) == ["a", "b", "c", "d"]
    by_date = paths(session, model, TrackOrder.DATE, genre="rock")
    assert (sorted(by_date[:2]), by_date[2:]) == (["b", "c"], ["d", "a"])
    with pytest.raises(Invalid, match="name a `genre`"):
        paths(session, model, TrackOrder.SCORE)


def test_a_track_is_found_by_the_beginning_of_its_id(session, library, model):
    track = make_analysed_track(session, library, model, "a")
    make_analysed_track(session, library, model, "b")
    for prefix in (str(track.id), str(track.id)[:14].upper()):
        assert paths(session, model, id_prefix=prefix) == ["a"]
    with pytest.raises(Invalid, match="32 hexadecimal digits"):
        paths(session, model, id_prefix="0" * 33)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_pages_of_equal_scores_leave_nothing_out_and_double_nothing(session, library, model, count):
    """0.1 and its like have no exact binary form: what a page ends with must compare equal on the next."""
    for number in range(count):
        make_analysed_track(session, library, model, f"{number}", scores=[0.1 + 0.2, 0.0, 0.0])
    assert sorted(paths(session, model, genre="rock")) == [f"{number}" for number in range(count)]


def test_what_comes_and_goes_between_two_pages_does_not_move_the_others(session, library, model):
    for path, rock in [("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6)]:
        make_analysed_track(session, library, model, path, scores=[rock, 0.0, 0.0])
    first = list_tracks(session, model, TrackFilter(genre="rock"), limit=2)
    make_analysed_track(session, library, model, "new", scores=[1.0, 0.0, 0.0])
    session.delete(first.items[1].track)
    session.flush()
    second = list_tracks(session, model, TrackFilter(genre="rock"), limit=2, cursor=first.next_cursor)
    assert [row.track.path for row in second.items] == ["c", "d"]
    assert second.next_cursor is None


def test_only_tracks_that_are_there_and_of_the_library_are_listed(session, library, model):
    other = make_library(session, name="other")
    make_analysed_track(session, library, model, "here")
    make_analysed_track(session, other, model, "elsewhere")
    make_analysed_track(session, library, model, "gone", missing_at=library.created_at)
    assert paths(session, model, library="music") == ["here"]
    assert sorted(paths(session, model, genre="rock")) == ["elsewhere", "here"]
    with pytest.raises(LibraryNotFound):
        list_tracks(session, model, TrackFilter(library="no such"))


def test_a_track_is_listed_with_what_the_model_asked_for_says_of_it(session, library, model):
    other = make_model(session, name="other", alias=None)
    make_analysed_track(session, library, model, "analysed")
    make_track(session, library, path="not yet")
    rows = {row.track.path: row.prediction for row in list_tracks(session, model).items}
    assert rows["not yet"] is None
    assert rows["analysed"] is not None
    assert {row.prediction for row in list_tracks(session, other).items} == {None}
    assert paths(session, other, genre="rock") == []


def test_a_track_is_found_by_its_path_in_any_unicode_form(session, library, model):
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    make_track(
        session, library, path=f"{composed}/{decomposed}.mp3"
    )  # as a copy between systems may leave it
    make_track(session, library, path=f"{decomposed}/1.mp3")
    for path in (f"{composed}/{composed}.mp3", f"{decomposed}/{decomposed}.mp3"):
        assert paths(session, model, path=path) == [f"{composed}/{decomposed}.mp3"]
    assert paths(session, model, path=f"{composed}/1.mp3", library="music") == [f"{decomposed}/1.mp3"]
    make_track(session, library, path=f"{composed}/1.mp3")
    assert paths(session, model, path=f"{composed}/1.mp3") == [f"{composed}/1.mp3"]
    assert paths(session, model, path="Cafe/1.mp3") == []


def test_a_genre_that_the_model_does_not_know_is_refused(session, library, model):
    with pytest.raises(Invalid, match="polka"):
        list_tracks(session, model, TrackFilter(genre="polka"))


@pytest.mark.parametrize("cursor", ["?", "", "W10", "WzEsMl0", "bnVsbA"])
@pytest.mark.parametrize("genre", [None, "rock"])
def test_a_cursor_from_elsewhere_is_refused(session, library, model, cursor, genre):
    with pytest.raises(InvalidCursor):
        list_tracks(session, model, TrackFilter(genre=genre), cursor=cursor)


def test_one_track_by_its_id(session, library, model):
    track = make_analysed_track(session, library, model, "a")
    assert get_track(session, track.id, model).library == "music"
    assert list(get_vector(session, track.id, model)) == [1.0, 0.0, 0.0, 0.0]
    with pytest.raises(TrackNotAnalysed):
        get_vector(session, make_track(session, library).id, model)
    with pytest.raises(TrackNotFound):
        get_vector(session, uuid4(), model)
    with pytest.raises(TrackNotFound):
        get_track(session, uuid4(), model)


def test_what_a_file_held_is_kept_with_its_track(session, library):
    track = make_track(session, library)
    found = AnalysedFile(track.id, track.path, 5, 6, b"audio", b"file", {"title": "A song"}, "Damaged.")
    save_analysed(session, [found])
    session.refresh(track)
    assert (track.size, track.mtime_ns) == (5, 6)
    assert (track.content_hash, track.file_hash) == (b"audio", b"file")
    assert (track.tags, track.tags_error) == ({"title": "A song"}, "Damaged.")
    assert track.tags_version == TAGS_VERSION


@pytest.mark.parametrize("change", [{"size": 7}, {"mtime_ns": 7}])
def test_what_a_file_held_is_forgotten_when_another_takes_its_place(session, library, change):
    track = make_track(session, library, size=5, mtime_ns=6)
    save_analysed(session, [AnalysedFile(track.id, track.path, 5, 6, b"a", b"f", {"title": "A"}, "Damaged.")])
    seen = SeenFile(track.path, 5, 6)
    assert upsert_tracks(session, library.id, [seen])[0].tags == {"title": "A"}
    (track,) = upsert_tracks(session, library.id, [replace(seen, **change)])
    assert (track.tags, track.tags_error, track.tags_version) == (None, None, 0)


@pytest.fixture
def many(session: Session, library: Library, model: Model) -> list[UUID]:
    """A library large enough for an index to pay, and fresh statistics."""
    count = 5000
    hashes = [uuid4().bytes * 2 for _ in range(count)]
    tracks = [
        {"library_id": library.id, "path": f"{number}", "size": 1, "mtime_ns": number, "content_hash": digest}
        for number, digest in enumerate(hashes)
    ]
    session.execute(insert(Track), tracks)
    predictions = [
        {
            "content_hash": digest,
            "model_id": model.id,
            "coverage": "full",
            "duration_s": 1.0,
            "scores": [0.5, 0.5, 0.5],
        }
        for number, digest in enumerate(hashes)
    ]
    session.execute(insert(Prediction), predictions)
    labels = [
        {"content_hash": digest, "model_id": model.id, "label": label, "score": number / count}
        for number, digest in enumerate(hashes)
        for label in model.labels
    ]
    session.execute(insert(PredictionLabel), labels)
    session.execute(text("ANALYZE libraries, tracks, predictions, prediction_labels"))
    return list(session.scalars(select(Track.id).limit(10)))


def test_a_page_of_a_genre_is_read_from_the_index(session, model, many):
    first = explain(
        session, lambda: list_tracks(session, model, TrackFilter(genre="rock", min_score=0.3), limit=20)
    )
    assert "ix_prediction_labels_model_id_label_score" in first
    assert "Seq Scan on prediction_labels" not in first


def test_a_page_below_the_threshold_sorts_the_scores_before_it_looks_up_tracks(session, model, many):
    model.thresholds = [0.6] * 3
    session.execute(delete(PredictionLabel).where(PredictionLabel.score < 0.6))
    session.execute(text("UPDATE predictions SET scores = ARRAY[random(), 0.5, 0.5]::real[]"))
    session.execute(text("ANALYZE predictions, prediction_labels, tracks, corrections"))
    wanted = TrackFilter(genre="rock", min_score=0.2)
    page = list_tracks(session, model, wanted, limit=20)
    assert page.next_cursor is not None
    cursor = encode_cursor(0.5, UUID(int=0))
    plan = explain(session, lambda: list_tracks(session, model, wanted, limit=20, cursor=cursor))
    assert "scores[1] <= '0.5'::real" in plan
    assert "Presorted Key" in plan
    assert "Seq Scan on tracks" not in plan
    assert "Hash" not in plan


def test_a_page_by_path_and_one_of_several_genres_are_read_from_indexes(session, model, many):
    music = TrackFilter(library="music")
    by_path = explain(session, lambda: list_tracks(session, model, music, order=TrackOrder.PATH, limit=20))
    assert "Index Scan using uq_tracks_library_id" in by_path
    assert "Sort" not in by_path
    both = TrackFilter(genre="rock", genres_too=("jazz",), not_genres=("ambient",))
    several = explain(session, lambda: list_tracks(session, model, both, limit=20))
    assert "Seq Scan on prediction_labels" not in several


def test_a_page_by_date_is_read_from_the_index_wherever_it_starts(session, model, many):
    def query(cursor: str | None = None) -> Page[TrackRow]:
        return list_tracks(session, model, order=TrackOrder.DATE, cursor=cursor, limit=20)

    first = explain(session, query)
    assert "Index Scan Backward using ix_tracks_mtime_ns_id" in first
    assert "Sort" not in first
    later = explain(session, lambda: query(query().next_cursor))
    assert "Index Cond: (ROW(mtime_ns, id) <" in later
    assert "Sort" not in later


def test_a_page_of_a_rare_label_by_path_is_read_from_the_index_of_labels(session, model, many):
    rare = TrackFilter(genre="rock", min_score=0.999)
    plan = explain(session, lambda: list_tracks(session, model, rare, order=TrackOrder.PATH, limit=20))
    assert "Seq Scan on prediction_labels" not in plan


def test_a_later_page_starts_in_the_middle_of_the_index(session, model, many):
    page = list_tracks(session, model, TrackFilter(genre="rock", min_score=0.1), limit=20)
    later = explain(
        session,
        lambda: list_tracks(session, model, TrackFilter(genre="rock"), limit=20, cursor=page.next_cursor),
    )
    assert "score <= '0.996'::real" in later


def test_tracks_of_a_deleted_library_neither_hide_others_nor_count(session, library, model):
    composed, decomposed = "Caf\u00e9.mp3", "Cafe\u0301.mp3"
    make_track(session, library, path=decomposed)
    deleted = make_library(session, name="deleted")
    make_track(session, deleted, path=composed, tags_error="They cannot be read.")
    assert count_unreadable_tags(session) == 1
    delete_library(session, "deleted")
    assert paths(session, model, path=composed) == [decomposed]
    assert count_unreadable_tags(session) == 0
