"""Requests to choose a model's thresholds anew."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.db.tables import Job, Model, Run
from core.errors import InvalidConfig
from core.experiment_config import ExperimentConfig
from core.params import JobKind, ThresholdParams
from core.queue import TRIAL
from core.services.experiments import add_run
from core.services.jobs import Submission, submit_job
from core.services.registry import resolve_model
from core.services.units import Claim, count_unit_itself

VALIDATION_FILE = "validation_scores.safetensors"  # what a training leaves beside a model


def submit_thresholds(
    session: Session, params: ThresholdParams, owner: str, idempotency_key: str | None = None
) -> Submission:
    """Queue it; a run holds the version of the model to come until that is registered."""
    model = resolve_model(session, params.model)
    folder = folder_of(model)
    if not (folder / VALIDATION_FILE).is_file():
        raise InvalidConfig(
            f"thresholds.model: {model.name}@{model.version} has left no scores of validation tracks, "
            "as only models trained here do; train it again."
        )
    if model.single_label:
        raise InvalidConfig(
            f"thresholds.model: {model.name}@{model.version} gives a track the one label that scores highest."
        )
    job = {
        "kind": JobKind.TUNING,
        "owner": owner,
        "params": {"thresholds": params.model_dump(mode="json")},
        "model_id": model.id,
        "total": 1,
    }
    submission = submit_job(session, job, {"kind": "thresholds", "queue": TRIAL}, idempotency_key)
    if not submission.replayed:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        config = ExperimentConfig.model_validate_json(card["provenance"]["config"])
        add_run(session, submission.job, config)
    return submission


def folder_of(model: Model) -> Path:
    """Where the model's artifact lies."""
    return Path(url2pathname(urlsplit(model.artifact_url).path))


def finish_thresholds(session: Session, claim: Claim, result: dict[str, Any]) -> None:
    """Write what came out; the registered model holds its version itself from now on."""
    session.execute(delete(Run).where(Run.id == claim.job_id))
    session.get_one(Job, claim.job_id).result = result
    session.flush()
    count_unit_itself(session, claim)
