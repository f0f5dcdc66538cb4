"""The command `mfa models retrain`, and what models that were trained by themselves offer."""

from typing import Annotated

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.http import UsageError
from api.client.options import Json
from api.client.train import follow_training


def retrain(
    model: Annotated[str, typer.Argument(help="Name of the models.")],
    after: Annotated[
        int | None, typer.Option(min=1, help="Tracks to be corrected since the last training.")
    ] = None,
    library: Annotated[
        str | None, typer.Option(help="Whose corrections count; by default that of the last training.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Turn automatic retraining of this model off.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Train once, with all corrections so far.")] = False,
    as_json: Json = False,
) -> None:
    """Retrain a model now, or after N corrected tracks each time. The new one is offered, not promoted."""
    if (after is not None) + off + now != 1 or (after is None and library is not None):
        raise UsageError("Say when: --after N, with --library NAME if need be; --now; or --off.")
    with connect() as client:
        if now:
            follow_training(client, client.retrain_now(model), as_json=as_json)
            return
        if after is None:
            client.turn_off_retraining(model)
            sentence = f"{model} is no longer retrained automatically."
            display.show_answer(None, sentence, as_json=as_json)
            return
        request = schemas.RetrainingRequest(after_tracks=after, library=library)
        retraining = client.set_up_retraining(model, request)
        display.show_answer(retraining, state_of(retraining), as_json=as_json)


def show_all(retrainings: list[schemas.Retraining], models: list[schemas.Model]) -> None:
    """Show what is retrained automatically, and which models are offered."""
    for each in retrainings:
        display.note(state_of(each))
    for model in models:
        if model.offer is not None and not model.aliases:
            name = f"{model.name}@{model.version}"
            display.note(f"{name} is offered: {verdict_of(model.offer)}")
            if model.offer.verdict == "better":
                display.note(f"`mfa models promote {name}` makes it the default model.")


def state_of(each: schemas.Retraining) -> str:
    """One line on a retraining."""
    if not each.enabled:
        line = f"{each.model} is not retrained automatically."
    elif each.corrected is None and each.error is not None:
        return f"{each.model} is not retrained automatically: {each.error.detail}"
    else:
        line = (
            f"{each.model} is retrained automatically after "
            f"{display.count_of(each.after_tracks, 'corrected track')} of {each.library}; "
            f"{each.corrected} so far."
        )
    if each.error is not None:
        line += f" The last training failed: {each.error.detail}"
    elif each.state is not None:
        line += f" The last training: {each.state}."
    return line


def verdict_of(offer: schemas.Offer) -> str:
    """The comparison in a sentence."""
    left_out = ", ".join(
        f"{count} {what}"
        for count, what in (
            (offer.trained_on, f"known to {offer.against}"),
            (offer.not_random, "not picked at random"),
            (offer.not_labelled, f"not labelled by {offer.against}"),
        )
        if count
    )
    labels = "".join(
        f"; {what}: {', '.join(names)}"
        for what, names in (
            ("labels lost", offer.lost_labels),
            ("new labels", offer.new_labels),
            ("labels not compared, as they cannot be measured", offer.unmeasured_labels),
        )
        if names
    )
    on = f"on {display.count_of(offer.tracks, 'corrected track')} new to both" + (
        f" (left out: {left_out})" if left_out else ""
    )
    figures = ""
    if offer.difference is not None and offer.f1 is not None and offer.f1_before is not None:
        figures = f"macro-F1 {offer.f1:.2f} against {offer.f1_before:.2f} of {offer.against}"
        if offer.low is not None and offer.high is not None:
            figures += f", difference {offer.difference:+.2f} ({offer.low:+.2f} to {offer.high:+.2f})"
    if offer.verdict == "undecided":
        said = f"whether it is better than {offer.against} cannot be told {on}"
        reason = (offer.reason or "").rstrip(".") + (labels or ".")
        return f"{said}: {figures}. {reason}" if figures else f"{said}: {reason}"
    return f"{offer.verdict} than {offer.against} {on}: {figures}{labels}"
