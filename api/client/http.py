"""A typed client of the gateway."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from api import schemas
from api.client.cli_words import in_cli_words, option_of
from api.security.access import is_loopback
from core import VERSION
from core.config.experiment import ExperimentConfig
from core.config.params import AnalysisParams, MapParams, PreviewParams, ThresholdParams
from core.config.tuning import TuningConfig
from core.output.command_group import WRONG_USAGE, CommandError
from core.output.files import whole_file
from core.states import ItemState, Verdict

API = "/api/v1"
VERSION_HEADER = "Server-Version"
CHECK_ADDRESS = "Is it running, and are MFA_HOST and MFA_PORT right?"
TIMEOUT = httpx.Timeout(60, connect=5)
QUESTIONS = 5  # of a review at a time: several, to ask about several albums
LEASE_S = 1800  # for all of them; what is not answered is given back
T = TypeVar("T", bound=BaseModel)


class ClientError(CommandError):
    """What went wrong between this client and the gateway, as a sentence for the user."""


class UsageError(ClientError):
    """The command was not called as it is meant."""

    exit_code = WRONG_USAGE


class Unreachable(ClientError):
    """No gateway answers."""

    exit_code = 3


class Refused(ClientError):
    """The gateway answered with a problem. Wrong values are those of options: the usage is wrong."""

    def __init__(self, problem: schemas.Problem) -> None:
        fields = [f"{option_of(error.location)}: {error.detail}" for error in problem.errors or ()]
        super().__init__(in_cli_words(" ".join(fields) or problem.detail))
        self.problem = problem
        if fields:
            self.exit_code = WRONG_USAGE


class Client:
    """Use as a context manager. `tell` gets a sentence when the server is of another version than this."""

    def __init__(self, url: str, api_key: str = "", tell: Callable[[str], None] | None = None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # a proxy of the environment has nothing to do with a server that the user named
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False)
        self._tell = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def url(self) -> str:
        return str(self._http.base_url)

    def create_library(self, name: str, path: Path) -> schemas.Library:
        return self._post(schemas.Library, "/libraries", {"name": name, "path": str(path)})

    def submit_map(self, params: MapParams) -> schemas.Job:
        return self._post(schemas.Job, "/jobs", {"kind": "map", "params": params.model_dump(mode="json")})

    def list_queries(self) -> list[schemas.SavedQuery]:
        return self._get(schemas.Page[schemas.SavedQuery], "/queries").items

    def get_query(self, name: str) -> schemas.SavedQuery:
        return self._get(schemas.SavedQuery, f"/queries/{name}")

    def save_query(self, name: str, query: str) -> schemas.SavedQuery:
        """In place of one that has the name; `query` as it stands in an address."""
        return self._call(schemas.SavedQuery, "PUT", f"/queries/{name}", json={"query": query})

    def delete_query(self, name: str) -> None:
        self._delete(f"/queries/{name}")

    def list_libraries(self) -> list[schemas.Library]:
        return self._get(schemas.Page[schemas.Library], "/libraries").items

    def change_library(self, name: str, change: schemas.LibraryChange) -> schemas.Library:
        body = change.model_dump(exclude_none=True)
        return self._call(schemas.Library, "PATCH", f"/libraries/{name}", json=body)

    def delete_library(self, name: str) -> None:
        self._delete(f"/libraries/{name}")

    def submit_analysis(self, params: AnalysisParams) -> schemas.Job:
        body = {"kind": "analysis", "params": params.model_dump(mode="json")}
        return self._post(schemas.Job, "/jobs", body)

    def submit_training(self, experiment: ExperimentConfig) -> schemas.Job:
        params = {"experiment": experiment.model_dump(mode="json")}
        return self._post(schemas.Job, "/jobs", {"kind": "training", "params": params})

    def submit_study(self, config: TuningConfig) -> schemas.Job:
        params = {"study": config.model_dump(mode="json")}
        return self._post(schemas.Job, "/jobs", {"kind": "tuning", "params": params})

    def submit_thresholds(self, params: ThresholdParams) -> schemas.Job:
        body = {"kind": "thresholds", "params": params.model_dump(mode="json")}
        return self._post(schemas.Job, "/jobs", body)

    def submit_preview(self, params: PreviewParams) -> schemas.Job:
        body = {"kind": "preview", "params": params.model_dump(mode="json")}
        return self._post(schemas.Job, "/jobs", body)

    def resume_study(self, study_id: UUID, n_trials: int) -> schemas.Job:
        return self._post(schemas.Job, f"/studies/{study_id}/resume", {"n_trials": n_trials})

    def train_best(self, study_id: UUID, trial: int | None) -> schemas.Job:
        return self._post(schemas.Job, f"/studies/{study_id}/train-best", {"trial": trial})

    def list_studies(
        self, limit: int, cursor: str | None = None, id_prefix: str | None = None
    ) -> schemas.Page[schemas.Study]:
        query = {"limit": limit, "cursor": cursor, "id_prefix": id_prefix}
        return self._get(schemas.Page[schemas.Study], "/studies", query)

    def get_study(self, study_id: UUID) -> schemas.StudyDetails:
        return self._get(schemas.StudyDetails, f"/studies/{study_id}")

    def list_trials(
        self, study_id: UUID, limit: int, cursor: str | None
    ) -> schemas.Page[schemas.TrialDetails]:
        """With their curves."""
        query = {"curves": True, "limit": limit, "cursor": cursor}
        return self._get(schemas.Page[schemas.TrialDetails], f"/studies/{study_id}/trials", query)

    def get_job(self, job_id: UUID) -> schemas.Job:
        return self._get(schemas.Job, f"/jobs/{job_id}")

    def list_jobs(
        self, limit: int, cursor: str | None = None, id_prefix: str | None = None
    ) -> schemas.Page[schemas.Job]:
        query = {"limit": limit, "cursor": cursor, "id_prefix": id_prefix}
        return self._get(schemas.Page[schemas.Job], "/jobs", query)

    def cancel_job(self, job_id: UUID) -> schemas.Job:
        return self._post(schemas.Job, f"/jobs/{job_id}/cancel")

    def retry_job(self, job_id: UUID) -> schemas.Job:
        return self._post(schemas.Job, f"/jobs/{job_id}/retry")

    def delete_job(self, job_id: UUID) -> None:
        self._delete(f"/jobs/{job_id}")

    def list_failed(self, job_id: UUID, limit: int, cursor: str | None = None) -> schemas.Page[schemas.Item]:
        query = {"state": str(ItemState.FAILED), "limit": limit, "cursor": cursor}
        return self._get(schemas.Page[schemas.Item], f"/jobs/{job_id}/items", query)

    def iterate_results(
        self, job_id: UUID, similar: int = 0, *, only_with_warnings: bool = False
    ) -> Iterator[schemas.Result]:
        """Every labelled track, with the given number of nearest tracks in the library."""
        query: dict[str, str | bool] = {
            "format": "jsonl", "similar": str(similar), "only_with_warnings": only_with_warnings,
        }  # fmt: skip
        with self._stream(f"/jobs/{job_id}/results", query) as response:
            for line in response.iter_lines():
                yield self._parse(schemas.Result, line, response)

    def save_results(self, job_id: UUID, file: Path, form: str = "csv") -> None:
        """Write the results with all scores; the file appears when it is complete."""
        query: dict[str, str | bool] = {"format": form, "scores": "all"}
        with self._stream(f"/jobs/{job_id}/results", query) as response, whole_file(file) as out:
            for block in response.iter_bytes():
                out.write(block)

    def list_unreadable_tags(self, library: str, limit: int) -> schemas.Page[schemas.Track]:
        """The first tracks of a library whose tags cannot all be read."""
        query = {"library": library, "unreadable_tags": True, "limit": limit}
        return self._get(schemas.Page[schemas.Track], "/tracks", query)

    def list_tracks(self, query: Mapping[str, Any]) -> schemas.Page[schemas.Track]:
        """A page of tracks; `query` as in `GET /tracks`."""
        return self._get(schemas.Page[schemas.Track], "/tracks", query)

    def get_track(self, track_id: UUID, model: str | None = None) -> schemas.Track:
        return self._get(schemas.Track, f"/tracks/{track_id}", {"model": model})

    def correct_track(
        self, track_id: UUID, verdicts: Mapping[str, Verdict], note: str | None, *, allow_new: bool
    ) -> schemas.CorrectedTrack:
        body = {"labels": dict(verdicts), "note": note, "allow_new": allow_new}
        return self._call(schemas.CorrectedTrack, "PUT", f"/tracks/{track_id}/labels", json=body)

    def import_corrections(
        self, library: str, csv: str, *, allow_new: bool, dry_run: bool
    ) -> schemas.ImportOutcome:
        body = {"library": library, "csv": csv, "allow_new": allow_new, "dry_run": dry_run}
        return self._post(schemas.ImportOutcome, "/corrections/from-csv", body)

    def import_tags(self, library: str, *, allow_new: bool, dry_run: bool) -> schemas.ImportOutcome:
        body = {"library": library, "allow_new": allow_new, "dry_run": dry_run}
        return self._post(schemas.ImportOutcome, "/corrections/from-tags", body)

    def list_label_sets(self) -> list[schemas.LabelSet]:
        return self._get(schemas.Page[schemas.LabelSet], "/label-sets").items

    def get_labels(self, track_id: UUID) -> schemas.TrackLabels:
        """What people said of a track, and in which changes."""
        return self._get(schemas.TrackLabels, f"/tracks/{track_id}/labels")

    def list_changes(
        self, limit: int, cursor: str | None = None, id_prefix: str | None = None
    ) -> schemas.Page[schemas.ListedChange]:
        query = {"limit": limit, "cursor": cursor, "id_prefix": id_prefix}
        return self._get(schemas.Page[schemas.ListedChange], "/corrections", query)

    def undo_correction(self, change: UUID) -> schemas.CorrectionOutcome:
        return self._post(schemas.CorrectionOutcome, f"/corrections/{change}/undo")

    def take_questions(
        self, strategy: str, label: str | None, library: str | None, other: str
    ) -> schemas.ReviewBatch:
        """The next tracks to correct, which nobody else is asked about for half an hour."""
        query = {
            "strategy": strategy,
            "label": label,
            "library": library,
            "other": other,
            "n": QUESTIONS,
            "lease_s": LEASE_S,
        }
        return self._get(schemas.ReviewBatch, "/review", query)

    def release_questions(self, track_ids: Sequence[UUID]) -> None:
        self._request("POST", "/review/release", json={"tracks": list(map(str, track_ids))})

    def list_similar(
        self, track_id: UUID, limit: int, library: str | None, model: str | None, *, duplicates: bool
    ) -> schemas.SimilarTracks:
        query = {"limit": limit, "library": library, "model": model, "duplicates": duplicates}
        return self._get(schemas.SimilarTracks, f"/tracks/{track_id}/similar", query)

    def list_duplicates(
        self, kind: schemas.DuplicateKind, library: str | None, cursor: str | None
    ) -> schemas.Duplicates:
        query = {"kind": kind, "library": library, "cursor": cursor}
        return self._get(schemas.Duplicates, "/duplicates", query)

    def list_models(self) -> list[schemas.Model]:
        return self._get(schemas.Page[schemas.Model], "/models").items

    def compare_models(self, references: Sequence[str]) -> schemas.ModelComparison:
        return self._get(schemas.ModelComparison, "/models/compare", {"models": ",".join(references)})

    def list_retrainings(self) -> list[schemas.Retraining]:
        return self._get(schemas.Page[schemas.Retraining], "/retrainings").items

    def set_up_retraining(self, model: str, request: schemas.RetrainingRequest) -> schemas.Retraining:
        return self._call(schemas.Retraining, "PUT", f"/retrainings/{model}", json=request.model_dump())

    def turn_off_retraining(self, model: str) -> None:
        self._delete(f"/retrainings/{model}")

    def retrain_now(self, model: str) -> schemas.Job:
        return self._post(schemas.Job, f"/retrainings/{model}/train", None)

    def promote_model(self, name: str, version: int | None) -> schemas.Model:
        return self._post(schemas.Model, f"/models/{name}/promote", {"version": version})

    def roll_back(self) -> schemas.Model:
        return self._post(schemas.Model, "/models/rollback")

    def delete_model(self, reference: str) -> None:
        self._delete(f"/models/{reference}")

    def delete_run(self, run_id: UUID) -> None:
        self._delete(f"/runs/{run_id}")

    def delete_study(self, study_id: UUID) -> None:
        self._delete(f"/studies/{study_id}")

    def list_runs(
        self, limit: int, cursor: str | None = None, id_prefix: str | None = None
    ) -> schemas.Page[schemas.Run]:
        query = {"limit": limit, "cursor": cursor, "id_prefix": id_prefix}
        return self._get(schemas.Page[schemas.Run], "/runs", query)

    def get_run(self, run_id: UUID) -> schemas.RunDetails:
        return self._get(schemas.RunDetails, f"/runs/{run_id}")

    def get_artifact(self, run_id: UUID, name: str) -> bytes:
        """A file that a finished run has left."""
        return self._request("GET", f"/runs/{run_id}/artifacts/{name}").content

    def get_plot(self, study_id: UUID, name: str) -> bytes:
        """A picture of a study as PNG."""
        return self._request("GET", f"/studies/{study_id}/plots/{name}.png").content

    def get_health(self) -> schemas.Health:
        with reaching(self._http):
            response = self._http.get("/healthz")
        check(response)
        return self._read(schemas.Health, response)

    def create_key(self, request: schemas.ApiKeyRequest) -> schemas.NewApiKey:
        return self._post(schemas.NewApiKey, "/keys", request.model_dump())

    def list_keys(self) -> list[schemas.ApiKey]:
        return self._get(schemas.Page[schemas.ApiKey], "/keys").items

    def revoke_key(self, key_id: UUID) -> schemas.ApiKey:
        return self._call(schemas.ApiKey, "DELETE", f"/keys/{key_id}")

    def _get(self, shape: type[T], path: str, query: Mapping[str, Any] | None = None) -> T:
        return self._call(
            shape, "GET", path, params={k: v for k, v in (query or {}).items() if v is not None}
        )

    def _post(self, shape: type[T], path: str, body: dict[str, Any] | None = None) -> T:
        return self._call(shape, "POST", path, json=body)

    def _delete(self, path: str) -> None:
        self._request("DELETE", path)

    def _call(self, shape: type[T], method: str, path: str, **request: Any) -> T:
        return self._read(shape, self._request(method, path, **request))

    def _read(self, shape: type[T], response: httpx.Response) -> T:
        return self._parse(shape, response.content, response)

    def _parse(self, shape: type[T], text: str | bytes, response: httpx.Response) -> T:
        """A part of a response, or all of it."""
        try:
            return shape.model_validate_json(text)
        except ValidationError:
            raise ClientError(
                f"The answer of {response.url.path} is not understood: the server at {self.url} is "
                f"{version_of(response)}, this `mfa` is version {VERSION}."
            ) from None

    def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        with reaching(self._http):
            response = self._http.request(method, API + quote(path), **request)
        self._compare_versions(response)
        check(response)
        return response

    def _compare_versions(self, response: httpx.Response) -> None:
        """Tell it once when the server is of another version."""
        if self._tell is not None and response.headers.get(VERSION_HEADER) != VERSION:
            self._tell(
                f"The server at {self.url} is {version_of(response)}, this `mfa` is version {VERSION}: "
                "upgrade the older one."
            )
            self._tell = None

    @contextmanager
    def _stream(self, path: str, query: dict[str, str | bool]) -> Iterator[httpx.Response]:
        with reaching(self._http), self._http.stream("GET", API + path, params=query) as response:
            self._compare_versions(response)
            if response.is_error:
                response.read()
            check(response)
            yield response


def version_of(response: httpx.Response) -> str:
    """Servers up to 0.1.0 do not tell their version."""
    theirs = response.headers.get(VERSION_HEADER)
    return f"version {theirs}" if theirs else "of an unknown, older version"


@contextmanager
def reaching(http: httpx.Client) -> Iterator[None]:
    """Say it plainly when nobody answers."""
    try:
        yield
    except httpx.TransportError as error:
        hint = "Start it with `make serve`." if is_loopback(http.base_url.host) else CHECK_ADDRESS
        raise Unreachable(f"The gateway at {http.base_url} does not answer ({error}). {hint}") from error


def check(response: httpx.Response) -> None:
    """Raise `Refused` for an error."""
    if response.is_success:
        return
    try:
        problem = schemas.Problem.model_validate_json(response.content)
    except ValidationError:
        # Something else listens there, or stands in between.
        raise ClientError(f"{response.url} answered {response.status_code} and is not a gateway.") from None
    if response.status_code == httpx.codes.UNAUTHORIZED:
        problem = problem.model_copy(update={"detail": f"{problem.detail} `mfa` sends that of MFA_API_KEY."})
    raise Refused(problem)
