"""Body of a `preview` unit: what would change if a model served in place of another one.

From what is stored: a head's scores are computed from embeddings, any other model has left its own.
"""

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.config.dataset import reads_corrections
from core.errors import ModelNotFound
from core.jobs.claims import Claim
from core.jobs.counters import count_done
from core.ml.evaluation.comparison import Comparison, Labelling, Page, Scores, Unseen
from core.store.corrections import as_corrections, find_sampled
from core.store.previews import Stored, StoredTrack, list_stored, places_of, source_of
from core.store.registry import artifact_folder
from core.store.tables import Job, Model
from core.store.training_tracks import find_training_tracks, has_training_tracks
from workers.install import read_card
from workers.lease import Lease
from workers.preview_report import Learning, LeftOut, describe
from workers.taggers import get_tagger

PAGE = 5000  # tracks
VECTOR_HEADER = 4  # bytes in front of the numbers
FULL = "full"


def preview_model(lease: Lease) -> None:
    """A run that is repeated starts again: nothing is written before all tracks are compared."""
    models, total = lease.transact(partial(_load, claim=lease.claim))
    sources = list(dict.fromkeys(map(source_of, models)))  # one if the models share an encoder
    comparison: Comparison[UUID] = Comparison(*map(_labelling, models))
    left_out: Counter[LeftOut] = Counter()
    of_windows = seen = 0
    read = partial(list_stored, sources=sources, library_id=lease.claim.library_id, limit=PAGE)
    page = lease.transact(partial(read, after=None))
    while page:
        lease.check()
        compared = [track for track in page if count_left_out(track, left_out)]
        of_windows += sum(any(each and each.coverage != FULL for each in track.stored) for track in compared)
        new, old = (
            score(model, [track.stored[place] for track in compared])
            for model, place in ((models[0], 0), (models[1], -1))
        )
        corrected = [track.content_hash for track in compared if track.corrections and track.content_hash]
        unseen = lease.transact(partial(_find_unseen, models=models, corrected=corrected))
        sampled = lease.transact(partial(find_sampled, content_hashes=corrected)) if corrected else set()
        comparison.add(
            Page(
                tracks=[track.id for track in compared],
                audio=[track.content_hash or b"" for track in compared],
                scores=(new, old),
                verdicts=[as_corrections(track.corrections) for track in compared],
                unseen=unseen,
                sampled=sampled,
            )
        )
        seen += len(page)
        lease.write(partial(count_done, claim=lease.claim, done=min(seen, total)))
        page = lease.transact(partial(read, after=page[-1].id))

    def write(session: Session) -> None:
        new, old = (
            Learning(was_trained_on_corrections(model), has_training_tracks(session, model))
            for model in models
        )
        places = places_of(session, [change.track for change in comparison.changes])
        job = session.get_one(Job, lease.claim.job_id)
        found = describe(models, comparison, places, left_out, of_windows, (new, old))
        job.result = {"library": job.params["library"], "tracks": seen, **found}
        count_done(session, lease.claim, total)

    lease.write(write)


def _load(session: Session, claim: Claim) -> tuple[tuple[Model, Model], int]:
    """The new model and the old one, and how many tracks there were when the job was submitted."""
    new, old = (session.get(Model, model_id) for model_id in (claim.model_id, claim.payload["against_id"]))
    if new is None or old is None:
        raise ModelNotFound("One of the two models has been deleted.")
    return (new, old), session.get_one(Job, claim.job_id).total


def _find_unseen(
    session: Session, models: tuple[Model, Model], corrected: Sequence[bytes]
) -> tuple[Unseen, Unseen]:
    """The corrected tracks that each model was trained on."""
    if not corrected:
        return {}, {}
    new, old = (find_training_tracks(session, model, corrected) for model in models)
    return new, old


def was_trained_on_corrections(model: Model) -> bool | None:
    """Whether a model was trained on corrections, by its card, which outlives its run; None if unreadable."""
    try:
        card = read_card(artifact_folder(model))
        return reads_corrections(json.loads(card.provenance.get("config", "{}")))
    except (OSError, ValueError):
        return None


def _labelling(model: Model) -> Labelling:
    return Labelling(model.labels, model.thresholds, model.single_label)


def count_left_out(track: StoredTrack, left_out: Counter[LeftOut]) -> bool:
    """Whether a track can be compared; else the reason is counted."""
    new, old = track.stored[0], track.stored[-1]
    if new is not None and old is not None:
        return True
    if track.content_hash is None:
        left_out[LeftOut.NOT_ANALYSED] += 1
    elif new is not None:
        left_out[LeftOut.UNKNOWN_TO_AGAINST] += 1
    else:
        left_out[LeftOut.UNKNOWN_TO_BOTH if old is None else LeftOut.UNKNOWN_TO_MODEL] += 1
    return False


def score(model: Model, stored: Sequence[Stored | None]) -> Scores:
    """The scores (N, L) of a model from what is stored of N pieces of audio, each of which has something."""
    values = [each.values for each in stored if each is not None]
    if not source_of(model).is_encoder:
        return np.array(values, np.float32).reshape(len(values), len(model.labels))
    numbers = np.frombuffer(b"".join(value[VECTOR_HEADER:] for value in values), ">f4")
    vectors = numbers.astype(np.float32).reshape(len(values), model.embedding_size)
    return get_tagger(model, threads=None).relabel(vectors)
