"""What a model says of a piece of audio: one row, and a row per label that reached its threshold."""

import threading

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.config.models import Windows, coverage_name
from core.store.predictions import (
    NewPrediction,
    copy_predictions,
    find_coverages,
    given_labels,
    is_covered,
    save_predictions,
)
from core.store.session import transaction
from core.store.tables import Embedding, Model, Prediction, PredictionLabel
from tests.support.builders import make_model, make_prediction

EMBEDDING = [1.0, 2.0, 3.0, 4.0]


def labels(session: Session) -> dict[tuple[bytes, str], float]:
    rows = session.scalars(select(PredictionLabel))
    return {(row.content_hash, row.label): round(row.score, 3) for row in rows}


def test_labels_that_reach_their_threshold_become_rows(session):
    model = make_model(session, thresholds=[0.5, 0.1, 0.4])
    save_predictions(session, model, [NewPrediction(b"a", "full", 60.0, [0.49, 0.1, 0.9], EMBEDDING)])
    assert labels(session) == {(b"a", "jazz"): 0.1, (b"a", "ambient"): 0.9}
    prediction = session.scalars(select(Prediction)).one()
    assert prediction.scores == pytest.approx([0.49, 0.1, 0.9])
    assert list(session.scalars(select(Embedding.vector)).one()) == EMBEDDING
    assert [given.label for given in given_labels(model, [0.49, 0.1, 0.9])] == ["ambient", "jazz"]


def test_a_single_label_model_gives_its_best_label_whatever_the_threshold(session):
    model = make_model(session, thresholds=[0.5, 0.1, 0.4], single_label=True)
    save_predictions(session, model, [NewPrediction(b"a", "full", 60.0, [0.4, 0.3, 0.3], EMBEDDING)])
    assert labels(session) == {(b"a", "rock"): 0.4}


def test_a_new_result_replaces_the_old_one_with_all_its_labels(session):
    model, other = make_model(session), make_model(session, name="other", alias=None)
    windows = coverage_name(Windows(windows=3))
    for each in (model, other):
        save_predictions(session, each, [NewPrediction(b"a", windows, 60.0, [0.9, 0.8, 0.0], EMBEDDING)])
    save_predictions(session, model, [NewPrediction(b"a", "full", 61.0, [0.0, 0.7, 0.6], EMBEDDING)])
    rows = session.execute(
        select(PredictionLabel.label, PredictionLabel.score).where(PredictionLabel.model_id == model.id)
    )
    assert {label: round(score, 3) for label, score in rows} == {"jazz": 0.7, "ambient": 0.6}
    assert find_coverages(session, [b"a", b"b"], model.id) == {b"a": "full"}
    assert find_coverages(session, [b"a"], other.id) == {b"a": "windows:3"}


def test_a_few_windows_do_not_replace_a_full_analysis(session):
    model = make_model(session)
    save_predictions(session, model, [NewPrediction(b"a", "full", 60.0, [0.9, 0.8, 0.0], EMBEDDING)])
    few = NewPrediction(b"a", "windows:3", 60.0, [0.0, 0.7, 0.6], EMBEDDING)
    save_predictions(session, model, [few])
    assert labels(session) == {(b"a", "rock"): 0.9, (b"a", "jazz"): 0.8}
    assert find_coverages(session, [b"a"], model.id) == {b"a": "full"}


def test_the_same_audio_twice_in_a_batch_is_one_row(session):
    model = make_model(session)
    batch = [NewPrediction(b"a", "full", 60.0, [score, 0.0, 0.0], EMBEDDING) for score in (0.3, 0.4)]
    save_predictions(session, model, batch)
    assert labels(session) == {(b"a", "rock"): 0.4}
    save_predictions(session, model, [])


@pytest.mark.parametrize(
    ("known", "wanted", "serves"),
    [
        ("full", "full", True),
        ("full", Windows(windows=3), True),
        ("windows:3", Windows(windows=3), True),
        ("windows:3", Windows(windows=2), False),
        ("windows:3", "full", False),
    ],
)
def test_a_result_serves_where_it_covers_what_is_asked_for(known, wanted, serves):
    assert is_covered(known, wanted) is serves


def test_workers_that_find_copies_of_the_same_files_do_not_lock_each_other_out(clean_database):
    with transaction(clean_database) as session:
        model = make_model(session)
    contents = [bytes([number]) * 32 for number in range(50)]
    start, errors = threading.Barrier(4), []

    def save(order: list[bytes]) -> None:
        start.wait(timeout=10)
        try:
            for _ in range(3):
                with transaction(clean_database) as session:
                    batch = [
                        NewPrediction(content, "full", 1.0, [0.9, 0.9, 0.9], EMBEDDING) for content in order
                    ]
                    save_predictions(session, session.get_one(Model, model.id), batch)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(contents[:: (-1) ** number],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    with clean_database() as session:
        assert len(labels(session)) == 150


def test_the_same_weights_with_other_thresholds_label_what_is_known_at_once(session):
    before = make_model(session, thresholds=[0.5, 0.5, 0.5])
    after = make_model(session, alias=None, version=2, thresholds=[0.1, 0.1, 0.1])
    for _ in range(5):
        make_prediction(session, before, scores=[0.6, 0.2, 0.05])
    at: bytes | None = b""
    pages = 0
    while at is not None:
        at = copy_predictions(session, before, after, at, limit=2)
        pages += 1
    assert pages == 3
    labels = select(PredictionLabel.label).where(PredictionLabel.model_id == after.id)
    assert sorted(session.scalars(labels)) == ["jazz"] * 5 + ["rock"] * 5
    copied = session.scalars(select(Prediction.scores).where(Prediction.model_id == after.id)).all()
    assert copied == [pytest.approx([0.6, 0.2, 0.05])] * 5
