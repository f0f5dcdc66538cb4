"""What forms send, which is always text, and what is wrong with it."""

from typing import Annotated, Any

from fastapi import Form
from pydantic import BeforeValidator, ValidationError

from api.schemas.base import refuse_unstorable
from core.config.yaml_files import parse_mapping
from core.errors import Invalid

# For parameters and fields that may be None: a form sends an empty text for what was not filled in.
Blank = BeforeValidator(lambda value: None if value == "" else value)
# Of a form that submits a job: sent twice, it is one job.
Once = Annotated[str, Form(max_length=100, pattern=r"^[\x21-\x7e]*$")]
ConfigText = Annotated[str, Form(max_length=100_000)]


def mistakes_by_field(error: ValidationError) -> dict[str, str]:
    """A sentence for each field that is wrong, by the name of the field; "" has what is wrong as a whole."""
    mistakes: dict[str, str] = {}
    for each in error.errors(include_input=False, include_url=False):
        names = [str(part) for part in each["loc"]]
        mistakes.setdefault(names[-1] if names else "", f"{each['msg']}.")
    return mistakes


def read_config(text: str) -> dict[str, Any]:
    """The configuration in YAML that somebody has written. Raises Invalid."""
    content = parse_mapping(text, "The text")
    try:
        refuse_unstorable(content)
    except ValueError as error:
        raise Invalid(f"The {error}.") from error
    return content
