"""Compares a retrained model with the one that serves, on tracks that a review has picked at random.

Other corrected tracks were picked because the old model was unsure of them or wrong: any other model does
better on them. Tracks that either was trained on are left out. The old model is measured by what it serves,
the new one by out-of-fold decisions, or on its test tracks. Shapes: N tracks, L labels.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from core.errors import ModelNotFound
from core.ml.evaluation.intervals import MIN_GROUPS
from core.ml.evaluation.paired import Difference, paired_difference
from core.ml.models.artifact import ArtifactError
from core.ml.training.json_values import finite_or_null
from core.ml.training.track_records import TrackRecords, UnreadableRecords, read_track_records
from core.spelling import name_key
from core.store.corrections import find_corrections, find_sampled
from core.store.embeddings import find_embeddings
from core.store.predictions import given_labels, list_scores
from core.store.registry import artifact_folder, resolve_model
from core.store.tables import Model
from workers.taggers import get_tagger

log = logging.getLogger(__name__)

PER_QUERY = 5000
MOST_NAMED = 5  # labels in a reason
ADVICE = "`mfa review --strategy random` picks tracks that can be compared."


@dataclass
class Compared:
    """The tracks of the comparison as rows of the new model's records, and why others are none of them."""

    against: str  # `name@version`
    base: Model | None = None  # None if it has been deleted
    unknown: str | None = None  # why it cannot be told which tracks the old model was trained on
    rows: list[int] = field(default_factory=list)
    given: list[set[str]] = field(default_factory=list)  # keys of the labels by the old model, of each row
    embedded: dict[int, Any] = field(default_factory=dict)  # embeddings (D,) of rows still to be labelled
    trained_on: int = 0  # tracks that the old model was trained on
    not_random: int = 0  # tracks, new to both models, that no review had picked at random
    not_labelled: int = 0  # tracks, picked at random, of which nothing by the old model is stored

    def add(self, row: int, scores: Sequence[float]) -> None:
        """Compare a track, given the scores (L,) of the old model."""
        assert self.base is not None
        self.rows.append(row)
        self.given.append({name_key(each.label) for each in given_labels(self.base, scores)})


def find_tracks(session: Session, against: str, records: TrackRecords) -> Compared:
    """Look up which corrected tracks may be compared, each piece of audio once."""
    found = Compared(against)
    try:
        found.base = resolve_model(session, against)
    except ModelNotFound:
        return found
    try:
        old = read_track_records(artifact_folder(found.base))
    except UnreadableRecords as error:
        log.warning("no comparison with %s: %s", against, error)
        found.unknown = f"The record of the tracks that {against} was trained on is damaged."
        return found
    if old is None:
        found.unknown = f"It is not recorded which tracks {against} was trained on."
        return found
    pairs = zip(old.contents, old.trained_on, strict=True)
    known = {content for content, is_training_track in pairs if is_training_track}
    tested = {content: row for row, content in enumerate(records.contents) if records.tested[row]}
    for contents in _slices(sorted(tested)):
        corrected = find_corrections(session, contents)
        new = [content for content in corrected if content not in known]
        sampled = sorted(find_sampled(session, new))
        found.trained_on += len(corrected) - len(new)
        found.not_random += len(new) - len(sampled)
        scores = list_scores(session, found.base, sampled)
        rest = [content for content in sampled if content not in scores]
        embeddings = find_embeddings(session, rest, found.base, "full")
        for content, values in scores.items():
            found.add(tested[content], values)
        found.embedded |= {tested[content]: each.vector for content, each in embeddings.items()}
        found.not_labelled += len(rest) - len(embeddings)
    return found


def label_embedded(found: Compared) -> None:
    """Let the old model label the tracks of which only the embedding is stored."""
    if not found.embedded or found.base is None:
        return
    rows, vectors = zip(*found.embedded.items(), strict=True)
    found.embedded = {}
    try:
        scores = get_tagger(found.base, threads=None).relabel(np.asarray(vectors, np.float32))
    except (ArtifactError, OSError) as error:
        log.warning("%s cannot be loaded for the comparison: %s", found.against, error)
        found.not_labelled += len(rows)
        return
    for row, values in zip(rows, scores.tolist(), strict=True):
        found.add(row, values)


def make_offer(found: Compared, labels: Sequence[str], records: TrackRecords) -> dict[str, Any]:
    """What `models.offer` holds: the verdict on the new model, with these labels, and the figures behind it.

    The verdict is `better` or `worse` if the 95 % interval of the difference lies on one side of 0, else
    `undecided`; so is that on a better model that has lost labels.
    """
    own = {} if found.base is None else {name_key(label): label for label in found.base.labels}
    new = {name_key(label): label for label in labels}
    offer: dict[str, Any] = {
        "against": found.against,
        "verdict": "undecided",
        "reason": None,
        "tracks": len(found.rows),
        "trained_on": found.trained_on,
        "not_random": found.not_random,
        "not_labelled": found.not_labelled,
        "lost_labels": [label for key, label in own.items() if key not in new],
        "unmeasured_labels": [],
        "new_labels": [] if found.base is None else [label for key, label in new.items() if key not in own],
    }
    if found.base is None:
        return offer | {"reason": f"{found.against} has been deleted."}
    if found.unknown is not None:
        return offer | {"reason": found.unknown}
    common = [place for place, label in enumerate(labels) if name_key(label) in own]
    if not common:
        return offer | {"reason": "The two models have no label in common."}
    shared = [place for place in common if records.learnt[place]]
    offer["unmeasured_labels"] = [labels[place] for place in common if not records.learnt[place]]
    if not shared:
        return offer | {"reason": "No label that both models have can be measured out of fold."}
    if not found.rows:
        return offer | {"reason": _why_none(found)}
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
    return dict(finite_or_null(offer | figures | _verdict_of(result, found, offer["lost_labels"])))


def _verdict_of(result: Difference, found: Compared, lost: Sequence[str]) -> dict[str, Any]:
    """The verdict and, if it is undecided, the reason."""
    if not result.labels:
        return {"reason": "No track has a label that both models know."}
    if result.groups < MIN_GROUPS:
        reason = f"The tracks are by {result.groups} artists; at least {MIN_GROUPS} are needed."
        return {"reason": " ".join([reason, *_not_random(found)])}
    if result.low > 0 and lost:
        named = ", ".join(lost[:MOST_NAMED]) + (", ..." if len(lost) > MOST_NAMED else "")
        return {"reason": f"It is better on the labels that both have, but no longer gives {named}."}
    if result.low > 0:
        return {"verdict": "better"}
    if result.high < 0:
        return {"verdict": "worse"}
    return {"reason": "The interval of the difference contains 0."}


def _why_none(found: Compared) -> str:
    """Why there is no track to compare."""
    reasons = _not_random(found)
    if found.not_labelled:
        reasons.append(
            f"Of {found.not_labelled} tracks, {found.against} has no labels: label their library with it."
        )
    return " ".join(reasons) or "No corrected track is new to both models."


def _not_random(found: Compared) -> list[str]:
    """That tracks were left out because of how they were picked, and what to do."""
    if not found.not_random:
        return []
    return [
        f"{found.not_random} corrected tracks are left out, as they were picked because {found.against} was "
        "unsure of them or wrong, or it is not known how: any other model does better on such tracks. "
        f"{ADVICE}"
    ]


def _slices(contents: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(contents), PER_QUERY):
        yield contents[start : start + PER_QUERY]
