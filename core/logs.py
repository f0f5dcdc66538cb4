"""Log lines of every process: plain or JSON, with what is being worked on, and without any secret."""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from core.settings import Settings

PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"
FIELDS = ("job", "unit", "request")  # of `extra`, or of `working_on`
MASK = "***"
API_KEY = re.compile(r"mfa_[0-9a-f]{8}_[\w-]{20,}")
URL_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):[^\s@]+(?=@)")
SHORTEST = 8  # characters; a shorter password is a word that lines may hold for other reasons

_current: dict[str, object] = {}


@contextmanager
def working_on(**fields: object) -> Iterator[None]:
    """Name what this process works on, a unit at a time, in all its lines, whichever thread writes them."""
    _current.update(fields)
    try:
        yield
    finally:
        _current.clear()


def passwords(settings: Settings) -> list[str]:
    """What no line may show, as it is and as it stands in a URL; the longest first."""
    found = {settings.api_key}
    for url in (settings.database_url, settings.broker_url):
        try:
            password = make_url(url).password if url else None
        except ArgumentError:
            continue
        found |= {str(password), quote(str(password), safe="")} if password else set()
    return sorted((secret for secret in found if len(secret) >= SHORTEST), key=len, reverse=True)


class Redactor:
    """Masks known secrets, and whatever looks like one of an unknown server or client."""

    def __init__(self, secrets: list[str]) -> None:
        self._known = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def __call__(self, text: str) -> str:
        text = self._known.sub(MASK, text) if self._known else text
        return URL_PASSWORD.sub(rf"\1:{MASK}", API_KEY.sub(f"mfa_{MASK}", text))


class PlainLines(logging.Formatter):
    """As people read them, tracebacks below."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__(PLAIN)
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))


class JsonLines(logging.Formatter):
    """One object per line."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": self.redact(record.getMessage()),
        }
        for name in FIELDS:
            value = getattr(record, name, None) or _current.get(name)
            if value is not None:
                line[name] = value if isinstance(value, int) else str(value)
        if record.exc_info:
            line["exception"] = self.redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure_logging(settings: Settings, *, force: bool = False) -> None:
    """Write this process' lines to stderr, also what no `except` has caught.

    Logging that was configured already stays as it is, unless forced.
    """
    root = logging.getLogger()
    if root.handlers and not force:
        return
    redact = Redactor(passwords(settings))
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(redact) if settings.log_format == "json" else PlainLines(redact))
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):  # servers bring handlers of their own
            logger.handlers.clear()
            logger.propagate = True
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: root.critical("it ends", exc_info=(kind, error, trace))
    threading.excepthook = _log_thread


def _log_thread(failed: threading.ExceptHookArgs) -> None:
    error = failed.exc_value
    if error is not None:
        name = failed.thread.name if failed.thread else "?"
        logging.getLogger().critical("thread %s ends", name, exc_info=error)
