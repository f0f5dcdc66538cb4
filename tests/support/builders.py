"""Rows for tests: `make_x(session, **overrides)` adds one that is complete and plausible."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.config.params import AnalysisParams, JobKind, PredictParams
from core.config.tuning import TuningConfig
from core.scopes import Scope
from core.states import ItemState, JobState, TrialState, UnitState
from core.store.api_keys import create_api_key
from core.store.base import Base
from core.store.predictions import NewPrediction, save_predictions
from core.store.tables import (
    ApiKey,
    Encoder,
    Experiment,
    Job,
    JobItem,
    JobUnit,
    Library,
    Map,
    MapPoint,
    Model,
    ModelAlias,
    Prediction,
    Run,
    Study,
    Track,
    Trial,
    Worker,
)

LABELS = ["rock", "jazz", "ambient"]
EMBEDDING_SIZE = 4
STARTED = datetime(2026, 1, 1, 12, tzinfo=UTC)
STUDY: dict[str, Any] = {
    "study_name": "mine",
    "experiment": {
        "experiment_name": "mine",
        "dataset": {"kind": "library", "library": "music"},
        "model": {"kind": "transfer", "head": "linear"},
    },
    "space": {
        "training.lr": {"kind": "float", "low": 0.0001, "high": 0.1, "log": True},
        "training.optimizer": {"kind": "categorical", "choices": ["sgd", "adamw"]},
    },
    "n_trials": 30,
}
Row = TypeVar("Row", bound=Base)


def _add(session: Session, row: Row) -> Row:
    session.add(row)
    session.flush()
    return row


def make_library(session: Session, **overrides: Any) -> Library:
    name = overrides.get("name", f"library-{uuid4().hex[:8]}")
    return _add(session, Library(**{"name": name, "path": f"/music/{name}"} | overrides))


def make_model(session: Session, *, alias: str | None = "default", **overrides: Any) -> Model:
    """A version of a model with three labels; the default one unless stated otherwise."""
    values = {
        "name": "test-model",
        "version": 1,
        "kind": "musicnn",
        "labels": LABELS,
        "thresholds": [0.1] * len(LABELS),
        "embedding_size": EMBEDDING_SIZE,
        "artifact_url": "file:///models/test-model-1",
        "sha256": "0" * 64,
        "metrics": {"macro_roc_auc": 0.88},
    }
    values |= overrides
    if "encoder_id" not in values:
        values["encoder_id"] = make_encoder(session, str(values["sha256"])).id
    model = _add(session, Model(**values))
    if alias is not None:
        session.merge(ModelAlias(alias=alias, model_id=model.id))
        session.flush()
    return model


def make_encoder(session: Session, sha256: str) -> Encoder:
    known = session.scalars(select(Encoder).where(Encoder.sha256 == sha256)).one_or_none()
    return known or _add(session, Encoder(sha256=sha256))


def make_track(session: Session, library: Library | None = None, **overrides: Any) -> Track:
    library = library or make_library(session)
    values = {"library_id": library.id, "path": f"{uuid4().hex[:8]}.mp3", "size": 1000, "mtime_ns": 1}
    return _add(session, Track(**values | overrides))


def make_analysed_track(
    session: Session,
    library: Library,
    model: Model,
    path: str,
    scores: list[float] | None = None,
    embedding: list[float] | None = None,
    warnings: Sequence[str] = (),
    **overrides: Any,
) -> Track:
    """A track together with what a model says of it."""
    content_hash = overrides.pop("content_hash", uuid4().bytes * 2)
    make_prediction(session, model, content_hash, scores=scores, embedding=embedding, warnings=warnings)
    values = {"tags": {"title": path}} | overrides
    return make_track(session, library, path=path, content_hash=content_hash, **values)


def make_prediction(
    session: Session,
    model: Model,
    content_hash: bytes | None = None,
    *,
    scores: list[float] | None = None,
    embedding: list[float] | None = None,
    duration_s: float = 180.0,
    warnings: Sequence[str] = (),
) -> Prediction:
    content_hash = content_hash or uuid4().bytes * 2
    scores = scores or [0.6, 0.2, 0.05]
    embedding = embedding or [1.0, 0.0, 0.0, 0.0]
    new = NewPrediction(content_hash, "full", duration_s, scores, embedding, warnings)
    save_predictions(session, model, [new])
    return session.get_one(Prediction, (content_hash, model.id))


def make_job(session: Session, *, unit: dict[str, Any] | None = None, **overrides: Any) -> Job:
    """A job with its first unit: `plan` of an analysis, `predict` of a prediction."""
    kind = overrides.get("kind", JobKind.ANALYSIS)
    predicts = kind == JobKind.PREDICT
    params = PredictParams(filename="song.mp3") if predicts else AnalysisParams(library="music")
    values = {
        "kind": kind,
        "owner": "local",
        "params": params.model_dump(mode="json"),
        "total": int(predicts),
    }
    job = _add(session, Job(**values | overrides))
    first = ("predict", "interactive") if predicts else ("plan", "plan")
    make_unit(session, job, **{"seq": 0, "kind": first[0], "queue": first[1]} | (unit or {}))
    return job


def make_unit(session: Session, job: Job, **overrides: Any) -> JobUnit:
    values = {"job_id": job.id, "seq": 1, "kind": "analyse", "queue": "batch", "state": UnitState.READY}
    values |= overrides
    if any(values.get(counter) for counter in ("done", "failed", "skipped")):
        values.setdefault("started_at", func.now())
    return _add(session, JobUnit(**values))


def make_run(session: Session, experiment: str = "mine", **overrides: Any) -> Run:
    """A run with its training job, of which nothing has started."""
    row = session.scalars(select(Experiment).where(Experiment.name == experiment)).one_or_none()
    row = row or _add(session, Experiment(name=experiment))
    params = {"experiment": {"experiment_name": experiment}}
    unit = {"kind": "train", "queue": "train"}
    job = make_job(session, kind=JobKind.TRAINING, params=params, total=10, unit=unit)
    values = {
        "id": job.id,
        "experiment_id": row.id,
        "job_id": job.id,
        "config": params["experiment"],
        "seed": 0,
    }
    values |= overrides
    if values.get("model_id") is not None:
        values.setdefault("weights_sha256", session.get_one(Model, values["model_id"]).sha256)
    return _add(session, Run(**values))


def make_study(session: Session, *, config: dict[str, Any] | None = None, **overrides: Any) -> Study:
    """A study with its job, of which nothing has started; `config` replaces parts of its configuration."""
    content = TuningConfig.model_validate(STUDY | (config or {})).model_dump(mode="json")
    unit = {"kind": "trial", "queue": "trial"}
    wanted = {"params": {"study": content}, "total": content["n_trials"]}
    job = make_job(session, kind=JobKind.TUNING, **wanted, unit=unit)
    values = {"id": job.id, "name": content["study_name"], "config": content, "job_id": job.id}
    return _add(session, Study(**values | overrides))


def make_trial(session: Session, study: Study, number: int, value: float | None, **overrides: Any) -> Trial:
    """A complete trial; one without a value is pruned unless stated otherwise."""
    values = {
        "study_id": study.id,
        "number": number,
        "job_id": study.job_id,
        "state": TrialState.PRUNED if value is None else TrialState.COMPLETE,
        "params": {
            "training.lr": 0.0001 * 1.1 ** (number % 60),
            "training.optimizer": ("sgd", "adamw")[number % 2],
        },
        "values": None if value is None else [value],
        "started_at": STARTED,
        "finished_at": STARTED + timedelta(seconds=number + 1),
    }
    return _add(session, Trial(**values | overrides))


def make_item(session: Session, unit: JobUnit, track: Track, pos: int, **overrides: Any) -> JobItem:
    values = {"unit_id": unit.id, "pos": pos, "job_id": unit.job_id, "track_id": track.id}
    return _add(session, JobItem(**values | overrides))


def make_finished_job(
    session: Session, library: Library, model: Model, labelled: list[Track], failed: list[Track] | None = None
) -> Job:
    """A succeeded analysis with an outcome for every track."""
    failed = failed or []
    done = {"state": UnitState.DONE}
    job = make_job(
        session,
        library_id=library.id,
        model_id=model.id,
        state=JobState.SUCCEEDED,
        total=len(labelled) + len(failed),
        unit=done,
    )
    unit = make_unit(session, job, **done, done=len(labelled), failed=len(failed))
    for pos, track in enumerate(labelled):
        make_item(session, unit, track, pos, state=ItemState.DONE, content_hash=track.content_hash)
    error = {
        "state": ItemState.FAILED,
        "error_code": "not_audio",
        "error_detail": "The content is not audio.",
    }
    for pos, track in enumerate(failed, len(labelled)):
        make_item(session, unit, track, pos, **error)
    return job


def make_map(
    session: Session, model: Model, places: Sequence[tuple[bytes, int, int]], **overrides: Any
) -> Map:
    """A map of audio at places (content hash, x, y), all of which is labelled rock."""
    ordered = sorted(places)
    facts = {"tracks": len(places), "not_analysed": 0, "no_embedding": 0, "landmarks": len(places)}
    region = {"label": "rock", "level": 1, "x": 30_000, "y": 60_000, "tracks": len(places)}
    values = {
        "encoder_id": model.encoder_id,
        "model": model.reference,
        "seed": 0,
        "completed_at": datetime.now(UTC),
        "points": len(places),
        "facts": {**facts, "trustworthiness": 0.97, "regions": [region]},
        "labels": ["rock"],
        "positions": b"".join(x.to_bytes(2, "little") + y.to_bytes(2, "little") for _, x, y in ordered),
        "colours": bytes([1] * len(places)),
        "picture": b"\x89PNG\r\n\x1a\n",
    }
    drawn = _add(session, Map(**values | overrides))
    for place, (content_hash, x, y) in enumerate(ordered):
        _add(session, MapPoint(map_id=drawn.id, place=place, content_hash=content_hash, x=x, y=y))
    return drawn


def make_api_key(session: Session, scope: str = "write", **overrides: Any) -> tuple[ApiKey, str]:
    """A key and its secret."""
    key, secret = create_api_key(session, "test", Scope(scope))
    for name, value in overrides.items():
        setattr(key, name, value)
    session.flush()
    return key, secret


def make_worker(session: Session, *queues: str, **overrides: Any) -> Worker:
    values = {"name": f"worker-{uuid4().hex[:8]}", "queues": list(queues), "slots": 1}
    return _add(session, Worker(**values | overrides))
