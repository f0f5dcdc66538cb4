"""What jobs are called on pages."""

from typing import Any

from api import schemas
from core.config.params import JobKind

OTHER_NAMES = {
    JobKind.PREDICT: "Uploaded file",
    JobKind.TUNING: "Study",
    JobKind.PEAKS: "Waveform",
    JobKind.COVER: "Cover",
}
KINDS = {kind: OTHER_NAMES.get(kind, kind.capitalize()) for kind in JobKind}


def kind_of(job: schemas.Job) -> str:
    return KINDS[job.kind]


def subject_of(job: schemas.Job) -> str:
    """What a job is about: a library and folder, a file, an experiment, a study, a model."""
    params = job.params
    if job.kind in (JobKind.ANALYSIS, JobKind.PEAKS, JobKind.COVER):
        return "/".join(part for part in (_text(params, "library"), _text(params, "path")) if part)
    if job.kind is JobKind.PREDICT:
        return _text(params, "filename")
    if job.kind is JobKind.TRAINING:
        return _name(params.get("experiment"), "experiment_name")
    if job.kind is JobKind.TUNING:
        return _name(params.get("study"), "study_name")
    return _text(params, "model")


def title_of(job: schemas.Job) -> str:
    """Kind and subject: `Analysis of music/jazz`."""
    subject = subject_of(job)
    return f"{kind_of(job)} of {subject}" if subject else kind_of(job)


def _text(params: dict[str, Any], name: str) -> str:
    value = params.get(name)
    return value if isinstance(value, str) else ""


def _name(config: Any, key: str) -> str:
    """Of a configuration: itself if it is named, else what it calls itself."""
    return config if isinstance(config, str) else _text(config or {}, key)
