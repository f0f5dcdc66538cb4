"""What the project's documents mention: fenced blocks, commands in them, code spans, links."""

import re
import shlex
from dataclasses import dataclass

from core.settings import PROJECT

DOCUMENTS = sorted((*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str  # empty: a shell session
    code: str


def blocks(text: str, *languages: str) -> list[Block]:
    """Fenced blocks of a document in order, of these languages or of all."""
    found = (Block(*match.groups()) for match in _FENCE.finditer(text))
    return [block for block in found if not languages or block.language in languages]


def commands(code: str) -> list[str]:
    """The commands of a shell block, continued lines joined, without comments."""
    lines = code.replace("\\\n", " ").splitlines()
    return [command for line in lines if (command := _without_comment(line))]


def all_commands(text: str) -> list[str]:
    """The commands of every shell block of a document."""
    return [command for block in blocks(text, "bash", "") for command in commands(block.code)]


def spans(text: str) -> list[str]:
    """Code spans outside of fenced blocks; one that is broken over two lines is joined."""
    return [" ".join(match[1].split()) for match in _SPAN.finditer(_FENCE.sub("", text))]


def links(text: str) -> list[str]:
    """The targets of all links that do not lead to another server."""
    return [match[1] for match in _LINK.finditer(_FENCE.sub("", text)) if "://" not in match[1]]


def anchors(text: str) -> set[str]:
    """What a link to a heading may name, as GitHub forms it."""
    headings = (match[1].lower() for match in _HEADING.finditer(_FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def _without_comment(line: str) -> str:
    """A comment begins at a `#` at the start of the line or behind a space, outside of quotes."""
    for match in re.finditer(r"(?:^|(?<=\s))#", line):
        before = line[: match.start()]
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            return before.strip()
    return line.strip()


def words(command: str) -> list[str]:
    """A command's words as the shell would split them, its variables unexpanded."""
    return shlex.split(command)
