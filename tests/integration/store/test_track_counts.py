"""The numbers of tracks that triggers keep are those of the rows, whatever happens to these."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from core.store import track_counts
from core.store.libraries import list_libraries
from core.store.session import SessionFactory
from core.store.tables import Library, Track, TrackCount
from core.store.track_counts import Counted, add_up_counts, count_tracks
from core.store.tracks import SeenFile, upsert_tracks
from tests.support.builders import make_library
from tests.support.stack import eventually

GONE = "2026-01-01T00:00:00Z"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'track_counts'::regclass"


def seen(*names: str) -> list[SeenFile]:
    return [SeenFile(name, 1, 1) for name in names]


def in_rows(session: Session) -> dict[object, Counted]:
    """What the tracks themselves say, of every library."""
    rows = session.execute(select(Library.id, Track).outerjoin(Track, Track.library_id == Library.id)).all()
    present = Counter(each for each, track in rows if track is not None and track.missing_at is None)
    missing = Counter(each for each, track in rows if track is not None and track.missing_at is not None)
    return {each: Counted(present[each], missing[each]) for each, _ in rows}


def mark(session: Session, *paths: str) -> None:
    session.execute(update(Track).where(Track.path.in_(paths)).values(missing_at=GONE))


@pytest.fixture
def home(session: Session) -> Library:
    library = make_library(session, name="home")
    upsert_tracks(session, library.id, seen("a", "b", "c"))
    upsert_tracks(session, make_library(session, name="away").id, seen("d"))
    return library


def test_counts_follow_what_is_written(session, home):
    away = session.scalars(select(Library).where(Library.name == "away")).one()
    assert count_tracks(session) == in_rows(session) == {home.id: Counted(3, 0), away.id: Counted(1, 0)}
    mark(session, "a", "b")
    assert count_tracks(session) == in_rows(session)
    mark(session, "a")  # once more
    upsert_tracks(session, home.id, seen("b", "e", "c"))  # one comes back, one is new, one is known
    assert count_tracks(session) == in_rows(session)
    assert count_tracks(session)[home.id] == Counted(3, 1)
    session.execute(update(Track).where(Track.path.in_(["a", "c"])).values(library_id=away.id))
    assert count_tracks(session) == in_rows(session)
    session.execute(delete(Track).where(Track.path.in_(["a", "b"])))
    assert count_tracks(session) == in_rows(session) == {home.id: Counted(1, 0), away.id: Counted(2, 0)}
    session.execute(text("TRUNCATE tracks, track_counts CASCADE"))
    assert set(count_tracks(session).values()) == {Counted(0, 0)}


def count_rows(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(TrackCount)) or 0


def test_a_statement_writes_one_row_per_library_whose_numbers_change(session, home):
    before = count_rows(session)
    mark(session, "a", "b", "c")
    assert count_rows(session) == before + 1
    upsert_tracks(session, home.id, seen("a", "b"))
    assert count_rows(session) == before + 2
    session.execute(update(Track).values(size=2))
    mark(session, "c")
    assert count_rows(session) == before + 2


def test_truncating_waits_for_sums_and_removes_them_too(clean_database: SessionFactory, monkeypatch):
    monkeypatch.setattr(track_counts, "FEW", 0)
    with clean_database.begin() as session:
        library_id = make_library(session).id
        upsert_tracks(session, library_id, seen("a"))

    def truncate() -> None:
        with clean_database.begin() as session:
            session.execute(text("TRUNCATE tracks CASCADE"))

    with ThreadPoolExecutor(1) as pool:
        with clean_database.begin() as session:
            add_up_counts(session)
            truncated = pool.submit(truncate)
            eventually(lambda: session.scalar(text(WAITING)))
        truncated.result()
    with clean_database() as session:
        assert count_tracks(session)[library_id] == Counted(0, 0)


def test_sums_say_the_same_as_the_rows_that_they_replace(session, home, monkeypatch):
    monkeypatch.setattr(track_counts, "FEW", 3)
    monkeypatch.setattr(track_counts, "PIECE", 3)
    mark(session, "a", "b")
    upsert_tracks(session, home.id, seen("f"))
    before = count_rows(session)
    assert before == 4
    assert add_up_counts(session) is True
    assert count_rows(session) < before
    assert add_up_counts(session) is False
    assert count_tracks(session) == in_rows(session)


def test_what_sums_to_nothing_is_kept_no_longer(session, home, monkeypatch):
    monkeypatch.setattr(track_counts, "FEW", 0)
    session.execute(delete(Track))
    add_up_counts(session)
    assert session.scalars(select(TrackCount.id)).all() == []
    assert [count for _, count in list_libraries(session)] == [0, 0]


def test_writers_of_one_library_wait_neither_for_each_other_nor_for_the_sums(
    clean_database: SessionFactory, monkeypatch
):
    monkeypatch.setattr(track_counts, "FEW", 0)
    with clean_database.begin() as session:
        library_id = make_library(session).id
        upsert_tracks(session, library_id, seen("a"))
    with clean_database() as one, clean_database() as other, clean_database() as third:
        for session in (one, other, third):
            session.execute(text("SET LOCAL lock_timeout = '1s'"))
        upsert_tracks(one, library_id, seen("b"))
        upsert_tracks(other, library_id, seen("c"))
        add_up_counts(third)
        for session in (third, other, one):
            session.commit()
    with clean_database() as session:
        assert count_tracks(session)[library_id] == Counted(3, 0)
