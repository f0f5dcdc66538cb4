"""What routes depend on: a session, the caller and their rights, a page of a list."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from sqlalchemy.orm import Session

from api.queries import check_query
from api.security.access import allowed_open_jobs, needs_api_keys
from api.security.cookies import get_token
from api.security.origins import check_origin
from core.errors import Forbidden, Unauthenticated
from core.failpoints import failpoint
from core.jobs.kinds import SubmissionContext
from core.jobs.space import SpaceCheck
from core.scopes import Scope
from core.settings import Settings
from core.store.api_keys import find_api_key
from core.store.browser_sessions import find_key_of_session
from core.store.session import SessionFactory, transaction
from core.store.tables import ApiKey

LOCAL_OWNER = "local"  # of all jobs on a server that asks for no keys
NOT_NEEDED = "The API key is not valid. This server asks for none: send none, or a valid one."


def get_session(request: Request) -> Iterator[Session]:
    with transaction(request.app.state.sessions) as session:
        yield session
        failpoint("request-done")
    failpoint("request-committed")


# Of scope "function": the commit comes before the response is sent, so one that fails is no success.
SessionDep = Annotated[Session, Depends(get_session, scope="function")]


async def get_sessions(request: Request) -> SessionFactory:
    """For routes that outlive one transaction."""
    sessions: SessionFactory = request.app.state.sessions
    return sessions


async def get_reads(request: Request) -> SessionFactory:
    """Like `get_sessions`, for reading only: spares a poll the round trips of BEGIN and COMMIT."""
    reads: SessionFactory = request.app.state.reads
    return reads


async def get_settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def get_space(request: Request) -> SpaceCheck:
    space: SpaceCheck = request.app.state.space
    return space


SpaceDep = Annotated[SpaceCheck, Depends(get_space)]
SessionsDep = Annotated[SessionFactory, Depends(get_sessions)]
ReadsDep = Annotated[SessionFactory, Depends(get_reads)]
SettingsDep = Annotated[Settings, Depends(get_settings)]


@dataclass(frozen=True)
class Caller:
    owner: str  # of the jobs they submit
    visible_to: str | None  # whose jobs they may see; None: everybody's
    key_id: UUID | None = None  # of the key that was sent; None: the server asks for none
    scopes: frozenset[str] = frozenset(Scope)

    @property
    def is_admin(self) -> bool:
        return self.visible_to is None

    def may(self, scope: str) -> bool:
        """Whether routes that need this scope are open to them."""
        return scope in self.scopes


bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key: `mfa_...`")


async def get_caller(
    request: Request,
    needed: SecurityScopes,
    settings: SettingsDep,
    reads: ReadsDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Caller:
    """Who calls. Needs no session of the route, which may go on long after the check.

    A key that is not valid is refused also where none is needed: it would fail on every other server.
    """
    is_needed = needs_api_keys(settings)
    token = get_token(request) if is_needed and credentials is None else None
    if credentials is None:
        check_origin(request, has_cookie=token is not None)
    if credentials is None and not is_needed:
        return Caller(LOCAL_OWNER, None)
    if credentials is None and token is None:
        raise Unauthenticated
    key = await run_in_threadpool(_find_key, reads, credentials, token)
    if key is None and token is not None:
        raise Unauthenticated("The session has ended: log in again.")
    if key is None:
        raise Unauthenticated(None if is_needed else NOT_NEEDED)
    if not is_needed:
        return Caller(LOCAL_OWNER, None)
    request.state.key_is_valid = True
    if not set(needed.scopes) <= set(key.scopes):
        raise Forbidden(f"This API key lacks the scope `{needed.scope_str}`.")
    visible_to = None if Scope.ADMIN in key.scopes else str(key.id)
    return Caller(str(key.id), visible_to, key.id, frozenset(key.scopes))


def _find_key(
    reads: SessionFactory, credentials: HTTPAuthorizationCredentials | None, token: str | None
) -> ApiKey | None:
    with reads() as session:
        if credentials is not None:
            return find_api_key(session, credentials.credentials)
        return find_key_of_session(session, token or "")


async def check_caller(request: Request, caller: Annotated[Caller, Security(get_caller)]) -> Caller:
    """The caller of a request whose query is right, which those without a key are not told."""
    check_query(request)
    return caller


READ = Security(check_caller, scopes=[str(Scope.READ)])
WRITE = Security(check_caller, scopes=[str(Scope.WRITE)])
ADMIN = Security(check_caller, scopes=[str(Scope.ADMIN)])
Reader = Annotated[Caller, READ]
Writer = Annotated[Caller, WRITE]

IdPrefix = Annotated[
    str | None,
    Query(pattern=r"^[0-9A-Fa-f-]{1,36}$", description="only those whose id begins like this"),
]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000, description="items on a page")]
ModelName = Annotated[str, Query(max_length=200, description="model alias, `name` or `name@version`")]
Scores = Annotated[Literal["all"] | None, Query(description="`all` adds the score of every label")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Makes a repeated request harmless: it answers the job that the first one made.",
    ),
]


async def get_submission_context(
    caller: Writer, settings: SettingsDep, idempotency_key: IdempotencyKey = None
) -> SubmissionContext:
    """For routes that make jobs."""
    return SubmissionContext(
        caller.owner,
        idempotency_key,
        max_open_jobs=allowed_open_jobs(settings),
        is_trusted=caller.is_admin,
        data_dir=settings.data_dir,
    )


ContextDep = Annotated[SubmissionContext, Depends(get_submission_context)]
