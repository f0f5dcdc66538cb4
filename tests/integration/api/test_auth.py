"""Who may do what: every route with every kind of key, and whose jobs a key can see."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import func, select
from starlette.routing import BaseRoute

from api.main import ROUTERS, create_app
from api.pages.static_files import digest
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import (
    make_api_key,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_track,
)

OPEN = {"/healthz", "/readyz"}
PAGES = {"/docs", "/docs/start.js", "/docs/{name}", "/static/{version}/{name}", "/login"}
# To log in and out takes no scope; see tests/integration/pages/test_login.py.
SESSIONS = {"POST /api/v1/session", "DELETE /api/v1/session", "POST /login", "POST /logout"}
READ = {
    "GET /api/v1/jobs",
    "GET /api/v1/jobs/{job_id}",
    "GET /api/v1/jobs/{job_id}/items",
    "GET /api/v1/jobs/{job_id}/results",
    "GET /api/v1/jobs/{job_id}/activity",
    "GET /api/v1/jobs/{job_id}/failures",
    "GET /api/v1/jobs/{job_id}/failures.csv",
    "GET /api/v1/jobs/{job_id}/events",
    "GET /api/v1/libraries",
    "GET /api/v1/libraries/{name}",
    "GET /api/v1/tracks",
    "GET /api/v1/tracks/export",
    "GET /api/v1/tracks/{track_id}",
    "GET /api/v1/tracks/{track_id}/predictions",
    "GET /api/v1/tracks/{track_id}/audio",
    "GET /api/v1/tracks/facets",
    "GET /api/v1/tracks/{track_id}/peaks",
    "GET /api/v1/tracks/{track_id}/cover",
    "GET /api/v1/tracks/{track_id}/similar",
    "GET /api/v1/tracks/{track_id}/embedding",
    "GET /api/v1/tracks/{track_id}/labels",
    "GET /api/v1/corrections",
    "GET /api/v1/queries",
    "GET /api/v1/queries/{name}",
    "GET /api/v1/retrainings",
    "GET /api/v1/retrainings/{name}",
    "GET /api/v1/retrainings/{name}/progress",
    "GET /api/v1/label-sets",
    "GET /api/v1/label-sets/{name}",
    "GET /api/v1/duplicates",
    "GET /api/v1/map",
    "GET /api/v1/map/points",
    "GET /api/v1/map/unplaced",
    "GET /api/v1/map/points/{place}",
    "GET /api/v1/map/colours",
    "GET /api/v1/map/matches",
    "GET /api/v1/map/density.png",
    "GET /api/v1/models",
    "GET /api/v1/models/compare",
    "GET /api/v1/models/{name}",
    "GET /api/v1/experiments",
    "GET /api/v1/experiments/{name}",
    "GET /api/v1/runs",
    "GET /api/v1/runs/compare",
    "GET /api/v1/runs/{run_id}",
    "GET /api/v1/runs/{run_id}/log",
    "GET /api/v1/runs/{run_id}/artifacts/{name}",
    "GET /api/v1/studies",
    "GET /api/v1/studies/{study_id}",
    "GET /api/v1/studies/{study_id}/plots/{name}.png",
    "GET /api/v1/studies/{study_id}/trials",
    "GET /api/v1/studies/{study_id}/trials/{number}",
    "GET /api/v1/events",
    "GET /api/v1/system",
    "GET /api/v1/me",
    "GET /metrics",
    "GET /",
    "GET /jobs",
    "GET /jobs/{job_id}",
    "GET /settings",
    "GET /map",
    "GET /models",
    "GET /models/compare",
    "GET /models/{name}",
    "GET /models/{name}/preview",
    "GET /training",
    "GET /training/compare",
    "GET /training/{run_id}",
    "GET /studies",
    "GET /studies/{study_id}",
    "GET /studies/{study_id}/trials/{number}",
    "GET /library",
    "GET /tracks/{track_id}",
}
WRITE = {
    "POST /api/v1/jobs",
    "GET /jobs/new",
    "POST /jobs/new",
    "POST /jobs/{job_id}/cancel",
    "POST /jobs/{job_id}/retry",
    "POST /api/v1/jobs/{job_id}/cancel",
    "POST /api/v1/jobs/{job_id}/retry",
    "DELETE /api/v1/jobs/{job_id}",
    "POST /api/v1/analysis/predict",
    "POST /api/v1/models/{name}/preview",
    "GET /api/v1/review",
    "PUT /api/v1/tracks/{track_id}/labels",
    "POST /api/v1/corrections",
    "PUT /api/v1/queries/{name}",
    "DELETE /api/v1/queries/{name}",
    "POST /library/relabel",
    "POST /library/queries",
    "POST /library/queries/delete",
    "POST /api/v1/corrections/from-csv",
    "POST /api/v1/corrections/from-tags",
    "POST /api/v1/corrections/{change_id}/undo",
    "POST /api/v1/review/release",
    "PUT /api/v1/retrainings/{name}",
    "DELETE /api/v1/retrainings/{name}",
    "POST /api/v1/retrainings/{name}/train",
    "POST /api/v1/label-sets",
    "PATCH /api/v1/label-sets/{name}",
    "DELETE /api/v1/label-sets/{name}",
    "POST /api/v1/studies/{study_id}/resume",
    "POST /api/v1/studies/{study_id}/train-best",
    "GET /review",
    "POST /review",
    "GET /review/{track_id}",
    "POST /review/{track_id}",
    "POST /models/{name}/preview",
    "POST /models/{name}/retrain",
    "GET /training/new",
    "POST /training",
    "POST /map",
    "GET /studies/new",
    "POST /studies",
    "POST /studies/{study_id}/resume",
    "POST /studies/{study_id}/cancel",
    "POST /studies/{study_id}/train",
    "POST /library/correct",
    "POST /library/undo",
    "POST /tracks/{track_id}/labels",
    "POST /tracks/{track_id}/undo",
}
ADMIN = {
    "POST /api/v1/libraries",
    "PATCH /api/v1/libraries/{name}",
    "DELETE /api/v1/libraries/{name}",
    "DELETE /api/v1/models/{name}",
    "DELETE /api/v1/runs/{run_id}",
    "DELETE /api/v1/studies/{study_id}",
    "POST /api/v1/models/{name}/promote",
    "POST /api/v1/models/rollback",
    "GET /api/v1/keys",
    "POST /api/v1/keys",
    "DELETE /api/v1/keys/{key_id}",
    "GET /api/v1/system/settings",
    "POST /settings/libraries",
    "POST /settings/libraries/change",
    "POST /settings/libraries/remove",
    "POST /settings/keys",
    "POST /settings/keys/{key_id}/revoke",
    "POST /models/{name}/promote",
    "POST /models/rollback",
}
# As their GET; see test_health and test_audio.
HEADS = {"HEAD /healthz", "HEAD /readyz", "HEAD /metrics", "HEAD /api/v1/tracks/{track_id}/audio"}
NEEDS = dict.fromkeys(READ, "read") | dict.fromkeys(WRITE, "write") | dict.fromkeys(ADMIN, "admin")
SCOPES = ["read", "write", "admin"]
OWNED = {"job_id"}
# Whoever may read may read these of everybody; keys are for admins only.
SHARED = {"track_id", "change_id", "run_id", "study_id", "key_id", "name", "place", "number"}


def names(route: BaseRoute) -> list[str]:
    """`METHOD /path`; what is no plain route has the name of its kind instead of a method."""
    path = getattr(route, "path", "").replace(":path}", "}")  # how a parameter is matched is no part of it
    if isinstance(route, APIRoute):
        return [f"{method} {path}" for method in route.methods or ()]
    return [f"{type(route).__name__} {path}"]


def all_routes() -> list[str]:
    return [name for module in ROUTERS for route in module.router.routes for name in names(route)]


def routes() -> list[str]:
    """Every route but the open ones."""
    named = [name for name in all_routes() if name not in HEADS]
    return [name for name in named if name not in SESSIONS and name.partition(" ")[2] not in OPEN | PAGES]


def call(http: httpx.Client, route: str, headers: dict[str, str]) -> httpx.Response:
    method, path = route.split()
    for name in ("job_id", "track_id", "change_id", "key_id", "run_id", "study_id", "name", "number"):
        path = path.replace(f"{{{name}}}", str(uuid4()))
    with http.stream(method, path, headers=headers) as response:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.read()  # a stream of events may be long
    return response


@pytest.fixture
def keys(db: SessionFactory) -> dict[str, str]:
    """A key of each scope."""
    with db.begin() as session:
        return {scope: make_api_key(session, scope)[1] for scope in SCOPES}


def test_the_tables_name_every_route():
    """Also a WebSocket, a mount or a route of Starlette's, which no other test would see."""
    assert set(all_routes()) == set(NEEDS) | {f"GET {path}" for path in OPEN | PAGES} | HEADS | SESSIONS


def test_no_route_stands_outside_of_the_routers(open_settings):
    known = [module.router for module in ROUTERS]
    found = create_app(open_settings).routes
    others = [route for route in found if getattr(route, "original_router", None) not in known]
    assert [name for route in others for name in names(route)] == ["Route /openapi.json"]
    assert len(found) == len(known) + 1


@pytest.mark.parametrize("route", routes())
def test_a_route_opens_to_its_scope_and_to_no_lesser_one(keyed_http, keys, route):
    without = call(keyed_http, route, {})
    assert problem_of(without, 401) == "unauthenticated"
    assert without.headers["www-authenticate"].startswith("Bearer")
    for scope in SCOPES:
        response = call(keyed_http, route, bearer(keys[scope]))
        if SCOPES.index(scope) < SCOPES.index(NEEDS[route]):
            assert problem_of(response, 403) == "forbidden"
        else:
            assert response.status_code not in (401, 403, 500)


@pytest.mark.parametrize("path", [*sorted(OPEN | PAGES), "/openapi.json"])
def test_health_and_documentation_are_open(keyed_http, path):
    status = 503 if path == "/readyz" else 200  # there are no workers here
    answer = keyed_http.get(
        path.format(version=digest(), name="style.css" if "static" in path else "swagger-ui.css"),
        follow_redirects=True,
    )
    assert answer.status_code == status


def test_a_key_that_is_wrong_in_any_way_is_refused(keyed_http, db):
    with db.begin() as session:
        _, expired = make_api_key(session, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
        _, revoked = make_api_key(session, revoked_at=datetime(2020, 1, 1, tzinfo=UTC))
        _, valid = make_api_key(session)
    wrong = [
        expired,
        revoked,
        valid[:-1],
        valid + "x",
        valid.upper(),
        "mfa__",
        "mfa_a",
        "x",
        "\x7f",
        "mfa_é_é",
    ]
    for secret in wrong:
        headers = [(b"Authorization", f"Bearer {secret}".encode())]
        assert problem_of(keyed_http.get("/api/v1/jobs", headers=headers), 401) == "unauthenticated"
    for header in (f"Basic {valid}", valid, "Bearer", f"Bearer  {valid} x"):
        response = keyed_http.get("/api/v1/jobs", headers={"Authorization": header})
        assert problem_of(response, 401) == "unauthenticated"
    assert keyed_http.get("/api/v1/jobs", headers=bearer(valid)).status_code == 200


def test_the_table_of_what_is_owned_names_every_id():
    """A route with an id that stands in none of the tables has not been thought about."""
    ids = {name for route in routes() for name in re.findall(r"{(\w+)}", route)}
    assert ids == OWNED | SHARED


@pytest.mark.parametrize("route", [route for route in routes() if set(re.findall(r"{(\w+)}", route)) & OWNED])
@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.SUCCEEDED])
def test_what_others_own_does_not_exist(keyed_http, db, route, state):
    with db.begin() as session:
        owner, own = make_api_key(session)
        _, other = make_api_key(session)
        library, model = make_library(session), make_model(session)
        job = make_finished_job(session, library, model, [], [make_track(session, library)])
        job.owner = str(owner.id)
        if state != JobState.SUCCEEDED:
            job = make_job(session, owner=str(owner.id), library_id=library.id, model_id=model.id)
        job_id, known = job.id, job.state
    method, path = route.split()
    address = path.format(job_id=job_id)
    theirs = keyed_http.request(method, address, headers=bearer(other))
    nothing = keyed_http.request(method, path.format(job_id=uuid4()), headers=bearer(other))
    assert problem_of(theirs, 404) == "job_not_found"
    assert theirs.json() == nothing.json()  # not even that it exists can be told
    with db() as session:
        assert session.get_one(Job, job_id).state == known
        assert session.scalar(select(func.count()).select_from(Job).where(Job.retry_of.is_not(None))) == 0
    if not route.endswith("/events") or state == JobState.SUCCEEDED:  # an open job's stream is long
        assert keyed_http.request(method, address, headers=bearer(own)).status_code != 404


def test_lists_show_the_callers_own_jobs_and_an_admin_all(keyed_http, db):
    with db.begin() as session:
        owner, own = make_api_key(session)
        _, other = make_api_key(session)
        _, admin = make_api_key(session, "admin")
        job = make_job(session, owner=str(owner.id))
        make_job(session, owner="local")
    counts = [
        len(keyed_http.get("/api/v1/jobs", headers=bearer(each)).json()["items"])
        for each in (other, own, admin)
    ]
    assert counts == [0, 1, 2]
    assert keyed_http.post(f"/api/v1/jobs/{job.id}/cancel", headers=bearer(admin)).status_code == 202


def test_idempotency_keys_of_two_owners_do_not_meet(keyed_http, db, music):
    with db.begin() as session:
        secrets = [make_api_key(session)[1] for _ in range(2)]
        make_library(session, name="home", path=str(music))
        make_model(session)
    body = {"kind": "analysis", "params": {"library": "home"}}
    jobs = [
        keyed_http.post("/api/v1/jobs", json=body, headers=bearer(secret) | {"Idempotency-Key": "k"}).json()
        for secret in secrets
    ]
    assert jobs[0]["id"] != jobs[1]["id"]


def test_a_stranger_cannot_make_the_server_store_an_upload(keyed_http, open_settings):
    before = list(open_settings.uploads_dir.glob("*"))
    response = keyed_http.post("/api/v1/analysis/predict", files={"file": b"x" * 1_000_000})
    assert problem_of(response, 401) == "unauthenticated"
    assert list(open_settings.uploads_dir.glob("*")) == before
