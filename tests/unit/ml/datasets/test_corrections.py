"""What people said as a dataset: a yes is positive, a no negative, all else unknown."""

import pytest

from core.config.dataset import LabelConfig
from core.errors import UnusableDataset
from core.ml.datasets.corrections import CorrectedTrack, read
from core.ml.datasets.labels import multi_hot, select_labels
from core.ml.datasets.library import corrected
from core.states import Verdict

YES, NO, UNSURE = Verdict.YES, Verdict.NO, Verdict.UNSURE


def labels(root, *verdicts: dict[str, Verdict], **options):
    tracks = [CorrectedTrack(f"{number}.mp3", said) for number, said in enumerate(verdicts)]
    return {example.id[0]: example.labels for example in read(root, tracks, **options).examples}


def test_tracks_count_once_all_labels_are_decided(tmp_path):
    found = labels(
        tmp_path,
        {"rock": YES, "jazz": NO},
        {"rock": NO, "jazz": NO},
        {"rock": YES},
        {"rock": YES, "jazz": UNSURE},
        {"Rock": NO, "JAZZ": YES, "polka": NO},
    )
    assert found == {"0": ("rock",), "1": (), "4": ("JAZZ",)}


@pytest.mark.parametrize(
    "selection", [LabelConfig(min_tracks=2), LabelConfig(num_genres=2), LabelConfig(aliases={"jaz": "jazz"})]
)
def test_only_labels_that_are_used_must_be_decided(tmp_path, selection):
    said = [
        {"rock": YES, "jazz": NO},
        {"rock": YES, "jazz": NO},
        {"rock": NO, "jazz": YES},
        {"rock": NO, "jazz": YES, "jaz": YES},
    ]
    found = labels(tmp_path, *said, selection=selection)
    assert found == {"0": ("rock",), "1": ("rock",), "2": ("jazz",), "3": ("jazz",)}
    assert labels(tmp_path, *said[:3], said[3] | {"polka": YES}, selection=LabelConfig(min_tracks=2)) == found


def test_a_label_that_was_said_of_a_few_tracks_is_dropped_instead_of_all_others(tmp_path):
    tracks = [
        CorrectedTrack(
            f"{number}.mp3", {"rock": YES if number % 2 else NO, "jazz": NO if number % 2 else YES}
        )
        for number in range(6)
    ]
    tracks[0] = CorrectedTrack("0.mp3", {**tracks[0].verdicts, "jaz": YES})
    found = read(tmp_path, tracks)
    assert [example.labels for example in found.examples] == [("jazz",), ("rock",)] * 3
    (note,) = found.notes
    assert note.startswith("Labels that are not learnt, as most tracks are undecided on them: 1 (jaz).")
    assert len(read(tmp_path, tracks, labels=("rock", "jazz", "jaz")).examples) == 1  # asked for


def test_tracks_of_which_people_were_only_unsure_drop_no_label(tmp_path):
    """All labels are kept as without these tracks, which are left out themselves."""
    decided = [{"rock": YES, "jazz": NO, "folk": NO}, {"rock": NO, "jazz": YES, "folk": YES}]
    decided.append({"rock": YES, "jazz": NO})
    found = labels(tmp_path, *decided, *[{"rock": UNSURE}] * 2)
    assert found == labels(tmp_path, *decided) == {"0": ("rock",), "1": ("folk", "jazz")}


def test_without_a_selection_no_track_is_left_out(tmp_path):
    assert labels(tmp_path, {"rock": YES}, {"jazz": YES}, selection=None) == {"0": ("rock",), "1": ("jazz",)}


def test_a_yes_decides_a_group_of_exclusive_labels(tmp_path):
    found = labels(
        tmp_path,
        {"rock": YES},
        {"rock": NO},
        {"Jazz": YES, "calm": NO},
        labels=("rock", "jazz"),
        exclusive=(("rock", "jazz"),),
    )
    assert found == {"0": ("rock",), "2": ("jazz",)}


def test_a_refused_track_is_a_negative_of_the_training(tmp_path):
    tracks = [
        CorrectedTrack("a.mp3", {"rock": YES, "jazz": NO}),
        CorrectedTrack("b.mp3", {"rock": NO, "jazz": YES}),
        CorrectedTrack("c.mp3", {"rock": NO, "jazz": NO}),
    ]
    selected = select_labels(read(tmp_path, tracks), LabelConfig())
    assert selected.labels == ("jazz", "rock")
    assert multi_hot(selected.dataset.examples, selected.labels).tolist() == [[0, 1], [1, 0], [0, 0]]
    assert selected.unlabelled == ()


def test_what_is_left_out_is_counted_and_named(tmp_path):
    tracks = [
        CorrectedTrack("a.mp3", {"rock": YES}),
        CorrectedTrack("b.mp3", {"rock": NO, "jazz": YES}),
        CorrectedTrack("c.mp3", {"jazz": UNSURE, "rock": YES}),
    ]
    (note,) = read(tmp_path, tracks).notes
    assert note.startswith("2 of 3 corrected tracks are left out")
    assert "'jazz' (2 tracks)" in note
    with pytest.raises(UnusableDataset, match="1 of 1 corrected tracks"):
        read(tmp_path, tracks[:1], labels=("rock", "jazz"))
    with pytest.raises(UnusableDataset, match="Nobody"):
        read(tmp_path, [])


def test_people_outrank_tags():
    assert corrected(("Rock", "Pop"), {"rock": NO, "pop": YES, "jazz": YES}) == ("Pop", "jazz")
    assert corrected(("Rock",), {"jazz": YES}, lambda *_: True) == ("jazz",)
    assert corrected(("Rock",), {"rock": YES}, lambda *_: True) == ("Rock",)
    assert corrected(("Rock",), {"jazz": NO}, lambda *_: True) == ("Rock",)
