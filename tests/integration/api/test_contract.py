"""Requests made up from the OpenAPI document, right and wrong ones: each answer is one that it describes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from api.main import create_app
from core.db.session import SessionFactory
from core.settings import Settings
from tests.builders import (
    make_api_key,
    make_finished_job,
    make_heard_track,
    make_library,
    make_model,
    make_run,
)
from tests.integration.api.gateway import running
from tests.integration.api.test_auth import NEEDS, OPEN, SCOPES

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    use_after_free,
]
EXAMPLES = {"read": 2, "write": 4, "admin": 15}  # per route: right ones, wrong ones, about known rows
SEED = 1
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


@pytest.fixture
def known(db: SessionFactory, music: Path) -> dict[str, str]:
    """Path parameters that exist."""
    with db.begin() as session:
        library, model = make_library(session, name="home", path=str(music)), make_model(session)
        track = make_heard_track(session, library, model, "a.mp3", [0.6, 0.2, 0.05], [1.0, 0.0, 0.0, 0.0])
        job = make_finished_job(session, library, model, [track])
        run = make_run(session)
        key, _ = make_api_key(session)
        return {
            "job_id": str(job.id),
            "track_id": str(track.id),
            "run_id": str(run.id),
            "key_id": str(key.id),
            "name": model.name,
            "study_id": str(uuid4()),
        }


@pytest.fixture
def url(open_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A gateway that asks for keys, however fast, and does not wait for workers that there are not."""
    monkeypatch.setattr("api.routes.analysis.DEFAULT_WAIT_S", 0)
    monkeypatch.setattr("api.routes.analysis.MAX_WAIT_S", 0)
    changes = {"require_api_keys": True, "max_requests_per_s": 0.0, "max_open_jobs": 0}
    with running(create_app(open_settings.model_copy(update=changes))) as url:
        yield url


def check(operation: Any, http: requests.Session, known: dict[str, str], examples: int) -> list[str]:
    """Send requests to one route; what was wrong with the answers."""
    here = {each.name: known[each.name] for each in operation.path_parameters if each.name in known}
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
        case.call_and_validate(session=http, checks=checks, timeout=20)

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
    assert {each.label for each in operations} == set(NEEDS) | {f"GET {path}" for path in OPEN}
    with requests.Session() as http:
        http.trust_env = False
        http.headers["Authorization"] = f"Bearer {secret}"
        wrong = [each for operation in operations for each in check(operation, http, known, EXAMPLES[scope])]
    assert not wrong, "\n\n".join(wrong)
