"""Corrections of many tracks at once: what they cost, and where they end."""

import difflib
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.errors import TooManyTracks
from core.library.correction_files import Row
from core.services import corrections as service
from core.services.corrections import Import, correct_matching, import_rows, import_tags
from core.states import Verdict
from core.store.registry import resolve_model
from core.store.track_filters import TrackFilter
from tests.support.builders import make_analysed_track, make_library, make_model

OPTIONS: dict[str, Any] = {"author": "me", "note": None, "dry_run": False}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels that are compared with all known ones."""
    labels: list[str] = []
    compare = difflib.get_close_matches

    def count(word: str, *args: Any, **options: Any) -> list[str]:
        labels.append(word)
        return compare(word, *args, **options)

    monkeypatch.setattr(difflib, "get_close_matches", count)
    return labels


@pytest.fixture
def library(session: Session) -> str:
    """Two analysed tracks with an unknown genre."""
    model, home = make_model(session), make_library(session, name="home")
    for path in ("a.mp3", "b.mp3"):
        make_analysed_track(session, home, model, path, tags={"genre": ["Jaz", "jazz"]})
    return "home"


def of_tags(session: Session, **options: Any) -> Import:
    return import_tags(session, "home", "", separators=";", aliases={}, **OPTIONS | options)


def test_an_unknown_label_is_compared_with_the_known_ones_only_once(session, library, compared):
    rows = [Row(line, "a.mp3", label, Verdict.YES) for line, label in enumerate(["Jaz", "jaz", "rokc"] * 9)]
    found = import_rows(session, library, rows, allow_new=False, **OPTIONS)
    assert found.counts == {"unknown_label": 27}
    assert compared == ["jaz", "rokc"]
    assert "did you mean 'jazz'?" in found.problems[-2].detail
    found = of_tags(session, allow_new=False)
    assert (found.counts, found.written.changed) == ({"unknown_label": 2}, 2)
    assert compared == ["jaz", "rokc", "jaz"]


def test_no_label_is_compared_if_new_ones_are_allowed(session, library, compared):
    import_rows(session, library, [Row(2, "a.mp3", "rokc", Verdict.YES)], allow_new=True, **OPTIONS)
    of_tags(session, allow_new=True)
    assert compared == []


def test_most_unknown_labels_are_refused_without_a_comparison(session, library, compared):
    rows = [Row(line, "a.mp3", f"rock {line}", Verdict.YES) for line in range(2, 200)]
    found = import_rows(session, library, rows, allow_new=False, **OPTIONS)
    assert found.counts == {"unknown_label": 198}
    assert len(compared) == 100
    assert "GET /api/v1/label-sets" in found.problems[-1].detail


def test_tags_of_too_many_tracks_are_refused(session, library, monkeypatch):
    monkeypatch.setattr(service, "MOST_TRACKS", 1)
    with pytest.raises(TooManyTracks, match="folder by folder"):
        of_tags(session, allow_new=False)


def test_verdicts_are_limited_whatever_the_numbers_of_tracks_and_labels(session, library, monkeypatch):
    monkeypatch.setattr(service, "MOST_VERDICTS", 3)
    model = resolve_model(session, "default")

    def correct(*labels: str) -> int:
        verdicts = dict.fromkeys(labels, Verdict.YES)
        return correct_matching(
            session, model, TrackFilter(), verdicts, allow_new=False, **OPTIONS
        ).written.changed

    with pytest.raises(TooManyTracks, match="These are 4 verdicts, more than 3"):
        correct("rock", "jazz")
    assert correct("rock") == 2
    monkeypatch.setattr(service, "MOST_VERDICTS", 1)
    with pytest.raises(TooManyTracks, match="These are 2 verdicts"):
        of_tags(session, allow_new=False)
