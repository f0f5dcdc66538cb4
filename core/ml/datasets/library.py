"""A music library as a dataset, labelled by genre tags or by paths."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from core.config.dataset import LabelConfig, PathLabels
from core.errors import UnusableDataset
from core.library.genres import SEPARATORS, split_genres
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.labels import renaming, selected_labels
from core.ml.datasets.path_labels import labels_of_path
from core.spelling import name_key
from core.states import Verdict


@dataclass(frozen=True, slots=True)
class TaggedTrack:
    """A track of a library with its tags."""

    path: str  # relative to the library, with forward slashes
    genres: tuple[str, ...] = ()  # genre tags as in the file
    artist: str | None = None
    album: str | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)  # of people, by label


def read(
    root: Path,
    tracks: Iterable[TaggedTrack],
    labels_from: Literal["genre_tags"] | PathLabels = "genre_tags",
    vocabulary: tuple[str, ...] = (),
    separators: str = SEPARATORS,
    aliases: Mapping[str, str] | None = None,
    corrections: bool = False,
    facets: Mapping[str, str] | None = None,
    selection: LabelConfig | None = None,
) -> Dataset:
    """The library at `root`, with labels spelt as in its files.

    With `corrections`, labels that people gave are added and those they refused removed; tracks are left out
    of which somebody was unsure of a label that `selection` learns, or none without it. If no track has
    several labels in its tags or path, one that people gave replaces the track's own, if `facets` (by the key
    of a label, `name_key`) says that both are of one facet or, where it knows not both, if some track has
    the given label of its own.
    """
    ordered = sorted(tracks, key=lambda track: track.path)
    if labels_from == "genre_tags":
        labels = [split_genres(track.genres, separators, aliases or {}) for track in ordered]
    else:
        labels = [labels_of_path(PurePosixPath(track.path), labels_from, vocabulary) for track in ordered]
    notes: list[str] = []
    if corrections:
        labels, notes = _all_corrected(labels, [track.verdicts for track in ordered], facets or {})
    if labels_from == "genre_tags" and ordered and not any(labels):
        tagged = "has a genre tag" + (", and people gave them no label" if corrections else "")
        said = (
            "" if corrections else " or from what people said (`kind: corrections`, `--labels corrections`)"
        )
        raise UnusableDataset(
            f"None of the {len(ordered)} tracks {tagged}: take their labels from folders "
            f"(`labels_from: folder`, `mfa train LIBRARY --labels folder`){said}."
        )
    examples = tuple(
        Example(track.path, root / track.path, found, track.artist or None, track.album or None)
        for track, found in zip(ordered, labels, strict=True)
    )
    dataset = Dataset(root.name, examples, root=root, notes=tuple(notes))
    return _without_unsure(dataset, ordered, selection) if corrections and selection else dataset


def _without_unsure(dataset: Dataset, tracks: Sequence[TaggedTrack], selection: LabelConfig) -> Dataset:
    """Leave out the tracks of which somebody was unsure of a label that is learnt."""
    learnt = {name_key(label) for label in selected_labels(dataset, selection)}
    names = renaming(selection.aliases)
    unsure = {
        track.path
        for track in tracks
        for label, verdict in track.verdicts.items()
        if verdict == Verdict.UNSURE and name_key(names.get(name_key(label), label)) in learnt
    }
    if not unsure:
        return dataset
    note = f"{len(unsure)} tracks are left out, as somebody was unsure of a label that is learnt."
    kept = tuple(example for example in dataset.examples if example.id not in unsure)
    return replace(dataset, examples=kept, notes=(*dataset.notes, note))


def _all_corrected(
    labels: Sequence[tuple[str, ...]], verdicts: Sequence[Mapping[str, Verdict]], facets: Mapping[str, str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The labels of all tracks after what people said; notes on own labels that others replace or join."""
    own = {name_key(label) for of_track in labels for label in of_track}

    def replaces(given: str, other: str) -> bool:
        if given in facets and other in facets:
            return facets[given] == facets[other]
        return given in own

    added = [corrected(*each) for each in zip(labels, verdicts, strict=True)]
    if any(len(set(map(name_key, of_track))) > 1 for of_track in labels):
        return added, []
    found = [corrected(*each, replaces) for each in zip(labels, verdicts, strict=True)]
    replaced = sum(one != other for one, other in zip(found, added, strict=True))
    joined = sum(
        len(of_track) == 1 and of_track[0] in after and len(after) > 1
        for of_track, after in zip(labels, found, strict=True)
    )
    notes = []
    if replaced:
        notes.append(
            f"People gave {replaced} tracks another label than their own, which it replaces, as no track "
            "has several labels of its own."
        )
    if joined:
        notes.append(
            f"{joined} tracks keep their own label beside one that people gave, which is of another facet or "
            "which no track has of its own: so tracks have several labels. The facets of a label set say "
            "which labels replace each other, and labels.aliases leaves out those that are not to be learnt."
        )
    return found, notes


def never(_given: str, _other: str) -> bool:
    return False


def corrected(
    labels: Iterable[str], verdicts: Mapping[str, Verdict], replaces: Callable[[str, str], bool] = never
) -> tuple[str, ...]:
    """The labels after what people said of them.

    `replaces`: whether a label that people gave refuses another one that they did not; both by their keys.
    """
    said = {name_key(label): verdict for label, verdict in verdicts.items()}
    given = {name_key(label): label for label, verdict in verdicts.items() if verdict == Verdict.YES}
    own = {name_key(label): label for label in labels}
    kept = [
        label
        for key, label in own.items()
        if key in given or (said.get(key) != Verdict.NO and not any(replaces(one, key) for one in given))
    ]
    return (*kept, *(label for key, label in given.items() if key not in own))
