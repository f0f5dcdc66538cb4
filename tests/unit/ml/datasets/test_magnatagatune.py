"""MagnaTagATune is read as published: tabs, quotes, a column per tag, parts by folder."""

import pytest

from core.ml.datasets import magnatagatune
from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.ml.datasets.examples import Part

ANNOTATIONS = (
    '"clip_id"\t"no voice"\t"singer"\t"duet"\t"mp3_path"\n'
    '"2"\t"0"\t"1"\t"1"\t"f/american_bach-01-30-59.mp3"\n'
    '"6"\t"1"\t"0"\t"0"\t"0/american_bach-01-146-175.mp3"\n'
    '"10"\t"0"\t"0"\t"0"\t"c/jag-""it""-0-29.mp3"\n'
)
CLIPS = (
    "clip_id\ttrack_number\ttitle\tartist\talbum\turl\tsegmentStart\tsegmentEnd\toriginal_url\tmp3_path\n"
    "2\t1\tGloria\tAmerican Bach Soloists\tJ.S. Bach Solo Cantatas\thttp://x\t30\t59\thttp://y\tf/a.mp3\n"
    "6\t1\tGloria\tAmerican Bach Soloists\tJ.S. Bach Solo Cantatas\thttp://x\t146\t175\n"
)


@pytest.fixture
def root(tmp_path):
    (tmp_path / magnatagatune.ANNOTATIONS).write_text(ANNOTATIONS)
    (tmp_path / magnatagatune.CLIPS).write_text(CLIPS)
    return tmp_path


def test_tags_are_the_columns_with_a_one(root):
    assert [example.labels for example in magnatagatune.read(root).examples] == [
        ("singer", "duet"),
        ("no voice",),
        (),
    ]


def test_parts_follow_from_the_folder(root):
    parts = [example.part for example in magnatagatune.read(root).examples]
    assert parts == [Part.TEST, Part.TRAIN, Part.VALIDATION]


def test_artists_and_albums_come_from_the_other_table(root):
    first, _, last = magnatagatune.read(root).examples
    assert (first.artist, first.album) == ("American Bach Soloists", "J.S. Bach Solo Cantatas")
    assert last.artist is None
    assert last.path == root / "c" / 'jag-"it"-0-29.mp3'


def test_artists_are_unknown_without_the_other_table(root):
    (root / magnatagatune.CLIPS).unlink()
    assert {example.artist for example in magnatagatune.read(root).examples} == {None}


def test_missing_annotations_are_named(tmp_path):
    with pytest.raises(DatasetFileMissing, match=r"annotations_final\.csv"):
        magnatagatune.read(tmp_path)


@pytest.mark.parametrize("path", ["g/x.mp3", "x.mp3", "../f/x.mp3"])
def test_a_path_outside_the_sixteen_folders_is_refused(root, path):
    (root / magnatagatune.ANNOTATIONS).write_text(f"{ANNOTATIONS}11\t0\t0\t0\t{path}\n")
    with pytest.raises(DatasetMalformed, match="line 5"):
        magnatagatune.read(root)
