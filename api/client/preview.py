"""The `models preview` and `models compare` commands."""

from collections.abc import Sequence

from api import schemas
from api.client import display
from api.client.http import Client, ClientError
from api.client.progress import follow
from core.config.params import PreviewParams
from core.output.tables import Cell

SHOWN_LABELS = 30
SHOWN_WARNINGS = 3  # of each training


def preview(client: Client, params: PreviewParams, *, as_json: bool) -> None:
    job = follow(client, client.submit_preview(params))
    if not isinstance(job.result, schemas.PreviewOutcome):
        raise ClientError(f"Nothing came of it: {job.error.detail if job.error else job.state}")
    if as_json:
        display.show_json(job.result)
    else:
        show_preview(job.result)


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
                (each.label, each.gained, each.lost, each.kept, _share(each.agreement))
                for each in changed[:SHOWN_LABELS]
            ),
        )
    if len(changed) > SHOWN_LABELS:
        display.note(f"and {len(changed) - SHOWN_LABELS} more labels; `--json` shows all.")
    if found.changes:
        display.show_table(
            "Largest changes of scores",
            ("track", "label", found.against, found.model),
            (
                (
                    display.Name(each.path if found.library else f"{each.library}/{each.path}"),
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
    display.say(f"Nothing was changed. {next_of(found)}")


def next_of(found: schemas.PreviewOutcome) -> str:
    """How to promote the model, unless it decides worse where people did."""
    new, old = found.corrections.macro.model.f1, found.corrections.macro.against.f1
    if new is not None and old is not None and new < old:
        return (
            f"Against corrections of {found.corrections.tracks} tracks, the F1 of {found.model} is lower "
            f"than that of {found.against}: {new:.3f} and {old:.3f}."
        )
    return f"`mfa models promote {found.model}` makes it the default model."


def show_corrections(found: schemas.PreviewOutcome) -> None:
    evaluated = found.corrections
    if not evaluated.tracks and evaluated.not_evaluated:
        display.say(
            "Neither model can be evaluated on corrections: one of them was trained on all of these tracks."
        )
        return
    if not evaluated.tracks:
        display.say(
            "Nobody has corrected a compared track, so neither model can be evaluated on corrections."
        )
        return
    display.show_table(
        f"Against corrections of {evaluated.tracks} tracks, mean over {evaluated.macro_labels} labels",
        ("model", "precision", "recall", "F1"),
        (
            (name, *map(display.number_of, (each.precision, each.recall, each.f1)))
            for name, each in ((found.against, evaluated.macro.against), (found.model, evaluated.macro.model))
        ),
    )


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _score(score: float, *, given: bool) -> str:
    return f"{score:.2f}{' given' if given else ''}"


def compare(client: Client, models: list[str], *, as_json: bool) -> None:
    found = client.compare_models(models)
    if as_json:
        display.show_json(found)
    else:
        show_comparison(found)


def show_comparison(found: schemas.ModelComparison) -> None:
    names = [each.model for each in found.models]
    rows: dict[str, Sequence[Cell]] = {
        "also called": [", ".join(each.aliases) for each in found.models],
        "kind": [each.kind for each in found.models],
        "labels": [each.labels for each in found.models],
        "tracks": [(each.tracks or {}).get("all") for each in found.models],
        "measured": [_way(each) for each in found.models],
        "made": [each.created_at for each in found.models],
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
        display.note(f"and {len(found.labels) - SHOWN_LABELS} more labels; `--json` shows all.")
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
