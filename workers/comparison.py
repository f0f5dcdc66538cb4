"""Compares a retrained model with the one that serves, on corrected tracks that neither has learnt from.

The old model is measured by what it serves, its stored predictions; the new one by decisions of models of its
cross-validation, or on its test tracks. Shapes: N tracks, L labels that both models have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from core.errors import ModelNotFound
from core.ml.evaluation.intervals import MIN_GROUPS
from core.ml.evaluation.paired import Difference, paired_difference
from core.ml.training.json_values import finite_or_null
from core.ml.training.track_records import TrackRecords, read_track_records
from core.spelling import name_key
from core.store.corrections import find_corrections
from core.store.predictions import given_labels, list_scores
from core.store.registry import artifact_folder, resolve_model
from core.store.tables import Model

PER_QUERY = 5000


@dataclass
class Compared:
    """The tracks of the comparison as rows of the new model's records, and why others are none of them."""

    against: str  # `name@version`
    base: Model | None = None  # None if it has been deleted
    is_recorded: bool = True  # whether it is stored which tracks the old model has learnt from
    rows: list[int] = field(default_factory=list)
    given: list[set[str]] = field(default_factory=list)  # keys of the labels by the old model, of each row
    learnt: int = 0  # tracks that the old model has learnt from
    not_labelled: int = 0  # tracks that the old model has not labelled


def find_tracks(session: Session, against: str, records: TrackRecords) -> Compared:
    """Look up which corrected tracks may be compared, each piece of audio once."""
    found = Compared(against)
    try:
        found.base = resolve_model(session, against)
    except ModelNotFound:
        return found
    old = read_track_records(artifact_folder(found.base))
    if old is None:
        found.is_recorded = False
        return found
    known = {content for content, learnt in zip(old.contents, old.learnt, strict=True) if learnt}
    tested = {content: row for row, content in enumerate(records.contents) if records.tested[row]}
    for contents in _slices(sorted(tested)):
        corrected = find_corrections(session, contents)
        scores = list_scores(session, found.base, list(corrected))
        for content in corrected:
            if content in known:
                found.learnt += 1
            elif content not in scores:
                found.not_labelled += 1
            else:
                given = given_labels(found.base, scores[content])
                found.rows.append(tested[content])
                found.given.append({name_key(each.label) for each in given})
    return found


def make_offer(found: Compared, labels: Sequence[str], records: TrackRecords) -> dict[str, Any]:
    """What `models.offer` holds: the verdict on the new model, with these labels, and the figures behind it.

    The verdict is `better` or `worse` if the 95 % interval of the difference lies on one side of 0, else
    `undecided`.
    """
    offer: dict[str, Any] = {
        "against": found.against,
        "verdict": "undecided",
        "reason": None,
        "tracks": len(found.rows),
        "learnt": found.learnt,
        "not_labelled": found.not_labelled,
    }
    if found.base is None:
        return offer | {"reason": f"{found.against} has been deleted."}
    if not found.is_recorded:
        return offer | {"reason": f"It is not recorded which tracks {found.against} has learnt from."}
    own = {name_key(label) for label in found.base.labels}
    shared = [place for place, label in enumerate(labels) if name_key(label) in own]
    if not found.rows or not shared:
        return offer | {"reason": "No corrected track is new to both models and has labels that both know."}
    keys = [name_key(labels[place]) for place in shared]
    result = paired_difference(
        records.targets[np.ix_(found.rows, shared)],
        np.array([[key in given for key in keys] for given in found.given]),
        records.decisions[np.ix_(found.rows, shared)],
        [records.groups[row] for row in found.rows],
    )
    figures: dict[str, Any] = {
        "artists": result.groups,
        "labels": result.labels,
        "f1_before": result.first,
        "f1": result.second,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
    }
    return dict(finite_or_null(offer | figures | _judge(result)))


def _judge(result: Difference) -> dict[str, Any]:
    """The verdict and, if it is undecided, the reason."""
    if result.labels and result.groups >= MIN_GROUPS:
        if result.low > 0:
            return {"verdict": "better"}
        if result.high < 0:
            return {"verdict": "worse"}
        return {"reason": "The interval of the difference contains 0."}
    if not result.labels:
        return {"reason": "No track has a label that both models know."}
    return {"reason": f"The tracks are by {result.groups} artists; at least {MIN_GROUPS} are needed."}


def _slices(contents: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(contents), PER_QUERY):
        yield contents[start : start + PER_QUERY]
