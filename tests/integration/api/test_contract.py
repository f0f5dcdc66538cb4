"""Requests made up from the OpenAPI document, right and wrong ones: each answer is one that it describes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from api.main import create_app
from core.config.params import TuningParams
from core.jobs.kinds import SubmissionContext
from core.jobs.submission import submit_job
from core.ml.audio.waveform import Waveform
from core.services.retraining import set_up
from core.settings import Settings
from core.states import Verdict
from core.store.correction_changes import NewCorrection, write_corrections
from core.store.covers import save_cover
from core.store.label_sets import SetLabel, create_label_set
from core.store.saved_queries import save_query
from core.store.session import SessionFactory
from core.store.tables import Epoch
from core.store.waveforms import save_waveforms
from tests.integration.api.gateway import running
from tests.integration.api.test_auth import NEEDS, OPEN, SCOPES, SESSIONS
from tests.integration.api.test_studies import STUDY, finish
from tests.integration.api.test_trainings import REPORT, RESULTS
from tests.support.builders import (
    make_analysed_track,
    make_api_key,
    make_finished_job,
    make_library,
    make_map,
    make_model,
    make_run,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    use_after_free,
    negative_data_rejection,
    ignored_auth,
]
EXAMPLES = {"read": 2, "write": 4, "admin": 6}  # per route: right ones, wrong ones, about known rows
SEED = 1
# They ask for workers, or for ids or names in a query: no other that reads may go without a right answer.
BY_CHANCE = {"GET /readyz", "GET /api/v1/runs/compare", "GET /api/v1/models/compare"}
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
# What a name is the name of.
NAMES = {
    "/api/v1/libraries/{name}": "home",
    "/api/v1/experiments/{name}": "mine",
    "/api/v1/label-sets/{name}": "moods",
    "/api/v1/queries/{name}": "quiet",
    "/api/v1/models/{name}": "test-model",
    "/api/v1/models/{name}/preview": "mine",
    "/api/v1/retrainings/{name}": "mine",
    "/api/v1/retrainings/{name}/progress": "mine",
    "/api/v1/retrainings/{name}/train": "mine",
    "/api/v1/models/{name}/promote": "test-model",
    "/api/v1/runs/{run_id}/artifacts/{name}": "training_curves.png",
    "/api/v1/studies/{study_id}/plots/{name}.png": "history",
}


@pytest.fixture
def known(db: SessionFactory, music: Path, tmp_path: Path, open_settings: Settings) -> dict[str, str]:
    """Path parameters that exist."""
    (tmp_path / "training_curves.png").write_bytes(b"\x89PNG")
    with db.begin() as session:
        library = make_library(session, name="home", path=str(music))
        model = make_model(session, artifact_url=(tmp_path / "musicnn-msd-1").as_uri())
        mine = make_model(session, alias=None, name="mine", artifact_url=tmp_path.as_uri())
        context = SubmissionContext("local", is_trusted=True, data_dir=open_settings.data_dir)
        study = submit_job(session, TuningParams(study=STUDY), context)
        study_id = str(study.job.id)
    finish(db, study_id)
    folder = open_settings.studies_dir / study_id
    folder.mkdir(parents=True)
    (folder / "history.png").write_bytes(b"\x89PNG")
    with db.begin() as session:
        (music / "a.mp3").write_bytes(b"\xff\xfb" * 500)
        status = (music / "a.mp3").stat()
        track = make_analysed_track(
            session,
            library,
            model,
            "a.mp3",
            [0.6, 0.2, 0.05],
            [1.0, 0.0, 0.0, 0.0],
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            file_hash=b"\x07" * 32,
        )
        save_cover(session, b"\x07" * 32, b"\xff\xd8\xff\xd9")
        save_query(session, "quiet", "genre=ambient")
        save_waveforms(
            session, {track.content_hash or b"": Waveform(180.0, 0.25, b"\x07" * 720, b"\x03" * 720)}
        )
        make_map(session, model, [(track.content_hash or b"", 1, 2)])
        job = make_finished_job(session, library, model, [track])
        run = make_run(session, model_id=mine.id, metrics={"roc_auc_macro": 0.9}, results=RESULTS)
        set_up(session, "mine", 50, "home", "local")
        session.add(Epoch(run_id=run.id, fold=0, epoch=1, metrics=REPORT | {"fold": None, "epoch": 1}))
        key, _ = make_api_key(session)
        create_label_set(session, "moods", [SetLabel("calm")], exclusive=False)
        said = [NewCorrection(track.content_hash or b"", "rock", Verdict.YES)]
        change = write_corrections(session, said, author="local", origin="track")
        return {
            "change_id": str(change.change_id),
            "job_id": str(job.id),
            "track_id": str(track.id),
            "run_id": str(run.id),
            "key_id": str(key.id),
            "study_id": study_id,
            "number": "1",
            "place": "0",
        }


@pytest.fixture
def url(open_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A gateway that asks for keys, however fast, and waits neither for workers nor for changes."""
    monkeypatch.setattr("api.routes.events.MAX_STREAM_S", 0)
    monkeypatch.setattr("api.waiting.DEFAULT_WAIT_S", 0)
    monkeypatch.setattr("api.waiting.MAX_WAIT_S", 0)
    changes = {"require_api_keys": True, "max_requests_per_s": 0.0, "max_open_jobs": 0}
    with running(create_app(open_settings.model_copy(update=changes))) as url:
        yield url


def check(
    operation: Any, http: requests.Session, known: dict[str, str], examples: int, statuses: set[int]
) -> list[str]:
    """Send requests to one route; what was wrong with the answers, whose statuses are added."""
    known = known | {"name": NAMES.get(operation.path, "")}
    here = {each.name: known[each.name] for each in operation.path_parameters}
    ways = [operation.as_strategy(generation_mode=mode) for mode in MODES]
    if here:
        ways.append(operation.as_strategy(path_parameters=here))
    # That it is not ready is what `/readyz` is for: the only 5xx that is an answer.
    checks = CHECKS[1:] if operation.path == "/readyz" else CHECKS

    @seed(SEED)
    @settings(
        max_examples=len(ways) * examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(ways))
    def call(case: Any) -> None:
        response = case.call(session=http, timeout=20)
        statuses.add(response.status_code)
        case.validate_response(response, checks=checks)

    wrong: list[str] = []
    try:
        call()
    except* Failure as found:
        wrong += [f"{operation.label}: {each}" for each in found.exceptions]
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
def test_every_answer_is_as_described(url, db, known, scope):
    with db.begin() as session:
        _, secret = make_api_key(session, scope)
    operations: list[Any] = [
        found.ok()  # type: ignore[union-attr]
        for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations()
    ]
    of_rest = {label for label in (*NEEDS, *SESSIONS) if label.split()[1].startswith(("/api/", "/metrics"))}
    assert {each.label for each in operations} == of_rest | {f"GET {path}" for path in OPEN}
    operations.sort(key=lambda each: each.method.upper() == "DELETE")  # what is deleted is known no more
    with requests.Session() as http:
        http.trust_env = False
        http.headers["Authorization"] = f"Bearer {secret}"
        statuses: dict[str, set[int]] = {each.label: set() for each in operations}
        wrong = [
            each
            for operation in operations
            for each in check(operation, http, known, EXAMPLES[scope], statuses[operation.label])
        ]
    assert not wrong, "\n\n".join(wrong)
    if scope == "admin":
        unseen = {label for label, found in statuses.items() if label.startswith("GET") and 200 not in found}
        assert unseen <= BY_CHANCE
