"""Bodies of the units that run before a training or study: what it needs of its tracks is computed once.

A `plan-inputs` unit finds the tracks of which something is missing; `prepare` units compute it in parallel.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.config.dataset import LabelConfig
from core.config.experiment import ExperimentConfig
from core.config.models import EnsembleConfig, FeatureConfig, TransferConfig
from core.config.search_space import best_experiment
from core.config.tuning import TuningConfig
from core.errors import InvalidConfig, ItemError, LibraryNotFound
from core.jobs.claims import Claim
from core.jobs.items import Outcome, WorkItem, load_work, record_outcomes
from core.library.content import NOT_READ
from core.ml.datasets.credits import credits_of
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.labels import before_tags, select_labels
from core.ml.datasets.paths import status_of_audio
from core.ml.training.bases import load_base
from core.ml.training.cache_paths import EMBEDDINGS, LOG_MEL, cache_path
from core.ml.training.cache_versions import folder_of, sweep_outdated
from core.ml.training.feature_cache import CacheResult, cache_log_mels, config_hash
from core.ml.training.identity import Identity, known_identity, remember
from core.ml.training.store_limit import Space, mark_used
from core.ml.tuning.objective import torch_threads
from core.services.planning import PlannedItem
from core.services.preparation import add_preparing_units
from core.services.tuning import possible_models
from core.settings import get_settings
from core.states import ItemState
from core.store.embeddings import find_embedded_contents
from core.store.registry import find_in_folder
from core.store.tables import Encoder, Library, Model, Study
from core.store.tracks import list_sizes
from workers.examining import Opened
from workers.extraction import Reusable, analyse_files, open_items
from workers.known_audio import embedded
from workers.lease import Lease
from workers.planning import cut, whole_track_s
from workers.recorder import EmbeddingRecorder
from workers.taggers import get_tagger
from workers.training import load_known_dataset

FILES_PER_WRITE = 4  # of which frames are computed; bounds how long a stop takes


@dataclass(frozen=True)
class Embeddings:
    """Mean embeddings by the backbone in this folder of the models."""

    backbone: str

    @property
    def payload(self) -> dict[str, Any]:
        return {"backbone": self.backbone}

    def find(self, lease: Lease, contents: set[str]) -> set[str]:
        """Those of the hashes of which the embedding is stored, or cached by an earlier training."""
        _, sha256 = lease.transact(partial(_backbone, name=self.backbone))
        folder = folder_of(get_settings().cache_dir, EMBEDDINGS) / sha256[:16]
        found = lease.transact(lambda session: embedded(session, sha256, contents))
        return found | _cached(folder, contents - found)


@dataclass(frozen=True)
class Frames:
    """Log-mel frames."""

    features: FeatureConfig

    @property
    def payload(self) -> dict[str, Any]:
        return {"features": self.features.model_dump(mode="json")}

    def find(self, _lease: Lease, contents: set[str]) -> set[str]:
        """Those of the hashes of which the frames are in the feature store, where they are marked as used."""
        folder = folder_of(get_settings().cache_dir, LOG_MEL) / config_hash(self.features)
        found = _cached(folder, contents)
        for content in found:
            mark_used(cache_path(folder, content))
        return found


Inputs = Embeddings | Frames


def plan_inputs(lease: Lease) -> None:
    """Add units for the tracks of which an input of the models is missing; none if nothing is."""
    config, wanted, labels = lease.transact(partial(_wanted, claim=lease.claim))
    dataset = load_known_dataset(lease, config.dataset, labels)
    dataset = select_labels(dataset, before_tags(dataset, config.labels)).dataset
    sweep_outdated(get_settings().cache_dir)
    units = [
        (payload, chunk)
        for inputs in wanted
        for payload, chunk in _units(lease, inputs, dataset, _missing(lease, inputs, dataset))
    ]
    lease.write(partial(add_preparing_units, claim=lease.claim, units=units))


def _wanted(session: Session, claim: Claim) -> tuple[ExperimentConfig, list[Inputs], LabelConfig | None]:
    """The experiment of a training, or that of a study, and the inputs of all models that it may train.

    A study that searches through features has no inputs that are known before its trials. The last is the
    selection of labels, None if a study searches through it.
    """
    if "experiment" in claim.params:
        config = ExperimentConfig.model_validate(claim.params["experiment"])
        return config, [_inputs_of(config)], config.labels
    study = session.scalars(select(Study).where(Study.job_id == claim.job_id)).one()
    tuning = TuningConfig.model_validate(study.config)
    config = best_experiment(tuning, {})
    labels = None if any(key.startswith("labels.") for key in tuning.space) else config.labels
    if any(key.startswith("features.") for key in tuning.space):
        return config, [], labels
    configs = [config.model_copy(update={"model": model}) for model in possible_models(tuning)]
    return config, list(dict.fromkeys(map(_inputs_of, configs))), labels


def _inputs_of(config: ExperimentConfig) -> Inputs:
    if isinstance(config.model, TransferConfig):
        return Embeddings(config.model.backbone)
    if isinstance(config.model, EnsembleConfig):
        return Frames(load_base(get_settings().models_dir, config.model.members[0]).card.features)
    return Frames(config.features)


def _missing(lease: Lease, inputs: Inputs, dataset: Dataset) -> list[Example]:
    """The tracks whose audio is unknown, or of which the input is."""
    contents = {example.path: example.content for example in dataset.examples if example.content}
    cache_dir = get_settings().cache_dir
    identities: dict[str, Identity | None] = {}
    for example in dataset.examples:
        try:
            found = known_identity(example.path, dataset.root, cache_dir, contents)
        except ItemError:
            continue  # the training leaves it out and says why
        identities[example.id] = found
        lease.record_step()
    known = inputs.find(lease, {found.content for found in identities.values() if found is not None})
    return [
        example
        for example in dataset.examples
        if example.id in identities
        and ((found := identities[example.id]) is None or found.content not in known)
    ]


def _cached(folder: Path, contents: Iterable[str]) -> set[str]:
    return {content for content in contents if cache_path(folder, content).exists()}


def _units(
    lease: Lease, inputs: Inputs, dataset: Dataset, examples: Sequence[Example]
) -> list[tuple[dict[str, Any], list[PlannedItem]]]:
    """The payload and the items of units that prepare these tracks: rows of the library, else paths."""
    root = dataset.root
    tracks: dict[str, tuple[UUID, int]] = {}
    with lease.sessions() as session:
        library = session.get(Library, lease.claim.library_id) if lease.claim.library_id else None
        if library is not None:
            root, tracks = Path(library.path), list_sizes(session, library)
        items, work_s = [], []
        for example in examples:
            if root is None or (path := _relative(example.path, root)) is None:
                continue  # the training reads it by itself
            track_id, size = tracks.get(path) or (None, _size(example.path, dataset.root))
            items.append(PlannedItem(track_id, path=path if track_id is None else None))
            work_s.append(whole_track_s(path, size))
        chunks = cut(session, items, work_s)
    payload = inputs.payload | ({"root": str(root)} if library is None else {})
    return [(payload, chunk) for chunk in chunks]


def _relative(path: Path, root: Path) -> str | None:
    """A path as the database can hold it, relative to the root; None for one that it cannot hold."""
    if not path.is_relative_to(root):
        return None
    relative = path.relative_to(root).as_posix()
    return relative if relative.isascii() or _is_utf8(relative) else None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _size(path: Path, root: Path | None) -> int:
    """In bytes; 0 for a file that is not there."""
    try:
        return status_of_audio(path, root).st_size
    except ItemError:
        return 0


def prepare_tracks(lease: Lease) -> None:
    """Compute the inputs of the pending items of a unit; every one gets an outcome."""
    payload = lease.claim.payload
    root, items = lease.transact(partial(_load, claim=lease.claim))
    if "backbone" in payload:
        _embed(lease, payload["backbone"], root, items)
    else:
        with torch_threads(1):  # batch workers have a process per core
            _store_frames(lease, FeatureConfig.model_validate(payload["features"]), root, items)


def _load(session: Session, claim: Claim) -> tuple[Path, list[WorkItem]]:
    if "root" in claim.payload:
        return Path(claim.payload["root"]), load_work(session, claim)
    library = session.get(Library, claim.library_id)
    if library is None:
        raise LibraryNotFound
    return Path(library.path), load_work(session, claim)


def _embed(lease: Lease, backbone: str, root: Path, items: Sequence[WorkItem]) -> None:
    """Store the embeddings of files; those of known audio are not computed again."""
    model, sha256 = lease.transact(partial(_backbone, name=backbone))
    settings = get_settings()
    tagger = get_tagger(model, threads=1)
    recorder = EmbeddingRecorder(lease, model)

    def reuse(opened: Sequence[Opened]) -> Reusable:
        _remember(opened, settings.cache_dir)
        return dict.fromkeys(_embedded(lease, sha256, opened), recorder.skip)

    opened = open_items(lease, recorder, root, items, reuse)
    analyse_files(lease, recorder, tagger, opened, "full", settings.max_duration_s)


def _backbone(session: Session, name: str) -> tuple[Model, str]:
    """A backbone by its folder, and the SHA-256 of the weights that give its embeddings."""
    model = find_in_folder(session, name)
    if model is None:
        raise InvalidConfig(f"The backbone {name!r} has been deleted.")
    return model, session.get_one(Encoder, model.encoder_id).sha256


def _remember(opened: Sequence[Opened], cache_dir: Path) -> None:
    """Note the identity of files, so that trainings need not open those that belong to no library.

    Not where the audio or the tags could not be read, which the next reader tries again.
    """
    for (item, found), file in opened:
        if item.track_id is None and found.tags_version != NOT_READ:
            identity = Identity(found.content_hash.hex(), credits_of(found.tags))
            remember(os.fstat(file.fileno()), identity, cache_dir)


def _embedded(lease: Lease, sha256: str, opened: Sequence[Opened]) -> set[bytes]:
    contents = [found.content_hash for (_, found), _ in opened]
    return lease.transact(lambda session: find_embedded_contents(session, sha256, contents))


def _store_frames(lease: Lease, features: FeatureConfig, root: Path, items: Sequence[WorkItem]) -> None:
    """Put the frames of files into the feature store; after a crash one by one, to find the culprit."""
    settings = get_settings()
    limit_bytes = settings.feature_store_gb * 1e9
    space = Space(settings.cache_dir, limit_bytes, lease.record_step)
    is_sequential = lease.claim.crash_count > 0
    size = 1 if is_sequential else FILES_PER_WRITE
    for start in range(0, len(items), size):
        lease.check()
        group = items[start : start + size]
        if is_sequential:
            lease.start_item(group[0].pos)
        found = cache_log_mels(
            [root / item.path for item in group],
            features,
            settings.cache_dir,
            root=root,
            threads=1,
            on_step=lease.record_step,
            make_space=space.make,
        )
        outcomes = [_outcome(item, each) for item, each in zip(group, found, strict=True)]
        lease.write(partial(record_outcomes, claim=lease.claim, outcomes=outcomes))
    lease.check()


def _outcome(item: WorkItem, found: CacheResult) -> Outcome:
    if isinstance(found, ItemError):
        return Outcome(item.pos, ItemState.FAILED, error_code=found.code, error_detail=found.detail)
    return Outcome(item.pos, ItemState.DONE, bytes.fromhex(found.content))
