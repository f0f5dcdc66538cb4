"""Log lines: what they name, and what they never show."""

import json
import logging
import subprocess
import sys
import threading

import pytest

from core.logs import JsonLines, PlainLines, Redactor, configure_logging, passwords, working_on
from core.settings import Settings

PASSWORD = "s3cret/of:the@database"
QUOTED = "s3cret%2Fof%3Athe%40database"
BROKER_PASSWORD = "0123456789abcdef"
KEY = "mfa_01234567_" + "k" * 43
SETTINGS = Settings(
    database_url=f"postgresql://mfa:{QUOTED}@db:5432/mfa",
    broker_url=f"redis://:{BROKER_PASSWORD}@valkey:6379/0",
    api_key=KEY,
)


@pytest.fixture
def redact() -> Redactor:
    return Redactor(passwords(SETTINGS))


def record_of(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("workers", logging.ERROR, __file__, 1, message, arguments, exc_info)


def raised(text: str) -> BaseException:
    try:
        raise ConnectionError(text)
    except ConnectionError as error:
        return error


@pytest.mark.parametrize("secret", [PASSWORD, QUOTED, BROKER_PASSWORD, KEY])
@pytest.mark.parametrize("lines", [PlainLines, JsonLines])
def test_no_line_shows_a_secret_of_the_settings(redact, lines, secret):
    error = raised(f"cannot connect with {secret}")
    text = lines(redact).format(record_of("tried %s: %s", f"x://u:{secret}@h", secret, error=error))
    assert secret not in text
    assert json.dumps(secret)[1:-1] not in text
    assert "cannot connect with ***" in text or "mfa_***" in text


def test_secrets_of_others_are_known_by_their_looks(redact):
    line = redact("redis://:hunter2@elsewhere:1/0 postgresql://me:p%40ss@h/d mfa_89abcdef_" + "z" * 43)
    assert line == "redis://:***@elsewhere:1/0 postgresql://me:***@h/d mfa_***"


def test_what_is_no_secret_stays(redact):
    line = "LISTEN mfa_units; https://host/path?q=a:b redis://valkey:6379/0 mfa.analyse me@host"
    assert redact(line) == line


def test_short_passwords_do_not_blot_out_words():
    assert passwords(Settings(database_url="postgresql://mfa:mfa@db/mfa", broker_url="", api_key="")) == []


def test_a_json_line_names_job_and_unit_whichever_thread_writes_it(redact):
    lines: list[str] = []

    def write() -> None:
        lines.append(JsonLines(redact).format(record_of("at %d", 7)))

    with working_on(job="a-job", unit=5):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    write()
    inside, outside = map(json.loads, lines)
    assert (inside["job"], inside["unit"], inside["message"]) == ("a-job", 5, "at 7")
    assert (inside["level"], inside["logger"]) == ("ERROR", "workers")
    assert "job" not in outside
    assert "unit" not in outside


def test_a_line_of_text_with_breaks_is_one_line_of_json(redact):
    text = JsonLines(redact).format(record_of("a\nb", error=raised("c\nd")))
    assert len(text.splitlines()) == 1
    assert json.loads(text)["message"] == "a\nb"
    assert "Traceback" in json.loads(text)["exception"]


def test_logging_that_is_configured_stays():
    before = logging.getLogger().handlers[:]
    assert before  # pytest's own
    configure_logging(SETTINGS)
    assert logging.getLogger().handlers == before


def test_what_nobody_catches_is_a_line_like_all_others():
    script = (
        "import threading, warnings\n"
        "from core.logs import configure_logging\n"
        "from core.settings import Settings\n"
        f"url = {SETTINGS.database_url!r}\n"
        "configure_logging(Settings(database_url=url, broker_url='', log_format='json'))\n"
        "warnings.warn(url)\n"
        "def fail(): raise OSError(url)\n"
        "thread = threading.Thread(target=fail, name='a-thread')\n"
        "thread.start(); thread.join()\n"
        "fail()\n"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert outcome.returncode == 1
    assert QUOTED not in outcome.stderr
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert [line["message"] for line in lines[1:]] == ["thread a-thread ends", "it ends"]
    assert all("OSError" in line["exception"] for line in lines[1:])
