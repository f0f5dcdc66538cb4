"""What the command proposes after a result: a promotion only if nothing speaks against it."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from api import schemas
from api.client import preview, train
from api.client.tune import show_thresholds

KEPT = "of the tracks that a threshold chosen without them gives it to, 5 of 9 have it"


def outcome(**changes: Any) -> schemas.ThresholdOutcome:
    label = {"label": "jazz", "threshold": 0.4, "before": 0.5, "support": 9, "front": []}
    measured = {"given": 9, "precision": 5 / 9, "recall": 5 / 9}
    content = {
        "model": "mine@2",
        "labels": [label | measured, label | measured | {"label": "folk", "threshold": 0.5, "kept": KEPT}],
        "unreached": ["folk"],
        "measure": "mean F1 of 2 labels",
        "verdict": "better",
        "value": 0.6,
        "value_before": 0.5,
    }
    return schemas.ThresholdOutcome.model_validate(content | changes)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        ("better", "`mfa models promote mine@2` makes it the default model"),
        ("not_better", "No gain is shown: no version is registered"),
        ("unchanged", "No threshold is another one: no version is registered"),
    ],
)
def test_a_promotion_is_proposed_only_after_a_gain(capsys, verdict, sentence):
    show_thresholds(outcome(verdict=verdict, model="mine@2" if verdict == "better" else None))
    said = capsys.readouterr().out.replace("\n", " ")
    assert sentence in said
    assert ("mfa models promote" in said) == (verdict == "better")
    assert "folk keeps its threshold: of the tracks" in said.replace("\n", " ")
    assert "0.600, with the former thresholds 0.500" in said.replace("\n", " ")


@pytest.mark.parametrize("model", [None, "mine@2"])
def test_a_gain_that_may_be_chance_is_told_with_how_likely_that_is(capsys, model):
    show_thresholds(outcome(verdict="undecided", model=model, chance=0.5))
    said = capsys.readouterr().out.replace("\n", " ")
    assert "one looks better by as much in 50% of cases" in said
    assert ("`--force` registers one" in said) == (model is None)
    assert ("as you forced it, mine@2 has these thresholds" in said) == (model is not None)
    assert "promote" not in said


def test_an_outcome_of_an_earlier_version_proposes_nothing(capsys):
    show_thresholds(outcome(verdict=None, measure=None))
    said = capsys.readouterr().out
    assert "mfa models promote" not in said
    assert "there is no reason to promote mine@2" in said.replace("\n", " ")


@pytest.mark.parametrize(("measured", "is_proposed"), [(4, True), (0, False), (None, True)])
def test_after_a_training_a_look_is_proposed_unless_nothing_could_be_measured(measured, is_proposed):
    outcome: Any = SimpleNamespace(model="mine@2", run_id=UUID(int=1), measured_labels=measured)
    assert ("mfa models preview mine@2" in train.next_of(outcome)) == is_proposed
    assert "promote" not in train.next_of(outcome)


def test_a_training_shows_what_guessing_reaches_and_which_labels_are_below_it(capsys):
    labels = [
        {"label": name, "support": 9, "roc_auc": value, "pr_auc": 0.4, "f1": 0.3}
        for name, value in (("jazz", 0.36), ("folk", 0.8), ("harp", None))
    ]
    interval = {"value": 0.45, "low": 0.3, "high": 0.6}
    content = {
        "run_id": UUID(int=1),
        "experiment": "mine",
        "model": "mine@2",
        "evaluated_on": "out_of_fold",
        "metrics": {"pr_auc_macro": 0.45, "pr_auc_chance": 0.4},
        "intervals": {"pr_auc_macro": interval},
        "labels": labels,
        "dropped": 0,
        "warnings": [],
    }
    train.show_outcome(schemas.TrainingOutcome.model_validate(content))
    said = " ".join(capsys.readouterr().out.split())
    assert "PR-AUC of guessing 0.4" in said
    assert "Ranked worse than by guessing (ROC-AUC below 0.5): jazz." in said


@pytest.mark.parametrize(("new", "is_proposed"), [(0.7, True), (0.6, True), (0.5, False), (None, True)])
def test_after_a_preview_no_model_is_proposed_that_decides_worse_where_people_did(new, is_proposed):
    macro = SimpleNamespace(model=SimpleNamespace(f1=new), against=SimpleNamespace(f1=0.6))
    found: Any = SimpleNamespace(
        model="mine@2", against="mine@1", corrections=SimpleNamespace(tracks=9, macro=macro)
    )
    said = preview.next_of(found)
    assert ("mfa models promote mine@2" in said) == is_proposed
    assert ("lower than that of mine@1: 0.500 and 0.600" in said) != is_proposed
