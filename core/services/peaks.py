"""Jobs that compute the waveform of one track which was analysed before waveforms were stored."""

from core.config.params import PeaksParams
from core.jobs.kinds import UnitSpec
from core.services import queues
from core.services.track_jobs import spec_for_track

PEAKS_UNIT = UnitSpec("peaks", queues.INTERACTIVE, "workers.peaks:compute_peaks", is_one_item=True)
PEAKS = spec_for_track(PeaksParams, PEAKS_UNIT)
