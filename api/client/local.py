"""The commands that run the whole stack on this machine: `serve` and `demo`."""

import time
from pathlib import Path

from api.client import display
from api.client.first_key import first_key
from api.client.http import Client, ClientError
from api.client.label import check_outcome, find_or_create_library, show_outcome, summary
from api.client.progress import follow
from api.security.access import is_loopback, needs_api_keys
from core.config.params import AnalysisParams
from core.errors import ItemError
from core.library.scan import FoundFile, scan
from core.local import Plan, Stack, full_plan, local_stack
from core.output.files import check_file
from core.settings import PROJECT, Settings

RESULTS = Path("results.csv")


def serve(settings: Settings, *, reload: bool = False) -> None:
    """Keep the stack up until Ctrl-C; its first API key is shown once."""
    display.say("Starting ...")
    plan = full_plan(settings)
    try:
        with local_stack(settings, with_reload(plan) if reload else plan) as stack:
            display.say(f"In a browser   {stack.url}", "bold")
            display.say(f"REST           {stack.url}/api/v1")
            display.say(f"Documentation  {stack.url}/docs")
            display.say(f"Readiness      {stack.url}/readyz")
            display.say(f"Metrics        {stack.url}/metrics")
            first_key(settings, stack)
            display.say("Ctrl-C stops everything.")
            stack.wait()
    except KeyboardInterrupt:
        display.say("Stopped.")


def with_reload(plan: Plan) -> Plan:
    """The plan with a gateway that Uvicorn restarts whenever a file of `api` or `core` changes."""
    watched = ("--reload", "--reload-dir", str(PROJECT / "api"), "--reload-dir", str(PROJECT / "core"))
    services = tuple(
        each.model_copy(update={"argv": (*each.argv, *watched)}) if each.name == "api" else each
        for each in plan.services
    )
    return plan.model_copy(update={"services": services})


def demo(settings: Settings, music: Path | None) -> None:
    """Start the stack, label a folder through REST, show and save the results, stop everything.

    Always on loopback, where it needs no key unless the operator wants one.
    """
    if not is_loopback(settings.host):
        settings = settings.model_copy(update={"host": "127.0.0.1"})
    folder = check_music(music or settings.data_dir / "samples", is_own=music is not None)
    check_file(RESULTS)
    display.say("Starting Postgres, Valkey, the gateway and the workers ...")
    began = time.monotonic()
    with local_stack(settings) as stack, client_of(settings, stack) as client:
        display.say(f"Ready at {stack.url} after {time.monotonic() - began:.1f} s. Labelling {folder}")
        library, path = find_or_create_library(client, folder, None)
        job = client.submit_analysis(AnalysisParams(library=library, path=path))
        job = follow(client, job, f"The job goes on when `make serve` runs; `mfa jobs {job.id}` shows it.")
        client.save_results(job.id, RESULTS)
        audio_s = sum(result.duration_s for result in client.iterate_results(job.id))
        show_outcome(client, job)
        check_outcome(job)
        display.say(summary(job, audio_s), "bold")
        display.say(f"All scores are in {RESULTS.resolve()}")
    display.say(f"Everything is stopped. To see it in a browser: `make serve`, then open {stack.url}")


def client_of(settings: Settings, stack: Stack) -> Client:
    """With a key if the stack asks for one: that of MFA_API_KEY may be of another server."""
    needed = needs_api_keys(settings)
    return Client(stack.url, first_key(settings, stack) or settings.api_key if needed else "")


def check_music(folder: Path, *, is_own: bool) -> Path:
    """The absolute folder, if there is something to label in it."""
    folder = folder.expanduser().resolve()
    hint = "" if is_own else " Run `make setup`, which fetches the samples."
    if not folder.is_dir():
        raise ClientError(f"There is no folder {folder}.{hint}")
    try:
        first = next((entry for entry in scan(folder) if isinstance(entry, FoundFile)), None)
    except ItemError as error:
        raise ClientError(f"{folder} cannot be read: {error.detail}") from error
    if first is None:
        raise ClientError(f"There are no audio files in {folder}.{hint}")
    return folder
