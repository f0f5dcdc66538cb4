"""What people said of the labels of a library, as a dataset."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.config.dataset import LabelConfig
from core.errors import UnusableDataset
from core.ml.datasets.examples import Dataset, Example
from core.ml.datasets.labels import before_tags, most_frequent_labels, renaming
from core.spelling import name_key
from core.states import Verdict

EVERY_LABEL = LabelConfig()
MOST_NAMED = 5  # labels in a note


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
    selection: LabelConfig | None = EVERY_LABEL,
) -> Dataset:
    """The tracks on whose labels people have decided, also those that have none of them.

    A label that nobody said anything of, or of which somebody was unsure, is unknown, not refused: a track is
    left out until all `labels` are decided. `exclusive`: groups of labels of which a track has one, so that a
    yes decides the whole group. Without `labels`, those count that people gave and `selection` keeps, unless
    most tracks are undecided on them and two others remain; if `selection` is None, no track is left out.
    Raises UnusableDataset if no track is decided.
    """
    names = renaming(selection.aliases) if selection else {}
    ordered = [_renamed(track, names) for track in sorted(tracks, key=lambda track: track.path)]
    given = tuple(labels) or _confirmed(ordered)
    notes: list[str] = []
    groups = [[name_key(label) for label in group] for group in exclusive]
    verdicts = [decided(track.verdicts, groups) for track in ordered]
    everything = [_example(root, *each, given) for each in zip(ordered, verdicts, strict=True)]
    dataset = Dataset(root.name, tuple(everything), root=root, keeps_unlabelled=True)
    if not labels and selection:
        selection = before_tags(dataset, selection)
        frequent, dropped = _usually_decided(most_frequent_labels(everything, selection), verdicts)
        given = tuple(sorted(frequent[: selection.num_genres]))
        if dropped:
            named = ", ".join(dropped[:MOST_NAMED]) + (", ..." if len(dropped) > MOST_NAMED else "")
            notes.append(
                f"Labels that are not learnt, as most tracks are undecided on them: {len(dropped)} ({named})."
                " Say yes or no to each, or name the labels by a label set."
            )
    wanted = given if labels or selection else ()
    examples, open_labels = [], dict.fromkeys(wanted, 0)
    for track, said in zip(ordered, verdicts, strict=True):
        unknown = [label for label in wanted if name_key(label) not in said]
        for label in unknown:
            open_labels[label] += 1
        if not unknown:
            examples.append(_example(root, track, said, given))
    left_out = len(ordered) - len(examples)
    note = _note(left_out, len(ordered), open_labels)
    if not examples:
        raise UnusableDataset(note or f"Nobody has said anything of the labels of {root.name}.")
    return replace(dataset, examples=tuple(examples), notes=(*notes, *([note] if left_out else [])))


def _usually_decided(
    labels: Sequence[str], verdicts: Sequence[Mapping[str, Verdict]]
) -> tuple[list[str], list[str]]:
    """The labels on which at least half of the tracks with any decision are decided, and the others.

    A label that was said of a few tracks would leave all others out. All count unless two labels remain.
    """
    counts = Counter(key for said in verdicts for key in said)
    tracks = sum(bool(said) for said in verdicts)
    kept = [label for label in labels if 2 * counts[name_key(label)] >= tracks]
    if len(kept) < 2:
        return list(labels), []
    return kept, [label for label in labels if label not in kept]


def _example(
    root: Path, track: CorrectedTrack, said: Mapping[str, Verdict], labels: Iterable[str]
) -> Example:
    """The track with those of the labels that people gave."""
    given = tuple(label for label in labels if said.get(name_key(label)) == Verdict.YES)
    return Example(track.path, root / track.path, given, track.artist or None, track.album or None)


def _renamed(track: CorrectedTrack, names: Mapping[str, str]) -> CorrectedTrack:
    """The track with labels renamed; of several verdicts on one label, a yes counts, then a no."""
    found: dict[str, Verdict] = {}
    for verdict in (Verdict.UNSURE, Verdict.NO, Verdict.YES):
        of_verdict = [label for label, said in track.verdicts.items() if said == verdict]
        found |= {names.get(name_key(label), label): verdict for label in of_verdict}
    return replace(track, verdicts=found)


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
        f"undecided: most often {label!r} ({open_labels[label]} tracks). Say yes or no to each, leave "
        "out rare labels (labels.min_tracks), or use a label set whose labels exclude each other."
    )
