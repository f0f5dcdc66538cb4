"""Body of a `map` unit: place every piece of audio in the plane, by its stored embedding."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, field
from functools import partial
from threading import Thread
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session
from threadpoolctl import threadpool_limits

from core.config.params import MapParams
from core.errors import ModelNotFound, NothingToDraw
from core.jobs.claims import Claim
from core.jobs.counters import count_done
from core.ml.maps.layout import MOST_LANDMARKS, Array, Layout, Places, lay_out, measure_trust
from core.ml.maps.picture import draw_density
from core.ml.maps.regions import NO_LABEL, name_regions
from core.store.maps import (
    MOST_COLOURS,
    OTHER_LABEL,
    MapAudio,
    NewMap,
    begin_map,
    complete_map,
    list_audio,
    measure_coverage,
    save_points,
)
from core.store.tables import Job, Model
from workers.lease import Lease

PAGE = 4000  # pieces of audio
VECTOR_HEADER = 4  # bytes in front of the numbers
MEASURED = 1000  # pieces of audio whose neighbours are compared
DIGITS = 4
LOOK_EVERY_S = 0.5  # whether the work should end, while landmarks are laid out


def draw_map(lease: Lease) -> None:
    """Landmarks are the first pieces of audio in the order of their hashes, which is random.

    Points are written page by page into a map that nobody sees before it is complete. A run that is repeated
    starts another one. Raises NothingToDraw if the embeddings have gone since the job was submitted.
    """
    claim = lease.claim
    params = MapParams.model_validate(claim.params)
    model, total = lease.transact(partial(_load, claim=claim))
    begin = partial(begin_map, model=model, library_id=claim.library_id, job_id=claim.job_id)
    map_id = lease.write(partial(begin, seed=params.seed))
    if map_id is None:
        return  # killed after the last write
    read = partial(list_audio, model=model, library_id=claim.library_id)
    page = lease.transact(partial(read, after=b"", limit=MOST_LANDMARKS))
    if not page:
        raise NothingToDraw
    lease.check()
    layout = _lay_out(lease, _vectors(page), params.seed)
    lease.record_progress()
    drawing = Drawing(landmarks=len(page))
    while page:
        lease.check()
        vectors = _vectors(page)
        places = layout.place(vectors)
        save = partial(_save, claim=claim, map_id=map_id, first=drawing.count, audio=page, places=places)
        lease.write(partial(save, total=total))
        drawing.add(page, vectors, places)
        page = lease.transact(partial(read, after=page[-1].content_hash, limit=PAGE))
    lease.check()
    publish = partial(_publish, claim=claim, map_id=map_id, new=drawing.finish(), total=total)
    lease.write(partial(publish, encoder_id=model.encoder_id))


def _lay_out(lease: Lease, vectors: Array, seed: int) -> Layout:
    """In a thread, as t-SNE works for many seconds and cannot be interrupted.

    Raises Stopped when the work should end: then nobody waits for the thread, which ends with its result. The
    threads of BLAS are those of the process, so they are limited here and not there: a thread that outlives
    its unit must not give them back in the middle of the next one.
    """
    found: Future[Layout] = Future()

    def work() -> None:
        try:
            found.set_result(lay_out(vectors, seed))
        except BaseException as error:
            found.set_exception(error)

    with threadpool_limits(limits=1, user_api="blas"):
        Thread(target=work, name="layout", daemon=True).start()
        while not wait([found], timeout=LOOK_EVERY_S).done:
            lease.check()
    return found.result()


@dataclass
class Drawing:
    """What has been placed so far."""

    landmarks: int
    places: list[Places] = field(default_factory=list)  # of each page
    labels: list[str | None] = field(default_factory=list)  # of each piece of audio
    last_vectors: list[Array] = field(default_factory=list)  # of the last `MEASURED` at least

    @property
    def count(self) -> int:
        return len(self.labels)

    def add(self, audio: Sequence[MapAudio], vectors: Array, places: Places) -> None:
        self.places.append(places)
        self.labels += [each.label for each in audio]
        self.last_vectors.append(vectors)
        while sum(map(len, self.last_vectors[1:])) >= MEASURED:
            self.last_vectors.pop(0)

    def finish(self) -> NewMap:
        """Trust is measured on the last ones: none of them is a landmark if there are enough others."""
        places, tested = np.concatenate(self.places), np.concatenate(self.last_vectors)[-MEASURED:]
        trust = measure_trust(tested, places[len(places) - len(tested) :])
        counts = Counter(label for label in self.labels if label is not None)
        names = sorted(counts, key=lambda label: (-counts[label], label))
        number = {label: place for place, label in enumerate(names)} | {None: NO_LABEL}
        labels = np.array([number[label] for label in self.labels], np.int64)
        return NewMap(
            landmarks=self.landmarks,
            trustworthiness=None if trust is None else round(trust, DIGITS),
            labels=names[:MOST_COLOURS],
            regions=[asdict(region) for region in name_regions(places, labels, names)],
            positions=places.astype("<u2").tobytes(),
            colours=np.where(labels < MOST_COLOURS, labels + 1, OTHER_LABEL).astype(np.uint8).tobytes(),
            picture=draw_density(places),
        )


def _load(session: Session, claim: Claim) -> tuple[Model, int]:
    """The model, and how much audio there was when the job was submitted."""
    model = None if claim.model_id is None else session.get(Model, claim.model_id)
    if model is None:
        raise ModelNotFound("The model of this map has been deleted.")
    return model, session.get_one(Job, claim.job_id).total


def _vectors(audio: Sequence[MapAudio]) -> Array:
    """Embeddings (N, D)."""
    numbers = np.frombuffer(b"".join(each.vector[VECTOR_HEADER:] for each in audio), ">f4")
    return numbers.astype(np.float32).reshape(len(audio), -1)


def _save(
    session: Session,
    claim: Claim,
    map_id: UUID,
    first: int,
    audio: Sequence[MapAudio],
    places: Places,
    total: int,
) -> None:
    xs, ys = places.T.tolist()
    save_points(session, map_id, first, [each.content_hash for each in audio], xs, ys)
    # One is left for the last step, in which the map appears.
    count_done(session, claim, max(0, min(first + len(audio), total - 1)))


def _publish(session: Session, claim: Claim, map_id: UUID, new: NewMap, encoder_id: int, total: int) -> None:
    coverage = measure_coverage(session, encoder_id, claim.library_id)
    complete_map(session, map_id, new, coverage)
    job = session.get_one(Job, claim.job_id)
    job.result = {
        "map_id": str(map_id),
        "model": job.params["model"],
        "library": job.params["library"],
        "points": len(new.colours),
        **asdict(coverage),
        "landmarks": new.landmarks,
        "trustworthiness": new.trustworthiness,
    }
    count_done(session, claim, total)
