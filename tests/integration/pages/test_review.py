"""The pages of a review: from the first question to the last, saving, undoing, skipping, giving back."""

import re
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from core.states import Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.review_leases import lease_again
from core.store.tables import Correction, Review
from tests.integration.api.gateway import bearer
from tests.support.builders import make_analysed_track, make_api_key, make_library, make_model

HTML = {"Accept": "text/html"}
OWN = HTML | {"Sec-Fetch-Site": "same-origin"}


def make_tracks(db, *paths: str, scores=(0.9, 0.4, 0.1), **changes) -> list[UUID]:
    with db.begin() as session:
        model, library = make_model(session, thresholds=[0.5] * 3), make_library(session, name="home")
        return [
            make_analysed_track(session, library, model, path, list(scores), **changes).id for path in paths
        ]


def begin(http: httpx.Client, **fields: str) -> str:
    """The address of the first question."""
    answer = http.post("/review", data=fields, headers=OWN)
    assert answer.status_code == 303, answer.text
    return f"/{answer.headers['location'].removeprefix('./')}"


def send(http: httpx.Client, address: str, do: str, **verdicts: str) -> str:
    answer = http.post(address, data={"do": do} | verdicts, headers=OWN)
    assert answer.status_code == 303, answer.text
    return f"/{answer.headers['location'].removeprefix('../')}"


def said(db) -> dict[str, str | None]:
    with db() as session:
        return {
            label: verdict for label, verdict in session.execute(select(Correction.label, Correction.verdict))
        }


def leased(db) -> int:
    with db() as session:
        return session.scalar(select(func.count()).where(Review.leased_until > func.now())) or 0


def test_without_a_model_there_is_nothing_to_review(http):
    page = http.get("/review", headers=HTML)
    assert page.status_code == 200
    assert "There is nothing to review yet" in page.text


def test_to_look_leases_nothing(http, db):
    make_tracks(db, "a")
    page = http.get("/review", headers=HTML)
    assert "test-model@1 has no learning curve" in page.text
    assert leased(db) == 0


def test_answers_lead_from_track_to_track_and_to_the_end(http, db):
    tracks = make_tracks(db, "a.mp3", "b.mp3")
    first = begin(http, strategy="random", label="", library="")
    assert leased(db) == 2
    page = http.get(first, headers=HTML)
    assert page.text == http.get(first, headers=HTML).text  # reloading asks about the same track
    assert re.search(r'<audio[^>]* src="\.\./api/v1/tracks/', page.text)
    assert page.text.index('<legend><kbd aria-hidden="true">1</kbd> rock') < page.text.index("</kbd> jazz")
    second = send(http, first, "save", **{"verdict.rock": "yes", "verdict.jazz": "no", "verdict.ambient": ""})
    assert said(db) == {"rock": "yes", "jazz": "no"}
    assert {UUID(each.split("/")[2].split("?")[0]) for each in (first, second)} == set(tracks)
    assert "1 answered" in http.get(second, headers=HTML).text
    end = send(http, second, "agree")
    assert end.startswith("/review?")
    page = http.get(end, headers=HTML).text
    assert "Nothing is left to ask about now." in page
    assert "<dd>2</dd>" in page
    with db() as session:
        assert session.scalar(select(func.count()).where(Review.sampled_at.is_not(None))) == 2


def test_an_answer_is_taken_back(http, db):
    make_tracks(db, "a", "b")
    first = begin(http)
    second = send(http, first, "save", **{"verdict.rock": "no"})
    back = send(http, second, "undo")
    assert said(db) == {"rock": None}
    assert back.split("?")[0] == first.split("?")[0]
    assert leased(db) == 2  # nobody else is asked about the track
    assert f"then={second.split('/')[2].split('?')[0]}" in back
    # also the last one of all, from the page that says that nothing is left
    send(http, back, "save", **{"verdict.rock": "no"})
    end = send(http, second.split("?")[0], "save", **{"verdict.rock": "no"})
    page = http.get(end, headers=HTML).text
    form = re.search(r'action="\./(review/[^"]+)" id="undo"', page)
    assert form is not None
    send(http, "/" + form[1].replace("&amp;", "&"), "undo")
    with db() as session:
        assert sorted(session.scalars(select(Correction.verdict)), key=str) == [None, "no"]


def test_an_answer_is_taken_back_though_somebody_else_is_asked_about_the_track_now(http, db):
    (track,) = make_tracks(db, "a")
    end = send(http, begin(http), "save", **{"verdict.rock": "no"})
    with db.begin() as session:
        assert lease_again(session, track, "somebody else", 60)
    change = re.search("change=[^&]+", end)
    assert change is not None
    back = send(http, f"/review/{track}?last={track}&{change[0]}", "undo")
    assert said(db) == {"rock": None}
    assert "over=True" in back


def test_a_track_is_skipped_and_the_rest_is_given_back(http, db):
    make_tracks(db, "a", "b", "c")
    second = send(http, begin(http), "skip")
    assert said(db) == {}
    assert leased(db) == 3
    assert send(http, second, "stop").startswith("/review?")
    assert leased(db) == 1  # the one that was skipped is not asked about again soon


def test_to_say_nothing_is_explained_and_what_was_filled_in_stays(http, db):
    make_tracks(db, "a")
    first = begin(http)
    page = http.post(first, data={"do": "save", "verdict.rock": ""}, headers=OWN)
    assert page.status_code == 422
    assert "Say something of a label first" in page.text


def test_a_verdict_of_before_is_shown_confirmed_and_withdrawn(http, db):
    (track,) = make_tracks(db, "a", content_hash=b"1" * 32)
    with db.begin() as session:
        write_corrections(session, [NewCorrection(b"1" * 32, "rock", Verdict.NO)], author="x", origin="track")
    first = begin(http, strategy="suspect")
    page = http.get(first, headers=HTML).text
    assert 'name="before.rock" value="no"' in page
    assert 'name="verdict.rock" value="no" checked' in page
    end = send(http, first, "save", **{"before.rock": "no", "verdict.rock": "no"})
    assert "Confirmed as it was." in http.get(end, headers=HTML).text
    send(http, f"/review/{track}", "save", **{"before.rock": "no", "verdict.rock": ""})
    assert said(db) == {"rock": None}


def test_one_label_is_asked_about(http, db):
    make_tracks(db, "a")
    page = http.get(begin(http, label="jazz"), headers=HTML).text
    assert "Is it jazz?" in page
    assert page.count("data-key") == 1
    assert "2 more labels" in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"strategy": "disagreement"}, "previous"),
        ({"library": "nope"}, "no library"),
        ({"label": "polka"}, "no label"),
    ],
)
def test_what_cannot_be_asked_is_explained_above_the_form(http, db, fields, sentence):
    make_tracks(db, "a")
    page = http.post("/review", data=fields, headers=OWN)
    assert page.status_code in (404, 422)
    assert re.search(rf'role="alert">[^<]*{sentence}', page.text)
    assert "Begin</button>" in page.text


@pytest.mark.parametrize(
    "sent", [{"do": "dance"}, {}, {"do": "save", "verdict.rock": "perhaps"}, {"do": "undo"}]
)
def test_a_form_that_no_page_sends_changes_nothing(http, db, sent):
    (track,) = make_tracks(db, "a")
    assert http.post(f"/review/{track}", data=sent, headers=OWN).status_code == 422
    assert said(db) == {}


def test_names_and_tags_are_text(http, db):
    make_tracks(db, "<b>x.mp3", tags={"title": "<script>alert(1)</script>", "artist": '"><img>'})
    page = http.get(begin(http), headers=HTML).text
    assert "<script>alert" not in page
    assert "<b>x" not in page
    assert "<img>" not in page


def test_what_browsers_do_not_play_is_said(http, db):
    make_tracks(db, "a.wma")
    page = http.get(begin(http), headers=HTML).text
    assert "Browsers do not play this format" in page
    assert "<audio" not in page


def test_who_may_only_read_is_not_led_here(keyed_http, db):
    with db.begin() as session:
        secret = make_api_key(session, "read")[1]
    assert 'review"' not in keyed_http.get("/", headers=HTML | bearer(secret)).text
    assert keyed_http.get("/review", headers=HTML | bearer(secret)).status_code == 403
