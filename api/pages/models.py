"""Models: versions, what they were trained on and reach, what would change, promotion and its undoing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field

from api import schemas, views
from api.deps import ADMIN, WRITE, ContextDep, Reader, SessionDep
from api.model_comparison import side_by_side
from api.pages.addresses import redirect
from api.pages.forms import Blank, Once
from api.pages.learning import find_learning
from api.pages.measures import Measure, first_of, measures_of, names_of
from api.pages.model_scores import Decided, LabelScores, read_held_out, read_matrix
from api.pages.rendering import render
from core.config.dataset import reads_corrections
from core.config.params import JobKind, PreviewParams
from core.errors import Invalid, JobNotFound
from core.jobs.jobs import get_job
from core.jobs.submission import submit_job
from core.scopes import Scope
from core.services.retraining import train_now
from core.store import registry, tables
from core.store.experiments import find_training, get_run, list_artifacts
from core.store.libraries import list_library_names
from core.store.model_comparison import MOST, compare_models

router = APIRouter(prefix="/models", include_in_schema=False)

MOST_MODELS = 200  # on the list
MOST_LABELS = 200  # in a table
PICTURE = "co_occurrence.png"
Score = Annotated[Annotated[float, Field(ge=0, le=1)] | None, Blank, Query()]
Library = Annotated[str | None, Blank, Form(max_length=200)]


@dataclass(frozen=True)
class Version:
    """A line of the list of models."""

    model: schemas.Model
    reference: str
    f1: Measure | None
    pr_auc: Measure | None  # also called average precision


@dataclass(frozen=True)
class Training:
    """What made a model, as far as its run is known."""

    run_id: UUID
    at: datetime
    dataset: str
    reads_corrections: bool
    tracks: dict[str, int]  # `all`, and of one split each part
    folds: int | None  # of a cross-validation
    is_measured: bool
    is_own: bool  # False: the thresholds were tuned after it
    has_intervals: bool
    warnings: list[str]


@dataclass(frozen=True)
class ThresholdChoice:
    """The threshold of a label beside another one: what both decide on the held-out tracks."""

    label: str
    own: Decided  # by the threshold that the model has
    chosen: Decided

    @property
    def gained(self) -> int:
        return max(0, self.chosen.given - self.own.given)

    @property
    def lost(self) -> int:
        return max(0, self.own.given - self.chosen.given)


@dataclass(frozen=True)
class LabelLine:
    """A label of a model: its threshold, and what the training measured; None where it is not known."""

    label: str
    threshold: float
    support: int | None
    precision: float | None
    recall: float | None
    f1: float | None
    pr_auc: float | None
    calibration_error: float | None


@router.get("")
def show_models(request: Request, caller: Reader, session: SessionDep) -> HTMLResponse:
    aliases = registry.list_aliases(session)
    rows = registry.list_models(session)
    previous = _named(session, aliases.get(registry.PREVIOUS_ALIAS)) if caller.may(Scope.ADMIN) else None
    return render(
        request,
        "models.html",
        caller,
        versions=[
            Version(
                views.model(row, aliases),
                row.reference,
                first_of(row.metrics, ("f1_macro",)),
                first_of(row.metrics, ("pr_auc_macro", "macro_pr_auc")),
            )
            for row in rows[:MOST_MODELS]
        ],
        left_out=max(0, len(rows) - MOST_MODELS),
        previous=previous.reference if previous is not None else None,
        most_compared=MOST,
        learning=find_learning(session),
        once=str(uuid4()),
    )


@router.get("/compare")
def show_comparison(
    request: Request,
    caller: Reader,
    session: SessionDep,
    models: Annotated[list[str] | None, Query(max_length=MOST)] = None,
) -> HTMLResponse:
    named = [each.strip() for part in models or () for each in part.split(",")]
    found = side_by_side(compare_models(session, named), registry.list_aliases(session))
    return render(
        request,
        "model_comparison.html",
        caller,
        found=found,
        names=names_of(found.metrics),
        most_labels=MOST_LABELS,
    )


@router.get("/{name}")
def show_model(
    request: Request,
    name: str,
    caller: Reader,
    session: SessionDep,
    label: Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()] = None,
    threshold: Score = None,
) -> HTMLResponse:
    """With `label`, how far its scores hold; with `threshold`, what this one would decide of it."""
    row = registry.resolve_model(session, name)
    aliases = registry.list_aliases(session)
    run = find_training(session, row)
    results = (run.results if run else None) or {}
    training = _training(run, row) if run else None
    held_out = read_held_out(session, run) if run else None
    scores = held_out.find(label) if held_out else None
    if label is not None and scores is None:
        raise Invalid(f"No scores of held-out tracks are stored for a label {label!r} of {row.reference}.")
    is_own = training is not None and training.is_own
    artifacts = list_artifacts(get_run(session, run.id)) if run and is_own else []
    supports = [each["support"] for each in results.get("per_label", ())]
    matrix = read_matrix(session, run, row.labels, supports) if run and PICTURE in artifacts else None
    serving = _named(session, aliases.get(registry.DEFAULT_ALIAS))
    previous = _named(session, aliases.get(registry.PREVIOUS_ALIAS)) if caller.may(Scope.ADMIN) else None
    return render(
        request,
        "model.html",
        caller,
        model=views.model(row, aliases),
        reference=row.reference,
        single_label=row.single_label,
        training=training,
        measures=measures_of(row.metrics, results.get("intervals", {})),
        labels=_label_lines(row, results, has_own_thresholds=is_own)[:MOST_LABELS],
        held_out=held_out,
        scores=scores,
        moved=_threshold_choice(row, scores, threshold) if scores and not row.single_label else None,
        matrix=matrix,
        picture=PICTURE if PICTURE in artifacts and matrix is None else None,
        serving=serving.reference if serving is not None else None,
        is_default=serving is not None and serving.id == row.id,
        previous=previous.reference if previous is not None else None,
        libraries=list_library_names(session),
        learning=find_learning(session) if serving is not None and serving.id == row.id else None,
        once=str(uuid4()),
    )


@router.post("/{name}/preview")
def start_preview(
    request: Request,
    name: str,
    session: SessionDep,
    context: ContextDep,
    against: Annotated[str, Form(max_length=200)] = registry.DEFAULT_ALIAS,
    library: Library = None,
    once: Once = "",
) -> Response:
    model = registry.resolve_model(session, name)
    params = PreviewParams(model=model.reference, against=against, library=library)
    job = submit_job(session, params, replace(context, idempotency_key=once or None)).job
    return redirect(request, f"{_address(model)}/preview?job={job.id}")


@router.get("/{name}/preview")
def show_preview(request: Request, name: str, job: UUID, caller: Reader, session: SessionDep) -> HTMLResponse:
    """What a job of kind `preview` has found out, also while it is running."""
    row = get_job(session, job, visible_to=caller.visible_to)
    if row.kind != JobKind.PREVIEW:
        raise JobNotFound
    model = registry.resolve_model(session, name)
    shown = views.job(session, row)
    outcome = shown.result if isinstance(shown.result, schemas.PreviewOutcome) else None
    default = registry.list_aliases(session).get(registry.DEFAULT_ALIAS)
    return render(
        request,
        "preview.html",
        caller,
        model=model.reference,
        job=shown,
        found=outcome,
        is_default=default == model.id,
        labels=outcome.labels[:MOST_LABELS] if outcome else [],
        most_changed=max((each.gained + each.lost for each in outcome.labels), default=0) if outcome else 0,
    )


@router.post("/{name}/retrain", dependencies=[WRITE])
def retrain(
    request: Request, name: str, session: SessionDep, context: ContextDep, once: Once = ""
) -> Response:
    """Train the models of this name again now, with what people have said since; the run has the job's id."""
    job = train_now(session, name, replace(context, idempotency_key=once or None)).job
    return redirect(request, f"training/{job.id}")


@router.post("/{name}/promote", dependencies=[ADMIN])
def promote(request: Request, name: str, session: SessionDep) -> Response:
    """Make a version the default model."""
    model = registry.resolve_model(session, name)
    promoted = registry.promote_model(session, model.name, model.version)
    return redirect(request, _address(promoted))


@router.post("/rollback", dependencies=[ADMIN])
def roll_back(request: Request, session: SessionDep) -> Response:
    return redirect(request, _address(registry.roll_back(session)))


def describe_dataset(dataset: Mapping[str, Any]) -> str:
    """What a model was trained on, in some words."""
    kind, library = dataset.get("kind"), dataset.get("library")
    if kind == "corrections":
        return f"what people said of the library {library}"
    if kind == "library":
        words = {"genre_tags": "genre tags", "folder": "names of folders", "words": "words in paths"}
        source = words.get(str(dataset.get("labels_from")), "labels")
        return f"{source} of the library {library}" + (
            ", corrected by people" if dataset.get("corrections") else ""
        )
    return f"dataset of kind {kind} at {dataset.get('root')}"


def _training(run: tables.Run, model: tables.Model) -> Training:
    results = run.results or {}
    return Training(
        run_id=run.id,
        at=run.created_at,
        dataset=describe_dataset(run.config.get("dataset", {})),
        reads_corrections=reads_corrections(run.config),
        tracks=results.get("tracks", {}),
        folds=results.get("folds"),
        is_measured=bool(results),
        is_own=run.model_id == model.id,
        has_intervals=bool(results.get("intervals")),
        warnings=results.get("warnings", []),
    )


def _threshold_choice(
    row: tables.Model, scores: LabelScores, threshold: float | None
) -> ThresholdChoice | None:
    if scores.label not in row.labels:
        return None
    own = row.thresholds[row.labels.index(scores.label)]
    chosen = own if threshold is None else threshold
    return ThresholdChoice(scores.label, scores.decide(own), scores.decide(chosen))


def _label_lines(
    row: tables.Model, results: Mapping[str, Any], *, has_own_thresholds: bool
) -> list[LabelLine]:
    measured = {each["label"]: each for each in results.get("per_label", ())}
    by_threshold = ("precision", "recall", "f1")
    lines = []
    for label, threshold in zip(row.labels, row.thresholds, strict=True):
        known = measured.get(label, {})
        decided = {name: known.get(name) if has_own_thresholds else None for name in by_threshold}
        others = {name: known.get(name) for name in ("support", "pr_auc", "calibration_error")}
        lines.append(LabelLine(label, threshold, **decided, **others))
    return lines


def _named(session: SessionDep, model_id: int | None) -> tables.Model | None:
    return session.get(tables.Model, model_id) if model_id is not None else None


def _address(model: tables.Model) -> str:
    return f"models/{quote(model.reference, safe='@')}"
