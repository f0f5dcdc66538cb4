"""The `tune` command: submit a study and follow its trials, or tune the thresholds of a model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import Client, UsageError
from api.client.options import Json, refuse_others
from api.client.progress import follow, result_of
from api.client.references import find_study
from api.client.studies import show_study
from api.client.train import place_root
from core.config.experiment import parse_experiment
from core.config.params import ThresholdParams
from core.config.search_space import explicit_fields
from core.config.tuning import TuningConfig, load_tuning

HEEDED = {  # options by what is tuned
    "config": ("trials", "max_parallel"),
    "resume": ("trials",),
    "thresholds": ("beta", "min_precision", "force"),
}


def tune(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="A YAML file of configs/tuning.")] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials; with --resume, of additional ones.")
    ] = None,
    max_parallel: Annotated[
        int | None, typer.Option(min=1, help="Number of trials to run in parallel.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="STUDY", help="Resume this study; its id may be cut short."),
    ] = None,
    thresholds: Annotated[
        str | None, typer.Option(help="Instead: re-tune the label thresholds of this model.")
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(min=0.01, max=10, help="Weight of recall relative to precision (F-beta); 1 by default."),
    ] = None,
    min_precision: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Maximise recall at this precision or a higher one.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Register a version also for a gain that may be chance.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tune an experiment, or the thresholds of a model."""
    if sum(given is not None for given in (config, resume, thresholds)) != 1:
        raise UsageError("Name one of --config FILE, --resume STUDY and --thresholds MODEL.")
    if resume is not None and trials is None:
        raise UsageError("Give the number of additional trials: `mfa tune --resume STUDY --trials 20`.")
    if beta is not None and min_precision is not None:
        raise UsageError("Name --beta or --min-precision, and not both.")
    mode = "config" if config is not None else "resume" if resume is not None else "thresholds"
    refuse_others(context, f"--{mode}", {mode, *HEEDED[mode], "as_json"})
    with connect() as client:
        if config is not None:
            study = load(config, {"n_trials": trials, "max_parallel": max_parallel})
            follow_study(client, client.submit_study(study), as_json=as_json)
        elif resume is not None:
            study_id = find_study(client, resume)
            follow_study(client, client.resume_study(study_id, trials or 0), as_json=as_json)
        elif thresholds is not None:
            wanted = ThresholdParams(model=thresholds, beta=beta, min_precision=min_precision, force=force)
            tune_thresholds(client, wanted, as_json=as_json)


def load(file: Path, changes: dict[str, Any]) -> TuningConfig:
    """The study of a file; the root of an experiment in it is relative to the working directory."""
    config = load_tuning(file)
    if isinstance(config.experiment, dict):
        placed = explicit_fields(place_root(parse_experiment(config.experiment)))
        config = config.model_copy(update={"experiment": placed})
    return config.model_copy(update={name: value for name, value in changes.items() if value is not None})


def follow_study(client: Client, job: schemas.Job, *, as_json: bool) -> None:
    job = follow(client, job)
    if as_json:
        display.show_json(job)
    study_id = result_of(job, schemas.TuningOutcome, "study").study_id
    if as_json:
        return
    show_study(client, study_id)
    display.say(
        f"Next: `mfa studies {study_id} --train-best` trains the best for all epochs; "
        f"`mfa tune --resume {study_id} --trials 20` goes on."
    )


def tune_thresholds(client: Client, params: ThresholdParams, *, as_json: bool) -> None:
    job = follow(client, client.submit_thresholds(params))
    if as_json:
        display.show_json(job)
    outcome = result_of(job, schemas.ThresholdOutcome, "tuning of thresholds")
    if not as_json:
        show_thresholds(outcome)


def show_thresholds(outcome: schemas.ThresholdOutcome) -> None:
    display.show_table(
        "On the validation tracks",
        ("label", "tracks", "threshold", "before", "given", "precision", "recall"),
        ((each.label, each.support, *_figures(each)) for each in outcome.labels),
    )
    if not outcome.cross_fitted:
        display.say(
            "All validation tracks are of one artist or album: precision and recall are those on the tracks "
            "that the thresholds were chosen on, and too high.",
            "red",
        )
    for each in outcome.labels:
        if each.kept:
            display.say(f"{each.label} keeps its threshold: {each.kept}.", "red")
    if outcome.measure is not None:
        display.say(
            f"The {outcome.measure}: {display.number_of(outcome.value)}, with the former thresholds "
            f"{display.number_of(outcome.value_before)}."
        )
    show_next(outcome)


def show_next(outcome: schemas.ThresholdOutcome) -> None:
    """To promote is proposed only after a gain that is shown."""
    if outcome.verdict == "better":
        display.say(f"The same weights with these thresholds are {outcome.model}.", "bold")
        display.say(
            f"Next: `mfa models preview {outcome.model}` shows what would change in the libraries, "
            f"`mfa models promote {outcome.model}` makes it the default model."
        )
        return
    display.say(f"{reason_of(outcome)}: {registered_of(outcome)}.", "bold")


def reason_of(outcome: schemas.ThresholdOutcome) -> str:
    """Why the thresholds are not proposed."""
    if outcome.verdict == "unchanged":
        return "No threshold is another one"
    if outcome.verdict == "undecided" and outcome.chance is not None:
        return (
            "The gain may be chance: of thresholds that are worth the same, one looks better by as much in "
            f"{outcome.chance:.0%} of cases"
        )
    return "No gain is shown"


def registered_of(outcome: schemas.ThresholdOutcome) -> str:
    if outcome.verdict == "undecided" and outcome.model is not None:
        return f"as you forced it, {outcome.model} has these thresholds"
    if outcome.model is not None:  # by an earlier version of the server
        return f"there is no reason to promote {outcome.model}"
    others = "; `--force` registers one" if outcome.verdict == "undecided" else ""
    return f"no version is registered, and the model stays as it is{others}"


def _figures(label: schemas.LabelThreshold) -> tuple[float | None, ...]:
    return label.threshold, label.before, label.given, label.precision, label.recall
