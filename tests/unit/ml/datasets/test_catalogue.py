"""Every kind of dataset that a configuration can name has a reader that takes its options."""

import inspect
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from core.config.dataset import DatasetConfig, LibraryDataset
from core.ml.datasets.catalogue import READERS, read_dataset, read_library
from core.ml.datasets.library import TaggedTrack

KINDS = get_args(get_args(DatasetConfig)[0])
ADAPTER: TypeAdapter[DatasetConfig] = TypeAdapter(DatasetConfig)


def test_every_configuration_has_a_reader():
    assert {kind.model_fields["kind"].default for kind in KINDS} == set(READERS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_readers_know_every_option(kind):
    # A label set is read as its labels when the job is made.
    options = set(kind.model_fields) - {"kind", "root", "library", "path", "label_set"}
    assert options <= set(inspect.signature(READERS[kind.model_fields["kind"].default]).parameters)


def test_a_configuration_is_read(tmp_path):
    (tmp_path / "Rock").mkdir()
    (tmp_path / "Rock" / "a.mp3").touch()
    config = ADAPTER.validate_python({"kind": "folder", "root": str(tmp_path)})
    assert [example.labels for example in read_dataset(config).examples] == [("Rock",)]


def test_a_library_is_read_from_what_the_caller_knows(tmp_path):
    config = LibraryDataset(library="home", aliases={"rap": "Hip-Hop"})
    dataset = read_library(config, tmp_path, [TaggedTrack("a.mp3", ("Rap",))])
    assert dataset.examples[0].labels == ("Hip-Hop",)
    with pytest.raises(ValueError, match="database"):
        read_dataset(config)


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "fma", "root": "x", "size": "huge"},
        {"kind": "fma", "root": "x", "colour": "red"},
        {"kind": "cassette", "root": "x"},
        {"kind": "folder"},
        {"kind": "folder", "root": "x", "labels_from": "words"},
        {"kind": "folder", "root": "x", "vocabulary": ["calm"]},
        {"kind": "jamendo", "root": "x", "split": 5},
    ],
)
def test_wrong_configurations_are_refused(config):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(config)
