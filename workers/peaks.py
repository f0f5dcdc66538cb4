"""Body of a `peaks` unit: the waveform of one track whose audio was analysed before."""

from typing import BinaryIO

from sqlalchemy.orm import Session

from core.config.params import PeaksParams
from core.errors import TrackNotAnalysed
from core.jobs.counters import count_unit_itself
from core.ml.audio.sandbox import stream
from core.ml.audio.waveform import Waveform, with_waveform
from core.settings import get_settings
from core.store.corrections import NOT_IDENTIFIED
from core.store.tracks import get_located_track
from core.store.waveforms import hold_audio, save_waveforms
from workers.lease import Lease
from workers.listed_files import open_listed

SAMPLE_RATE = 16_000  # Hz


def compute_peaks(lease: Lease) -> None:
    """Decode the track and store its waveform. Raises the error of a file that cannot be decoded."""
    track_id = PeaksParams.model_validate(lease.claim.params).track_id
    track, root = lease.transact(lambda session: get_located_track(session, track_id))
    content_hash = track.content_hash
    if content_hash is None:
        raise TrackNotAnalysed(NOT_IDENTIFIED)
    with open_listed(track, root) as file:
        waveform = _decode(lease, file)

    def write(session: Session) -> None:
        if hold_audio(session, content_hash):
            save_waveforms(session, {content_hash: waveform})
        count_unit_itself(session, lease.claim)

    lease.write(write)


def _decode(lease: Lease, file: BinaryIO) -> Waveform:
    pieces = with_waveform(
        stream(file, SAMPLE_RATE, max_duration_s=get_settings().max_duration_s), SAMPLE_RATE
    )
    while True:
        try:
            next(pieces)
        except StopIteration as stop:
            waveform: Waveform = stop.value.waveform
            return waveform
        lease.record_step()
