"""A thread that does what workers do, as far as rows can tell: no audio is opened, no model is run."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.jobs import claims, endings
from core.jobs.claims import Claim
from core.jobs.items import Outcome, load_work, record_outcomes
from core.library.scan import FoundFile, LeftOut, scan
from core.services.analysis import ANALYSE
from core.services.planning import PlannedItem, PlannedUnit, add_page
from core.states import ItemState
from core.store.predictions import NewPrediction, save_predictions
from core.store.session import SessionFactory, transaction
from core.store.tables import JobUnit, Library, Model
from core.store.tracks import AnalysedFile, SeenFile, save_analysed, upsert_tracks


@contextmanager
def worker(db: SessionFactory) -> Iterator[None]:
    """Plans and analyses submitted jobs; files named `bad...` fail, `damaged` ones have a warning."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            with transaction(db) as session:
                ready = select(JobUnit.id).where(JobUnit.state == "ready").order_by(JobUnit.id).limit(1)
                unit_id = session.scalars(ready).one_or_none()
                claim = unit_id and claims.claim_unit(session, unit_id, "stand-in", 60)
                if claim:
                    (plan if claim.kind == "plan" else analyse)(session, claim)
                    endings.finish_unit(session, claim)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def plan(session: Session, claim: Claim) -> None:
    library = session.get_one(Library, claim.library_id)
    entries = list(scan(Path(library.path), claim.params["path"]))
    files = [
        SeenFile(entry.path, entry.size, entry.mtime_ns) for entry in entries if isinstance(entry, FoundFile)
    ]
    left_out = Counter(entry.reason for entry in entries if isinstance(entry, LeftOut))
    tracks = upsert_tracks(session, library.id, files)
    chunk = PlannedUnit(ANALYSE, [PlannedItem(track.id) for track in tracks])
    add_page(
        session,
        claim,
        [chunk] if tracks else [],
        cursor=claim.payload,
        next_cursor={"after": "~"},
        left_out=left_out,
    )


def analyse(session: Session, claim: Claim) -> None:
    """The angle of a track's embedding is its place in the unit, so neighbours are known."""
    model, outcomes = session.scalars(select(Model)).one(), []
    for item in load_work(session, claim):
        if Path(item.path).name.startswith("bad"):
            sentence = "The content is not audio."
            outcomes.append(
                Outcome(item.pos, ItemState.FAILED, error_code="not_audio", error_detail=sentence)
            )
            continue
        digest = item.path.encode().ljust(32, b"\0")
        warnings = ["0.30 s are missing."] if "damaged" in item.path else []
        embedding = [1.0, item.pos, 0.0, 0.0]
        prediction = NewPrediction(digest, "full", 10.0, [0.6, 0.2, 0.05], embedding, warnings)
        save_predictions(session, model, [prediction])
        tags_error = "APEv2: it is damaged." if "damaged tags" in item.path else None
        file = AnalysedFile(item.track_id, item.path, 1, 1, digest, digest[::-1], {}, tags_error)
        save_analysed(session, [file])
        outcomes.append(Outcome(item.pos, ItemState.DONE, digest))
    record_outcomes(session, claim, outcomes)
