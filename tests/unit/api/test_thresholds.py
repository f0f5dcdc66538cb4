"""What the command says of tuned thresholds."""

from typing import Any

import pytest

from api import schemas
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
        ("better", "Next: `mfa models promote mine@2`"),
        ("not_better", "No gain is shown"),
        ("unchanged", "there is no reason to promote mine@2"),
    ],
)
def test_a_promotion_is_proposed_only_after_a_gain(capsys, verdict, sentence):
    show_thresholds(outcome(verdict=verdict))
    said = capsys.readouterr().out
    assert sentence in said
    assert ("mfa models promote" in said) == (verdict == "better")
    assert "folk keeps its threshold: of the tracks" in said.replace("\n", " ")
    assert "0.600, with the former thresholds 0.500" in said.replace("\n", " ")


def test_an_outcome_of_an_earlier_version_proposes_nothing(capsys):
    show_thresholds(outcome(verdict=None, measure=None))
    assert "mfa models promote" not in capsys.readouterr().out
