"""The cookie of a browser's session. Scripts cannot read it, and no page of another site makes it be sent."""

from datetime import UTC, datetime

from fastapi import Request, Response

NAME = "mfa_session"


def get_token(request: Request) -> str | None:
    """Of the session that a request belongs to, if any."""
    return request.cookies.get(NAME)


def set_token(request: Request, response: Response, token: str, expires_at: datetime) -> None:
    """Let the browser keep a token until its session ends, in UTC."""
    response.set_cookie(
        NAME,
        token,
        max_age=max(0, int((expires_at - datetime.now(UTC)).total_seconds())),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def remove_token(request: Request, response: Response) -> None:
    """Let the browser forget the token."""
    response.delete_cookie(NAME, httponly=True, samesite="strict", secure=request.url.scheme == "https")
