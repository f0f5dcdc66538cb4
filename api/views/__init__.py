"""Rows as response shapes."""

from api.views.experiments import comparison, epochs, experiment, run, run_details, run_log
from api.views.jobs import RETRY_AFTER_S, item, job, job_list, job_prediction, read_job
from api.views.models import SCORE_DIGITS, model, retraining, retraining_progress
from api.views.studies import study, study_details, trials
from api.views.tracks import library, prediction, result, stored_prediction, track

__all__ = [
    "RETRY_AFTER_S",
    "SCORE_DIGITS",
    "comparison",
    "epochs",
    "experiment",
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
    "study",
    "study_details",
    "track",
    "trials",
]
