"""A music library as a dataset, labelled by genre tags or by paths."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from core.config.dataset import PathLabels
from core.library.genres import SEPARATORS, split_genres
from core.ml.datasets.examples import Dataset, Example
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
) -> Dataset:
    """The library at `root`, with labels spelt as in its files.

    With `corrections`, labels that people gave are added and those they refused removed; tracks of which
    somebody was unsure are left out. If no track has several labels in its tags or path, labels exclude each
    other, and those that people gave replace the track's own.
    """
    ordered = sorted(tracks, key=lambda track: track.path)
    unsure = {track.path for track in ordered if corrections and Verdict.UNSURE in track.verdicts.values()}
    ordered = [track for track in ordered if track.path not in unsure]
    if labels_from == "genre_tags":
        labels = [split_genres(track.genres, separators, aliases or {}) for track in ordered]
    else:
        labels = [labels_of_path(PurePosixPath(track.path), labels_from, vocabulary) for track in ordered]
    notes = [f"{len(unsure)} tracks are left out, as somebody was unsure of a label."] if unsure else []
    if corrections:
        labels, replaced = _all_corrected(labels, [track.verdicts for track in ordered])
        if replaced:
            notes.append(
                f"People gave {replaced} tracks another label than their own, which it replaces, as no track "
                "has several labels of its own."
            )
    examples = tuple(
        Example(track.path, root / track.path, found, track.artist or None, track.album or None)
        for track, found in zip(ordered, labels, strict=True)
    )
    return Dataset(root.name, examples, root=root, notes=tuple(notes))


def _all_corrected(
    labels: Sequence[tuple[str, ...]], verdicts: Sequence[Mapping[str, Verdict]]
) -> tuple[list[tuple[str, ...]], int]:
    """The labels of all tracks after what people said, and the tracks whose own label was replaced."""
    exclusive = all(len(set(map(name_key, own))) <= 1 for own in labels)
    found = [corrected(own, said, exclusive=exclusive) for own, said in zip(labels, verdicts, strict=True)]
    added = [corrected(own, said) for own, said in zip(labels, verdicts, strict=True)]
    return found, sum(one != other for one, other in zip(found, added, strict=True))


def corrected(
    labels: Iterable[str], verdicts: Mapping[str, Verdict], *, exclusive: bool = False
) -> tuple[str, ...]:
    """The labels after what people said of them; where labels are `exclusive`, a yes refuses all others."""
    said = {name_key(label): verdict for label, verdict in verdicts.items()}
    kept = [label for label in labels if said.get(name_key(label)) != Verdict.NO]
    given = [label for label, verdict in verdicts.items() if verdict == Verdict.YES]
    if exclusive and given:
        kept = [label for label in kept if said.get(name_key(label)) == Verdict.YES]
    keys = {name_key(label) for label in kept}
    return (*kept, *(label for label in given if name_key(label) not in keys))
