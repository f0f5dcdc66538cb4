"""Stores which audio a registered model was trained on."""

from functools import partial

from core.ml.training.track_records import TrackRecords
from core.store.tables import Model
from core.store.training_tracks import save_training_tracks
from workers.lease import Lease

PER_WRITE = 5000  # tracks; a second or so


def store_training_tracks(lease: Lease, model: Model, records: TrackRecords) -> None:
    """In transactions of their own, which hold nobody up; may be repeated."""
    for scores in records.training_scores(PER_WRITE):
        lease.write(partial(save_training_tracks, model=model, scores=scores))
