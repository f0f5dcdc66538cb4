"""Errors, as RFC 9457 describes them."""

from pydantic import Field

from api.schemas.base import Response


class FieldError(Response):
    location: str = Field(description="path of the field", examples=["body.params.library"])
    code: str = Field(examples=["missing"])
    detail: str = Field(examples=["Field required"])


class Problem(Response):
    """An error, as RFC 9457 describes it."""

    type: str = Field(description="stable name of the error", examples=["urn:mfa:error:library_not_found"])
    title: str = Field(examples=["Library not found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="what is wrong, in one sentence")
    errors: list[FieldError] | None = Field(default=None, description="the invalid fields")


class JobError(Response):
    code: str = Field(examples=["not_audio"])
    detail: str
