"""Body of a `train` unit: trains on a dataset, reports every epoch, and registers the model."""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.config.dataset import CorrectionsDataset, DatasetConfig, InLibrary, LabelConfig
from core.config.experiment import ExperimentConfig
from core.errors import LibraryNotFound, UnusableDataset
from core.jobs.counters import save_activity, save_timings
from core.library.paths import find_beneath
from core.ml.datasets.catalogue import read_corrections, read_dataset, read_library
from core.ml.datasets.examples import Dataset
from core.ml.training.context import TrainingStopped
from core.ml.training.json_values import finite_or_null
from core.ml.training.reports import EpochReport, TrainingResult
from core.ml.training.track_records import TrackRecords, read_track_records
from core.ml.training.train import train
from core.services.runs import finish_run, record_epochs
from core.settings import get_settings
from core.states import Activity
from core.store.corrections import list_library_corrections
from core.store.experiments import FinishedTraining, take_version
from core.store.label_sets import read_facets
from core.store.registry import artifact_folder, register_artifact
from core.store.tables import Library, Model, Run
from core.store.tracks import list_tags
from workers.comparison import find_tracks, label_embedded, make_offer
from workers.install import install, read_card
from workers.known_audio import stored_embeddings, with_contents
from workers.lease import Lease
from workers.library_dataset import corrected_track, tagged_track
from workers.training_tracks import store_training_tracks

WRITE_EVERY_S = 1.0
LARGE_RESULTS = ("co_occurrence",)  # quadratic in the labels; stored only in the run's files


def train_model(lease: Lease) -> None:
    """Train and register the model. Resumes from the last checkpoint or, once registered, behind that."""
    settings, run_id = get_settings(), lease.claim.job_id
    config = ExperimentConfig.model_validate(lease.claim.params["experiment"])
    with lease.sessions() as session:
        made_id = session.get_one(Run, run_id).model_id
        made = None if made_id is None else session.get(Model, made_id)
    if made is not None:
        _clean_up(lease, made)
    if made_id is not None:
        return
    dataset = load_known_dataset(lease, config.dataset, config.labels)
    version = lease.write(lambda session: take_version(session, run_id))
    reporter = RunReporter(lease, run_id)
    folder = settings.training_dir / str(run_id)
    adopt_checkpoints(folder, lease.claim.payload.get("continues", []))
    try:
        result = train(
            config,
            dataset,
            reporter.on_epoch,
            folder=folder / "model",
            cache_dir=settings.cache_dir,
            models_dir=settings.models_dir,
            version=version,
            device=settings.device,
            should_stop=reporter.should_stop,
            on_track=reporter.on_track,
            on_activity=reporter.on_activity,
            find_stored=stored_embeddings(lease.sessions),
            searched="study_id" in lease.claim.params,
        )
    except TrainingStopped:
        reporter.flush()
        lease.check()
        raise
    reporter.on_activity(Activity.INSTALLING, 0, None)
    installed = install(result.folder, settings.models_dir / f"{config.experiment_name}-{version}")
    offer = _compare(lease, result, read_track_records(installed))
    model = lease.write(partial(_finish, lease=lease, result=result, folder=installed, offer=offer))
    _clean_up(lease, model)


def _clean_up(lease: Lease, model: Model) -> None:
    """Store what the registered model was trained on, and remove the checkpoints."""
    records = read_track_records(artifact_folder(model))
    if records is not None:
        store_training_tracks(lease, model, records)
    shutil.rmtree(get_settings().training_dir / str(lease.claim.job_id), ignore_errors=True)


def _compare(lease: Lease, result: TrainingResult, records: TrackRecords | None) -> dict[str, Any] | None:
    """How the model of a retraining compares with the one that serves; None of other trainings."""
    against = lease.claim.params.get("compare_with")
    if against is None or records is None:
        return None
    found = lease.transact(partial(find_tracks, against=against, records=records))
    label_embedded(found)
    return make_offer(found, result.labels, records)


def adopt_checkpoints(folder: Path, continues: Sequence[str]) -> None:
    """Take over the checkpoints of the newest run that this one retries.

    They are renamed, so if two runs retry the same one, the second starts from the beginning.
    """
    for earlier in continues:
        if folder.exists():
            return
        with suppress(FileNotFoundError):
            (folder.parent / earlier).rename(folder)


def load_known_dataset(lease: Lease, config: DatasetConfig, labels: LabelConfig | None = None) -> Dataset:
    """The tracks with their labels, and with the hashes of the audio that the database knows.

    Without the selection of `labels`, every track that may be used.
    """
    dataset = load_dataset(lease, config, labels)
    with lease.sessions() as session:
        library = session.get(Library, lease.claim.library_id) if lease.claim.library_id else None
        return dataset if library is None else with_contents(session, library, dataset)


def load_dataset(lease: Lease, config: DatasetConfig, labels: LabelConfig | None = None) -> Dataset:
    """The tracks with their labels; those of a library are read from the database."""
    if not isinstance(config, InLibrary):
        return read_dataset(config)
    with lease.sessions() as session:
        library = session.get(Library, lease.claim.library_id)
        if library is None:
            raise LibraryNotFound
        root = Path(library.path)
        folder = find_beneath(root, config.path)
        reads_corrections = isinstance(config, CorrectionsDataset) or config.corrections
        corrected = list_library_corrections(session, library, folder) if reads_corrections else []
        if isinstance(config, CorrectionsDataset):
            return read_corrections(config, root, [corrected_track(*row) for row in corrected], labels)
        rows = list_tags(session, library, folder)
        facets = read_facets(session)
    if all(tags is None for _, tags in rows) and (not rows or config.labels_from == "genre_tags"):
        raise UnusableDataset(
            f"No track of the library {library.name!r} has been analysed yet: label the library first."
        )
    verdicts = {path: found for path, _, found in corrected}
    tracks = [tagged_track(path, tags or {}, verdicts.get(path)) for path, tags in rows]
    dataset = read_library(config, root, tracks, facets, labels)
    if config.labels_from == "genre_tags" and (unread := sum(tags is None for _, tags in rows)):
        note = f"{unread:,} tracks of the library have not been analysed yet, so their tags are not known."
        dataset = replace(dataset, notes=(*dataset.notes, note))
    return dataset


def _finish(
    session: Session,
    lease: Lease,
    result: TrainingResult,
    folder: Path,
    offer: dict[str, Any] | None,
) -> Model:
    """Register the model and store the results of its run in one transaction.

    It is short, as registration may create an index, which holds up all that write embeddings.
    """
    card = read_card(folder)
    run = session.get_one(Run, lease.claim.job_id)
    finished = FinishedTraining(
        config=ExperimentConfig.model_validate_json(card.provenance["config"]).model_dump(mode="json"),
        dataset_sha256=card.provenance["dataset_sha256"],
        code_version=card.provenance["code_version"],
        metrics=finite_or_null(dict(result.metrics)),
        results={name: value for name, value in result.results.items() if name not in LARGE_RESULTS},
        duration_s=result.metrics["duration_s"],
        epochs=[finite_or_null(report.as_dict()) for report in result.history],
    )
    model = register_artifact(session, folder)
    model.offer = offer
    finish_run(session, lease.claim, run, finished, model)
    return model


class RunReporter:
    """Writes the progress of a run to the database, and tells its training when to stop.


    `counted`: each epoch counts as progress of the job.
    """

    def __init__(self, lease: Lease, run_id: UUID, *, counted: bool = True) -> None:
        self._lease, self._run_id, self._counted = lease, run_id, counted
        self._reports: list[EpochReport] = []
        self._written = self._noted = time.monotonic()

    def on_epoch(self, report: EpochReport) -> None:
        self._reports.append(report)
        if self._is_due():
            self.flush()

    def on_track(self, done: int, total: int) -> None:
        self.on_activity(Activity.READING, done, total)
        if self._is_due():
            counts: dict[str, float] = {"tracks_ready": done, "tracks": total}
            self._lease.write(lambda session: save_timings(session, self._lease.claim, counts))
            self._written = time.monotonic()

    def on_activity(self, activity: Activity, done: int, total: int | None) -> None:
        """Write the current activity: at once if it has no progress, else at most every `WRITE_EVERY_S`."""
        self._lease.record_progress()
        if total is None or time.monotonic() - self._noted >= WRITE_EVERY_S:
            values = {"name": activity, "done": done, "total": total}
            self._lease.write(partial(save_activity, claim=self._lease.claim, activity=values))
            self._noted = time.monotonic()

    def should_stop(self) -> bool:
        self._lease.record_progress()
        return self._lease.stop is not None

    def flush(self) -> None:
        """Write the epochs reported since the last write."""
        reports: Sequence[dict[str, Any]] = [finite_or_null(report.as_dict()) for report in self._reports]
        self._lease.write(
            partial(
                record_epochs,
                claim=self._lease.claim,
                run_id=self._run_id,
                reports=reports,
                counted=self._counted,
            )
        )
        self._reports, self._written = [], time.monotonic()

    def _is_due(self) -> bool:
        return time.monotonic() - self._written >= WRITE_EVERY_S
