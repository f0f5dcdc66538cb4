"""Labels tracks from stored embeddings of the same encoder, without opening any file."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from core.config.models import Coverage
from core.jobs.items import Outcome, WorkItem, record_outcomes
from core.ml.inference.tagger import Tagger
from core.states import ItemState
from core.store.embeddings import find_embeddings, hold_embeddings
from core.store.predictions import NewPrediction, save_predictions
from core.store.tables import Embedding, Model
from workers.lease import Lease

WRITE_EVERY_ITEMS = 500


def relabel_items(
    lease: Lease, tagger: Tagger, model: Model, coverage: Coverage, items: Sequence[WorkItem]
) -> list[WorkItem]:
    """Label the items of a unit whose embedding is stored; returns the others, which need decoding."""
    marked = [item for item in items if item.content_hash is not None]
    uncached = [item for item in items if item.content_hash is None]
    for start in range(0, len(marked), WRITE_EVERY_ITEMS):
        lease.check()
        uncached += _relabel(lease, tagger, model, coverage, marked[start : start + WRITE_EVERY_ITEMS])
    return sorted(uncached, key=lambda item: item.pos)


def _relabel(
    lease: Lease, tagger: Tagger, model: Model, coverage: Coverage, items: list[WorkItem]
) -> list[WorkItem]:
    """Label the items whose embedding is still stored; returns the others."""
    contents = [item.content_hash for item in items if item.content_hash is not None]
    with lease.sessions() as session:
        known = find_embeddings(session, contents, model, coverage)
    found = [item for item in items if item.content_hash in known]
    if found:
        predictions = predict_from(tagger, list(known.values()))

        def write(session: Session) -> None:
            save_predictions(session, model, predictions)
            hold_embeddings(session, known.keys(), model.encoder_id)
            record_outcomes(
                session,
                lease.claim,
                [Outcome(item.pos, ItemState.DONE, item.content_hash) for item in found],
            )

        lease.write(write)
    return [item for item in items if item.content_hash not in known]


def predict_from(tagger: Tagger, stored: Sequence[Embedding]) -> list[NewPrediction]:
    """Predictions of a head for stored embeddings."""
    vectors = np.stack([np.asarray(embedding.vector, dtype=np.float32) for embedding in stored])
    return [
        NewPrediction(
            embedding.content_hash,
            embedding.coverage,
            embedding.duration_s,
            scores.tolist(),
            warnings=embedding.warnings,
        )
        for embedding, scores in zip(stored, tagger.relabel(vectors), strict=True)
    ]
