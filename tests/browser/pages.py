"""Every page, for the tests that hold for all of them and for `make screenshots`."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Page:
    name: str
    # Its address below that of the server; a function finds it through a client of `/api/v1`.
    address: str | Callable[[httpx.Client], str]

    def find(self, rest: httpx.Client) -> str:
        return self.address if isinstance(self.address, str) else self.address(rest)


def newest_model(rest: httpx.Client) -> str:
    model = rest.get("/models").raise_for_status().json()["items"][0]
    return f"models/{model['name']}@{model['version']}"


def newest(noun: str) -> Callable[[httpx.Client], str]:
    """The page of the first of `GET /api/v1/<noun>`."""
    return lambda rest: f"{noun}/{rest.get(f'/{noun}').raise_for_status().json()['items'][0]['id']}"


def newest_study(rest: httpx.Client) -> str:
    studies = rest.get("/studies").raise_for_status().json()["items"]
    return f"studies/{studies[0]['id']}" if studies else "studies"


def first_trial(rest: httpx.Client) -> str:
    address = newest_study(rest)
    return f"{address}/trials/0" if "/" in address else address


def newest_run(rest: httpx.Client) -> str:
    runs = rest.get("/runs").raise_for_status().json()["items"]
    return f"training/{runs[0]['id']}" if runs else "training"


def labelled_track(rest: httpx.Client) -> str:
    """The one whose file there is."""
    tracks = rest.get("/tracks", params={"q": "jazz/"}).raise_for_status().json()["items"]
    return f"tracks/{tracks[0]['id']}"


def area_of_map(rest: httpx.Client) -> str:
    map_id = rest.get("/map").raise_for_status().json()["map_id"]
    return f"library?area={map_id}:0,0,65535,0,65535,65535,0,65535"


def review_question(rest: httpx.Client) -> str:
    """A track to say something of, as the review asks about it."""
    track = labelled_track(rest).removeprefix("tracks/")
    return f"review/{track}?answered=3&last={track}"


PAGES = (
    Page("home", ""),
    Page("jobs", "jobs"),
    Page("job", newest("jobs")),
    Page("new-job", "jobs/new"),
    Page("library", "library"),
    Page("found", "library?genre=rock:0..&not_genre=jazz:0.95..&sort=score"),
    Page("track", labelled_track),
    Page("map", "map"),
    Page("map-area", area_of_map),
    Page("review", "review"),
    Page("review-question", review_question),
    Page("models", "models"),
    Page("model", newest_model),
    Page("training", "training"),
    Page("studies", "studies"),
    Page("study", newest_study),
    Page("trial", first_trial),
    Page("new-study", "studies/new"),
    Page("run", newest_run),
    Page("new-training", "training/new"),
    Page("settings", "settings"),
    Page("problem", "no/such/page"),
)
