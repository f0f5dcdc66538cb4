"""What documents mention exists: files, links, commands, options, settings, routes, modules, figures."""

import ast
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer
import yaml
from typer.core import TyperGroup

from api.client.cli import app as mfa
from api.main import create_app
from core.settings import PROJECT, Settings, variable_of
from tests.support.documents import (
    DOCUMENTS,
    all_commands,
    anchors,
    blocks,
    links,
    spans,
    words,
)
from workers.datasets import app as mfa_datasets

README = (PROJECT / "README.md").read_text()
RECORDS = sorted((PROJECT / "docs" / "decisions").glob("[0-9]*.md"))
FOLDERS = {"api", "configs", "core", "docker", "docs", "migrations", "notebooks", "tests", "workers"}
SECRETS = ("postgres_password", "valkey_conf", "mfa_database_url", "mfa_broker_url")
MADE_BY_THE_READER = {"docker/.env", "docker/secrets", "docker/first.yml", "docker/further.yml"} | {
    f"docker/secrets/{name}" for name in SECRETS
}
OTHER_PROGRAMS = {"--nproc-per-node", "--scale", "--timeout"}  # of torchrun, Docker Compose and pytest
README_PROGRAMS = {"make", "docker", "echo", "mfa", "curl", "api=http://127.0.0.1:8000/api/v1"}
each_record = pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.name)


def wrong(find: Callable[[str], Iterable[str]], exists: Callable[[str], object]) -> list[str]:
    """`document: name` for all that `find` finds in a document's text and that does not exist."""
    return [
        f"{document.relative_to(PROJECT)}: {name}"
        for document in DOCUMENTS
        for name in find(document.read_text())
        if not exists(name)
    ]


def mentioned(text: str) -> list[str]:
    """Code spans and commands of a document."""
    return spans(text) + all_commands(text)


def matches(pattern: str) -> Callable[[str], Iterable[str]]:
    """Finds the first group of a pattern in all that a document mentions."""
    return lambda text: (match[1] for part in mentioned(text) for match in re.finditer(pattern, part))


def test_links_lead_to_files_and_headings() -> None:
    for document in DOCUMENTS:
        for link in links(document.read_text()):
            name, _, anchor = link.partition("#")
            target = document.parent / name if name else document
            assert target.exists(), f"{document}: {link}"
            assert not anchor or anchor in anchors(target.read_text()), f"{document}: {link}"


def test_paths_exist() -> None:
    def find(text: str) -> Iterable[str]:
        named = [*spans(text), *(word for command in all_commands(text) for word in words(command))]
        paths = (name.partition("::")[0] for name in named)
        ours = (path for path in paths if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", path) and "/" in path)
        return (path for path in ours if path.partition("/")[0] in FOLDERS)

    assert wrong(find, lambda path: path in MADE_BY_THE_READER or (PROJECT / path).exists()) == []


def test_make_targets_and_variables_exist() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert wrong(matches(r"\bmake ([a-z][a-z-]*)"), targets.__contains__) == []
    assert wrong(matches(r"\bmake .*?\b([A-Z_]+)="), lambda name: f"$({name})" in makefile) == []


def test_commands_of_the_product_exist_with_their_options() -> None:
    def find(text: str) -> Iterable[str]:
        return (part for part in mentioned(text) if re.match(r"(\.venv/bin/)?mfa( |$)", part))

    assert wrong(find, lambda command: _is_known(words(command)[1:])) == []


def test_commands_in_blocks_are_complete() -> None:
    """As the command line would parse them, with an id in place of each variable."""
    for document in DOCUMENTS:
        for command in all_commands(document.read_text()):
            if command.startswith("mfa "):
                found, rest = _find(words(command)[1:])
                found.make_context("mfa", [re.sub(r"^\$\w+$", str(UUID(int=0)), word) for word in rest])


def test_options_that_stand_alone_exist() -> None:
    known = {option for command in [_group(), *_all_commands(_group())] for option in _options(command)}
    known |= set(re.findall(r'"(--[a-z-]+)"', (PROJECT / "tests" / "conftest.py").read_text()))

    def find(text: str) -> Iterable[str]:
        return (option for span in spans(text) for option in re.findall(r"(?<!\S)--[a-z0-9-]+", span))

    assert wrong(find, (known | OTHER_PROGRAMS).__contains__) == []


def test_settings_exist_and_are_explained() -> None:
    compose = "".join(file.read_text() for file in (PROJECT / "docker").glob("*.yml"))
    known = {variable_of(name) for name in Settings.model_fields} | {"MFA_SECRETS_DIR"}
    known |= set(re.findall(r"\bMFA_[A-Z_]+\b", compose))
    assert wrong(lambda text: re.findall(r"\bMFA_[A-Z_]+\b", text), known.__contains__) == []
    explained = (PROJECT / "docs" / "SETTINGS.md").read_text()
    fields = Settings.model_fields.items()
    public = [name for name, field in fields if "fault tests only" not in (field.description or "")]
    assert [name for name in public if f"`{variable_of(name)}`" not in explained] == []


def test_modules_exist() -> None:
    started = matches(r"(?:python|torchrun)\b.* -m ((?:api|core|tests|workers)[\w.]+)")
    assert wrong(started, _is_name) == []
    assert wrong(matches(r"^((?:api|core|workers|tests)(?:\.\w+)+)$"), _is_name) == []


def test_routes_exist() -> None:
    routes = _routes()
    named = matches(r"\b((?:GET|POST|PUT|PATCH|DELETE) /[\w{}/.@-]+)")
    assert wrong(named, lambda route: _shape(route) in routes) == []


def test_code_in_blocks_is_code() -> None:
    for document in DOCUMENTS:
        for block in blocks(document.read_text(), "yaml"):
            assert yaml.safe_load(block.code)
        for block in blocks(document.read_text(), "python"):
            for node in ast.walk(ast.parse(block.code)):
                if isinstance(node, ast.ImportFrom):
                    assert all(_is_name(f"{node.module}.{alias.name}") for alias in node.names)


def test_every_command_of_the_readme_is_run_or_checked() -> None:
    """`mfa` and `curl` are run by tests/e2e/test_readme.py; targets and files are checked above."""
    assert {block.language for block in blocks(README)} == {"text", "bash", "mermaid"}
    assert {words(command)[0] for command in all_commands(README)} == README_PROGRAMS


def test_what_the_readme_shows_is_what_the_model_gives() -> None:
    reference = json.loads((PROJECT / "tests" / "data" / "musicnn_msd_samples.json").read_text())
    (picture,) = blocks(README, "text")
    rows = [line.strip("│").split("│") for line in picture.code.splitlines() if line.startswith("│")]
    assert len(rows) >= 5
    for track, labels, _ in rows:
        scores = zip(reference["tracks"][track.strip()]["tags"], reference["labels"], strict=True)
        best = sorted(scores, reverse=True)[:3]
        shown = [label.strip().rsplit(" ", 1) for label in labels.split(",")]
        assert [label for label, _ in shown] == [label for _, label in best]
        assert [float(score) for _, score in shown] == pytest.approx([score for score, _ in best], abs=0.006)


@each_record
def test_a_decision_record_has_its_parts_and_is_listed(record: Path) -> None:
    text = record.read_text()
    number = int(record.name[:4])
    assert number == RECORDS.index(record) + 1
    assert text.startswith(f"# {number}. ")
    assert re.search(r"^Status: (accepted|superseded by \[\d{4}\]\(\d{4}-[\w-]+\.md\))$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    title = text.partition("\n")[0].removeprefix("# ")
    assert f"- [{title}]({record.name})" in (record.parent / "README.md").read_text().splitlines()


def test_the_glossary_has_each_noun_once_in_two_lines() -> None:
    text = (PROJECT / "docs" / "glossary.md").read_text()
    entries = re.findall(r"^- \*\*(.+?)\*\*: .+\n((?:  .+\n)*)", text, re.MULTILINE)
    nouns = [noun for noun, _ in entries]
    assert len(nouns) == len(set(nouns)) > 40
    assert [noun for noun, rest in entries if rest.count("\n") != 1] == []


@cache
def _group() -> TyperGroup:
    """The command `mfa`, with that of `mfa datasets`, which it starts as a process of its own."""
    group = typer.main.get_command(mfa)  # with the options for completion
    assert isinstance(group, TyperGroup)
    group.add_command(typer.main.get_group(mfa_datasets), "datasets")
    return group


def _all_commands(group: TyperGroup) -> list[Any]:
    found: list[Any] = []
    for command in group.commands.values():
        found += _all_commands(command) if isinstance(command, TyperGroup) else [command]
    return found


def _options(command: Any) -> set[str]:
    named = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    return named | {"--help"}


def _find(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command that the arguments name, and what follows its name."""
    command: Any = _group()
    while isinstance(command, TyperGroup) and arguments and arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


def _is_known(arguments: list[str]) -> bool:
    command, rest = _find(arguments)
    options = {word.partition("=")[0] for word in rest if word.startswith("--")}
    is_command = not isinstance(command, TyperGroup) or not set(rest) - options
    return is_command and options <= _options(command)


def _is_name(name: str) -> bool:
    """Whether a dotted name is a module, or a function or class in one."""
    path = PROJECT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = path.parent.with_suffix(".py")
    defined = rf"^(?:class|def) {path.name}\b"
    return module.is_file() and re.search(defined, module.read_text(), re.MULTILINE) is not None


@cache
def _routes() -> set[str]:
    paths: dict[str, Any] = create_app(Settings(database_url="postgresql://nowhere")).openapi()["paths"]
    return {_shape(f"{method.upper()} {path}") for path, methods in paths.items() for method in methods}


def _shape(route: str) -> str:
    """A route without its prefix and whatever its parameters are called."""
    return re.sub(r"\{\w+\}", "{}", route).replace(" /api/v1", " ")
