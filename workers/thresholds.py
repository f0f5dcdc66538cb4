"""Body of a `thresholds` unit: chooses a model's thresholds by its validation tracks; a new version of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from core.db.tables import Job, Model
from core.evaluation.thresholds import choose_thresholds, precise_thresholds, precision_recall_front
from core.inference.tagger import served
from core.models import artifact
from core.models.artifact import ModelCard, StoredCard
from core.params import ThresholdParams
from core.services.experiments import free_version
from core.services.predictions import copy_predictions
from core.services.registry import register_artifact, resolve_model
from core.services.thresholds import folder_of
from core.services.units import count_unit_itself
from core.settings import get_settings
from core.training.records import VALIDATION_FILE, HeldOut, read_validation
from workers.install import install
from workers.lease import Lease
from workers.training import storable

MOST_POINTS = 50
Scores = npt.NDArray[np.float64]


def tune_thresholds(lease: Lease) -> None:
    """Started again after whatever, it comes to the same thresholds; once registered, it only relabels."""
    with lease.sessions() as session:
        source = session.get_one(Model, lease.claim.model_id)
    params = ThresholdParams.model_validate(lease.claim.params["thresholds"])
    stored = artifact.load(folder_of(source))
    assert isinstance(stored.card, StoredCard)
    held_out = read_validation(folder_of(source))
    scores = served(stored.card, held_out.scores).astype(np.float64)
    chosen = choose(params, held_out.targets, scores)
    labels = describe(stored.card, held_out, scores, chosen)
    result: dict[str, Any] = {
        "labels": [storable(label) for label in labels],
        "unreached": unreached(params, labels),
    }
    lease.check()
    make_card = partial(new_card, stored.card, params, chosen)
    model = lease.write(partial(_register, lease=lease, stored=stored, make_card=make_card, result=result))
    _relabel(lease, source, model)
    lease.write(lambda session: count_unit_itself(session, lease.claim))


def _register(
    session: Session,
    lease: Lease,
    stored: artifact.Artifact,
    make_card: Callable[[int], ModelCard],
    result: dict[str, Any],
) -> Model:
    """The new model: its version is taken, its files are installed and the answer is written, all at once."""
    job = session.get_one(Job, lease.claim.job_id)
    if job.result:
        return resolve_model(session, job.result["model"])
    source = session.get_one(Model, lease.claim.model_id)
    card = make_card(free_version(session, source.name))
    settings = get_settings()
    with TemporaryDirectory(dir=_made(settings.training_dir)) as made:
        artifact.save(card, stored.model, Path(made) / "model", _records(folder_of(source)))
        installed = install(Path(made) / "model", settings.models_dir / f"{card.name}-{card.version}")
    model = register_artifact(session, installed)
    job.result = {"model": f"{model.name}@{model.version}", **result}
    session.flush()
    return model


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def choose(params: ThresholdParams, targets: Scores, scores: Scores) -> Scores:
    """A threshold per label (L,). Each label has no more decisions than tracks, so every one is looked at."""
    if params.min_precision is not None:
        return precise_thresholds(targets, scores, params.min_precision)
    return choose_thresholds(targets, scores, beta=params.beta or 1.0)


def unreached(params: ThresholdParams, labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels without the precision that was asked for; also those that no validation track has."""
    if params.min_precision is None:
        return []
    return [each["label"] for each in labels if not each["precision"] >= params.min_precision]


def describe(card: ModelCard, held_out: HeldOut, scores: Scores, chosen: Scores) -> list[dict[str, Any]]:
    """Per label what the new threshold gives on the validation tracks."""
    truth = held_out.targets.astype(bool)
    given = scores >= chosen
    hits = (given & truth).sum(0)
    with np.errstate(invalid="ignore"):
        precision, recall = hits / given.sum(0), hits / truth.sum(0)
    return [
        {
            "label": label,
            "threshold": float(chosen[at]),
            "before": card.thresholds[at],
            "support": int(truth[:, at].sum()),
            "precision": float(precision[at]),
            "recall": float(recall[at]),
            "front": _front(truth[:, at], scores[:, at]),
        }
        for at, label in enumerate(card.labels)
    ]


def _front(truth: npt.NDArray[np.bool_], scores: Scores) -> list[dict[str, float]]:
    """Precision against recall of one label, at most `MOST_POINTS` of the decisions that are worth it."""
    points = precision_recall_front(truth, scores)
    places = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
    return [dict(zip(("threshold", "precision", "recall"), points[at], strict=True)) for at in places]


def new_card(card: StoredCard, params: ThresholdParams, chosen: Scores, version: int) -> ModelCard:
    """The same model with other thresholds. What was measured with the old ones is left out."""
    aim = (
        f"beta {params.beta or 1:g}"
        if params.min_precision is None
        else f"precision {params.min_precision:g}"
    )
    content = card.model_dump(exclude={"weights_sha256"}) | {
        "version": version,
        "thresholds": tuple(map(float, chosen)),
        "metrics": {name: value for name, value in card.metrics.items() if not name.startswith("f1_")},
        "provenance": {
            **card.provenance,
            "thresholds_of": f"{card.name}@{card.version}",
            "thresholds_for": aim,
        },
    }
    return ModelCard.model_validate(content)


def _relabel(lease: Lease, source: Model, model: Model) -> None:
    """What has been heard is labelled by the new thresholds at once: the scores are the same."""
    after: bytes | None = b""
    while after is not None:
        lease.check()
        after = lease.write(partial(copy_predictions, source=source, target=model, after=after))


def _records(folder: Path) -> dict[str, bytes]:
    return {VALIDATION_FILE: (folder / VALIDATION_FILE).read_bytes()}
