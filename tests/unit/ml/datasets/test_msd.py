"""Both published forms of the split of the Million Song Dataset are read."""

import numpy as np
import pytest

from core.ml.datasets import msd
from core.ml.datasets.errors import DatasetFileMissing, DatasetMalformed
from core.ml.datasets.examples import Part
from tests.unit.ml.datasets.test_plain_pickle import ARRAYS


def ids(*names: str):
    return (
        b"(lp1\n" + b"".join(b"S'%s'\np%d\na" % (name.encode(), n) for n, name in enumerate(names, 2)) + b"."
    )


def mapping(**values: str):
    return (
        b"(dp1\n" + b"".join(b"S'%s'\nS'%s'\ns" % (k.encode(), v.encode()) for k, v in values.items()) + b"."
    )


@pytest.fixture
def pickles(tmp_path):
    (tmp_path / "filtered_list_train.cP").write_bytes(ids("a", "b", "lost"))
    (tmp_path / "filtered_list_test.cP").write_bytes(ids("c"))
    (tmp_path / "msd_id_to_tag_vector.cP").write_bytes(ARRAYS)
    (tmp_path / "MSD_id_to_7D_id.pkl").write_bytes(mapping(a="11", b="12", c="13"))
    paths = {"11": "1/1/11.clip.mp3", "12": "1/2/12.clip.mp3", "13": "1/3/13.clip.mp3"}
    (tmp_path / "7D_id_to_path.pkl").write_bytes(mapping(**paths))
    (tmp_path / "50tagList.txt").write_text("rock\nfemale vocalists\n")
    return tmp_path


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "tags.py").write_text("TAGS = ['rock', 'pop',\n        'female vocalists']\n")
    for number, name in enumerate(("train", "valid", "test")):
        (tmp_path / f"{name}_x_msd_id.txt").write_text(f"TR{number}\n")
        (tmp_path / f"{name}_x_filename.txt").write_text(f"3/6/3612242{number}.npy\n")
        np.save(tmp_path / f"{name}_y.npy", np.array([[1, 0, number]]) > 0)
    return tmp_path


def test_lists_of_ids_are_read_with_their_parts_tags_and_files(pickles):
    examples = msd.read(pickles, train_tracks=1).examples
    assert [(example.id, example.part) for example in examples] == [
        ("a", Part.TRAIN),
        ("b", Part.VALIDATION),
        ("lost", Part.VALIDATION),
        ("c", Part.TEST),
    ]
    assert [example.labels for example in examples] == [("rock",), ("female vocalists",), (), ()]
    assert examples[0].path == pickles / "audio" / "1" / "1" / "11.clip.mp3"
    assert examples[2].path == pickles / "audio" / "lost.mp3"


def test_text_files_are_read_with_their_parts_tags_and_files(texts):
    examples = msd.read(texts).examples
    assert [example.part for example in examples] == [Part.TRAIN, Part.VALIDATION, Part.TEST]
    assert examples[0].labels == ("rock",)
    assert examples[1].labels == ("rock", "female vocalists")
    assert examples[1].path == texts / "audio" / "3" / "6" / "36122421.clip.mp3"


def test_a_list_of_tags_of_another_length_is_refused(pickles):
    (pickles / "50tagList.txt").write_text("rock\n")
    with pytest.raises(DatasetMalformed, match="2 values for 1 tags"):
        msd.read(pickles)


def test_a_path_out_of_the_dataset_is_refused(pickles):
    (pickles / "7D_id_to_path.pkl").write_bytes(mapping(**{"11": "../../etc/passwd"}))
    with pytest.raises(DatasetMalformed, match="passwd"):
        msd.read(pickles)


def test_lists_of_different_lengths_are_refused(texts):
    (texts / "test_x_msd_id.txt").write_text("TR1\nTR2\n")
    with pytest.raises(DatasetMalformed, match="2 ids, 1 files and 1 rows of test"):
        msd.read(texts)


@pytest.mark.parametrize("content", ["print('x')", "TAGS = [open('x')]", "TAGS = (", "TAGS = 3"])
def test_tags_are_never_run(texts, content):
    (texts / "tags.py").write_text(content)
    with pytest.raises(DatasetMalformed, match=r"tags\.py"):
        msd.read(texts)


def test_arrays_of_objects_are_not_unpickled(texts):
    np.save(texts / "test_y.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetMalformed, match=r"test_y\.npy"):
        msd.read(texts)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DatasetFileMissing, match=r"tags\.py"):
        msd.read(tmp_path)
