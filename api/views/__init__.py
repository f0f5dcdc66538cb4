"""Rows as response shapes."""

from api.views.experiments import comparison, epochs, experiment, run, run_details, run_log
from api.views.jobs import RETRY_AFTER_S, item, job, job_list, job_prediction, read_job
from api.views.maps import found_map
from api.views.models import SCORE_DIGITS, model, retraining, retraining_progress
from api.views.studies import study_details, study_list, trials
from api.views.tracks import library, prediction, result, stored_prediction, track

__all__ = [
    "RETRY_AFTER_S",
    "SCORE_DIGITS",
    "comparison",
    "epochs",
    "experiment",
    "found_map",
    "item",
    "job",
    "job_list",
    "job_prediction",
    "library",
    "model",
    "prediction",
    "read_job",
    "result",
    "retraining",
    "retraining_progress",
    "run",
    "run_details",
    "run_log",
    "stored_prediction",
    "study_details",
    "study_list",
    "track",
    "trials",
]
