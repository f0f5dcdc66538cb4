"""The review queue: in which order it asks, and that nobody is asked twice."""

import random
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Select, func, select, text, update
from sqlalchemy.orm import Session

from core.errors import Invalid
from core.states import Strategy, Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.corrections import find_corrections, find_sampled
from core.store.review import take_questions
from core.store.review_leases import lease_again, release
from core.store.review_order import may_hide_errors
from core.store.review_pool import count_progress
from core.store.session import transaction
from core.store.tables import CorrectionChange, CorrectionEntry, Model, Review, Track
from core.store.training_tracks import save_training_tracks
from tests.support.builders import (
    make_analysed_track,
    make_library,
    make_model,
    make_prediction,
    make_run,
    make_track,
)

YES, NO, UNSURE = Verdict.YES, Verdict.NO, Verdict.UNSURE


def take(session: Session, model: Model, strategy: Strategy, n: int = 10, **options: object) -> list[str]:
    """The paths of what is asked."""
    given = {"reviewer": "local", "lease_s": 60.0} | options
    return [each.row.track.path for each in take_questions(session, model, strategy, n, **given)]  # type: ignore[arg-type]


def say(session: Session, track: Track, label: str, verdict: Verdict, **options: str) -> None:
    answer(session, track, {label: verdict}, **options)


def answer(
    session: Session,
    track: Track,
    verdicts: Mapping[str, Verdict | None],
    author: str = "local",
    origin: str = "track",
) -> None:
    assert track.content_hash is not None
    corrections = [NewCorrection(track.content_hash, label, verdict) for label, verdict in verdicts.items()]
    write_corrections(session, corrections, author=author, origin=origin)


def expire(session: Session) -> None:
    session.execute(update(Review).values(leased_until=Review.leased_until - timedelta(days=1)))


@pytest.mark.parametrize(
    ("single_label", "label", "order"),
    [
        (False, None, ["b", "c", "a"]),  # distances 0.01, 0.05, 0.3
        (False, "jazz", ["b", "a", "c"]),  # 0.01, 0.3, 0.4
        (True, None, ["b", "c", "a"]),  # 0.29, 0.45, 0.6
        (True, "ambient", ["c", "b", "a"]),  # 0.5, 0.7, 0.8
    ],
)
def test_margin_asks_about_the_closest_decision_first(session, single_label, label, order):
    model = make_model(session, thresholds=[0.5, 0.5, 0.5], single_label=single_label)
    library = make_library(session)
    for path, scores in (("a", [0.8, 0.2, 0.0]), ("b", [0.8, 0.51, 0.1]), ("c", [0.55, 0.1, 0.05])):
        make_analysed_track(session, library, model, path, scores)
    assert take(session, model, Strategy.MARGIN, label=label) == order


def test_margin_never_asks_about_two_tracks_of_one_album_in_a_row(session):
    model, library = make_model(session, thresholds=[0.5] * 3), make_library(session)
    for number in range(6):
        album = {"album": "first" if number < 4 else "second"}
        make_analysed_track(
            session, library, model, f"x/{number}", [0.5 + number / 100, 0.0, 0.0], tags=album
        )
    make_analysed_track(session, library, model, "x/7", [0.9, 0.0, 0.0], tags={})
    assert take(session, model, Strategy.MARGIN) == ["x/0", "x/4", "x/1", "x/5", "x/2", "x/7", "x/3"]


def test_what_is_leased_decided_missing_or_elsewhere_is_not_asked_about(session):
    model, library = make_model(session), make_library(session, name="home")
    tracks = {path: make_analysed_track(session, library, model, path) for path in ("a", "b", "c")}
    make_track(session, library, path="copy of a", content_hash=tracks["a"].content_hash)
    make_analysed_track(session, library, model, "gone", missing_at=library.created_at)
    make_analysed_track(session, make_library(session), model, "elsewhere")
    say(session, tracks["b"], "rock", YES)
    assert sorted(take(session, model, Strategy.RANDOM, library="home")) == ["a", "c"]
    assert take(session, model, Strategy.RANDOM, library="home") == []
    assert take(session, model, Strategy.RANDOM, library="home", label="rock") == []
    assert take(session, model, Strategy.RANDOM, library="home", label="jazz") == ["b"]
    found = count_progress(session, model, None, "home")
    assert (found.decided, found.undecided, found.leased) == (1, 2, 3)
    expire(session)
    assert sorted(take(session, model, Strategy.RANDOM, library="home")) == ["a", "c"]
    say(session, tracks["a"], "jazz", NO)  # ends the lease of its audio
    assert count_progress(session, model, None, "home").leased == 1


@pytest.mark.parametrize("strategy", [Strategy.RANDOM, Strategy.MARGIN])
def test_among_very_many_a_random_part_is_considered_and_everything_is_asked_about_once(
    session, monkeypatch, strategy
):
    monkeypatch.setattr("core.store.review_pool.POOL", 8)
    model, library = make_model(session), make_library(session)
    for number in range(30):
        content_hash = (number * 2**256 // 30).to_bytes(32)
        make_analysed_track(session, library, model, str(number), content_hash=content_hash)
    found = count_progress(session, model, None, None)
    assert not found.exact
    assert 25 <= found.undecided <= 35
    asked = [path for _ in range(6) for path in take(session, model, strategy, 5)]
    assert sorted(asked, key=int) == [str(number) for number in range(30)]
    assert take(session, model, strategy) == []


def test_nor_does_it_from_one_answer_to_the_next(session):
    model, library = make_model(session, thresholds=[0.5] * 3), make_library(session)
    tracks = {
        path: make_analysed_track(session, library, model, path, [score, 0.0, 0.0], tags={"album": path[0]})
        for path, score in (("a1", 0.51), ("a2", 0.52), ("a3", 0.53), ("b1", 0.54), ("b2", 0.55))
    }
    assert take(session, model, Strategy.MARGIN, n=1) == ["a1"]
    assert take(session, model, Strategy.MARGIN, n=1, reviewer="other") == ["a2"]
    assert take(session, model, Strategy.MARGIN, n=1) == ["b1"]
    say(session, tracks["b1"], "rock", YES)
    assert take(session, model, Strategy.MARGIN, n=1) == ["a3"]  # neither of b1, nor of a1, is the rest
    expire(session)
    for path in ("a1", "a2", "b1"):
        say(session, tracks[path], "rock", NO)
    assert take(session, model, Strategy.MARGIN, n=1, reviewer="new") == ["a3"]
    expire(session)
    say(session, tracks["a3"], "rock", NO)
    assert take(session, model, Strategy.MARGIN, n=1) == ["b2"]  # also of the same album, if it is the last


def test_the_first_of_an_answer_is_of_another_album_than_the_last_of_the_one_before(session):
    model, library = make_model(session, thresholds=[0.5] * 3), make_library(session)
    tracks = {}
    for number, album in enumerate("abaacb"):
        tracks[f"{number}"] = make_analysed_track(
            session,
            library,
            model,
            f"{number}",
            [0.51 + number / 100, 0.0, 0.0],
            content_hash=bytes([9 - number]) * 32,
            tags={"album": album},
        )
    assert take(session, model, Strategy.MARGIN, n=3) == ["0", "1", "2"]
    assert take(session, model, Strategy.MARGIN, n=1) == ["4"]
    release(session, [tracks["4"].id], "local")
    for path in "012":
        say(session, tracks[path], "rock", YES)
    assert take(session, model, Strategy.MARGIN, n=1) == ["4"]


def test_suspects_are_what_the_model_contradicts_most_until_somebody_confirms_it(session):
    model, library = make_model(session), make_library(session)
    a, b, c = (
        make_analysed_track(session, library, model, path, [score, 0.5, 0.0])
        for path, score in (("a", 0.9), ("b", 0.2), ("c", 0.7))
    )
    say(session, a, "rock", NO)  # 0.1
    say(session, b, "rock", YES)  # 0.2
    say(session, c, "rock", UNSURE)
    say(session, c, "jazz", NO)  # 0.5
    assert take(session, model, Strategy.SUSPECT) == ["a", "b", "c"]
    assert take(session, model, Strategy.SUSPECT) == []
    say(session, a, "rock", NO)  # again: confirmed
    expire(session)
    assert take(session, model, Strategy.SUSPECT, label="rock") == ["b"]


def test_an_answer_confirms_what_it_leaves_and_nothing_when_it_is_sent_again(session):
    model, library = make_model(session), make_library(session)
    a, b = (
        make_analysed_track(session, library, model, path, [score, 0.2, 0.9])
        for path, score in (("a", 0.1), ("b", 0.15))
    )
    for track in (a, b):
        answer(session, track, {"rock": YES, "jazz": YES})
    assert take(session, model, Strategy.SUSPECT, n=1) == ["a"]
    answer(session, a, {"rock": YES, "jazz": NO})
    assert take(session, model, Strategy.SUSPECT) == ["b"]
    answer(session, b, {"rock": UNSURE, "jazz": None})  # nothing stays
    answer(session, b, {"rock": YES, "pop": None})
    expire(session)

    new = make_analysed_track(session, library, model, "new", [0.01, 0.5, 0.5])
    assert take(session, model, Strategy.MARGIN) == ["new"]
    for _ in range(2):  # the answer to the first got lost
        answer(session, new, {"rock": YES, "jazz": None})
    assert take(session, model, Strategy.SUSPECT) == ["new", "b"]
    say(session, new, "rock", YES, author="somebody else")
    expire(session)
    assert take(session, model, Strategy.SUSPECT) == ["new", "b"]


def test_only_the_answer_of_who_is_asked_ends_a_question(session):
    """Not what others say of the track, nor what they write on many tracks by a query, a file or tags."""
    model, library = make_model(session), make_library(session)
    a, b = (
        make_analysed_track(session, library, model, path, [0.1, score, 0.9])
        for path, score in (("a", 0.2), ("b", 0.3))
    )
    assert take(session, model, Strategy.MARGIN, label="jazz", reviewer="me") == ["a", "b"]
    for origin in ("query", "csv", "tags"):
        say(session, a, "rock", YES, author="me", origin=origin)
    say(session, b, "rock", YES, author="you")
    assert take(session, model, Strategy.MARGIN, label="jazz", reviewer="you") == []
    say(session, b, "jazz", YES, author="me")
    release(session, [a.id], "me")
    assert take(session, model, Strategy.MARGIN, label="jazz", reviewer="you") == ["a"]


@pytest.mark.parametrize("origin", ["query", "csv", "tags"])
def test_what_is_written_on_many_tracks_confirms_nothing_and_samples_nothing(session, origin):
    model, library = make_model(session), make_library(session)
    track = make_analysed_track(session, library, model, "a", [0.1, 0.2, 0.9])
    assert take(session, model, Strategy.RANDOM) == ["a"]
    say(session, track, "rock", YES, origin=origin)
    assert find_sampled(session, [track.content_hash or b""]) == set()
    assert take(session, model, Strategy.RANDOM, reviewer="you") == []  # it is decided
    expire(session)
    assert take(session, model, Strategy.RANDOM, reviewer="you") == []
    assert take(session, model, Strategy.SUSPECT) == ["a"]
    say(session, track, "rock", YES, origin=origin)
    expire(session)
    assert take(session, model, Strategy.SUSPECT) == ["a"]


def test_the_answer_of_another_person_makes_no_sample(session):
    model, library = make_model(session), make_library(session)
    track = make_analysed_track(session, library, model, "a")
    assert take(session, model, Strategy.RANDOM, reviewer="me") == ["a"]
    say(session, track, "rock", YES, author="you")
    assert find_sampled(session, [track.content_hash or b""]) == set()


def test_who_goes_back_to_a_track_holds_it_unless_somebody_else_does(session):
    model, library = make_model(session), make_library(session)
    track = make_analysed_track(session, library, model, "a")
    assert lease_again(session, track.id, "me", 60)
    assert take(session, model, Strategy.MARGIN, reviewer="you") == []
    assert not lease_again(session, track.id, "you", 60)
    assert lease_again(session, track.id, "me", 60)
    expire(session)
    assert lease_again(session, track.id, "you", 60)
    assert not lease_again(session, uuid4(), "you", 60)


def test_suspects_are_found_by_scores_of_models_that_were_not_trained_on_them(session):
    model, library = make_model(session), make_library(session)
    known = make_analysed_track(session, library, model, "known", [0.9, 0.1, 0.0])
    new = make_analysed_track(session, library, model, "new", [0.6, 0.1, 0.0])
    for track in (known, new):
        say(session, track, "rock", YES)
    make_run(session, config={"dataset": {"kind": "corrections"}}, model_id=model.id)
    assert may_hide_errors(session, model)
    save_training_tracks(session, model, {known.content_hash or b"": [0.1, 0.9, 0.0]})
    assert not may_hide_errors(session, model)
    assert take(session, model, Strategy.SUSPECT) == ["known", "new"]
    save_training_tracks(session, model, {known.content_hash or b"": None})
    assert may_hide_errors(session, model)
    expire(session)
    assert take(session, model, Strategy.SUSPECT) == ["new", "known"]


def test_nothing_is_suspected_of_a_label_that_the_model_of_the_fold_had_not_learnt(session):
    model, library = make_model(session), make_library(session)
    scores: dict[str, list[float | None]] = {"a": [None, 0.9, 0.0], "b": [None, 0.2, 0.0]}
    for path, of_fold in scores.items():
        track = make_analysed_track(session, library, model, path, [0.9, 0.9, 0.0])
        say(session, track, "rock", YES)
        if path == "b":
            say(session, track, "jazz", YES)
        save_training_tracks(session, model, {track.content_hash or b"": of_fold})
    assert take(session, model, Strategy.SUSPECT) == ["b"]


def test_what_a_reviewer_gives_back_is_asked_again_at_once_and_nothing_else(session):
    model, library = make_model(session), make_library(session)
    tracks = {path: make_analysed_track(session, library, model, path) for path in ("a", "b", "c")}
    take(session, model, Strategy.RANDOM, n=3, reviewer="me")
    release(session, [tracks["a"].id], "somebody else")
    assert take(session, model, Strategy.RANDOM) == []
    release(session, [tracks["a"].id, uuid4()], "me")
    assert take(session, model, Strategy.RANDOM) == ["a"]


def test_leases_are_given_back_in_the_order_in_which_corrections_end_them(clean_database):
    """While the first is locked by somebody else, the last is not: no two wait for each other."""
    with transaction(clean_database) as session:
        library = make_library(session)
        tracks = [make_track(session, library, content_hash=digest).id for digest in (b"z", b"a")]
        until = session.scalar(select(func.now() + timedelta(hours=1)))
        for digest in (b"z", b"a"):  # also the order on disk
            session.add(Review(content_hash=digest, reviewer="me", leased_until=until))
            session.flush()

    def give_back() -> None:
        with transaction(clean_database) as session:
            release(session, tracks, "me")

    def lock(digest: bytes) -> Select[Review]:
        return select(Review).where(Review.content_hash == digest).with_for_update(nowait=True)

    other = threading.Thread(target=give_back)
    with transaction(clean_database) as session:
        session.execute(lock(b"a"))
        other.start()
        waits = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        for _ in range(500):
            if session.scalar(waits):
                break
            time.sleep(0.01)
        assert session.scalar(waits)
        session.execute(lock(b"z"))
    other.join()
    with transaction(clean_database) as session:
        assert not session.scalar(select(func.count()).where(Review.leased_until > func.now()))


@pytest.mark.parametrize(
    ("dataset", "is_hidden"),
    [
        ({"kind": "library", "corrections": True}, True),
        ({"kind": "corrections"}, True),
        ({"kind": "library", "corrections": False}, False),
        ({"kind": "folder"}, False),
    ],
)
def test_errors_may_be_hidden_if_the_training_has_read_corrections(session, dataset, is_hidden):
    model = make_model(session)
    make_run(session, config={"dataset": dataset}, model_id=model.id)
    tuned = make_model(session, alias=None, version=2)  # the same weights with other thresholds
    assert may_hide_errors(session, model) == is_hidden
    assert may_hide_errors(session, tuned) == is_hidden


def test_disagreements_are_ordered_by_the_number_of_labels(session):
    old, new = make_model(session), make_model(session, name="new", sha256="1" * 64)
    library = make_library(session)
    for path, ours, theirs in (
        ("one", [0.9, 0.0, 0.0], [0.9, 0.9, 0.0]),
        ("none", [0.9, 0.0, 0.0], [0.8, 0.0, 0.0]),
        ("three", [0.9, 0.0, 0.0], [0.0, 0.9, 0.9]),
    ):
        track = make_analysed_track(session, library, old, path, ours)
        assert track.content_hash is not None
        make_prediction(session, new, track.content_hash, scores=theirs)
    make_analysed_track(session, library, old, "only by one")
    assert take(session, new, Strategy.DISAGREEMENT, other=old) == ["three", "one"]
    expire(session)
    assert take(session, new, Strategy.DISAGREEMENT, other=old, label="rock") == ["three"]
    with pytest.raises(Invalid, match="other"):
        take(session, new, Strategy.DISAGREEMENT)


def test_reviewers_at_once_are_never_asked_the_same_and_no_answer_is_lost(clean_database):
    """Some of them die before they answer: their tracks are asked again once their leases have ended."""
    with transaction(clean_database) as session:
        model, library = make_model(session), make_library(session)
        tracks = [make_analysed_track(session, library, model, f"{number:02}") for number in range(60)]
        digests = {track.content_hash for track in tracks if track.content_hash is not None}
    asked: list[bytes] = []
    answered: set[bytes] = set()
    errors: list[Exception] = []

    def review(number: int) -> None:
        chance = random.Random(number)
        try:
            while True:
                with transaction(clean_database) as session:
                    ours = session.get_one(Model, model.id)
                    found = take_questions(
                        session, ours, Strategy.MARGIN, 3, reviewer=f"{number}", lease_s=3600
                    )
                    batch = [each.row.track.content_hash for each in found]
                if not batch:
                    return
                asked.extend(batch)  # type: ignore[arg-type]
                for digest in batch:
                    if digest is None or chance.random() < 0.3:
                        continue  # it was killed here
                    with transaction(clean_database) as session:
                        write_corrections(
                            session, [NewCorrection(digest, "rock", YES)], author=f"{number}", origin="track"
                        )
                    answered.add(digest)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=review, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    assert len(asked) == len(set(asked)) == 60
    assert 0 < len(answered) < 60
    with transaction(clean_database) as session:
        assert set(find_corrections(session, digests)) == answered
        expire(session)
        ours = session.get_one(Model, model.id)
        again = take_questions(session, ours, Strategy.MARGIN, 60, reviewer="last", lease_s=60)
        assert {each.row.track.content_hash for each in again} == digests - answered
        reviewers = {row.content_hash: row.reviewer for row in session.scalars(select(Review))}
        authors = select(CorrectionEntry.content_hash, CorrectionChange.author).join(CorrectionChange)
        said_by = session.execute(authors).all()
        assert len(said_by) == len(answered)  # no answer is written twice
        assert reviewers == dict.fromkeys(digests, "last") | {digest: author for digest, author in said_by}


def test_audio_is_sampled_if_a_random_question_on_all_labels_gave_its_first_verdict(session):
    model, library = make_model(session), make_library(session)
    tracks = {path: make_analysed_track(session, library, model, path) for path in "abcdef"}
    say(session, tracks["f"], "rock", YES)  # picked by a person
    take(session, model, Strategy.SUSPECT)
    take(session, model, Strategy.RANDOM, label="jazz", n=100, reviewer="one label")
    for name in "abcde":
        say(session, tracks[name], "jazz", NO)
    assert find_sampled(session, [track.content_hash or b"" for track in tracks.values()]) == set()

    fresh = {path: make_analysed_track(session, library, model, path) for path in "uvwxyz"}
    digests = {path: track.content_hash or b"" for path, track in fresh.items()}
    assert sorted(take(session, model, Strategy.RANDOM)) == list("uvwxyz")
    say(session, fresh["u"], "rock", YES)
    say(session, fresh["u"], "jazz", YES)
    expire(session)
    say(session, fresh["v"], "rock", YES)  # the lease had ended
    assert sorted(take(session, model, Strategy.MARGIN)) == list("wxyz")
    say(session, fresh["w"], "rock", YES)
    assert find_sampled(session, digests.values()) == {digests["u"]}
    expire(session)
    assert "u" in take(session, model, Strategy.SUSPECT)
    say(session, fresh["u"], "rock", NO)
    assert find_sampled(session, digests.values()) == {digests["u"]}
