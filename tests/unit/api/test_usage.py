"""Commands that are not called as they are meant: they end before anything is sent, with code 2."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from typer.testing import CliRunner

from api import schemas
from api.client import connection, correct, http
from api.client.cli import app
from api.client.http import Client
from core import VERSION
from core.settings import Settings

Run = Callable[..., Any]
UNREACHABLE = 3  # the exit code of what would have been sent


@pytest.fixture
def mfa(tmp_path, monkeypatch) -> Run:
    """The command, with a gateway that nobody answers at."""
    settings = Settings(host="127.0.0.1", port=1, data_dir=tmp_path)
    monkeypatch.setattr(connection, "get_settings", lambda: settings)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def answers(monkeypatch) -> Callable[[httpx.Response], None]:
    """Every request gets this response."""

    def set_up(response: httpx.Response) -> None:
        transport = httpx.MockTransport(lambda _: response)
        make = httpx.Client
        monkeypatch.setattr(httpx, "Client", lambda **kw: make(transport=transport, **kw))

    return set_up


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("correct a.mp3 +jazz --dry-run", "--dry-run does not go with TRACK"),
        ("correct a.mp3 +jazz --dryrun", "has no option --dryrun"),
        ("correct --dryrun +jazz", "has no option --dryrun"),
        ("correct --csv a.csv --library home --note x", "--note does not go with --csv"),
        ("correct --from-tags --library home --note x", "--note does not go with --from-tags"),
        (f"correct --undo {UUID(int=1)} --allow-new", "--allow-new does not go with --undo"),
        ("correct a.mp3 +jazz +jazz", "named twice"),
        ("tune --thresholds m --trials 5", "--trials does not go with --thresholds"),
        ("tune --resume last --trials 5 --max-parallel 2", "--max-parallel does not go with --resume"),
        ("tune --config a.yaml --beta 2", "--beta does not go with --config"),
        ("tune --config nope.yaml", "There is no file nope.yaml."),
        ("train --config a.yaml --labels folder", "--labels does not go with --config"),
        ("train --config nope.yaml", "There is no file nope.yaml."),
        ("label no/folder", "There is no folder"),
        ("jobs last --errors a.csv --json", "--json does not go with --csv and --errors"),
        ("runs last --save . --json", "--json does not go with --save"),
        ("studies last --save . --json", "--json does not go with --save"),
        ("jobs last --limit 3", "--limit goes with a list"),
        ("runs last --limit 3", "--limit goes with a list"),
        ("studies last --limit 3", "--limit goes with a list"),
        ("correct --undo x", "four or more characters"),
        ("models --json promote m", "Write --json after `promote`"),
        ("libraries --json remove m", "Write --json after `remove`"),
        ("tracks --sort score", "name a LABEL"),
        ("label no/folder --library music", "`mfa libraries move NAME FOLDER`"),
        ("tracks jazz --min-score 0.6 --max-score 0.2", "--min-score is higher than --max-score"),
        ("tracks jazz:0.6..0.2", "starts at a higher score than it ends"),
        ("models retrain m --after 100000000", "less than or equal to 1000000"),
    ],
)  # fmt: skip
def test_options_that_would_be_ignored_and_wrong_values_are_refused(mfa, command, said):
    result = mfa(*command.split())
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tracks jazz --sort scor", "'scor' is not one of 'score', 'path', 'date', 'duration'; did you mean"),
        ("keys create x --scope reed", "did you mean 'read'?"),
        ("tracks --m3u -", "- is no file"),
        ("jobs last --csv -", "- is no file"),
        ("review --strategy foo", "'foo' is not one of 'margin', 'random'"),
    ],
)
def test_a_choice_that_there_is_not_is_told_with_the_nearest(mfa, command, said):
    result = mfa(*command.split())
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Value error" not in result.stderr


def test_a_key_needs_a_name(mfa):
    result = mfa("keys", "create", "")
    assert result.exit_code == 2
    assert result.stderr == "name: String should have at least 1 character.\n"


def test_a_label_that_begins_like_help_is_corrected(mfa, monkeypatch):
    sent = []
    monkeypatch.setattr(correct, "correct_track", lambda _, name, verdicts, *__, **___: sent.append(verdicts))
    assert mfa("correct", "a.mp3", "-house", "+hip hop").exit_code == 0
    assert sent == [{"house": "no", "hip hop": "yes"}]
    assert "Usage: " in mfa("correct", "-h").stdout
    assert "Usage: " in mfa("correct", "--help").stdout


@pytest.mark.parametrize("name", ["", "0", "000"])
def test_a_key_is_not_revoked_by_so_little(mfa, monkeypatch, name):
    key = schemas.ApiKey(
        id=UUID(int=1), name="only", prefix="1", scopes=[], created_at=datetime.now(UTC), expires_at=None,
        revoked_at=None,
    )  # fmt: skip
    monkeypatch.setattr(Client, "list_keys", lambda _: [key])
    monkeypatch.setattr(Client, "revoke_key", lambda _, key_id: key)
    result = mfa("keys", "revoke", name)
    assert result.exit_code == 2
    assert "four or more characters" in result.stderr
    assert "The key only is revoked." in mfa("keys", "revoke", "0000").stdout
    assert "The key only is revoked." in mfa("keys", "revoke", "last").stdout


def test_a_key_of_other_characters_is_refused(mfa, tmp_path, monkeypatch):
    settings = Settings(host="127.0.0.1", port=1, data_dir=tmp_path, api_key="clé")
    monkeypatch.setattr(connection, "get_settings", lambda: settings)
    result = mfa("jobs")
    assert result.exit_code == 1
    assert "MFA_API_KEY is not valid" in result.stderr


@pytest.mark.parametrize("typed", ["n\n", ""])
def test_a_question_that_is_not_answered_with_yes_ends_the_command(mfa, typed):
    result = CliRunner().invoke(app, ["libraries", "remove", "home"], input=typed)
    assert result.exit_code == 1
    assert "Forget" not in result.stdout
    assert result.stderr.partition("[y/N]:")[2].strip() == "Aborted."


class InterruptedInput:
    """A terminal whose user presses Ctrl-C."""

    def readline(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.usefixtures("mfa")
def test_a_question_can_be_interrupted(monkeypatch):
    monkeypatch.setattr("sys.stdin", InterruptedInput())
    with pytest.raises(SystemExit) as ended:
        app(["libraries", "remove", "home"])
    assert ended.value.code == 130


def test_a_server_that_tells_no_version_is_an_older_one(mfa, answers):
    answers(httpx.Response(200, json={"items": []}))
    result = mfa("libraries")
    assert result.exit_code == 0, result.output
    told = result.stderr.splitlines()[0]
    assert f"is of an unknown, older version, this `mfa` is version {VERSION}" in told


def test_results_that_are_not_understood_name_both_versions(mfa, answers):
    told: list[str] = []
    answers(httpx.Response(200, text='{"x": 1}\n', headers={"Server-Version": "9.0"}))
    with (
        Client("http://127.0.0.1:1", tell=told.append) as client,
        pytest.raises(http.ClientError, match=r"is not understood: the server .* is version 9\.0"),
    ):
        list(client.iterate_results(UUID(int=1)))
    assert len(told) == 1


def test_files_are_written_beside_json(mfa, answers, tmp_path):
    answers(httpx.Response(200, json={"items": [], "next_cursor": None}, headers={"Server-Version": VERSION}))
    result = mfa("tracks", "--csv", "a.csv", "--m3u", "a.m3u", "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout == '{\n  "items": [],\n  "next_cursor": null\n}\n'
    assert (tmp_path / "a.csv").exists()
    assert (tmp_path / "a.m3u").exists()
