"""Who asks."""

from api import schemas
from api.deps import Reader, SessionDep, SettingsDep
from api.routes import make_router
from api.security.access import needs_api_keys
from core.scopes import Scope
from core.store.tables import ApiKey

router = make_router("me")


@router.get("")
def get_me(caller: Reader, session: SessionDep, settings: SettingsDep) -> schemas.Me:
    """The API key that was sent: its name, what it may do and how long; or that none is needed."""
    if not needs_api_keys(settings):
        return schemas.Me(needs_key=False, key_id=None, name=None, scopes=list(Scope), expires_at=None)
    key = session.get_one(ApiKey, caller.key_id)
    return schemas.Me(
        needs_key=True,
        key_id=key.id,
        name=key.name,
        scopes=[Scope(scope) for scope in key.scopes],
        expires_at=key.expires_at,
    )
