"""Every kind of job of this system. The gateway, the dispatcher and the workers register them at start."""

from core.jobs.kinds import register
from core.services.analysis import ANALYSIS
from core.services.covers import COVER
from core.services.maps import MAP
from core.services.peaks import PEAKS
from core.services.prediction import PREDICTION
from core.services.preview import PREVIEW
from core.services.thresholds import THRESHOLDS
from core.services.training import TRAINING
from core.services.tuning import TUNING


def register_kinds() -> None:
    register((ANALYSIS, PREDICTION, TRAINING, TUNING, THRESHOLDS, PREVIEW, PEAKS, COVER, MAP))
