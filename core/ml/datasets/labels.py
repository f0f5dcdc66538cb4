"""Selects the labels to train on, and encodes them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from core.config.dataset import LabelConfig
from core.ml.datasets.errors import EmptyLabel, NoLabelsLeft, OneClassOnly, TooFewLabels
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.groups import known_name
from core.ml.datasets.spellings import Spellings, with_one_spelling
from core.ml.datasets.tables import unique
from core.spelling import name_key

MOST_NAMED = 5  # labels in a note


@dataclass(frozen=True)
class LabelledDataset:
    """A dataset reduced to the selected labels, and what was dropped."""

    dataset: Dataset  # every example has at least one of `labels`, unless it keeps unlabelled ones
    labels: tuple[str, ...]  # in alphabetical order, which is the order of every array (L,)
    counts: Mapping[str, int]  # tracks per label, of all labels found
    rare: tuple[str, ...]  # labels with too few tracks or artists
    unlabelled: tuple[str, ...]  # ids of dropped tracks without a selected label


def select_labels(dataset: Dataset, config: LabelConfig) -> LabelledDataset:
    """Select the most frequent labels with enough tracks and artists; ties are broken alphabetically.

    Labels are renamed by the aliases, whose spelling takes precedence. Raises EmptyLabel, NoLabelsLeft,
    OneClassOnly or TooFewLabels.
    """
    dataset = _named(dataset, config)
    examples = dataset.examples
    counts = Counter(label for example in examples for label in example.labels)
    if not counts:
        raise NoLabelsLeft(f"None of the {len(examples)} tracks of {dataset.name} has a label.")
    enough = most_frequent_labels(examples, config)
    if not enough:
        raise NoLabelsLeft(
            f"No label of {len(counts)} has {config.min_tracks} tracks by {config.min_artists} artists."
        )
    if config.num_genres is not None and config.num_genres > len(enough):
        raise TooFewLabels(
            f"{config.num_genres} labels are requested, {dataset.name} has {len(enough)} with enough tracks."
        )
    labels = tuple(sorted(enough[: config.num_genres]))
    kept, unlabelled = _restrict(examples, frozenset(labels), keep_unlabelled=dataset.keeps_unlabelled)
    if len({frozenset(example.labels) for example in kept}) < 2:
        raise OneClassOnly(f"All {len(kept)} tracks have the same labels: {', '.join(labels)}.")
    parents = _parents_among(labels, dataset.parents)
    rare = tuple(sorted(counts.keys() - set(enough)))
    return LabelledDataset(
        replace(dataset, examples=kept, parents=parents), labels, dict(counts), rare, unlabelled
    )


def selected_labels(dataset: Dataset, config: LabelConfig) -> list[str]:
    """The labels that will be selected, as far as that is known before the files' tags are read."""
    config = before_tags(dataset, config)
    return most_frequent_labels(_named(dataset, config).examples, config)[: config.num_genres]


def most_frequent_labels(examples: Sequence[Example], config: LabelConfig) -> list[str]:
    """The labels with enough tracks and artists, the most frequent first."""
    counts = Counter(label for example in examples for label in example.labels)
    artists = _artists(examples)
    return [
        label
        for label in sorted(counts, key=lambda label: (-counts[label], label))
        if counts[label] >= config.min_tracks and artists[label] >= config.min_artists
    ]


def left_out_notes(*selections: LabelledDataset) -> tuple[str, ...]:
    """What selections, one after the other, have left out, in sentences."""
    unlabelled = sum(len(each.unlabelled) for each in selections)
    rare = sorted({label for each in selections for label in each.rare})
    notes = []
    if unlabelled:
        notes.append(f"{unlabelled:,} tracks are left out, as they have none of the labels that are learnt.")
    if rare:
        named = ", ".join(rare[:MOST_NAMED]) + (", ..." if len(rare) > MOST_NAMED else "")
        notes.append(f"{len(rare):,} labels are not learnt, as too few tracks or artists have them: {named}.")
    return tuple(notes)


def before_tags(dataset: Dataset, config: LabelConfig) -> LabelConfig:
    """The selection of labels before the files' tags are read, by which the tracks to open are chosen.

    While artists are known from tags only, no label is dropped for lack of artists.
    """
    if config.min_artists > 1 and any(example.artist is None for example in dataset.examples):
        return config.model_copy(update={"min_artists": 1, "num_genres": None})
    return config


def multi_hot(examples: Sequence[Example], labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """1 where a track has a label, else 0: (N, L)."""
    columns = {label: column for column, label in enumerate(labels)}
    targets = np.zeros((len(examples), len(labels)), np.float32)
    for row, example in enumerate(examples):
        targets[row, [columns[label] for label in example.labels if label in columns]] = 1
    return targets


def renaming(aliases: Mapping[str, str]) -> dict[str, str]:
    """Key of a name -> label to use, for aliases and their targets."""
    targets = {name_key(target): target for target in sorted(aliases.values(), reverse=True)}
    return targets | {name_key(label): target for label, target in aliases.items()}


def _named(dataset: Dataset, config: LabelConfig) -> Dataset:
    """The dataset with labels renamed by the aliases, and one spelling of each."""
    names = renaming(config.aliases)
    renamed = tuple(_renamed(example, names) for example in dataset.examples)
    return with_one_spelling(replace(dataset, examples=renamed))


def _renamed(example: Example, names: Mapping[str, str]) -> Example:
    keys = [name_key(label) for label in example.labels]
    if not all(keys):
        raise EmptyLabel(f"The track {example.id} has an empty label.")
    renamed = [names.get(key, label) for key, label in zip(keys, example.labels, strict=True)]
    return example.with_labels(unique(renamed))


def _artists(examples: Sequence[Example]) -> dict[str, int]:
    """Number of artists per label; all unknown ones count as one."""
    names: dict[str, set[str | None]] = defaultdict(set)
    for example in examples:
        artist = known_name(example.artist)
        for label in example.labels:
            names[label].add(artist)
    return {label: len(found) for label, found in names.items()}


def _restrict(
    examples: Sequence[Example], labels: frozenset[str], *, keep_unlabelled: bool
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """The examples reduced to these labels, and the ids of dropped ones, which have none of them."""
    kept, unlabelled = [], []
    for example in examples:
        found = tuple(label for label in example.labels if label in labels)
        if found or keep_unlabelled:
            kept.append(example.with_labels(found))
        else:
            unlabelled.append(example.id)
    return tuple(kept), tuple(unlabelled)


def _parents_among(labels: Sequence[str], parents: Mapping[str, str]) -> dict[str, str]:
    """For each label its nearest ancestor among `labels`."""
    nearest: dict[str, str] = {}
    for label in labels:
        seen = {label}
        ancestor: str | None = parents.get(label)
        while ancestor is not None and ancestor not in labels and ancestor not in seen:
            seen.add(ancestor)
            ancestor = parents.get(ancestor)
        if ancestor is not None and ancestor in labels and ancestor != label:
            nearest[label] = ancestor
    return nearest


def spelt_like(labelled: LabelledDataset, labels: Sequence[str]) -> LabelledDataset:
    """The dataset with its labels spelt as in `labels`, where the names match."""
    spellings = Spellings({name_key(label): label for label in labels})
    examples = tuple(one.with_labels(spellings.labels(one.labels)) for one in labelled.dataset.examples)
    parents = {
        spellings.label(label): spellings.label(parent) for label, parent in labelled.dataset.parents.items()
    }
    return replace(
        labelled,
        dataset=replace(labelled.dataset, examples=examples, parents=parents),
        labels=tuple(sorted(spellings.labels(labelled.labels))),
    )
