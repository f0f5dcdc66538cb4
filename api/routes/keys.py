"""API keys: create, list, revoke."""

from datetime import timedelta
from uuid import UUID

from api import schemas
from api.deps import ADMIN, SessionDep
from api.routes import make_router, problems
from core.store import api_keys as service

router = make_router("keys", dependencies=[ADMIN])


@router.post("", status_code=201, responses=problems(400, 413))
def create_key(body: schemas.ApiKeyRequest, session: SessionDep) -> schemas.NewApiKey:
    """A new key. The answer is the only place where it can be read."""
    expires_in = timedelta(days=body.expires_in_days) if body.expires_in_days else None
    row, secret = service.create_api_key(session, body.name, body.scope, expires_in)
    return schemas.NewApiKey(key=secret, **dict(schemas.ApiKey.model_validate(row)))


@router.get("")
def list_keys(session: SessionDep) -> schemas.Page[schemas.ApiKey]:
    """All keys, also expired and revoked ones, oldest first."""
    keys = service.list_api_keys(session)
    return schemas.Page(items=[schemas.ApiKey.model_validate(key) for key in keys])


@router.delete("/{key_id}", responses=problems(404))
def revoke_key(key_id: UUID, session: SessionDep) -> schemas.ApiKey:
    """Refuse this key from now on."""
    return schemas.ApiKey.model_validate(service.revoke_api_key(session, key_id))
