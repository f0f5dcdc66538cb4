"""Labels tracks from embeddings that another model with the same encoder has left; opens no file."""

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
    """Label those items of a unit whose embedding is known; the others, which must be listened to."""
    marked = [item for item in items if item.content_hash is not None]
    unheard = [item for item in items if item.content_hash is None]
    for start in range(0, len(marked), WRITE_EVERY_ITEMS):
        lease.check()
        unheard += _relabel(lease, tagger, model, coverage, marked[start : start + WRITE_EVERY_ITEMS])
    return sorted(unheard, key=lambda item: item.pos)


def _relabel(
    lease: Lease, tagger: Tagger, model: Model, coverage: Coverage, items: list[WorkItem]
) -> list[WorkItem]:
    """Label what is still known of these items; the rest."""
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


def predict_from(tagger: Tagger, known: Sequence[Embedding]) -> list[NewPrediction]:
    """What a head says of known embeddings."""
    embeddings = np.stack([np.asarray(heard.vector, dtype=np.float32) for heard in known])
    return [
        NewPrediction(
            heard.content_hash,
            heard.coverage,
            heard.duration_s,
            scores.tolist(),
            warnings=heard.warnings,
        )
        for heard, scores in zip(known, tagger.relabel(embeddings), strict=True)
    ]
