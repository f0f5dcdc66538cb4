"""Every table. Postgres is the truth: what is not written here did not happen."""

from core.store.tables.api_keys import ApiKey, BrowserSession
from core.store.tables.corrections import Correction, CorrectionChange, CorrectionEntry, LabelSet, Review
from core.store.tables.experiments import Epoch, Experiment, Run, Study, Trial
from core.store.tables.jobs import Job, JobItem, JobUnit, Worker
from core.store.tables.libraries import KeptTotals, Library, Track, TrackCount
from core.store.tables.maps import Map, MapPoint
from core.store.tables.models import Encoder, Model, ModelAlias, Retraining, TrainingTrack
from core.store.tables.results import Cover, Embedding, Prediction, PredictionLabel, Waveform
from core.store.tables.saved_queries import SavedQuery

__all__ = [
    "ApiKey",
    "BrowserSession",
    "Correction",
    "CorrectionChange",
    "CorrectionEntry",
    "Cover",
    "Embedding",
    "Encoder",
    "Epoch",
    "Experiment",
    "Job",
    "JobItem",
    "JobUnit",
    "KeptTotals",
    "LabelSet",
    "Library",
    "Map",
    "MapPoint",
    "Model",
    "ModelAlias",
    "Prediction",
    "PredictionLabel",
    "Retraining",
    "Review",
    "Run",
    "SavedQuery",
    "Study",
    "Track",
    "TrackCount",
    "TrainingTrack",
    "Trial",
    "Waveform",
    "Worker",
]
