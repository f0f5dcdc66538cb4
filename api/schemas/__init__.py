"""Shapes of requests and responses, by noun. Torch-free and database-free: the client uses them too."""

from api.schemas.analysis import AnalysisOutcome, Result
from api.schemas.base import Page, Request, Response
from api.schemas.duplicates import DuplicateGroup, DuplicateKind, Duplicates, DuplicateTrack
from api.schemas.experiments import Epoch, Experiment, ExperimentRuns, Run, RunComparison, RunDetails
from api.schemas.health import Health, Readiness
from api.schemas.jobs import (
    AnalysisRequest,
    CurrentActivity,
    Item,
    Job,
    JobRequest,
    Progress,
    ThresholdsRequest,
    TrainingRequest,
    TuningRequest,
)
from api.schemas.keys import ApiKey, ApiKeyRequest, NewApiKey
from api.schemas.libraries import Library, LibraryChange, LibraryRequest
from api.schemas.models import Model, PromotionRequest
from api.schemas.predictions import Label, Prediction
from api.schemas.problems import FieldError, JobError, Problem
from api.schemas.studies import (
    BestRequest,
    BestTrial,
    ResumeRequest,
    Study,
    StudyDetails,
    Trial,
    TrialDetails,
    TrialPoint,
    TuningOutcome,
)
from api.schemas.thresholds import LabelThreshold, ThresholdOutcome, ThresholdPoint
from api.schemas.tracks import Embedding, SimilarTrack, SimilarTracks, Track
from api.schemas.training import Interval, LabelOutcome, TrainingOutcome

__all__ = [
    "AnalysisOutcome",
    "AnalysisRequest",
    "ApiKey",
    "ApiKeyRequest",
    "BestRequest",
    "BestTrial",
    "CurrentActivity",
    "DuplicateGroup",
    "DuplicateKind",
    "DuplicateTrack",
    "Duplicates",
    "Embedding",
    "Epoch",
    "Experiment",
    "ExperimentRuns",
    "FieldError",
    "Health",
    "Interval",
    "Item",
    "Job",
    "JobError",
    "JobRequest",
    "Label",
    "LabelOutcome",
    "LabelThreshold",
    "Library",
    "LibraryChange",
    "LibraryRequest",
    "Model",
    "NewApiKey",
    "Page",
    "Prediction",
    "Problem",
    "Progress",
    "PromotionRequest",
    "Readiness",
    "Request",
    "Response",
    "Result",
    "ResumeRequest",
    "Run",
    "RunComparison",
    "RunDetails",
    "SimilarTrack",
    "SimilarTracks",
    "Study",
    "StudyDetails",
    "ThresholdOutcome",
    "ThresholdPoint",
    "ThresholdsRequest",
    "Track",
    "TrainingOutcome",
    "TrainingRequest",
    "Trial",
    "TrialDetails",
    "TrialPoint",
    "TuningOutcome",
    "TuningRequest",
]
