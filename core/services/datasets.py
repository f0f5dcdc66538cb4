"""Where the datasets of trainings may lie."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.config.dataset import CorrectionsDataset, DatasetConfig, InLibrary, placed
from core.config.label_groups import groups_by_facet
from core.errors import DatasetOutsideLibraries, InvalidConfig, OutsideLibrary
from core.jobs.kinds import SubmissionContext
from core.library.paths import validate_relative
from core.settings import PROJECT
from core.store.corrections import has_corrections
from core.store.label_sets import get_label_set
from core.store.libraries import check_folder, get_library_by_name
from core.store.tables import Library
from core.store.tracks import has_tracks


def place_dataset(
    session: Session, dataset: DatasetConfig, context: SubmissionContext
) -> tuple[DatasetConfig, Library | None]:
    """The dataset with an absolute root, or the library that it is.

    The folder of a library need not be there if tracks of it are known: what is stored of them suffices.
    Raises DatasetOutsideLibraries for any other folder, unless the submitter is trusted.
    """
    if isinstance(dataset, InLibrary):
        library = get_library_by_name(session, dataset.library)
        if not has_tracks(session, library, dataset.path):  # a training reads what is stored of known tracks
            check_folder(library, dataset.path)
        if isinstance(dataset, CorrectionsDataset):
            dataset = _with_labels(session, dataset)
            if not has_corrections(session, library, dataset.path):
                raise InvalidConfig(f"dataset: nobody has corrected a label in the library {library.name!r}.")
        return dataset, library
    for name in ("file", "audio"):
        _check_inside(name, getattr(dataset, name, ""))
    root = absolute(dataset.root, context.data_dir)
    allowed = _allowed_folders(session, context.data_dir)
    if not context.is_trusted and not any(root.is_relative_to(folder) for folder in allowed):
        raise DatasetOutsideLibraries
    if not root.is_dir():
        raise InvalidConfig(f"dataset.root: {root} is not a folder on the server.")
    return dataset.model_copy(update={"root": str(root)}), None


def check_labels(dataset: DatasetConfig) -> None:
    """Raise InvalidConfig for a dataset, as asked for, that has labels of its own besides a label set."""
    if not isinstance(dataset, CorrectionsDataset) or dataset.label_set is None:
        return
    if dataset.labels or dataset.exclusive:
        raise InvalidConfig("dataset: `label_set` gives the labels; leave out `labels` and `exclusive`.")


def _with_labels(session: Session, dataset: CorrectionsDataset) -> CorrectionsDataset:
    """The dataset with the labels that its label set has now, so that later changes do not reach the job.

    A dataset that has them keeps them: all trainings of a study learn the same labels.
    """
    if dataset.label_set is None or dataset.labels:
        return dataset
    found = get_label_set(session, dataset.label_set)
    labels = tuple(each["label"] for each in found.labels)
    pairs = [(each["label"], each["facet"]) for each in found.labels]
    groups = groups_by_facet(pairs) if found.exclusive else ()
    return dataset.model_copy(update={"labels": labels, "exclusive": groups})


def absolute(root: str, data_dir: Path) -> Path:
    """A root as a configuration names it: absolute, in the data folder, or relative to the project."""
    return (PROJECT / placed(root, data_dir)).resolve()


def _check_inside(name: str, path: str) -> None:
    try:
        validate_relative(path)
    except OutsideLibrary as error:
        raise InvalidConfig(f"dataset.{name}: {path!r} leads out of the dataset's root.") from error


def _allowed_folders(session: Session, data_dir: Path) -> Iterable[Path]:
    """Where everybody's datasets may lie."""
    return [*map(Path, session.scalars(select(Library.path))), (PROJECT / data_dir / "samples").resolve()]
