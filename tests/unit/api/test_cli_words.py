"""Sentences of REST as the command line says them."""

import pytest

from api import schemas
from api.client.cli_words import in_cli_words, option_of
from api.client.correct import read_words
from api.client.http import Refused, UsageError


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("There is no library 'x'; GET /api/v1/libraries lists them.", "`mfa libraries` lists them."),
        ("No such model; `GET /api/v1/models` lists them.", "`mfa models` lists them."),
        ("It has no label 'x'; GET /api/v1/models/my-2.0 lists them.", "`mfa models show my-2.0` lists"),
        ("name the library with PUT /api/v1/retrainings/mine.", "`mfa models retrain mine --after N"),
        ("Only tracks of a genre have an order by score: name a `genre`.", "name a LABEL."),
        ("PATCH /api/v1/libraries/{name} says where", "`mfa libraries move NAME FOLDER` says"),
        ("name the `library` whose corrections count.", "name the --library whose"),
        ("`min_score` is higher than `max_score`, so", "--min-score is higher than --max-score, so"),
        ("One of `path` and `date` is expected.", "One of `path` and `date` is expected."),
        ("GET /api/v1/maps lists those of your own.", "GET /api/v1/maps lists those"),
        (
            "No label 'y': GET /api/v1/label-sets lists those of your own.",
            "'y': `mfa correct TRACK +LABEL --allow-new`",
        ),
    ],
)
def test_routes_are_commands_and_parameters_options(rest, said):
    assert said in in_cli_words(rest)


@pytest.mark.parametrize(
    ("location", "option"),
    [
        ("query.strategy", "--strategy"),
        ("query.genre.0", "genre.0"),
        ("query.genre", "LABEL"),
        ("query.q", "--path"),
        ("body.params.library", "--library"),
        ("body.params.experiment.training.lr", "experiment.training.lr"),
    ],
)
def test_places_in_requests_are_options(location, option):
    assert option_of(location) == option


@pytest.mark.parametrize(("errors", "code"), [(None, 1), ([("query.text", "It is too long.")], 2)])
def test_wrong_values_are_wrong_usage(errors, code):
    fields = [schemas.FieldError(location=place, code="x", detail=said) for place, said in errors or ()]
    problem = schemas.Problem(type="x", title="x", status=422, detail="No.", errors=fields or None)
    assert Refused(problem).exit_code == code
    assert str(Refused(problem)) == ("--text: It is too long." if errors else "No.")


def test_a_sign_alone_is_no_label():
    with pytest.raises(UsageError, match="A sign needs a label"):
        read_words(["+jazz", "?"])
