"""Jobs that read the cover out of the file of one track when somebody looks at it."""

from core.config.params import CoverParams
from core.jobs.kinds import UnitSpec
from core.services import queues
from core.services.track_jobs import spec_for_track

COVER_UNIT = UnitSpec("cover", queues.INTERACTIVE, "workers.covers:store_cover", is_one_item=True)
COVER = spec_for_track(CoverParams, COVER_UNIT)
