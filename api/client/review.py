"""The `review` command: asks about the tracks of which an answer teaches most."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api import schemas
from api.client import display
from api.client.connection import connect
from api.client.correct import read_words, show_labels
from api.client.http import LEASE_S, Client, ClientError
from api.client.tracks import unlabelled
from core.states import Strategy, Verdict

MOST_RELEASED = 100
LEAST_LEFT_S = 60  # of a lease, to answer in
DECIDED_ONES = Strategy.SUSPECT  # the strategy that asks about tracks of which somebody has said something
ANSWERS = {"y": Verdict.YES, "n": Verdict.NO, "?": Verdict.UNSURE}


def review(
    label: Annotated[str | None, typer.Option(help="Ask about this label only: y, n or ?.")] = None,
    strategy: Annotated[Strategy, typer.Option(help="Which tracks to ask about.")] = Strategy.MARGIN,
    library: Annotated[str | None, typer.Option(help="Ask about this library only.")] = None,
    other: Annotated[str, typer.Option(help="The model that disagrees.")] = "previous",
) -> None:
    """Correct the tracks of which an answer teaches most."""
    with connect() as client:
        ask_until_done(client, strategy, label, library, other)


def ask_until_done(client: Client, strategy: str, label: str | None, library: str | None, other: str) -> None:
    """Ask about one track after the other until there is none left, or the answer is `q`.

    Tracks that were not answered are given back in the end, also after Ctrl-C.
    """
    folders = {each.name: Path(each.path) for each in client.list_libraries()}
    answered, undecided, about = 0, None, ""
    taken: dict[UUID, float] = {}  # tracks that were not answered, and when their leases end by our clock
    try:
        while True:
            batch = client.take_questions(strategy, label, library, other)
            until = time.monotonic() + LEASE_S - LEAST_LEFT_S
            taken |= {each.track.id: until for each in batch.items}
            for line in introduction(batch) if undecided is None else ():
                display.say(line)
            undecided, about = batch.progress.undecided, "" if batch.progress.exact else "about "
            if not batch.items:
                display.say(f"Nothing is left to ask about now. {tracks_of(answered)} answered.", "bold")
                for line in () if answered else unlabelled(client):
                    display.say(line)
                return
            for question in batch.items:
                if time.monotonic() >= until:
                    break  # somebody else may soon be asked about them
                show_labels(question.track)
                display.say(str(folders.get(question.track.library, Path()) / question.track.path))
                verdicts = ask(batch.label)
                while verdicts and not answer(client, question.track.id, verdicts):
                    verdicts = ask(batch.label)
                if verdicts is None:
                    display.say(f"{tracks_of(answered)} answered, {about}{undecided} undecided.", "bold")
                    return
                if verdicts:
                    del taken[question.track.id]
                    answered += 1
                    undecided -= strategy != DECIDED_ONES
    finally:
        give_back(client, [each for each, end in taken.items() if time.monotonic() < end])


def tracks_of(count: int) -> str:
    return display.count_of(count, "track")


def introduction(batch: schemas.ReviewBatch) -> list[str]:
    """What is to be known before the first question."""
    return [*(f"Note: {warning}" for warning in batch.warnings), forecast(batch.forecast)]


def forecast(found: schemas.ReviewForecast) -> str:
    """How many more tracks the model needs, in a sentence, and which labels that is not about."""
    if found.more is None:
        said = f"How many more tracks the model needs cannot be told: {found.reason}"
    elif found.high == 0:
        said = "The model has learnt enough for 95 % of what it can reach."
    else:
        between = f"{found.low} or more" if found.high is None else f"{found.low} to {found.high}"
        said = f"About {found.more} more tracks ({between}) to 95 % of what the model can reach."
        if found.more == 0:
            said = f"The model has learnt enough for 95 % of what it can reach ({between} more tracks)."
    if not found.unmeasured:
        return said
    return f"{said} Labels that cannot be measured are not counted: {', '.join(found.unmeasured)}."


def give_back(client: Client, track_ids: Sequence[UUID]) -> None:
    """Let others be asked about tracks, as many at a time as a request may name."""
    for start in range(0, len(track_ids), MOST_RELEASED):
        client.release_questions(track_ids[start : start + MOST_RELEASED])


def ask(label: str | None) -> dict[str, Verdict] | None:
    """What the user says; empty to skip the track, None to end."""
    hint = f"Is it {label}? y, n, ? (unsure), Enter: skip, q: quit"
    wanted = "Labels like `+jazz -rock ?pop`, with `;` between names of several words; Enter: skip, q: quit"
    while True:
        said = str(typer.prompt(hint if label else wanted, default="", show_default=False)).strip()
        if said == "q":
            return None
        if label is None:
            words = said.split(";") if ";" in said else said.split()
            try:
                return read_words(word for word in words if word.strip())
            except ClientError as error:
                display.complain(str(error))
                continue
        if not said or said in ANSWERS:
            return {label: ANSWERS[said]} if said else {}


def answer(client: Client, track_id: UUID, verdicts: dict[str, Verdict]) -> bool:
    """Whether the correction is accepted; else the reason is shown."""
    try:
        client.correct_track(track_id, verdicts, None, allow_new=False)
    except ClientError as error:
        display.complain(str(error))
        return False
    return True
