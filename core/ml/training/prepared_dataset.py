"""Prepares a dataset for training: readable tracks, multi-hot labels and splits."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.config.dataset import LabelConfig
from core.config.experiment import ExperimentConfig
from core.config.models import EnsembleConfig, TransferConfig, is_single_label
from core.errors import ItemError, UnusableDataset
from core.ml.datasets.credits import credited
from core.ml.datasets.examples import Dataset, Example, Part, in_order
from core.ml.datasets.groups import same_origin
from core.ml.datasets.labels import (
    LabelledDataset,
    before_tags,
    left_out_notes,
    multi_hot,
    select_labels,
    spelt_like,
)
from core.ml.datasets.split_report import Split
from core.ml.datasets.splits import divide
from core.ml.inference.tagger import Tagger
from core.ml.training.bases import Resolved
from core.ml.training.cache_versions import sweep_outdated
from core.ml.training.context import OnTrack, Tracks
from core.ml.training.embedding_cache import Embedded, FindStored, collect_embeddings, find_nothing
from core.ml.training.feature_cache import Cached, cache_log_mels
from core.ml.training.inputs import Inputs, PatchInputs, VectorInputs
from core.ml.training.processes import gather, is_first, rank, world_size
from core.ml.training.store_limit import Space
from core.settings import get_settings

log = logging.getLogger(__name__)

Outcome = Cached | Embedded | ItemError


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset ready for training; tracks are identified by their row."""

    dataset: Dataset
    tracks: Tracks
    groups: tuple[int, ...]  # group of each track: tracks by one artist, or with equal audio, share one
    splits: tuple[Split, ...]  # one, or one per fold
    dropped: Mapping[str, str]  # id -> error code of tracks that cannot be read
    damaged: Mapping[str, tuple[str, ...]]  # id -> warnings of tracks that are used despite missing audio
    fingerprint: str  # digest of ids, labels and audio hashes
    contents: tuple[bytes, ...]  # audio hash of each track
    notes: tuple[str, ...] = ()  # sentences on tracks and labels that were left out

    @property
    def labels(self) -> tuple[str, ...]:
        return self.tracks.labels

    def rows(self, examples: Iterable[Example]) -> list[int]:
        number = {example.id: row for row, example in enumerate(self.dataset.examples)}
        return [number[example.id] for example in examples]


def prepare_dataset(
    resolved: Resolved,
    dataset: Dataset,
    cache_dir: Path,
    device: torch.device,
    should_stop: Callable[[], bool],
    on_track: OnTrack,
    find_stored: FindStored = find_nothing,
) -> PreparedDataset:
    """Collect features of all tracks, drop unreadable ones, select the labels and split the tracks.

    Raises UnusableDataset or TrainingStopped.
    """
    config = resolved.config
    dataset = in_order(dataset)
    candidates = _candidates(resolved, dataset)
    examples = candidates.dataset.examples
    outcomes = _collect(resolved, candidates.dataset, cache_dir, device, should_stop, on_track, find_stored)
    usable = [
        (credited(example, outcome.credits), outcome)
        for example, outcome in zip(examples, outcomes, strict=True)
        if not isinstance(outcome, ItemError)
    ]
    if not usable:
        raise UnusableDataset(f"None of the {len(examples)} tracks of {dataset.name} can be read.")
    renamed = config.labels.model_copy(update={"aliases": {}})
    found = replace(dataset, examples=tuple(example for example, _ in usable))
    labelled = _labelled(resolved, found, renamed)
    features = {example.id: outcome for example, outcome in usable}
    kept = labelled.dataset
    contents = {example.id: bytes.fromhex(features[example.id].content) for example in kept.examples}
    splits = divide(kept, config.split, contents)
    prepared = PreparedDataset(
        dataset=kept,
        tracks=Tracks(
            _inputs(config, [features[example.id] for example in kept.examples]),
            torch.from_numpy(multi_hot(kept.examples, labelled.labels)),
            labelled.labels,
        ),
        groups=same_origin(kept.examples, contents).of,
        splits=splits,
        dropped=_dropped(examples, outcomes),
        damaged={name: one.warnings for name, one in features.items() if one.warnings},
        fingerprint=fingerprint(kept.examples, contents),
        contents=tuple(contents[example.id] for example in kept.examples),
        notes=left_out_notes(candidates, labelled),
    )
    for name, warnings in prepared.damaged.items():
        log.warning("%.300r is used for training despite missing audio: %s", name, " ".join(warnings))
    _check_parts(prepared)
    return prepared


def fingerprint(examples: Iterable[Example], contents: Mapping[str, bytes]) -> str:
    """Digest of the tracks' ids, audio, labels and groups, independent of their paths and order."""
    rows = sorted(
        (one.id, contents[one.id].hex(), sorted(one.labels), one.artist, one.album, one.part)
        for one in examples
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _candidates(resolved: Resolved, dataset: Dataset) -> LabelledDataset:
    """The tracks to open. If tags do not change their labels, these are checked before anything is opened."""
    labels = before_tags(dataset, resolved.config.labels)
    if labels != resolved.config.labels:
        return select_labels(dataset, labels)
    return _labelled(resolved, dataset, labels)


def _labelled(resolved: Resolved, dataset: Dataset, labels: LabelConfig) -> LabelledDataset:
    labelled = select_labels(dataset, labels)
    if is_single_label(resolved.config.model):
        _check_single(labelled.dataset)
    if isinstance(resolved.config.model, EnsembleConfig):
        members = resolved.bases[0].card.labels
        labelled = spelt_like(labelled, members)
        if set(labelled.labels) != set(members):
            raise UnusableDataset(
                f"The members label {', '.join(members)}; {dataset.name} has {', '.join(labelled.labels)}."
            )
        return replace(labelled, labels=members)
    return labelled


def _check_single(dataset: Dataset) -> None:
    several = [example for example in dataset.examples if len(example.labels) > 1]
    if several:
        raise UnusableDataset(
            f"The model gives each track one label, but {len(several)} tracks have several, for example "
            f"{several[0].id}: set model.single_label to false, or use multilabel_audio_cnn."
        )


def _collect(
    resolved: Resolved,
    dataset: Dataset,
    cache_dir: Path,
    device: torch.device,
    should_stop: Callable[[], bool],
    on_track: OnTrack,
    find_stored: FindStored,
) -> list[Outcome]:
    """The features or error of each file; the processes share the work."""
    if is_first():
        sweep_outdated(cache_dir)
    paths, root = [one.path for one in dataset.examples], dataset.root
    own = paths[rank() :: world_size()]
    contents = {one.path: one.content for one in dataset.examples if one.content is not None}
    found: Sequence[Outcome]
    if isinstance(resolved.config.model, TransferConfig):
        base = resolved.bases[0]
        tagger = Tagger(base.card, base.model, device)
        found = collect_embeddings(
            own,
            tagger,
            base.card.weights_sha256,
            cache_dir,
            should_stop,
            on_track,
            root=root,
            contents=contents,
            find_stored=find_stored,
        )
    else:
        found = cache_log_mels(
            own,
            resolved.config.features,
            cache_dir,
            should_stop,
            on_track,
            root=root,
            contents=contents,
            make_space=Space(cache_dir, get_settings().feature_store_gb * 1e9).make,
        )
    parts = gather(found)
    return [parts[row % len(parts)][row // len(parts)] for row in range(len(paths))]


def _inputs(config: ExperimentConfig, features: Sequence[Cached | Embedded]) -> Inputs:
    if isinstance(config.model, TransferConfig):
        vectors = [one.vector for one in features if isinstance(one, Embedded)]
        return VectorInputs(torch.from_numpy(np.stack(vectors)))
    files = [one.file for one in features if isinstance(one, Cached)]
    return PatchInputs(files, config.model.patch_frames)


def _dropped(examples: Sequence[Example], outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {
        example.id: outcome.code
        for example, outcome in zip(examples, outcomes, strict=True)
        if isinstance(outcome, ItemError)
    }


def _check_parts(prepared: PreparedDataset) -> None:
    """Raise UnusableDataset unless every label is on some, but not all, training tracks."""
    if len(prepared.splits) > 1:
        return  # the final model is trained on all tracks; a label may be missing in a fold
    for part in (Part.VALIDATION, Part.TEST):
        if not prepared.splits[0].part(part):
            raise UnusableDataset(f"No track is left for {part}: cross-validate (split: folds) instead.")
    rows = prepared.rows(prepared.splits[0].part(Part.TRAIN))
    share = prepared.tracks.targets[rows].mean(0)
    for label, of_tracks in zip(prepared.labels, share.tolist(), strict=True):
        if of_tracks in (0, 1):
            which = "No" if of_tracks == 0 else "Every"
            raise UnusableDataset(
                f"{which} training track has the label {label!r}: leave it out or add tracks "
                f"({len(rows)} of {len(prepared.dataset.examples)} are training tracks)."
            )
