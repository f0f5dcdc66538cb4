"""Body of a `preview` unit: what would change if a model served in place of another one.

From what is stored: a head's scores are computed from embeddings, any other model has left its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sqlalchemy.orm import Session

from core.errors import ModelNotFound
from core.jobs.claims import Claim
from core.jobs.counters import count_done
from core.ml.evaluation.comparison import Comparison, Labelling, Page, Scores
from core.store.corrections import find_corrections
from core.store.embeddings import HEAD, read_vectors
from core.store.predictions import read_scores
from core.store.review import has_learnt_from_corrections
from core.store.tables import Job, Model
from core.store.tracks import AudioOfTrack, list_audio
from workers.lease import Lease
from workers.preview_report import LeftOut, describe
from workers.taggers import get_tagger

PAGE = 5000  # tracks
VECTOR_HEADER = 4  # bytes in front of the numbers


@dataclass(frozen=True)
class Known:
    """What a model says of some audio."""

    row: dict[bytes, int]  # of the scores, by content hash
    scores: Scores  # (N, L)
    of_windows: frozenset[bytes]  # audio of which only some windows were analysed


def preview_model(lease: Lease) -> None:
    """A run that is repeated starts again: nothing is written before all tracks are compared."""
    models, total = lease.transact(partial(_load, claim=lease.claim))
    new, old = models
    comparison: Comparison[AudioOfTrack] = Comparison(_labelling(new), _labelling(old))
    left_out: Counter[LeftOut] = Counter()
    of_windows = seen = 0
    read = partial(list_audio, library_id=lease.claim.library_id, limit=PAGE)
    page = lease.transact(partial(read, after=None))
    while page:
        lease.check()
        of_windows += _compare(lease, models, page, comparison, left_out)
        seen += len(page)
        lease.write(partial(count_done, claim=lease.claim, done=min(seen, total)))
        page = lease.transact(partial(read, after=page[-1].id))

    def write(session: Session) -> None:
        learnt = (has_learnt_from_corrections(session, new), has_learnt_from_corrections(session, old))
        job = session.get_one(Job, lease.claim.job_id)
        found = describe(models, comparison, left_out, of_windows, learnt)
        job.result = {"library": job.params["library"], "tracks": seen, **found}
        count_done(session, lease.claim, total)

    lease.write(write)


def _load(session: Session, claim: Claim) -> tuple[tuple[Model, Model], int]:
    """The new model and the old one, and how many tracks there were when the job was submitted."""
    new, old = (session.get(Model, model_id) for model_id in (claim.model_id, claim.payload["against_id"]))
    if new is None or old is None:
        raise ModelNotFound("One of the two models has been deleted.")
    return (new, old), session.get_one(Job, claim.job_id).total


def _labelling(model: Model) -> Labelling:
    return Labelling(model.labels, model.thresholds, model.single_label)


def _compare(
    lease: Lease,
    models: tuple[Model, Model],
    page: Sequence[AudioOfTrack],
    comparison: Comparison[AudioOfTrack],
    left_out: Counter[LeftOut],
) -> int:
    """Add the tracks of which both models can say something, and count the others by reason.

    How many of those added were analysed by some windows only.
    """
    audio = sorted({track.content_hash for track in page if track.content_hash is not None})
    new, old = (find_scores(lease, model, audio) for model in models)
    compared: list[tuple[AudioOfTrack, bytes]] = []
    for track in page:
        digest = track.content_hash
        if digest is None:
            left_out[LeftOut.NOT_ANALYSED] += 1
        elif digest in new.row and digest in old.row:
            compared.append((track, digest))
        elif digest in new.row:
            left_out[LeftOut.UNKNOWN_TO_AGAINST] += 1
        else:
            left_out[LeftOut.UNKNOWN_TO_MODEL if digest in old.row else LeftOut.UNKNOWN_TO_BOTH] += 1
    digests = [digest for _, digest in compared]
    said = lease.transact(partial(find_corrections, content_hashes=set(digests)))
    mine, theirs = (each.scores[[each.row[digest] for digest in digests]] for each in (new, old))
    comparison.add(
        Page(
            tracks=[track for track, _ in compared],
            audio=digests,
            scores=(mine, theirs),
            verdicts=[said.get(digest, {}) for digest in digests],
        )
    )
    of_windows = new.of_windows | old.of_windows
    return sum(digest in of_windows for digest in digests)


def find_scores(lease: Lease, model: Model, audio: Sequence[bytes]) -> Known:
    """What a model says of audio: a head by the stored embeddings, another by its stored predictions."""
    if model.kind == HEAD:
        stored = lease.transact(partial(read_vectors, encoder_id=model.encoder_id, content_hashes=audio))
        coverages = [(digest, coverage) for digest, coverage, _ in stored]
        numbers = b"".join(vector[VECTOR_HEADER:] for _, _, vector in stored)
        vectors = np.frombuffer(numbers, ">f4").astype(np.float32).reshape(len(stored), model.embedding_size)
        scores = get_tagger(model, threads=None).relabel(vectors)
    else:
        found = lease.transact(partial(read_scores, model_id=model.id, content_hashes=audio))
        coverages = [(digest, coverage) for digest, coverage, _ in found]
        scores = np.array([row for _, _, row in found], np.float32).reshape(len(found), len(model.labels))
    return Known(
        row={digest: row for row, (digest, _) in enumerate(coverages)},
        scores=scores,
        of_windows=frozenset(digest for digest, coverage in coverages if coverage != "full"),
    )
