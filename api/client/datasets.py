"""The `datasets` commands open audio: they run in a process of their own that has the workers' packages."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import typer

from api import schemas
from api.client.connection import connect
from api.client.http import Client, ClientError
from api.client.lists import Pages
from core.config.dataset import CorrectionsDataset, InLibrary
from core.config.experiment import load_experiment
from core.config.known_library import KnownLibrary, KnownTrack
from core.config.label_groups import facets_by_key, groups_by_facet
from core.errors import InvalidConfig

AS_IT_IS: dict[str, Any] = {
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True},
    "add_help_option": False,
}


def run(context: typer.Context) -> None:
    """Describe or download a dataset; see `mfa datasets -h`."""
    with known_to_server(context.args) as known:
        command = (sys.executable, "-m", "workers.datasets", *context.args, *known)
        code = subprocess.run(command, check=False).returncode
    raise typer.Exit(code)


@contextmanager
def known_to_server(arguments: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Options for a configuration that names a library: its folder, and a file of what people said of it."""
    options = [part for argument in arguments[1:] for part in argument.split("=", 1)]
    dataset = dataset_of(options) if arguments[:1] == ["describe"] else None
    has_root = "--root" in options
    if dataset is None or (has_root and not needs_corrections(dataset)):
        yield ()
        return
    with connect() as client, ExitStack() as stack:
        root = () if has_root else ("--root", folder_of(client, dataset.library))
        if not needs_corrections(dataset):
            yield root
            return
        file = stack.enter_context(NamedTemporaryFile("w", suffix=".json", encoding="utf-8"))
        file.write(known_of(client, dataset).model_dump_json())
        file.flush()
        yield *root, "--known", file.name


def dataset_of(options: Sequence[str]) -> InLibrary | None:
    """That of the configuration which options name, if it is one of a library."""
    if "--config" not in options[:-1]:
        return None
    try:
        dataset = load_experiment(Path(options[options.index("--config") + 1])).dataset
    except (InvalidConfig, OSError):
        return None  # the process says what is wrong
    return dataset if isinstance(dataset, InLibrary) else None


def needs_corrections(dataset: InLibrary) -> bool:
    return isinstance(dataset, CorrectionsDataset) or dataset.corrections


def folder_of(client: Client, name: str) -> str:
    """The folder of a library, as the server knows it."""
    folders = {library.name: library.path for library in client.list_libraries()}
    folder = folders.get(name)
    if folder is None:
        known = ", ".join(sorted(folders)) or "none"
        raise ClientError(f"The server has no library {name!r}; known are: {known}.")
    if not Path(folder).is_dir():
        raise ClientError(
            f"The library {name!r} is {folder} on the server, which is no folder here: add --root."
        )
    return folder


def known_of(client: Client, dataset: InLibrary) -> KnownLibrary:
    """What people said of the tracks of a dataset, and the labels of its label set."""
    query = {"library": dataset.library, "corrected": True, "sort": "path"}
    below = f"{dataset.path.strip('/')}/" if dataset.path else ""
    corrected = Pages(lambda limit, cursor: client.list_tracks({**query, "limit": limit, "cursor": cursor}))
    tracks = [
        KnownTrack(path=track.path, tags=track.tags or {}, verdicts=track.corrections)
        for track in corrected
        if track.path.startswith(below)
    ]
    sets = client.list_label_sets()
    facets = facets_by_key(pair for each in sets for pair in pairs_of(each))
    chosen = dataset.label_set if isinstance(dataset, CorrectionsDataset) else None
    named = next((each for each in sets if each.name == chosen), None)
    if chosen is not None and named is None:
        known = ", ".join(each.name for each in sets) or "none"
        raise ClientError(f"The server has no label set {chosen!r}; known are: {known}.")
    exclusive = groups_by_facet(pairs_of(named)) if named is not None and named.exclusive else ()
    labels = tuple(label for label, _ in pairs_of(named)) if named is not None else ()
    return KnownLibrary(tracks=tuple(tracks), facets=facets, labels=labels, exclusive=exclusive)


def pairs_of(label_set: schemas.LabelSet) -> list[tuple[str, str | None]]:
    return [(each.label, each.facet) for each in label_set.labels]
