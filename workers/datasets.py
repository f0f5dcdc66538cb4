"""Describes and downloads datasets: `mfa datasets`, or `python -m workers.datasets`."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from core.config.dataset import (
    CorrectionsDataset,
    DatasetConfig,
    InLibrary,
    LabelConfig,
    LibraryDataset,
    SplitConfig,
    placed,
)
from core.config.experiment import load_experiment
from core.config.known_library import KnownLibrary
from core.errors import InvalidConfig, ItemError
from core.library.paths import find_beneath, open_beneath
from core.library.scan import FoundFile, scan
from core.ml.audio.sandbox import read_tags
from core.ml.datasets import download, fma_archives
from core.ml.datasets.catalogue import read_corrections, read_dataset, read_library
from core.ml.datasets.describe import Description, describe
from core.ml.datasets.examples import Dataset
from core.ml.datasets.library import TaggedTrack
from core.ml.datasets.plots import write_plots
from core.ml.datasets.spellings import merged_note
from core.output.command_group import Commands
from core.output.files import check_folder
from core.output.tables import Cell, show_table
from core.output.terminal import console, errors, say
from core.settings import get_settings
from workers.library_dataset import corrected_track, tagged_track

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Describe and download datasets on this machine.",
)
SHOWN_LABELS, SHOWN_FILES = 50, 20
PLOTS, FMA = Path("dataset"), Path("data/fma")
_DATASET: TypeAdapter[Any] = TypeAdapter(DatasetConfig)


@app.command("describe")
def describe_dataset(
    config: Annotated[Path | None, typer.Option(help="An experiment's YAML file.")] = None,
    kind: Annotated[
        str, typer.Option(help="folder, manifest, fma, library ...; without --config.")
    ] = "folder",
    root: Annotated[Path | None, typer.Option(help="The dataset's folder; that of a library, too.")] = None,
    plots: Annotated[Path, typer.Option(callback=check_folder, help="Folder for the plots.")] = PLOTS,
    open_files: Annotated[bool, typer.Option(help="Open every file to find the unreadable ones.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print all counts as JSON.")] = False,
    known: Annotated[
        Path | None, typer.Option(hidden=True, help="What the server knows; `mfa` names it.")
    ] = None,
) -> None:
    """Count labels, artists, durations and unreadable files, show the split, write plots as PNG."""
    chosen, labels, split = choose(config, kind, root)
    said = None if known is None else KnownLibrary.model_validate_json(known.read_bytes())
    dataset = read(chosen, root, labels, said)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bars:
        bar = bars.add_task("opening the files", total=None)
        found = describe(
            dataset,
            labels,
            split,
            open_files=open_files,
            on_progress=lambda done, total: bars.update(bar, completed=done, total=total),
        )
    paths = write_plots(found, plots)
    if as_json:
        console.file.write(json.dumps(to_jsonable_python(found), indent=2, ensure_ascii=False) + "\n")
        return
    show(found)
    for path in paths:
        say(str(path))


def choose(
    config: Path | None, kind: str, root: Path | None
) -> tuple[DatasetConfig, LabelConfig, SplitConfig]:
    """The dataset, labels and split of a configuration file or of the options."""
    if config is not None:
        experiment = load_experiment(config)
        return experiment.dataset, experiment.labels, experiment.seeded_split
    if root is None:
        raise InvalidConfig("Name a dataset: --config FILE, or --kind KIND --root FOLDER.")
    where = {"library": root.name} if kind in ("library", "corrections") else {"root": str(root)}
    try:
        return _DATASET.validate_python({"kind": kind, **where}), LabelConfig(), SplitConfig()
    except ValidationError as error:
        raise InvalidConfig("; ".join(each["msg"] for each in error.errors())) from error


def read(
    config: DatasetConfig, root: Path | None, labels: LabelConfig, known: KnownLibrary | None
) -> Dataset:
    """The tracks with their labels; those of a library are read from its folder, and from what is `known`."""
    if not isinstance(config, InLibrary):
        where = root or placed(config.root, get_settings().data_dir)
        return read_dataset(config.model_copy(update={"root": str(where)}))
    if root is None:
        raise InvalidConfig(
            f"Only the server knows the folder of the library {config.library!r}: add --root."
        )
    if known is None:
        if isinstance(config, CorrectionsDataset) or config.corrections:
            raise InvalidConfig(
                "Only the server knows what people said: `mfa datasets describe --config` asks it."
            )
        known = KnownLibrary(tracks=())
    if isinstance(config, CorrectionsDataset):
        said = [corrected_track(each.path, each.tags, each.verdicts) for each in known.tracks]
        named = {"labels": known.labels or config.labels, "exclusive": known.exclusive or config.exclusive}
        return read_corrections(config.model_copy(update=named), root, said, labels)
    return read_library(config, root, tracks_in(config, root, known), known.facets, labels)


def tracks_in(config: LibraryDataset, root: Path, known: KnownLibrary) -> list[TaggedTrack]:
    """The tracks in the folder of a library, with their tags and what people said of their labels."""
    entries = scan(root, find_beneath(root, config.path))
    unreadable: dict[str, str] = {}
    tracks = [tagged(root, entry.path, unreadable) for entry in entries if isinstance(entry, FoundFile)]
    show_unreadable_tags(unreadable)
    verdicts = {each.path: each.verdicts for each in known.tracks}
    return [replace(track, verdicts=verdicts.get(track.path, {})) for track in tracks]


def tagged(root: Path, path: str, unreadable: dict[str, str]) -> TaggedTrack:
    """A track with its tags; errors are added to `unreadable`."""
    try:
        with open_beneath(root, path) as file:
            reading = read_tags(file)
    except ItemError as error:
        unreadable[path] = error.detail
        return TaggedTrack(path)
    if reading.error is not None:
        unreadable[path] = reading.error
    return tagged_track(path, reading.tags)


def show(found: Description) -> None:
    say(f"{found.name}: {found.tracks} tracks, {found.artists} artists, {found.albums} albums", "bold")
    if found.unlabelled:
        say(f"{found.unlabelled} tracks without a label")
    if found.durations is not None:
        times = found.durations
        say(
            f"{times.total_s / 3600:.1f} h of audio; shortest {times.shortest_s:.0f} s, "
            f"median {times.median_s:.0f} s, longest {times.longest_s:.0f} s"
        )
    show_labels(found)
    if note := merged_note(found.merged):
        say(note)
    if found.unusable:
        say(f"Unreadable files: {len(found.unusable)}", "red")
    for one in found.unusable[:SHOWN_FILES]:
        say(f"  {one.path}: {one.detail}")
    show_unreadable_tags({str(path): why for path, why in found.unreadable_tags.items()})
    for note in (found.obstacle,) if found.obstacle else found.split.warnings if found.split else ():
        say(f"Note: {note}")
    for label in found.unmeasured:
        of = "one artist" if label.artists == 1 else "one fold"
        say(f"Note: {label.label} cannot be measured: its tracks ({label.tracks}) are of {of}.")


def show_unreadable_tags(reasons: Mapping[str, str]) -> None:
    """Print the errors of unreadable tags by path."""
    if reasons:
        say(f"Files with unreadable tags: {len(reasons)}", "red")
    for path in list(reasons)[:SHOWN_FILES]:
        say(f"  {path}: {reasons[path]}")


def show_labels(found: Description) -> None:
    rows: list[list[Cell]] = [
        [one.label, one.tracks, one.artists, *(counts.get(one.label, 0) for counts in found.parts.values())]
        for one in found.labels[: SHOWN_LABELS if console.is_terminal else None]
    ]
    show_table("Labels", ("label", "tracks", "artists", *found.parts), rows)
    if console.is_terminal and len(found.labels) > SHOWN_LABELS:
        say(f"... and {len(found.labels) - SHOWN_LABELS} more labels; `--json` shows all.")


@app.command("download")
def download_dataset(
    name: Annotated[Literal["fma"], typer.Argument(help="fma: the Free Music Archive.")],
    size: Annotated[Literal["small", "medium", "large"], typer.Option(help="7, 22 or 93 GB.")] = "small",
    root: Annotated[Path, typer.Option(callback=check_folder, help="Folder to put it in.")] = Path(
        "data/fma"
    ),
) -> None:
    """Download and verify a dataset; resumes an interrupted download."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as bars:
        bar = bars.add_task(name, total=None)
        download.fetch(
            fma_archives.archives(size),
            root,
            lambda what, done, total: bars.update(bar, description=what, completed=done, total=total),
        )
    say(f"{name} {size} is in {root}.", "bold")


if __name__ == "__main__":
    app(prog_name="mfa datasets")
