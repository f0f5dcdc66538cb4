"""Body of a `cover` unit: the cover that one file holds."""

from sqlalchemy.orm import Session

from core.config.params import CoverParams
from core.errors import TrackNotAnalysed
from core.jobs.counters import count_unit_itself
from core.ml.audio.sandbox import read_cover
from core.store.corrections import NOT_IDENTIFIED
from core.store.covers import save_cover
from core.store.tracks import get_located_track
from workers.lease import Lease
from workers.listed_files import open_listed


def store_cover(lease: Lease) -> None:
    """Read the cover of the track and store it, or that there is none."""
    track_id = CoverParams.model_validate(lease.claim.params).track_id
    track, root = lease.transact(lambda session: get_located_track(session, track_id))
    file_hash = track.file_hash
    if file_hash is None:
        raise TrackNotAnalysed(NOT_IDENTIFIED)
    with open_listed(track, root) as file:
        jpeg = read_cover(file)

    def write(session: Session) -> None:
        save_cover(session, file_hash, jpeg)
        count_unit_itself(session, lease.claim)

    lease.write(write)
