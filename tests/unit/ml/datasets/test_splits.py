"""Whatever belongs together is in one part, every label is in every part if it can be, and seeds repeat."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.dataset import SplitConfig
from core.ml.datasets.errors import TooFewGroups
from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.split_report import Split
from core.ml.datasets.splits import divide, folds, split


def example(number: int, *labels: str, artist: str | None = None, **fields) -> Example:
    return Example(str(number), fields.pop("path", Path(f"{number}.mp3")), labels, artist, **fields)


def by_artists(artists: int, tracks: int, genres: int = 4, seed: int = 0) -> Dataset:
    """Artists with one to three of the genres, who have made about as many tracks as others."""
    random = np.random.default_rng(seed)
    examples: list[Example] = []
    for artist in range(artists):
        own = [f"genre {genre}" for genre in random.permutation(genres)[: random.integers(1, 4)]]
        for _ in range(int(random.integers(1, 2 * tracks))):
            labels = own[: random.integers(1, len(own) + 1)]
            examples.append(example(len(examples), *labels, artist=f"artist {artist}"))
    return Dataset("made up", tuple(examples))


def parts_of(divided: Split) -> dict[str, Part]:
    return {one.id: part for part in Part for one in divided.part(part)}


def assert_nothing_is_in_two_parts(divided: Split, hashes: dict[str, bytes] | None = None):
    places: dict[object, set[Part]] = defaultdict(set)
    for part in Part:
        for one in divided.part(part):
            places["id", one.id].add(part)
            places["path", one.path].add(part)
            if one.artist not in (None, "Various Artists"):
                places["artist", one.artist].add(part)
            if content := (hashes or {}).get(one.id):
                places["content", content].add(part)
    assert all(len(found) == 1 for found in places.values())


def test_every_track_is_in_one_part_and_no_artist_in_two():
    data = by_artists(60, 6)
    divided = split(data)
    assert_nothing_is_in_two_parts(divided)
    assert sorted(parts_of(divided)) == sorted(one.id for one in data.examples)
    assert divided.report.groups == 60
    assert divided.report.warnings == ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "A", "B", "C", "D", "E", "Various Artists"]),
            st.sampled_from([None, "one", "two"]),
            st.sampled_from([b"1", b"2", b"3", None, None, None]),
            st.integers(0, 12),
            st.sets(st.sampled_from(["Rock", "Pop", "Jazz"])),
        ),
        min_size=3,
        max_size=40,
    ),
    st.integers(0, 5),
)
def test_nothing_ever_is_in_two_parts(rows, seed):
    examples = [
        example(n, *sorted(labels), artist=artist, album=album, path=Path(f"{file}.mp3"))
        for n, (artist, album, _, file, labels) in enumerate(rows)
    ]
    hashes = {str(n): content for n, (_, _, content, _, _) in enumerate(rows) if content}
    data = Dataset("random", tuple(examples))
    try:
        divided = [
            split(data, SplitConfig(seed=seed), hashes),
            *folds(data, 3, seed, hashes),
        ]
    except TooFewGroups:
        return
    for one in divided:
        assert_nothing_is_in_two_parts(one, hashes)
        assert sum(one.report.tracks.values()) == len(rows)


def test_tracks_and_labels_are_spread_by_the_shares():
    divided = split(by_artists(400, 6), SplitConfig(validation=0.2, test=0.1))
    total = sum(divided.report.tracks.values())
    assert divided.report.tracks[Part.TEST] == pytest.approx(0.1 * total, rel=0.15)
    assert divided.report.tracks[Part.VALIDATION] == pytest.approx(0.2 * total, rel=0.15)
    for counts in divided.report.labels.values():
        assert counts[Part.TEST] == pytest.approx(0.1 * sum(counts.values()), rel=0.3)


def test_a_label_of_three_artists_is_in_every_part_and_one_of_two_is_tested():
    data = by_artists(30, 5)
    rare = [example(900 + n, "rare", artist=f"rare {n}") for n in range(3)]
    rarer = [example(910 + n, "rarer", artist=f"rarer {n}") for n in range(2)]
    divided = split(Dataset("made up", (*data.examples, *rare, *rarer)))
    assert divided.report.labels["rare"] == dict.fromkeys(Part, 1)
    assert divided.report.labels["rarer"] == {Part.TRAIN: 1, Part.VALIDATION: 0, Part.TEST: 1}
    assert divided.report.missing == {Part.TRAIN: (), Part.VALIDATION: ("rarer",), Part.TEST: ()}
    assert divided.report.warnings == ("No validation track has the label rarer.",)


def test_the_biggest_artist_is_in_the_training_part():
    many = [example(n, "Rock", artist="Band") for n in range(50)]
    few = [example(50 + n, "Rock", artist=f"artist {n}") for n in range(50)]
    parts = parts_of(split(Dataset("made up", (*many, *few))))
    assert parts["0"] == Part.TRAIN
    assert Counter(parts.values()) == {Part.TRAIN: 80, Part.VALIDATION: 10, Part.TEST: 10}


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    data = by_artists(60, 6)
    first, again, other = (parts_of(split(data, SplitConfig(seed=seed))) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_copies_tie_their_artists_together():
    data = Dataset("made up", tuple(example(n, "Rock", artist=f"artist {n // 2}") for n in range(40)))
    hashes = {str(n): b"same" for n in range(1, 39, 2)}
    divided = split(
        replace(data, examples=(*data.examples, example(40, "Rock"), example(41, "Rock"))), None, hashes
    )
    assert divided.report.groups == 4
    assert len({parts_of(divided)[str(n)] for n in range(38)}) == 1


def test_artists_are_compared_without_regard_to_case_and_spaces():
    names = ["The Band", "the  band ", "THE BAND"]
    same = [example(n, "Rock", artist=name) for n, name in enumerate(names)]
    others = [example(3 + n, "Rock", artist=f"artist {n}") for n in range(9)]
    parts = parts_of(split(Dataset("made up", (*same, *others))))
    assert parts["0"] == parts["1"] == parts["2"]


def test_a_track_of_two_artists_ties_them_together():
    same = [example(n, "Rock", artist=name) for n, name in enumerate(["One", "one; Two", "Two"])]
    others = [example(3 + n, "Rock", artist=f"artist {n}") for n in range(9)]
    parts = parts_of(split(Dataset("made up", (*same, *others))))
    assert parts["0"] == parts["1"] == parts["2"]


def test_compilations_are_no_artist_but_an_album():
    data = [example(n, "Rock", artist="Various Artists", album=f"Hits {n // 3}") for n in range(30)]
    divided = split(Dataset("made up", tuple(data)))
    assert divided.report.groups == 10
    assert divided.report.grouped_by == {"artist": 0, "album": 30, "folder": 0, "track": 0}
    assert "30 tracks have no artist; those of one album are kept together" in divided.report.warnings[0]


def test_folders_stand_in_for_albums_but_not_when_they_are_the_genres():
    albums = [example(n, "ab"[n % 2], path=Path(f"{n // 4}/{n}.mp3")) for n in range(40)]
    assert split(Dataset("made up", tuple(albums))).report.grouped_by["folder"] == 40
    genres = [example(n, "ab"[n % 2], path=Path(f"{'ab'[n % 2]}/{n}.mp3")) for n in range(40)]
    report = split(Dataset("made up", tuple(genres))).report
    assert report.grouped_by["track"] == report.groups == 40
    assert "one artist may be in several parts" in report.warnings[0]


def with_parts(data: Dataset) -> Dataset:
    parts = parts_of(split(data))
    return replace(data, examples=tuple(replace(one, part=parts[one.id]) for one in data.examples))


def test_the_datasets_own_split_is_kept_whatever_the_seed():
    data = with_parts(by_artists(60, 6))
    divided = split(data, SplitConfig(seed=9))
    assert divided.report.origin == "own"
    assert parts_of(divided) == {one.id: one.part for one in data.examples}
    assert split(data, SplitConfig(own=False)).report.origin == "by_artist"


def test_what_the_own_split_has_in_two_parts_is_left_out_of_training():
    data = with_parts(by_artists(60, 6))
    tested = next(one for one in data.examples if one.part == Part.TEST)
    leaks = (
        example(900, "genre 0", artist=tested.artist, part=Part.TRAIN),
        example(901, "genre 0", artist="new", part=Part.VALIDATION, path=tested.path),
        example(902, "genre 0", artist="newer", part=Part.TRAIN),
    )
    divided = split(replace(data, examples=(*data.examples, *leaks)), hashes={"902": b"x", tested.id: b"x"})
    assert_nothing_is_in_two_parts(divided)
    assert divided.report.origin == "own"
    assert divided.report.left_out == ("900", "901", "902")
    assert divided.report.warnings[0].startswith("3 tracks are left out")
    assert parts_of(divided)[tested.id] == Part.TEST


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: replace(one, part=None if one.id == "3" else one.part), "1 tracks have no part"),
        (lambda one: replace(one, artist=f"artist {int(one.id) % 7}"), "is also in another part"),
        (lambda one: replace(one, part=Part.TRAIN), "it has no train, validation or test part"),
    ],
)
def test_an_unusable_own_split_is_replaced_with_a_warning(change, reason):
    data = with_parts(by_artists(60, 6))
    divided = split(replace(data, examples=tuple(map(change, data.examples))))
    assert divided.report.origin == "by_artist"
    assert reason in divided.report.warnings[0]
    assert_nothing_is_in_two_parts(divided)


def test_each_track_is_tested_in_one_fold():
    data = by_artists(40, 5)
    divided = folds(data, 5, seed=3)
    assert sorted(one.id for fold in divided for one in fold.test) == sorted(one.id for one in data.examples)
    for fold in divided:
        assert_nothing_is_in_two_parts(fold)
        assert fold.validation == ()
        assert fold.report.missing[Part.VALIDATION] == ()
        assert len(fold.test) == pytest.approx(len(data.examples) / 5, rel=0.3)


def test_folds_repeat_for_a_seed():
    data = by_artists(40, 5)
    assert folds(data, 4, 1) == folds(data, 4, 1)
    assert folds(data, 4, 1) != folds(data, 4, 2)


def test_a_small_library_by_mood_has_every_label_in_every_fold():
    moods = ["calm", "happy", "tender", "energetic", "nostalgic"]
    data = [
        example(
            n, moods[n % 5], ["acoustic", "electronic"][n // 5 % 2], path=Path(f"{moods[n % 5]}/{n}.opus")
        )
        for n in range(28)
    ]
    for seed in range(5):
        for fold in folds(Dataset("samples", tuple(data)), 4, seed):
            assert fold.report.missing[Part.TEST] == ()
        divided = split(Dataset("samples", tuple(data)), SplitConfig(validation=0.2, test=0.2, seed=seed))
        assert divided.report.missing == dict.fromkeys(Part, ())


def test_too_few_artists_are_an_error_with_their_number():
    data = Dataset("mine", tuple(example(n, "ab"[n % 2], artist=f"artist {n % 2}") for n in range(9)))
    with pytest.raises(TooFewGroups, match="mine has 2 artists"):
        split(data)
    with pytest.raises(TooFewGroups, match="too few for 3 folds"):
        folds(data, 3)
    with pytest.raises(TooFewGroups):
        folds(data, 1)


def test_tracks_without_labels_are_spread_too():
    data = [example(n, *(["Rock"] if n < 30 else []), artist=f"artist {n}") for n in range(60)]
    assert split(Dataset("mine", tuple(data))).report.tracks == {
        Part.TRAIN: 48,
        Part.VALIDATION: 6,
        Part.TEST: 6,
    }


def test_an_archive_of_many_artists_is_divided_in_seconds():
    data = by_artists(3_000, 4, genres=100)
    assert split(data).report.missing[Part.TEST] == ()


@pytest.mark.parametrize(
    ("artists", "tracks", "config", "count"),
    [
        (40, 5, {}, 5),
        (3, 4, {}, 2),
        (90, 9, {}, 1),
        (40, 5, {"folds": 1}, 1),
        (40, 5, {"test": 0.2}, 1),
        (40, 5, {"folds": 4}, 4),
    ],
)
def test_small_datasets_are_cross_validated_unless_told_otherwise(tracks, artists, config, count):
    assert len(divide(by_artists(artists, tracks), SplitConfig(**config))) == count


def test_a_small_dataset_with_a_split_of_its_own_keeps_it():
    data = by_artists(60, 1)
    parts = [Part.TRAIN, Part.VALIDATION, Part.TEST]
    own = replace(
        data, examples=tuple(replace(one, part=parts[n % 3]) for n, one in enumerate(data.examples))
    )
    (divided,) = divide(own, SplitConfig())
    assert divided.report.origin == "own"
    leaking = replace(
        own, examples=tuple(replace(one, artist="same") for one in own.examples[:40]) + own.examples[40:]
    )
    found = divide(leaking, SplitConfig())
    assert len(found) > 1
    assert "own split is not used" in found[0].report.warnings[0]
