"""The `models preview` and `models compare` commands."""

import time

import typer

from api import schemas
from api.client import display
from api.client.http import Client, ClientError
from api.client.label import LOOK_EVERY_S, follow, leave_or_cancel
from core.config.params import PreviewParams
from core.states import TERMINAL_JOB_STATES

SHOWN_LABELS = 30
SHOWN_WARNINGS = 3  # of each training


def preview(client: Client, params: PreviewParams, *, as_json: bool) -> None:
    job = client.submit_preview(params)
    job = _wait(client, job) if as_json else _follow(client, job)
    if not isinstance(job.result, schemas.PreviewOutcome):
        raise ClientError(f"Nothing came of it: {job.error.detail if job.error else job.state}")
    if as_json:
        typer.echo(job.result.model_dump_json(indent=2))
    else:
        show_preview(job.result)


def _wait(client: Client, job: schemas.Job) -> schemas.Job:
    while job.state not in TERMINAL_JOB_STATES:
        time.sleep(LOOK_EVERY_S)
        job = client.get_job(job.id)
    return job


def _follow(client: Client, job: schemas.Job) -> schemas.Job:
    try:
        return follow(client, job)
    except KeyboardInterrupt:
        leave_or_cancel(client, job)
        raise


def show_preview(found: schemas.PreviewOutcome) -> None:
    where = f" in {found.library}" if found.library else ""
    display.say(f"{found.model} in place of {found.against}{where}", "bold")
    agreement = "" if found.agreement is None else f"; they agree on {found.agreement:.1%} of them"
    display.say(
        f"{found.compared} of {found.tracks} tracks compared, {found.unchanged} unchanged{agreement}."
    )
    changed = [each for each in found.labels if each.gained or each.lost]
    if changed:
        display.show_table(
            "Tracks that would get or lose a label",
            ("label", "gained", "lost", "kept", "agreement"),
            (
                (each.label, str(each.gained), str(each.lost), str(each.kept), _share(each.agreement))
                for each in changed[:SHOWN_LABELS]
            ),
        )
    if len(changed) > SHOWN_LABELS:
        display.say(f"… and {len(changed) - SHOWN_LABELS} more labels; `--json` shows all.")
    if found.changes:
        display.show_table(
            "Largest changes of scores",
            ("track", "label", found.against, found.model),
            (
                (
                    each.path if found.library else f"{each.library}/{each.path}",
                    each.label,
                    _score(each.scores.against, given=each.given.against),
                    _score(each.scores.model, given=each.given.model),
                )
                for each in found.changes
            ),
        )
    show_corrections(found)
    for warning in found.warnings:
        display.say(f"Note: {warning}")
    display.say(f"Nothing was changed. `mfa models promote {found.model}` makes it the default model.")


def show_corrections(found: schemas.PreviewOutcome) -> None:
    judged = found.corrections
    if not judged.tracks:
        display.say("Nobody has corrected a track that was compared, so neither model can be judged by that.")
        return
    display.show_table(
        f"Against corrections of {judged.tracks} tracks, mean over {judged.macro_labels} labels",
        ("model", "precision", "recall", "F1"),
        (
            (name, *map(display.number_of, (each.precision, each.recall, each.f1)))
            for name, each in ((found.against, judged.macro.against), (found.model, judged.macro.model))
        ),
    )


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _score(score: float, *, given: bool) -> str:
    return f"{score:.2f}{' given' if given else ''}"


def compare(client: Client, models: list[str], *, as_json: bool) -> None:
    found = client.compare_models(models)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        show_comparison(found)


def show_comparison(found: schemas.ModelComparison) -> None:
    names = [each.model for each in found.models]
    rows = {
        "also called": [", ".join(each.aliases) for each in found.models],
        "kind": [each.kind for each in found.models],
        "labels": [str(each.labels) for each in found.models],
        "tracks": [str((each.tracks or {}).get("all", "–")) for each in found.models],
        "measured": [_way(each) for each in found.models],
        "made": [display.date_of(each.created_at) for each in found.models],
        "weights": ["–" if each.size is None else f"{each.size / 1e6:.1f} MB" for each in found.models],
    }
    rows |= {name: [_measure(each) for each in of_models] for name, of_models in found.metrics.items()}
    display.show_table("", ("", *names), ((name, *cells) for name, cells in rows.items()))
    display.show_table(
        "F1 of each label, and its threshold",
        ("label", *names),
        ((each.label, *map(_decision, each.f1, each.thresholds)) for each in found.labels[:SHOWN_LABELS]),
    )
    if len(found.labels) > SHOWN_LABELS:
        display.say(f"… and {len(found.labels) - SHOWN_LABELS} more labels; `--json` shows all.")
    for reason in found.reasons:
        display.say(f"Not comparable: {reason}", "red")
    for each in found.models:
        for warning in each.warnings[:SHOWN_WARNINGS]:
            display.say(f"Note on {each.model}: {warning}")
    display.say(
        f"`mfa models preview {names[0]} --against {names[1]}` compares what they say of your tracks."
    )


def _way(model: schemas.ComparedModel) -> str:
    if model.evaluated_on is None:
        return "not known"
    return f"{model.folds} folds" if model.folds else "test part"


def _measure(interval: schemas.Interval | None) -> str:
    if interval is None:
        return "–"
    if interval.low is None:
        return display.number_of(interval.value)
    return f"{display.number_of(interval.value)} ({display.interval_of(interval)})"


def _decision(f1: float | None, threshold: float | None) -> str:
    if threshold is None:
        return "–"
    return f"{display.number_of(f1)} at {threshold:.2f}"
