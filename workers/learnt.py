"""Stores which audio a registered model has learnt from."""

from functools import partial

from core.ml.training.track_records import TrackRecords
from core.store.learnt_tracks import save_learnt_tracks
from core.store.tables import Model
from workers.lease import Lease

PER_WRITE = 5000  # tracks; a second or so


def save_learnt(lease: Lease, model: Model, records: TrackRecords) -> None:
    """In transactions of their own, which hold nobody up; may be repeated."""
    for scores in records.learnt_scores(PER_WRITE):
        lease.write(partial(save_learnt_tracks, model=model, scores=scores))
