"""The `models preview` and `models compare` commands."""

from collections.abc import Sequence
from itertools import chain

from api import schemas
from api.client import display
from api.client.http import Client, UsageError
from api.client.progress import follow, result_of
from core.config.params import PreviewParams
from core.output.measures import title_of

SHOWN_LABELS = 30
SHOWN_WARNINGS = 3  # of each training
LEAST_CHANGE = 0.0005  # of a score, that can be seen in the table


def preview(client: Client, params: PreviewParams, *, as_json: bool) -> None:
    job = follow(client, client.submit_preview(params))
    if as_json and not isinstance(job.result, schemas.PreviewOutcome):
        display.show_json(job)
    outcome = result_of(job, schemas.PreviewOutcome, "preview")
    if as_json:
        display.show_json(outcome)
    else:
        show_preview(outcome)


def show_preview(found: schemas.PreviewOutcome) -> None:
    where = f" in {found.library}" if found.library else ""
    display.say(f"{found.model} in place of {found.against}{where}", "bold")
    agreement = ""
    if found.agreement is not None:
        common = sum(each.agreement is not None for each in found.labels)
        on = "" if common == len(found.labels) else f", by the labels that both have ({common})"
        agreement = f"; they agree on {found.agreement:.1%} of them{on}"
    display.say(
        f"{found.compared} of {found.tracks} tracks compared, {found.unchanged} unchanged{agreement}."
    )
    changed = [each for each in found.labels if each.gained or each.lost]
    if changed:
        display.show_table(
            "Tracks that would get or lose a label",
            ("label", "gained", "lost", "kept", "agreement"),
            (
                (each.label, each.gained, each.lost, each.kept, each.agreement)
                for each in changed[:SHOWN_LABELS]
            ),
        )
    if len(changed) > SHOWN_LABELS:
        display.note(f"and {len(changed) - SHOWN_LABELS} more labels; `--json` shows all.")
    changes = [each for each in found.changes if abs(each.scores.model - each.scores.against) >= LEAST_CHANGE]
    if changes:
        display.show_table(
            f"Largest changes of scores, from {found.against} to {found.model}",
            ("track", "label", "before", "after", "label is"),
            (
                (
                    display.Name(each.path if found.library else f"{each.library}/{each.path}"),
                    each.label,
                    each.scores.against,
                    each.scores.model,
                    _fate(given_before=each.given.against, given_after=each.given.model),
                )
                for each in changes
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
        on = f"corrections of {display.count_of(found.corrections.tracks, 'track')}"
        return (
            f"Against {on}, the F1 of {found.model} is lower "
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
    _show_scores(found, evaluated, "")
    if evaluated.at_random is not None and 0 < evaluated.at_random.tracks < evaluated.tracks:
        _show_scores(found, evaluated.at_random, " picked at random")


def _show_scores(
    found: schemas.PreviewOutcome, evaluated: schemas.CorrectionScores | schemas.RandomScores, which: str
) -> None:
    on = f"corrections of {display.count_of(evaluated.tracks, 'track')}{which}"
    if not evaluated.macro_labels:
        display.say(f"Neither model can be evaluated on {on}: they give no label that both models have.")
        return
    display.show_table(
        f"Against {on}, mean over {display.count_of(evaluated.macro_labels, 'label')}",
        ("model", "precision", "recall", "F1"),
        (
            (display.Name(name), each.precision, each.recall, each.f1)
            for name, each in ((found.against, evaluated.macro.against), (found.model, evaluated.macro.model))
        ),
    )


def _fate(*, given_before: bool, given_after: bool) -> str | None:
    if given_before:
        return "kept" if given_after else "lost"
    return "gained" if given_after else None


def compare(client: Client, models: list[str], *, as_json: bool) -> None:
    if len(models) < 2:
        raise UsageError("Name two models or more: `mfa models compare A B`.")
    found = client.compare_models(models)
    if as_json:
        display.show_json(found)
    else:
        show_comparison(found)


def show_comparison(found: schemas.ModelComparison) -> None:
    """Models are numbered in the other tables, whose columns would be too wide for names."""
    numbers = range(1, len(found.models) + 1)
    display.show_table(
        "",
        ("", "model", "also called", "kind", "labels", "tracks", "measured", "MB"),
        (
            (
                number,
                display.Name(each.model),
                ", ".join(each.aliases) or None,
                each.kind,
                each.labels,
                (each.tracks or {}).get("all"),
                _way(each),
                display.megabytes_of(each.size),
            )
            for number, each in zip(numbers, found.models, strict=True)
        ),
    )
    if found.metrics:
        display.show_table(
            "Measures",
            ("measure", "model", "value", "low (95 %)", "high (95 %)"),
            (
                (title_of(name), number, *_bounds(interval))
                for name, of_models in found.metrics.items()
                for number, interval in zip(numbers, of_models, strict=True)
            ),
        )
    names = [("F1",) if each.single_label else ("F1", "threshold") for each in found.models]
    display.show_table(
        "F1 of each label, and its threshold",
        ("label", *(f"{what} {number}" for number, of in zip(numbers, names, strict=True) for what in of)),
        (
            (
                each.label,
                *chain.from_iterable(
                    values[: len(of)] for *values, of in zip(each.f1, each.thresholds, names, strict=True)
                ),
            )
            for each in found.labels[:SHOWN_LABELS]
        ),
    )
    if len(found.labels) > SHOWN_LABELS:
        display.note(f"and {len(found.labels) - SHOWN_LABELS} more labels; `--json` shows all.")
    for reason in found.reasons:
        display.say(f"Not comparable: {reason}", "red")
    show_warnings(found.models)
    first, second = found.models[0].model, found.models[1].model
    display.say(f"`mfa models preview {first} --against {second}` compares what they say of your tracks.")


def show_warnings(models: Sequence[schemas.ComparedModel]) -> None:
    """Each once, with the models that it is about."""
    about: dict[str, dict[str, None]] = {}
    for each in models:
        for warning in each.warnings[:SHOWN_WARNINGS]:
            about.setdefault(warning, {})[each.model] = None
    for warning, names in about.items():
        display.say(f"Note on {' and '.join(names)}: {warning}")
    for each in models:
        if len(each.warnings) > SHOWN_WARNINGS:
            more = len(each.warnings) - SHOWN_WARNINGS
            display.note(f"and {more} more notes: `mfa models show {each.model}` shows all.")


def _way(model: schemas.ComparedModel) -> str | None:
    if model.evaluated_on is None:
        return None
    return f"{model.folds} folds" if model.folds else "test part"


def _bounds(interval: schemas.Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if interval is None else (interval.value, interval.low, interval.high)
