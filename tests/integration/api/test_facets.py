"""How many tracks have what, and filters by words, suffix, year and verdicts."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from api.pages.library_choice import Choice
from api.pages.library_facets import group_facets
from core.states import TrackOrder, Verdict
from core.store import facets, track_pages, track_plans
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.label_sets import SetLabel, create_label_set
from core.store.session import SessionFactory
from core.store.tables import Track
from core.store.track_filters import EVERYTHING, TrackFilter
from core.store.track_pages import list_tracks
from core.store.track_plans import Try
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_analysed_track, make_library, make_model, make_track
from tests.support.query_plans import explain

TRACKS = "/api/v1/tracks"
GONE = "2026-01-01T00:00:00Z"
CHOICE = Choice(
    labels=(),
    not_labels=(),
    text=None,
    q=None,
    path=None,
    area=None,
    library=None,
    suffix=None,
    year=None,
    missing=False,
    corrected=None,
    unsure=False,
    unreadable_tags=False,
    sort=None,
    model="default",
)


def say(session: Any, track: Track, **verdicts: str) -> None:
    said = [
        NewCorrection(track.content_hash or b"", label, Verdict(each)) for label, each in verdicts.items()
    ]
    write_corrections(session, said, author="local", origin="track")


@pytest.fixture
def tracks(db: SessionFactory) -> None:
    """Three analysed tracks of one library, two of which were corrected, and further ones."""
    with db.begin() as session:
        model = make_model(session)
        home, away = make_library(session, name="home"), make_library(session, name="away")
        both, rock, jazz = [0.9, 0.8, 0.0], [0.9, 0.0, 0.0], [0.0, 0.8, 0.0]
        tags = {"title": "Götterdämmerung", "artist": "R.E.M.", "date": "1984-05-06", "genre": ["Hip-Hop"]}
        first = make_analysed_track(session, home, model, "Björk/first_one.mp3", both, tags=tags)
        second = make_analysed_track(session, home, model, "second.FLAC", rock, tags={"date": "1984"})
        make_analysed_track(session, home, model, "third.mp3", jazz, tags={"date": "soon"})
        make_track(session, away, path="01.Overture", content_hash=first.content_hash)
        make_track(session, away, path="new.mp3")
        make_track(session, home, path="gone.mp3", missing_at=GONE, content_hash=first.content_hash)
        make_track(session, make_library(session, deleted_at=GONE), path="deleted.mp3")
        say(session, first, rock="no", dub="yes")
        say(session, second, jazz="unsure")
        create_label_set(
            session, "mine", [SetLabel("Rock", "genre"), SetLabel("dub", "style")], exclusive=False
        )


def ask(http: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = http.get(f"{TRACKS}/facets", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {each["label"]: each["count"] for each in found["labels"]}


def paths(http: httpx.Client, **query: Any) -> set[str]:
    return {track["path"] for track in http.get(TRACKS, params=query).json()["items"]}


def test_facets_count_what_tracks_have(http, tracks):
    found = ask(http)
    assert found == {
        "exact": True,
        "sampled": None,
        "tracks": 5,
        "missing": 1,
        "missing_exact": True,
        "analysed": 4,
        "corrected": 3,
        "unsure": 1,
        "labels": found["labels"],
        "suffixes": {".mp3": 3, ".flac": 1, ".overture": 1},
        "years": {"1984": 2},
        "libraries": {"home": 3, "away": 2},
    }
    assert counts(found) == {"jazz": 3, "dub": 2, "rock": 1}  # the copy shares what was said
    assert {each["label"]: each["facet"] for each in found["labels"]} == {
        "jazz": "genre",
        "dub": "style",
        "rock": "genre",
    }


@pytest.mark.parametrize(
    "query",
    [
        {"genre": "jazz"},
        {"genre": ["jazz", "dub"]},
        {"not_genre": "rock"},
        {"library": "away"},
        {"suffix": "mp3"},
        {"suffix": ".FLAC"},
        {"year": 1984},
        {"corrected": True},
        {"corrected": False},
        {"unsure": True},
        {"text": "bjork"},
        {"q": "first"},
        {"missing": True},
        {"genre": "jazz", "text": "overture"},
    ],
    ids=str,
)
def test_facets_are_of_the_tracks_that_are_listed(http, tracks, query):
    listed = http.get(TRACKS, params=query).json()["items"]
    found = ask(http, **query)
    labels = [label["label"] for track in listed for label in track["labels"]]
    assert listed
    assert found["tracks"] == len(listed)
    assert counts(found) == {label: labels.count(label) for label in labels}
    assert sum(found["libraries"].values()) == len(listed)


def test_a_single_label_model_loses_its_label_to_one_that_people_gave(http, db):
    with db.begin() as session:
        model, home = make_model(session, single_label=True), make_library(session)
        track = make_analysed_track(session, home, model, "a.mp3", [0.7, 0.2, 0.1])
        make_analysed_track(session, home, model, "b.mp3", [0.7, 0.2, 0.1])
        say(session, track, jazz="yes")
    assert counts(ask(http)) == {"rock": 1, "jazz": 1}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("BJÖRK", {"Björk/first_one.mp3"}),
        ("bjork one", {"Björk/first_one.mp3"}),
        ("gotterd", {"Björk/first_one.mp3"}),
        ("r.e.m", {"Björk/first_one.mp3"}),
        ("hip hop 1984", {"Björk/first_one.mp3"}),
        ("FLAC", {"second.FLAC"}),
        ("overt", {"01.Overture"}),
        ("third one", set()),
        ("irst", set()),
        ("' | & ! :* second <->", {"second.FLAC"}),
    ],
)
def test_words_are_found_in_paths_and_tags(http, tracks, words, found):
    assert paths(http, text=words) == found


@pytest.mark.parametrize("words", ["", "...", " '& "])
def test_a_text_without_words_is_refused(http, tracks, words):
    assert problem_of(http.get(TRACKS, params={"text": words}), 422) == "invalid"


def test_too_many_words_are_refused(http, tracks):
    many = " ".join(map(str, range(21)))
    assert problem_of(http.get(f"{TRACKS}/facets", params={"text": many}), 422) == "invalid"


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ({"genre": "polka"}, 422, "invalid"),
        ({"library": "nope"}, 404, "library_not_found"),
        ({"year": 10_000}, 422, "invalid"),
        ({"suffix": "a b"}, 422, "invalid"),
        ({"sort": "path"}, 422, "invalid"),
    ],
)
def test_wrong_filters_are_explained(http, tracks, query, status, name):
    assert problem_of(http.get(f"{TRACKS}/facets", params=query), status) == name


@pytest.fixture
def many(session):
    """A model that gives `rock` to a quarter of 20,000 tracks; a hundred are of one year."""
    model, library = make_model(session), make_library(session)
    statements = (
        """INSERT INTO tracks (library_id, path, size, mtime_ns, content_hash, tags)
           SELECT :library, 'a/' || n || '.mp3', 1, 1, sha256(n::text::bytea),
                  CASE WHEN n <= 10 THEN '{"date": "1984"}'::jsonb ELSE '{"title": "common"}' END
           FROM generate_series(1, 20000) AS n""",
        """INSERT INTO prediction_labels (content_hash, model_id, label, score)
           SELECT sha256(n::text::bytea), :model, 'rock', 0.9 FROM generate_series(4, 20000, 4) AS n""",
    )
    for statement in statements:
        session.execute(text(statement), {"library": library.id, "model": model.id})
    for table in ("tracks", "prediction_labels"):
        session.execute(text(f"ANALYZE {table}"))
    return model


def test_counts_of_many_tracks_are_estimates_from_a_fair_sample(session, many, monkeypatch):
    monkeypatch.setattr(facets, "SAMPLE", Try(4000, 30))
    found = facets.count_facets(session, many, EVERYTHING)
    assert found.exact is False
    assert found.tracks == pytest.approx(20_000, rel=0.1)
    assert found.sampled == pytest.approx(4000, rel=0.1)
    assert found.labels[0].count == pytest.approx(5000, rel=0.2)
    of_label = facets.count_facets(session, many, TrackFilter(genre="rock"))
    assert of_label.tracks == pytest.approx(5000, rel=0.2)


def test_few_tracks_among_many_are_counted_exactly(session, many, monkeypatch):
    monkeypatch.setattr(facets, "SAMPLE", Try(1000, 30))
    found = facets.count_facets(session, many, TrackFilter(year="1984"))
    assert (found.exact, found.sampled, found.tracks) == (True, None, 10)


@pytest.fixture
def paired(session, many):
    """`jazz` for 2,000 tracks, of which 500 have `rock`, too, and two of these are no `jazz` for people."""
    session.execute(
        text(
            """INSERT INTO prediction_labels (content_hash, model_id, label, score)
               SELECT sha256(n::text::bytea), :model, 'jazz', 0.5 FROM generate_series(18001, 20000) AS n"""
        ),
        {"model": many.id},
    )
    for track in session.scalars(select(Track).where(Track.path.in_(["a/20000.mp3", "a/19996.mp3"]))):
        say(session, track, jazz="no")
    session.execute(text("ANALYZE prediction_labels"))
    return many


@pytest.mark.parametrize("order", [None, TrackOrder.PATH, TrackOrder.DATE, TrackOrder.DURATION])
@pytest.mark.parametrize("compared", [20_000, 0])
def test_pages_of_two_labels_have_all_tracks_that_have_both(session, paired, monkeypatch, order, compared):
    """Whether one of them is rare, or their ranges are merged."""
    monkeypatch.setattr(track_plans, "MOST_COMPARED", compared)
    monkeypatch.setattr(track_plans, "TRY_LABELS", Try(100, 100))  # whatever matches counts as rare
    wanted = TrackFilter(genre="rock", genres_too=("jazz",))
    found: list[str] = []
    cursor = None
    while not found or cursor is not None:
        page = list_tracks(session, paired, wanted, order=order, cursor=cursor, limit=200)
        found += [row.track.path for row in page.items]
        cursor = page.next_cursor
    assert len(found) == 498
    assert set(found) == {f"a/{number}.mp3" for number in range(18_004, 19_996, 4)}


def test_of_two_labels_that_are_rarely_together_a_sample_is_gathered(session, paired, monkeypatch):
    monkeypatch.setattr(facets, "SAMPLE", Try(1000, 1000))
    monkeypatch.setattr(facets, "FEW", 250)
    monkeypatch.setattr(track_plans, "MOST_COMPARED", 0)
    found = facets.count_facets(session, paired, TrackFilter(genre="rock", genres_too=("jazz",)))
    assert found.exact is False
    assert 100 < (found.sampled or 0) < 498
    assert found.tracks == pytest.approx(498, rel=0.3)
    assert counts_of(found) == pytest.approx({"rock": found.tracks, "jazz": found.tracks})


def counts_of(found: facets.Facets) -> dict[str, int]:
    return {each.label: each.count for each in found.labels}


def test_what_lies_at_the_end_of_an_order_is_found_after_a_bounded_walk(session, many, monkeypatch):
    monkeypatch.setattr(track_pages, "WALKED", 100)
    monkeypatch.setattr(track_plans, "TRY_COLUMNS", Try(20_000, 1))  # whatever matches counts as frequent
    page = list_tracks(session, many, TrackFilter(year="1984"), order=TrackOrder.DATE, limit=20)
    assert len(page.items) == 10


def test_missing_tracks_of_a_filter_are_estimated_if_there_are_many(session, many, monkeypatch):
    session.execute(text("UPDATE tracks SET missing_at = now() WHERE size = 1 AND path LIKE '%7.mp3'"))
    files = TrackFilter(suffix=".mp3")
    assert facets.count_facets(session, many, EVERYTHING).missing == 2000
    monkeypatch.setattr(facets, "MOST_MISSING", 500)
    found = facets.count_facets(session, many, files)
    assert found.missing == pytest.approx(2000, rel=0.3)
    assert found.missing_exact is False
    assert facets.count_facets(session, many, TrackFilter(missing=True)).missing_exact is True


def test_missing_tracks_of_few_are_counted(session, monkeypatch):
    monkeypatch.setattr(facets, "MOST_MISSING", 5)
    model, library = make_model(session), make_library(session)
    for number in range(60):
        make_track(session, library, path=f"{number}.{('mp3', 'wv', 'wv')[number % 3]}", missing_at=GONE)
    session.execute(text("ANALYZE tracks"))
    for missing, tracks in ((False, 0), (True, 40)):
        found = facets.count_facets(session, model, TrackFilter(suffix=".wv", missing=missing))
        assert (found.exact, found.tracks, found.missing, found.missing_exact) == (True, tracks, 40, True)


def test_the_page_says_which_count_of_missing_tracks_is_an_estimate(session):
    make_track(session, make_library(session), missing_at=GONE)
    found = facets.count_facets(session, make_model(session), EVERYTHING)
    for is_exact, text_of in ((True, "file is missing"), (False, "file is missing, about")):
        groups = group_facets(CHOICE, replace(found, missing_exact=is_exact), [])
        assert [(each.text, each.count) for group in groups for each in group.values] == [(text_of, 1)]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (TrackFilter(words=("common", "7777")), "ix_tracks_words"),
        (TrackFilter(year="1984"), "ix_tracks_year"),
        (TrackFilter(suffix=".wv"), "ix_tracks_suffix"),
        (TrackFilter(missing=True), "ix_tracks_missing"),
    ],
)
def test_rare_tracks_are_found_in_an_index(session, many, wanted, index):
    assert index in explain(session, lambda: list_tracks(session, many, wanted))
