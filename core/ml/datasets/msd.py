"""The part of the Million Song Dataset with Last.fm tags, in the two formats of its published split.

`filtered_list_*.cP` with `msd_id_to_tag_vector.cP` (the split of musicnn and most papers, 50 tags), or
`{train,valid,test}_x_msd_id.txt` with `_y.npy` and `tags.py`. The audio can no longer be downloaded.
"""

import ast
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from core.ml.datasets import plain_pickle
from core.ml.datasets.errors import DatasetMalformed
from core.ml.datasets.examples import Dataset, Example, Part
from core.ml.datasets.paths import inside, open_description
from core.ml.datasets.tables import lines, text

TRAIN_TRACKS = 201_680  # of the first list; the rest is the validation part
_PARTS = {"train": Part.TRAIN, "valid": Part.VALIDATION, "test": Part.TEST}


def read(root: Path, audio: str = "audio", train_tracks: int = TRAIN_TRACKS) -> Dataset:
    """Every listed track; a track without a known path is expected under its id."""
    if (root / "filtered_list_train.cP").is_file():
        examples = _from_pickles(root, root / audio, train_tracks)
    else:
        examples = _from_texts(root, root / audio)
    return Dataset("MSD Last.fm", tuple(examples), root=root)


def _from_pickles(root: Path, audio: Path, train_tracks: int) -> list[Example]:
    known = _load(root, "filtered_list_train.cP", list)
    listed = {
        Part.TRAIN: known[:train_tracks],
        Part.VALIDATION: known[train_tracks:],
        Part.TEST: _load(root, "filtered_list_test.cP", list),
    }
    vectors = _load(root, "msd_id_to_tag_vector.cP", dict)
    to_7digital = _load(root, "MSD_id_to_7D_id.pkl", dict)
    to_path = _load(root, "7D_id_to_path.pkl", dict)
    tags = lines(root, root / "50tagList.txt")
    examples = []
    for part, ids in listed.items():
        for track in ids:
            path = to_path.get(to_7digital.get(track), f"{track}.mp3")
            examples.append(
                Example(track, audio / inside(path, root), _given(vectors.get(track), tags), part=part)
            )
    return examples


def _from_texts(root: Path, audio: Path) -> list[Example]:
    tags = _tags(root, root / "tags.py")
    examples = []
    for name, part in _PARTS.items():
        ids, files = lines(root, root / f"{name}_x_msd_id.txt"), lines(root, root / f"{name}_x_filename.txt")
        given = _numbers(root, root / f"{name}_y.npy")
        if not len(ids) == len(files) == len(given):
            raise DatasetMalformed(
                f"{root}: {len(ids)} ids, {len(files)} files and {len(given)} rows of {name}."
            )
        for track, file, row in zip(ids, files, given, strict=True):
            path = inside(file, root).with_suffix(".clip.mp3")
            examples.append(Example(track, audio / path, _given(row, tags), part=part))
    return examples


def _load(root: Path, name: str, kind: type[Any]) -> Any:
    path = root / name
    with open_description(path, root) as file:
        content = file.read()
    try:
        value = plain_pickle.loads(content)
    except DatasetMalformed as error:
        raise DatasetMalformed(f"{path}: {error}") from error
    if not isinstance(value, kind):
        raise DatasetMalformed(f"{path} does not contain a {kind.__name__}.")
    return value


def _numbers(root: Path, path: Path) -> Any:
    """The binary tags of all tracks (N, L)."""
    with open_description(path, root) as file:
        content = file.read()
    try:
        return np.load(BytesIO(content), allow_pickle=False)  # noqa: TID251, without pickle
    except (ValueError, EOFError) as error:
        raise DatasetMalformed(f"{path} is not an array of numbers.") from error


def _tags(root: Path, path: Path) -> list[str]:
    """The list assigned to TAGS in a Python file, which is parsed but not executed."""
    try:
        for statement in ast.parse(text(root, path)).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "TAGS":
                return [str(tag) for tag in list(ast.literal_eval(statement.value))]
    except (SyntaxError, ValueError, TypeError) as error:
        raise DatasetMalformed(f"{path} is not a list of tags.") from error
    raise DatasetMalformed(f"{path} has no TAGS.")


def _given(vector: Any, tags: list[str]) -> tuple[str, ...]:
    values = getattr(vector, "values", vector)  # arrays from a pickle are `StoredArray`
    if values is None:
        return ()
    if len(values) != len(tags):
        raise DatasetMalformed(f"A track has {len(values)} values for {len(tags)} tags.")
    return tuple(tag for tag, value in zip(tags, values, strict=True) if value > 0)
