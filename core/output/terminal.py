"""The two streams of a command, what they can show, and sentences on them."""

import io
import os
import re
import sys

from rich.console import Console
from rich.text import Text

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

# Control characters but for the line feed, halves of surrogate pairs, and what reverses the order of text.
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def prepare_streams() -> None:
    """Make a terminal in the C locale, which Python takes for one of UTF-8, get ASCII only.

    No character that a stream cannot encode ends a command: it is written as an escape.
    """
    in_c_locale = sys.flags.utf8_mode == 1 and "PYTHONUTF8" not in os.environ
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = in_c_locale and stream.isatty()
            stream.reconfigure(encoding="ascii" if is_ascii else None, errors="backslashreplace")


def printable(text: str) -> str:
    r"""With escapes like `\x1b` for control characters and for what the terminal cannot show.

    The name of a file must not steer a terminal, and a table is laid out for what is shown.
    """
    safe = UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return safe.encode(console.encoding, "backslashreplace").decode(console.encoding)


def say(line: str, style: str = "") -> None:
    """A line of what was asked for; text in brackets is not markup."""
    console.print(Text(printable(line), style=style), soft_wrap=True)


def note(line: str) -> None:
    """A line about a table, beside it when the table goes through a pipe."""
    (console if console.is_terminal else errors).print(Text(printable(line)), soft_wrap=True)


def complain(line: str) -> None:
    errors.print(Text(printable(line), style="red"), soft_wrap=True)
