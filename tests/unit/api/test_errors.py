"""Every error has a status."""

from collections.abc import Iterator

import pytest

from api.errors import status_of
from core import errors
from core.errors import MFAError, item_error


def every_error(kind: type[MFAError] = MFAError) -> Iterator[type[MFAError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from every_error(each)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Invalid, 422),
        (errors.Unauthenticated, 401),
        (errors.Forbidden, 403),
        (errors.JobNotFound, 404),
        (errors.JobAlreadyEnded, 409),
        (errors.IdempotencyKeyReused, 422),
        (errors.NotAudio, 422),
        (errors.OutsideLibrary, 422),
        (errors.Unavailable, 503),
        (errors.JobFailed, 500),
    ],
)
def test_the_kind_of_an_error_decides_its_status(error, status):
    assert status_of(error()) == status


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: error.__name__)
def test_every_error_has_a_status_a_code_and_a_sentence(error):
    raised = error()
    assert 400 <= status_of(raised) < 600
    assert raised.code.replace("_", "").isalnum()
    assert raised.detail.endswith((".", "`"))


def test_what_a_job_has_written_down_becomes_its_error_again():
    error = item_error("too_short", "Half a second.")
    assert type(error) is errors.TooShort
    assert error.detail == "Half a second."
    assert type(item_error("internal", "KeyError: 'x'")) is errors.JobFailed
    assert "KeyError" not in item_error("internal", "KeyError: 'x'").detail
