"""What people said of the labels of a library, as a dataset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import UnusableDataset
from core.ml.datasets.examples import Dataset, Example
from core.spelling import name_key
from core.states import Verdict


@dataclass(frozen=True, slots=True)
class CorrectedTrack:
    """A track of which somebody said something."""

    path: str  # relative to the library, with forward slashes
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)  # by label
    artist: str | None = None
    album: str | None = None


def read(
    root: Path,
    tracks: Iterable[CorrectedTrack],
    labels: Sequence[str] = (),
    exclusive: Sequence[Sequence[str]] = (),
) -> Dataset:
    """The tracks on whose labels people have decided, also those that have none of them.

    A label that nobody said anything of, or of which somebody was unsure, is unknown, not refused: a track is
    left out until all `labels` are decided. `exclusive`: groups of labels of which a track has one, so that a
    yes decides the whole group. Without `labels`, those count that somebody gave to a track. Raises
    UnusableDataset if no track is decided.
    """
    ordered = sorted(tracks, key=lambda track: track.path)
    wanted = tuple(labels) or _confirmed(ordered)
    groups = [[name_key(label) for label in group] for group in exclusive]
    examples, open_labels = [], dict.fromkeys(wanted, 0)
    for track in ordered:
        verdicts = decided(track.verdicts, groups)
        unknown = [label for label in wanted if name_key(label) not in verdicts]
        for label in unknown:
            open_labels[label] += 1
        if not unknown:
            given = tuple(label for label in wanted if verdicts[name_key(label)] == Verdict.YES)
            examples.append(
                Example(track.path, root / track.path, given, track.artist or None, track.album or None)
            )
    left_out = len(ordered) - len(examples)
    note = _note(left_out, len(ordered), open_labels)
    if not examples:
        raise UnusableDataset(note or f"Nobody has said anything of the labels of {root.name}.")
    return Dataset(
        root.name, tuple(examples), root=root, keeps_unlabelled=True, notes=(note,) if left_out else ()
    )


def decided(verdicts: Mapping[str, Verdict], groups: Iterable[Sequence[str]] = ()) -> dict[str, Verdict]:
    """Yes or no by the key of the label; a yes in a group of exclusive labels refuses the others."""
    sure = {label: verdict for label, verdict in verdicts.items() if verdict != Verdict.UNSURE}
    found: dict[str, Verdict] = {name_key(label): verdict for label, verdict in sure.items()}
    for group in groups:
        if any(found.get(key) == Verdict.YES for key in group):
            for key in group:
                found.setdefault(key, Verdict.NO)
    return found


def _confirmed(tracks: Iterable[CorrectedTrack]) -> tuple[str, ...]:
    """One spelling of each label that some track has, in alphabetical order."""
    given = {label for track in tracks for label, said in track.verdicts.items() if said == Verdict.YES}
    spelt = {name_key(label): label for label in sorted(given, reverse=True)}
    return tuple(sorted(spelt.values()))


def _note(left_out: int, tracks: int, open_labels: Mapping[str, int]) -> str:
    if not left_out:
        return ""
    label = max(open_labels, key=lambda label: open_labels[label])
    return (
        f"{left_out} of {tracks} corrected tracks are left out, as some of the {len(open_labels)} labels are "
        f"undecided: most often {label!r} ({open_labels[label]} tracks). Say yes or no to each, or use a "
        "label set whose labels exclude each other."
    )
