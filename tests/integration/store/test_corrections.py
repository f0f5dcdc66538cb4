"""Corrections: the last word per label and audio, its history, undo, and what happens side by side."""

import threading
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.errors import ChangeNotFound, Invalid
from core.library.content import identity_without_audio
from core.library.correction_files import Row
from core.services.changes import delete_library
from core.services.corrections import correct_matching, correct_track, import_rows, import_tags
from core.services.sweep import sweep_tracks
from core.states import LabelSource, Verdict
from core.store.contents import move_results
from core.store.correction_changes import (
    NewCorrection,
    Written,
    get_history,
    list_changes,
    undo_change,
    write_corrections,
)
from core.store.corrections import Corrections, find_corrections
from core.store.label_sets import SetLabel, create_label_set
from core.store.predictions import given_labels, true_labels
from core.store.session import transaction
from core.store.tables import Correction, CorrectionChange, CorrectionEntry, Review, Track
from core.store.track_filters import TrackFilter, matching
from core.store.track_pages import list_tracks
from core.store.training_tracks import find_training_tracks, save_training_tracks
from tests.support.builders import make_analysed_track, make_library, make_model, make_track
from tests.support.query_plans import explain

COLUMNS_OF_REVIEW = (
    Review.reviewer,
    Review.leased_until,
    Review.at_random,
    Review.sampled_at,
    Review.confirmed_at,
)
AUDIO, OTHER, FILE = b"a" * 32, b"b" * 32, b"f" * 32
YES, NO, UNSURE = Verdict.YES, Verdict.NO, Verdict.UNSURE


def say(
    session: Session, verdicts: dict[str, Verdict | None], audio: bytes | None = AUDIO, **options: Any
) -> Written:
    assert audio is not None
    corrections = [NewCorrection(audio, label, verdict) for label, verdict in verdicts.items()]
    return write_corrections(session, corrections, **{"author": "local", "origin": "track"} | options)


def start_and_wait_for_its_lock(mover: threading.Thread, session: Session) -> None:
    """Start what waits for a lock that the transaction of `session` holds; return when it waits."""
    mover.start()
    waits = text(
        "SELECT EXISTS (SELECT FROM pg_locks "
        "WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    )
    for _ in range(500):
        if session.scalar(waits):
            break
        time.sleep(0.01)
    assert session.scalar(waits)
    assert mover.is_alive()


def said(session: Session, audio: bytes = AUDIO) -> Corrections:
    return find_corrections(session, [audio]).get(audio, {})


def test_what_is_not_named_stays_and_the_history_keeps_all(session):
    assert say(session, {"jazz": YES, "rock": NO}).changed == 2
    assert say(session, {"rock": UNSURE}, author="other", note="by ear").changed == 1
    assert said(session) == {"jazz": YES, "rock": UNSURE}
    found = get_history(session, AUDIO)
    assert [(each.label, each.verdict, each.change.author) for each in found.history] == [
        ("rock", UNSURE, "other"),
        ("rock", NO, "local"),
        ("jazz", YES, "local"),
    ]
    assert (found.entries, found.current[1].change.note) == (3, "by ear")


def test_to_say_the_same_again_changes_nothing_unless_with_another_note(session):
    say(session, {"rock": NO}, audio=OTHER, note="sure")
    first = say(session, {"jazz": YES, "rock": NO})
    again = say(session, {"JAZZ ": YES})
    assert (again.change_id, again.changed, again.unchanged) == (None, 0, 1)
    assert say(session, {"jazz": YES}, note="sure").changed == 1
    assert say(session, {"jazz": YES}, note="sure").changed == 0
    assert session.scalar(select(func.count()).select_from(CorrectionChange)) == 3
    assert first.change_id is not None


def test_what_is_withdrawn_is_unknown_again(session):
    assert say(session, {"jazz": None}).changed == 0
    say(session, {"jazz": YES})
    assert say(session, {"jazz": None}).changed == 1
    assert said(session) == {}


def test_an_undo_gives_each_label_what_it_had_before_but_touches_no_later_word(session):
    say(session, {"jazz": NO})
    change = say(session, {"jazz": YES, "rock": YES, "pop": YES}).change_id
    say(session, {"rock": NO})
    assert change is not None
    undone = undo_change(session, change, "local")
    assert undone.change_id is not None
    assert (undone.changed, undone.unchanged) == (2, 1)
    assert said(session) == {"jazz": NO, "rock": NO}
    assert undo_change(session, change, "local").changed == 0
    assert undo_change(session, undone.change_id, "local").changed == 2  # an undo can be undone
    assert said(session) == {"jazz": YES, "pop": YES, "rock": NO}
    with pytest.raises(ChangeNotFound):
        undo_change(session, uuid4(), "local")


def test_a_large_change_is_written_in_slices_and_still_one_change(session, monkeypatch):
    monkeypatch.setattr("core.store.correction_changes.PER_STATEMENT", 3)
    audio = [bytes([number]) * 32 for number in range(5)]
    wanted = [NewCorrection(digest, label, YES) for label in ("jazz", "rock") for digest in audio]
    say(session, {"jazz": NO}, audio[2])
    done = write_corrections(session, wanted, author="local", origin="query")
    assert (done.changed, done.unchanged) == (10, 0)
    assert done.change_id is not None
    assert all(said(session, digest) == {"jazz": YES, "rock": YES} for digest in audio)
    withdrawn = [
        NewCorrection(digest, label, None) for digest in (*audio, OTHER) for label in ("rock", "pop")
    ]
    assert write_corrections(session, withdrawn, author="local", origin="query").changed == 5
    back = undo_change(session, done.change_id, "local")
    assert (back.changed, back.unchanged) == (5, 5)
    assert [said(session, digest) for digest in audio] == [{}, {}, {"jazz": NO}, {}, {}]
    entries = select(func.count()).where(CorrectionEntry.change_id == back.change_id)
    assert session.scalar(entries) == 5


def test_changes_are_listed_the_newest_first_with_what_stands_of_them(session):
    for label in ("jazz", "rock", "jazz"):
        say(session, {label: UNSURE})
    say(session, {"jazz": NO}, note="n")
    pages = list_changes(session, limit=2)
    rows = [*pages.items, *list_changes(session, pages.next_cursor, limit=2).items]
    assert len(rows) == 3
    # They lie in one transaction here, so in the order of their ids.
    assert sorted((row.entries, row.standing) for row in rows) == [(1, 0), (1, 1), (1, 1)]


def test_of_a_change_on_one_piece_of_audio_one_track_is_read_and_named_with_its_library(session):
    libraries = [make_library(session, name=name) for name in ("a", "b")]
    copies = [
        make_track(session, library, path=f"{number}.mp3", content_hash=AUDIO)
        for library in libraries
        for number in range(3)
    ]
    say(session, {"jazz": YES})
    say(session, {f"label {number}": YES for number in range(51)})
    session.expunge_all()
    shown = {row.entries: row for row in list_changes(session).items}
    first = min(copies, key=lambda track: track.id)
    assert shown[1].track is not None
    assert shown[1].track.id == first.id
    assert shown[1].library == ("a" if first.library_id == libraries[0].id else "b")
    assert (shown[51].track, shown[51].library) == (None, None)
    assert sum(isinstance(each, Track) for each in session) == 1


def test_people_outrank_the_model(session):
    model = make_model(session)
    scores = [0.9, 0.3, 0.2]

    def labels(corrections: Corrections) -> list[tuple[str, float, bool]]:
        return [
            (each.label, each.score, each.source == LabelSource.CORRECTED)
            for each in true_labels(model, given_labels(model, scores), corrections)
        ]

    assert labels({}) == [("rock", 0.9, False), ("jazz", 0.3, False), ("ambient", 0.2, False)]
    assert labels({"Jazz": YES, "rock": NO, "ambient": UNSURE, "polka": YES}) == [
        ("jazz", 1.0, True),
        ("polka", 1.0, True),
        ("ambient", 0.2, False),
    ]
    model.single_label = True
    assert labels({"jazz": YES}) == [("jazz", 1.0, True)]
    assert labels({"rock": NO}) == []
    assert labels({"polka": YES}) == [("polka", 1.0, True), ("rock", 0.9, False)]


@pytest.mark.parametrize("single_label", [False, True])
def test_the_genre_filter_says_what_every_track_says(session, single_label):
    model, library = make_model(session, single_label=single_label), make_library(session)
    tracks = [
        make_analysed_track(session, library, model, f"{number}", [number / 20, 0.5, 0.0])
        for number in range(20)
    ]
    verdicts: list[dict[str, Verdict | None]] = [
        {"rock": YES},
        {"rock": NO},
        {"rock": UNSURE},
        {"jazz": YES},
        {"polka": YES},
        {},
    ]
    for number, track in enumerate(tracks):
        say(session, verdicts[number % 6], track.content_hash)
    for genre in ("rock", "jazz", "polka"):
        wanted = TrackFilter(genre=genre, min_score=0.2)
        expected = {
            track.path
            for track in tracks
            for row in (list_tracks(session, model, TrackFilter(path=track.path)).items)
            for each in true_labels(
                model, given_labels(model, row.prediction.scores if row.prediction else []), row.corrections
            )
            if each.label == genre and each.score >= 0.2
        }
        seen, cursor = [], None
        while True:
            page = list_tracks(session, model, wanted, cursor=cursor, limit=3)
            seen += [row.track.path for row in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(seen) == len(set(seen))
        assert set(seen) == expected
        assert set(session.scalars(select(Track.path).where(*matching(session, model, wanted)))) == expected
        if genre == "rock":
            confirmed = [path for path in seen if int(path) % 6 == 0]
            assert seen[: len(confirmed)] == confirmed


def test_a_label_that_only_a_set_has_can_be_asked_for(session):
    model = make_model(session)
    create_label_set(session, "mine", [SetLabel("Polka", "genre")], exclusive=False)
    assert list_tracks(session, model, TrackFilter(genre="polka")).items == []
    with pytest.raises(Invalid, match="waltz"):
        list_tracks(session, model, TrackFilter(genre="waltz"))


def test_pages_of_a_genre_are_read_from_indexes_also_with_many_corrections(session):
    model, library = make_model(session), make_library(session)
    session.execute(
        text(
            "INSERT INTO tracks (library_id, path, size, mtime_ns, content_hash) "
            "SELECT :library, n::text, 1, 1, sha256(n::text::bytea) FROM generate_series(1, 5000) n"
        ),
        {"library": library.id},
    )
    session.execute(
        text(
            "INSERT INTO prediction_labels (content_hash, model_id, label, score) "
            "SELECT content_hash, :model, label, size / 3.0 FROM tracks, unnest(ARRAY['rock', 'jazz']) label"
        ),
        {"model": model.id},
    )
    change = CorrectionChange(author="local", origin="csv")
    session.add(change)
    session.flush()
    session.execute(
        text(
            "INSERT INTO corrections (content_hash, label_key, label, verdict, change_id) "
            "SELECT content_hash, 'rock', 'rock', 'yes', :change FROM tracks WHERE path::int % 3 = 0"
        ),
        {"change": change.id},
    )
    session.execute(text("ANALYZE tracks, prediction_labels, corrections"))
    wanted = TrackFilter(genre="rock")
    confirmed = explain(session, lambda: list_tracks(session, model, wanted, limit=20))
    assert "ix_corrections_confirmed" in confirmed
    assert "Seq Scan on corrections" not in confirmed
    at = list_tracks(session, model, wanted, limit=20).next_cursor
    middle = explain(session, lambda: list_tracks(session, model, wanted, cursor=at, limit=20))
    assert "content_hash >= " in middle


def test_corrections_survive_their_library_and_follow_their_audio(session):
    model, library = make_model(session), make_library(session, name="gone")
    track = make_analysed_track(session, library, model, "a.mp3", content_hash=AUDIO)
    say(session, {"jazz": YES})
    delete_library(session, "gone")
    while sweep_tracks(session)[0]:
        pass
    assert session.scalar(select(Track.id).where(Track.id == track.id)) is None
    again = make_track(session, make_library(session), content_hash=AUDIO)
    assert list_tracks(session, model).items[0].track.id == again.id
    assert list_tracks(session, model).items[0].corrections == {"jazz": YES}


def test_corrections_move_with_results_and_the_later_word_stays(session):
    with session.begin_nested():
        say(session, {"jazz": YES, "rock": YES}, AUDIO)
    session.execute(text("UPDATE correction_changes SET created_at = created_at - interval '1 hour'"))
    say(session, {"rock": NO}, OTHER)
    make_track(session, content_hash=AUDIO)
    move_results(session, {AUDIO: OTHER})
    assert said(session, AUDIO) == {}
    assert said(session, OTHER) == {"jazz": YES, "rock": NO}
    assert get_history(session, OTHER).entries == 3
    move_results(session, {AUDIO: OTHER})


def test_a_change_is_undone_when_two_pieces_of_audio_turn_out_to_be_one(session):
    say(session, {"jazz": NO})
    both = [NewCorrection(digest, label, YES) for digest in (AUDIO, OTHER) for label in ("jazz", "rock")]
    change = write_corrections(session, both, author="local", origin="query").change_id
    assert change is not None
    move_results(session, {AUDIO: OTHER})
    undone = undo_change(session, change, "local")
    assert (undone.changed, undone.unchanged) == (2, 0)
    assert said(session, OTHER) == {"jazz": NO}


def test_what_came_of_questions_and_trainings_moves_too(session):
    model = make_model(session)
    make_track(session, content_hash=AUDIO)
    at = session.scalar(select(func.now()))
    assert at is not None
    old = Review(content_hash=AUDIO, reviewer="me", leased_until=at, sampled_at=at, confirmed_at=at)
    session.add(old)
    save_training_tracks(session, model, {AUDIO: [0.1, 0.2, 0.3]})
    move_results(session, {AUDIO: OTHER})
    assert session.scalars(select(Review.content_hash)).all() == [OTHER]
    (moved,) = session.execute(select(*COLUMNS_OF_REVIEW)).all()
    assert tuple(moved) == ("me", at, False, at, at)
    assert [*find_training_tracks(session, model, [AUDIO, OTHER])] == [OTHER]


@pytest.mark.parametrize("said_before", [False, True])
def test_of_two_questions_on_one_piece_of_audio_the_later_lease_stays_and_nothing_is_made_up(
    session, said_before
):
    """A sample is what nobody had said anything of before, under either key."""
    model = make_model(session)
    make_track(session, content_hash=AUDIO)
    if said_before:
        say(session, {"jazz": YES}, OTHER)
    start = session.scalar(select(func.clock_timestamp()))
    assert start is not None
    at = [start + timedelta(minutes=number) for number in range(4)]
    first = {"leased_until": at[2], "sampled_at": at[1], "confirmed_at": at[1]}
    second = {"leased_until": at[3], "at_random": True, "confirmed_at": at[2]}
    session.add(Review(content_hash=AUDIO, reviewer="me", **first))
    session.add(Review(content_hash=OTHER, reviewer="you", **second))
    save_training_tracks(session, model, {AUDIO: [0.1, 0.2, 0.3], OTHER: [0.4, 0.5, 0.6]})
    move_results(session, {AUDIO: OTHER})
    (moved,) = session.execute(select(*COLUMNS_OF_REVIEW)).all()
    assert tuple(moved) == ("you", at[3], True, None if said_before else at[1], at[1])
    found = find_training_tracks(session, model, [AUDIO, OTHER])
    assert {digest: round(scores[0] or 0, 3) for digest, scores in found.items() if scores} == {OTHER: 0.4}


def test_a_correction_of_a_track_whose_audio_gets_another_key_meanwhile_moves_with_it(clean_database):
    with transaction(clean_database) as session:
        make_model(session)
        track = make_track(session, content_hash=AUDIO)

    def move() -> None:
        with transaction(clean_database) as session:
            move_results(session, {AUDIO: OTHER})

    mover = threading.Thread(target=move)
    with transaction(clean_database) as session:
        correct_track(session, track.id, {"jazz": YES}, author="me", note=None, allow_new=True)
        start_and_wait_for_its_lock(mover, session)
    mover.join(timeout=10)
    with transaction(clean_database) as session:
        assert session.scalars(select(Track.content_hash)).all() == [OTHER]
        assert said(session, OTHER) == {"jazz": YES}


@pytest.mark.parametrize(
    ("way", "key"),
    [
        ("query", FILE),
        ("csv", FILE),
        ("tags", FILE),
        ("query", identity_without_audio(FILE)),
    ],
    ids=["query", "csv", "tags", "substitute"],
)
def test_corrections_of_many_tracks_move_with_those_whose_audio_gets_its_own_key_meanwhile(
    clean_database, way, key
):
    with transaction(clean_database) as session:
        model, library = make_model(session), make_library(session, name="home")
        make_track(session, library, path="a.mp3", content_hash=key, file_hash=FILE, tags={"genre": ["jazz"]})

    def correct(session: Session) -> None:
        options: Any = {"author": "me", "note": None, "allow_new": True, "dry_run": False}
        if way == "query":
            correct_matching(session, model, TrackFilter(), {"jazz": YES}, **options)
        elif way == "csv":
            import_rows(session, "home", [Row(2, "a.mp3", "jazz", YES)], **options)
        else:
            import_tags(session, "home", "", separators=";", aliases={}, **options)

    def move() -> None:
        with transaction(clean_database) as session:
            move_results(session, {key: OTHER})

    mover = threading.Thread(target=move)
    with transaction(clean_database) as session:
        correct(session)
        start_and_wait_for_its_lock(mover, session)
    mover.join(timeout=10)
    with transaction(clean_database) as session:
        assert said(session, OTHER) == {"jazz": YES}
        assert said(session, key) == {}


def test_people_who_correct_the_same_tracks_at_once_lose_nothing(clean_database):
    """Each says something of a label of its own and of one that all share, of the same audio in any order."""
    audio = [bytes([number]) * 32 for number in range(20)]
    start, errors = threading.Barrier(4), []

    def correct(number: int) -> None:
        start.wait(timeout=10)
        try:
            for digest in audio[:: (-1) ** number]:
                with transaction(clean_database) as session:
                    verdict = (YES, NO, UNSURE, None)[number]
                    rows = [
                        NewCorrection(digest, f"own {number}", YES),
                        NewCorrection(digest, "shared", verdict),
                    ]
                    write_corrections(session, rows, author=f"{number}", origin="track")
            with transaction(clean_database) as session:
                every = [NewCorrection(digest, "all", YES) for digest in audio[:: (-1) ** number]]
                write_corrections(session, every, author=f"{number}", origin="query")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=correct, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    with clean_database() as session:
        found = find_corrections(session, audio)
        for digest in audio:
            assert {f"own {number}": YES for number in range(4)}.items() <= found[digest].items()
            last = session.scalars(
                select(CorrectionEntry.verdict)
                .where(CorrectionEntry.content_hash == digest, CorrectionEntry.label == "shared")
                .order_by(CorrectionEntry.id.desc())
            ).first()
            now = session.get_one(Correction, (digest, "shared")).verdict
            assert now == last  # the history ends with what stands
            shared = select(func.count()).where(
                CorrectionEntry.content_hash == digest, CorrectionEntry.label == "all"
            )
            assert session.scalar(shared) == 1
